"""What a check found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.verify.finding import Finding, seconds


def test_a_finding_does_not_change():
    finding = Finding(check="sight", ok=True, words="all is well")
    with pytest.raises(AttributeError):
        finding.ok = False


def test_times_are_told_in_seconds():
    assert seconds(1_500_000_000) == "1.500 s"
    assert seconds(0) == "0.000 s"


@given(st.integers(0, 10**13))
def test_a_time_that_is_told_is_the_time(t_ns):
    assert abs(float(seconds(t_ns).removesuffix(" s")) * 1e9 - t_ns) <= 0.5e6 + 1
