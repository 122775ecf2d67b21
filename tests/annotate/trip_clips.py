"""A finished folder for people to correct: clips of every kind of clock, each frame bearing its number."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from datasets_build.builders.build import build_dialogue, build_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.records import DecoderTrust
from tests.annotate.films import indexed
from tests.builders.made import Scene, keyframes_at, said, shots_at, signals_of, write_out
from tests.drawn import FILM, NTSC, PAL, DrawnTruth, VideoSpec, draw_video

SIZE = (320, 240)
FRAMES = 200
_UNEVEN = tuple(random.Random(6).choices((20, 33, 34, 50, 70), k=FRAMES))
SPECS = {
    "constant": VideoSpec(rate=PAL, frames=FRAMES, size=SIZE),
    "variable": VideoSpec(durations=_UNEVEN, time_base=Fraction(1, 1000), size=SIZE),
    "late": VideoSpec(rate=PAL, frames=FRAMES, size=SIZE, start=37),
    "rotated": VideoSpec(rate=PAL, frames=FRAMES, size=SIZE, rotation=90),
    "film": VideoSpec(rate=FILM, frames=FRAMES, size=SIZE, b_frames=2),
    "ntsc": VideoSpec(rate=NTSC, frames=FRAMES, size=SIZE, b_frames=2),
}
# What is said to happen: label, words, first frame, frame behind the last.
_HAPPENS = (
    ("enter", "enters from the left", 20, 50),
    ("stop", "stops", 90, 115),
    ("leave", "leaves at the top", 150, 180),
)


@dataclass(frozen=True, kw_only=True)
class Clips:
    """The folder, and what was drawn, by the video's id."""

    out: Path
    names: dict[str, str]
    truths: dict[str, DrawnTruth]


def draw_clips(out: Path, names: tuple[str, ...] = tuple(SPECS)) -> Clips:
    """A finished folder of these clips, with events, questions and conversations."""
    (out / "videos").mkdir(parents=True)
    truths: dict[str, DrawnTruth] = {}
    scenes = []
    for name in names:
        truth = draw_video(out / "videos" / f"{name}.mp4", SPECS[name])
        scene = _scene(out / "videos" / f"{name}.mp4")
        # What is indexed is what was drawn: the clock of the project is not its own judge.
        assert scene.clock.t_ns.tolist() == list(truth.t_ns)
        truths[scene.video.id] = truth
        scenes.append(scene)
    write_out(out, scenes)
    build_events(out, EventsConfig())
    # A person judges all of them, so few.
    build_streaming_qa(out, StreamingQAConfig(tasks=("next", "now"), least=3, per_minute=6.0))
    build_dialogue(out, DialogueConfig())
    return Clips(
        out=out, names={scene.video.id: name for scene, name in zip(scenes, names, strict=True)}, truths=truths
    )


def _scene(path: Path) -> Scene:
    video, clock = indexed(path)
    trusted = (DecoderTrust(name="pyav", trusted=True),)
    video = video.model_copy(update={"duration_ns": clock.end_ns, "decoders": trusted})
    shots = shots_at(video, clock, [])
    happens = [
        said(
            video, clock.time_of(first), clock.time_of(behind), f"The red circle {words}.",
            label=label, subject="red circle",
        )
        for label, words, first, behind in _HAPPENS
    ]  # fmt: skip
    measured = signals_of(video, clock, range(0, len(clock), 3))
    return Scene(video, clock, shots, [measured], happens, keyframes_at(video, clock, shots, [0]))
