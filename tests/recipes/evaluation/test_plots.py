"""Pictures and tables of evaluations."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from recipes.errors import RecipeError
from recipes.evaluation.evaluate import Replayed, evaluation_of
from recipes.evaluation.plots import NAMES, draw
from recipes.evaluation.table import AT_REFERENCE, ROWS, compare, flips_like
from tests.recipes.evaluation.made import empty_trace, perfect_trace
from tests.recipes.evaluation.test_scores import ABOUT, CLIPS, CONFIG


@pytest.fixture(scope="module")
def good():
    rows = [Replayed(clip=one, seen=perfect_trace(one), blind=empty_trace(one)) for one in CLIPS]
    return evaluation_of(rows, CLIPS, about=ABOUT, config=CONFIG)


@pytest.fixture(scope="module")
def mute():
    rows = [Replayed(clip=one, seen=empty_trace(one), blind=empty_trace(one)) for one in CLIPS]
    return evaluation_of(rows, [], about=ABOUT, config=CONFIG)


def test_pictures_show_something(good, mute, tmp_path):
    first, other = draw(good, tmp_path / "a"), draw(mute, tmp_path / "b")
    assert [path.name for path in first] == list(NAMES)
    for path, changed in zip(first, other, strict=True):
        picture = np.asarray(Image.open(path).convert("RGB"))
        assert picture.shape[0] > 300
        assert 0.01 < (picture < 128).any(-1).mean() < 0.6
        assert path.read_bytes() != changed.read_bytes()


@pytest.mark.slow
def test_the_same_evaluation_gives_the_same_pictures(good, tmp_path):
    for path, same in zip(draw(good, tmp_path / "a"), draw(good, tmp_path / "b"), strict=True):
        assert path.read_bytes() == same.read_bytes()


def row(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_stages_side_by_side(good, mute):
    text = compare({"stream": [mute], "interact": [good, good]})
    assert text.splitlines()[0] == "| | stream | interact | blind | clock | majority |"
    assert row(text, "accuracy/all") == ["0.000", "1.000 ± 0.000", "0.000 ± 0.000", "–", "0.833 ± 0.000"]
    assert row(text, "decisions/precision")[0] == "–"
    names = [line.split("|")[1].strip() for line in text.splitlines()[2:-1]]
    assert names[:4] == ["accuracy/all", "accuracy/before", "accuracy/count_so_far", "accuracy/now"]
    assert set(names) - {name for name in names if name.startswith("accuracy/")} <= set(ROWS)
    for name in ("decisions/early_rate", "decisions/late_rate", "decisions/delay_mean_s", "decisions/false_per_minute"):
        assert row(text, name)[1].startswith("0.000")


def test_mean_and_spread_over_seeds(good, mute):
    text = compare({"both": [good, mute]}, rows=("decisions/f1",), baselines=False)
    assert row(text, "decisions/f1") == ["0.500 ± 0.707"]


def test_flips_are_compared_at_the_first_columns_accuracy_and_lag(good, mute):
    assert flips_like([good], good.served) == [0]
    # One that never speaks is steady, and is not compared with one that does.
    assert flips_like([mute], good.served) == []
    text = compare({"good": [good], "mute": [mute]}, baselines=False)
    assert row(text, AT_REFERENCE) == ["0.000", "–"]


def test_figures_that_nobody_has_are_left_out(good):
    assert "nonsense" not in compare({"a": [good]}, rows=("nonsense", "accuracy/all"))


def test_other_data_is_not_compared(good):
    other = replace(good, about=replace(good.about, datasets={"a/index": "2"}))
    with pytest.raises(RecipeError, match="2 different sets of data"):
        compare({"a": [good], "b": [other]})
    with pytest.raises(RecipeError, match="without evaluations"):
        compare({"a": []})
    with pytest.raises(RecipeError, match=r"\(none\)"):
        compare({})
