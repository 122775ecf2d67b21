"""The check of a decoder, looked at with planted faults: it must see each of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.decoders import decord, pyav, torchcodec
from datasets_build.decoders.frames import VideoError
from datasets_build.decoders.trust import find_fault, mark_of, picture_fault, sample_indices
from tests.drawn import draw_number


class Planted:
    """PyAV with a fault: `shift` maps the index asked for to the one that is read, `paint` changes the picture."""

    def __init__(self, *, shift=lambda index: index, paint=lambda image: image, error=None):
        self.shift, self.paint, self.error = shift, paint, error

    def read(self, path, clock, indices, *, size, deadline_s):
        if self.error:
            raise self.error
        wrong = np.array([min(len(clock) - 1, max(0, self.shift(index))) for index in indices.tolist()])
        images = pyav.read(path, clock, wrong, size=size, deadline_s=deadline_s)
        return np.stack([self.paint(image) for image in images])

    def scan(self, path, clock, *, size):
        raise NotImplementedError

    def doubt(self, path):
        return None


def fault(sample, decoder):
    found = find_fault(sample.path, sample.probe.clock, "planted", decoder, deadline_s=60.0)
    return str(found) if found else None


def test_an_honest_decoder_passes(sample):
    for name in ("plain.mp4", "long.mp4", "one_frame.mp4", "two_frames.mkv", "turned90.mp4", "variable.webm"):
        assert fault(sample(name), Planted()) is None


@pytest.mark.parametrize("by", [-1, 1])
def test_being_one_frame_off_is_seen(sample, by):
    said = fault(sample("long.mp4"), Planted(shift=lambda index: index + by))
    assert "it shows the frame " + ("before" if by < 0 else "after") in said


def test_being_off_by_one_only_after_a_key_frame_is_seen(sample):
    # What decord does in an open group of pictures.
    made = sample("long.mp4")
    keys = range(0, 150, 30)
    said = fault(made, Planted(shift=lambda index: index + 1 if index - 1 in keys and index > 1 else index))
    assert "it shows the frame after" in said


def test_losing_the_last_frame_is_seen(sample):
    assert "before" in fault(sample("long.mp4"), Planted(shift=lambda index: min(index, 148)))


def test_a_picture_on_its_side_is_seen(sample):
    assert "120x160 pixels instead of 160x120" in fault(sample("plain.mp4"), Planted(paint=lambda i: np.rot90(i)))


def test_a_picture_on_its_head_is_seen(sample):
    assert fault(sample("plain.mp4"), Planted(paint=lambda image: image[::-1, ::-1]))


def test_another_matrix_more_light_and_a_little_noise_are_no_faults(sample):
    noise = np.random.default_rng(0).normal(0, 2, (120, 160, 3))

    def paint(image):
        return np.clip(image * np.array([0.97, 1.0, 1.02]) + 4 + noise, 0, 255).astype(np.uint8)

    assert fault(sample("long.mp4"), Planted(paint=paint)) is None


def test_an_error_of_the_decoder_is_its_fault(sample):
    error = VideoError("decoder_hung", "a.mp4: planted did not answer")
    assert fault(sample("plain.mp4"), Planted(error=error)) == str(error)


@given(st.integers(1, 100_000), st.data())
def test_samples_cover_both_ends_and_a_key_frame_and_do_not_change(frames, data):
    key = data.draw(st.integers(0, frames - 1))
    chosen = sample_indices(frames, key)
    assert chosen == sample_indices(frames, key)
    assert {0, frames - 1, max(0, frames - 2), key, max(0, key - 1), min(key + 1, frames - 1)} <= set(chosen)
    assert len(set(chosen)) == len(chosen) <= 7
    assert all(0 <= index < frames for index in chosen)


@given(st.integers(0, 4000), st.integers(1, 500), st.tuples(st.integers(16, 700), st.integers(16, 700)))
def test_a_picture_is_itself_and_not_its_neighbour(number, step, size):
    this, other = mark_of(draw_number(number, size)), mark_of(draw_number(number + step, size))
    assert picture_fault(this, this, other, other) is None
    assert picture_fault(this, this, None, None) is None
    assert picture_fault(this, this, this, this) is None
    assert picture_fault(other, this, other, None) == "it shows the frame before"
    assert picture_fault(other, this, None, other) == "it shows the frame after"


def test_a_picture_from_elsewhere_is_seen_without_neighbours():
    this, other = mark_of(draw_number(1, (64, 48))), mark_of(draw_number(60_000, (64, 48)))
    assert picture_fault(other, this, None, None) == "it shows another picture"


def test_decord_is_doubted_where_groups_are_open(sample):
    assert "the key frame stored at place 17 is shown at place 20" in decord.doubt(sample("open_groups.mp4").path)
    assert decord.doubt(sample("long.mp4").path) is None
    assert torchcodec.doubt(sample("open_groups.mp4").path) is None
