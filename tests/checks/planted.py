"""A good output folder, and ways to plant one fault in a copy of it: in a record, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.frame_events import FrameEventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.files import sha256_file
from datasets_build.core.table import read_table, write_table
from tests.builders.made import bare, lively, write_out

TALKATIVE = DialogueConfig(per_minute=30.0, interruptions=1.0)


def good_out(folder: Path) -> Path:
    """Two lively videos and one of a few frames, all stages built."""
    scenes = [
        lively("first", seconds=40, seed=2),
        bare("second", frames=3, split="validation"),
        lively("third", seconds=12, split="test"),
        lively("fourth", seconds=25, seed=5),
    ]
    out = write_out(folder, scenes)
    build_events(out, EventsConfig())
    build_streaming_qa(out, StreamingQAConfig(per_minute=60.0))
    build_frame_events(out, FrameEventsConfig())
    build_dialogue(out, TALKATIVE)
    return out


def reseal(out: Path, stage: str) -> None:
    """Bring a stage's manifest up to date, so that it does not give an edit away."""
    path = out / stage / "manifest.json"
    content = json.loads(path.read_text())
    for entry in content["files"]:
        file = out / stage / entry["path"]
        entry["bytes"], entry["sha256"] = file.stat().st_size, sha256_file(file)
    path.write_text(json.dumps(content))


def edit(out: Path, file: str, model, change):
    """Rewrite a table with `change(rows)` in place of its rows; returns what `change` returned."""
    rows = list(read_table(out / file, model))
    changed = change(rows)
    write_table(out / file, model, changed)
    reseal(out, file.split("/")[0])
    return changed


def swap(rows, wanted, **update):
    """The rows, the first that is `wanted` with some fields replaced unchecked; its id is at `swap.id`."""
    for k, row in enumerate(rows):
        if wanted(row):
            swap.id = row.id
            fields = {name: value(row) if callable(value) else value for name, value in update.items()}
            return [*rows[:k], row.model_copy(update=fields), *rows[k + 1 :]]
    raise AssertionError("no such row")
