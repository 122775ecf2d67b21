"""The baselines compute what ours does, and what the benchmark says of itself is checked: a planted fault fails."""

from dataclasses import replace

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from models.backbone import MODEL_CLASSES
from tests.bench import accelerator, streaming
from tests.bench.stock_streams import GRID_TOKENS, StockCache, middle_config
from tests.bench.streaming import SAME, Plan, Stage, feed, first_logits, grid_places, same

torch.set_num_threads(1)
PLAN = Plan(window=4, lengths=(4, 8), rounds=2)


@pytest.fixture(scope="module")
def stage():
    # Weights large enough that the answer depends on what was seen.
    config = middle_config(layers=2, hidden=128, vision_width=64)
    config.text_config.initializer_range = config.vision_config.initializer_range = 0.1
    return Stage(PLAN, config)


def ask_cache(stage, cache, prompt):
    count = len(stage.tail)
    return cache.ask(prompt.ids[-count:], prompt.positions[..., -count:])


def test_all_baselines_say_what_ours_says(stage):
    prompt, known = stage.prompt(4), stage.features()
    caches = [StockCache(stage.stock), StockCache(stage.stock, last=4)]
    for cache in caches:
        cache.start(prompt)
        for grid in range(4):
            cache.add(known[grid], grid_places(prompt, grid))
    with stage.model.session() as session:
        ours = first_logits(stage.watched(session, 4))
    theirs = [stage.stock.resend(prompt, stage.patches(4)), *(ask_cache(stage, cache, prompt) for cache in caches)]
    theirs.append(stage.stock.decode(prompt, torch.cat([one.embeds for one in known[:4]])))
    for logits in theirs:
        assert same("now", ours, logits).passed
        assert (ours - logits).abs().max() < SAME


def test_a_frame_too_few_or_in_another_place_is_noticed(stage):
    with stage.model.session() as session:
        ours = first_logits(stage.watched(session, 4))
    missing = stage.stock.resend(stage.prompt(3), stage.patches(3))
    assert not same("one missing", ours, missing).passed
    swapped = stage.stock.patches([frame for grid in (1, 0, 2, 3) for frame in stage.pair(grid)])
    assert not same("two swapped", ours, stage.stock.resend(stage.prompt(4), swapped)).passed
    assert not same("another token", ours, torch.zeros_like(ours).index_fill_(0, ours.argmin(), 1.0)).passed


def test_copying_to_evict_says_what_freed_slots_say(stage):
    prompt, known = stage.prompt(7), stage.features()
    cache = StockCache(stage.stock, last=4)
    cache.start(prompt)
    with stage.model.session() as session:
        for grid in range(7):
            feed(session, stage.pair(grid), grid)
            cache.add(known[grid], grid_places(prompt, grid))
        line = same("after three have left", first_logits(session), ask_cache(stage, cache, prompt))
        moved = session.metrics().bytes_moved
    assert line.passed
    assert cache.grids == 4
    assert moved == 0
    assert cache.bytes_moved > 7 * 4 * GRID_TOKENS


def test_a_cache_counts_its_bytes_and_a_question_leaves_none(stage):
    prompt = stage.prompt(10)
    cache = StockCache(stage.stock)
    cache.start(prompt)
    before = cache.nbytes
    ask_cache(stage, cache, prompt)
    assert cache.nbytes == before
    cache.fill(5)
    text = stage.model.backbone.config
    a_token = 2 * text.num_hidden_layers * text.num_key_value_heads * stage.model.backbone.head_dim * 4
    assert cache.nbytes - before == 5 * GRID_TOKENS * a_token
    assert cache.grids == 5


def test_every_measure_gives_rows_and_the_exact_ones_pass(stage):
    lines = [line for measure in streaming.MEASURES for line in measure(stage)]
    exact = [line for line in lines if "logits apart" in line.what or "calls of" in line.what or "bytes" in line.what]
    assert len(exact) == 5
    assert all(line.passed for line in exact)
    assert all(line.cells()[0] and line.cells()[1] for line in lines)
    parts = [line for line in lines if line.what.startswith("  time per chunk")]
    assert abs(sum(float(line.baseline.split()[0]) for line in parts) - 100) <= 2


def run(main, *arguments):
    app = Typer()
    app.command()(main)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(("value", "code"), [(11.0, 0), (9.0, 1)])
def test_the_exit_code_tells_whether_all_bounds_hold(stage, monkeypatch, value, code):
    row = streaming.Line(what="it", ours="1 ms", value=value, least=10)
    monkeypatch.setattr(streaming, "Stage", lambda plan: stage)
    monkeypatch.setattr(streaming, "MEASURES", (lambda given: [row],))
    monkeypatch.setattr(stage.model, "close", lambda: None)
    assert run(streaming.main, "--quick").exit_code == code


def test_without_a_gpu_a_line_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = run(accelerator.main)
    assert (told.exit_code, "no GPU" in told.output) == (2, True)
    assert run(accelerator.main, "--size", "4B").exit_code == 2


def test_the_path_for_a_gpu_runs_on_a_cpu():
    told = run(accelerator.main, "--tiny", "--chunks", "2")
    assert told.exit_code == 0, told.output
    assert "tokens per second" in told.output


def test_a_latency_over_what_is_quoted_fails(monkeypatch):
    load = replace(accelerator.tiny_load(), device=torch.device("cuda"))
    found = accelerator.Figures(
        chunk_ms=80, worst_ms=99, dialogue_ms=250, first_ms=1, rate=1, weight_bytes=1, pool_bytes=1, peak_bytes=1
    )
    verdicts = [line.passed for line in accelerator.lines(load, found) if line.bounded]
    assert verdicts == [True, False]


@pytest.mark.parametrize(("size", "billions"), [("3B", 3.75), ("7B", 8.29)])
def test_released_sizes_have_their_published_count_of_weights(size, billions):
    with torch.device("meta"), accelerator.made_in(torch.bfloat16):
        model = MODEL_CLASSES["qwen2_5_vl"](accelerator.released_config(size))
    model.tie_weights()
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e9, 2) == billions
    assert torch.get_default_dtype() == torch.float32
