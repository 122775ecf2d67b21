"""Lines of foreign conversations as a dialogue: turns on the frame grid, what proves them, and whom they answer.

A foreign line has one instant. A user's is the one at which the question is out, an assistant's the one at which it
begins; it takes as long as reading speed says, and no longer than until somebody else speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from datasets_build.core.clock import NS_PER_S, Span
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Dialogue, Event, Evidence, Turn
from datasets_build.core.speech import SpeechConfig
from datasets_build.formats.place import Bundle, Place, RowError

_GRIDS = (None, Fraction(1), Fraction(2))
LABEL_SET = "corpus"
"""Of events that a foreign row only describes in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line in ns of the video: `about` is the span that it tells of, `until_ns` when its last word is out."""

    role: Literal["user", "assistant", "system"]
    text: str
    at_ns: int
    until_ns: int | None = None
    about: Span | None = None
    learn: bool = True
    weight: float = 1.0
    where: str = ""


def conversation(lines: Sequence[Line], place: Place, *, system: str = "") -> Bundle:
    """Lines as a dialogue over the whole video, and the events that they tell of.

    Raises:
        RowError: a line has no words, speaks of what has not begun yet, or nobody says anything.
    """
    if not lines:
        raise RowError("no_turns", "found no turns, expected at least one")
    for line in lines:
        if not line.text.strip():
            raise RowError("no_text", f"{line.where}: found no words, expected a text")
        if line.about is not None and line.about.start_ns > line.at_ns:
            begins = f"it begins at {line.about.start_ns} ns"
            raise RowError("leak", f"{line.where}: found a line at {line.at_ns} ns on what is still to come: {begins}")
    ordered = sorted(lines, key=lambda line: line.at_ns)
    made = place.made("dialogue")
    events = {
        k: event_of(place, k, line.text, line.about, known_ns=min(line.at_ns, line.about.end_ns))
        for k, line in enumerate(ordered)
        if line.about is not None
    }
    turns: list[Turn] = []
    asked: Turn | None = None
    for k, line in enumerate(ordered):
        after = ordered[k + 1].at_ns if k + 1 < len(ordered) else place.clock.end_ns
        turn = _turn(line, place, k, after_ns=after, event=events.get(k), asked=asked)
        asked = turn if line.role == "user" else asked
        turns.append(turn)
    span = Span(start_ns=0, end_ns=place.clock.end_ns)
    tracks = tuple(decisions_on(turns, place.clock, fps=fps, span=span) for fps in _GRIDS)
    dialogue = Dialogue(
        id=made,
        video_id=place.video.id,
        start_ns=0,
        end_ns=place.clock.end_ns,
        system=system,
        language="",
        turns=tuple(turns),
        decisions=tracks,
        provenance=place.provenance,
    )
    return Bundle(events=tuple(events.values()), dialogues=(dialogue,))


def _turn(line: Line, place: Place, k: int, *, after_ns: int, event: Event | None, asked: Turn | None) -> Turn:
    made = place.made("turn", k)
    if line.role != "assistant":
        return Turn(id=made, role=line.role, start_ns=line.at_ns, end_ns=line.at_ns, text=line.text, learn=line.learn)
    spoken = len(line.text) * NS_PER_S // SpeechConfig().assistant_chars_per_s
    end_ns = place.clock.snap_up(line.at_ns + max(1, spoken)) if line.until_ns is None else line.until_ns
    proof = () if event is None else (_proof(event, line.at_ns),)
    known = proof[0].end_ns if proof else line.at_ns
    return Turn(
        id=made,
        role="assistant",
        start_ns=line.at_ns,
        end_ns=max(line.at_ns, min(end_ns, after_ns)),
        text=line.text,
        state="respond",
        trigger="user_query" if asked is not None else "event" if event is not None else "timer",
        trigger_ref=asked.id if asked is not None else event.id if event is not None else None,
        evidence=proof,
        answerable_from_ns=known,
        window_start_ns=line.at_ns,
        window_end_ns=place.window_end(line.at_ns),
        learn=line.learn,
        loss_weight=line.weight,
    )


def event_of(
    place: Place, number: int, caption: str, about: Span, *, label: str = LABEL_SET, known_ns: int = -1
) -> Event:
    """What a foreign row says of a span; it is known at the span's end, or at `known_ns` where that is given."""
    return Event(
        id=place.made("event", number),
        video_id=place.video.id,
        start_ns=about.start_ns,
        end_ns=about.end_ns,
        label=label,
        label_set=LABEL_SET,
        caption=caption,
        is_point=about.start_ns == about.end_ns,
        known_from_ns=about.end_ns if known_ns < 0 else known_ns,
        confidence=1.0,
        source="annotation",
        provenance=place.provenance,
    )


def _proof(event: Event, at_ns: int) -> Evidence:
    return Evidence(start_ns=event.start_ns, end_ns=min(event.end_ns, at_ns), event_id=event.id)


def span_of(place: Place, times: Sequence[float | str], where: str) -> Span:
    """A foreign span in seconds on the frame grid: a frame at least, or an instant where both ends are one.

    Raises:
        RowError: it ends before it starts, or lies outside the video.
    """
    start, end = times
    first, last = place.heard(start, where), place.until(end, where)
    if place.ns(end, where) < place.ns(start, where):
        raise RowError("bad_span", f"{where}: found {start} to {end} s, expected an end after the start")
    is_point = place.ns(end, where) == place.ns(start, where)
    return Span(start_ns=first, end_ns=first if is_point else max(last, place.clock.snap_up(first + 1)))


def told_span(turn_evidence: Sequence[Evidence], events: Sequence[Event]) -> Span | None:
    """The span of the one event that proves a turn, of the event itself where it is there; None for more or none."""
    proofs = [piece for piece in turn_evidence if piece.role == "necessary"]
    if len(proofs) != 1:
        return None
    found = next((event for event in events if event.id == proofs[0].event_id), None)
    if found is not None:
        return found.span
    return Span(start_ns=proofs[0].start_ns, end_ns=proofs[0].end_ns)
