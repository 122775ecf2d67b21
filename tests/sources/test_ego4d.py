import json
from pathlib import Path

import pytest

from datasets_build.core.files import DataError
from datasets_build.sources.ego4d import Ego4DConfig, parse_ego4d, read_ego4d
from tests.sources.corpora import S, codes, file, reasons, rows

CONFIG = Ego4DConfig(file=Path("narration.json"))


def told(text: str = "#C C picks a cup", t: object = 1.5, frame: object = 45) -> dict[str, object]:
    return {"timestamp_sec": t, "timestamp_frame": frame, "narration_text": text, "annotation_uid": "u"}


def video(
    *narrations: object, summaries: tuple[object, ...] = (), which: str = "narration_pass_1"
) -> dict[str, object]:
    return {"status": "complete", which: {"narrations": list(narrations), "summaries": list(summaries)}}


def read(content: object, config: Ego4DConfig = CONFIG):
    return parse_ego4d(json.dumps(content), config)


SUMMARY = {"start_sec": 0, "end_sec": 300.25, "summary_text": "#C C was in the kitchen", "annotation_uid": "u"}


def test_narrations_are_instants_and_summaries_spans(tmp_path):
    content = {"uid-1": video(told(), told("#O man X waves", 2, 60), told("music plays", 3, 90), summaries=(SUMMARY,))}
    reading = read_ego4d(Ego4DConfig(file=file(tmp_path, "narration.json", json.dumps(content))))
    first, second, third, summary = rows(reading)
    assert (first.start_ns, first.end_ns, first.is_point) == (3 * S // 2, 3 * S // 2, True)
    assert (first.subject, first.text, first.note) == ("camera wearer", "C picks a cup", "mark #C taken off the text")
    assert (second.subject, second.text) == ("other person", "man X waves")
    assert (third.subject, third.text, third.note) == (None, "music plays", None)
    assert (summary.start_ns, summary.end_ns, summary.is_point) == (0, 300_250_000_000, False)
    assert reading.entries[0].names == ("uid-1",)


def test_both_forms_and_both_passes():
    both = {**video(told()), **video(told("#C C sits"), which="narration_pass_2")}
    assert len(rows(read({"videos": {"a": both}, "version": "2"}))) == 2
    assert len(rows(read({"a": both}, Ego4DConfig(file=Path("x"), passes=("narration_pass_2",))))) == 1
    # A video that was not narrated is there, and says nothing.
    assert read({"a": {"status": "redacted"}}).entries[0].n_rows == 0


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (told(frame=100), "frames_disagree"),
        (told(t=-1, frame=-30), "bad_time"),
        (told(t="1.5"), "bad_type"),
        (told(" "), "no_text"),
        (told("#C  "), "no_text"),
        (told("#C"), "no_text"),
        (told("#Cut the bread"), None),
        (told(frame=100.0), "frames_disagree"),
        (told(frame=45.0), None),
        (told(frame="45"), "bad_type"),
        (7, "bad_type"),
    ],
)
def test_a_wrong_narration_costs_itself(row, code):
    reading = read({"a": video(told("#C C sits"), row)})
    assert codes(reading) == ({code: 1} if code else {})
    assert reading.n_rows == 2
    assert all("narration_pass_1 narrations 2" in reason for reason in reasons(reading))


def test_frames_count_thirty_a_second_and_may_be_rounded():
    assert codes(read({"a": video(told(frame=44), told("#C b", frame=46), told("#C c", frame=None))})) == {}


def test_a_summary_that_runs_backwards_and_lists_that_are_none():
    wrong = video(summaries=({**SUMMARY, "end_sec": 0},))
    assert codes(read({"a": wrong})) == {"bad_span": 1}
    assert codes(read({"a": {"narration_pass_1": {"narrations": 3}}, "b": 4})) == {"bad_type": 2}


def test_another_file_is_an_error():
    for text in ("[]", '{"videos": []}'):
        with pytest.raises(DataError, match=r"narration\.json"):
            parse_ego4d(text, CONFIG)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"narration_pass_1": [told(), told("#C C sits")]}, {"bad_type": 2}),
        ({"narration_pass_1": []}, {"bad_type": 1}),
        ({"narration_pass_1": "text"}, {"bad_type": 1}),
        ({"narration_pass1": {"narrations": [told()]}}, {"unknown_key": 1}),
        ({"narration_pass_3": {"narrations": [told()]}}, {"unknown_key": 1}),
        ({"narrations": [told()]}, {"unknown_key": 1}),
        ({"narration_pass_1": {"narration": [told()]}}, {"unknown_key": 1}),
        ({"narration_pass_1": {"narrations": [], "summarys": {"a": 1}}}, {"unknown_key": 1}),
    ],
)
def test_what_lies_under_another_key_or_in_another_form_does_not_vanish(content, wanted):
    reading = read({"a": content, "b": video(told())})
    assert (codes(reading), len(rows(reading))) == (wanted, 1)
    assert all(reason.startswith("a") for reason in reasons(reading))


def test_a_pass_that_the_settings_leave_out_is_no_strange_key():
    config = Ego4DConfig(file=Path("x"), passes=("narration_pass_2",))
    assert codes(read({"a": {**video(told()), "narration_pass_2": None}}, config)) == {}
