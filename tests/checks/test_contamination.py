"""Contamination on folders made by hand: what is shared is found, and what everybody says and shows is not."""

import json
import shutil

import pytest

from datasets_build.checks.benchmarks import BenchmarkFile
from datasets_build.checks.contamination import ContaminationConfig, check_contamination
from datasets_build.checks.laws import Ledger
from datasets_build.core.files import DataError
from datasets_build.core.layout import read_videos
from datasets_build.core.records import Dialogue, StreamingQA
from datasets_build.core.table import write_table
from tests.builders.made import bare, write_out
from tests.checks.leaky import picture, recoded
from tests.checks.test_text_leaks import question, talk, user

SPECIAL = "Did Ambrose the juggler drop seven paper lanterns beside the mossy fountain?"
COMMON = "Can you tell me whether the red circle has entered the picture so far?"


def folder(path, pictures, *, asked=None, said=None):
    """Videos by name, each with its split and its pictures; questions and user turns by the name of their video."""
    scenes = []
    for name, (split, jpegs) in pictures.items():
        scene = bare(name, frames=max(1, len(jpegs)), split=split)
        key = scene.keyframes[0]
        scene.keyframes = [
            key.model_copy(update={"id": f"{name}-{k}", "frame_index": k, "t_ns": scene.clock.time_of(k), "jpeg": jpeg})
            for k, jpeg in enumerate(jpegs)
        ]
        scenes.append(scene)
    out = write_out(path, scenes)
    for split in ("train", "validation", "test"):
        inside = [scene.video for scene in scenes if scene.video.split == split]
        _write(out / "streaming_qa" / "qa" / f"{split}.parquet", StreamingQA, _asked(inside, asked or {}))
        _write(out / "dialogue" / "dialogues" / f"{split}.parquet", Dialogue, _said(inside, said or {}))
    return out


def _asked(videos, texts):
    for video in videos:
        for k, text in enumerate(texts.get(video.uri.removesuffix(".mp4"), ())):
            yield question(text, "Yes.").model_copy(update={"id": f"{video.id}-{k}", "video_id": video.id})


def _said(videos, texts):
    for video in videos:
        turns = [user(text, k, f"u{k}") for k, text in enumerate(texts.get(video.uri.removesuffix(".mp4"), ()))]
        if turns:
            yield talk(*turns).model_copy(update={"id": f"d-{video.id}", "video_id": video.id})


def _write(path, model, rows):
    rows = list(rows)
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, model, rows)


def found(out, **config):
    ledger = Ledger(50)
    check_contamination(out, read_videos(out), ContaminationConfig(**config), ledger)
    return {violation.law: violation.found for violation in ledger.violations}, dict(ledger.checked)


def shots(*seeds):
    return [picture(seed) for seed in seeds]


def test_other_pictures_break_nothing(tmp_path):
    out = folder(tmp_path / "out", {"a": ("train", shots(1, 2)), "b": ("train", shots(3)), "c": ("test", shots(4, 5))})
    assert found(out) == ({}, {"split_by_pictures": 2})


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_same_film_in_two_splits(tmp_path, split):
    again = [recoded(jpeg) for jpeg in shots(1, 2, 3)]
    out = folder(tmp_path / "out", {"a": ("train", shots(1, 2, 3)), "b": (split, again)})
    assert found(out)[0] == {
        "split_by_pictures": f"a.mp4 with the pictures of b.mp4, which is in {split}",
    }


def test_the_same_film_twice_in_one_split(tmp_path):
    out = folder(tmp_path / "out", {"a": ("train", shots(1, 2)), "b": ("train", shots(1, 2)), "c": ("test", shots(9))})
    assert found(out)[0] == {}


def test_a_clip_of_a_film_is_found(tmp_path):
    out = folder(tmp_path / "out", {"a": ("train", shots(*range(12))), "b": ("test", shots(7, 8))})
    assert "split_by_pictures" in found(out)[0]


def test_one_shared_picture_of_many_is_none(tmp_path):
    out = folder(tmp_path / "out", {"a": ("train", shots(1, 2, 3, 4)), "b": ("test", shots(1, 6, 7, 8))})
    assert found(out)[0] == {}
    assert "split_by_pictures" in found(out, picture_share=0.25)[0]


def test_black_pictures_are_everybodys(tmp_path):
    black = picture(0, lighter=-255)
    out = folder(tmp_path / "out", {"a": ("train", [black, black]), "b": ("test", [black, black])})
    assert found(out)[0] == {}


def test_a_special_question_in_two_splits(tmp_path):
    videos = {"a": ("train", []), "b": ("test", [])}
    out = folder(tmp_path / "out", videos, asked={"a": [SPECIAL.upper()], "b": [SPECIAL]})
    assert found(out)[0]["split_by_questions"].startswith(repr(SPECIAL.upper()))


