"""Errors of augmentation that a person can mend."""

from datasets_build.core.files import DataError


class AugmentError(DataError):
    """An operation that cannot be, or records that it cannot be applied to."""
