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


def element(name, content, size=None):
    """An element of Matroska; `size` instead of the right one, as eight bytes."""
    length = len(content) if size is None else size
    return bytes.fromhex(name) + (1 << 56 | length).to_bytes(8, "big") + content


OPEN = (1 << 56) - 1
TRACKS = element("1654ae6b", element("ae", element("d7", b"\x01") + element("83", b"\x01")))
SOUND = element("1654ae6b", element("ae", element("d7", b"\x02") + element("83", b"\x02")))


def block(track=1, flags=0x80):
    return element("a3", bytes([0x80 | track, 0, 0, flags]) + b"picture")


def film(*clusters, size=None):
    return element("1a45dfa3", b"about") + element("18538067", TRACKS + b"".join(clusters), size)


def test_matroska_may_leave_its_ends_open_as_a_live_recording_does(broken):
    clusters = [element("1f43b675", element("e7", b"\x00") + block(), OPEN) for _ in range(3)]
    assert broken(film(*clusters, size=OPEN), "matroska") is None
    assert broken(film(*clusters), "matroska") is None
    # A block may not.
    endless = element("1f43b675", element("a3", b"\x81\x00\x00\x80picture", OPEN))
    assert broken(film(endless), "matroska") is not None


def test_what_stands_behind_a_film_of_matroska_is_nothing_to_it(broken):
    whole = film(element("1f43b675", block()))
    assert broken(whole + b"\x00" * 100, "matroska") is None
    assert broken(whole + b"junk", "matroska") is None


def test_an_element_that_reaches_out_of_the_one_around_it_breaks(broken):
    long = element("a3", b"\x81\x00\x00\x80picture", 5000)
    cluster = element("1f43b675", block() + long + block())
    content = film(cluster, element("1f43b675", block() * 300))
    assert broken(content, "matroska") == content.index(long)


@pytest.mark.parametrize(
    ("name", "holds"), [("e7", True), ("ab", True), ("ec", True), ("bf", True), ("6b", False), ("00", False)]
)
def test_a_cluster_holds_what_matroska_knows(broken, name, holds):
    content = film(element("1f43b675", element(name, b"\x01\x02") + block()))
    assert (broken(content, "matroska") is None) is holds


def test_blocks_are_of_tracks_that_there_are_and_hold_one_picture_each(broken):
    def place(*blocks, tracks=TRACKS):
        inside = tracks + element("1f43b675", b"".join(blocks))
        return broken(element("18538067", inside), "matroska")

    assert place(block(), block()) is None
    assert place(block(track=2)) is not None
    assert place(block(flags=0x82)) is not None
    # Sound may come several at a time.
    assert place(block(track=2, flags=0x82), tracks=SOUND) is None
    assert place(element("a0", element("a1", b"\x81\x00\x00\x00picture") + element("9b", b"\x01"))) is None
    assert place(element("a0", element("a1", b"\x85\x00\x00\x00picture"))) is not None
    # Where the tracks are told behind the blocks nobody knows yet.
    late = element("18538067", element("1f43b675", block(track=5)) + TRACKS)
    assert broken(late, "matroska") is None


def gif(*parts, colours=b""):
    flags = 0x80 if colours else 0
    return b"GIF89a" + bytes([4, 0, 4, 0, flags, 0, 0]) + colours + b"".join(parts) + b";"


def image(*lengths, colours=b""):
    flags = 0x80 if colours else 0
    blocks = b"".join(bytes([length]) + b"\x2c" * length for length in lengths)
    return b"," + bytes([0, 0, 0, 0, 4, 0, 4, 0, flags]) + colours + b"\x02" + blocks + b"\x00"


def test_a_gif_has_colours_where_it_says_so(broken):
    note = b"!\xfe" + b"\x03abc" + b"\x00"
    for whole in (gif(image(9)), gif(note, image(255, 255, 7), image(3), colours=b"\x2c" * 6), gif(image(1), note)):
        assert broken(whole, "gif") is None
    assert broken(gif(image(5, colours=b"\x3b" * 6), image(5)), "gif") is None


def test_a_block_of_another_length_inside_an_image_came_from_elsewhere(broken):
    assert broken(gif(image(255, 9, 255, 3)), "gif") == 13
    assert broken(gif(image(255, 255)), "gif") is None


def test_what_a_gif_says_beside_its_images_may_come_in_blocks_of_any_length(broken):
    looped = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x05\x02\x00\x00\x00\x00\x00"
    lines = b"!\xfe" + b"".join(bytes([n]) + b"a" * n for n in (7, 22, 3)) + b"\x00"
    assert broken(gif(looped, lines, image(255, 3)), "gif") is None


def test_zeros_behind_a_gif_are_no_damage_and_other_bytes_are(broken):
    whole = gif(image(9))
    assert broken(whole + bytes(3), "gif") is None
    assert broken(whole + b"\0\x07", "gif") == len(whole) - 1


def packets(counts, *, pid=PID, flags=0x10, head=b""):
    """Packets of a transport stream with these counts; `head` is what an adaptation field begins with."""
    made = []
    for count in counts:
        start = bytes([0x47, pid >> 8, pid & 255, flags | count % 16]) + head
        made.append(start + b"\xff" * (188 - len(start)))
    return made


def test_counts_of_the_shown_stream_follow_on_each_other_over_any_length(broken):
    # More than are read at a time.
    many = packets(range(40_000))
    assert broken(b"".join(many), "mpegts") is None
    del many[16_384]
    assert broken(b"".join(many), "mpegts") == 16_384 * 188
    # What says that it jumps, may; what holds nothing does not count.
    jump = packets([9], flags=0x30, head=b"\x01\x80")
    clock = packets([4], flags=0x20, head=b"\x07\x10")
    assert broken(b"".join(packets(range(5)) + jump + packets([10, 11])), "mpegts") is None
    assert broken(b"".join(packets(range(5)) + clock + packets([5, 6])), "mpegts") is None
    assert broken(b"".join(packets(range(5)) + packets([9, 10])), "mpegts") == 5 * 188


def test_a_packet_that_says_it_is_damaged_is_believed(broken):
    good, bad = packets(range(8)), packets(range(8))
    bad[3] = bytes([0x47, bad[3][1] | 0x80, *bad[3][2:]])
    assert broken(b"".join(good), "mpegts") is None
    assert broken(b"".join(bad), "mpegts") == 3 * 188
