"""The check on written files: silent on a good folder, and each law finds the fault that was planted for it."""

import json
import shutil

import numpy as np
import pytest

from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.files import DataError
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.records import (
    About,
    DecisionRun,
    Dialogue,
    Event,
    Evidence,
    FrameLabel,
    Probe,
    StreamingQA,
    Turn,
    Video,
)
from datasets_build.core.stage import StageError
from datasets_build.core.table import read_table, write_table
from tests.builders.made import bare, write_out
from tests.checks.planted import (
    edit,
    first_answer,
    good_out,
    has_span,
    is_answer,
    is_answered,
    is_denied,
    later,
    one_more,
    reseal,
    shortened,
    swap,
    talked_into,
)  # fmt: skip

QA, TALK = "streaming_qa/qa/train.parquet", "dialogue/dialogues/train.parquet"
EVENTS, FRAMES = "events/events.parquet", "frame_events/frames_native/train.parquet"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_out(tmp_path_factory.mktemp("good") / "out")


@pytest.fixture
def out(good, tmp_path):
    shutil.copytree(good, tmp_path / "out")
    return tmp_path / "out"


def check(out):
    return run_checks(out, CheckConfig())


def broken(out):
    return {law.name: law.broken for law in check(out).laws if law.broken}


def test_a_good_folder_breaks_nothing(good):
    result = check(good)
    assert result.broken == 0, result.violations[:3]
    assert result.violations == ()
    assert result.checked > 3_000
    assert {law.name for law in result.laws} >= set(FAULTS) | {"split_by_source", "manifest_agrees"}
    assert all(law.checked > 0 for law in result.laws)


def test_the_result_is_written_and_the_same_twice(out):
    check(out)
    first = (out / "check.json").read_bytes()
    content = json.loads(first)
    assert content["broken"] == 0
    assert content["folders"] == ["events", "streaming_qa", "frame_events", "dialogue"]
    assert content["violations"] == []
    assert {"name", "about", "checked", "broken"} == set(content["laws"][0])
    assert sum(law["checked"] for law in content["laws"]) == content["checked"]
    check(out)
    assert (out / "check.json").read_bytes() == first


def qa(change):
    return lambda out: edit(out, QA, StreamingQA, change)


def talk(change):
    return lambda out: edit(out, TALK, Dialogue, change)


def turns(row, change):
    """The row's turns with `change(turn)` in place of the first turn for which it is not None."""
    made = list(row.turns)
    for k, turn in enumerate(made):
        if (new := change(turn)) is not None:
            made[k] = new
            return tuple(made)
    raise AssertionError("no such turn")


def of_turn(wanted, **update):
    """Replace fields of the first turn that is wanted, in the first dialogue that has one."""

    def change(rows):
        def new(turn):
            if not wanted(turn):
                return None
            return turn.model_copy(update={k: v(turn) if callable(v) else v for k, v in update.items()})

        for k, row in enumerate(rows):
            if any(wanted(turn) for turn in row.turns):
                swap.id = row.id
                return [*rows[:k], row.model_copy(update={"turns": turns(row, new)}), *rows[k + 1 :]]
        raise AssertionError("no such turn")

    return talk(change)


def is_count(turn):
    """Whether a turn says a number of its own; spoken lines, which may have one too, are quoted."""
    return is_answer(turn) and any(c.isdigit() for c in turn.text) and '"' not in turn.text


def perceived(model, **update):
    """Replace fields of the last row of a perceived table."""
    file = f"perceive/{model.__name__.lower().removesuffix('s')}s.parquet"
    return lambda out: edit(out, file, model, lambda rows: swap(rows, lambda r: r is rows[-1], **update))


