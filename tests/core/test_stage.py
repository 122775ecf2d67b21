import json
import os
import re
import tracemalloc

import pytest

from datasets_build.core.config import Config
from datasets_build.core.files import read_rejects
from datasets_build.core.records import Reject
from datasets_build.core.stage import (
    Fingerprint,
    Stage,
    StageError,
    code_digest,
    collect_rejects,
    earlier_field,
    lost_files,
    output_folder,
    stage_digest,
    stale_inputs,
)


class Settings(Config):
    threshold: float = 1.0


def fingerprint(threshold=1.0, index="aa", code="c0de"):
    return Fingerprint.of(Settings(threshold=threshold), code=code, inputs={"index": index})


def reject(stage="perceive", code="decoder_hung"):
    return Reject(stage=stage, item="a.mp4", code=code, reason="r", action="a")


def finish(out, name="perceive", mark=None, rejects=(), text="data"):
    stage = Stage.open(out, name, mark or fingerprint())
    if not stage.done:
        (stage.final / "x.txt").write_text(text)
        stage.commit(rejects=rejects, counts={"rows": 1}, tools={"av": "18"})
    return stage


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_a_stage_is_whole_or_absent(tmp_path):
    stage = Stage.open(tmp_path, "perceive", fingerprint())
    (stage.final / "x.txt").write_text("data")
    assert not stage.folder.exists()
    stage.commit(rejects=[], counts={}, tools={})
    assert sorted(os.listdir(tmp_path)) == ["perceive"]
    assert sorted(os.listdir(stage.folder)) == ["manifest.json", "rejects.jsonl", "x.txt"]


def test_a_finished_stage_is_not_done_again(tmp_path):
    assert not finish(tmp_path).reused
    before = tree(tmp_path)
    again = Stage.open(tmp_path, "perceive", fingerprint())
    assert again.done
    assert again.reused
    assert again.counts() == {"rows": 1}
    assert tree(tmp_path) == before


def test_a_file_that_is_gone_is_named(tmp_path):
    finish(tmp_path)
    assert lost_files(tmp_path, "perceive") == []
    (tmp_path / "perceive" / "x.txt").unlink()
    (tmp_path / "perceive" / "other.txt").write_text("data")
    assert lost_files(tmp_path, "perceive") == [tmp_path / "perceive" / "x.txt"]


