"""A picture of two timelines, one above the other, with what stands on them and the map between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image
from PIL.ImageColor import getrgb

from augment.boxes import Box
from augment.errors import AugmentError
from augment.showing import Pixels
from augment.timeline import LANES, Bar, Lane, rows_of
from datasets_build.core.clock import NS_PER_S

WIDTH, LEFT, RIGHT = 11.0, 0.85, 0.15
STRIP, ROW, COMB, AXIS, BETWEEN, LANE_GAP = 0.62, 0.19, 0.1, 0.2, 0.6, 0.07
GAP_S = 0.6
DPI = 100
INK, PALE, GONE, BLANK = "#22303c", "#8a99a5", "#b0b7bd", "#f1f2f3"
FILL = {"event": "#bfe0d2", "question": "#f6cfc0", "user": "#c9d9ea", "assistant": "#efe3b4"}
EDGE = {"event": "#3d8c6f", "question": "#c8573a", "user": "#1b4965", "assistant": "#a88a1f"}
NAMES: dict[Lane, str] = {"events": "events", "questions": "questions", "talk": "dialogue"}
FONT = FontProperties(family="DejaVu Sans", size=7.2)
FEW_BENDS, MANY_BENDS = 8, 60
_OWN = [part for each in ("#ffffff", INK, PALE, GONE, BLANK, *FILL.values(), *EDGE.values()) for part in getrgb(each)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A video on a sheet: where it begins on the axis (s), how long it is, its bars, frames, pictures and boxes."""

    name: str
    begins_s: float
    length_s: float
    bars: Sequence[Bar]
    frames_s: Sequence[float]
    pictures: Mapping[float, Pixels] = field(default_factory=dict)
    boxes: Mapping[float, Sequence[Box]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Lines from the axis above to the axis below, s: where a piece ends, where its map bends, and even ones."""

    ends: Sequence[tuple[float, float]]
    bends: Sequence[tuple[float, float]]
    even: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Everything that a picture shows.

    Attributes:
        title: what was done.
        before: the videos that the augmented one is made of, side by side.
        after: the augmented one.
        links: what joins the axis above with the axis below, by piece.
        stretch_s: what of both axes is shown.
    """

    title: str
    before: Sequence[Part]
    after: Part
    links: Sequence[Joined]
    stretch_s: tuple[float, float]

    def __post_init__(self) -> None:
        begin, end = self.stretch_s
        if not 0 <= begin < end:
            raise AugmentError(f"a picture: found the stretch {begin} to {end} s, expected a rising one from 0 s on")


def step_of(stretch_s: tuple[float, float]) -> int:
    """How far apart lines and ticks are, ns: about a dozen on an axis."""
    length = (stretch_s[1] - stretch_s[0]) * NS_PER_S
    steps = [NS_PER_S // 20, NS_PER_S // 10, NS_PER_S // 5, NS_PER_S // 2, NS_PER_S, 2 * NS_PER_S, 5 * NS_PER_S]
    return next((step for step in steps if length / step <= 24), 10 * NS_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A bar with its row and where its text begins, inches."""

    bar: Bar
    part: Part
    row: int
    text_x: float


class _Pen:
    """Draws a sheet in inches from its top left corner."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.figure = Figure(figsize=(WIDTH, 1.0), facecolor="white", dpi=DPI)
        FigureCanvasAgg(self.figure)
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()

    def x(self, at_s: float) -> float:
        """Where a second of the axes lies."""
        begin, end = self.sheet.stretch_s
        inside = min(max(at_s, begin), end)
        return LEFT + (inside - begin) / (end - begin) * (WIDTH - LEFT - RIGHT)

    def is_shown(self, begin_s: float, end_s: float) -> bool:
        """Whether something of a stretch is on the sheet."""
        return end_s >= self.sheet.stretch_s[0] and begin_s <= self.sheet.stretch_s[1]

    def width_of(self, text: str) -> float:
        """How wide a text is, inches."""
        extent = TextPath((0, 0), text.replace("$", r"\$"), prop=FONT).get_extents()
        return float(extent.width) / 72

    def text(self, x: float, y: float, text: str, *, colour: str = INK, at: str = "left") -> None:
        """Writes in the middle of a row."""
        self.axes.text(x, y, text, color=colour, ha=at, va="center_baseline", fontproperties=FONT, parse_math=False)

    def line(self, x: Sequence[float], y: Sequence[float], *, colour: str, width: float = 0.8) -> None:
        """Draws a line."""
        self.axes.plot(x, y, color=colour, linewidth=width, solid_capstyle="butt")

    def box(self, x: tuple[float, float], y: tuple[float, float], *, fill: str, edge: str) -> None:
        """Draws a bar."""
        self.axes.fill([x[0], x[1], x[1], x[0]], [y[0], y[0], y[1], y[1]], facecolor=fill, edgecolor=edge, lw=0.6)

    def finish(self, height: float) -> bytes:
        """The picture as a PNG of few colours."""
        self.figure.set_size_inches(WIDTH, height)
        self.axes.set_xlim(0, WIDTH)
        self.axes.set_ylim(height, 0)
        whole, found = BytesIO(), BytesIO()
        self.figure.savefig(whole, format="png", dpi=DPI)
        picture = Image.open(whole).convert("RGB")
        palette = picture.quantize(256 - len(_OWN) // 3, method=Image.Quantize.MEDIANCUT)
        # The picture's colours are many and ours are few, so ours are set.
        palette.putpalette([*(palette.getpalette() or [])[: 768 - len(_OWN)], *_OWN])
        picture.quantize(palette=palette, dither=Image.Dither.NONE).save(found, "PNG", optimize=True)
        return found.getvalue()


def drawn(sheet: Sheet) -> bytes:
    """A sheet as a PNG: the same bytes for the same sheet."""
    pen = _Pen(sheet)
    pen.text(0.1, 0.16, sheet.title)
    y = _block(pen, sheet.before, 0.36, "before")
    y = _axis(pen, y, sheet.before, above=False)
    _links(pen, y, y + BETWEEN)
    y = _axis(pen, y + BETWEEN, [sheet.after], above=True)
    y = _block(pen, [sheet.after], y + 0.04, "after")
    return pen.finish(y + 0.06)


def _block(pen: _Pen, parts: Sequence[Part], y: float, name: str) -> float:
    """Pictures, frames and lanes of a timeline from `y` down; where it ends."""
    pen.text(0.1, y + STRIP / 2, name)
    for part in parts:
        _strip(pen, part, y)
    y += STRIP + 0.04
    pen.text(0.1, y + COMB / 2, "frames", colour=PALE)
    for part in parts:
        shown = [part.begins_s + at for at in part.frames_s if pen.is_shown(part.begins_s + at, part.begins_s + at)]
        pen.axes.vlines([pen.x(at) for at in shown], y, y + COMB, color=PALE, linewidth=0.5)
    y += COMB + 0.05
    for lane in LANES:
        y = _lane(pen, parts, lane, y)
    return y


def _strip(pen: _Pen, part: Part, y: float) -> None:
    for at, picture in part.pictures.items():
        left = pen.x(part.begins_s + at)
        whole = STRIP * picture.shape[1] / picture.shape[0]
        right = min(left + whole, pen.x(part.begins_s + part.length_s))
        small = Image.fromarray(picture).resize((round(whole * DPI), round(STRIP * DPI)))
        pixels = np.asarray(small)[:, : max(1, round((right - left) * DPI) - 2)]
        pen.axes.imshow(pixels, extent=(left, right - 0.02, y + STRIP, y), aspect="auto", zorder=2)
        for box in part.boxes.get(at, ()):
            _outline(pen, box, x=(left, whole, right - 0.02), y=y)


def _outline(pen: _Pen, box: Box, *, x: tuple[float, float, float], y: float) -> None:
    """A box in a picture that begins at a place, is so wide as a whole, and is shown to another place."""
    left, whole, shown = x
    across = [min(left + share * whole, shown) for share in (box.left, box.right)]
    if across[0] < across[1]:
        down = [y + share * STRIP for share in (box.top, box.bottom)]
        corners = [across[0], across[1], across[1], across[0]], [down[0], down[0], down[1], down[1]]
        # White on dark can be seen on every picture.
        for colour, width in ((INK, 2.4), ("#ffffff", 1.0)):
            pen.axes.fill(*corners, fill=False, edgecolor=colour, linewidth=width, zorder=3)


def _lane(pen: _Pen, parts: Sequence[Part], lane: Lane, y: float) -> float:
    """A lane in as few rows as its texts need."""
    placed = _placed(pen, [(part, bar) for part in parts for bar in part.bars if bar.lane == lane])
    if not placed:
        return y
    pen.text(0.1, y + ROW / 2, NAMES[lane], colour=PALE)
    for each in placed:
        _bar(pen, each, y + each.row * ROW)
    return y + (1 + max(each.row for each in placed)) * ROW + LANE_GAP


def _placed(pen: _Pen, bars: Sequence[tuple[Part, Bar]]) -> list[_Placed]:
    found, extents = [], []
    for part, bar in bars:
        begin, end = (part.begins_s + t / NS_PER_S for t in (bar.at_ns, bar.ends_ns))
        if pen.is_shown(begin, end):
            width = pen.width_of(_words(bar))
            text_x = pen.x(begin) + 0.05
            if text_x + width > WIDTH - RIGHT:
                # Before the bar where it has no room behind, and over it where it has none there.
                before = pen.x(begin) - 0.05 - width
                text_x = before if before >= LEFT else max(LEFT, WIDTH - RIGHT - width)
            found.append((part, bar, text_x))
            extents.append((min(pen.x(begin), text_x), max(pen.x(end), text_x + width)))
    rows = rows_of(extents, 0.08)
    return [
        _Placed(bar=bar, part=part, row=row, text_x=text_x)
        for (part, bar, text_x), row in zip(found, rows, strict=True)
    ]


def _words(bar: Bar) -> str:
    return f"{bar.text} (left out: {bar.left_out})" if bar.left_out else bar.text


def _bar(pen: _Pen, placed: _Placed, y: float) -> None:
    bar, begins = placed.bar, placed.part.begins_s
    edge, fill = (GONE, BLANK) if bar.left_out else (EDGE[bar.kind], FILL[bar.kind])
    top, bottom = y + 0.015, y + ROW - 0.015
    for span in bar.spans:
        x0, x1 = (pen.x(begins + t / NS_PER_S) for t in (span.start_ns, span.end_ns))
        if span.duration_ns and x1 > x0:
            pen.box((x0, x1), (top, bottom), fill=fill, edge=edge)
        elif not span.duration_ns:
            pen.line([x0, x0], [top, bottom], colour=edge, width=2.0)
    pen.text(placed.text_x, y + ROW / 2, _words(bar), colour=PALE if bar.left_out else INK)


def _axis(pen: _Pen, y: float, parts: Sequence[Part], *, above: bool) -> float:
    """A time axis with its seconds above or below the line; where the next thing begins."""
    line = y + (0.0 if above else AXIS)
    step = step_of(pen.sheet.stretch_s) / NS_PER_S
    for part in parts:
        end = part.begins_s + part.length_s
        pen.line([pen.x(part.begins_s), pen.x(end)], [line, line], colour=INK)
        for k in range(int(part.length_s / step + 1e-9) + 1):
            at = part.begins_s + k * step
            if pen.sheet.stretch_s[0] <= at <= pen.sheet.stretch_s[1] + 1e-9:
                inner = line + (0.05 if above else -0.05)
                pen.line([pen.x(at)] * 2, [line, inner], colour=INK)
                pen.text(pen.x(at), line + (0.13 if above else -0.12), f"{k * step:g} s", colour=PALE, at="center")
    return y + AXIS


def _links(pen: _Pen, top: float, bottom: float) -> None:
    pen.text(0.1, (top + bottom) / 2, "map", colour=PALE)
    begin, end = pen.sheet.stretch_s

    def draw(pairs: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        for above, below in pairs:
            if begin <= above <= end and begin <= below <= end:
                pen.line([pen.x(above), pen.x(below)], [top, bottom], colour=colour, width=width)

    for joined in pen.sheet.links:
        bends = [pair for pair in joined.bends if begin <= pair[0] <= end]
        # A map that bends at every frame is clearest by its bends, and where there are too many, without them.
        if len(bends) <= FEW_BENDS or len(bends) > MANY_BENDS:
            draw(joined.even, PALE, 0.5)
        if len(bends) <= MANY_BENDS:
            draw(bends, PALE, 0.5)
        draw(joined.ends, EDGE["user"], 1.2)
