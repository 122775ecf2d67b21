"""Where a box lies, and until when something stays there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.truth.places import PLACES, Places, Stay, place_sentence, quarter, shares_of
from tests.builders.made import MS, clock_from, said, video_of

VIDEO = video_of("places", clock_from([40] * 99))
LEFT, RIGHT = "0.1 0.1 0.2 0.2", "0.6 0.1 0.2 0.2"


def box(start, end, text=LEFT, subject="red circle"):
    return said(VIDEO, start * MS, end * MS, text, kind="box", subject=subject)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0 0 0.5 0.5", "top left"),
        ("0.5 0 0.5 0.5", "top right"),
        ("0 0.5 0.5 0.5", "bottom left"),
        ("0.5 0.5 0.5 0.5", "bottom right"),
        ("60 10 20 20", None),
        ("-0.5 0.1 0.2 0.2", None),
        ("0.1 -0.5 0.2 0.2", None),
        ("0.9 0.6 0.2 0.2", None),
        ("0.6 0.9 0.2 0.2", None),
        ("nan 0.1 0.2 0.2", None),
        ("0.1 0.1 inf 0.2", None),
        ("-0.0005 0 0.2 0.2", "top left"),
        ("0.3 0 0.3 0.2", None),
        ("0 0.4 0.1 0.2", None),
        ("0 0 0 0.1", None),
        ("0 0 0.1", None),
        ("a b c d", None),
        ("", None),
    ],
)
def test_a_quarter_holds_all_of_a_box_or_none_does(text, place):
    assert quarter(text) == place


@given(*[st.floats(0, 0.6)] * 2, *[st.floats(0.01, 0.4)] * 2)
def test_a_quarter_is_where_all_corners_are(left, top, width, height):
    found = quarter(f"{left!r} {top!r} {width!r} {height!r}")
    corners = {
        f"{'top' if y else 'bottom'} {'left' if x else 'right'}"
        for x in {left + width <= 0.5, left < 0.5}
        for y in {top + height <= 0.5, top < 0.5}
    }
    assert (found is None) == (len(corners) > 1)
    assert found is None or corners == {found}


def test_a_stay_goes_on_while_boxes_follow_each_other_in_one_quarter():
    found = Places([box(0, 100), box(100, 200, "0.2 0.2 0.2 0.2"), box(200, 300, RIGHT), box(300, 400)])
    assert found.of("red circle", 50 * MS)[:3] == Stay(0, 200 * MS, "top left")[:3]
    assert found.of("red circle", 150 * MS)[:3] == (0, 200 * MS, "top left"), "since the box before"
    assert found.of("the Red circle", 250 * MS)[:3] == (200 * MS, 300 * MS, "top right")
    assert found.of("red circle", 400 * MS) is None
    assert found.of("blue square", 50 * MS) is None


def test_a_gap_ends_a_stay_and_a_namesake_does_too():
    assert Places([box(0, 100), box(150, 200)]).of("red circle", 0).end_ns == 100 * MS
    both = Places([box(0, 200), box(100, 300, RIGHT)])
    assert both.of("red circle", 50 * MS).end_ns == 100 * MS
    assert both.of("red circle", 150 * MS) is None


def test_a_stay_names_the_box_at_the_instant():
    rows = [box(0, 100), box(100, 200, "0.2 0.2 0.2 0.2")]
    found = Places(rows)
    assert [found.of("red circle", t * MS).box_id for t in (50, 150)] == [row.id for row in rows]


def test_a_namesake_beside_it_begins_a_stay_anew():
    after = Places([box(0, 300), box(100, 200, RIGHT)])
    assert after.of("red circle", 250 * MS).start_ns == 200 * MS
    assert after.of("red circle", 50 * MS).start_ns == 0
    before = Places([box(0, 150, RIGHT), box(100, 300), box(300, 400)])
    assert [before.of("red circle", t * MS).start_ns for t in (200, 350)] == [150 * MS, 150 * MS]
    two_end = Places([box(0, 100), box(50, 100, RIGHT), box(100, 200)])
    assert two_end.of("red circle", 150 * MS).start_ns == 100 * MS


def test_a_place_is_seen_from_the_second_frame_that_shows_it():
    clock = clock_from([40] * 99)
    found = Places([box(30, 90), box(90, 130, RIGHT)])
    assert found.seen("red circle", 40 * MS, clock) is None, "the first frame that shows it"
    assert found.seen("red circle", 80 * MS, clock)[:3] == (40 * MS, 120 * MS, "top left")
    assert found.seen("red circle", 120 * MS, clock) is None
    assert found.seen("blue square", 80 * MS, clock) is None


@pytest.mark.parametrize("text", ["60 10 20 20", "-0.5 0 0.2 0.2", "0 0 0 0.2", "0 0 nan 0.2", "0 0 0.2", "a b c d"])
def test_what_is_no_box_in_the_picture_has_no_shares(text):
    assert shares_of(text) is None
    assert shares_of("0 0.25 0.5 0.75") == (0.0, 0.25, 0.5, 0.75)


def test_what_is_no_box_of_anything_tells_nothing():
    rows = [box(0, 100, subject=None), said(VIDEO, 0, 100 * MS, LEFT, subject="red circle")]
    assert not Places(rows)
    assert Places([box(0, 100)])


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.sampled_from([LEFT, RIGHT])), max_size=6),
    st.integers(0, 15),
)
def test_a_stay_holds_at_each_of_its_instants(rows, t):
    places = Places([box(start, start + length, text) for start, length, text in rows])
    stay = places.of("red circle", t * MS)
    here = [(s, length, text) for s, length, text in rows if s <= t < s + length]
    assert (stay is None) == (len({*here}) != 1 or len(here) != 1)
    for at in range(stay.start_ns // MS if stay else t, stay.end_ns // MS if stay else t):
        there = [text for s, length, text in rows if s <= at < s + length]
        assert [quarter(text) for text in there] == [stay.place]


def test_a_place_is_told_in_a_sentence():
    assert [place_sentence("red circle", p) for p in PLACES[:1]] == ["The red circle is at the top left."]
    assert place_sentence("Anna", "bottom right") == "Anna is at the bottom right."
