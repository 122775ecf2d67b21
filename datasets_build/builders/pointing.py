"""Questions of what is there: who does something, where something is, and what is written in the picture."""

from __future__ import annotations

from dataclasses import replace

from datasets_build.builders.facts import Desk, Draft, anyone, draft_of, nothing_since
from datasets_build.builders.questions import own_act
from datasets_build.builders.tracks import Told, Track
from datasets_build.core.evidence import TEXT_LABEL
from datasets_build.core.records import About
from datasets_build.teachers.teacher import Happening, Request
from datasets_build.truth.places import place_sentence


def who_at(desk: Desk, t: int) -> Draft | None:
    """What does something right now, of which exactly one does; only where everything that happens is told."""
    found = _doing(desk, t)
    if found is None:
        return None
    label, item, until = found
    reply = desk.reply(desk.write("say_who", about=item.happening), t, evidence=[item.evidence(t)], until=until)
    question = desk.write("ask_who", about=anyone(label))
    return draft_of("who", "realtime", question, t, [reply], about=About(kind="label", label=label))


def attribute_at(desk: Desk, t: int) -> Draft | None:
    """Which colour has what does something right now; only of what is called by two words, "red circle"."""
    found = _doing(desk, t)
    if found is None:
        return None
    label, item, until = found
    name = item.event.subject or ""
    if len(name.split()) != 2 or label in ("enter", "leave"):
        return None
    answer = desk.write("say_colour", about=Happening("enter", "", name, ""))
    reply = desk.reply(answer, t, evidence=[item.evidence(t)], until=until)
    question = desk.write("ask_colour_of", about=anyone(label))
    return draft_of("colour", "realtime", question, t, [reply], about=About(kind="label", label=label))


def _doing(desk: Desk, t: int) -> tuple[str, Told, int] | None:
    """Something that exactly one does, the event, and until when that is so."""
    line = desk.timeline
    labels = [label for label, track in line.acts.items() if _only(track, t) is not None]
    if not labels:
        return None
    label = desk.rng.choice(labels)
    item = _only(line.acts[label], t)
    # Who changes colour while it lasts is called by two names.
    if item is None or any(
        other.event.label == "change_colour" and other.early_ns < item.off_ns and other.done_ns > item.early_ns
        for other in line.scene.told
    ):
        return None
    return label, item, _until(line.acts[label], item, t)


def read_at(desk: Desk, t: int) -> Draft | None:
    """What the only text in the picture says."""
    track = desk.timeline.texts
    item = _only(track, t)
    if item is None or item.topic is None:
        return None
    answer = desk.write("say_read", told=[item])
    reply = desk.reply(answer, t, evidence=[item.evidence(t)], until=_until(track, item, t))
    matter = About(kind="label", label=TEXT_LABEL)
    return draft_of("read", "realtime", desk.write("ask_read"), t, [reply], about=matter)


def _only(track: Track, t: int) -> Told | None:
    """The only one that is under way."""
    on = track.on(t)
    return on[0] if len(on) == 1 and not track.unclear(t) else None


def _until(track: Track, item: Told, t: int) -> int:
    """When it is over, or no longer the only one for certain."""
    later = track.next_early(t)
    return item.off_ns if later is None else min(item.off_ns, later)


def where_at(desk: Desk, t: int) -> Draft | None:
    """In which quarter of the picture something is that has done something before; only where boxes tell it."""
    line = desk.timeline
    named = [(name, own) for name, track in line.subjects.items() if (own := own_act(track, name, t)) is not None]
    there = [(name, own, stay) for name, own in named if (stay := line.places.seen(name, t, desk.clock)) is not None]
    if not there:
        return None
    name, own, stay = desk.rng.choice(there)
    told = Happening("place", "", name, place_sentence(name, stay.place or ""))
    answer = desk.say(Request(intent="say_where", told=(told,)))
    reply = desk.reply(answer, t, evidence=nothing_since(stay.start_ns, t), until=stay.end_ns)
    question = desk.write("ask_where", about=own.happening)
    draft = draft_of("where", "realtime", question, t, [reply], about=About(kind="subject", subject=name))
    return replace(draft, inputs=(stay.box_id,)) if draft else None
