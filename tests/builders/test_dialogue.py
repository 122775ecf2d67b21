"""Dialogues: lawful on any video, talkative where there is something to say, interrupted now and then."""

import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.builders.barging import asks_again
from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.builders.exchanges import Talk, answered
from datasets_build.builders.facts import Draft, FactsConfig, nothing_since, seed_of
from datasets_build.core.cutting import ends_amid_word
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import About, Dialogue, Evidence
from datasets_build.core.reply import Reply
from datasets_build.core.speech import Floor, LatencyConfig, SpeechConfig
from tests.builders.made import MS, Scene, bare, clock_from, lively, said, shots_at, video_of
from tests.builders.worlds import breaches, desk_for, events_in, scenes

CONFIG = DialogueConfig()


def talk(scene, config=CONFIG, seed=None, events=None):
    own = seed_of(scene.video.id, "dialogue", config.seed) if seed is None else seed
    desk = desk_for(scene, random.Random(own), events=events, facts=config.facts)
    return dialogue_of(scene.video, desk, config, seed=own)


@pytest.fixture(scope="module")
def many():
    made = [lively(f"talk {k}", seconds=60 + 30 * k, seed=k) for k in range(6)]
    return [(scene, talk(scene)) for scene in made]


@given(scenes(), st.integers(0, 2**40))
def test_every_law_holds_on_every_video(scene, seed):
    events = events_in(scene)
    row = talk(scene, DialogueConfig(interruptions=1.0, per_minute=60.0, most=8), seed=seed, events=events)
    assert len(row.turns) >= 2
    assert breaches(scene, events, dialogues=[row]) == []


@given(scenes(), st.integers(0, 2**40))
def test_the_same_seed_says_the_same(scene, seed):
    events = events_in(scene)
    assert talk(scene, seed=seed, events=events) == talk(scene, seed=seed, events=events)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_video_of_which_nothing_is_known_has_a_dialogue(frames):
    scene = bare("bare", frames=frames)
    row = talk(scene)
    user, answer = row.turns[:2]
    assert (user.role, answer.role, answer.trigger_ref) == ("user", "assistant", user.id)
    assert answer.end_ns <= scene.clock.end_ns
    assert row.end_ns == scene.clock.end_ns
    assert breaches(scene, events_in(scene), dialogues=[row]) == []


def test_laws_hold_on_lively_videos(many):
    for scene, row in many:
        assert breaches(scene, events_in(scene), dialogues=[row]) == []


def test_everything_that_can_trigger_a_turn_does(many):
    triggers = Counter(turn.trigger for _, row in many for turn in row.turns if turn.role == "assistant")
    assert set(triggers) == {"user_query", "event", "interruption"}
    assert min(triggers.values()) >= 2, triggers


def test_questions_wait_and_requests_do_not(many):
    waits, promises = 0, 0
    for _, row in many:
        by_id = {turn.id: turn for turn in row.turns}
        for turn in row.turns:
            if turn.role == "assistant" and turn.trigger == "user_query":
                asked = by_id[turn.trigger_ref]
                waits += turn.answerable_from_ns > asked.end_ns
                promises += not turn.evidence
    assert waits >= 2, "questions that were asked before they could be answered"
    assert promises >= 2, "requests that were acknowledged"


def test_reports_that_would_talk_over_each_other_are_not_promised():
    clock = clock_from([40] * 499)
    video = video_of("fast", clock)
    scene = Scene(video, clock, shots_at(video, clock, list(range(100, 400, 20))))
    for seed in range(10):
        row = talk(scene, DialogueConfig(per_minute=30.0), seed=seed)
        assert breaches(scene, events_in(scene), dialogues=[row]) == []


def test_reports_follow_a_request_for_them(many):
    for _, row in many:
        for k, turn in enumerate(row.turns):
            if turn.trigger == "event":
                earlier = [before.text for before in row.turns[:k] if before.role == "user"]
                assert any("when" in text.lower() or "time" in text or "soon" in text for text in earlier)


def test_an_interruption_cuts_a_turn_at_a_character(many):
    cuts = 0
    for _, row in many:
        by_id = {turn.id: turn for turn in row.turns}
        for turn in row.turns:
            if turn.interrupts:
                cut = by_id[turn.interrupts]
                assert cut.text == cut.intended_text[: cut.truncated_at_char]
                assert cut.end_ns == turn.start_ns
                answer = next(other for other in row.turns if other.trigger_ref == turn.id)
                assert answer.trigger == "interruption"
                cuts += 1
    assert cuts >= 3


