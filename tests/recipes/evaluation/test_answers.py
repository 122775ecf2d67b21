"""Whether an answer is right."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.evaluation.answers import (
    by_task,
    declines,
    gist,
    is_right,
    judge,
    judge_due,
    letter_in,
    normal,
    number_in,
    same,
)
from tests.recipes.evaluation.made import ask, due, reply, script

WORDS = st.lists(st.sampled_from(["red", "circle", "moves", "left", "square", "blue"]), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The red circle moves left.", "red circle moves left"),
        ("  a  RED\tcircle!", "red circle"),
        ("left-hand side", "left hand side"),
        ("An apple, the pear; a fig", "apple pear fig"),
        ("ﬁne", "fine"),
        ("theory another", "theory another"),
        ("...", ""),
    ],
)
def test_normal_by_hand(text, expected):
    assert normal(text) == expected


@given(WORDS)
def test_case_punctuation_and_articles_change_nothing(words):
    plain = " ".join(words)
    assert same(plain, "The " + plain.upper() + ".")
    assert normal(normal(plain)) == normal(plain)


@given(WORDS, WORDS)
def test_other_words_are_other_answers(one, other):
    assert same(" ".join(one), " ".join(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Up to now, 1.", "1"),
        ("Three so far.", "3"),
        ("The count is 12 so far.", "12"),
        ("So far, 07.", "7"),
        ("none", None),
        ("It has happened twice", "2"),
        ("1, no, 2", "2"),
        ("3.5 of them", None),
        ("shot4", None),
        ("", None),
        ("twenty", "20"),
    ],
)
def test_number_by_hand(text, number):
    assert number_in(text) == number


@given(st.integers(0, 20))
def test_digits_and_words_are_the_same_number(number):
    words = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    words += " seventeen eighteen nineteen twenty"
    assert number_in(f"So far, {words.split()[number]}.") == number_in(f"{number} so far.") == str(number)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("B", 1),
        ("b.", 1),
        ("(C) blue", 2),
        ("The answer is B", 1),
        ("Option C.", 2),
        ("red", 0),
        ("It is green, I think", 1),
        ("D", None),
        ("red or blue", None),
        ("Because", None),
        ("", None),
    ],
)
def test_letter_by_hand(text, place):
    assert letter_in(text, ("red", "green", "blue")) == place


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The last thing was this: The red circle stops.", "Most recently: The red circle stops."),
        ("Right now: The red circle moves.", "The red circle moves."),
        ("Yes, the circle has already stopped.", "Yes. The circle has stopped."),
        ("Not yet, it has not stopped so far.", "No, it has not stopped yet."),
        ("Now the circle stops.", "Look, the circle stops."),
        ("There it is: the circle stops.", "The circle stops now."),
    ],
)
def test_gist_is_the_same_however_it_is_put(one, other):
    assert gist(one) == gist(other)
    assert is_right(one, other)
    assert not same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Yes, the circle has stopped.", "No, the circle has not stopped yet."),
        ("Most recently: The red circle stops.", "Most recently: The blue circle stops."),
        ("The circle stops. The circle moves.", "The circle moves. The circle stops."),
        ("", "It stops."),
        ("so far", "already"),
    ],
)
def test_gist_tells_answers_apart(one, other):
    assert not is_right(one, other)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("That cannot be answered, no yellow star has been seen so far.", True),
        ("No star has been shown so far, so I cannot tell.", True),
        ("I cannot say, because there has been no star so far.", True),
        ("So far I have seen no star.", True),
        ("So far it has not moved, so there is nothing to tell.", True),
        ("The star moves left.", False),
        ("", False),
    ],
)
def test_declining(text, says):
    assert declines(text) is says


def test_each_kind_of_question_has_its_rule():
    def right(made, text):
        return judge(made, reply("k", text), video_id="v").right

    assert right(ask("k", "Up to now, 2.", mode="counting"), "two so far")
    assert not right(ask("k", "Up to now, 2.", mode="counting"), "Up to now, 3.")
    assert right(ask("k", "2", mode="probe"), "So far, 2.")
    assert right(ask("k", "yes", mode="probe"), "Yes, it has.")
    assert right(ask("k", "green", options=("red", "green"), option=1), "B.")
    assert not right(ask("k", "green", options=("red", "green"), option=1), "A. green")
    assert right(ask("k", "So far I have seen no star.", unanswerable=True), "I cannot tell.")
    assert not right(ask("k", "So far I have seen no star.", unanswerable=True), "It moves left.")
    assert not right(ask("k", "It moves left."), "I cannot tell.")


def test_what_was_not_said_in_time_is_wrong():
    made = script(due(3))
    assert judge_due(made, "Now it moves.", made.dues[0], video_id="v").right
    assert not judge_due(made, None, made.dues[0], video_id="v").right
    assert not judge_due(made, "It stops.", made.dues[0], video_id="v").right


def test_any_words_will_do_for_a_promise():
    made = script(due(3, text="I will tell you.", worded=False))
    assert judge_due(made, "All right.", made.dues[0], video_id="v").right
    assert not judge_due(made, " ", made.dues[0], video_id="v").right
    assert not judge_due(made, None, made.dues[0], video_id="v").right


def test_of_an_answer_that_was_cut_short_what_came_out_is_judged():
    made = script(due(3, text="It was this: The red circle moves left."))
    for text, right in (("It was this: The red cir", True), ("The red", True), ("The blue", False), ("", False)):
        assert judge_due(made, text, made.dues[0], video_id="v", cut=True).right is right
    assert not judge_due(made, "The red", made.dues[0], video_id="v").right


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_groups_hold_every_mark_once(rows):
    marks = [
        judge(ask("k", "yes", task=task, unanswerable=gone), reply("k", "yes"), video_id="v") for task, gone in rows
    ]
    groups = by_task(marks)
    assert sum(len(found) for name, found in groups.items() if name != "unanswerable") == len(marks)
    assert len(groups.get("unanswerable", [])) == sum(gone for _, gone in rows)
    assert list(groups) == sorted(groups)
