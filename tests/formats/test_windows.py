from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from datasets_build.formats.steps import steps_of
from datasets_build.formats.windows import turns_of, windows_of
from tests.builders.made import steady
from tests.formats.made import said, shown, talk_of, talks


def cut(talk, longest, fps=Fraction(2)):
    return windows_of(talk, steps_of(talk, steady(4.0), fps).steps, longest)


@given(talks() | talks(kind="question"), st.integers(1, 12) | st.none())
def test_windows_are_all_steps_in_order_and_each_turn_in_one(talk, longest):
    steps = steps_of(talk, steady(4.0), Fraction(2)).steps
    windows = windows_of(talk, steps, longest)
    assert tuple(step for window in windows for step in window.steps) == steps
    assert all(0 < len(window.steps) <= (longest or len(steps)) for window in windows)
    assert [window.ordinal for window in windows] == list(range(len(windows)))
    told = ()
    for window in windows:
        assert window.earlier == told
        told += window.turns
    assert told == turns_of(steps)


def test_a_question_is_cut_from_its_end():
    asked = [said("u", "user", 3.0, "How many?"), said("a", "assistant", 3.0, "2")]
    assert [len(window.steps) for window in cut(talk_of(*asked, kind="question"), 3)] == [1, 3, 3]
    assert [len(window.steps) for window in cut(talk_of(*asked), 3)] == [3, 3, 2]


def test_no_steps_are_no_windows():
    assert cut(talk_of(kind="question"), 3) == []
    assert cut(talk_of(kind="question"), None) == []


def test_a_later_window_has_not_seen_what_an_earlier_one_showed():
    early, late = shown(0.0, 0.4), shown(2.1, 2.4)
    seen = said("late", "assistant", 3.0, "Yes.", evidence=late)
    unseen = said("early", "assistant", 3.0, "Yes.", evidence=early)
    first, second = cut(talk_of(seen, unseen), 4)
    assert not second.unseen(seen)
    assert second.unseen(unseen)
    assert not first.unseen(unseen)
    distractor = unseen.model_copy(update={"evidence": (early[0].model_copy(update={"role": "distractor"}),)})
    assert not second.unseen(distractor)
