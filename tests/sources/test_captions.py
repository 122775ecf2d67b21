import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.sources.captions import parse_captions
from datasets_build.sources.said import Said, Sheet

S = 1_000_000_000


def parse(content: object, unit: str = "s", clock: str = "video") -> Sheet:
    text = content if isinstance(content, str) else json.dumps(content)
    return parse_captions(text, unit=unit, clock=clock)


def codes(sheet: Sheet) -> list[str]:
    return [fault.code for fault in sheet.faults]


def test_a_list_of_captions_in_seconds_exactly():
    sheet = parse('[{"start": 12.345, "end": 12.346000001, "text": " A dog runs. "}]')
    assert sheet.rows == (Said(where="caption 1", start_ns=12_345_000_000, end_ns=12_346_000_001, text="A dog runs."),)
    assert sheet.faults == ()
    assert (sheet.clock, sheet.duration_ns, sheet.overrun_ns) == ("video", None, S)


@pytest.mark.parametrize("name", ["captions", "segments", "annotations"])
def test_an_object_with_one_list(name):
    assert len(parse({name: [{"start": 0, "end": 1, "text": "x"}]}).rows) == 1


@pytest.mark.parametrize(
    ("content", "default", "end_ns"),
    [
        ({"captions": [{"start": 0, "end": 3, "text": "x"}]}, "s", 3 * S),
        ({"captions": [{"start": 0, "end": 3, "text": "x"}]}, "ms", 3_000_000),
        ({"captions": [{"start": 0, "end": 3, "text": "x"}]}, "ns", 3),
        ({"unit": "ms", "captions": [{"start": 0, "end": 3, "text": "x"}]}, "s", 3_000_000),
        ({"captions": [{"start_ms": 0, "end_ms": 3, "text": "x"}]}, "s", 3_000_000),
        ({"captions": [{"start_ns": 0, "end_ns": 3, "text": "x"}]}, "s", 3),
        ({"captions": [{"start_s": 0, "end_ms": 3, "text": "x"}]}, "ns", 3_000_000),
        ({"unit": "ns", "captions": [{"start_ns": 0, "end_ns": 3, "text": "x"}]}, "s", 3),
        # Whisper writes seconds, whatever the corpus around it does.
        ({"segments": [{"start": 0, "end": 3, "text": "x"}]}, "ms", 3 * S),
        ({"unit": "ms", "segments": [{"start": 0, "end": 3, "text": "x"}]}, "s", 3_000_000),
    ],
)
def test_the_unit_comes_from_the_file_then_the_key_then_the_form_then_the_setting(content, default, end_ns):
    sheet = parse(content, unit=default)
    assert [row.end_ns for row in sheet.rows] == [end_ns]


def test_two_units_for_one_time_are_refused():
    content = {
        "unit": "ms",
        "captions": [
            {"start_s": 0, "end_s": 1, "text": "x"},
            {"start": 0, "start_ms": 0, "end": 1, "text": "x"},
            {"end": 1, "text": "x"},
        ],
    }
    assert codes(parse(content)) == ["unclear_unit", "bad_time", "bad_time"]
    assert codes(parse({"unit": "minutes", "captions": []})) == ["bad_value"]
    assert "s, ms, ns" in parse({"unit": "minutes", "captions": []}).faults[0].reason


def test_whisper_segments_with_words():
    content = {
        "text": "Hello there",
        "language": "en",
        "duration": 4.0,
        "segments": [
            {
                "id": 0, "seek": 0, "start": 0.0, "end": 2.5, "text": " Hello there", "tokens": [1], "temperature": 0.0,
                "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01, "speaker": "SPEAKER_00",
                "words": [
                    {"word": " Hello", "start": 0.0, "end": 1.0, "probability": 0.5},
                    {"word": " there", "start": 1.0, "end": 2.5, "score": 1},
                    {"word": "7"},
                ],
            }
        ],
    }  # fmt: skip
    sheet = parse(content)
    segment, *words = sheet.rows
    assert (segment.kind, segment.text, segment.language, segment.subject) == (
        "caption",
        "Hello there",
        "en",
        "SPEAKER_00",
    )
    assert [(w.kind, w.text, w.where, w.confidence) for w in words] == [
        ("word", "Hello", "caption 1, word 1", 0.5),
        ("word", "there", "caption 1, word 2", 1.0),
    ]
    assert words[1].start_ns == S
    assert words[1].language == "en"
    # A word without times is told, not dropped.
    assert codes(sheet) == ["bad_time"]
    assert "caption 1, word 3" in sheet.faults[0].reason
    assert sheet.duration_ns == 4 * S


