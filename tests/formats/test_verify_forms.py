"""Exports in foreign forms are right as they are, and each fault planted in their files is found by its rule."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.checks.exported import Exports
from datasets_build.core.files import DataError, read_json, sha256_file, write_json
from datasets_build.formats.demands import DEMANDS
from datasets_build.formats.forms import FORMS
from datasets_build.formats.row_export import export_rows
from datasets_build.formats.verify import check_export
from datasets_build.formats.verify_forms import demand_faults
from tests.augment.folders import finished

PAIRS = [(name, kind) for name, form in FORMS.items() for kind in sorted(form.datasets)]
KINDS = dict(PAIRS) | {"mmduet": "dialogue"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Videos long enough for replies, interruptions and questions of every kind that a benchmark asks."""
    return finished(tmp_path_factory.mktemp("source") / "out", seconds=30)


@pytest.fixture(scope="module")
def written(source, tmp_path_factory):
    """Gives the export of a dataset in a form, made once; read only."""
    base, made = tmp_path_factory.mktemp("written"), {}

    def give(name, kind):
        if (name, kind) not in made:
            made[name, kind] = export_rows(source / kind, name, base / f"{name}-{kind}").folder
        return made[name, kind]

    return give


def data_of(folder):
    """The file of an export that a test plants in."""
    beside = ("loss.json", "rejects.jsonl", "manifest.json", "streaming_vlm_seeks.jsonl")
    return next(path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in beside)


def planted(folder, copy, name, change):
    """A copy of an export with its rows changed, and a manifest that does not give it away."""
    shutil.copytree(folder, copy)
    path = data_of(copy)
    file = path.relative_to(copy).as_posix()
    rows = FORMS[name].container.split(file, path.read_text())
    change(rows)
    joined = FORMS[name].container.join(rows)
    for written, content in joined.items():
        (copy / written).write_bytes(content)
    manifest = read_json(copy / "manifest.json")
    manifest["files"] = [entry | {"sha256": sha256_file(copy / entry["path"])} for entry in manifest["files"]]
    write_json(copy / "manifest.json", manifest)
    return copy


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_what_is_exported_has_no_fault(source, written, name, kind):
    folder = written(name, kind)
    assert check_export(folder, source) == []
    assert check_export(folder) == []


def test_every_form_has_its_demands():
    assert set(DEMANDS) == set(FORMS)


def lines(row):
    """The lines of a row of a conversation, of any form."""
    return row.get("conversation") or row.get("response")


def set_in(path, value):
    """Put a value, or what a function makes of the one there, at a path into the first row that has it."""

    def change(rows):
        for row in rows:
            inside = row
            try:
                for step in path[:-1]:
                    inside = inside[step]
                old = inside[path[-1]]
            except (KeyError, IndexError):
                continue
            inside[path[-1]] = value(old) if callable(value) else value
            return
        raise AssertionError(f"no row has {path}")

    return change


def of_task(task, path, value):
    """`set_in` the first item of a task of OVO-Bench."""

    def change(rows):
        set_in(path, value)([row for row in rows if row["task"] == task])

    return change


def taken(rows):
    del rows[0]


def replied_early(key):
    """The last reply of a row stands before anything was seen."""

    def change(rows):
        replies = [line for line in rows[0][key] if line.get("role", "assistant") == "assistant"]
        replies[-1]["time"] = 0.0
        if "timespan" in replies[-1]:
            replies[-1]["timespan"] = [0.0, 0.0]

    return change


def moved_on(old):
    return old + 1.0


def cued_early(rows):
    """The last cue begins with the video."""
    last = re.findall(r"\S+ --> \S+", rows[0]["text"])[-1]
    rows[0]["text"] = rows[0]["text"].replace(last, f"00:00:00.000 --> {last.split()[-1]}")


def shown_early(rows):
    """The window of what comes last begins with the video."""
    last = max(rows, key=lambda row: row["relevant_windows"][0][0])
    last["relevant_windows"][0][0] = 0