FAULTS = {
    "time_inside": qa(lambda rows: swap(rows, lambda r: r.test_points, test_points=lambda r: (
        r.test_points[0].model_copy(update={"t_ns": 10**15}), *r.test_points[1:]))),
    "time_on_grid": lambda out: edit(out, EVENTS, Event, lambda rows: swap(
        rows, lambda r: not r.is_point and r.known_from_ns < r.end_ns, known_from_ns=later("known_from_ns"))),
    "time_ordered": talk(lambda rows: swap(rows, lambda r: True, turns=lambda r: turns(
        r, lambda t: t.model_copy(update={"window_end_ns": None}) if t.window_end_ns else None))),
    "event_known_from": lambda out: edit(out, EVENTS, Event, lambda rows: swap(
        rows, lambda r: r.start_ns > 0 and r.is_point, known_from_ns=0)),
    "event_has_frame": lambda out: edit(out, EVENTS, Event, lambda rows: swap(
        rows, lambda r: not r.is_point, is_point=True)),
    "evidence_reaches_event": qa(lambda rows: swap(rows, has_span, evidence=shortened)),
    "answerable_from_evidence": qa(lambda rows: swap(
        rows, lambda r: r.mode == "forward" and not r.test_points, answerable_from_ns=lambda r: r.ask_ns)),
    "answer_after_question": qa(lambda rows: swap(
        rows, lambda r: r.mode == "backward" and r.ask_ns > 0, answers=first_answer(t_ns=lambda a, r: 0))),
    "answer_after_evidence": qa(lambda rows: swap(
        rows, lambda r: r.mode == "proactive", answers=first_answer(t_ns=lambda a, r: r.ask_ns))),
    "answer_window": qa(lambda rows: swap(
        rows, lambda r: r.mode == "proactive", answers=first_answer(window_start_ns=lambda a, r: r.ask_ns))),
    "answers_supersede": qa(lambda rows: swap(
        rows, lambda r: len(r.answers) > 1,
        answers=first_answer(valid_until_ns=lambda a, r: r.answers[1].window_end_ns))),
    "later_answers_proved": qa(lambda rows: swap(
        rows, lambda r: len(r.answers) > 1, evidence=lambda r: tuple(p for p in r.evidence if p.role != "sufficient"))),
    "mode_fits": qa(lambda rows: swap(rows, lambda r: r.mode == "forward", mode="realtime")),
    "test_points_right": qa(lambda rows: swap(
        rows, lambda r: r.test_points and r.mode == "counting", test_points=lambda r: tuple(
        Probe(t_ns=p.t_ns, kind=p.kind, expected=str(int(p.expected) + 1)) for p in r.test_points))),
    "question_says_something": qa(lambda rows: swap(rows, lambda r: True, question=" ")),
    "unanswerable_twin": qa(lambda rows: swap(rows, lambda r: r.unanswerable, twin_id=None)),
    "question_without_clock": qa(lambda rows: swap(rows, lambda r: True, question="What happened at 0:12?")),
    "references_resolve": qa(lambda rows: swap(rows, lambda r: r.task == "tell_me_when", evidence=lambda r: tuple(
        p.model_copy(update={"event_id": "f" * 20}) for p in r.evidence))),
    "ids_unique": qa(lambda rows: [*rows, rows[-1]]),
    "record_order": qa(lambda rows: sorted(rows, key=lambda r: r.video_id != rows[-1].video_id)),
    "split_of_record": qa(lambda rows: [
        *rows, rows[-1].model_copy(update={"id": "stray", "video_id": bare("second").video.id})]),
    "nothing_missing": qa(lambda rows: [r for r in rows if r.video_id == rows[0].video_id]),
    "turns_in_order": talk(lambda rows: swap(rows, lambda r: True, turns=lambda r: r.turns[::-1])),
    "turns_apart": of_turn(is_answer, end_ns=lambda t: t.end_ns + 20_000_000_000),
    "turn_after_evidence": of_turn(lambda t: is_answer(t) and t.start_ns > 10**9, answerable_from_ns=0),
    "turn_in_window": of_turn(is_answer, window_end_ns=lambda t: t.start_ns),
    "turn_answers_something": of_turn(is_answer, trigger_ref="nobody"),
    "interruptions_consistent": of_turn(lambda t: t.intended_text, text="Something else."),
    "decisions_derived": talk(lambda rows: swap(rows, lambda r: True, decisions=lambda r: (
        r.decisions[0].model_copy(update={"runs": (
            r.decisions[0].runs[0].model_copy(update={"steps": r.decisions[0].runs[0].steps + 1}),
            *r.decisions[0].runs[1:])}), *r.decisions[1:]))),
    "turn_without_clock": of_turn(lambda t: t.role == "user", text="What was at 0:12?"),
    "frame_index": lambda out: edit(out, FRAMES, FrameLabel, lambda rows: swap(
        rows, lambda r: r.frame_index == 5, frame_index=6)),
    "frame_view_equals_grid": lambda out: edit(out, FRAMES, FrameLabel, lambda rows: swap(
        rows, lambda r: r.event_ids, event_ids=(), labels=())),
    "copies_equal": lambda out: edit(out, "dialogue/videos/train.parquet", Video, lambda rows: swap(
        rows, lambda r: True, licence="another")),
    "gradual_known_at_end": lambda out: edit(out, EVENTS, Event, lambda rows: swap(
        rows, lambda r: r.label == "fade", known_from_ns=lambda r: r.start_ns)),
    "task_known": qa(lambda rows: swap(rows, lambda r: True, task="banana")),
    "evidence_up_to_question": qa(lambda rows: swap(
        rows, is_denied, evidence=lambda r: (r.evidence[0].model_copy(update={"end_ns": 0}),), answerable_from_ns=0)),
    "awaited_after_question": qa(lambda rows: swap(rows, lambda r: r.task == "tell_me_when", evidence=lambda r: tuple(
        p.model_copy(update={"role": "sufficient"}) for p in r.evidence))),
    "now_under_way": qa(lambda rows: swap(
        rows, lambda r: r.task == "now" and r.evidence[0].event_id,
        answers=first_answer(valid_until_ns=lambda a, r: None))),
    "count_equals_evidence": qa(lambda rows: swap(
        rows, lambda r: r.task == "count_so_far" and len(r.evidence) > 1, answers=one_more, test_points=())),
    "evidence_roles": qa(lambda rows: swap(rows, lambda r: len(r.answers) == 1 and r.evidence[0].event_id,
        evidence=lambda r: (r.evidence[0].model_copy(update={"role": "sufficient"}), *r.evidence[1:]))),
    "absent_is_absent": qa(lambda rows: swap(
        rows, lambda r: r.unanswerable, question="What did the red circle do?",
        answers=first_answer(text=lambda a, r: "No red circle has been shown."))),
    "about_fits": qa(lambda rows: swap(rows, lambda r: True, about=None)),
    "evidence_is_due": qa(lambda rows: swap(rows, has_span, ask_ns=0)),
    "right_until": qa(lambda rows: swap(
        rows, is_denied, answers=first_answer(valid_until_ns=lambda a, r: None))),
    "counts_true": qa(lambda rows: swap(rows, lambda r: r.task == "count_so_far", answers=one_more)),
    "nothing_left_out": qa(lambda rows: swap(
        rows, lambda r: r.task == "tell_me_when" and len(r.answers) > 1, answers=lambda r: r.answers[:-1],
        evidence=lambda r: r.evidence[:-1])),
    "options_fit": qa(lambda rows: swap(rows, lambda r: True, options=("this", "that"), correct_option=0)),
    "words_fit": qa(lambda rows: swap(rows, is_denied, answers=first_answer(text=lambda a, r: "Yes, it has."))),
    "turn_about_fits": of_turn(lambda t: t.role == "user", about=About(kind="shots", every=True)),
    "turn_responds": of_turn(is_answer, state="silence"),
    "turn_evidence_due": of_turn(is_answer, evidence=()),
    "turn_right_until": of_turn(is_answer, window_start_ns=lambda t: t.start_ns + 1),
    "turn_counts_true": of_turn(is_count, text="99 so far."),
    "turn_words_fit": of_turn(lambda t: t.role == "user", text="What is that?"),
    "report_words_fit": of_turn(lambda t: t.trigger == "event", text="Something happens."),
    "reports_complete": talk(lambda rows: swap(
        rows, lambda r: any(t.trigger == "event" for t in r.turns), turns=lambda r: tuple(
            t for t in r.turns if t.id != next(e.id for e in r.turns if e.trigger == "event")))),
    "shot_frames": perceived(Shot, start_ns=later("start_ns", 0), end_frame=later("end_frame")),
    "shots_tile": perceived(Shot, ordinal=later("ordinal")),
    "keyframe_in_shot": perceived(Keyframe, shot_id="nobody"),
    "signals_sampled": perceived(Signals, t_ns=lambda r: r.t_ns[::-1]),
    "signals_follow": perceived(Signals, ordinal=later("ordinal")),
    "nobody_talked_over": talk(lambda rows: swap(rows, is_answered, turns=lambda r: talked_into(r.turns))),
    "answered_once": talk(lambda rows: swap(rows, lambda r: True, turns=lambda r: tuple(
        t for t in r.turns if t.id != next(a.id for a in r.turns if is_answer(a))))),
    "answers_founded": of_turn(lambda t: is_answer(t) and t.start_ns > 10**9, evidence=(), answerable_from_ns=0,
        window_start_ns=0),
    "reports_requested": of_turn(lambda t: t.trigger == "event", evidence=lambda t: tuple(
        p.model_copy(update={"event_id": None}) for p in t.evidence)),
    "dialogue_whole": talk(lambda rows: swap(rows, lambda r: True, end_ns=lambda r: r.turns[-1].end_ns)),
    "turn_has_length": of_turn(is_answer, end_ns=lambda t: t.start_ns),
    "file_readable": lambda out: (out / QA).write_bytes(b"not a table"),
}  # fmt: skip


