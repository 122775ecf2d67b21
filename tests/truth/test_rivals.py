"""Wrong answers: what would be right at another instant or of another subject, never true, never still to come."""

from collections import Counter

import pytest

from datasets_build.core.records import About
from datasets_build.truth.due import Due, due_of
from datasets_build.truth.grounds import Grounds
from datasets_build.truth.rivals import (
    COUNTED,
    called,
    folded,
    is_refusable,
    least_count,
    numbers_around,
    rivals,
    told_key,
)
from datasets_build.truth.words import Telling
from tests.builders.asking import CLOCK, VIDEO, act, at
from tests.builders.made import Scene, shots_at
from tests.builders.worlds import events_in

SCENE, CIRCLE = About(kind="scene"), About(kind="subject", subject="red circle")
WHO = About(kind="label", label="move")


def does(start_ms, end_ms, label, subject, words):
    return act(start_ms, end_ms, label, subject, f"The {subject} {words}.")


ROWS = (
    does(500, 1_500, "enter", "red circle", "enters"),
    does(2_500, 3_500, "enter", "blue square", "enters"),
    does(4_500, 6_500, "move", "red circle", "moves left"),
    does(8_000, 9_500, "move", "blue square", "moves up"),
    does(11_000, 12_500, "leave", "red circle", "leaves"),
    does(14_000, 15_000, "leave", "blue square", "leaves"),
)


def grounds_of(*rows):
    return Grounds(events_in(Scene(VIDEO, CLOCK, shots_at(VIDEO, CLOCK, []), [], list(rows))), CLOCK)


def found(task, about, ms, *rows):
    grounds = grounds_of(*(rows or ROWS))
    due = due_of(task, about, at(ms), grounds)
    assert isinstance(due, Due), due
    return rivals(task, about, at(ms), due, grounds)


def said(tellings):
    return {" ".join(fact.event.caption for fact in each.told) for each in tellings}


def test_what_was_last_once_and_no_more():
    texts = said(found("before", SCENE, 10_000))
    assert {"The red circle enters.", "The blue square enters.", "The red circle moves left."} <= texts
    assert "The blue square moves up." not in texts, "that is true"
    assert not any("leaves" in text for text in texts), "nobody has left yet"


def test_what_was_right_for_longer_stands_there_more_often():
    counts = Counter(map(told_key, found("before", SCENE, 13_500)))
    by_words = {key[0]: count for key, count in counts.items()}
    assert by_words["the red circle moves left."] > by_words["the red circle enters."]


def test_of_what_comes_next_all_that_comes_anywhere():
    texts = said(found("next", SCENE, 10_000))
    assert {"The blue square leaves.", "The red circle moves left."} <= texts
    assert "The red circle leaves." not in texts


def test_another_subject_lends_what_it_did():
    texts = said(found("before", CIRCLE, 10_000))
    assert texts == {"The red circle enters.", "The red circle moves up."}
    assert said(found("clue", CIRCLE, 10_000)) == {
        "The red circle enters.", "The red circle moves left.", "The red circle moves up."
    }  # fmt: skip


def test_of_whom_the_video_never_shows_there_are_wrong_answers_too():
    nobody = About(kind="subject", subject="pink star")
    assert said(found("before", nobody, 10_000)) == {
        "The pink star enters.", "The pink star moves left.", "The pink star moves up."
    }  # fmt: skip


def test_in_another_name_nobody_says_what_is_still_to_come():
    rows = (*ROWS[:4], does(12_000, 13_000, "move", "red circle", "moves up"))
    assert "The red circle moves up." not in said(found("before", CIRCLE, 10_000, *rows))
    assert "The red circle moves up." in said(found("before", CIRCLE, 10_000))


def test_in_a_short_scene_the_same_is_said_of_others():
    both = (*ROWS[:2], does(5_000, 6_000, "move", "red circle", "moves left"))
    texts = said(found("now", SCENE, 5_500, *both))
    assert "The blue square moves left." in texts
    assert "The red circle moves left." not in texts


def test_of_several_or_of_what_turns_nothing_is_said_in_another_name():
    rows = (
        *ROWS[:2],
        does(5_000, 6_000, "move", "blue stars", "move"),
        does(7_000, 7_000, "change_colour", "blue square", "turns pink"),
    )
    assert not any("move" in text or "pink" in text for text in said(found("before", CIRCLE, 10_000, *rows)))