FAULTS = {
    "a role that is none": ("videollm_online", set_in(("conversation", 0, "role"), "stream"), "demands"),
    "lines that run back": (
        "videollm_online", lambda rows: rows[0]["conversation"].reverse(), "demands"),
    "a reply before its time": ("videollm_online", replied_early("conversation"), "causality"),
    "a reply after its time": ("videollm_online", set_in(("conversation", -1, "time"), moved_on), "times"),
    "words of nobody": ("videollm_online", set_in(("conversation", 0, "content"), "Whatever?"), "words"),
    "a record that is nowhere": ("videollm_online", taken, "nothing vanishes"),
    "another video": ("videollm_online", set_in(("video_uid",), "other.mp4"), "loads"),
    "no lines": ("videollm_online", lambda rows: rows[0].pop("conversation"), "demands"),
    "a user alone": ("livecc", lambda rows: rows[0].pop(), "demands"),
    "a video after its question": ("livecc", lambda rows: rows[0][0]["content"].reverse(), "demands"),
    "a video of no length": ("livecc", lambda rows: rows[0][0]["content"][0].update(video_end=-1.0), "demands"),
    "words out of the stretch": (
        "livecc", lambda rows: rows[0][1]["content"][0]["text_stream"].insert(0, [-5.0, 0.0, "So"]), "demands"),
    "words that run back": (
        "streaming_vlm", lambda rows: rows[0][1]["content"][0]["text_stream"].reverse(), "demands"),
    "a reply before its span": ("mmduet", set_in(("conversation", -1, "timespan"), [29.5, 29.9]), "demands"),
    "learn that is neither": ("mmduet", set_in(("conversation", -1, "learn"), "yes"), "demands"),
    "a reply of MMDuet before its time": ("mmduet", replied_early("conversation"), "causality"),
    "a whole number that means a frame": ("streamo", set_in(("question", 0, "time"), 3), "demands"),
    "a reply without a time": ("streamo", set_in(("response", 0, "time"), ""), "demands"),
    "replies that run back": ("joyai", lambda rows: max(
        (row["response"] for row in rows), key=len).reverse(), "demands"),
    "a reply of Streamo before its time": ("streamo", replied_early("response"), "causality"),
    "a right option that is none": ("ovo_bench", set_in(("gt",), 9), "demands"),
    "two options alike": ("ovo_bench", set_in(("options",), lambda old: [old[0]] * len(old)), "demands"),
    "no id": ("ovo_bench", lambda rows: rows[0].pop("id"), "demands"),
    "a task of nobody": ("ovo_bench", set_in(("task",), "XYZ"), "demands"),
    "a clue before its question": ("ovo_bench", of_task("CRR", ("clue_time",), -1.0), "demands"),
    "a test point that knows too soon": ("ovo_bench", of_task("CRR", ("test_info", 0, "type"), 1), "demands"),
    "counts that fall": ("ovo_bench", of_task("REC", ("test_info", 0, "count"), 99), "demands"),
    "a question before its time": ("ovo_bench", set_in(("realtime",), 0.0), "causality"),
    "letters in another order": (
        "streaming_bench", set_in(("questions", 0, "options"), lambda old: old[::-1]), "demands"),
    "an answer without its option": ("streaming_bench", set_in(("questions", 0, "answer"), "Z"), "demands"),
    "a time that is none": ("streaming_bench", set_in(("questions", 0, "time_stamp"), "soon"), "demands"),
    "a question of neither kind": ("streaming_bench", lambda rows: [
        rows[0]["questions"][0].pop(key, None) for key in ("options", "ground_truth_output")], "demands"),
    "a window behind the end": ("qvhighlights", set_in(("relevant_windows", 0, 1), 900), "demands"),
    "a clip twice": ("qvhighlights", set_in(("relevant_clip_ids",), lambda old: [*old, old[-1]]), "demands"),
    "scores of other clips": ("qvhighlights", lambda rows: rows[0].update(saliency_scores=[[1, 1, 1]] * 99), "demands"),
    "a window before its event": ("qvhighlights", shown_early, "causality"),
    "a span that ends before it starts, of MMDuet": (
        "mmduet", lambda rows: rows.append({"video_uid": "clip-0", "query": "x", "timestamps": [[2, 1]]}), "demands"),
    "a sentence without a span": ("activitynet", lambda rows: rows[0]["timestamps"].pop(), "demands"),
    "a span that ends before it starts": (
        "activitynet", set_in(("timestamps", -1), lambda old: [old[1] + 1, old[0]]), "demands"),
    "another sentence": ("activitynet", set_in(("sentences", 0), "Nobody said so."), "words"),
    "no first line": ("webvtt", set_in(("text",), lambda old: old.replace("WEBVTT\n", "")), "demands"),
    "cues before their events": ("webvtt", cued_early, "causality"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_under_its_rule(source, written, tmp_path, fault):
    name, change, rule = FAULTS[fault]
    kind = {"ovo_bench": "streaming_qa", "streaming_bench": "streaming_qa"}.get(name, KINDS[name])
    copy = planted(written(name, kind), tmp_path / "copy", name, change)
    found = check_export(copy, source)
    assert rule in {each.rule for each in found}, found
    assert all(str(each).startswith(each.where) for each in found)


def test_the_other_bytes_of_a_file_are_told_by_the_manifest(source, written, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(written("streamo", "dialogue"), copy)
    (copy / "streamo.json").write_text((copy / "streamo.json").read_text() + " ")
    assert [fault.rule for fault in check_export(copy, source)] == ["manifest"]
    (copy / "streamo.json").unlink()
    assert {fault.rule for fault in check_export(copy, source)} == {"manifest", "nothing vanishes"}


def test_a_file_that_is_no_json_is_refused(source, written, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(written("streamo", "dialogue"), copy)
    (copy / "streamo.json").write_text("[")
    with pytest.raises(DataError, match=r"streamo\.json: not valid JSON"):
        check_export(copy, source)


def test_a_row_of_another_form_is_a_fault_and_no_crash():
    for name in FORMS:
        for row in (7, None, [], {}, {"questions": 3}, [{"role": "user"}], {"conversation": [5]}):
            assert [fault.rule for fault in demand_faults("x", row, name)][:1] == ["demands"]


def test_the_check_of_a_folder_reads_foreign_forms(source, written, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(source, out)
    bad = planted(written("streamo", "dialogue"), tmp_path / "bad", "streamo", replied_early("response"))
    for folder, names in ((written("streamo", "dialogue"), set()), (bad, {"export_causal"})):
        result = run_checks(out, CheckConfig(), exports=Exports([folder], check_export))
        found = {law.name for law in result.laws if law.broken and law.name.startswith("export_")}
        assert found & {"export_causal"} == names
    assert json.loads((out / "check.json").read_text())["folders"]
