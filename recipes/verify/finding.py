"""What a check found, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: its name.
        ok: whether all is as it should be.
        words: what was looked at and found; if not ok, what is wrong, where, and what to do.
    """

    check: str
    ok: bool
    words: str


def seconds(t_ns: int) -> str:
    """A time as it is told, such as `1.500 s`."""
    return f"{t_ns / 1e9:.3f} s"
