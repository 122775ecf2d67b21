"""The command line as a user meets it: one clear sentence for bad input, before any work is done, nothing written."""

import logging
import os
import shutil
import subprocess
import sys

import pytest
from typer.main import get_command

from augment import __main__ as command
from datasets_build.core.layout import read_videos
from tests.augment.folders import applied, finished, tree

GOOD = "seed: 3\noperations:\n  - {kind: speed, low: 0.5, high: 0.8}\n"


def write(folder, text):
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def augment(monkeypatch, capfd):
    """Runs the command line in this process; the exit code and what it says."""

    log = logging.getLogger("datasets_build")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["augment", *map(str, words)])
        before = log.handlers[:], log.level, log.propagate
        try:
            code = command.main()
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            # The command sends the log to what is standard error for as long as it runs.
            log.handlers[:], log.level, log.propagate = before
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


def refused(done):
    """One sentence on stderr, exit code 1."""
    code, out, err = done
    assert code == 1
    assert out == ""
    errors = [line for line in err.splitlines() if not line.startswith("INFO ")]
    assert len(errors) == 1, err
    assert errors[0].startswith("error: ")
    return errors[0]


@pytest.fixture
def asked(parent, tmp_path, augment):
    """What the command says to a pipeline over the good folder, which stays as it is, with nothing written."""

    def ask(text, *more):
        config = write(tmp_path, text)
        before = tree(parent)
        said = refused(augment("apply", parent, "--to", tmp_path / "out", "--config", config, *more))
        assert tree(parent) == before
        assert list(tmp_path.iterdir()) == [config]
        return said

    return ask


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("operations: [{kind: speed, low: 0}]", ["operations.0.speed.low", "0.25", "found 0"]),
        ("operations: [{kind: speed, low: -1}]", ["operations.0.speed.low", "0.25", "found -1"]),
        ("operations: [{kind: speed, low: 2, high: 1}]", ["operations.0.speed", "high 1.0 lies below low 2.0"]),
        ("operations: [{kind: speeed}]", ["operations.0", "'speeed'", "'speed', 'skip', 'jitter'"]),
        ("operations: [{low: 1.0}]", ["operations.0.kind: missing in", "'speed', 'skip', 'jitter'"]),
        ("operations: [{kind: loop, tmies: 3}]", ["operations.0.loop.tmies: unknown key"]),
        ("operations: [{kind: loop, times: 1}]", ["operations.0.loop.times", "2", "found 1"]),
        ("operations: [{kind: skip, share: 1.0}]", ["operations.0.skip.share", "less than 1", "found 1.0"]),
        ("operations: []", ["operations", "found none, expected one or more"]),
        ("operations: [{kind: loop, p: 0}]", ["each has p 0, so nothing would be made"]),
        ("seed: 1", ["operations: missing"]),
        ("operations: [", ["pipeline.yaml", "not valid YAML"]),
        ("", ["operations: missing"]),
        ("- {kind: loop}", ["expected a mapping of settings, found list"]),
        ("seed: 1\nseed: 2\noperations: [{kind: loop}]", ["key 'seed' stands twice"]),
        ("operations: [{kind: speed, low: .nan}]", ["operations.0.speed.low", "finite number, found nan"]),
        ("operations: [{kind: speed, high: 1e400}]", ["operations.0.speed.high", "found inf"]),
        ("operations: [{kind: speed, low: fast}]", ["operations.0.speed.low", "valid number, found 'fast'"]),
        ("copies: 99999999999999999999\noperations: [{kind: loop}]", ["copies", "less than or equal to 10000"]),
        ("seed: 2020-01-01\noperations: [{kind: loop}]", ["seed: found datetime.date(2020, 1, 1)"]),
        ("operations: [loop]", ["operations.0", "found 'loop'"]),
        ("operations: [{kind: delay, model: {form: trace, path: none.txt}}]", ["none.txt: no such file"]),
        ("operations: [{kind: delay, model: {form: trace, path: .}}]", ["is a folder", "latencies in ms"]),
        ("operations: [{kind: delay, model: {form: trace, path: pipeline.yaml}}]", ["line 1: found 'operations: "]),
    ],
)
def test_a_pipeline_that_is_wrong_is_named_with_its_key(asked, text, words):
    said = asked(text)
    assert "pipeline.yaml" in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("override", "words"),
    [("copies=0", "copies"), ("nope=1", "nope: unknown key"), ("seed", "expected key=value"), ("seed=x", "seed")],
)
def test_a_setting_that_is_wrong_is_named(asked, override, words):
    assert words in asked(GOOD, override)


