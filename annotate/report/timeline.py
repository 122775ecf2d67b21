"""What each person marked, one row above the other, as shares of a stretch of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annotate.agreement.judgements import Judgement, judgements
from annotate.tasks import Item, Mark, Question, Said, Work
from datasets_build.core.clock import Span, format_ns

LANE_PX = 18
AXIS_PX = 20
_GAP_PX = 6
_MOST_BARS = 120
# Bars narrower than this, in percent, show no words.
_WORDY = 4.0
_LEAST_BAND = 0.8
_LEAST_BAR = 0.4
# Half a dot, at the width of a page.
_DOT = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One mark: percent from the left and wide, pixels from the top; `title` says all of it."""

    left: float
    width: float
    top: int
    kind: str
    hue: int
    words: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one side says; `left_out` marks are too many to draw."""

    name: str
    top: int
    height: int
    bars: tuple[Bar, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A stretch in dispute, in percent."""

    left: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Rows over a stretch of time; `ticks` are its start, middle and end in words, `alt` says what it shows."""

    rows: tuple[Row, ...]
    bands: tuple[Band, ...]
    ticks: tuple[str, str, str]
    height: int
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Something with a time that is drawn: a mark, a question or a turn, as one side has it.

    `letter` stands for the words where there is no room for them.
    """

    start_ns: int
    end_ns: int
    kind: str
    hue: int
    words: str
    title: str
    letter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One row before it is laid out: who, and what they have."""

    name: str
    pieces: tuple[Piece, ...]


def sides_of(item: Item, works: Mapping[str, Work], hues: Mapping[str, int]) -> tuple[Side, ...]:
    """What was shown, what each person made of it, and the truth of a gold item."""
    shown = Work(kind=item.sheet.kind, marks=item.sheet.marks)
    sides = [Side(name="shown", pieces=_shown(item, hues) if item.sheet.kind != "events" else _marks(shown, hues))]
    sides += [Side(name=name, pieces=_pieces(item, work, hues)) for name, work in works.items()]
    if item.is_gold and item.truth is not None:
        sides.append(Side(name="truth", pieces=_pieces(item, item.truth, hues)))
    return tuple(sides)


def timeline_of(sides: Sequence[Side], span: Span, bands: Sequence[Span]) -> Timeline:
    """Lay out rows over a span, longer than an instant; what lies outside is cut off, instants are dots."""
    rows: list[Row] = []
    top = AXIS_PX
    for side in sides:
        row = _row(side, span, top)
        rows.append(row)
        top += row.height
    names = ", ".join(side.name for side in sides)
    middle = (span.start_ns + span.end_ns) // 2
    return Timeline(
        rows=tuple(rows),
        bands=tuple(_band(one, span) for one in bands),
        ticks=(format_ns(span.start_ns), format_ns(middle), format_ns(span.end_ns)),
        height=top,
        alt=f"Timeline from {format_ns(span.start_ns)} to {format_ns(span.end_ns)}, one row each for: {names}",
    )


def mark_words(mark: Mark) -> str:
    """A mark for people."""
    when = format_ns(mark.start_ns)
    if mark.end_ns > mark.start_ns:
        when += f" to {format_ns(mark.end_ns)}"
    more = [f"note: {isolated(mark.note)}"] if mark.note else []
    more += [mark.confidence] if mark.confidence else []
    return "; ".join([f"“{isolated(mark.label)}” {when}", *more])


def isolated(text: str) -> str:
    """People's text between marks that keep its direction to itself (Unicode Standard Annex 9)."""
    return f"\u2068{text}\u2069"


def _pieces(item: Item, work: Work, hues: Mapping[str, int]) -> tuple[Piece, ...]:
    if not work.usable:
        window, text = item.window, "cannot be judged"
        return (Piece(start_ns=window.start_ns, end_ns=window.end_ns, kind="unfit", hue=0, words=text, title=text),)
    return _marks(work, hues) if item.sheet.kind == "events" else _judged(item, work)


def _marks(work: Work, hues: Mapping[str, int]) -> tuple[Piece, ...]:
    return tuple(
        Piece(
            start_ns=mark.start_ns,
            end_ns=mark.end_ns,
            kind="mark",
            hue=hues.get(mark.label, 215),
            words=mark.label,
            title=mark_words(mark),
        )
        for mark in work.marks
    )


