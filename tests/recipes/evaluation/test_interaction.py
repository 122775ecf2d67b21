"""What conversations are worth."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.evaluation.interaction import Worth, worth
from recipes.evaluation.matching import match
from recipes.losses.interaction import Prices
from tests.recipes.evaluation.made import S, due, perfect, script, shifted, silent, speech, talk
from tests.recipes.evaluation.test_matching import DUES, made_of

PRICES = Prices()


def worth_of(made, said):
    return worth(match(made, said), PRICES)


@settings(max_examples=30)
@given(DUES.filter(lambda rows: len({math.ceil(2 * start) for start, _ in rows}) == len(rows)))
def test_perfect_is_one_and_silence_is_nothing(rows):
    made = made_of(rows)
    assert worth_of(made, perfect(made)).score == (1 if rows else 0)
    assert worth_of(made, silent(made)).utility == 0


@settings(max_examples=30)
@given(st.integers(0, 6 * S))
def test_delay_costs_what_it_should(by_ns):
    made = script(due(4, end_s=15))
    found = worth_of(made, shifted(perfect(made), by_ns))
    # The grids are shifted too, so that the first chance is the first of them in the window.
    first = min(t.t_ns for t in shifted(perfect(made), by_ns).decisions if t.t_ns >= 4 * S)
    assert found.score == pytest.approx(math.exp(-(4 * S + by_ns - first) / S / PRICES.scale_s))


def test_errors_cost_by_hand():
    made = script(due(4, end_s=6), due(10, end_s=12), asked_s=(1,))
    whole = talk(speech(4), speech(10))
    assert worth_of(made, whole).utility == pytest.approx(2)
    chatter = talk(speech(4), speech(8, "Look at that."), speech(10))
    assert worth_of(made, chatter).utility == pytest.approx(2 - PRICES.false)
    wrong = talk(speech(4), speech(10, "It stops."))
    assert worth_of(made, wrong).utility == pytest.approx(1)
    assert worth_of(made, talk(speech(4))).utility == pytest.approx(1)
    assert worth_of(made, talk(speech(2), speech(10))).utility == pytest.approx(1 - PRICES.false)


def test_a_repeat_is_paid_for_once():
    made = script(due(4, end_s=6), asked_s=(1,))
    # False, and a repeat: one price.
    assert worth_of(made, talk(speech(4), speech(5))).utility == pytest.approx(1 - PRICES.false)


WHOLE = "It was this: The red circle moves left."


def barge(*speeches):
    made = script(
        due(3, text=WHOLE, heard=0, end_s=6), due(4, text="2 so far.", heard=1, end_s=7, task="count_so_far"),
        asked_s=(3, 4), kind="dialogue", mode="dialogue", barges=((1, WHOLE),),
    )  # fmt: skip
    return worth_of(made, talk(*speeches))


def test_letting_go_when_interrupted():
    broken = speech(3, "It was this: The red", heard=0, cut=True)
    answer = speech(4, "2 so far.", heard=1)
    kept = barge(broken, answer)
    assert (kept.barges, kept.stopped) == (1, 1)
    # Too little came out of the broken answer to be judged, so it is not asked for.
    assert (kept.utility, kept.due, kept.score) == (pytest.approx(1), 1, 1)
    half = barge(speech(3, "It was this: The red circle", heard=0, cut=True), answer)
    assert (half.utility, half.due) == (pytest.approx(2), 2)
    wrong = barge(speech(3, "It was this: The blue", heard=0, cut=True), answer)
    assert (wrong.utility, wrong.due) == (pytest.approx(1), 2)
    again = barge(broken, answer, speech(5, "The red circle moves left."))
    assert (again.barges, again.stopped) == (1, 0)
    assert again.utility == pytest.approx(1 - PRICES.false - PRICES.late)


def test_an_answer_that_comes_late_after_an_interruption_costs():
    waits = speech(4, "", heard=1, state="standby")
    broken = speech(3, "It was this: The red", heard=0, cut=True)
    assert barge(broken, waits, speech(7.5, "2 so far.")).utility == pytest.approx(-PRICES.late)
    assert barge(broken, waits, speech(4.5, "2 so far.")).utility == pytest.approx(math.exp(-0.5 / PRICES.scale_s))


def test_short_words_after_an_interruption_are_no_repeat():
    broken = speech(3, "It was this: The red", heard=0, cut=True)
    assert barge(broken, speech(4, "2", heard=1)).stopped == 1


def test_worths_add_up():
    both = Worth(utility=1.0, due=2, barges=1, stopped=1) + Worth(utility=-0.5, due=1, barges=1)
    assert (both.score, both.barges, both.stopped) == (pytest.approx(0.5 / 3), 2, 1)
    assert Worth().score == 0
