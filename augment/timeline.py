"""What stands on the timeline of a clip: its events, questions and conversations as bars, and rows to put them in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from augment.clip import Augmented, Clip
from augment.errors import AugmentError
from augment.view import Piece, View
from datasets_build.core.clock import NS_PER_S, Span
from datasets_build.core.records import Dialogue, Event, StreamingQA

Lane = Literal["events", "questions", "talk"]
LANES: tuple[Lane, ...] = ("events", "questions", "talk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Something on a timeline; times in ns.

    Attributes:
        lane: where it stands.
        kind: what it is, which decides its colour.
        at_ns: where its text begins.
        spans: its stretches; one without length is an instant.
        text: what is written beside it.
        left_out: why it is not in the augmented clip; empty: it is.
    """

    lane: Lane
    kind: Literal["event", "question", "user", "assistant"]
    at_ns: int
    spans: tuple[Span, ...]
    text: str
    left_out: str = ""

    def __post_init__(self) -> None:
        if not self.text or self.at_ns < 0:
            raise AugmentError(f"a bar: found {self.text!r} at {self.at_ns} ns, expected words at an instant of a clip")

    @property
    def ends_ns(self) -> int:
        """Where the last of it ends."""
        return max([self.at_ns, *(span.end_ns for span in self.spans)])


def left_out(made: Augmented, clip: Clip) -> dict[str, str]:
    """Which records of a parent are not in an augmented clip, and why: by their ids, of turns by those of the turns.

    What is there once, as a loop may have it, is not left out.
    """
    told: dict[str, str] = {}
    for reject in made.left:
        if reject.code == "turn":
            _, name, reason = reject.reason.split(maxsplit=2)
            told[name.removesuffix(":")] = reason
        else:
            told[reject.item.split()[-1]] = reject.reason
    own = made.clip
    made_rows: list[Event | StreamingQA | Dialogue] = [*own.events, *own.questions, *own.dialogues]
    kept = {name for row in made_rows for name in row.provenance.inputs}
    # Every video begins by itself.
    events = [row for row in clip.events if row.label != "video_start"]
    names = [row.id for row in (*events, *clip.questions, *clip.dialogues)]
    found = {name: told.get(name, "something else is there") for name in names if name not in kept}
    parents = {row.id: row.provenance.inputs for row in own.events}
    heard = {name for row in own.dialogues for turn in row.turns for name in parents.get(turn.trigger_ref or "", ())}
    for turn in [turn for row in clip.dialogues for turn in row.turns]:
        if turn.id in told:
            found[turn.id] = told[turn.id]
        elif turn.trigger == "event" and turn.trigger_ref not in heard:
            found[turn.id] = "nobody waits for it"
    return found


def bars_of(clip: Clip, gone: Mapping[str, str]) -> list[Bar]:
    """All of a clip, by lanes.

    Args:
        clip: its records.
        gone: why some of them are left out, by id.
    """
    found = [_event(row, gone) for row in clip.events if row.label != "video_start"]
    found += [_question(row, gone) for row in clip.questions]
    found += [bar for row in clip.dialogues for bar in _talk(row, gone)]
    return sorted(found, key=lambda bar: (LANES.index(bar.lane), bar.at_ns, bar.text))


def _event(row: Event, gone: Mapping[str, str]) -> Bar:
    said = f"{row.subject} {row.label}" if row.subject else row.label
    text = said.replace("_", " ")
    return Bar(
        lane="events", kind="event", at_ns=row.start_ns, spans=(row.span,), text=text, left_out=gone.get(row.id, "")
    )


def _question(row: StreamingQA, gone: Mapping[str, str]) -> Bar:
    windows = tuple(Span(start_ns=each.window_start_ns, end_ns=each.window_end_ns) for each in row.answers)
    said = ", then ".join(each.text for each in row.answers)
    return Bar(
        lane="questions",
        kind="question",
        at_ns=row.ask_ns,
        spans=(Span(start_ns=row.ask_ns, end_ns=row.ask_ns), *windows),
        text=f"{row.question} → {said}",
        left_out=gone.get(row.id, ""),
    )


def _talk(row: Dialogue, gone: Mapping[str, str]) -> Iterator[Bar]:
    # An answer goes with its question.
    asked = {turn.id: turn.trigger_ref or turn.id for turn in row.turns}
    for turn in row.turns:
        why = gone.get(row.id) or gone.get(turn.id) or gone.get(asked[turn.id], "")
        span = Span(start_ns=turn.start_ns, end_ns=turn.end_ns)
        kind: Literal["user", "assistant"] = "user" if turn.role == "user" else "assistant"
        yield Bar(lane="talk", kind=kind, at_ns=turn.start_ns, spans=(span,), text=turn.text, left_out=why)


def rows_of(extents: Sequence[tuple[float, float]], gap: float) -> list[int]:
    """A row for each stretch such that those of one row stay `gap` apart; the first row that has room.

    Args:
        extents: begin and end of each, in any unit and order.
        gap: in the same unit.
    """
    taken: list[list[tuple[float, float]]] = []
    found = []
    for begin, end in extents:
        row = next(
            (k for k, there in enumerate(taken) if all(end + gap <= a or b + gap <= begin for a, b in there)),
            len(taken),
        )
        if row == len(taken):
            taken.append([])
        taken[row].append((begin, end))
        found.append(row)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Instants of a piece of a view, each of its source and where the view shows it, ns.

    Attributes:
        source: the video.
        ends: where the piece begins and ends, in the order of the source.
        bends: where its map bends.
        even: instants of the source that are evenly apart.
    """

    source: str
    ends: tuple[tuple[float, float], ...]
    bends: tuple[tuple[float, float], ...]
    even: tuple[tuple[float, float], ...]


def links_of(view: View, *, every_ns: int = NS_PER_S) -> Iterator[Links]:
    """What joins a view with its sources, piece by piece.

    Args:
        view: what is shown.
        every_ns: how far apart the even instants are.
    """
    for piece in view.pieces:
        low, high = piece.span

        def pairs(times: Iterable[int | Fraction], piece: Piece = piece) -> tuple[tuple[float, float], ...]:
            return tuple((float(at), float(piece.exact(at))) for at in times)

        bends = sorted(piece.clock.end_ns - s if piece.is_reversed else s for s, _ in piece.time_map.knots[1:-1])
        yield Links(
            source=piece.source,
            ends=pairs((low, high)),
            bends=pairs(bends),
            even=pairs(range(math.ceil(low / every_ns) * every_ns, int(high) + 1, every_ns)),
        )
