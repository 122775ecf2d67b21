"""Kill the index with SIGKILL where it commits something, and by chance: repeated, it gives the same bytes."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets_build.core.layout import read_videos
from datasets_build.core.stage import output_folder
from datasets_build.engines.local import Local
from datasets_build.sources.index import IndexConfig, build_index
from tests.drawn import VideoSpec, draw_video

CONFIG = IndexConfig(check_decoders=("decord",))


@pytest.fixture
def videos(tmp_path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(3):
        draw_video(folder / f"{number}.mp4", VideoSpec(frames=3 + number, size=(64, 48)))
    (folder / "0.srt").write_text("1\n00:00:00,000 --> 00:00:00,050\nx\n\n2\nbroken --> time\nx\n")
    (folder / "bad.mp4").write_text("no video")
    return folder


def run(videos: Path, out: Path) -> None:
    with output_folder(out):
        build_index(videos, out, CONFIG, engine=Local(2))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def forked(action: Callable[[], None]) -> int:
    """Start a copy of this process that does something and ends; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        action()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the copy must never return into the test runner
        os._exit(1)


def ended(child: int) -> int:
    """Wait for a copy; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at_rename(number: int, *, before: bool) -> None:
    """From now on the process kills itself at its n-th rename, the moment at which a file or folder becomes real."""
    rename, done = Path.replace, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal done
        done += 1
        if done == number and before:
            os.kill(os.getpid(), signal.SIGKILL)
        moved = rename(self, target)
        if done == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    Path.replace = replace  # type: ignore[method-assign]


@pytest.mark.slow
def test_killed_at_every_commit_and_repeated_gives_the_same_bytes(videos, tmp_path):
    run(videos, tmp_path / "straight")
    deaths, code = 0, 1
    while code:

        def attempt(number: int = deaths + 1) -> None:
            # One commit further each time, dying now before it and now right after.
            die_at_rename(number, before=number % 2 == 0)
            run(videos, tmp_path / "killed")

        code = ended(forked(attempt))
        assert code in (0, -signal.SIGKILL)
        deaths += code != 0
        # An index is there only when it is whole.
        if (tmp_path / "killed" / "index").exists():
            assert tree(tmp_path / "killed" / "index") == tree(tmp_path / "straight" / "index")
    assert deaths > 8
    assert tree(tmp_path / "killed") == tree(tmp_path / "straight")


@pytest.mark.slow
def test_killed_at_moments_of_chance_and_repeated_gives_the_same_bytes(videos, tmp_path):
    rng, deaths = random.Random(0), 0
    started = time.monotonic()
    run(videos, tmp_path / "straight")
    took = time.monotonic() - started
    # The first dies at once: however the machine's speed changes, one death is certain.
    for moment_s in [0.0, *(rng.uniform(0.0, took) for _ in range(5))]:
        child = forked(lambda: run(videos, tmp_path / "killed"))
        time.sleep(moment_s)
        os.kill(child, signal.SIGKILL)
        deaths += ended(child) != 0
    assert deaths
    run(videos, tmp_path / "killed")
    assert tree(tmp_path / "killed") == tree(tmp_path / "straight")


@pytest.mark.slow
def test_every_real_file_is_a_record_or_a_reject(real_data, tmp_path):
    with output_folder(tmp_path / "out"):
        stage = build_index(real_data / "videos", tmp_path / "out", IndexConfig(check_decoders=()), engine=Local(2))
    files = {path.name for path in (real_data / "videos").iterdir()}
    records = {video.uri: video for video in read_videos(tmp_path / "out")}
    left_out = files - records.keys()
    # The last one holds sound alone.
    damaged = {"damaged_empty.mp4", "damaged_moov_missing.mp4", "damaged_not_a_video.mp4"}
    assert left_out == damaged | {"mb_multiple-aac-tracks.mp4"}
    assert stage.counts()["files"] == len(files)
    assert stage.counts()["left out"] == len(left_out)
    assert {name for name, video in records.items() if video.status == "degraded"} >= {
        "damaged_rabbit_truncated_60pct.mp4",
        "damaged_truncated_60pct.mp4",
        "decord_corrupted.mp4",
    }
    assert records["psd_delayed_start.mp4"].start_offset_ns == 1_075_000_000
