"""Corpora in an index as a user builds it: real annotation files with drawn videos that are named as theirs."""

import csv
import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.frame_events import FrameEventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.config import load_config
from datasets_build.core.files import DataError, read_json, read_rejects
from datasets_build.core.layout import read_videos, table_path
from datasets_build.core.records import Annotation, Dialogue, Event, StreamingQA
from datasets_build.core.stage import Stage, StageError, output_folder
from datasets_build.core.table import read_table
from datasets_build.engines.local import Local
from datasets_build.perception.perceive import PerceiveConfig, perceive
from datasets_build.sources.index import IndexConfig, build_index
from tests.drawn import VideoSpec, draw_video
from tests.sources.corpora import S, file


def draw(folder: Path, name: str, *, seconds: str) -> Path:
    """A drawn video of two frames a second that lasts about as long as a real one does."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_video(folder / name, VideoSpec(rate=Fraction(2), frames=round(Fraction(seconds) * 2), size=(96, 72)))
    return folder


def indexed(videos: Path, out: Path, corpora: str, *more: str, force: bool = False) -> Stage:
    config = load_config(IndexConfig, None, [f"corpora={corpora}", "check_decoders=[]", *more])
    with output_folder(out):
        return build_index(videos, out, config, engine=Local(1), force=force)


def annotations(out: Path) -> list[Annotation]:
    return list(read_table(table_path(out, Annotation), Annotation))


def rejected(out: Path) -> list[tuple[str, str]]:
    return [(row.item, row.code) for row in read_rejects(out / "index" / "rejects.jsonl")]


def accounts(out: Path) -> list[dict]:
    return read_json(out / "index" / "corpora.json")


def balanced(out: Path) -> bool:
    """Whether every row of every corpus is placed, rejected, or of a video that is not there."""
    return all(
        each["rows"] + each["copies"] == each["annotations"] + each["rejected"] + each["absent"]
        for each in accounts(out)
    )


CAPTIONS = {"v_a": {"duration": 10, "timestamps": [[1, 2], [3, 10.25], [5, 4]], "sentences": ["One.", "Two.", "x"]}}


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "videos"
    return draw(folder, "v_a.mp4", seconds="10")


def test_rows_become_annotations_with_their_file_and_its_digest(videos, tmp_path):
    path = file(tmp_path, "val_1.json", json.dumps(CAPTIONS | {"v_b": CAPTIONS["v_a"]}))
    stage = indexed(videos, tmp_path / "out", f"[{{format: activitynet, file: {path}, licence: CC BY 4.0}}]")
    first, second = annotations(tmp_path / "out")
    assert (first.text, first.start_ns, first.end_ns, first.adjusted) == ("One.", S, 2 * S, None)
    assert (second.end_ns, second.adjusted) == (10 * S, "cut to the video from 3000000000..10250000000 ns")
    (told,) = accounts(tmp_path / "out")
    assert {row.provenance.version for row in (first, second)} == {told["sha256"]}
    assert rejected(tmp_path / "out") == [
        ("activitynet:val_1.json", "bad_span"),
        ("activitynet:val_1.json", "video_absent"),
    ]
    assert (told["rows"], told["annotations"], told["rejected"], told["absent"]) == (6, 2, 1, 3)
    assert balanced(tmp_path / "out")
    assert (stage.counts()["corpus rows"], stage.counts()["corpus rows of absent videos"]) == (6, 3)
    (video,) = read_videos(tmp_path / "out")
    assert video.licence == "unknown; annotations activitynet:val_1.json: CC BY 4.0"


def test_a_corpus_that_changes_asks_for_a_rebuild_and_one_that_moves_does_not(videos, tmp_path):
    path, out = file(tmp_path, "val_1.json", json.dumps(CAPTIONS)), tmp_path / "out"
    indexed(videos, out, f"[{{format: activitynet, file: {path}}}]")
    before = {each.name: each.read_bytes() for each in (out / "index").iterdir() if each.is_file()}
    (tmp_path / "moved").mkdir()
    moved = shutil.copy(path, tmp_path / "moved")
    assert indexed(videos, out, f"[{{format: activitynet, file: {moved}}}]").reused
    path.write_text(json.dumps({"v_a": {**CAPTIONS["v_a"], "duration": 9.9}}))
    with pytest.raises(StageError, match=r"input files: changed activitynet:val_1\.json val_1\.json"):
        indexed(videos, out, f"[{{format: activitynet, file: {path}}}]")
    with pytest.raises(StageError, match=r"input\.corpora\.0"):
        indexed(videos, out, f"[{{format: activitynet, file: {moved}, split: test}}]")
    with pytest.raises(StageError, match="gone activitynet"):
        indexed(videos, out, "[]")
    indexed(videos, out, f"[{{format: activitynet, file: {moved}}}]", force=True)
    assert {each.name: each.read_bytes() for each in (out / "index").iterdir() if each.is_file()} == before


def test_a_yaml_names_corpora_beside_it(videos, tmp_path):
    file(tmp_path, "val_1.json", json.dumps(CAPTIONS))
    yaml = file(
        tmp_path,
        "build.yaml",
        "check_decoders: []\ncorpora:\n  - {format: activitynet, file: val_1.json, split: validation}\n",
    )
    with output_folder(tmp_path / "out"):
        build_index(videos, tmp_path / "out", load_config(IndexConfig, yaml), engine=Local(1))
    assert len(annotations(tmp_path / "out")) == 2
    assert [video.split for video in read_videos(tmp_path / "out")] == ["validation"]


def test_a_corpus_beside_the_videos_is_no_sidecar(tmp_path):
    folder = draw(tmp_path / "videos", "111.mp4", seconds="10")
    file(folder, "111.json", json.dumps({"human_caption": "word " * 40, "video_id": 111}))
    indexed(folder, tmp_path / "out", f"[{{format: pe_video, file: {folder}}}]")
    (row,) = annotations(tmp_path / "out")
    assert (row.start_ns, row.end_ns, row.origin) == (0, 10 * S, "pe_video")
    assert rejected(tmp_path / "out") == []


def test_two_corpora_that_split_one_video_are_refused(videos, tmp_path):
    first, second = (file(tmp_path, name, json.dumps(CAPTIONS)) for name in ("val_1.json", "val_2.json"))
    one = f"{{format: activitynet, file: {first}, split: train}}"
    other = f"{{format: activitynet, file: {second}, split: test}}"
    with pytest.raises(DataError, match=r"v_a\.mp4: activitynet:val_2\.json says test"):
        indexed(videos, tmp_path / "out", f"[{one}, {other}]")


def test_a_file_of_another_format_is_an_error_and_leaves_no_index(videos, tmp_path):
    path = file(tmp_path, "x.csv", "a,b\n1,2\n")
    with pytest.raises(DataError, match=r"x\.csv: found columns a, b, expected also narration_id"):
        indexed(videos, tmp_path / "out", f"[{{format: epic_kitchens, file: {path}}}]")
    assert not (tmp_path / "out" / "index").exists()
    # Told before any video was decoded.
    assert not (tmp_path / "out" / ".work" / "index" / "parts").exists()


def corpora(real_data: Path) -> str:
    folder = real_data / "annotations"
    epic = folder / "epic_kitchens_100"
    return (
        f"[{{format: activitynet, file: {folder}/activitynet_captions/val_1.json}},"
        f"{{format: youcook2, file: {folder}/youcook2/yc2_val.json, split: validation}},"
        f"{{format: qvhighlights, file: {folder}/qvhighlights/highlight_val_release.jsonl}},"
        f"{{format: charades, file: {folder}/charades/charades_test_release.jsonl, split: test}},"
        f"{{format: epic_kitchens, file: {epic}/EPIC_100_validation.csv, info: {epic}/EPIC_100_video_info.csv}},"
        f"{{format: video_json, file: {folder}/qa_with_video/llamafactory_mllm_video_demo.json}},"
        f"{{format: video_json, file: {folder}/qa_with_video/qwen3vl_demo_video.json}}]"
    )


@pytest.mark.slow
def test_every_row_of_the_real_files_is_accounted_for(real_data, tmp_path):
    """One drawn video for each corpus, as long as the real one: its rows come out, those of all others are counted."""
    folder = tmp_path / "videos"
    for name, seconds in (
        ("v_uqiMw7tQ1Cc.mp4", "55.15"),
        ("3MSZA.mp4", "30.96"),
        ("mllm_demo_data/1.mp4", "5"),
        ("NUsG9BgSes0_210.0_360.0.mp4", "150"),
    ):
        draw((folder / name).parent, Path(name).name, seconds=seconds)
    info = real_data / "annotations/epic_kitchens_100/EPIC_100_video_info.csv"
    actions = real_data / "annotations/epic_kitchens_100/EPIC_100_validation.csv"
    with actions.open(newline="") as handle:
        present = {row["video_id"] for row in csv.DictReader(handle)}
    with info.open(newline="") as handle:
        known = [row for row in csv.DictReader(handle) if row["video_id"] in present]
        shortest = min(known, key=lambda row: float(row["duration"]))
    draw(folder, f"{shortest['video_id']}.MP4", seconds=shortest["duration"])
    steps = json.loads((real_data / "annotations/youcook2/yc2_val.json").read_text())
    cook = min(steps, key=lambda name: steps[name]["duration"])
    draw(folder, f"{cook.removeprefix('v_')}.mp4", seconds=str(steps[cook]["duration"]))
    indexed(folder, tmp_path / "out", corpora(real_data))
    told = {each["uri"]: each for each in accounts(tmp_path / "out")}
    assert [each["rows"] for each in told.values()] == [17505, 3492, 2803, 3720, 9668, 3, 3]
    assert balanced(tmp_path / "out")
    with actions.open(newline="") as handle:
        acts = sum(row["video_id"] == shortest["video_id"] for row in csv.DictReader(handle))
    moments = told["qvhighlights:highlight_val_release.jsonl"]["annotations"]
    placed = [each["annotations"] for each in told.values()]
    assert placed == [2, len(steps[cook]["sentences"]), moments, 4, acts, 1, 0]
    assert moments > 0
    assert {code for _, code in rejected(tmp_path / "out")} == {"video_absent", "not_kept"}
    assert [row.text for row in annotations(tmp_path / "out") if row.kind == "qa"] == [
        "Why is this video funny?\nBecause a baby is reading, and he is so cute!"
    ]
    splits = {video.uri: video.split for video in read_videos(tmp_path / "out")}
    assert (splits["3MSZA.mp4"], splits[f"{cook.removeprefix('v_')}.mp4"]) == ("test", "validation")


@pytest.mark.slow
def test_builders_make_data_of_a_row_and_checks_find_it_whole(real_data, tmp_path):
    folder = tmp_path / "videos"
    draw(folder, "v_uqiMw7tQ1Cc.mp4", seconds="55.15")
    out = tmp_path / "out"
    indexed(folder, out, corpora(real_data))
    with output_folder(out):
        perceive(out, PerceiveConfig(), engine=Local(1))
        # Only what is told: a drawn number a frame is all shots and movement.
        build_events(out, EventsConfig(signals=False))
        build_streaming_qa(out, StreamingQAConfig())
        build_frame_events(out, FrameEventsConfig())
        build_dialogue(out, DialogueConfig())
        result = run_checks(out, CheckConfig())
    events = {row.id: row for row in read_table(table_path(out, Event), Event) if row.source == "annotation"}
    assert [(row.caption, row.label_set) for row in events.values()] == [
        ("A weight lifting tutorial is given.", "activitynet"),
        ("The coach helps the guy in red with the proper body placement and lifting technique.", "activitynet"),
    ]
    (questions,) = (out / "streaming_qa" / "qa").glob("*.parquet")
    asked = [row for row in read_table(questions, StreamingQA) if any(e.event_id in events for e in row.evidence)]
    (talks,) = (out / "dialogue" / "dialogues").glob("*.parquet")
    (talk,) = read_table(talks, Dialogue)
    assert asked or any(turn.trigger_ref in events for turn in talk.turns)
    assert talk.turns
    assert (result.broken, result.checked > 100) == (0, True)