@pytest.mark.parametrize("law", list(FAULTS))
def test_a_planted_fault_is_found(out, law):
    swap.id = None
    FAULTS[law](out)
    result = check(out)
    found = [row for row in result.violations if row.law == law]
    assert found, f"{law} found nothing; broken: {broken(out)}"
    assert result.broken > 0
    if swap.id is not None:
        assert any(row.record == swap.id for row in found)
    for row in found:
        assert (out / row.file).is_file()
        assert row.found
        assert row.expected
        assert str(row).startswith(f"{row.file}: {row.record}: breaks {law}: found ")


ALONE = (
    "mode_fits", "question_says_something", "question_without_clock", "turn_without_clock", "copies_equal",
    "frame_view_equals_grid", "record_order", "split_of_record", "answerable_from_evidence",
    "interruptions_consistent", "later_answers_proved",
)  # fmt: skip


@pytest.mark.parametrize("law", ALONE)
def test_a_fault_breaks_its_own_law_and_few_others(out, law):
    FAULTS[law](out)
    found = broken(out)
    assert law in found
    # One wrong field may contradict a second law, such as a mode that no longer fits.
    assert len(found) <= 2, found


def test_a_changed_file_disagrees_with_its_manifest(out):
    rows = list(read_table(out / QA, StreamingQA))
    write_table(out / QA, StreamingQA, rows[:-1])
    found = [row for row in check(out).violations if row.law == "manifest_agrees"]
    assert [row.file for row in found] == [QA]


