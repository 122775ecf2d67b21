"""What the bench of perceive times, run in a worker process as the stage itself is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from scenedetect import AdaptiveDetector, detect

from datasets_build.decoders.pyav import Painter
from datasets_build.perception import scan, shots, transition_finder
from datasets_build.perception.clip import SignatureEncoder
from datasets_build.perception.keyframes import KeyframesConfig
from datasets_build.perception.scan import ScanPlan, scan_video
from datasets_build.perception.scenes import ScenesConfig
from datasets_build.perception.shots import ShotsConfig
from datasets_build.perception.signals import SignalsConfig
from datasets_build.video import Probe, probe
from tests.bench.stages import REST, Stages
from tests.core.test_layout import video

PLAN = ScanPlan(ShotsConfig(), ScenesConfig(), SignalsConfig(), KeyframesConfig(), analysis_side=128, decoder="pyav")
CLOCKS: dict[Path, Probe] = {}
DECODE, SCALE = "decode", "scale"
# What each stage is made of; decoding is what is left of the processor's time when all others have theirs.
PLACES: Mapping[str, Sequence[tuple[object, str]]] = {
    SCALE: [(Painter, "small_bgr")],
    "small pictures": [(Painter, "shrunk_rgb")],
    "miniature and thumbnail": [(scan, "thumbnail"), (shots, "miniature")],
    "shots: numbers": [(transition_finder, "describe"), (transition_finder, "measure")],
    "shots: networks": [(transition_finder.NetStream, "feed")],
    "signals": [(scan.SignalMeter, "feed")],
    "candidates": [(scan.CandidateFinder, "feed"), (scan.ShotFiller, "feed")],
    "tables": [(scan, "_written"), (scan._SignalSink, "add"), (scan._CandidateSink, "add")],
}


def draw(path: Path, size: tuple[int, int], frames: int = 300) -> None:
    """A textured view that pans, with four cuts: as much detail as a film has, so that decoding costs what it does."""
    rng = np.random.default_rng(0)
    width, height = size
    scenes = [
        np.kron(rng.integers(0, 255, (height // 8, width // 8 + 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        for _ in range(5)
    ]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "26", "bf": "2"}
        for k in range(frames):
            scene = scenes[k * len(scenes) // frames]
            left = k % 300
            picture = np.ascontiguousarray(scene[:height, left : left + width])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def decode_on_one_core(path: Path) -> None:
    """Decode every frame in one thread and do nothing with it."""
    decode(path, thread_type="NONE")


def decode(path: Path, *, thread_type: Literal["AUTO", "NONE"] = "AUTO") -> None:
    """Decode every frame with PyAV, on all threads where nothing else is said, and do nothing with it."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        stream.thread_type = thread_type
        for _ in source.decode(stream):
            pass


def perceive(path: Path, to: Path) -> None:
    """The perceive pass without CLIP: shots, signals, candidates, keyframes with their pictures, tables written."""
    found = CLOCKS.setdefault(path, CLOCKS.get(path) or probe(path))
    record = video("v", width=found.width, height=found.height, rotation_deg=found.rotation_deg)
    scan_video(path, record, found.clock, plan=PLAN, encoder=SignatureEncoder(), to=to)


def peer(path: Path) -> None:
    """PySceneDetect's own run: its default backend and downscaling, AdaptiveDetector at its defaults."""
    detect(str(path), AdaptiveDetector())


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall-clock seconds, and seconds of processor time over all threads; as a ratio, without a unit."""

    wall: float
    cpu: float

    def over(self, other: Cost) -> Cost:
        """How many times the other's cost this is."""
        return Cost(self.wall / other.wall, self.cpu / other.cpu)


def cost(work: Callable[[], None]) -> Cost:
    """What one call costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


@dataclass(frozen=True, slots=True)
class Profile:
    """Milliseconds of processor time a frame: of decoding alone, and of each stage of the pass."""

    alone: float
    stages: Mapping[str, float]


def profile(path: Path, folder: Path) -> Profile:
    """Where the time of a pass goes, all threads counted; the timers themselves are in it, about 1 µs a call."""
    perceive(path, folder)
    frames = len(CLOCKS[path].pts)
    alone = cost(lambda: decode(path)).cpu
    stages = Stages()

    def timed() -> None:
        with stages.timed(PLACES):
            perceive(path, folder)

    whole = cost(timed).cpu
    here = {name: stages.seconds[name] for name in (*PLACES, REST)}
    spent = {DECODE: whole - sum(here.values()), **here}
    return Profile(1000 * alone / frames, {name: 1000 * seconds / frames for name, seconds in spent.items()})


def measure(path: Path, folder: Path, rounds: int) -> tuple[int, list[Cost], list[Cost]]:
    """Frames, and per round the ratios of perceive to decoding and of PySceneDetect to decoding."""
    perceive(path, folder)
    ours, theirs = [], []
    for _ in range(rounds):
        alone = cost(lambda: decode(path))
        ours.append(cost(lambda: perceive(path, folder)).over(alone))
        theirs.append(cost(lambda: peer(path)).over(alone))
    return len(CLOCKS[path].pts), ours, theirs
