"""Pixel proof: with the frame's number in its pixels, what an augmented video reads is what its maps name."""

import pickle
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.errors import AugmentError
from augment.render import frames_of
from augment.showing import Reel, Showing, view_of
from augment.temporal import Pace, concat, speed
from augment.view import View
from datasets_build.core.augmentation import Augmentation, Knot, Look
from datasets_build.core.clock import TimeError
from datasets_build.core.records import DecoderTrust
from datasets_build.video import probe
from tests.augment.views import changed
from tests.builders.made import video_of
from tests.drawn import VideoSpec, draw_video, frame_number
from tests.laws import examples

SPECS = {
    "steady": VideoSpec(frames=24, b_frames=2),
    "uneven": VideoSpec(durations=(1, 3, 2, 7, 1, 1, 4, 2, 5, 1, 2, 3, 1, 1, 6, 2), time_base=Fraction(1, 50), start=9),
}
COLOUR = {"brightness": 0.9, "contrast": 1.1, "gamma": 1.0, "warmth": 0.05, "saturation": 0.8}
DECODERS = ("decord", "pyav", "torchcodec")


@pytest.fixture(scope="module")
def reels(tmp_path_factory):
    """Drawn videos, trusted by every decoder."""
    folder = tmp_path_factory.mktemp("drawn")
    made = {}
    for name, spec in SPECS.items():
        path = folder / f"{name}.mp4"
        draw_video(path, spec)
        clock = probe(path).clock
        video = video_of(name, clock)
        trusted = tuple(DecoderTrust(name=decoder, trusted=True) for decoder in DECODERS)
        made[name] = Reel(video=video.model_copy(update={"decoders": trusted}), path=path, clock=clock)
    return made


def whole(reels):
    return {name: View.whole(reel.video.id, reel.clock) for name, reel in reels.items()}


def showing(view, reels):
    return Showing(view=view, reels={reel.video.id: reel for reel in reels.values()})


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_frames_read_are_those_that_the_map_names(reels, decoder, data):
    view = concat(list(whole(reels).values()))
    for _ in range(data.draw(st.integers(1, 3))):
        view = changed(view, data.draw) if len(view.clock) < 100 else view
    shown = showing(view, reels)
    pixels = shown.frames(view.clock.t_ns.tolist(), decoder=decoder)
    assert pixels.shape == (len(view.clock), 120, 160, 3)
    assert [frame_number(picture) for picture in pixels] == view.frame_of.tolist()


