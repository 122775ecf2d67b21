"""The screen for dialogues: what it looks like, what is sent, what comes back."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.screens import dialogue
from annotate.screens.regions import ScreenError
from annotate.tasks import Said, Sheet, TurnVerdict, Work
from tests.annotate.screens import captured
from tests.annotate.screens.answers import region, result_of
from tests.annotate.screens.captured import CLOCK, DIALOGUE, WINDOW, at
from tests.annotate.screens.windows import item_of, watched
from tests.laws import examples

TEXTS = st.sampled_from(["", "Now.", "two\nlines", ' "a" & <b> $x {{idx}} ', "日本"])
NEW_TEXTS = st.sampled_from(["corrected", "three\nmore\nlines", '"c" & <d> $y'])


@st.composite
def sheets(draw, window):
    """Turns around a window in any order, some with the same start, some outside."""
    turns = []
    for place in range(draw(st.integers(1, 5))):
        start = draw(st.integers(max(0, window.start_ns - 10**9), window.end_ns + 10**9))
        turns.append(
            Said(
                id=f"t{place}",
                role=draw(st.sampled_from(["user", "assistant"])),
                start_ns=start,
                end_ns=draw(st.integers(start, start + 10**9)),
                text=draw(TEXTS),
            )
        )
    return Sheet(kind="dialogue", turns=tuple(turns))


@st.composite
def works(draw, item):
    """A verdict for each turn; a fix has another text or a complaint."""
    if draw(st.integers(0, 9)) == 0:
        return Work(kind="dialogue", usable=False)
    verdicts = []
    for turn in item.sheet.turns:
        verdict = draw(st.sampled_from(["accept", "fix", "reject"]))
        timing = draw(st.sampled_from([None, "too_early", "too_late"]))
        text = draw(NEW_TEXTS if timing is None else st.none() | NEW_TEXTS) if verdict == "fix" else None
        verdicts.append(TurnVerdict(id=turn.id, verdict=verdict, text=text, timing=timing))
    return Work(kind="dialogue", turns=tuple(verdicts))


@given(watched(), st.data())
@settings(max_examples=examples(150), deadline=None)
def test_work_comes_back_as_it_was_done(pair, data):
    clock, window = pair
    item = item_of(window, data.draw(sheets(window)))
    work = data.draw(works(item))
    assert dialogue.decode(result_of(work, item), item, clock) == work


@given(watched(), st.data())
@settings(max_examples=examples(100), deadline=None)
def test_the_transcript_lies_in_the_clip_and_nothing_starts_at_zero(pair, data):
    _, window = pair
    task = dialogue.encode(item_of(window, data.draw(sheets(window))))
    length = window.frames * window.fps_den / window.fps_num
    for line in task.data["transcript"]:
        assert 0 < line["start"] < line["end"] <= length + 0.0011


def verdict(place, value):
    return region(f"v{place}", f"verdict_{place}", f"turn_{place}", "choices", {"choices": [value]})


def text(place, value):
    return region(f"t{place}", f"text_{place}", f"turn_{place}", "textarea", {"text": [value]})


def test_edits_in_the_page_come_back_as_what_was_meant():
    work = dialogue.decode(captured.DIALOGUE_EDITED, DIALOGUE, CLOCK)
    assert work == Work(
        kind="dialogue",
        turns=(
            TurnVerdict(id="t0", verdict="accept"),
            TurnVerdict(id="t1", verdict="fix", text="Now it turns slowly.", timing="too_late"),
            TurnVerdict(id="t2", verdict="accept"),
            TurnVerdict(id="t3", verdict="accept", timing="too_early"),
            TurnVerdict(id="t4", verdict="reject"),
            TurnVerdict(id="t5", verdict="accept"),
        ),
    )


def test_of_a_clip_that_cannot_be_judged_no_verdict_is_asked():
    assert dialogue.decode(captured.DIALOGUE_NOT_USABLE, DIALOGUE, CLOCK) == Work(kind="dialogue", usable=False)


def test_verdicts_go_by_the_sheet_whatever_order_the_transcript_has():
    turns = tuple(reversed(DIALOGUE.sheet.turns))
    item = item_of(WINDOW, Sheet(kind="dialogue", turns=turns))
    work = dialogue.decode([verdict(place, "reject" if place == 5 else "accept") for place in range(6)], item, CLOCK)
    assert {each.id: each.verdict for each in work.turns} == {
        turn.id: "reject" if turn.id == "t0" else "accept" for turn in turns
    }
    blocks = dialogue.encode(item).data["turns"]
    assert [block["id"] for block in blocks] == [turn.id for turn in turns]
    assert blocks[5]["text"].startswith("6. user, at frame 1 (0:00.000)\nTell me")


def test_what_is_sent_has_the_words_and_times_that_a_person_reads():
    task = dialogue.encode(DIALOGUE)
    assert task.data["turns"][1] == {
        "id": "t1",
        "text": "2. assistant, at frame 71 (0:02.335)\nNow it turns, $quickly.",
    }
    line = task.data["transcript"][1]
    assert (line["role"], line["text"]) == ("2. assistant", "Now it turns, $quickly.")
    assert line["start"] == pytest.approx(70 * 1001 / 30000)
    assert line["end"] == pytest.approx(120 * 1001 / 30000)
    assert [each["from_name"] for each in task.result] == [f"text_{place}" for place in range(6)]


def test_a_text_under_another_verdict_does_not_count():
    item = item_of(WINDOW, DIALOGUE.sheet.model_copy(update={"turns": DIALOGUE.sheet.turns[:1]}))
    work = dialogue.decode([verdict(0, "reject"), text(0, "left behind")], item, CLOCK)
    assert work.turns == (TurnVerdict(id="t0", verdict="reject"),)


def test_a_fix_that_changes_nothing_is_a_flaw():
    item = item_of(WINDOW, DIALOGUE.sheet.model_copy(update={"turns": DIALOGUE.sheet.turns[:1]}))
    same = item.sheet.turns[0].text
    for result in ([verdict(0, "fix"), text(0, same)], [verdict(0, "fix")], [verdict(0, "fix"), text(0, same + " ")]):
        with pytest.raises(ScreenError, match="turn t0: found fix without a change, expected another text or a"):
            dialogue.decode(result, item, CLOCK)


def test_no_turns_and_two_of_one_id_are_refused():
    with pytest.raises(ScreenError, match="found 0 turns, expected one or more, each id once"):
        dialogue.encode(item_of(WINDOW, Sheet(kind="dialogue")))
    turn = Said(id="t", role="user", start_ns=0, end_ns=at(1), text="a")
    with pytest.raises(ScreenError, match="found 2 turns"):
        dialogue.encode(item_of(WINDOW, Sheet(kind="dialogue", turns=(turn, turn))))


def test_each_control_of_the_code_is_one_of_the_configuration():
    tree = ET.fromstring(dialogue.config())
    types = {"TextArea": "textarea", "Choices": "choices"}
    found = {
        each.get("name").replace("{{idx}}", "0"): (types[each.tag], each.get("toName").replace("{{idx}}", "0"))
        for each in tree.iter()
        if each.get("toName")
    }
    assert found == {name: (control.type, control.to_name) for name, control in dialogue.BLOCKS.controls(1).items()}
    choices = {each.get("name"): [choice.get("value") for choice in each] for each in tree.iter("Choices")}
    assert choices["timing_{{idx}}"] == list(dialogue.TIMINGS)
    assert choices["verdict_{{idx}}"] == ["accept", "fix", "reject"]


def test_nothing_is_asked_of_the_transcript_and_it_keeps_step_with_the_video():
    tree = ET.fromstring(dialogue.config())
    (transcript,) = tree.iter("Paragraphs")
    (video,) = tree.iter("Video")
    assert transcript.get("sync") == video.get("sync")
    assert transcript.get("audioUrl") == video.get("value") == "$video"
    assert not [each for each in tree.iter() if each.get("toName") == transcript.get("name")]
