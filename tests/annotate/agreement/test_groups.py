"""Marks of several people about one event, and the one that stands for them."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.agreement.groups import Member, across_labels, closeness, groups_of, median_ns, most_close, standing_for
from annotate.agreement.matching import match
from tests.annotate.agreement.strategies import marks
from tests.annotate.people import MS, S, mark

TOLERANCE = 500 * MS


def grouped(*people, iou=0.3):
    return groups_of(people, iou=iou, tolerance_ns=TOLERANCE)


def names(groups):
    return [tuple(one.mark.id for one in group) for group in groups]


def group(*drawn):
    return tuple(Member(person=number, mark=one) for number, one in enumerate(drawn))


crowd = st.lists(marks(), min_size=2, max_size=3)


@given(crowd)
@settings(max_examples=30)
def test_every_mark_is_in_one_group_and_no_person_twice(people):
    found = grouped(*people)
    assert sum(len(one) for one in found) == sum(len(drawn) for drawn in people)
    for one in found:
        assert len({member.person for member in one}) == len(one)
        assert len({member.mark.label for member in one}) == 1


@given(marks(), marks())
@settings(max_examples=25)
def test_two_people_are_grouped_as_they_are_matched(left, right):
    pairs = match(left, right, iou=0.3, tolerance_ns=TOLERANCE)
    assert sum(len(one) == 2 for one in grouped(left, right)) == len(pairs)


@given(crowd, st.data())
@settings(max_examples=30)
def test_who_is_who_changes_no_group(people, data):
    shuffled = data.draw(st.permutations(people))

    def said(groups):
        return sorted(sorted((m.mark.label, m.mark.start_ns, m.mark.end_ns) for m in one) for one in groups)

    assert said(grouped(*people)) == said(grouped(*shuffled))


@given(marks(), st.integers(2, 4))
@settings(max_examples=25)
def test_equal_people_make_groups_of_all(drawn, many):
    assert [len(one) for one in grouped(*[drawn] * many)] == [many] * len(drawn)


def test_three_people_about_two_events():
    a = [mark("a1", "pour", 0, 4 * S), mark("a2", "pour", 10 * S, 14 * S)]
    b = [mark("b1", "pour", S, 5 * S)]
    c = [mark("c1", "pour", 500 * MS, 4 * S), mark("c2", "stir", 10 * S, 14 * S)]
    assert names(grouped(a, b, c)) == [("a1", "c1", "b1"), ("a2",), ("c2",)]


def test_the_closest_pair_joins_first():
    # b1 could be with either of a's, and is with the one that it is most like.
    a = [mark("a1", "pour", 0, 4 * S), mark("a2", "pour", 4 * S, 10 * S)]
    b = [mark("b1", "pour", 3 * S, 9 * S)]
    c = [mark("c1", "pour", 0, 6 * S)]
    assert ("b1", "a2") in names(grouped(a, b)) or ("a2", "b1") in names(grouped(a, b))
    for one in grouped(a, b, c):
        assert len(one) <= 2


def test_other_labels_at_one_time_are_joined_on_demand():
    groups = grouped([mark("a", "pour", 0, 4 * S)], [mark("b", "stir", 0, 4 * S)], [mark("c", "stir", 8 * S, 9 * S)])
    assert names(across_labels(groups, iou=0.5, tolerance_ns=TOLERANCE)) == [("a", "b"), ("c",)]


def test_two_labels_of_one_person_are_not_joined():
    groups = grouped([mark("a", "pour", 0, 4 * S), mark("b", "stir", 0, 4 * S)], [])
    assert names(across_labels(groups, iou=0.5, tolerance_ns=TOLERANCE)) == [("a",), ("b",)]


def test_closeness_is_the_median_likeness():
    drawn = [mark("a", "pour", 0, 4 * S), mark("b", "pour", 0, 4 * S), mark("c", "pour", 0, 2 * S)]
    assert closeness(group(*drawn), tolerance_ns=TOLERANCE) == 0.5
    assert closeness(group(*drawn[:2]), tolerance_ns=TOLERANCE) == 1.0
    assert closeness(group(drawn[0]), tolerance_ns=TOLERANCE) == 1.0


def test_how_many_lie_at_one_time():
    drawn = [mark("a", "pour", 0, 4 * S), mark("b", "pour", S, 4 * S), mark("c", "pour", 3 * S, 9 * S)]
    assert most_close(group(*drawn), iou=0.5, tolerance_ns=TOLERANCE) == 2
    assert most_close(group(*drawn), iou=0.8, tolerance_ns=TOLERANCE) == 1
    assert most_close(group(*drawn), iou=0.1, tolerance_ns=TOLERANCE) == 3


@pytest.mark.parametrize(("times", "middle"), [([3], 3), ([9, 1, 5], 5), ([4, 1], 2), ([1, 2, 5, 9], 3)])
def test_the_middle_time(times, middle):
    assert median_ns(times) == middle


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 50)), min_size=1, max_size=5))
@settings(max_examples=30)
def test_the_standing_mark_has_a_length_and_lies_among_the_others(spans):
    drawn = [mark(f"m{at}", "pour", start, start + length) for at, (start, length) in enumerate(spans)]
    one = standing_for(group(*drawn), "new")
    assert min(each.start_ns for each in drawn) <= one.start_ns < one.end_ns <= max(each.end_ns for each in drawn)
    assert (one.id, one.label, one.is_point) == ("new", "pour", False)


def test_most_of_a_group_say_what_stands():
    drawn = [
        mark("a", "pour", 0, 4 * S, note="b", confidence="sure"),
        mark("b", "pour", S, 5 * S, note="a", confidence="sure"),
        mark("c", "pour", 3 * S, 9 * S, note="b", confidence="unsure"),
    ]
    one = standing_for(group(*drawn), "x")
    assert (one.start_ns, one.end_ns, one.note, one.confidence) == (S, 5 * S, "b", "sure")


def test_ties_fall_by_the_alphabet_and_to_doubt():
    drawn = [
        mark("a", "pour", 0, 4 * S, note="b", confidence="sure"),
        mark("b", "pour", 0, 4 * S, note="a", confidence="unsure"),
    ]
    for pair in (drawn, drawn[::-1]):
        one = standing_for(group(*pair), "x")
        assert (one.note, one.confidence) == ("a", "unsure")


def test_nothing_said_stays_unsaid():
    one = standing_for(group(mark("a", "pour", 0, S)), "x")
    assert (one.note, one.confidence) == ("", None)


def test_most_of_a_group_say_whether_it_is_an_instant():
    point, short = mark("a", "pour", S, S, is_point=True), mark("b", "pour", S, S + 40 * MS)
    assert not standing_for(group(point, short), "x").is_point
    one = standing_for(group(point, short, point.model_copy(update={"start_ns": S + 2, "end_ns": S + 2})), "x")
    assert (one.is_point, one.start_ns, one.end_ns) == (True, S + 1, S + 1)


def test_members_of_equal_marks_are_told_apart():
    # One person drew the same mark twice; the very same object stands in both people's work.
    twin = mark("t", "pour", 0, S)
    found = grouped([twin, twin.model_copy()], [twin])
    assert sorted(len(one) for one in found) == [1, 2]
    assert all(a.mark.label == b.mark.label for one in found for a, b in combinations(one, 2))
