"""Training steps of a released model size with random weights on a GPU: tokens per second and utilisation.

Run by `python -m tests.bench.accelerator_training [--tokens 8192] [--steps 10] [--peak-tflops 989]`. One packed row of
films of 448×448 with questions beside them, bfloat16 weights and optimizer, the tower frozen, merger and decoder
training: with the tower in each step, and with features that are kept. Needs no hub. Exits 2 without a GPU; `--tiny`
runs the same path with a tiny model on the CPU, to see that it works.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Annotated

import torch
import typer
from transformers import PreTrainedConfig, PreTrainedModel

from models.backbone import MODEL_CLASSES, family_of
from models.layouts import LAYOUTS
from models.patches import FrameFormat
from models.prompts import Prompts
from models.tiny import byte_tokenizer, special, tiny_config, tiny_processor
from recipes.data.batch import Batch
from recipes.data.collate import collate
from recipes.data.example import Example
from recipes.data.rows import Format
from recipes.learner import Learner
from recipes.losses.settings import Losses
from recipes.settings import ModuleConfig, ModulesConfig, OptimConfig
from recipes.training.flops import measure_peak
from recipes.training.loop import make_accelerator
from recipes.training.modules import freeze
from recipes.training.objective import Objective, Wording
from recipes.training.step import take_step
from tests.bench.accelerator import MIB, NO_GPU, SIZES, made_in, released_config, wait
from tests.bench.ratios import Line, show
from tests.bench.training_contenders import Ours, Recipe
from tests.bench.training_made import document, shown_of

AIM = 0.40
WARM_UP = 3
DECISIONS = (special("<|silence|>"), special("<|standby|>"), special("<|respond|>"))
# Stage 1 as it is by default: the tower is frozen, merger and language model train.
MODULES = ModulesConfig(
    merger=ModuleConfig(train="full", lr=1e-6),
    language=ModuleConfig(train="full", lr=1e-6),
    head=ModuleConfig(train="full", lr=1e-6),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is trained and where.

    Attributes:
        name: of the model.
        config: its sizes.
        device: where.
        side: of a frame, in pixels.
        grids: of a film.
        tokens: that a row holds at most.
        checkpointing: activations of the decoder are computed anew.
    """

    name: str
    config: PreTrainedConfig
    device: torch.device
    side: int
    grids: int
    tokens: int
    checkpointing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was found for one row: seconds of a step, median; tokens of the decoder, those that are supervised;
    operations that the step needs; greatest memory, 0 where that is not known."""

    step_s: float
    tokens: int
    supervised: int
    flops: float
    peak_bytes: int


def model_of(load: Load) -> PreTrainedModel:
    """Random weights in bfloat16."""
    torch.manual_seed(0)
    with made_in(torch.bfloat16), torch.device(load.device):
        model = MODEL_CLASSES["qwen2_5_vl"](load.config)
    freeze(model, MODULES, seed=0)
    return model


def batches_of(load: Load) -> tuple[Batch, Batch]:
    """One row that is nearly full: with pixels, and with features."""
    family = family_of(load.config)
    frames = FrameFormat.from_processor(tiny_processor("qwen2_5_vl"), family_of(tiny_config("qwen2_5_vl")))
    if load.device.type == "cuda":
        frames = FrameFormat(
            patch=family.patch, merge=family.merge, temporal=family.temporal, mean=frames.mean, std=frames.std,
            rescale=frames.rescale, min_pixels=load.side**2, max_pixels=load.side**2, enlarge=frames.enlarge,
        )  # fmt: skip
    prompts = Prompts(byte_tokenizer("qwen2_5_vl"), family)
    films, room = list[Example](), load.tokens
    while True:
        film = document(f"film {len(films)}", prompts, frames, decision_ids=DECISIONS, grids=load.grids, side=load.side)
        if film.tokens > room:
            break
        room -= film.tokens
        films.append(film)
    how = Format(
        layout=LAYOUTS["branch"], clock=family.clock, frames=frames, decision_ids=DECISIONS,
        pad_id=special("<|endoftext|>"),
    )  # fmt: skip
    rows, columns = frames.grid(load.side, load.side)
    known = (rows * columns // frames.merge**2, int(load.config.text_config.hidden_size))
    pixels, features = shown_of(films, side=load.side), shown_of(films, side=load.side, features=known)
    return collate([films], pixels, how)[0], collate([films], features, how)[0]


def measure(load: Load, *, steps: int) -> tuple[Figures, Figures]:
    """Steps of both rows, in turn, after a few that warm up."""
    model, batches = model_of(load), batches_of(load)
    wording = Wording(decision_ids=DECISIONS, end_id=special("<|im_end|>"))
    learner = Learner(model, checkpointing=load.checkpointing)
    objective = Objective(learner, Losses(), counts=(1, 1, 1), wording=wording)
    accelerator = make_accelerator()
    ours = Ours.of(objective.to(load.device), Recipe(modules=MODULES, optim=OptimConfig()), accelerator)
    placed = [batch.to(load.device) for batch in batches]
    found: tuple[list[Figures], list[Figures]] = ([], [])
    for number in range(WARM_UP + steps):
        for kept, batch in zip(found, placed, strict=True):
            if load.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(load.device)
            wait(load.device)
            begun = time.perf_counter()
            taken = take_step(ours.running, [batch], step=number, stop=False)
            wait(load.device)
            kept.append(
                Figures(
                    step_s=time.perf_counter() - begun, tokens=taken.tokens, supervised=taken.supervised,
                    flops=taken.flops.model,
                    peak_bytes=torch.cuda.max_memory_allocated(load.device) if load.device.type == "cuda" else 0,
                )
            )  # fmt: skip
    return _median(found[0][WARM_UP:]), _median(found[1][WARM_UP:])


def _median(found: list[Figures]) -> Figures:
    first = found[0]
    return Figures(
        step_s=statistics.median(one.step_s for one in found), tokens=first.tokens, supervised=first.supervised,
        flops=first.flops, peak_bytes=max(one.peak_bytes for one in found),
    )  # fmt: skip


def lines(load: Load, found: tuple[Figures, Figures], *, peak: float) -> list[Line]:
    """The figures as rows; the aim counts on a GPU alone."""
    rows = []
    for what, one in zip(("the tower in each step", "features kept"), found, strict=True):
        used = one.flops / one.step_s / peak
        rows += [
            Line(
                what=f"{load.name}, {one.tokens} tokens packed, frozen vision, {what}: tokens per second",
                ours=f"{one.tokens / one.step_s:,.0f}, {one.supervised / one.step_s:,.0f} of them supervised",
                baseline=f"{1000 * one.step_s:,.0f} ms a step",
            ),
            Line(
                what=f"  utilisation of {peak / 1e12:.3g} TFLOP/s", ours=f"{100 * used:.0f} %", value=used,
                aim=AIM if load.device.type == "cuda" else None,
            ),
            Line(what="  memory, at most", ours=f"{one.peak_bytes / MIB:,.0f} MiB"),
        ]  # fmt: skip
    return rows


def load_of(size: str, *, tiny: bool, tokens: int, checkpointing: bool) -> Load:
    """A released size on the GPU, or the same path for a CPU without patience."""
    if tiny:
        return Load(
            name="tiny", config=tiny_config("qwen2_5_vl"), device=torch.device("cpu"), side=32, grids=3,
            tokens=min(tokens, 1024), checkpointing=checkpointing,
        )  # fmt: skip
    return Load(
        name=f"Qwen2.5-VL {size}", config=released_config(size), device=torch.device("cuda"), side=448, grids=6,
        tokens=tokens, checkpointing=checkpointing,
    )  # fmt: skip


def main(
    size: Annotated[str, typer.Option(help="3B or 7B.")] = "3B",
    tokens: Annotated[int, typer.Option(min=512, help="Of a row, at most.")] = 8192,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are measured.")] = 10,
    peak_tflops: Annotated[float, typer.Option(min=0, help="Of the device; 0 measures one product of matrices.")] = 0.0,
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Compute activations anew.")] = False,
    tiny: Annotated[bool, typer.Option("--tiny", help="A tiny model on the CPU: whether it runs.")] = False,
) -> None:
    """Prints the table; exits 2 without a GPU."""
    if size not in SIZES:
        raise typer.BadParameter(f"size is {size!r}, expected one of {', '.join(SIZES)}")
    if not tiny and not torch.cuda.is_available():
        print("no GPU was found, so nothing was measured; --tiny runs the same path on the CPU")
        raise typer.Exit(NO_GPU)
    if tiny:
        torch.set_num_threads(1)
    load = load_of(size, tiny=tiny, tokens=tokens, checkpointing=checkpointing)
    peak = 1e12 * peak_tflops or measure_peak(load.device, torch.bfloat16)
    where = "CPU" if tiny else torch.cuda.get_device_name()
    show(f"Training on {where}", lines(load, measure(load, steps=steps), peak=peak))


if __name__ == "__main__":
    typer.run(main)
