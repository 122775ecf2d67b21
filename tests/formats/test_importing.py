"""The import of whole files: what is matched, read, refused and told, and that the folder is one like any other."""

from __future__ import annotations

import json

import pytest

from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.corrections import TABLE as CORRECTIONS
from datasets_build.core.corrections import Correction, digest_of
from datasets_build.core.files import DataError, read_json, read_rejects, sha256_file
from datasets_build.core.layout import dataset_rows, read_videos, table_path
from datasets_build.core.records import Dialogue, Event, Provenance, StreamingQA
from datasets_build.core.stage import StageError, stale_inputs
from datasets_build.core.table import read_table, write_table
from datasets_build.formats.foreign import TABLE, Foreign
from datasets_build.formats.format import FormatError
from datasets_build.formats.importing import Finder, ImportConfig, import_again, import_file, unit_of
from datasets_build.formats.place import RowError, Unit
from tests.builders.made import lively, steady, video_of, write_out

STREAMO = ImportConfig(format="streamo", unit="s")


def sample(video, *, question=(("What moves?", "5"),), response=(("A ball.", 6.0),)):
    return {
        "video_name": video,
        "video_path": f"/data/{video}",
        "task_type": "QA",
        "source": "S",
        "question": [{"content": text, "time": time} for text, time in question],
        "response": [{"content": text, "time": time} for text, time in response],
    }


@pytest.fixture
def out(tmp_path):
    scenes = [lively(name, seconds=20, split=split) for name, split in (("a", "train"), ("b", "train"), ("c", "test"))]
    return write_out(tmp_path / "out", scenes)


def written(tmp_path, rows, name="rows.json"):
    path = tmp_path / name
    path.write_text(json.dumps(rows))
    return path


def test_rows_in_are_rows_out(out, tmp_path):
    rows = [
        sample("a.mp4"),
        sample("c.mp4"),
        sample("gone.mp4"),
        sample("lost.mp4"),
        sample("lost.mp4"),
        sample("b.mp4", response=(("Too late.", 900),)),
        {"video_path": "a.mp4"},
        7,
    ]
    stage, *made = import_file(written(tmp_path, rows), out, STREAMO)
    assert stage.counts() == {"rows": 8, "imported": 2, "of absent videos": 3, "rejected": 3}
    assert [one.name for one in made] == ["events", "dialogue"]
    rejects = {row.code: row for row in read_rejects(out / "rejects.jsonl")}
    assert set(rejects) == {"outside_video", "bad_row", "video_absent"}
    assert rejects["outside_video"].item == "rows.json: row 5"
    assert "3 rows are of 2 videos that are not there: /data/gone.mp4, /data/lost.mp4" in rejects["video_absent"].reason


def test_records_lie_where_the_builders_put_theirs_and_name_the_file(out, tmp_path):
    file = written(tmp_path, [sample("a.mp4"), sample("c.mp4"), sample("a.mp4", question=())])
    import_file(file, out, STREAMO)
    dialogues = list(dataset_rows(out, "dialogue/dialogues", Dialogue))
    names = {video.id: video.uri for video in read_videos(out)}
    assert [names[row.video_id] for row in dialogues] == ["a.mp4", "a.mp4", "c.mp4"]
    expected = Provenance(kind="corpus", agent="streamo:rows.json", version=f"sha256:{sha256_file(file)}")
    assert {row.provenance for row in dialogues} == {expected}
    assert [turn.text for turn in dialogues[0].turns] == ["What moves?", "A ball."]
    assert dialogues[1].turns[0].trigger == "timer"
    assert all(turn.start_ns >= 5_000_000_000 for row in dialogues for turn in row.turns)
    foreign = list(read_table(out / TABLE, Foreign))
    assert [row.item for row in foreign] == [0, 1, 2]
    assert {made for row in foreign for made in row.records} == {row.id for row in dialogues}
    assert not (out / "streaming_qa").exists()


def test_a_folder_of_imported_records_passes_every_check(out, tmp_path):
    rows = [sample("a.mp4", response=(("A ball.", 6.0), ("Gone.", 9.3))), sample("b.mp4", question=())]
    rows[0]["response"][0] |= {"st_time": 5, "end_time": 6.5, "time": ""}
    import_file(written(tmp_path, rows), out, STREAMO)
    result = run_checks(out, CheckConfig())
    assert result.broken == 0, result.violations
    assert {"imported_listed", "turn_after_evidence", "time_on_grid"} <= {law.name for law in result.laws}
    assert stale_inputs(out, "dialogue") == []


