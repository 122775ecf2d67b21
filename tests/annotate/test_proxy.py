"""Every frame of a proxy shows the source frame that its map says; what was made is found again or told to be wrong."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotate import proxy
from annotate.errors import AnnotateError
from annotate.pace import unseen
from annotate.proxy import (
    ProxyConfig,
    ProxyError,
    UnshownError,
    check_proxy,
    make_proxy,
    proxy_path,
    source_time,
    to_proxy_frame,
)
from augment.encode import CODINGS, Film, encode
from datasets_build.core.clock import Span
from datasets_build.video import VideoError, scan
from tests.annotate.films import indexed, numbers, pictures, small
from tests.builders.made import steady
from tests.drawn import FILM, NTSC, NTSC60, VideoSpec, draw_number, draw_video
from tests.laws import examples
from tests.recipes.disks import small_disk

MS = Fraction(1, 1000)
SIZE = (64, 48)
UNEVEN = tuple(17 + 37 * k % 61 for k in range(24))
TOO_FAST = tuple((4, 9, 31)[k * k % 3] for k in range(24))


def spec(**what):
    return VideoSpec(**{"frames": 24, "size": SIZE, **what})


# What is drawn, and the rate that is expected of its proxy.
SOURCES = {
    "pal.mp4": (spec(), 25),
    "thirty.mp4": (spec(rate=Fraction(30)), 30),
    "film.mp4": (spec(rate=FILM), FILM),
    "ntsc.mp4": (spec(rate=NTSC, b_frames=2), NTSC),
    "ntsc_ms.mkv": (spec(rate=NTSC, b_frames=2, frames=60), NTSC),
    "ntsc60.mp4": (spec(rate=NTSC60), NTSC60),
    "slow.mp4": (spec(rate=Fraction(1, 3), frames=4), 1),
    "variable.mp4": (spec(durations=UNEVEN, time_base=MS), None),
    "variable.mkv": (spec(durations=UNEVEN, time_base=MS, b_frames=2), None),
    "sixty.mp4": (spec(durations=(17, 16, 15, 19, 14, 18) * 4, time_base=MS), None),
    "too_fast.mp4": (spec(durations=TOO_FAST, time_base=MS), 60),
    "late.mp4": (spec(start=7), 25),
    "edited.mp4": (spec(hidden=5, gop=30), 25),
    "turned.mp4": (spec(rotation=90), 25),
    "turned.mov": (spec(rotation=270, size=(48, 82)), 25),
    "upside_down.mp4": (spec(rotation=180), 25),
    "odd.mp4": (spec(size=(65, 49), pixel_format="yuv444p"), 25),
    "odd_turned.mp4": (spec(size=(49, 65), pixel_format="yuv444p", rotation=90), 25),
    "one.mp4": (spec(frames=1), 25),
    "hevc.mp4": (spec(codec="hevc", b_frames=2), 25),
    "vp9.webm": (spec(codec="vp9", rate=NTSC), None),
    "reordered.avi": (spec(b_frames=2), 25),
    "broadcast.ts": (spec(b_frames=2, start=90), 25),
    "heard.mp4": (spec(audio=True), 25),
}


def whole(clock):
    return Span(start_ns=0, end_ns=clock.end_ns)


def part(clock, first, stop):
    return Span(start_ns=clock.time_of(first), end_ns=clock.time_of(stop))


@pytest.fixture(scope="module")
def pal(tmp_path_factory):
    path = tmp_path_factory.mktemp("pal") / "pal.mp4"
    draw_video(path, spec(frames=60))
    return path, *indexed(path)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A video that does not pack well."""
    path = tmp_path_factory.mktemp("noise") / "noise.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (12, 120, 160, 3)).astype(np.uint8)
    encode(path, noise, Film(clock=steady(12 / 25), coding=CODINGS["h264"]))
    return path, *indexed(path)


