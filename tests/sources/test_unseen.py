"""What nobody sees is taken out and told of; what somebody wrote stays."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.sources.unseen import without_unseen


@pytest.mark.parametrize(
    ("text", "kept", "found"),
    [
        ("A man\x00 runs.", "A man runs.", ["U+0000"]),
        ("\u202eA man runs.\u202c", "A man runs.", ["U+202C", "U+202E"]),
        ("\u2067שלום\u2069 he says", "שלום he says", ["U+2067", "U+2069"]),
        ("one\x1ftwo\x85three", "one two three", ["U+001F", "U+0085"]),
        ("\x1b[31mred\x07", "[31mred", ["U+0007", "U+001B"]),
        ("\ufeffA man.", "A man.", ["U+FEFF"]),
        ("\x00\u202e", "", ["U+0000", "U+202E"]),
    ],
)
def test_what_nobody_sees_is_taken_out_and_named(text, kept, found):
    assert without_unseen(text) == (kept, found)


@pytest.mark.parametrize(
    "text",
    [
        "A man runs.",
        "two\nlines\tand a tab\r\n",
        " spaces ",
        "نص عربي\u200f", "खेल\u200dना", "👩\u200d🚀", "می\u200cخواهم", "一个人走进来。", "naïve — café…",
    ],
)  # fmt: skip
def test_what_somebody_wrote_stays(text):
    assert without_unseen(text) == (text, [])


@given(st.text())
def test_any_text_is_clean_afterwards_and_loses_nothing_else(text):
    kept, found = without_unseen(text)
    assert without_unseen(kept) == (kept, [])
    assert not {letter for letter in kept if unicodedata.category(letter) == "Cc"} - set("\t\n\v\f\r")
    assert bool(found) == (kept != text)
    visible = [letter for letter in text if letter.isalnum()]
    assert [letter for letter in kept if letter.isalnum()] == visible
