"""Errors of augmentation that a person can mend."""

from datasets_build.core.files import DataError


class AugmentError(DataError):
    """An operation that cannot be, or records that it cannot be applied to."""


class RoomError(DataError):
    """A disk that is full or may not be written: it ends the run, for the next file would fail as well."""
