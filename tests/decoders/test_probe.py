"""Probing: the truth of drawn videos, the table of real ones, and every way in which a file can be wrong."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av.stream import Disposition

from datasets_build.core.clock import NS_PER_S
from datasets_build.decoders.frames import VideoError
from datasets_build.decoders.probe import probe
from tests.decoders.samples import MADE, SPECS, encode, film_texture, mux_at
from tests.drawn import VideoSpec, draw_video, expected

SECOND = NS_PER_S


def codes(found):
    return [problem.code for problem in found.problems]


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("name", SPECS)
def test_a_drawn_video_is_what_it_was_drawn_as(sample, name):
    found = sample(name).probe
    truth = expected(sample(name).path, SPECS[name])
    clock = found.clock
    assert clock.t_ns.tolist() == list(truth.t_ns)
    assert clock.end_ns == found.duration_ns == truth.end_ns
    assert found.n_frames == len(truth.numbers)
    assert found.time_base == truth.time_base
    # AVI stores no times: its frames are counted from 0, where its demuxer would make up another start.
    assert np.array_equal(found.pts - found.pts[0], np.array(truth.pts) - truth.pts[0])
    assert name.endswith(".avi") or found.pts.tolist() == list(truth.pts)
    assert (found.width, found.height) == truth.coded_size
    assert (found.upright_size, found.rotation_deg) == (truth.size, truth.rotation)
    assert found.status == "ok"
    assert set(codes(found)) <= {"header_count_differs"}
    assert (found.audio is not None) == SPECS[name].audio
    assert found.is_vfr == bool(SPECS[name].durations)
    # Times are rounded one by one, the gap from its ticks.
    assert abs(found.max_gap_ns - max((b - a for a, b in pairwise(truth.t_ns)), default=0)) <= 1


@pytest.mark.parametrize("name", MADE)
def test_a_video_of_odd_structure_keeps_its_frames(sample, name):
    found = sample(name).probe
    assert found.n_frames == len(sample(name).numbers)
    assert not found.audio


def test_names_are_those_of_formats_and_codecs_not_of_their_implementations(sample):
    assert (sample("plain.webm").probe.container, sample("plain.webm").probe.codec) == ("matroska", "vp9")
    assert (sample("hevc.mp4").probe.container, sample("hevc.mp4").probe.codec) == ("mov", "hevc")
    assert (sample("plain.ts").probe.container, sample("plain.ts").probe.pixel_format) == ("mpegts", "yuv420p")
    assert sample("fast_audio.mp4").probe.audio.codec == "aac"
    assert sample("fast_audio.mp4").probe.audio.sample_rate == 48_000
    assert sample("fast_audio.mp4").probe.audio.channels == 1


def test_reorder_depth_follows_b_frames(sample):
    assert sample("plain.mp4").probe.reorder_depth == 0
    assert sample("film.mp4").probe.reorder_depth == 2
    assert sample("ntsc.mov").probe.reorder_depth == 3


def test_a_late_start_is_told_on_the_containers_own_timeline(sample):
    assert sample("late.mp4").probe.start_offset_ns == 10 * SECOND // 25
    assert sample("late.mkv").probe.start_offset_ns == 10 * SECOND // 25
    # A transport stream's clock starts anywhere; its first stream starts its timeline.
    assert sample("late.ts").probe.start_offset_ns == 0
    assert sample("late.ts").probe.start_pts == 90 * 90_000 // 25
    assert sample("late_audio.mov").probe.start_offset_ns == round(10 * SECOND * 1001 / 30_000)


def test_audio_is_placed_against_the_first_picture(sample):
    late = sample("late_audio.mov").probe
    assert late.audio.start_offset_ns == -late.start_offset_ns
    assert 0 <= sample("film_audio.mkv").probe.audio.start_offset_ns < SECOND // 20


def test_the_average_rate_is_frames_over_duration(sample):
    assert sample("ntsc.mov").probe.avg_fps == Fraction(30_000, 1001)
    assert sample("plain.mp4").probe.avg_fps == 25
    variable = sample("variable.mp4").probe
    assert variable.avg_fps == Fraction(variable.n_frames * 60, 48)


def test_a_single_frame_lasts_as_long_as_it_says(sample):
    found = sample("one_frame.mp4").probe
    assert found.clock.t_ns.tolist() == [0]
    assert found.clock.end_ns == SECOND // 25
    assert (found.max_gap_ns, found.max_jitter_ns, found.is_vfr) == (0, 0, False)


def test_probing_twice_gives_the_same(sample):
    for name in ("film.mp4", "open_groups.ts"):
        one, other = probe(sample(name).path), probe(sample(name).path)
        assert np.array_equal(one.pts, other.pts)
        assert one.problems == other.problems
        assert one.status == other.status


def test_unordered_times_are_sorted_and_said(sample):
    for name in ("unordered.mp4", "unordered.mkv"):
        found = sample(name).probe
        assert codes(found) == ["unordered_pts"]
        assert found.status == "ok"
        assert (np.diff(found.pts) > 0).all()


def test_a_time_given_twice_costs_the_later_frame_and_is_said(sample):
    found = sample("repeated.mkv").probe
    assert codes(found) == ["duplicate_pts"]
    assert found.problems[0].at_ns == SECOND // 25
    assert found.status == "degraded"
    assert found.n_frames == 8


def refusal(path):
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value.code


def test_what_is_no_video_is_refused_by_name(tmp_path):
    path = tmp_path / "a.mp4"
    assert refusal(path) == "no_such_file"
    path.write_bytes(b"")
    assert refusal(path) == "empty_file"
    path.write_text("Dear diary, today I renamed a text file.\n" * 50)
    assert refusal(path) == "not_a_video"
    text = tmp_path / "a.txt"
    text.write_text("A text file is a film for FFmpeg's typewriter.\n" * 50)
    assert refusal(text) == "not_a_video"
    assert refusal(tmp_path) == "no_such_file"


def test_a_picture_is_no_video(tmp_path):
    import cv2

    for name in ("a.png", "a.jpg", "a.bmp"):
        cv2.imwrite(str(tmp_path / name), np.zeros((40, 60, 3), np.uint8))
        assert refusal(tmp_path / name) == "not_a_video"


def test_a_recording_that_was_not_finished_is_told_apart(tmp_path):
    draw_video(tmp_path / "a.mp4", VideoSpec(frames=100))
    assert refusal(cut(tmp_path / "a.mp4", 0.5)) == "moov_missing"


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48_000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate, silence.pts = 48_000, 0
        out.mux(stream.encode(silence))
        out.mux(stream.encode(None))
    assert refusal(path) == "no_video_stream"


def test_a_stream_without_times_is_refused(tmp_path):
    encode(tmp_path / "a.h264", "libx264", {"bf": "2"}, frames=20)
    assert refusal(tmp_path / "a.h264") == "no_timestamps"


def test_a_stream_of_rubbish_has_no_frames(tmp_path):
    path = tmp_path / "a.mkv"
    draw_video(path, VideoSpec(frames=10))
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for place, size in places:
        content[place : place + size + 8] = b"\xff" * (size + 8)
    path.write_bytes(content)
    assert refusal(path) in {"no_frames", "not_a_video", "cannot_open"}


def test_cover_art_is_passed_over(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        film = out.add_stream("libx264", rate=25)
        film.width, film.height, film.pix_fmt = 160, 120, "yuv420p"
        still = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        out.mux(cover.encode(still))
        out.mux(cover.encode(None))
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 20 * number, np.uint8), format="rgb24")
            frame.pts = number
            out.mux(film.encode(frame))
        out.mux(film.encode(None))
    found = probe(path)
    assert (found.codec, found.n_frames, found.width) == ("h264", 10, 160)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.avi"])
@pytest.mark.parametrize("audio", [False, True])
def test_a_file_cut_short_is_told_by_its_header(tmp_path, name, audio):
    codec = {"a.webm": "vp9", "a.avi": "mpeg4"}.get(name, "h264")
    draw_video(tmp_path / name, VideoSpec(frames=150, codec=codec, audio=audio))
    assert probe(tmp_path / name).problems == ()
    found = probe(cut(tmp_path / name, 0.6))
    assert 60 < found.n_frames < 120
    assert "truncated" in codes(found)
    assert found.status == "degraded"
    told = next(problem for problem in found.problems if problem.code == "truncated")
    assert told.at_ns == found.duration_ns


def test_a_last_packet_cut_in_two_is_told(tmp_path):
    # FFmpeg's threads keep quiet about an error at the very end of a stream.
    path = tmp_path / "a.mp4"
    film_texture(path, {"preset": "ultrafast", "crf": "30", "g": "30", "bf": "0"}, container="+faststart")
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    place, _ = places[60]
    path.write_bytes(path.read_bytes()[: place + 7])
    found = probe(path)
    assert found.n_frames == 60
    assert codes(found) == ["decode_error", "corrupt_packets", "lost_frames", "header_count_differs", "truncated"]
    assert {problem.at_ns for problem in found.problems[:3]} == {60 * SECOND // 25}


def damage(path, *, packets):
    """Overwrite the middle of some packets of the video stream, as a bad disk would."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for number in packets:
        place, size = places[number]
        content[place + 4 : place + size] = bytes((7 * k) % 251 for k in range(size - 4))
    path.write_bytes(content)


