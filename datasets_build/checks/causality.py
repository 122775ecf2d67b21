"""Laws of causality on events and questions: nothing is known, said or right before it could be.

The definition that they prove is in `core/evidence.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.checks.steps import expected_when_known
from datasets_build.checks.tasks import TASK_LAWS, number_in
from datasets_build.core.evidence import answerable_from, least_end
from datasets_build.core.records import Answer, Event, Evidence, Probe, StreamingQA
from datasets_build.core.wording import absolute_time_in
from datasets_build.truth.words import says_yes

OF_FINISHED = frozenset({"before", "happened_yet", "count_so_far", "next", "colour", "shape", "order", "clue"})
"""Tasks whose answers speak of events that are over."""


def _known_from(event: Event, known: Known) -> Iterator[Breach]:
    del known
    if not event.start_ns <= event.known_from_ns <= event.end_ns:
        yield Breach(f"known_from_ns {event.known_from_ns}", f"an instant of [{event.start_ns}, {event.end_ns}]")


def _point(event: Event, known: Known) -> Iterator[Breach]:
    if event.is_point != (event.start_ns == event.end_ns):
        yield Breach(
            f"is_point {event.is_point}, [{event.start_ns}, {event.end_ns})", "an instant exactly if both meet"
        )
    if event.start_ns >= known.clock.end_ns:
        yield Breach(f"start_ns {event.start_ns}", f"a frame's time before the end, {known.clock.end_ns} ns")


def _gradual(event: Event, known: Known) -> Iterator[Breach]:
    del known
    gradual = event.source == "shot" and event.label in ("fade", "dissolve")
    if gradual and event.known_from_ns != event.end_ns:
        yield Breach(f"known_from_ns {event.known_from_ns} of a {event.label}", f"{event.end_ns}, its end")


EVENT_LAWS: tuple[Law[Event], ...] = (
    Law("event_known_from", "an event is known within its span", _known_from),
    Law("gradual_known_at_end", "a fade or dissolve is known when the new shot is there", _gradual),
    Law("event_has_frame", "an event begins at a frame; an instant has no length", _point),
)


def evidence_breaches(evidence: Sequence[Evidence], known: Known, *, finished: bool = False) -> Iterator[Breach]:
    """Evidence that names an event must start with it and reach far enough to tell."""
    for piece in evidence:
        event = known.events.get(piece.event_id or "")
        if event is None or piece.role == "distractor":
            continue
        end = least_end(event, finished=finished)
        if piece.start_ns > event.start_ns or piece.end_ns < end:
            yield Breach(
                f"evidence [{piece.start_ns}, {piece.end_ns}) of event {event.id}",
                f"it to hold [{event.start_ns}, {end})",
            )


def _evidence_reaches(row: StreamingQA, known: Known) -> Iterator[Breach]:
    # What does something is also asked for its colour, while it does.
    lasts = row.task == "colour" and row.about is not None and row.about.kind == "label"
    yield from evidence_breaches(row.evidence, known, finished=row.task in OF_FINISHED and not lasts)


def _answerable(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    seen = answerable_from(row.evidence)
    if row.answerable_from_ns != seen:
        yield Breach(f"answerable_from_ns {row.answerable_from_ns}", f"{seen}, when its necessary evidence is seen")


def _after_question(row: StreamingQA, known: Known) -> Iterator[Breach]:
    if row.ask_ns >= known.clock.end_ns:
        yield Breach(f"ask_ns {row.ask_ns}", f"a frame's time before the end, {known.clock.end_ns} ns")
    for answer in row.answers:
        if answer.t_ns < row.ask_ns:
            yield Breach(f"an answer at {answer.t_ns}", f"none before the question at {row.ask_ns}")
    for probe in row.test_points:
        if probe.t_ns < row.ask_ns:
            yield Breach(f"a test point at {probe.t_ns}", f"none before the question at {row.ask_ns}")


def _after_evidence(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    for answer in row.answers:
        if answer.t_ns < row.answerable_from_ns:
            yield Breach(f"an answer at {answer.t_ns}", f"none before answerable_from_ns {row.answerable_from_ns}")


def _window(row: StreamingQA, known: Known) -> Iterator[Breach]:
    least = max(row.ask_ns, row.answerable_from_ns)
    for answer in row.answers:
        window = f"window [{answer.window_start_ns}, {answer.window_end_ns}) of the answer at {answer.t_ns}"
        if not answer.window_start_ns <= answer.t_ns < answer.window_end_ns:
            yield Breach(window, "a window that holds its answer")
        if answer.window_start_ns < least:
            yield Breach(window, f"a start at or after {least}, when it was asked and could be known")
        if answer.window_end_ns > known.clock.end_ns:
            yield Breach(window, f"an end at or before the video's, {known.clock.end_ns}")
        if answer.valid_until_ns is not None and answer.window_end_ns > answer.valid_until_ns:
            yield Breach(window, f"an end at or before valid_until_ns {answer.valid_until_ns}")


def _supersede(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    for first, then in pairwise(row.answers):
        if then.t_ns <= first.t_ns:
            yield Breach(f"answers at {first.t_ns} and {then.t_ns}", "answers in order of time")
        if then.window_start_ns < first.window_end_ns:
            yield Breach(
                f"a window from {then.window_start_ns}", f"none before the last one's end, {first.window_end_ns}"
            )
        if first.valid_until_ns is not None and first.valid_until_ns > then.t_ns:
            yield Breach(f"valid_until_ns {first.valid_until_ns}", f"at most {then.t_ns}, when it is superseded")


def _later_proved(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """Each later answer has proof of its own: it is seen by then, and was not at the answer before."""
    del known
    ends = [piece.end_ns for piece in row.evidence if piece.role == "sufficient"]
    for first, then in pairwise(row.answers):
        if not any(first.t_ns < end <= then.t_ns for end in ends):
            yield Breach(
                f"an answer at {then.t_ns} without proof of its own",
                f"sufficient evidence seen after {first.t_ns} and by {then.t_ns}",
            )


def _mode(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    later = row.answerable_from_ns > row.ask_ns
    if later != (row.mode in ("forward", "proactive")):
        yield Breach(
            f"mode {row.mode}, asked at {row.ask_ns}, answerable from {row.answerable_from_ns}",
            "forward or proactive exactly if it is answerable only after the question",
        )


def right_at(answers: Sequence[Answer], t_ns: int) -> list[Answer]:
    """The answers that are right at an instant: the last one given, while it is valid."""
    given = [answer for answer in answers if answer.t_ns <= t_ns]
    return [answer for answer in given[-1:] if answer.valid_until_ns is None or t_ns < answer.valid_until_ns]


def _test_points(row: StreamingQA, known: Known) -> Iterator[Breach]:
    for probe in row.test_points:
        if probe.kind == "known":
            yield from _known_then(row, probe, known)
            continue
        right = right_at(row.answers, probe.t_ns)
        if probe.t_ns >= known.clock.end_ns or not right:
            yield Breach(f"a test point at {probe.t_ns}", "an instant at which one answer is right")
        elif not _agrees(probe, right[0]):
            yield Breach(f"{probe.expected!r} expected at {probe.t_ns}", f"what is right then: {right[0].text!r}")


def _known_then(row: StreamingQA, probe: Probe, known: Known) -> Iterator[Breach]:
    """A test point that asks whether the answer can be told by then."""
    if not row.ask_ns <= probe.t_ns < known.clock.end_ns:
        yield Breach(f"a test point at {probe.t_ns}", f"an instant of [{row.ask_ns}, {known.clock.end_ns})")
    elif probe.expected != (wanted := expected_when_known(row, probe.t_ns)):
        yield Breach(f"{probe.expected!r} expected at {probe.t_ns}", f"{wanted!r}: known from {row.answerable_from_ns}")


def _agrees(probe: Probe, right: Answer) -> bool:
    """Whether what is expected at a test point is what the answer says."""
    if probe.kind == "count":
        return probe.expected == str(number_in(right.text))
    if probe.kind == "yes_no":
        return probe.expected == ("yes" if says_yes(right.text) else "no")
    return probe.expected == right.text


def _says_something(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    if not row.question.strip():
        yield Breach("an empty question", "words")
    if not row.answers or not all(answer.text.strip() for answer in row.answers):
        yield Breach(f"{len(row.answers)} answers", "at least one, none of them empty")
    if not any(piece.role == "necessary" for piece in row.evidence):
        yield Breach("no necessary evidence", "the span that proves the answer")
    if row.correct_option is not None and not 0 <= row.correct_option < len(row.options):
        yield Breach(f"correct_option {row.correct_option}", f"one of {len(row.options)} options")


def _unanswerable(row: StreamingQA, known: Known) -> Iterator[Breach]:
    if row.twin_id is not None:
        twin = known.questions.get(row.twin_id)
        if twin is None or twin.twin_id != row.id or twin.unanswerable == row.unanswerable or twin.ask_ns != row.ask_ns:
            yield Breach(f"twin_id {row.twin_id}", "a question of the same instant that names this one, the other kind")
    if row.unanswerable and row.twin_id is None:
        yield Breach("an unanswerable question alone", "an answerable twin")


def _no_clock(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    for text in (row.question, *row.options, *(answer.text for answer in row.answers)):
        if found := absolute_time_in(text):
            yield Breach(f"{found!r} in {text!r}", "no absolute time in words")


QUESTION_LAWS: tuple[Law[StreamingQA], ...] = (
    Law(
        "evidence_reaches_event",
        "evidence of an event reaches far enough to tell what is said of it",
        _evidence_reaches,
    ),
    Law("answerable_from_evidence", "answerable_from_ns is when all necessary evidence is seen", _answerable),
    Law("answer_after_question", "no answer or test point comes before the question", _after_question),
    Law("answer_after_evidence", "no answer comes before it could be known", _after_evidence),
    Law("answer_window", "an answer's window holds it, opens when it is known, ends while it is right", _window),
    Law("answers_supersede", "answers follow each other, and a superseded one is no longer valid", _supersede),
    Law("later_answers_proved", "every later answer has evidence of its own", _later_proved),
    Law("mode_fits", "forward and proactive questions are answerable only later, others at once", _mode),
    Law("test_points_right", "at a test point one answer is right, and it is the one expected", _test_points),
    Law("question_says_something", "a question has words, answers and necessary evidence", _says_something),
    Law("unanswerable_twin", "an unanswerable question has an answerable twin of the same instant", _unanswerable),
    Law("question_without_clock", "no text names an absolute time", _no_clock),
    *TASK_LAWS,
)
