"""Hierarchies of events: which of them lies within which, derived from the events and never written by hand.

Corpora with layers tell them on one clock: a task and its steps, a summary and the narrations under it. An event lies
within the shortest longer one of its label set that holds it whole; what several hold equally, within the one that
began last. What the picture itself shows (cuts, camera movement, light) is part of nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from datasets_build.core.records import Event, Many, Record, derive_id
from datasets_build.core.topics import PICTURE_SET

HIERARCHY = "hierarchy"
"""The name of its table."""


class Level(Record):
    """Where an event stands among those of its label set.

    `within` is the event that it is a part of, None for one of the top; `depth` counts those above it, and `path` are
    their labels from the top down, its own last.
    """

    event_id: str
    label_set: str
    within: str | None
    depth: int
    path: Many[str]


def levels_of(events: Sequence[Event]) -> list[Level]:
    """One row for each event of a video, in their order."""
    sets: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        sets[event.label_set].append(event)
    found: dict[str, Level] = {}
    for name, of_set in sets.items():
        wholes = {} if name == PICTURE_SET else _wholes(of_set)
        # What holds another one is longer, so it has its place first.
        for event in sorted(of_set, key=lambda event: event.start_ns - event.end_ns):
            found[event.id] = _level(event, found.get(wholes.get(event.id, "")))
    return [found[event.id] for event in events]


def _level(event: Event, above: Level | None) -> Level:
    return Level(
        id=derive_id("level", event.id),
        video_id=event.video_id,
        event_id=event.id,
        label_set=event.label_set,
        within=above.event_id if above else None,
        depth=above.depth + 1 if above else 0,
        path=(*(above.path if above else ()), event.label),
    )


def _wholes(events: Sequence[Event]) -> dict[str, str]:
    """The ids of those that lie within another one, with that one's id."""
    found = {}
    on: list[Event] = []
    for event in sorted(events, key=lambda event: (event.start_ns, -event.end_ns, event.id)):
        on = [whole for whole in on if whole.end_ns > event.start_ns]
        longer = event.end_ns - event.start_ns
        holding = [whole for whole in on if whole.end_ns >= event.end_ns and whole.end_ns - whole.start_ns > longer]
        if holding:
            found[event.id] = min(holding, key=lambda whole: (whole.end_ns - whole.start_ns, -whole.start_ns)).id
        if not event.is_point:
            on.append(event)
    return found
