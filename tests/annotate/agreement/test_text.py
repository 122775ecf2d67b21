"""Similarity of texts against published numbers and laws."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.agreement.text import chrf, token_f1, words

texts = st.text(alphabet="abc ,é中", max_size=20)


def test_the_published_chrf_of_one_pair_of_sentences():
    # huggingface/datasets, metrics/chrf/README.md: 61.576379378113785 for character order 6, beta 2, by sacreBLEU.
    said = "The relationship between Obama and Netanyahu is not exactly friendly."
    right = "The ties between Obama and Netanyahu are not particularly friendly."
    assert 100 * chrf(said, right, beta=2) == pytest.approx(61.576379378113785, abs=1e-9)


def test_token_f1_by_hand():
    # Two of three and two of four words in common: 2 · 2 / 7.
    assert token_f1("a red cup", "the red cup there") == pytest.approx(4 / 7)
    # A word counts as often as it stands in both.
    assert token_f1("red red", "red") == pytest.approx(2 / 3)


def test_chrf_by_hand():
    # "ab" and "ac": of length one, one of two is common both ways; of length two, none.
    assert chrf("ab", "ac") == pytest.approx(0.25)


@pytest.mark.parametrize("measure", [token_f1, chrf])
@given(left=texts, right=texts)
@settings(max_examples=30)
def test_both_are_symmetric_within_bounds_and_one_for_equal_texts(measure, left, right):
    assert measure(left, right) == pytest.approx(measure(right, left))
    assert 0.0 <= measure(left, right) <= 1.0 + 1e-12
    assert measure(left, left) == pytest.approx(1.0)


@pytest.mark.parametrize("measure", [token_f1, chrf])
def test_nothing_in_common_is_zero(measure):
    assert measure("cup", "dog") == 0.0
    assert measure("", "dog") == 0.0
    assert measure("dog", "") == 0.0
    assert measure("", "") == 1.0


def test_case_width_and_punctuation_are_no_words():
    assert words("A ＲＥＤ cup, it’s—Straße!") == ["a", "red", "cup", "it", "s", "strasse"]
    assert token_f1("Nothing yet.", "nothing yet") == 1.0


def test_white_space_does_not_change_chrf():
    assert chrf("a red  cup\n", " ared cup") == 1.0


def test_a_script_without_spaces_has_its_likeness_in_characters():
    assert token_f1("他在倒水", "他在喝水") == 0.0
    assert 0 < chrf("他在倒水", "他在喝水") < 1


def test_beta_weighs_recall():
    short, whole = "a red", "a red cup"
    assert chrf(short, whole, beta=2) < chrf(short, whole) < chrf(short, whole, beta=0.5)