def test_an_interruption_asks_for_something_else_once_something_was_said(many):
    for _, row in many:
        by_id = {turn.id: turn for turn in row.turns}
        for turn in row.turns:
            if turn.interrupts:
                cut = by_id[turn.interrupts]
                heard = by_id[cut.trigger_ref]
                answer = next(other for other in row.turns if other.trigger_ref == turn.id)
                whole = answer.intended_text or answer.text
                assert heard.text != turn.text
                assert whole != cut.intended_text
                told = {piece.event_id for piece in answer.evidence if piece.event_id}
                assert not told or not told <= {piece.event_id for piece in cut.evidence}
                assert 8 <= cut.truncated_at_char <= len(cut.intended_text) - 6


def draft_until(until_ms, *, about="camera", events=()):
    t, until = 2_000 * MS, until_ms * MS
    evidence = tuple(Evidence(start_ns=t, end_ns=t, event_id=name) for name in events) or nothing_since(0, t)
    reply = Reply("The red circle moves left.", t, until, until, tuple(evidence))
    return Draft(task="now", mode="realtime", question="What now?", ask_ns=t, replies=(reply,), about=About(kind=about))


def talk_on(scene):
    desk = desk_for(scene, random.Random(1))
    return Talk("d", desk, SpeechConfig(), Floor(CONFIG.speech.pause_ns))


def test_an_answer_is_out_while_it_is_right():
    # 26 characters at 20 per second, after 200 ms: out at 3.5 s, on the next frame.
    made = talk_on(bare("quiet", frames=200))
    assert answered(made, draft_until(3_480)) is None
    exchange = answered(made, draft_until(3_520))
    assert exchange.turns[1].end_ns <= 3_520 * MS


def test_the_same_is_not_asked_again_in_other_words():
    made = talk_on(bare("quiet", frames=200))
    victim = answered(made, draft_until(5_000, events=("e",)))
    assert asks_again(victim, draft_until(5_000))
    other = replace(draft_until(5_000, about="scene"), question="Who?")
    assert asks_again(victim, other), "the same answer"
    reply = replace(other.replies[0], text="Something else.")
    assert not asks_again(victim, replace(other, replies=(reply,)))
    again = replace(draft_until(5_000, about="scene", events=("e",)), question="Who?")
    assert asks_again(victim, replace(again, replies=(replace(again.replies[0], text="Else."),))), "the same event"


def test_the_opening_answer_is_out_before_the_second_shot():
    clock = clock_from([40] * 49)
    video = video_of("short shot", clock)
    scene = Scene(video, clock, shots_at(video, clock, [1]))
    row = talk(scene, DialogueConfig(per_minute=0.1, least=1, interruptions=0.0), seed=3)
    assert len(row.turns) >= 2
    first = [turn for turn in row.turns if turn.role == "assistant" and turn.start_ns == 0]
    assert all(turn.end_ns <= clock.time_of(1) for turn in first)


def test_nobody_is_interrupted_where_that_is_off():
    for k in range(3):
        row = talk(lively(f"calm {k}", seconds=60), DialogueConfig(interruptions=0.0))
        assert not any(turn.interrupts or turn.intended_text for turn in row.turns)


def test_decisions_are_written_on_the_stated_grids(many):
    for scene, row in many:
        assert [track.grid for track in row.decisions] == ["native", "1/1", "2/1"]
        for track, fps in zip(row.decisions, (None, Fraction(1), Fraction(2)), strict=True):
            assert track == decisions_on(row.turns, scene.clock, fps=fps)
        states = {run.state for track in row.decisions for run in track.runs}
        assert states == {"silence", "standby", "respond"}


def test_most_of_the_time_is_silence(many):
    for scene, row in many:
        steps = Counter()
        for run in row.decisions[0].runs:
            steps[run.state] += run.steps
        assert steps["silence"] > len(scene.clock) / 2
        assert steps["respond"] == len({turn.start_ns for turn in row.turns if turn.role == "assistant"})


def test_turns_have_ids_of_their_own_and_stand_in_order(many):
    ids = [turn.id for _, row in many for turn in row.turns]
    assert len(set(ids)) == len(ids)
    for _, row in many:
        assert [turn.start_ns for turn in row.turns] == sorted(turn.start_ns for turn in row.turns)
        assert all(turn.state == ("respond" if turn.role == "assistant" else None) for turn in row.turns)


