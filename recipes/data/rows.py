"""One packed row: documents behind each other, and which of its tokens teaches what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.blocks import NOT_LEARNED, Context, derive, pack
from models.layouts import Layout
from models.patches import FrameFormat
from models.positions import Clock
from recipes.data.example import Example, GridRef, Said
from recipes.errors import RecipeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How examples become tensors.

    Attributes:
        layout: positions and visibility.
        clock: the family's.
        frames: how pixels become patches.
        decision_ids: of silence, standby and respond.
        pad_id: fills rows up.
        tau: two grids are still if the cosine of their thumbnails is greater than 1 - tau.
    """

    layout: Layout
    clock: Clock
    frames: FrameFormat
    decision_ids: tuple[int, int, int]
    pad_id: int
    tau: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """L tokens in the order in which they are fed, with s of them supervised.

    Attributes:
        examples: the documents.
        said: all that they say, one behind the other.
        document_of: int64 (len(said),), which of the examples says it.
        token_ids: int64 (L,).
        positions: int64 (3, L).
        block_of: int64 (L,).
        sees: bool (N, N).
        visual: bool (L,), where features go.
        grids: what the visual tokens show, in their order.
        rows: int64 (s,), the places that predict.
        targets: int64 (s,), what they predict.
        weights: float32 (s,), how much the record of each counts.
        answer: int64 (s,), which of `said` a row is a part of.
        decides: bool (s,), decisions that are taken after a grid.
        cuts: places at which windows begin, by rising place.
    """

    examples: tuple[Example, ...]
    said: tuple[Said, ...]
    document_of: Tensor
    token_ids: Tensor
    positions: Tensor
    block_of: Tensor
    sees: Tensor
    visual: Tensor
    grids: tuple[GridRef, ...]
    rows: Tensor
    targets: Tensor
    weights: Tensor
    answer: Tensor
    decides: Tensor
    cuts: tuple[int, ...]


def pack_row(examples: Sequence[Example], how: Format) -> Row:
    """Packs examples into one row; one that carries its cache from window to window is put in order of arrival.

    Raises:
        RecipeError: an example in windows shares its row, or its blocks do not learn what it says.
    """
    carried = bool(examples[0].cuts)
    if len(examples) > 1 and any(example.cuts for example in examples):
        raise RecipeError(f"row of {[example.key for example in examples]}: one in windows stands alone in its row")
    context = pack([derive(example.blocks, how.layout, clock=how.clock) for example in examples])
    order = _by_arrival(context) if carried else torch.arange(len(context.token_ids))
    said = tuple(item for example in examples for item in example.said)
    learned = (context.labels != NOT_LEARNED).nonzero()[:, 0]
    answer = _runs(learned)
    runs = int(answer[-1]) + 1 if len(answer) else 0
    if runs != len(said):
        raise RecipeError(
            f"row of {[example.key for example in examples]}: found {runs} runs of supervised tokens, "
            f"expected {len(said)}, one for each thing said"
        )
    targets = context.token_ids[learned]
    asked = torch.tensor([item.asked for item in said], dtype=torch.bool)[answer]
    decides = torch.isin(targets, torch.tensor(how.decision_ids)) & ~asked
    place = order.argsort()
    return Row(
        examples=tuple(examples),
        said=said,
        document_of=torch.tensor([k for k, example in enumerate(examples) for _ in example.said], dtype=torch.int64),
        token_ids=context.token_ids[order],
        positions=context.positions[:, order],
        block_of=context.block_of[order],
        sees=context.sees,
        visual=_visual(context)[order],
        grids=_shown(context, order, examples),
        rows=place[learned - 1],
        targets=targets,
        weights=context.loss_weights[learned],
        answer=answer,
        decides=decides,
        cuts=_cuts(context, examples[0], place) if carried else (),
    )


def _runs(places: Tensor) -> Tensor:
    """Numbers the runs of neighbouring places: int64 (s,)."""
    if not len(places):
        return places
    return torch.cat([torch.zeros(1, dtype=torch.int64), (places.diff() > 1).cumsum(0)])


def _by_arrival(context: Context) -> Tensor:
    """The order of tokens in which a stream feeds them."""
    return torch.sort(context.arrival[context.block_of], stable=True).indices


def _visual(context: Context) -> Tensor:
    """Which tokens are vision: bool (L,)."""
    visual = torch.zeros(len(context.token_ids), dtype=torch.bool)
    at = 0
    for block in context.blocks:
        for grid in block.grids:
            visual[at + grid.start : at + grid.stop] = True
        at += len(block.token_ids)
    return visual


def _shown(context: Context, order: Tensor, examples: Sequence[Example]) -> tuple[GridRef, ...]:
    """What the grids show, in the order in which their tokens stand."""
    refs = {ref.key: ref for example in examples for ref in example.grids}
    blocks = list(dict.fromkeys(context.block_of[order].tolist()))
    return tuple(refs[context.blocks[k].feature] for k in blocks for _ in context.blocks[k].grids)


def _cuts(context: Context, example: Example, place: Tensor) -> tuple[int, ...]:
    """Where the first token of each block stands at which the example begins a window."""
    starts: list[tuple[int, int]] = []
    at = 0
    for block in context.blocks:
        starts.append((block.known_ns, int(place[at])))
        at += len(block.token_ids)
    borders = [example.blocks[cut].known_ns for cut in example.cuts]
    return tuple(min(start for t_ns, start in starts if t_ns >= border) for border in borders)
