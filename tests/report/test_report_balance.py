"""The counts on the page: nothing is lost, and bars are shares."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.dataset import SPLITS
from datasets_build.core.records import DecisionRun, DecisionTrack, Split
from datasets_build.report.balance import (
    BINS,
    STATES,
    FrameView,
    Table,
    bin_of,
    count_dialogues,
    count_events,
    count_questions,
    first_reply,
    hours,
    percent,
    ratio,
    video_table,
    view_table,
)
from tests.report.sample import make_event, make_question, make_records, make_video

VIDEO = make_video("a.mp4", duration_ns=10 * NS_PER_S)
SPLIT = st.sampled_from(SPLITS)


def table(tables: list[Table], title: str) -> Table:
    return next(found for found in tables if found.title == title)


def cells(found: Table) -> list[tuple[str | int, ...]]:
    return [line.cells for line in found.lines]


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(-(10**15), 2 * 10**15))
def test_every_instant_falls_in_one_tenth(start: int, length: int, t: int) -> None:
    found = bin_of(t, start, start + length)
    assert 0 <= found < BINS
    if length >= BINS and start <= t < start + length:
        assert found * length <= (t - start) * BINS < (found + 1) * length


def test_tenths_are_closed_below() -> None:
    assert [bin_of(t, 100, 200) for t in (100, 109, 110, 199, 200, 250, 3)] == [0, 0, 1, 9, 9, 9, 0]
    assert bin_of(5, 5, 5) == 0


@given(st.lists(st.tuples(SPLIT, st.integers(0, 4), st.booleans(), st.integers(0, 9)), max_size=40))
def test_questions_are_counted_once_each(drawn: list[tuple[Split, int, bool, int]]) -> None:
    event = make_event(VIDEO, 2 * NS_PER_S, 3 * NS_PER_S)
    rows = [
        (split, make_question(VIDEO, event, kind, unanswerable=flag, ask_ns=second * NS_PER_S))
        for split, kind, flag, second in drawn
    ]
    counts, tables = count_questions(rows, {VIDEO.id: VIDEO.duration_ns})
    assert counts.splits == Counter(split for split, *_ in drawn)
    kinds = cells(table(tables, "Questions by task and mode"))
    assert sum(int(row[-1]) for row in kinds) == len(drawn)
    assert all(sum(int(number) for number in row[2:5]) == row[5] for row in kinds)
    *_, every = cells(table(tables, "Unanswerable questions"))
    assert every[:3] == ("all", len(drawn) - counts_of(drawn), counts_of(drawn))
    asked = cells(table(tables, "When questions are asked"))
    assert [row[1] for row in asked] == [sum(second == k for *_, second in drawn) for k in range(BINS)]
    for found in tables:
        assert all(0 <= share <= 1 for line in found.lines for share in line.shares)
        assert all(len(line.cells) == len(found.columns) for line in found.lines)


def counts_of(drawn: list[tuple[Split, int, bool, int]]) -> int:
    return sum(flag for _, _, flag, _ in drawn)


def test_the_unanswerable_share_is_per_mode() -> None:
    event = make_event(VIDEO, 0, NS_PER_S)
    rows = [("train", make_question(VIDEO, event, k % 2, unanswerable=k < 2)) for k in range(8)]
    _, tables = count_questions(rows, {})
    assert cells(table(tables, "Unanswerable questions")) == [
        ("backward", 3, 1, "25.0 %"),
        ("realtime", 3, 1, "25.0 %"),
        ("all", 6, 2, "25.0 %"),
    ]
    assert [line.shares for line in table(tables, "Unanswerable questions").lines] == [(0.75, 0.25)] * 3


def test_right_options_are_counted_where_there_are_any() -> None:
    event = make_event(VIDEO, 0, NS_PER_S)
    plain = make_question(VIDEO, event, 1)
    rows = [("train", plain.model_copy(update={"options": ("x", "y"), "correct_option": k})) for k in (0, 1, 1, 30)]
    _, tables = count_questions([("train", plain), *rows], {})
    assert cells(table(tables, "Right option")) == [("A", 1), ("B", 2), ("30", 1)]
    _, tables = count_questions([("train", plain)], {})
    assert "Right option" not in {found.title for found in tables}


def test_events_are_counted_by_label_with_their_mean_length() -> None:
    other = make_video("b.mp4", split="test")
    rows = [
        make_event(VIDEO, 0, 2 * NS_PER_S, "still"),
        make_event(VIDEO, 0, 4 * NS_PER_S, "still"),
        make_event(other, 7, 7, "still"),
        make_event(other, 7, 7, "shot_start"),
    ]
    counts, (found,) = count_events(rows, {VIDEO.id: "train", other.id: "test"})
    assert found.columns == ("label", "mean", "train", "validation", "test", "all")
    assert cells(found) == [("shot_start", "instant", 0, 0, 1, 1), ("still", "3.0 s", 2, 0, 1, 3)]
    assert "streamvl/picture-1" in found.about
    assert counts.splits == {"train": 2, "test": 2}


def test_labels_of_several_sets_are_kept_apart() -> None:
    rows = [make_event(VIDEO, 0, 9, "run", label_set=name) for name in ("b", "a")]
    _, (found,) = count_events(rows, {VIDEO.id: "train"})
    assert [row[:2] for row in cells(found)] == [("run", "a"), ("run", "b")]
    assert len(found.columns) == len(found.lines[0].cells)


def test_states_of_every_grid_are_summed_in_steps() -> None:
    dialogue = make_records([VIDEO]).dialogues[0]
    tracks = tuple(
        DecisionTrack(
            grid=grid,
            runs=(
                DecisionRun(state="silence", start_ns=0, steps=9 * k),
                DecisionRun(state="respond", start_ns=1, steps=2 * k),
                DecisionRun(state="standby", start_ns=2, steps=k),
                DecisionRun(state="silence", start_ns=3, steps=k),
            ),
        )
        for grid, k in (("2/1", 2), ("native", 10))
    )
    rows = [("train", dialogue.model_copy(update={"decisions": tracks}))]
    _, tables = count_dialogues(rows)
    found = table(tables, "Silence, standby, respond")
    assert found.columns == ("grid", *STATES, "ratio")
    assert cells(found) == [("2/1", 20, 2, 4, 0, "5.0 : 0.5 : 1"), ("native", 100, 10, 20, 0, "5.0 : 0.5 : 1")]
    assert found.lines[0].shares == pytest.approx((20 / 26, 2 / 26, 4 / 26, 0))


def test_the_first_reply_is_placed_in_its_dialogue_and_silence_is_told() -> None:
    dialogue = make_records([VIDEO]).dialogues[0]
    base = dialogue.model_copy(update={"start_ns": 2 * NS_PER_S, "end_ns": 12 * NS_PER_S})
    reply = next(turn for turn in dialogue.turns if turn.role == "assistant")
    rows = []
    for second in (2, 5, 5, 11):
        late = reply.model_copy(update={"start_ns": 11 * NS_PER_S, "end_ns": 12 * NS_PER_S})
        first = reply.model_copy(update={"start_ns": second * NS_PER_S, "end_ns": 12 * NS_PER_S})
        # Order on the page is not order in time: the earliest counts.
        rows.append(("train", base.model_copy(update={"turns": (dialogue.turns[0], late, first)})))
    mute = base.model_copy(update={"turns": dialogue.turns[:1]})
    assert first_reply(mute) is None
    _, tables = count_dialogues([*rows, ("test", mute)])
    found = table(tables, "First reply")
    assert [row[1] for row in cells(found)] == [1, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    assert found.about.endswith("without one: 1.")


def test_turns_are_counted_by_role_and_trigger() -> None:
    made = make_records([make_video(f"{k}.mp4", duration_ns=20 * NS_PER_S) for k in range(3)])
    turns = [turn for dialogue in made.dialogues for turn in dialogue.turns]
    counts, tables = count_dialogues([("train", row) for row in made.dialogues])
    found = cells(table(tables, "Turns"))
    assert sum(int(row[2]) for row in found) == len(turns)
    assert sum(int(row[3]) for row in found) == sum(turn.truncated_at_char is not None for turn in turns) > 0
    assert counts.splits == {"train": 3}


def test_splits_show_videos_length_and_what_is_not_built() -> None:
    videos = [VIDEO, make_video("b.mp4", split="test", duration_ns=90 * NS_PER_S)]
    found = video_table(videos, {"events": Counter({"train": 5}), "questions": None})
    assert cells(found) == [
        ("train", 1, "10.0 s", 5, "–"),
        ("validation", 0, "0.0 s", 0, "–"),
        ("test", 1, "1.5 min", 0, "–"),
    ]
    assert [line.shares for line in found.lines] == [(0.5,), (0.0,), (0.5,)]


def test_frame_views_are_listed_with_their_rows() -> None:
    found = view_table([FrameView("frames_2fps", {"train": 4}), FrameView("frames_native", {"train": 40, "test": 10})])
    assert cells(found) == [("frames_2fps", 4, 0, 0, 4), ("frames_native", 40, 0, 10, 50)]
    assert [line.shares for line in found.lines] == [(0.08,), (1.0,)]


@pytest.mark.parametrize("count", [count_questions, count_dialogues, count_events])
def test_nothing_to_count_makes_tables_without_an_error(count: object) -> None:
    _, tables = count([], {}) if count is not count_dialogues else count_dialogues([])
    assert all(sum(line.shares) <= 1 for found in tables for line in found.lines)


def test_numbers_are_told_for_people() -> None:
    assert (percent(0.1234), percent(0), percent(1)) == ("12.3 %", "0.0 %", "100.0 %")
    assert (ratio([10, 5, 4]), ratio([1000, 2, 0]), ratio([])) == ("2.5 : 1.2 : 1", "1,000 : 2 : 0", "")
    assert (hours(8 * NS_PER_S), hours(312 * NS_PER_S)) == ("8.0 s", "5.2 min")
    assert hours(4_500_000 * NS_PER_S) == "1,250.00 h"
