"""Laws of every sentence that the templates can say, of all intents and of all kinds of event, in both languages."""

import math
import random
import re
from collections import Counter
from typing import get_args

import pytest
import yaml

from datasets_build.builders.build import TEACHERS
from datasets_build.core.topics import PICTURE_SET, SOMETHING
from datasets_build.core.wording import absolute_time_in
from datasets_build.sources.world import WorldConfig, plan
from datasets_build.sources.world_shapes import COLOURS, OUTLINES
from datasets_build.sources.world_truth import facts
from datasets_build.teachers.teacher import Happening, Intent, Request
from datasets_build.teachers.template import CHINESE, PHRASES, load_template
from datasets_build.truth.asides import ASIDES, CHINESE_ASIDES, said
from datasets_build.truth.words import says_no, says_yes, speaks_of_now

TEMPLATES = {"en": load_template(PHRASES), "zh": load_template(CHINESE)}
CONTENT = {name: yaml.safe_load(path.read_text("utf-8")) for name, path in (("en", PHRASES), ("zh", CHINESE))}
INTENTS = get_args(Intent)
OPPOSITES = [
    ("say_yes", "say_not_yet"),
    ("say_is_on", "say_is_off"),
    ("say_is_under_way", "say_is_not_under_way"),
]
TALES = [intent for intent in INTENTS if intent.startswith("say_")]


def happenings():
    """One of every label that has a form, a pair, a name, anyone, a caption and two kinds of line."""
    for label, form in CONTENT["en"]["forms"].items():
        alone = form["who"] == "subject"
        yield Happening(label, "world" if alone else PICTURE_SET, "red oval" if alone else None, "Snow falls.")
    yield Happening("collide", "world", "red circle and blue star", "The red circle and the blue star collide.")
    yield Happening("enter", "corpus", "Anna", "Anna comes in.")
    yield Happening("move", "", SOMETHING, "")
    yield Happening("caption", "captions", None, 'A man says "stop"\nand throws a ball')
    yield Happening("subtitle", "subtitles", None, "How are you?")
    yield Happening("text", "ocr", None, "EXIT")


ALL = list(happenings())
# Subjects of another number: several, and one whose words do not tell.
NUMBERS = [
    Happening(a.label, "corpus", s, a.caption) for a in ALL if a.subject == "red oval" for s in ("dogs", "James")
]
SOME = [about for about in ALL if about.label in ("enter", "collide", "black", "caption", "subtitle")]
ONE_SUBJECT = {
    "ask_subject",
    "say_subject",
    "say_no_subject",
    "ask_where",
    "ask_clue",
    "ask_who",
    "say_who",
    "ask_colour_of",
}


def every(language, intent, about):
    if intent in ONE_SUBJECT and " and " in (about.subject or ""):
        return frozenset()
    return TEMPLATES[language].phrasings(
        Request(intent=intent, about=about, told=(about,) if about.caption else (), number=3)
    )


def lists(language):
    for intent, kinds in CONTENT[language]["intents"].items():
        yield from ((intent, kind) for kind in kinds)


LISTS = [(language, *each) for language in TEMPLATES for each in lists(language)]
OF_KIND = {"any": ALL[-3], "form": ALL[10], "caption": ALL[-3], "line": ALL[-2]}
UNDER_WAY = {
    "ask_is_on",
    "say_is_on",
    "say_is_off",
    "ask_who",
    "ask_step",
    "ask_step_once",
    "say_is_under_way",
    "say_is_not_under_way",
    "ask_colour_of",
}
TELLING = {intent for intent, kinds in CONTENT["en"]["intents"].items() if "{told}" in kinds.get("any", ())}
FEWEST = 200


@pytest.mark.parametrize(("language", "intent", "kind"), LISTS)
def test_a_list_has_as_many_phrasings_as_is_promised(language, intent, kind):
    about = next(a for a in ALL if a.label == "enter") if kind == "form" else OF_KIND[kind]
    count = len(every(language, intent, about))
    assert count >= FEWEST, count


