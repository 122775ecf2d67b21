from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.decoders.frames import ScanFrame
from datasets_build.perception.keyframes import Candidate
from datasets_build.perception.placing import ShotFiller
from datasets_build.perception.standby import StandbyPictures
from datasets_build.perception.transitions import Transition

FRAME_NS = NS_PER_S // 25
IMAGE = np.zeros((8, 8, 3), np.uint8)


def candidate(frame):
    return Candidate(frame, frame * FRAME_NS, "change", IMAGE)


def cut(frame):
    return Transition(frame, frame, "cut")


def fill(frames, taken, cuts, *, late=0, seconds=100.0):
    """Candidates for shots without one; each cut is told `late` frames after it came."""
    pictures = StandbyPictures(seconds=seconds, side=8)
    filler, found = ShotFiller(pictures), []
    for k in range(frames):
        pictures.feed(ScanFrame(k, k * FRAME_NS, IMAGE, lambda: IMAGE))
        found += filler.feed([candidate(k)] * (k in taken), [cut(at) for at in cuts if at + late == k])
    return found + filler.finish([], [cut(at) for at in cuts if at + late >= frames], frames=frames)


def test_a_shot_without_a_candidate_gets_the_picture_nearest_to_its_middle():
    (found,) = fill(300, {0, 210}, [100, 200], late=50)
    assert abs(found.frame_index - 150) <= 4
    assert found.t_ns == found.frame_index * FRAME_NS
    assert found.picture.shape == (8, 8, 3)


def test_shots_with_candidates_get_nothing():
    assert fill(300, {0, 100, 299}, [100, 200]) == []


def test_the_last_shot_is_filled_at_the_end():
    (found,) = fill(300, {0}, [200])
    assert 200 <= found.frame_index < 300


def test_what_is_no_longer_held_stands_for_nothing():
    assert fill(1000, {0, 900}, [100, 200], late=600, seconds=1.0) == []


@given(
    st.lists(st.integers(8, 60), min_size=1, max_size=8),
    st.sets(st.integers(0, 400), max_size=8),
    st.integers(0, 80),
    st.randoms(),
)
def test_every_shot_of_a_third_of_a_second_has_a_candidate(lengths, taken, late, rng):
    edges = np.cumsum([0, *lengths]).tolist()
    cuts = edges[1:-1]
    rng.shuffle(cuts)
    taken = {k for k in taken if k < edges[-1]}
    found = [each.frame_index for each in fill(edges[-1], taken, cuts, late=late)]
    for start, end in pairwise(edges):
        assert any(start <= k < end for k in [*taken, *found])
    # A shot that had one gets no second.
    for k in found:
        start = max(edge for edge in edges if edge <= k)
        end = min(edge for edge in edges if edge > k)
        assert not any(start <= other < end for other in taken)


def test_a_fade_that_is_told_after_the_cut_behind_it_is_filled_on_both_sides():
    pictures = StandbyPictures(seconds=100, side=8)
    for k in range(400):
        pictures.feed(ScanFrame(k, k * FRAME_NS, IMAGE, lambda: IMAGE))
    filler = ShotFiller(pictures)
    assert filler.feed([candidate(50)], [cut(300)]) == []
    (found,) = filler.feed([], [Transition(100, 100, "fade_through")])
    assert 100 <= found.frame_index < 300
    assert filler.feed([], [Transition(100, 100, "fade_through")]) == []


def test_a_shot_waits_until_its_candidates_are_known():
    pictures = StandbyPictures(seconds=100, side=8)
    for k in range(300):
        pictures.feed(ScanFrame(k, k * FRAME_NS, IMAGE, lambda: IMAGE))
    filler = ShotFiller(pictures)
    assert filler.feed([candidate(0)], [cut(100), cut(200)], known=90) == []
    assert filler.feed([], [], known=150) == []
    # The candidate of the second shot is told later than its end.
    assert filler.feed([candidate(180)], [], known=190) == []
    assert filler.feed([], [], known=200) == []
    (late,) = filler.finish([], [], frames=300)
    assert 200 <= late.frame_index < 300


@given(
    st.lists(st.integers(8, 60), min_size=1, max_size=8), st.sets(st.integers(0, 400), max_size=8), st.integers(0, 120)
)
def test_candidates_that_are_told_late_are_those_that_are_told_at_once(lengths, taken, later):
    edges = np.cumsum([0, *lengths]).tolist()
    taken = sorted(k for k in taken if k < edges[-1])
    found = []
    for delay in (0, later):
        pictures, late = StandbyPictures(seconds=100, side=8), []
        filler = ShotFiller(pictures)
        for k in range(edges[-1]):
            pictures.feed(ScanFrame(k, k * FRAME_NS, IMAGE, lambda: IMAGE))
            told = [candidate(at) for at in taken if at + delay == k]
            late += filler.feed(told, [cut(at) for at in edges[1:-1] if at == k], known=k - delay)
        rest = [candidate(at) for at in taken if at + delay >= edges[-1]]
        late += filler.finish(rest, [], frames=edges[-1])
        found.append(late)
    at_once, waited = found
    # A shot that has a candidate gets none; one without gets the picture that is nearest by then.
    for start, end in pairwise(edges):
        counts = [sum(start <= each.frame_index < end for each in late) for late in (at_once, waited)]
        assert counts[0] == counts[1] == (not any(start <= at < end for at in taken))
