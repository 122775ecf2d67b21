"""Verdicts on questions to questions: what was rejected goes, what was fixed is asked or answered otherwise.

What people say is true stands, whatever the events say; what could not be known by then does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from annotate.edits import Edits, Judged, kept_inputs, who_of
from annotate.source import Film
from annotate.tasks import QuestionVerdict
from datasets_build.core.clock import FrameClock
from datasets_build.core.evidence import answerable_from
from datasets_build.core.records import Answer, Event, Evidence, Probe, StreamingQA, derive_id
from datasets_build.core.topics import plain
from datasets_build.core.wording import absolute_time_in

_AWAITED = frozenset({"tell_me_when", "next", "clue"})
_UNDER_WAY = frozenset({"now", "who", "read"})


def _lasts(row: StreamingQA) -> bool:
    """Whether it asks for something while it is under way: what does something is also asked for its colour."""
    return row.task in _UNDER_WAY or (row.task == "colour" and row.about is not None and row.about.kind == "label")


class _FlawError(Exception):
    """Why a question cannot be as somebody wants it."""


def edit_questions(film: Film, judged: Sequence[Judged], edits: Edits) -> None:
    """Adds what people did about a video's questions to its edits.

    Args:
        film: the video.
        judged: usable work on windows of it.
        edits: take corrections and troubles.
    """
    for row in film.questions:
        said = [
            (one, verdict)
            for one in judged
            if row.id in one.shown
            for verdict in one.work.questions
            if verdict.id == row.id
        ]
        wanted = {verdict.model_copy(update={"quality": None}) for _, verdict in said}
        people = [one for one, _ in said]
        if len(wanted) > 1:
            verdicts = sorted(verdict.verdict for verdict in wanted)
            edits.trouble("conflict", people, row.id, f"windows that show it say {' and '.join(verdicts)}")
        for verdict in wanted if len(wanted) == 1 else ():
            _edit(row, verdict, people, film, edits)


def _edit(row: StreamingQA, verdict: QuestionVerdict, people: Sequence[Judged], film: Film, edits: Edits) -> None:
    if verdict.verdict == "reject":
        edits.remove(row, who_of(people))
    if verdict.verdict != "fix":
        return
    try:
        made = fixed(row, verdict, film)
    except _FlawError as flaw:
        edits.trouble("flaw", people, row.id, str(flaw))
        return
    if made != row:
        first = made.answers[0]
        name = derive_id("streaming_qa", row.id, made.ask_ns, first.t_ns, first.text)
        who = who_of(people)
        signed = edits.by.provenance(who, kept_inputs(row))
        edits.replace(row, made.model_copy(update={"id": name, "provenance": signed}), who)


def fixed(row: StreamingQA, verdict: QuestionVerdict, film: Film) -> StreamingQA:
    """A question as somebody wants it, under its old name; itself where nothing differs. Raises _FlawError."""
    clock, first = film.clock, row.answers[0]
    ask = row.ask_ns if verdict.ask_ns is None else clock.snap_up(verdict.ask_ns)
    at = first.t_ns if verdict.answer_ns is None else clock.snap_up(verdict.answer_ns)
    # An answer that was given at once follows its question.
    if verdict.answer_ns is None and first.t_ns == row.ask_ns:
        at = ask
    text = first.text if verdict.answer is None else plain(verdict.answer)
    if (ask, at, text) == (row.ask_ns, first.t_ns, plain(first.text)):
        return row
    _say(text, verdict)
    evidence = _evidence(row, ask, film.events)
    known = answerable_from(evidence)
    if ask >= clock.end_ns:
        raise _FlawError(f"it is asked at {ask} ns, expected a frame's time before the video's end, {clock.end_ns} ns")
    if at < max(ask, known):
        raise _FlawError(f"its answer at {at} ns comes before it is asked, {ask} ns, or can be known, {known} ns")
    if (known > ask) != (row.mode in ("forward", "proactive")):
        raise _FlawError(f"asked at {ask} ns it is no question of the mode {row.mode}: it is known from {known} ns")
    answers = (_answer(row, at, text, least=max(ask, known), clock=clock), *row.answers[1:])
    _follows(answers, evidence)
    options, correct = _options(row, text)
    return row.model_copy(
        update={
            "ask_ns": ask,
            "evidence": evidence,
            "answerable_from_ns": known,
            "answers": answers,
            "options": options,
            "correct_option": correct,
            "test_points": tuple(_probes(row, answers, known, ask)),
        }
    )


def _say(text: str, verdict: QuestionVerdict) -> None:
    if not text:
        raise _FlawError("its answer has no words")
    if verdict.answer is not None and (found := absolute_time_in(text)):
        raise _FlawError(f"its answer names an absolute time, {found!r}, which no viewer of a stream knows")


def _evidence(row: StreamingQA, ask: int, events: Sequence[Event]) -> tuple[Evidence, ...]:
    """What proves the answer of a question that is asked at another instant: what reached to it still does."""
    if ask == row.ask_ns:
        return row.evidence
    by_id = {event.id: event for event in events}
    pieces = []
    for piece in row.evidence:
        event = by_id.get(piece.event_id or "")
        start, end = piece.start_ns, piece.end_ns
        if event is not None:
            _still_proves(row, event, piece, ask)
            # What is under way is watched up to the question.
            end = ask if _lasts(row) and end == row.ask_ns else end
        elif end == row.ask_ns:
            end = ask
        elif start == row.ask_ns:
            start = ask
        if end < start:
            told = f"which is over at {end} ns" if start == ask else f"which begins at {start} ns"
            raise _FlawError(
                f"asked at {ask} ns it comes too {'late' if start == ask else 'early'} for its proof, {told}"
            )
        pieces.append(piece.model_copy(update={"start_ns": start, "end_ns": end}))
    return tuple(pieces)


def _still_proves(row: StreamingQA, event: Event, piece: Evidence, ask: int) -> None:
    if piece.role == "distractor":
        return
    if row.task in _AWAITED and event.start_ns < ask:
        raise _FlawError(f"what it waits for begins at {event.start_ns} ns, before it is asked, {ask} ns")
    if _lasts(row) and not event.known_from_ns <= ask < event.end_ns:
        raise _FlawError(f"what it asks after is not under way at {ask} ns")


def _answer(row: StreamingQA, at: int, text: str, *, least: int, clock: FrameClock) -> Answer:
    """The first answer with its window: the old one where that still holds it, else one as long from the answer on."""
    first = row.answers[0]
    until = first.valid_until_ns
    if until is not None and at >= until:
        if _lasts(row):
            raise _FlawError(f"at {at} ns it is over, which it is from {until} ns on")
        until = None
    start, end = first.window_start_ns, first.window_end_ns
    if at == first.t_ns and start >= least:
        return first.model_copy(update={"text": text})
    if not max(start, least) <= at < end or start < least:
        length = end - start
        latest = min(bound for bound in (until, clock.end_ns, *(a.window_start_ns for a in row.answers[1:2])) if bound)
        start, end = at, min(latest, clock.snap_up(at + length))
    if not start <= at < end:
        raise _FlawError(f"no time is left for an answer at {at} ns")
    return Answer(text=text, t_ns=at, window_start_ns=start, window_end_ns=end, valid_until_ns=until)


def _follows(answers: Sequence[Answer], evidence: Sequence[Evidence]) -> None:
    """Later answers come later, each with proof that was not there at the one before."""
    for first, then in pairwise(answers):
        proved = any(piece.role == "sufficient" and first.t_ns < piece.end_ns <= then.t_ns for piece in evidence)
        if then.t_ns <= first.t_ns or then.window_start_ns < first.window_end_ns or not proved:
            raise _FlawError(f"its answer at {first.t_ns} ns does not come before the next one, at {then.t_ns} ns")


def _options(row: StreamingQA, text: str) -> tuple[tuple[str, ...], int | None]:
    """The correct option says what the answer says."""
    if row.correct_option is None:
        return row.options, None
    if text in row.options:
        return row.options, row.options.index(text)
    options = (*row.options[: row.correct_option], text, *row.options[row.correct_option + 1 :])
    return options, row.correct_option


def _probes(row: StreamingQA, answers: Sequence[Answer], known_ns: int, ask_ns: int) -> list[Probe]:
    """Test points at which one answer is right, and what it says then; the others are dropped.

    Those that ask whether it can be told yet stay, but for what lies before the question.
    """
    found = []
    for probe in (probe for probe in row.test_points if probe.t_ns >= ask_ns):
        if probe.kind == "known":
            found.append(probe.model_copy(update={"expected": "yes" if probe.t_ns >= known_ns else "no"}))
            continue
        given = [answer for answer in answers if answer.t_ns <= probe.t_ns][-1:]
        right = [a for a in given if a.valid_until_ns is None or probe.t_ns < a.valid_until_ns]
        if not right:
            continue
        text = right[0].text
        if probe.kind == "text":
            found.append(probe.model_copy(update={"expected": text}))
        elif probe.kind == "yes_no":
            yes = text.casefold().startswith("yes")
            found.append(probe.model_copy(update={"expected": "yes" if yes else "no"}))
        elif text in {answer.text for answer in row.answers}:
            # The number in other words is anybody's guess.
            found.append(probe)
    return found
