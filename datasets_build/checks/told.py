"""What an augmented folder says that it left out, by the video that lacks it, and where it says so otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from datasets_build.checks.laws import Breach
from datasets_build.core.augmentation import Augmentation
from datasets_build.core.files import read_rejects
from datasets_build.core.records import Reject
from datasets_build.core.stage import STAGES

FILE = "augment/rejects.jsonl"
INVALIDATED = (
    "invalidated_told",
    "the first map of a video names what the rejects say that it lacks, and no other does",
)
JOINED = ("rejects_joined", "OUT/rejects.jsonl has the rejects of all stages, in their order")

NAMED = ("rejects_name_something", "what rejects name is a copy that the pipeline makes, or a record of a parent")


class Left(NamedTuple):
    """A record of a parent that an augmented video lacks, or lacks a part of: its kind, id, the code and the reason."""

    kind: str
    record: str
    code: str
    reason: str


class Told:
    """The rejects of an augmented folder.

    Attributes:
        items: what is named that is no record, such as a whole copy.
    """

    def __init__(self, rejects: Iterable[Reject]) -> None:
        self._left: defaultdict[str, list[Left]] = defaultdict(list)
        self.items: set[str] = set()
        for row in rejects:
            video, _, record = row.item.partition(": ")
            kind, _, made = record.partition(" ")
            if kind in ("Event", "StreamingQA", "Dialogue", "Annotation") and made:
                self._left[video].append(Left(kind, made, row.code, row.reason))
            else:
                self.items.add(row.item)

    @classmethod
    def of(cls, out: Path) -> Told:
        """What a folder tells. Raises DataError where a line is no reject."""
        return cls(read_rejects(out / FILE))

    def all(self) -> Iterator[tuple[str, Left]]:
        """Every record that is told, with the video that lacks it."""
        for video, rows in self._left.items():
            yield from ((video, row) for row in rows)

    def by(self, video_id: str) -> Sequence[Left]:
        """What one of its videos lacks, in the order in which it is told."""
        return self._left.get(video_id, ())


def invalidated_breaches(rows: Sequence[Augmentation], left: Sequence[Left]) -> Iterator[tuple[str, list[Breach]]]:
    """Each map's id with what keeps it from naming what its video lacks.

    Args:
        rows: the maps of a video.
        left: what the rejects say that it lacks.
    """
    for place, row in enumerate(rows):
        wanted = tuple(dict.fromkeys(each.record for each in left)) if place == 0 else ()
        wrong = list(_difference(row.invalidated, wanted)) if row.invalidated != wanted else []
        yield row.id, wrong


def _difference(found: tuple[str, ...], wanted: tuple[str, ...]) -> Iterator[Breach]:
    lost, more = [name for name in wanted if name not in found], [name for name in found if name not in wanted]
    if lost:
        yield Breach(f"invalidated without {lost[0]}", f"all {len(wanted)} that {FILE} names")
    if more:
        yield Breach(f"invalidated with {more[0]}", f"only the {len(wanted)} that {FILE} names")
    if not lost and not more:
        yield Breach("invalidated in another order, or twice", f"the order of {FILE}")


def named_breaches(
    told: Told, videos: Container[str], items: Container[str], records: Mapping[str, Container[str]]
) -> Iterator[tuple[str, list[Breach]]]:
    """Whatever the rejects name, with what keeps it from being something that an augmented folder can lack.

    Args:
        told: the rejects.
        videos: ids of the augmented videos.
        items: names of copies that the pipeline makes.
        records: ids of the parents' records, by their kind.
    """
    for item in sorted(told.items):
        yield item, [] if item in items else [Breach(f"item {item!r}", "a copy that the pipeline makes")]
    for video, left in told.all():
        found = [] if video in videos else [Breach(f"item {video}: {left.kind} {left.record}", "a video of the index")]
        if left.record not in records[left.kind]:
            found.append(Breach(f"item {video}: {left.kind} {left.record}", f"the {left.kind} of a parent"))
        yield left.record, found


def joined_breaches(out: Path) -> Iterator[Breach]:
    """Where the rejects of a folder are not those of its stages."""
    wanted = [row for name in STAGES for row in read_rejects(out / name / "rejects.jsonl")]
    for place, (here, there) in enumerate(zip_longest(read_rejects(out / "rejects.jsonl"), wanted), start=1):
        if here != there:
            yield Breach(f"line {place}: {here.item if here else 'none'}", f"{there.item if there else 'none'}")
            return
