"""What a training step costs, against a padded batch with the plain transformers model and loss.

Run by `python -m tests.bench.training [--lessons FOLDER] [--videos 8] [--steps 7] [--only tiny]`. The
questions of stage 1 are learned twice: as this project packs them, and each as a sample of its own, [system turn,
frames so far, question, answer], padded on the right to the longest of its batch, through the stock forward with
`labels`. Pixels, positions, weights at the start, AdamW and clipping are the same, one thread of torch, and all take
turns step by step. The losses of the first five steps must agree within 1e-3, or no ratio is told. Exits 1 where a
bound is missed.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from accelerate import Accelerator

from models.backbone import family_of
from models.layouts import LAYOUTS
from models.patches import FrameFormat
from recipes.data.rows import Format
from recipes.training.loop import make_accelerator
from recipes.training.material import make_trainee
from recipes.training.objective import Objective
from tests.bench.ratios import Line, Paired, show
from tests.bench.training_contenders import Contender, Ours, Packed, Plain, Recipe, Supervised, Turn, furthest
from tests.bench.training_data import (
    MIDDLE,
    MIDDLE_VOCABULARY,
    SMALL,
    Stand,
    Turns,
    draw,
    run_of,
    scratch_folder,
    waiting,
)

COMPARED = 5
SAME = 1e-3
LEAST = 2.0
WAITING = 0.05
# Name, and what it adds to the one before it.
CHANGES = {
    "padded": "padded batches of the stock model and loss",
    "alike": "padded, samples of like length together",
    "packed": "packed, the stock model and loss",
    "supervised": "+ only supervised rows meet the vocabulary",
    "once": "+ each picture once, windows of a length in one call",
    "ours": "+ one video for many questions: the step of this project",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Race:
    """What came of steps that all took.

    Attributes:
        paired: their times.
        losses: of each contender, step by step.
        places, pictures: of each, places of the decoder and pictures encoded, in all timed steps.
        supervised: tokens learned in a timed step, on average.
        steps: timed ones.
    """

    paired: Paired
    losses: Mapping[str, list[float]]
    places: Mapping[str, int]
    pictures: Mapping[str, int]
    supervised: float
    steps: int


def contenders_of(objective: Objective, recipe: Recipe, accelerator: Accelerator) -> dict[str, Contender]:
    """All of them, with the same weights and what trains of them; ours trains the model that the others copy."""
    model = objective.learner.model
    return {
        "padded": Plain(model, recipe),
        "alike": Plain(model, recipe, alike=True),
        "packed": Packed(model, recipe),
        "supervised": Supervised(model, recipe, once=False),
        "once": Supervised(model, recipe, once=True),
        "ours": Ours.of(objective, recipe, accelerator),
    }


def race(contenders: Mapping[str, Contender], turn_of: Callable[[int], Turn], *, steps: int) -> Race:
    """Lets all take the same steps in turn; the first one warms up and is not timed."""
    paired, supervised = Paired(), list[int]()
    losses: dict[str, list[float]] = {name: [] for name in contenders}
    places, pictures = dict.fromkeys(contenders, 0), dict.fromkeys(contenders, 0)

    def take(name: str, turn: Turn) -> None:
        losses[name].append(contenders[name].take(turn))

    for number in range(steps):
        turn = turn_of(number)
        works = {name: partial(take, name, turn) for name in contenders}
        if not number:
            for work in works.values():
                work()
            continue
        paired.round(works)
        supervised.append(turn.supervised)
        for name, contender in contenders.items():
            places[name] += contender.places(turn)
            pictures[name] += contender.pictures(turn)
    return Race(
        paired=paired, losses=losses, places=places, pictures=pictures,
        supervised=statistics.mean(supervised), steps=len(supervised),
    )  # fmt: skip


def lines_of(name: str, found: Race) -> list[Line]:
    """The rows of a model; no ratio where losses differ."""
    first = {key: losses[:COMPARED] for key, losses in found.losses.items()}
    apart = {key: furthest(losses, first["padded"]) for key, losses in first.items()}
    valid = len(first["padded"]) == COMPARED and all(one <= SAME for one in apart.values())
    worst = max(apart, key=lambda key: apart[key])

    def ratio(slow: str, fast: str) -> float | None:
        return found.paired.ratio(slow, fast) if valid else None

    def rate(key: str) -> str:
        return f"{1000 * found.supervised / found.paired.ms(key):,.0f}/s"

    rows = [
        Line(
            what=f"{name}: losses of the first {COMPARED} steps apart by, at most ({worst})",
            ours=" ".join(f"{loss:.4f}" for loss in first["ours"]),
            baseline=" ".join(f"{loss:.4f}" for loss in first["padded"]),
            value=apart[worst], most=SAME,
        ),
        Line(
            what=f"{name}: supervised tokens per second, padded batch", ours=rate("ours"), baseline=rate("padded"),
            value=ratio("padded", "ours"), least=LEAST,
        ),
    ]  # fmt: skip
    for key, change in CHANGES.items():
        rows.append(
            Line(
                what=f"  {change}",
                ours=f"{found.paired.ms(key):,.0f} ms a step, {rate(key)}",
                baseline=f"{found.places[key] / found.steps:,.0f} places, "
                f"{found.pictures[key] / found.steps:,.0f} pictures",
                value=ratio("padded", key),
            )
        )
    return rows


def feed_lines(stand: Stand, accelerator: Accelerator, *, steps: int) -> list[Line]:
    """How long the trainer waits: nothing kept yet, then all frames kept."""
    cold = waiting(stand, accelerator, steps=steps, ahead=True)
    cached = waiting(stand, accelerator, steps=steps + 1, ahead=True, skip=1)
    alone = waiting(stand, accelerator, steps=steps + 1, ahead=False, skip=1)

    def told(share: float) -> str:
        return f"{100 * share:.1f} %"

    return [
        Line(what=f"tiny: share of time waiting for data, {steps} steps, nothing cached", ours=told(cold.share)),
        Line(
            what="  frames cached, the first step left out", ours=told(cached.share), value=cached.share, most=WAITING
        ),
        Line(what="  the same with nobody working ahead: all that data costs", ours=told(alone.share)),
    ]


def how_of(stand: Stand) -> Format:
    """The format of batches of a run."""
    base, run = stand.base, stand.run
    family = family_of(base.model.config)
    bounds = {"min_pixels": run.data.min_pixels, "max_pixels": run.data.max_pixels}
    return Format(
        layout=LAYOUTS[run.layout], clock=family.clock,
        frames=FrameFormat.from_processor(base.processor, family, **bounds),
        decision_ids=base.decision_ids, pad_id=int(base.tokenizer.pad_token_id or 0),
    )  # fmt: skip


def measure(name: str, lessons: Path, scratch: Path, *, steps: int) -> list[Line]:
    """The rows of `tiny` or `middle`."""
    accelerator = make_accelerator()
    tiny = name == "tiny"
    run = run_of(lessons, scratch / name, SMALL if tiny else MIDDLE)
    rows: list[Line] = []
    if tiny:
        rows = feed_lines(Stand.of(run), accelerator, steps=3 * steps)
    stand = Stand.of(run, vocabulary=0 if tiny else MIDDLE_VOCABULARY)
    millions = sum(weight.numel() for weight in stand.base.model.parameters()) / 1e6
    turns = Turns(stand, how_of(stand))
    recipe = Recipe(modules=run.align.modules, optim=run.align.optim)
    objective = make_trainee(run, "align", stand.base, stand.mix.counts).objective
    found = race(
        contenders_of(objective, recipe, accelerator), turns.step, steps=steps if tiny else max(COMPARED, steps - 2)
    )
    named = [
        replace(line, what=line.what.replace(name, f"{name}, {millions:.0f} M", 1)) for line in lines_of(name, found)
    ]
    return named + rows


def main(
    lessons: Annotated[Path | None, typer.Option(help="Drawn lessons; none: some are drawn and deleted again.")] = None,
    videos: Annotated[int, typer.Option(min=6, help="How many are drawn.")] = 8,
    steps: Annotated[int, typer.Option(min=COMPARED, help="Steps of the optimizer on the tiny model.")] = 7,
    only: Annotated[str, typer.Option(help="tiny or middle; none: both.")] = "",
) -> None:
    """Prints the table; exits 1 where a bound is missed."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    names = [only] if only else ["tiny", "middle"]
    if set(names) - {"tiny", "middle"}:
        raise typer.BadParameter(f"only is {only!r}, expected tiny or middle")
    with scratch_folder() as held:
        scratch = Path(held)
        folder = lessons or draw(scratch / "lessons", videos=videos)
        rows = [row for name in names for row in measure(name, folder, scratch, steps=steps)]
    passed = show("Training: ours, baseline", rows)
    print(f"one thread of {os.cpu_count()} cores, {time.perf_counter() - begun:.0f} s")
    raise typer.Exit(0 if passed else 1)


if __name__ == "__main__":
    typer.run(main)
