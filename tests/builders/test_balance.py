"""Shares of states and styles in dialogues: what stays, what is counted, and why a share was missed."""

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.builders.balance import Balance, style_in
from datasets_build.builders.build import build_dialogue, build_events
from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.exchanges import Exchange
from datasets_build.builders.styles import StylesConfig
from datasets_build.builders.ways import LONG
from datasets_build.core.dataset import SPLITS
from datasets_build.core.decisions import STATES, decisions_on
from datasets_build.core.layout import by_video, dataset_rows, table_path
from datasets_build.core.records import Dialogue, Event, Turn
from datasets_build.core.speech import SpeechConfig
from datasets_build.core.table import read_table
from tests.builders.made import bare, lively, steady, write_out
from tests.builders.worlds import breaches, desk_for, events_in

S = 1_000_000_000
CLOCK = steady(60.0)
EVERY = StylesConfig(small_talk=0.4, delegate=0.4, follow_up=0.4, correction=0.4, mistake=0.4)
FAST = SpeechConfig(user_chars_per_s=60, assistant_chars_per_s=40, pause_ns=100_000_000)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = write_out(tmp_path_factory.mktemp("balance") / "out", scenes_of())
    build_events(folder, EventsConfig())
    return folder


def build(out, **more):
    build_dialogue(out, DialogueConfig(per_minute=16.0, speech=FAST, **more), force=True)
    rows = list(dataset_rows(out, "dialogue/dialogues", Dialogue))
    return rows, json.loads((out / "dialogue/manifest.json").read_text())["mix"]


def turns_of(rows):
    return {turn.id for row in rows for turn in row.turns}


