"""The folder that people correct: finished, not augmented, each video with its own records."""

import json
import shutil
from dataclasses import replace

import pytest

from annotate.errors import AnnotateError
from annotate.source import STAGES, check_folder, digest_of, films, labels_of
from datasets_build.core.clock import Span
from datasets_build.core.files import DataError
from tests.annotate.test_sheets import dialogue, event, ids, question, turn

KINDS = ("events", "qa", "dialogue")


@pytest.fixture
def copied(clips, tmp_path):
    """A copy of the folder that a test may spoil."""
    return shutil.copytree(clips, tmp_path / "copied")


@pytest.mark.parametrize("kind", KINDS)
def test_each_video_has_its_own_records_and_those_of_the_kind_alone(clips, kind):
    found = list(films(clips, kind))
    assert [film.video.split for film in found] == ["train", "test"]
    for film in found:
        assert film.path.is_file()
        assert len(film.clock) == film.video.n_frames
        own = (*film.events, *film.keyframes, *film.questions, *film.dialogues)
        assert {row.video_id for row in own} == {film.video.id}
        assert bool(film.questions) is (kind == "qa")
        assert bool(film.dialogues) is (kind == "dialogue")
        assert all(frame.jpeg == b"" for frame in film.keyframes)


@pytest.mark.parametrize("kind", KINDS)
def test_one_window_over_a_whole_video_asks_about_everything_of_it(clips, kind):
    for film in films(clips, kind):
        sheet = film.sheet(kind, Span(start_ns=0, end_ns=film.clock.end_ns))
        events = [row.id for row in film.events if row.label != "video_start"]
        asked = [row.id for row in film.questions if row.answers]
        said = [one.id for row in film.dialogues for one in row.turns if one.role != "system"]
        assert sheet.kind == kind
        assert sorted(ids(sheet)) == sorted({"events": events, "qa": asked, "dialogue": said}[kind])


@pytest.mark.parametrize("kind", ["qa", "dialogue"])
def test_what_is_said_at_the_very_end_is_asked_with_the_last_window_and_with_no_other(clips, kind):
    film = next(films(clips, kind))
    end, middle = film.clock.end_ns, film.clock.time_of(20)
    late = replace(film, questions=[question("late", end, end)], dialogues=[dialogue("d", turn("late", end, end))])
    assert ids(late.sheet(kind, Span(start_ns=middle, end_ns=end))) == ["qlate" if kind == "qa" else "tlate"]
    assert not ids(late.sheet(kind, Span(start_ns=0, end_ns=middle)))


def test_cuts_keep_away_from_events_questions_with_their_answers_and_turns(clips):
    film = next(films(clips, "events"))
    busy = replace(
        film,
        events=[event("a", 1, 5)],
        questions=[question("b", 6, 9, 30), question("unanswered", 40)],
        dialogues=[dialogue("d", turn("c", 10, 12))],
    ).busy
    assert [(span.start_ns, span.end_ns) for span in busy] == [(1, 5), (6, 9), (10, 12)]


def test_labels_are_those_of_the_events_each_once_in_order_of_the_alphabet(clips):
    labels = labels_of(clips)
    assert labels == tuple(sorted(set(labels)))
    assert set(labels) == {row.label for film in films(clips, "events") for row in film.events} - {"video_start"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_for_the_records_is_that_of_their_stage(clips, kind):
    manifest = json.loads((clips / STAGES[kind] / "manifest.json").read_bytes())
    assert digest_of(clips, kind) == manifest["fingerprint"]


@pytest.mark.parametrize("text", ["{}", "[]", '{"fingerprint": 3}'])
def test_a_stage_that_does_not_tell_what_it_is_is_named(copied, text):
    (copied / "events" / "manifest.json").write_text(text)
    with pytest.raises(AnnotateError, match=r"events/manifest\.json: field fingerprint is .*, expected text"):
        digest_of(copied, "events")


@pytest.mark.parametrize(("kind", "stage"), [*((kind, "index") for kind in KINDS), *STAGES.items(), ("qa", "events")])
def test_a_folder_that_lacks_a_stage_is_not_finished(copied, kind, stage):
    (copied / stage / "manifest.json").unlink()
    with pytest.raises(AnnotateError, match=f"holds no finished {stage}; expected an output of python -m"):
        check_folder(copied, kind)
    with pytest.raises(AnnotateError, match=f"holds no finished {stage}"):
        next(films(copied, kind))


def test_a_stage_that_is_not_asked_about_may_be_missing(copied):
    shutil.rmtree(copied / "streaming_qa")
    check_folder(copied, "events")
    assert list(films(copied, "dialogue"))


def test_an_augmented_folder_is_not_for_people(copied):
    (copied / "augment").mkdir()
    (copied / "augment" / "manifest.json").write_text("{}")
    with pytest.raises(AnnotateError, match="is augmented; people correct the folder that it was made of"):
        check_folder(copied, "events")


def test_a_folder_that_was_not_perceived_has_no_keyframes(copied):
    shutil.rmtree(copied / "perceive")
    assert [film.keyframes for film in films(copied, "events")] == [(), ()]


def test_a_table_that_is_broken_is_named(copied):
    (copied / "events" / "events.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"events\.parquet"):
        labels_of(copied)


def test_no_folder_at_all_is_said_in_one_sentence(tmp_path):
    with pytest.raises(AnnotateError, match="nowhere: holds no finished index"):
        check_folder(tmp_path / "nowhere", "events")
