"""What can go wrong between records and people."""

from __future__ import annotations

from datasets_build.core.files import DataError


class AnnotateError(DataError):
    """A round, screen, proxy or server that cannot be used; the message is one sentence for a person."""
