import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recipes import launch
from recipes.errors import RecipeError
from recipes.launch import ACCELERATE, cores, launcher_of, processes_of


def test_a_launchers_config_that_is_no_file_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.yaml is no file; expected a config of accelerate"):
        launcher_of(tmp_path / "none.yaml", rows=2)


def test_one_process_is_what_a_config_means_that_does_not_say(tmp_path):
    (tmp_path / "mine.yaml").write_text("mixed_precision: bf16\n")
    assert processes_of(launcher_of(tmp_path / "mine.yaml", rows=8)) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is taken where there is one")
@pytest.mark.parametrize(
    ("cores", "rows", "name"), [("2", 8, "cpu2"), ("2", 1, "cpu"), ("1", 8, "cpu"), ("5", 2, "cpu2")]
)
def test_two_processes_share_the_rows_of_a_cpu(monkeypatch, cores, rows, name):
    monkeypatch.setenv("OMP_NUM_THREADS", cores)
    assert launcher_of(None, rows=rows) == ACCELERATE / f"{name}.yaml"


@pytest.mark.parametrize("told", ["", "0", "many"])
def test_without_a_word_all_cores_may_be_used(monkeypatch, told):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("name", "count"), [("cpu", 1), ("cpu2", 2), ("gpu1", 1), ("ddp", 8), ("multi_node", 16)])
def test_how_many_processes_a_launcher_starts(name, count):
    assert processes_of(ACCELERATE / f"{name}.yaml") == count


@pytest.mark.parametrize(("name", "threads"), [("cpu", 16), ("cpu2", 8), ("gpu1", 16), ("ddp", 2), ("multi_node", 2)])
def test_processes_of_a_machine_share_its_cores(monkeypatch, name, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    command = []
    monkeypatch.setattr(launch, "run_held", lambda words: command.extend(words) or 0)
    launch.launch("align", Path("own.yaml"), [], launcher=ACCELERATE / f"{name}.yaml")
    assert command[command.index("--num_cpu_threads_per_process") + 1] == str(threads)
    assert ("--main_process_port" in command) == (name == "cpu2")


@pytest.mark.parametrize("name", ["cpu", "cpu2"])
@pytest.mark.parametrize(
    ("ending", "code"),
    [pytest.param("sys.exit(143)", 143, marks=pytest.mark.slow), ("os.kill(os.getpid(), 9)", 137)],
)
def test_of_a_stage_that_failed_its_own_words_are_told_alone(tmp_path, name, ending, code):
    script = tmp_path / "stage.py"
    script.write_text(f"import os, sys\nprint('what was wrong', file=sys.stderr, flush=True)\n{ending}\n")
    words = ["--config_file", str(ACCELERATE / f"{name}.yaml"), "--num_cpu_threads_per_process", "1"]
    words += ["--main_process_port", "0"] if name == "cpu2" else []
    done = subprocess.run(
        [sys.executable, "-m", "recipes.launcher", *words, str(script)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code
    # Both processes write at the same time.
    others = " ".join(done.stderr.replace("what was wrong", "").split())
    assert "what was wrong" in done.stderr
    assert others == ("error: a process of the stage was ended by SIGKILL" if done.returncode == 137 else "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("num_processes: 1\nmixed_precision: no\n", "distributed_type"),
        ("distributed_type: DEEPSPEED\nnum_processes: 1\ndeepspeed_config: {zero_stage: 2}\n", "DeepSpeed"),
    ],
)
def test_a_config_that_accelerate_refuses_is_one_sentence(tmp_path, content, word):
    (tmp_path / "own.yaml").write_text(content)
    (tmp_path / "stage.py").write_text("raise SystemExit(0)\n")
    words = ["--config_file", str(tmp_path / "own.yaml"), str(tmp_path / "stage.py")]
    done = subprocess.run(
        [sys.executable, "-m", "recipes.launcher", *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: accelerate cannot start with this config")
    assert word in line


@pytest.mark.parametrize("count", ["0", "-3", "two", "true", "1.5"])
def test_a_number_of_processes_that_cannot_be_is_refused(tmp_path, count):
    (tmp_path / "own.yaml").write_text(f"num_processes: {count}\n")
    with pytest.raises(RecipeError, match="num_processes is"):
        processes_of(tmp_path / "own.yaml")
