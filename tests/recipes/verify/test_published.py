"""The models' own classes agree with positions of ours, and a clock that is not the model's is told."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest

from models.blocks import Kind
from models.transcript import Sight, Transcript
from recipes.learner import Learner
from recipes.verify.bench import Bench, RecordingWriter
from recipes.verify.published import check_published
from tests.recipes.data.lessons import DECISIONS, SECOND, how, writer
from tests.recipes.training.small import model_of

FAMILIES = ("qwen2_5_vl", "qwen2_5_omni", "qwen3_vl")


def bench_of(family, *, height=2, width=3):
    """A bench that has seen one grid."""
    plain = writer("branch", family)
    wrote = RecordingWriter(
        prompts=plain.prompts, layout=plain.layout, decision_ids=DECISIONS, system_prompt=plain.system_prompt
    )
    write = Transcript(wrote.prompts, wrote.layout, system_prompt="s", decision_tokens=DECISIONS)
    write.see(Sight(t0_ns=SECOND, last_ns=SECOND, height=height, width=width))
    return Bench(
        learner=Learner(model_of(family)),
        examples=[SimpleNamespace(blocks=write.blocks())],
        writer=wrote,
        sightings=None,
        how=how("branch", family),
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (7, 2)])
def test_transformers_agrees(family, height, width):
    finding = check_published(bench_of(family, height=height, width=width))
    assert finding.ok, finding.words
    assert "as transformers places them" in finding.words


def test_behind_a_video_as_long_as_its_picture_is_wide_all_tokens_are_compared():
    short, long = (int(check_published(bench_of("qwen2_5_vl", width=width)).words.split()[0]) for width in (2, 9))
    pads = 4 * 2 * (9 - 2) * 3
    assert long - short > pads


@pytest.mark.parametrize("family", FAMILIES[:2])
def test_another_clock_than_the_models_is_told(family):
    bench = bench_of(family)
    rate = bench.how.clock.tokens_per_second + 1
    finding = check_published(
        replace(bench, how=replace(bench.how, clock=replace(bench.how.clock, tokens_per_second=rate)))
    )
    assert not finding.ok
    assert finding.check == "positions"
    assert "as transformers places it" in finding.words
    assert "compare the clock" in finding.words
    assert "a video of 4 grids" in finding.words


def test_where_text_parts_all_grids_no_clock_counts():
    bench = bench_of("qwen3_vl")
    assert bench.how.clock.tokens_per_second == 0
    fast = replace(bench.how.clock, tokens_per_second=Fraction(2))
    assert check_published(replace(bench, how=replace(bench.how, clock=fast))).ok


def test_a_clock_that_is_a_hair_slow_is_told():
    bench = bench_of("qwen2_5_vl")
    slow = bench.how.clock.tokens_per_second - Fraction(1, 10**6)
    found = check_published(
        replace(bench, how=replace(bench.how, clock=replace(bench.how.clock, tokens_per_second=slow)))
    )
    assert not found.ok


def test_a_model_of_another_family_is_told():
    ours, theirs = bench_of("qwen3_vl"), bench_of("qwen2_5_vl")
    assert not check_published(replace(theirs, how=ours.how)).ok


def test_the_picture_is_that_of_the_first_example_that_has_one():
    bench = bench_of("qwen2_5_vl", width=5)
    empty = SimpleNamespace(blocks=[block for block in bench.examples[0].blocks if block.kind is Kind.SYSTEM])
    assert check_published(replace(bench, examples=[empty, *bench.examples])) == check_published(bench)


def test_it_holds_for_a_stage(ready):
    assert check_published(ready().bench).ok
