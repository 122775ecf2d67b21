import json
from pathlib import Path

import pytest

from datasets_build.core.files import DataError
from datasets_build.sources.charades import CharadesConfig, parse_charades, read_charades
from tests.sources.corpora import codes, reasons, rows, spans

CONFIG = CharadesConfig(file=Path("charades_sta_test.txt"))


def test_the_moment_file_is_read_whole(real_data):
    path = real_data / "annotations/charades/charades_test_release.jsonl"
    reading = read_charades(CharadesConfig(file=path))
    queries = [json.loads(line) for line in path.read_text().splitlines()]
    assert reading.n_rows == sum(len(query["relevant_windows"]) for query in queries) == 3720
    assert (len(reading.entries), len(rows(reading)), codes(reading)) == (1334, 3720, {})
    assert spans(reading)[0] == (24.3, 30.4)


def test_the_published_lines_are_read():
    text = "3MSZA 24.3 30.4##person turn a light on.\n3MSZA 0.0 9.1##a person; a ## in it\n\nAMT7R 4.3 12.5##x\n"
    reading = parse_charades(text, CONFIG)
    assert [(entry.names, entry.n_rows) for entry in reading.entries] == [(("3MSZA",), 2), (("AMT7R",), 1)]
    assert spans(reading) == [(24.3, 30.4), (0, 9.1), (4.3, 12.5)]
    assert rows(reading)[1].text == "a person; a ## in it"


def test_wrong_lines_cost_themselves():
    text = "a 1 2##x\na 3 2##x\na 1 2##\na one 2##x\nno times##x\na 1 2##x\n"
    reading = parse_charades(text, CONFIG)
    assert codes(reading) == {"bad_span": 1, "no_text": 1, "bad_type": 1, "bad_row": 1, "duplicate": 1}
    assert (len(rows(reading)), reading.n_rows) == (1, 6)
    assert any("line 5" in reason for reason in reasons(reading))


def test_another_file_is_an_error():
    with pytest.raises(DataError, match="expected JSON lines or VIDEO start end##sentence"):
        parse_charades("a,b,c\n", CONFIG)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(end):
    reading = parse_charades(end.join(["a 1 2##x", "", "b 3 4##y", ""]), CONFIG)
    assert [(row.text, row.where) for row in rows(reading)] == [("x", "line 1"), ("y", "line 3")]


def test_no_number_is_written_with_an_underscore():
    assert codes(parse_charades("a 1_0 12##x\n", CONFIG)) == {"bad_type": 1}