def shows_what_its_map_says(folder, window, clock, truth):
    found = numbers(folder, window)
    shown = [clock.index_at(source_time(window, clock, k)) for k in range(window.frames)]
    assert found == [truth.numbers[index] for index in shown]
    inside = clock.frames_in(Span(start_ns=window.start_ns, end_ns=window.end_ns))
    assert sorted({*shown, *unseen(window, clock)}) == list(inside)
    for index in set(shown):
        t_ns = clock.time_of(index)
        assert source_time(window, clock, to_proxy_frame(window, t_ns)) == t_ns


@pytest.mark.parametrize("name", SOURCES)
def test_each_frame_shows_the_source_frame_that_the_map_says(tmp_path, name):
    drawn, rate = SOURCES[name]
    path = tmp_path / name
    truth = draw_video(path, drawn)
    size = tuple(side // 2 * 2 for side in drawn.size)
    video, clock = indexed(path)
    folder = tmp_path / "proxies"
    for span in {whole(clock), part(clock, len(clock) // 3, len(clock) * 2 // 3 + 1)}:
        window = make_proxy(path, video, clock, span=span, folder=folder)
        assert (window.video_id, window.start_ns, window.end_ns) == (video.video_id, span.start_ns, span.end_ns)
        assert (window.width, window.height) == size
        assert rate is None or Fraction(window.fps_num, window.fps_den) == rate
        shows_what_its_map_says(folder, window, clock, truth)
        check_proxy(folder, window, decode=True)
        assert bool(unseen(window, clock)) == (name == "too_fast.mp4")


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_stretch_shows_what_its_map_says(tmp_path_factory, data):
    """Of a video with uneven times, which begins between key frames."""
    folder = tmp_path_factory.mktemp("any")
    stays = data.draw(st.lists(st.integers(17, 90), min_size=2, max_size=70))
    path = folder / f"any{data.draw(st.sampled_from(['.mp4', '.mkv']))}"
    b_frames = data.draw(st.integers(0, 2))
    truth = draw_video(path, spec(durations=tuple(stays), time_base=MS, b_frames=b_frames))
    video, clock = indexed(path)
    first = data.draw(st.integers(0, len(clock) - 1))
    span = part(clock, first, data.draw(st.integers(first + 1, len(clock))))
    shows_what_its_map_says(folder, make_proxy(path, video, clock, span=span, folder=folder), clock, truth)


def test_high_pictures_are_made_smaller_and_pixels_square(tmp_path):
    path = tmp_path / "high.mp4"
    truth = draw_video(path, VideoSpec(frames=3, size=(640, 1440)))
    video, clock = indexed(path)
    window = make_proxy(path, video, clock, span=whole(clock), folder=tmp_path)
    assert (window.width, window.height) == (320, 720)
    shows_what_its_map_says(tmp_path, window, clock, truth)
    wide = video.model_copy(update={"sar_num": 2})
    window = make_proxy(path, wide, clock, span=whole(clock), folder=tmp_path, config=ProxyConfig(most_long=300))
    assert (window.width, window.height) == (266, 300)
    shows_what_its_map_says(tmp_path, window, clock, truth)


@pytest.mark.parametrize("name", ["turned.mp4", "turned.mov", "pal.mp4"])
def test_colours_stay(tmp_path, name):
    drawn, _ = SOURCES[name]
    path = tmp_path / name
    draw_video(path, drawn)
    video, clock = indexed(path)
    shown = pictures(tmp_path, make_proxy(path, video, clock, span=part(clock, 3, 9), folder=tmp_path))
    for number, picture in enumerate(shown, start=3):
        assert np.abs(small(picture) - small(draw_number(number, drawn.size))).mean() < 8


def test_what_was_made_is_found_again(tmp_path, pal, monkeypatch):
    path, video, clock = pal
    span = part(clock, 5, 40)
    window = make_proxy(path, video, clock, span=span, folder=tmp_path)
    # No encoding: there is nothing to encode with.
    with monkeypatch.context() as patched:
        patched.setattr(proxy, "encode", None)
        assert make_proxy(path, video, clock, span=span, folder=tmp_path) == window
        namesake = video.model_copy(update={"id": "other", "video_id": "other"})
        found = make_proxy(path, namesake, clock, span=span, folder=tmp_path)
        assert found == window.model_copy(update={"video_id": "other"})
        for change in ({"span": part(clock, 5, 41)}, {"config": ProxyConfig(crf=30)}):
            with pytest.raises(TypeError):
                make_proxy(path, video, clock, **{"span": span, "folder": tmp_path, **change})
    assert make_proxy(path, video, clock, span=span, folder=tmp_path / "other") == window
    assert sorted(os.listdir(tmp_path)) == sorted(["made", "other", f"{window.proxy_sha256}.mp4"])


def test_a_lost_file_or_note_is_made_again(tmp_path, pal):
    path, video, clock = pal
    window = make_proxy(path, video, clock, span=whole(clock), folder=tmp_path)
    file, (note,) = proxy_path(tmp_path, window), list((tmp_path / "made").iterdir())
    content, told = file.read_bytes(), note.read_bytes()
    file.unlink()
    assert make_proxy(path, video, clock, span=whole(clock), folder=tmp_path) == window
    assert file.read_bytes() == content
    for torn in (None, b"", b"{}", told[:40]):
        note.unlink()
        if torn is not None:
            note.write_bytes(torn)
        assert make_proxy(path, video, clock, span=whole(clock), folder=tmp_path) == window
        assert (file.read_bytes(), note.read_bytes()) == (content, told)


def test_what_a_killed_run_left_is_written_over(tmp_path, pal):
    path, video, clock = pal
    window = make_proxy(path, video, clock, span=whole(clock), folder=tmp_path / "whole")
    (note,) = (tmp_path / "whole" / "made").iterdir()
    (tmp_path / "made").mkdir()
    sizes = (4000, proxy_path(tmp_path / "whole", window).stat().st_size + 9)
    for left in (f".{note.stem}.part", f".{window.proxy_sha256}.mp4.part", f"made/.{note.name}.part"):
        for size in sizes:
            (tmp_path / left).write_bytes(bytes(size))
            assert make_proxy(path, video, clock, span=whole(clock), folder=tmp_path) == window
            check_proxy(tmp_path, window, decode=True)
            proxy_path(tmp_path, window).unlink()
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


def test_a_changed_proxy_is_told_and_left(tmp_path, pal):
    path, video, clock = pal
    window = make_proxy(path, video, clock, span=whole(clock), folder=tmp_path)
    file, (note,) = proxy_path(tmp_path, window), list((tmp_path / "made").iterdir())
    content = file.read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])
    for torn in (changed, content[:-1], b""):
        file.write_bytes(torn)
        for prepare in (lambda: None, note.unlink):
            prepare()
            with pytest.raises(ProxyError, match="it was changed since it was made: delete it, make it again") as told:
                make_proxy(path, video, clock, span=whole(clock), folder=tmp_path)
            assert (told.value.file, told.value.expected) == (file, window.proxy_sha256)
            assert told.value.found.startswith("sha256 ")
            assert file.read_bytes() == torn
        note.write_text(window.model_dump_json())
    file.unlink()
    with pytest.raises(ProxyError, match="found no file, expected a proxy; make it again"):
        check_proxy(tmp_path, window)


def test_a_proxy_of_another_count_is_told(tmp_path, pal):
    """The window says a frame more than its file holds."""
    path, video, clock = pal
    window = make_proxy(path, video, clock, span=whole(clock), folder=tmp_path)
    more = window.model_copy(update={"frames": window.frames + 1})
    check_proxy(tmp_path, more)
    with pytest.raises(ProxyError, match="found 60 frames, expected 61; people would be shown other frames") as told:
        check_proxy(tmp_path, more, decode=True)
    assert (told.value.found, told.value.expected) == ("60 frames", "61")
    again = pickle.loads(pickle.dumps(told.value))
    assert (str(again), again.file, again.found) == (str(told.value), told.value.file, "60 frames")


def test_an_encoder_that_drops_a_frame_leaves_nothing(tmp_path, pal, monkeypatch):
    path, video, clock = pal
    right = proxy.encode
    monkeypatch.setattr(proxy, "encode", lambda aside, source, shown, *args, **more: right(
        aside, source, shown[:-1], *args, **more))  # fmt: skip
    with pytest.raises(UnshownError, match="found 59 frames, expected 60"):
        make_proxy(path, video, clock, span=whole(clock), folder=tmp_path)
    assert files(tmp_path) == []


def files(folder):
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


PAGE = 4096


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, noise):
    """At the start, in the middle, in the file's last page, and in the note behind it."""
    path, video, clock = noise
    window = make_proxy(path, video, clock, span=whole(clock), folder=tmp_path)
    pages = -(-proxy_path(tmp_path, window).stat().st_size // PAGE)
    for room in (1, pages // 2, pages - 1, pages, pages + 1):
        with small_disk(tmp_path / f"disk{room}", size=f"{room * PAGE // 1024}k") as disk:
            if room > pages:
                assert make_proxy(path, video, clock, span=whole(clock), folder=disk) == window
                continue
            with pytest.raises(ProxyError, match=r"found No space left on device.*make room and run again"):
                make_proxy(path, video, clock, span=whole(clock), folder=disk / "proxies")
            assert files(disk) == []


def test_a_foreign_file_is_refused(tmp_path, pal):
    _, video, clock = pal
    path = tmp_path / "longer.mp4"
    draw_video(path, spec(frames=61))
    with pytest.raises(UnshownError, match=r"found .* bytes, expected .*; it is not the indexed file: index"):
        make_proxy(path, video, clock, span=whole(clock), folder=tmp_path)
    with pytest.raises(VideoError, match="no such file"):
        make_proxy(tmp_path / "gone.mp4", video, clock, span=whole(clock), folder=tmp_path)
    assert files(tmp_path) == ["longer.mp4"]


def test_frames_that_no_longer_decode_are_told(tmp_path, pal):
    path, video, clock = pal
    content = bytearray(path.read_bytes())
    at = content.index(b"mdat") + 2000
    content[at : at + 4000] = bytes(4000)
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(content)
    with pytest.raises(VideoError, match="frames of the index no longer decode"):
        make_proxy(torn, video, clock, span=whole(clock), folder=tmp_path)
    assert files(tmp_path) == ["torn.mp4"]
    # The index of the torn file knows what there is.
    video, clock = indexed(torn)
    assert video.status == "degraded"
    window = make_proxy(torn, video, clock, span=whole(clock), folder=tmp_path)
    right = [small(frame.full()) for frame in scan(torn, clock, size=None)]
    for k, picture in enumerate(pictures(tmp_path, window)):
        assert np.abs(small(picture) - right[clock.index_at(source_time(window, clock, k))]).mean() < 4


def test_pictures_that_ffmpeg_does_not_convert_are_told(tmp_path):
    """Two pixels to a byte: FFmpeg reads such a film and makes nothing else of its pictures."""
    path = tmp_path / "packed.nut"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("rawvideo", rate=25, options={})
        stream.width, stream.height, stream.pix_fmt = 16, 8, "rgb4"
        for number in range(3):
            packet = av.Packet(bytes([number]) * 64)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            out.mux(packet)
    video, clock = indexed(path)
    with pytest.raises(VideoError, match=r"packed.nut: FFmpeg converts no pictures of rgb4 \(.*\); re-encode") as told:
        make_proxy(path, video, clock, span=whole(clock), folder=tmp_path / "proxies")
    assert told.value.code == "cannot_convert"
    assert files(tmp_path) == ["packed.nut"]


@pytest.mark.parametrize("ends", [(0, 0), (1, 80_000_000), (0, 80_000_001), (0, 2_400_000_001)])
def test_a_span_off_the_frames_is_refused(tmp_path, pal, ends):
    path, video, clock = pal
    span = Span(start_ns=ends[0], end_ns=ends[1])
    with pytest.raises(AnnotateError, match=r"found a window .* expected one of a frame or more, its ends on frames"):
        make_proxy(path, video, clock, span=span, folder=tmp_path)


MAKE = """
import sys
from pathlib import Path
from datasets_build.core.clock import Span
from annotate.proxy import make_proxy
from tests.annotate.films import indexed
path, folder = map(Path, sys.argv[1:])
video, clock = indexed(path)
print("ready", flush=True)
print(make_proxy(path, video, clock, span=Span(start_ns=0, end_ns=clock.end_ns), folder=folder).proxy_sha256)
"""


def run(path, folder):
    return subprocess.Popen([sys.executable, "-c", MAKE, str(path), str(folder)], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_that_make_the_same_at_once_make_it_once(tmp_path):
    path, folder = tmp_path / "long.mp4", tmp_path / "proxies"
    draw_video(path, VideoSpec(frames=300, size=(320, 240)))
    video, clock = indexed(path)
    window = make_proxy(path, video, clock, span=whole(clock), folder=tmp_path / "whole")
    both = [run(path, folder) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    seen = set()
    while any(process.poll() is None for process in both):
        # Whoever looks meanwhile sees no half of one.
        for found in folder.glob("*.mp4"):
            seen.add((found.name, found.stat().st_ino))
            check_proxy(folder, window, decode=True)
    for process in both:
        assert process.stdout.read() == f"{window.proxy_sha256}\n"
        assert process.wait() == 0
        process.stdout.close()
    final = proxy_path(folder, window)
    assert seen <= {(final.name, final.stat().st_ino)}  # the second one put nothing in its place
    assert sorted(files(folder)) == sorted(files(tmp_path / "whole"))
    assert final.read_bytes() == proxy_path(tmp_path / "whole", window).read_bytes()


@pytest.mark.slow
def test_killed_at_any_moment_and_repeated_it_gives_the_same_bytes(tmp_path):
    path, rng = tmp_path / "long.mp4", random.Random(6)
    draw_video(path, VideoSpec(frames=300, size=(320, 240)))
    video, clock = indexed(path)
    window = make_proxy(path, video, clock, span=whole(clock), folder=tmp_path / "whole")
    started = time.monotonic()
    make_proxy(path, video, clock, span=whole(clock), folder=tmp_path / "timed")
    took = time.monotonic() - started
    n_killed = 0
    for attempt in range(6):
        folder = tmp_path / f"killed{attempt % 2}"
        process = run(path, folder)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 1.2 * took))
        process.send_signal(signal.SIGKILL)
        n_killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
        for name in files(folder) if folder.exists() else ():
            assert name.startswith((".", "made/")) or name == f"{window.proxy_sha256}.mp4"
        if attempt >= 4:
            assert make_proxy(path, video, clock, span=whole(clock), folder=folder) == window
            check_proxy(folder, window, decode=True)
            assert sorted(files(folder)) == sorted(files(tmp_path / "whole"))
    assert n_killed >= 2


REAL = ["decord_video_90.mov", "gradio_b.avi", "imageio_realshort.mp4", "los_test1.mp4", "mb_frames.webm",
        "mdn_rabbit320.webm", "mpy_fire2.mp4", "skv_carphone_pristine.mp4", "tc_av1_video.mkv",
        "tc_bt2020_10bit.mp4", "tc_nasa_13013_rotated.mp4", "tc_test_non_zero_start.mp4", "imageio_newtonscradle.gif",
        "damaged_rabbit_truncated_60pct.mp4", "mb_edts.mp4"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_clips_show_the_frame_that_the_map_says(real_data, tmp_path, name):
    """A picture is nearest to the source frame that it should be, of those that differ from it at all."""
    path = real_data / "videos" / name
    video, clock = indexed(path)
    first, stop = (0, len(clock)) if len(clock) < 90 else (len(clock) // 2, len(clock) // 2 + 60)
    window = make_proxy(path, video, clock, span=part(clock, first, min(stop, len(clock))), folder=tmp_path)
    near = range(first - 2, stop + 2)
    source = {frame.index: small(frame.full()) for frame in scan(path, clock, size=None) if frame.index in near}
    for k, picture in enumerate(pictures(tmp_path, window)):
        index, shown = clock.index_at(source_time(window, clock, k)), small(picture)
        off = {near: np.abs(shown - source[near]).mean() for near in range(index - 2, index + 3) if near in source}
        assert off[index] < min(off.values()) + 0.5
        assert off[index] < 8
