"""What no screen asks about is a row with its reason, or a count: planted cases, and nothing that is lost."""

import logging
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from annotate import plan as planning
from annotate.rounds import REJECTS
from annotate.source import films
from annotate.unasked import unasked
from datasets_build.core.clock import Span
from datasets_build.core.files import read_rejects
from datasets_build.core.topics import PICTURE_SET
from tests.annotate.planned import S, planned
from tests.annotate.test_sheets import dialogue, event, question, turn
from tests.laws import examples

KINDS = ("events", "qa", "dialogue")
QUESTION = "v: StreamingQA q"


@pytest.fixture
def film(clips):
    """A film without records, in which tests plant some."""
    found = next(films(clips, "events"))
    video = found.video.model_copy(update={"id": "v"})
    return replace(found, video=video, events=(), keyframes=())


def halves(film):
    """Two windows that meet on a frame."""
    middle = film.clock.time_of(len(film.clock) // 2)
    return [Span(start_ns=0, end_ns=middle), Span(start_ns=middle, end_ns=film.clock.end_ns)]


def asked_of(film, kind, spans):
    return {name for span in spans for name in film.sheet(kind, span).ids}


def rows(film, kind):
    """Code, record and instant of each row of two windows over a film."""
    found = list(unasked(film, kind, asked_of(film, kind, halves(film))))
    for row in found:
        assert row.stage == "annotate"
        assert row.reason
        assert row.action
    return [(row.code, row.item, row.at_ns) for row in found]


def test_a_question_whose_answer_is_behind_the_cut_is_cut_and_one_that_ends_with_its_window_is_not(film):
    middle, end = halves(film)[1].start_ns, film.clock.end_ns
    asked = [
        question("ends", 1, middle),
        question("cut", middle - 1, middle + 1),
        question("cut_twice", 2, middle + 5, middle + 9),
        question("behind", end - 1, end + 2),
        question("last", end, end),
    ]
    assert rows(replace(film, questions=asked), "qa") == [
        ("cut", f"{QUESTION}cut", middle - 1),
        ("cut", f"{QUESTION}cut_twice", 2),
        ("cut", f"{QUESTION}behind", end - 1),
    ]


def test_a_question_without_an_answer_and_one_behind_the_film_are_told_apart_from_cut_ones(film):
    end = film.clock.end_ns
    asked = [question("none", 3), question("far", end + 1, end + 2), question("far_none", end + 1)]
    assert rows(replace(film, questions=asked), "qa") == [
        ("unanswered", f"{QUESTION}none", 3),
        ("outside", f"{QUESTION}far", end + 1),
        ("unanswered", f"{QUESTION}far_none", end + 1),
    ]


def test_of_events_those_that_are_so_by_rule_and_those_behind_the_film_are_told(film):
    end, middle = film.clock.end_ns, halves(film)[1].start_ns
    happened = [
        event("start", 0, label="video_start", label_set=PICTURE_SET),
        event("theirs", 0, label="video_start", label_set="theirs"),
        event("over", middle - 1, middle + 1),
        event("point", middle),
        event("last", end - 1, end),
        event("far", end, end + 5),
        event("far_point", end),
    ]
    assert rows(replace(film, events=happened), "events") == [
        ("not_asked", "v: Event estart", 0),
        ("outside", "v: Event efar", end),
        ("outside", "v: Event efar_point", end),
    ]


def test_of_turns_those_of_the_system_and_those_behind_the_film_are_told(film):
    end = film.clock.end_ns
    talk = dialogue("1", turn("rule", 0, 0, "system"), turn("in", 5, end + 9), turn("end", end, end))
    other = dialogue("2", turn("far", end + 1, end + 2, "assistant"))
    assert rows(replace(film, dialogues=[talk, other]), "dialogue") == [
        ("not_asked", "v: Turn trule", 0),
        ("outside", "v: Turn tfar", end + 1),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_another_kind_asks_about_is_not_told_here(film, kind):
    end = film.clock.end_ns
    full = replace(
        film,
        events=[event("far", end)],
        questions=[question("none", 3)],
        dialogues=[dialogue("1", turn("far", end + 1, end + 2))],
    )
    assert len(rows(full, kind)) == 1


@trying(max_examples=examples(50), deadline=None)
@given(data=st.data())
def test_each_record_is_on_a_sheet_or_a_row_and_never_both(clips, data):
    found = next(films(clips, "events"))
    end = found.clock.end_ns
    moments = st.integers(0, end + S)
    pairs = data.draw(st.lists(st.tuples(moments, moments).map(sorted), max_size=12))
    cuts = [0, *sorted(data.draw(st.sets(st.sampled_from(found.clock.t_ns.tolist()[1:]), max_size=4))), end]
    spans = [Span(start_ns=one, end_ns=two) for one, two in pairwise(cuts)]
    full = replace(
        found,
        events=[event(at, *pair) for at, pair in enumerate(pairs)],
        questions=[question(at, *pair[: 1 + at % 4]) for at, pair in enumerate(pairs)],
        dialogues=[dialogue("d", *(turn(at, *pair) for at, pair in enumerate(pairs)))],
    )
    records = {"events": full.events, "qa": full.questions, "dialogue": full.dialogues[0].turns}
    for kind in KINDS:
        asked = asked_of(full, kind, spans)
        told = [row.item.rpartition(" ")[2] for row in unasked(full, kind, asked)]
        assert sorted([*asked, *told]) == sorted(row.id for row in records[kind])


# In a round


def counts(round_):
    return {one.code: one.records for one in round_.manifest.left_out}


def test_a_push_tells_how_many_records_go_on_no_screen_and_why_and_keeps_them_as_rows(
    clips, tmp_path, monkeypatch, unmade, caplog
):
    planted, other = films(clips, "qa")
    end = planted.clock.end_ns
    asked = [
        question("fine", 0, S // 10),
        # No window is longer than a second.
        question("long", 0, 2 * S),
        question("none", 3),
        question("far", end + 1, end + 2),
        question("far_too", end + 1, end + 3),
    ]
    changed = [replace(planted, questions=asked), replace(other, questions=())]
    monkeypatch.setattr(planning, "films", lambda data, kind: iter(changed))
    with caplog.at_level(logging.INFO, logger="annotate"):
        round_ = planned(tmp_path, clips, "qa")
    assert [name for item in round_.items for name in item.sheet.ids] == ["qfine"]
    assert counts(round_) == {"cut": 1, "outside": 2, "unanswered": 1}
    found = read_rejects(round_.folder / REJECTS)
    assert [(row.code, row.item) for row in found] == [
        ("cut", f"{planted.video.id}: StreamingQA qlong"),
        ("unanswered", f"{planted.video.id}: StreamingQA qnone"),
        ("outside", f"{planted.video.id}: StreamingQA qfar"),
        ("outside", f"{planted.video.id}: StreamingQA qfar_too"),
    ]
    told = f"round r1: of kind qa go on no screen: 1 cut, 2 outside, 1 unanswered; see {round_.folder / REJECTS}"
    assert told in caplog.messages
    # Whoever pushes again is told again.
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="annotate"):
        assert planned(tmp_path, clips, "qa") == round_
    assert told in caplog.messages


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sample", [None, 1, 2])
def test_what_is_asked_and_what_is_left_out_is_all_there_is(clips, tmp_path, unmade, kind, sample):
    round_ = planned(tmp_path, clips, kind, sample=sample)
    asked = {(item.window.video_id, name) for item in round_.items for name in item.sheet.ids}
    there = sum(
        len(
            {"events": film.events, "qa": film.questions}.get(
                kind, [turn for row in film.dialogues for turn in row.turns]
            )
        )
        for film in films(clips, kind)
    )
    assert len(asked) + sum(counts(round_).values()) == there
    assert bool(counts(round_).get("not_taken")) is (sample is not None)
    written = Counter(row.code for row in read_rejects(round_.folder / REJECTS))
    # What lies in windows that were not taken is only counted.
    assert written == {code: count for code, count in counts(round_).items() if code != "not_taken"}


def test_an_event_over_a_cut_is_asked_where_one_of_its_windows_is_taken(clips, tmp_path, monkeypatch, unmade):
    film, _ = films(clips, "events")
    changed = replace(film, events=[event("long", 0, film.clock.end_ns, label="jump")], keyframes=())
    monkeypatch.setattr(planning, "films", lambda data, kind: iter([changed]))
    assert planned(tmp_path, clips, sample=1).manifest.left_out == ()


def test_a_film_without_anything_to_ask_about_has_its_rows_too(clips, tmp_path, monkeypatch, unmade):
    film, other = films(clips, "qa")
    changed = [film, replace(other, questions=[question("none", 3)])]
    monkeypatch.setattr(planning, "films", lambda data, kind: iter(changed))
    round_ = planned(tmp_path, clips, "qa")
    assert {item.window.video_id for item in round_.items} == {film.video.id}
    assert f"{other.video.id}: StreamingQA qnone" in {row.item for row in read_rejects(round_.folder / REJECTS)}
