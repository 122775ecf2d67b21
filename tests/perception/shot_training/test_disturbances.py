import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.perception.shot_training.disturbances import disturb, doubled, recorded
from datasets_build.perception.shot_training.scenes import Pace

FILM = np.random.default_rng(0).integers(0, 256, (60, 54, 96, 3)).astype(np.uint8)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(1, 14))
def test_a_disturbed_film_is_a_copy_of_the_same_shape(seed, step):
    before = FILM.copy()
    made = disturb(FILM, Pace(step), np.random.default_rng(seed))
    assert np.array_equal(FILM, before)
    assert made.shape == FILM.shape
    assert made.dtype == np.uint8
    assert np.array_equal(made, disturb(FILM, Pace(step), np.random.default_rng(seed)))


def test_films_are_disturbed_in_many_ways():
    rng = np.random.default_rng(3)
    still = np.full((60, 54, 96, 3), 100, np.uint8)
    seen = [disturb(still, Pace(1.0), rng) for _ in range(60)]
    flashes = sum(bool((film.mean(axis=(1, 2, 3)).max() - np.median(film)) > 40) for film in seen)
    assert flashes > 3
    assert sum(bool((film[:, 0] == 0).all()) for film in seen) > 2


@given(st.integers(2, 300), st.integers(0, 99))
def test_doubled_frames_are_those_before_and_none_is_from_the_future(n, seed):
    at = doubled(n, np.random.default_rng(seed))
    lag = np.arange(n) - at
    assert set(lag.tolist()) <= {0, 1}
    assert (np.diff(at) >= 0).all()
    assert at[0] == 0


@given(st.integers(0, 99))
@settings(max_examples=10)
def test_noise_is_small(seed):
    still = np.full((40, 27, 48, 3), 128, np.uint8)
    assert np.abs(recorded(still, np.random.default_rng(seed)).astype(int) - 128).mean() < 5
