"""Dialogues that ask what is where, who does it, what is written, in which order and what comes, elsewhere."""

import random
from collections import Counter

import pytest

from augment.answers import Rules
from augment.clip import Clip
from augment.maker import Maker
from augment.settings import Crop, Pipeline, Skip, Speed, WrongThenCorrected
from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.laws import Known
from datasets_build.checks.mishaps import MISHAP_LAWS
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.checks.timing import TIME_LAWS
from tests.augment.clips import BRISK
from tests.builders.test_ways import TASKS, corners
from tests.builders.worlds import boxes_in, desk_for, events_in

RULES = Rules(
    pause_ns=BRISK.pause_ns,
    user_chars_per_s=BRISK.user_chars_per_s,
    assistant_chars_per_s=BRISK.assistant_chars_per_s,
)
WAYS = ("where", "read", "who", "attribute", "order", "clue")


def clip(way, seed):
    """A clip whose dialogue asks in one way."""
    scene = corners(way, seed)
    events = events_in(scene)
    config = DialogueConfig(ways=(way,), per_minute=40.0, speech=BRISK, interruptions=0.0)
    row = dialogue_of(scene.video, desk_for(scene, random.Random(seed), events=events), config, seed=seed)
    return Clip(
        video=scene.video, clock=scene.clock, events=events, questions=(), dialogues=[row],
        annotations=boxes_in(scene), shots=scene.shots,
    )  # fmt: skip


def asked(row):
    return Counter(turn.task for turn in row.turns if turn.role == "user")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "operation",
    [Speed(low=0.85, high=0.9), Skip(form="random", share=0.2), Crop(least=0.8), WrongThenCorrected(share=1.0)],
)
def test_what_a_dialogue_asks_is_asked_again_and_true_there(way, operation):
    kept = 0
    for seed in range(3):
        parent = clip(way, seed)
        maker = Maker(pipeline=Pipeline(seed=seed, operations=(operation,)), rules=RULES, talk_rules=RULES)
        own, view = (made := maker.make(parent, 0)).clip, made.view
        boxes = [row for row in own.annotations if row.kind == "box"]
        known = Known(own.video, view.clock, {e.id: e for e in own.events}, {}, boxes=boxes, window_ns=RULES.window_ns)
        for row in own.dialogues:
            for law in (*TIME_LAWS, *DIALOGUE_LAWS, *REPLY_LAWS, *MISHAP_LAWS):
                assert list(law.breaches(row, known)) == [], (law.name, seed)
            kept += asked(row)[TASKS[way]]
    assert kept, f"no question of {way} is left"
