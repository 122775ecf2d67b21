"""Ways of asking: each has its function, a dialogue uses those that it is told, and who barges in is told the truth."""

import random
from collections import Counter
from typing import get_args

import pytest
from pydantic import ValidationError

from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.builders.facts import FactsConfig
from datasets_build.builders.ways import BARGING, LONG, USUAL, WAYS, Way
from datasets_build.core.speech import SpeechConfig
from tests.builders.asking import CLOCK, VIDEO
from tests.builders.lessons import lesson, lesson_desk, lesson_events
from tests.builders.made import MS, Scene, said, shots_at
from tests.builders.worlds import breaches, desk_for, events_in

TASKS = {
    "tell": "tell_me_when", "watch": "tell_me_when", "vain": "tell_me_when", "next": "next", "yet": "happened_yet",
    "last": "before", "before": "before", "subject": "before", "refused": "before", "count": "count_so_far",
    "tally": "count_so_far", "shots": "count_so_far", "colour": "colour", "shape": "shape", "now": "now",
    "is_on": "now", "narrate": "tell_me_when", "order": "order", "who": "who", "attribute": "colour", "where": "where",
    "read": "read", "clue": "clue",
}  # fmt: skip
POINTING = ("where", "read", "who", "attribute")
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
@pytest.mark.parametrize("way", sorted(set(WAYS) - {"now", "is_on", *POINTING}))
def test_a_dialogue_asks_in_the_ways_that_it_is_told(way):
    found = Counter()
    for seed in range(3):
        found += asked(talk("one way", seed, ways=(way,), interruptions=0.0))
    # Where nothing can be asked in this way, the opening is: how many shots there have been.
    assert set(found) <= {TASKS[way], "count_so_far"}
    assert found[TASKS[way]]


def corners(way, seed):
    """A video in which things move in the corners of the picture, of which one may bear a text."""
    video, rng = VIDEO, random.Random(seed)
    rows = []
    for k, place in enumerate(("0.1 0.1 0.2 0.2", "0.6 0.1 0.3 0.3", "0.6 0.6 0.2 0.3", "0.1 0.6 0.2 0.2")):
        name, since = ("red circle", "blue square")[k % 2], 1_000 + 3_500 * k + rng.randrange(500)
        rows.append(said(video, since * MS, (since + 300) * MS, f"The {name} enters.", label="enter", subject=name))
        rows.append(said(video, since * MS, (since + 9_000) * MS, place, kind="box", subject=name))
        if way == "read":
            rows.append(said(video, since * MS, (since + 3_000) * MS, f"EXIT {k}", label="text", origin="signs"))
        else:
            moves = f"The {name} moves to the left."
            rows.append(said(video, (since + 900) * MS, (since + 3_000) * MS, moves, label="move", subject=name))
    return Scene(video, CLOCK, shots_at(video, CLOCK, []), [], sorted(rows, key=lambda row: row.start_ns))


@pytest.mark.parametrize("way", POINTING)
def test_a_dialogue_asks_what_is_where_who_does_it_and_what_is_written(way):
    found = Counter()
    for seed in range(3):
        scene, config = corners(way, seed), DialogueConfig(ways=(way,), per_minute=40.0, speech=FAST, interruptions=0.0)
        events = events_in(scene)
        row = dialogue_of(scene.video, desk_for(scene, random.Random(seed), events=events), config, seed=seed)
        assert breaches(scene, events, dialogues=[row]) == []
        found += asked(row)
        for turn in row.turns if way == "where" else ():
            if turn.role == "assistant" and turn.evidence:
                wrong = turn.text.replace("left", "x").replace("right", "left").replace("x", "right")
                lie = [each.model_copy(update={"text": wrong}) if each is turn else each for each in row.turns]
                laws = breaches(scene, events, dialogues=[row.model_copy(update={"turns": tuple(lie)})])
                assert "turn_looks_true" in {law for law, *_ in laws}
    assert set(found) <= {TASKS[way], "count_so_far"}
    assert found[TASKS[way]] >= 3


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
