"""Clips for augmentation: made scenes with the events, questions and conversations that the builders give them."""

import random
from functools import lru_cache

from augment.answers import Rules
from augment.clip import Clip
from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.builders.events import EventsConfig, events_of
from datasets_build.builders.facts import Desk, Timeline
from datasets_build.builders.streaming_qa import StreamingQAConfig, questions_of
from datasets_build.checks.answers import TRUTH_LAWS
from datasets_build.checks.causality import EVENT_LAWS, QUESTION_LAWS
from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.laws import Known
from datasets_build.checks.mishaps import MISHAP_LAWS
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.checks.tables import SHOT_LAWS, tile_breaches
from datasets_build.checks.timing import TIME_LAWS
from datasets_build.core.speech import SpeechConfig
from datasets_build.teachers.template import PHRASES, load_template
from tests.builders.made import lively

QA = StreamingQAConfig(per_minute=240.0, least=80)
TALK = DialogueConfig(per_minute=24.0)
# Who speaks fast leaves room for what is said beside it, even in short videos.
BRISK = SpeechConfig(user_chars_per_s=60, assistant_chars_per_s=40, pause_ns=100_000_000)
RULES = Rules()


def clip_of(scene, *, seed=0, words=PHRASES, talk=TALK):
    """A scene as the builders leave it, in the words of a template."""
    video, clock, teacher = scene.video, scene.clock, load_template(words)
    found = events_of(video, clock, scene.shots, scene.signals, scene.annotations, EventsConfig())

    def desk(config):
        return Desk(Timeline(clock, found.events, teacher, config.facts), teacher, random.Random(seed), config.facts)

    return Clip(
        video=video,
        clock=clock,
        events=found.events,
        questions=questions_of(video, desk(QA), QA, seed=seed),
        dialogues=[dialogue_of(video, desk(talk), talk, seed=seed)],
        annotations=scene.annotations,
        signals=scene.signals,
        shots=scene.shots,
        keyframes=scene.keyframes,
    )


@lru_cache(maxsize=16)
def clip(name, seconds=24.0, split="train"):
    """A clip in which a lot happens."""
    return clip_of(lively(name, seconds=seconds, split=split))


@lru_cache(maxsize=16)
def brisk(name):
    """The same, with people who speak fast."""
    return clip_of(lively(name, seconds=24.0), talk=TALK.model_copy(update={"speech": BRISK}))


def broken(made):
    """The laws that an augmented video breaks, each with what was found and expected."""
    own, view = made.clip, made.view
    events = {event.id: event for event in own.events}
    known = Known(own.video, view.clock, events, {row.id: row for row in own.questions}, window_ns=RULES.window_ns)
    found = []
    for rows, laws in (
        (own.events, EVENT_LAWS),
        (own.questions, (*QUESTION_LAWS, *TRUTH_LAWS)),
        (own.dialogues, (*DIALOGUE_LAWS, *REPLY_LAWS, *MISHAP_LAWS)),
        (own.shots, SHOT_LAWS),
    ):
        assert len({row.id for row in rows}) == len(rows)
        assert {row.video_id for row in rows} <= {own.video.id}
        for row in rows:
            for law in (*TIME_LAWS, *laws):
                found += [(law.name, row.id, *breach) for breach in law.breaches(row, known)]
    found += [("shots_tile", name, *breach) for name, all_ in tile_breaches(own.shots, view.clock) for breach in all_]
    return found


def backwards_once(operations):
    """Whether a pipeline may have these operations: it turns back once at most."""
    return [operation.kind for operation in operations].count("reverse") < 2
