"""The command line of the import, on videos that are really there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.drawn import PAL, VideoSpec, draw_video

pytestmark = pytest.mark.slow


def command(*words):
    return subprocess.run([sys.executable, "-m", "datasets_build", *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("a", "b"):
        draw_video(folder / f"{name}.mp4", VideoSpec(rate=PAL, frames=100, size=(64, 48)))
    return folder


ROWS = [
    {"video_path": f"/data/{name}.mp4", "question": [{"content": "What?", "time": "1"}],
     "response": [{"content": "A number.", "time": 2}]} for name in ("b", "gone", "a")
]  # fmt: skip


def test_a_file_goes_in_is_checked_and_comes_out(videos, tmp_path):
    file, out = tmp_path / "rows.json", tmp_path / "out"
    file.write_text(json.dumps(ROWS))
    words = ("import", file, "--format", "streamo", "--videos", videos, "--out", out, 'index.check_decoders=["decord"]')
    refused = command(*words)
    assert refused.returncode == 1
    assert "--time-unit: found none" in refused.stderr
    assert not out.exists()
    done = command(*words, "--time-unit", "s")
    assert done.returncode == 0, done.stderr[-1500:]
    assert "3 rows, 2 imported, 1 of absent videos, 0 rejected" in done.stdout
    checked = command("check", out)
    assert checked.returncode == 0, checked.stdout
    assert "already complete" in command(*words, "--time-unit", "s").stdout
    assert "already complete" in command("build", out).stdout
    exported = command("export", out / "dialogue", "--format", "streamo", "--to", tmp_path / "x")
    assert "lost: nothing" in exported.stdout, exported.stderr[-1500:]
    assert json.loads((tmp_path / "x" / "streamo.json").read_text()) == [ROWS[0], ROWS[2]]
    assert (
        "takes no options"
        in command("export", out / "dialogue", "layout=turns", "--format", "streamo", "--to", tmp_path / "y").stderr
    )
    assert "import: 3 rows, 2 imported" in command("summary", out).stdout
