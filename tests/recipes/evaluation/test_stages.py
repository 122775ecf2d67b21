"""The table of a run is that of all its stages, whatever is evaluated again; a package is of what is newest."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from models.model_card import ModelCard, TrainingProvenance
from models.package import load_package
from models.streaming import StreamingModel
from models.tiny import tiny_config
from recipes.errors import RecipeError
from recipes.evaluation.evaluate import model_digest
from recipes.evaluation.report import VERSION, About, Evaluation, read_evaluation, write_evaluation
from recipes.evaluation.scores import Figure
from recipes.evaluation.stability import Point
from recipes.evaluation.stages import evaluation_there, write_table
from recipes.package import BEGAN, check_chain, package_run, weights_digest, write_began
from recipes.settings import STAGES, DataConfig, MadeConfig, ModelConfig, RunConfig
from tests.recipes.evaluation.streams import SETTINGS

CARD = ModelCard(
    name="tiny",
    license="unknown",
    provenance=TrainingProvenance(
        base_model=None, base_revision=None, datasets=(), recipe="r.yaml", recipe_sha256="0" * 64, code_version="0",
        steps=1, date="2024-01-01", metrics=(),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Two packages with other weights."""
    folder = tmp_path_factory.mktemp("packages")
    made = []
    for seed in range(2):
        torch.manual_seed(seed)
        with StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=SETTINGS) as model:
            with torch.no_grad():
                next(iter(model.backbone.model.parameters())).add_(seed)
            made.append(model.save(folder / f"{seed}", card=CARD))
    return made


def evaluation(package, *, value, videos=3):
    point = Point(threshold=None, accuracy=value, lag_ns=None, flip_rate=0.0, precision=1.0, recall=1.0, answered=1)
    about = About(
        package=str(package), model_sha256=model_digest(package), layout="branch", split="test", videos=videos,
        rejected=0, datasets={"a": "b"}, config="{}",
    )  # fmt: skip
    figures = (Figure(name="accuracy/all", value=value, n=9), Figure(name="decisions/f1", value=None, n=0))
    return Evaluation(version=VERSION, about=about, figures=figures, delays_s=(), served=point, sweep=())


def put(run, stage, package):
    target = run / stage / "package"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(package, target)
    return target


@pytest.fixture
def run(tmp_path, packages):
    """A run of three stages, each evaluated, as `evaluate_run` leaves it."""
    found = {}
    for k, stage in enumerate(STAGES):
        package = put(tmp_path, stage, packages[0])
        found[stage] = evaluation(package, value=0.1 * (k + 1))
        (tmp_path / stage / "evaluation").mkdir()
        write_evaluation(tmp_path / stage / "evaluation" / "evaluation.json", found[stage])
        write_began(config(tmp_path), stage)
    write_table(tmp_path, found)
    return tmp_path


def config(run):
    return RunConfig(out=str(run), model=ModelConfig(made=MadeConfig()), data=DataConfig(folders=("none",)))


def value_of(run):
    return read_evaluation(run / "evaluation.json").figure("accuracy/all").value


def test_one_stage_evaluated_again_leaves_the_others_in_the_table(run):
    again = evaluation(run / "align" / "package", value=0.7)
    write_table(run, {"align": again})
    table = (run / "evaluation.md").read_text()
    assert table.splitlines()[0].startswith("| | align | stream | interact |")
    assert "| accuracy/all | 0.700 | 0.200 | 0.300 |" in table
    assert value_of(run) == pytest.approx(0.3)


def test_an_evaluation_on_other_data_does_not_touch_the_table(run, caplog):
    before = [(run / name).read_bytes() for name in ("evaluation.md", "evaluation.json")]
    write_table(run, {"align": evaluation(run / "align" / "package", value=0.7, videos=1)})
    assert [(run / name).read_bytes() for name in ("evaluation.md", "evaluation.json")] == before
    assert "is left as it is" in caplog.text


def test_an_evaluation_of_another_package_is_left_out(run, packages, caplog):
    put(run, "interact", packages[1])
    assert evaluation_there(run, "interact") is None
    assert "is of another package" in caplog.text
    write_table(run, {"align": evaluation(run / "align" / "package", value=0.7)})
    assert (run / "evaluation.md").read_text().splitlines()[0].startswith("| | align | stream | blind")
    assert value_of(run) == pytest.approx(0.2)


def test_what_is_not_there_or_damaged_is_left_out(run, caplog):
    (run / "stream" / "evaluation" / "evaluation.json").write_text("{")
    assert evaluation_there(run, "stream") is None
    assert "stage stream is left out" in caplog.text
    shutil.rmtree(run / "interact" / "evaluation")
    assert evaluation_there(run, "interact") is None
    assert evaluation_there(run, "align") is not None


def test_a_package_of_a_whole_run_is_its_last_stage_with_its_own_figures(run):
    write_table(run, {"align": evaluation(run / "align" / "package", value=0.7)})
    metrics = load_package(package_run(run, None)).card.provenance.metrics
    assert [(metric.name, metric.value) for metric in metrics] == [("test/accuracy/all", pytest.approx(0.3))]


@pytest.mark.parametrize("again", ["align", "stream"])
def test_a_stage_that_began_with_what_is_no_more_is_refused(run, packages, again):
    put(run, again, packages[1])
    late = STAGES[STAGES.index(again) + 1]
    told = rf"{late}/package: was trained from another package of stage {again} .* made anew since"
    with pytest.raises(RecipeError, match=told):
        package_run(run, None)
    assert not (run / "package").exists()
    # By name it is a choice.
    assert package_run(run, "interact") == run / "package"
    for stage in STAGES[STAGES.index(late) :]:
        write_began(config(run), stage)
    assert package_run(run, None) == run / "package"


def test_packaged_again_it_is_the_same_beginning(run, packages):
    card = replace(CARD, provenance=replace(CARD.provenance, date="2025-05-05"))
    with StreamingModel.from_pretrained(packages[0]) as model:
        shutil.rmtree(run / "stream" / "package")
        model.save(run / "stream" / "package", card=card)
    assert model_digest(run / "stream" / "package") != model_digest(packages[0])
    assert weights_digest(run / "stream" / "package") == weights_digest(packages[0])
    check_chain(run, "interact")


def test_a_run_that_does_not_say_where_it_began_is_taken_with_a_word(run, packages, caplog):
    (run / "interact" / BEGAN).unlink()
    put(run, "stream", packages[1])
    check_chain(run, "interact")
    assert "does not say which package it began with" in caplog.text


def test_a_stage_that_began_elsewhere_asks_nothing_of_the_run(run, packages):
    elsewhere = config(run)
    stream = elsewhere.stream.model_copy(update={"begin_with": str(packages[0])})
    write_began(elsewhere.model_copy(update={"stream": stream}), "stream")
    assert json.loads((run / "stream" / BEGAN).read_text())["weights_sha256"] == weights_digest(packages[0])
    put(run, "align", packages[1])
    check_chain(run, "interact")
