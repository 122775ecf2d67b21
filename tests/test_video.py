"""The interface to video: who reads, what happens when he may not, and that it works from threads and forks."""

import logging
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from datasets_build import video
from datasets_build.core.clock import NS_PER_S, TimeError
from datasets_build.core.files import DataError
from datasets_build.core.records import DecoderTrust, Video
from datasets_build.decoders import decord, pyav
from datasets_build.decoders.lanes import LANES
from datasets_build.decoders.remote import Remote
from datasets_build.video import (
    DECODERS,
    Decoder,
    VideoError,
    analysis_size,
    check_decoder,
    decoder_for,
    probe,
    read,
    scan,
)
from tests.decoders import fake
from tests.decoders.samples import make_sample
from tests.drawn import frame_number


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    yield cache(lambda name: make_sample(folder, name))
    LANES.close()


def numbers(images):
    return [frame_number(image) for image in images]


class Broken:
    """A decoder that fails in a chosen way, once it has been trusted."""

    def __init__(self, code):
        self.code = code

    def read(self, path, clock, indices, *, size, deadline_s):
        raise VideoError(self.code, f"{path}: broken")

    def scan(self, path, clock, *, size):
        raise VideoError(self.code, f"{path}: broken")

    def doubt(self, path):
        return None


def test_every_decoder_keeps_the_interface():
    for name, decoder in DECODERS.items():
        typed: Decoder = decoder
        assert callable(typed.read), name
    assert set(DECODERS) == {"decord", "pyav", "torchcodec"}


