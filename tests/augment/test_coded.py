"""Frames sent at a bit rate: as many bits as asked, worse for fewer, and never a look at a later frame."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.coded import Coder, Sender, look_at
from augment.looks import apply_looks
from datasets_build.core.augmentation import Look
from datasets_build.core.clock import NS_PER_S, FrameClock
from tests.builders.made import clock_from, steady
from tests.laws import examples


def compress(kbit_s, group_s=1.0):
    values = {"kbit_s": kbit_s, "group_s": group_s}
    return Look(kind="compress", parameters=[{"name": name, "value": value} for name, value in values.items()])


NOISE = Look(kind="noise", parameters=[{"name": "sd", "value": 0.05}], seed=5)


def busy(count, size=(96, 64), seed=0):
    """A pattern that moves under a little noise: nothing that a few bits can tell."""
    width, height = size
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, (height, width, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    found = []
    for k in range(count):
        x, y = round(width * (1 + np.sin(k / 7))), round(height * (1 + np.cos(k / 5)))
        part = ground[y : y + height, x : x + width] + rng.normal(0, 8, (height, width, 3))
        found.append(np.clip(part, 0, 255).astype(np.uint8))
    return np.stack(found)


def places(*wanted):
    return np.array(wanted, np.int64)


def error(one, other):
    return float(np.mean((one.astype(float) - other) ** 2))


class Reading:
    """Frames that count how often each is read."""

    def __init__(self, pixels):
        self.pixels, self.read = pixels, []

    def __call__(self, wanted):
        self.read += wanted.tolist()
        return self.pixels[wanted]


def sent(pixels, looks, clock, wanted=None, coder=None):
    wanted = np.arange(len(pixels)) if wanted is None else wanted
    return look_at(looks, wanted, clock, lambda at: pixels[at], coder=coder or Coder(), name="pyav")


PIXELS = busy(30)
CLOCK = clock_from([40, 40, 100, 20, 20, 300, 40, 40, 40, 900, 10, 10, 10, 30, 30, 200, 40, 40, 40] + [40] * 10)
LOOKS = (NOISE, compress(60.0), NOISE.model_copy(update={"seed": 6}), compress(200.0, 0.4))
WHOLE = sent(PIXELS, LOOKS, CLOCK)


@pytest.mark.slow
@settings(max_examples=examples(25), deadline=None)
@given(st.lists(st.lists(st.integers(0, 29), min_size=1, max_size=6, unique=True).map(sorted), min_size=1, max_size=4))
def test_whatever_is_read_and_in_which_order_a_frame_looks_the_same(requests):
    coder = Coder()
    for wanted in requests:
        assert np.array_equal(sent(PIXELS, LOOKS, CLOCK, places(*wanted), coder), WHOLE[wanted])


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(1, 29))
def test_no_frame_is_coded_from_a_later_one(first):
    """Planted: all that comes later is another picture, and nothing before it changes."""
    other = PIXELS.copy()
    other[first:] = 255 - other[first:]
    found = sent(other, LOOKS, CLOCK)
    assert np.array_equal(found[:first], WHOLE[:first])
    assert not np.array_equal(found[first], WHOLE[first])


def test_the_frames_before_it_in_its_group_do_count():
    """Else nothing would be compressed: a frame alone does not look as it does behind others."""
    other = PIXELS.copy()
    other[0] = 255 - other[0]
    found = sent(other, [compress(60.0)], CLOCK)
    plain = sent(PIXELS, [compress(60.0)], CLOCK)
    same = [bool(np.array_equal(a, b)) for a, b in zip(found, plain, strict=True)]
    group = int(np.searchsorted(CLOCK.t_ns, NS_PER_S))
    assert not any(same[:group])
    assert all(same[group:])


@pytest.mark.parametrize(
    ("kbit_s", "fps"),
    [(60.0, Fraction(30_000, 1001)), (60.0, Fraction(10)), (200.0, Fraction(25)), (500.0, Fraction(25))],
)
def test_a_long_clip_takes_the_bits_that_are_asked(kbit_s, fps):
    """Within 12 percent over groups of a second; each begins anew, as the coder's do."""
    n_bytes = 0
    for group in range(3):
        sender = Sender(kbit_s=kbit_s, fps=fps, size=(144, 96))
        for picture in busy(int(fps), (144, 96), seed=group):
            sender.send(picture)
        n_bytes += sender.n_bytes
    seconds = 3 * int(fps) / fps
    assert 8 * n_bytes / 1000 / seconds == pytest.approx(kbit_s, rel=0.12)


