"""Styles of talking: small talk, tasks handed on, follow-ups, corrections: lawful, and found when broken."""

from collections import Counter
from functools import lru_cache

import pytest
from pydantic import ValidationError

from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.builders.styles import StylesConfig
from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.laws import Known
from datasets_build.checks.mishaps import MISHAP_LAWS
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.core.decisions import decisions_on
from datasets_build.core.speech import LatencyConfig, SpeechConfig
from datasets_build.core.views import parse_grid
from datasets_build.truth.asides import said
from datasets_build.truth.styles import is_referring, style_of
from tests.builders.lessons import lesson, lesson_desk, lesson_events
from tests.builders.worlds import TEACHER

FAST = SpeechConfig(user_chars_per_s=60, assistant_chars_per_s=40, pause_ns=100_000_000)
WAYS = ("last", "count", "yet", "subject")
LAWS = (*DIALOGUE_LAWS, *REPLY_LAWS, *MISHAP_LAWS)


@lru_cache
def talk(style, seed=0, share=1.0, latency=False, ways=WAYS):
    scene = lesson("styles", seconds=60, seed=seed)
    events = tuple(lesson_events(scene))
    shares = dict.fromkeys(StylesConfig.model_fields, share) if style == "all" else {style: share}
    config = DialogueConfig(
        per_minute=8.0, interruptions=0.0, speech=FAST, ways=ways, styles=StylesConfig(**shares),
        latency=LatencyConfig(tokens_per_s=12.0) if latency else None,
    )  # fmt: skip
    row = dialogue_of(scene.video, lesson_desk(scene, seed, teacher=TEACHER, events=list(events)), config, seed=seed)
    return row, Known(scene.video, scene.clock, {event.id: event for event in events})


def broken(row, known):
    return {law.name for law in LAWS if list(law.breaches(row, known))}


def seen(style):
    """Dialogues with a style, and the turns that show it."""
    for seed in range(6):
        row, known = talk(style, seed)
        for turn in row.turns:
            if shows(style, turn, row, known):
                yield row, known, turn


def shows(style, turn, row, known):
    if style in ("small_talk", "delegate"):
        return turn.task == style
    if style == "mistake":
        return turn.trigger == "correction"
    return is_referring(turn) and named(turn, row, known) == {"follow_up": "follow_up", "correction": "meant"}[style]


def named(turn, row, known):
    turns = {each.id: each for each in row.turns}
    answer = turns[turn.trigger_ref]
    return style_of(turn, answer, turns.get(answer.trigger_ref), known.events)


def changed(row, known, turn, **update):
    turns = [each.model_copy(update=update) if each.id == turn.id else each for each in row.turns]
    grids = [parse_grid(track.grid) for track in row.decisions]
    decisions = tuple(decisions_on(turns, known.clock, fps=fps) for fps in grids)
    return row.model_copy(update={"turns": tuple(turns), "decisions": decisions})


@pytest.mark.parametrize("style", StylesConfig.model_fields)
def test_every_style_is_there_where_it_is_asked_for_and_breaks_no_law(style):
    assert len(list(seen(style))) >= 3
    for seed in range(6):
        assert broken(*talk(style, seed)) == set()
        assert not [turn for turn in talk(style, seed, 0.0)[0].turns if shows(style, turn, *talk(style, seed, 0.0))]


@pytest.mark.parametrize("latency", [False, True])
def test_all_styles_together_break_no_law(latency):
    found = Counter()
    for seed in range(6):
        row, known = talk("all", seed, 0.5, latency)
        assert broken(row, known) == set()
        found += Counter(
            style for style in StylesConfig.model_fields for turn in row.turns if shows(style, turn, row, known)
        )
    assert set(found) == set(StylesConfig.model_fields)


def test_what_is_handed_on_is_a_state_of_its_own():
    row, known, turn = next(seen("delegate"))
    answer = next(each for each in row.turns if each.trigger_ref == turn.id)
    assert (answer.state, answer.evidence) == ("delegate", ())
    assert "delegate" in {run.state for run in row.decisions[0].runs}
    assert "turn_responds" not in broken(row, known)
    assert "social_unproved" in broken(changed(row, known, answer, state="respond"), known)


def test_nothing_else_is_handed_on():
    row, known, turn = next(seen("small_talk"))
    answer = next(each for each in row.turns if each.trigger_ref == turn.id)
    assert "social_unproved" in broken(changed(row, known, answer, state="delegate"), known)


@pytest.mark.parametrize("text", ["A red circle enters.", "You are right."])
def test_small_talk_says_nothing_else(text):
    row, known, turn = next(seen("small_talk"))
    answer = next(each for each in row.turns if each.trigger_ref == turn.id)
    assert broken(changed(row, known, answer, text=text), known) == {"social_unproved"}


def test_small_talk_is_about_nothing_and_takes_up_no_request():
    row, known, turn = next(seen("small_talk"))
    other = next(each.about for each in row.turns if each.about is not None)
    assert "turn_about_fits" in broken(changed(row, known, turn, about=other), known)
    row, known = talk("small_talk", ways=("watch",))
    reports = [each for each in row.turns if each.trigger == "event"]
    assert reports
    for request in [each for each in row.turns if each.task == "tell_me_when"]:
        row = changed(row, known, request, task="small_talk", about=None)
    assert "reports_requested" in broken(row, known)


@pytest.mark.parametrize("style", ["follow_up", "correction"])
def test_who_refers_to_an_answer_comes_right_behind_it(style):
    row, known, turn = next(seen(style))
    answers = {each.id for each in row.turns if each.role == "assistant"} - {turn.trigger_ref}
    for other in sorted(answers)[:3]:
        assert "references_clear" in broken(changed(row, known, turn, trigger_ref=other), known)
    assert "references_clear" in broken(changed(row, known, turn, text="And then?"), known)
    assert "turn_words_fit" in broken(changed(row, known, turn, trigger=None, trigger_ref=None), known)


def test_a_follow_up_is_about_what_was_told_and_a_correction_about_another():
    for row, _, turn in seen("correction"):
        turns = {each.id: each for each in row.turns}
        heard = turns[turns[turn.trigger_ref].trigger_ref]
        assert (heard.task, heard.about.kind) == (turn.task, turn.about.kind)
        assert heard.about.subject != turn.about.subject
        assert turn.about.subject in turn.text
    for row, known, turn in seen("follow_up"):
        answer = next(each for each in row.turns if each.id == turn.trigger_ref)
        subjects = {known.events[piece.event_id].subject for piece in answer.evidence if piece.event_id}
        assert subjects == {turn.about.subject}


def test_what_is_wrong_is_not_learned_and_corrected_at_once():
    for row, known, turn in seen("mistake"):
        wrong = next(each for each in row.turns if each.id == turn.trigger_ref)
        assert (wrong.learn, wrong.loss_weight, turn.learn) == (False, 0.0, True)
        assert said(turn.text).aside == "corrected"
        assert turn.window_start_ns == wrong.end_ns <= turn.start_ns
        right = changed(row, known, wrong, text=said(turn.text).text)
        assert "wrong_is_corrected" in broken(right, known)


@pytest.mark.parametrize("wrong", [{"follow_up": 1.1}, {"small_talk": -0.1}, {"whisper": 0.5}])
def test_shares_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        StylesConfig(**wrong)
