"""A video of twenty seconds to ask after, and short words for what happens in it."""

import random

from datasets_build.builders.facts import FactsConfig
from tests.builders.made import MS, Scene, clock_from, said, shots_at, signals_of, video_of
from tests.builders.worlds import desk_for

CLOCK = clock_from([40] * 499)
VIDEO = video_of("v", CLOCK)
END = CLOCK.end_ns


def act(start_ms, end_ms, label="enter", subject="red circle", text=None):
    words = text or f"The {subject} does {label}."
    return said(VIDEO, start_ms * MS, end_ms * MS, words, label=label, subject=subject)


def desk(*annotations, cuts=(), kinds=(), signals=(), seed=0, **facts):
    scene = Scene(VIDEO, CLOCK, shots_at(VIDEO, CLOCK, list(cuts), list(kinds)), list(signals), list(annotations))
    return desk_for(scene, random.Random(seed), facts=FactsConfig(**{"least_window_ns": MS} | facts))


def pan(start, end, value=0.3):
    """A camera movement over frames [start, end)."""
    frames = range(0, 500, 2)
    return signals_of(VIDEO, CLOCK, frames, pan_x=[value if start <= f < end else 0.0 for f in frames])


def at(ms):
    return CLOCK.snap_up(ms * MS)


ENTERS, LEAVES = act(2_000, 4_000), act(8_000, 9_000, "leave")
TOPIC = "enter|the red circle"