def test_the_manifest_lists_every_file_with_its_hash(tmp_path):
    finish(tmp_path, rejects=[reject(), reject(), reject(code="frames_lost")])
    manifest = json.loads((tmp_path / "perceive/manifest.json").read_text())
    assert [entry["path"] for entry in manifest["files"]] == ["rejects.jsonl", "x.txt"]
    assert manifest["files"][1]["bytes"] == 4
    assert manifest["rejects"] == {"decoder_hung": 2, "frames_lost": 1}
    assert manifest["fields"]["config.threshold"] == "1.0"
    assert manifest["fingerprint"] == stage_digest(tmp_path, "perceive") == fingerprint().digest


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        (fingerprint(threshold=2.0), r"config\.threshold: 1\.0 → 2\.0"),
        (fingerprint(index="bb"), r"input\.index: aa → bb"),
        (fingerprint(code="beef"), r"code: c0de → beef"),
    ],
)
def test_what_changed_is_named_and_nothing_is_touched(tmp_path, mark, says):
    finish(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(StageError, match=says):
        Stage.open(tmp_path, "perceive", mark)
    assert tree(tmp_path) == before


def test_half_written_work_of_other_settings_is_refused_and_untouched(tmp_path):
    stage = Stage.open(tmp_path, "perceive", fingerprint())
    (stage.work / "part").write_text("half")
    before = tree(tmp_path)
    with pytest.raises(StageError, match=r"config\.threshold"):
        Stage.open(tmp_path, "perceive", fingerprint(threshold=2.0))
    assert tree(tmp_path) == before


def test_half_written_work_is_resumed(tmp_path):
    stage = Stage.open(tmp_path, "perceive", fingerprint())
    (stage.work / "part").write_text("half")
    (stage.final / "torn").write_text("torn")
    again = Stage.open(tmp_path, "perceive", fingerprint())
    assert (again.work / "part").read_text() == "half"
    assert list(again.final.iterdir()) == []


def test_force_rebuilds_and_keeps_the_old_until_the_new_is_whole(tmp_path):
    finish(tmp_path)
    stage = Stage.open(tmp_path, "perceive", fingerprint(threshold=2.0), force=True)
    assert (tmp_path / "perceive/x.txt").read_text() == "data"
    (stage.final / "x.txt").write_text("new")
    stage.commit(rejects=[], counts={}, tools={})
    assert (tmp_path / "perceive/x.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["perceive"]


def test_a_folder_that_is_no_stage_is_refused(tmp_path):
    (tmp_path / "perceive").mkdir()
    (tmp_path / "perceive/holiday.jpg").write_text("mine")
    with pytest.raises(StageError, match=r"holds no manifest\.json"):
        Stage.open(tmp_path, "perceive", fingerprint())
    assert (tmp_path / "perceive/holiday.jpg").exists()


def test_force_never_replaces_a_folder_that_is_not_ours(tmp_path):
    (tmp_path / "perceive").mkdir()
    (tmp_path / "perceive/holiday.mp4").write_text("mine")
    with pytest.raises(StageError, match="move it away"):
        Stage.open(tmp_path, "perceive", fingerprint(), force=True)
    assert (tmp_path / "perceive/holiday.mp4").read_text() == "mine"


@pytest.mark.parametrize("fault", ["missing", "torn", "no manifest"])
def test_a_damaged_result_is_named_and_force_rebuilds_it(tmp_path, fault):
    folder = finish(tmp_path).folder
    name = "manifest.json" if fault == "no manifest" else "x.txt"
    (folder / name).write_text("")
    if fault == "missing":
        (folder / name).unlink()
    with pytest.raises(StageError, match=rf"{name}: .*--force"):
        Stage.open(tmp_path, "perceive", fingerprint())
    stage = Stage.open(tmp_path, "perceive", fingerprint(), force=True)
    assert not stage.done
    (stage.final / "x.txt").write_text("data")
    stage.commit(rejects=[], counts={"rows": 1}, tools={})
    assert Stage.open(tmp_path, "perceive", fingerprint()).reused


@pytest.mark.parametrize("size", ['"four"', "null", "[]"])
def test_a_manifest_that_tells_no_size_is_damaged_and_named(tmp_path, size):
    manifest = finish(tmp_path).folder / "manifest.json"
    told = re.sub(r'"bytes": \d+', f'"bytes": {size}', manifest.read_text())
    assert told != manifest.read_text()
    manifest.write_text(told)
    with pytest.raises(StageError, match=r"is missing or damaged.*--force"):
        Stage.open(tmp_path, "perceive", fingerprint())


def test_a_stage_knows_when_its_input_was_made_anew(tmp_path):
    finish(tmp_path, "index")
    digest = stage_digest(tmp_path, "index")
    finish(tmp_path, "perceive", fingerprint(index=digest))
    assert stale_inputs(tmp_path, "perceive") == []
    stage = Stage.open(tmp_path, "index", fingerprint(threshold=9.0), force=True)
    stage.commit(rejects=[], counts={}, tools={})
    assert stale_inputs(tmp_path, "perceive") == ["index"]


def test_an_older_manifest_without_fields_is_refused(tmp_path):
    finish(tmp_path)
    (tmp_path / "perceive/manifest.json").write_text('{"schema_version": "0.1"}')
    with pytest.raises(StageError, match="made with other settings"):
        Stage.open(tmp_path, "perceive", fingerprint())
    with pytest.raises(StageError, match="no fingerprint"):
        stage_digest(tmp_path, "perceive")


def test_a_missing_input_names_the_command(tmp_path):
    with pytest.raises(StageError, match="datasets_build index"):
        stage_digest(tmp_path, "index")
    with pytest.raises(StageError, match="datasets_build build"):
        stage_digest(tmp_path, "events")


def test_rejects_of_all_stages_are_joined_in_stage_order(tmp_path):
    finish(tmp_path, "perceive", rejects=[reject()])
    finish(tmp_path, "index", rejects=[reject("index", "empty_file")])
    collect_rejects(tmp_path)
    rows = read_rejects(tmp_path / "rejects.jsonl")
    assert [row.stage for row in rows] == ["index", "perceive"]
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 2


def test_joined_rejects_take_no_more_memory_than_one_row(tmp_path):
    finish(tmp_path, "perceive", rejects=(reject() for _ in range(20_000)))
    manifest = json.loads((tmp_path / "perceive/manifest.json").read_text())
    assert manifest["rejects"] == {"decoder_hung": 20_000}
    tracemalloc.start()
    try:
        collect_rejects(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "rejects.jsonl").read_bytes() == (tmp_path / "perceive/rejects.jsonl").read_bytes()
    assert peak < (tmp_path / "rejects.jsonl").stat().st_size / 4


def test_a_stage_of_many_files_is_known_by_little_more_than_its_manifest(tmp_path):
    finish(tmp_path, "index")
    path = tmp_path / "index/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = [{"path": f"pts/{k:020}.npy", "bytes": k, "sha256": f"{k:064}"} for k in range(10_000)]
    path.write_text(json.dumps(manifest, indent=2))
    tracemalloc.start()
    try:
        assert stage_digest(tmp_path, "index") == manifest["fingerprint"]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * path.stat().st_size


def test_two_runs_on_one_folder_are_refused(tmp_path):
    def second():
        with output_folder(tmp_path / "out"):
            pass

    with output_folder(tmp_path / "out"), pytest.raises(StageError, match="another run is writing here"):
        second()
    # An output folder in which nothing was written does not stay.
    assert not (tmp_path / "out").exists()
    # One that was there before does.
    (tmp_path / "mine").mkdir()
    with output_folder(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(StageError, match="is a file"), output_folder(tmp_path / "out"):
        pass


def test_code_digests_differ_by_part():
    assert code_digest("perception") == code_digest("perception")
    assert code_digest("perception") != code_digest("sources")


def test_a_field_of_an_earlier_run_is_known_whether_it_ended_or_not(tmp_path):
    name = "config.threshold"
    assert earlier_field(tmp_path, "perceive", name) is None
    Stage.open(tmp_path, "perceive", fingerprint(threshold=2.0))
    assert earlier_field(tmp_path, "perceive", name) == "2.0"
    finish(tmp_path, mark=fingerprint(threshold=2.0))
    assert not (tmp_path / ".work/perceive").exists()
    assert earlier_field(tmp_path, "perceive", name) == "2.0"
    assert earlier_field(tmp_path, "perceive", "config.other") is None
    assert earlier_field(tmp_path, "events", name) is None


@pytest.mark.parametrize("content", ["[]", "{}", '{"fields": 1}', '{"fields": {"config.threshold": 2}}'])
def test_a_manifest_that_tells_no_such_field_tells_nothing(tmp_path, content):
    (tmp_path / "perceive").mkdir()
    (tmp_path / "perceive/manifest.json").write_text(content)
    assert earlier_field(tmp_path, "perceive", "config.threshold") is None
