"""How single rows of the forms are read: units, spans, leaks, words and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from pydantic import ValidationError

from datasets_build.core.clock import NS_PER_S
from datasets_build.formats.forms import FORMS
from datasets_build.formats.importing import read_row
from datasets_build.formats.place import RowError, Unit
from tests.formats.rowed import place_of

MS = NS_PER_S // 1000
SECONDS, HALVES = Unit("s"), Unit("frame", Fraction(2))


def streamo(unit, time):
    row = {"video_path": "clip.mp4", "question": [{"content": "What?", "time": time}], "response": []}
    bundle = FORMS["streamo"].rows.read(row, place_of(unit=unit))
    return bundle.dialogues[0].turns[0].end_ns / NS_PER_S


@pytest.mark.parametrize(
    ("time", "seconds", "halves"),
    [
        (5, 5, 2.52),
        ("5", 5, 2.52),
        (5.0, 5, 2.52),
        ("5.0", 5, 5),
        ("0:05", 5, 5),
        ("00:00:05.4", 5.4, 5.4),
        (5.8, 5.8, 2.52),
    ],
)
def test_a_time_of_streamo_means_what_its_unit_says(time, seconds, halves):
    """Steps of half a second; the frame at or after 2.5 s of this video is at 2.52 s."""
    assert streamo(SECONDS, time) == seconds
    assert streamo(HALVES, time) == halves


@pytest.mark.parametrize("time", ["", None, "soon", "-1", -1, "1:2:3:4", "1e3"])
def test_a_time_that_is_none_is_refused(time):
    with pytest.raises(RowError, match=r"question\.0\.time: found") as error:
        streamo(SECONDS, time)
    assert error.value.code == "bad_time"


def test_no_number_is_read_without_a_unit():
    with pytest.raises(RowError, match="in no stated unit") as error:
        streamo(None, 5)
    assert error.value.code == "unclear_unit"


@pytest.mark.parametrize("time", [True, [5], {"s": 5}])
def test_a_time_of_another_type_is_no_row(time):
    with pytest.raises(ValidationError):
        streamo(SECONDS, time)


def test_a_span_is_an_event_told_at_its_end_with_it_as_proof():
    row = {
        "video_path": "clip.mp4",
        "question": [{"content": "Tell me.", "time": 1}],
        "response": [{"content": "It fell.", "st_time": 3, "end_time": 4.5, "time": ""}],
    }
    bundle = FORMS["streamo"].rows.read(row, place_of(unit=SECONDS))
    (event,), (dialogue,) = bundle.events, bundle.dialogues
    _, turn = dialogue.turns
    assert (event.start_ns, event.end_ns, event.caption) == (3000 * MS, 4520 * MS, "It fell.")
    assert turn.start_ns == turn.answerable_from_ns == turn.evidence[0].end_ns == 4520 * MS
    assert (turn.evidence[0].event_id, turn.trigger, turn.trigger_ref) == (event.id, "user_query", dialogue.turns[0].id)


def test_a_reply_before_its_span_is_a_leak():
    said = {"role": "assistant", "content": "It fell.", "time": 2, "timespan": [3, 4]}
    with pytest.raises(RowError, match="still to come") as error:
        FORMS["mmduet"].rows.read({"video_uid": "clip", "conversation": [said]}, place_of())
    assert error.value.code == "leak"


def test_a_reply_inside_its_span_is_proved_by_the_part_before_it():
    said = {"role": "assistant", "content": "It falls.", "time": 3.4, "timespan": [3, 4]}
    bundle = FORMS["mmduet"].rows.read({"video_uid": "clip", "conversation": [said]}, place_of())
    (turn,) = bundle.dialogues[0].turns
    assert (turn.evidence[0].start_ns, turn.evidence[0].end_ns) == (3000 * MS, 3400 * MS)
    assert bundle.events[0].known_from_ns == 3400 * MS < bundle.events[0].end_ns


def livecc(words, *, start=0.0):
    shown = {"type": "video", "video": "clip.mp4", "video_start": start, "video_end": 30.0}
    said = {"role": "assistant", "content": [{"type": "text_stream", "text_stream": words}]}
    return [{"role": "user", "content": [shown, {"type": "text", "text": "Comment."}]}, said]


def test_words_without_a_pause_are_one_turn_and_keep_their_times():
    bundle = FORMS["livecc"].rows.read(livecc([[1, 1.2, "He"], [1.2, 1.6, "runs"], [4, 4.4, "Goal"]]), place_of())
    assert [turn.text for turn in bundle.dialogues[0].turns] == ["Comment.", "He runs", "Goal"]
    assert [(event.label, event.caption) for event in bundle.events] == [("word", w) for w in ("He", "runs", "Goal")]
    assert bundle.dialogues[0].turns[1].end_ns == 1600 * MS


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "no_text"),
        ([[2, 2.1, "b"], [1, 1.1, "a"]], "bad_span"),
        ([["1", 2, "a"]], "bad_value"),
        ([[1, 2, " "]], "bad_value"),
    ],
)
def test_words_that_cannot_be_read_refuse_the_row(words, code):
    with pytest.raises(RowError) as error:
        FORMS["livecc"].rows.read(livecc(words), place_of())
    assert error.value.code == code


def test_previous_text_of_streaming_vlm_is_kept():
    row = [{"role": "previous text", "content": "Before."}, *livecc([[1, 1.2, "He"]])]
    bundle, foreign = read_row(row, place_of(), FORMS["streaming_vlm"], item=0)
    assert bundle.dialogues[0].turns[1].text == "He"
    assert any("Before." in (piece.value or "") for piece in foreign.kept)


OVO = {
    "id": 1, "task": "CRR", "video": "clip.mp4", "question": "Who?", "answer": "He.", "ask_time": 5, "clue_time": 7.03,
    "test_info": [{"realtime": 5, "type": 0}, {"realtime": 9, "type": 1}],
}  # fmt: skip


def test_a_benchmark_question_shows_no_frame_after_its_time():
    (question,) = FORMS["ovo_bench"].rows.read(OVO, place_of()).questions
    assert question.ask_ns == 5 * NS_PER_S
    assert question.answers[0].t_ns == question.answerable_from_ns == 7000 * MS
    assert question.mode == "forward"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"clue_time": 4}, "bad_span"),
        ({"test_info": [{"realtime": 4, "type": 0}]}, "bad_span"),
        ({"ask_time": 900, "clue_time": 900}, "outside_video"),
        ({"answer": " "}, "no_text"),
    ],
)
def test_an_item_that_cannot_be_is_refused(changes, code):
    with pytest.raises(RowError) as error:
        read_row(OVO | changes, place_of(), FORMS["ovo_bench"], item=0)
    assert error.value.code == code


def test_counts_are_answers_that_follow_each_other():
    row = {
        "id": 2, "task": "REC", "video": "clip.mp4", "activity": "jump", "start_times": [2, 8], "end_times": [3, 9],
        "test_info": [{"realtime": 4, "count": 1}, {"realtime": 6, "count": 1}, {"realtime": 10, "count": 2}],
    }  # fmt: skip
    bundle = FORMS["ovo_bench"].rows.read(row, place_of())
    (question,) = bundle.questions
    assert [(answer.text, answer.t_ns // NS_PER_S) for answer in question.answers] == [("1", 4), ("2", 10)]
    assert [event.span.duration_ns for event in bundle.events] == [NS_PER_S, NS_PER_S]
    assert len(question.test_points) == 3


@pytest.mark.parametrize("stamp", ["00:12450", "12", "1:2:3:4", ""])
def test_a_stamp_that_is_none_is_refused(stamp):
    asked = {"task_type": "x", "question": "q", "time_stamp": stamp, "answer": "A", "options": ["A. a", "B. b"]}
    with pytest.raises(RowError, match="expected HH:MM:SS"):
        FORMS["streaming_bench"].rows.read({"video_path": "clip.mp4", "questions": [asked]}, place_of())


def test_letters_of_options_are_taken_off_and_an_answer_names_one():
    asked = {"task_type": "x", "question": "q", "time_stamp": "00:05", "answer": "B", "options": ["A. one", "two"]}
    row = {"video_path": "clip.mp4", "questions": [asked]}
    (question,) = FORMS["streaming_bench"].rows.read(row, place_of()).questions
    assert (question.options, question.answers[0].text) == (("one", "two"), "two")
    for answer in ("C", "b", "AB", ""):
        wrong = {"video_path": "clip.mp4", "questions": [asked | {"answer": answer}]}
        with pytest.raises(RowError, match="expected the letter"):
            FORMS["streaming_bench"].rows.read(wrong, place_of())


def test_a_broken_cue_refuses_its_file():
    with pytest.raises(RowError):
        FORMS["webvtt"].rows.read({"video": "clip", "text": "WEBVTT\n\n00:05.000 --> 00:0x.000\nHi\n"}, place_of())


def test_windows_and_sentences_that_do_not_fit():
    wrong = {"video": "clip", "timestamps": [[1, 2]], "sentences": ["a", "b"]}
    with pytest.raises(RowError, match="expected as many of each"):
        FORMS["activitynet"].rows.read(wrong, place_of())
    with pytest.raises(RowError, match="expected an end after the start"):
        FORMS["qvhighlights"].rows.read({"vid": "clip", "query": "q", "relevant_windows": [[4, 2]]}, place_of())


def test_an_instant_stays_one():
    bundle = FORMS["qvhighlights"].rows.read({"vid": "clip", "query": "q", "relevant_windows": [[4, 4]]}, place_of())
    assert bundle.events[0].is_point
