"""Laws of views: frames keep order and pictures, maps go there and back, instants and spans stay in place."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import AugmentError
from augment.temporal import Pace, Stall, concat, crop, freeze, loop, reverse, skip, speed
from augment.view import Piece, View, map_times, mirrored
from datasets_build.core.clock import Span, TimeError, TimeMap
from tests.augment.views import changed, clocks, views
from tests.builders.made import clock_from, steady
from tests.laws import examples

CLOCK = clock_from([100] * 9, last_ms=100)
MS = 1_000_000
WHOLE = View.whole("a", CLOCK)


@settings(max_examples=examples(150), deadline=None)
@given(views())
def test_frames_come_in_order_and_are_those_of_their_pieces(view):
    assert len(view.clock) == len(view.piece_of) == len(view.frame_of) == len(view.on_of)
    assert view.clock.t_ns[0] == 0
    assert np.all(np.diff(view.clock.t_ns) > 0)
    assert np.all(np.diff(view.piece_of) >= 0)
    for index in range(len(view.clock)):
        source, frame = view.origin(index)
        piece = view.pieces[view.piece_of[index]]
        assert source == piece.source
        low, high = piece.span
        # What a frame shows lasts from its own time to the next shown frame's.
        on = piece.clock.time_of(frame)
        assert low - 1 <= on <= high + 1
    (told,) = {tuple(view.source_times(view.clock.t_ns.tolist()))}
    expected = [
        (view.origin(k)[0], view.pieces[view.piece_of[k]].clock.time_of(view.origin(k)[1]))
        for k in range(len(view.clock))
    ]
    assert list(told) == expected


@settings(max_examples=examples(150), deadline=None)
@given(views(), st.data())
def test_there_and_back_is_the_same_instant(view, data):
    share = data.draw(st.fractions(0, 1, max_denominator=50))
    for piece in view.pieces:
        low, high = piece.span
        t = low + (high - low) * share
        assert piece.back(piece.exact(t)) == t
        begins, ends = piece.time_map.target
        u = begins + (ends - begins) * share
        assert piece.exact(piece.back(u)) == u
    t_ns = data.draw(st.integers(0, view.end_ns - 1))
    source, there = view.back(t_ns)
    places = [piece for piece in view.pieces if piece.source == source and piece.span[0] <= there <= piece.span[1]]
    assert any(abs(piece.exact(there) - t_ns) <= 1 for piece in places)


@settings(max_examples=examples(150), deadline=None)
@given(views())
def test_a_frames_time_goes_to_that_frame(view):
    """The rule that all labels follow: what begins with a frame of a source begins with it in the view."""
    for index in range(len(view.clock)):
        place = int(view.piece_of[index])
        piece, on = view.pieces[place], int(view.on_of[index])
        found = dict(view.instants(piece.source, on))
        assert found[place] == view.clock.time_of(index)


@settings(max_examples=examples(150), deadline=None)
@given(views(), st.data())
def test_spans_stay_ordered_inside_and_on_frames(view, data):
    piece = view.pieces[0]
    end = piece.clock.end_ns
    start, stop = sorted(data.draw(st.tuples(st.integers(0, end), st.integers(0, end))))
    for moved in view.spans(piece.source, Span(start_ns=start, end_ns=stop)):
        assert 0 <= moved.start_ns <= moved.end_ns <= view.end_ns
        assert view.clock.on_grid(moved.start_ns)
        assert view.clock.on_grid(moved.end_ns)
        assert (moved.start_ns == moved.end_ns) == (start == stop)
        inside = view.pieces[moved.piece]
        low, high = inside.span
        cuts = (start < low, stop > high)
        assert (moved.cut_start, moved.cut_end) == (cuts[::-1] if inside.is_reversed else cuts)


@settings(max_examples=examples(100), deadline=None)
@given(clocks(), st.data())
def test_a_span_shows_exactly_the_frames_that_were_in_it(clock, data):
    """Whatever is done to the times, on frames that are all there and forwards."""
    view = View.whole("a", clock)
    for _ in range(2):
        view = changed(view, data.draw, backwards=False)
    first = data.draw(st.integers(0, len(clock) - 1))
    stop = data.draw(st.integers(first + 1, len(clock)))
    span = Span(start_ns=clock.time_of(first), end_ns=clock.time_of(stop))
    seen = set()
    for moved in view.spans("a", span):
        inside = view.clock.frames_in(Span(start_ns=moved.start_ns, end_ns=moved.end_ns))
        seen |= {index for index in inside if view.piece_of[index] == moved.piece}
    assert seen == {k for k in range(len(view.clock)) if first <= view.frame_of[k] < stop}


@settings(max_examples=examples(80), deadline=None)
@given(views(changes=2), st.data())
def test_composing_maps_is_applying_them_one_after_the_other(view, data):
    # The view as a video of its own, changed, and the view changed itself.
    alone = changed(View.whole("here", view.clock), data.draw)
    again = view.then(alone.pieces)
    assert np.array_equal(again.frame_of, view.frame_of[alone.frame_of])
    for piece in alone.pieces:
        t = data.draw(st.sampled_from([*view.clock.t_ns.tolist()]))
        if not piece.span[0] < t < piece.span[1] or view.clock.index_at(t) not in piece.frames:
            continue
        source, before = view.back(t)
        via = piece.exact(t)
        direct = [p.exact(before) for p in again.pieces if p.source == source and p.span[0] <= before <= p.span[1]]
        assert any(abs(via - there) <= 8 for there in direct)
    assert np.all(np.abs(again.clock.t_ns - alone.clock.t_ns) <= 8)


@settings(max_examples=examples(80), deadline=None)
@given(views())
def test_backwards_twice_is_forwards(view):
    again = reverse(reverse(view))
    assert again.end_ns == view.end_ns
    assert np.all(np.abs(again.clock.t_ns - view.clock.t_ns) <= 1)
    assert np.array_equal(again.frame_of, view.frame_of)
    assert [piece.is_reversed for piece in again.pieces] == [piece.is_reversed for piece in view.pieces]


def test_a_whole_video_is_itself():
    assert np.array_equal(WHOLE.clock.t_ns, CLOCK.t_ns)
    assert WHOLE.end_ns == CLOCK.end_ns
    assert WHOLE.instants("a", 300 * MS) == [(0, 300 * MS)]
    assert WHOLE.instants("b", 300 * MS) == []
    (moved,) = WHOLE.spans("a", Span(start_ns=100 * MS, end_ns=400 * MS))
    assert moved[:2] == (100 * MS, 400 * MS)


def test_an_instant_between_pieces_belongs_to_the_later():
    twice = loop(WHOLE, 2)
    assert twice.instants("a", 0) == [(0, 0), (1, 1000 * MS)]
    assert twice.instants("a", 1000 * MS) == [(1, 2000 * MS)]
    assert twice.back(1000 * MS) == ("a", Fraction(0))
    assert twice.back(999 * MS) == ("a", Fraction(999 * MS))


def test_what_is_skipped_is_seen_at_the_next_frame_or_not_at_all():
    view = skip(WHOLE, np.array([0, 1, 5, 9]))
    assert view.instants("a", 200 * MS) == [(0, 500 * MS)]
    assert view.spans("a", Span(start_ns=200 * MS, end_ns=500 * MS)) == []
    (moved,) = view.spans("a", Span(start_ns=200 * MS, end_ns=600 * MS))
    assert moved[:2] == (500 * MS, 900 * MS)


def test_a_seam_is_seen_where_it_is():
    twice = skip(loop(WHOLE, 2), np.array([0, 5, 15]))
    assert twice.frame_of.tolist() == [0, 5, 0, 5]
    assert twice.clock.t_ns.tolist() == [0, 500 * MS, 1000 * MS, 1500 * MS]


def test_a_frame_that_freezes_is_followed_later():
    view = freeze(WHOLE, [Stall(4, 2000 * MS)])
    assert view.end_ns == 3000 * MS
    assert view.instants("a", 400 * MS) == [(0, 400 * MS)]
    assert view.instants("a", 500 * MS) == [(0, 2500 * MS)]
    # What ends with the next frame lasts as long as the picture stands.
    (moved,) = view.spans("a", Span(start_ns=400 * MS, end_ns=500 * MS))
    assert moved[:2] == (400 * MS, 2500 * MS)


def test_backwards_a_frame_comes_when_the_next_shown_one_would():
    view = reverse(skip(WHOLE, np.array([0, 3, 4])))
    assert view.frame_of.tolist() == [4, 3, 0]
    assert view.clock.t_ns.tolist() == [0, 600 * MS, 700 * MS]
    assert view.end_ns == 1000 * MS


def test_twice_as_fast_takes_half_the_time():
    view = speed(WHOLE, [Pace(0, Fraction(2)), Pace(500 * MS, Fraction(1, 2))])
    assert view.end_ns == 1250 * MS
    assert view.instants("a", 400 * MS) == [(0, 200 * MS)]
    assert view.instants("a", 600 * MS) == [(0, 450 * MS)]


def test_frames_that_would_meet_are_refused():
    view = View.whole("a", clock_from([1] * 3, last_ms=1))
    view = concat([View.of([replace(view.pieces[0], time_map=TimeMap.through([(0, 0), (view.end_ns, 9)]))])])
    with pytest.raises(AugmentError, match="squeeze frames together"):
        speed(view, [Pace(0, Fraction(4))])
    with pytest.raises(AugmentError, match="found no frame to show"):
        View.of([])


@settings(max_examples=examples(100), deadline=None)
@given(clocks(), st.lists(st.fractions(Fraction(1, 4), 4, max_denominator=30), min_size=1, max_size=4), st.data())
def test_many_times_are_moved_as_single_ones(clock, factors, data):
    knots, at = [(Fraction(0), Fraction(0))], Fraction(0)
    for place, factor in enumerate(factors, start=1):
        length = Fraction(clock.end_ns, len(factors))
        at += length / factor
        knots.append((length * place, at))
    time_map = TimeMap(tuple(knots))
    times = sorted(data.draw(st.lists(st.integers(0, clock.end_ns), max_size=9)))
    assert map_times(time_map, times) == [time_map.apply(t) for t in times]
    flipped = mirrored(time_map, clock.end_ns, at)
    for t in times:
        assert flipped.exact(clock.end_ns - t) == at - time_map.exact(t)
    with pytest.raises(TimeError, match="reach outside"):
        map_times(time_map, [*times, clock.end_ns + 1])


def test_the_last_frame_of_a_crop_ends_where_the_next_would_come():
    view = crop(WHOLE, 2, 5)
    assert view.clock.t_ns.tolist() == [0, 100 * MS, 200 * MS]
    assert view.end_ns == 300 * MS
    both = concat([view, View.whole("b", steady(1.0))])
    assert both.origin(3) == ("b", 0)
    assert both.clock.time_of(3) == 300 * MS


def test_a_piece_knows_its_stretch():
    span = TimeMap.through([(100 * MS, 0), (300 * MS, 200 * MS)])
    frames = np.array([8, 7])
    piece = Piece(source="a", clock=CLOCK, time_map=span, frames=frames, on_ns=CLOCK.t_ns[frames + 1], is_reversed=True)
    assert piece.span == (700 * MS, 900 * MS)
    assert piece.shown_at() == [0, 100 * MS]
    assert piece.exact(900 * MS) == 0
    assert piece.back(0) == 900 * MS


def test_a_span_of_which_no_frame_is_shown_is_not_whole():
    thin = skip(WHOLE, np.array([0, 1, 6, 7, 8, 9]))

    def whole(start, end):
        return [place for place, _ in thin.exact_spans("a", Span(start_ns=start * MS, end_ns=end * MS))]

    assert whole(200, 600) == []
    assert whole(200, 601) == whole(150, 260 - 100) == whole(0, 1000) == [0]
    # What is shorter than a frame has none to lose.
    assert whole(210, 290) == [0]
