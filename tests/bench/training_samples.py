"""The same questions in other forms: each a sample of its own, padded to a batch or packed behind each other.

A packed row of this project shows a video once and hangs its questions on it, none of which knows of another. What a
question sees is, by itself, an ordinary causal sequence: system turn, frames so far, question, answer. That sequence
is cut out of the row, with the positions it has there, so that every form asks the model for the same function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from models.patches import FrameFormat
from recipes.data.batch import Batch, Sights
from recipes.data.collate import Shown
from recipes.data.example import GridRef
from recipes.data.rows import Row
from recipes.training.blank import blank_batch

NOT_LEARNED = -100


class VoidError(Exception):
    """Two contenders would not do the same work, so that no comparison of their speed means anything."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One question with all that it sees, in order: n tokens under plain causality.

    Attributes:
        token_ids: int64 (n,).
        positions: int64 (3, n).
        labels: int64 (n,), the token itself where it is supervised, else -100.
        visual: bool (n,), where features go.
        grids: what they show.
    """

    token_ids: Tensor
    positions: Tensor
    labels: Tensor
    visual: Tensor
    grids: tuple[GridRef, ...]

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def supervised(self) -> int:
        """How many of its tokens are learned."""
        return int((self.labels != NOT_LEARNED).sum())


def samples_of(row: Row) -> list[Sample]:
    """Each thing that a packed row says, as a sample of its own.

    Raises:
        VoidError: what it sees is no plain causal sequence, or does not hold the row that predicts it.
    """
    shown = dict(zip(row.block_of[row.visual].unique_consecutive().tolist(), row.grids, strict=True))
    return [_sample(row, row.rows[row.answer == answer] + 1, shown) for answer in range(len(row.said))]


def _sample(row: Row, learned: Tensor, shown: Mapping[int, GridRef]) -> Sample:
    """One of them; `learned` are its supervised places in the row."""
    own = int(row.block_of[learned[-1]])
    seen = row.sees[own].clone()
    seen[own] = True
    places = seen[row.block_of].nonzero()[:, 0]
    blocks = row.block_of[places].unique_consecutive()
    among = row.sees[blocks][:, blocks].tril(-1)
    count = len(blocks)
    plain = int(among.sum()) == count * (count - 1) // 2 and len(blocks.unique()) == count
    if not plain or not bool(torch.isin(torch.cat([learned - 1, learned]), places).all()):
        raise VoidError("a question sees something else than a plain causal sequence; compare under the layout branch")
    labels = torch.full_like(row.token_ids, NOT_LEARNED)
    labels[learned] = row.token_ids[learned]
    return Sample(
        token_ids=row.token_ids[places],
        positions=row.positions[:, places],
        labels=labels[places],
        visual=row.visual[places],
        grids=tuple(shown[block] for block in blocks.tolist() if block in shown),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Padded:
    """B samples as a plain trainer gives them to the stock forward, filled up on the right to the longest.

    Attributes:
        token_ids, labels, attention: int64 (B, L).
        positions: int64 (3, B, L).
        patches: float32 (patches, 3 * temporal * patch²), one video behind the other.
        grids: int64 (B, 3), frames in twos, rows and columns of each sample's video.
    """

    token_ids: Tensor
    labels: Tensor
    attention: Tensor
    positions: Tensor
    patches: Tensor
    grids: Tensor


class Pictures:
    """Patches of grids, cut once; what comes out may be used as often as it is shown."""

    def __init__(self, shown: Mapping[GridRef, Shown], frames: FrameFormat) -> None:
        self._shown, self._frames = shown, frames
        self._cut: dict[bytes, tuple[Tensor, tuple[int, int]]] = {}

    def content(self, grid: GridRef) -> bytes:
        """Digest of its pixels."""
        return self._shown[grid].content

    def of(self, grid: GridRef) -> tuple[Tensor, tuple[int, int]]:
        """Patches of a grid, and its rows and columns."""
        seen = self._shown[grid]
        if seen.content not in self._cut:
            if seen.pixels is None:
                raise VoidError("a batch holds features; a plain forward needs pixels")
            shape = self._frames.grid(int(seen.pixels.shape[1]), int(seen.pixels.shape[2]))
            self._cut[seen.content] = self._frames.patchify(seen.pixels), shape
        return self._cut[seen.content]


def padded(samples: Sequence[Sample], pictures: Pictures, *, pad_id: int) -> Padded:
    """A batch of samples."""
    length = max(map(len, samples))
    cut = [[pictures.of(grid) for grid in sample.grids] for sample in samples]
    videos = []
    for parts in cut:
        shapes = {shape for _, shape in parts}
        if len(shapes) != 1:
            raise VoidError(f"a sample shows pictures of {sorted(shapes)} patches; expected one size in a video")
        videos.append((len(parts), *shapes.pop()))
    return Padded(
        token_ids=torch.stack([_filled(sample.token_ids, length, pad_id) for sample in samples]),
        labels=torch.stack([_filled(sample.labels, length, NOT_LEARNED) for sample in samples]),
        attention=torch.stack([_filled(torch.ones_like(sample.token_ids), length, 0) for sample in samples]),
        positions=torch.stack([_filled(sample.positions, length, 0) for sample in samples], dim=1),
        patches=torch.cat([patches for parts in cut for patches, _ in parts]),
        grids=torch.tensor(videos),
    )


def _filled(values: Tensor, length: int, fill: int) -> Tensor:
    out = values.new_full((*values.shape[:-1], length), fill)
    out[..., : values.shape[-1]] = values
    return out


def first_fit(samples: Sequence[Sample], tokens: int) -> list[list[Sample]]:
    """Rows of at most so many tokens: each sample, the longest first, goes to the first row with room for it."""
    rows: list[list[Sample]] = []
    room: list[int] = []
    for sample in sorted(samples, key=len, reverse=True):
        at = next((k for k, left in enumerate(room) if left >= len(sample)), len(rows))
        if at == len(rows):
            rows.append([])
            room.append(tokens)
        rows[at].append(sample)
        room[at] -= len(sample)
    return rows


def packed(rows: Sequence[Sequence[Sample]], pictures: Pictures, *, pad_id: int, once: bool) -> Batch:
    """Rows of samples that do not see each other, each with its own copy of the video.

    Args:
        rows: the samples of each row.
        pictures: what they show.
        pad_id: fills rows up.
        once: pictures that are shown many times are encoded once.
    """
    joined = [_joined(row) for row in rows]
    length = max(len(row) for row in joined)
    most = max(map(len, rows)) + 1
    labels = torch.stack([_filled(row.labels, length, NOT_LEARNED) for row in joined])
    learned = (labels.flatten() != NOT_LEARNED).nonzero()[:, 0]
    blocks = [torch.cat([torch.full((len(one),), k) for k, one in enumerate(row)]) for row in rows]
    sees = torch.eye(most, dtype=torch.bool).expand(len(rows), -1, -1)
    return replace(
        blank_batch(torch.device("cpu")),
        token_ids=torch.stack([_filled(row.token_ids, length, pad_id) for row in joined]),
        positions=torch.stack([_filled(row.positions, length, 0) for row in joined], dim=1),
        block_of=torch.stack([_filled(part, length, len(row)) for part, row in zip(blocks, rows, strict=True)]),
        sees=sees,
        visual=torch.stack([_filled(row.visual, length, 0) for row in joined]),
        sights=_sights([grid for row in joined for grid in row.grids], pictures, once=once),
        rows=learned - 1,
        targets=labels.flatten()[learned],
        tokens=sum(map(len, joined)),
    )


def labels_of(batch: Batch) -> Tensor:
    """What a plain trainer would call the labels of a packed batch: int64 (R, L)."""
    labels = torch.full_like(batch.token_ids, NOT_LEARNED).flatten()
    labels[batch.rows + 1] = batch.targets
    return labels.reshape(batch.token_ids.shape)


def _joined(row: Sequence[Sample]) -> Sample:
    return Sample(
        token_ids=torch.cat([sample.token_ids for sample in row]),
        positions=torch.cat([sample.positions for sample in row], dim=1),
        labels=torch.cat([sample.labels for sample in row]),
        visual=torch.cat([sample.visual for sample in row]),
        grids=tuple(grid for sample in row for grid in sample.grids),
    )


def _sights(grids: Sequence[GridRef], pictures: Pictures, *, once: bool) -> Sights:
    names: list[object] = [pictures.content(grid) if once else place for place, grid in enumerate(grids)]
    chosen: dict[object, GridRef] = {}
    for name, grid in zip(names, grids, strict=True):
        # The stock forward takes pictures in the order of their tokens.
        chosen.setdefault(name, grid)
    place = {name: k for k, name in enumerate(chosen)}
    cut = [pictures.of(grid) for grid in chosen.values()]
    # A token of the tower is four of its patches.
    sizes = [len(patches) // 4 for patches, _ in cut]
    spans = [torch.arange(*span) for span in pairwise([0, *accumulate(sizes)])]
    return Sights(
        patches=torch.cat([patches for patches, _ in cut]),
        shapes=tuple(shape for _, shape in cut),
        features=torch.empty(0, 0),
        tokens=tuple(sizes),
        order=torch.cat([spans[place[name]] for name in names]),
    )
