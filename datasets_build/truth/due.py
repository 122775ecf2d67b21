"""What is true: the answer that the events give to a question, be it a row of its own or a turn of a dialogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from datasets_build.core.evidence import TEXT_LABEL
from datasets_build.core.records import About
from datasets_build.truth.grounds import (
    Fact,
    Grounds,
    busy,
    coming,
    done,
    first,
    last_done,
    next_early,
    unclear,
)
from datasets_build.truth.looks import alone, has_looks
from datasets_build.truth.sooner import ORDERED, last_before, last_in_order
from datasets_build.truth.steps import Stance, stances

KINDS: Mapping[str, frozenset[str]] = {
    "now": frozenset({"scene", "camera", "label", "caption"}),
    "before": frozenset({"scene", "changes", "subject", "label", "caption"}),
    "happened_yet": frozenset({"label", "caption", "line"}),
    "tell_me_when": frozenset({"label", "caption", "line", "scene"}),
    "count_so_far": frozenset({"shots", "label"}),
    "next": frozenset({"scene"}),
    "colour": frozenset({"scene", "label"}),
    "shape": frozenset({"scene"}),
    "order": frozenset({"scene", "label"}),
    "who": frozenset({"label"}),
    "where": frozenset({"subject"}),
    "read": frozenset({"label"}),
    "step": frozenset({"label", "caption"}),
    "clue": frozenset({"subject"}),
}
"""What a question of each task may be about."""
_FIELDS = {
    "label": (("label",), ("label", "subject")),
    "subject": (("subject",),),
    "caption": (("text",),),
    "line": (("text",),),
}
FOLLOWED = frozenset({"tell_me_when", "count_so_far", "step"})
"""Tasks whose answers may follow each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What has to be said to a question.

    `ends` holds the events that prove the first answer, each with the instant up to which it was seen; the answer is
    due at `at_ns` and right before `until_ns` (None: for good). `told` are the events that it tells of; `further` those
    of later answers, each with the instant of its own; `number` is a count; `place` is where something is. `watched` is
    the span in which nothing else happened, which is evidence too. `stances` are the yes and no of a step in turn.
    """

    at_ns: int
    ends: Mapping[str, int] = field(default_factory=dict)
    until_ns: int | None = None
    told: Sequence[Fact] = ()
    further: Sequence[tuple[Fact, int]] = ()
    number: int | None = None
    watched: tuple[int, int] | None = None
    place: str | None = None
    stances: Sequence[Stance] = ()


Verdict = Due | str
"""What is due, or why nothing can be said at that instant."""
_UNCLEAR = "an instant at which it is certain"


def due_of(task: str, about: About, ask_ns: int, grounds: Grounds) -> Verdict:
    """What the events give as the answer to a question of a task about something, asked at an instant."""
    return _TASKS[task](about, ask_ns, grounds)


def told_from(fact: Fact, about: About) -> int:
    """When an awaited event is reported: as soon as it is known, a line when its last word is out."""
    return fact.done_ns if about.kind == "line" else fact.known_ns


def _seen(facts: Sequence[Fact]) -> dict[str, int]:
    return {fact.id: fact.done_ns for fact in facts}


def _nothing(t: int, until: int | None = None, since: int = 0) -> Due:
    """That nothing has happened, or does not now: proved by what was watched."""
    return Due(at_ns=t, until_ns=until, watched=(since, t))


def _now(about: About, t: int, grounds: Grounds) -> Verdict:
    facts = grounds.of(about)
    on = [fact for fact in facts if fact.is_on(t)]
    if unclear(facts, t):
        return _UNCLEAR
    seen = dict.fromkeys((fact.id for fact in on), t)
    offs = [fact.off_ns for fact in on]
    if about.kind in ("label", "caption"):
        return Due(at_ns=t, ends=seen, until_ns=min(offs), told=on) if on else _nothing(t, next_early(facts, t), t)
    if not on:
        return "an instant at which something is under way"
    also = [grounds.scene] * (about.kind == "scene") + [grounds.changes]
    until = first([*offs, *(next_early(other, t) for other in also)])
    return Due(at_ns=t, ends=seen, until_ns=until, told=on)


def _before(about: About, t: int, grounds: Grounds) -> Verdict:
    facts = grounds.of(about)
    if about.kind in ("label", "caption"):
        return _before_marker(facts, t, grounds)
    last = last_done(facts, t)
    if not facts and about.kind == "subject":
        return _nothing(t)
    if busy(facts, t) or not last:
        return _UNCLEAR
    also = [next_early(grounds.changes, t)] if about.kind != "subject" else []
    if about.kind == "scene" and _changed(grounds, last[0].done_ns, t):
        return "an instant up to which nothing else has changed"
    return Due(
        at_ns=t,
        ends=_seen(last),
        until_ns=first([next_early(facts, t), *also]),
        told=last,
        watched=(last[0].done_ns, t),
    )


def _changed(grounds: Grounds, since_ns: int, until_ns: int) -> bool:
    return any(fact.early_ns <= until_ns and fact.done_ns >= since_ns for fact in grounds.changes)


def _before_marker(facts: Sequence[Fact], t: int, grounds: Grounds) -> Verdict:
    if not facts:
        return _nothing(t)
    begun = [fact for fact in facts if fact.early_ns <= t]
    if len(begun) != 1 or begun[0].done_ns > t:
        return "something that has happened exactly once"
    last = last_before(grounds.scene or grounds.changes, begun[0])
    return Due(at_ns=t, ends=_seen([*last, *begun]), told=last, watched=(0, t)) if last else "something before it"


def _happened_yet(about: About, t: int, grounds: Grounds) -> Verdict:
    facts = grounds.of(about)
    if over := done(facts, t):
        earliest = min(over, key=lambda fact: fact.done_ns)
        return Due(at_ns=t, ends=_seen([earliest]), told=[earliest])
    return _UNCLEAR if busy(facts, t) else _nothing(t, next_early(facts, t))


def _tell_me_when(about: About, t: int, grounds: Grounds) -> Verdict:
    facts = grounds.of(about)
    ahead = coming(facts, t)
    ahead = ahead if about.every else ahead[:1]
    if busy(facts, t):
        return _UNCLEAR
    if not ahead:
        return Due(at_ns=t)
    reports = [(fact, told_from(fact, about)) for fact in ahead]
    (fact, at), *further = reports
    return Due(at_ns=at, ends={fact.id: at}, told=[fact], further=further)


def _count_so_far(about: About, t: int, grounds: Grounds) -> Verdict:
    facts = grounds.of(about)
    over = done(facts, t)
    if busy(facts, t) and t > 0:
        return _UNCLEAR
    further = [(fact, fact.done_ns) for fact in coming(facts, t)]
    until = next_early(facts, t)
    return Due(at_ns=t, ends=_seen(over), until_ns=until, number=len(over), further=further, watched=(0, t))


def _next(about: About, t: int, grounds: Grounds) -> Verdict:
    facts = grounds.of(about)
    ahead = coming(facts, t)
    if not ahead or busy(facts, t):
        return _UNCLEAR
    items = [fact for fact in ahead if fact.early_ns <= ahead[0].known_ns]
    if _changed(grounds, t + 1, ahead[0].known_ns):
        return "an instant from which nothing else changes sooner"
    over, wait = max(fact.done_ns for fact in items), (t, max(t, items[0].early_ns))
    return Due(at_ns=over, ends=_seen(items), told=items, watched=wait)


def _look(task: str, t: int, grounds: Grounds) -> Verdict:
    seen = alone(task, t, grounds)
    if isinstance(seen, str):
        return seen
    told = [seen.named_by]
    return Due(at_ns=t, ends=_seen(told), until_ns=seen.until_ns, told=told, watched=(seen.since_ns, t))


def _colour(about: About, t: int, grounds: Grounds) -> Verdict:
    if about.kind == "label":
        due = _who(about, t, grounds)
        is_named = isinstance(due, Due) and has_looks(due.told[0])
        return due if is_named or isinstance(due, str) else "one that is called by its colour and its shape"
    return _look("colour", t, grounds)


def _shape(about: About, t: int, grounds: Grounds) -> Verdict:
    del about
    return _look("shape", t, grounds)


def _order(about: About, t: int, grounds: Grounds) -> Verdict:
    facts = grounds.of(about)
    over = done(facts, t)
    if busy(facts, t) or len(over) < ORDERED:
        return _UNCLEAR
    last = last_in_order(over)
    if not last:
        return "things that happened one after the other"
    if about.kind == "scene" and _changed(grounds, last[0].done_ns, t):
        return "an instant up to which nothing else has changed"
    also = [next_early(grounds.changes, t)] if about.kind == "scene" else []
    until = first([next_early(facts, t), *also])
    return Due(at_ns=t, ends=_seen(last), until_ns=until, told=last, watched=(last[0].done_ns, t))


def _who(about: About, t: int, grounds: Grounds) -> Verdict:
    """The only one that does something."""
    due = _only(about, t, grounds)
    if isinstance(due, str):
        return due
    if any(fact.event.label == "change_colour" and _beside(fact, due.told[0]) for fact in grounds.scene):
        return "one that is called by one name while it lasts"
    return due


def _only(about: About, t: int, grounds: Grounds) -> Verdict:
    """The only one that is under way."""
    facts = grounds.of(about)
    on = [fact for fact in facts if fact.is_on(t)]
    if unclear(facts, t) or len(on) != 1:
        return "an instant at which exactly one is under way"
    until = first([on[0].off_ns, next_early(facts, t)])
    return Due(at_ns=t, ends={on[0].id: t}, until_ns=until, told=on)


def _beside(fact: Fact, other: Fact) -> bool:
    return fact.early_ns < other.off_ns and fact.done_ns > other.early_ns


def _where(about: About, t: int, grounds: Grounds) -> Verdict:
    stay = grounds.places.seen(about.subject or "", t, grounds.clock)
    if stay is None:
        return "an instant at which its box lies in one quarter of the picture, and did a frame before"
    return Due(at_ns=t, until_ns=stay.end_ns, watched=(stay.start_ns, t), place=stay.place)


def _step(about: About, t: int, grounds: Grounds) -> Verdict:
    turns = stances(grounds.of(about), t)
    if not turns:
        return _UNCLEAR
    until, fact = turns[0].until_ns, turns[0].fact
    if fact is not None:
        return Due(at_ns=t, ends={fact.id: t}, until_ns=until, told=[fact], stances=turns)
    return Due(at_ns=t, until_ns=until, watched=(t, t), stances=turns)


def _clue(about: About, t: int, grounds: Grounds) -> Verdict:
    facts = grounds.of(about)
    ahead = coming(facts, t)
    if not ahead or busy(facts, t):
        return _UNCLEAR
    items = [fact for fact in ahead if fact.early_ns <= ahead[0].known_ns]
    wait = (t, max(t, items[0].early_ns))
    return Due(at_ns=max(fact.done_ns for fact in items), ends=_seen(items), told=items, watched=wait)


_TASKS: Mapping[str, Callable[[About, int, Grounds], Verdict]] = {
    "now": _now,
    "before": _before,
    "happened_yet": _happened_yet,
    "tell_me_when": _tell_me_when,
    "count_so_far": _count_so_far,
    "next": _next,
    "colour": _colour,
    "shape": _shape,
    "order": _order,
    "who": _who,
    "where": _where,
    "read": _only,
    "step": _step,
    "clue": _clue,
}


def unfit(task: str | None, about: About | None, grounds: Grounds) -> tuple[str, str] | None:
    """What is wrong with the topic of a question, as found and expected; None where it can be asked."""
    if task is None or task not in KINDS or about is None:
        return (f"task {task}, about {about}", f"a task of {', '.join(KINDS)}, and what it is about")
    if about.kind not in KINDS[task]:
        return (f"task {task} about {about.kind}", f"about one of {', '.join(sorted(KINDS[task]))}")
    given = tuple(name for name in ("label", "subject", "text") if getattr(about, name) is not None)
    if given not in _FIELDS.get(about.kind, ((),)):
        return (f"about {about.kind} with {given}", f"{_FIELDS.get(about.kind, 'no more')}")
    if about.every and task not in FOLLOWED:
        return (f"task {task} about every time", f"only {', '.join(sorted(FOLLOWED))} is followed")
    if (task == "read") != (about.label == TEXT_LABEL):
        return (f"task {task} about label {about.label}", "read about text in the picture, and nothing else about it")
    if about.kind == "changes" and grounds.scene:
        return ("about changes of the picture", "about the scene, of which something is told")
    return None
