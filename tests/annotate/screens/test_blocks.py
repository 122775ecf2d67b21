"""What screens of blocks share: one block each, a verdict each, and corrections that count where people see them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.screens import dialogue, qa
from annotate.screens.blocks import Block, Blocks
from annotate.screens.regions import CLIP, CLIP_CONTROL, VERDICTS, Control, Reading, ScreenError
from annotate.tasks import Question, QuestionVerdict, Said, Sheet, TurnVerdict, Work
from tests.annotate.screens import test_dialogue, test_qa
from tests.annotate.screens.answers import region
from tests.annotate.screens.captured import WINDOW
from tests.annotate.screens.windows import item_of, watched
from tests.laws import examples

BLOCKS = Blocks(about="turn", types={"verdict": "choices", "text": "textarea"})
TURNS = tuple(Said(id=f"t{at}", role="user", start_ns=0, end_ns=1, text=f"says {at}") for at in range(3))
ITEM = item_of(WINDOW, Sheet(kind="dialogue", turns=TURNS))


@pytest.mark.parametrize(
    ("screen", "kind", "sheets", "verdict", "accepted"),
    [
        (qa, "qa", test_qa.sheets, test_qa.verdict, QuestionVerdict),
        (dialogue, "dialogue", test_dialogue.sheets, test_dialogue.verdict, TurnVerdict),
    ],
)
def test_accepting_what_was_sent_changes_nothing(screen, kind, sheets, verdict, accepted):
    @given(watched(), st.data())
    @settings(max_examples=examples(50), deadline=None)
    def law(pair, data):
        clock, window = pair
        item = item_of(window, data.draw(sheets(window)))
        rows = [*item.sheet.questions, *item.sheet.turns]
        sent = list(screen.encode(item).result)
        clicked = [verdict(place, "accept") for place in range(len(rows))]
        expected = tuple(accepted(id=row.id, verdict="accept") for row in rows)
        work = screen.decode(sent + clicked, item, clock)
        assert (work.questions or work.turns) == expected
        assert work == Work(kind=kind, questions=work.questions, turns=work.turns)
        missing = f"{screen.BLOCKS.about} {rows[0].id}: found no verdict, expected one of accept, fix, reject"
        with pytest.raises(ScreenError, match=missing):
            screen.decode(sent, item, clock)

    law()


def test_controls_are_named_by_the_place_of_their_block_and_the_clip_has_its_own():
    assert BLOCKS.controls(0) == {CLIP: CLIP_CONTROL}
    assert BLOCKS.controls(2) == {
        CLIP: CLIP_CONTROL,
        "verdict_0": Control(type="choices", to_name="turn_0"),
        "text_0": Control(type="textarea", to_name="turn_0"),
        "verdict_1": Control(type="choices", to_name="turn_1"),
        "text_1": Control(type="textarea", to_name="turn_1"),
    }


def test_what_is_filled_in_has_the_id_of_its_row_and_the_name_of_its_place():
    found = BLOCKS.filled(ITEM, TURNS, lambda turn: {"text": {"text": [turn.text]}} if turn.id != "t1" else {})
    assert [(each["id"], each["from_name"], each["to_name"], each["type"]) for each in found] == [
        ("t0-text", "text_0", "turn_0", "textarea"),
        ("t2-text", "text_2", "turn_2", "textarea"),
    ]
    assert found[1]["value"] == {"text": ["says 2"]}


@pytest.mark.parametrize(("rows", "count"), [((), 0), (TURNS[:1] * 2, 2)])
def test_nothing_to_ask_about_and_an_id_that_stands_twice_are_refused(rows, count):
    with pytest.raises(ScreenError, match=f"item k+: found {count} turns, expected one or more, each id once"):
        BLOCKS.filled(ITEM, rows, lambda turn: {})
    questions = Blocks(about="question", types={})
    twice = (Question(id="q", question="?", ask_ns=0, answer="", answer_ns=0),) * count
    with pytest.raises(ScreenError, match=f"found {count} questions"):
        questions.filled(ITEM, twice, lambda question: {})


def clicked(place, value):
    return region(f"v{place}", f"verdict_{place}", f"turn_{place}", "choices", {"choices": [value]})


def texts(block, turn):
    """A block's verdict, and its text where that is looked at."""
    verdict = block.verdict()
    return turn.id, verdict, block.reading.text(block.field("text")) if block.is_open(verdict) else None


def written(place, value):
    return region(f"x{place}", f"text_{place}", f"turn_{place}", "textarea", {"text": [value]})


def test_each_block_reads_its_own_fields_in_the_order_of_the_rows():
    result = [clicked(2, "fix"), written(2, "c"), clicked(0, "accept"), written(0, "a"), clicked(1, "reject")]
    found, is_usable, reading = BLOCKS.read(result, TURNS, texts, is_finished=True)
    assert found == [("t0", "accept", None), ("t1", "reject", None), ("t2", "fix", "c")]
    assert is_usable
    assert not reading.flaws


def test_a_block_that_nothing_is_made_of_is_left_out():
    found, _, _ = BLOCKS.read(
        [], TURNS, lambda block, turn: None if turn.id == "t1" else block.where, is_finished=False
    )
    assert found == ["turn t0", "turn t2"]


def test_of_a_clip_that_cannot_be_judged_no_block_is_read():
    result = [clicked(0, "nonsense"), region("c", CLIP, "video", "choices", {"choices": ["not usable"]})]
    found, is_usable, reading = BLOCKS.read(result, TURNS, texts, is_finished=True)
    assert (found, is_usable, reading.flaws) == ([], False, [])


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_missing_verdict_is_a_flaw_of_what_is_finished_and_what_goes_out_is_looked_at_without_one(is_finished):
    bad = [written(0, " ")]
    _, _, reading = BLOCKS.read(bad, TURNS[:1], texts, is_finished=is_finished)
    (flaw,) = reading.flaws
    assert flaw.code == ("missing" if is_finished else "text")
    assert flaw.where == ("turn t0" if is_finished else "region x0, text_0")


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize("verdict", [*VERDICTS, None])
def test_corrections_are_looked_at_under_fix_or_before_anybody_judged(verdict, is_finished):
    block = Block(reading=Reading([], {}), fields={}, place=0, where="turn t", is_finished=is_finished)
    assert block.is_open(verdict) is (verdict == "fix" or (verdict is None and not is_finished))
