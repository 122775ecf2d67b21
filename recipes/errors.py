"""What can go wrong with a recipe, as types: every message says what was found, what was expected and what to do."""

from datasets_build.core.files import DataError


class RecipeError(DataError):
    """Something about a run that its user can mend: data, configuration, checkpoint or machine."""


class CorpusError(RecipeError):
    """A dataset is of another version, incomplete, or its video is gone."""


class CheckpointError(RecipeError):
    """A checkpoint is missing, incomplete, or of another architecture or configuration."""


class DivergedError(RecipeError):
    """A loss is not finite; the message names the batch, and the last good checkpoint stays."""


class SkipLimitError(RecipeError):
    """More samples could not be decoded than the configuration allows."""
