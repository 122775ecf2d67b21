"""The terse template: one short phrasing of everything that the other one can say."""

import random
from typing import get_args

import pytest
import yaml

from datasets_build.builders.build import TEACHERS
from datasets_build.core.records import About
from datasets_build.core.topics import PICTURE_SET, SOMETHING
from datasets_build.teachers.teacher import Happening, Intent, Request
from datasets_build.teachers.template import PHRASES, TERSE, load_template
from datasets_build.truth.words import answer_texts, question_texts, writer_of

USUAL, FEW = load_template(), load_template(TERSE)
ENTER = Happening("enter", "lesson", "red circle", "The red circle enters from the left.")
TURNS = Happening("change_colour", "lesson", "red circle", "The red circle turns blue.")
BOTH = Happening("collide", "world", "red circle and blue star", "The red circle and the blue star collide.")
CUT = Happening("shot_start", PICTURE_SET, None, "The scene cuts to a new shot.")
FREE = Happening("caption", "captions", None, 'A man says "stop"')
LINE = Happening("subtitle", "srt", None, "How are you?")
ANYONE = Happening("enter", "", SOMETHING, "")
ALL = (ENTER, TURNS, BOTH, CUT, FREE, LINE, ANYONE)


def texts(intent, about=None, told=(), number=None, teacher=FEW):
    return sorted(teacher.phrasings(Request(intent=intent, about=about, told=told, number=number)))


@pytest.mark.parametrize("about", ALL, ids=[f"{a.label} {a.subject}" for a in ALL])
@pytest.mark.parametrize("intent", get_args(Intent))
def test_there_is_one_phrasing_wherever_the_usual_template_has_some(intent, about):
    few, usual = (texts(intent, about, (about,), 3, teacher) for teacher in (FEW, USUAL))
    # A plain "yes" also fits what lasts no time; nobody asks whether that is under way.
    least = 0 if intent in ("say_is_on", "say_is_off") else min(1, len(usual))
    assert least <= len(few) <= max(least, intent.startswith("say_is"))
    if usual:
        drawn = FEW.write(Request(intent=intent, about=about, told=(about,), number=3), random.Random(1))
        assert drawn == few[0]
        assert len(drawn) <= max(map(len, usual))


def test_its_lists_hold_one_phrasing_each_and_its_keys_are_those_of_the_usual_one():
    few, usual = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (TERSE, PHRASES))
    for name in ("captions", "forms", "intents"):
        assert list(few[name]) == list(usual[name])
    for intent, lists in few["intents"].items():
        assert list(lists) == list(usual["intents"][intent])
        assert all(len(patterns) == 1 for patterns in lists.values())
    assert few["captions"] == usual["captions"]
    assert few["absent_subjects"] == usual["absent_subjects"]


@pytest.mark.parametrize(
    ("intent", "about", "said"),
    [
        ("ask_colour", None, "What colour is it?"),
        ("say_colour", ENTER, "red"),
        ("ask_shape", None, "Which shape is it?"),
        ("say_shape", ENTER, "circle"),
        ("ask_last", None, "What happened last?"),
        ("ask_count_shots", None, "How many shots?"),
        ("ask_count", ANYONE, "How many times has something entered?"),
        ("ask_tell", ANYONE, "Tell me when something enters."),
        ("ask_tell_each", ENTER, "Tell me each time the red circle enters."),
        ("say_tell", ENTER, "red circle enters"),
        ("say_tell", CUT, "scene cuts"),
        ("ask_yet", TURNS, "Has the red circle changed colour?"),
        ("say_yes", TURNS, "yes"),
        ("say_not_yet", CUT, "no"),
    ],
)
def test_what_it_says(intent, about, said):
    assert texts(intent, about) == [said]


def test_an_answer_tells_of_events_by_their_forms():
    assert texts("say_last", told=(ENTER,)) == ["red circle enters"]
    assert texts("say_last", told=(TURNS, BOTH)) == ["red circle changes colour, red circle and the blue star collide"]
    assert texts("say_last", told=(FREE,)) == ['A man says "stop".'], "what has no form keeps its sentence"
    assert texts("say_count", number=12) == ["12"]


def test_a_subject_of_one_word_or_three_has_neither_colour_nor_shape():
    for subject in ("Anna", "very red circle"):
        about = Happening("enter", "lesson", subject, "")
        for teacher in (FEW, USUAL):
            assert texts("say_colour", about, teacher=teacher) == texts("say_shape", about, teacher=teacher) == []


def test_records_tell_who_wrote_them():
    assert FEW.digest != USUAL.digest
    assert TEACHERS["terse"]().digest == FEW.digest
    for teacher in (FEW, USUAL):
        made = teacher.provenance(seed=1, inputs=[])
        assert writer_of(made).digest == teacher.digest
        assert writer_of(made.model_copy(update={"prompt_sha256": "0" * 64})) is None
        assert writer_of(made.model_copy(update={"kind": "model"})) is None
    assert FEW.provenance(seed=1, inputs=[]).version == "terse-1"


def test_the_check_knows_what_it_could_have_said():
    anyone = About(kind="label", label="enter")
    assert question_texts(FEW, "count_so_far", anyone) == {"How many times has something entered?"}
    assert question_texts(FEW, "colour", About(kind="scene")) == {"What colour is it?"}
    each = anyone.model_copy(update={"every": True})
    assert question_texts(FEW, "tell_me_when", each) == {"Tell me each time something enters."}
    assert question_texts(FEW, "now", About(kind="label", label="pan_left")) == {"Is the camera panning left?"}
    assert answer_texts(FEW, "count_so_far", anyone, [], number=3) == {"3"}
