"""Words that give away: what is found in a text, and what is left alone."""

from types import SimpleNamespace

import pytest

from datasets_build.checks.shingles import words_of
from datasets_build.checks.text_leaks import (
    LEAK_LAWS,
    TURN_LEAK_LAWS,
    early_words,
    future_in,
    gives_away,
    gold_of,
    replies_of,
    verdict_in,
)
from datasets_build.core.records import Answer, Dialogue, Evidence, Provenance, StreamingQA, Turn

NOTHING = SimpleNamespace(events={})
WRITTEN = Provenance(kind="person", agent="somebody")


def question(text, answer, *, mode="backward", options=(), correct=None):
    given = Answer(text=answer, t_ns=0, window_start_ns=0, window_end_ns=1)
    return StreamingQA(
        id="q", video_id="v", mode=mode, task="before", question=text, ask_ns=0, answerable_from_ns=0, answers=(given,),
        evidence=(Evidence(start_ns=0, end_ns=0),), options=options, correct_option=correct, provenance=WRITTEN,
    )  # fmt: skip


def user(text, t_ns, made="u"):
    return Turn(id=made, role="user", start_ns=t_ns, end_ns=t_ns, text=text)


def reply(text, t_ns, *, to="u", event=True, learn=True, since=0):
    proof = (Evidence(start_ns=since, end_ns=t_ns, event_id="e" if event else None),)
    return Turn(
        id=f"a{t_ns}", role="assistant", start_ns=t_ns, end_ns=t_ns + 1, text=text, state="respond",
        trigger="user_query", trigger_ref=to, evidence=proof, learn=learn,
    )  # fmt: skip


def talk(*turns, system="Watch."):
    return Dialogue(
        id="d", video_id="v", start_ns=0, end_ns=100, system=system, language="en", turns=turns, decisions=(),
        provenance=WRITTEN,
    )  # fmt: skip


def breaches(laws, row, known=NOTHING):
    return {law.name for law in laws for _ in law.breaches(row, known)}


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes, it has.", "yes"), ("yes", "yes"), ("NO.", "no"), ("Not yet, it has not.", "no"), ("是的。", "yes"),
        ("没有。", "no"), ("还没有", "no"), ("Nobody enters.", None), ("Yesterday it rained.", None),
        ("A red ball", None),
        ("对面有人", None), ("", None),
    ],
)  # fmt: skip
def test_yes_and_no(text, verdict):
    assert verdict_in(text) == verdict


@pytest.mark.parametrize(
    "text",
    [
        "It will fall.",
        "She is about to jump",
        "they are going to stop",
        "He'll leave",
        "IT WILL FALL",
        "红球即将离开",
        "It's gonna leave in the next shot.",
        "In the next scene it leaves.",
        "Soon it leaves.",
        "It stands. Very soon it leaves.",
        "It leaves soon.",
        "It is bound to fall",
    ],
)
def test_words_of_the_future(text):
    assert future_in(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "It fell.",
        "William waves.",
        "She is going home",
        "Will waves",
        "Anna is going to the door",
        "The wheel turns",
        "goodwill",
        "红球离开了",
        "still",
        "As soon as it fell, it stopped.",
        "Soon after that it fell.",
        "It ended too soon.",
        "She soon applied the wallpaper",
        "The book was bound.",
    ],
)
def test_words_that_only_look_so(text):
    assert future_in(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Right before it: The dog barks.", ("the", "dog", "barks")),
        ("I was wrong: So far, 3.", ("so", "far", "3")),
        ("left", ("left",)),
    ],
)
def test_what_an_answer_says(text, words):
    assert gold_of(text) == words


def test_a_text_gives_an_answer_away_unless_it_names_all():
    text = "Is it red, or is it blue?"
    assert gives_away(text, ("red",))
    assert gives_away(text, ("red",), [("green",), ("blue",)])
    assert not gives_away(text, ("red",), [("blue",)])
    assert not gives_away("Is it reddish?", ("red",))
    assert not gives_away(text, ())


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (question("Did the dog bark? The dog barks!", "Before that: the dog barks."), {"gold_not_in_question"}),
        (question("What came before?", "The dog barks."), set()),
        (question("Yes or no, is it over?", "Yes."), set()),
        (question("Tell me when the dog barks.", "The dog barks.", mode="proactive"), set()),
        (question("Is it red?", "red", options=("red", "blue"), correct=0), {"gold_not_in_question"}),
        (question("Is it red or blue?", "red", options=("red", "blue"), correct=0), set()),
        (question("What came?", "The dog will bark."), {"answer_without_future"}),
    ],
)
def test_questions(row, names):
    assert breaches(LEAK_LAWS, row) == names


def test_a_caption_may_tell_of_the_future():
    known = SimpleNamespace(events={"e": SimpleNamespace(caption="A man is about to jump.")})
    row = question("What came?", "Just before now: A man is about to jump.")
    assert breaches(LEAK_LAWS, row, known) == set()
    assert breaches(LEAK_LAWS, question("What came?", "It will jump. A man is about to jump."), known)
    lower = SimpleNamespace(events={"e": SimpleNamespace(caption="a man is about to jump.")})
    assert breaches(LEAK_LAWS, row, lower) == set(), "told with a capital letter"


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (talk(user("What is it?", 1), reply("a red ball", 2)), set()),
        (talk(user("A red ball, what is it?", 1), reply("a red ball", 2)), {"turn_gold_not_in_question"}),
        (talk(user("A red ball?", 1), reply("a red ball", 2, learn=False)), set()),
        (talk(user("What is it?", 1), reply("It will be red", 2)), {"turn_without_future"}),
        (talk(user("Go on", 1), reply("a red ball", 2), system="A red ball comes."), {"instructions_without_answers"}),
        (talk(user("Go on", 1), system="It ends at 3:10."), {"instructions_without_answers"}),
        (talk(user("Go on", 1), reply("red", 2), system="Name it: red, blue."), set()),
    ],
)
def test_dialogues(row, names):
    assert breaches(TURN_LEAK_LAWS, row) == names


def test_a_promise_is_no_leak():
    promise = reply("I will tell you.", 2).model_copy(update={"evidence": ()})
    assert breaches(TURN_LEAK_LAWS, talk(user("Tell me when it falls.", 1), promise)) == set()


def test_replies_are_those_that_name_a_user_and_were_seen():
    row = talk(user("What?", 1), reply("a red ball", 2), reply("a blue ball", 5, to="nobody"))
    assert [(asked.id, said.text) for asked, said in replies_of(row)] == [("u", "a red ball")]


@pytest.mark.parametrize(
    ("first", "since", "early"),
    [
        (user("A red ball comes.", 0, "first"), 10, [True]),
        (user("A blue ball comes.", 0, "first"), 10, [False]),
        # Said once it had begun: a viewer may well speak of it.
        (user("A red ball comes.", 15, "first"), 10, [False]),
    ],
)
def test_words_before_their_time(first, since, early):
    row = talk(first, user("What came?", 20), reply("a red ball", 21, since=since))
    assert list(early_words(row)) == early


def test_short_answers_are_said_by_chance():
    row = talk(user("Is it red or blue?", 0, "first"), user("Which?", 20), reply("red", 21, since=10))
    assert list(early_words(row)) == []
    assert words_of("red") == ("red",)
