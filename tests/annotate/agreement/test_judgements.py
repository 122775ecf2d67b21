"""Agreement about questions and turns."""

import pytest

from annotate.agreement.events import ONE_VALUE
from annotate.agreement.figure import AgreementConfig
from annotate.agreement.judgements import judgements, measure_judgements, measure_usable
from annotate.agreement.panels import Panel
from annotate.agreement.text import chrf, token_f1
from annotate.tasks import Question, QuestionVerdict, Sheet, Work
from tests.annotate.people import S, dialogue, dialogue_item, events, item, turn

FEW = AgreementConfig(resamples=20)
ASKED = tuple(Question(id=name, question="What?", ask_ns=S, answer="a red cup", answer_ns=5 * S) for name in "xyz")


def asked(key="k"):
    return item(key, Sheet(kind="qa", questions=ASKED))


def said(name="x", verdict="accept", **more):
    return QuestionVerdict(id=name, verdict=verdict, **more)


def qa(*verdicts, usable=True):
    return Work(kind="qa", questions=verdicts, usable=usable)


def panel(*people, key="k"):
    return Panel(item=asked(key), works=people)


def measured(*panels, signed=False):
    return measure_judgements(panels, FEW, signed=signed)


def test_what_would_stand():
    fixed = qa(said("x", "fix", answer="a blue cup", answer_ns=7 * S), said("y", quality=4), said("gone"))
    found = judgements(asked(), fixed)
    assert sorted(found) == ["x", "y"]
    assert (found["x"].text, found["x"].has_text, found["x"].answer_ns, found["x"].has_ask) == (
        "a blue cup", True, 7 * S, False,
    )  # fmt: skip
    assert (found["x"].ask_ns, found["y"].text, found["y"].quality) == (S, "a red cup", 4)


def test_what_would_stand_of_turns():
    shown = dialogue_item("d", "Hello?", "Yes.")
    found = judgements(shown, dialogue(turn("d/0"), turn("d/1", "fix", text="Yes!", timing="too_late")))
    assert (found["d/0"].text, found["d/0"].timing, found["d/0"].ask_ns) == ("Hello?", None, None)
    assert (found["d/1"].text, found["d/1"].has_text, found["d/1"].timing) == ("Yes!", True, "too_late")


def test_verdicts_by_hand():
    left = qa(said("x"), said("y", "reject"), said("z"))
    right = qa(said("x"), said("y", "reject"), said("z", "reject"))
    found = measured(panel(left, right))
    # n = 6: three accepts, three rejections; agreeing 4 of 6.
    assert found.verdict_alpha.value == pytest.approx(1 - 2 / (18 / 5))
    assert found.verdict_alpha.n == 6
    assert found.same_verdict.value == pytest.approx(2 / 3)
    assert found.same_verdict.n == 3


def test_a_question_left_alone_is_missing():
    found = measured(panel(qa(said("x"), said("y", "reject")), qa(said("x")), qa(said("x", "reject"))))
    assert found.verdict_alpha.n == 3
    assert found.same_verdict.value == pytest.approx(1 / 3)


def test_ratings_are_ordinal_and_may_be_missing():
    left = qa(said("x", quality=1), said("y", quality=5), said("z", quality=3))
    near = qa(said("x", quality=2), said("y", quality=5), said("z", quality=3))
    far = qa(said("x", quality=4), said("y", quality=5), said("z", quality=3))
    close, wide = measured(panel(left, near)).rating_alpha, measured(panel(left, far)).rating_alpha
    assert close.n == wide.n == 6
    assert close.value > wide.value
    silent = qa(said("x", quality=2), said("y"), said("z"))
    assert measured(panel(left, silent)).rating_alpha.n == 2


