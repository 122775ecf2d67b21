"""Kill a build at random moments, repeat it, and find the bytes of an uninterrupted run."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from datasets_build.sources.world import WorldConfig, draw_world
from tests.pipeline import VERBS, build_all, command, tree_bytes

KILLS = 20
# Trying the decoders starts PyTorch for every attempt; the slow test does it too.
QUICK = "index.check_decoders=[]"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    draw_world(folder, WorldConfig(videos=3, seconds=5, width=160, height=128))
    (folder / "torn.mp4").write_bytes(b"not a video")
    (folder / "world_000_cfr25.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello.\n")
    return folder


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """The bytes of an uninterrupted run on one worker, and how long it took."""
    out = tmp_path_factory.mktemp("whole") / "out"
    started = time.monotonic()
    build_all(out, videos, workers=1)
    return tree_bytes(out), time.monotonic() - started


def script(out, videos):
    """All stages in one shell, as make runs them."""
    workers = {verb: ["--workers", "2"] if verb in ("index", "perceive") else [] for verb in VERBS}
    lines = [" ".join(f"'{word}'" for word in command(verb, out, videos, *workers[verb])) for verb in VERBS]
    return " && ".join(lines)


def kill_at(shell, after_s, rng):
    """Kill after a while: the whole process group, or the running Python alone as a kernel short of memory does."""
    try:
        shell.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        children = psutil.Process(shell.pid).children()
        if children and rng.random() < 0.5:
            with suppress(psutil.NoSuchProcess):
                children[0].kill()
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        return True
    return False


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_one(videos, whole, tmp_path):
    build_all(tmp_path / "out", videos, workers=2)
    assert tree_bytes(tmp_path / "out") == whole[0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_and_repeated_is_the_same(videos, whole, tmp_path):
    rng, killed, round_number = random.Random(0), 0, 0
    expected, whole_s = whole
    while killed < KILLS:
        out = tmp_path / f"out{round_number}"
        round_number += 1
        done = False
        while not done:
            shell = subprocess.Popen(
                ["bash", "-c", script(out, videos)],
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            # Later attempts skip finished stages, so moments are drawn over the whole run each time.
            if kill_at(shell, rng.uniform(0.1, whole_s), rng):
                killed += 1
            else:
                assert shell.returncode == 0
                done = True
        assert tree_bytes(out) == expected
    print(f"{killed} kills over {round_number} builds", file=sys.stderr)


@pytest.fixture(scope="module")
def quick(videos, tmp_path_factory):
    """The bytes of an uninterrupted run on one worker that tries no decoders."""
    out = tmp_path_factory.mktemp("quick") / "out"
    build_all(out, videos, workers=1, extra=(QUICK,))
    return tree_bytes(out)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["index", "perceive"])
def test_one_kill_per_stage_leaves_no_trace(videos, quick, tmp_path, verb):
    """Nor do two workers leave any."""
    out = tmp_path / "out"
    rng = random.Random(verb)
    for stage in VERBS[: VERBS.index(verb) + 1]:
        words = command(stage, out, videos, "--workers", "2", QUICK)
        if stage == verb:
            for _ in range(2):
                shell = subprocess.Popen(words, start_new_session=True, stdout=-3, stderr=-3)
                kill_at(shell, rng.uniform(1.0, 3.0), rng)
        else:
            subprocess.run(words, check=True, capture_output=True)
    build_all(out, videos, extra=(QUICK,))
    assert tree_bytes(out) == quick
