"""Counts and requests about what anyone does: every act counts, whoever acts, where everything that happens is told."""

import re

import pytest

from datasets_build.builders import counting, questions
from datasets_build.builders.facts import anyone
from datasets_build.core.records import About
from datasets_build.teachers.teacher import Request
from tests.builders import asking
from tests.builders.asking import CLOCK, VIDEO, act, at
from tests.builders.lessons import lesson_desk
from tests.builders.made import MS, Scene, shots_at
from tests.builders.worlds import TEACHER

ACTS = (
    act(1_000, 2_000, "enter", "red circle"), act(4_000, 5_000, "leave", "red circle"),
    act(6_000, 7_000, "enter", "blue cross"), act(9_000, 9_000, "change_colour", "blue cross"),
    act(12_000, 13_000, "enter", "red circle"),
)  # fmt: skip


def desk(*rows, teacher=TEACHER, seed=0, **limits):
    return lesson_desk(Scene(VIDEO, CLOCK, shots_at(VIDEO, CLOCK, []), [], list(rows)), seed, teacher=teacher, **limits)


def about(draft, label):
    return draft is not None and draft.about.label == label


def tally(made, t, label):
    """The draft about one label: which one it is about is drawn."""
    return next(draft for _ in range(60) if about(draft := counting.tally_at(made, t), label))


def test_an_act_counts_whoever_acts():
    draft = tally(desk(*ACTS), at(3_000), "enter")
    assert draft.question in TEACHER.phrasings(Request(intent="ask_count", about=anyone("enter")))
    assert "something entered" in draft.question or "something has entered" in draft.question
    assert draft.about == About(kind="label", label="enter", every=True)
    assert [reply.t_ns for reply in draft.replies] == [at(3_000), at(7_000), at(13_000)]
    assert [re.findall(r"\d+", reply.text) for reply in draft.replies] == [["1"], ["2"], ["3"]]
    assert (draft.task, draft.mode) == ("count_so_far", "counting")
    assert draft.replies[0].valid_until_ns == at(6_000)


def test_a_subject_that_changes_its_name_counts_all_the_same():
    made = desk(*ACTS, act(15_000, 15_000, "change_colour", "red circle"))
    assert "enter|the red circle" not in made.timeline.closed, "by its name it cannot be counted"
    assert len(tally(made, at(3_000), "enter").replies) == 3
    assert len(tally(made, at(3_000), "change_colour").replies) == 3


def test_what_never_happens_is_not_counted_and_during_an_act_there_is_no_number():
    made = desk(*ACTS)
    seen = {draft.about.label for _ in range(60) if (draft := counting.tally_at(made, at(3_000)))}
    assert seen == {"enter", "leave", "change_colour"}
    assert not any(about(counting.tally_at(made, at(1_400)), "enter") for _ in range(60))


@pytest.mark.parametrize(
    "stranger",
    [
        act(15_000, 16_000, "enter", "green star").model_copy(update={"origin": "captions"}),
        act(15_000, 16_000, None, None, "A dog runs.").model_copy(update={"origin": "captions", "subject": None}),
    ],
)
def test_where_not_everything_is_told_nobody_counts_for_all(stranger):
    made = desk(*ACTS, stranger)
    assert made.timeline.acts == {}
    assert counting.tally_at(made, at(3_000)) is None
    assert questions.watch_at(made, at(3_000)) is None


def test_acts_of_two_at_once_are_not_counted():
    made = desk(*ACTS, act(15_000, 16_000, "collide", "red circle and blue cross"))
    assert set(made.timeline.acts) == {"enter", "leave", "change_colour"}


def test_a_request_about_anyone_is_answered_by_whoever_comes():
    made, seen = desk(*ACTS), set()
    for _ in range(80):
        draft = questions.watch_at(made, at(3_000))
        if not about(draft, "enter"):
            continue
        seen.add(draft.about.every)
        times = [at(7_000), at(13_000)] if draft.about.every else [at(7_000)]
        assert [reply.t_ns for reply in draft.replies] == times
        assert "blue cross" in draft.replies[0].text
        assert re.search(r"\bsomething (enters?|has entered)\b", draft.question)
        assert draft.standing
    assert seen == {True, False}


def test_a_request_about_anyone_waits_for_something_and_not_too_long():
    assert questions.watch_at(desk(*ACTS), at(15_000)) is None, "nothing comes any more"
    late = desk(*ACTS[-1:], max_wait_ns=5_000 * MS)
    assert questions.watch_at(late, at(3_000)) is None
    assert questions.watch_at(late, at(8_000)) is not None
    assert questions.watch_at(late, at(12_400)) is None, "it is under way"


def test_counts_of_shots_and_of_one_subject_are_as_they_were():
    made = asking.desk(*ACTS, cuts=[100])
    assert counting.count_at(made, at(3_000), shots=True).about == About(kind="shots", every=True)
    assert {counting.count_at(made, at(8_000), shots=False).about.subject for _ in range(40)} == {"red circle", None}


def test_shots_are_counted_only_where_there_are_several():
    one, two = [
        {draft.about.kind for _ in range(60) if (draft := counting.count_at(made, at(10_000)))}
        for made in (asking.desk(*ACTS[:1]), asking.desk(*ACTS[:1], cuts=[100]))
    ]
    assert one == {"label"}
    assert two == {"label", "shots"}
    assert counting.count_at(asking.desk(), at(10_000)) is None, "nothing but the one shot is there"
