"""Exports as rows: imported records go out as they came in, others with a report of what is lost."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from datasets_build.core.clock import seconds_to_ns
from datasets_build.core.dataset import SPLITS
from datasets_build.core.layout import clock_of, dataset_rows, read_videos
from datasets_build.core.records import Dialogue, Event, Provenance, StreamingQA
from datasets_build.core.stage import StageError
from datasets_build.core.table import write_table
from datasets_build.formats.format import FormatError
from datasets_build.formats.forms import FORMS
from datasets_build.formats.importing import ImportConfig, import_file
from datasets_build.formats.loss import Losses
from datasets_build.formats.row_export import export_rows, lost_fields
from tests.augment.folders import finished
from tests.builders.made import lively, write_out

TALKS = ("videollm_online", "livecc", "streaming_vlm", "mmduet", "streamo", "joyai")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Records that were built here, over videos long enough for somebody to break into an answer."""
    out = tmp_path_factory.mktemp("own") / "out"
    out.mkdir()
    return finished(out, seconds=30)


@pytest.fixture
def imported(tmp_path):
    scenes = [lively(name, seconds=20, split=split) for name, split in (("a", "train"), ("b", "test"))]
    return write_out(tmp_path / "out", scenes)


def rows_of(folder, name):
    (file,) = [path for path in folder.iterdir() if path.name.startswith(name) and "seeks.jsonl" not in path.name[-16:]]
    return json.loads(file.read_text())


def lost(folder):
    return {loss.field for loss in Losses.read(folder).losses}


@pytest.mark.parametrize("name", TALKS)
def test_a_dialogue_goes_out_with_its_losses(own, tmp_path, name):
    stage = export_rows(own / "dialogue", name, tmp_path / "x")
    counts, dialogues = stage.counts(), list(dataset_rows(own, "dialogue/dialogues", Dialogue))
    assert counts["records"] == len(dialogues) > 0
    assert counts["rows"] >= counts["records"]
    assert {"provenance", "turns.task", "turns.truncated_at_char"} <= lost(tmp_path / "x")
    form = FORMS[name]
    file = next(
        path for path in stage.folder.iterdir() if path.suffix in (".json", ".jsonl") and path.name[:4] == name[:4]
    )
    rows = form.container.split(file.name, file.read_text())
    assert len(rows) == counts["rows"]
    uris = {video.uri for video in read_videos(own)}
    assert {form.rows.video_of(row) for row in rows} <= uris


def test_every_word_of_a_dialogue_goes_out(own, tmp_path):
    export_rows(own / "dialogue", "videollm_online", tmp_path / "x")
    rows = rows_of(tmp_path / "x", "videollm_online")
    dialogues = list(dataset_rows(own, "dialogue/dialogues", Dialogue))
    for row, dialogue in zip(rows, dialogues, strict=True):
        expected = [(t.role, t.text, t.start_ns if t.role == "assistant" else t.end_ns) for t in dialogue.turns]
        assert [(m["role"], m["content"], seconds_to_ns(repr(m["time"]))) for m in row["conversation"]] == expected


def test_no_line_of_an_export_comes_before_it_could_be_known(own, tmp_path):
    """Held against the files: what is said stands at or after what proves it, a question not before it is out."""
    export_rows(own / "dialogue", "streamo", tmp_path / "x")
    rows = rows_of(tmp_path / "x", "streamo")
    dialogues = list(dataset_rows(own, "dialogue/dialogues", Dialogue))
    for row, dialogue in zip(rows, dialogues, strict=True):
        said = [turn for turn in dialogue.turns if turn.role == "assistant"]
        for response, turn in zip(row["response"], said, strict=True):
            time = response["time"] if response["time"] != "" else response["end_time"]
            assert isinstance(time, float)
            assert seconds_to_ns(repr(time)) >= turn.answerable_from_ns
        asked = [turn for turn in dialogue.turns if turn.role == "user"]
        for question, turn in zip(row["question"], asked, strict=True):
            assert seconds_to_ns(repr(question["time"])) == turn.end_ns