def test_a_lost_and_a_strange_file_disagree_with_the_manifest(out):
    (out / "index/source.json").unlink()
    (out / "dialogue/notes.txt").write_text("hello")
    assert broken(out) == {"manifest_agrees": 2}


def test_a_manifest_without_files_is_a_violation(out):
    path = out / "dialogue/manifest.json"
    path.write_text(json.dumps({"fingerprint": "x"}))
    assert broken(out) == {"manifest_agrees": 1}


@pytest.mark.parametrize("key", ["group", "sha256"])
def test_copies_of_a_video_in_two_splits_are_found(out, key):
    videos = list(read_table(out / "index/videos.parquet", Video))
    videos[2] = videos[2].model_copy(update={key: getattr(videos[0], key)})
    write_table(out / "index/videos.parquet", Video, videos)
    reseal(out, "index")
    found = broken(out)
    assert found["split_by_source"] == 1
    assert set(found) == {"split_by_source", "copies_equal"}


def test_a_frame_row_that_is_lost_or_added_is_found(out):
    edit(out, FRAMES, FrameLabel, lambda rows: [row for row in rows if row.frame_index != 7])
    assert broken(out)["frame_view_equals_grid"] >= 1
    for split in ("train",):
        path = f"frame_events/frames_2fps/{split}.parquet"
        edit(out, path, FrameLabel, lambda rows: [*rows, rows[-1]])
    found = [row for row in check(out).violations if row.file == path]
    assert [(row.law, row.found) for row in found] == [("frame_view_equals_grid", "a row")]