def _shown(item: Item, hues: Mapping[str, int]) -> tuple[Piece, ...]:
    things: tuple[Question | Said, ...] = (*item.sheet.questions, *item.sheet.turns)
    return tuple(_asked(thing, hues.get(thing.id, 215)) for thing in things)


def _asked(thing: Question | Said, hue: int) -> Piece:
    if isinstance(thing, Question):
        start, end, text = thing.ask_ns, thing.answer_ns, f"{thing.question} {thing.answer}"
    else:
        start, end, text = thing.start_ns, thing.end_ns, f"{thing.role}: {thing.text}"
    return Piece(start_ns=start, end_ns=end, kind="asked", hue=hue, words=text, title=text)


def _judged(item: Item, work: Work) -> tuple[Piece, ...]:
    things: tuple[Question | Said, ...] = (*item.sheet.questions, *item.sheet.turns)
    shown = {thing.id: thing for thing in things}
    return tuple(_verdict(shown[name], said) for name, said in judgements(item, work).items())


def _verdict(thing: Question | Said, said: Judgement) -> Piece:
    start, end = said.ask_ns, said.answer_ns
    if not isinstance(thing, Question):
        start, end = thing.start_ns, thing.end_ns
    timing = f", {said.timing.replace('_', ' ')}" if said.timing else ""
    words = f"{said.verdict}{timing}"
    return Piece(
        start_ns=start or 0,
        end_ns=end or 0,
        kind=said.verdict,
        hue=0,
        words=words,
        title=f"{words}: {said.text}",
        letter=said.verdict[0].upper(),
    )


def _row(side: Side, span: Span, top: int) -> Row:
    """Pieces in as many lanes as it takes for none to lie upon another."""
    inside = sorted(
        (one for one in side.pieces if _meets(one, span)), key=lambda one: (one.start_ns, one.end_ns, one.title)
    )
    lanes: list[float] = []
    bars = []
    for one in inside[:_MOST_BARS]:
        left, right = _percent(one.start_ns, span), _percent(max(one.start_ns, one.end_ns), span)
        room = _DOT if one.end_ns <= one.start_ns else 0.0
        lane = next((at for at, busy in enumerate(lanes) if busy <= left - room), len(lanes))
        lanes[lane : lane + 1] = [max(right, left + _LEAST_BAR) + room]
        bars.append(
            Bar(
                left=left,
                width=round(right - left, 3),
                top=top + lane * LANE_PX + 2,
                kind=one.kind if one.end_ns > one.start_ns else f"{one.kind} instant",
                hue=one.hue,
                words=one.words[:60] if right - left >= _WORDY else one.letter,
                title=one.title,
            )
        )
    height = max(1, len(lanes)) * LANE_PX + _GAP_PX
    return Row(name=side.name, top=top, height=height, bars=tuple(bars), left_out=len(inside) - len(bars))


def _meets(one: Piece, span: Span) -> bool:
    if one.end_ns <= one.start_ns:
        return span.start_ns <= one.start_ns <= span.end_ns
    return one.start_ns < span.end_ns and one.end_ns > span.start_ns


def _band(one: Span, span: Span) -> Band:
    """An instant, too, is wide enough to be seen."""
    left, right = _percent(one.start_ns, span), _percent(one.end_ns, span)
    short = max(0.0, _LEAST_BAND - (right - left))
    left = min(max(0.0, left - short / 2), 100.0 - _LEAST_BAND)
    return Band(left=round(left, 3), width=round(max(right - left, _LEAST_BAND), 3))


def _percent(t_ns: int, span: Span) -> float:
    inside = min(max(t_ns, span.start_ns), span.end_ns) - span.start_ns
    return round(100 * inside / span.duration_ns, 3)


def around(span: Span, window: Span, *, least_ns: int) -> Span:
    """A stretch of a window with room on both sides of a span, at least `least_ns` long where the window is."""
    length = max(2 * span.duration_ns, least_ns)
    middle = (span.start_ns + span.end_ns) // 2
    start = min(max(window.start_ns, middle - length // 2), max(window.start_ns, window.end_ns - length))
    return Span(start_ns=start, end_ns=min(window.end_ns, start + length))
