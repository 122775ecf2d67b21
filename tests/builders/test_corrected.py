"""Records after people: in the order of tables, twins that are pairs, and builders that write what people left."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.builders.corrected import in_order, with_twins
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.frame_events import FrameEventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.corrections import TABLE, Corrected, Correction
from datasets_build.core.files import read_rejects
from datasets_build.core.layout import dataset_rows, table_path
from datasets_build.core.records import Dialogue, Event, Provenance, StreamingQA
from datasets_build.core.stage import StageError
from datasets_build.core.table import read_table, write_table
from tests.builders.made import lively, write_out
from tests.checks.planted import within
from tests.core.test_corrections import event, question, remove, replace
from tests.laws import examples

FEW = settings(max_examples=examples(50), deadline=None)
PERSON = Provenance(kind="person", agent="a1", round="r1")


def pair(at=5, yes="yes", no="no"):
    return [
        question(yes, ask_ns=at, twin_id=no),
        question(no, ask_ns=at, twin_id=yes, unanswerable=True),
    ]


def twinned(rows, now=None, stale=()):
    return with_twins(Corrected(rows, list(stale), now or {}))


def test_events_stand_in_order_of_time_and_the_beginning_first():
    rows = [event("c", 10), event("b"), event("a", label="video_start"), event("d", 5)]
    assert [row.id for row in in_order(rows)] == ["a", "b", "d", "c"]


@FEW
@given(st.permutations([event(name, start) for name, start in zip("abcdef", (0, 0, 7, 7, 9, 3), strict=True)]))
def test_the_order_depends_on_the_events_alone(rows):
    assert in_order(rows) == in_order(reversed(rows))
    assert in_order(in_order(rows)) == in_order(rows)


@FEW
@given(st.permutations([*pair(), *pair(9, "oui", "non"), question("alone", ask_ns=2)]))
def test_untouched_pairs_stay_and_stand_in_order(rows):
    after = twinned(rows)
    assert after.stale == []
    assert sorted(row.id for row in after.rows) == sorted(row.id for row in rows)
    assert [row.ask_ns for row in after.rows] == sorted(row.ask_ns for row in rows)
    assert {row.id: row for row in after.rows} == {row.id: row for row in rows}


def test_whoever_lost_its_twin_goes_on_alone_if_it_can_be_answered():
    yes, no = pair()
    after = twinned([yes])
    assert [row.twin_id for row in after.rows] == [None]
    assert after.stale == []
    after = twinned([no])
    assert after.rows == []
    assert [row.code for row in after.stale] == ["alone"]
    assert "StreamingQA no" in after.stale[0].item


def test_an_unanswerable_question_that_never_had_a_twin_is_left_to_the_check():
    row = question("q", unanswerable=True)
    assert twinned([row]).rows == [row]


def test_a_moved_twin_is_none():
    yes, no = pair()
    after = twinned([yes.model_copy(update={"ask_ns": 6}), no])
    assert [(row.id, row.twin_id) for row in after.rows] == [("yes", None)]
    assert len(after.stale) == 1


def test_what_was_told_before_stays_told():
    told = twinned([pair()[1]]).stale
    assert twinned(pair(), stale=told).stale == told


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_twin_is_found_under_its_newest_name(rounds):
    yes, no = pair()
    names = ["yes", *(f"yes{k}" for k in range(rounds))]
    newest = yes.model_copy(update={"id": names[-1], "provenance": PERSON})
    after = twinned([newest, no], dict.fromkeys(names[:-1], names[-1]))
    assert {row.id: row.twin_id for row in after.rows} == {names[-1]: "no", "no": names[-1]}


def test_both_twins_may_be_replaced():
    yes, no = pair()
    rows = [yes.model_copy(update={"id": "y"}), no.model_copy(update={"id": "n"})]
    after = twinned(rows, {"yes": "y", "no": "n"})
    assert {row.id: row.twin_id for row in after.rows} == {"y": "n", "n": "y"}


def build(out, *, force=False):
    build_events(out, EventsConfig(), force=force)
    build_streaming_qa(out, StreamingQAConfig(per_minute=40.0), force=force)
    build_frame_events(out, FrameEventsConfig(fps=("2",)), force=force)
    build_dialogue(out, DialogueConfig(), force=force)
    return out


def scenes():
    return [within(lively("one", seconds=11)), within(lively("two", seconds=5, seed=3))]


def made(out):
    return build(write_out(out, scenes()))


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """Two videos without corrections, read only."""
    return made(tmp_path_factory.mktemp("corrected") / "out")


def corrected(tmp_path, *rows):
    out = write_out(tmp_path / "out", scenes())
    write_table(out / TABLE, Correction, rows)
    return build(out)


def rows_of(out):
    return {
        "events": list(read_table(table_path(out, Event), Event)),
        "copies": list(dataset_rows(out, "frame_events/events", Event)),
        "qa": list(dataset_rows(out, "streaming_qa/qa", StreamingQA)),
        "talk": list(dataset_rows(out, "dialogue/dialogues", Dialogue)),
    }


def own(row):
    """A correction of this very video."""
    return {"video_id": row.video_id}


def test_an_event_taken_away_is_in_no_dataset_and_other_videos_are_as_before(parent, tmp_path):
    before = rows_of(parent)
    gone = next(row for row in before["events"] if row.label_set == "world")
    out = corrected(tmp_path, remove(gone, **own(gone)))
    after = rows_of(out)
    for name in before:
        others = [row for row in before[name] if row.video_id != gone.video_id]
        assert [row for row in after[name] if row.video_id != gone.video_id] == others
    assert gone.id not in {row.id for row in (*after["events"], *after["copies"])}
    assert gone.id not in {piece.event_id for row in after["qa"] for piece in row.evidence}
    assert not run_checks(out, CheckConfig()).violations


def test_corrections_are_part_of_what_a_stage_was_made_of(parent, tmp_path):
    gone = rows_of(parent)["qa"][0]
    out = corrected(tmp_path, remove(gone, **own(gone)))
    for stage in ("events", "streaming_qa", "dialogue"):
        fields = json.loads((out / stage / "manifest.json").read_text())["fields"]
        assert len(fields["input.corrections"]) == 64
        assert "input.corrections" not in json.loads((parent / stage / "manifest.json").read_text())["fields"]
    (out / TABLE).unlink()
    with pytest.raises(StageError, match=r"input\.corrections"):
        build(out)


def fixed(row, name, *inputs, **changes):
    """A correction that puts a question of a person in the place of another one."""
    signed = PERSON.model_copy(update={"inputs": (row.id, *row.provenance.inputs, *inputs)})
    return replace(row, row.model_copy(update={"id": name, "provenance": signed, **changes}), **own(row))


def test_what_people_say_is_held_against_what_could_be_known_and_not_against_the_events(parent, tmp_path):
    rows = rows_of(parent)["qa"]
    counted = next(row for row in rows if row.task == "count_so_far")
    other = counted.answers[0].model_copy(update={"text": "I lost count."})
    waited = next(row for row in rows if row.mode == "proactive")
    early = waited.answers[0].model_copy(update={"t_ns": waited.ask_ns, "window_start_ns": waited.ask_ns})
    third = next(row for row in rows if row not in (counted, waited) and row.twin_id is None)
    out = corrected(
        tmp_path,
        fixed(counted, "counted", answers=(other, *counted.answers[1:]), test_points=()),
        fixed(waited, "early", answers=(early, *waited.answers[1:])),
        fixed(third, "third", "nobody"),
    )
    assert "I lost count." in {answer.text for row in rows_of(out)["qa"] for answer in row.answers}
    found = {(row.record, row.law) for row in run_checks(out, CheckConfig()).violations}
    assert found == {
        ("early", "answer_after_evidence"),
        ("early", "answer_window"),
        ("third", "references_resolve"),
    }


@pytest.mark.slow
def test_a_video_may_lose_all_its_questions_and_its_conversation(parent, tmp_path):
    before = rows_of(parent)
    lost = before["events"][0].video_id
    gone = [row for row in (*before["qa"], *before["talk"]) if row.video_id == lost]
    out = corrected(tmp_path, *(remove(row, **own(row)) for row in gone))
    after = rows_of(out)
    assert {row.video_id for row in (*after["qa"], *after["talk"])} == {row.video_id for row in before["qa"]} - {lost}
    assert not run_checks(out, CheckConfig()).violations


def test_rows_that_nobody_took_away_are_still_missed(parent, tmp_path):
    before = rows_of(parent)
    lost = before["events"][0].video_id
    talk = next(row for row in before["talk"] if row.video_id == lost)
    out = corrected(tmp_path, remove(talk, **own(talk)))
    # The questions go without a correction.
    path = next(path for path in (out / "streaming_qa/qa").glob("*.parquet"))
    write_table(path, StreamingQA, [row for row in read_table(path, StreamingQA) if row.video_id != lost])
    found = {(row.law, row.record) for row in run_checks(out, CheckConfig()).violations}
    assert ("nothing_missing", lost) in found


def test_what_is_not_there_any_more_is_a_row_of_the_rejects(parent, tmp_path):
    gone = event("gone", video_id=rows_of(parent)["events"][0].video_id)
    out = corrected(tmp_path, remove(gone, video_id=gone.video_id))
    assert [(row.stage, row.code) for row in read_rejects(out / "rejects.jsonl")] == [("events", "stale_correction")]
    assert rows_of(out) == rows_of(parent)


def unlearned(row, **more):
    """A conversation whose first answer is not learned, by whom nobody says."""
    k = next(k for k, turn in enumerate(row.turns) if turn.role == "assistant")
    turn = row.turns[k].model_copy(update={"learn": False, "loss_weight": 0.0})
    return row.model_copy(update={"id": "held", "turns": (*row.turns[:k], turn, *row.turns[k + 1 :]), **more})


@pytest.mark.parametrize("by_a_person", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_only_people_may_say_of_a_conversation_what_is_not_to_be_learned(by_a_person, parent, tmp_path):
    row = rows_of(parent)["talk"][0]
    signed = {"provenance": PERSON.model_copy(update={"inputs": (row.id, *row.provenance.inputs)})}
    held = unlearned(row, **(signed if by_a_person else {}))
    out = corrected(tmp_path, replace(row, held, **own(row)))
    laws = {row.law for row in run_checks(out, CheckConfig()).violations}
    assert ("wrong_is_corrected" in laws) is not by_a_person
    assert bool(laws) is not by_a_person
