"""Shares of tasks: which questions stay so that each task has the share that was asked for, split by split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor

from datasets_build.core.records import Json, Split, StreamingQA, derive_id
from datasets_build.truth.words import says_no, says_yes

TWINS = "twins"
"""Stands in shares for questions that have a twin."""
ATTRIBUTE = "attribute"
"""Stands in shares for the colour of what does something, as it does in `tasks`; `colour` is of what is alone."""
Unit = tuple[str, ...]
"""The ids of questions that stay or go together."""


def kind_of(row: StreamingQA) -> str:
    """What a question counts as in shares: its task, or that it has a twin."""
    if row.twin_id is not None:
        return TWINS
    is_attribute = row.task == "colour" and row.about is not None and row.about.kind == "label"
    return ATTRIBUTE if is_attribute else row.task


def _verdict(row: StreamingQA) -> str:
    """Yes and no are thinned alike, so that they stay as even as they were."""
    first = row.answers[0].text if row.answers else ""
    return "yes" if says_yes(first) else "no" if says_no(first) else ""


@dataclass(slots=True)
class Mix:
    """Picks questions by shares.

    Attributes:
        shares: of tasks, 0 to 1; what they leave is for the tasks that they do not name.
        seed: decides which questions stay.
    """

    shares: Mapping[str, float]
    seed: int
    _found: dict[Split, defaultdict[tuple[str, str], list[Unit]]] = field(default_factory=dict)
    _first: dict[Split, list[tuple[Unit, ...]]] = field(default_factory=dict)
    _kept: Counter[tuple[Split, str]] = field(default_factory=Counter)
    _left: Counter[tuple[Split, str]] = field(default_factory=Counter)

    def see(self, split: Split, rows: Iterable[StreamingQA]) -> None:
        """Takes note of the questions of a video."""
        there = self._found.setdefault(split, defaultdict(list))
        units = list(_units(rows))
        for unit in units:
            there[kind_of(unit[0]), _verdict(unit[0])].append(tuple(row.id for row in unit))
        self._first.setdefault(split, []).append(tuple(tuple(row.id for row in unit) for unit in units))

    def kept(self, split: Split) -> frozenset[str]:
        """The ids of the questions of a split that stay: as many as the shares allow.

        One of each video at least, and of each task that has a share, of yes and of no.
        """
        found = self._found.setdefault(split, defaultdict(list))
        sizes: Counter[str] = Counter()
        for (kind, _), units in found.items():
            sizes[kind] += sum(map(len, units))
        wanted = quotas(sizes, self.shares)
        stays: set[str] = set()
        for (kind, _), units in found.items():
            most = floor(len(units) * wanted[kind] / sizes[kind] + 1e-9)
            take = max(most, 1) if wanted[kind] > 0 else 0
            for unit in sorted(units, key=self._rank)[:take]:
                stays.update(unit)
        for asked in self._first.get(split, []):
            if asked and not stays.intersection(name for unit in asked for name in unit):
                one: Unit = min(asked, key=self._rank)
                stays.update(one)
        for (kind, _), units in found.items():
            self._left[split, kind] += sum(name not in stays for unit in units for name in unit)
        return frozenset(stays)

    def _rank(self, unit: Unit) -> str:
        return derive_id("mix", unit[0], self.seed)

    def count(self, split: Split, rows: Iterable[StreamingQA]) -> None:
        """Counts what has stayed."""
        for row in rows:
            self._kept[split, kind_of(row)] += 1

    def told(self) -> str | None:
        """How many questions were left out, of which tasks, as a sentence; None where all stayed."""
        left: Counter[str] = Counter()
        for (_, kind), number in self._left.items():
            left[kind] += number
        if not (total := left.total()):
            return None
        each = ", ".join(f"{left[kind]} of {kind}" for kind in sorted(left) if left[kind])
        return f"For the shares of `mix` {total} of {total + self._kept.total()} questions were left out: {each}."

    def as_json(self, splits: Sequence[Split]) -> Json:
        """What the manifest holds: by split and task the share asked for and reached, questions, and those left out."""
        return {split: self._reached(split) for split in splits}

    def _reached(self, split: Split) -> Json:
        there = (kind for where, kind in (*self._kept, *self._left) if where == split)
        kinds = sorted({*self.shares, *there})
        total = max(1, sum(self._kept[split, kind] for kind in kinds))
        return {
            kind: {
                "asked": self.shares.get(kind),
                "reached": round(self._kept[split, kind] / total, 6),
                "questions": self._kept[split, kind],
                "left_out": self._left[split, kind],
            }
            for kind in kinds
        }


def _units(rows: Iterable[StreamingQA]) -> Iterator[tuple[StreamingQA, ...]]:
    """Questions, each twin with the other."""
    by_id = {row.id: row for row in rows}
    for row in by_id.values():
        other = by_id.get(row.twin_id or "")
        if other is None:
            yield (row,)
        elif row.id < other.id:
            yield (row, other)


def quotas(sizes: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, float]:
    """How many questions of each task may stay, so that the most stay of which each has its share.

    A task of which there is none takes no part: the others share what it leaves, all of it where none is named.

    Args:
        sizes: how many there are.
        shares: of tasks; the rest of 1 is for those that are not named, as they come.
    """
    named = {kind: share for kind, share in shares.items() if sizes.get(kind) and share > 0}
    others = sum(size for kind, size in sizes.items() if kind not in shares)
    rest = (1 - sum(shares.values()) if named else 1.0) if others else 0.0
    bounds = [sizes[kind] / share for kind, share in named.items()]
    if rest > 1e-9:
        bounds.append(others / rest)
    total = min(bounds, default=0.0)
    return {
        kind: total * named.get(kind, 0.0) if kind in shares else size * total * max(0.0, rest) / max(1, others)
        for kind, size in sizes.items()
    }
