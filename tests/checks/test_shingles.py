"""Words of any script, and runs of them."""

import pytest

from datasets_build.checks.shingles import code_of, contains, shingles_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The RED circle, it's in!", ("the", "red", "circle", "it's", "in")),
        ("红球stops 了", ("红", "球", "stops", "了")),
        ("ｆｕｌｌ width", ("full", "width")),
        ("a_b-c", ("a", "b", "c")),
        ("…?!", ()),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


def test_a_part_stands_in_a_row():
    words = words_of("the red circle moves left")
    assert contains(words, ("red", "circle"))
    assert contains(words, words)
    assert not contains(words, ("red", "moves"))
    assert not contains(words, ())
    assert not contains(("red",), words)


def test_codes_are_the_same_on_every_machine():
    assert code_of(("red", "circle")) == 723016842292031892
    assert code_of(("red", "circle")) != code_of(("redcircle",))


def test_runs_of_words():
    assert len(shingles_of(words_of("a b c d e"), 3)) == 3
    assert shingles_of(words_of("a b"), 3) == {code_of(("a", "b"))}
    assert shingles_of((), 3) == frozenset()
    assert shingles_of(words_of("x a b c"), 3) & shingles_of(words_of("a b c y"), 3) == {code_of(("a", "b", "c"))}
