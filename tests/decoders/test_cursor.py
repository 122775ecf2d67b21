"""Random access by PyAV: forward or by a seek, whichever is shorter, and never a wrong frame."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.decoders import cursor, pyav
from datasets_build.decoders.container import Walk, decode, open_source
from datasets_build.decoders.cursor import Cursor, index_of, key_frame_near
from datasets_build.decoders.probe import probe
from tests.decoders.samples import encode
from tests.decoders.test_probe import damage
from tests.drawn import VideoSpec, draw_video, frame_number

FRAMES = 400


@pytest.fixture(scope="module", params=["a.mp4", "a.mkv", "a.avi"])
def video(request, tmp_path_factory):
    """400 frames with a key frame each 80."""
    path = tmp_path_factory.mktemp("cursor") / request.param
    codec = "mpeg4" if path.suffix == ".avi" else "h264"
    draw_video(path, VideoSpec(frames=FRAMES, gop=80, codec=codec, b_frames=0 if codec == "mpeg4" else 2))
    return path, probe(path).clock


def landings(monkeypatch):
    """The aims of all seeks, in ticks."""
    seen = []
    honest = cursor._land

    def land(source, target, aim):
        seen.append(aim)
        return honest(source, target, aim)

    monkeypatch.setattr(cursor, "_land", land)
    return seen


def fetch(video, indices):
    path, clock = video
    with open_source(path) as source:
        place = Cursor(source, clock)
        painter = pyav.Painter(source)
        return [frame_number(painter.rgb(place.fetch(index), None)) for index in indices]


def test_near_frames_need_no_seek(video, monkeypatch):
    seen = landings(monkeypatch)
    assert fetch(video, range(0, FRAMES, 40)) == list(range(0, FRAMES, 40))
    assert seen == []


def test_a_key_frame_on_the_way_is_used(video, monkeypatch):
    seen = landings(monkeypatch)
    assert fetch(video, [0, 200, 390]) == [0, 200, 390]
    assert len(seen) == 2


def test_without_a_key_frame_on_the_way_it_goes_forward(video, monkeypatch):
    path, _ = video
    if path.suffix == ".mkv":
        pytest.skip("Matroska's own index holds key frames only, and the last one in it says nothing")
    seen = landings(monkeypatch)
    assert fetch(video, [162, 230]) == [162, 230]
    assert len(seen) == 1


@given(st.sets(st.integers(0, FRAMES - 1), min_size=1, max_size=8))
def test_any_increasing_frames(video, indices):
    assert fetch(video, sorted(indices)) == sorted(indices)


def test_a_bad_landing_falls_back_to_a_pass(video, monkeypatch):
    path, clock = video
    honest = cursor._land
    # A container that lands behind its target: the frames before the landing never come.
    monkeypatch.setattr(cursor, "_land", lambda source, target, aim: honest(source, 10**9, int(clock.pts[350])))
    assert fetch_all(path, clock, [100, 399]) == [100, 399]


def test_a_container_that_cannot_seek_is_read_from_the_start(video, monkeypatch):
    path, clock = video
    monkeypatch.setattr(cursor, "_land", lambda *_: iter(()))
    assert fetch_all(path, clock, [100, 300]) == [100, 300]


def fetch_all(path, clock, indices):
    return [frame_number(image) for image in pyav.read(path, clock, np.array(indices), size=None, deadline_s=60)]


def test_a_seek_is_used_where_it_pays(video, monkeypatch):
    path, clock = video
    monkeypatch.setattr(pyav, "_walk_in_order", lambda *_: iter(()))
    assert fetch_all(path, clock, [1, 140, 399]) == [1, 140, 399]


def test_avi_with_reordered_frames_is_never_entered_in_the_middle(tmp_path):
    # Its frames are told by counting, and a seek loses count.
    path = tmp_path / "a.avi"
    draw_video(path, VideoSpec(frames=150, codec="mpeg4", b_frames=2))
    with open_source(path) as source:
        assert not source.seeks_well
    assert fetch_all(path, probe(path).clock, [60, 149]) == [60, 149]


def test_the_key_frame_of_a_seek_is_found(video):
    path, clock = video
    assert key_frame_near(path, clock, 200) == (200 if path.suffix == ".avi" else 160)


def test_pictures_that_are_no_key_frames_are_found_out(tmp_path, sample):
    for name in ("no_key_frames.mp4", "no_key_frames.ts"):
        made = sample(name)
        assert key_frame_near(made.path, made.probe.clock, 37) is None
    assert key_frame_near(sample("open_groups.mp4").path, sample("open_groups.mp4").probe.clock, 30) == 20


def test_damage_under_a_seek_is_no_key_frame(tmp_path):
    path = tmp_path / "a.mp4"
    draw_video(path, VideoSpec(frames=60, gop=20))
    clock = probe(path).clock
    damage(path, packets=[20])
    assert key_frame_near(path, clock, 30) is None


def test_a_frame_after_a_seek_is_not_taken_from_before_the_key_frame(tmp_path):
    # An open group: the pictures shown before its key frame need the group before, which a seek leaves out.
    path = tmp_path / "a.mp4"
    options = {"preset": "veryfast", "crf": "18", "x264-params": "scenecut=0:open-gop=1:keyint=60:bframes=3:b-adapt=0"}
    encode(path, "libx264", options, frames=200)
    clock = probe(path).clock
    for index in (117, 118, 119, 120, 121, 177, 179, 180):
        assert fetch_all(path, clock, [index]) == [index]


@dataclass
class Fake:
    """As much of a frame, a container and a source as a landing looks at."""

    key_frame: bool = False
    container: object = None
    stream: object = None

    def seek(self, aim, *, stream):
        """Nothing to move."""


def land(monkeypatch, frames, *, target):
    shown = [(pts, Fake(key_frame)) for pts, key_frame in frames]
    monkeypatch.setattr(cursor, "decode", lambda *_, **__: iter(shown))
    return [pts for pts, _ in cursor._land(Fake(container=Fake()), target, target)]


def test_frames_before_the_first_key_frame_are_not_trusted(monkeypatch):
    assert land(monkeypatch, [(1, False), (2, False), (3, True), (4, False)], target=4) == [3, 4]
    assert land(monkeypatch, [(3, True), (1, False), (2, False), (4, False)], target=4) == [3, 4]


def test_a_landing_behind_the_target_is_none(monkeypatch):
    assert land(monkeypatch, [(5, True), (6, False)], target=4) == []
    assert land(monkeypatch, [(1, False), (2, False)], target=2) == []


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True), st.integers(0, 10**6))
def test_a_timestamp_has_one_place_or_none(values, asked):
    from fractions import Fraction

    from datasets_build.core.clock import FrameClock

    clock = FrameClock.from_pts(sorted(values), time_base=Fraction(1, 1000), last_duration=1)
    place = index_of(clock, asked)
    assert (place >= 0) == (asked in values)
    assert place < 0 or int(clock.pts[place]) == asked


def test_a_pass_over_packets_notes_nothing_in_a_sound_file(video):
    path, clock = video
    walk = Walk()
    with open_source(path) as source:
        assert len(list(decode(source, walk, strict=True))) == len(clock)
    assert (walk.errors, walk.n_discarded) == ([], 0)
