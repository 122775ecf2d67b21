"""What would end a later stage is told before the first one begins."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from datasets_build.core.records import SCHEMA_VERSION
from models.model_card import ModelCard
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from recipes.__main__ import app
from recipes.errors import CheckpointError, CorpusError, RecipeError
from recipes.settings import STAGES
from recipes.training import checkpoint
from recipes.training.command import read_run
from recipes.training.cursor import Cursor
from recipes.training.material import begins_with, layout_of
from recipes.training.ready import check_out, check_run
from tests.recipes.disks import fill, small_disk

TINY = Path(__file__).resolve().parents[3] / "recipes" / "configs" / "tiny.yaml"
BUILT = ("index", "events", "streaming_qa", "frame_events", "dialogue")


def built(folder, *, without=()):
    """An output folder as far as manifests tell."""
    for stage in BUILT:
        if stage not in without:
            (folder / stage).mkdir(parents=True)
            manifest = {"schema": "streamvl", "schema_version": SCHEMA_VERSION, "files": [], "fingerprint": stage}
            (folder / stage / "manifest.json").write_text(json.dumps(manifest))
    return folder


def words_of(tmp, **more):
    given = {"out": tmp / "run", "data.folders": f"[{tmp / 'data'}]"} | more
    return [f"{name}={value}" for name, value in given.items()]


def run_of(tmp, **more):
    return read_run(TINY, words_of(tmp, **more), None)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package that was trained for layout gap."""
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=StreamingSettings(layout="gap"))
    return model.save(tmp_path_factory.mktemp("package") / "model", card=ModelCard(name="tiny", license="unknown"))


def test_a_run_that_can_go_through_is_let_through(tmp_path):
    built(tmp_path / "data")
    run = run_of(tmp_path)
    check_run(run, STAGES)
    assert list(Path(run.out).iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "stage"), [("dialogue", "interact"), ("frame_events", "align"), ("streaming_qa", "align")]
)
def test_a_dataset_that_a_later_stage_needs_is_told_at_once(tmp_path, missing, stage):
    built(tmp_path / "data", without=(missing,))
    run = run_of(tmp_path)
    with pytest.raises(CorpusError, match=rf"^stage {stage}: .*holds no {missing}/manifest.json"):
        check_run(run, STAGES)
    assert not Path(run.out).exists()


def test_a_stage_alone_needs_its_own_datasets_only(tmp_path):
    built(tmp_path / "data", without=("dialogue",))
    check_run(run_of(tmp_path), STAGES[:1])
    check_run(run_of(tmp_path, **{"stream.begin_with": "base"}), STAGES[1:2])
    with pytest.raises(RecipeError, match="stage stream has left no package"):
        check_run(run_of(tmp_path), STAGES[2:])


def test_the_command_line_tells_it_before_anything_is_started(tmp_path):
    built(tmp_path / "data", without=("dialogue",))
    done = CliRunner().invoke(app, ["train-all", "--config", str(TINY), *words_of(tmp_path)])
    assert isinstance(done.exception, CorpusError)
    assert "stage interact: " in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_there_is_told_for_every_stage(tmp_path):
    built(tmp_path / "data")
    with pytest.raises(RecipeError, match=r"interact\.begin_with: .*none is no folder"):
        check_run(run_of(tmp_path, **{"interact.begin_with": tmp_path / "none"}), STAGES)


def test_a_package_of_another_family_is_told_for_every_stage(tmp_path, package):
    built(tmp_path / "data")
    more = {"interact.begin_with": package, "model.family": "qwen3_vl"}
    with pytest.raises(CheckpointError, match="holds a model of family qwen2_5_vl, expected qwen3_vl"):
        check_run(run_of(tmp_path, **more), STAGES)