def cannot_be_said(intent, about):
    """Whether a list says nothing of an event of its kind."""
    if intent in ONE_SUBJECT and " and " in (about.subject or ""):
        return True
    if intent in ("say_colour", "say_shape"):
        return len((about.subject or "").split()) != 2
    # A cut lasts no time, so nobody asks whether it is under way.
    if intent in UNDER_WAY and about.label in ("shot_start", "fade", "dissolve"):
        return True
    return intent in TELLING and not about.caption


@pytest.mark.parametrize(("language", "intent", "kind"), LISTS)
def test_it_has_so_many_of_whatever_it_can_be_said_of(language, intent, kind):
    abouts = [a for a in (*ALL, *NUMBERS) if kind in ("any", TEMPLATES[language].topic(a).manner)]
    counts = {about: len(every(language, intent, about)) for about in abouts}
    assert {about for about, count in counts.items() if not count} == {a for a in abouts if cannot_be_said(intent, a)}
    assert {about: count for about, count in counts.items() if 0 < count < FEWEST} == {}


@pytest.mark.parametrize("language", TEMPLATES)
def test_both_languages_have_words_for_the_same(language):
    assert sorted(lists(language)) == sorted(lists("en"))
    english, other = CONTENT["en"], CONTENT[language]
    assert english["captions"].keys() == other["captions"].keys()
    assert english["absent_subjects"] == other["absent_subjects"]
    for label, form in english["forms"].items():
        assert ("progressive" in form) == ("progressive" in other["forms"][label])
        assert (form["who"] == "subject") == (other["forms"][label]["who"] == "subject")


@pytest.mark.parametrize("language", TEMPLATES)
def test_all_sentences_of_a_list_need_the_same_places_that_may_be_missing(language):
    """Else a happening without them would sometimes have words, by chance."""
    teacher = TEMPLATES[language]
    for intent in INTENTS:
        for about in SOME:
            request = Request(intent=intent, about=about, told=(about,), number=3)
            written = {teacher.write(request, random.Random(seed)) is None for seed in range(40)}
            assert len(written) == 1, (intent, about)


@pytest.mark.parametrize("about", ALL, ids=[f"{a.label} {a.subject}" for a in ALL])
def test_english_sentences_are_sound(about):
    for intent in INTENTS:
        for text in every("en", intent, about):
            sound_of_any(text)
            assert text[0].isupper() or text[0].isdigit() or text[0] == '"', text
            if intent != "say_read" and "How are you?" not in text and "EXIT" not in text:
                assert re.search(r"[.?!]\"?$", text), text
            assert text.count('"') % 2 == 0, text
            assert "  " not in text
            assert not re.search(r" [,.?!:]|[,:;][,.?!:;]|\w,\w", text), text
            rest = re.sub(r'"[^"]*"', "", text)
            assert not re.search(r"\b([Aa] [aeiou]|[Aa]n [^aeiou])", rest.replace("a used", "")), text
            # "To the right right now" and "tilted up up to now" are right.
            assert not re.search(r"\b(?!right|up)(\w+) \1\b", rest.casefold()), text
            assert not re.search(r"[.?!] [a-z]", rest), text
            assert ends_as_it_begins(intent, rest.replace("How are you?", "")), text


def sound_of_any(text):
    assert not re.search(r"[\[\]{}<>|\n]", text), text
    assert absolute_time_in(text) is None, text
    assert not re.search(r"\b(seconds?|minutes?|hours?|frames?|timestamps?|o'clock|today)\b", text), text
    assert text == text.strip(), text


ASKS = re.compile(
    r"(?:[A-Z][^,.?:]*, |Shot, camera or light, )?"
    r"(?:What|Which|How|Where|In (?:which|what)|Can|Could|Would|Do|Did|Is|Are|Has|Have|May)\b",
    re.IGNORECASE,
)


