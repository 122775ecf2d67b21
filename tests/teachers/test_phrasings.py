"""Lines with alternatives: each stands for exactly the sentences that it says, and what is no line is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.teachers.phrasings import expanded

PARTS = {"can": ["[Can|Could] you", "Would you <kindly>"], "kindly": ["kindly", "please"], "loop": ["a <loop>"]}


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("Plain.", ["Plain."]),
        ("[a|b]", ["a", "b"]),
        ("x[|, please].", ["x.", "x, please."]),
        ("[a|b] [c|d]", ["a c", "a d", "b c", "b d"]),
        ("[a [b|c]|d]e", ["a be", "a ce", "de"]),
        ("<kindly> {who}", ["kindly {who}", "please {who}"]),
        ("<can> go?", ["Can you go?", "Could you go?", "Would you kindly go?", "Would you please go?"]),
        ("[<kindly>|]!", ["kindly!", "please!", "!"]),
    ],
)
def test_a_line_stands_for_its_sentences_in_order(line, sentences):
    assert expanded([line], PARTS) == (tuple(sentences),)


def test_lines_stay_apart():
    assert expanded(["a[b|c]", "d"], {}) == (("ab", "ac"), ("d",))
    assert expanded([], {}) == ()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["[a|b"], "'[' without its ']'"),
        (["a]"], "without its '['"),
        (["[a[b]"], "'[' without its ']'"),
        (["<nobody> is"], "<nobody> is no part"),
        (["<loop>"], "<loop> contains itself"),
        (["a", "[a|b]"], "'a' stands there twice"),
        (["[|x][x|]"], "'x' stands there twice"),
    ],
)
def test_what_is_no_line_is_refused(lines, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        expanded(lines, PARTS)


@given(st.lists(st.lists(st.text("abc ", min_size=1, max_size=3), min_size=1, max_size=4, unique=True), max_size=4))
def test_as_many_sentences_as_the_product_of_the_alternatives(choices):
    # With a mark after each choice no two ways give one sentence.
    line = "".join(f"[{'|'.join(choice)}]." for choice in choices)
    count = 1
    for choice in choices:
        count *= len(choice)
    (sentences,) = expanded([line], {})
    assert len(set(sentences)) == len(sentences) == count
