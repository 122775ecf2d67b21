"""What is there is joined by video; what cannot be used is refused in clear words before anything is read."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from datasets_build.core.layout import read_videos, table_path
from datasets_build.core.records import Event, Problem, Video
from datasets_build.core.table import read_table, write_table
from recipes.data.corpus import check_folder
from recipes.errors import CorpusError
from tests.recipes.data.lessons import build, made_scenes, open_corpus


@pytest.fixture
def folder(made_folder, tmp_path):
    """A copy that may be spoiled."""
    return shutil.copytree(made_folder, tmp_path / "out")


def resize(folder, stage):
    """Lets a manifest know the files as they are."""
    path = folder / stage / "manifest.json"
    manifest = json.loads(path.read_text())
    for row in manifest["files"]:
        row["bytes"] = (folder / stage / row["path"]).stat().st_size
    path.write_text(json.dumps(manifest))


def rewrite(folder, model, change):
    path = table_path(folder, model)
    write_table(path, model, [change(row) for row in list(read_table(path, model))])
    resize(folder, path.parent.name)


def test_records_stand_with_their_video(corpus, made_folder):
    counts = {split: len(found) for split, found in corpus.materials.items()}
    assert counts == {"train": 2, "validation": 1, "test": 1}
    for split, materials in corpus.materials.items():
        for material in materials:
            ours = material.footage.video.id
            rows = [*material.questions, *material.events, *material.annotations, *material.dialogues]
            assert {row.video_id for row in rows} == {ours}
            assert material.footage.video.split == split
            assert material.questions
            assert material.dialogues
            asked = [row.ask_ns for row in material.questions]
            assert asked == sorted(asked)
    events = list(read_table(table_path(made_folder, Event), Event))
    found = [row for materials in corpus.materials.values() for material in materials for row in material.events]
    assert sorted(row.id for row in events) == sorted(row.id for row in found)
    assert set(corpus.footage()) == {video.id for video in read_videos(made_folder)}


def test_texts_hold_all_that_is_said_in_training(corpus):
    texts = set(corpus.texts())
    for material in corpus.materials["train"]:
        assert {answer.text for row in material.questions for answer in row.answers} <= texts
        assert {turn.intended_text or turn.text for row in material.dialogues for turn in row.turns} <= texts
    material = corpus.materials["test"][0]
    assert set(corpus.texts("test")) >= {row.question for row in material.questions}


def test_no_folder(tmp_path):
    with pytest.raises(CorpusError, match="is no folder"):
        open_corpus(tmp_path / "nothing")


def test_a_dataset_that_was_not_built_is_named(folder):
    shutil.rmtree(folder / "dialogue")
    with pytest.raises(CorpusError, match=r"dialogue/manifest\.json"):
        open_corpus(folder)
    without = open_corpus(folder, needs=("streaming_qa",))
    assert not any(material.dialogues for material in without.materials["train"])


@pytest.mark.parametrize("stage", ["index", "events", "streaming_qa", "frame_events", "dialogue"])
def test_another_schema_version_is_refused(folder, stage):
    path = folder / stage / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"schema_version": "0.9.0"}))
    with pytest.raises(CorpusError, match=rf"{stage}/manifest.json: schema is 'streamvl' '0.9.0', expected") as found:
        check_folder(folder, ("streaming_qa", "frame_events", "dialogue"))
    assert "rebuild" in str(found.value)


def test_a_manifest_that_is_none(folder):
    (folder / "events/manifest.json").write_text("{")
    with pytest.raises(CorpusError, match="not valid JSON"):
        open_corpus(folder)


def test_a_table_of_another_version_under_a_right_manifest(folder):
    path = folder / "streaming_qa/qa/train.parquet"
    table = pq.read_table(path)
    marks = dict(table.schema.metadata) | {b"streamvl.schema_version": b"0.9.0"}
    pq.write_table(table.replace_schema_metadata(marks), path)
    resize(folder, "streaming_qa")
    with pytest.raises(CorpusError, match=r"schema_version is 0\.9\.0"):
        open_corpus(folder)


def test_a_table_that_was_cut(folder):
    path = folder / "events/events.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorpusError, match="is missing or not of"):
        open_corpus(folder)


def test_a_dataset_older_than_the_index(folder):
    path = folder / "index/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": "another"}))
    with pytest.raises(CorpusError, match="was built before index was made anew"):
        open_corpus(folder)


def test_a_video_that_is_gone_is_found_before_anything_is_read(folder):
    video = read_videos(folder)[0]
    (folder / "videos" / video.uri).unlink()
    # Nobody comes as far as this table.
    (folder / "streaming_qa/qa/train.parquet").write_bytes(b"no table")
    resize(folder, "streaming_qa")
    with pytest.raises(CorpusError, match=f"{video.uri}: the video of .* is gone"):
        open_corpus(folder)


def test_all_videos_that_are_gone_are_counted(folder):
    for video in read_videos(folder)[:3]:
        (folder / "videos" / video.uri).unlink()
    with pytest.raises(CorpusError, match="and 2 more is gone"):
        open_corpus(folder)


def test_a_video_that_changed(folder):
    video = read_videos(folder)[0]
    (folder / "videos" / video.uri).write_bytes(b"another film")
    with pytest.raises(CorpusError, match="another size than was indexed"):
        open_corpus(folder)


def test_a_quarantined_video_is_counted_and_not_used(folder):
    spoiled = read_videos(folder)[0]
    problem = Problem(code="no_video", detail="nothing decodes")

    def change(row):
        if row.id != spoiled.id:
            return row
        return row.model_copy(update={"status": "quarantined", "problems": (problem,)})

    rewrite(folder, Video, change)
    (folder / "videos" / spoiled.uri).unlink()
    corpus = open_corpus(folder)
    (unused,) = corpus.unused
    assert (unused.video_id, unused.uri) == (spoiled.id, spoiled.uri)
    assert "nothing decodes" in unused.reason
    assert spoiled.id not in corpus.footage()


def test_a_record_outside_its_video_is_refused(folder):
    def change(row):
        return row.model_copy(update={"end_ns": row.end_ns + 10**12, "known_from_ns": row.known_from_ns})

    rewrite(folder, Event, change)
    with pytest.raises(CorpusError, match=r"Event .* speaks of \d+ ns, but its video"):
        open_corpus(folder)


def test_a_video_in_two_folders_is_refused(made_folder, folder):
    with pytest.raises(CorpusError, match="name one"):
        open_corpus(made_folder, folder)


@pytest.mark.slow
def test_two_folders_make_one_corpus(made_folder, tmp_path):
    scenes = made_scenes()[:1]
    for scene in scenes:
        scene.video = scene.video.model_copy(update={"id": "f" * 20, "video_id": "f" * 20})
        scene.annotations = []
        scene.shots = [row.model_copy(update={"video_id": "f" * 20}) for row in scene.shots]
        scene.signals = [row.model_copy(update={"video_id": "f" * 20}) for row in scene.signals]
        scene.keyframes = [row.model_copy(update={"video_id": "f" * 20}) for row in scene.keyframes]
    other = build(tmp_path / "other", scenes)
    corpus = open_corpus(made_folder, other)
    assert len(corpus.materials["train"]) == 3
    assert corpus.materials["train"][-1].footage.video.id == "f" * 20
