"""Chunks that no policy could use are refused where they are made."""

import dataclasses

import numpy as np
import pytest
import torch

from models.errors import FrameError, SettingsError, TimeError
from models.memory.records import Chunk, Held, check_budget, check_order, held_of, need_features

GOOD = {"key": 3, "t0_ns": 10, "t1_ns": 20, "tokens": 2, "thumbnail": np.zeros((4, 5, 3), np.uint8)}


def test_a_chunk_keeps_what_it_is_given_and_a_policy_only_its_numbers():
    chunk = Chunk(**GOOD, features=torch.zeros(2, 7))
    assert held_of(chunk) == Held(key=3, t0_ns=10, t1_ns=20, tokens=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        chunk.tokens = 5


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"t0_ns": 10.0}, TimeError, "Chunk.t0_ns is 10.0"),
        ({"t1_ns": True}, TimeError, "Chunk.t1_ns is True"),
        ({"t1_ns": np.int64(20)}, TimeError, "int of nanoseconds"),
        ({"t1_ns": 10}, TimeError, r"chunk 3: its span \[10, 10\) is empty"),
        ({"t1_ns": 9}, TimeError, "is empty"),
        ({"key": -1}, TimeError, "Chunk.key is -1"),
        ({"key": 1.0}, TimeError, "Chunk.key is 1.0"),
        ({"key": True}, TimeError, "Chunk.key is True"),
        ({"tokens": 0}, FrameError, "chunk 3: tokens is 0"),
        ({"tokens": 2.0}, FrameError, "tokens is 2.0"),
        ({"thumbnail": np.zeros((4, 5, 3))}, FrameError, r"float64 \(4, 5, 3\)"),
        ({"thumbnail": np.zeros((4, 5), np.uint8)}, FrameError, r"uint8 \(4, 5\)"),
        ({"thumbnail": np.zeros((3, 4, 5), np.uint8)}, FrameError, r"uint8 \(3, 4, 5\)"),
        ({"thumbnail": np.zeros((0, 5, 3), np.uint8)}, FrameError, r"uint8 \(0, 5, 3\)"),
        ({"features": torch.zeros(3, 7)}, FrameError, "2 patches at most"),
        ({"features": torch.zeros(2, 0)}, FrameError, r"\(2, 0\)"),
        ({"features": torch.zeros(2)}, FrameError, r"\(2,\)"),
        ({"features": torch.zeros(2, 7, dtype=torch.int64)}, FrameError, "torch.int64"),
    ],
)
def test_a_wrong_chunk_says_what_is_wrong(change, error, message):
    with pytest.raises(error, match=message):
        Chunk(**(GOOD | change))


@pytest.mark.parametrize(
    ("key", "t0_ns", "t1_ns", "wrong"),
    [
        (4, 10, 20, None),
        (4, 10, 21, None),
        (9, 500, 501, None),
        (4, 9, 30, "runs backwards"),
        (4, 11, 19, "runs backwards"),
        (3, 20, 30, "does not rise"),
        (2, 20, 30, "does not rise"),
    ],
)
def test_chunks_come_in_the_order_of_time_and_of_keys(key, t0_ns, t1_ns, wrong):
    last, next_one = held_of(Chunk(**GOOD)), Chunk(**(GOOD | {"key": key, "t0_ns": t0_ns, "t1_ns": t1_ns}))
    check_order(next_one, None)
    if wrong is None:
        check_order(next_one, last)
    else:
        with pytest.raises(TimeError, match=wrong):
            check_order(next_one, last)


def test_a_budget_that_cannot_hold_what_must_be_kept_is_refused():
    chunk = Chunk(**GOOD)
    check_budget(chunk, least=8, max_tokens=None)
    check_budget(chunk, least=8, max_tokens=8)
    with pytest.raises(SettingsError, match="must keep 9 tokens, but max_tokens is 8"):
        check_budget(chunk, least=9, max_tokens=8)


def test_features_are_asked_for_by_the_policy_that_needs_them():
    features = torch.zeros(2, 7)
    assert need_features(Chunk(**GOOD, features=features), policy="clusters") is features
    with pytest.raises(SettingsError, match="chunk 3 brings no features, but clusters"):
        need_features(Chunk(**GOOD), policy="clusters")
