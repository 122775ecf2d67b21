"""Faults that are planted into an augmented folder on the disk: the check names the law, the file and the record."""

import json
import shutil

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from augment.settings import Loop, Skip, Speed
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.augmentation import Augmentation, sealed
from datasets_build.core.layout import TABLES, read_videos
from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.records import Annotation, Event, StreamingQA
from datasets_build.core.table import read_table
from tests.augment.folders import applied, finished
from tests.checks.planted import edit, reseal, swap

MAPS, QA = "augment/augmentations.parquet", "streaming_qa/qa/train.parquet"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Parents and an augmented folder side by side, so that a copy beside them finds the parents where it does."""
    base = tmp_path_factory.mktemp("run")
    parent = finished(base / "parent", splits=("train", "train"), seconds=10, frames=False)
    applied(parent, base / "good", Speed(low=1.2, high=1.2), Skip(form="random", share=0.3), Loop())
    return base


@pytest.fixture
def out(good, request):
    made = good / f"planted-{abs(hash(request.node.name))}"
    shutil.copytree(good / "good", made)
    return made


def violations(out):
    return run_checks(out, CheckConfig(listed=5000)).violations


def found(out, law, file, record=None):
    rows = [row for row in violations(out) if (row.law, row.file) == (law, file)]
    assert rows
    assert record is None or record in {row.record for row in rows}
    assert all(row.found and row.expected for row in rows)
    return rows


def own(event):
    return event.provenance.agent != "augment"


def test_a_correct_folder_breaks_nothing_and_every_law_is_asked(good):
    result = run_checks(good / "good", CheckConfig())
    assert result.violations == ()
    asked = {law.name: law.checked for law in result.laws}
    for name in ("nothing_vanishes", "event_is_told", "as_its_parent", "shots_are_mapped", "keyframes_are_mapped",
                 "made_as_drawn", "map_is_sealed", "copies_there", "invalidated_told", "rejects_joined",
                 "rejects_name_something", "pipeline_told"):  # fmt: skip
        assert asked[name] > 0, name


@pytest.mark.parametrize(
    ("model", "law", "wanted"),
    [
        (Event, "event_is_told", own),
        pytest.param(Annotation, "nothing_vanishes", lambda row: True, marks=pytest.mark.slow),
        pytest.param(Shot, "shots_are_mapped", lambda shot: shot.ordinal == 1, marks=pytest.mark.slow),
        pytest.param(Keyframe, "keyframes_are_mapped", lambda row: True, marks=pytest.mark.slow),
    ],
)
def test_a_record_that_is_lost(out, model, law, wanted):
    file = TABLES[model]
    rows = list(read_table(out / file, model))
    # A shot that begins with a piece need not be there.
    seams = {round(row.time_map.target[0]) for row in read_table(out / MAPS, Augmentation)}
    gone = next(row for row in rows if wanted(row) and not (model is Shot and row.start_ns in seams))
    edit(out, file, model, lambda rows: [row for row in rows if row.id != gone.id])
    assert any(gone.video_id in row.found for row in found(out, law, file))


@pytest.mark.slow
def test_a_question_that_is_lost(out):
    gone = edit(out, QA, StreamingQA, lambda rows: rows[1:]) and next(read_table(out.parent / "good" / QA, StreamingQA))
    found(out, "nothing_vanishes", QA, gone.provenance.inputs[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "field", "wrong"),
    [(Event, "caption", "Nobody comes."), (Annotation, "label", "leap"), (Event, "confidence", 0.01)],
)
def test_a_field_that_is_not_the_parents(out, model, field, wrong):
    edit(out, TABLES[model], model, lambda rows: swap(rows, own, **{field: wrong}))
    assert field in found(out, "as_its_parent", TABLES[model], swap.id)[0].found


@pytest.mark.slow
@pytest.mark.parametrize("field", ["seed", "operation", "scene_id", "invalidated"])
def test_a_map_that_is_falsified_and_sealed_anew(out, field):
    wrong = {"seed": 7, "operation": "{}", "scene_id": "x", "invalidated": ("x",)}[field]

    def falsified(rows):
        row = sealed(rows[0].model_copy(update={field: wrong}))
        falsified.id = row.id
        return [row, *rows[1:]]

    edit(out, MAPS, Augmentation, falsified)
    law = "invalidated_told" if field == "invalidated" else "made_as_drawn"
    assert field in found(out, law, MAPS, falsified.id)[0].found


@pytest.mark.slow
def test_a_map_that_is_changed_after_it_was_written(out):
    edit(out, MAPS, Augmentation, lambda rows: swap(rows, lambda row: True, is_reversed=True))
    found(out, "map_is_sealed", MAPS, swap.id)


def test_a_video_that_is_gone_from_every_table(out):
    gone = read_videos(out)[0].id
    for path in out.rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.filter(pc.not_equal(table["video_id"], gone)), path)
    (out / "index" / "pts" / f"{gone}.npy").unlink()
    for path in out.glob("*/manifest.json"):
        content = json.loads(path.read_text())
        content["files"] = [row for row in content["files"] if (path.parent / row["path"]).exists()]
        path.write_text(json.dumps(content))
        reseal(out, path.parent.name)
    assert [row.record for row in found(out, "copies_there", MAPS)] == [gone]


@pytest.mark.slow
def test_a_dataset_that_is_gone(out):
    shutil.rmtree(out / "dialogue")
    found(out, "pipeline_told", "augment/manifest.json", "dialogue")


@pytest.mark.slow
def test_a_manifest_without_its_pipeline(out):
    path = out / "augment" / "manifest.json"
    content = json.loads(path.read_text())
    del content["fields"]["config.operations"]
    path.write_text(json.dumps(content))
    assert "config.operations" in found(out, "pipeline_told", "augment/manifest.json")[0].found


@pytest.mark.slow
def test_rejects_that_lost_a_line(out):
    path = out / "augment" / "rejects.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lost = next(json.loads(line)["item"].split()[-1] for line in lines if "StreamingQA" in line)
    path.write_text("".join(line for line in lines if lost not in line))
    reseal(out, "augment")
    found(out, "rejects_joined", "rejects.jsonl")
    found(out, "invalidated_told", MAPS)
    found(out, "nothing_vanishes", QA, lost)


@pytest.mark.slow
@pytest.mark.parametrize("model", [Annotation, Keyframe])
def test_a_table_that_cannot_be_read_is_told_and_stops_nothing(out, model):
    (out / TABLES[model]).write_bytes(b"nothing")
    reseal(out, TABLES[model].split("/")[0])
    found(out, "file_readable", TABLES[model])