def test_no_exchange_is_repeated_word_for_word(many):
    for _, row in many:
        by_id = {turn.id: turn for turn in row.turns}
        answers = [turn for turn in row.turns if turn.trigger == "user_query" and turn.evidence]
        pairs = [(by_id[turn.trigger_ref].text, turn.intended_text or turn.text) for turn in answers]
        assert len(set(pairs)) == len(pairs)


def test_length_decides_how_much_is_said():
    scene = lively("length", seconds=120)
    few = talk(scene, DialogueConfig(per_minute=1.0, least=1, interruptions=0.0))
    more = talk(scene, DialogueConfig(per_minute=20.0, interruptions=0.0))
    most = talk(scene, DialogueConfig(per_minute=20.0, most=3, interruptions=0.0))
    asked = [sum(turn.role == "user" for turn in row.turns) for row in (few, more, most)]
    assert asked[0] == 2
    assert asked[1] > 6
    assert asked[2] == 3


def test_a_request_for_what_never_comes_is_followed_by_silence():
    clock = clock_from([40] * 999)
    video = video_of("vain", clock)
    once = said(video, 1_000 * MS, 1_500 * MS, "The red circle enters.", label="enter", subject="red circle")
    scene = Scene(video, clock, shots_at(video, clock, []), [], [once])
    vain = 0
    for seed in range(12):
        row = talk(scene, DialogueConfig(per_minute=12.0), seed=seed)
        reports = [turn for turn in row.turns if turn.trigger == "event"]
        promised = [turn for turn in row.turns if turn.role == "assistant" and not turn.evidence]
        vain += len(promised) > len(reports)
    assert vain >= 3


def test_slow_speech_leaves_out_what_does_not_fit():
    scene = lively("slow", seconds=20)
    slow = DialogueConfig(speech=SpeechConfig(assistant_chars_per_s=1, user_chars_per_s=1), interruptions=0.0)
    row = talk(scene, slow)
    assert breaches(scene, events_in(scene), dialogues=[row]) == []
    assert len(row.turns) == 2


def test_a_late_first_token_is_waited_for():
    scene = lively("late", seconds=60)
    config = DialogueConfig(speech=SpeechConfig(first_token_ns=1_500 * MS), facts=FactsConfig(window_ns=5_000 * MS))
    row = talk(scene, config)
    by_id = {turn.id: turn for turn in row.turns}
    for turn in row.turns:
        if turn.role == "assistant":
            least = turn.answerable_from_ns
            if turn.trigger != "event":
                least = max(least, by_id[turn.trigger_ref].end_ns)
            assert turn.start_ns >= least + 1_500 * MS


def test_most_interruptions_come_in_the_middle_of_a_word(many):
    cuts = [turn for _, row in many for turn in row.turns if turn.truncated_at_char is not None]
    assert 4 * sum(map(ends_amid_word, cuts)) > 3 * len(cuts)


def test_with_a_latency_model_replies_are_late_and_fast_each_in_its_own_way():
    scene = lively("latency", seconds=60)
    latency = LatencyConfig(first_token_ns=400 * MS, tokens_per_s=8.0)
    row = talk(scene, DialogueConfig(latency=latency, interruptions=0.0))
    assert breaches(scene, events_in(scene), dialogues=[row]) == []
    assert row == talk(scene, DialogueConfig(latency=latency, interruptions=0.0))
    spoken = [turn for turn in row.turns if turn.role == "assistant"]
    assert len({turn.start_ns - turn.window_start_ns for turn in spoken}) > 3
    assert len({len(turn.text) * 1_000 * MS // (turn.end_ns - turn.start_ns) for turn in spoken}) > 3


def test_the_record_says_who_spoke_and_of_what(many):
    for scene, row in many:
        ids = {event.id for event in events_in(scene)}
        assert set(row.provenance.inputs) <= ids
        assert row.provenance.inputs
        assert row.provenance.agent == "template"
        assert row.language == "en"
        assert row.system
        assert (row.start_ns, row.end_ns) == (0, scene.clock.end_ns)
        assert Dialogue.model_validate(row.model_dump()) == row


@pytest.mark.parametrize(
    "wrong",
    [
        {"grids": ()},
        {"grids": ("native", "native")},
        {"grids": ("1", "1/1")},
        {"grids": ("fast",)},
        {"interruptions": 2.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises((ValidationError, ValueError)):
        DialogueConfig(**wrong)
