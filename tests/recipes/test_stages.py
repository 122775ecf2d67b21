"""The stage scripts and the command line, as programs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.layouts import LAYOUTS
from models.package import load_package
from recipes.errors import RecipeError
from recipes.package import package_run, streaming_settings, weights_digest
from recipes.settings import STAGES
from recipes.training.command import held_folder, read_run
from recipes.training.logs import read_curves
from recipes.training.material import begins_with

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "recipes" / "configs" / "tiny.yaml"
SCRIPTS = {"align": "stage1_align", "stream": "stage2_stream", "interact": "stage3_interact"}
# Drawn frames of 320 × 240 pixels become 112 × 84.
SEEN = ["data.min_pixels=9408", "data.max_pixels=9408"]
SMALL = [*SEEN, "steps=3", "log_every=1", "save_every=2", "pack.rows=4", "pack.micro=2"]


def program(*words, **more):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words], env=env, capture_output=True, text=True, cwd=ROOT, timeout=280, **more
    )


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_stage_whose_beginning_is_not_there_says_so(tmp_path, stage):
    run = read_run(TINY, [f"out={tmp_path}"], None)
    with pytest.raises(
        RecipeError, match=rf"{stage}\.begin_with: stage {run.stage(stage).begin_with} has left no package"
    ):
        begins_with(run, stage)
    other = read_run(TINY, [f"out={tmp_path}", f"begin_with={tmp_path}/none"], stage)
    with pytest.raises(RecipeError, match="none is no folder"):
        begins_with(other, stage)
    assert begins_with(read_run(TINY, ["begin_with=base"], stage), stage) is None
    folder = tmp_path / run.stage(stage).begin_with / "package"
    folder.mkdir(parents=True)
    assert begins_with(run, stage) == folder


def test_a_package_streams_as_the_run_was_trained():
    run = read_run(TINY, ["layout=group", "serve.window_s=12.5", "data.max_gap_s=1.5"], None)
    settings = streaming_settings(run)
    assert (settings.layout, settings.window_s, settings.max_gap_s) == ("group", 12.5, 1.5)
    assert (settings.system_prompt, settings.max_pixels) == (run.system_prompt, run.data.max_pixels)
    for layout in LAYOUTS:
        assert streaming_settings(read_run(TINY, [f"layout={layout}"], None)).layout == layout


def test_a_run_without_a_finished_stage_has_nothing_to_package(tmp_path):
    with pytest.raises(RecipeError, match="no stage is finished"):
        package_run(tmp_path, None)
    (tmp_path / "align" / "package").mkdir(parents=True)
    with pytest.raises(RecipeError, match="no package of stream, finished are align"):
        package_run(tmp_path, "stream")


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    """Drawn videos with all datasets about them."""
    folder = tmp_path_factory.mktemp("lessons")
    out = folder / "out"
    for words in (
        ("draw", str(folder / "videos"), "videos=4", "seconds=24"),
        ("index", str(folder / "videos"), "--out", str(out)),
        ("perceive", str(out)),
        ("build", str(out)),
    ):
        done = program("datasets_build", *words)
        assert done.returncode == 0, (words, done.stderr[-2000:])
    return out


@pytest.mark.slow
def test_three_stages_train_one_behind_the_other_and_package(lessons, tmp_path):
    common = [f"out={tmp_path}/run", f"data.folders=[{lessons}]"]
    for stage, script in SCRIPTS.items():
        done = program(f"recipes.{script}", "--config", str(TINY), *common, *SMALL)
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"stage {stage} of" in done.stderr
        assert "language: full" in done.stderr
        lines = read_curves(tmp_path / "run" / stage)
        assert [line["step"] for line in lines] == [1, 2, 3]
        card = load_package(tmp_path / "run" / stage / "package", verify=True).card
        assert card.provenance.recipe == str(TINY)
        assert card.provenance.steps == 3 * (STAGES.index(stage) + 1)
        assert card.provenance.metrics[-1].value == pytest.approx(lines[-1]["loss"])
        assert {data.name for data in card.provenance.datasets} >= {"out/streaming_qa", "out/index"}
    assert (tmp_path / "run" / "interact" / "reference.json").exists()
    done = program("recipes", "package", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    whole = load_package(tmp_path / "run" / "package", verify=True)
    assert whole.card.name.endswith("stage interact")
    assert weights_digest(tmp_path / "run" / "package") == weights_digest(tmp_path / "run" / "interact" / "package")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["cpu", "cpu2"])
def test_a_stopped_launch_ends_with_the_signals_code_and_goes_on(lessons, tmp_path, launcher):
    words = ["recipes", "train", "--stage", "1", "--config", str(TINY)]
    words += ["--accelerate", str(ROOT / "recipes" / "accelerate" / f"{launcher}.yaml")]
    words += [
        f"out={tmp_path}/run",
        f"data.folders=[{lessons}]",
        *SEEN,
        "steps=2000",
        "log_every=1",
        "pack.rows=4",
        "pack.micro=2",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    started = subprocess.Popen([sys.executable, "-m", *words], env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    curves = tmp_path / "run" / "align" / "metrics.jsonl"
    until = time.monotonic() + 200
    while not curves.exists() and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(1)
    started.send_signal(signal.SIGTERM)
    _, told = started.communicate(timeout=100)
    assert started.returncode == 143
    assert "which is saved; repeat the command to go on" in told
    steps = len(read_curves(tmp_path / "run" / "align"))
    assert (tmp_path / "run" / "align" / f"checkpoint-{steps:06d}").is_dir()
    words[words.index("steps=2000")] = f"steps={steps + 1}"
    done = program(*words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"step {steps}; changed: align.steps: 2000 → {steps + 1}" in done.stderr
    assert [line["step"] for line in read_curves(tmp_path / "run" / "align")] == list(range(1, steps + 2))


@pytest.mark.slow
def test_a_second_run_of_a_stage_says_so(lessons, tmp_path):
    words = ["--config", str(TINY), f"out={tmp_path}/run", f"data.folders=[{lessons}]", *SMALL]
    with held_folder(read_run(TINY, [f"out={tmp_path}/run"], None), "align"):
        done = program("recipes.stage1_align", *words)
    assert done.returncode == 1
    assert "align: another run is training here; wait for it or stop it" in done.stderr


@pytest.mark.slow
def test_two_processes_are_started_by_accelerate_on_a_cpu(lessons, tmp_path):
    losses = []
    for launcher, count in (("cpu", 1), ("cpu2", 2)):
        done = program(
            "accelerate.commands.launch", "--config_file", str(ROOT / "recipes" / "accelerate" / f"{launcher}.yaml"),
            "-m", "recipes.stage1_align", "--config", str(TINY), f"out={tmp_path}/{launcher}",
            f"data.folders=[{lessons}]", *SMALL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"on {count} process(es)" in done.stderr
        losses.append([line["loss"] for line in read_curves(tmp_path / launcher / "align")])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (["data.folders=[/nowhere]"], "/nowhere is no folder", 1),
        (["stepz=3"], "align.stepz: unknown key", 1),
        (["--stage"], "No such option", 2),
    ],
)
def test_what_a_person_can_mend_is_one_sentence(tmp_path, words, told, code):
    done = program("recipes.stage1_align", "--config", str(TINY), f"out={tmp_path}/run", *words)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
