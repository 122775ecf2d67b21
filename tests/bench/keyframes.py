"""Event coverage of keyframe candidates against the embeddings spent, beside uniform sampling and I-frames.

Run by `make bench`. Films: drawn worlds that rest for most of the time, filmed badly (`keyframes_drawn`); drawn worlds
and lessons as they are, where something always happens; and, with STREAMVL_DATA set, the films of `events.json`. The
drawn ones are of other seeds than those that the settings were chosen on. Prints the tables of docs/keyframes.md and
draws docs/keyframes.svg.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import matplotlib as mpl
import numpy as np

from datasets_build.core.clock import NS_PER_S
from datasets_build.perception.coverage import Int64s, covered, least_pictures, most_covered, shown, uniform
from datasets_build.perception.keyframes import CandidateFinder, KeyframesConfig, thumbnail
from datasets_build.sources.world import WorldConfig, draw_world, read_truth, sidecar
from datasets_build.video import ScanFrame, analysis_size, probe, scan
from tests.bench.keyframes_drawn import Manner, draw_film

TOLERANCES_S = (0.04, 0.1, 0.25, 0.5)
BUDGETS = (5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0)
SEEDS = (9001, 9002, 9003, 9004)
PLOT = Path("docs/keyframes.svg")


@dataclass(frozen=True, slots=True)
class Film:
    """A video's frame times and thumbnails, the I-frames among them, and its true events."""

    kind: str
    name: str
    t_ns: Int64s
    end_ns: int
    thumbs: np.ndarray
    keys_ns: Int64s
    events: tuple[tuple[int, int], ...]


def look(kind: str, path: Path, events: tuple[tuple[int, int], ...]) -> Film:
    """Decode a video once for all contenders."""
    found = probe(path)
    size = analysis_size(found.width, found.height, long_side=128)
    frames = [(f.t_ns, thumbnail(f.image)) for f in scan(path, found.clock, size=size, decoder="pyav")]
    with av.open(str(path)) as source:
        keys = [at for at, frame in enumerate(source.decode(video=0)) if frame.key_frame]
    t_ns = np.array([t for t, _ in frames], np.int64)
    thumbs = np.stack([thumb for _, thumb in frames])
    return Film(kind, path.name, t_ns, found.clock.end_ns, thumbs, t_ns[[k for k in keys if k < len(t_ns)]], events)


def films(folder: Path) -> Iterator[Film]:
    """Drawn films first, then real ones where there are any."""
    for seed in SEEDS:
        path = folder / f"rests_{seed}.mp4"
        facts = draw_film(path, seed=seed, world_s=30, manner=Manner(rest_s=16.0))
        yield look("drawn, resting", path, tuple((fact.start_ns, fact.end_ns) for fact in facts))
    for style in ("lesson", "world"):
        config = WorldConfig(style=style, videos=4, seconds=40, seed=9000, width=240, height=240)
        (folder / style).mkdir()
        for path in draw_world(folder / style, config):
            told = read_truth(sidecar(path, style)).annotations
            yield look(f"drawn, {style}", path, tuple((fact.start_ns, fact.end_ns) for fact in told))
    data = os.environ.get("STREAMVL_DATA")
    table = json.loads((Path(data) / "annotations/events.json").read_text("utf-8")) if data else {}
    for name, told in table.items():
        spans = tuple((round(e["start"] * NS_PER_S), round(e["end"] * NS_PER_S)) for e in told["events"])
        if spans:
            yield look("real", Path(str(data)) / "videos" / name, spans)


def ours(film: Film, *, spend: float) -> Int64s:
    """The times of the candidates."""
    finder = CandidateFinder(KeyframesConfig(spend=spend))
    nothing = np.zeros((9, 16, 3), np.uint8)
    found = []
    for index, (t_ns, thumb) in enumerate(zip(film.t_ns.tolist(), film.thumbs, strict=True)):
        found += finder.feed(ScanFrame(index, t_ns, None, lambda: nothing), thumb)
    return np.array([candidate.t_ns for candidate in found + finder.finish()], np.int64)


def sampled(film: Film, *, fps: float) -> Int64s:
    """The times of uniformly sampled frames."""
    return shown(film.t_ns, uniform(film.end_ns, fps=fps))


Chooser = Callable[[Film], Int64s]


