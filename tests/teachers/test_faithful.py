"""What may stand for a template's sentence: other words around the same facts, and nothing else."""

import random
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.topics import PICTURE_SET
from datasets_build.teachers.faithful import LISTS as FILE
from datasets_build.teachers.faithful import named_words, tokens, unfaithful
from datasets_build.teachers.teacher import Happening, Intent, Request
from datasets_build.teachers.template import CHINESE as CHINESE_TEMPLATE
from datasets_build.teachers.template import load_template

TEMPLATE = load_template()
LISTS = yaml.safe_load(FILE.read_text(encoding="utf-8"))
REWORDINGS = yaml.safe_load(Path(__file__).with_name("rewordings.yaml").read_text(encoding="utf-8"))
HIT = Happening("collide", "world", "red circle and blue star", "The red circle and the blue star collide.")
PAN = Happening("pan_left", PICTURE_SET, None, "The camera pans to the left.")
FREE = Happening("caption", "captions", None, "A man throws a ball to a dog.")
LINE = Happening("subtitle", "subtitles", None, "How are you?")


def judged(draft, words, *, intent="say_last", most=200, **request):
    filled = TEMPLATE.filling(Request(intent=intent, **request)).values()
    return unfaithful(draft, words, named_words(draft, filled), by_user=intent.startswith("ask_"), most=most)


@pytest.mark.parametrize(
    ("draft", "words", "request_"),
    [
        (
            "Have the red circle and the blue star collided yet?",
            "So far, have the red circle and the blue star collided?",
            {"intent": "ask_yet", "about": HIT},
        ),
        (
            "Tell me when the camera pans to the left.",
            "Could you let me know when the camera pans to the left?",
            {"intent": "ask_tell", "about": PAN},
        ),
        ("Yes, the camera has panned to the left.", "Yes indeed, the camera has panned to the left.",
         {"intent": "say_yes", "about": PAN}),
        ("No, the camera has not panned to the left yet.", "No, so far the camera hasn't panned to the left.",
         {"intent": "say_not_yet", "about": PAN}),
        ("Just before now: A man throws a ball to a dog.", "Just before now, this came: A man throws a ball to a dog.",
         {"told": (FREE,)}),
        ('Has the line "How are you?" come yet?', 'Do you know whether the line "How are you?" has come yet?',
         {"intent": "ask_yet", "about": LINE}),
        ("So far 3 times.", "That makes 3 times up to now.", {"intent": "say_count", "number": 3}),
        ("All right, I will let you know.", "Alright, I'll tell you.", {"intent": "acknowledge"}),
        ("What came right before it?", "What came just before it?", {"intent": "ask_last"}),
    ],
)  # fmt: skip
def test_other_words_for_the_same_may_stand(draft, words, request_):
    assert judged(draft, words, **request_) is None


YES = ("Yes, the red circle and the blue star have collided.", {"intent": "say_yes", "about": HIT})
NOT = ("No, the red circle and the blue star have not collided yet.", {"intent": "say_not_yet", "about": HIT})
TOLD = ("The last thing was this: A man throws a ball to a dog.", {"told": (FREE,)})
ASKED = ("Is the camera panning to the left right now?", {"intent": "ask_is_on", "about": PAN})
COUNT = ("That has happened 3 times so far.", {"intent": "say_count", "number": 3})
EACH = ("Tell me when the camera pans to the left.", {"intent": "ask_tell", "about": PAN})
QUOTE = ('Has the line "How are you?" come yet?', {"intent": "ask_yet", "about": LINE})


