"""Lessons without pixels: the truth about a drawn lesson as the earlier stages would leave it."""

from __future__ import annotations

from random import Random

from datasets_build.builders.choices import ChoicesConfig
from datasets_build.builders.events import EventsConfig, events_of
from datasets_build.builders.facts import Desk, FactsConfig, Timeline
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.records import Event, Split
from datasets_build.sources.lesson_script import LABELS, write_lesson
from datasets_build.sources.world_script import Script
from datasets_build.sources.world_truth import facts
from datasets_build.teachers.template import TERSE, load_template
from tests.builders.made import MS, Scene, keyframes_at, said, shots_at, steady, video_of

EVENTS = EventsConfig(signals=False, recognise_ns=1_100 * MS)
LESSON_TASKS = ("colour", "shape", "last", "tally", "shots", "watch")
ASKED = StreamingQAConfig(teacher="terse", tasks=LESSON_TASKS, per_minute=120.0, choices=ChoicesConfig(share=0.0))
WORDS = load_template(TERSE)


def script_of(name: str, seconds: int = 30, seed: int = 0) -> Script:
    """The script behind `lesson`."""
    return write_lesson(Random(f"{name} {seed}"), width=128, height=128, seconds=seconds)


def lesson(name: str, *, seconds: int = 30, seed: int = 0, split: Split = "train") -> Scene:
    """A lesson at 25 frames a second: its cuts as shots, its truth as annotations."""
    clock = steady(seconds)
    video = video_of(name, clock, split=split)
    script = script_of(name, seconds, seed)
    cuts = [clock.index_at(clock.snap_up(join.at_ns)) for join in script.joins]
    shots = shots_at(video, clock, cuts)
    rows = [
        said(video, f.start_ns, f.end_ns, f.text, label=f.label, subject=f.subject, origin="lesson")
        for f in facts(script, clock)
        if f.label in LABELS
    ]
    return Scene(video, clock, shots, [], rows, keyframes_at(video, clock, shots, [0]))


def lesson_events(scene: Scene) -> list[Event]:
    """The events of a lesson, as its settings make them."""
    return events_of(scene.video, scene.clock, scene.shots, scene.signals, scene.annotations, EVENTS).events


def lesson_desk(
    scene: Scene, seed: int = 0, *, teacher=WORDS, events: list[Event] | None = None, **limits: int
) -> Desk:
    """A desk on a lesson; `limits` are of `FactsConfig`."""
    chosen = FactsConfig(**limits)
    found = lesson_events(scene) if events is None else events
    return Desk(Timeline(scene.clock, found, teacher, chosen), teacher, Random(seed), chosen)