def test_between_frames_the_last_one_stays(reels):
    view = changed_once(whole(reels)["uneven"])
    times = [0, view.end_ns - 1, view.end_ns // 2, 1]
    expected = [view.frame_of[view.clock.index_at(t)] for t in times]
    assert [frame_number(picture) for picture in showing(view, reels).frames(times)] == expected
    with pytest.raises(TimeError, match="outside"):
        showing(view, reels).frames([view.end_ns])


def changed_once(view):
    return speed(view, [Pace(0, Fraction(3, 2))])


def test_equal_frames_have_one_content(reels):
    views = whole(reels)
    once, twice = showing(views["steady"], reels), showing(concat([views["steady"]] * 2), reels)
    end = views["steady"].end_ns
    assert once.content([0, 40_000_000], decoder="decord") == twice.content([end, end + 40_000_000], decoder="decord")
    assert once.content([0], decoder="decord") != once.content([40_000_000], decoder="decord")
    assert once.content([0], decoder="decord") != once.content([0], decoder="pyav")
    other = showing(views["uneven"], reels)
    assert once.content([0], decoder="decord") != other.content([0], decoder="decord")


def test_videos_of_several_sizes_are_told(reels, tmp_path):
    path = tmp_path / "small.mp4"
    draw_video(path, VideoSpec(frames=3, size=(80, 64)))
    small = Reel(video=video_of("small", probe(path).clock), path=path, clock=probe(path).clock)
    views = [whole(reels)["steady"], View.whole(small.video.id, small.clock)]
    view = concat(views)
    with pytest.raises(AugmentError, match="expected one size"):
        showing(view, {**reels, "small": small}).frames([0, view.end_ns - 1])


def rows_of(view):
    """The maps of a view, as they are written."""
    for place, piece in enumerate(view.pieces):
        shown = set(piece.frames.tolist())
        low, high = piece.span
        inside = [k for k, t in enumerate(piece.clock.t_ns.tolist()) if low <= t < high]
        yield Augmentation(
            id=str(place),
            video_id="v",
            parent_id=piece.source,
            operation="any",
            seed=0,
            is_reversed=piece.is_reversed,
            on_ns=tuple(piece.on_ns.tolist()) * (not np.array_equal(piece.on_ns, piece.clock.t_ns[piece.frames])),
            knots=tuple(Knot(source=str(s), target=str(t)) for s, t in piece.time_map.knots),
            dropped_frames=tuple(k for k in inside if k not in shown),
        )


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_view_comes_back_from_its_maps(reels, data):
    view = concat(list(whole(reels).values()))
    for _ in range(data.draw(st.integers(0, 3))):
        view = changed(view, data.draw) if len(view.clock) < 100 else view
    rows = list(rows_of(view))
    data.draw(st.randoms(use_true_random=False)).shuffle(rows)
    again = view_of(rows, {reel.video.id: reel.clock for reel in reels.values()})
    assert np.array_equal(again.clock.t_ns, view.clock.t_ns)
    assert again.end_ns == view.end_ns
    assert np.array_equal(again.frame_of, view.frame_of)
    assert np.array_equal(again.on_of, view.on_of)
    assert [(each.source, each.time_map, each.is_reversed) for each in again.pieces] == [
        (each.source, each.time_map, each.is_reversed) for each in view.pieces
    ]


PLAIN = Look(kind="colour", parameters=[{"name": name, "value": value} for name, value in COLOUR.items()])
LOOKS = (
    Look(kind="resolution", parameters=[{"name": "width", "value": 192.0}, {"name": "height", "value": 144.0}]),
    PLAIN,
    Look(kind="noise", parameters=[{"name": "sd", "value": 0.03}], seed=1),
    Look(kind="shake", parameters=[{"name": "amplitude", "value": 0.01}, {"name": "period_s", "value": 0.5}], seed=2),
    Look(kind="compress", parameters=[{"name": "kbit_s", "value": 400.0}, {"name": "group_s", "value": 0.5}]),
)


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(DECODERS[:2]))
def test_under_looks_the_frames_read_are_still_those_that_the_map_names(reels, data, decoder):
    view = concat(list(whole(reels).values()))
    for _ in range(data.draw(st.integers(1, 2))):
        view = changed(view, data.draw) if len(view.clock) < 50 else view
    shown = replace(showing(view, reels), looks=LOOKS)
    pixels = shown.frames(view.clock.t_ns.tolist(), decoder=decoder)
    assert pixels.shape == (len(view.clock), 144, 192, 3)
    assert [frame_number(picture) for picture in pixels] == view.frame_of.tolist()
    wanted = data.draw(st.lists(st.integers(0, len(view.clock) - 1), min_size=1, max_size=5))
    again = replace(showing(view, reels), looks=LOOKS).frames(view.clock.t_ns[wanted].tolist(), decoder=decoder)
    assert np.array_equal(again, pixels[wanted])


def test_what_decides_the_pixels_tells_looks_and_place(reels):
    view = whole(reels)["steady"]
    plain, looked = showing(view, reels), replace(showing(view, reels), looks=LOOKS)
    assert looked.content([0], decoder="decord") == replace(plain, looks=LOOKS).content([0], decoder="decord")
    told = {
        plain.content([0], decoder="decord"),
        looked.content([0], decoder="decord"),
        looked.content([0], decoder="pyav"),
        replace(plain, looks=LOOKS[:2]).content([0], decoder="decord"),
        # The same frame of the source at another place has other noise, and other frames before it.
        replace(showing(concat([view, view]), reels), looks=LOOKS).content([view.end_ns], decoder="decord"),
    }
    assert len(told) == 5
    between = view.clock.time_of(1) - 1
    assert looked.content([0], decoder="decord") == looked.content([between], decoder="decord")


def test_outside_the_view_there_is_nothing_to_look_at(reels):
    view = whole(reels)["steady"]
    with pytest.raises(TimeError, match="outside"):
        replace(showing(view, reels), looks=LOOKS).frames([view.end_ns])


def test_a_showing_with_looks_goes_to_another_process(reels):
    looked = replace(showing(whole(reels)["steady"], reels), looks=LOOKS)
    pixels = looked.frames([0, 400_000_000])
    assert np.array_equal(pickle.loads(pickle.dumps(looked)).frames([0, 400_000_000]), pixels)


def test_a_file_is_rendered_with_the_looks(reels):
    view = concat([changed_once(view) for view in whole(reels).values()])
    looked = replace(showing(view, reels), looks=LOOKS)
    whole_view = replace(looked).frames(view.clock.t_ns.tolist(), decoder="pyav")
    assert np.array_equal(list(frames_of(looked)), whole_view)
