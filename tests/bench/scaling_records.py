"""A finished index and perceive of as many videos as asked for, written as they are drawn: records only, no film.

`python -m tests.bench.scaling_records OUT VIDEOS` writes them. Every video is drawn from its own
number, so that the first thousand of a folder of 100,000 are a folder of a thousand.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from datasets_build.core.files import write_json
from datasets_build.core.layout import TABLES
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.records import Annotation, Record, Split, Video
from datasets_build.core.stage import Fingerprint, Stage
from datasets_build.core.table import TableWriter
from tests.builders.made import MS, SUBJECTS, WORLD, Scene, keyframes_at, said, shots_at, signals_of, steady, video_of

RATE = Fraction(5)
SHORTEST_S, LONGEST_S = 6, 12
_SPLITS: tuple[Split, ...] = ("train",) * 8 + ("validation", "test")
_LINES = ("How are you?", "Come in, please.", "That was close.", "Nobody has seen it.", "We are late.")
_AT_ONCE = 1_000


def scene(number: int, *, seed: int = 0) -> Scene:
    """A video of 6 to 12 s at 5 frames a second, in which a few things happen and something is said."""
    rng = random.Random(f"{seed} {number}")
    length_ms = rng.randrange(SHORTEST_S * 1000, LONGEST_S * 1000)
    clock = steady(length_ms / 1000, RATE)
    video = video_of(f"clips/{number // 1000:03d}/{number:06d}", clock, split=rng.choice(_SPLITS))
    cuts = sorted(rng.sample(range(5, len(clock) - 5), k=rng.randrange(3)))
    shots = shots_at(video, clock, cuts, [rng.choice(["cut", "cut", "fade_through"]) for _ in cuts])
    frames = range(len(clock))
    pan, motion = [0.0] * len(frames), [0.05] * len(frames)
    first = rng.randrange(len(frames) - 6)
    pan[first : first + 6] = [rng.choice([0.2, -0.2])] * 6
    still = rng.randrange(len(frames) - 12)
    motion[still : still + 12] = [0.001] * 12
    told: dict[str, Annotation] = {}
    for at_ms in sorted(rng.sample(range(500, length_ms - 2500, 500), k=rng.randrange(2, 5))):
        label, words = rng.choice(WORLD[:5])
        subject = rng.choice(SUBJECTS)
        start, end = at_ms * MS, (at_ms + rng.randrange(400, 2000)) * MS
        row = said(video, start, end, f"The {subject} {words}.", label=label, subject=subject)
        told[row.id] = row
    for at_ms in sorted(rng.sample(range(0, length_ms - 1000, 1000), k=rng.randrange(2))):
        row = said(video, at_ms * MS, (at_ms + 900) * MS, rng.choice(_LINES), origin="srt")
        told[row.id] = row
    rows = sorted(told.values(), key=lambda row: (row.start_ns, row.end_ns))
    measured = signals_of(video, clock, list(frames), motion=motion, pan_x=pan)
    return Scene(video, clock, shots, [measured], rows, keyframes_at(video, clock, shots, [0, *cuts]))


def _rows(scenes: Sequence[Scene]) -> Iterator[tuple[type[Record], list[Record]]]:
    yield Video, [each.video for each in scenes]
    yield Annotation, [row for each in scenes for row in each.annotations]
    yield Shot, [row for each in scenes for row in each.shots]
    yield Keyframe, [row for each in scenes for row in each.keyframes]
    yield Signals, [row for each in scenes for row in each.signals]


def write_records(out: Path, videos: int, *, seed: int = 0) -> Path:
    """Write `OUT/index` and `OUT/perceive` of so many videos; memory holds a thousand of them."""
    out.mkdir(parents=True)
    index = Stage.open(out, "index", Fingerprint({"made": "index", "videos": str(videos), "seed": str(seed)}))
    perceive = Stage.open(out, "perceive", Fingerprint({"made": "perceive"}))
    (index.final / "pts").mkdir()
    finals = {stage.name: stage.final for stage in (index, perceive)}
    scenes = (scene(number, seed=seed) for number in range(videos))
    with ExitStack() as files:
        writers: dict[type[Record], TableWriter] = {}
        for model in (Video, Annotation, Shot, Keyframe, Signals):
            stage, name = TABLES[model].split("/")
            writers[model] = files.enter_context(TableWriter(finals[stage] / name, model))
        while group := list(islice(scenes, _AT_ONCE)):
            for each in group:
                np.save(index.final / each.video.pts_index, each.clock.pts)
            for model, rows in _rows(group):
                writers[model].write(rows)
    write_json(index.final / "source.json", {"root": "videos"})
    index.commit(rejects=[], counts={"videos": videos, "annotations": writers[Annotation].n_rows}, tools={})
    perceive.commit(rejects=[], counts={"videos": videos, "shots": writers[Shot].n_rows}, tools={})
    return out


if __name__ == "__main__":
    write_records(Path(sys.argv[1]), int(sys.argv[2]))