def test_words_of_a_turn_are_spread_over_it_and_say_the_same(own, tmp_path):
    export_rows(own / "dialogue", "livecc", tmp_path / "x")
    file = tmp_path / "x" / "livecc_with_seeks.jsonl"
    rows = FORMS["livecc"].container.split(file.name, file.read_text())
    dialogues = list(dataset_rows(own, "dialogue/dialogues", Dialogue))
    words = [word for row in rows for word in row[1]["content"][0]["text_stream"]]
    said = [turn for dialogue in dialogues for turn in dialogue.turns if turn.role == "assistant"]
    assert [word for _, _, word in words] == [word for turn in said for word in turn.text.split()]
    assert all(start <= end for start, end, _ in words)


def test_events_go_out_in_every_form_of_events(own, tmp_path):
    for name in ("qvhighlights", "activitynet", "webvtt"):
        stage = export_rows(own / "frame_events", name, tmp_path / name)
        assert stage.counts()["left out"] == 0
        assert {"known_from_ns", "provenance"} <= lost(stage.folder)
    whole = json.loads((tmp_path / "activitynet" / "activitynet.json").read_text())
    assert sum(len(row["sentences"]) for row in whole.values()) == stage.counts()["records"]
    cues = sum(path.read_text().count(" --> ") for path in (tmp_path / "webvtt").glob("*.vtt"))
    assert cues == stage.counts()["records"]


def test_questions_that_a_benchmark_cannot_ask_are_told(own, tmp_path):
    stage = export_rows(own / "streaming_qa", "ovo_bench", tmp_path / "x")
    counts = stage.counts()
    assert counts["rows"] + counts["left out"] == counts["records"]
    rejects = [json.loads(line) for line in (stage.folder / "rejects.jsonl").read_text().splitlines()]
    assert len(rejects) == counts["left out"]
    assert {row["code"] for row in rejects} == {"no_options"}
    assert {item["task"] for item in rows_of(stage.folder, "ovo_bench")} <= {"CRR", "REC", "EPM", "STU"}


def test_answers_of_a_question_go_out_with_their_windows(own, tmp_path):
    export_rows(own / "streaming_qa", "mmduet", tmp_path / "x")
    rows = {row["question_id"]: row for row in rows_of(tmp_path / "x", "mmduet")}
    for question in dataset_rows(own, "streaming_qa/qa", StreamingQA):
        ends = [[seconds_to_ns(repr(t)) for t in given["time"]] for given in rows[question.id]["answer"]]
        assert ends == [[answer.window_start_ns, answer.window_end_ns] for answer in question.answers]


def test_what_a_form_cannot_hold_is_refused(own, tmp_path):
    with pytest.raises(FormatError, match="ovo_bench cannot hold dialogue"):
        export_rows(own / "dialogue", "ovo_bench", tmp_path / "x")
    with pytest.raises(FormatError, match="expected a dataset folder"):
        export_rows(own / "index", "streamo", tmp_path / "x")
    with pytest.raises(FormatError, match="lies inside"):
        export_rows(own / "dialogue", "streamo", own / "x")


def test_the_same_command_again_is_done_and_another_form_is_refused(own, tmp_path):
    export_rows(own / "dialogue", "streamo", tmp_path / "x")
    assert export_rows(own / "dialogue", "streamo", tmp_path / "x").reused
    with pytest.raises(StageError, match=r"config\.format"):
        export_rows(own / "dialogue", "joyai", tmp_path / "x")


SAMPLES = [
    {"video_path": "/d/b.mp4", "id": 9, "question": [{"content": "What?", "time": "0:02"}],
     "response": [{"content": "A ball.", "st_time": 3, "end_time": "4.015", "time": ""}]},
    {"video_path": "/d/gone.mp4", "question": [], "response": [{"content": "x", "time": 1}]},
    {"video_path": "/d/a.mp4", "question": [], "response": [{"content": "Rain.", "time": 1, "note": None}]},
]  # fmt: skip


