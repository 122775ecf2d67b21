"""Frame views as the builder makes them: one row per step, keyframes and shots named, settings checked."""

from fractions import Fraction
from itertools import islice

import pytest
from pydantic import ValidationError

from datasets_build.builders.frame_events import FrameEventsConfig, VideoEvents, view_of
from tests.builders.made import lively
from tests.builders.worlds import events_in

SCENE = lively("frames", seconds=20)
SOURCE = VideoEvents(
    video=SCENE.video,
    clock=SCENE.clock,
    events=tuple(events_in(SCENE)),
    shots=tuple(SCENE.shots),
    keyframes=tuple(SCENE.keyframes),
)


def test_the_native_view_has_a_row_per_frame():
    rows = list(view_of(SOURCE, None))
    assert [row.frame_index for row in rows] == list(range(len(SCENE.clock)))
    assert [row.frame_index for row in rows if row.is_keyframe] == [row.frame_index for row in SCENE.keyframes]
    assert {row.grid for row in rows} == {"native"}
    assert rows[0].starting[0] == SOURCE.events[0].id, "the video begins at its first frame"
    starts = {shot.start_frame: shot.id for shot in SCENE.shots}
    for row in rows:
        assert starts.get(row.frame_index, row.shot_id) == row.shot_id


def test_a_rate_picks_the_frames_on_screen():
    rows = list(view_of(SOURCE, Fraction(2)))
    assert [row.frame_index for row in rows] == SCENE.clock.grid(Fraction(2)).tolist()
    assert len(rows) == 40


def test_rows_are_made_as_they_are_asked_for():
    feed = view_of(SOURCE, None)
    assert [row.frame_index for row in islice(feed, 3)] == [0, 1, 2]
    assert next(feed).frame_index == 3


def test_the_native_grid_is_always_there():
    assert FrameEventsConfig().grids == (None, Fraction(2))
    assert FrameEventsConfig(fps=()).grids == (None,)
    assert FrameEventsConfig(fps=("1", "30000/1001")).grids == (None, Fraction(1), Fraction(30_000, 1001))


@pytest.mark.parametrize("fps", [("2", "2"), ("2", "2/1"), ("native",), ("0",), ("often",)])
def test_rates_that_are_none_or_twice_are_refused(fps):
    with pytest.raises((ValidationError, ValueError), match=r"expected native|stands twice"):
        FrameEventsConfig(fps=fps)
