"""Packed documents that see each other, positions that move, and caches that are not those of one forward are told."""

from dataclasses import replace

import pytest
import torch

from recipes.verify.packing import check_carried, check_packing
from recipes.verify.preflight import _first_row
from tests.recipes.verify.benches import everything, meddled


def row_of(case):
    row = _first_row(case.prepared, case.bench.examples)
    assert len(row) > 1
    return row


@pytest.fixture
def carried(ready):
    return max((example for example in ready().bench.examples), key=lambda example: len(example.cuts))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_row_holds(ready, family):
    case = ready("stream", "branch", family)
    finding = check_packing(case.bench, row_of(case))
    assert finding.ok
    assert "packed equals unpacked" in finding.words


def test_documents_that_see_each_other_are_told(ready):
    case = ready()
    row = row_of(case)

    def joined(batch):
        return replace(batch, sees=torch.ones_like(batch.sees).tril())

    finding = check_packing(meddled(case.bench, joined), row)
    assert not finding.ok
    assert "documents see each other" in finding.words
    assert any(example.key in finding.words for example in row)


def test_positions_that_move_are_told(ready):
    case = ready()
    row = row_of(case)
    first = row[0].tokens

    def moved(batch):
        positions = batch.positions.clone()
        if len(batch.keys[0]) > 1:
            positions[0, 0, first:] += torch.arange(positions.shape[2] - first) // 10
        return replace(batch, positions=positions)

    finding = check_packing(meddled(case.bench, moved), row)
    assert not finding.ok
    assert "their positions move" in finding.words
    assert row[0].key not in finding.words


@pytest.mark.parametrize("layout", ["branch", "group"])
def test_windows_hold(ready, layout):
    case = ready("stream", layout)
    example = max(case.bench.examples, key=lambda example: len(example.cuts))
    finding = check_carried(case.bench, example)
    assert example.cuts
    assert finding.ok, finding.words
    assert f"{len(example.cuts) + 1} windows of {example.key}: carried equals whole" in finding.words


def test_windows_whose_positions_begin_anew_are_told(ready, carried):
    def anew(batch):
        shift = batch.positions.amin() if batch.past else 0
        return replace(batch, positions=batch.positions - shift)

    finding = check_carried(meddled(ready().bench, anew), carried)
    assert not finding.ok
    assert "carried differs from whole" in finding.words
    assert "keys and values that are carried" in finding.words
    assert any(f"{said.t_ns / 1e9:.3f} s" in finding.words for said in carried.said)


def test_windows_that_do_not_see_what_is_carried_are_told(ready, carried):
    def blind(batch):
        sees = batch.sees.clone()
        if batch.past:
            sees[:, :, batch.block_of[0, : batch.past].unique()] = False
        return replace(batch, sees=sees)

    finding = check_carried(meddled(ready().bench, blind), carried)
    assert not finding.ok
    assert "the mask of windows" in finding.words


def test_windows_that_lose_what_is_said_are_told(ready, carried):
    def without(batch):
        if not batch.past:
            return batch
        keep = torch.zeros(len(batch.rows), dtype=torch.bool)
        return replace(batch, rows=batch.rows[keep], answer=batch.answer[keep])

    finding = check_carried(meddled(ready().bench, without), carried)
    assert not finding.ok
    assert "supervised rows" in finding.words


@pytest.mark.parametrize("layout", ["origin"])
def test_a_layout_that_windows_cannot_show_is_told(ready, layout):
    case = ready("stream", layout)
    example = max(case.bench.examples, key=lambda example: len(example.cuts))
    finding = check_carried(case.bench, example)
    assert not finding.ok
    assert f"under layout {layout} each reply sees the whole video" in finding.words
    assert "leave incremental out of the mix" in finding.words


def test_one_example_alone_is_a_row(ready):
    case = ready()
    assert check_packing(case.bench, [case.of("realtime")]).ok
    # Alone and packed are meddled with in the same way, which shows as no difference.
    assert check_packing(meddled(case.bench, everything), [case.of("realtime")]).ok