def test_a_special_question_in_a_dialogue(tmp_path):
    videos = {"a": ("train", []), "b": ("validation", [])}
    out = folder(tmp_path / "out", videos, said={"a": ["Hello.", SPECIAL]}, asked={"b": [SPECIAL]})
    assert "split_by_questions" in found(out)[0]


def test_what_everybody_asks_is_no_leak(tmp_path):
    names = [f"v{k}" for k in range(12)]
    videos = {name: ("test" if k > 9 else "train", []) for k, name in enumerate(names)}
    out = folder(tmp_path / "out", videos, asked=dict.fromkeys(names, (COMMON,)))
    assert found(out) == ({}, {"split_by_questions": 10})


@pytest.mark.parametrize(
    "text",
    [
        "In which order did it happen the last three times that something stopped?",
        "Has the scene cut to a new shot until now, or is it still the same one?",
    ],
)
def test_our_own_phrasing_is_nobodys_copy_however_few_videos_there_are(tmp_path, text):
    videos = {"a": ("train", []), "b": ("test", [])}
    assert found(folder(tmp_path / "out", videos, asked={"a": [text], "b": [text]})) == ({}, {"split_by_questions": 1})


def test_a_question_that_shares_some_words_is_another(tmp_path):
    other = "Did Ambrose the juggler drop any of the plates, hats or rings on stage tonight?"
    out = folder(tmp_path / "o", {"a": ("train", []), "b": ("test", [])}, asked={"a": [other], "b": [SPECIAL]})
    assert found(out)[0] == {}


@pytest.fixture
def ovo(tmp_path):
    path = tmp_path / "ovo.json"
    items = [{"video": "x/film_000123.mp4", "question": SPECIAL}, {"video": "y/short.mp4", "question": "What is it?"}]
    path.write_text(json.dumps(items))
    return BenchmarkFile(format="ovo_bench", file=str(path))


def test_a_benchmarks_question_and_video(tmp_path, ovo):
    videos = {"film_000123": ("train", []), "short": ("train", [])}
    asked = {"film_000123": [COMMON], "short": [f"Please tell me: {SPECIAL}", "What is it?"]}
    breaches, checked = found(folder(tmp_path / "out", videos, asked=asked), benchmarks=(ovo,))
    assert breaches["benchmark_videos"] == "film_000123.mp4, which is OVO-Bench x/film_000123.mp4"
    assert breaches["benchmark_questions"].endswith(f"which is OVO-Bench: {SPECIAL}")
    assert checked == {"split_by_questions": 3, "benchmark_videos": 2, "benchmark_questions": 3}


def test_a_benchmark_may_be_measured_with(tmp_path, ovo):
    videos = {"film_000123": ("test", []), "other": ("train", [])}
    out = folder(tmp_path / "out", videos, asked={"film_000123": [SPECIAL], "other": [COMMON]})
    assert found(out, benchmarks=(ovo,))[0] == {}


def test_a_benchmark_without_items_is_refused(tmp_path):
    path = tmp_path / "none.json"
    path.write_text("[]")
    out = folder(tmp_path / "out", {"a": ("train", [])})
    with pytest.raises(DataError, match="no items"):
        found(out, benchmarks=(BenchmarkFile(format="ovo_bench", file=str(path)),))


def test_pictures_of_a_benchmarks_folder(tmp_path):
    out = folder(tmp_path / "out", {"a": ("train", shots(1, 2)), "b": ("test", shots(5))})
    other = folder(tmp_path / "other", {"film": ("train", [recoded(jpeg) for jpeg in shots(1, 2)])})
    assert found(out, folders=(str(other),))[0] == {
        "benchmark_pictures": f"a.mp4 with the pictures of {other}/film.mp4"
    }
    with pytest.raises(DataError):
        found(out, folders=(str(tmp_path / "absent"),))


def test_tables_that_cannot_be_read_are_anothers_matter(tmp_path):
    out = folder(tmp_path / "out", {"a": ("train", shots(1)), "b": ("test", shots(1))}, asked={"a": [SPECIAL]})
    (out / "streaming_qa" / "qa" / "train.parquet").write_bytes(b"no table")
    (out / "perceive" / "keyframes.parquet").write_bytes(b"no table")
    assert found(out) == ({}, {})


def test_a_folder_that_was_never_perceived(tmp_path):
    out = folder(tmp_path / "out", {"a": ("train", shots(1)), "b": ("test", shots(1))})
    shutil.rmtree(out / "perceive")
    assert found(out) == ({}, {})
