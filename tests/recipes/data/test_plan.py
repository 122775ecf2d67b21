"""Every example once an epoch, rows that hold, steps that are full, shares that meet: for any lengths."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.data.corpus import Corpus
from recipes.data.mix import Mix, Report, make_mix, needs, texts_of
from recipes.data.plan import Cursor, Plan, Size
from recipes.errors import RecipeError
from recipes.settings import AlignConfig, InteractConfig, PackConfig, StreamConfig
from tests.recipes.data.lessons import run_config, writer

SIZES = st.lists(
    st.builds(Size, tokens=st.integers(1, 64), alone=st.booleans() | st.just(False)), min_size=1, max_size=60
)
NOTHING = Report(examples={}, tokens={}, said={}, tasks={}, left={}, unused={})


def plan_of(sizes, *, tokens=64, rows=4, seed=0, passes=None):
    every = passes or (lambda epoch: [list(range(len(sizes)))])
    return Plan(sizes, every, PackConfig(tokens=tokens, rows=rows), seed=seed)


@given(SIZES, st.integers(1, 9), st.integers(0, 3))
@settings(max_examples=25)
def test_each_example_stands_once_in_an_epoch_and_rows_hold(sizes, rows, seed):
    plan = plan_of(sizes, rows=rows, seed=seed)
    for epoch in range(3):
        found = plan.rows(epoch)
        assert sorted(place for row in found for place in row) == list(range(len(sizes)))
        for row in found:
            assert row
            assert sum(sizes[place].tokens for place in row) <= 64
            assert len(row) == 1 or not any(sizes[place].alone for place in row)


@given(SIZES, st.integers(1, 9))
@settings(max_examples=25)
def test_steps_are_full_and_nothing_vanishes_between_epochs(sizes, rows):
    plan = plan_of(sizes, rows=rows)
    steps = plan.steps_of(2) + 1
    ours = [plan.step(number) for number in range(steps)]
    assert all(len(step) == rows for step in ours)
    taken = Counter(row for step in ours for row in step)
    coming = [row for epoch in range(60) for row in plan.rows(epoch)][: steps * rows]
    if len(coming) == steps * rows:
        assert taken == Counter(coming)
    assert [number for number in range(steps) if plan.cursor(number).step != number] == []
    epochs = [plan.cursor(number).epoch for number in range(steps)]
    assert epochs == sorted(epochs)
    before = [sum(len(plan.rows(k)) for k in range(epoch)) for epoch in epochs]
    assert all(begin <= number * rows for number, begin in enumerate(before))


@given(SIZES, st.integers(0, 12), st.integers(0, 2))
@settings(max_examples=25)
def test_a_step_depends_on_its_number_alone(sizes, number, seed):
    fresh = plan_of(sizes, seed=seed)
    used = plan_of(sizes, seed=seed)
    for other in range(number):
        used.step(other)
    assert fresh.step(number) == used.step(number)
    assert fresh.cursor(number) == used.cursor(number)


def test_another_seed_and_another_epoch_are_other_orders():
    sizes = [Size(tokens=k % 7 + 1) for k in range(60)]
    plan = plan_of(sizes, tokens=16)
    assert plan.rows(0) != plan.rows(1)
    assert plan.rows(0) != plan_of(sizes, tokens=16, seed=1).rows(0)
    assert plan.cursor(0) == Cursor(epoch=0, step=0)


def test_rows_are_well_filled():
    sizes = [Size(tokens=(k * 37) % 50 + 5) for k in range(400)]
    plan = plan_of(sizes, tokens=256)
    found = plan.rows(0)
    assert sum(size.tokens for size in sizes) / (256 * len(found)) > 0.95


def test_an_example_longer_than_a_row_is_refused_by_name():
    with pytest.raises(RecipeError, match=r"example 1 has 65 tokens, expected at most 64 of pack\.tokens"):
        plan_of([Size(tokens=1), Size(tokens=65)])
    assert plan_of([Size(tokens=65, alone=True)]).rows(0) == ((0,),)


def test_a_plan_of_nothing_ends_with_words():
    plan = plan_of([Size(tokens=1)], passes=lambda epoch: [])
    with pytest.raises(RecipeError, match="raise the weights"):
        plan.step(0)
    with pytest.raises(RecipeError, match="expected 0 or more"):
        plan_of([Size(tokens=1)]).step(-1)


class _Named:
    """As much of an example as a mix asks for."""

    def __init__(self, source):
        self.source, self.said = source, ()


@given(st.integers(1, 30), st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 0.1]), st.integers(0, 4))
@settings(max_examples=25)
def test_weights_say_how_often_an_example_stands_in_epochs(count, weight, seed):
    mix = Mix([_Named("a") for _ in range(count)], {"a": weight}, NOTHING, seed=seed)
    taken = Counter()
    epochs = 20
    for epoch in range(epochs):
        found = mix.passes(epoch)
        assert found == mix.passes(epoch)
        assert all(len(part) == len(set(part)) for part in found)
        taken.update(place for part in found for place in part)
    assert sum(taken.values()) == round(epochs * weight * count)
    # Nobody comes more than once more often than another.
    often = [taken[place] for place in range(count)]
    assert max(often) - min(often) <= 1


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1.0, 2.0, 3.5, 6.0]), st.sampled_from([0.1, 0.5, 1.0]))
@settings(max_examples=25)
def test_sources_of_other_weights_stand_beside_each_other(many, few, large, small):
    mix = Mix([_Named("a")] * many + [_Named("b")] * few, {"a": large, "b": small}, NOTHING, seed=0)
    for epoch in range(3):
        parts = mix.passes(epoch)
        assert len(parts) <= -(-large // 1)
        # Neither source is crowded into some of the passes.
        for mine in (range(many), range(many, many + few)):
            often = [len(set(part) & set(mine)) for part in parts]
            assert max(often) - min(often) <= 1


def test_a_source_that_is_left_out_leaves_the_others_as_they_are():
    mix = Mix([_Named("a")] * 3 + [_Named("b")] * 4, {"a": 1.0, "b": 2.0}, NOTHING, seed=0)
    whole, alone = mix.passes(1), mix.passes(1, without={"a"})
    assert [[place for place in part if place > 2] for part in whole] == alone
    assert mix.passes(0, without={"a", "b"}) == []


@pytest.fixture(scope="module")
def config(made_folder):
    return run_config(
        made_folder,
        align=AlignConfig(pack=PackConfig(tokens=3000)),
        stream=StreamConfig(pack=PackConfig(tokens=6000)),
        interact=InteractConfig(pack=PackConfig(tokens=6000)),
    )


@pytest.mark.parametrize("stage", ["align", "stream", "interact"])
def test_a_stage_has_the_sources_of_its_mix(corpus, config, stage):
    mix = make_mix(corpus, config, stage, writer())
    settings_of = config.stage(stage)
    assert {example.source for example in mix.examples} == set(settings_of.mix)
    keys = [example.key for example in mix.examples]
    assert len(keys) == len(set(keys))
    assert mix.report.examples == dict(Counter(example.source for example in mix.examples))
    for count in mix.report.examples.values():
        assert f"{count} examples" in mix.report.text()
    plan = Plan.of(mix, settings_of.pack)
    assert sum(len(row) for row in plan.rows(0)) == sum(len(part) for part in mix.passes(0))
    expected = [0.0, 0.0, 0.0]
    for example in mix.examples:
        for said in example.said:
            if not said.asked:
                expected[("silence", "standby", "respond").index(said.state)] += settings_of.mix[example.source]
    assert list(mix.counts) == expected
    assert (sum(expected) > 0) == (stage != "align")
    again = make_mix(corpus, config, stage, writer())
    assert again.examples == mix.examples


def test_another_split_and_what_is_left_out(corpus, config):
    tight = config.model_copy(update={"align": AlignConfig(pack=PackConfig(tokens=500))})
    mix = make_mix(corpus, tight, "align", writer(), split="test")
    (test,) = corpus.materials["test"]
    assert {example.video_id for example in mix.examples} == {test.footage.video.id}
    assert all(example.tokens <= 500 for example in mix.examples)
    nothing = config.model_copy(update={"align": AlignConfig(pack=PackConfig(tokens=16))})
    with pytest.raises(RecipeError, match=r"give no example of captions, frame_events; left out were .*longer"):
        make_mix(corpus, nothing, "align", writer())


def test_a_source_that_never_comes_in_is_told(corpus, config):
    late = AlignConfig(pack=PackConfig(tokens=3000), steps=100, begins={"frame_events": 100})
    mix = make_mix(corpus, config.model_copy(update={"align": late}), "align", writer())
    assert mix.report.never == {"frame_events": 100}
    assert "frame_events: comes in at step 100, when the stage is over" in mix.report.text()
    soon = late.model_copy(update={"begins": {"frame_events": 99}})
    mix = make_mix(corpus, config.model_copy(update={"align": soon}), "align", writer())
    assert mix.report.never == {}
    assert "comes in" not in mix.report.text()


def test_first_steps_without_an_example_are_refused(corpus, config):
    silent = [replace(material, events=(), annotations=()) for material in corpus.materials["train"]]
    empty = Corpus({"train": tuple(silent), "validation": (), "test": ()}, ())
    late = AlignConfig(mix={"captions": 1.0, "moments": 1.0}, begins={"moments": 7})
    with pytest.raises(RecipeError, match="captions give no example, and begins lets no other source in before step 7"):
        make_mix(empty, config.model_copy(update={"align": late}), "align", writer())


def test_unknown_sources_are_named():
    assert needs({"captions": 1.0}) == set()
    assert needs({"realtime": 1.0, "dialogue": 0.0}) == {"streaming_qa"}
    with pytest.raises(RecipeError, match="found poems, expected some of captions"):
        needs({"poems": 1.0})


def test_a_tokenizer_learns_what_is_asked(corpus, config):
    texts = set(texts_of(corpus, config))
    assert config.system_prompt in texts
    mix = make_mix(corpus, config, "align", writer())
    assert {said.text for example in mix.examples for said in example.said if said.task == "caption"} & texts
