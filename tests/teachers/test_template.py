"""The template teacher: complete, grammatical, drawn with a seed, and silent where it has no words."""

import random
import re
import string
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.config import ConfigError
from datasets_build.core.topics import PICTURE_SET
from datasets_build.core.wording import absolute_time_in
from datasets_build.teachers.phrasings import expanded
from datasets_build.teachers.teacher import Happening, Intent, Request
from datasets_build.teachers.template import PHRASES, load_template

TEACHER = load_template()
INTENTS = get_args(Intent)
PAN = Happening("pan_left", PICTURE_SET, None, "The camera pans to the left.")
CUT = Happening("shot_start", PICTURE_SET, None, "The scene cuts to a new shot.")
ENTER = Happening("enter", "world", "red circle", "The red circle enters from the left.")
HIT = Happening("collide", "world", "red circle and blue star", "The red circle and the blue star collide.")
FREE = Happening("caption", "captions", None, 'A man says "stop" and\n throws a ball')
LINE = Happening("subtitle", "subtitles", None, "How are you?")
ABOUT = {"form": ENTER, "caption": FREE, "line": LINE}


def every_line():
    content = yaml.safe_load(PHRASES.read_text(encoding="utf-8"))
    for intent, lists in content["intents"].items():
        for manner, lines in lists.items():
            for line in lines:
                yield intent, manner, line, content["parts"]


def every_pattern():
    for intent, manner, line, parts in every_line():
        for pattern in expanded([line], parts)[0]:
            yield intent, manner, pattern


def every_sentence(about, *, intents=INTENTS):
    """All that the template may say about one happening."""
    for intent in intents:
        for text in TEACHER.phrasings(Request(intent=intent, about=about, told=(about,), number=3)):
            yield intent, text


def drawn(about, draws):
    """What it says about one happening, by drawing often."""
    for intent in INTENTS:
        request = Request(intent=intent, about=about, told=(about,), number=3)
        for seed in range(draws):
            if (text := TEACHER.write(request, random.Random(seed))) is not None:
                yield intent, text


@pytest.mark.parametrize("about", ABOUT.values(), ids=ABOUT)
def test_phrasings_are_all_that_it_may_write(about):
    said = {}
    for intent, text in drawn(about, 30):
        said.setdefault(intent, set()).add(text)
    for intent in INTENTS:
        whole = TEACHER.phrasings(Request(intent=intent, about=about, told=(about,), number=3))
        assert said.get(intent, set()) <= whole
        assert bool(whole) == (intent in said)
    # With very many draws each phrasing comes up, so nothing more is promised than is said.
    taken = {TEACHER.write(Request(intent="acknowledge"), random.Random(seed)) for seed in range(10000)}
    assert taken == TEACHER.phrasings(Request(intent="acknowledge"))
    assert TEACHER.phrasings(Request(intent="ask_yet")) == frozenset(), "nothing to ask after"


def test_every_intent_has_a_handful_of_lines_at_most_a_dozen():
    counts = {}
    for intent, manner, *_ in every_line():
        counts[intent, manner] = counts.get((intent, manner), 0) + 1
    assert {intent for intent, _ in counts} == set(get_args(Intent))
    assert all(3 <= count <= 12 for count in counts.values()), counts


def test_no_phrasing_stands_twice_in_a_list():
    patterns = list(every_pattern())
    assert len(set(patterns)) == len(patterns)


def test_every_phrasing_is_a_sentence():
    for _, _, pattern in every_pattern():
        assert re.search(r"""([.?!]|\{quote\}"|\{told\})$""", pattern), pattern
        assert not re.search(r"[\[\]|<>]", pattern), pattern
        assert pattern[0].isupper() or pattern[0] == "{", pattern
        assert "  " not in pattern
        assert pattern.count('"') % 2 == 0


@pytest.mark.parametrize("about", [PAN, CUT, ENTER, HIT, FREE, LINE])
def test_what_is_said_is_filled_capitalised_and_without_a_clock(about):
    said = list(every_sentence(about))
    assert said
    for _, text in said:
        assert "{" not in text
        assert "}" not in text
        assert "  " not in text
        assert "\n" not in text
        assert text[0].isupper() or text[0].isdigit(), text
        assert absolute_time_in(text) is None


