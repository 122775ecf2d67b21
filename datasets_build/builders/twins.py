"""Twins: an answerable question and, at the same instant, the same about something that has not been shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import replace

from datasets_build.builders.facts import (
    Desk,
    Draft,
    draft_of,
    nothing_since,
    noun_of,
)
from datasets_build.builders.questions import before_at, subject_at
from datasets_build.builders.tracks import is_form
from datasets_build.core.records import About
from datasets_build.core.topics import CAMERA, COMPLETE_SETS, PICTURE_SET, is_determiner, names_in
from datasets_build.teachers.teacher import Happening, Intent

_LIGHT = frozenset({"black", "light_up", "light_down"})
_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
_ABSENT_LABELS = (*sorted(CAMERA), *sorted(_LIGHT))


def twins_at(desk: Desk, t: int) -> tuple[Draft, Draft] | None:
    """A question with an answer, and the same about something that the video never shows."""
    ways: list[Callable[[Desk, int], tuple[Draft, Draft] | None]] = [_absent_marker, _absent_subject]
    desk.rng.shuffle(ways)
    return next((pair for way in ways if (pair := way(desk, t)) is not None), None)


def _absent_subject(desk: Desk, t: int) -> tuple[Draft, Draft] | None:
    base = subject_at(desk, t)
    nobody = _nobody(desk)
    if base is None or nobody is None:
        return None
    known = next(iter(desk.timeline.subjects.values())).told[0].happening
    twin = _refuse(desk, t, replace(known, subject=nobody, caption=""), ask="ask_subject", say="say_no_subject")
    return (base, twin) if twin else None


def _absent_marker(desk: Desk, t: int) -> tuple[Draft, Draft] | None:
    base = before_at(desk, t)
    if base is None:
        return None
    if len(desk.timeline.scene):
        nobody, forms = _nobody(desk), [item for item in desk.timeline.scene.told if is_form(item)]
        if nobody is None or not forms:
            return None
        about = replace(desk.rng.choice(forms).happening, subject=nobody, caption="")
        twin = _refuse(desk, t, about, ask="ask_before", say="say_not_happened")
    else:
        seen = desk.timeline.picture_labels
        # A fade also darkens the picture, whatever the thresholds made of it; black may have come by one.
        unsure = _LIGHT if seen & {"fade", "dissolve", "black"} else frozenset()
        absent = [label for label in _ABSENT_LABELS if label not in seen | unsure]
        if not absent:
            return None
        about = Happening(desk.rng.choice(absent), PICTURE_SET, None, "")
        twin = _refuse(desk, t, about, ask="ask_before_picture", say="say_not_happened")
    return (base, twin) if twin else None


def _nobody(desk: Desk) -> str | None:
    """Something that no event of the video names.

    Where the events tell of everything it is one of the video's own shapes in another colour, or the words alone would
    tell it from what is there; elsewhere somebody of another video, for the same reason, who shares no word with any
    event. Only where no other video names anybody it is one of the teacher's.
    """
    told = [item.event for item in desk.timeline.scene.told if item.event.subject]
    names = list(dict.fromkeys(name for event in told for name in names_in(event.subject)))
    complete = all(event.label_set in COMPLETE_SETS for event in told)
    if names and complete and all(len(name.split()) == 2 for name in names):
        free = _recombined(desk, names)
    else:
        others = desk.strangers or desk.teacher.absent_subjects()
        free = [name for name in others if _is_strange(name, desk.timeline.words)]
    return desk.rng.choice(free) if free else None


def _is_strange(name: str, words: Container[str]) -> bool:
    """Whether a name shares no word with a video's, articles left aside."""
    own = [word for word in re.findall(r"[^\W_]+", name.casefold()) if not is_determiner(word)]
    return len(own) > 0 and not any(word in words for word in own)


def _recombined(desk: Desk, names: Sequence[str]) -> list[str]:
    """Shapes of some "colour shape" names in the colours of the others; in any colour where that gives none."""
    # What changes colour has been seen in a colour that no event need name.
    nouns = dict.fromkeys(noun_of(name) for name in names if not desk.timeline.is_renamed(name))
    own = dict.fromkeys(name.split()[0] for name in names)
    for colours in (tuple(own), _COLOURS):
        if free := [mixed for noun in nouns for colour in colours if (mixed := f"{colour} {noun}") not in names]:
            return free
    return []


def _refuse(
    desk: Desk,
    t: int,
    about: Happening,
    *,
    ask: Intent,
    say: Intent,
) -> Draft | None:
    reply = desk.reply(desk.write(say, about=about), t, evidence=nothing_since(0, t))
    if ask == "ask_subject":
        topic = About(kind="subject", subject=about.subject)
    else:
        topic = About(kind="label", label=about.label, subject=about.subject)
    twin = draft_of("before", "backward", desk.write(ask, about=about), t, [reply], about=topic)
    return replace(twin, unanswerable=True) if twin else None
