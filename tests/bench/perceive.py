"""How fast a scan is, as ratios in one run: against decoding alone, and against PySceneDetect's own AdaptiveDetector.

Run by `make bench`. The videos are drawn at 1080p, 720p and 360p; with STREAMVL_DATA set, real films are added. Each
figure is the median over paired rounds, so that a machine that slows down slows both sides. Two ratios are given: of
wall-clock time, which is what one waits for on an idle machine, and of processor time over all threads, which is what
counts where every core has work. Writes no file: paste the table into docs/performance.md.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from scenedetect import AdaptiveDetector, detect

from datasets_build.perception.clip import SignatureEncoder
from datasets_build.perception.keyframes import KeyframesConfig
from datasets_build.perception.scan import ScanPlan, scan_video
from datasets_build.perception.scenes import ScenesConfig
from datasets_build.perception.shots import ShotsConfig
from datasets_build.perception.signals import SignalsConfig
from datasets_build.video import probe
from tests.core.test_layout import video

ROUNDS = 5
SIZES = {"drawn 1080p": (1920, 1080), "drawn 720p": (1280, 720), "drawn 360p": (640, 360)}
REAL = {
    "real 1080p h264": "mcpm_demo_video.mp4",
    "real 1080p hevc": "mb_video-h265.mp4",
    "real 720p h264": "los_sintel_trailer-720p.mp4",
    "real 360p h264": "derived_known_edit.mp4",
}
PLAN = ScanPlan(ShotsConfig(), ScenesConfig(), SignalsConfig(), KeyframesConfig(), analysis_side=128, decoder="pyav")


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


def decode(path: Path) -> None:
    """Decode every frame with PyAV on all threads and do nothing with it."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        stream.thread_type = "AUTO"
        for _ in source.decode(stream):
            pass


def perceive(path: Path, to: Path) -> None:
    """The perceive pass without CLIP: shots, signals, candidates, keyframes with their pictures, tables written."""
    found = probe(path) if path not in CLOCKS else CLOCKS[path]
    CLOCKS[path] = found
    record = video("v", width=found.width, height=found.height, rotation_deg=found.rotation_deg)
    scan_video(path, record, found.clock, plan=PLAN, encoder=SignatureEncoder(), to=to)


CLOCKS: dict[Path, object] = {}


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


def films(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and paths: drawn ones first, then real ones where there are any."""
    for name, size in SIZES.items():
        path = folder / f"{size[1]}.mp4"
        draw(path, size)
        yield name, path
    data = os.environ.get("STREAMVL_DATA")
    for name, file in REAL.items() if data else ():
        yield name, Path(str(data)) / "videos" / file


def measure(path: Path, folder: Path) -> tuple[int, list[Cost], list[Cost]]:
    """Frames, and per round the ratios of perceive to decoding and of PySceneDetect to decoding."""
    perceive(path, folder)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        alone = cost(lambda: decode(path))
        ours.append(cost(lambda: perceive(path, folder)).over(alone))
        theirs.append(cost(lambda: peer(path)).over(alone))
    return len(CLOCKS[path].pts), ours, theirs


def spread(ratios: list[float]) -> str:
    """Median with the least and the greatest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def cells(ratios: list[Cost]) -> str:
    """Two cells: wall-clock and processor time."""
    return f"{spread([ratio.wall for ratio in ratios])} | {spread([ratio.cpu for ratio in ratios])}"


def main() -> None:
    """Print the table."""
    print(f"{os.cpu_count()} cores, {ROUNDS} rounds, medians (least to greatest); decoding alone with PyAV is 1.00\n")
    print("| video | frames | perceive, wall | perceive, CPU | PySceneDetect, wall | PySceneDetect, CPU |")
    print("| - | - | - | - | - | - |")
    with tempfile.TemporaryDirectory() as name:
        for label, path in films(Path(name)):
            frames, ours, theirs = measure(path, Path(name))
            print(f"| {label} | {frames} | {cells(ours)} | {cells(theirs)} |", flush=True)


if __name__ == "__main__":
    main()
