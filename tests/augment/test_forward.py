"""Files read front to back give what reading them at any place gives, whatever the order in which frames are wanted."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.forward import Forward
from augment.showing import Reel, read_reel
from datasets_build.video import VideoError, probe
from tests.builders.made import video_of
from tests.drawn import VideoSpec, draw_video, frame_number
from tests.laws import examples

SPECS = {
    "steady": VideoSpec(frames=40, b_frames=2, gop=12, size=(64, 48)),
    "turned": VideoSpec(frames=9, rotation=90, size=(64, 48)),
    "uneven": VideoSpec(durations=(1, 3, 2, 7, 1, 1, 4, 2, 5), time_base=Fraction(1, 50), start=9, size=(64, 48)),
    "matroska": VideoSpec(frames=120, gop=12, size=(64, 48)),
}


@pytest.fixture(scope="module")
def reels(tmp_path_factory):
    """Drawn videos."""
    folder = tmp_path_factory.mktemp("drawn")
    made = {}
    for name, spec in SPECS.items():
        path = folder / (f"{name}.mkv" if name == "matroska" else f"{name}.mp4")
        draw_video(path, spec)
        clock = probe(path).clock
        made[name] = Reel(video=video_of(name, clock), path=path, clock=clock)
    return made


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_order_gives_the_frames_that_are_named(reels, data):
    forward = Forward()
    for _ in range(data.draw(st.integers(1, 5))):
        reel = reels[data.draw(st.sampled_from(sorted(reels)))]
        times = data.draw(st.lists(st.integers(0, reel.clock.end_ns - 1), min_size=1, max_size=6))
        found = forward(reel, times, "decord")
        assert [frame_number(picture) for picture in found] == reel.clock.indices_at(times).tolist()
        assert np.array_equal(found, read_reel(reel, times, "pyav"))
    forward.close()


def test_a_file_is_opened_once_while_time_goes_on(reels, monkeypatch):
    from augment import forward as module

    opened, open_source = [], module.open_source
    monkeypatch.setattr(module, "open_source", lambda path, **more: opened.append(path) or open_source(path, **more))
    reel, forward = reels["matroska"], Forward()
    times = reel.clock.t_ns.tolist()
    for begin in range(0, len(times), 7):
        forward(reel, times[begin : begin + 7], "pyav")
    assert len(opened) == 1
    forward(reel, times[:3], "pyav")
    assert len(opened) == 2
    forward.close()


def test_a_damaged_file_gives_what_a_pass_from_its_start_gives(reels, tmp_path):
    path = tmp_path / "torn.mp4"
    content = bytearray(reels["steady"].path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    found = probe(path)
    assert found.problems
    reel = Reel(video=video_of("torn", found.clock), path=path, clock=found.clock)
    forward, times = Forward(), found.clock.t_ns.tolist()
    parts = [forward(reel, times[begin : begin + 5], "pyav") for begin in range(0, len(times), 5)]
    assert np.array_equal(np.concatenate(parts), read_reel(reel, times, "pyav"))


def test_a_file_that_is_gone_is_told(reels, tmp_path):
    reel = Reel(video=reels["steady"].video, path=tmp_path / "gone.mp4", clock=reels["steady"].clock)
    with pytest.raises(VideoError, match="no such file"):
        Forward()(reel, [0], "pyav")