def test_forms_are_grammatical():
    wanted = {
        "ask_yet": "Has the red circle entered the picture yet?",
        "ask_is_on": "Is the red circle entering the picture right now?",
        "ask_tell": "Tell me when the red circle enters the picture.",
        "ask_before": "What happened just before the red circle entered the picture?",
        "ask_count": "How many times has the red circle entered the picture so far?",
        "say_yes": "Yes, the red circle has entered the picture.",
        "say_not_yet": "No, the red circle has not entered the picture yet.",
        "say_is_off": "No, the red circle is not entering the picture.",
        "ask_subject": "What did the red circle do last?",
        "say_no_subject": "No red circle has been shown so far, so I cannot tell.",
    }
    for intent, sentence in wanted.items():
        assert sentence in {text for _, text in every_sentence(ENTER, intents=(intent,))}


def test_two_subjects_take_the_plural():
    # Only one subject at a time is asked after, or said to be absent.
    intents = [intent for intent in get_args(Intent) if intent not in ("ask_subject", "say_no_subject")]
    said = {text for _, text in every_sentence(HIT, intents=intents)}
    assert "Have the red circle and the blue star collided yet?" in said
    assert "Tell me when the red circle and the blue star collide." in said
    assert "Yes, the red circle and the blue star are colliding." in said
    assert not any(re.search(r"blue star (is|has) ", text) for text in said)


@pytest.mark.parametrize(
    ("subject", "who"),
    [
        ("red circle", "the red circle"),
        ("a red circle", "a red circle"),
        ("The dog", "The dog"),
        ("Anna", "Anna"),
        ("my cat", "my cat"),
        ("Anna and red circle", "Anna and the red circle"),
    ],
)
def test_names_and_determiners_take_no_article(subject, who):
    about = Happening("enter", "world", subject, "Something enters.")
    assert TEACHER.topic(about).key == f"enter|{who.casefold()}"
    questions = {text for _, text in every_sentence(about, intents=("ask_tell",))}
    verb = "enter" if " and " in subject else "enters"
    assert f"Tell me when {who} {verb} the picture." in questions


def test_an_unnamed_subject_has_no_article():
    about = Happening("enter", "world", "the purple elephant", "")
    said = {text for _, text in every_sentence(about, intents=("say_no_subject",))}
    assert "So far I have seen no purple elephant." in said


@pytest.mark.parametrize(
    ("happening", "manner"),
    [(PAN, "form"), (ENTER, "form"), (FREE, "caption"), (LINE, "line"), (HIT, "form")],
)
def test_a_topic_says_how_an_event_is_named(happening, manner):
    assert TEACHER.topic(happening).manner == manner


def test_what_words_cannot_tell_apart_is_one_topic():
    left = Happening("move", "world", "red circle", "The red circle moves left.")
    right = Happening("move", "world", "Red  Circle", "The red circle moves right.")
    assert TEACHER.topic(left).key == TEACHER.topic(left).key
    assert TEACHER.topic(left) == TEACHER.topic(Happening("move", "other", "red circle", ""))
    assert TEACHER.topic(left).key != TEACHER.topic(right).key
    same = Happening("caption", "captions", None, ' a MAN says "stop" and throws a ball ')
    assert TEACHER.topic(FREE) == TEACHER.topic(same)
    assert TEACHER.topic(FREE) != TEACHER.topic(Happening("subtitle", "subtitles", None, FREE.caption))


def test_a_label_without_its_subject_or_set_falls_back_to_its_sentence():
    assert TEACHER.topic(Happening("enter", "world", None, "Someone enters.")).manner == "caption"
    assert TEACHER.topic(Happening("enter", "world", "  ", "Someone enters.")).manner == "caption"
    # `still` of some corpus need not mean a picture without movement.
    assert TEACHER.topic(Happening("still", "corpus", None, "A still from a film.")).manner == "caption"
    assert TEACHER.topic(Happening("enter", "world", None, "  \n ")) is None


def test_where_there_are_no_words_there_is_none():
    rng = random.Random(0)
    assert TEACHER.write(Request(intent="ask_is_on", about=CUT), rng) is None, "a cut lasts no time"
    assert TEACHER.write(Request(intent="ask_is_on", about=LINE), rng) is None
    assert TEACHER.write(Request(intent="ask_count", about=LINE), rng) is None
    assert TEACHER.write(Request(intent="ask_yet"), rng) is None
    assert TEACHER.write(Request(intent="say_now"), rng) is None, "nothing told"
    assert TEACHER.write(Request(intent="say_count"), rng) is None, "no number"
    assert TEACHER.write(Request(intent="acknowledge"), rng) is not None


def test_quotes_stay_quotes_and_sentences_end():
    text = TEACHER.write(Request(intent="ask_yet", about=FREE), random.Random(1))
    assert text.count('"') == 2
    assert "A man says 'stop' and throws a ball." in text
    told = TEACHER.write(Request(intent="say_now", told=(PAN, FREE)), random.Random(2))
    assert told.endswith('The camera pans to the left. A man says "stop" and throws a ball.')


