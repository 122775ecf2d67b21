"""Dialogues of every style, augmented: lawful, with clear references, and what was wrong is not said again."""

from collections import Counter
from dataclasses import replace
from functools import lru_cache

import pytest

from augment.maker import Maker
from augment.settings import DroppedAnswer, Interrupt, Pipeline, Speed, WrongThenCorrected
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.styles import StylesConfig
from datasets_build.truth.styles import is_referring
from tests.augment.clips import RULES, broken, clip
from tests.builders.made import lively
from tests.builders.test_dialogue import talk

STYLES = StylesConfig(small_talk=0.5, delegate=0.3, follow_up=1.0, correction=1.0, mistake=1.0)
CONFIG = DialogueConfig(per_minute=6.0, interruptions=0.0, ways=("last", "count", "yet", "subject"), styles=STYLES)
NAMES = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")


@lru_cache
def styled(name):
    """A clip whose dialogue has every style that fits."""
    return replace(clip(name, 40.0), dialogues=[talk(lively(name, seconds=40.0), CONFIG)])


def made(*operations):
    for name in NAMES:
        parent = styled(name)
        new = Maker(pipeline=Pipeline(seed=1, operations=operations), rules=RULES, talk_rules=RULES).make(parent, 0)
        assert broken(new) == []
        yield parent.dialogues[0], new.clip.dialogues[0]


def references(row):
    return [turn for turn in row.turns if is_referring(turn)]


def test_the_parents_have_every_style():
    found = Counter()
    for name in NAMES:
        for turn in styled(name).dialogues[0].turns:
            found[turn.task] += 1
            found["refers"] += is_referring(turn)
            found["wrong"] += not turn.learn
    assert min(found[what] for what in ("small_talk", "delegate", "refers", "wrong")) >= 3


@pytest.mark.parametrize(
    "operations",
    [
        (Speed(low=0.9, high=0.95),),
        (Interrupt(share=1.0),),
        (DroppedAnswer(share=0.7),),
        (WrongThenCorrected(share=0.8),),
    ],
)
def test_augmented_they_break_no_law(operations):
    kept = Counter()
    for _, row in made(*operations):
        kept.update(turn.state for turn in row.turns)
        kept.update(turn.task for turn in row.turns if turn.task)
    assert kept["delegate"] >= 3
    assert kept["small_talk"] >= 3


def test_what_refers_to_an_answer_refers_to_what_that_has_become():
    kept = lost = 0
    for old, row in made(DroppedAnswer(share=0.01)):
        turns = {turn.id: turn for turn in row.turns}
        assert {turns[turn.trigger_ref].role for turn in references(row)} <= {"assistant"}
        kept += len(references(row))
        lost += len(references(old)) - len(references(row))
    assert kept > lost


def test_what_was_wrong_is_said_right_at_once():
    wrong = 0
    for old, row in made(DroppedAnswer(share=0.01)):
        wrong += sum(not turn.learn for turn in old.turns)
        assert all(turn.learn for turn in row.turns)
        assert not [turn for turn in row.turns if turn.trigger == "correction"]
    assert wrong >= 3
