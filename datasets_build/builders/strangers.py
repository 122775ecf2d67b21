"""Who is in other videos of a corpus: names to ask after in a video that never names them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from datasets_build.core.layout import VideoRows, each_video, table_path
from datasets_build.core.records import Event, Split, derive_id
from datasets_build.core.topics import COMPLETE_SETS, PICTURE_SET, names_in

Corpus = tuple[Split, str]
_MOST = 4096


@dataclass(slots=True)
class Strangers:
    """The subjects of each split's corpora, once for each video that names them: the more often, the more videos do.

    Of very many those with the smallest digests stay, whatever the order of the videos; memory is flat.
    """

    most: int = _MOST
    _heaps: defaultdict[Corpus, list[tuple[int, str, str]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def read(cls, out: Path) -> Self:
        """Whom the events of a folder name. Raises TableError where their table is broken or out of order."""
        found, rows = cls(), VideoRows(table_path(out, Event), Event)
        for video in each_video(out):
            found.meet(video.split, video.id, rows.take(video.id))
        rows.finish()
        return found

    def meet(self, split: Split, video_id: str, events: Iterable[Event]) -> None:
        """Take in whom a video names."""
        for label_set, name in dict.fromkeys(_named(events)):
            heap, key = self._heaps[split, label_set], -int(derive_id("stranger", video_id, name)[:15], 16)
            push = heapq.heappush if len(heap) < self.most else heapq.heappushpop
            push(heap, (key, video_id, name))

    def of(self, split: Split, video_id: str, events: Sequence[Event]) -> tuple[str, ...]:
        """Whom other videos of a video's split and corpora name, in an order that is always the same."""
        corpora = dict.fromkeys(label_set for label_set, _ in _named(events))
        found = [row for label_set in corpora for row in self._heaps.get((split, label_set), ())]
        return tuple(name for _, video, name in sorted(found) if video != video_id)


def _named(events: Iterable[Event]) -> Iterable[tuple[str, str]]:
    """Label sets and single names; not of those that tell of everything, which have absent names of their own."""
    for event in events:
        if event.label_set != PICTURE_SET and event.label_set not in COMPLETE_SETS:
            yield from ((event.label_set, name) for name in names_in(event.subject))
