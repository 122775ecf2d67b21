"""The same laws on real files: `STREAMVL_DATA` names the folder; without it these tests are skipped."""

import random

import numpy as np
import pytest

from datasets_build.decoders import pyav
from datasets_build.decoders.frames import VideoError
from datasets_build.decoders.probe import probe
from datasets_build.video import DECODERS, scan
from tests.decoders.table import BEGIN, END, OTHERS, PAGE, measure_all, read_rows

QUICK = (
    "decord_video_90.mov", "decord_video_180.mov", "decord_unordered.mov", "tc_nasa_13013_rotated.mp4",
    "mpy_fire2.mp4", "gradio_b.avi", "imageio_newtonscradle.gif", "psd_delayed_start.mp4", "tc_sine_stereo_mp2.mpg",
    "tc_test_non_zero_start.mp4", "mb_edts.mp4", "tc_av1_video.mkv", "mb_sar_2x1.mp4", "damaged_empty.mp4",
    "damaged_moov_missing.mp4", "mb_multiple-aac-tracks.mp4", "damaged_rabbit_truncated_60pct.mp4",
)  # fmt: skip
# The table stopped at the first error, where decoding goes on past it and finds a gap.
GOES_ON = {"decord_corrupted.mp4"}
DECODER_NAMES = {"libdav1d": "av1", "msmpeg4": "msmpeg4v3"}


@pytest.fixture(scope="module")
def table(real_data):
    """Rows of the folder's own table: file name to its cells, as measured with another program."""
    lines = (real_data / "INDEX.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.count("|") > 12]
    return {row[0]: row for row in rows if (real_data / "videos" / row[0]).is_file()}


def compare(path, row):
    """Hold what probing says against a row of the table."""
    kind, size, _, varies, seconds, frames, b_frames, audio = row[2:10]
    if kind.startswith("no video"):
        with pytest.raises(VideoError):
            probe(path)
        return
    found = probe(path)
    container, codec, pixels = kind.split("/")
    assert found.container == container
    assert found.codec == DECODER_NAMES.get(codec, codec)
    assert found.pixel_format == pixels
    assert f"{found.width}x{found.height}" == size.split()[0]
    # The table counts counter-clockwise.
    turn = int(size.split("rot ")[1]) if "rot " in size else 0
    assert found.rotation_deg == -turn % 360
    sar = size.split("SAR ")[1].split()[0] if "SAR" in size else "1"
    assert str(found.sar) == sar
    assert found.is_vfr == varies.startswith("YES")
    assert found.n_frames == int(frames.split()[0])
    assert abs(found.duration_ns / 1e9 - float(seconds.split(",")[0])) <= 0.1
    if "start" in seconds and found.container != "mpegts" and found.container != "mpeg":
        assert abs(found.start_offset_ns / 1e9 - float(seconds.split("start ")[1])) < 0.01
    header = frames.split("(")[1].split(")")[0]
    assert found.header_frames == (None if header == "-" else int(header))
    assert (found.reorder_depth > 0) == (b_frames == "B")
    assert (found.audio is None) == (audio == "-")


@pytest.mark.parametrize("name", QUICK)
def test_probing_agrees_with_the_table(real_data, table, name):
    compare(real_data / "videos" / name, table[name])


@pytest.mark.slow
def test_probing_agrees_with_the_whole_table(real_data, table):
    for name, row in table.items():
        if name not in GOES_ON:
            compare(real_data / "videos" / name, row)


def test_decoding_goes_on_past_damage(real_data):
    found = probe(real_data / "videos" / "decord_corrupted.mp4")
    assert (found.n_frames, found.header_frames, found.status) == (49, 50, "degraded")
    (error,) = [problem for problem in found.problems if problem.code == "decode_error"]
    assert error.at_ns == 3_000_000_000
    assert found.duration_ns == 5_000_000_000


def test_a_header_that_counts_a_repeated_frame_is_no_damage(real_data):
    found = probe(real_data / "videos" / "gradio_b.avi")
    assert [problem.code for problem in found.problems] == ["header_count_differs"]
    assert found.status == "ok"


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_same_keys_lie_upright_however_the_phone_was_held(real_data, decoder):
    # That the letters stand upright was seen by eye; here the shapes are held, and that all decoders agree.
    for name, shape in (("0", (320, 568)), ("90", (568, 320)), ("180", (320, 568)), ("270", (568, 320))):
        path = real_data / "videos" / f"decord_video_{name}.mov"
        clock = probe(path).clock
        (image,) = DECODERS[decoder].read(path, clock, np.array([0]), size=None, deadline_s=60.0)
        assert image.shape[:2] == shape
        assert np.array_equal(image, pyav.read(path, clock, np.array([0]), size=None, deadline_s=60.0)[0])


@pytest.mark.slow
def test_random_access_equals_a_pass_bit_for_bit(real_data, table):
    for name in table:
        path = real_data / "videos" / name
        try:
            clock = probe(path).clock
        except VideoError:
            continue
        count = len(clock)
        chosen = {0, count - 1, max(0, count - 2), *random.Random(1).sample(range(count), min(count, 3))}
        whole = {frame.index: frame.full() for frame in scan(path, clock, size=None) if frame.index in chosen}
        for index in sorted(chosen, reverse=True):
            alone = pyav.read(path, clock, np.array([index]), size=None, deadline_s=120.0)[0]
            assert np.array_equal(alone, whole[index]), (name, index)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_page_tells_the_truth(real_data):
    told = read_rows(PAGE.read_text())
    rows = measure_all(real_data / "videos")
    assert [row.name for row in rows] == list(told)
    for row in rows:
        _, alone, *cells = told[row.name]
        assert alone == row.pyav
        for cell, said, name in zip(row.cells, cells, OTHERS, strict=False):
            if cell.refused is not None and "cannot be used here" in cell.refused:
                continue
            if cell.refused is not None or said.startswith("no: "):
                assert str(cell) == said, (row.name, name)
            else:
                full, half = map(float, said.split(" / "))
                # Another processor rounds elsewhere.
                assert abs(cell.full - full) <= 0.3, (row.name, name)
                assert abs(cell.half - half) <= 0.5, (row.name, name)


def test_the_page_has_a_row_for_every_file(real_data, table):
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    assert set(read_rows(page)) == set(table)
