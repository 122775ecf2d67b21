"""A reply that sees a later frame, and one from which its video is hidden, are told."""

from dataclasses import replace

import pytest
import torch

from models.blocks import Kind
from models.layouts import LAYOUTS
from recipes.verify.sight import check_sight, may_see, moved, sights
from tests.recipes.verify.benches import everything, meddled, narrowed, of_layout


def others(example):
    """Blocks of the derived context are those of the example, in order, under `branch`."""
    return [block.kind is Kind.FRAMES for block in example.blocks]


def told(bench, example):
    (finding,) = check_sight(narrowed(bench, example)) if type(bench).__name__ == "Bench" else check_sight(bench)
    assert not finding.ok
    assert finding.check == "sight"
    assert example.key in finding.words
    assert finding.words.startswith(f"{example.source}: {len(example.said)} things said × {len(example.grids)} grids")
    return finding.words


@pytest.mark.parametrize("layout", ["group", "origin"])
def test_each_layout_shows_what_it_may(ready, layout):
    case = ready("stream", layout)
    for finding in check_sight(case.bench):
        assert finding.ok, finding.words


def test_a_mask_that_shows_what_comes_later_is_told(ready):
    case = ready()
    example = case.of("realtime")
    words = told(meddled(case.bench, everything, examples=[example]), example)
    assert "sees the frames at" in words
    assert "the future or another turn leaks in" in words
    assert "layout branch" in words


def test_the_visibility_of_another_layout_is_told(ready):
    """A layout that bears the name of `group` and lets replies see all that is shown."""
    case = ready("stream", "group")
    example = case.of("realtime")
    bench = of_layout(case.bench, visibility=LAYOUTS["batch"].visibility)
    assert "the future or another turn leaks in" in told(bench, example)


def test_one_frame_that_is_let_through_is_named(ready):
    case = ready()
    example = case.of("realtime")
    frames = [k for k, is_frames in enumerate(others(example)) if is_frames]
    looker = next(k for k, block in enumerate(example.blocks) if block.learn is not None)
    later = next(k for k in frames if k > looker)

    def let_through(batch):
        sees = batch.sees.clone()
        sees[0, looker, later] = True
        return replace(batch, sees=sees)

    words = told(meddled(case.bench, let_through, examples=[example]), example)
    grid, said = example.grids[frames.index(later)], example.said[0]
    assert "(1 such)" in words
    assert f"{said.task} said at {said.t_ns / 1e9:.3f} s sees" in words
    assert f"{grid.t0_ns / 1e9:.3f} s to {grid.t1_ns / 1e9:.3f} s" in words


def test_a_video_that_is_hidden_from_an_answer_is_told(ready):
    case = ready()
    example = case.of("sliding_window")
    frames = torch.tensor(others(example)).nonzero()[:, 0]

    def hidden(batch):
        sees = batch.sees.clone()
        sees[:, :, frames] = False
        return replace(batch, sees=sees)

    words = told(meddled(case.bench, hidden, examples=[example]), example)
    assert "does not see the frames at" in words
    assert "its video is hidden from it" in words


def test_every_thing_said_is_held_against_every_grid(ready):
    case = ready()
    example = case.of("incremental")
    found = sights(case.bench, example)
    assert {(sight.said, sight.grid) for sight in found} == {
        (said, grid) for said in range(len(example.said)) for grid in range(len(example.grids))
    }
    for sight in found:
        assert sight.may is None or sight.may == sight.does


def test_a_lone_frame_is_for_its_own_turn_and_what_was_said_of_it(ready):
    case = ready()
    example = case.of("incremental")
    frames = [block for block in example.blocks if block.kind is Kind.FRAMES]
    lone = [place for place, block in enumerate(frames) if block.passing]
    assert lone
    verdicts = {may_see(case.bench, example, said, grid) for said in range(len(example.said)) for grid in lone}
    assert verdicts == {True, False, None}


def test_where_replies_see_all_they_may(ready):
    case = ready("stream", "origin")
    example = case.of("sliding_window")
    frames = [block for block in example.blocks if block.kind is Kind.FRAMES]
    stays = [place for place, block in enumerate(frames) if not block.passing]
    assert all(may_see(case.bench, example, 0, grid) for grid in stays)


def test_rounding_is_no_sight():
    clean = torch.ones(2, 3)
    other = clean + torch.tensor([[1e-8], [1e-3]])
    assert moved(clean, other).tolist() == [False, True]
