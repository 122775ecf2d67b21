"""All contenders learn the same from the same; a difference that is planted makes the comparison void."""

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from models.backbone import MODEL_CLASSES, family_of
from models.blocks import derive
from models.layouts import LAYOUTS
from models.prompts import Prompts
from models.tiny import byte_tokenizer, special, tiny_config
from models.transcript import Reply, Sight, Transcript
from recipes.data.rows import pack_row
from recipes.learner import Learner
from recipes.losses.settings import Losses
from recipes.settings import OptimConfig, PackConfig
from recipes.training.loop import make_accelerator
from recipes.training.modules import freeze
from recipes.training.objective import Objective, Wording
from tests.bench import accelerator_training, training, training_data
from tests.bench.accelerator_training import DECISIONS, batches_of, load_of
from tests.bench.ratios import Line
from tests.bench.training import CHANGES, COMPARED, SAME, contenders_of, lines_of, race
from tests.bench.training_contenders import Recipe, furthest
from tests.bench.training_data import cut, spread, turn_of
from tests.bench.training_made import ANSWERS, document, shown_of
from tests.bench.training_samples import (
    NOT_LEARNED,
    Pictures,
    Sample,
    VoidError,
    first_fit,
    labels_of,
    packed,
    padded,
    samples_of,
)
from tests.recipes.training.small import WHOLE, format_of

torch.set_num_threads(1)
SIDE = 16
PACK = PackConfig(tokens=320, rows=2, micro=1)
RECIPE = Recipe(modules=WHOLE, optim=OptimConfig(weight_decay=0.01, clip=0.5))


@cache
def prompts():
    return Prompts(byte_tokenizer("qwen2_5_vl"), family_of(tiny_config("qwen2_5_vl")))


def film(key, grids):
    return document(key, prompts(), format_of().frames, decision_ids=DECISIONS, grids=grids, side=SIDE)


@cache
def turn(number=0):
    rows = [[film(f"a{number}", 2)], [film(f"b{number}", 3)]]
    examples = [example for row in rows for example in row]
    return turn_of(rows, shown_of(examples, side=SIDE), format_of(), pack=PACK)