def test_words_as_whisper_timestamped_names_them():
    words = [
        {"text": "Eleven,", "start": 0.54, "end": 0.92, "confidence": 0.425},
        {"text": "over", "start": 0.92, "end": 0.92, "confidence": 0.1},
    ]
    segment = {"id": 0, "start": 0.54, "end": 0.92, "text": " Eleven, over", "confidence": 0.494, "words": words}
    sheet = parse({"text": " Eleven, over", "segments": [segment], "language": "en"})
    assert [(row.kind, row.text, row.start_ns, row.end_ns, row.confidence) for row in sheet.rows] == [
        ("caption", "Eleven, over", 540_000_000, 920_000_000, 0.494),
        ("word", "Eleven,", 540_000_000, 920_000_000, 0.425),
    ]
    # Recognition sometimes gives a word no time at all.
    assert codes(sheet) == ["bad_span"]


def test_optional_fields():
    row = {"start": 1, "end": 2, "text": "x", "label": "jump", "language": "de", "kind": "label", "confidence": 0.25}
    (said,) = parse([{**row, "subject": "red circle"}]).rows
    assert (said.label, said.language, said.kind, said.confidence, said.subject) == (
        "jump",
        "de",
        "label",
        0.25,
        "red circle",
    )


def test_an_instant_needs_a_start_alone():
    content = [
        {"start": 1, "is_point": True, "text": "x"},
        {"start": 1, "end": 1, "is_point": True, "text": "x"},
        {"start": 1, "end": 2, "is_point": True, "text": "x"},
        {"start": 1, "end": 1, "text": "x"},
        {"start": 2, "end": 1, "text": "x"},
        {"start": 2, "is_point": "yes", "text": "x"},
    ]
    sheet = parse(content)
    assert [(row.start_ns, row.end_ns, row.is_point) for row in sheet.rows] == [(S, S, True)] * 2
    assert codes(sheet) == ["bad_span", "bad_span", "bad_span", "bad_type"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ('{"start": NaN, "end": 1, "text": "x"}', "bad_number"),
        ('{"start": 0, "end": Infinity, "text": "x"}', "bad_number"),
        ('{"start": 0, "end": 1e999999999, "text": "x"}', "bad_number"),
        ('{"start": 1e-999999999, "end": 1, "text": "x"}', "bad_number"),
        ('{"start": "0", "end": 1, "text": "x"}', "bad_type"),
        ('{"start": true, "end": 1, "text": "x"}', "bad_type"),
        ('{"start": null, "end": 1, "text": "x"}', "bad_type"),
        ('{"start": [0], "end": 1, "text": "x"}', "bad_type"),
        ('{"start": 0, "end": 1, "text": 5}', "bad_type"),
        ('{"start": 0, "end": 1}', "bad_type"),
        ('{"start": 0, "end": 1, "text": " "}', "no_text"),
        ('{"start": 0, "end": 1, "text": "\\ud800"}', "bad_text"),
        ('{"start": 0, "end": 1, "text": "x", "kind": "story"}', "bad_value"),
        ('{"start": 0, "end": 1, "text": "x", "confidence": 1.5}', "bad_value"),
        ('{"start": 0, "end": 1, "text": "x", "confidence": NaN}', "bad_number"),
        ('{"start": 0, "end": 1, "text": "x", "label": 3}', "bad_type"),
        ("3", "bad_type"),
        ("null", "bad_type"),
        ("[0, 1]", "bad_type"),
    ],
)
def test_a_bad_row_costs_itself_only(row, code):
    sheet = parse('[{"start": 0, "end": 1, "text": "a"}, ' + row + ', {"start": 2, "end": 3, "text": "b"}]')
    assert [said.text for said in sheet.rows] == ["a", "b"]
    assert codes(sheet) == [code]
    assert sheet.faults[0].reason.startswith("caption 2: ")


