"""What several people decide about one question or turn."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.agreement.judgements import Judgement
from annotate.agreement.votes import Ballot, Open, count, unlike
from annotate.tasks import Question, QuestionVerdict, Said, TurnVerdict
from tests.annotate.people import S

QUESTION = Question(id="q", question="What is it?", ask_ns=S, answer="a red cup", answer_ns=5 * S)
TURN = Said(id="t", role="assistant", start_ns=S, end_ns=2 * S, text="There it is.")


def judged(verdict="accept", **more):
    text = more.pop("text", None)
    times = {name: more.pop(name) for name in ("ask_ns", "answer_ns") if name in more}
    return Judgement(
        verdict=verdict, text=QUESTION.answer if text is None else text, has_text=text is not None,
        ask_ns=times.get("ask_ns", QUESTION.ask_ns), answer_ns=times.get("answer_ns", QUESTION.answer_ns),
        has_ask="ask_ns" in times, has_answer="answer_ns" in times, **more,
    )  # fmt: skip


def turned(verdict="accept", text=None, timing=None):
    shown = TURN.text if text is None else text
    return Judgement(verdict=verdict, text=shown, has_text=text is not None, timing=timing)


def counted(*said, shown=QUESTION):
    return count(Ballot(shown=shown, said=said, text_agree=0.8, tolerance_ns=S))


def stands(*said):
    return counted(*said).question


def test_more_than_half_decide():
    assert stands(judged(), judged(), judged("reject")) == QuestionVerdict(id="q", verdict="accept")
    assert stands(judged("reject"), judged("reject")) == QuestionVerdict(id="q", verdict="reject")


@pytest.mark.parametrize(
    "said", [("accept", "reject"), ("accept", "fix", "reject"), ("fix", "fix", "reject", "reject")]
)
def test_without_more_than_half_it_is_open(said):
    found = counted(*(judged(verdict) for verdict in said))
    assert found == Open(
        about="verdict",
        decide="0:01.000 “What is it?”: accept, fix or reject?",
        options=tuple(sorted(set(said))),
    )


def test_nobody_judged_it():
    assert counted().about == "verdict"


def test_the_text_most_like_the_others_stands():
    said = [judged("fix", text=text) for text in ("a blue cup", "a blue cup.", "A dog")]
    assert stands(*said).answer == "a blue cup"


def test_texts_that_differ_are_open_and_say_not_whose():
    found = counted(judged("fix", text="zebra"), judged("fix", text="a dog"))
    assert (found.about, found.options) == ("text", ("a dog", "zebra"))


def test_times_are_medians_and_only_of_those_who_fix():
    said = [judged("fix", answer_ns=at) for at in (8 * S, 8 * S + 10, 9 * S)]
    found = stands(*said, judged())
    assert (found.answer_ns, found.ask_ns, found.answer) == (8 * S + 10, None, None)
    assert stands(judged("fix", ask_ns=2 * S), judged("fix", ask_ns=S + S // 2)).ask_ns == S + 3 * S // 4


def test_a_time_that_most_are_far_from_is_open():
    found = counted(judged("fix", answer_ns=2 * S), judged("fix", answer_ns=9 * S))
    assert (found.about, found.options) == ("time", ("0:02.000", "0:09.000"))
    assert counted(judged("fix", ask_ns=2 * S), judged("fix", ask_ns=9 * S)).decide.endswith("when is it asked?")


def test_a_fix_without_a_correction_stays_one():
    assert stands(judged("fix"), judged("fix")) == QuestionVerdict(id="q", verdict="fix")


def test_ratings_are_the_lower_median_of_all():
    said = [judged(quality=5), judged(quality=2), judged("reject", quality=1), judged(), judged(quality=4)]
    assert stands(*said).quality == 2
    assert stands(judged(), judged()).quality is None


def test_turns_have_timing_and_words():
    shown = [turned("fix", "Here!", "too_late"), turned("fix", "Here!", "too_late"), turned("fix", "There!")]
    assert counted(*shown, shown=TURN).turn == TurnVerdict(id="t", verdict="fix", text="Here!", timing="too_late")
    assert counted(turned(), turned(), shown=TURN).turn == TurnVerdict(id="t", verdict="accept")
    assert counted(turned("fix"), turned("fix"), shown=TURN).turn == TurnVerdict(id="t", verdict="fix")


def test_complaints_that_differ_are_open():
    found = counted(turned(timing="too_late"), turned(), shown=TURN)
    assert (found.about, found.options) == ("timing", ("in_time", "too_late"))
    assert "There it is." in found.decide
    found = counted(turned("fix", "One."), turned("fix", "Quite another."), shown=TURN)
    assert found.about == "text"


judged_by_somebody = st.builds(
    judged,
    st.sampled_from(["accept", "fix", "reject"]),
    text=st.sampled_from([None, "a blue cup", "zebra"]),
    answer_ns=st.sampled_from([2 * S, 3 * S, 9 * S]),
    quality=st.sampled_from([None, 1, 4]),
)


@given(st.lists(judged_by_somebody, min_size=1, max_size=4))
@settings(max_examples=30)
def test_who_is_who_changes_nothing(said):
    assert len({repr(counted(*order)) for order in permutations(said)}) == 1


@given(judged_by_somebody, st.integers(1, 4))
@settings(max_examples=25)
def test_equal_people_leave_nothing_open(one, many):
    found = counted(*[one] * many)
    assert found.question.verdict == one.verdict
    assert found.question.quality == one.quality
    assert found.question.answer == (one.text if one.verdict == "fix" and one.has_text else None)


@given(judged_by_somebody, judged_by_somebody)
@settings(max_examples=30)
def test_how_far_two_are_apart_is_symmetric_and_zero_for_equal_ones(left, right):
    assert unlike(left, right, tolerance_ns=S) == pytest.approx(unlike(right, left, tolerance_ns=S))
    assert 0.0 <= unlike(left, right, tolerance_ns=S) <= 1.0
    assert unlike(left, left, tolerance_ns=S) == pytest.approx(0.0, abs=1e-12)


def test_how_far_by_hand():
    assert unlike(judged(), judged("reject"), tolerance_ns=S) == 1.0
    assert unlike(judged("reject", text="x"), judged("reject", text="y"), tolerance_ns=S) == 0.0
    assert unlike(judged("fix", answer_ns=6 * S), judged("fix"), tolerance_ns=S) == 0.5
    assert unlike(turned(timing="too_late"), turned(), tolerance_ns=S) == 0.5
    assert unlike(judged("fix", text="zebra"), judged("fix", text="dog"), tolerance_ns=S) == 1.0


def test_where_to_look():
    late = QUESTION.model_copy(update={"answer_ns": 0})
    assert Ballot(shown=late, said=(), text_agree=0.8, tolerance_ns=S).span == (S, S)
    assert Ballot(shown=TURN, said=(), text_agree=0.8, tolerance_ns=S).span == (S, 2 * S)


def test_a_question_with_options_is_named_by_its_first_line():
    shown = Question(id="q", question="What is on?\nA. one\nB. two", ask_ns=S, answer="one", answer_ns=S)
    assert Ballot(shown=shown, said=(), text_agree=0.8, tolerance_ns=S).name.endswith("“What is on?”")
