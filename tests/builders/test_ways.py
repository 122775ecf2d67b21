"""Ways of asking: each has its function, a dialogue uses those that it is told, and who barges in is told the truth."""

from collections import Counter
from typing import get_args

import pytest
from pydantic import ValidationError

from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.builders.facts import FactsConfig
from datasets_build.builders.ways import BARGING, LONG, USUAL, WAYS, Way
from datasets_build.core.speech import SpeechConfig
from tests.builders.lessons import lesson, lesson_desk, lesson_events
from tests.builders.made import MS
from tests.builders.worlds import breaches

TASKS = {
    "tell": "tell_me_when", "watch": "tell_me_when", "vain": "tell_me_when", "next": "next", "yet": "happened_yet",
    "last": "before", "before": "before", "subject": "before", "refused": "before", "count": "count_so_far",
    "tally": "count_so_far", "shots": "count_so_far", "colour": "colour", "shape": "shape", "now": "now",
    "is_on": "now", "narrate": "tell_me_when",
}  # fmt: skip
FAST = SpeechConfig(user_chars_per_s=60, assistant_chars_per_s=30)


def talk(name, seed=0, **settings):
    scene = lesson(name, seconds=30, seed=seed)
    config = DialogueConfig(**{"per_minute": 40.0, "speech": FAST} | settings)
    events = lesson_events(scene)
    row = dialogue_of(scene.video, lesson_desk(scene, seed, events=events), config, seed=seed)
    assert breaches(scene, events, dialogues=[row]) == []
    return row


def asked(row):
    return Counter(turn.task for turn in row.turns if turn.role == "user")


def test_every_way_has_a_function_and_the_usual_ones_come_first():
    assert tuple(WAYS) == get_args(Way)
    assert tuple(WAYS)[: len(USUAL)] == USUAL == DialogueConfig().ways
    assert set(TASKS) == set(WAYS)
    assert set(BARGING) < set(WAYS)
    assert set(LONG).isdisjoint(BARGING), "what must wait is nothing to barge in with"


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted(set(WAYS) - {"now", "is_on"}))
def test_a_dialogue_asks_in_the_ways_that_it_is_told(way):
    found = Counter()
    for seed in range(3):
        found += asked(talk("one way", seed, ways=(way,), interruptions=0.0))
    # Where nothing can be asked in this way, the opening is: how many shots there have been.
    assert set(found) <= {TASKS[way], "count_so_far"}
    assert found[TASKS[way]]


def test_several_ways_take_turns():
    ways = ("colour", "shape", "tally", "watch")
    found = Counter()
    for seed in range(3):
        found += asked(talk("turns", seed, ways=ways))
    assert set(found) == {TASKS[way] for way in ways}
    assert min(found.values()) > 1


@pytest.mark.slow
def test_who_barges_in_asks_in_the_ways_that_the_dialogue_has():
    speech = SpeechConfig(user_chars_per_s=60, assistant_chars_per_s=8, least_said=2, least_left=2)
    cut = []
    for seed in range(2):
        row = talk("barging", seed, ways=("colour", "shape", "shots"), interruptions=1.0, speech=speech)
        cut += [turn for turn in row.turns if turn.truncated_at_char is not None]
        barging = {turn.task for turn in row.turns if turn.interrupts is not None}
        assert barging <= {"colour", "shape", "count_so_far"}
    assert cut
    assert all(2 <= turn.truncated_at_char <= len(turn.intended_text) - 2 for turn in cut)
    for seed in range(2):
        usual = SpeechConfig(user_chars_per_s=60, assistant_chars_per_s=8)
        row = talk("barging", seed, ways=("colour", "shape", "shots"), interruptions=1.0, speech=usual)
        assert not [turn for turn in row.turns if turn.truncated_at_char is not None], "one word is too short for it"


def test_where_nothing_barges_in_nothing_is_cut():
    row = talk("quiet", ways=("watch", "tell"), interruptions=1.0)
    assert not [turn for turn in row.turns if turn.truncated_at_char is not None]


def test_in_a_dialogue_too_nobody_asks_before_things_have_settled():
    for seed in range(2):
        facts = FactsConfig(settle_ns=700 * MS)
        scene = lesson("settled", seconds=30, seed=seed)
        desk = lesson_desk(scene, seed, settle_ns=700 * MS)
        config = DialogueConfig(per_minute=40.0, speech=FAST, facts=facts, ways=("colour", "shots", "watch", "last"))
        row = dialogue_of(scene.video, desk, config, seed=seed)
        acts = [event for event in lesson_events(scene) if event.label != "video_start"]
        asks = [turn.end_ns for turn in row.turns if turn.role == "user"]
        assert not [t for t in asks for e in acts if e.start_ns <= t < e.end_ns + 700 * MS]


def test_who_narrates_tells_all_that_happens_from_then_on():
    told = 0
    for seed in range(8):
        scene = lesson("narrated", seconds=30, seed=seed)
        row = talk("narrated", seed, ways=("narrate",), interruptions=0.0, per_minute=2.0)
        asks = [turn for turn in row.turns if turn.about is not None and turn.about.kind == "scene"]
        reports = [turn for turn in row.turns if turn.trigger == "event"]
        for ask in asks[:1]:
            later = [e.id for e in lesson_events(scene) if e.label_set == "lesson" and e.start_ns > ask.end_ns]
            assert sorted(turn.trigger_ref for turn in reports) == sorted(later)
            told += len(reports)
    assert told >= 3


@pytest.mark.parametrize("wrong", [{"ways": ()}, {"ways": ("whisper",)}, {"speech": {"least_said": 0}}])
def test_ways_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        DialogueConfig(**wrong)
