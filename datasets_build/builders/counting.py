"""Questions of how many: how often something has happened so far, each further time superseding the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from datasets_build.builders.facts import (
    Desk,
    Draft,
    about_of,
    anyone,
    draft_of,
    every_time,
    nothing_since,
)
from datasets_build.builders.tracks import Told, Track, is_form
from datasets_build.core.records import About, Probe
from datasets_build.core.reply import Reply
from datasets_build.teachers.teacher import Happening

_MANY = 20


def count_at(desk: Desk, t: int, *, shots: bool | None = None) -> Draft | None:
    """How often something has happened so far; every further time supersedes the answer."""
    line = desk.timeline
    keys = [key for key, track in line.closed.items() if is_form(track.told[0])]
    # Of a video of one shot the answer is one whenever it is asked.
    several = len(line.shots) > 1
    use_shots = several and (not keys or desk.rng.random() < 0.4) if shots is None else shots
    if not use_shots and not keys:
        return None
    if use_shots:
        return _count(desk, t, line.shots, about=None, matter=About(kind="shots"))
    return times_at(desk, t, desk.rng.choice(keys))


def times_at(desk: Desk, t: int, key: str) -> Draft | None:
    """How often what a topic names has happened so far."""
    track = desk.timeline.closed[key]
    return _count(desk, t, track, about=track.told[0].happening, matter=about_of(track.told[0]))


def tally_at(desk: Desk, t: int) -> Draft | None:
    """How often anyone has done something so far; only where everything that happens is told."""
    tracks = desk.timeline.acts
    if not tracks:
        return None
    label = desk.rng.choice(list(tracks))
    return _count(desk, t, tracks[label], about=anyone(label), matter=About(kind="label", label=label))


def _count(desk: Desk, t: int, track: Track, *, about: Happening | None, matter: About) -> Draft | None:
    """How many of a track are over, about shots where nothing is named."""
    if track.busy(t):
        return None
    question = desk.write("ask_count", about=about) if about else desk.write("ask_count_shots")
    over = track.done(t)
    steps = _steps(track, t, desk.limits.least_window_ns)
    counted = [item.evidence() for item in over[:_MANY]] if len(over) <= _MANY else []
    until = steps[0][0] if steps else None
    count = len(over)
    said = desk.write("say_count", number=count)
    replies = [desk.reply(said, t, evidence=[*nothing_since(0, t), *counted], until=until)]
    numbers = [count]
    for k, (_, done, members) in enumerate(steps[: desk.limits.max_answers - 1]):
        if done >= desk.clock.end_ns:
            break
        count += len(members)
        numbers.append(count)
        until = steps[k + 1][0] if k + 1 < len(steps) else None
        proof = [item.evidence(role="sufficient") for item in members]
        text = desk.write("say_count", number=count)
        replies.append(desk.reply(text, done, evidence=proof, until=until, event_id=members[-1].event.id))
    followed = every_time(matter, len(steps) < desk.limits.max_answers)
    draft = draft_of("count_so_far", "counting", question, t, replies, about=followed)
    return replace(draft, probes=_probes(desk, draft.replies, numbers)) if draft else None


def opening(desk: Desk) -> Draft:
    """The question that every video bears: how many shots there have been, asked at its first frame."""
    others = [item.done_ns for item in desk.timeline.shots.told if item.done_ns > 0]
    until = min(others, default=desk.clock.end_ns)
    end = min(until, desk.clock.snap_up(desk.limits.window_ns))
    text, question = desk.write("say_count", number=1), desk.write("ask_count_shots")
    assert text is not None, "a teacher has words for the count of shots"
    assert question is not None, "and for its question"
    reply = Reply(text, 0, end, until if others else None, tuple(nothing_since(0, 0)))
    return Draft(
        task="count_so_far",
        mode="counting",
        question=question,
        ask_ns=0,
        replies=(reply,),
        about=About(kind="shots"),
        probes=(Probe(t_ns=0, kind="count", expected="1"),),
    )


def _steps(track: Track, t: int, least_ns: int) -> list[tuple[int, int, list[Told]]]:
    """After an instant: stretches `(first, done, events)` in which the count is uncertain.

    They are merged where the count between them would stand for less than `least_ns`.
    """
    steps: list[tuple[int, int, list[Told]]] = []
    for item in track.after(t):
        if steps and item.early_ns - steps[-1][1] < least_ns:
            first, done, members = steps[-1]
            steps[-1] = (first, max(done, item.done_ns), [*members, item])
        else:
            steps.append((item.early_ns, item.done_ns, [item]))
    return steps


def _probes(desk: Desk, replies: Sequence[Reply], numbers: Sequence[int]) -> tuple[Probe, ...]:
    """Random instants at which one answer is certainly right, spread over the answers, with the number expected."""
    picked: dict[int, int] = {}
    order = list(range(len(replies)))
    desk.rng.shuffle(order)
    for k in [*order, *order][: desk.limits.max_probes]:
        until = replies[k].valid_until_ns
        at = desk.between(replies[k].t_ns, desk.clock.end_ns if until is None else until)
        if at is not None:
            picked[at] = numbers[k]
    return tuple(Probe(t_ns=at, kind="count", expected=str(picked[at])) for at in sorted(picked))
