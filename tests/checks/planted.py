"""A good output folder, and ways to plant one fault in a copy of it: in a record, and nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path

from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.frame_events import FrameEventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.files import sha256_file
from datasets_build.core.table import read_table, write_table
from tests.builders.made import Scene, bare, lively, write_out

TALKATIVE = DialogueConfig(per_minute=30.0, interruptions=1.0)


def within(scene: Scene) -> Scene:
    """The scene with what is said cut to its video, as the index leaves it."""
    end = scene.clock.end_ns
    scene.annotations = [
        row.model_copy(update={"end_ns": min(end, row.end_ns)}) for row in scene.annotations if row.start_ns < end
    ]
    return scene


def good_out(folder: Path) -> Path:
    """Two lively videos and one of a few frames, all stages built."""
    scenes = [
        lively("first", seconds=40, seed=2),
        bare("second", frames=3, split="validation"),
        lively("third", seconds=12, split="test"),
        lively("fourth", seconds=25, seed=5),
    ]
    out = write_out(folder, [within(scene) for scene in scenes])
    build_events(out, EventsConfig())
    build_streaming_qa(out, StreamingQAConfig(per_minute=120.0))
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


def is_answer(turn):
    """Whether a turn answers a question with something that was seen."""
    return turn.role == "assistant" and turn.trigger == "user_query" and turn.evidence


def one_more(row):
    """The answers, each number one higher."""
    return tuple(
        a.model_copy(update={"text": re.sub(r"\d+", lambda m: str(int(m[0]) + 1), a.text)}) for a in row.answers
    )


def is_answered(row):
    """Whether a dialogue has an answer that nobody breaks into."""
    return any(is_answer(turn) and turn.intended_text is None for turn in row.turns)


def talked_into(made):
    """The turns with one user turn that starts in an answer, which goes on."""
    k = next(k for k, turn in enumerate(made) if is_answer(turn) and turn.intended_text is None)
    user = made[k].model_copy(update={
        "id": "barge", "role": "user", "trigger": None, "trigger_ref": None, "evidence": (),
        "answerable_from_ns": None, "window_start_ns": None, "window_end_ns": None})  # fmt: skip
    return (*made[: k + 1], user, *made[k + 1 :])


def later(name, ns=1):
    return lambda row: getattr(row, name) + ns


def first_answer(**update):
    def change(row):
        answer = row.answers[0]
        return (answer.model_copy(update={k: v(answer, row) for k, v in update.items()}), *row.answers[1:])

    return change


def shortened(row):
    """Evidence that ends before its event can be told."""
    pieces = [
        p.model_copy(update={"end_ns": p.start_ns}) if p.event_id and p.end_ns > p.start_ns else p for p in row.evidence
    ]
    return tuple(pieces)


def has_span(row):
    return row.task == "happened_yet" and any(p.event_id and p.end_ns > p.start_ns for p in row.evidence)


def is_denied(row):
    return row.task == "happened_yet" and row.ask_ns > 0 and not any(p.event_id for p in row.evidence)