def ends_as_it_begins(intent, rest):
    """Whether what begins as a question ends as one, and nothing else does; `rest` is without quotes."""
    if intent.startswith("say_"):
        return "?" not in rest
    first = re.split(r"(?<=[.?!]) ", rest)[0]
    if rest.startswith("This happened:"):
        return rest.endswith("?")
    begins = ASKS.match(first) is not None and not first.startswith(("When", "As soon as you"))
    return begins == (first.endswith("?") or (begins and ":" in first))


@pytest.mark.parametrize("about", ALL, ids=[f"{a.label} {a.subject}" for a in ALL])
def test_chinese_sentences_are_sound(about):
    for intent in INTENTS:
        for text in every("zh", intent, about):
            sound_of_any(text)
            assert re.search(r"[。？”]$", text), text
            assert text.count("“") == text.count("”"), text
            rest = re.sub(r"“[^”]*”", "", text)
            assert not re.search(r"[\sA-Za-z,.?!:;\"']", rest), text
            assert not re.search(r"[，：][，。？：]|[。？][，。？：]|了了|正正|吗[^？：]", rest), text
            embedded = "能不能" in rest or "可不可以" in rest or "能否" in rest
            assert not embedded or "？" in rest or "：" in rest, text
            assert "吗" not in rest or "吗？" in rest or "吗：" in rest, text


@pytest.mark.parametrize("language", TEMPLATES)
@pytest.mark.parametrize(("yes", "no"), OPPOSITES)
def test_no_sentence_says_yes_and_no(language, yes, no):
    for about in ALL:
        assert not every(language, yes, about) & every(language, no, about)
        assert all(map(says_yes, every(language, yes, about)))
        assert not any(map(says_yes, every(language, no, about)))
        assert all(map(says_no, every(language, no, about)))
        assert not any(map(says_no, every(language, yes, about)))


@pytest.mark.parametrize("language", TEMPLATES)
def test_no_sentence_asks_for_two_things(language):
    for about in SOME:
        known = {}
        for intent in INTENTS:
            for text in every(language, intent, about) if intent.startswith("ask_") else ():
                assert known.setdefault(text, intent) == intent, text


@pytest.mark.parametrize("language", TEMPLATES)
def test_a_question_is_no_answer_and_no_answer_a_refusal(language):
    for about in SOME:
        asked = {text for intent in INTENTS if intent.startswith("ask_") for text in every(language, intent, about)}
        told = {text for intent in TALES for text in every(language, intent, about)}
        assert not asked & told
        refused = every(language, "say_not_happened", about) | every(language, "say_no_subject", about)
        rest = [intent for intent in TALES if intent not in ("say_not_happened", "say_no_subject")]
        assert not any(refused & every(language, intent, about) for intent in rest)


@pytest.mark.parametrize("language", TEMPLATES)
def test_no_sentence_begins_with_an_aside(language):
    """Else its first words would be taken off before it is held against what is true."""
    for about in SOME:
        for intent in INTENTS:
            for text in every(language, intent, about):
                assert said(text) == (None, text)


def test_asides_are_of_either_language_and_begin_no_other():
    asides = [*ASIDES.values(), *CHINESE_ASIDES.values()]
    assert ASIDES.keys() == CHINESE_ASIDES.keys()
    for aside, words in CHINESE_ASIDES.items():
        assert said(words + "对。") == (aside, "对。")
    assert not any(a != b and a.startswith(b) for a in asides for b in asides)


@pytest.mark.parametrize("language", TEMPLATES)
def test_answers_that_say_now_are_known_to(language):
    """What says when it is said is never said later: no answer has a word for now that the truth does not know."""
    strange = re.compile(
        r"\b(presently|at present|instant|today|this minute|nowadays)\b|现在|此刻|眼下|这会儿|当前|刚才|刚刚"
    )
    for about in SOME:
        for intent in TALES:
            for text in every(language, intent, about):
                hides = re.sub("到现在", "", text)
                assert not strange.search(hides) or speaks_of_now(text), text


