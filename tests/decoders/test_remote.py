import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.decoders.frames import VideoError
from datasets_build.decoders.lanes import LANES
from datasets_build.decoders.remote import first_disagreement
from tests.decoders.fake import HEIGHT, WIDTH, make, not_installed

FRAMES = 40
CLOCK = FrameClock.from_pts(range(0, 10 * FRAMES, 10), time_base=Fraction(1, 250), last_duration=10)
TIMES = [k * 0.04 for k in range(FRAMES)]
# Outlasts whatever a busy machine does; no test waits this long.
PATIENCE_S = 300.0


@pytest.fixture
def remote():
    made = make("fake")
    yield made
    LANES.close()


def file(tmp_path, **plan):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"times": TIMES, **plan}))
    return path


def ask(remote, path, *, deadline_s=PATIENCE_S, indices=(3, 7)):
    return remote.read(path, CLOCK, np.array(indices), size=None, deadline_s=deadline_s)


def code(remote, path, **kwargs):
    with pytest.raises(VideoError) as caught:
        ask(remote, path, **kwargs)
    return caught.value.code


def test_frames_come_by_index_and_size(remote, tmp_path):
    path = file(tmp_path)
    found = ask(remote, path)
    assert found.shape == (2, HEIGHT, WIDTH, 3)
    assert found[:, 0, 0, 0].tolist() == [3, 7]
    assert remote.read(path, CLOCK, np.array([1]), size=(20, 10), deadline_s=PATIENCE_S).shape == (1, 10, 20, 3)


def test_another_count_is_not_trusted(remote, tmp_path):
    path = file(tmp_path, times=TIMES[:-1])
    with pytest.raises(VideoError, match="fake is not trusted: it counts 39 frames, the index 40") as caught:
        ask(remote, path)
    assert caught.value.code == "decoder_untrusted"


def test_one_time_that_is_wrong_is_not_trusted(remote, tmp_path):
    with pytest.raises(VideoError, match=r"it shows frame 9 at 0\.4 s, the index at 0\.360000 s"):
        ask(remote, file(tmp_path, times=[*TIMES[:9], 0.4, *TIMES[10:]]))


def test_times_of_the_very_frames_are_held_against_the_clock(remote, tmp_path):
    assert code(remote, file(tmp_path, mute=True, shift=0.04)) == "decoder_untrusted"


def test_garbage_for_times_is_not_trusted(remote, tmp_path):
    assert code(remote, file(tmp_path, times=[1e17 + t for t in TIMES])) == "decoder_untrusted"
    assert code(remote, file(tmp_path, times=[float("nan")] * FRAMES)) == "decoder_untrusted"


@pytest.mark.parametrize("when", ["survey", "pictures"])
@pytest.mark.parametrize(
    ("how", "expected"),
    [("crash", "decoder_crashed"), ("hang", "decoder_hung"), ("refuse", "decoder_failed"), ("raise", "decoder_failed")],
)
def test_every_end_has_its_code(remote, tmp_path, when, how, expected):
    path = file(tmp_path, **{when: how})
    assert code(remote, path, deadline_s=0.5 if how == "hang" else PATIENCE_S) == expected


def test_a_bad_file_costs_its_deadline_once(remote, tmp_path, monkeypatch):
    path = file(tmp_path, survey="hang")
    assert code(remote, path, deadline_s=0.5) == "decoder_hung"
    monkeypatch.setattr(LANES, "get", lambda *_: pytest.fail("asked again"))
    assert code(remote, path, deadline_s=0.5) == "decoder_hung"


def test_a_longer_deadline_is_another_chance(remote, tmp_path):
    path = file(tmp_path, survey="slow")
    assert code(remote, path, deadline_s=0.3) == "decoder_hung"
    assert len(ask(remote, path)) == 2


def test_a_changed_file_is_looked_at_again(remote, tmp_path):
    path = file(tmp_path, times=TIMES[:-1])
    assert code(remote, path) == "decoder_untrusted"
    assert len(ask(remote, file(tmp_path))) == 2


def test_a_missing_library_is_said_in_words(tmp_path):
    remote = make("absent", ready=not_installed)
    with pytest.raises(VideoError, match=r"absent cannot be used here: .*No module named 'fake'") as caught:
        ask(remote, file(tmp_path))
    assert caught.value.code == "decoder_unavailable"
    LANES.close()


def test_a_scan_gives_every_frame_once_in_order(remote, tmp_path):
    path = file(tmp_path)
    frames = list(remote.scan(path, CLOCK, size=(4, 4)))
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [frame.t_ns for frame in frames] == CLOCK.t_ns.tolist()
    assert [int(frame.image[0, 0, 0]) for frame in frames] == list(range(FRAMES))
    assert frames[33].image.shape == (4, 4, 3)
    assert frames[33].full().shape == (HEIGHT, WIDTH, 3)
    assert frames[33].full()[0, 0, 0] == 33


def test_a_scan_without_size_has_no_images(remote, tmp_path):
    assert {frame.image is None for frame in remote.scan(file(tmp_path), CLOCK, size=None)} == {True}


def test_a_file_that_is_gone_is_said(remote, tmp_path):
    assert code(remote, tmp_path / "gone.json") == "no_such_file"


@given(st.lists(st.integers(0, 40 * 3600 * NS_PER_S), min_size=1, max_size=30), st.data())
def test_single_precision_is_forgiven_and_a_frame_is_not(t_ns, data):
    times = np.array(sorted(t_ns), np.int64)
    as_decord_says = (times / NS_PER_S).astype(np.float32).astype(np.float64)
    assert first_disagreement(as_decord_says, times) is None
    place = data.draw(st.integers(0, len(times) - 1))
    # At forty hours single precision itself is coarser than a frame.
    if times[place] < 3600 * NS_PER_S:
        as_decord_says[place] += 1 / 120
        assert first_disagreement(as_decord_says, times) == place


def test_a_missing_time_disagrees():
    assert first_disagreement(np.array([0.0, 0.1]), np.array([0, NS_PER_S // 10, NS_PER_S // 5])) == 2
    assert first_disagreement(np.array([]), np.array([0])) == 0
