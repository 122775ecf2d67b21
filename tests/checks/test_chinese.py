"""The words that checks read in Chinese are those that the template writes, and what they say is held against truth."""

import pytest
import yaml

from datasets_build.checks.chinese import ENGLISH, in_english
from datasets_build.checks.steps import place_breaches
from datasets_build.teachers.template import CHINESE


def test_they_are_the_templates_words():
    content = yaml.safe_load(CHINESE.read_text("utf-8"))
    written = {**content["drawn"]["colours"], **content["drawn"]["shapes"], **content["places"]}
    assert {english: word for word, english in ENGLISH.items()} == written


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("它的颜色是黄色。", ["它的颜色是", "yellow", "。"]),
        ("红色正方形在画面左上方。", ["red", "square", "在画面", "top", "left", "。"]),
        ("It is Red.", ["it", "is", "red."]),
    ],
)
def test_only_these_words_change(text, words):
    assert in_english(text).split() == words


def test_no_word_stands_in_another():
    assert not [(a, b) for a in ENGLISH for b in ENGLISH if a != b and a in b]


@pytest.mark.parametrize(("place", "broken"), [("top left", 0), ("top right", 1), (None, 1)])
def test_a_place_in_chinese_is_held_against_the_one_that_is_due(place, broken):
    assert len(list(place_breaches("红色圆形在画面左上方。", place))) == broken
    assert len(list(place_breaches("红色圆形在画面左上方，不，右上方。", place))) == 1
