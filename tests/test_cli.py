"""The command line as a user meets it: help, one clear sentence for bad input, nothing touched."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from datasets_build.__main__ import app, main
from datasets_build.sources.world import WorldConfig, draw_world
from tests.pipeline import VERBS, build_all, run, tree_bytes

QUICK = "index.check_decoders=[]"


def program(*words, **variables):
    """The command as a shell runs it."""
    return subprocess.run(
        [sys.executable, "-m", "datasets_build", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )


@pytest.fixture
def cli(monkeypatch, capfd):
    """The same command in this process: its exit code, and what it says."""

    def run_here(*words):
        monkeypatch.setattr(sys, "argv", ["datasets_build", *map(str, words)])
        capfd.readouterr()
        try:
            code = main()
        except SystemExit as stop:
            code = stop.code or 0
        said = capfd.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    return run_here


def refused(done):
    """One sentence on stderr behind the header, no traceback, a non-zero exit."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    draw_world(folder, WorldConfig(videos=3, seconds=6, width=160, height=128))
    return folder


@pytest.fixture(scope="module")
def built(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    build_all(out, videos)
    return out


@pytest.fixture
def out(built, tmp_path):
    shutil.copytree(built, tmp_path / "out")
    return tmp_path / "out"


def test_every_verb_answers_help():
    listing = program("--help")
    assert listing.returncode == 0
    for verb in (*VERBS, "draw", "show", "summary", "demo-videos", "score-shots"):
        assert verb in listing.stdout
        done = CliRunner().invoke(app, [verb, "--help"])
        assert done.exit_code == 0
        assert "Usage" in done.output


def test_a_build_leaves_what_the_readme_says(built):
    names = {path.name for path in built.iterdir()}
    assert names == {
        "index", "perceive", "events", "streaming_qa", "frame_events", "dialogue", "rejects.jsonl", "check.json",
        "report.html",
    }  # fmt: skip
    for stage in ("index", "perceive", "events", "streaming_qa", "frame_events", "dialogue"):
        assert json.loads((built / stage / "manifest.json").read_text())["stage"] == stage
    assert (built / "rejects.jsonl").read_text() == ""


@pytest.mark.slow
def test_repeating_every_stage_changes_nothing(videos, out):
    before = tree_bytes(out)
    for verb in VERBS:
        done = run(verb, out, videos)
        assert done.returncode == 0
        if verb in ("index", "perceive", "build"):
            assert "already complete" in done.stdout
    assert tree_bytes(out) == before


def test_show_and_summary_say_what_is_there(built, cli):
    shown = cli("show", built / "streaming_qa", "--rows", "2")
    assert shown.returncode == 0
    assert "train" in shown.stdout
    text = cli("summary", built).stdout
    assert "streaming_qa" in text
    assert "report.html" in text


def test_a_path_that_does_not_exist_is_named(tmp_path):
    error = refused(program("index", tmp_path / "nowhere", "--out", tmp_path / "out"))
    assert "nowhere" in error
    assert not (tmp_path / "out").exists()


def test_a_folder_without_video_is_named(tmp_path, cli):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/notes.txt").write_text("no video here")
    assert "clips" in refused(cli("index", tmp_path / "clips", "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "verb", [pytest.param(verb, marks=pytest.mark.slow if verb != "build" else ()) for verb in VERBS if verb != "index"]
)
def test_a_stage_without_its_input_names_the_command(tmp_path, verb, cli):
    assert "index" in refused(cli(verb, tmp_path / "out"))
    (tmp_path / "out").mkdir()
    assert "python -m datasets_build index" in refused(cli(verb, tmp_path / "out"))


def test_an_unknown_key_is_named_with_its_path_and_file(videos, tmp_path, cli):
    config = tmp_path / "mine.yaml"
    config.write_text("perceive: {shots: {treshold: 3}}\n")
    error = refused(cli("index", videos, "--out", tmp_path / "out", "--config", config))
    assert "mine.yaml" in error
    assert "perceive.shots.treshold: unknown key" in error
    assert "index.folder.nope" in refused(cli("index", videos, "--out", tmp_path / "out", "index.folder.nope=1"))
    assert not (tmp_path / "out").exists()


def test_a_changed_config_over_an_output_names_the_field_and_touches_nothing(out, cli):
    before = tree_bytes(out)
    error = refused(cli("perceive", out, "perceive.shots.threshold=2.5"))
    assert "config.shots.threshold: 3.0 → 2.5" in error
    assert "--force" in error
    assert tree_bytes(out) == before


@pytest.mark.slow
def test_a_forced_rebuild_of_an_early_stage_makes_later_ones_speak_up(out):
    assert program("perceive", out, "perceive.shots.threshold=2.5", "--force").returncode == 0
    assert "input.perceive" in refused(program("build", out))
    assert program("build", out, "--force").returncode == 0
    assert program("check", out).returncode == 0


def test_half_written_output_of_an_older_version_is_refused_and_kept(out, cli):
    work = out / ".work/perceive"
    work.mkdir(parents=True)
    (work / "fingerprint.json").write_text('{"fields": {"code": "0000", "schema_version": "0.1.0"}}')
    (work / "half").write_text("precious")
    shutil.rmtree(out / "perceive")
    before = tree_bytes(out)
    assert "schema_version: 0.1.0 →" in refused(cli("perceive", out))
    assert tree_bytes(out) == before


def test_a_finished_table_of_an_older_version_is_refused(out, cli):
    manifest = out / "perceive/manifest.json"
    content = json.loads(manifest.read_text())
    content["fields"]["schema_version"] = "0.1.0"
    manifest.write_text(json.dumps(content))
    assert "schema_version: 0.1.0 →" in refused(cli("perceive", out))


def test_a_broken_law_is_a_failure_that_names_the_record(out):
    import pyarrow.parquet as pq

    path = next((out / "streaming_qa/qa").glob("*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["answerable_from_ns"] = rows[0]["answers"][0]["t_ns"] + 10**12
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)
    done = program("check", out)
    assert done.returncode == 1
    assert rows[0]["id"] in done.stdout


def test_a_check_builds_anew_where_it_is_asked_to(out, cli):
    done = cli("check", out, "--rebuild")
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
    assert "figures of too few items to judge" in done.stdout
    other = cli("check", out, "--rebuild", "streaming_qa.seed=9")
    assert other.returncode == 1
    assert "breaks rebuilds_alike: found made with another config.seed" in other.stdout


def test_an_output_that_is_a_file_is_refused(videos, tmp_path, cli):
    (tmp_path / "out").write_text("precious")
    assert "is a file" in refused(cli("index", videos, "--out", tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "precious"


def test_videos_where_a_stage_writes_are_refused_and_kept(videos, tmp_path, cli):
    nested = tmp_path / "out/events"
    shutil.copytree(videos, nested)
    before = tree_bytes(nested)
    for force in ((), ("--force",)):
        assert "move the videos elsewhere" in refused(cli("index", nested, "--out", tmp_path / "out", *force))
    assert tree_bytes(nested) == before


@pytest.mark.parametrize("out", ["/proc/nowhere", "x" * 300])
def test_an_output_that_cannot_be_made_is_one_sentence(videos, out, cli):
    assert out in refused(cli("index", videos, "--out", out))


@pytest.mark.slow
def test_an_empty_or_home_path_is_understood(videos, tmp_path):
    assert program("index", videos, "--out", "").returncode == 2
    shutil.copytree(videos, tmp_path / "clips")
    done = program("index", "~/clips", "--out", "~/out", QUICK, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/index/manifest.json").exists()


def test_a_failing_command_leaves_an_empty_folder_alone(tmp_path, cli):
    (tmp_path / "mine").mkdir()
    refused(cli("perceive", tmp_path / "mine"))
    assert (tmp_path / "mine").is_dir()


@pytest.mark.slow
def test_summary_reads_only_our_folders_and_says_what_is_stale(out):
    (out / "clips").mkdir()
    (out / "clips/manifest.json").write_text("foreign")
    before = tree_bytes(out)
    assert "older than" not in program("summary", out).stdout
    assert tree_bytes(out) == before
    assert program("perceive", out, "perceive.shots.threshold=2.5", "--force").returncode == 0
    assert "older than its input" in program("summary", out).stdout


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, where this machine lets a test mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine mounts no file systems for tests")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(videos, small_disk):
    out = small_disk / "out"
    done = program("index", videos, "--out", out, QUICK)
    assert done.returncode == 0, done.stderr
    before = tree_bytes(out / "index")
    (small_disk / "ballast").write_bytes(b"\0" * (shutil.disk_usage(small_disk).free - 8192))
    error = refused(program("perceive", out))
    assert "No space left on device" in error
    assert tree_bytes(out / "index") == before
    (small_disk / "ballast").unlink()
    assert program("perceive", out).returncode == 0


def test_two_runs_at_once_on_one_output_are_refused(videos, out):
    from datasets_build.core.stage import output_folder

    with output_folder(out):
        assert "another run" in refused(program("perceive", out))