def test_times_of_frames_decide_how_many_bits_each_gets(monkeypatch):
    """Frames that come in bursts share what their second has; the rate over time stays."""
    counts = []

    class Counting(Sender):
        def send(self, picture):
            before = self.n_bytes
            found = super().send(picture)
            counts.append(self.n_bytes - before)
            return found

    monkeypatch.setattr("augment.coded.Sender", Counting)
    gaps = ([25] * 40 + [125] * 8) * 2
    clock = clock_from(gaps[:-1], last_ms=gaps[-1])
    sent(busy(len(gaps), (144, 96)), [compress(150.0)], clock)
    assert len(counts) == len(clock) == len(gaps)
    assert 8 * sum(counts) / 1000 / (clock.end_ns / NS_PER_S) == pytest.approx(150, rel=0.15)
    dense, sparse = sum(counts[:40]), sum(counts[40:48])
    assert dense == pytest.approx(sparse, rel=0.35)


def test_fewer_bits_look_worse():
    clock = steady(1.0)
    frames = busy(25, (144, 96))
    errors = [error(frames, sent(frames, [compress(rate)], clock)) for rate in (800.0, 200.0, 50.0, 15.0)]
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[0]


def test_what_is_easy_to_tell_looks_as_it_was():
    flat = np.full((10, 64, 96, 3), (200, 60, 40), np.uint8)
    assert np.abs(sent(flat, [compress(500.0)], steady(0.4)).astype(int) - flat).max() <= 4


def test_each_frame_is_read_and_sent_once():
    clock = steady(2.0)
    frames = busy(50)
    coder, reading = Coder(), Reading(frames)
    for begin in range(0, 50, 5):
        look_at([compress(100.0)], places(begin + 4), clock, reading, coder=coder, name="pyav")
    assert reading.read == list(range(50))
    # What is kept is not read again; what is asked for first in a group needs those before it, and no more.
    look_at([compress(100.0)], places(25, 44), clock, reading, coder=coder, name="pyav")
    assert len(reading.read) == 50
    other = Reading(frames)
    look_at([compress(100.0)], places(27), clock, other, coder=Coder(), name="pyav")
    assert other.read == [25, 26, 27]


def test_only_a_few_groups_are_kept_and_names_do_not_meet():
    clock, frames = steady(4.0), busy(100)
    coder, reading = Coder(), Reading(frames)
    for place in (0, 25, 50, 0):
        look_at([compress(100.0)], places(place), clock, reading, coder=coder, name="pyav")
    assert reading.read == [0, 25, 50, 0]
    look_at([compress(100.0)], places(0), clock, reading, coder=coder, name="decord")
    assert reading.read == [0, 25, 50, 0, 0]


def test_odd_sizes_come_back_as_they_were():
    frames = busy(3, (51, 33))
    found = sent(frames, [compress(800.0)], steady(0.12))
    assert found.shape == frames.shape
    assert error(found, frames) < error(found, frames[::-1])


def test_a_read_that_fails_leaves_no_group_with_a_gap():
    coder, clock, frames = Coder(), steady(1.0), busy(25)

    def failing(wanted):
        if wanted[-1] > 15:
            raise OSError("gone")
        return frames[wanted]

    with pytest.raises(OSError, match="gone"):
        look_at([compress(100.0)], places(20), clock, failing, coder=coder, name="pyav")
    whole = sent(frames, [compress(100.0)], clock)
    assert np.array_equal(sent(frames, [compress(100.0)], clock, places(20), coder)[0], whole[20])


def test_a_coder_travels_without_what_it_keeps():
    coder = Coder()
    sent(PIXELS, [compress(100.0)], CLOCK, coder=coder)
    again = pickle.loads(pickle.dumps(coder))
    assert np.array_equal(sent(PIXELS, LOOKS, CLOCK, coder=again), WHOLE)


def test_without_compression_looks_are_laid_over_what_is_read():
    clock = FrameClock(CLOCK.t_ns, CLOCK.end_ns, CLOCK.t_ns)
    frames = np.arange(30)
    assert np.array_equal(sent(PIXELS, [NOISE], clock), apply_looks([NOISE], PIXELS, frames, clock.t_ns))
