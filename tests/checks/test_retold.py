"""Words and boxes against those of a parent: silent on what augmentation makes of them, and each fault is found."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.boxes import Box
from augment.boxes import box_under as moved
from augment.wording import Pace, retold, timely
from datasets_build.checks.retold import box_breaches, box_under, may_speak_of_time, wanders, words_breaches
from datasets_build.core.augmentation import Look
from tests.laws import examples

SAID = (
    "It the red ball waits for in after a an half two five thirty twelve 5 2.5 0,75 10 ms s seconds second minutes min "
    "hour - slowly quickly fast again twice times first third time beginning middle end of video halfway finally at "
    "last so far already moment while slow motion speed longer instantly once stops moves"
)
WORDS = st.lists(st.sampled_from(SAID.split()), min_size=1, max_size=12).map(" ".join)
SCALES = st.fractions(Fraction(1, 4), 4, max_denominator=60)


@settings(max_examples=examples(250), deadline=None)
@given(WORDS)
def test_whatever_speaks_of_time_is_taken_to_do_so(text):
    assert may_speak_of_time(text) or not timely(text)


def test_most_words_do_not():
    for text in ("The red circle stops.", "Anna and the dog collide.", "The star enters from the left."):
        assert not may_speak_of_time(text)


@settings(max_examples=examples(250), deadline=None)
@given(WORDS, SCALES, st.booleans(), st.booleans())
def test_what_is_retold_is_right(text, scale, from_start, whole):
    again = retold(text, Pace(scale=scale, from_start=from_start, whole=whole))
    if again is not None:
        assert list(words_breaches("text", again, text, scale)) == []


@pytest.mark.parametrize(
    ("found", "parent", "scale"),
    [
        ("The ball waits.", "The ball stops.", Fraction(2)),
        ("The ball waits.", "The ball stops.", None),
        ("It waits for 5 seconds.", "It waits for 5 seconds.", Fraction(2)),
        ("It waits for 5.1 seconds.", "It waits for 5 seconds.", Fraction(1)),
        ("It waits for 9.9 seconds.", "It waits for five seconds.", Fraction(2)),
        ("It waits for 10 minutes.", "It waits for 5 seconds.", Fraction(2)),
        ("It sleeps for 10 seconds.", "It waits for 5 seconds.", Fraction(2)),
        ("It waits.", "It waits for 5 seconds.", Fraction(2)),
    ],
)
def test_words_that_are_not_true_any_more_are_found(found, parent, scale):
    (breach,) = words_breaches("caption", found, parent, scale)
    assert found in breach.found
    assert breach.found.startswith("caption")
    assert parent in breach.expected


def look(kind, **values):
    return Look(kind=kind, parameters=[{"name": name, "value": float(value)} for name, value in values.items()])


@st.composite
def framed(draw):
    """Bars around a picture, or a part of one."""
    wide, high = draw(st.integers(8, 400)), draw(st.integers(8, 400))
    left, top = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    if draw(st.booleans()):
        size = {"width": wide + left + draw(st.integers(0, 9)), "height": high + top + draw(st.integers(0, 9))}
        return look("letterbox", left=left, top=top, inner_width=wide, inner_height=high, **size)
    outer = {"outer_width": wide + left + draw(st.integers(0, 9)), "outer_height": high + top}
    return look("window", left=left, top=top, width=wide, height=high, **outer)


SHARES = st.tuples(*[st.integers(1, 98)] * 2, *[st.integers(1, 100)] * 2)


@settings(max_examples=examples(200), deadline=None)
@given(SHARES, st.lists(st.one_of(framed(), st.just(look("colour", gamma=1))), max_size=3))
def test_a_box_is_where_the_looks_take_it(shares, looks):
    left, top, wide, high = shares
    right, bottom = min(100, left + wide), min(100, top + high)
    box = Box(left=left / 100, top=top / 100, right=right / 100, bottom=bottom / 100)
    there, wanted = moved(box, looks), box_under(box.text, looks)
    assert (there is None) == (wanted is None)
    if there is not None:
        assert list(box_breaches(there.text, wanted)) == []
        beside = [value + 0.01 * (k == 1) for k, value in enumerate(wanted)]
        (breach,) = box_breaches(there.text, beside)
        assert there.text in breach.found


def test_what_is_no_box_is_found():
    for text in ("here", "0.1 0.2", ""):
        (breach,) = box_breaches(text, (0.1, 0.2, 0.3, 0.4))
        assert breach.expected == "0.1 0.2 0.3 0.4"


def test_only_shaking_wanders():
    assert wanders([look("colour", gamma=1), look("shake_zoom", amplitude=1)])
    assert not wanders([look("letterbox")])
