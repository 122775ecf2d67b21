import itertools
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.decoders.frames import ScanFrame
from datasets_build.perception.clip import SignatureEncoder
from datasets_build.perception.keyframes import (
    Candidate,
    CandidateFinder,
    KeyframesConfig,
    Selector,
    drifted,
    encode_jpeg,
    thumbnail,
)

FRAME_NS = NS_PER_S // 25
LATE = 2


def picture(number):
    rng = np.random.default_rng(number)
    return cv2.resize(rng.integers(0, 255, (5, 8, 3)).astype(np.uint8), (64, 40), interpolation=cv2.INTER_NEAREST)


def run(pictures, cuts=(), config=None):
    """Feed frames as the scan does: a cut is known two frames late."""
    finder = CandidateFinder(config or KeyframesConfig())
    found = []
    for index, image in enumerate(pictures):
        frame = ScanFrame(index, index * FRAME_NS, image, lambda image=image: image[:, :, ::-1])
        found += finder.feed(frame, thumbnail(image), index - LATE if index - LATE in cuts else None)
    return found + finder.finish()


def shots(*lengths):
    pictures = [picture(number) for number, length in enumerate(lengths) for _ in range(length)]
    return pictures, np.cumsum(lengths)[:-1].tolist()


def test_every_shot_gets_its_first_settled_frame():
    found = run(*shots(30, 30, 30))
    firsts = [candidate for candidate in found if candidate.reason == "first"]
    assert [candidate.frame_index // 30 for candidate in firsts] == [0, 1, 2]
    assert all(candidate.frame_index % 30 <= 3 for candidate in firsts)
    assert not [candidate for candidate in found if candidate.reason == "change"]


@given(st.lists(st.integers(3, 40), min_size=1, max_size=8))
def test_no_shot_goes_without_a_candidate(lengths):
    found = run(*shots(*lengths))
    edges = np.cumsum([0, *lengths])
    for start, end in itertools.pairwise(edges):
        assert [candidate for candidate in found if start <= candidate.frame_index < end]
    order = [candidate.frame_index for candidate in found]
    assert order == sorted(set(order))


def test_a_picture_that_moves_is_waited_for_but_not_forever():
    moving = [np.roll(picture(0), 9 * k, axis=1) for k in range(60)]
    first = run(moving)[0]
    assert first.reason == "first"
    assert first.t_ns == pytest.approx(0.4 * NS_PER_S, abs=FRAME_NS)


def test_something_new_in_a_still_picture_is_a_candidate():
    with_hand = picture(0).copy()
    with_hand[10:30, 20:34] = 255
    found = run([picture(0)] * 40 + [with_hand] * 40)
    assert [candidate.reason for candidate in found] == ["first", "change"]
    assert found[1].frame_index == 40


def test_a_change_that_was_a_cut_is_the_next_shots_matter():
    pictures, cuts = shots(40, 40)
    assert [candidate.reason for candidate in run(pictures, cuts)] == ["first", "first"]
    # Without the cut, the same change is drift.
    assert [candidate.reason for candidate in run(pictures)] == ["first", "change"]


def test_a_still_picture_has_a_candidate_every_few_seconds():
    found = run([picture(0)] * 25 * 21, config=KeyframesConfig(gap_s=5.0))
    assert [candidate.reason for candidate in found] == ["first", "gap", "gap", "gap", "gap"]


def test_candidates_are_causal():
    pictures, cuts = shots(30, 20, 45)
    whole = run(pictures, cuts)
    prefix = run(pictures[:70], cuts)
    # Frames that come later change nothing but what is still waiting at the end.
    settled = [candidate.frame_index for candidate in whole if candidate.frame_index < 70 - LATE - 1]
    assert [candidate.frame_index for candidate in prefix][: len(settled)] == settled


def test_a_video_of_one_frame_has_one_candidate():
    assert [candidate.frame_index for candidate in run([picture(0)])] == [0]
    assert CandidateFinder(KeyframesConfig()).finish() == []


def candidates(n, reason="change", step_ns=NS_PER_S):
    return [Candidate(k, k * step_ns, reason, picture(k)) for k in range(n)]


def unit(*values):
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def test_what_was_seen_is_not_kept_again():
    vectors = np.stack([unit(1, 0), unit(0, 1), unit(1, 0.01), unit(0.01, 1)])
    chosen = Selector(KeyframesConfig()).choose(candidates(4), vectors)
    assert [choice.candidate.frame_index for choice in chosen] == [0, 1]
    assert chosen[0].novelty == 2.0
    assert chosen[1].novelty == pytest.approx(1.0)


def test_a_shots_first_frame_is_always_kept():
    vectors = np.stack([unit(1, 0)] * 3)
    chosen = Selector(KeyframesConfig()).choose(candidates(3, "first"), vectors)
    assert [choice.reason for choice in chosen] == ["first"] * 3
    assert chosen[2].novelty == pytest.approx(0.0, abs=1e-6)


def test_the_budget_holds_in_every_minute():
    config = KeyframesConfig(per_minute=5, novelty=0.0)
    rng = np.random.default_rng(0)
    vectors = np.stack([unit(*rng.normal(size=32)) for _ in range(200)])
    chosen = Selector(config).choose(candidates(200), vectors)
    times = np.array([choice.candidate.t_ns for choice in chosen])
    for start in times:
        assert ((times >= start) & (times < start + 60 * NS_PER_S)).sum() <= 5
    assert len(chosen) >= 15


def test_a_long_still_stretch_is_not_left_without_a_keyframe():
    config = KeyframesConfig(max_gap_s=20.0)
    chosen = Selector(config).choose(candidates(10, "gap", 5 * NS_PER_S), np.stack([unit(1, 0)] * 10))
    assert [choice.candidate.t_ns // NS_PER_S for choice in chosen] == [0, 20, 40]
    assert {choice.reason for choice in chosen} == {"gap"}


@given(st.integers(1, 7))
def test_batches_do_not_change_the_choice(size):
    rng = np.random.default_rng(1)
    vectors = np.stack([unit(*rng.normal(size=6)) for _ in range(20)])
    whole = Selector(KeyframesConfig()).choose(candidates(20), vectors)
    selector, pieces = Selector(KeyframesConfig()), []
    for at in range(0, 20, size):
        pieces += selector.choose(candidates(20)[at : at + size], vectors[at : at + size])
    assert [choice.candidate.frame_index for choice in pieces] == [choice.candidate.frame_index for choice in whole]


def test_drift_is_of_the_most_changed_part():
    before = np.zeros((9, 16, 3), np.uint8)
    after = before.copy()
    after[0, :14] = 255
    assert drifted(before, after, by=1.0)
    assert not drifted(before, before, by=0.01)
    after[0, 13] = 0
    # Thirteen of the fourteen most changed pixels.
    assert drifted(before, after, by=13 / 14 - 1e-9)
    assert not drifted(before, after, by=13 / 14 + 1e-9)


@given(st.integers(0, 1000), st.floats(0.05, 0.95))
def test_drift_by_a_shortcut_is_drift_by_definition(seed, by):
    rng = np.random.default_rng(seed)
    before = rng.integers(0, 256, (9, 16, 3)).astype(np.uint8)
    after = np.clip(before + rng.normal(0, 255 * by / 2, before.shape), 0, 255).astype(np.uint8)
    change = np.sort(np.abs(after.astype(float) - before).max(axis=2).reshape(-1))
    assert drifted(after, before, by=by) == (change[-14:].mean() >= by * 255)


def test_a_jpeg_comes_back_with_its_colours():
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 200
    back = cv2.imdecode(np.frombuffer(encode_jpeg(red), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(back.mean(axis=(0, 1)) - [0, 0, 200]).max() < 6


def test_the_signature_tells_pictures_apart_and_knows_sameness():
    vectors = SignatureEncoder().encode([picture(1), picture(1), picture(2), np.full((40, 64, 3), 128, np.uint8)])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ vectors[1] == pytest.approx(1.0, abs=1e-6)
    assert vectors[0] @ vectors[2] < 0.7
    assert Fraction(vectors.shape[1]) == 196
