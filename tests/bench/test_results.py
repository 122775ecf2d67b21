"""The tables of results, from evaluations made by hand."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from recipes.errors import CheckpointError
from recipes.evaluation.evaluate import Replayed, evaluation_of
from recipes.evaluation.report import write_evaluation
from recipes.losses.latency import latency_weights
from recipes.settings import STAGES
from recipes.training import checkpoint
from recipes.training.command import read_run
from recipes.training.cursor import Cursor
from recipes.training.logs import read_curves
from tests.bench.results import BRANCHED, CONFIG, VARIANTS, branch, main_jobs, report, variant_jobs
from tests.recipes.evaluation.made import empty_trace, perfect_trace
from tests.recipes.evaluation.test_scores import ABOUT, CLIPS
from tests.recipes.evaluation.test_scores import CONFIG as SCORED
from tests.recipes.losses.labelled import rows

LABELS = rows("ssRR", evidence_s=2.0, window_s=5.0)


def evaluation(right):
    """Of three videos, so many with everything right."""
    rows = [
        Replayed(clip=one, seen=(perfect_trace if k < right else empty_trace)(one), blind=empty_trace(one))
        for k, one in enumerate(CLIPS)
    ]
    return evaluation_of(rows, CLIPS, about=replace(ABOUT, videos=3), config=SCORED)


def put(job, stage, found):
    folder = job.out / stage / "evaluation"
    folder.mkdir(parents=True)
    write_evaluation(folder / "evaluation.json", found)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Stages get better, seeds differ; each loss is as good as nothing."""
    out = tmp_path_factory.mktemp("results")
    made = {right: evaluation(right) for right in range(4)}
    for seed, job in enumerate(main_jobs(out, 2)):
        for place, stage in enumerate(STAGES):
            put(job, stage, made[place + seed])
    for job in variant_jobs(out, 2):
        put(job, "stream", made[0])
    return report(out, 2)


def row(table, name):
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_stages_stand_beside_the_baselines(text):
    table = text.split("## Losses")[0]
    heads = "| | after stage 1 | after stage 2 | after stage 3 | blind | clock | majority |"
    assert heads in table
    assert "2 seeds" in table
    assert "3 videos" in table
    # Five of six questions of a video are right without its picture.
    assert row(table, "accuracy/all")[:3] == ["0.167 ± 0.236", "0.500 ± 0.236", "0.833 ± 0.236"]
    assert row(table, "accuracy/all")[3:] == ["0.000 ± 0.000", "–", "0.833 ± 0.000"]
    assert row(table, "decisions/f1")[4] != "–"


@pytest.mark.parametrize(
    "name",
    [
        "accuracy/before", "accuracy/count_so_far", "accuracy/now", "accuracy/tell_me_when", "decisions/precision",
        "decisions/recall", "decisions/f1", "decisions/early_rate", "decisions/late_rate", "decisions/delay_mean_s",
        "decisions/delay_p50_s", "decisions/false_per_minute", "stability/flip_rate", "events/micro_f1",
    ],
)  # fmt: skip
def test_every_figure_has_its_row(text, name):
    for table in text.split("## Losses"):
        assert len([line for line in table.splitlines() if line.startswith(f"| {name} |")]) == 1


def test_losses_stand_side_by_side_from_the_same_stage(text):
    table = text.split("## Losses")[1]
    assert f"| | {' | '.join([*VARIANTS, 'both'])} |" in table
    assert row(table, "accuracy/all") == ["0.000 ± 0.000"] * len(VARIANTS) + ["0.500 ± 0.236"]


def run_of(job):
    return read_run(CONFIG, job.all_settings, None)


@pytest.fixture
def trunk(tmp_path):
    """A run whose second stage has saved steps 500, 600 and 700."""
    job = next(main_jobs(tmp_path, 1))
    folder = job.out / BRANCHED
    for step in (500, 600, 700):
        torch.manual_seed(step)
        model = nn.Linear(2, 3)
        aside = checkpoint.begin(folder, step)
        checkpoint.write_weights(aside, model, torch.optim.AdamW(model.parameters()))
        checkpoint.write_random(aside, [])
        cursor = Cursor(epoch=1, step=step // 2, skipped=("lost",))
        settings = checkpoint.settings_of(run_of(job))
        saved = checkpoint.Saved(
            stage=BRANCHED, step=step, cursor=cursor, settings=settings, began="b", processes=2, sharded=False, files={}
        )
        checkpoint.publish(aside, saved, keep=run_of(job).stage(BRANCHED).keep)
    (folder / "metrics.jsonl").write_text("".join(f'{{"step": {step}}}\n' for step in range(100, 800, 100)))
    return job


@pytest.mark.parametrize("place", range(len(VARIANTS)))
def test_a_variant_goes_on_where_the_first_ramp_begins(tmp_path, trunk, place):
    variant = list(variant_jobs(tmp_path, 1))[place]
    settings = checkpoint.settings_of(run_of(variant))
    began = checkpoint.folder_of(trunk.out / BRANCHED, 600)
    with pytest.raises(CheckpointError, match="other settings"):
        checkpoint.check_same(checkpoint.read_saved(began), began, settings=settings, began="b", stage=BRANCHED)
    path = branch(variant, trunk.out)
    saved = checkpoint.read_saved(path)
    assert checkpoint.check_same(saved, path, settings=settings, began="b", stage=BRANCHED) == []
    assert (saved.step, saved.cursor) == (600, Cursor(epoch=1, step=300, skipped=("lost",)))
    assert (path / checkpoint.WEIGHTS).read_bytes() == (began / checkpoint.WEIGHTS).read_bytes()
    assert [line["step"] for line in read_curves(path.parent)] == [100, 200, 300, 400, 500, 600]
    assert checkpoint.newest(path.parent)[0] == path


def test_a_variant_that_has_gone_on_is_left_alone(tmp_path, trunk):
    variant = next(variant_jobs(tmp_path, 1))
    path = branch(variant, trunk.out)
    later = checkpoint.begin(path.parent, 650)
    (later / "weights").write_text("those of the variant")
    checkpoint.publish(later, replace(checkpoint.read_saved(path), step=650, files={}), keep=9)
    branch(variant, trunk.out)
    assert checkpoint.newest(path.parent)[0].name == "checkpoint-000650"


@pytest.mark.parametrize("place", range(len(VARIANTS)))
def test_no_loss_that_is_left_out_counts_before_the_branch(tmp_path, place):
    """Else the steps that a variant takes over would not be its own."""
    whole = run_of(next(main_jobs(tmp_path, 1))).stream.losses
    part = run_of(list(variant_jobs(tmp_path, 1))[place]).stream.losses
    scales = [(whole.scales(step), part.scales(step), whole.latency.at(step)) for step in range(1200)]
    for one, other, latency in scales[:600]:
        assert one == other
        assert latency_weights(LABELS, alpha=latency.alpha, beta=latency.beta).tolist() == [1, 1, 1, 1]
    last = scales[-1]
    assert last[0] != last[1] or whole.latency.form != part.latency.form