def test_a_pipeline_that_would_leave_nothing_is_told_first(asked):
    said = asked("operations: [{kind: crop, least: 0.01, most: 0.01}]")
    assert "leaves nothing of any video, such as of clip-2.mp4: copy 0: nothing is left for" in said
    assert "raise p" in asked("operations: [{kind: loop, p: 1.0e-12}]")


def test_a_pipeline_that_is_not_there_is_named(parent, tmp_path, augment):
    said = refused(augment("apply", parent, "--to", tmp_path / "out", "-c", tmp_path / "mine.yaml"))
    assert "mine.yaml: cannot be read as a config file" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["nothing", "empty", "file", "index alone"])
def test_a_folder_that_is_no_finished_output_is_refused(parent, tmp_path, augment, what):
    folder, config = tmp_path / "in", write(tmp_path, GOOD)
    if what == "empty":
        folder.mkdir()
    elif what == "file":
        folder.write_text("precious")
    elif what == "index alone":
        shutil.copytree(parent / "index", folder / "index")
    before = tree(tmp_path)
    said = refused(augment("apply", folder, "--to", tmp_path / "out", "-c", config))
    missing = "events" if what == "index alone" else "index"
    assert said.endswith(f"in: holds no finished {missing}; expected an output of python -m datasets_build")
    assert tree(tmp_path) == before


def test_a_folder_without_a_dataset_is_refused(parent, tmp_path, augment):
    shutil.copytree(parent, tmp_path / "in", ignore=shutil.ignore_patterns("streaming_qa", "frame_events", "dialogue"))
    said = refused(augment("apply", tmp_path / "in", "--to", tmp_path / "out", "-c", write(tmp_path, GOOD)))
    assert "holds none of streaming_qa, frame_events, dialogue; run python -m datasets_build build" in said
    assert not (tmp_path / "out").exists()


def test_a_stale_folder_is_refused(tmp_path, augment):
    parent = finished(tmp_path / "in", splits=("train",), seconds=4, frames=False, talk=False)
    manifest = parent / "index" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    said = refused(augment("apply", parent, "--to", tmp_path / "out", "-c", write(tmp_path, GOOD)))
    assert "events: was built before index was made anew; build it again" in said
    assert not (tmp_path / "out").exists()


def test_an_augmented_folder_and_the_folder_itself_are_refused(parent, tmp_path, augment):
    from augment.settings import Freeze

    config = write(tmp_path, GOOD)
    applied(parent, tmp_path / "once", Freeze())
    before = tree(tmp_path)
    assert "is augmented already" in refused(
        augment("apply", tmp_path / "once", "--to", tmp_path / "out", "-c", config)
    )
    said = refused(augment("apply", tmp_path / "once", "--to", tmp_path / "once" / "..", "-c", config))
    assert "is augmented already" in said
    said = refused(augment("apply", parent, "--to", parent, "-c", config))
    assert "is the folder that is augmented; name another one to write to" in said
    assert tree(tmp_path) == before


