import itertools
import weakref
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
    CandidateFinder,
    JumpFinder,
    KeyframesConfig,
    drifted,
    encode_jpeg,
    thumbnail,
)

FRAME_NS = NS_PER_S // 25
# Frames are held so long for where motion ends.
LATE = 6


def picture(number):
    rng = np.random.default_rng(number)
    return cv2.resize(rng.integers(0, 255, (5, 8, 3)).astype(np.uint8), (64, 40), interpolation=cv2.INTER_NEAREST)


def run(pictures, config=None):
    """Feed frames as the scan does."""
    finder = CandidateFinder(config or KeyframesConfig(spend=600))
    found = []
    for index, image in enumerate(pictures):
        frame = ScanFrame(index, index * FRAME_NS, image, lambda image=image: image[:, :, ::-1])
        found += finder.feed(frame, thumbnail(image))
    return found + finder.finish()


def shots(*lengths):
    pictures = [picture(number) for number, length in enumerate(lengths) for _ in range(length)]
    return pictures, np.cumsum(lengths)[:-1].tolist()


def test_every_shot_gets_its_first_settled_frame():
    found = run(shots(30, 30, 30)[0])
    firsts = [candidate for candidate in found if candidate.reason == "first"]
    assert [candidate.frame_index // 30 for candidate in firsts] == [0, 1, 2]
    assert all(candidate.frame_index % 30 <= 3 for candidate in firsts)
    assert not [candidate for candidate in found if candidate.reason == "change"]


@given(st.lists(st.integers(3, 40), min_size=1, max_size=8))
def test_no_shot_goes_without_a_candidate(lengths):
    found = run(shots(*lengths)[0])
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
    # A change is believed when the next frame shows it too; its picture is of the first.
    assert found[1].frame_index == 40


def test_a_cut_is_no_change_of_its_shot():
    assert [candidate.reason for candidate in run(shots(40, 40)[0])] == ["first", "first"]


def test_a_still_picture_has_a_candidate_every_few_seconds():
    found = run([picture(0)] * 25 * 21, KeyframesConfig(gap_s=5.0))
    assert [candidate.reason for candidate in found] == ["first", "gap", "gap", "gap", "gap"]


def moving(*moves, frames, speed=2):
    """A white block that moves during `[start, end)` frames, over a picture that rests."""
    pictures, left = [], 4
    for k in range(frames):
        left += speed * any(start <= k < end for start, end in moves)
        image = picture(0).copy()
        image[14:26, left : left + 12] = 255
        pictures.append(image)
    return pictures


def test_motion_has_a_candidate_where_it_begins_and_where_it_ends():
    found = run(moving((50, 65), frames=120))
    assert found[0].reason == "first"
    begin, *_, end = [candidate.frame_index for candidate in found[1:]]
    assert 50 <= begin <= 54
    assert 63 <= end <= 67


def test_where_nothing_happens_there_is_no_candidate():
    rng = np.random.default_rng(0)
    shaking = []
    for _ in range(400):
        light, (dx, dy) = 1 + rng.normal(0, 0.02), rng.normal(0, 0.1, 2)
        moved = cv2.warpAffine(
            picture(0), np.array([[1, 0, dx], [0, 1, dy]]), (64, 40), borderMode=cv2.BORDER_REPLICATE
        )
        shaking.append(np.clip(moved * light + rng.normal(0, 3, moved.shape), 0, 255).astype(np.uint8))
    # It takes a few seconds to learn what a shaking camera changes.
    found = run(shaking)
    assert len(found) <= 6
    assert all(candidate.t_ns < 4 * NS_PER_S for candidate in found)


@pytest.mark.parametrize("look_ahead_s", [0.0, 1.0, KeyframesConfig().look_ahead_s])
@given(st.integers(0, 1000), st.integers(4, 200), st.integers(5, 80))
def test_candidates_are_causal(look_ahead_s, seed, cut_off, spend):
    rng = np.random.default_rng(seed)
    pictures = [picture(int(k)) for k in np.repeat(rng.integers(0, 5, 40), rng.integers(1, 12, 40))]
    config = KeyframesConfig(spend=spend, look_ahead_s=look_ahead_s)
    whole = [candidate.frame_index for candidate in run(pictures, config)]
    prefix = [candidate.frame_index for candidate in run(pictures[:cut_off], config)]
    # Frames that come later change nothing but what is still waiting at the end.
    late = max(LATE, round(look_ahead_s * 25))
    settled = [index for index in whole if index < cut_off - late - 1]
    assert prefix[: len(settled)] == settled


@given(st.integers(0, 1000), st.integers(5, 60))
def test_no_more_candidates_are_taken_than_may_be_spent(seed, spend):
    rng = np.random.default_rng(seed)
    pictures = [picture(int(k)) for k in np.repeat(rng.integers(0, 9, 80), rng.integers(1, 9, 80))]
    found = run(pictures, KeyframesConfig(spend=spend))
    # Two at hand at the start, eight on credit for firsts, and the video's last.
    assert len(found) <= 2 + 8 + 1 + len(pictures) / 25 / 60 * spend + 1


def restless(seed, frames):
    """Thumbnails of noise that stands, now and then another, with a patch that comes, goes and wanders."""
    rng, shown, patch = np.random.default_rng(seed), [], None
    base = rng.integers(0, 256, (9, 16, 3))
    for _ in range(frames):
        base = rng.integers(0, 256, (9, 16, 3)) if rng.random() < 0.05 else base
        if rng.random() < 0.2:
            patch = None if patch else (rng.integers(0, 9), rng.integers(0, 16), *rng.integers(-1, 2, 2))
        thumb = base.copy()
        if patch:
            top, left, down, right = patch
            patch = (top + down) % 9, (left + right) % 16, down, right
            place = np.s_[max(0, patch[0] - 1) : patch[0] + 2, max(0, patch[1] - 2) : patch[1] + 3]
            thumb[place] = 255 - thumb[place]
        shown.append(thumb.astype(np.uint8))
    return shown


def at_one_a_second(thumbs):
    finder = CandidateFinder(KeyframesConfig())
    found = []
    for index, thumb in enumerate(thumbs):
        found += finder.feed(ScanFrame(index, index * NS_PER_S, None, lambda thumb=thumb: thumb), thumb)
    return found + finder.finish()


def test_a_frame_that_comes_seconds_later_has_no_say_in_what_was_due():
    differ = []
    for seed in range(250):
        whole, kept = restless(seed, 120), 20 + seed % 90
        found = [at_one_a_second(shown) for shown in (whole, whole[:kept] + restless(seed + 9999, 120 - kept))]
        settled_ns = kept * NS_PER_S - round(KeyframesConfig().look_ahead_s * NS_PER_S)
        before = [[each.frame_index for each in one if each.t_ns < settled_ns] for one in found]
        if before[0] != before[1]:
            differ.append(seed)
    assert differ == []


def lively(seed, frames=900):
    """Blocks that come and go all over a picture, between cuts."""
    rng, pictures = np.random.default_rng(seed), []
    while len(pictures) < frames:
        image = picture(int(rng.integers(0, 3))).copy()
        for _ in range(int(rng.integers(1, 12))):
            top, left = int(rng.integers(0, 30)), int(rng.integers(0, 50))
            image[top : top + 10, left : left + 12] = rng.integers(0, 255, 3)
            pictures += [image.copy()] * int(rng.integers(3, 40))
    return pictures[:frames]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spend", [10, 40])
def test_no_stretch_has_more_candidates_than_were_saved_up(seed, spend):
    found = run(lively(seed), KeyframesConfig(spend=spend))
    times = [candidate.t_ns / NS_PER_S for candidate in found]
    assert times == sorted(set(times))
    for at, start in enumerate(times):
        for count, end in enumerate(times[at:], start=1):
            # Twenty saved up, eight on credit for shots; what is told for a frame is told at most four seconds later.
            assert count <= 20 + 8 + 1 + (end - start + 4) * spend / 60
    # From the start there is one, and a shot may still go into debt.
    assert len(found) <= 1 + 8 + 1 + 36 * spend / 60


@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_does_not_change(seed):
    finder, told, known = CandidateFinder(KeyframesConfig(spend=15)), [], 0
    for index, image in enumerate(lively(seed, 500)):
        frame = ScanFrame(index, index * FRAME_NS, image, lambda image=image: image)
        new = [candidate.frame_index for candidate in finder.feed(frame, thumbnail(image))]
        assert all(at >= known for at in new), "a candidate before what was known"
        told += new
        assert known <= finder.known <= index
        known = finder.known
        assert index - known <= 4 * 25 + LATE
    assert len(told) >= 5


def test_few_frames_wait_however_much_happens():
    finder = CandidateFinder(KeyframesConfig(spend=5))
    alive: list[weakref.ref] = []
    most = 0
    for index, image in enumerate(lively(1, 400)):

        def convert(image=image):
            return image

        alive.append(weakref.ref(convert))
        finder.feed(ScanFrame(index, index * FRAME_NS, None, convert), thumbnail(image))
        del convert
        most = max(most, sum(each() is not None for each in alive))
    # Six of the last fifth of a second, eight that wait, and the one at hand.
    assert 8 < most <= 6 + 8 + 2


def test_while_there_is_little_to_spend_the_better_moment_is_waited_for():
    # A shape begins to move in the middle and comes to rest; four such moves, and money for half of it.
    pictures = moving((50, 65), (90, 105), (130, 145), (170, 185), frames=300, speed=1)
    found = [candidate.frame_index for candidate in run(pictures, KeyframesConfig(spend=45))]
    ends = [at for at in found if any(abs(at - end) <= 2 for end in (65, 105, 145, 185))]
    assert len(ends) == 4
    # With plenty, where it begins as well.
    plenty = [candidate.frame_index for candidate in run(pictures, KeyframesConfig(spend=600))]
    assert all(any(0 <= at - begin <= 4 for at in plenty) for begin in (50, 90, 130, 170))
    assert len(plenty) > len(found)


def test_without_looking_ahead_the_first_come_is_served():
    pictures = lively(2, 600)
    here = [c.frame_index for c in run(pictures, KeyframesConfig(spend=15, look_ahead_s=0.0))]
    ahead = [c.frame_index for c in run(pictures, KeyframesConfig(spend=15))]
    assert here != ahead


def test_what_others_take_is_taken_off():
    pictures = moving(*[(k, k + 10) for k in range(30, 400, 40)], frames=440, speed=1)
    finders = CandidateFinder(KeyframesConfig(spend=30)), CandidateFinder(KeyframesConfig(spend=30))
    for _ in range(12):
        finders[1].spend()
    counts = []
    for finder in finders:
        frames = [ScanFrame(k, k * FRAME_NS, image, lambda image=image: image) for k, image in enumerate(pictures)]
        counts.append(sum(len(finder.feed(frame, thumbnail(frame.image))) for frame in frames))
    assert counts[1] < counts[0]


def jumps(*pictures):
    finder = JumpFinder()
    return [at for at, image in enumerate(pictures) if finder.feed(thumbnail(image))]


def test_a_jump_is_of_the_whole_picture_and_not_of_light():
    assert jumps(*[picture(0)] * 5, *[picture(1)] * 5) == [5]
    brighter = np.clip(picture(0) * 1.1, 0, 255).astype(np.uint8)
    assert jumps(*[picture(0)] * 5, brighter, *[picture(0)] * 5) == []
    half = picture(0).copy()
    half[:, :28] = 255 - half[:, :28]
    assert jumps(*[picture(0)] * 5, half) == []
    assert jumps(*[np.full((40, 64, 3), 60, np.uint8)] * 5, np.full((40, 64, 3), 120, np.uint8)) == [5]


def test_a_video_of_one_frame_has_one_candidate():
    assert [candidate.frame_index for candidate in run([picture(0)])] == [0]
    assert CandidateFinder(KeyframesConfig()).finish() == []


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
