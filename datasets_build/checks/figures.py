"""Figures that speak for a whole dataset: a share with its interval, the limit it must keep, and what that means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from datasets_build.core.records import Part

Verdict = Literal["held", "broken", "warned", "too_few"]
_Z = 2.576
"""The lower bounds hold in 99.5 of 100 datasets of that kind."""


class Figure(Part):
    """A share of a dataset against its limit.

    `n` items of `groups` groups of videos; `low` is the lower bound of the share. It is broken where even `low` is
    above `limit`, and not judged where there are too few.
    """

    name: str
    of: str
    n: int
    groups: int
    share: float
    low: float
    chance: float
    limit: float
    verdict: Verdict

    @property
    def told(self) -> str:
        """For people."""
        return f"{self.share:.3f} (at least {self.low:.3f}; {self.n} of {self.groups} groups of videos)"


class Share:
    """Hits and items by group of videos: items of one video are alike, so that its groups are what counts."""

    def __init__(self) -> None:
        self._hits: dict[str, float] = {}
        self._items: dict[str, int] = {}

    def add(self, group: str, hits: float, items: int = 1) -> None:
        """Count some items of a group."""
        self._hits[group] = self._hits.get(group, 0) + hits
        self._items[group] = self._items.get(group, 0) + items

    @property
    def n(self) -> int:
        """Items."""
        return sum(self._items.values())

    @property
    def groups(self) -> int:
        """Groups that have items."""
        return sum(number > 0 for number in self._items.values())

    @property
    def share(self) -> float:
        """Hits by items; 0 where there is none."""
        return sum(self._hits.values()) / max(1, self.n)

    @property
    def low(self) -> float:
        """The lower bound of the share: Wilson's interval (1927) on as many items as independent ones would say it.

        The design effect is that of a ratio over groups (Cochran 1977, section 9A).
        """
        n, p = self.n, self.share
        if n == 0:
            return 0.0
        residues = ((self._hits[group] - p * items) ** 2 for group, items in self._items.items())
        spread = sum(residues) * self.groups / max(1, self.groups - 1) / n**2
        alone = p * (1 - p) / n
        free = n / max(1.0, spread / alone) if alone > 0 else float(n)
        middle = p + _Z**2 / (2 * free)
        reach = _Z * math.sqrt(p * (1 - p) / free + _Z**2 / (4 * free**2))
        return max(0.0, (middle - reach) / (1 + _Z**2 / free))


class Least(Part):
    """From how many items, of how many groups of videos, a figure is judged."""

    items: int
    groups: int


def judged(name: str, of: str, share: Share, *, chance: float, limit: float, least: Least) -> Figure:
    """A figure with its verdict, warnings apart."""
    few = share.n < least.items or share.groups < least.groups
    verdict: Verdict = "too_few" if few else "broken" if share.low > limit else "held"
    return Figure(
        name=name,
        of=of,
        n=share.n,
        groups=share.groups,
        share=round(share.share, 6),
        low=round(share.low, 6),
        chance=round(chance, 6),
        limit=round(limit, 6),
        verdict=verdict,
    )


def most_common(counts: Mapping[str, int]) -> tuple[str, int]:
    """The most frequent key with its count, the first in order among equals. Raises ValueError where there is none."""
    return min(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def shares_of(groups: Sequence[str], hits: Sequence[bool]) -> Share:
    """The share of hits, item by item."""
    share = Share()
    for group, hit in zip(groups, hits, strict=True):
        share.add(group, float(hit))
    return share
