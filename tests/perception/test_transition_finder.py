import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.perception.likeness import NUMBERS, describe, measure
from datasets_build.perception.transition_finder import STEP, LearnedConfig, TransitionFinder, decode, tracks_of
from datasets_build.perception.transition_net import load_net
from datasets_build.perception.transitions import Transition

CONFIG = LearnedConfig()
CUT, GRADUAL, OUT, IN, LIGHT = range(5)


def views(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [np.repeat(np.kron(rng.integers(0, 256, (3, 4, 3)), np.ones((9, 12, 1)))[None], n, axis=0) for n in lengths]
    ).astype(np.uint8)


def find(frames, config=CONFIG):
    finder = TransitionFinder(config, load_net())
    found = [each for frame in frames for each in finder.feed(frame)]
    return found + finder.finish()


def whole(frames, config=CONFIG):
    numbers = measure(describe(frames), 0, len(frames))
    return decode(tracks_of(load_net().run(numbers), numbers), config)


def film(draw_lengths, seed):
    rng = np.random.default_rng(seed)
    frames = views(draw_lengths, seed).astype(np.int16)
    return np.clip(frames + rng.integers(-20, 20, frames.shape), 0, 255).astype(np.uint8)


@settings(max_examples=12)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=8), st.integers(0, 99))
def test_found_in_steps_is_found_in_the_whole(lengths, seed):
    frames = film(lengths, seed)
    one, other = find(frames), whole(frames)
    assert [(t.first, t.last, t.kind) for t in one] == [(t.first, t.last, t.kind) for t in other]
    assert [t.score for t in one] == pytest.approx([t.score for t in other], abs=1e-4)


@given(st.lists(st.integers(12, 60), min_size=2, max_size=5), st.integers(0, 99))
@settings(max_examples=12)
def test_hard_cuts_are_found_to_the_frame(lengths, seed):
    found = find(views(lengths, seed))
    assert [t.first for t in found] == np.cumsum(lengths)[:-1].tolist()
    assert {t.kind for t in found} == {"cut"}


def test_no_frames_and_one_frame_have_no_transition():
    assert find(views([])[:0] if False else np.zeros((0, 27, 48, 3), np.uint8)) == []
    assert find(views([1])) == []


def test_what_is_held_does_not_grow():
    finder = TransitionFinder(CONFIG, load_net())
    sizes = []
    for frame in views([60] * 40):
        finder.feed(frame)
        sizes.append(len(finder._held) + len(finder._numbers) + len(finder._tracks) + len(finder._pending))
    assert max(sizes[1200:]) <= max(sizes[:1200])
    assert finder.decided > 40 * 60 - finder.longest


def tracks(n, **parts):
    out = np.zeros((n, 7), np.float32)
    out[:, LIGHT] = 0.5
    for name, values in parts.items():
        for where, value in values.items():
            out[
                where if isinstance(where, int) else slice(*where),
                {"cut": 0, "gradual": 1, "out": 2, "into": 3, "light": 4}[name],
            ] = value
    return out


def kinds(found):
    return [(t.first, t.last, t.kind) for t in found]


def test_a_peak_is_one_cut_and_a_cut_at_the_first_frame_is_none():
    assert kinds(decode(tracks(20, cut={9: 0.6, 10: 0.9, 11: 0.7, 0: 0.9}), CONFIG)) == [(10, 10, "cut")]


def test_a_cut_inside_a_gradual_transition_is_none():
    assert kinds(decode(tracks(40, cut={12: 0.9}, gradual={(10, 20): 0.8}), CONFIG)) == [(10, 19, "dissolve")]


def test_a_picture_that_keeps_its_layout_has_changed_in_light_alone():
    made = tracks(20, cut={10: 0.9})
    made[10, 6] = 0.99
    assert decode(made, CONFIG) == []


def test_from_black_to_black_nothing_is_cut():
    made = tracks(20, cut={10: 0.9}, light={(0, 20): 0.03})
    assert decode(made, CONFIG) == []
    made[10, 5] = 0.1
    assert kinds(decode(made, CONFIG)) == [(10, 10, "cut")]


def test_a_gradual_transition_reaches_as_far_as_its_edges_and_must_be_sure_and_long():
    sure = tracks(40, gradual={(8, 22): 0.35, (12, 16): 0.9})
    assert kinds(decode(sure, CONFIG)) == [(8, 21, "dissolve")]
    assert decode(tracks(40, gradual={(8, 22): 0.55}), CONFIG) == []
    assert decode(tracks(40, gradual={(8, 10): 0.9}), CONFIG) == []


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (5, [(10, 34, "fade_through")]),
        (60, [(10, 19, "fade_to_black"), (80, 89, "fade_from_black")]),
    ],
)
def test_out_and_in_are_one_fade_when_they_are_short(held, expected):
    back = 20 + held
    made = tracks(
        120,
        gradual={(10, 20): 0.9, (back, back + 10): 0.9},
        out={(10, 20): 0.9},
        into={(back, back + 10): 0.9},
        light={(19, back + 1): 0.02},
    )
    assert kinds(decode(made, CONFIG)) == expected


def test_in_and_out_again_without_rest_are_two_fades():
    made = tracks(100, gradual={(10, 70): 0.9}, into={(10, 40): 0.9}, out={(40, 70): 0.9}, light={10: 0.0, 69: 0.0})
    assert kinds(decode(made, CONFIG)) == [(10, 39, "fade_from_black"), (40, 69, "fade_to_black")]


def test_a_fade_to_white_is_a_mix_with_white():
    made = tracks(60, gradual={(10, 30): 0.9}, out={(10, 30): 0.9}, light={(25, 40): 0.95})
    assert kinds(decode(made, CONFIG)) == [(10, 29, "dissolve")]


@given(st.integers(0, 10**6), st.integers(2, 300))
def test_transitions_come_in_order_and_apart(seed, n):
    rng = np.random.default_rng(seed)
    chances = rng.random((n, 7)).astype(np.float32) ** rng.uniform(0.3, 4)
    found = decode(chances, CONFIG)
    for one, other in itertools.pairwise(found):
        assert one.last < other.first
    for each in found:
        assert isinstance(each, Transition)
        assert each.last < n
        assert each.score > min(CONFIG.cut, CONFIG.gradual)


def test_the_weights_fit_the_numbers():
    net = load_net()
    assert net.run(np.zeros((3, NUMBERS), np.float32)).shape == (3, 4)
    assert net.reach < STEP
