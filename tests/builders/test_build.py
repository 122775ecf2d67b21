"""The builder stages on disk: real datasets that load, the same bytes after any interruption, nothing lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from datasets_build.builders import build
from datasets_build.builders.build import (
    BuildError,
    build_dialogue,
    build_events,
    build_frame_events,
    build_streaming_qa,
)
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.frame_events import FrameEventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.dataset import Subset, hf_features, read_split
from datasets_build.core.files import read_rejects
from datasets_build.core.hierarchy import Level
from datasets_build.core.layout import table_path
from datasets_build.core.records import Dialogue, Event, FrameLabel, StreamingQA, Video
from datasets_build.core.stage import StageError
from datasets_build.core.table import TableError, read_table, write_table
from tests.builders.made import MS, Scene, bare, clock_from, lively, said, video_of, write_out

STEPS = (
    ("events", build_events, EventsConfig()),
    ("streaming_qa", build_streaming_qa, StreamingQAConfig()),
    ("frame_events", build_frame_events, FrameEventsConfig(fps=("2", "30000/1001"))),
    ("dialogue", build_dialogue, DialogueConfig()),
)
SUBSETS = {
    "streaming_qa": {"qa": StreamingQA, "videos": Video},
    "frame_events": {
        "events": Event,
        "hierarchy": Level,
        "frames_native": FrameLabel,
        "frames_2fps": FrameLabel,
        "frames_30000_1001fps": FrameLabel,
        "videos": Video,
    },
    "dialogue": {"dialogues": Dialogue, "videos": Video},
}


def three():
    return [
        lively("first", seconds=20),
        bare("second", split="validation"),
        lively("third", seconds=15, split="test"),
        lively("fourth", seconds=12),
    ]


def build_all(out):
    return [step(out, config) for _, step, config in STEPS]


def tree(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = write_out(tmp_path_factory.mktemp("made") / "out", three())
    build_all(folder)
    return folder


@pytest.mark.parametrize("name", list(SUBSETS))
def test_a_dataset_opens_with_load_dataset(out, name, tmp_path):
    for subset, model in SUBSETS[name].items():
        loaded = datasets.load_dataset(str(out / name), subset, cache_dir=str(tmp_path))
        assert set(loaded) == {"train", "validation", "test"}
        for split, rows in loaded.items():
            assert len(rows) > 0
            assert rows.features == hf_features(model)
            written = list(read_split(out / name, Subset(subset, model, ""), split))
            assert [row["id"] for row in rows] == [row.id for row in written]
            assert model.model_validate(rows[0]) == written[0]


def test_the_default_subset_is_the_main_one(out, tmp_path):
    loaded = datasets.load_dataset(str(out / "streaming_qa"), cache_dir=str(tmp_path))
    assert "question" in loaded["train"].features


def test_rows_follow_the_videos_and_stay_in_their_split(out):
    videos = {video.id: video for video in read_table(out / "index/videos.parquet", Video)}
    order = list(videos)
    for name, subsets in SUBSETS.items():
        for subset, model in subsets.items():
            for split in ("train", "validation", "test"):
                rows = list(read_split(out / name, Subset(subset, model, ""), split))
                assert {videos[row.video_id].split for row in rows} == {split}
                places = [order.index(row.video_id) for row in rows]
                assert places == sorted(places)


def test_events_of_the_dataset_are_those_of_the_stage(out):
    written = list(read_table(table_path(out, Event), Event))
    copies = [row for split in ("train", "validation", "test") for row in read_split(
        out / "frame_events", Subset("events", Event, ""), split)]  # fmt: skip
    assert sorted(row.id for row in copies) == sorted(row.id for row in written)


def test_manifests_count_what_is_there(out):
    for name, subsets in SUBSETS.items():
        manifest = json.loads((out / name / "manifest.json").read_text())
        for subset, model in subsets.items():
            rows = sum(
                1 for s in ("train", "validation", "test") for _ in read_split(out / name, Subset(subset, model, ""), s)
            )
            assert manifest["counts"][subset] == rows
        assert manifest["fields"]["input.teacher"]
        assert all(len(entry["sha256"]) == 64 for entry in manifest["files"])


def test_a_second_run_does_nothing(out):
    before = tree(out)
    stages = build_all(out)
    assert all(stage.reused for stage in stages)
    assert tree(out) == before


def test_two_builds_give_the_same_bytes_wherever_they_lie(out, tmp_path):
    other = write_out(tmp_path / "elsewhere" / "deeper", three())
    build_all(other)
    assert tree(other) == tree(out)


class KilledError(Exception):
    """The run ends here."""


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("which", range(4))
def test_killed_at_any_video_and_repeated_gives_the_same_bytes(out, tmp_path, monkeypatch, which, after):
    made = write_out(tmp_path / "out", three())
    for _, step, config in STEPS[:which]:
        step(made, config)
    name, step, config = STEPS[which]
    calls = 0

    def dying(*arguments):
        nonlocal calls
        calls += 1
        if calls > after:
            raise KilledError
        return clock_of(*arguments)

    clock_of = build.clock_of
    monkeypatch.setattr(build, "clock_of", dying)
    with pytest.raises(KilledError):
        step(made, config)
    assert not (made / name).exists(), "a folder exists only when it is whole"
    monkeypatch.setattr(build, "clock_of", clock_of)
    build_all(made)
    assert tree(made) == tree(out)


def test_other_settings_are_refused_by_name_and_forced_on_demand(tmp_path):
    made = write_out(tmp_path / "out", [bare("one"), lively("two", seconds=12)])
    build_events(made, EventsConfig())
    build_streaming_qa(made, StreamingQAConfig())
    before = tree(made)
    with pytest.raises(StageError, match=r"config\.seed: 0 → 5"):
        build_streaming_qa(made, StreamingQAConfig(seed=5))
    assert tree(made) == before
    stage = build_streaming_qa(made, StreamingQAConfig(seed=5), force=True)
    assert not stage.reused
    assert tree(made) != before


def test_a_changed_input_is_noticed(tmp_path):
    made = write_out(tmp_path / "out", [lively("two", seconds=12)])
    build_events(made, EventsConfig())
    build_dialogue(made, DialogueConfig())
    build_events(made, EventsConfig(recognise_ns=1_000 * MS), force=True)
    with pytest.raises(StageError, match=r"input\.events"):
        build_dialogue(made, DialogueConfig())


def test_other_words_are_another_fingerprint(tmp_path, monkeypatch):
    made = write_out(tmp_path / "out", [lively("two", seconds=12)])
    build_events(made, EventsConfig())
    build_streaming_qa(made, StreamingQAConfig())

    class Reworded(type(build.load_template())):
        digest = "f" * 64

    teacher = build.load_template()
    reworded = Reworded(teacher._phrases, "f" * 64)
    monkeypatch.setattr(build, "TEACHERS", {"template": lambda: reworded})
    with pytest.raises(StageError, match=r"input\.teacher"):
        build_streaming_qa(made, StreamingQAConfig())


def test_a_stage_wants_the_one_before(tmp_path):
    made = write_out(tmp_path / "out", [bare("one")])
    with pytest.raises(StageError, match="has no finished events"):
        build_streaming_qa(made, StreamingQAConfig())


def test_a_video_that_was_not_perceived_is_rejected_and_left_out(tmp_path):
    blind = bare("blind", split="test")
    blind.shots, blind.keyframes = [], []
    made = write_out(tmp_path / "out", [lively("seen", seconds=12), blind])
    build_all(made)
    (row,) = [row for row in read_rejects(made / "rejects.jsonl") if row.code == "not_perceived"]
    assert (row.stage, row.item) == ("events", "blind.mp4")
    assert not (made / "streaming_qa/qa/test.parquet").exists()
    assert not (made / "streaming_qa/videos/test.parquet").exists()
    assert build_events(made, EventsConfig()).counts()["videos"] == 1


def test_rejected_annotations_are_listed(tmp_path):
    clock = clock_from([40] * 99)
    video = video_of("said", clock)
    scene = bare("said", frames=100)
    rows = [said(video, 0, 1_000 * MS, "What?", kind="qa"), said(video, 0, 2_000 * MS, "It falls.")]
    made = write_out(tmp_path / "out", [Scene(scene.video, scene.clock, scene.shots, [], rows)])
    build_events(made, EventsConfig())
    assert [row.code for row in read_rejects(made / "events/rejects.jsonl")] == ["not_an_event"]
    assert [row.code for row in read_rejects(made / "rejects.jsonl")] == ["not_an_event"]
    assert json.loads((made / "events/manifest.json").read_text())["rejects"] == {"not_an_event": 1}


def test_boxes_are_counted_and_not_rejected(tmp_path):
    scene = bare("boxes", frames=100)
    rows = [
        said(scene.video, k * 100 * MS, (k + 1) * 100 * MS, "0.1 0.1 0.2 0.2", kind="box", subject="cat")
        for k in range(9)
    ]
    rows.append(said(scene.video, 0, 100 * MS, "64 48 10 10", kind="box", subject="cat"))
    made = write_out(tmp_path / "out", [Scene(scene.video, scene.clock, scene.shots, [], rows)])
    assert build_events(made, EventsConfig()).counts()["boxes"] == 10
    (reject,) = read_rejects(made / "events/rejects.jsonl")
    assert reject.code == "no_box"
    assert "found '64 48 10 10'" in reject.reason
    assert "shares of its sides from 0 to 1" in reject.reason


def test_without_any_event_there_is_nothing_to_build(tmp_path):
    blind = bare("blind")
    blind.shots, blind.keyframes = [], []
    made = write_out(tmp_path / "out", [blind])
    build_events(made, EventsConfig())
    for _, step, config in STEPS[1:]:
        with pytest.raises(BuildError, match="no video has events"):
            step(made, config)


def test_tables_out_of_order_are_refused(tmp_path):
    scenes = [lively("one", seconds=12), lively("two", seconds=12)]
    made = write_out(tmp_path / "out", scenes)
    rows = [row for scene in reversed(scenes) for row in scene.annotations]
    write_table(made / "index/annotations.parquet", type(rows[0]), rows)
    with pytest.raises(TableError, match="out of order"):
        build_events(made, EventsConfig())
    assert not (made / "events").exists()


def test_the_card_says_where_the_data_comes_from(out):
    for name in SUBSETS:
        text = (out / name / "README.md").read_text()
        assert "| CC0-1.0 | 4 |" in text
        assert "answerable_from_ns" in text or name == "frame_events"
        assert str(Path(out)) not in text, "no path of this machine"
    assert "Splits go by source video" in (out / "dialogue/README.md").read_text()


HASHED = """
import sys
from pathlib import Path
from tests.builders.test_build import build_all, three
from tests.builders.made import write_out
build_all(write_out(Path(sys.argv[1]), three()))
"""


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_hash_seed(out, tmp_path):
    root = Path(__file__).resolve().parents[2]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", HASHED, str(tmp_path / seed)]
        subprocess.run(command, check=True, env=environment, cwd=root, capture_output=True)
        assert tree(tmp_path / seed) == tree(out)