def pooled(group: list[Film], choose: Chooser) -> tuple[int, list[float]]:
    """Pictures spent, and the coverage for each tolerance, over all events of a group of films."""
    times = [choose(film) for film in group]
    shares = []
    for tolerance in TOLERANCES_S:
        hits = [
            covered(film.events, at, tolerance_ns=int(tolerance * NS_PER_S))
            for film, at in zip(group, times, strict=True)
        ]
        shares.append(float(np.concatenate(hits).mean()))
    return sum(map(len, times)), shares


def rivals() -> dict[str, Chooser]:
    """Who is held against whom, by name."""
    found: dict[str, Chooser] = {f"{fps:g} fps": lambda film, fps=fps: sampled(film, fps=fps) for fps in (2, 1, 0.5)}
    found["2 fps / 6"] = sixth
    found["I-frames"] = lambda film: film.keys_ns
    found["candidates"] = lambda film: ours(film, spend=KeyframesConfig().spend)
    return found


def sixth(film: Film) -> Int64s:
    """The times of a sixth of what 2 fps gives."""
    return sampled(film, fps=1 / 3)


def best(group: list[Film], *, apart: bool) -> tuple[int, list[float]]:
    """What the best choice of as many pictures as `sixth` covers: of a whole group, or with each film's own number."""
    numbers = [len(sixth(film)) for film in group]
    parts = [([film.events], count) for film, count in zip(group, numbers, strict=True)]
    parts = parts if apart else [([film.events for film in group], sum(numbers))]
    total = sum(len(film.events) for film in group)
    shares = [
        sum(most_covered(films, pictures=count, tolerance_ns=int(t * NS_PER_S)) for films, count in parts) / total
        for t in TOLERANCES_S
    ]
    return sum(numbers), shares


def main() -> None:
    """Print the tables and draw the plot."""
    with tempfile.TemporaryDirectory() as name:
        groups: dict[str, list[Film]] = {}
        for film in films(Path(name)):
            groups.setdefault(film.kind, []).append(film)
    report(groups)
    plot(groups)


def report(groups: dict[str, list[Film]]) -> None:
    """Print a table for each kind of film."""
    for kind, group in groups.items():
        events, seconds = sum(len(film.events) for film in group), sum(film.end_ns for film in group) / NS_PER_S
        print(f"\n{kind}: {len(group)} films, {seconds:.0f} s, {events} events\n")
        print("| pictures | spent | " + " | ".join(f"±{t:g} s" for t in TOLERANCES_S) + " |\n" + "| - " * 6 + "|")
        for label, choose in rivals().items():
            row(label, *pooled(group, choose))
        row("best of 2 fps / 6", *best(group, apart=False))
        row("the same, film by film", *best(group, apart=True))
        least = [sum(least_pictures(f.events, tolerance_ns=int(t * NS_PER_S)) for f in group) for t in TOLERANCES_S]
        print("| least that cover all | | " + " | ".join(map(str, least)) + " |", flush=True)


def row(label: str, spent: int, shares: list[float]) -> None:
    """One line of a table."""
    print(f"| {label} | {spent} | " + " | ".join(f"{share:.3f}" for share in shares) + " |", flush=True)


def plot(groups: dict[str, list[Film]], path: Path = PLOT) -> None:
    """Coverage against pictures per minute: a row for each kind of film, a column for each tolerance."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "keyframes"
    figure, axes = plt.subplots(len(groups), len(TOLERANCES_S), figsize=(12, 2.6 * len(groups)), squeeze=False)
    for kind, line in zip(groups, axes, strict=True):
        minutes = sum(film.end_ns for film in groups[kind]) / NS_PER_S / 60
        curve = [pooled(groups[kind], lambda film, spend=spend: ours(film, spend=spend)) for spend in BUDGETS]
        marks = {label: pooled(groups[kind], choose) for label, choose in rivals().items() if label != "candidates"}
        marks["best of 2 fps / 6"] = best(groups[kind], apart=False)
        for at, (tolerance, axis) in enumerate(zip(TOLERANCES_S, line, strict=True)):
            axis.plot([n / minutes for n, _ in curve], [y[at] for _, y in curve], ".-", label="candidates")
            for label, (spent, shares) in marks.items():
                axis.plot([spent / minutes], [shares[at]], "x", label=label)
            axis.set(title=f"{kind}, ±{tolerance:g} s", xlim=(0, 125), ylim=(0, 1.03))
            axis.grid(alpha=0.3)
        line[0].set_ylabel("events covered")
    for axis in axes[-1]:
        axis.set_xlabel("embeddings a minute")
    axes[0, 0].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
