from dataclasses import replace

import pytest
import torch

from recipes.errors import RecipeError
from recipes.losses.rows import decision_logits, follows, widened
from tests.recipes.losses.labelled import FIELDS, packed, rows


def test_rows_know_their_number_and_the_seconds_to_the_next():
    both = packed(rows("sss", fps=2), rows("sR"))
    assert len(both) == 5
    assert both.steps_s().tolist() == [0.5, 0.5, 0, 1, 0]


def test_no_rows_are_rows():
    assert rows("").steps_s().shape == (0,)
    assert follows(torch.zeros(0)).shape == (0,)


def test_follows_compares_with_the_next_row():
    assert follows(torch.tensor([1, 1, 2, 2, 2])).tolist() == [True, False, True, True, False]


@pytest.mark.parametrize("name", FIELDS)
def test_every_tensor_has_a_number_per_row(name):
    good = rows("sss")
    with pytest.raises(RecipeError, match=f"{name}: found shape" if name != "states" else "found shape"):
        replace(good, **{name: getattr(good, name)[:2]})


def test_an_unknown_state_is_refused():
    with pytest.raises(RecipeError, match=r"states: found \[0, 3\]"):
        replace(rows("ss"), states=torch.tensor([0, 3]))
    with pytest.raises(RecipeError, match="states"):
        replace(rows("ss"), states=torch.tensor([0, -100]))


@pytest.mark.parametrize("times", [[0.0, 0.0], [1.0, 0.0], [0.0, float("nan")]])
def test_times_rise_within_a_document(times):
    with pytest.raises(RecipeError, match="does not rise"):
        replace(rows("ss"), time_s=torch.tensor(times))


def test_times_may_fall_between_documents():
    assert packed(rows("sss"), rows("ss")).time_s.tolist() == [0, 1, 2, 0, 1]


def test_learned_is_bool():
    with pytest.raises(RecipeError, match=r"expected torch\.bool"):
        replace(rows("ss"), learned=torch.ones(2))


def test_logits_are_three_per_row():
    with pytest.raises(RecipeError, match=r"found shape \(3, 2\), expected \(2, 3\)"):
        decision_logits(torch.zeros(3, 2), rows("ss"))


def test_half_precision_is_widened_and_double_kept():
    assert widened(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert decision_logits(torch.zeros(2, 3, dtype=torch.float64), rows("ss")).dtype == torch.float64


@pytest.mark.parametrize("weight", [-0.5, float("nan")])
def test_a_weight_is_at_least_0(weight):
    with pytest.raises(RecipeError, match="weight: found"):
        rows("ss", weight=[1.0, weight])
    assert rows("ss", weight=[0.0, 2.0]).weight.tolist() == [0, 2]