@pytest.mark.parametrize("language", TEMPLATES)
def test_an_event_can_be_told_in_words_that_stay_true(language):
    about = ALL[-3]
    assert sum(not speaks_of_now(text) for text in every(language, "say_last", about)) > 20


@pytest.mark.parametrize("language", TEMPLATES)
def test_the_same_seed_says_the_same_and_others_spread(language):
    teacher, about = TEMPLATES[language], ALL[-3]
    for intent in ("ask_before", "ask_tell", "ask_yet", "ask_now", "ask_next"):
        request = Request(intent=intent, about=about)
        texts = [teacher.write(request, random.Random(seed)) for seed in range(400)]
        assert texts == [teacher.write(request, random.Random(seed)) for seed in range(400)]
        shares = [count / len(texts) for count in Counter(texts).values()]
        entropy = -sum(share * math.log2(share) for share in shares)
        assert entropy > 5, (intent, entropy)


def in_chinese(intent, about=None, told=()):
    return TEMPLATES["zh"].phrasings(Request(intent=intent, about=about, told=told))


def test_chinese_keeps_what_a_corpus_says_in_quotes():
    teacher = TEMPLATES["zh"]
    enter = Happening("enter", "corpus", "the brown dog", "The brown dog enters.")
    pair = Happening("collide", "corpus", "brown dog and Anna", "They collide.")
    pan = Happening("pan_left", PICTURE_SET, None, "The camera pans to the left.")
    place = Happening("place", "", "brown dog", "The brown dog is at the top left.")
    line = Happening("subtitle", "srt", None, "How are you?")
    assert "“brown dog”进入画面时，请告诉我。" in in_chinese("ask_tell", enter)
    assert "对，“brown dog”和“Anna”已经相撞了。" in in_chinese("say_yes", pair)
    assert "镜头现在正在向左摇动吗？" in in_chinese("ask_is_on", pan)
    assert "不，“brown dog”还没有进入画面。" in in_chinese("say_not_yet", enter)
    assert "镜头向左摇动。“The brown dog enters.”" in in_chinese("say_now", told=(pan, enter))
    assert "“brown dog”在画面左上方。" in in_chinese("say_where", told=(place,))
    assert "“How are you?”这句话已经出现了吗？" in in_chinese("ask_yet", line)
    assert "它的颜色是“brown”。" in in_chinese("say_colour", enter)
    assert "它的形状是“dog”。" in in_chinese("say_shape", enter)
    assert in_chinese("say_colour", Happening("enter", "world", "dog", "")) == frozenset()
    # "a red circle" and "the red circle" need not be one; both ways of writing the second are.
    other = Happening("enter", "world", "a red circle", "")
    plain = Happening("enter", "world", "red circle", "")
    assert teacher.topic(other) != teacher.topic(plain)
    assert teacher.topic(Happening("enter", "world", "the red circle", "")) == teacher.topic(plain)


def test_chinese_has_words_for_what_is_drawn_here():
    enter = Happening("enter", "world", "the red circle", "The red circle enters from the left.")
    pair = Happening("collide", "world", "red circle and blue star", "The red circle and the blue star collide.")
    turn = Happening("change_colour", "lesson", "pink cross", "The pink cross turns white.")
    place = Happening("place", "", "red circle", "The red circle is at the top left.")
    assert "红色圆形进入画面时，请告诉我。" in in_chinese("ask_tell", enter)
    assert "对，红色圆形和蓝色五角星已经相撞了。" in in_chinese("say_yes", pair)
    assert "红色圆形在画面左上方。" in in_chinese("say_where", told=(place,))
    assert "它的颜色是红色。" in in_chinese("say_colour", enter)
    assert "它的形状是圆形。" in in_chinese("say_shape", enter)
    told = "红色圆形从左侧进入画面。红色圆形和蓝色五角星相撞。粉色十字形变成白色。"
    assert told in in_chinese("say_order", told=(enter, pair, turn))
    # Another caption of such a subject, and the same of another set, are a corpus's own.
    for label_set, caption in (("world", "The red circle sings."), ("corpus", "The red circle stops.")):
        other = Happening("move", label_set, "red circle", caption)
        assert f"“{caption}”" in in_chinese("say_last", told=(other,))