@given(rows=st.integers(1, 6), processes=st.integers(1, 6))
@settings(max_examples=25)
def test_every_process_has_a_row(tmp_path_factory, rows, processes):
    tmp = tmp_path_factory.mktemp("rows")
    built(tmp / "data")
    run = run_of(tmp, **{"stream.pack.rows": rows, "align.pack.rows": 6, "interact.pack.rows": 6})
    if rows < processes:
        with pytest.raises(RecipeError, match=rf"stream\.pack\.rows: found {rows}, .* {processes} processes"):
            check_run(run, STAGES, processes=processes)
    else:
        check_run(run, STAGES, processes=processes)


def saved(run, stage, *, step, at):
    """A checkpoint as far as its state tells."""
    folder = Path(at.out) / stage
    aside = checkpoint.begin(folder, step)
    state = checkpoint.Saved(
        stage=stage, step=step, cursor=Cursor(), settings=checkpoint.settings_of(run),
        began="b", processes=1, sharded=False, files={},
    )  # fmt: skip
    return checkpoint.publish(aside, state, keep=2)


def test_a_checkpoint_that_a_later_stage_will_refuse_is_told_at_once(tmp_path):
    built(tmp_path / "data")
    run = run_of(tmp_path)
    saved(run, "interact", step=2, at=run)
    check_run(run, STAGES)
    with pytest.raises(CheckpointError, match=r"other settings \(interact\.feedback: 0\.2 → 0\.5\)"):
        check_run(run_of(tmp_path, **{"interact.feedback": 0.5}), STAGES)
    check_run(run_of(tmp_path, **{"interact.feedback": 0.5}), STAGES[:1])


def test_a_stage_that_began_with_fewer_steps_of_the_one_before_is_told_at_once(tmp_path):
    built(tmp_path / "data")
    run = run_of(tmp_path)
    saved(run, "align", step=run.align.steps, at=run)
    saved(run, "stream", step=2, at=run)
    check_run(run, STAGES)
    longer = run_of(tmp_path, **{"align.steps": run.align.steps + 1})
    with pytest.raises(
        CheckpointError, match=rf"stream/checkpoint-000002: began with stage align of {run.align.steps}"
    ):
        check_run(longer, STAGES)
    check_run(longer, STAGES[:1])
    check_run(run_of(tmp_path, **{"align.steps": 1}), STAGES)


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path):
    (tmp_path / "kept").write_text("x")
    check_out(tmp_path)
    check_out(tmp_path / "a" / "b")
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "a"}
    assert not list((tmp_path / "a" / "b").iterdir())


@pytest.mark.parametrize("out", ["/proc/streamvl/run", "file/run", "file"])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, out):
    (tmp_path / "file").write_text("x")
    built(tmp_path / "data")
    with pytest.raises(RecipeError) as caught:
        check_run(run_of(tmp_path, out=tmp_path / out), STAGES)
    assert str(caught.value).startswith(f"out: {tmp_path / out} cannot be written to (")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("name another folder, or mend this one")


def test_a_full_disk_is_one_sentence(tmp_path):
    built(tmp_path / "data")
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        with pytest.raises(RecipeError, match=r"disk cannot be written to .*No space left"):
            check_run(run_of(tmp_path, out=disk), STAGES)
        assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_package_says_for_which_layout_it_was_trained(tmp_path, package):
    assert layout_of(package) == "gap"
    assert layout_of(tmp_path) is None


def test_a_stage_of_this_run_that_was_trained_for_another_layout_is_refused(tmp_path, package):
    run = run_of(tmp_path, layout="branch")
    folder = Path(run.out) / "align" / "package"
    folder.parent.mkdir(parents=True)
    folder.symlink_to(package)
    with pytest.raises(CheckpointError, match="was trained for layout gap, expected branch") as caught:
        begins_with(run, "stream")
    assert "stream.begin_with to go over to a new layout" in str(caught.value)
    assert begins_with(run_of(tmp_path, layout="gap"), "stream") == folder
    # Named as a folder it is a choice.
    assert begins_with(run_of(tmp_path, **{"stream.begin_with": folder}), "stream") == folder
