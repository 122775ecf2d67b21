"""What stands in for a video where the model is to do without it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.video import VideoError
from recipes.evaluation.blind import Elsewhere, others_for
from recipes.evaluation.clip import CHUNK, GREY, Pictures
from recipes.evaluation.evaluate import replay_all
from recipes.evaluation.trace import read_trace
from tests.recipes.evaluation.made import clip, empty_trace


def film(name, *, frames=80, group=None):
    made = clip(name)
    video = made.video.model_copy(update={"group": group or name, "uri": f"{name}.mp4"})
    return replace(made, video=video, times_ns=made.times_ns[:frames])


@pytest.fixture(scope="module", autouse=True)
def read_numbers():
    """Frames hold the number of their video's letter and their own; of a video called `x` none can be read."""

    def read(self, times_ns):
        clip = self._clip
        if clip.video_id.startswith("x"):
            raise VideoError("broken", f"{clip.video_id} is broken")
        return [
            np.full((2, 2, 3), 100 * (clip.video_id != "v") + clip.times_ns.index(t) % 100, np.uint8) for t in times_ns
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pictures, "_read", read)
        yield


@settings(max_examples=40)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 79))
def test_frames_are_the_others_and_times_the_clips_own(mine, other, place):
    own, shown = film("v", frames=mine), film("w", frames=other)
    found = list(Elsewhere(own, shown, decoder="pyav").since(place))
    assert [t_ns for _, t_ns in found] == list(own.times_ns[place:])
    assert [int(picture[0, 0, 0]) for picture, _ in found] == [100 + k % other for k in range(place, mine)]


def test_a_long_other_goes_on_over_chunks():
    assert CHUNK < 80
    found = [int(p[0, 0, 0]) for p, _ in Elsewhere(film("v"), film("w"), decoder="pyav").since(CHUNK - 1)]
    assert found == list(range(100 + CHUNK - 1, 180))
    assert Elsewhere(film("v"), film("w"), decoder="pyav").variant == "blind"


@settings(max_examples=30)
@given(st.lists(st.sampled_from("abc"), max_size=6), st.integers(0, 9))
def test_no_video_of_the_same_group_stands_in_and_the_choice_stays(groups, number):
    clips = [film(f"w{k}", group=group) for k, group in enumerate(groups)]
    own = film(f"v{number}", group="a")
    found = others_for(own, clips)
    assert len(found) == min(3, len(groups) - groups.count("a"))
    assert all(other.video.group != "a" for other in found)
    assert len({other.video_id for other in found}) == len(found)
    assert [other.video_id for other in others_for(own, clips)] == [other.video_id for other in found]


def test_videos_have_different_ones():
    clips = [film(f"w{k}") for k in range(8)]
    assert len({others_for(film(f"v{k}"), clips)[0].video_id for k in range(20)}) > 3


class Watches:
    """Stands for a model: keeps the first value of what it was shown."""

    def __init__(self):
        self.shown = []

    def trace(self, made, pictures):
        values = {int(picture[0, 0, 0]) for picture, _ in pictures.since()}
        self.shown.append((pictures.variant, min(values)))
        return empty_trace(made, pictures.variant)


@pytest.mark.parametrize(
    ("names", "value"), [(("w",), 100), (("x1", "w"), 100), (("x1", "x2"), GREY), ((), GREY)], ids=lambda v: str(v)
)
def test_one_that_cannot_be_read_makes_way_for_the_next_and_at_last_for_grey(names, value, tmp_path):
    watches = Watches()
    found, rejects = replay_all(watches, [film("v")], tmp_path, decoder="pyav", strange=[film(name) for name in names])
    assert watches.shown == [("seen", 0), ("blind", value)]
    assert rejects == []
    assert read_trace(tmp_path / "blind" / "v.json") == found[0].blind
    again, _ = replay_all(watches, [film("v")], tmp_path, decoder="pyav")
    assert again[0].blind == found[0].blind
    assert len(watches.shown) == 2
