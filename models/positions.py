"""M-RoPE position ids of text and video for Qwen2.5-VL, Qwen2.5-Omni and Qwen3-VL: one rule, integers only.

Text goes on at the greatest position so far plus one, also after video (transformers 4.57.6 and Qwen's own training
code; transformers 5.23.0 places text after a long Qwen2.5-VL video inside the video's own time). A position depends on
nothing that comes later, so ids may be given out while a stream is running.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from models.errors import StreamError, TimeError

SECOND_NS = 1_000_000_000


class GridError(StreamError):
    """A grid has no area, or does not lie inside its tokens and behind the grid before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How a family turns time into temporal positions.

    Attributes:
        tokens_per_second: Positions per second. Qwen2.5-VL: `config.vision_config.tokens_per_second`; Qwen2.5-Omni
            thinker: `config.position_id_per_seconds`; Qwen3-VL: 0, which makes every grid start anew, since there the
            time stands in the text before it.
        origin_ns: None: time counts from the first grid of the open vision segment (the published models). A time:
            every grid starts anew and its temporal position runs ahead by the time since `origin_ns` (the frame-wise
            generation of Speak-While-Watching's interleaved layout).
    """

    tokens_per_second: Fraction
    origin_ns: int | None = None

    def __post_init__(self) -> None:
        if self.tokens_per_second < 0:
            raise TimeError(f"Clock: tokens_per_second is {self.tokens_per_second}; expected 0 or more")

    def ticks(self, elapsed_ns: int) -> int:
        """Whole positions in a time: floor(elapsed_ns * tokens_per_second / 1e9), exact."""
        rate = self.tokens_per_second
        return elapsed_ns * rate.numerator // (SECOND_NS * rate.denominator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One temporal patch of video (usually 2 frames) inside a block's tokens.

    Attributes:
        start: Offset of its first token in the block.
        height: Rows in tokens, after spatial merging.
        width: Columns in tokens, after spatial merging.
        t_ns: Presentation time of its first frame; irregular times are ordinary.
    """

    start: int
    height: int
    width: int
    t_ns: int

    def __post_init__(self) -> None:
        # A float would round; an integer of NumPy would wrap around when it is multiplied.
        if type(self.t_ns) is not int:
            raise TimeError(
                f"Grid: t_ns is {self.t_ns!r}, a {type(self.t_ns).__name__}; expected an int of nanoseconds"
            )
        if self.start < 0 or self.height < 1 or self.width < 1:
            raise GridError(
                f"Grid: start {self.start}, height {self.height}, width {self.width}; "
                "expected a start of 0 or more and sides of 1 or more"
            )

    @property
    def stop(self) -> int:
        """Offset behind its last token."""
        return self.start + self.height * self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of grids with no text between: its base position, and the times of its first and its newest grid."""

    base: int
    t0_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where the next token goes: the greatest position so far plus one, and the vision segment that is open, if any."""

    next: int = 0
    segment: Segment | None = None

    def __post_init__(self) -> None:
        if self.next < 0:
            raise GridError(f"Cursor: next is {self.next}; expected 0 or more")


def place(token_count: int, grids: Sequence[Grid], *, cursor: Cursor, clock: Clock) -> tuple[Tensor, Cursor]:
    """Give every token of a block its position, and say where the next block goes on.

    A text token takes the next position in all three rows and closes the vision segment. A grid opens a segment at
    `cursor.next` if none is open; its rows are t = base + floor(seconds since the segment's first grid *
    tokens_per_second), h = base + row, w = base + column. What follows goes on at the greatest position so far + 1.

    Args:
        token_count: Tokens in the block, text and vision together.
        grids: Its grids, by rising `start`, not overlapping; every other token is text.
        cursor: Where the block begins.
        clock: The family's temporal rule.

    Returns:
        int64 (3, token_count), rows t, h, w; and the cursor behind the block.

    Raises:
        GridError: a grid does not lie inside the tokens or behind the grid before it.
        TimeError: a grid is older than the one before it in the same segment, or than the clock's origin.
    """
    check_grids(token_count, grids)
    parts = [torch.empty((3, 0), dtype=torch.int64)]
    for grid, text_count in _runs(token_count, grids):
        if text_count:
            cursor, ids = _place_text(text_count, cursor)
            parts.append(ids)
        if grid is not None:
            cursor, ids = _place_grid(grid, cursor, clock)
            parts.append(ids)
    return torch.cat(parts, dim=1), cursor


def check_grids(token_count: int, grids: Sequence[Grid]) -> None:
    """Refuse grids that do not lie inside the tokens, in order and without overlap.

    Raises:
        GridError: with the grid, its span and where it was expected.
    """
    at = 0
    for index, grid in enumerate(grids):
        if grid.start < at or grid.stop > token_count:
            raise GridError(
                f"grid {index} takes tokens [{grid.start}, {grid.stop}); expected inside [{at}, {token_count}): "
                "grids lie inside their block, in order, without overlap"
            )
        at = grid.stop


def _runs(token_count: int, grids: Sequence[Grid]) -> Iterator[tuple[Grid | None, int]]:
    """Each grid with the count of text tokens before it; at last None with those behind all grids."""
    at = 0
    for grid in grids:
        yield grid, grid.start - at
        at = grid.stop
    yield None, token_count - at


def _place_text(count: int, cursor: Cursor) -> tuple[Cursor, Tensor]:
    stop = cursor.next + count
    return Cursor(next=stop), torch.arange(cursor.next, stop).expand(3, -1)


def _place_grid(grid: Grid, cursor: Cursor, clock: Clock) -> tuple[Cursor, Tensor]:
    opened = cursor.segment
    if opened is not None and grid.t_ns < opened.last_ns:
        raise TimeError(
            f"a grid at {grid.t_ns} ns follows one at {opened.last_ns} ns in the same vision segment; "
            "expected times that do not run backwards: order the grids, or put text between two videos"
        )
    if opened is None or clock.origin_ns is not None or not clock.tokens_per_second:
        opened = Segment(base=cursor.next, t0_ns=grid.t_ns, last_ns=grid.t_ns)
    since_ns = opened.t0_ns if clock.origin_ns is None else clock.origin_ns
    if grid.t_ns < since_ns:
        raise TimeError(f"a grid at {grid.t_ns} ns is older than the clock's origin at {since_ns} ns")
    ticks = clock.ticks(grid.t_ns - since_ns)
    ids = torch.empty((3, grid.height, grid.width), dtype=torch.int64)
    ids[0] = opened.base + ticks
    ids[1] = opened.base + torch.arange(grid.height)[:, None]
    ids[2] = opened.base + torch.arange(grid.width)
    reached = opened.base + max(ticks, grid.height - 1, grid.width - 1) + 1
    newest = Segment(base=opened.base, t0_ns=opened.t0_ns, last_ns=grid.t_ns)
    return Cursor(next=max(cursor.next, reached), segment=newest), ids.reshape(3, -1)
