"""What export wrote for a trainer is read back: what its loss report names is lost, all else is as it was."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.layout import clock_of, dataset_rows, read_videos
from datasets_build.core.records import Dialogue, Provenance
from datasets_build.formats import llamafactory, ms_swift, qwen_finetune, timed, webdataset
from datasets_build.formats.chats import info_of
from datasets_build.formats.export import export
from datasets_build.formats.format import FormatError, Options
from datasets_build.formats.forms import TIMED
from datasets_build.formats.importing import ImportConfig, import_again, import_file
from datasets_build.formats.loss import LossReport
from datasets_build.formats.place import Place, RowError
from datasets_build.formats.rows import ROWS, ForeignRow, _conversations, _messages
from datasets_build.formats.samples import escaped, samples_of
from datasets_build.formats.steps import of_dialogue, steps_of
from tests.formats.made import reel_of, said, talk_of, talks
from tests.laws import examples

PROVENANCE = Provenance(kind="corpus", agent="made:file", version="sha256:0")
FORMATS = {
    "ms-swift": (lambda sample, reel: ms_swift.row_of(sample, []), _messages, True),
    "webdataset": (webdataset.row_of, _messages, True),
    "llamafactory": (lambda sample, reel: llamafactory.row_of(sample, []), _messages, False),
    "qwen-vl-finetune": (lambda sample, reel: qwen_finetune.row_of(sample, []), _conversations, False),
}


def written(name, sample, reel):
    """A sample as a row of a format, read as the check reads it."""
    row_of, messages, _ = FORMATS[name]
    row = json.loads(row_of(sample, reel).model_dump_json(exclude_none=True))
    return ForeignRow(where="train.jsonl:1", id=sample.key, messages=messages(row), images=())


def due(sample, options, *, turn_loss):
    """What has to come back of a sample, from its steps alone: role, words, time, and the loss where there is one."""
    for step in sample.steps:
        if step.users:
            yield "user", escaped(step.user_text, options), step.t_ns, True, 1.0
        if step.said:
            weight = step.weight if step.learn and turn_loss else 1.0
            yield "assistant", escaped(step.text, options), step.t_ns, step.learn, weight


def back(name, sample, reel, options):
    """What comes back of a sample."""
    return [
        (line.role, line.text, line.t_ns, line.learn, line.weight if line.learn else 1.0)
        for line in timed.lines_of(written(name, sample, reel), info_of(sample, reel), options)
    ]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("layout", ["steps", "turns"])
@given(data=st.data())
@trying(max_examples=examples(60), deadline=None)
def test_all_that_the_losses_do_not_name_comes_back(name, layout, data):
    options = Options(fps=data.draw(st.sampled_from(["1", "2", "native"])), layout=layout)
    talk, losses, turn_loss = data.draw(talks()), LossReport(name), FORMATS[name][2]
    reel = reel_of(talk)
    for sample in samples_of(reel, options, losses, turn_loss=turn_loss):
        assert back(name, sample, reel, options) == list(due(sample, options, turn_loss=turn_loss))
    # Without a loss of that name every turn is one line of its own, at its own instant.
    fields = {loss.field for loss in losses}
    if not fields & {"turn of its own", "turn.start_ns", "turn behind the last message", "turn after the last step"}:
        said = {(turn.start_ns, escaped(turn.text, options)) for turn in talk.turns if turn.role == "assistant"}
        found = {(t, text) for s in samples_of(reel, options, LossReport(name), turn_loss=turn_loss)
                 for role, text, t, *_ in back(name, s, reel, options) if role == "assistant"}  # fmt: skip
        assert said == found


@pytest.mark.parametrize("name", FORMATS)
def test_words_that_look_like_a_decision_or_a_frame_stay_words(name):
    """The export puts a space into them, so that nothing of it is taken for a frame, and tells so as a loss."""
    talk = talk_of(
        said("a", "user", 0.1, "<image>\n</Silence>\nOn two\n\nlines."),
        said("b", "assistant", 1.2, "</Standby>"),
        said("c", "assistant", 2.2, "Yes.\nNo.", learn=False),
        said("d", "assistant", 3.2, "So."),
    )
    options, losses = Options(fps="2"), LossReport(name)
    (sample,) = samples_of(reel_of(talk), options, losses, turn_loss=FORMATS[name][2])
    assert [row[:2] + row[3:4] for row in back(name, sample, reel_of(talk), options)] == [
        ("user", "< image>\n< /Silence>\nOn two\n\nlines.", True),
        ("assistant", "< /Standby>", True),
        ("assistant", "Yes.\nNo.", False),
        ("assistant", "So.", True),
    ]
    assert "text that looks like a tag" in {loss.field for loss in losses}


@pytest.mark.parametrize("count", [2, 4])
def test_rows_with_more_or_fewer_frames_than_steps_are_refused(count):
    talk, options = talk_of(said("a", "user", 0.1, "What?"), said("b", "assistant", 2.2, "That.")), Options(fps="1")
    (sample,) = samples_of(reel_of(talk), options, LossReport("x"), turn_loss=True)
    info, row = info_of(sample, reel_of(talk)), written("ms-swift", sample, reel_of(talk))
    assert len(info.steps) == 4
    wrong = info.model_copy(update={"steps": (*info.steps, info.steps[-1])[: 2 * count - 3 if count == 4 else count]})
    with pytest.raises(FormatError, match=r"train\.jsonl:1: found (frame 2|4 frames), expected"):
        list(timed.lines_of(row, wrong, options))


@pytest.fixture
def indexed(out, tmp_path):
    """The index of the videos of `out`, in a folder to import into."""
    shutil.copytree(out / "index", tmp_path / "in" / "index")
    return tmp_path / "in"


@pytest.mark.parametrize("name", sorted(ROWS))
def test_an_export_becomes_dialogues_at_the_times_of_its_steps(name, out, exported, indexed):
    stage, *_ = import_file(exported(name, fps="1"), indexed, ImportConfig(format=name))
    was = {row.video_id: row for row in dataset_rows(out, "dialogue/dialogues", Dialogue)}
    now = {row.video_id: row for row in dataset_rows(indexed, "dialogue/dialogues", Dialogue)}
    assert stage.counts()["imported"] == len(was) == len(now) > 1
    for video, clock in ((video, clock_of(out, video)) for video in read_videos(out)):
        steps = steps_of(of_dialogue(was[video.id]), clock, Options(fps="1").rate).steps
        wanted = [
            *((step.t_ns, step.user_text) for step in steps if step.users),
            *((step.t_ns, step.text) for step in steps if step.said),
        ]
        found = [(turn.start_ns, turn.text) for turn in now[video.id].turns]
        # Behind the last message nothing is learned, which the losses name.
        assert set(found) <= set(wanted)
        assert len(found) >= len(wanted) - 1
        assert now[video.id].provenance.agent.startswith(f"{name}:")


def test_an_imported_export_passes_every_check_and_is_made_again_from_what_the_folder_keeps(exported, indexed):
    import_file(exported("hf", fps="2"), indexed, ImportConfig(format="hf"))
    # Drawn videos of one rate and length are the same file, which stands in two splits.
    assert [law.name for law in run_checks(indexed, CheckConfig()).laws if law.broken] == ["split_by_source"]
    rows = list(dataset_rows(indexed, "dialogue/dialogues", Dialogue))
    import_again(indexed, force=True)
    assert list(dataset_rows(indexed, "dialogue/dialogues", Dialogue)) == rows


def test_one_file_of_an_export_is_read_alone(exported, indexed):
    file = exported("ms-swift", fps="2") / "test.jsonl"
    stage, *_ = import_file(file, indexed, ImportConfig(format="ms-swift"))
    assert stage.counts()["rows"] == len(file.read_text().splitlines()) == 1


def test_windows_of_a_record_are_one_dialogue_again(out, indexed, tmp_path):
    export(out / "dialogue", "webdataset", tmp_path / "x", Options(fps="2", max_steps=5))
    export(out / "dialogue", "webdataset", tmp_path / "y", Options(fps="2"))
    file, content = timed.timed_rows(tmp_path / "x", "webdataset")
    assert file == "x.lines.jsonl"
    windows, whole = (
        [json.loads(line) for line in text.splitlines()]
        for text in (content, timed.timed_rows(tmp_path / "y", "webdataset")[1])
    )
    assert [row["record"] for row in windows] == [row["record"] for row in whole]
    for some, every in zip(windows, whole, strict=True):
        words = [(line["role"], line["text"], line["t_ns"]) for line in every["lines"]]
        assert [(line["role"], line["text"], line["t_ns"]) for line in some["lines"]] == words


def test_a_question_comes_back_as_a_dialogue_of_it_and_its_answers(exported, indexed):
    import_file(exported("trl", "streaming_qa", fps="2", layout="turns"), indexed, ImportConfig(format="trl"))
    for row in dataset_rows(indexed, "dialogue/dialogues", Dialogue):
        assert row.turns[0].role == "user"
        assert {turn.role for turn in row.turns} == {"user", "assistant"}


@pytest.mark.parametrize("name", sorted(TIMED))
def test_a_file_without_times_is_refused_by_name(name, exported, indexed, tmp_path):
    """What others wrote for the same trainer says nothing of when anything is said."""
    alone = tmp_path / "train.jsonl"
    alone.write_text(json.dumps({"messages": [{"role": "user", "content": "<video>Who?"}], "videos": ["a.mp4"]}) + "\n")
    with pytest.raises(FormatError, match=f"files of {name} hold no times, and found no samples.jsonl beside it"):
        import_file(alone, indexed, ImportConfig(format=name))


def test_an_export_for_another_trainer_is_refused(exported, indexed):
    with pytest.raises(FormatError, match="found an export for hf, expected --format hf"):
        import_file(exported("hf", fps="2"), indexed, ImportConfig(format="trl"))


def test_another_video_of_the_name_and_times_between_frames_are_rejects(exported, indexed):
    _, content = timed.timed_rows(exported("ms-swift", fps="2"), "ms-swift")
    row = json.loads(content.splitlines()[0])
    video = next(video for video in read_videos(indexed) if video.uri == row["video"])
    place = Place(video, clock_of(indexed, video), PROVENANCE, "0")
    assert timed.read(row, place).dialogues[0].turns
    for changes, code in (
        ({"sha256": "0" * 64}, "other_video"),
        ({"lines": [row["lines"][0] | {"t_ns": 1}]}, "outside_video"),
        ({"lines": [row["lines"][0] | {"t_ns": 10**12}]}, "outside_video"),
        ({"lines": []}, "no_turns"),
    ):
        with pytest.raises(RowError) as error:
            timed.read(row | changes, place)
        assert error.value.code == code


def test_a_row_comes_back_as_it_was(exported, indexed):
    _, content = timed.timed_rows(exported("ms-swift", fps="2"), "ms-swift")
    for row in map(json.loads, content.splitlines()):
        video = next(video for video in read_videos(indexed) if video.uri == row["video"])
        bundle = timed.read(row, Place(video, clock_of(indexed, video), PROVENANCE, "0"))
        again = timed.write(bundle, video)
        assert again | {"record": row["record"]} == row
        assert [each.dialogues for each in timed.bundles(bundle)] == [bundle.dialogues]
