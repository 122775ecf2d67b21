"""The fit of the learned shot detector: `python -m datasets_build.perception.shot_training.fit --help`.

Sequences are made, measured and learned from; the weights go into one file that `transition_net` reads. The same
material, settings and versions of the libraries give the same weights.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from torch import nn

from datasets_build.core.files import DataError, whole_file
from datasets_build.core.progress import set_up_logging, track
from datasets_build.perception.likeness import NUMBERS, Float32s, describe, measure
from datasets_build.perception.shot_training.drawn import load_drawn
from datasets_build.perception.shot_training.material import Material, load_material
from datasets_build.perception.shot_training.sequences import Made, make_sequence
from datasets_build.perception.transition_net import OUTPUTS

log = logging.getLogger("datasets_build.perception.shot_training.fit")
DILATIONS = (1, 2, 4, 8, 16, 32, 1)
_WIDTH, _DROPOUT = 80, 0.1
_BATCH, _RATE, _DECAY = 32, 3e-3, 1e-2
# A cut is one frame among fifty.
_WEIGHTS = (4.0, 1.0, 1.0, 1.0)
# One in so many sequences and photographs is kept back to see how well the fit does on what it has not seen.
_HELD_BACK = 10


class Net(nn.Module):
    """The network of `transition_net` in torch: numbers `(batch, frames, NUMBERS)` to scores `(batch, frames, 4)`."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(NUMBERS))
        self.register_buffer("spread", torch.ones(NUMBERS))
        self.entry = nn.Conv1d(NUMBERS, _WIDTH, 1)
        self.taps = nn.ModuleList(nn.Conv1d(_WIDTH, _WIDTH, 3, padding=d, dilation=d) for d in DILATIONS)
        self.mixes = nn.ModuleList(nn.Conv1d(_WIDTH, _WIDTH, 1) for _ in DILATIONS)
        self.dropout = nn.Dropout(_DROPOUT)
        self.exit = nn.Conv1d(_WIDTH, len(OUTPUTS), 1)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Scores before the sigmoid."""
        held = torch.relu(self.entry(((numbers - self.mean) / self.spread).transpose(1, 2)))
        for taps, mix in zip(self.taps, self.mixes, strict=True):
            held = held + mix(self.dropout(torch.relu(taps(held))))
        scores: torch.Tensor = self.exit(held).transpose(1, 2)
        return scores

    def weights(self) -> dict[str, Float32s]:
        """The arrays that `transition_net.load_net` reads."""
        state = {name: part.numpy() for name, part in self.state_dict().items()}
        dilations = np.array(DILATIONS, np.float32)
        held: dict[str, Float32s] = {"dilations": dilations, "mean": state["mean"], "spread": state["spread"]}
        for name in ("entry", "exit"):
            held |= {name: state[f"{name}.weight"][:, :, 0].T, f"{name}_bias": state[f"{name}.bias"]}
        for k in range(len(DILATIONS)):
            held |= {f"taps{k}": state[f"taps.{k}.weight"].transpose(2, 1, 0), f"taps_bias{k}": state[f"taps.{k}.bias"]}
            held |= {f"mix{k}": state[f"mixes.{k}.weight"][:, :, 0].T, f"mix_bias{k}": state[f"mixes.{k}.bias"]}
        return held


@dataclass(frozen=True, slots=True)
class Lessons:
    """Numbers `(n, frames, NUMBERS) float16` of sequences, and what is true of each frame `(n, frames, 4) float32`."""

    numbers: torch.Tensor
    truth: torch.Tensor

    @classmethod
    def of(cls, films: Sequence[Lesson]) -> Lessons:
        """Stack lessons of one length."""
        return cls(
            torch.from_numpy(np.stack([film[0] for film in films])),
            torch.from_numpy(np.stack([film[1] for film in films])),
        )


Lesson = tuple["np.ndarray[tuple[int, ...], np.dtype[np.float16]]", Float32s]


def lesson(made: Made) -> Lesson:
    """The numbers and the truth of one sequence."""
    numbers = measure(describe(made.frames), 0, len(made.frames)).astype(np.float16)
    truth = np.zeros((len(made.frames), len(OUTPUTS)), np.float32)
    truth[list(made.cuts), 0] = 1
    for span in made.spans:
        inside = slice(max(0, span.first), span.last + 1)
        truth[inside, 1] = 1
        if span.kind != "mix":
            truth[inside, OUTPUTS.index(span.kind)] = 1
    return numbers, truth


_held: list[Material] = []


def _hold(material: Material) -> None:
    # Once per process: it is too big to travel with every sequence.
    cv2.setNumThreads(1)
    _held[:] = [material]


def _drawn_up(number: int, *, seed: int) -> Lesson:
    return lesson(make_sequence(_held[0], np.random.default_rng((seed, number))))


def draw_up(material: Material, numbers: range, *, seed: int, workers: int) -> list[Lesson]:
    """Make and measure sequences; which ones depends on `numbers` and `seed` alone."""
    # A forked process would inherit OpenCV's threads half way through their work.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_hold, initargs=(material,)) as pool:
        made = pool.map(partial(_drawn_up, seed=seed), numbers, chunksize=8)
        return list(track(made, total=len(numbers), label="make sequences", unit="sequences"))


def fit(taught: Lessons, seen: Lessons, *, epochs: int, seed: int) -> Net:
    """Fit the network, and log after each epoch how it does on `seen`, which it does not learn from."""
    torch.manual_seed(seed)
    net = Net()
    flat = taught.numbers.float().reshape(-1, NUMBERS)
    net.mean.copy_(flat.mean(0))
    net.spread.copy_(flat.std(0) + 1e-3)
    steps = max(1, len(taught.numbers) // _BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=epochs * steps, pct_start=0.1)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(_WEIGHTS))
    for epoch in range(epochs):
        order, total = torch.randperm(len(taught.numbers)), 0.0
        net.train()
        for batch in order[: steps * _BATCH].reshape(-1, _BATCH):
            loss = loss_of(net(taught.numbers[batch].float()), taught.truth[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        net.eval()
        with torch.inference_mode():
            scores = net(seen.numbers.float())
        said = _f1(scores > 0, seen.truth > 0.5)
        log.info(
            "epoch %d: loss %.4f, unseen %.4f, F1 of frames %s", epoch, total / steps, loss_of(scores, seen.truth), said
        )
    return net


def _f1(found: torch.Tensor, true: torch.Tensor) -> str:
    both = (found & true).sum(dim=(0, 1))
    all_of = found.sum(dim=(0, 1)) + true.sum(dim=(0, 1))
    return ", ".join(
        f"{name} {2 * int(b) / max(1, int(a)):.3f}" for name, b, a in zip(OUTPUTS, both, all_of, strict=True)
    )


def main(
    to: Annotated[Path, typer.Option("--to", help="The file of weights that is written.")],
    photos: Annotated[Path | None, typer.Option("--photos", help="A folder tree of photographs.")] = None,
    clips: Annotated[
        list[Path] | None, typer.Option("--clip", help="A video of a single shot; repeat for more.")
    ] = None,
    drawn: Annotated[list[Path] | None, typer.Option("--drawn", help="A folder that `draw` made; repeat.")] = None,
    sequences: Annotated[int, typer.Option("--sequences", min=64, help="How many sequences are made.")] = 4000,
    members: Annotated[int, typer.Option("--members", min=1, help="Networks of other starts, whose mean counts.")] = 2,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="How often each is learned from.")] = 10,
    textures: Annotated[
        int, typer.Option("--textures", min=8, help="Pictures that are drawn beside photographs.")
    ] = 60,
    seed: Annotated[int, typer.Option("--seed", help="Other sequences, another start.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that make sequences.")] = 2,
) -> None:
    """Fit the learned shot detector on made transitions between photographs, clips, drawn pictures and drawn videos."""
    set_up_logging()
    material = load_material(photos, clips or [], drawn=textures, rng=np.random.default_rng(seed))
    log.info("%d pictures, %d clips", len(material.photos), len(material.clips))
    kept = Material(material.photos[::_HELD_BACK], material.clips[::_HELD_BACK])
    shown = Material(
        tuple(photo for k, photo in enumerate(material.photos) if k % _HELD_BACK),
        tuple(clip for k, clip in enumerate(material.clips) if k % _HELD_BACK),
    )
    unseen = draw_up(kept, range(sequences // _HELD_BACK), seed=seed + 1, workers=workers)
    taught = draw_up(shown, range(sequences), seed=seed, workers=workers)
    # Drawn videos are few, and a user's first ones.
    taught += [lesson(made) for folder in drawn or [] for made in load_drawn(folder)] * 2
    seen, held_back = Lessons.of(taught), Lessons.of(unseen)
    nets = [fit(seen, held_back, epochs=epochs, seed=seed + k) for k in range(members)]
    save(nets, to)
    print(f"{to}: weights of {sum(part.numel() for net in nets for part in net.parameters()):,} parameters")


def save(nets: Sequence[Net], to: Path) -> None:
    """Write the weights, whole or not at all. Raises DataError where the folder is not there."""
    if not to.parent.is_dir():
        raise DataError(f"{to.parent}: no such folder")
    with whole_file(to) as path, path.open("wb") as file:
        arrays = {f"{k}.{name}": part for k, net in enumerate(nets) for name, part in net.weights().items()}
        np.savez(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    typer.run(main)