def exchange(asked_s, answered_s, state="respond"):
    """A question and its answer: it waits in between, and is answered within a second."""
    user = Turn(id=f"u{asked_s}", role="user", start_ns=asked_s * S - S // 2, end_ns=asked_s * S, text="?")
    answer = Turn(
        id=f"a{asked_s}", role="assistant", start_ns=answered_s * S, end_ns=answered_s * S + S // 2, text="!",
        state=state, trigger="user_query", trigger_ref=user.id,
    )  # fmt: skip
    return Exchange((user, answer), ((user.start_ns, answer.end_ns),), ())


def shares_of(exchanges):
    turns = [turn for each in exchanges for turn in each.turns]
    found = Counter()
    for run in decisions_on(turns, CLOCK, fps=Fraction(1)).runs:
        found[run.state] += run.steps
    return {state: found[state] / sum(found.values()) for state in STATES}


def balance(**shares):
    return Balance(shares, Fraction(1), {})


TEN = [exchange(5 * k + 2, 5 * k + (2 if k % 2 else 4)) for k in range(10)]


def test_without_shares_everything_stays():
    assert balance().thinned("train", TEN, CLOCK) == TEN


@pytest.mark.parametrize("share", [0.95, 0.9, 0.8, 0.7])
def test_exchanges_are_left_out_until_it_is_silent_for_long_enough(share):
    assert shares_of(TEN)["silence"] < 0.7
    stay = balance(silence=share).thinned("train", TEN, CLOCK)
    assert shares_of(stay)["silence"] == pytest.approx(share, abs=0.02)
    assert [each for each in TEN if each in stay] == stay, "in their order"


def test_who_waits_too_much_leaves_first():
    stay = balance(standby=0.0).thinned("train", TEN, CLOCK)
    assert shares_of(stay)["standby"] == 0.0
    assert shares_of(stay)["respond"] == pytest.approx(5 / 60)


def test_one_exchange_stays_whatever_is_asked_for():
    (stays,) = balance(silence=1.0).thinned("train", TEN, CLOCK)
    assert stays in TEN


def test_nothing_is_left_out_where_more_is_asked_for_than_there_is():
    assert balance(respond=0.9).thinned("train", TEN, CLOCK) == TEN


def test_what_one_dialogue_is_short_of_the_next_makes_up_for():
    mix = balance(respond=0.1)
    poor = mix.thinned("train", TEN[:2], CLOCK)
    rich = mix.thinned("train", TEN, CLOCK)
    assert len(poor) == 2
    assert len(rich) == 10, "6 of 60 steps of each, and 4 that the first one lacks"
    assert len(balance(respond=0.1).thinned("train", TEN, CLOCK)) == 6
    assert len(mix.thinned("test", TEN, CLOCK)) == 6, "another split has its own"


@given(st.sets(st.integers(0, 11), min_size=1), st.dictionaries(st.sampled_from(STATES), st.floats(0, 1), min_size=1))
def test_thinning_keeps_some_in_order_and_comes_no_farther_from_the_shares(places, shares):
    every = [
        exchange(5 * k + 1, 5 * k + 1 + k % 3, state="delegate" if k % 4 == 3 else "respond") for k in sorted(places)
    ]
    mix = Balance(shares, Fraction(1), {})
    stay = mix.thinned("train", every, CLOCK)
    assert stay
    assert [each for each in every if each in stay] == stay
    before, after = shares_of(every), shares_of(stay)
    away = [sum(abs(found[state] - share) for state, share in shares.items()) for found in (before, after)]
    assert away[1] <= away[0] + 1e-9


@pytest.mark.slow
def test_a_build_reaches_its_shares_and_the_manifest_says_so(out):
    # Asked for what must be waited for, there is enough to choose from, whatever the words are.
    every, _ = build(out, ways=LONG)
    wanted = {"silence": 0.85, "respond": 0.1}
    rows, mix = build(out, ways=LONG, mix=wanted)
    assert turns_of(rows) < turns_of(every)
    for split in ("train", "test"):
        for state, share in wanted.items():
            told = mix["states"][split]["1/1"][state]
            assert told["asked"] == share
            # Of the two videos of a split there is not always enough that waits.
            assert told["reached"] == pytest.approx(share, abs=0.02 if split == "train" else 0.05), (split, state)
            assert (told["why_not"] is None) == (abs(told["reached"] - share) <= 0.01)
        assert mix["states"][split]["1/1"]["standby"]["asked"] is None
        assert mix["states"][split]["2/1"]["silence"]["asked"] is None, "asked for on one grid alone"


@pytest.mark.slow
def test_what_is_thinned_breaks_no_law(out):
    rows, _ = build(out, mix={"silence": 0.85}, styles=EVERY)
    events = by_video(read_table(table_path(out, Event), Event))
    for k, row in enumerate(sorted(rows, key=lambda row: row.video_id)):
        scene = next(each for each in scenes_of() if each.video.id == row.video_id)
        assert breaches(scene, events[row.video_id], dialogues=[row]) == [], k


@lru_cache
def scenes_of():
    splits = ("train", "train", "train", "test")
    made = [lively(f"balance {k}", seconds=60, seed=k, split=splits[k % 4]) for k in range(8)]
    return (*made, bare("balance bare", frames=3))


def test_a_small_build_tells_what_it_reached(tmp_path):
    small = write_out(tmp_path / "out", [lively("balance small", seconds=12), bare("balance bare", frames=3)])
    build_events(small, EventsConfig())
    rows, mix = build(small, mix={"silence": 0.5})
    told = mix["states"]["train"]["1/1"]
    assert told["silence"]["asked"] == 0.5
    assert sum(each["steps"] for each in told.values()) == sum(
        run.steps for row in rows for run in next(t for t in row.decisions if t.grid == "1/1").runs
    )


@pytest.mark.slow
def test_what_is_reached_is_always_told_and_is_what_the_rows_hold(out):
    rows, mix = build(out, styles=EVERY)
    assert set(mix["states"]) == set(mix["styles"]) == set(mix["tasks"]) == set(SPLITS)
    steps = Counter((track.grid, run.state, run.steps) for row in rows for track in row.decisions for run in track.runs)
    for grid in ("native", "1/1", "2/1"):
        for state in STATES:
            told = sum(mix["states"][split][grid][state]["steps"] for split in ("train", "test"))
            assert told == sum(n * each for (where, what, n), each in steps.items() if (where, what) == (grid, state))
        for split in ("train", "test"):
            assert sum(each["reached"] for each in mix["states"][split][grid].values()) == pytest.approx(1, abs=1e-5)
    users = Counter(turn.task for row in rows for turn in row.turns if turn.role == "user")
    told = sum((Counter({task: n["turns"] for task, n in mix["tasks"][split].items()}) for split in SPLITS), Counter())
    assert told == users
    assert mix["states"]["validation"] == {}, "no video is there"


@pytest.mark.slow
def test_every_style_that_is_asked_for_is_there_and_what_was_missed_is_told(out):
    _, mix = build(out, styles=EVERY, interruptions=0.4)
    for style, told in mix["styles"]["train"].items():
        assert told["asked"] == 0.4
        assert told["turns"] > 0, style
        assert told["turns"] + sum(told["missed"].values()) == told["wanted"], style
        assert set(told["missed"]) <= {"no room", "nothing fits"}
    _, mix = build(out, interruptions=0.0)
    assert all(told["wanted"] == told["turns"] == 0 for told in mix["styles"]["train"].values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mix", "state", "why"),
    [
        ({"silence": 0.1}, "silence", "All of it that was drawn has stayed"),
        ({"respond": 0.9}, "respond", "All of it that was drawn has stayed"),
        ({"delegate": 0.2}, "delegate", "All of it that was drawn has stayed"),
        ({"silence": 1.0}, "silence", "Every dialogue keeps one exchange"),
        ({"respond": 0.3, "standby": 0.0}, "respond", "bring too much of another state"),
    ],
)
def test_a_share_that_cannot_be_had_says_why(out, mix, state, why):
    _, told = build(out, mix=mix)
    assert why in told["states"]["train"]["1/1"][state]["why_not"]
    reached = [each for each in told["states"]["train"]["1/1"].values() if each["asked"] is None]
    assert all(each["why_not"] is None for each in reached)


@pytest.mark.slow
def test_the_same_build_leaves_the_same_out(out):
    one, _ = build(out, mix={"silence": 0.8})
    again, _ = build(out, mix={"silence": 0.8})
    assert one == again


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [60, 120])
def test_styles_find_room_where_a_lot_happens(seconds):
    """Where every style is asked for, none crowds out the others."""
    found = Counter()
    for seed in range(6):
        scene = lively(f"crowded {seed}", seconds=seconds, seed=seed)
        events = events_in(scene)
        config = DialogueConfig(interruptions=0.4, styles=EVERY)
        row = dialogue_of(scene.video, desk_for(scene, Random(seed), events=events), config, seed=seed)
        assert breaches(scene, events, dialogues=[row]) == []
        turns, known = {turn.id: turn for turn in row.turns}, {event.id: event for event in events}
        found.update(style for turn in row.turns if (style := style_in(turn, turns, known)))
    expected = {"barge_in", "follow_up", "mistake", "small_talk", "delegate"}
    assert expected <= set(found), found
    if seconds == 120:
        assert found["barge_in"] >= 4


