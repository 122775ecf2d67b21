"""The heaviest batch goes through, windows with what they carry, and one that does not fit is told."""

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.data.collate import collate
from recipes.training.objective import Objective
from recipes.verify import memory
from recipes.verify.memory import Load, check_memory, heaviest, loads
from recipes.verify.preflight import _loads, _made
from tests.recipes.training.small import batches_of, example, format_of, in_windows, objective_of, shown_of


class Full(Objective):
    """There is no room behind so many tokens."""

    room = 0

    def forward(self, batch, step, carried=None, reference=None):
        if batch.token_ids.numel() + batch.past > self.room:
            raise self.error
        return super().forward(batch, step, carried, reference)


def full(room, error):
    objective = objective_of()
    objective.__class__ = Full
    objective.room, objective.error = room, error
    return objective


def real(load):
    """Places, pairs and grids of the batches that are really made."""
    examples = [example for row in load.rows for example in row]
    batches = collate(load.rows, shown_of(examples), format_of())
    places = [batch.token_ids.numel() for batch in batches]
    pairs = [batch.token_ids.numel() * batch.block_of.shape[1] for batch in batches]
    return max(places), max(pairs), max(len(batch.sights.tokens) for batch in batches)


def made(key, grids, windows):
    found = example(key, video=key, grids=grids)
    return in_windows(found) if windows else found


@settings(max_examples=15)
@given(
    st.lists(st.lists(st.tuples(st.integers(2, 6), st.booleans()), min_size=1, max_size=4), min_size=1, max_size=3),
    st.integers(1, 3),
)
def test_loads_are_those_of_the_batches_that_are_made(steps, micro):
    rows = [
        [(made(f"{number}/{place}", grids, windows),) for place, (grids, windows) in enumerate(step)]
        for number, step in enumerate(steps)
    ]
    found = loads(rows, micro)
    assert sum(len(load.rows) for load in found) == sum(map(len, rows))
    assert all(len(load.rows) <= micro for load in found)
    for load in found:
        assert (load.places, load.pairs, load.grids) == real(load)
    most = heaviest(found)
    for part in ("places", "pairs", "grids"):
        assert max(getattr(load, part) for load in most) == max(getattr(load, part) for load in found)
    assert len(most) <= 3


def test_a_late_window_with_all_that_it_carries_may_be_the_heaviest():
    short = (replace(example("a", grids=2), key="a"),)
    long = (in_windows(example("b", grids=8)),)
    (first, second) = loads([[short, long]], 2)
    assert first.places > second.places
    assert second.pairs > max(batch.token_ids.numel() ** 2 for batch in batches_of([list(long)]))
    assert heaviest([first, second])[0] is first


def test_each_heaviest_batch_is_named_once():
    load = Load(rows=(), places=3, pairs=9, grids=1)
    wide = Load(rows=(), places=2, pairs=99, grids=1)
    seen = Load(rows=(), places=1, pairs=1, grids=7)
    assert heaviest([load]) == [load]
    assert heaviest([wide, seen, load]) == [load, wide, seen]


@pytest.mark.parametrize("windows", [False, True])
def test_a_batch_that_fits_goes_there_and_back(windows):
    objective = objective_of()
    batches = batches_of([[made("a", 4, windows)]])
    finding = check_memory(objective, [batches], of=5)
    assert finding.ok
    assert "the heaviest of 5 batches" in finding.words
    assert "fits, peak " in finding.words
    assert ("that are carried (a)" in finding.words) == windows
    assert all(weight.grad is None for weight in objective.parameters())


def test_the_optimizer_needs_room_too(monkeypatch):
    """Its state is made at the first step, behind all that was tried here."""
    objective, batches = objective_of(), batches_of([[example()]])
    trained = sum(weight.numel() for weight in objective.parameters() if weight.requires_grad)
    monkeypatch.setattr(memory, "_peak", lambda device: 1000)
    for room, fits in ((1000 + 8 * trained, True), (999 + 8 * trained, False)):
        monkeypatch.setattr(memory, "_room", lambda device, room=room: room)
        finding = check_memory(objective, [batches], of=1)
        assert finding.ok is fits
        assert ("does not fit beside the optimizer" in finding.words) is not fits
    for weight in objective.parameters():
        weight.requires_grad_(requires_grad=weight is next(objective.parameters()))
    assert check_memory(objective, [batches], of=1).ok


def test_what_an_optimizer_keeps_is_what_adamw_keeps():
    objective = objective_of()
    optimizer = torch.optim.AdamW(objective.parameters())
    for weight in objective.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    moments = [each for kept in optimizer.state.values() for each in kept.values() if each.ndim]
    assert memory._moments(objective) == sum(each.numel() * each.element_size() for each in moments)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
    ids=["cuda", "host", "torch on a host"],
)
def test_a_batch_that_does_not_fit_is_told(error):
    objective = full(10, error)
    batches = batches_of([[example()], [example("b")]])
    finding = check_memory(objective, [batches], of=3)
    assert not finding.ok
    assert "does not fit" in finding.words
    assert (str(error) or "MemoryError") in finding.words
    assert f"2 × {batches[0].token_ids.shape[1]} tokens" in finding.words
    assert "pack.tokens" in finding.words
    assert "model.checkpointing" in finding.words
    assert all(weight.grad is None for weight in objective.parameters())


def test_the_second_of_the_heaviest_is_tried_too():
    small, large = batches_of([[example()]]), batches_of([[example("b", grids=6)]])
    objective = full(small[0].token_ids.numel(), MemoryError("no room"))
    assert check_memory(objective, [small], of=2).ok
    finding = check_memory(objective, [small, large], of=2)
    assert not finding.ok
    assert f"1 × {large[0].token_ids.shape[1]} tokens" in finding.words


def test_a_window_that_does_not_fit_behind_its_past_is_told():
    batches = batches_of([[made("a", 5, True)]])
    objective = full(batches[-1].past, MemoryError("no room"))
    finding = check_memory(objective, [batches], of=1)
    assert not finding.ok
    assert f"behind {batches[-1].past} that are carried" in finding.words
    assert "carry_s" in finding.words


@pytest.mark.parametrize("error", [ZeroDivisionError("0"), RuntimeError("shapes differ")])
def test_other_errors_are_not_taken_for_it(error):
    with pytest.raises(type(error), match=str(error)):
        check_memory(full(0, error), [batches_of([[example()]])], of=1)


@dataclass(frozen=True, slots=True)
class Steps:
    """Batches of a stage, one by one, as training meets them."""

    case: object

    def heaviest(self):
        prepared, bench = self.case.prepared, self.case.bench
        settings = self.case.run.stage(self.case.stage)
        found = []
        for step in prepared.feed.plan.first_epochs():
            rows = [[prepared.mix.examples[k] for k in row] for row in step]
            both = [[each for one in row for each in (one, one.rival) if each] for row in rows]
            for begin in range(0, len(both), settings.pack.micro):
                found += bench.batches(both[begin : begin + settings.pack.micro])
        return found


@pytest.mark.parametrize("stage", ["stream", "interact"])
def test_of_a_stage_the_heaviest_of_all_its_batches_is_taken(ready, stage):
    case = ready(stage)
    every = Steps(case).heaviest()
    chosen = [
        batch for batches in _made(case.bench, _loads(case.prepared, case.run.stage(stage).pack)) for batch in batches
    ]
    for weight in (
        lambda batch: batch.token_ids.numel(),
        lambda batch: batch.token_ids.numel() * batch.block_of.shape[1],
    ):
        assert max(map(weight, chosen)) == max(map(weight, every))