def brought(out, tmp_path, rows=SAMPLES):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    import_file(path, out, ImportConfig(format="streamo", unit="s"))


def test_imported_rows_go_out_as_they_came_in_file_order(imported, tmp_path):
    brought(imported, tmp_path)
    stage = export_rows(imported / "dialogue", "streamo", tmp_path / "x")
    assert rows_of(stage.folder, "streamo") == [SAMPLES[0], SAMPLES[2]]
    assert lost(stage.folder) == set()


def test_imported_rows_in_another_form_say_what_is_lost(imported, tmp_path):
    brought(imported, tmp_path)
    stage = export_rows(imported / "dialogue", "videollm_online", tmp_path / "x")
    assert {row["video_uid"] for row in rows_of(stage.folder, "videollm_online")} == {"a.mp4", "b.mp4"}
    assert {"provenance", "turns.evidence.end_ns"} <= lost(stage.folder)


def test_what_people_changed_goes_out_changed(imported, tmp_path):
    brought(imported, tmp_path)
    for split in SPLITS:
        path = imported / "dialogue" / "dialogues" / f"{split}.parquet"
        rows = (
            [_corrected(row) for row in dataset_rows(imported, "dialogue/dialogues", Dialogue)] if path.exists() else []
        )
        videos = {video.id for video in read_videos(imported) if video.split == split}
        if kept := [row for row in rows if row.video_id in videos]:
            write_table(path, Dialogue, kept)
    stage = export_rows(imported / "dialogue", "streamo", tmp_path / "x")
    first, then = rows_of(stage.folder, "streamo")
    assert first["response"][0]["content"] == "A ball. Really."
    assert first["id"] == 9
    assert first["response"][0]["end_time"] == "4.015"
    assert then["response"][0] == {"content": "Rain. Really.", "time": 1, "note": None}


def _corrected(row):
    turns = tuple(t.model_copy(update={"text": f"{t.text} Really."}) if t.role == "assistant" else t for t in row.turns)
    person = Provenance(kind="person", agent="p1", round="r", inputs=(row.id,))
    # A second pass over the splits finds rows that are corrected already.
    return row if row.provenance.kind == "person" else row.model_copy(
        update={"id": row.id[::-1], "turns": turns, "provenance": person}
    )  # fmt: skip


def test_events_of_an_import_go_out_from_their_stage(imported, tmp_path):
    path = tmp_path / "rows.json"
    text = {"a": {"duration": 20.0, "timestamps": [[9, 12], [1.5, 3.07]], "sentences": ["Second.", " First."]}}
    path.write_text(json.dumps(text))
    import_file(path, imported, ImportConfig(format="activitynet"))
    stage = export_rows(imported / "events", "activitynet", tmp_path / "x")
    assert rows_of(stage.folder, "activitynet") == text
    assert lost(stage.folder) == set()


def test_lost_fields_are_named_by_their_path_and_reason(own):
    dialogue = next(dataset_rows(own, "dialogue/dialogues", Dialogue))
    assert list(lost_fields(dialogue, dialogue)) == []
    other = dialogue.model_copy(update={"system": "", "id": "x"})
    assert list(lost_fields(dialogue, other)) == [("system", "the form has no place for it")]
    turns = (dialogue.turns[0].model_copy(update={"text": "?"}), *dialogue.turns[1:])
    assert list(lost_fields(dialogue, dialogue.model_copy(update={"turns": turns}))) == [
        ("turns.text", "it comes back as another value")
    ]
    assert {name for name, _ in lost_fields(dialogue, None)} >= {
        "turns.text",
        "start_ns" if dialogue.start_ns else "end_ns",
    }


def test_the_clock_of_a_video_is_the_one_that_exports_use(own):
    video = read_videos(own)[0]
    assert clock_of(own, video).grid(Fraction(1))[0] == 0
    assert next(dataset_rows(own, "frame_events/events", Event)).video_id
