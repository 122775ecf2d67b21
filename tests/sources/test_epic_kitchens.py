import csv
from decimal import Decimal
from pathlib import Path

import pytest

from datasets_build.core.files import DataError
from datasets_build.sources.epic_kitchens import (
    EpicKitchensConfig,
    parse_classes,
    parse_durations,
    parse_epic_kitchens,
    read_epic_kitchens,
)
from tests.sources.corpora import S, codes, reasons, rows

PATH = Path("EPIC.csv")
HEAD = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)


def line(number: int = 0, *, start: str = "00:00:01.56", stop: str = "00:00:02.45", frames: str = "93,147", **named):
    say, verb, noun = named.get("say", "put down plate"), named.get("verb", 1), named.get("noun", 2)
    video = named.get("video", "P01_11")
    tail = f"{say},put-down,{verb},plate,{noun},['plate'],[2]"
    return f"P01_11_{number},P01,{video},,{start},{stop},{frames},{tail}\n"


def read(*lines: str, verbs=None, nouns=None):
    return parse_epic_kitchens(HEAD + "".join(lines), PATH, durations={"P01_11": 9 * S}, verbs=verbs, nouns=nouns)


def config(real_data: Path, **more: Path) -> EpicKitchensConfig:
    folder = real_data / "annotations/epic_kitchens_100"
    return EpicKitchensConfig(
        file=folder / "EPIC_100_validation.csv",
        info=folder / "EPIC_100_video_info.csv",
        verb_classes=folder / "EPIC_100_verb_classes.csv",
        noun_classes=folder / "EPIC_100_noun_classes_v2.csv",
    )


def test_the_published_actions_are_read_whole(real_data):
    settings = config(real_data)
    reading = read_epic_kitchens(settings)
    with settings.file.open(newline="") as handle:
        published = list(csv.DictReader(handle))
    assert (len(reading.entries), reading.n_rows) == (138, len(published))
    # The two spans that each row states agree in all of them.
    assert (len(rows(reading)), codes(reading)) == (9668, {})
    assert sum(Decimal(entry.sheet.duration_ns) for entry in reading.entries) > 0
    first, second = reading.entries[0].sheet.rows[:2]
    assert (first.text, first.label, first.start_ns, first.end_ns) == ("take plate", "take plate", 0, 1_890_000_000)
    assert (second.text, second.label) == ("put down plate", "put plate")
    assert set(settings.paths()) == {settings.file, settings.info, settings.verb_classes, settings.noun_classes}


def test_labels_are_classes_where_their_tables_are_given():
    (row,) = rows(read(line(), verbs={"1": "put"}, nouns={"2": "plate"}))
    assert row.label == "put plate"
    (row,) = rows(read(line()))
    assert row.label == "put-down plate"
    assert codes(read(line(verb=7), verbs={"1": "put"}, nouns={"2": "plate"})) == {"unknown_label": 1}


@pytest.mark.parametrize("frames", ["93,147", "78,122", "94,148", "92,146"])
def test_frames_of_either_extraction_agree_with_the_times(frames):
    assert codes(read(line(frames=frames))) == {}


@pytest.mark.parametrize("frames", ["95,147", "93,122", "78,147", "931,1471", "46,73"])
def test_frames_of_another_rate_are_refused(frames):
    reading = read(line(frames=frames), line(1, say="x"))
    assert codes(reading) == {"frames_disagree": 1}
    assert "00:00:01.56 to 00:00:02.45" in reasons(reading)[0]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"start": "00:00:02.45"}, "bad_span"),
        ({"start": "1.56"}, "bad_time"),
        ({"start": "00:61:01.56"}, "bad_time"),
        ({"frames": ","}, "bad_type"),
        ({"say": " "}, "no_text"),
        ({"video": ""}, "bad_row"),
    ],
)
def test_a_wrong_row_costs_itself(change, code):
    reading = read(line(), line(1, **change))
    assert (codes(reading), len(rows(reading)), reading.n_rows) == ({code: 1}, 1, 2)


def test_a_row_said_again_is_a_duplicate():
    assert codes(read(line(), line(1))) == {"duplicate": 1}


def test_tables_without_their_columns_are_errors():
    with pytest.raises(DataError, match="expected also narration_id"):
        parse_epic_kitchens("video_id\n", PATH, durations={}, verbs=None, nouns=None)
    with pytest.raises(DataError, match="line 2: duration"):
        parse_durations("video_id,duration\nP01_01,long\n", PATH)
    assert parse_durations("video_id,duration\nP01_01,1652.152817\n", PATH) == {"P01_01": 1_652_152_817_000}
    assert parse_classes("id,key\n0,take\n", PATH) == {"0": "take"}


def test_a_frame_of_thousands_of_digits_costs_its_row():
    assert codes(read(line(), line(1, frames=f"{'9' * 5000},147"))) == {"bad_type": 1}


def test_tables_that_say_two_things_of_one_are_errors():
    head = "video_id,duration\nP01_01,9\n"
    assert parse_durations(head + "P01_01,9.0\n", PATH) == {"P01_01": 9 * S}
    with pytest.raises(DataError, match="line 3: duration of P01_01: found 8000000000 ns"):
        parse_durations(head + "P01_01,8\n", PATH)
    assert parse_classes("id,key\n0,take\n0,take\n", PATH) == {"0": "take"}
    with pytest.raises(DataError, match='line 3: key of class 0: found "put"'):
        parse_classes("id,key\n0,take\n0,put\n", PATH)


@pytest.mark.parametrize("value", ["1_0", "\0", "1\x002"])
def test_what_no_table_writes_is_no_number(value):
    with pytest.raises(DataError, match="line 2: duration"):
        parse_durations(f"video_id,duration\nP01_01,{value}\n", PATH)
