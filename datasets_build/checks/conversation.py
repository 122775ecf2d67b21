"""Laws of dialogues: who may speak when, what an interruption is, and that decisions follow from the turns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from datasets_build.checks.causality import evidence_breaches
from datasets_build.checks.exchanges import EXCHANGE_LAWS, said_by, turns_of
from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.checks.styles import STYLE_LAWS
from datasets_build.core.clock import Span
from datasets_build.core.decisions import decisions_on
from datasets_build.core.evidence import answerable_from
from datasets_build.core.files import DataError
from datasets_build.core.records import DecisionTrack, Dialogue, Turn
from datasets_build.core.views import grid_name, parse_grid
from datasets_build.core.wording import absolute_time_in
from datasets_build.truth.asides import said


def _order(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    if len(turns_of(row)) < len(row.turns):
        yield Breach("two turns of one id", "an id for every turn")
    for first, then in pairwise(row.turns):
        if then.start_ns < first.start_ns:
            yield Breach(
                f"turn {then.id} at {then.start_ns}", f"none before {first.start_ns}, the start of the last one"
            )
    for turn in row.turns:
        if turn.start_ns < row.start_ns or turn.end_ns > row.end_ns:
            yield Breach(f"turn {turn.id} [{turn.start_ns}, {turn.end_ns})", f"in [{row.start_ns}, {row.end_ns})")


def _overlap(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    for first, then in pairwise(sorted(said_by(row, "assistant"), key=lambda turn: (turn.start_ns, turn.end_ns))):
        if then.start_ns < first.end_ns:
            yield Breach(f"turn {then.id} at {then.start_ns}", f"none before turn {first.id} ends, {first.end_ns}")


def _after_evidence(row: Dialogue, known: Known) -> Iterator[Breach]:
    for turn in said_by(row, "assistant"):
        yield from evidence_breaches(turn.evidence, known)
        if turn.answerable_from_ns is None:
            yield Breach(f"turn {turn.id} without answerable_from_ns", "the instant from which it may stand")
            continue
        seen = answerable_from(turn.evidence)
        if turn.evidence and turn.answerable_from_ns != seen:
            yield Breach(f"turn {turn.id} answerable from {turn.answerable_from_ns}", f"{seen}, when it is seen")
        if turn.start_ns < turn.answerable_from_ns:
            yield Breach(f"turn {turn.id} at {turn.start_ns}", f"none before it is known, {turn.answerable_from_ns}")


def _in_window(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    for turn in row.turns:
        start, end = turn.window_start_ns, turn.window_end_ns
        if start is None or end is None:
            continue
        if not start <= turn.start_ns < end:
            yield Breach(f"turn {turn.id} at {turn.start_ns}", f"a start in its window [{start}, {end})")
        if turn.answerable_from_ns is not None and start < turn.answerable_from_ns:
            yield Breach(f"window of turn {turn.id} from {start}", f"{turn.answerable_from_ns} or later")


def _answers_something(row: Dialogue, known: Known) -> Iterator[Breach]:
    turns = turns_of(row)
    for turn in said_by(row, "assistant"):
        if turn.trigger == "event":
            event = known.events.get(turn.trigger_ref or "")
            if event is None:
                yield Breach(f"turn {turn.id} triggered by {turn.trigger_ref}", "an event of the video")
            elif turn.start_ns < event.known_from_ns:
                yield Breach(
                    f"turn {turn.id} at {turn.start_ns}", f"none before event {event.id}, {event.known_from_ns}"
                )
        elif (asked := turns.get(turn.trigger_ref or "")) is not None and _answers(turn, asked):
            if turn.start_ns < asked.end_ns:
                yield Breach(f"turn {turn.id} at {turn.start_ns}", f"none before the question is out, {asked.end_ns}")
        elif turn.trigger_ref is not None or said(turn.text).aside != "back":
            yield Breach(
                f"turn {turn.id} with trigger {turn.trigger}, {turn.trigger_ref}",
                "a user turn or an event that it answers, or a turn of its own that it corrects or takes up again",
            )


def _answers(turn: Turn, asked: Turn) -> bool:
    """Whether a turn may name another as what it answers, corrects or takes up again."""
    if asked.role == "user":
        return turn.trigger in ("user_query", "interruption") or turn.trigger == asked.trigger == "correction"
    wrong = turn.trigger == "correction" and not asked.learn
    return asked.role == "assistant" and (wrong or (turn.trigger == "timer" and asked.truncated_at_char is not None))


def _interruptions(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    turns = turns_of(row)
    cut_by = {turn.interrupts: turn for turn in row.turns if turn.interrupts is not None}
    for cut_id, user in cut_by.items():
        cut = turns.get(cut_id)
        if user.role != "user" or cut is None or cut.role != "assistant" or cut.truncated_at_char is None:
            yield Breach(f"turn {user.id} interrupts {cut_id}", "a user turn that cuts a truncated assistant turn")
        elif not cut.start_ns < user.start_ns == cut.end_ns:
            yield Breach(
                f"turn {user.id} at {user.start_ns}", f"the end of turn {cut.id}, {cut.end_ns}, after its start"
            )
    for turn in row.turns:
        yield from _truncated(turn, turns, interrupted=turn.id in cut_by)


def _truncated(turn: Turn, turns: dict[str, Turn], *, interrupted: bool) -> Iterator[Breach]:
    at, whole = turn.truncated_at_char, turn.intended_text
    if (at is None) != (whole is None):
        yield Breach(f"turn {turn.id} truncated at {at}, intended {whole!r}", "both or neither")
    elif at is not None and whole is not None:
        if not interrupted:
            yield Breach(f"turn {turn.id} cut short by nobody", "a user turn that interrupts it")
        if not 0 < at < len(whole) or turn.text != whole[:at]:
            yield Breach(f"turn {turn.id} says {turn.text!r}", f"the first {at} characters of {whole!r}")
    if turn.trigger == "interruption":
        asked = turns.get(turn.trigger_ref or "")
        if asked is None or asked.interrupts is None:
            yield Breach(f"turn {turn.id} answers {turn.trigger_ref}", "a user turn that interrupts")


def _decisions(row: Dialogue, known: Known) -> Iterator[Breach]:
    span = Span(start_ns=row.start_ns, end_ns=row.end_ns)
    for track in row.decisions:
        try:
            fps = parse_grid(track.grid)
        except DataError as error:
            yield Breach(f"grid {track.grid!r}", str(error))
            continue
        derived = decisions_on(row.turns, known.clock, fps=fps, span=span)
        if track != derived:
            yield Breach(*_first_difference(track, derived))
    names = [track.grid for track in row.decisions]
    if "native" not in names or len(set(names)) < len(names):
        yield Breach(f"grids {names}", f"the grid {grid_name(None)}, and no grid twice")


def _first_difference(track: DecisionTrack, derived: DecisionTrack) -> tuple[str, str]:
    if track.grid != derived.grid:
        return f"grid {track.grid!r}", f"it to be written {derived.grid!r}"
    for k, (found, expected) in enumerate(zip(track.runs, derived.runs, strict=False)):
        if found != expected:
            return (
                f"grid {track.grid}, run {k}: {found.steps} × {found.state} from {found.start_ns}",
                f"{expected.steps} × {expected.state} from {expected.start_ns}",
            )
    return f"grid {track.grid}: {len(track.runs)} runs", f"{len(derived.runs)} runs"


def _no_clock(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    for turn in row.turns:
        if found := absolute_time_in(turn.intended_text or turn.text):
            yield Breach(f"{found!r} in turn {turn.id}", "no absolute time in words")
        if not turn.text.strip():
            yield Breach(f"turn {turn.id} without words", "words")


DIALOGUE_LAWS: tuple[Law[Dialogue], ...] = (
    Law("turns_in_order", "turns are sorted by their start and lie inside the dialogue", _order),
    Law("turns_apart", "no two assistant turns overlap", _overlap),
    Law("turn_after_evidence", "no assistant turn comes before what it says could be known", _after_evidence),
    Law("turn_in_window", "a turn starts inside its response window", _in_window),
    Law("turn_answers_something", "an assistant turn answers a user turn or an event, after it", _answers_something),
    Law("interruptions_consistent", "a turn is cut short exactly where a user turn interrupts it", _interruptions),
    Law("decisions_derived", "decisions equal what the turns give on their grid", _decisions),
    Law("turn_without_clock", "every turn has words, and none names an absolute time", _no_clock),
    *EXCHANGE_LAWS,
    *STYLE_LAWS,
)
