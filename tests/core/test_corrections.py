"""Corrections laid over records: none changes nothing, later ones are of earlier ones, what fits nothing is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.core.corrections import TABLE, Correction, Corrections, digest_of
from datasets_build.core.files import sha256_file
from datasets_build.core.records import Dialogue, Event, Provenance, StreamingQA, Video
from datasets_build.core.table import read_table, write_table
from tests.laws import examples

MADE = Provenance(kind="rule", agent="made")
BY = {"round": "r1", "annotators": ("a1", "a2")}
FEW = settings(max_examples=examples(50), deadline=None)


def event(name, start=0, **more):
    fields = {
        "id": name, "video_id": "v", "start_ns": start, "end_ns": start + 10, "label": "enter", "label_set": "world",
        "caption": "It enters.", "known_from_ns": start + 5, "confidence": 1.0, "source": "annotation",
        "provenance": MADE,
    }  # fmt: skip
    return Event.model_validate(fields | more)


def question(name, **more):
    fields = {
        "id": name, "video_id": "v", "mode": "backward", "task": "before", "question": "What?", "ask_ns": 5,
        "evidence": (), "answerable_from_ns": 5, "answers": (), "provenance": MADE,
    }  # fmt: skip
    return StreamingQA.model_validate(fields | more)


def talk(name):
    return Dialogue(
        id=name, video_id="v", start_ns=0, end_ns=9, system="", language="en", turns=(), decisions=(), provenance=MADE
    )


def replace(parent, made, **more):
    return correct("replace", parent, made, **more)


def remove(parent, **more):
    return correct("remove", parent, None, **more)


def add(made, **more):
    return correct("add", None, made, **more)


def correct(action, parent, made, **more):
    of = {Event: "event", StreamingQA: "question", Dialogue: "dialogue"}[type(made or parent)]
    named = {"parent_id": parent.id, "parent_digest": digest_of(parent)} if parent else {}
    record = {of: made} if made else {}
    name = f"{action} {parent.id if parent else ''} {made.id if made else ''}"
    fields = {"id": name, "video_id": "v", "action": action, "of": of, **BY, **named, **record}
    return Correction.model_validate(fields | more)


def laid(folder, *corrections):
    write_table(folder / TABLE, Correction, corrections)
    return Corrections(folder)


def test_no_table_changes_nothing_and_is_no_input(tmp_path):
    rows = [event("b"), event("a")]
    found = Corrections(tmp_path)
    after = found.events("v", rows)
    assert (after.rows, after.stale, after.now) == (rows, [], {})
    assert found.inputs == {}
    assert not found.take_from("v", Event)


def test_a_table_is_an_input_by_its_bytes(tmp_path):
    found = laid(tmp_path, remove(event("a")))
    assert found.inputs == {"corrections": sha256_file(tmp_path / TABLE)}


def test_corrections_travel_in_a_table(tmp_path):
    rows = [
        add(event("a", subject="red circle")),
        replace(question("q"), question("p")),
        remove(talk("d"), edited=("turns",)),
        replace(talk("d"), talk("e")),
    ]
    write_table(tmp_path / TABLE, Correction, rows)
    assert list(read_table(tmp_path / TABLE, Correction)) == rows


def test_each_kind_gets_its_own_corrections_of_its_own_video(tmp_path):
    rows = [remove(event("e")), remove(question("q")), remove(talk("d"))]
    found = laid(tmp_path, *rows)
    assert found.events("v", [event("e")]).rows == []
    assert found.questions("v", [question("q")]).rows == []
    assert found.dialogues("v", [talk("d")]).rows == []
    assert found.events("other", [event("e")]).rows == [event("e")]
    assert found.take_from("v", StreamingQA)
    assert not found.take_from("other", StreamingQA)
    assert not found.take_from("v", Video)


def test_a_replacement_is_not_taken_away(tmp_path):
    assert not laid(tmp_path, replace(event("a"), event("b"))).take_from("v", Event)


def test_a_replacement_stands_in_the_place_of_its_parent(tmp_path):
    rows = [event("a"), event("b"), event("c")]
    after = laid(tmp_path, replace(rows[1], event("x"))).events("v", rows)
    assert [row.id for row in after.rows] == ["a", "x", "c"]
    assert after.now == {"b": "x"}


def test_later_rounds_correct_what_earlier_ones_made(tmp_path):
    first, then, last = event("a"), event("b", caption="Once."), event("c", caption="Twice.")
    after = laid(tmp_path, replace(first, then), replace(then, last, round="r2")).events("v", [first])
    assert (after.rows, after.stale) == ([last], [])
    assert after.now == {"a": "c", "b": "c"}


def test_replaced_and_then_removed_is_gone(tmp_path):
    first, then = event("a"), event("b")
    after = laid(tmp_path, replace(first, then), remove(then, round="r2")).events("v", [first, event("z")])
    assert [row.id for row in after.rows] == ["z"]
    assert after.stale == []


def test_what_is_gone_cannot_be_corrected_and_is_told(tmp_path):
    gone = event("gone")
    after = laid(tmp_path, replace(gone, event("x")), remove(gone)).events("v", [event("a")])
    assert [row.id for row in after.rows] == ["a"]
    assert [row.code for row in after.stale] == ["stale_correction"] * 2
    assert "event gone, which is not there any more" in after.stale[0].reason
    assert {row.stage for row in after.stale} == {"events"}


@pytest.mark.parametrize("kind", ["events", "questions", "dialogues"])
def test_another_record_of_the_same_id_is_not_what_people_saw(kind, tmp_path):
    made = {"events": event, "questions": question, "dialogues": talk}[kind]
    seen = made("same")
    there = seen.model_copy(update={"provenance": MADE.model_copy(update={"version": "2"})})
    found = laid(tmp_path, replace(seen, made("new")), remove(seen))
    after = getattr(found, kind)("v", [there])
    assert after.rows == [there]
    assert len(after.stale) == 2
    assert all("not what people saw" in row.reason for row in after.stale)
    assert getattr(found, kind)("v", [seen]).stale[0].reason.endswith("not there any more")


def test_what_is_there_already_is_not_brought_again(tmp_path):
    there = event("there", caption="Another one.")
    after = laid(tmp_path, add(event("there")), replace(event("a"), event("there"))).events("v", [event("a"), there])
    assert after.rows == [event("a"), there]
    assert all("is there already" in row.reason for row in after.stale)
    assert len(after.stale) == 2


def test_the_name_of_a_twin_is_no_content():
    one, other = question("q", twin_id="a"), question("q", twin_id="b")
    assert digest_of(one) == digest_of(other) == digest_of(question("q"))
    assert digest_of(one) != digest_of(question("q", twin_id="a", question="Why?"))
    assert len(digest_of(one)) == 20


@pytest.mark.parametrize(
    ("update", "found"),
    [
        ({"action": "remove"}, "found \\['event'\\] in a correction to remove"),
        ({"event": None}, "found \\[\\] in a correction to replace"),
        ({"of": "question"}, "found \\['event'\\] in a correction to replace a question"),
        ({"parent_id": None}, "found parent_id None"),
        ({"parent_digest": None}, "found parent_digest None"),
        ({"action": "add"}, "found parent_id a in a correction to add"),
        ({"action": "add", "parent_id": None}, "found parent_digest"),
    ],
)
def test_a_correction_that_is_none_is_refused(update, found):
    good = replace(event("a"), event("b"))
    with pytest.raises(ValidationError, match=found):
        Correction.model_validate(good.model_dump() | update)


NAMES = st.sampled_from("abcdef")


@st.composite
def histories(draw, actions=("replace", "remove", "add")):
    """Records, and corrections of what is there at their turn, with what is expected at the end."""
    rows = [event(name, start=draw(st.integers(0, 3)) * 10) for name in draw(st.lists(NAMES, unique=True, max_size=5))]
    there = {row.id: row for row in rows}
    made = []
    for step in range(draw(st.integers(0, 8))):
        action = draw(st.sampled_from(actions))
        new = event(f"n{step}", caption=f"{step}.")
        if action == "add":
            made.append(add(new))
            there[new.id] = new
        elif there:
            parent = there.pop(draw(st.sampled_from(sorted(there))))
            made.append(replace(parent, new) if action == "replace" else remove(parent))
            there |= {new.id: new} if action == "replace" else {}
    return rows, made, there


@FEW
@given(histories())
def test_every_correction_of_what_is_there_is_laid(tmp_path_factory, history):
    rows, made, expected = history
    after = laid(tmp_path_factory.mktemp("c"), *made).events("v", rows)
    assert after.stale == []
    assert {row.id: row for row in after.rows} == expected
    assert len(after.rows) == len(expected)
    untouched = [row.id for row in rows if row.id in expected]
    assert [row.id for row in after.rows if row.id in untouched] == untouched


@FEW
@given(histories(actions=("replace", "remove")))
def test_laid_a_second_time_nothing_happens_and_all_of_it_is_told(tmp_path_factory, history):
    rows, made, expected = history
    found = laid(tmp_path_factory.mktemp("c"), *made)
    after = found.events("v", found.events("v", rows).rows)
    assert {row.id: row for row in after.rows} == expected
    assert len(after.stale) == len(made)