def test_a_view_under_another_grids_name_is_found(out):
    shutil.move(out / "frame_events/frames_2fps", out / "frame_events/frames_3fps")
    found = broken(out)
    assert found["frame_view_equals_grid"] > 1
    assert found["manifest_agrees"] > 1


def test_a_dialogue_without_the_native_grid_is_found(out):
    edit(out, TALK, Dialogue, lambda rows: swap(rows, lambda r: True, decisions=lambda r: r.decisions[1:]))
    assert broken(out) == {"decisions_derived": 1}


def test_decisions_on_a_foreign_grid_are_found(out):
    def change(row):
        return (*row.decisions, row.decisions[0].model_copy(update={"grid": "often"}))

    edit(out, TALK, Dialogue, lambda rows: swap(rows, lambda r: True, decisions=change))
    assert broken(out) == {"decisions_derived": 1}


def test_a_turn_of_nobody_is_found(out):
    def extra(row):
        end = row.turns[-1].end_ns
        return (*row.turns, Turn(id="extra", role="assistant", start_ns=end, end_ns=end, text="By the way."))

    edit(out, TALK, Dialogue, lambda rows: swap(rows, lambda r: True, turns=extra))
    assert {"turn_answers_something", "turn_after_evidence"} <= set(broken(out))


def test_a_decision_too_few_is_found(out):
    def change(row):
        track = row.decisions[0]
        return (track.model_copy(update={"runs": track.runs[:-1]}), *row.decisions[1:])

    edit(out, TALK, Dialogue, lambda rows: swap(rows, lambda r: True, decisions=change))
    assert broken(out) == {"decisions_derived": 1}


def test_a_video_of_the_dataset_that_the_index_does_not_know_is_found(out):
    edit(out, QA, StreamingQA, lambda rows: [*rows, rows[-1].model_copy(update={"id": "x", "video_id": "nobody"})])
    assert broken(out) == {"references_resolve": 1}


def test_all_violations_are_counted_and_the_first_are_listed(out):
    edit(out, QA, StreamingQA, lambda rows: [row.model_copy(update={"question": " "}) for row in rows])
    result = run_checks(out, CheckConfig(listed=3))
    (count,) = [law.broken for law in result.laws if law.name == "question_says_something"]
    (unfit,) = [law.broken for law in result.laws if law.name == "words_fit"]
    assert count == unfit > 10
    assert len(result.violations) == 3
    content = json.loads((out / "check.json").read_text())
    assert content["broken"] == result.broken == count + unfit
    assert len(content["violations"]) == 3


def test_only_what_was_built_is_checked(out):
    shutil.rmtree(out / "dialogue")
    shutil.rmtree(out / "frame_events")
    result = check(out)
    assert result.broken == 0
    assert result.folders == ("events", "streaming_qa")
    assert "decisions_derived" not in {law.name for law in result.laws}


def test_without_an_index_or_anything_built_there_is_nothing_to_check(tmp_path):
    with pytest.raises(StageError, match="has no finished index"):
        check(tmp_path)
    made = write_out(tmp_path / "out", [bare("one")])
    with pytest.raises(DataError, match="holds none of events, streaming_qa"):
        check(made)


def test_a_clock_that_does_not_fit_its_video_is_an_error(out):
    video = next(read_table(out / "index/videos.parquet", Video))
    np.save(out / "index" / video.pts_index, np.arange(3))
    with pytest.raises(DataError, match="frames over"):
        check(out)


def test_parts_can_be_built_by_hand():
    assert DecisionRun(state="silence", start_ns=0, steps=1).steps == 1
    assert Evidence(start_ns=0, end_ns=1).role == "necessary"
