"""Containers hold from end to end, and whatever breaks them is found at its place."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.decoders.container import open_source
from datasets_build.decoders.probe import probe
from datasets_build.decoders.structure import broken_at
from tests.drawn import VideoSpec, draw_video
from tests.perception.damaged import draw


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Whole films by container, as bytes."""
    folder = tmp_path_factory.mktemp("films")
    draw(folder)
    draw_video(folder / "sound.mkv", VideoSpec(audio=True, b_frames=2))
    draw_video(folder / "sound.ts", VideoSpec(audio=True, b_frames=2))
    draw_video(folder / "film.mov", VideoSpec())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


WATCHED = {
    "film.webm": "matroska",
    "sound.mkv": "matroska",
    "film.gif": "gif",
    "film.ts": "mpegts",
    "sound.ts": "mpegts",
}
# The PID that FFmpeg gives the first stream.
PID = 256


@pytest.fixture
def broken(tmp_path):
    """Where bytes break, as a container of some name."""

    def at(content, container):
        (tmp_path / "x").write_bytes(content)
        return broken_at(tmp_path / "x", container, PID)

    return at


@pytest.mark.parametrize("name", WATCHED)
def test_a_whole_film_holds(films, broken, name):
    assert broken(films[name], WATCHED[name]) is None


@pytest.mark.parametrize("name", WATCHED)
def test_a_film_that_ends_early_breaks_before_its_end(films, broken, name):
    content = films[name]
    for share in (0.2, 0.5, 0.9):
        end = int(share * len(content)) | 1
        place = broken(content[:end], WATCHED[name])
        assert place is not None, (name, end)
        assert place <= end


@pytest.mark.parametrize("name", WATCHED)
def test_zeros_in_the_middle_break_it_near_them(films, broken, name):
    content = films[name]
    first, length = len(content) // 2, len(content) // 5
    place = broken(content[:first] + bytes(length) + content[first + length :], WATCHED[name])
    assert place is not None
    # Matroska's segment begins long before; what is found is inside it.
    assert first - 6000 < place < first + length + 600


@pytest.mark.parametrize("container", ["mov", "avi", "mpeg"])
def test_containers_that_ffmpeg_watches_are_left_to_it(broken, container):
    assert broken(b"\x00" * 1000, container) is None


def test_the_shown_stream_of_a_real_probe_is_asked(films, tmp_path):
    content = bytearray(films["film.ts"])
    # Its 10th packet of pictures is taken out: sync stays, the count jumps.
    ours = [k for k in range(0, len(content), 188) if (content[k + 1] & 0x1F) << 8 | content[k + 2] == PID]
    del content[ours[10] : ours[10] + 188]
    (tmp_path / "a.ts").write_bytes(content)
    with open_source(tmp_path / "a.ts") as source:
        assert source.stream.id == PID
    (problem,) = [each for each in probe(tmp_path / "a.ts").problems if each.code == "broken_structure"]
    place = ours[11] - 188
    assert f"breaks off at byte {place} of {len(content)}" in problem.detail
    assert probe(tmp_path / "a.ts").status == "degraded"


def test_a_packet_that_comes_twice_is_no_gap_and_one_of_another_stream_is_not_ours(films, broken):
    content = films["sound.ts"]
    starts = range(0, len(content), 188)
    pids = {k: (content[k + 1] & 0x1F) << 8 | content[k + 2] for k in starts}
    one = [k for k in starts if pids[k] == PID][5]
    other = [k for k in starts if pids[k] == PID + 1][1]
    assert broken(content[:one] + content[one : one + 188] + content[one:], "mpegts") is None
    assert broken(content[:other] + content[other + 188 :], "mpegts") is None


def test_packets_with_a_time_before_them_or_check_bytes_behind(films, broken):
    content = films["film.ts"]
    packets = [content[k : k + 188] for k in range(0, len(content), 188)]
    timed = b"".join(b"\x00\x00\x00\x00" + packet for packet in packets)
    checked = b"".join(packet + b"\x11" * 16 for packet in packets)
    for whole in (timed, checked, content[100:]):
        assert broken(whole, "mpegts") is None
    for short in (timed[:-50], checked[:-50]):
        assert broken(short, "mpegts") is not None


def test_a_block_of_no_track_or_of_several_pictures_breaks_matroska(films, broken):
    content = films["film.webm"]
    # A block: its name, its size in so many bytes, its track, its time in two, its flags.
    at = next(k for k in range(len(content)) if content[k : k + 1] == b"\xa3" and content[k + 3] == 0x81)
    for place, value in ((at + 3, 0x85), (at + 6, content[at + 6] | 0x02)):
        wrong = bytearray(content)
        wrong[place] = value
        assert broken(bytes(wrong), "matroska") == at


def test_a_gif_with_something_behind_its_end_or_a_short_block_inside_breaks(films, broken):
    content = films["film.gif"]
    assert content[-1] == 0x3B
    assert broken(content + content, "gif") == len(content) - 1
    assert broken(content[:-1], "gif") == len(content) - 1


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(set(WATCHED.values()))), st.binary(max_size=600), st.integers(0, 10**6))
def test_rubbish_breaks_and_never_raises(tmp_path_factory, container, rubbish, seed):
    path = tmp_path_factory.getbasetemp() / "rubbish"
    path.write_bytes(rubbish + random.Random(seed).randbytes(2000))
    place = broken_at(path, container, PID)
    assert place is None or 0 <= place <= path.stat().st_size
