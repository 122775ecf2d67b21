"""Laws of truth on dialogues: every reply is the one that the events give, and every awaited event is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from datasets_build.checks.answers import difference, latest_of, spans_of, too_long, unwatched
from datasets_build.checks.exchanges import is_acknowledgement, said_by, turns_of
from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.checks.looks import look_breaches
from datasets_build.checks.steps import place_breaches
from datasets_build.checks.tasks import LONGEST_LIST, number_in
from datasets_build.core.records import About, Dialogue, Provenance, Turn
from datasets_build.core.topics import UNPROVED
from datasets_build.truth.asides import Said, said
from datasets_build.truth.due import Due, due_of, unfit
from datasets_build.truth.looks import PLACES
from datasets_build.truth.styles import is_referring
from datasets_build.truth.words import (
    Telling,
    acknowledgements,
    answer_texts,
    late_texts,
    question_texts,
    texts_of,
    writer_of,
)


class Reply(NamedTuple):
    """A question, a turn that answers it, and what is due; `since_ns` where it may be said later than it is due."""

    user: Turn
    turn: Turn
    task: str
    about: About
    due: Due
    written: Provenance
    since_ns: int | None = None

    @property
    def is_request(self) -> bool:
        """Whether it asks for something still to come, which is taken up at once."""
        return self.task == "tell_me_when"

    @property
    def words(self) -> Said:
        """What the answer says, all of it, without what stands before it."""
        return said(self.turn.intended_text or self.turn.text)


def _about(row: Dialogue, known: Known) -> Iterator[Breach]:
    for turn in row.turns:
        if turn.role != "user":
            if turn.task is not None or turn.about is not None:
                yield Breach(f"turn {turn.id} of the {turn.role} with a task", "a task on user turns only")
        elif turn.about is not None and turn.about.every and turn.task != "tell_me_when":
            yield Breach(
                f"turn {turn.id} of task {turn.task}, followed", "only a request is, the rest is answered once"
            )
        elif turn.task in UNPROVED:
            if turn.about is not None:
                yield Breach(f"turn {turn.id} of task {turn.task} about {turn.about.kind}", "about nothing")
        elif wrong := unfit(turn.task, turn.about, known.grounds):
            yield Breach(f"turn {turn.id}: {wrong[0]}", wrong[1])


def replies_of(row: Dialogue, known: Known) -> Iterator[Reply | Breach]:
    """Every user turn with its answer and what is due to it; a breach where nothing can be said."""
    if row.provenance.kind == "person":
        # What people have corrected is held against what could be known, and not against what the events say.
        return
    for user, turn, since in _answered(row):
        if user.about is None or user.task is None or unfit(user.task, user.about, known.grounds):
            continue
        found = due_of(user.task, user.about, user.end_ns, known.grounds)
        if isinstance(found, str):
            yield Breach(f"turn {user.id} asks at {user.end_ns}", found)
        else:
            yield Reply(user, turn, user.task, user.about, found, row.provenance, since)


def _answered(row: Dialogue) -> Iterator[tuple[Turn, Turn, int | None]]:
    """User turns with what answers them, and since when that is due where it is not at once.

    What is not learned is said to be wrong, and judged elsewhere (`checks.mishaps`).
    """
    turns = turns_of(row)
    for turn in said_by(row, "assistant"):
        ref = turns.get(turn.trigger_ref or "")
        if ref is None or turn.trigger == "event" or not turn.learn:
            continue
        if ref.role == "user":
            yield ref, turn, None
        elif (asked := turns.get(ref.trigger_ref or "")) is not None and asked.role == "user":
            yield asked, turn, ref.end_ns if turn.trigger == "correction" else _resumed_from(row, ref)


def _resumed_from(row: Dialogue, cut: Turn) -> int:
    """When who broke into a turn has been answered."""
    broke = {turn.id for turn in said_by(row, "user") if turn.interrupts == cut.id}
    return max((turn.end_ns for turn in said_by(row, "assistant") if turn.trigger_ref in broke), default=cut.end_ns)


def _law(
    check: Callable[[Reply, Known], Iterator[Breach]], *, judges: bool = False
) -> Callable[[Dialogue, Known], Iterator[Breach]]:
    """A law on single replies; one of them also reports where nothing is due."""

    def breaches(row: Dialogue, known: Known) -> Iterator[Breach]:
        for found in replies_of(row, known):
            if isinstance(found, Breach):
                yield from [found] * judges
            else:
                yield from (Breach(f"turn {found.turn.id}: {b.found}", b.expected) for b in check(found, known))

    return breaches


def _evidence(reply: Reply, known: Known) -> Iterator[Breach]:
    user, turn, due = reply.user, reply.turn, reply.due
    if is_acknowledgement(turn, user) != reply.is_request:
        yield Breach(f"evidence of {len(turn.evidence)} pieces", "none exactly for a request that is taken up")
    named = spans_of(turn.evidence, "necessary")
    unlisted = reply.task == "count_so_far" and (user.end_ns == 0 or len(due.ends) > LONGEST_LIST)
    if not reply.is_request:
        yield from unwatched(turn.evidence, due)
        yield from difference(named, due.ends, known) if named or not unlisted else ()


def _roles(row: Dialogue, known: Known) -> Iterator[Breach]:
    """A turn is proved by what is necessary; a spoken turn is a response."""
    del known
    if not said_by(row, "user"):
        yield Breach("no user turn", "somebody who asks")
    for turn in row.turns:
        if any(piece.role != "necessary" for piece in turn.evidence):
            yield Breach(f"turn {turn.id} with evidence that is not necessary", "necessary evidence only")
        spoken = "delegate" if turn.state == "delegate" else "respond"
        if turn.state != (spoken if turn.role == "assistant" else None):
            yield Breach(
                f"turn {turn.id} of the {turn.role} in state {turn.state}",
                "respond or delegate, where the assistant speaks",
            )


def _until(reply: Reply, known: Known) -> Iterator[Breach]:
    turn, at, until = reply.turn, reply.due.at_ns, reply.due.until_ns
    if reply.is_request:
        at = reply.user.end_ns
    if reply.task == "count_so_far":
        until = latest_of(known.grounds.of(reply.about), at)
    if reply.since_ns is not None:
        at = reply.since_ns
    if reply.words.aside == "late_reply":
        # It says of when it speaks, so it stays right.
        at, until = max(at + 1, turn.window_start_ns or 0), None
    if turn.window_start_ns != at:
        yield Breach(f"a window from {turn.window_start_ns}", f"{at}, when it is due")
    last = max(turn.end_ns, turn.window_end_ns or 0)
    if until is not None and last > until:
        yield Breach(f"said up to {turn.end_ns}, window to {turn.window_end_ns}", f"{until}, until it is right")


def _reports(row: Dialogue, known: Known) -> Iterator[Breach]:
    """What every request waits for is reported, once for each, and nothing else is."""
    instants = {made: at for _, made, at in _awaited(row, known)}
    due = Counter(made for _, made, _ in _awaited(row, known))
    given = Counter(turn.trigger_ref or "" for turn in said_by(row, "assistant") if turn.trigger == "event")
    judged = row.provenance.kind == "person"
    for made in () if judged else (*due, *(ref for ref in given if ref not in due)):
        if given[made] != due[made]:
            yield Breach(f"{given[made]} reports of event {made}", f"{due[made]}, as many as were asked for")
    for turn in said_by(row, "assistant"):
        made = turn.trigger_ref or ""
        yield from too_long(turn.window_start_ns, turn.window_end_ns, known)
        if turn.trigger == "event" and made in instants:
            late = said(turn.text).aside == "late_report" and (turn.window_start_ns or 0) > instants[made]
            if turn.window_start_ns != instants[made] and not late:
                yield Breach(
                    f"turn {turn.id}: a window from {turn.window_start_ns}", f"{instants[made]}, when it is due"
                )
            yield from difference(spans_of(turn.evidence, "necessary"), {made: instants[made]}, known)


def _awaited(row: Dialogue, known: Known) -> Iterator[tuple[Reply, str, int]]:
    """The events that requests wait for, each with its request and the instant of its report."""
    for reply in replies_of(row, known):
        if isinstance(reply, Reply) and reply.is_request:
            for made, at in (*reply.due.ends.items(), *((fact.id, at) for fact, at in reply.due.further)):
                yield reply, made, at


def _counts(reply: Reply, known: Known) -> Iterator[Breach]:
    del known
    found = number_in(reply.words.text)
    if reply.task == "count_so_far" and found != reply.due.number:
        yield Breach(f"{found}", f"{reply.due.number}, as many as are over")


def _looks(reply: Reply, known: Known) -> Iterator[Breach]:
    if reply.task in PLACES:
        yield from look_breaches(reply.words.text, reply.task, reply.due.told[0], known.grounds)
    if reply.due.place is not None:
        yield from place_breaches(reply.words.text, reply.due.place)


def _words(reply: Reply, known: Known) -> Iterator[Breach]:
    del known
    user, _, task, about, due = reply[:5]
    if (writer := writer_of(reply.written)) is None:
        return
    absent = task == "before" and not due.told
    # What refers to the turn before has words of its own (`checks.styles`).
    if not is_referring(user) and said(user.text).text not in question_texts(writer, task, about):
        yield Breach(f"asked {user.text!r}", f"words that ask for {task} about {about}")
    texts = acknowledgements(writer)
    if not reply.is_request:
        texts = texts_of(writer, task, about, Telling(due.told, number=due.number, place=due.place, absent=absent))
    if reply.words.text not in texts:
        yield Breach(f"{reply.words.text!r}", "words that say what is due")


def _report_words(row: Dialogue, known: Known) -> Iterator[Breach]:
    writer = writer_of(row.provenance)
    abouts = {made: reply.about for reply, made, _ in _awaited(row, known)}
    for turn in said_by(row, "assistant"):
        made = turn.trigger_ref or ""
        if writer is not None and turn.trigger == "event" and made in abouts:
            fact = known.grounds.by_id[made]
            aside, text = said(turn.text)
            texts = answer_texts(writer, "tell_me_when", abouts[made], [fact], number=None)
            if text not in (late_texts(writer, fact) if aside == "late_report" else texts):
                yield Breach(f"{turn.text!r} of turn {turn.id}", f"words that report {fact.event.caption!r}")


REPLY_LAWS: tuple[Law[Dialogue], ...] = (
    Law("turn_about_fits", "a user turn, and no other, says its task and what it is about", _about),
    Law("turn_responds", "the assistant's turns are responses, proved by necessary evidence, to a user", _roles),
    Law(
        "turn_evidence_due",
        "the evidence of a reply names the events that give it, and only a request is taken up without",
        _law(_evidence, judges=True),
    ),
    Law("turn_right_until", "a reply is due at its window's start, and out while the events give it", _law(_until)),
    Law("turn_counts_true", "a number said is how many events are over when it is asked for", _law(_counts)),
    Law("turn_looks_true", "a colour, shape or place said is that of what is in the picture", _law(_looks)),
    Law("reports_complete", "what a request waits for is reported once, when due, and no window is too long", _reports),
    Law("turn_words_fit", "a template's turns say what they are about, and what is true", _law(_words)),
    Law("report_words_fit", "a template's report says what its request is about", _report_words),
)
