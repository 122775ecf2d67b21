"""What a stage tells while it runs: a bar or a line a minute, curves as JSONL, and the same curves for TensorBoard."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from datasets_build.core.files import whole_file
from datasets_build.core.progress import LINE_EVERY_S, console
from recipes.data.example import STATES
from recipes.training.peak import Peak
from recipes.training.step import Taken

log = logging.getLogger(__name__)
CURVES = "metrics.jsonl"
# What a clock decides; all else of a line is the same in every run of one configuration.
TIMED = ("seconds", "tokens_per_s", "supervised_per_s", "data_share", "mfu", "hardware_share", "peak_tflops")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A step as the log knows it.

    Attributes:
        step: from 1.
        taken: what the step found.
        rates: learning rate of each part.
        sources: mean cost of each source's words.
        skipped: examples that could not be decoded, so far.
    """

    step: int
    taken: Taken
    rates: Mapping[str, float]
    sources: Mapping[str, float]
    skipped: int


@dataclass(slots=True, kw_only=True)
class _Interval:
    """Sums since the last line."""

    began: float
    waited: float = 0.0
    tokens: int = 0
    supervised: int = 0
    model: float = 0.0
    hardware: float = 0.0


class Journal:
    """The curves of a stage; one process of a run keeps it.

    Losses of a line are those of its step, so that a resumed run writes the lines of an uninterrupted one; speeds are
    means since the line before.
    """

    def __init__(self, folder: Path, *, steps: int, every: int, peak: Peak) -> None:
        """Opens the curves.

        Args:
            folder: of the stage.
            steps: of the stage.
            every: steps from line to line.
            peak: of all devices together.
        """
        self._folder, self._steps, self._every, self._peak = folder, steps, every, peak
        self._interval = _Interval(began=time.monotonic())
        self._file: IO[str] | None = None
        self._board: SummaryWriter | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._spoke = time.monotonic()

    @contextmanager
    def opened(self, step: int, title: str) -> Iterator[Journal]:
        """Goes on behind a step: lines after it, of a run that was killed, are dropped."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / CURVES
        drop_lines(path, after=step)
        self._interval = _Interval(began=time.monotonic())
        with path.open("a", encoding="utf-8") as self._file, self._shown(step, title):
            self._board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=step + 1)
            try:
                yield self
            finally:
                self._board.close()

    @contextmanager
    def _shown(self, step: int, title: str) -> Iterator[None]:
        if not console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as self._bar:
            self._task = self._bar.add_task(title, total=self._steps, completed=step, told="")
            yield

    def note(self, noted: Noted, *, waited_s: float) -> None:
        """Counts a step, and writes it down where a line is due."""
        kept, taken = self._interval, noted.taken
        kept.waited += waited_s
        kept.tokens += taken.tokens
        kept.supervised += taken.supervised
        kept.model += taken.flops.model
        kept.hardware += taken.flops.hardware
        if noted.step % self._every == 0 or noted.step == self._steps:
            self._write(self._line(noted))
            self._interval = _Interval(began=time.monotonic())

    def flush(self) -> None:
        """Brings what was written to the disk; before a checkpoint that stands behind it."""
        if self._file is not None:
            self._file.flush()

    def _line(self, noted: Noted) -> dict[str, object]:
        kept, taken = self._interval, noted.taken
        seconds = max(time.monotonic() - kept.began, 1e-9)
        states = {
            state: {"loss": row[0] / row[2], "right": row[1] / row[2], "count": int(row[2])}
            for state, row in zip(STATES, taken.states.tolist(), strict=True)
            if row[2] > 0
        }
        return {
            "step": noted.step,
            "loss": taken.loss,
            "losses": dict(taken.losses),
            "sources": dict(noted.sources),
            "decisions": states,
            "grad_norm": taken.grad_norm,
            "lr": dict(noted.rates),
            "tokens": taken.tokens,
            "supervised": taken.supervised,
            "skipped": noted.skipped,
            "seconds": seconds,
            "tokens_per_s": kept.tokens / seconds,
            "supervised_per_s": kept.supervised / seconds,
            "data_share": min(kept.waited / seconds, 1.0),
            "mfu": kept.model / seconds / self._peak.flops,
            "hardware_share": kept.hardware / seconds / self._peak.flops,
            "peak_tflops": self._peak.flops / 1e12,
            "peak_source": self._peak.source,
        }

    def _write(self, line: dict[str, object]) -> None:
        assert self._file is not None
        assert self._board is not None
        self._file.write(json.dumps(line) + "\n")
        step = line["step"]
        assert isinstance(step, int)
        for name, value in _curves(line):
            if name != "step":
                self._board.add_scalar(name, value, step)
        told = f"loss {line['loss']:.4f}, {line['tokens_per_s']:.0f} tokens/s, data {line['data_share']:.0%}" + (
            f", {line['skipped']} skipped" if line["skipped"] else ""
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=step, told=told)
            return
        now = time.monotonic()
        if now - self._spoke >= LINE_EVERY_S or step == self._steps:
            self._spoke = now
            used = f"utilisation {100 * float(str(line['mfu'])):.1f} % {self._peak.source}"
            log.info("step %d of %d: %s, %s", step, self._steps, told, used)


def _curves(line: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _curves(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", float(value)


def drop_lines(path: Path, *, after: int) -> None:
    """Keeps the lines up to a step, and none that a killed process wrote in part."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            step = json.loads(line)["step"] if line.endswith("\n") else after + 1
        except (ValueError, TypeError, KeyError):
            break
        if step > after:
            break
        kept.append(line)
    with whole_file(path) as aside:
        aside.write_text("".join(kept), encoding="utf-8")


def read_curves(folder: Path) -> list[dict[str, object]]:
    """All lines of a stage's curves."""
    path = folder / CURVES
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