def test_a_marker_is_not_offered_as_what_came_before_it():
    marker = About(kind="label", label="move", subject="blue square")
    texts = said(found("before", marker, 16_000))
    assert texts == {"The red circle enters.", "The blue square enters.", "The red circle leaves."}
    assert said(found("before", About(kind="label", label="leave", subject="blue square"), 16_000)) == {
        "The red circle enters.", "The blue square enters.", "The red circle moves left.", "The blue square moves up."
    }  # fmt: skip


def test_of_captions_that_differ_in_case_and_stop_both_are_true():
    rows = [
        act(a, b, None, None, text)
        for a, b, text in (
            (1_000, 2_000, "A man runs."),
            (3_000, 4_000, "a dog barks"),
            (5_000, 6_000, "a man  runs"),
        )
    ]
    made = [row.model_copy(update={"origin": "captions", "subject": None}) for row in rows]
    assert said(found("next", SCENE, 500, *made)) == {"a dog barks"}
    assert folded("A man runs.") == folded(" a man  runs")
    assert folded("A man runs?") != folded("A man runs.")


def test_a_former_name_is_the_same_thing():
    rows = (
        does(500, 1_500, "enter", "pink circle", "enters"),
        does(2_000, 2_000, "change_colour", "pink circle", "turns blue"),
        does(3_000, 3_000, "change_colour", "blue circle", "turns green"),
        does(3_500, 4_000, "enter", "red star", "enters"),
        does(5_000, 8_000, "move", "green circle", "moves left"),
    )
    assert called("green circle", grounds_of(*rows)) == {"pink circle", "blue circle", "green circle"}
    assert called("red star", grounds_of(*rows)) == {"red star"}
    assert {each.told[0].event.subject for each in found("who", WHO, 6_000, *rows)} == {"red star"}


def test_numbers_begin_where_they_can():
    assert {each.number for each in found("count_so_far", About(kind="shots"), 10_000)} == {2, 3, 4}
    assert least_count(About(kind="shots")) == 1
    assert {each.number for each in found("count_so_far", WHO, 10_000)} == {0, 1, 3, 4, 5}


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 40])
def test_the_right_number_has_a_place_that_was_drawn(number):
    places = Counter()
    for seed in range(400):
        numbers = numbers_around(number, 0, count=COUNTED, name="q", seed=seed)
        assert numbers in ((), tuple(range(numbers[0] if numbers else 0, (numbers[0] if numbers else 0) + COUNTED)))
        if numbers:
            places[numbers.index(number)] += 1
            assert numbers[0] >= 0
    assert set(places) == set(range(min(number, COUNTED - 1) + 1))
    assert sum(places.values()) < 400 or number >= COUNTED - 1


def test_small_numbers_leave_no_place_without_its_share():
    """Of counts as many as there are of 0 to 4, no place holds the right one much more often than another."""
    places = Counter()
    for number in range(5):
        for seed in range(600):
            if numbers := numbers_around(number, 0, count=COUNTED, name=f"q{number}", seed=seed):
                places[numbers.index(number)] += 1
    assert max(places.values()) < 0.36 * sum(places.values())


def test_numbers_are_the_same_again():
    first = [numbers_around(5, 0, count=4, name="q", seed=seed) for seed in range(50)]
    assert first == [numbers_around(5, 0, count=4, name="q", seed=seed) for seed in range(50)]
    assert first != [numbers_around(5, 0, count=4, name="other", seed=seed) for seed in range(50)]


@pytest.mark.parametrize(
    ("task", "kind", "wanted"),
    [("before", "subject", True), ("before", "label", True), ("before", "scene", False), ("who", "label", False)],
)
def test_what_is_asked_like_a_twin_can_be_refused(task, kind, wanted):
    assert is_refusable(task, About(kind=kind)) is wanted


def test_what_is_told_has_one_key_whatever_its_words():
    fact = grounds_of(*ROWS).scene[0]
    other = fact._replace(event=fact.event.model_copy(update={"caption": " the red circle  ENTERS"}))
    assert told_key(Telling([fact])) == told_key(Telling([other]))
    keys = {
        told_key(Telling()),
        told_key(Telling(number=1)),
        told_key(Telling(place="top left")),
        told_key(Telling(absent=True)),
    }
    assert len(keys) == 4


def test_of_a_long_video_only_the_nearest_changes_are_looked_at():
    rows = [does(50 * k, 50 * k + 40, "move", f"red{k} circle", "moves") for k in range(300)]
    texts = said(found("next", SCENE, 10_020, *rows))
    assert 0 < len(texts) <= 64 + 64
