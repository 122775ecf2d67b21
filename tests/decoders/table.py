"""Measures the table of `docs/decoders.md`: `STREAMVL_DATA=… python -m tests.decoders.table` writes it anew."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets_build.core.clock import Int64s
from datasets_build.decoders.frames import Size, VideoError
from datasets_build.video import DECODERS, Probe, check_decoder, probe

PAGE = Path(__file__).parents[2] / "docs" / "decoders.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
OTHERS = ("decord", "torchcodec")
HEAD = "|file|PyAV|decord|torchcodec|\n|-|-|-|-|\n"


@dataclass(frozen=True)
class Cell:
    """One decoder on one file: a reason why not, or how far it is from PyAV in levels, full size and half size."""

    refused: str | None = None
    full: float = 0.0
    half: float = 0.0

    def __str__(self) -> str:
        return f"no: {self.refused}" if self.refused is not None else f"{self.full:.1f} / {self.half:.1f}"


@dataclass(frozen=True)
class Row:
    """One file; `cells` is empty where no decoder can open it."""

    name: str
    pyav: str
    cells: tuple[Cell, ...]

    def __str__(self) -> str:
        return f"|{'|'.join([self.name, self.pyav, *(map(str, self.cells or ('-',) * len(OTHERS)))])}|\n"


def measure(path: Path) -> Row:
    """Try every decoder on a file."""
    try:
        found = probe(path)
    except VideoError as error:
        return Row(path.name, f"no: {error.code}", ())
    codes = ", ".join(dict.fromkeys(problem.code for problem in found.problems))
    text = f"{found.n_frames} frames" + (f", {found.status}" if found.status != "ok" else "")
    return Row(path.name, text + (f" ({codes})" if codes else ""), tuple(_try(path, found, name) for name in OTHERS))


def _try(path: Path, found: Probe, name: str) -> Cell:
    verdict = check_decoder(path, found, name)
    if not verdict.trusted:
        return Cell(refused=verdict.reason)
    last = found.n_frames - 1
    indices = np.unique(np.array([0, last // 3, 2 * last // 3, last]))
    width, height = found.upright_size
    # Even widths in steps of 32 bytes: decord pads others and then refuses its own padding.
    half = (max(32, width // 64 * 32), max(2, height // 4 * 2))
    return Cell(None, _apart(path, found, name, indices, None), _apart(path, found, name, indices, half))


def _apart(path: Path, found: Probe, name: str, indices: Int64s, size: Size | None) -> float:
    mine, right = (
        DECODERS[by].read(path, found.clock, indices, size=size, deadline_s=60.0).astype(np.int16)
        for by in (name, "pyav")
    )
    assert mine.shape == right.shape
    return float(np.abs(mine - right).mean(axis=(1, 2, 3)).max())


def measure_all(videos: Path) -> list[Row]:
    """A row per file of the table in `INDEX.md` beside the folder, in the order of their names."""
    listed = {
        line.split("|")[1] for line in (videos.parent / "INDEX.md").read_text().splitlines() if line.count("|") > 12
    }
    return [measure(path) for path in sorted(videos.iterdir()) if path.name in listed]


def read_rows(page: str) -> dict[str, list[str]]:
    """The cells of the page's table by file name."""
    table = page.split(BEGIN)[1].split(END)[0].removeprefix(HEAD)
    return {line.split("|")[1]: line.strip().strip("|").split("|") for line in table.splitlines()}


def main() -> None:
    """Measure and write."""
    rows = measure_all(Path(os.environ["STREAMVL_DATA"]) / "videos")
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + HEAD + "".join(map(str, rows)) + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