def test_a_benchmark_becomes_questions_with_their_points(out, tmp_path):
    items = [
        {
            "id": 1, "task": "CRR", "video": "x/b.mp4", "question": "Who?", "answer": "He.", "ask_time": 2,
            "clue_time": 4, "test_info": [{"realtime": 2, "type": 0}, {"realtime": 5, "type": 1}],
        },
        {"id": 2, "task": "OCR", "video": "x/a.mp4", "realtime": 3, "question": "What?", "answer": "A sign",
         "options": ["A road", "A sign."], "gt": 1},
    ]  # fmt: skip
    stages = import_file(written(tmp_path, items), out, ImportConfig(format="ovo_bench"))
    assert [stage.name for stage in stages] == ["import", "events", "streaming_qa"]
    first, then = dataset_rows(out, "streaming_qa/qa", StreamingQA)
    assert (first.task, first.answers[0].text, first.options[first.correct_option]) == ("OCR", "A sign", "A sign.")
    assert [probe.expected for probe in then.test_points] == ["no", "yes"]
    assert run_checks(out, CheckConfig()).broken == 0


def test_events_are_in_order_of_time_and_foreign_rows_in_order_of_the_file(out, tmp_path):
    rows = {"b": {"duration": 20, "timestamps": [[9, 12], [1.5, 3]], "sentences": ["Second.", " First."]}}
    import_file(written(tmp_path, rows), out, ImportConfig(format="activitynet"))
    events = list(read_table(table_path(out, Event), Event))
    assert [event.caption for event in events] == ["First.", "Second."]
    (foreign,) = read_table(out / TABLE, Foreign)
    assert list(foreign.records) == [events[1].id, events[0].id]
    assert run_checks(out, CheckConfig()).broken == 0


def test_a_folder_of_subtitles(out, tmp_path):
    folder = tmp_path / "vtt"
    folder.mkdir()
    (folder / "a.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.500\nHello &amp; hi.\n")
    (folder / "c.vtt").write_text("WEBVTT\n\n00:03.000 --> 00:04.000\nBye.\n")
    (folder / "notes.txt").write_text("not read")
    stage, *_ = import_file(folder, out, ImportConfig(format="webvtt"))
    assert stage.counts()["imported"] == 2
    assert [event.caption for event in read_table(table_path(out, Event), Event)] == ["Hello & hi.", "Bye."]


