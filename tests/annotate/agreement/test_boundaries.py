"""Errors of times in milliseconds."""

import pytest

from annotate.agreement.boundaries import bounds
from annotate.agreement.figure import AgreementConfig
from tests.annotate.people import MS

FEW = AgreementConfig(resamples=100)


def of(errors_ms, *, signed=True):
    errors = [error * MS for error in errors_ms]
    return bounds(errors, list(range(len(errors))), signed=signed, unit="pairs", config=FEW)


def test_median_and_ninetieth_are_of_sizes_and_the_bias_keeps_its_sign():
    found = of([-100, 50, -30, 20, -10])
    assert found.median_ms.value == 30
    assert found.p90_ms.value == 100
    assert found.bias_ms.value == pytest.approx(-14)


def test_nanoseconds_are_not_lost():
    assert bounds([1, 1, 1], [0, 1, 2], signed=True, unit="pairs", config=FEW).bias_ms.value == pytest.approx(1e-6)


def test_without_a_direction_there_is_no_sign():
    found = of([-100, 50], signed=False)
    assert found.median_ms.value == 50
    assert (found.bias_ms.value, found.bias_ms.n, found.bias_ms.items) == (None, 2, 2)
    assert "sign" in found.bias_ms.reason


def test_no_pairs_have_no_errors():
    assert {figure.reason for figure in (of([]).median_ms, of([]).p90_ms, of([]).bias_ms)} == {"there are no pairs"}


def test_a_bias_and_its_interval_go_with_the_errors():
    plus, minus = of([100, 300, 200]).bias_ms, of([-100, -300, -200]).bias_ms
    assert (plus.value, plus.low, plus.high) == pytest.approx((-minus.value, -minus.high, -minus.low), rel=0.05)
