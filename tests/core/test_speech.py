"""Utterances on the frame grid, and a floor that only one speaker holds."""

from itertools import islice, pairwise
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.core.speech import (
    Floor,
    LatencyConfig,
    SpeechConfig,
    answer_at_once,
    answer_from,
    drawn_paces,
    question_until,
)
from tests.builders.made import MS, clock_from

CLOCK = clock_from([40] * 249)
SPEECH = SpeechConfig(user_chars_per_s=10, assistant_chars_per_s=20, first_token_ns=200 * MS, pause_ns=0)


def test_a_question_ends_when_it_is_asked():
    said = question_until("x" * 20, 4_000 * MS, CLOCK, SPEECH)
    assert (said.start_ns, said.end_ns) == (2_000 * MS, 4_000 * MS)


def test_a_question_at_the_first_frame_has_no_length():
    said = question_until("x" * 20, 0, CLOCK, SPEECH)
    assert (said.start_ns, said.end_ns) == (0, 0)


def test_an_answer_starts_after_the_first_token_and_lasts_as_long_as_its_text():
    said = answer_from("x" * 20, 1_000 * MS, CLOCK, SPEECH)
    assert (said.start_ns, said.end_ns) == (1_200 * MS, 2_200 * MS)


def test_an_answer_that_the_video_cuts_off_is_none():
    assert answer_from("x" * 20, 9_000 * MS, CLOCK, SPEECH) is None
    assert answer_from("x", CLOCK.end_ns, CLOCK, SPEECH) is None
    assert answer_from("x" * 16, 9_000 * MS, CLOCK, SPEECH).end_ns == CLOCK.end_ns


def test_an_answer_at_once_ends_with_the_video():
    said = answer_at_once(0, clock_from([]), "x" * 99, SPEECH)
    assert (said.start_ns, said.end_ns) == (0, clock_from([]).end_ns)
    assert answer_at_once(1_000 * MS, CLOCK, "", SPEECH).end_ns == 1_040 * MS


@given(st.text(max_size=80), st.integers(0, 249), st.lists(st.integers(1, 500), min_size=1, max_size=30))
def test_utterances_lie_on_the_grid_and_in_order(text, frame, gaps):
    clock = clock_from(gaps)
    at = clock.time_of(min(frame, len(clock) - 1))
    for said in (question_until(text, at, clock, SPEECH), answer_from(text, at, clock, SPEECH)):
        if said is not None:
            assert clock.on_grid(said.start_ns)
            assert clock.on_grid(said.end_ns)
            assert said.start_ns <= said.end_ns
    assert question_until(text, at, clock, SPEECH).end_ns == at
    answer = answer_from(text, at, clock, SPEECH)
    assert answer is None or at + SPEECH.first_token_ns <= answer.start_ns < answer.end_ns


def test_the_floor_keeps_speakers_apart():
    floor = Floor(pause_ns=10)
    floor.take(100, 200)
    assert not floor.free(150, 160)
    assert not floor.free(195, 300)
    assert not floor.free(205, 300), "too soon after the last one"
    assert floor.free(210, 300)
    assert floor.free(0, 90)
    assert not floor.free(0, 95)
    floor.take(300, 400)
    assert floor.free(210, 290)
    assert not floor.free(210, 295)
    floor.release(100, 200)
    assert floor.free(100, 200)


def test_an_instant_holds_the_floor_too():
    floor = Floor(pause_ns=0)
    floor.take(50, 50)
    assert not floor.free(50, 60)
    assert floor.free(51, 60)
    floor.release(50, 50)
    assert floor.free(50, 60)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 60)), max_size=40), st.integers(0, 9))
def test_stretches_never_overlap_and_pauses_hold(wishes, pause):
    floor = Floor(pause_ns=pause)
    for start, length in wishes:
        if floor.free(start, start + length):
            floor.take(start, start + length)
    taken = floor.taken
    assert taken == sorted(taken)
    assert all(a[1] + pause <= b[0] for a, b in pairwise(taken))


def paces(count, seed=0, **settings):
    return list(islice(drawn_paces(SPEECH, LatencyConfig(**settings), Random(seed)), count))


def test_each_reply_has_a_first_token_and_a_speed_of_its_own():
    drawn = paces(400, first_token_ns=300 * MS, tokens_per_s=5.0, chars_per_token=4.0, tokens_spread=0.3)
    assert len({pace.first_token_ns for pace in drawn}) > 300
    assert abs(median(pace.first_token_ns for pace in drawn) / (300 * MS) - 1) < 0.1
    assert abs(median(pace.assistant_chars_per_s for pace in drawn) - 20) <= 1
    assert {pace.user_chars_per_s for pace in drawn} == {SPEECH.user_chars_per_s}


def test_paces_follow_from_the_seed():
    assert paces(5, seed=1) == paces(5, seed=1) != paces(5, seed=2)


def test_without_spread_all_replies_are_alike_and_none_is_slower_than_most():
    flat = {"first_token_spread": 0.0, "tokens_spread": 0.0}
    assert len(set(map(str, paces(9, **flat)))) == 1
    wild = paces(300, first_token_ns=100 * MS, first_token_spread=3.0, tokens_spread=3.0, most=2.0)
    assert max(pace.first_token_ns for pace in wild) == 200 * MS
    assert min(pace.assistant_chars_per_s for pace in wild) == 12


@pytest.mark.parametrize(
    "wrong", [{"tokens_per_s": 0.0}, {"first_token_ns": -1}, {"most": 0.5}, {"chars_per_token": 0.0}]
)
def test_latencies_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        LatencyConfig(**wrong)
