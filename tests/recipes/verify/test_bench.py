"""What the checks work on."""

from dataclasses import replace

import pytest
import torch

from models.layouts import LAYOUTS
from recipes.verify.bench import difference, sayers
from tests.recipes.verify.benches import of_layout


def test_the_shortest_example_of_each_source_is_chosen(ready):
    bench = ready().bench
    few = bench.few()
    sources = {example.source for example in bench.examples}
    assert sources == {"sliding_window", "incremental", "realtime", "frame_events"}
    assert {example.source for example in few} == sources
    for example in few:
        assert example.tokens == min(other.tokens for other in bench.examples if other.source == example.source)


def test_every_example_has_its_script(ready):
    bench = ready().bench
    for example in bench.examples:
        script = bench.writer.scripts[example.key]
        assert script.source == example.source
        assert sum(line.learn for line in script.lines) == len(example.said)


def test_both_traces_of_a_pair_are_looked_at_each_by_itself(ready):
    bench = ready("interact").bench
    traces = [example for example in bench.examples if example.source == "preference"]
    assert len(traces) >= 2
    assert all(example.rival is None for example in bench.examples)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_features_in_the_place_of_pixels_change_nothing(ready, family):
    bench = ready("stream", "branch", family).bench
    batches = bench.batches([[bench.few()[0]]])
    features = [bench.with_features(batch) for batch in batches]
    assert all(batch.sights.shapes for batch in batches)
    assert not any(batch.sights.shapes for batch in features)
    assert difference(bench.hidden(features), bench.hidden(batches)) < 1e-6


def test_places_are_the_tokens_of_each_grid(ready):
    bench = ready().bench
    example = bench.few()[-1]
    batches = bench.batches([[example]])
    sizes = [size for batch in batches for size in bench.places(batch)]
    assert sizes == [grid.height * grid.width for block in example.blocks for grid in block.grids]


def test_windows_are_met_in_order_with_what_they_carry(ready):
    bench = ready().bench
    example = next(example for example in bench.examples if example.cuts)
    hidden = bench.hidden(bench.batches([[example]]))
    one = bench.hidden(bench.batches([[replace(example, cuts=())]]))
    assert hidden.shape == one.shape
    assert difference(hidden, one) < 1e-5


def test_the_layout_is_that_of_the_name(ready):
    bench = of_layout(ready().bench, visibility=LAYOUTS["origin"].visibility, positions=LAYOUTS["origin"].positions)
    assert bench.how.layout != LAYOUTS["branch"]
    assert bench.layout == LAYOUTS["branch"]


def test_differences_are_shares_of_the_greatest_value():
    assert difference(torch.empty(0), torch.empty(0)) == 0
    assert difference(torch.tensor([2.0, 1.0]), torch.tensor([2.0, 0.5])) == 0.25


def test_what_is_said_over_the_end_of_a_block_is_said_once(ready):
    """A reply that was shown a frame without a partner ends in a block of its own."""
    bench = ready().bench
    counts = [len(blocks) for example in bench.examples for blocks in sayers(example)]
    assert set(counts) == {1, 2}
    for example in bench.examples:
        assert len(sayers(example)) == len(example.said)
