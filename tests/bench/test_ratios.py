"""Verdicts are what the bounds say, and ratios are of rounds, not of sums."""

import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.bench import ratios
from tests.bench.ratios import Line, Paired, show

bounds = st.none() | st.floats(0, 20)


@given(st.none() | st.floats(0, 20), bounds, bounds)
def test_a_row_passes_where_its_value_keeps_to_its_bounds(value, least, most):
    line = Line(what="it", ours="1 ms", value=value, least=least, most=most)
    inside = value is not None and (least is None or value >= least) and (most is None or value <= most)
    assert line.passed == (inside or (least is None and most is None))
    verdict = line.cells()[-1]
    assert verdict == ("" if least is None and most is None else "PASS" if inside else "FAIL")


@pytest.mark.parametrize("kind", ["least", "most"])
def test_what_is_no_number_fails(kind):
    assert not Line(what="it", ours="", value=math.nan, **{kind: 1.0}).passed
    assert not Line(what="it", ours="", **{kind: 1.0}).passed


def test_an_aim_is_told_and_never_fails():
    below, above = (Line(what="it", ours="", value=value, aim=5) for value in (4.9, 5))
    assert below.passed
    assert above.passed
    assert (below.cells()[-1], above.cells()[-1]) == ("missed", "reached")


def test_the_table_tells_whether_all_hold():
    said = io.StringIO()
    console = Console(file=said, width=100)
    good, bad = (Line(what=what, ours="1 ms", value=2.0, least=least) for what, least in (("one", 1), ("two", 3)))
    assert show("all", [good], console=console)
    assert "PASS" in said.getvalue()
    assert not show("not all", [good, bad], console=console)
    assert "FAIL" in said.getvalue()


def test_contenders_take_turns_and_their_ratio_is_that_of_a_round(monkeypatch):
    now = 0.0
    monkeypatch.setattr(ratios.time, "thread_time", lambda: now)
    order = []

    def work(name, spent):
        def run():
            nonlocal now
            order.append(name)
            now += spent

        return run

    paired = Paired()
    # The machine slows down tenfold in the last round: the ratio of that round is what it was.
    for slow in (1, 1, 10):
        paired.round({"theirs": work("theirs", 4.0 * slow), "ours": work("ours", 2.0 * slow)})
    assert order == ["theirs", "ours", "ours", "theirs", "theirs", "ours"]
    assert paired.ratio("theirs", "ours") == 2
    assert paired.ms("ours") == 2000
    paired.time("late", work("late", 1.0))
    with pytest.raises(ValueError, match="shorter"):
        paired.ratio("ours", "late")