@pytest.mark.parametrize(
    ("planted", "words", "why"),
    [
        (YES, "No, the red circle and the blue star have collided.", "verdict"),
        (YES, "The red circle and the blue star have collided.", "verdict"),
        (YES, "Yes, the red circle and the blue star have not collided.", "denies"),
        (YES, "Yes, the red circle and the blue star have hardly collided.", "denies"),
        (NOT, "No, the red circle and the blue star have not not collided yet.", "denies"),
        (NOT, "Yes, the red circle and the blue star have collided by now.", "verdict"),
        (NOT, "No, the red circle and the blue star have collided by now.", "denies"),
        (YES, "Yes, the blue circle and the red star have collided.", "does not name"),
        (YES, "Yes, the blue star and the red circle have collided.", "does not name"),
        (YES, "Yes, they have collided.", "does not name 'red'"),
        (YES, "Yes, the red circle and the blue star will have collided.", "adds will"),
        (YES, "Yes, the red circle and the blue star have probably collided.", "adds probably"),
        (YES, "Yes, the red circle and the blue star have collided 12 seconds ago.", "names a time"),
        (YES, "Yes, at 0:12 the red circle and the blue star have collided.", "names a time"),
        (YES, "Yes, the red circle and the blue star have collided on the left.", "direction"),
        (YES, "Yes, the red circle and the blue star have collided twice.", "number, twice"),
        (YES, "Yes, the red circle and the blue star have collided again.", "repetition"),
        (YES, "Have the red circle and the blue star collided?", "a question in place of an answer"),
        (YES, "Yes, the red circle and the blue star have collided.\nGreat!", "one line"),
        (YES, "Yes, **the red circle** and the blue star have collided.", "marks"),
        (YES, "Answer: Yes, the red circle and the blue star have collided.", "marks"),
        (YES, "", "one line"),
        (YES, " Yes, the red circle and the blue star have collided.", "one line"),
        (YES, "Yes, the red circle and the blue star have collided" + "!" * 200, "characters"),
        (YES, "Yes, the red circle and the blue star have collided, shiny, heavy, loud, metallic and rusty.", "adds 5"),
        (TOLD, "The last thing was this: A dog throws a ball to a man.", "does not name"),
        (TOLD, "The last thing was this: A man throws a ball.", "does not name 'dog'"),
        (TOLD, "The last thing was this: A man throws a red ball to a dog.", "another colour, red"),
        (TOLD, "The last thing was this: Two men throw a ball to a dog.", "does not name 'man'"),
        (TOLD, "Next: A man throws a ball to a dog.", "order, next"),
        (ASKED, "Has the camera panned to the left?", "does not name 'panning'"),
        (ASKED, "Was the camera panning to the left?", "adds was"),
        (ASKED, "Is the camera panning to the right right now?", "does not name 'left'"),
        (ASKED, "The camera is panning to the left right now.", "no question"),
        (COUNT, "That has happened 4 times so far.", "does not name '3'"),
        (COUNT, "That has happened 3 of 4 times so far.", "another number, 4"),
        (COUNT, "That has happened three times so far.", "does not name '3'"),
        (EACH, "Tell me whenever the camera pans to the left.", "repetition, whenever"),
        (EACH, "Tell me each time when the camera pans to the left.", "repetition, each"),
        (QUOTE, 'Has the line "How are they?" come yet?', "quotes"),
        (QUOTE, "Has the line How are you? come yet?", "quotes"),
        (QUOTE, 'Has the line "How are you?" or "Fine." come yet?', "quotes"),
        (QUOTE, 'Has "How are you?" come yet?', "matter, line"),
    ],
)
def test_a_planted_change_of_facts_is_found(planted, words, why):
    draft, request = planted
    fault = judged(draft, words, most=len(draft) + 60, **request)
    assert fault is not None
    assert why in fault, fault


@pytest.mark.parametrize("about", [HIT, PAN, FREE, LINE])
def test_every_sentence_of_the_template_stands_for_itself(about):
    for intent in get_args(Intent):
        request = Request(intent=intent, about=about, told=(about,), number=3)
        for text in TEMPLATE.phrasings(request):
            assert judged(text, text, intent=intent, about=about, told=(about,), number=3) is None


@pytest.mark.parametrize("about", [HIT, PAN])
def test_a_template_names_what_it_was_told(about):
    rng = random.Random(0)
    for intent in ("say_yes", "say_not_yet", "ask_yet", "ask_tell"):
        text = TEMPLATE.write(Request(intent=intent, about=about), rng)
        named = named_words(text, TEMPLATE.filling(Request(intent=intent, about=about)).values())
        assert len(named) >= (5 if about is HIT else 3)
        assert not set(named) & {"the", "has", "have", "to"}
        for word in named:
            without = re.sub(rf"\b{word}\b", "thing", text, flags=re.IGNORECASE)
            assert judged(text, without, intent=intent, about=about) is not None


def test_tokens_take_contractions_apart():
    assert tokens("I'll say it isn't 3.5, can't be; won't the dog’s") == [
        *("i", "will", "say", "it", "is", "not", "3.5", "can", "not", "be", "will", "not", "the", "dog"),
    ]


