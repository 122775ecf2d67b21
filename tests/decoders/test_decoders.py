"""One suite for every decoder and every kind of file: the very frames that were asked for, or a refusal with a reason.

decord runs in a worker here as everywhere: it hangs for good on some files.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.decoders.frames import VideoError
from datasets_build.video import DECODERS, analysis_size, check_decoder, read, scan
from tests.decoders.samples import NAMES
from tests.drawn import channel_order, frame_number

# What each may not read, and why. Everything else must come out right.
KEY = "the key frame stored at place"
START = "decoding cannot start at its key frames"
LOST = "torchcodec cannot read it: RuntimeError: Requested next frame"
REFUSED = {
    "decord": {
        "hidden.mp4": "it counts 30 frames, the index 25",
        "hidden_group.mp4": "it counts 18 frames, the index 15",
        "reordered.ts": "at frame",
        "reordered.avi": KEY,
        "h264.avi": "it shows frame 1 at 0 s",
        "h264_reordered.avi": "it shows frame 1 at 0 s",
        "hevc.mp4": KEY,
        "mpeg4.mp4": KEY,
        "two_frames.mkv": "it shows frame 1 at 0 s",
        "open_groups.mp4": KEY,
        "open_groups.ts": KEY,
        "no_key_frames.mp4": START,
        "no_key_frames.ts": START,
        "reordered.asf": "a seek in an ASF file",
        "plain.wmv": "a seek in an ASF file",
        "unordered.mp4": KEY,
        "unordered.mkv": KEY,
        "repeated.mkv": "it counts 10 frames, the index 8",
    },
    "torchcodec": {
        "reordered.ts": "it shows frame",
        "reordered.avi": "it shows frame",
        "h264_reordered.avi": "it shows frame",
        "open_groups.ts": LOST,
        "no_key_frames.mp4": START,
        "no_key_frames.ts": START,
        "reordered.asf": "it shows frame",
        "unordered.mp4": "it shows frame",
        "unordered.mkv": "it shows frame",
        "repeated.mkv": "it counts 10 frames, the index 8",
    },
    "pyav": {},
}
QUICK = {"film.mp4", "variable.webm", "late_audio.mov", "turned90.mp4", "odd.avi", "long.mp4"}
TRUSTED = [(name, sample) for name in DECODERS for sample in NAMES if sample not in REFUSED[name]]


def numbers(images):
    return [frame_number(image) for image in images]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_is_the_one_in_the_table(sample, decoder, name):
    verdict = check_decoder(sample(name).path, sample(name).probe, decoder)
    reason = REFUSED[decoder].get(name)
    assert verdict.trusted == (reason is None), verdict.reason
    assert verdict.reason.startswith(reason or "")
    assert str(sample(name).path.parent) not in verdict.reason


SOME = [pytest.param(decoder, name, marks=[] if name in QUICK else [pytest.mark.slow]) for decoder, name in TRUSTED]


@pytest.mark.parametrize(("decoder", "name"), TRUSTED)
class TestEveryFrame:
    def test_every_frame_is_the_one_asked_for(self, sample, decoder, name):
        made = sample(name)
        clock = made.probe.clock
        found = read(made.path, clock, clock.t_ns, decoder=decoder, fallback=False)
        assert numbers(found.data) == list(made.numbers)
        assert found.t_ns.tolist() == list(made.t_ns)
        assert found.index.tolist() == list(range(len(clock)))
        assert found.decoder == decoder
        assert found.data.shape[1:] == (*made.probe.upright_size[::-1], 3)
        assert {channel_order(image) for image in found.data} == {"rgb"}


@pytest.mark.parametrize(("decoder", "name"), SOME)
class TestEveryWay:
    def test_frames_one_by_one_and_backwards(self, sample, decoder, name):
        made = sample(name)
        clock = made.probe.clock
        for index in [*range(len(clock))][:: -max(1, len(clock) // 8)]:
            found = read(made.path, clock, [clock.time_of(index)], decoder=decoder, fallback=False)
            assert numbers(found.data) == [made.numbers[index]]

    def test_a_size_is_upright_and_shows_the_same(self, sample, decoder, name):
        made = sample(name)
        clock = made.probe.clock
        found = read(made.path, clock, [0, clock.end_ns - 1], size=(128, 96), decoder=decoder, fallback=False)
        assert found.data.shape == (2, 96, 128, 3)
        assert numbers(found.data) == [made.numbers[0], made.numbers[-1]]

    def test_a_scan_is_a_pass_in_order(self, sample, decoder, name):
        made = sample(name)
        size = analysis_size(*made.probe.upright_size, long_side=128)
        frames = list(scan(made.path, made.probe.clock, size=size, decoder=decoder))
        assert numbers(frame.image for frame in frames) == list(made.numbers)
        assert [frame.t_ns for frame in frames] == list(made.t_ns)
        assert {frame.image.shape for frame in frames} == {(size[1], size[0], 3)}
        assert {channel_order(frame.image) for frame in frames} == {"bgr"}
        assert frame_number(frames[-1].full()) == made.numbers[-1]


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=25)
@given(data=st.data())
def test_any_times_in_any_order_with_repeats(sample, decoder, data):
    made = sample(data.draw(st.sampled_from([name for by, name in TRUSTED if by == decoder])))
    clock = made.probe.clock
    times = data.draw(st.lists(st.integers(0, clock.end_ns - 1), min_size=1, max_size=8))
    found = read(made.path, clock, times, decoder=decoder, fallback=False)
    on_screen = [max(k for k, t in enumerate(made.t_ns) if t <= time) for time in times]
    assert found.index.tolist() == on_screen
    assert found.t_ns.tolist() == [made.t_ns[k] for k in on_screen]
    assert numbers(found.data) == [made.numbers[k] for k in on_screen]


@pytest.mark.parametrize(("decoder", "name"), [(by, name) for by, names in REFUSED.items() for name in names])
def test_what_is_refused_is_read_by_pyav(sample, decoder, name, caplog):
    made = sample(name)
    clock = made.probe.clock
    times = [clock.end_ns - 1, 0, clock.end_ns // 2]
    with pytest.raises(VideoError) as caught:
        read(made.path, clock, times, decoder=decoder, fallback=False)
    assert caught.value.code in {"decoder_untrusted", "decoder_failed", "decoder_hung", "decoder_crashed"}
    found = read(made.path, clock, times, decoder=decoder)
    assert found.decoder == "pyav"
    assert numbers(found.data) == [made.numbers[k] for k in found.index]
    assert "PyAV reads instead" in caplog.text


@pytest.mark.parametrize("decoder", DECODERS)
def test_colours_agree_to_the_level(sample, decoder):
    for name in ("plain.mp4", "film_audio.mkv", "turned90.mp4", "plain.webm"):
        made = sample(name)
        clock = made.probe.clock
        mine = read(made.path, clock, [0, NS_PER_S // 2], decoder=decoder, fallback=False).data
        right = read(made.path, clock, [0, NS_PER_S // 2], decoder="pyav").data
        assert np.array_equal(mine, right)