def test_it_writes_repeats_refuses_and_forces(parent, tmp_path, augment):
    """A user's way through it."""
    out, config = tmp_path / "out", write(tmp_path, GOOD)
    code, said, log = augment("apply", parent, "--to", out, "-c", config)
    assert code == 0
    counts = dict(line.split(": ") for line in said.splitlines())
    assert int(counts["index.videos"]) == len(read_videos(out)) == 3
    assert "seed = 3" in log
    before = tree(out)
    assert augment("apply", parent, "--to", out, "-c", config)[:2] == (0, said)
    assert tree(out) == before
    error = refused(augment("apply", parent, "--to", out, "-c", config, "seed=4"))
    assert "made with other settings, code or inputs (config.seed: 3 → 4)" in error
    assert "--force" in error
    assert tree(out) == before
    assert augment("apply", parent, "--to", out, "-c", config, "seed=4", "--force")[0] == 0
    assert tree(out) != before
    assert augment("apply", parent, "--to", out, "-c", config, "--force")[0] == 0
    assert tree(out) == before


def test_another_content_of_a_trace_is_another_run(parent, tmp_path, augment, monkeypatch):
    config = write(tmp_path, "operations:\n  - {kind: delay, network: {form: trace, path: trace.txt}}\n")
    (tmp_path / "trace.txt").write_text("40\n")
    words = ("apply", parent, "--to", tmp_path / "out", "-c", config)
    done = augment(*words)
    assert done[0] == 0
    before = tree(tmp_path / "out")
    monkeypatch.chdir("/")
    assert augment(*words)[:2] == done[:2]
    (tmp_path / "trace.txt").write_text("400\n")
    assert "made with other settings, code or inputs (config.operations: " in refused(augment(*words))
    assert tree(tmp_path / "out") == before
    assert augment(*words, "--force")[0] == 0
    assert tree(tmp_path / "out") != before


def test_an_empty_path_is_not_the_folder_one_stands_in(parent, tmp_path, augment, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = write(tmp_path, GOOD)
    for words in ((parent, "--to", ""), ("", "--to", "out"), (" ", "--to", "out")):
        code, _, err = augment("apply", *words, "-c", config)
        assert code == 2
        assert "is empty, expected a path" in err
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize("out", ["/proc/nowhere", "x" * 300])
def test_an_output_that_cannot_be_made_is_one_sentence(parent, tmp_path, augment, out):
    assert out in refused(augment("apply", parent, "--to", out, "-c", write(tmp_path, GOOD)))


COMMANDS = get_command(command.app).commands


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_the_help_explains_every_option_with_its_default(verb):
    assert COMMANDS[verb].help
    for option in COMMANDS[verb].params:
        assert option.help.endswith("."), option.name
        assert option.required or option.show_default or "default: " in option.help or "(default)" in option.help


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",), ("apply", "-h"), ("figures", "--help")])
def test_help_is_asked_for_as_elsewhere(augment, words):
    code, said, err = augment(*words)
    assert code == (0 if words else 2)
    assert "Usage: " in said + err


def test_a_codec_without_files_is_told_what_lacks(parent, tmp_path, augment):
    words = ("apply", parent, "--to", tmp_path / "out", "-c", write(tmp_path, GOOD), "--codec", "lossless")
    assert "found no --render, without which no video file is written; add it" in refused(augment(*words))
    assert not (tmp_path / "out").exists()


def test_a_stop_is_no_traceback(parent, tmp_path, augment, monkeypatch):
    def stop(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "apply", stop)
    code, out, err = augment("apply", parent, "--to", tmp_path / "out", "-c", write(tmp_path, GOOD))
    assert code == 130
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.slow
def test_as_a_program(parent, tmp_path):
    config = write(tmp_path, GOOD)
    words = [sys.executable, "-m", "augment", "apply", parent, "--to", tmp_path / "out", "-c", config]
    for more, code in (((), 0), (("seed=9",), 1), (("--nope",), 2)):
        done = subprocess.run([*map(str, words), *more], capture_output=True, text=True, env={**os.environ})
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
