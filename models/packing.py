"""Where the patches of several grids stand in one batch of the vision tower, so that equal windows share a call."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

Grid2 = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """How a tower cuts a grid into windows.

    Attributes:
        merge: patches per token side.
        window: pixels per window side; 0: no windows, every layer looks at the whole grid (Qwen3-VL).
        patch: pixels per patch side.
    """

    merge: int
    window: int
    patch: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Segments of one length that attend each within itself, in one attention call.

    Attributes:
        count, length: how many segments, and patches in each.
        start: the first row, where the segments lie one behind the other.
        rows: int64 (count * length,), the rows of the segments, where they do not.
    """

    count: int
    length: int
    start: int
    rows: Tensor | None

    def take(self, packed: Tensor) -> Tensor:
        """The rows of the segments: (rows, …) to (count, length, …)."""
        rows = slice(self.start, self.start + self.count * self.length) if self.rows is None else self.rows
        return packed[rows].reshape(self.count, self.length, *packed.shape[1:])

    def put(self, packed: Tensor, segments: Tensor) -> None:
        """Writes (count, length, …) back to where `take` read it."""
        rows = slice(self.start, self.start + self.count * self.length) if self.rows is None else self.rows
        packed[rows] = segments.flatten(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packing:
    """A batch of grids, put in the order that makes equal windows neighbours.

    Attributes:
        order: int64 (tokens,), which token of the grids, one behind the other, stands at each place.
        places: for each grid, int64 (its tokens,), where its tokens stand, in its own order.
        positions: int64 (patches, 2), row and column of every patch, as packed.
        windows: the runs of a layer with windows.
        whole: the runs of a layer that looks at whole grids.
    """

    order: Tensor
    places: tuple[Tensor, ...]
    positions: Tensor
    windows: tuple[Run, ...]
    whole: tuple[Run, ...]


def pack(grids: Sequence[Grid2], rule: WindowRule, device: torch.device) -> Packing:
    """Orders the tokens of grids by the length of their window, and says which rows each attention call takes.

    Args:
        grids: (rows, columns) of each, in patches.
        rule: the tower's windows.
        device: where the indices are put.
    """
    unit = rule.merge**2
    sizes = [rows * columns // unit for rows, columns in grids]
    starts = [0, *accumulate(sizes)]
    segments = [part + start for grid, start in zip(grids, starts, strict=False) for part in _segments(grid, rule)]
    # Stable: windows of one length keep the order of the grids.
    segments.sort(key=len)
    order = torch.cat(segments)
    back = torch.argsort(order)
    places = tuple(back[begin:end] for begin, end in pairwise(starts))
    shapes = torch.tensor([(1, *grid) for grid in grids])
    positions = get_vision_position_ids(shapes, rule.merge).reshape(-1, unit, 2)[order].flatten(0, 1)
    return Packing(
        order=order.to(device),
        places=tuple(place.to(device) for place in places),
        positions=positions.to(device),
        windows=_runs([len(part) for part in segments], unit),
        whole=_whole(sorted(places, key=len), unit, device),
    )


def _segments(grid: Grid2, rule: WindowRule) -> list[Tensor]:
    """The tokens of one grid, cut into its windows."""
    if not rule.window:
        return [torch.arange(grid[0] * grid[1] // rule.merge**2)]
    shape = torch.tensor([(1, *grid)])
    index, bounds = get_vision_window_index(shape, rule.merge, rule.window, rule.patch)
    return [index[begin:end] for begin, end in pairwise((bounds // rule.merge**2).tolist())]


def _runs(lengths: Sequence[int], unit: int) -> tuple[Run, ...]:
    """Neighbouring segments of equal length as one run each."""
    runs: list[Run] = []
    start = 0
    for length in sorted(set(lengths)):
        count = lengths.count(length)
        runs.append(Run(count=count, length=length * unit, start=start, rows=None))
        start += count * length * unit
    return tuple(runs)


def _whole(places: Sequence[Tensor], unit: int, device: torch.device) -> tuple[Run, ...]:
    """Whole grids of equal size as one run each; `places` by rising size."""
    if len(places) == 1 or torch.equal(torch.cat(list(places)), torch.arange(sum(map(len, places)))):
        # One grid is all rows, in whatever order: attention does not care.
        return _runs([len(place) for place in places], unit)
    runs = []
    for size in sorted({len(place) for place in places}):
        tokens = torch.cat([place for place in places if len(place) == size])
        rows = (tokens[:, None] * unit + torch.arange(unit)).flatten()
        runs.append(Run(count=len(tokens) // size, length=size * unit, start=0, rows=rows.to(device)))
    return tuple(runs)