def test_texts_are_compared_where_somebody_corrected_one_and_nobody_rejects():
    left = qa(said("x", "fix", answer="a blue cup"), said("y", "fix", answer="one"), said("z"))
    right = qa(said("x"), said("y", "reject"), said("z"))
    found = measured(panel(left, right))
    assert found.token_f1.value == pytest.approx(token_f1("a blue cup", "a red cup"))
    assert found.chrf.value == pytest.approx(chrf("a blue cup", "a red cup"))
    assert found.token_f1.n == found.chrf.n == 1


def test_times_are_compared_where_somebody_corrected_one():
    left = qa(said("x", "fix", answer_ns=8 * S), said("y"), said("z", "fix", ask_ns=0))
    right = qa(said("x", "fix", answer_ns=7 * S), said("y"), said("z"))
    found = measured(panel(left, right), signed=True)
    assert (found.answer.bias_ms.value, found.answer.bias_ms.n) == (1000.0, 1)
    assert (found.ask.bias_ms.value, found.ask.median_ms.value, found.ask.bias_ms.n) == (-1000.0, 1000.0, 1)


def test_of_questions_nobody_complained_or_not_that_they_come_late():
    found = measured(panel(qa(said("x"), said("y", "reject")), qa(said("x", "reject"), said("y")))).timing_alpha
    assert (found.value, found.n, found.items) == (None, 0, 0)
    assert found.reason == "there are no complaints about timing or none"


def test_complaints_about_timing_are_nominal():
    shown = dialogue_item("d", "a", "b", "c")
    left = dialogue(turn("d/0"), turn("d/1", timing="too_late"), turn("d/2", timing="too_late"))
    right = dialogue(turn("d/0"), turn("d/1", timing="too_late"), turn("d/2", timing="too_early"))
    found = measured(Panel(item=shown, works=(left, right)))
    # Values none, none, late, late, late, early: four agree of six.
    assert found.timing_alpha.value == pytest.approx(1 - 2 / ((36 - 4 - 9 - 1) / 5))
    assert found.verdict_alpha.reason == ONE_VALUE
    assert found.answer.median_ms.reason == "there are no pairs of answer times"


def test_who_finds_the_clip_unfit_is_missing():
    found = measured(panel(qa(said("x")), qa(usable=False)))
    assert found.same_verdict.reason == "there are no pairs of verdicts"
    assert found.verdict_alpha.reason == "there are no verdicts"


def test_it_is_the_same_whoever_is_who():
    left = qa(said("x", "fix", answer="a blue cup"), said("y", quality=2), said("z", "reject"))
    right = qa(said("x"), said("y", quality=3), said("z", "reject", quality=1))
    third = qa(said("x", "reject"), said("y", quality=3), said("z"))
    assert measured(panel(left, right, third)) == measured(panel(third, left, right))


def test_equal_works_agree_in_full():
    work = qa(said("x", "fix", answer="one", answer_ns=6 * S, quality=2), said("y", quality=5), said("z", "reject"))
    found = measured(panel(work, work), panel(work, work, key="other"))
    ones = (found.verdict_alpha, found.same_verdict, found.rating_alpha, found.token_f1, found.chrf)
    assert [figure.value for figure in ones] == pytest.approx([1.0] * 5)
    assert found.answer.p90_ms.value == 0.0


def test_whether_clips_are_fit_is_nominal_over_items():
    def both(key, left, right):
        return Panel(item=item(key, Sheet(kind="events")), works=(events(usable=left), events(usable=right)))

    equal = measure_usable([both("a", True, True), both("b", False, False)], FEW)
    assert (equal.value, equal.n) == (pytest.approx(1.0), 4)
    assert measure_usable([both("a", True, True)], FEW).reason == ONE_VALUE
    assert measure_usable([both("a", True, False), both("b", False, True)], FEW).value < 0


def test_no_panels_have_no_figures():
    found = measured()
    assert found.verdict_alpha.value is None
    assert found.rating_alpha.reason == "there are no ratings"
    assert found.chrf.reason == "there are no pairs of texts"