def contenders(names=tuple(CHANGES)):
    config = tiny_config("qwen2_5_vl", layers=1)
    config.vision_config.depth, config.vision_config.fullatt_block_indexes = 2, [1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = MODEL_CLASSES["qwen2_5_vl"](config)
    freeze(model, WHOLE, seed=0)
    wording = Wording(decision_ids=DECISIONS, end_id=special("<|im_end|>"))
    objective = Objective(Learner(model), Losses(), counts=(1, 1, 1), wording=wording)
    made = contenders_of(objective, RECIPE, make_accelerator())
    return {name: made[name] for name in names}


@pytest.fixture(scope="module")
def raced():
    return race(contenders(), turn, steps=COMPARED)


def test_all_contenders_lose_the_same_in_the_first_steps(raced):
    assert list(raced.losses) == list(CHANGES)
    first = raced.losses["padded"]
    assert len(first) == COMPARED
    assert first[-1] < first[0] - 0.05
    assert all(furthest(losses, first) < SAME for losses in raced.losses.values())
    rows = lines_of("tiny", raced)
    assert rows[0].passed
    assert [row.value is None for row in rows] == [False] * (2 + len(CHANGES))
    assert [row.value for row in rows if "padded batches" in row.what] == [1.0]


def test_ours_fills_fewer_places_and_encodes_fewer_pictures(raced):
    steps = raced.steps
    assert steps == COMPARED - 1
    assert raced.places["ours"] < raced.places["packed"] <= raced.places["padded"]
    assert raced.pictures["ours"] == 5 * steps
    # The k-th question of a film shows k pictures.
    assert raced.pictures["padded"] == raced.pictures["packed"] == (1 + 2 + 1 + 2 + 3) * steps
    assert raced.supervised == turn().supervised


def shifted(batch):
    return replace(batch, positions=batch.positions + 5 * (batch.positions > 6))


def relabelled(batch):
    labels = batch.labels.clone()
    labels[0, (labels[0] != NOT_LEARNED).nonzero()[0, 0]] = NOT_LEARNED
    return replace(batch, labels=labels)


def other_pictures(batch):
    return replace(batch, patches=batch.patches.flip(0))


def all_seen(batch):
    return replace(batch, attention=batch.attention * 0 + 1, token_ids=batch.token_ids.flip(1))


@pytest.mark.parametrize("fault", [shifted, relabelled, other_pictures, all_seen])
def test_a_baseline_that_learns_something_else_voids_the_comparison(fault):
    def wrong(number):
        right = turn(number)
        return replace(right, padded=[fault(batch) for batch in right.padded])

    found = race(contenders(("padded", "ours")), wrong, steps=COMPARED)
    filled = dict.fromkeys(CHANGES, found.losses["ours"]) | {"padded": found.losses["padded"]}
    rows = lines_of("tiny", replace(found, losses=filled, places=Counter(), pictures=Counter(), paired=Timed()))
    assert not rows[0].passed
    assert not rows[1].passed
    assert all(row.value is None for row in rows[1:])


class Timed:
    """Times without a clock."""

    def ms(self, name):
        return 10.0 if name == "ours" else 15.0

    def ratio(self, slow, fast):
        return self.ms(slow) / self.ms(fast)


def test_a_ratio_below_two_fails_and_too_few_steps_are_void(raced):
    slow = replace(raced, paired=Timed())
    rows = lines_of("tiny", slow)
    assert [rows[0].passed, rows[1].passed, rows[1].value] == [True, False, 1.5]
    short = replace(slow, losses={name: losses[:-1] for name, losses in raced.losses.items()})
    assert lines_of("tiny", short)[1].value is None


def test_numbers_that_are_none_are_infinitely_apart():
    assert furthest([1.0, 2.0], [1.5, 2.25]) == 0.5
    assert furthest([1.0, float("nan")], [1.0, float("nan")]) == float("inf")
    assert furthest([], []) == furthest([1.0], [1.0, 1.0]) == float("inf")


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_a_sample_is_what_a_film_that_ends_at_its_question_would_be(counts):
    how = format_of()
    films = [film(f"f{k}", grids) for k, grids in enumerate(counts)]
    samples = samples_of(pack_row(films, how))
    assert len(samples) == sum(counts)
    place = 0
    for made in films:
        for number in range(len(made.grids)):
            sample, alone = samples[place], ending_at(made, number)
            assert torch.equal(sample.token_ids, alone.token_ids)
            assert torch.equal(sample.positions, alone.positions)
            assert sample.grids == made.grids[: number + 1]
            said = sample.token_ids[sample.labels != NOT_LEARNED]
            assert byte_tokenizer("qwen2_5_vl").decode(said) == made.said[number].text + "<|im_end|>"
            place += 1


def ending_at(made, number):
    """The film up to a question, with that question alone."""
    script = Transcript(prompts(), LAYOUTS["branch"], system_prompt="", decision_tokens=DECISIONS)
    for ref, block in zip(made.grids[: number + 1], [b for b in made.blocks if b.grids], strict=False):
        grid = block.grids[0]
        script.see(Sight(t0_ns=ref.t0_ns, last_ns=ref.t1_ns, height=grid.height, width=grid.width, feature=ref.key))
    said = made.said[number]
    script.ask("What has just happened?", Reply(text=said.text), t_ns=said.t_ns, aside=True)
    return derive(script.blocks(), LAYOUTS["branch"], clock=format_of().clock)


def test_what_is_no_plain_sequence_is_refused():
    row = pack_row([film("a", 3)], format_of())
    hidden = row.sees.clone()
    frames = row.block_of[row.visual].unique()
    hidden[frames[1], frames[0]] = False
    with pytest.raises(VoidError, match="plain causal"):
        samples_of(replace(row, sees=hidden))
    # The row that predicts the first word stands in a block that the answer does not see.
    apart, answer = row.block_of.clone(), int(row.rows[0])
    apart[answer] = len(row.sees)
    unseen = torch.nn.functional.pad(row.sees, (0, 1, 0, 1))
    with pytest.raises(VoidError, match="plain causal"):
        samples_of(replace(row, block_of=apart, sees=unseen))


def sample(length, key=0):
    ids = torch.arange(length) + key
    return Sample(token_ids=ids, positions=ids.expand(3, -1), labels=ids, visual=torch.zeros(length).bool(), grids=())


@settings(max_examples=30)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=20), st.integers(12, 30))
def test_rows_hold_each_sample_once_and_are_never_too_long(lengths, tokens):
    samples = [sample(length, key) for key, length in enumerate(lengths)]
    rows = first_fit(samples, tokens)
    assert all(sum(map(len, row)) <= tokens for row in rows)
    assert sorted(id(one) for row in rows for one in row) == sorted(map(id, samples))


@given(st.integers(1, 200), st.integers(1, 30))
def test_parts_and_the_order_of_samples_lose_nothing(count, size):
    mixed = spread(range(count))
    assert sorted(mixed) == list(range(count))
    assert mixed == spread(range(count))
    parts = cut(mixed, size)
    assert [one for part in parts for one in part] == mixed
    assert {len(part) for part in parts[:-1]} <= {size}


