"""Tenths of a span: every instant has one, also those at and outside its ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.records import Dialogue, Provenance, Turn
from datasets_build.core.tenths import BINS, bin_of, first_reply


@pytest.mark.parametrize(("t", "tenth"), [(0, 0), (9, 0), (10, 1), (99, 9), (100, 9), (500, 9), (-5, 0)])
def test_a_tenth_is_half_open(t, tenth):
    assert bin_of(t, 0, 100) == tenth


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_there_is_always_one(t, start, length):
    assert 0 <= bin_of(t, start, start + length) < BINS


def test_the_first_reply_is_the_assistants_earliest():
    def turn(role, t):
        return Turn(id=f"{role}{t}", role=role, start_ns=t, end_ns=t, text="x")

    row = Dialogue(
        id="d", video_id="v", start_ns=100, end_ns=200, system="", language="en", decisions=(),
        turns=(turn("user", 100), turn("assistant", 135), turn("assistant", 190)),
        provenance=Provenance(kind="rule", agent="x"),
    )  # fmt: skip
    assert first_reply(row) == 3
    assert first_reply(row.model_copy(update={"turns": row.turns[:1]})) is None