@pytest.mark.parametrize("line", ["No", "\u266a la la \u266a", 'I say: "no" -', "Wait..."])
def test_a_line_is_quoted_as_it_is(line):
    about = Happening("subtitle", "subtitles", None, line)
    for intent in ("ask_yet", "ask_tell", "say_tell"):
        for seed in range(12):
            text = TEACHER.write(Request(intent=intent, about=about), random.Random(seed))
            assert f'"{line}"' in text
    told = TEACHER.write(Request(intent="say_last", told=(about,)), random.Random(1))
    assert told.endswith(line)


def test_the_same_seed_says_the_same():
    requests = [Request(intent="ask_tell", about=about) for about in ABOUT.values()]
    one, two = random.Random(7), random.Random(7)
    assert [TEACHER.write(r, one) for r in requests] == [TEACHER.write(r, two) for r in requests]
    drawn = {TEACHER.write(requests[0], random.Random(seed)) for seed in range(40)}
    assert len(drawn) >= 5, "phrasings vary with the seed"


def test_every_picture_label_has_a_sentence_and_a_form():
    content = yaml.safe_load(PHRASES.read_text(encoding="utf-8"))
    picture = {label for label, form in content["forms"].items() if form["who"] != "subject"}
    assert set(content["captions"]) == picture | {"video_start"}
    for label in content["captions"]:
        assert re.fullmatch(r"[A-Z].*\.", TEACHER.caption_of(label))


def test_provenance_names_the_version_the_content_and_the_seed():
    made = TEACHER.provenance(seed=5, inputs=["e1", "e2"])
    assert (made.kind, made.agent, made.version, made.seed, made.inputs) == (
        "template",
        "template",
        "2",
        5,
        ("e1", "e2"),
    )
    assert made.prompt_sha256 == TEACHER.digest
    assert len(TEACHER.digest) == 64
    assert TEACHER.language == "en"


def test_absent_subjects_are_many_and_plain():
    names = TEACHER.absent_subjects()
    assert len(set(names)) == len(names) >= 8
    assert all(re.fullmatch(r"[a-z -]+", name) for name in names)


def edited(tmp_path, change):
    content = yaml.safe_load(PHRASES.read_text(encoding="utf-8"))
    change(content)
    path = tmp_path / "phrases.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_file_that_lacks_an_intent_is_refused(tmp_path):
    path = edited(tmp_path, lambda content: content["intents"].pop("ask_next"))
    with pytest.raises(ConfigError, match="no phrasings for ask_next"):
        load_template(path)


def test_a_file_that_names_no_place_of_ours_is_refused(tmp_path):
    def change(content):
        content["intents"]["ask_next"]["any"].append("At {time}, what comes?")

    with pytest.raises(ConfigError, match=r"ask_next: 'At {time}, what comes\?' names time"):
        load_template(edited(tmp_path, change))


def test_a_file_with_a_strange_key_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="mood: unknown key"):
        load_template(edited(tmp_path, lambda content: content.update(mood="happy")))


def test_other_content_has_another_digest(tmp_path):
    path = edited(tmp_path, lambda content: content.update(version="2"))
    assert load_template(path).digest != TEACHER.digest


@given(st.sampled_from(get_args(Intent)), st.sampled_from([*ABOUT.values(), PAN, CUT, HIT]), st.integers(0, 999))
def test_a_sentence_holds_nothing_but_what_was_given(intent, about, seed):
    text = TEACHER.write(Request(intent=intent, about=about, number=4), random.Random(seed))
    for other in (PAN, ENTER, FREE, LINE):
        if text is not None and other != about:
            assert other.caption not in text


@given(st.text(max_size=60), st.text(max_size=20) | st.none(), st.sampled_from(["enter", "x", "subtitle", "still"]))
def test_any_text_of_a_corpus_can_be_spoken_of(caption, subject, label):
    about = Happening(label, "corpus", subject, caption)
    topic = TEACHER.topic(about)
    text = TEACHER.write(Request(intent="ask_yet", about=about), random.Random(0))
    assert (topic is None) == (text is None)
    assert topic is None or (topic.key == topic.key.casefold() and "\n" not in topic.key)


def test_the_places_of_the_file_are_all_used():
    used = {name for _, _, p in every_pattern() for _, name, _, _ in string.Formatter().parse(p) if name}
    assert {"who", "told", "number", "quote", "subject", "present", "past", "participle", "progressive"} <= used
