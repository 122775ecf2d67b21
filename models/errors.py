"""What can go wrong with a stream, as types: every message says what was found, what was expected and what to do."""


class StreamError(Exception):
    """Base of every error that `models` raises for data, settings or use; the session stays usable after it."""


class TimeError(StreamError):
    """A frame or a question carries a time that runs backwards or is no integer of nanoseconds."""


class FrameError(StreamError):
    """A frame has another size, dtype or layout than the stream began with, or than the model can take."""


class QuestionError(StreamError):
    """A question is empty, or is asked before there is anything to look at."""


class PoolFullError(StreamError):
    """A context needs more slots than the cache pool has left."""


class SettingsError(StreamError):
    """A setting is unknown, contradicts another, or does not fit the model."""


class ClosedError(StreamError):
    """A session, branch or snapshot is used after it was closed."""


class PackageError(StreamError):
    """A package folder is incomplete, damaged, or was made by another version."""
