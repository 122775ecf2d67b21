"""The command line of `models` as a user meets it: help, answers, one clear sentence for bad input."""

import json
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from models import __main__ as module
from models.__main__ import app, main
from models.manifest import SETTINGS_FILE, read_manifest
from models.package import PROCESSORS
from tests.models.films import film_file

VERBS = ("info", "watch", "compare", "tiny")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "tiny"
    assert CliRunner().invoke(app, ["tiny", str(folder)]).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return film_file(tmp_path_factory.mktemp("film") / "a.mkv")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `main` in this process; gives its code, its output and its errors."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["models", *map(str, words)])
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def refused(result, *told):
    code, _, errors = result
    assert code == 1
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, errors
    assert "Traceback" not in errors
    for part in told:
        assert part in lines[0]


def test_every_verb_answers_help(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(verb in out for verb in VERBS)
    for verb in VERBS:
        code, out, _ = run(verb, "--help")
        assert code == 0
        assert "FOLDER" in out


@pytest.mark.slow
def test_it_runs_as_a_module(film):
    words = [sys.executable, "-m", "models", "watch", "/no/such/package", str(film)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280)
    assert done.returncode == 1
    assert done.stderr.startswith("error: /no/such/package: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("family", PROCESSORS)
def test_tiny_writes_a_package_of_each_family(run, tmp_path, family):
    assert run("tiny", tmp_path / "tiny", "--family", family)[0] == 0
    assert read_manifest(tmp_path / "tiny").family == family
    refused(run("tiny", tmp_path / "tiny"), "exists already")
    assert run("tiny", tmp_path / "tiny", "--overwrite", "--seed", 1)[0] == 0
    refused(run("tiny", tmp_path / "other", "--family", "qwen9"), "family: found 'qwen9'")


def test_info_tells_of_the_package(run, package):
    code, out, _ = run("info", package, "--verify")
    assert code == 0
    for wanted in (
        "family: qwen2_5_vl", "512 bytes a token", "8,192 slots take 4,194,304 bytes", "1920x1080: 30 tokens a frame",
        'mode: "incremental"', "licence: apache-2.0", "base model: not stated", "ok  sha256", "model.safetensors",
    ):  # fmt: skip
        assert wanted in out
    assert "header" in run("info", package)[1]


def test_info_tells_what_is_broken(run, package, tmp_path):
    whole = (package / "LICENSE").read_text()
    (package / "LICENSE").write_text("x")
    refused(run("info", package), "LICENSE", "found 1 bytes")
    assert "BAD" in run("info", package)[1]
    (package / "LICENSE").write_text(whole)
    refused(run("info", tmp_path / "none"), "found nothing")


def test_info_lists_all_files_though_the_weights_are_gone(run, package, film, tmp_path):
    shutil.copytree(package, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    code, out, errors = run("info", tmp_path / "copy")
    assert code == 1
    assert f" BAD  header  {(package / 'model.safetensors').stat().st_size:>13,}  model.safetensors" in out
    assert out.count("  ok  sha256") == len(read_manifest(package).files) - 1
    assert 'mode: "incremental"' in out
    refused(run("watch", tmp_path / "copy", film), errors.strip().removeprefix("error: "))


def test_watch_answers_in_time(run, package, film):
    code, out, _ = run(
        "watch", package, film, "--ask", "What now?", "--at", 1, "--ask", "And?", "--at", 99, "--max-new-tokens", 3
    )
    assert code == 0
    assert "[1.000 s] What now?" in out
    assert "And? (the film ends before its time: asked at the end)" in out
    assert out.count("first token after") == 2
    assert "8 frames, 3.400 s of film in" in out
    assert out.index("What now?") < out.index("And?") < out.index("vision_encoded")
    # What a model says may not steer the terminal.
    assert all(letter.isprintable() or letter == "\n" for letter in out)


def test_watch_in_json_is_one_object_a_line(run, package, film):
    words = ("--ask", "What?", "--max-new-tokens", 3, "--speak", "--json", "--mode", "delayed", "--memory", "window")
    code, out, _ = run("watch", package, film, *words)
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["event"] for event in events} >= {"decided", "asked", "said", "answered", "ended"}
    answers = [event for event in events if event["event"] == "answered" and event["question"]]
    assert len(answers[0]["token_ids"]) == answers[0]["stats"]["tokens"]
    assert events[-1]["metrics"]["frames"] == 8


def test_watch_at_a_speed_takes_its_time(run, package, film):
    _, out, _ = run("watch", package, film, "--json", "--speed", 20)
    assert json.loads(out)["wall_s"] >= 3.4 / 20


def test_ctrl_c_ends_cleanly(run, package, film, monkeypatch):
    shown = []

    def interrupt(screen, event, *, as_json):
        shown.append(type(event).__name__)
        if shown == ["Asked"]:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_show", interrupt)
    code, _, errors = run("watch", package, film, "--ask", "What?", "--at", 1)
    assert code == 130
    assert shown == ["Asked", "Ended"]
    assert "Traceback" not in errors


def test_compare_shows_all_ways(run, package, film):
    code, out, _ = run("compare", package, film, "--ask", "What?", "--frames", 6, "--max-new-tokens", 4)
    assert code == 0
    assert "6 frames, the newest at 2.400 s" in out
    for wanted in ("one-shot", "delayed", "incremental", "clip", "cache bytes", "to first token, s"):
        assert wanted in out
    assert out.count("same tokens as one-shot") >= 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--ask", "a", "--at", "1", "--at", "2"), "found 1 questions and 2 times"),
        (("--ask", "a", "--at", "-1"), "expected seconds in [0, 9e+09]"),
        (("--ask", " "), "question: found ' '"),
        (("--fps", "0"), "fps is 0"),
        (("--speed", "-1"), "speed is -1"),
        (("--mode", "fast"), "setting mode is 'fast'"),
        (("--memory", "fast"), "setting memory is 'fast'"),
        (("--device", "abacus"), "device is 'abacus'"),
    ],
)
def test_what_cannot_be_watched_is_one_sentence(run, package, film, words, told):
    refused(run("watch", package, film, *words), told)


def test_a_bad_film_is_told_before_a_model_is_loaded(run, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no film")
    refused(run("watch", "/no/such/package", tmp_path / "a.mp4"), "a.mp4: cannot be decoded")
    refused(run("compare", "/no/such/package", tmp_path / "b.mp4", "--ask", "a"), "b.mp4: no such file")
    refused(run("watch", "/no/such/package", tmp_path), "found a folder")


def test_a_damaged_package_is_told(run, package, film, tmp_path):
    value = json.loads((package / SETTINGS_FILE).read_text())
    (tmp_path / SETTINGS_FILE).write_text(json.dumps(value | {"format_version": "9.0"}))
    refused(run("watch", tmp_path, film), "format_version is 9.0", "expected 1.x")


def test_an_error_of_the_disk_is_one_sentence(run, package, monkeypatch):
    def fail(folder, *, verify):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(module, "inspect", fail)
    refused(run("info", package), "Permission denied", str(package))


@pytest.mark.parametrize("words", [("watch",), ("info", " "), ("nothing",), ("compare", "a", "b")])
def test_wrong_use_is_told_by_the_usage(run, words):
    code, _, errors = run(*words)
    assert code == 2
    assert "Usage" in errors
