"""Frames that come late: in order, never early, and heard questions know only what has arrived."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.arrival import Arrival, arrive
from augment.errors import AugmentError
from augment.view import View
from tests.augment.views import clocks
from tests.builders.made import MS, clock_from


@st.composite
def arrivals(draw):
    view = View.whole("v", draw(clocks()))
    late = draw(st.lists(st.integers(0, 3 * 10**9), min_size=len(view.clock), max_size=len(view.clock)))
    return view, late, arrive(view, late)


@given(arrivals())
def test_no_frame_overtakes_another_and_none_comes_early(made):
    view, late, arrival = made
    came = arrival.view.clock.t_ns + arrival.lead_ns
    assert arrival.view.clock.time_of(0) == 0
    assert (np.diff(came) > 0).all()
    for place, (t_ns, came_ns) in enumerate(zip(view.clock.t_ns.tolist(), came.tolist(), strict=True)):
        assert came_ns >= t_ns + late[place]
        # As soon as it may: by itself, or right behind the one before it.
        assert came_ns == t_ns + late[place] or came_ns == came[place - 1] + 1


@given(arrivals())
def test_the_frames_are_the_same_and_map_back(made):
    view, _, arrival = made
    assert [arrival.view.origin(k) for k in range(len(view.clock))] == [view.origin(k) for k in range(len(view.clock))]
    for place in range(len(view.clock)):
        source, t_ns = arrival.view.back(arrival.view.clock.time_of(place))
        assert (source, round(t_ns)) == ("v", view.clock.time_of(place))


@given(arrivals(), st.data())
def test_a_question_is_heard_at_its_own_time_whatever_is_late(made, data):
    """What has arrived when it is heard is exactly what was sent early enough."""
    view, _, arrival = made
    asked = view.clock.time_of(data.draw(st.integers(0, len(view.clock) - 1)))
    heard = arrival.instants("v", asked)
    if asked < arrival.lead_ns:
        assert heard == []
        return
    ((piece, at),) = heard
    assert piece == 0
    clock = arrival.view.clock
    assert clock.on_grid(at)
    assert at >= min(asked - arrival.lead_ns, clock.end_ns)
    assert at == clock.snap_up(min(asked - arrival.lead_ns, clock.end_ns))


def test_a_constant_delay_leaves_the_picture_and_moves_the_questions():
    view = View.whole("v", clock_from([100] * 20))
    arrival = arrive(view, [500 * MS] * 21)
    assert arrival.view.clock.t_ns.tolist() == view.clock.t_ns.tolist()
    assert arrival.view.end_ns == view.end_ns
    assert arrival.lead_ns == 500 * MS
    # Asked when the picture of 1.2 s is taken, heard while that of 0.7 s is seen.
    assert arrival.instants("v", 1_200 * MS) == [(0, 700 * MS)]
    assert arrival.instants("v", 400 * MS) == []


def test_a_stall_holds_the_picture_and_lets_the_rest_come_at_once():
    view = View.whole("v", clock_from([100] * 9))
    arrival = arrive(view, [0, 0, 0, 450 * MS, *[0] * 6])
    came = arrival.view.clock.t_ns.tolist()
    assert came[:4] == [0, 100 * MS, 200 * MS, 750 * MS]
    assert came[4:8] == [750 * MS + k for k in range(1, 5)]
    assert came[8:] == [800 * MS, 900 * MS]
    # A question of 0.5 s knows the frame of 0.2 s, and is heard with the next one that comes.
    assert arrival.instants("v", 500 * MS) == [(0, 750 * MS)]


def test_without_delay_everything_is_heard_where_it_is_seen():
    view = View.whole("v", clock_from([40] * 10))
    same = Arrival(view, view)
    assert same.instants("v", 80 * MS) == view.instants("v", 80 * MS)
    none = arrive(view, [0] * 11)
    assert none.view.clock.t_ns.tolist() == view.clock.t_ns.tolist()
    assert none.lead_ns == 0


@pytest.mark.parametrize("late", [[], [0] * 3, [0, 0, -1, 0, 0]])
def test_what_is_no_latency_for_each_frame_is_refused(late):
    with pytest.raises(AugmentError, match="expected 5 of 0 ns or more"):
        arrive(View.whole("v", clock_from([40] * 4)), late)
