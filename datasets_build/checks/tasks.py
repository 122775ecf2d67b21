"""Laws of the tasks: how a question of each kind is asked, and what its evidence must show and reach."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.core.evidence import answerable_from
from datasets_build.core.records import Event, Evidence, StreamingQA

MODES = {
    "now": "realtime",
    "before": "backward",
    "happened_yet": "backward",
    "tell_me_when": "proactive",
    "count_so_far": "counting",
    "next": "forward",
    "colour": "realtime",
    "shape": "realtime",
    "order": "backward",
    "who": "realtime",
    "where": "realtime",
    "read": "realtime",
    "step": "realtime",
    "clue": "forward",
}
"""Every task, with the mode in which it is asked."""
AWAITED = frozenset({"tell_me_when", "next", "clue"})
"""Tasks that ask for something still to come."""
UP_TO_NOW = frozenset({"now", "before", "count_so_far", "colour", "shape", "order", "who", "where", "read", "step"})
"""Tasks whose answers rest on everything up to the question."""
UNDER_WAY = frozenset({"now", "who", "read"})
"""Tasks that ask for something while it is under way."""
LONGEST_LIST = 20
"""A count of more than this may stand without a list of what was counted."""
NEW_SHOT = frozenset({"video_start", "shot_start", "fade", "dissolve"})


def _named(row: StreamingQA, role: str) -> list[Evidence]:
    return [piece for piece in row.evidence if piece.role == role and piece.event_id is not None]


def _bare(row: StreamingQA) -> list[Evidence]:
    """Necessary evidence of no event: what was watched without anything to tell of."""
    return [piece for piece in row.evidence if piece.role == "necessary" and piece.event_id is None]


def _events(pieces: Iterable[Evidence], known: Known) -> list[Event]:
    found = (known.events.get(piece.event_id or "") for piece in pieces)
    return [event for event in found if event is not None]


def is_not_yet(row: StreamingQA) -> bool:
    """Whether a question is answered by what has not happened: it names no event that has."""
    return row.unanswerable or (row.task == "happened_yet" and not _named(row, "necessary"))


def _task(row: StreamingQA, known: Known) -> Iterator[Breach]:
    del known
    mode = MODES.get(row.task)
    if mode is None:
        yield Breach(f"task {row.task}", f"one of {', '.join(MODES)}")
    elif row.mode != mode:
        yield Breach(f"mode {row.mode} of task {row.task}", mode)


def _up_to_question(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """Now, nothing since, so far and not yet rest on everything up to the question, and no more."""
    del known
    if row.task not in UP_TO_NOW and not is_not_yet(row):
        return
    seen = answerable_from(row.evidence)
    if seen != row.ask_ns:
        yield Breach(f"necessary evidence up to {seen}", f"up to the question, {row.ask_ns}")
    bare = _bare(row)
    if row.task == "count_so_far" or is_not_yet(row):
        if not any(piece.start_ns == 0 and piece.end_ns >= row.ask_ns for piece in bare):
            yield Breach("evidence that leaves something out", f"evidence over all of [0, {row.ask_ns})")
    elif row.task in ("before", "order"):
        over = max((piece.end_ns for piece in _named(row, "necessary")), default=None)
        if over is None:
            yield Breach("no event in the necessary evidence", "what happened before")
        elif not any(piece.start_ns <= over and piece.end_ns >= row.ask_ns for piece in bare):
            yield Breach(f"a gap after {over}", f"evidence from there to the question, {row.ask_ns}")


def _awaited(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """What is awaited begins after the question, is named, and nothing of its kind came sooner."""
    if row.task not in AWAITED:
        return
    pieces = [*_named(row, "necessary"), *_named(row, "sufficient")]
    events = _events(pieces, known)
    if not _events(_named(row, "necessary"), known):
        yield Breach("no event in the necessary evidence", "the event that is awaited")
    for event in events:
        if event.start_ns < row.ask_ns:
            yield Breach(f"event {event.id} from {event.start_ns}", f"one that begins after the question, {row.ask_ns}")
    if row.task in ("next", "clue") and not any(piece.start_ns == row.ask_ns for piece in _bare(row)):
        yield Breach("evidence that leaves out the wait", f"evidence from the question on, {row.ask_ns}")
    # Of what people have corrected the events say no more what is due, only what could be known.
    if row.task == "tell_me_when" and row.provenance.kind != "person":
        yield from _sooner(row, events, known)


def _sooner(row: StreamingQA, events: Sequence[Event], known: Known) -> Iterator[Breach]:
    told = {event.id for event in events}
    last = max((event.start_ns - event.onset_uncertainty_ns for event in events), default=0)
    for event in _kin(events, known):
        if event.id not in told and row.ask_ns < event.start_ns < last:
            yield Breach(f"no report of event {event.id} at {event.start_ns}", "it too, which comes before the last")


def _kin(events: Sequence[Event], known: Known) -> Iterator[Event]:
    """All events of the video that the same words name as some of these; shots count whatever begins them."""
    kinds = {(event.label_set, event.label, event.subject, event.caption) for event in events}
    shots = {event.label_set for event in events if event.label == "video_start"}
    for event in known.events.values():
        same = (event.label_set, event.label, event.subject, event.caption) in kinds
        if same or (event.label_set in shots and event.label in NEW_SHOT):
            yield event


def _under_way(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """What is said of now can be told at the question, is not over then, and is right only while it lasts."""
    if row.task not in UNDER_WAY:
        return
    events = _events((piece for piece in row.evidence if piece.role != "distractor"), known)
    for event in events:
        if not event.known_from_ns <= row.ask_ns < event.end_ns:
            yield Breach(
                f"ask_ns {row.ask_ns} of event {event.id}", f"an instant of [{event.known_from_ns}, {event.end_ns})"
            )
    end = min((event.end_ns for event in events), default=0)
    for answer in row.answers if events else ():
        if answer.valid_until_ns is None or max(answer.valid_until_ns, answer.window_end_ns) > end:
            until = f"valid_until_ns {answer.valid_until_ns}, window to {answer.window_end_ns}"
            yield Breach(until, f"both at or before {end}, when it is over")


def number_in(text: str) -> int | None:
    """The only number in an answer's words; None where there is none or more than one."""
    found = re.findall(r"\d+", text)
    return int(found[0]) if len(found) == 1 else None


