"""Memory that runs out while keys travel or turn leaves a session as if it had not."""

import functools
from dataclasses import replace

import pytest
import torch

from models.memory.settings import MemorySettings
from models.slots import SlotPool
from tests.models.sessions import BASE, FAMILIES, FRAMES, HALF_NS, answered, check_no_leak, hot, model_of

# Two grids stay in the cache, all others travel; positions are set back every few grids.
AWAY = replace(
    BASE, memory="retrieval", memory_settings=MemorySettings(last=2), router="recency", top_k=3, position_limit=60
)
STEPS = ("copy_out", "put_back", "rebase", "_turned", "_make_anchors")


class Once:
    """A step of the pool of which one call runs out of memory, before it has done its work or after."""

    def __init__(self, step, *, at, late):
        self.step, self.left, self.late = step, at, late

    def __call__(self, *arguments):
        self.left -= 1
        if self.left == 0 and not self.late:
            raise torch.OutOfMemoryError("out of memory")
        result = self.step(*arguments)
        if self.left == 0:
            raise torch.OutOfMemoryError("out of memory")
        return result


def watched(family):
    """Frames and questions in turn, a call that fails being made again; returns what was heard and the failures."""
    session, said, failures = model_of(family).session(AWAY), [], 0
    for index in range(24):
        try:
            session.add_frame(FRAMES[index * 3 % len(FRAMES)], index * HALF_NS)
        except torch.OutOfMemoryError:
            failures += 1  # the frame is in, and waits
        if index % 6 == 5:
            try:
                heard = answered(session, "What?", options=hot(index, count=3))
            except torch.OutOfMemoryError:
                failures += 1
                check_no_leak(session)
                heard = answered(session, "What?", options=hot(index, count=3))
            said.append(heard)
    check_no_leak(session)
    metrics = session.metrics()
    assert metrics.rebases > 0
    session.close()
    return (said, metrics.frames, metrics.evicted, metrics.dropped), failures


@functools.cache
def undisturbed(family):
    """What is heard where nothing fails."""
    heard, failures = watched(family)
    assert failures == 0
    return heard


@pytest.mark.parametrize(
    ("family", "at"), [*((name, 5) for name in FAMILIES), *((FAMILIES[0], at) for at in (1, 2, 7))]
)
@pytest.mark.parametrize("step", STEPS)
def test_a_key_that_could_not_travel_or_turn_leaves_no_trace(step, family, at, monkeypatch):
    heard = undisturbed(family)
    failing = Once(getattr(SlotPool, step), at=at, late=False)
    monkeypatch.setattr(SlotPool, step, lambda *arguments: failing(*arguments))
    found, failures = watched(family)
    assert (failures, failing.left <= 0) == (1, True)
    assert found == heard


@pytest.mark.parametrize("step", ["copy_out", "put_back"])
def test_nor_does_one_that_had_travelled(step, monkeypatch):
    heard = undisturbed(FAMILIES[0])
    failing = Once(getattr(SlotPool, step), at=2, late=True)
    monkeypatch.setattr(SlotPool, step, lambda *arguments: failing(*arguments))
    assert watched(FAMILIES[0]) == (heard, 1)
