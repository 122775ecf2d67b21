"""Does each thing said see exactly the frames that it may: other pictures are put in place of each grid, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.blocks import Kind
from recipes.data.batch import Batch
from recipes.data.example import Example, GridRef
from recipes.verify.bench import Bench, sayers
from recipes.verify.finding import Finding, seconds

# What no frame reaches is as it was to the last bit; sums in another order may differ a little on an accelerator.
NOTHING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one thing said saw of one grid, against what it may.

    Attributes:
        said: index in `Example.said`.
        grid: index in `Example.grids`.
        may: whether the laws of time and of turns let it; None: it may, by way of an earlier reply, and need not.
        does: whether other pictures there change what is said.
    """

    said: int
    grid: int
    may: bool | None
    does: bool


def check_sight(bench: Bench) -> list[Finding]:
    """One finding for each source: the shortest example of it is looked at."""
    findings = []
    for example in bench.few():
        seen = sights(bench, example)
        leaks = [sight for sight in seen if sight.does and sight.may is False]
        blind = [sight for sight in seen if sight.may and not sight.does]
        words = f"{example.source}: {len(example.said)} things said × {len(example.grids)} grids of {example.key}: "
        if leaks:
            words += _told(example, leaks[0], "sees") + f" ({len(leaks)} such): the future or another turn leaks in; "
            words += f"look at who sees whom under layout {bench.layout.name}"
        elif blind:
            words += _told(example, blind[0], "does not see") + f" ({len(blind)} such): its video is hidden from it; "
            words += f"look at who sees whom under layout {bench.layout.name}, and at where its pictures go"
        else:
            words += "each sees exactly the frames that it may"
        findings.append(Finding(check="sight", ok=not leaks and not blind, words=words))
    return findings


def sights(bench: Bench, example: Example) -> list[Sight]:
    """Every thing said against every grid."""
    batches = [bench.with_features(batch) for batch in bench.batches([[example]])]
    answer = torch.cat([batch.answer for batch in batches])
    clean = bench.hidden(batches)
    generator = torch.Generator().manual_seed(0)
    refs = _placed(example, batches)
    found = []
    for window, batch in enumerate(batches):
        for place, tokens in enumerate(_spans(batch)):
            other = [*batches]
            other[window] = _disturbed(batch, tokens, generator)
            changed = moved(clean, bench.hidden(other))
            grid = refs[window][place]
            for said in range(len(example.said)):
                does = bool(changed[answer == said].any())
                found.append(Sight(said=said, grid=grid, may=may_see(bench, example, said, grid), does=does))
    return found


def may_see(bench: Bench, example: Example, said: int, grid: int) -> bool | None:
    """Whether a thing said may see a grid: both its frames were there, and it was shown to that turn.

    A lone frame is shown to one turn; where that turn stays in the dialogue, later ones know what was said of it, and
    where replies see all input, earlier ones too. Windows show of all input what has come.
    """
    frames = [block for block in example.blocks if block.kind is Kind.FRAMES]
    block, looker = frames[grid], sayers(example)[said][0]
    everything = bench.layout.visibility.replies_see == "all"
    past = block.t1_ns <= example.said[said].t_ns
    if block.passing and block.turn != looker.turn:
        stays = any(other.turn == block.turn and not other.passing for other in example.blocks)
        return None if stays and (everything or past) else False
    if everything and example.cuts:
        return True if past else None
    return everything or past


def _spans(batch: Batch) -> list[tuple[int, int]]:
    ends = torch.tensor(batch.sights.tokens).cumsum(0).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _disturbed(batch: Batch, tokens: tuple[int, int], generator: torch.Generator) -> Batch:
    """The batch with noise as strong as the features themselves at one grid."""
    features = batch.sights.features.clone()
    part = features[slice(*tokens)]
    noise = torch.randn(part.shape, generator=generator).to(part) * features.std()
    features[slice(*tokens)] = part + noise
    return replace(batch, sights=replace(batch.sights, features=features))


def _placed(example: Example, batches: Sequence[Batch]) -> list[list[int]]:
    """Which grid of the example stands at each visual place of each window."""
    order = iter(_in_order(example))
    return [[next(order) for _ in batch.sights.tokens] for batch in batches]


def _in_order(example: Example) -> list[int]:
    """Grids in the order of their visual places: that of arrival, since input stands so under every layout."""
    frames = [block for block in example.blocks if block.kind is Kind.FRAMES]
    return sorted(range(len(frames)), key=lambda place: (frames[place].known_ns, place))


def _told(example: Example, sight: Sight, verb: str) -> str:
    said, grid = example.said[sight.said], example.grids[sight.grid]
    return f"{said.task} said at {seconds(said.t_ns)} {verb} the frames at {_span(grid)}"


def _span(grid: GridRef) -> str:
    return f"{seconds(grid.t0_ns)} to {seconds(grid.t1_ns)}"


def moved(clean: Tensor, other: Tensor) -> Tensor:
    """Which rows differ by more than rounding: bool (S,)."""
    return (other - clean).abs().amax(dim=1) > NOTHING * clean.abs().max()