@pytest.mark.slow
def test_a_rare_style_comes_in_short_dialogues_too():
    """A twentieth of three exchanges is none; of twenty such dialogues it is some."""
    found = 0
    for seed in range(20):
        scene = lively(f"short {seed}", seconds=12, seed=seed)
        config = DialogueConfig(styles=StylesConfig(small_talk=0.1), speech=FAST)
        row = dialogue_of(scene.video, desk_for(scene, Random(seed)), config, seed=seed)
        found += sum(turn.task == "small_talk" for turn in row.turns)
    assert 1 <= found <= 14


@pytest.mark.parametrize(
    "wrong",
    [{"mix": {"silence": 1.1}}, {"mix": {"silence": 0.7, "respond": 0.4}}, {"mix": {"sleep": 0.1}},
     {"mix": {"silence": 0.5}, "mix_grid": "5"}, {"mix": {"respond": -0.1}}],
)  # fmt: skip
def test_shares_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError, match=r"mix|sleep"):
        DialogueConfig(**wrong)


def test_turns_of_each_style_are_told_apart():
    user = exchange(2, 3).turns[0]
    assert style_in(user, {}, {}) is None
    assert style_in(user.model_copy(update={"interrupts": "a"}), {}, {}) == "barge_in"
    assert style_in(user.model_copy(update={"task": "delegate"}), {}, {}) == "delegate"
    answer = replace(exchange(2, 3)).turns[1]
    assert style_in(answer, {}, {}) is None
    assert style_in(answer.model_copy(update={"trigger": "correction"}), {}, {}) == "mistake"
    gone = user.model_copy(update={"trigger": "user_query", "trigger_ref": "nobody"})
    assert style_in(gone, {}, {}) is None
