"""Sequences from the project's own drawn videos, whose sidecars name every transition."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets_build.perception.likeness import UInt8s, miniature
from datasets_build.perception.shot_training.sequences import LENGTH, Gradual, Made
from datasets_build.sources.world import WorldTruth
from datasets_build.video import analysis_size, probe, scan

ANALYSIS_SIDE = 128


def load_drawn(folder: Path) -> list[Made]:
    """Sequences of `LENGTH` frames of all drawn videos of a folder; what is left at the end of a video is left out."""
    return [made for path in sorted(folder.glob("*.json")) for made in _of_video(path)]


def _of_video(sidecar: Path) -> list[Made]:
    truth = WorldTruth.model_validate_json(sidecar.read_text("utf-8"))
    path = sidecar.with_name(sidecar.name.split(".")[0] + ".mp4")
    clock = (found := probe(path)).clock
    size = analysis_size(found.width, found.height, long_side=ANALYSIS_SIDE)
    frames = np.stack([miniature(frame.image) for frame in scan(path, clock, size=size) if frame.image is not None])
    cuts: list[int] = []
    spans: list[Gradual] = []
    for join in truth.transitions:
        if join.kind == "cut":
            cuts.append(join.start_frame)
            continue
        middle = int(np.searchsorted(clock.t_ns, (join.start_ns + join.end_ns) // 2))
        spans += [Gradual(join.start_frame, middle - 1, "out"), Gradual(middle, join.end_frame - 1, "in")]
    return [_part(frames, cuts, spans, start) for start in range(0, len(frames) - LENGTH + 1, LENGTH)]


def _part(frames: UInt8s, cuts: list[int], spans: list[Gradual], start: int) -> Made:
    end = start + LENGTH
    inside = [span for span in spans if start <= span.last and span.first < end]
    return Made(
        frames[start:end],
        tuple(cut - start for cut in cuts if start < cut < end),
        tuple(Gradual(max(span.first, start) - start, min(span.last, end - 1) - start, span.kind) for span in inside),
    )