def test_the_frame_on_screen_is_the_last_one_shown(sample):
    made = sample("variable.mp4")
    clock = made.probe.clock
    for index in (0, 4, 7, 19):
        start, end = clock.time_of(index), clock.time_of(index + 1)
        found = read(made.path, clock, [start, (start + end) // 2, end - 1], decoder="pyav")
        assert numbers(found.data) == [made.numbers[index]] * 3
        assert found.t_ns.tolist() == [start] * 3


def test_times_keep_their_order_and_repeats(sample):
    made = sample("plain.mp4")
    times = [k * NS_PER_S // 25 for k in (9, 2, 2, 29, 0, 9)]
    found = read(made.path, made.probe.clock, times, decoder="pyav", size=(96, 72))
    assert numbers(found.data) == [9, 2, 2, 29, 0, 9]
    assert found.data.shape == (6, 72, 96, 3)
    assert found.index.tolist() == [9, 2, 2, 29, 0, 9]


def test_no_times_give_no_frames(sample):
    made = sample("plain.mp4")
    found = read(made.path, made.probe.clock, [], size=(96, 72))
    assert found.data.shape == (0, 72, 96, 3)
    assert len(found.t_ns) == len(found.index) == 0


def test_a_time_outside_is_refused(sample):
    made = sample("plain.mp4")
    clock = made.probe.clock
    for time in (-1, clock.end_ns):
        with pytest.raises(TimeError):
            read(made.path, clock, [0, time])


def test_an_unknown_decoder_is_named_with_those_that_exist(sample):
    made = sample("plain.mp4")
    for call in (
        lambda: read(made.path, made.probe.clock, [0], decoder="magic"),
        lambda: scan(made.path, made.probe.clock, size=None, decoder="magic"),
        lambda: check_decoder(made.path, made.probe, "magic"),
    ):
        with pytest.raises(VideoError, match="'magic' is unknown, expected one of decord, pyav, torchcodec"):
            call()


@pytest.mark.parametrize("code", ["decoder_crashed", "decoder_hung", "decoder_failed", "decoder_unavailable"])
def test_pyav_steps_in_and_says_so(sample, monkeypatch, caplog, code):
    made = sample("plain.mp4")
    monkeypatch.setitem(DECODERS, "decord", Broken(code))
    monkeypatch.setattr(video, "_VERDICTS", video.Verdicts())
    with caplog.at_level(logging.WARNING):
        found = read(made.path, made.probe.clock, [0, 40_000_000])
    assert found.decoder == "pyav"
    assert numbers(found.data) == [0, 1]
    assert "broken; PyAV reads instead" in caplog.text
    with pytest.raises(VideoError) as caught:
        read(made.path, made.probe.clock, [0], fallback=False)
    assert caught.value.code == code


def test_a_crash_of_the_real_thing_costs_no_frame(sample, monkeypatch, caplog, tmp_path):
    made = sample("plain.mp4")
    crashing = Remote("crashing", ready=fake.ready, survey=_crash, pictures=fake.pictures)
    monkeypatch.setitem(DECODERS, "decord", _Module(crashing))
    monkeypatch.setattr(video, "_VERDICTS", video.Verdicts())
    assert numbers(read(made.path, made.probe.clock, [0]).data) == [0]
    assert "crashing crashed: the process ended with SIGSEGV" in caplog.text


class _Module:
    def __init__(self, remote):
        self.read, self.scan = remote.read, remote.scan

    def doubt(self, path):
        return None


def _crash(path):
    fake._misbehave("crash")


def test_a_name_is_checked_once_per_file_and_process(sample, monkeypatch):
    made = sample("film.mp4")
    calls = []
    honest = video.find_fault
    monkeypatch.setattr(video, "find_fault", lambda *a, **k: calls.append(a) or honest(*a, **k))
    monkeypatch.setattr(video, "_VERDICTS", video.Verdicts())
    for _ in range(3):
        assert read(made.path, made.probe.clock, [0], decoder="decord", fallback=False).decoder == "decord"
    assert len(calls) == 1


def test_a_verdict_of_the_index_is_taken_as_it_stands(sample, monkeypatch):
    made = sample("film.mp4")
    monkeypatch.setattr(video, "find_fault", lambda *_, **__: pytest.fail("checked again"))
    trusted = DecoderTrust(name="decord", trusted=True)
    assert read(made.path, made.probe.clock, [0], decoder=trusted).decoder == "decord"
    refused = DecoderTrust(name="decord", trusted=False, reason="it counts 3 frames, the index 4")
    assert read(made.path, made.probe.clock, [0], decoder=refused).decoder == "pyav"
    with pytest.raises(VideoError, match="decord is not trusted: it counts 3 frames"):
        read(made.path, made.probe.clock, [0], decoder=refused, fallback=False)


def test_a_pass_asks_for_trust_as_well(sample):
    made = sample("open_groups.mp4")
    with pytest.raises(VideoError, match="decord is not trusted: the key frame stored at place 17"):
        scan(made.path, made.probe.clock, size=None, decoder="decord")
    refused = DecoderTrust(name="torchcodec", trusted=False, reason="no")
    with pytest.raises(VideoError, match="torchcodec is not trusted: no"):
        scan(made.path, made.probe.clock, size=None, decoder=refused)
    shown = scan(made.path, made.probe.clock, size=None, decoder=DecoderTrust(name="pyav", trusted=True))
    assert [frame.index for frame in shown] == list(range(75))


def test_the_fallback_takes_the_time_it_needs(sample, monkeypatch):
    made = sample("plain.mp4")
    refused = DecoderTrust(name="decord", trusted=False, reason="no")
    assert numbers(read(made.path, made.probe.clock, [0], decoder=refused, deadline_s=0.0).data) == [0]


def test_even_a_trusted_decoder_is_held_against_the_clock(sample):
    # A verdict from an older file of the same name must not let wrong frames through.
    made = sample("hidden.mp4")
    with pytest.raises(VideoError, match="counts 30 frames, the index 25"):
        read(made.path, made.probe.clock, [0], decoder=DecoderTrust(name="decord", trusted=True), fallback=False)


@pytest.mark.slow
def test_damage_is_a_refusal(sample):
    made = sample("repeated.mkv")
    assert not check_decoder(made.path, made.probe, "torchcodec").trusted
    assert check_decoder(made.path, made.probe, "pyav") == DecoderTrust(name="pyav", trusted=True)


def test_a_reason_names_no_folder_and_no_hour(sample):
    made = sample("h264.avi")
    reason = check_decoder(made.path, made.probe, "decord").reason
    assert str(made.path.parent) not in reason
    assert reason == check_decoder(made.path, made.probe, "decord").reason


def _video(**changes):
    base = {
        "id": "v", "video_id": "v", "source": "folder", "uri": "a.mp4", "sha256": "0" * 64, "bytes": 1,
        "container": "mov", "codec": "h264", "pixel_format": "yuv420p", "width": 160, "height": 120,
        "sar_num": 1, "sar_den": 1, "rotation_deg": 0, "time_base_num": 1, "time_base_den": 25, "start_pts": 0,
        "start_offset_ns": 0, "duration_ns": NS_PER_S, "n_frames": 25, "header_frames": 25, "avg_fps_num": 25,
        "avg_fps_den": 1, "is_vfr": False, "max_gap_ns": 1, "max_jitter_ns": 0, "reorder_depth": 0, "audio": None,
        "pts_index": "pts/v.npy", "licence": "", "group": "g", "split": "train", "status": "ok",
    }  # fmt: skip
    return Video(**{**base, **changes})


def test_the_index_says_who_reads():
    good, bad = DecoderTrust(name="decord", trusted=True), DecoderTrust(name="torchcodec", trusted=False, reason="no")
    checked = _video(decoders=(good, bad))
    assert decoder_for(checked) == good
    assert decoder_for(checked, "torchcodec").name == "pyav"
    assert decoder_for(_video()).name == "pyav"
    assert decoder_for(checked, "pyav").trusted


def test_a_video_error_is_a_data_error():
    assert issubclass(VideoError, DataError)


def test_what_cannot_be_opened_is_said_by_all(tmp_path, sample):
    clock = sample("plain.mp4").probe.clock
    path = tmp_path / "gone.mp4"
    for call in (
        lambda: probe(path),
        lambda: next(scan(path, clock, size=None)),
        lambda: scan(path, clock, size=None, decoder="decord"),
        lambda: read(path, clock, [0], decoder="pyav"),
        lambda: read(path, clock, [0], decoder="decord"),
    ):
        with pytest.raises(VideoError, match=r"gone\.mp4: no such file") as caught:
            call()
        assert caught.value.code == "no_such_file"


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_many_threads_read_at_once(sample, decoder):
    made = sample("long.mp4")
    clock = made.probe.clock
    trust = DecoderTrust(name=decoder, trusted=True)

    def ask(index):
        return numbers(read(made.path, clock, [clock.time_of(index)], decoder=trust, fallback=False).data)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(0, 150, 7))) == [[index] for index in range(0, 150, 7)]


def _read_in_child(path, clock, index, out):
    found = read(path, clock, [clock.time_of(index)], decoder="decord", fallback=False)
    out.put((index, frame_number(found.data[0]), found.decoder))
    LANES.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_forked_children_read_with_workers_of_their_own(sample):
    made = sample("long.mp4")
    clock = made.probe.clock
    assert numbers(read(made.path, clock, [0], decoder="decord", fallback=False).data) == [0]
    mine = LANES.get("decord", pytest.fail).pid
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    children = [context.Process(target=_read_in_child, args=(made.path, clock, k, answers)) for k in (30, 60, 90)]
    for child in children:
        child.start()
    assert sorted(answers.get(timeout=300) for _ in children) == [(k, k, "decord") for k in (30, 60, 90)]
    for child in children:
        child.join(30)
    assert numbers(read(made.path, clock, [NS_PER_S], decoder="decord", fallback=False).data) == [25]
    assert LANES.get("decord", pytest.fail).pid == mine


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_data_loader_reads(sample):
    from torch.utils.data import DataLoader

    made = sample("long.mp4")
    clock = made.probe.clock

    class Numbers:
        def __len__(self):
            return 40

        def __getitem__(self, index):
            found = read(made.path, clock, [clock.time_of(3 * index)], decoder="decord", fallback=False)
            return frame_number(found.data[0])

    loader = DataLoader(Numbers(), batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert list(loader) == [3 * k for k in range(40)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), (160, 90)),
        ((1080, 1920), (90, 160)),
        ((640, 360), (160, 90)),
        ((100, 50), (100, 50)),
        ((101, 51), (100, 50)),
        ((4000, 10), (160, 2)),
        ((1, 1), (2, 2)),
    ],
)
def test_the_analysis_size_keeps_the_shape(size, expected):
    assert analysis_size(*size) == expected


def test_pyav_is_never_held_against_itself(sample, monkeypatch):
    made = sample("plain.mp4")
    monkeypatch.setattr(video, "find_fault", lambda *_, **__: pytest.fail("checked"))
    assert read(made.path, made.probe.clock, [0], decoder="pyav").decoder == "pyav"
    assert pyav.doubt(made.path) is None
    assert np.array_equal(read(made.path, made.probe.clock, [0], decoder="pyav").t_ns, [0])
    assert decord.doubt(made.path) is None