def _counted(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """Each number is how many events the evidence lists by then; a first number may stand without a list."""
    if row.task != "count_so_far" or row.provenance.kind == "person":
        return
    listed, later = _named(row, "necessary"), _named(row, "sufficient")
    names = [piece.event_id for piece in (*listed, *later)]
    if len(set(names)) < len(names):
        yield Breach("an event counted twice", "every event once")
    base = number_in(row.answers[0].text) if row.answers else None
    first = len(listed) if listed else base
    for answer in row.answers:
        found, expected = number_in(answer.text), sum(piece.end_ns <= answer.t_ns for piece in later) + (first or 0)
        if found is None or found != expected:
            yield Breach(f"{answer.text!r} at {answer.t_ns}", f"{expected}, as many as its evidence lists")
    if base is not None:
        yield from _all_counted(row, known, base=base)


def _all_counted(row: StreamingQA, known: Known, *, base: int) -> Iterator[Breach]:
    listed, later = _named(row, "necessary"), _named(row, "sufficient")
    kin = list(_kin(_events((*listed, *later), known), known))
    over = [event for event in kin if event.end_ns <= row.ask_ns]
    told = {piece.event_id for piece in (*listed, *later)}
    most = sum(event.known_from_ns <= row.ask_ns for event in known.events.values())
    if not len(over) <= base <= most:
        yield Breach(f"{base} by the question", f"{len(over)} to {most}, as many as had happened")
    if not listed and row.ask_ns > 0 and 0 < base <= LONGEST_LIST:
        yield Breach(f"{base} by the question, none of them listed", "evidence of each")
    until = row.answers[-1].t_ns
    for event in kin:
        if event.id not in told and event.end_ns <= until and (listed or event.start_ns > row.ask_ns):
            yield Breach(f"event {event.id} left out", "every event of the kind that is counted")


def _roles(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """Sufficient evidence belongs to a later answer, and what only looks like proof is not all there is."""
    del known
    first, last = (row.answers[0].t_ns, row.answers[-1].t_ns) if row.answers else (0, 0)
    for piece in row.evidence:
        if piece.role == "sufficient" and not first < piece.end_ns <= last:
            yield Breach(f"sufficient evidence to {piece.end_ns}", f"an end in ({first}, {last}], for a later answer")
        if piece.role == "sufficient" and piece.event_id is None:
            yield Breach(f"sufficient evidence to {piece.end_ns} of no event", "the event that a later answer tells")
    if _named(row, "distractor") and not (_named(row, "necessary") or _named(row, "sufficient")):
        yield Breach("events named by distractors only", "evidence of the event that proves the answer")


def _absent(row: StreamingQA, known: Known) -> Iterator[Breach]:
    """A question about what is never shown names no subject of the video, neither in itself nor in its answer."""
    if not row.unanswerable:
        return
    texts = [_words(text) for text in (row.question, *(answer.text for answer in row.answers))]
    subjects = {name for event in known.events.values() for name in (event.subject or "").split(" and ")}
    for name in sorted(subjects):
        words = _words(name)
        if words.strip() and all(words in text for text in texts):
            yield Breach(f"{row.question!r} asks about {name!r}", "something that no event of the video names")


def _words(text: str) -> str:
    """A text as lower-case words, one space around each."""
    return " ".join(["", *re.findall(r"[^\W_]+", text.casefold()), ""])


TASK_LAWS: tuple[Law[StreamingQA], ...] = (
    Law("task_known", "a task is one of the known ones, asked in its own mode", _task),
    Law("evidence_up_to_question", "now, since, so far and not yet rest on all up to the question", _up_to_question),
    Law("awaited_after_question", "what is awaited is named, begins later, and is the first of its kind", _awaited),
    Law("now_under_way", "what is said of now is under way, and right only while it is", _under_way),
    Law("count_equals_evidence", "a count is the number of events that its evidence lists, all of them", _counted),
    Law("evidence_roles", "sufficient evidence is a later answer's, and distractors are never the only proof", _roles),
    Law("absent_is_absent", "an unanswerable question names no subject that the video shows", _absent),
)