def test_nobody_is_named_in_natural_chinese():
    assert "有东西进入画面时，告诉我。" in in_chinese("ask_tell", Happening("enter", "", SOMETHING, ""))
    stop = Happening("stop", "", SOMETHING, "")
    assert "最近三次有东西停下，依次各是什么情况？" in in_chinese("ask_order_of", stop)
    assert "到目前为止有东西一共停下了几次？" in in_chinese("ask_count", stop)


def test_every_word_of_the_drawn_worlds_has_one_of_its_own_in_chinese():
    drawn = CONTENT["zh"]["drawn"]
    assert drawn["colours"].keys() == COLOURS.keys()
    assert drawn["shapes"].keys() == OUTLINES.keys()
    for words in drawn.values():
        assert len(set(words.values())) == len(words)
    names = {TEMPLATES["zh"].topic(Happening("move", "", f"{c} {s}", "")).key for c in COLOURS for s in OUTLINES}
    assert len(names) == len(COLOURS) * len(OUTLINES)
    assert not [name for name in names if re.search("“|[a-z]+$", name)]


@pytest.mark.parametrize("number", range(3))
def test_all_that_happens_in_a_drawn_world_is_told_in_chinese(number):
    drawn = plan(WorldConfig(seed=5), number)
    events = facts(drawn.script, drawn.clock)
    assert {row.label for row in events} >= {"enter", "move", "stop"}
    for row in events:
        told = min(in_chinese("say_last", told=(Happening(row.label, "world", row.subject, row.text),)), key=len)
        assert re.fullmatch(r"[\u4e00-\u9fff]+。", told), told


def test_a_sentence_of_a_corpus_in_chinese_gets_no_second_stop():
    told = Happening("caption", "captions", None, "一个人走进来。")
    assert "“一个人走进来。”" in TEMPLATES["zh"].phrasings(Request(intent="say_now", told=(told,)))


def test_a_shape_has_its_article():
    oval = Happening("enter", "world", "red oval", "")
    assert "It is an oval." in TEMPLATES["en"].phrasings(Request(intent="say_shape", about=oval))
    star = Happening("enter", "world", "red star", "")
    assert "It is a star." in TEMPLATES["en"].phrasings(Request(intent="say_shape", about=star))


def test_the_builders_offer_it_in_chinese_and_say_so():
    assert TEACHERS["template_zh"]().digest == TEMPLATES["zh"].digest
    assert TEMPLATES["zh"].language == "zh"
    assert TEMPLATES["zh"].provenance(seed=1, inputs=[]).version == "zh-1"
    assert TEACHERS["template"]().digest == TEMPLATES["en"].digest


OVER_OR_ON = re.compile(
    r"\b(has|have|had|was|were|did|just|happen\w*|occur\w*|taking|taken|took|done|being|began|beg[iu]ns?|starts?|ends?)\b"
    r"|发生|刚|已经|已|完|结束|正|开始|进行"
)


def tells_of_its_course(text):
    """Whether a report says of what it quotes that it begins, goes on or is over."""
    return OVER_OR_ON.search(re.sub(r'"[^"]*"|“[^”]*”', "", text)) is not None


@pytest.mark.parametrize("language", TEMPLATES)
def test_the_report_of_a_sentence_is_true_from_its_onset_to_its_end(language):
    """It is said when the event is known: of some a moment after they began, of others when they are over."""
    texts = every(language, "say_tell", Happening("caption", "captions", None, "A man runs, then vaults."))
    assert not [text for text in texts if tells_of_its_course(text)]