def test_words_that_are_no_list_cost_no_caption():
    sheet = parse([{"start": 0, "end": 1, "text": "x", "words": "x"}])
    assert (len(sheet.rows), codes(sheet)) == (1, ["bad_type"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not_json"),
        ("{", "not_json"),
        ("[" * 100_000, "not_json"),
        ("[" + "9" * 5000 + "]", "not_json"),
        ('{"captions": [], "captions": []}', "not_json"),
        ('"text"', "not_captions"),
        ("3", "not_captions"),
        ("{}", "not_captions"),
        ('{"captions": {}}', "not_captions"),
        ('{"captions": [], "segments": []}', "not_captions"),
        ('{"title": "a video", "fps": 25}', "not_captions"),
        ('{"captions": [], "clock": "wall"}', "bad_value"),
        ('{"captions": [], "unit": ["s"]}', "bad_value"),
        ('{"captions": [], "duration": "long"}', "bad_type"),
    ],
)
def test_a_file_of_another_form_is_one_fault(text, code):
    sheet = parse(text)
    assert (sheet.rows, codes(sheet)) == ((), [code])


def test_keys_that_nothing_reads_are_named_once():
    sheet = parse({"captions": [{"start": 0, "end": 1, "text": "x", "mood": "sad"}] * 3, "licence": "CC0"})
    assert len(sheet.rows) == 3
    assert codes(sheet) == ["unread_keys"]
    assert '"licence" (1), "mood" (3)' in sheet.faults[0].reason


def test_the_clock_is_the_files_or_the_settings():
    rows = [{"start": 0, "end": 1, "text": "x"}]
    assert parse(rows, clock="container").clock == "container"
    assert parse({"captions": rows, "clock": "container"}).clock == "container"
    assert parse({"captions": rows, "clock": "video"}, clock="container").clock == "video"


def test_activitynet_form():
    sheet = parse(
        {"duration": 12.5, "timestamps": [[0, 4.25], [4.25, 12.5]], "sentences": [" One.", "Two."]}, unit="ms"
    )
    assert [(row.start_ns, row.end_ns, row.text) for row in sheet.rows] == [
        (0, 4_250_000_000, "One."),
        (4_250_000_000, 12_500_000_000, "Two."),
    ]
    assert sheet.duration_ns == 12_500_000_000


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sentences": ["One."]}, "not_captions"),
        ({"sentences": "One."}, "not_captions"),
        ({"duration": None}, "not_captions"),
        ({"duration": "12"}, "bad_type"),
    ],
)
def test_activitynet_that_does_not_add_up(change, code):
    sheet = parse({"duration": 12.5, "timestamps": [[0, 4], [4, 12]], "sentences": ["One.", "Two."]} | change)
    assert (sheet.rows, codes(sheet)) == ((), [code])


def test_activitynet_pairs_that_are_none():
    content = {"duration": 9, "timestamps": [[0], 3, [2, 1], [0, 1]], "sentences": ["a", "b", "c", "d"]}
    sheet = parse(content)
    assert [row.text for row in sheet.rows] == ["d"]
    assert codes(sheet) == ["bad_type", "bad_type", "bad_span"]


@given(st.decimals(min_value=0, max_value=10**6, places=9), st.decimals(min_value="1e-9", max_value=10**6, places=9))
def test_nanoseconds_are_exact(start: Decimal, length: Decimal):
    (row,) = parse(f'[{{"start": {start:f}, "end": {start + length:f}, "text": "x"}}]').rows
    assert (Decimal(row.start_ns), Decimal(row.end_ns)) == (start * S, (start + length) * S)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "captions",
                        "segments",
                        "annotations",
                        "start",
                        "end",
                        "start_ms",
                        "end_ns",
                        "text",
                        "words",
                        "word",
                    ),
                    *("unit", "clock", "duration", "timestamps", "sentences", "kind", "is_point", "confidence", "x"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(values)
def test_no_json_makes_it_fail(value):
    sheet = parse(value)
    for row in sheet.rows:
        assert row.start_ns < row.end_ns or (row.is_point and row.start_ns == row.end_ns)
        assert row.text.strip()


def test_real_dense_captions_lose_nothing(real_data):
    content = json.loads((real_data / "annotations" / "activitynet_captions" / "val_1.json").read_text())
    for entry in list(content.values())[:500]:
        sheet = parse(entry)
        assert len(sheet.rows) + len(sheet.faults) == len(entry["sentences"])
        assert sheet.duration_ns == round(Decimal(str(entry["duration"])) * S)