def test_the_same_command_again_changes_nothing(out, tmp_path):
    file = written(tmp_path, [sample("a.mp4")])
    import_file(file, out, STREAMO)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert all(stage.reused or stage.done for stage in import_file(file, out, STREAMO))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_the_folder_keeps_its_file_and_makes_the_same_records_of_it(out, tmp_path):
    file = written(tmp_path, [sample("a.mp4"), sample("c.mp4")])
    import_file(file, out, STREAMO)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    file.unlink()
    import_again(out, force=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (out / "import" / "import.json").unlink()
    with pytest.raises(DataError, match="import that again"):
        import_again(out)


def test_a_stopped_import_is_finished_by_the_same_command(out, tmp_path):
    file = written(tmp_path, [sample("a.mp4")])
    import_file(file, out, STREAMO)
    before = {path: path.read_bytes() for path in (out / "dialogue").rglob("*") if path.is_file()}
    for path in sorted((out / "dialogue").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (out / "dialogue").rmdir()
    import_file(file, out, STREAMO)
    assert {path: path.read_bytes() for path in (out / "dialogue").rglob("*") if path.is_file()} == before


def test_another_file_or_unit_is_refused(out, tmp_path):
    import_file(written(tmp_path, [sample("a.mp4")]), out, STREAMO)
    with pytest.raises(StageError, match=r"file\.rows\.json"):
        import_file(written(tmp_path, [sample("b.mp4")]), out, STREAMO)
    import_file(written(tmp_path, [sample("b.mp4")]), out, STREAMO, force=True)
    (row,) = dataset_rows(out, "dialogue/dialogues", Dialogue)
    assert row.video_id == next(video.id for video in read_videos(out) if video.uri == "b.mp4")


def test_nothing_is_mixed_with_what_was_built_here(out, tmp_path):
    from datasets_build.builders.build import build_events
    from datasets_build.builders.events import EventsConfig

    build_events(out, EventsConfig())
    with pytest.raises(StageError, match="events was built here"):
        import_file(written(tmp_path, [sample("a.mp4")]), out, STREAMO)


def test_nothing_that_can_be_read_is_an_error_with_its_rejects(out, tmp_path):
    with pytest.raises(FormatError, match="not one of its 1 rows"):
        import_file(written(tmp_path, [sample("gone.mp4")]), out, STREAMO)
    assert [row.code for row in read_rejects(out / "rejects.jsonl")] == ["video_absent"]


def test_a_unit_is_stated_exactly_where_it_is_needed():
    assert unit_of(STREAMO) == Unit("s")
    assert unit_of(ImportConfig(format="joyai", unit="frame", fps="2")).fps == 2
    assert unit_of(ImportConfig(format="ovo_bench")) is None
    for wrong in ({}, {"unit": "ms"}, {"unit": "frame", "fps": "native"}):
        with pytest.raises(FormatError, match="--time-unit"):
            unit_of(ImportConfig(format="streamo", **wrong))
    with pytest.raises(FormatError, match="says its units itself"):
        unit_of(ImportConfig(format="ovo_bench", unit="s"))
    with pytest.raises(FormatError, match="expected of videollm_online"):
        unit_of(ImportConfig(format="nothing"))


def test_files_that_are_no_text_or_not_there(out, tmp_path):
    path = tmp_path / "rows.json"
    with pytest.raises(DataError, match="cannot be read"):
        import_file(path, out, STREAMO)
    path.write_bytes(b"\x00\x01\xff")
    with pytest.raises(DataError, match="no text"):
        import_file(path, out, STREAMO)


def test_corrections_of_people_are_laid_over_imported_records(out, tmp_path):
    file = written(tmp_path, [sample("a.mp4")])
    import_file(file, out, STREAMO)
    (old,) = dataset_rows(out, "dialogue/dialogues", Dialogue)
    person = Provenance(kind="person", agent="p1", round="r1", inputs=(old.id,))
    turns = (old.turns[0], old.turns[1].model_copy(update={"text": "A red ball."}))
    new = old.model_copy(update={"id": "f" * 20, "turns": turns, "provenance": person})
    row = Correction(
        id="c1", video_id=old.video_id, round="r1", action="replace", of="dialogue", parent_id=old.id,
        parent_digest=digest_of(old), dialogue=new, edited=("turns",), annotators=("p1",),
    )  # fmt: skip
    write_table(out / CORRECTIONS, Correction, [row])
    with pytest.raises(StageError, match="corrections"):
        import_again(out)
    import_again(out, force=True)
    (now,) = dataset_rows(out, "dialogue/dialogues", Dialogue)
    assert now == new
    result = run_checks(out, CheckConfig())
    assert result.broken == 0, result.violations


def test_a_record_that_only_says_it_was_imported_is_found_out(out, tmp_path):
    import_file(written(tmp_path, [sample("a.mp4")]), out, STREAMO)
    (old,) = dataset_rows(out, "dialogue/dialogues", Dialogue)
    path = next((out / "dialogue" / "dialogues").glob("*.parquet"))
    write_table(path, Dialogue, [old.model_copy(update={"id": "e" * 20})])
    broken = {row.law for row in run_checks(out, CheckConfig()).violations}
    assert "imported_listed" in broken


def test_a_leak_in_an_imported_folder_is_found(out, tmp_path):
    rows = [sample("a.mp4")]
    rows[0]["response"] = [{"content": "A ball.", "st_time": 5, "end_time": 6.5, "time": ""}]
    import_file(written(tmp_path, rows), out, STREAMO)
    (old,) = dataset_rows(out, "dialogue/dialogues", Dialogue)
    early = old.turns[1].model_copy(update={"start_ns": 5_000_000_000})
    path = next((out / "dialogue" / "dialogues").glob("*.parquet"))
    write_table(path, Dialogue, [old.model_copy(update={"turns": (old.turns[0], early)})])
    broken = {row.law for row in run_checks(out, CheckConfig()).violations}
    assert "turn_after_evidence" in broken


class TestFinder:
    def videos(self, *uris):
        clock = steady(2)
        return [video_of(uri.removesuffix(".mp4"), clock).model_copy(update={"uri": uri}) for uri in uris]

    @pytest.mark.parametrize("name", ["x.mp4", "x", "/any/x.mp4", "./videos/x.mp4", "set/x", "C:\\v\\x.mp4", "x.webm"])
    def test_finds_a_video_by_its_name(self, name):
        assert Finder(self.videos("set/x.mp4", "y.mp4")).find(name).uri == "set/x.mp4"

    def test_a_dot_in_a_name_is_no_suffix(self):
        finder = Finder(self.videos("NU_60.0_210.0.mp4", "NU_60.0_210.5.mp4"))
        assert finder.find("NU_60.0_210.0").uri == "NU_60.0_210.0.mp4"
        assert finder.find("NU_60.0_210") is None

    def test_the_longest_common_end_of_the_path_decides(self):
        finder = Finder(self.videos("one/x.mp4", "two/x.mp4"))
        assert finder.find("/data/two/x.mp4").uri == "two/x.mp4"
        with pytest.raises(RowError, match=r"one/x.mp4, two/x.mp4") as error:
            finder.find("x.mp4")
        assert error.value.code == "video_ambiguous"

    def test_names_of_nothing(self):
        finder = Finder(self.videos("x.mp4"))
        assert finder.find("z.mp4") is None
        assert finder.find("") is None
        assert finder.find("../..") is None

    def test_a_quarantined_video_is_told(self):
        (video,) = self.videos("x.mp4")
        finder = Finder([video.model_copy(update={"status": "quarantined"})])
        with pytest.raises(RowError, match="quarantined"):
            finder.find("x.mp4")


def test_the_manifest_counts_and_names_the_file(out, tmp_path):
    import_file(written(tmp_path, [sample("a.mp4"), sample("gone.mp4")]), out, STREAMO)
    content = read_json(out / "import" / "manifest.json")
    assert "streamo" in content["fields"]["config.format"]
    assert content["fields"]["input.file.rows.json"] == sha256_file(tmp_path / "rows.json")
    assert content["rejects"] == {"video_absent": 1}
    assert content["counts"]["rows"] == content["counts"]["imported"] + content["counts"]["of absent videos"]
