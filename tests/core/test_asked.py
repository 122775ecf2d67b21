"""A question is read with its options, each behind its own letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.asked import LETTERS, put_question
from datasets_build.core.records import Provenance, StreamingQA

WORDS = st.text("abc xyz", min_size=1, max_size=8)


def question(*options):
    return StreamingQA(
        id="q", video_id="v", mode="realtime", task="now", question="What is on?", ask_ns=1, evidence=(),
        answerable_from_ns=1, answers=(), options=options, correct_option=0 if options else None,
        provenance=Provenance(kind="rule", agent="test"),
    )  # fmt: skip


def test_one_in_free_form_is_its_words():
    assert put_question(question()) == "What is on?"


@given(st.lists(WORDS, min_size=1, max_size=len(LETTERS)))
def test_every_option_stands_on_a_line_of_its_own_behind_its_letter(options):
    asked, *lines = put_question(question(*options)).split("\n")
    assert asked == "What is on?"
    assert lines == [f"{LETTERS[place]}. {option}" for place, option in enumerate(options)]


def test_more_options_than_letters_are_refused():
    with pytest.raises(ValueError, match="q: found 27 options, expected 26 at most"):
        put_question(question(*("x" * 27)))
