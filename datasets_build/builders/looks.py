"""Questions of how something looks: the colour or the shape of the one subject that is in the picture.

Only where every subject that is in the picture is told to have entered since the last change of shot, and is called by
two words, "red circle". Asked while it rests there, and right until it looks otherwise, leaves, or is no longer alone.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from datasets_build.builders.facts import Desk, Draft, Timeline, draft_of, nothing_since
from datasets_build.builders.tracks import Told
from datasets_build.core.records import About
from datasets_build.core.topics import ENTERING_SETS, name_after, names_in
from datasets_build.teachers.teacher import Happening, Intent

Look = Literal["colour", "shape"]
_INTENTS: dict[Look, tuple[Intent, Intent]] = {
    "colour": ("ask_colour", "say_colour"),
    "shape": ("ask_shape", "say_shape"),
}


class Seen(NamedTuple):
    """A subject that is in the picture: what it is called, by which event, in the shot that began at `since_ns`."""

    name: str
    named_by: Told
    since_ns: int


def colour_at(desk: Desk, t: int) -> Draft | None:
    """What colour it is."""
    return _look_at(desk, t, "colour")


def shape_at(desk: Desk, t: int) -> Draft | None:
    """Which shape it is; a change of colour does not change that."""
    return _look_at(desk, t, "shape")


def _look_at(desk: Desk, t: int, look: Look) -> Draft | None:
    line = desk.timeline
    seen = alone_at(line, t)
    if seen is None:
        return None
    ends = [item for item in line.scene.after(t) if look == "colour" or item.event.label != "change_colour"]
    until = min((at for at in (*(item.early_ns for item in ends[:1]), line.shots.next_early(t)) if at), default=None)
    ask, say = _INTENTS[look]
    text = desk.write(say, about=Happening("enter", "", seen.name, ""))
    evidence = [seen.named_by.evidence(), *nothing_since(seen.since_ns, t)]
    reply = desk.reply(text, t, evidence=evidence, until=until)
    return draft_of(look, "realtime", desk.write(ask), t, [reply], about=About(kind="scene"))


def alone_at(line: Timeline, t: int) -> Seen | None:
    """The only subject in the picture at an instant; None where there is none, or more, or it is uncertain."""
    told = line.scene.told
    if not told or any(item.event.label_set not in ENTERING_SETS for item in told):
        return None
    if line.scene.busy(t) or line.shots.busy(t):
        return None
    since = max((item.done_ns for item in line.shots.done(t)), default=0)
    here: dict[str, Told] = {}
    for item in sorted(line.scene.done(t), key=lambda item: item.done_ns):
        if item.done_ns > since and not _take(here, item, since):
            return None
    if len(here) != 1:
        return None
    ((name, item),) = here.items()
    return Seen(name, item, since) if len(name.split()) == 2 else None


def _take(here: dict[str, Told], item: Told, since_ns: int) -> bool:
    """Take an event into account; False where it does not fit to what is in the picture."""
    event = item.event
    if item.early_ns < since_ns:
        return False
    if event.label not in ("enter", "leave", "change_colour"):
        return all(name in here for name in names_in(event.subject))
    if event.label != "enter" and here.pop(event.subject or "", None) is None:
        return False
    name = name_after(event)
    if event.label != "leave":
        if name is None or name in here:
            return False
        here[name] = item
    return True
