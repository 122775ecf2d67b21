import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import FrameError, SettingsError, TimeError
from models.pairs import Pair, Pairer
from tests.laws import examples

SECOND = 1_000_000_000


def frame(number):
    return torch.full((4, 6, 3), number % 256, dtype=torch.uint8)


def number(pair):
    return tuple(pair.frames[:, 0, 0, 0].tolist())


@settings(max_examples=examples(50))
@given(gaps=st.lists(st.integers(1, 9), max_size=40), max_gap=st.integers(0, 9), asks=st.sets(st.integers(0, 40)))
def test_no_frame_is_lost_and_order_is_kept(gaps, max_gap, asks):
    pairer = Pairer(max_gap)
    times = np.cumsum([0, *gaps]).tolist()
    pairs = []
    for place, t in enumerate(times):
        pairs += pairer.add(frame(place), t)
        if place in asks:
            # A look changes nothing.
            pairer.peek()
    pairs += [pair for pair in (pairer.peek(),) if pair is not None]
    seen = [(t, n) for pair in pairs for t, n in zip((pair.t0_ns, pair.t1_ns), number(pair), strict=True)]
    # Every frame once, a lone one twice in a row.
    assert list(dict.fromkeys(seen)) == [(t, place) for place, t in enumerate(times)]
    assert seen == sorted(seen)
    for pair in pairs:
        assert pair.t1_ns - pair.t0_ns <= max_gap
        assert (pair.t0_ns == pair.t1_ns) == (number(pair)[0] == number(pair)[1])


def test_neighbours_are_paired_and_distant_frames_are_not():
    pairer = Pairer(SECOND)
    assert pairer.add(frame(1), 0) == []
    (pair,) = pairer.add(frame(2), SECOND)
    assert (pair.t0_ns, pair.t1_ns, number(pair)) == (0, SECOND, (1, 2))
    assert pairer.add(frame(3), 2 * SECOND) == []
    (lone,) = pairer.add(frame(4), 3 * SECOND + 1)
    assert (lone.t0_ns, lone.t1_ns, number(lone)) == (2 * SECOND, 2 * SECOND, (3, 3))
    # The late one waits for its own partner.
    (pair,) = pairer.add(frame(5), 3 * SECOND + 2)
    assert number(pair) == (4, 5)


def test_a_look_leaves_the_lone_frame_waiting():
    pairer = Pairer(SECOND)
    assert pairer.peek() is None
    pairer.add(frame(1), 5)
    assert number(pairer.peek()) == number(pairer.peek()) == (1, 1)
    (pair,) = pairer.add(frame(2), 6)
    assert number(pair) == (1, 2)
    assert pairer.peek() is None


def test_the_frame_is_a_copy():
    pairer = Pairer(SECOND)
    drawn = frame(1)
    pairer.add(drawn, 0)
    drawn.fill_(9)
    array = np.full((4, 6, 3), 2, np.uint8)
    (pair,) = pairer.add(array, 1)
    array.fill(9)
    assert number(pair) == (1, 2)


@pytest.mark.parametrize(
    ("bad", "t", "error"),
    [
        (frame(0), 10, TimeError),
        (frame(0), 9, TimeError),
        (frame(0), 11.0, TimeError),
        (frame(0), True, TimeError),
        (torch.zeros(6, 4, 3, dtype=torch.uint8), 11, FrameError),
        (torch.zeros(4, 6, 3), 11, FrameError),
        (torch.zeros(3, 4, 6, dtype=torch.uint8), 11, FrameError),
        (torch.zeros(0, 6, 3, dtype=torch.uint8), 11, FrameError),
        (np.zeros((4, 6, 3)), 11, FrameError),
    ],
)
@pytest.mark.parametrize("waiting", [True, False])
def test_a_bad_frame_changes_nothing(bad, t, error, waiting):
    pairer = Pairer(SECOND)
    pairer.add(frame(1), 9 if not waiting else 10)
    if not waiting:
        pairer.add(frame(2), 10)
    with pytest.raises(error):
        pairer.add(bad, t)
    assert (pairer.peek() is not None) == waiting
    made = pairer.add(frame(3), 11)
    assert [number(pair) for pair in made] == ([(1, 3)] if waiting else [])


@pytest.mark.parametrize("bad", [torch.zeros(4, 6, 3), torch.zeros(0, 6, 3, dtype=torch.uint8)])
def test_a_bad_first_frame_does_not_set_the_size(bad):
    pairer = Pairer(SECOND)
    with pytest.raises(FrameError):
        pairer.add(bad, 0)
    assert pairer.add(torch.zeros(8, 8, 3, dtype=torch.uint8), 0) == []


@pytest.mark.parametrize("gap", [-1, 0.5, True, None])
def test_a_gap_is_whole_nanoseconds(gap):
    with pytest.raises(SettingsError):
        Pairer(gap)


def test_a_pair_runs_forward():
    with pytest.raises(TimeError):
        Pair(frames=torch.zeros(2, 4, 6, 3, dtype=torch.uint8), t0_ns=2, t1_ns=1)