def test_a_padded_batch_keeps_each_sample_and_fills_up_behind_it():
    how = format_of()
    films = [film("a", 3)]
    samples = samples_of(pack_row(films, how))
    pictures = Pictures(shown_of(films, side=SIDE), how.frames)
    batch = padded(samples, pictures, pad_id=how.pad_id)
    longest = max(map(len, samples))
    assert batch.grids[:, 0].tolist() == [1, 2, 3]
    assert len(batch.patches) == int(batch.grids.prod(1).sum())
    for row, one in enumerate(samples):
        assert batch.attention[row].tolist() == [1] * len(one) + [0] * (longest - len(one))
        assert torch.equal(batch.token_ids[row, : len(one)], one.token_ids)
        assert torch.equal(batch.positions[:, row, : len(one)], one.positions)
        assert int((batch.labels[row] != NOT_LEARNED).sum()) == one.supervised
        assert (batch.token_ids[row, len(one) :] == how.pad_id).all()


def test_packed_samples_do_not_see_each_other_and_labels_stand_where_rows_predict():
    how = format_of()
    films = [film("a", 2), film("b", 1)]
    samples = samples_of(pack_row(films, how))
    pictures = Pictures(shown_of(films, side=SIDE), how.frames)
    rows = [samples[:2], samples[2:]]
    often, once = (packed(rows, pictures, pad_id=how.pad_id, once=flag) for flag in (False, True))
    assert [len(batch.sights.shapes) for batch in (often, once)] == [4, 2 + 1]
    seen = often.mask(torch.float32)[:, 0] == 0
    length = len(samples[0])
    assert not seen[0, length:, :length].any()
    assert torch.equal(seen[0, :length, :length], torch.ones(length, length).tril().bool())
    labels = labels_of(often)
    assert int((labels != NOT_LEARNED).sum()) == len(often.targets) == sum(one.supervised for one in samples)
    assert torch.equal(often.token_ids[labels != NOT_LEARNED], labels[labels != NOT_LEARNED])
    places = [
        batch.sights.patches.reshape(-1, 4, batch.sights.patches.shape[1])[batch.sights.order]
        for batch in (often, once)
    ]
    assert torch.equal(*places)


def run(main, *arguments):
    app = Typer()
    app.command()(main)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(("value", "code"), [(3.0, 0), (1.0, 1)])
def test_the_exit_code_tells_whether_all_bounds_hold(tmp_path, monkeypatch, value, code):
    row = Line(what="it", ours="1/s", value=value, least=2)
    seen = []
    monkeypatch.setattr(training, "measure", lambda name, folder, scratch, steps: seen.append((name, folder)) or [row])
    told = run(training.main, "--lessons", str(tmp_path))
    assert (told.exit_code, seen) == (code, [("tiny", tmp_path), ("middle", tmp_path)])
    assert run(training.main, "--only", "huge").exit_code == 2


def test_a_command_that_fails_says_which(tmp_path, monkeypatch):
    monkeypatch.setattr(training_data.sys, "executable", "false")
    with pytest.raises(RuntimeError, match=r"datasets_build index .* ended with 1"):
        training_data.draw(tmp_path / "lessons", videos=6)


@pytest.mark.slow
def test_the_whole_benchmark_runs_on_lessons_of_its_own(tmp_path):
    lessons = training_data.draw(tmp_path / "lessons", videos=6)
    rows = training.measure("tiny", lessons, tmp_path, steps=COMPARED)
    assert rows[0].passed
    assert rows[1].value is not None
    waited = [row for row in rows if "waiting" in row.what or "cached" in row.what or "nobody" in row.what]
    assert len(waited) == 3


def test_training_on_a_gpu_is_refused_without_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = run(accelerator_training.main)
    assert (told.exit_code, "no GPU" in told.output) == (2, True)
    assert run(accelerator_training.main, "--size", "4B").exit_code == 2


def test_the_path_of_training_on_a_gpu_runs_on_a_cpu():
    told = run(accelerator_training.main, "--tiny", "--steps", "1", "--tokens", "512", "--peak-tflops", "0.01")
    assert told.exit_code == 0, told.output
    assert "utilisation of 0.01" in told.output


def test_a_row_of_released_size_is_nearly_full_and_mostly_video():
    pixels, features = batches_of(load_of("3B", tiny=False, tokens=8192, checkpointing=False))
    assert 6000 < pixels.tokens == features.tokens <= 8192
    assert pixels.visual.float().mean() > 0.6
    assert set(pixels.sights.shapes) == {(32, 32)}
    assert features.sights.features.shape[1] == 2048
    assert 0.01 < len(pixels.rows) / pixels.tokens < 0.3
    assert len(ANSWERS) > 1
