"""Moments wait in order; of those that are almost one, and of too many, the least worthy go."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.decoders.frames import ScanFrame
from datasets_build.perception.moments import Moment, Waiting, Worth

FRAME_NS = NS_PER_S // 25
THUMB = np.zeros((9, 16, 3), np.uint8)


def moment(frame, worth=Worth.MUCH, *, shot=0, amount=0.1, reason="change"):
    return Moment(ScanFrame(frame, frame * FRAME_NS, None, lambda: THUMB), THUMB, reason, worth, shot, amount)


def waiting(*moments, apart_s=0.2):
    held = Waiting()
    for each in moments:
        held.add(each, apart_ns=int(apart_s * NS_PER_S))
    return held


def indices(held):
    return [each.frame.index for each in held]


ANY = st.builds(
    moment,
    st.integers(0, 100),
    st.sampled_from(list(Worth)),
    shot=st.integers(0, 2),
    amount=st.sampled_from([0.0, 0.1, 0.5]),
    reason=st.sampled_from(["first", "change", "gap"]),
)


@given(st.lists(ANY, max_size=30))
def test_they_wait_in_order_and_are_few(moments):
    held = waiting(*moments)
    times = [each.t_ns for each in held]
    assert times == sorted(times)
    assert len(held) == len(times) <= 8
    assert [held.pop().t_ns for _ in times] == times
    with pytest.raises(IndexError):
        held.pop()


@given(st.lists(ANY, max_size=8), st.floats(0.05, 1.0))
def test_no_two_of_a_shot_are_almost_one(moments, apart_s):
    changes = [each for each in moments if each.reason != "first"]
    held = list(waiting(*changes, apart_s=apart_s))
    for shot in range(3):
        for early, late in pairwise(each for each in held if each.shot == shot):
            assert late.t_ns - early.t_ns > int(apart_s * NS_PER_S)


def test_of_two_that_are_almost_one_the_worthier_stays_and_of_equals_the_earlier():
    assert indices(waiting(moment(10, Worth.SOME), moment(13, Worth.MUCH))) == [13]
    assert indices(waiting(moment(10, Worth.MUCH), moment(13, Worth.SOME))) == [10]
    assert indices(waiting(moment(13), moment(10))) == [10]
    # Five frames are a fifth of a second.
    assert indices(waiting(moment(10), moment(15))) == [10]
    assert indices(waiting(moment(10), moment(16))) == [10, 16]


def test_a_new_shot_is_never_one_with_what_was_before():
    assert indices(waiting(moment(10), moment(11, shot=1))) == [10, 11]
    assert indices(waiting(moment(10), moment(11, Worth.SOME, reason="first"))) == [10, 11]


def test_of_too_many_the_least_worthy_and_of_equals_the_earliest_goes():
    many = [moment(10 * k, Worth.SOME if k == 4 else Worth.MORE) for k in range(9)]
    assert indices(waiting(*many)) == [0, 10, 20, 30, 50, 60, 70, 80]
    equal = [moment(10 * k) for k in range(9)]
    assert indices(waiting(*equal)) == [10, 20, 30, 40, 50, 60, 70, 80]


def test_a_shot_is_shown_by_what_is_worth_much_in_it():
    held = waiting(moment(10, Worth.MORE, shot=1), moment(40, Worth.MUCH, shot=2))
    assert not held.shows(1)
    assert held.shows(2)
    assert not held.shows(3)


def test_close_to_a_picture_or_to_a_better_moment_little_is_new():
    held = waiting(moment(40, Worth.MUCH))
    assert held.worth(moment(20, Worth.MORE), since_ns=NS_PER_S) == Worth.MORE
    assert held.worth(moment(20, Worth.MORE), since_ns=NS_PER_S // 2 - 1) == Worth.LITTLE
    assert held.worth(moment(28, Worth.MORE), since_ns=NS_PER_S) == Worth.LITTLE
    assert held.worth(moment(28, Worth.MUCH), since_ns=NS_PER_S) == Worth.MUCH


def test_better_is_worthier_or_as_worthy_with_far_more_change():
    held = waiting(moment(40, Worth.MUCH, amount=0.2), moment(60, Worth.SOME, amount=0.5), moment(80, Worth.MUCH))
    assert held.better(moment(10, Worth.MUCH), Worth.MUCH) == 0
    assert held.better(moment(10, Worth.MUCH, amount=0.05), Worth.MUCH) == 1
    assert held.better(moment(10, Worth.SOME), Worth.SOME) == 3
    assert held.better(moment(10, Worth.SOME, amount=0.3), Worth.SOME) == 2
    assert held.better(moment(10), Worth.LITTLE) == 3


@given(st.lists(ANY, max_size=8), ANY)
def test_more_worth_has_never_more_that_are_better(moments, one):
    held = waiting(*moments)
    counts = [held.better(one, worth) for worth in Worth]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] <= len(held)