def test_damage_in_the_middle_costs_no_frame_behind_it(tmp_path):
    path = tmp_path / "a.mp4"
    draw_video(path, VideoSpec(frames=100, gop=10))
    damage(path, packets=[33, 55])
    found = probe(path)
    assert found.status == "degraded"
    assert found.n_frames >= 97
    assert found.clock.end_ns == 4 * SECOND
    places = [problem.at_ns for problem in found.problems if problem.code in ("decode_error", "corrupt_frames")]
    assert places
    assert all(place is not None and 33 * SECOND // 25 <= place <= 56 * SECOND // 25 for place in places)


def test_damage_is_told_the_same_each_time(tmp_path):
    path = tmp_path / "a.mp4"
    draw_video(path, VideoSpec(frames=100, gop=10, b_frames=2))
    damage(path, packets=[13, 14, 41])
    first = probe(path)
    for _ in range(3):
        again = probe(path)
        assert again.problems == first.problems
        assert np.array_equal(again.pts, first.pts)


def test_a_lost_start_is_not_passed_over_in_silence(tmp_path):
    # Cut before the first key frame: the frames until the next one cannot be decoded.
    path = tmp_path / "a.ts"
    draw_video(path, VideoSpec(frames=60, gop=20))
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    tables = content[: positions[0]]
    path.write_bytes(tables + content[positions[5] :])
    found = probe(path)
    assert found.n_frames < 60
    assert found.status == "degraded"
    assert {"lost_frames", "corrupt_frames"} & set(codes(found))


def test_a_gap_in_a_transport_stream_is_told_where_the_packets_count_it(tmp_path):
    path = tmp_path / "a.ts"
    draw_video(path, VideoSpec(frames=60, gop=10))
    assert codes(probe(path)) == []
    content = path.read_bytes()
    packets = len(content) // 188
    path.write_bytes(content[: packets // 2 * 188] + content[(packets // 2 + 9) * 188 :])
    found = probe(path)
    assert found.status == "degraded"
    (gap,) = [problem for problem in found.problems if problem.code == "corrupt_packets"]
    assert gap.at_ns is not None
    assert abs(gap.at_ns - 30 * SECOND // 25) < 10 * SECOND // 25


def test_a_playlist_is_no_video_though_what_it_names_is_one(tmp_path):
    draw_video(tmp_path / "a.mp4", VideoSpec(frames=5))
    path = tmp_path / "b.mp4"
    path.write_text("ffconcat version 1.0\nfile a.mp4\n")
    assert refusal(path) == "not_a_video"
    with pytest.raises(VideoError, match="playlist"):
        probe(path)


def test_a_change_of_size_is_told(tmp_path):
    for name, size, start in (("a.ts", (160, 120), 0), ("b.ts", (320, 240), 30)):
        draw_video(tmp_path / name, VideoSpec(size=size, start=start))
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    found = probe(joined)
    assert found.n_frames == 60
    assert "size_changes" in codes(found)
    assert found.upright_size == (160, 120)


def test_an_error_names_the_file_and_survives_a_process_boundary():
    import pickle

    error = pickle.loads(pickle.dumps(VideoError("no_frames", "a.mp4: not one frame decodes")))
    assert (error.code, str(error)) == ("no_frames", "a.mp4: not one frame decodes")
    assert isinstance(error, VideoError)


def test_order_in_the_file_does_not_matter(tmp_path):
    mux_at(tmp_path / "a.mkv", [0, 1, 2, 3, 4, 5])
    mux_at(tmp_path / "b.mkv", [5, 0, 1, 2, 3, 4])
    assert np.array_equal(probe(tmp_path / "a.mkv").pts, probe(tmp_path / "b.mkv").pts)
