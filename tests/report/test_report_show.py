"""A folder on a terminal: counts, then records with times for people."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.files import DataError
from datasets_build.core.table import TableError
from datasets_build.report.show import describe, find_shelves, lines_of, plain, show
from tests.report.sample import make_event, make_question, make_records, make_video
from tests.report.sample_out import write_all

VIDEOS = [
    make_video("a.mp4", duration_ns=20 * NS_PER_S),
    make_video("b.mp4", duration_ns=20 * NS_PER_S),
    make_video("c.mp4", split="test"),
]
MADE = make_records(VIDEOS)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("show") / "out"
    write_all(folder, folder.parent, MADE)
    return folder


def printed(folder: Path, **options: object) -> str:
    console = Console(file=io.StringIO(), width=160, force_terminal=False)
    console.print(describe(folder, **options))
    return console.file.getvalue()


def rows_of(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│ ")
    ]


@pytest.mark.parametrize(
    ("name", "rows"),
    [("streaming_qa", MADE.questions), ("frame_events", MADE.events), ("dialogue", MADE.dialogues)],
)
def test_a_dataset_is_counted_by_split_and_subset(out: Path, name: str, rows: list[object]) -> None:
    split_of = {video.id: video.split for video in VIDEOS}
    numbers = [sum(split_of[row.video_id] == split for row in rows) for split in ("train", "validation", "test")]
    main, *others = rows_of(printed(out / name, rows=0))
    assert main[1:] == [str(number) for number in numbers]
    assert others[-1] == ["videos", "2", "0", "1"]
    assert others[:-1] == ([["frames_2fps", "80", "0", "8"]] if name == "frame_events" else [])


def test_a_stage_is_counted_by_table(out: Path) -> None:
    assert rows_of(printed(out / "perceive", rows=0)) == [
        ["shots", str(len(MADE.shots))],
        ["scenes", str(len(MADE.scenes))],
        ["keyframes", str(len(MADE.keyframes))],
        ["signals", str(len(MADE.signals))],
    ]
    assert rows_of(printed(out / "index", rows=0)) == [["videos", "3"], ["annotations", "0"]]
    assert "uri: a.mp4" in printed(out / "index", rows=1)


def test_a_span_beside_a_field_of_its_name_is_told_apart() -> None:
    slow = next(shot for shot in MADE.shots if shot.transition_start_ns < shot.transition_end_ns)
    lines = list(lines_of(slow))
    assert f"transition: {slow.transition}" in lines
    (when,) = (line for line in lines if line.startswith("transition when: "))
    assert " – " in when


def test_as_many_records_as_asked_for_are_shown(out: Path) -> None:
    for rows in (0, 1, 3):
        text = printed(out / "streaming_qa", rows=rows)
        assert text.count("question:") == rows
        assert [text.count(question.id) > 0 for question in MADE.questions[:rows]] == [True] * rows
    assert printed(out / "dialogue", rows=99).count("decisions:") == 3


def test_a_split_can_be_singled_out(out: Path) -> None:
    text = printed(out / "dialogue", rows=9, split="test")
    assert text.count("decisions:") == 1
    assert MADE.dialogues[2].id in text
    assert "qa · train" in printed(out / "streaming_qa", rows=1)


@pytest.mark.parametrize(
    ("folder", "split", "message"),
    [
        ("streaming_qa", "validation", "split validation is empty, expected one of train, test"),
        ("streaming_qa", "dev", "--split dev: no such split, expected one of train, validation, test"),
        ("perceive", "train", "a stage folder has no splits"),
        ("nowhere", None, "no such folder"),
        (".", None, "it holds index, perceive, events, streaming_qa, frame_events, dialogue: name one of them"),
        ("index/manifest.json", None, "no such folder"),
        ("streaming_qa/qa", None, "holds no tables of a dataset or stage"),
    ],
)
def test_a_folder_that_cannot_be_shown_is_refused_in_words(out: Path, folder: str, split: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        describe(out / folder, split=split)


def test_a_broken_table_is_named(out: Path, tmp_path: Path) -> None:
    (tmp_path / "qa").mkdir()
    (tmp_path / "qa" / "train.parquet").write_bytes(b"nothing")
    with pytest.raises(TableError, match=r"train\.parquet: not a readable Parquet file"):
        describe(tmp_path)


def test_subsets_come_in_a_fixed_order(out: Path) -> None:
    assert [shelf.name for shelf in find_shelves(out / "frame_events")] == ["events", "frames_2fps", "videos"]


def test_times_are_for_people_and_pairs_are_spans() -> None:
    video = VIDEOS[0]
    event = make_event(video, 1_500_000_000, 3_250_000_000)
    question = make_question(video, event, 0, ask_ns=4_250_000_000)
    found = list(lines_of(question))
    assert "ask: 0:04.250" in found
    assert "  1. when: 0:01.500 – 0:03.250" in found
    assert any(line.strip().startswith("window: ") for line in found)
    assert not any("_ns" in line for line in found)
    assert "when: 0:07.000" in list(lines_of(make_event(video, 7 * NS_PER_S, 7 * NS_PER_S)))


def test_half_a_pair_is_not_lost() -> None:
    turn = MADE.dialogues[0].turns[0].model_copy(update={"window_end_ns": 2 * NS_PER_S})
    assert "window_end: 0:02.000" in list(lines_of(turn))
    turn = turn.model_copy(update={"window_end_ns": None, "window_start_ns": NS_PER_S})
    assert "window_start: 0:01.000" in list(lines_of(turn))


def test_bulk_is_told_by_its_length() -> None:
    found = list(lines_of(MADE.keyframes[0]))
    assert f"jpeg: {len(MADE.keyframes[0].jpeg):,} bytes" in found
    signals = list(lines_of(MADE.signals[0]))
    assert any(line.startswith(f"t: {len(MADE.signals[0].t_ns)} values: 0:00.000, 0:00.040, …") for line in signals)


def test_text_cannot_drive_the_terminal(out: Path, tmp_path: Path) -> None:
    evil = "\x1b[2J[red]gone[/red] [link=x]\x07\r\u202e"
    made = make_records(VIDEOS[:1])
    made.questions = [made.questions[0].model_copy(update={"question": evil})]
    write_all(tmp_path / "out", tmp_path, made)
    text = printed(tmp_path / "out" / "streaming_qa", rows=1)
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
    assert r"\x1b[2J[red]gone[/red] [link=x]\x07\r\u202e" in text


@given(st.text())
def test_plain_text_is_printable_and_keeps_what_was(text: str) -> None:
    found = plain(text)
    assert found.isprintable()
    assert text.isprintable() == (found == text)


def test_show_prints(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(out / "dialogue", rows=1)
    assert "dialogues" in capsys.readouterr().out
