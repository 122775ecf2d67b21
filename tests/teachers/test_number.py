"""Whether a subject is one or several: right where it says so, and silent where it cannot be told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.sources.world_shapes import COLOURS, OUTLINES
from datasets_build.teachers.number import is_plural

ONE = [
    "the red circle",
    "a man",
    "the man in black",
    "an old woman wearing jeans",
    "the man playing drums",
    "the boy with two dogs",
    "one of the men",
    "each of the dogs",
    "every child",
    "someone",
    "Anna",
    "this bus",
    "the glass",
    "a cactus",
    "the lens",
    "the specimen",
    "the building",
    "the boxing ring",
    "a sheep",
    "player 2",
    "1 man",
    "the two-year-old",
    "the person who feeds the dogs",
]
SEVERAL = [
    "the two men",
    "two men",
    "Two men",
    "2 men",
    "the men",
    "women in red",
    "the firemen",
    "people",
    "the people",
    "townspeople",
    "children",
    "the schoolchildren",
    "the dogs",
    "dogs",
    "the dogs of a man",
    "both players",
    "several of the men",
    "these sheep",
    "they",
    "the police",
    "the geese",
    "the scissors",
    "some boys playing football",
    "the men wearing a hat",
    "The Smiths",
    "the red circle and the blue star",
    "Anna and Tom",
    "a man and a dog on a beach",
]
NOBODY_KNOWS = [
    "",
    "the sheep",
    "a group of men",
    "a couple",
    "a few people",
    "a lot of people",
    "five year old boy",
    "the man or the dogs",
    "the man with a cap and a dog",
    "the man, the dog",
    "the man's",
    "James",
    "Carmen",
    "Dogs",
    "I",
    "athletics",
    "两个人",
    "一个男人",
    "los niños",
    "?",
]


@pytest.mark.parametrize("who", ONE)
def test_one(who):
    assert is_plural(who) is False


@pytest.mark.parametrize("who", SEVERAL)
def test_several(who):
    assert is_plural(who) is True


@pytest.mark.parametrize("who", NOBODY_KNOWS)
def test_what_the_words_do_not_tell(who):
    assert is_plural(who) is None


def test_every_shape_that_this_project_draws_is_one():
    assert not any(is_plural(f"the {colour} {kind}") in (True, None) for colour in COLOURS for kind in OUTLINES)


@given(st.text(max_size=40))
def test_any_text_can_be_asked_after(who):
    assert is_plural(who) in (True, False, None)


@given(st.sampled_from(ONE + SEVERAL))
def test_case_and_spaces_say_nothing_where_an_article_stands(who):
    if who.startswith(("the ", "a ", "an ", "these ", "two ")):
        assert is_plural("  " + who.replace(" ", "  ") + " ") is is_plural(who)
        assert is_plural(who[0].upper() + who[1:]) is is_plural(who)
