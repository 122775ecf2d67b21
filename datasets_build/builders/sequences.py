"""Questions of what follows what: the order of events, a step that is carried out or not, a clue that is waited for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from datasets_build.builders.facts import Desk, Draft, about_of, anyone, draft_of, every_time, nothing_since
from datasets_build.builders.questions import changed, own_act, tellable
from datasets_build.builders.tracks import Told, Track
from datasets_build.core.records import About, Evidence, Probe
from datasets_build.core.reply import Reply
from datasets_build.teachers.teacher import Happening
from datasets_build.truth.sooner import ORDERED, last_in_order


def order_at(desk: Desk, t: int) -> Draft | None:
    """The last three things that happened, or that anyone did of one kind, in order; none of them beside another."""
    line = desk.timeline
    classes: list[tuple[About, Happening | None, Track]] = [(About(kind="scene"), None, line.scene)]
    classes += [(About(kind="label", label=label), anyone(label), track) for label, track in line.acts.items()]
    found = [(matter, about, track, last) for matter, about, track in classes if (last := _in_order(desk, track, t))]
    if not found:
        return None
    matter, about, track, last = desk.rng.choice(found)
    if not tellable(desk, last) or len({item.event.caption for item in last}) < ORDERED:
        return None
    until = track.next_early(t)
    if track is line.scene:
        ends = [at for at in (until, line.changes.next_early(t)) if at is not None]
        until = min(ends, default=None)
    evidence = [*(item.evidence() for item in last), *nothing_since(last[0].done_ns, t)]
    reply = desk.reply(desk.write("say_order", told=last), t, evidence=evidence, until=until)
    question = desk.write("ask_order_of", about=about) if about else desk.write("ask_order")
    return draft_of("order", "backward", question, t, [reply], about=matter)


def _in_order(desk: Desk, track: Track, t: int) -> list[Told]:
    """The last three of a track, if each was over when the next began and nothing was beside them."""
    last = [] if track.busy(t) else last_in_order(track.done(t))
    return [] if last and track is desk.timeline.scene and changed(desk, last[0].done_ns, t) else last


def clue_at(desk: Desk, t: int) -> Draft | None:
    """What something that has been seen will do next: asked before it, answered when it is over.

    Its test points ask whether it can be told by then; over all questions as often before as after.
    """
    line = desk.timeline
    found = [(name, own, track) for name, track in line.subjects.items() if (own := own_act(track, name, t))]
    soon = [each for each in found if each[2].after(t) and not each[2].busy(t) and not line.is_renamed(each[0])]
    if not soon:
        return None
    name, own, track = desk.rng.choice(soon)
    coming = track.after(t)
    items = [item for item in coming if item.early_ns <= coming[0].known_ns]
    over = max(item.done_ns for item in items)
    if not tellable(desk, items) or over - t > desk.limits.max_wait_ns:
        return None
    proof = [Evidence(start_ns=t, end_ns=max(t, items[0].early_ns)), *(item.evidence() for item in items)]
    reply = desk.reply(desk.write("say_clue", told=items), over, evidence=proof, event_id=items[0].event.id)
    question = desk.write("ask_clue", about=own.happening)
    matter = About(kind="subject", subject=name)
    draft = draft_of("clue", "forward", question, t, [reply], about=matter)
    return replace(draft, probes=_known_probes(desk, draft)) if draft else None


def _known_probes(desk: Desk, draft: Draft) -> tuple[Probe, ...]:
    """Instants before the answer can be known, and from then on."""
    known = draft.answerable_from_ns
    sooner, later = _how_many(desk)
    spans = {"no": (draft.ask_ns, known), "yes": (known, known + desk.limits.max_wait_ns)}
    drawn = [(desk.between(*spans[said]), said) for said in ["no"] * sooner + ["yes"] * later]
    picked = {at: said for at, said in drawn if at is not None}
    return tuple(Probe(t_ns=at, kind="known", expected=picked[at]) for at in sorted(picked))


def _how_many(desk: Desk) -> tuple[int, int]:
    """How many test points have one answer and the other: any number of both, or their place in line would tell."""
    count = desk.rng.randint(1, desk.limits.max_probes)
    some = desk.rng.randint(0, count)
    return some, count - some


class _Turn(NamedTuple):
    """A yes or a no, from when until when, and the event that brings it; None where none has been seen."""

    at_ns: int
    until_ns: int | None
    is_on: bool
    item: Told | None


def pick_step(desk: Desk) -> str | None:
    """What lasts for a while at least once and can be denied, and can be called a step: the key of its topic."""
    line, least = desk.timeline, desk.limits.least_window_ns
    found = [
        key
        for key, track in line.closed.items()
        if line.topics[key].told[0].domain != "spoken"
        and any(item.off_ns - item.known_ns >= least for item in track.told)
    ]
    return desk.rng.choice(found) if found else None


def step_near(desk: Desk, topic: str, *, wanted: bool) -> Draft | None:
    """`step_at` while one of its times lasts or soon before, or the clock alone would tell yes from no."""
    told, limits = desk.timeline.topics[topic].told, desk.limits
    early = desk.rng.choice(told).early_ns
    t = desk.during(told) if wanted else desk.between(early - limits.max_wait_ns, early)
    return None if t is None else step_at(desk, t, topic, wanted=wanted)


def step_at(desk: Desk, t: int, topic: str, *, wanted: bool) -> Draft | None:
    """Whether a step is being carried out, from now on: yes while it lasts, no before and after it, in turn.

    Asked if the first answer is the wanted one. Every change is asked for only where each is certain and stands for
    long enough, to the video's end; otherwise, and half of the time then, only the next one.
    """
    track = desk.timeline.topics[topic]
    about, matter = track.told[0].happening, about_of(track.told[0])
    every = list(_turns(track, t))
    turns = _long_enough(desk, every)
    if len(turns) < 2 or turns[0].is_on is not wanted or turns[1].at_ns - t > desk.limits.max_wait_ns:
        return None
    whole = len(turns) == sum(turn.at_ns < desk.clock.end_ns for turn in every) and not _breaks_off(track, t, every)
    each = whole and desk.rng.random() < 0.5
    turns = turns if each else turns[:2]
    replies = [_reply(desk, turn, about, is_first=not k) for k, turn in enumerate(turns)]
    question = desk.write("ask_step" if each else "ask_step_once", about=about)
    draft = draft_of("step", "realtime", question, t, replies, about=every_time(matter, each))
    return replace(draft, probes=_step_probes(desk, draft.replies, turns)) if draft else None


def _turns(track: Track, t: int) -> Iterator[_Turn]:
    if track.unclear(t):
        return
    on, ahead = track.on(t), track.after(t)
    if not on:
        yield _Turn(t, ahead[0].early_ns if ahead else None, is_on=False, item=None)
    every = [*on, *ahead]
    for k, item in enumerate(every):
        then = every[k + 1].early_ns if k + 1 < len(every) else None
        if item.off_ns <= item.known_ns or (then is not None and then <= item.done_ns):
            return
        yield _Turn(max(t, item.known_ns), item.off_ns, is_on=True, item=item)
        yield _Turn(item.done_ns, then, is_on=False, item=item)


def _breaks_off(track: Track, t: int, every: Sequence[_Turn]) -> bool:
    """Whether something comes of which no turn is certain."""
    return len(every) < 1 + every[0].is_on + 2 * len(track.after(t))


def _long_enough(desk: Desk, every: Sequence[_Turn]) -> list[_Turn]:
    found: list[_Turn] = []
    for turn in every[: desk.limits.max_answers]:
        until = desk.clock.end_ns if turn.until_ns is None else min(desk.clock.end_ns, turn.until_ns)
        if until - turn.at_ns < desk.limits.least_window_ns:
            break
        found.append(turn)
    return found


def _reply(desk: Desk, turn: _Turn, about: Happening, *, is_first: bool) -> Reply | None:
    text = desk.write("say_is_under_way" if turn.is_on else "say_is_not_under_way", about=about)
    if turn.item is None:
        evidence = nothing_since(desk.clock.snap_up(turn.at_ns - desk.limits.recent_ns), turn.at_ns)
        return desk.reply(text, turn.at_ns, evidence=evidence, until=turn.until_ns)
    proof = [turn.item.evidence(turn.at_ns, role="necessary" if is_first else "sufficient")]
    return desk.reply(text, turn.at_ns, evidence=proof, until=turn.until_ns, event_id=turn.item.event.id)


def _step_probes(desk: Desk, replies: Sequence[Reply], turns: Sequence[_Turn]) -> tuple[Probe, ...]:
    """Instants at which the answer is yes, and at which it is no; over all questions as many of both."""
    picked: dict[int, str] = {}
    on, off = _how_many(desk)
    for is_on in [True] * on + [False] * off:
        reply = desk.rng.choice([reply for reply, turn in zip(replies, turns, strict=True) if turn.is_on == is_on])
        until = desk.clock.end_ns if reply.valid_until_ns is None else reply.valid_until_ns
        at = desk.between(reply.t_ns, until)
        if at is not None:
            picked[at] = "yes" if is_on else "no"
    return tuple(Probe(t_ns=at, kind="yes_no", expected=picked[at]) for at in sorted(picked))