@given(st.text(max_size=80))
def test_anything_that_a_model_may_send_is_judged(words):
    draft = YES[0]
    fault = judged(draft, words, **YES[1])
    assert fault is None or isinstance(fault, str)
    if fault is None:
        assert {"red", "circle", "blue", "star", "collided", "yes"} <= set(tokens(words))


def fault_of(by_user, draft, filled, words, room=1.6):
    named = named_words(draft, filled)
    return unfaithful(draft, words, named, by_user=by_user, most=max(int(len(draft) * room), len(words)))


@pytest.mark.parametrize("planted", REWORDINGS["planted"], ids=lambda row: row[3])
def test_what_says_more_or_less_is_refused(planted):
    assert fault_of(*planted) is not None
    by_user, draft, filled, _ = planted
    assert fault_of(by_user, draft, filled, draft) is None, "the template's own words stand"


@pytest.mark.parametrize(("language", "count", "stand"), [("english", 60, 43), ("chinese", 20, 16)])
def test_a_fair_share_of_ordinary_rewordings_stands(language, count, stand):
    rows = REWORDINGS[language]
    assert len(rows) == count
    stands = [
        unfaithful(draft, words, named_words(draft, filled), by_user=by_user, most=int(len(draft) * 1.6)) is None
        for by_user, draft, filled, words in rows
    ]
    assert sum(stands) == stand, "docs/teachers.md tells it"


@pytest.mark.parametrize(
    ("draft", "words", "told"),
    [
        ("The red circle moves.", "The red circle moves crimson.", "adds crimson"),
        ("The red circle moves.", "The crimson red circle moves fast.", "adds 2 words: crimson, fast"),
        ("I have seen the red circle.", "I have the red circle.", "leaves out see"),
        ("Will do.", "So it is.", "hardly anything"),
        ("I have seen the red circle.", "The red circle.", "leaves out see"),
        ("The red circle moves.", "The red circle moves ½.", "marks"),
        ("The red circle moves.", "Le red circle moves.", "adds le"),
        ("The red circle moves.", "红 the red circle moves.", "another script"),
        ("The red circle moves.", "The red circle moves? It is so.", "a question in place of an answer"),
        ("2 so far.", "-2 so far.", "another number, -2, 2"),
        ("2 and 3 so far.", "3 and 2 so far.", "another number, 3, 2"),
    ],
)
def test_why_it_is_refused_is_told(draft, words, told):
    assert told in (fault_of(False, draft, (), words) or "")


def test_words_between_what_was_filled_in_say_how_it_belongs_together():
    draft, filled = "A man throws a ball to a dog.", ("A man throws a ball to a dog.",)
    assert "in the same way as 'ball'" in fault_of(False, draft, filled, "A man throws a ball at a dog.")
    assert fault_of(False, draft, filled, "So the man throws this ball to that dog.") is None


def test_every_line_that_the_lists_hold_says_the_same_both_ways():
    for line in LISTS["alike"]:
        first, *others = [phrase.strip() for phrase in line.split(",")]
        by_user = not re.search(r"\byou\b", line)
        for other in others:
            for one, two in ((first, other), (other, first)):
                draft, words = (f"{each} moves" if each.isascii() else f"{each}动" for each in (one, two))
                fault = fault_of(by_user, draft, (), words)
                assert fault is None or "verdict" in fault, (one, two, fault)


def test_numbers_keep_their_sign_and_chinese_is_taken_by_character():
    assert tokens("-2 and 3rd, - 4.5; 到目前3次") == ["-2", "and", "3rd", "-4.5", "到", "目", "前", "3", "次"]
    assert tokens("twelve-year-old 12-13") == ["twelve", "year", "old", "12", "-13"]


def test_every_chinese_sentence_of_the_template_stands_for_itself():
    template = load_template(CHINESE_TEMPLATE)
    about = Happening("leave", "world", "红色圆形", "红色圆形离开画面。")
    for intent in get_args(Intent):
        request = Request(intent=intent, about=about, told=(about,), number=3)
        named = template.filling(request).values()
        for text in template.phrasings(request):
            assert fault_of(intent.startswith("ask_"), text, tuple(named), text) is None, text