@pytest.mark.parametrize(
    "text",
    [
        'This has just happened: "A man runs."',
        'It has just taken place: "A man runs."',
        'That occurred: "A man runs."',
        'This begins now: "A man runs."',
        'It is happening now: "A man runs."',
        "刚刚发生了这件事：“A man runs.”",
        "注意，你说的事现在发生了：“A man runs.”",
        "这件事正在进行：“A man runs.”",
    ],
)
def test_a_report_that_would_be_false_at_one_of_its_instants_is_found(text):
    assert tells_of_its_course(text)


def test_what_a_form_does_is_not_reported_as_over_in_chinese():
    """`离开画面了` says that it is gone; the report comes at the onset."""
    leave = Happening("leave", "world", "red circle", "")
    assert not [text for text in every("zh", "say_tell", leave) if text.endswith("了。")]


AGREES = re.compile(
    r"(?<!answer )\b(is|are|has|have|does|do) James\b"
    r"|\bJames (is|are|has|have|does|enters|leaves|moves|stops|collides)\b"
)
OF_ONE = re.compile(r"\b(?<!answer )(is|has|does) the dogs\b|\bthe dogs (is|has|does|\w+s)\b", re.IGNORECASE)
FORMS = [about.label for about in ALL if about.subject == "red oval"]


def agreeing_with(subject):
    """All that is said of a subject by grammar."""
    for label in FORMS:
        about = Happening(label, "corpus", subject, "Something happens.")
        for intent in INTENTS:
            yield from TEMPLATES["en"].phrasings(Request(intent=intent, about=about))


def test_verbs_agree_with_a_subject_that_is_several():
    texts = set(agreeing_with("dogs"))
    assert not [text for text in texts if OF_ONE.search(text)]
    assert {
        "Have the dogs left the picture yet?",
        "Tell me when the dogs leave the picture.",
        "What do the dogs do next?",
        "No dogs have been shown so far, so I cannot tell.",
        "What have the dogs been up to just now?",
        "Where in the picture are the dogs right now?",
    } <= texts
    # Planted: the same sentences in the other number.
    assert all(map(OF_ONE.search, ["Has the dogs left the picture yet?", "Tell me when the dogs leaves the picture."]))


def test_of_a_subject_whose_number_cannot_be_told_no_verb_is_said_that_agrees_with_it():
    texts = set(agreeing_with("James"))
    assert not [text for text in texts if AGREES.search(text)]
    assert {"Did James already leave the picture?", "Tell me when you see James leave the picture."} <= texts
    assert AGREES.search("Tell me when James leaves the picture.")


def test_whatever_its_number_a_subject_is_spoken_of_in_every_way():
    def spoken(subject):
        for label in FORMS:
            about = Happening(label, "corpus", subject, "Something happens.")
            yield from (
                (label, intent)
                for intent in INTENTS
                if TEMPLATES["en"].phrasings(Request(intent=intent, about=about, told=(about,), number=3))
            )

    ways = {(intent, label) for label, intent in spoken("dog") if intent not in ("say_colour", "say_shape")}
    for subject in ("dogs", "James", "两个人", "a group of men"):
        assert {(intent, label) for label, intent in spoken(subject)} == ways, subject


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("the man sits down", "The man sits down."),
        ("élan wins", "Élan wins."),
        ("ǆ", "Ǆ."),
        ("iPhones ring", "iPhones ring."),
        ("3 dogs run.", "3 dogs run."),
        ("The man waves.", "The man waves."),
        ("", "."),
    ],
)
def test_a_sentence_that_is_told_begins_with_a_capital_letter(caption, told):
    first = Happening("caption", "captions", None, "the man waves.")
    then = Happening("caption", "captions", None, caption)
    texts = TEMPLATES["en"].phrasings(Request(intent="say_order", told=(first, then)))
    assert f"The man waves. {told}" in texts


def test_a_line_that_is_told_stays_as_it_is():
    line = Happening("subtitle", "srt", None, "how are you")
    assert "how are you" in TEMPLATES["en"].phrasings(Request(intent="say_read", told=(line,)))
