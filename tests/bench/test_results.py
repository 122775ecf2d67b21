"""The tables of results, from evaluations made by hand."""

from dataclasses import replace

import pytest

from recipes.evaluation.evaluate import Replayed, evaluation_of
from recipes.evaluation.report import write_evaluation
from recipes.settings import STAGES
from tests.bench.results import VARIANTS, main_jobs, report, variant_jobs
from tests.recipes.evaluation.made import empty_trace, perfect_trace
from tests.recipes.evaluation.test_scores import ABOUT, CLIPS, CONFIG


def evaluation(right):
    """Of three videos, so many with everything right."""
    rows = [
        Replayed(clip=one, seen=(perfect_trace if k < right else empty_trace)(one), blind=empty_trace(one))
        for k, one in enumerate(CLIPS)
    ]
    return evaluation_of(rows, CLIPS, about=replace(ABOUT, videos=3), config=CONFIG)


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
