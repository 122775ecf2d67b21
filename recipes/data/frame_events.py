"""Stages 1 and 2: which events are on, asked after every grid, beside the video."""

from __future__ import annotations

from collections.abc import Sequence

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Event
from recipes.data.corpus import Material
from recipes.data.example import Example
from recipes.data.footage import Stretch
from recipes.data.script import Desk, Line, Script, borders_of

SOURCE = "frame_events"
QUESTION = "Which events are on?"
NONE = "none"
SEPARATOR = "; "
NOT_ASKED = frozenset({"video_start"})


def name_of(event: Event) -> str:
    """How an event is named in an answer: `enter: red circle`, or its label alone where it has no subject."""
    return f"{event.label}: {event.subject}" if event.subject else event.label


def on_between(events: Sequence[Event], *, before_ns: int, until_ns: int) -> list[Event]:
    """The events that a viewer can tell were on after `before_ns`, up to and with `until_ns`, by begin and name.

    A grid speaks for the time since the one before it, so that a short event is on at one grid at least. An event that
    is under way but cannot be told yet (`known_from_ns`) is not on for a viewer; it is at the grid at which it can.
    """
    found = [
        event
        for event in events
        if event.label not in NOT_ASKED
        and event.known_from_ns <= until_ns
        and (event.end_ns > before_ns or event.known_from_ns > before_ns)
    ]
    return sorted(found, key=lambda event: (event.start_ns, name_of(event), event.id))


def answer_of(events: Sequence[Event]) -> str:
    """The answer that names these events, each once, or says that there is none."""
    return SEPARATOR.join(dict.fromkeys(name_of(event) for event in events)) or NONE


def names_in(answer: str) -> tuple[str, ...]:
    """The names that an answer holds; inverse of `answer_of`."""
    names = [part.strip() for part in answer.strip().rstrip(".").split(SEPARATOR.strip())]
    return tuple(name for name in names if name and name != NONE)


def frame_events(material: Material, window_s: float, desk: Desk) -> list[Example]:
    """The examples of a video: stretches of `window_s`, with a question after each grid."""
    footage = material.footage

    def make(stretch: Stretch) -> list[Script]:
        return [
            Script(
                key=f"{SOURCE}/{footage.video.id}/{stretch.learn}",
                source=SOURCE,
                footage=footage,
                stretch=stretch,
                lines=tuple(_lines(material, stretch, desk)),
                borders=borders_of(material.events),
            )
        ]

    stretches = footage.stretches(round(window_s * NS_PER_S))
    return [example for stretch in stretches for example in desk.written(make, stretch)]


def _lines(material: Material, stretch: Stretch, desk: Desk) -> list[Line]:
    footage = material.footage
    lines = []
    for place in range(stretch.learn, stretch.stop):
        t_ns = footage.grids[place].t1_ns
        before = footage.grids[place - 1].t1_ns if place else -1
        on = on_between(material.events, before_ns=before, until_ns=t_ns)
        if not all(footage.covers(stretch, event.start_ns, at_ns=t_ns) for event in on):
            desk.left.out(SOURCE, "evidence is not shown", f"{footage.video.id}/{t_ns}")
            continue
        known = max((event.known_from_ns for event in on), default=t_ns)
        lines.append(
            Line(
                t_ns=t_ns,
                task=SOURCE,
                question=QUESTION,
                text=answer_of(on),
                aside=True,
                evidence_ns=known,
            )
        )
    return lines
