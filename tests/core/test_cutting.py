"""What of an answer is out when somebody breaks into it."""

import pytest

from datasets_build.core.cutting import characters_at, cut_short, ends_amid_word
from datasets_build.core.records import Turn

WHOLE = Turn(id="a", role="assistant", start_ns=1_000, end_ns=3_000, text="The red circle moves")


def cut(at_ns, least_said=2, least_left=2):
    return cut_short(WHOLE, at_ns, least_said=least_said, least_left=least_left)


def test_characters_come_evenly():
    assert [characters_at(WHOLE, t) for t in (1_000, 1_099, 1_100, 2_000, 3_000)] == [0, 0, 1, 10, 20]


def test_a_turn_cut_short_keeps_what_was_meant():
    short = cut(2_000)
    assert (short.text, short.truncated_at_char, short.intended_text) == ("The red ci", 10, WHOLE.text)
    assert (short.start_ns, short.end_ns, short.id) == (1_000, 2_000, "a")


@pytest.mark.parametrize("at_ns", [0, 1_000, 1_100, 2_900, 3_000, 9_000])
def test_next_to_nothing_and_next_to_all_is_no_cut(at_ns):
    assert cut(at_ns) is None


def test_the_least_that_is_said_and_left_still_counts():
    assert cut(1_800, least_said=8, least_left=12) is not None
    assert cut(1_800, least_said=9) is None
    assert cut(1_800, least_left=13) is None


@pytest.mark.parametrize(("at_ns", "inside"), [(2_000, True), (1_700, False), (1_800, False), (1_600, True)])
def test_a_cut_lies_inside_a_word_or_beside_one(at_ns, inside):
    assert ends_amid_word(cut(at_ns)) is inside


def test_a_whole_turn_ends_in_no_word():
    assert not ends_amid_word(WHOLE)
