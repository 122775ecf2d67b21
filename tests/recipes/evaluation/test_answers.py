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
    polarity,
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
        ("1, no, 2", None),
        ("0 1 2 3 4", None),
        ("4 4", None),
        ("3.5, or 3", None),
        ("-3", None),
        ("1,000", None),
        ("once", "1"),
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
        ("A. red", 0),
        ("A. green", None),
        ("A, B, C", None),
        ("A. B.", None),
        ("coloured", None),
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
        ("blue: red", "red"),
        ("red blue green: red", "red"),
    ],
)
def test_gist_tells_answers_apart(one, other):
    assert not is_right(one, other)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("yes", True),
        ("Yes, it has.", True),
        ("yeah", True),
        ("yes yes", True),
        ("No.", False),
        ("no it has not", False),
        ("No, the circle has not stopped yet.", False),
        ("no - not so far", False),
        ("Not yet, it has not stopped so far.", False),
        ("Nope", False),
        ("no idea", None),
        ("No, no idea.", None),
        ("not sure", None),
        ("yes, maybe", None),
        ("yes no yes no", None),
        ("no, yes", None),
        ("Yes, it has not.", None),
        ("yes, it hasn't", None),
        ("no red circle", None),
        ("No red circle has been shown so far.", None),
        ("not red", None),
        ("nothing", None),
        ("No, I cannot tell.", None),
        ("It has.", None),
        ("", None),
    ],
)
def test_polarity_by_hand(text, says):
    assert polarity(text) is says


# What no judge may let pass: the reply, the right answer, and whether it counts.
WRONG = [
    ("no idea", "no", False),
    ("not sure", "no", False),
    ("yes no yes no", "yes", False),
    ("no yes", "no", False),
    ("no red circle", "No, a blue one", False),
    ("No, a red one", "No, a blue one", False),
    ("Yes, the square has stopped.", "Yes, the circle has stopped.", False),
    ("yes", "no", False),
    ("no", "No blue circle has been shown so far, so I cannot tell.", False),
    ("no blue circle moves", "No blue circle has been shown.", False),
    ("not a circle", "not yet", False),
    ("the", "a", False),
    ("", "yes", False),
    ("red blue", "red", False),
    ("red red", "red", False),
    ("It is: blue", "red", False),
    ("0 1 2 3 4", "4", True),
    ("4 3", "4", True),
    ("four, or 5", "4", True),
    ("14", "4", True),
    ("4.5", "4", True),
    ("no", "0", True),
    ("", "0", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected", "counting"), WRONG)
def test_planted_wrong_replies_are_wrong(text, expected, counting):
    assert not is_right(text, expected, counting=counting)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No", "No, the circle has not stopped yet."),
        ("Not yet, it has not stopped so far.", "No, it has not stopped yet."),
        ("No, it has not.", "Not yet, the circle has not stopped."),
        ("Yes, the circle has stopped.", "yes"),
        ("YES!", "Yes, it has."),
    ],
)
def test_a_yes_or_no_may_explain_itself_or_not(text, expected):
    assert is_right(text, expected)


ANSWERS = st.sampled_from(
    ["yes", "no", "Not yet, it has not moved.", "Yes, the circle has moved.", "red circle", "Now it stops.", "none"]
)


@settings(max_examples=50)
@given(ANSWERS, st.sampled_from(["yes", "no", "nope", "not yet", "no idea", "maybe"]), st.booleans())
def test_saying_the_opposite_or_something_unsure_too_is_never_right(expected, other, before):
    assert is_right(expected, expected)
    same_side = polarity(other) is not None and polarity(other) is polarity(expected)
    text = f"{other}. {expected}" if before else f"{expected} {other}"
    if not same_side and not same(text, expected):
        assert not is_right(text, expected)


@given(st.lists(st.integers(0, 20), max_size=5), st.integers(0, 20))
def test_only_one_number_counts(numbers, right):
    assert is_right(" ".join(map(str, numbers)), f"So far, {right}.", counting=True) == (numbers == [right])


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


def cut_mark(text, right):
    made = script(due(3, text=right))
    return judge_due(made, text, made.dues[0], video_id="v", cut=True)


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("It was this: The red circle mo", "right"),
        ("The red circle", "right"),
        ("It was this: The red cir", "left out"),
        ("The red", "left out"),
        ("r", "left out"),
        ("The", "left out"),
        ("It was th", "left out"),
        ("Most rec", "left out"),
        ("", "left out"),
        ("The blue", "wrong"),
        ("blu", "wrong"),
        ("red circle stops", "wrong"),
        ("red circle moves left and right", "wrong"),
    ],
)
def test_of_an_answer_that_was_cut_short_half_of_the_words_are_needed(text, fate):
    found = cut_mark(text, "It was this: The red circle moves left.")
    assert (found.right, found.left_out) == {"right": (True, False), "left out": (False, True)}.get(
        fate, (False, False)
    )
    assert not found.exact


@settings(max_examples=50)
@given(WORDS, st.data())
def test_what_came_out_of_a_right_answer_is_never_wrong_and_never_right_below_half(words, data):
    whole = " ".join(words)
    size = data.draw(st.integers(0, len(whole)))
    found = cut_mark(whole[:size], whole)
    assert found.right != found.left_out
    # Letters up to the end of the middle word at least.
    assert found.right == (len(whole[:size]) >= len(" ".join(words[: (len(words) + 1) // 2])))


def test_a_cut_count_is_no_smaller_count():
    assert cut_mark("So far, 1", "12 so far").left_out
    made = script(due(3, text="2 so far.", task="count_so_far"))
    for text, right in (("2", True), ("1 2", False), ("3", False)):
        assert judge_due(made, text, made.dues[0], video_id="v", cut=True).right is right


def test_half_an_answer_that_nobody_cut_is_wrong():
    made = script(due(3, text="The red circle moves left."))
    found = judge_due(made, "The red circle", made.dues[0], video_id="v")
    assert not found.right
    assert not found.left_out


def test_what_is_left_out_is_in_no_group():
    assert by_task([cut_mark("r", "red square")]) == {}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_groups_hold_every_mark_once(rows):
    marks = [
        judge(ask("k", "yes", task=task, unanswerable=gone), reply("k", "yes"), video_id="v") for task, gone in rows
    ]
    groups = by_task(marks)
    assert sum(len(found) for name, found in groups.items() if "/" in name) == len(marks)
    for task in {mark.task for mark in marks}:
        assert groups[task] == [mark for mark in marks if mark.task == task]
    assert len(groups.get("unanswerable", [])) == sum(gone for _, gone in rows)
    assert list(groups) == sorted(groups)
