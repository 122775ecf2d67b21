"""Verdicts on turns: what is wrong is not learned, what is asked in vain takes its exchange along, references hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.edited_dialogues import corrected_turns
from annotate.source import Film
from annotate.tasks import TurnVerdict
from datasets_build.core.corrections import digest_of
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import About, Dialogue, Event, Provenance, Turn
from tests.annotate.merging import BY, broken, edit, film_of, item_of, judged, laid, lively_film, with_verdicts
from tests.builders.made import MS, lively, steady, video_of
from tests.checks.planted import within
from tests.laws import examples

FEW = settings(max_examples=examples(50), deadline=None)
CLOCK = steady(20)
VIDEO = video_of("talk", CLOCK)
F = 40 * MS
TOLD = Provenance(kind="template", agent="template", prompt_sha256="0", inputs=("e1", "e2"))
LEAVES = About(kind="label", label="leave", subject="red circle", every=True)


def event(name, start, label="leave"):
    return Event(
        id=name, video_id=VIDEO.id, start_ns=start * F, end_ns=(start + 10) * F, label=label, label_set="world",
        caption="It leaves.", subject="red circle", known_from_ns=(start + 5) * F, confidence=1.0,
        source="annotation", provenance=Provenance(kind="corpus", agent="world"),
    )  # fmt: skip


def user(name, start, text="What is it?", **more):
    return Turn(id=name, role="user", start_ns=start * F, end_ns=(start + 10) * F, text=text, **more)


def says(name, start, ref, text="It is a circle.", trigger="user_query", **more):
    return Turn(
        id=name, role="assistant", start_ns=start * F, end_ns=(start + 10) * F, text=text, state="respond",
        trigger=trigger, trigger_ref=ref, **more,
    )  # fmt: skip


ASKS, ANSWERS = user("u1", 0), says("a1", 20, "u1")
CUT = says("c", 60, "u2", "It was a", truncated_at_char=8, intended_text="It was a square.")
TURNS = (
    ASKS,
    ANSWERS,
    user("u2", 40),
    CUT,
    user("u3", 70, interrupts="c"),
    says("a3", 90, "u3", trigger="interruption"),
    user("u4", 110, "Tell me each time it leaves.", task="tell_me_when", about=LEAVES),
    says("ok", 130, "u4", "Will do."),
    says("r1", 205, "e1", "It leaves.", trigger="event"),
    says("r2", 305, "e2", "It leaves.", trigger="event"),
)
EVENTS = (event("e1", 200), event("e2", 300))


def talk(*turns):
    return Dialogue(
        id="d", video_id=VIDEO.id, start_ns=0, end_ns=CLOCK.end_ns, system="", language="en", turns=turns or TURNS,
        decisions=tuple(decisions_on(turns or TURNS, CLOCK, fps=rate) for rate in (None, 2)), provenance=TOLD,
    )  # fmt: skip


def film(row=None):
    return Film(video=VIDEO, path=None, clock=CLOCK, events=EVENTS, dialogues=[row or talk()])


def say(*verdicts, where=None):
    where = where or film()
    item = item_of(where, "dialogue")
    return edit(where, judged(item, with_verdicts(item, *verdicts), ("a1", "a2")))


def verdict(name, kind="fix", **more):
    return TurnVerdict(id=name, verdict=kind, **more)


def held(*verdicts, where=None):
    """The conversation after verdicts."""
    edits = say(*verdicts, where=where)
    assert edits.troubles == []
    (row,) = edits.corrections
    return row.dialogue


def texts(row):
    return [turn.text for turn in row.turns]


def test_what_is_accepted_stays():
    edits = say()
    assert (edits.corrections, edits.troubles) == ([], [])


@pytest.mark.parametrize(
    "said", [verdict("a1"), verdict("a1", text="It is a circle. "), verdict("u1", "accept", timing="too_late")]
)
def test_a_verdict_of_nothing_changes_nothing(said):
    assert say(said).corrections == []


def test_a_turn_in_other_words_has_a_name_of_its_own_and_the_conversation_its_parent():
    (row,) = say(verdict("a1", text="It is a square.")).corrections
    made = row.dialogue
    assert (row.action, row.of, row.parent_id, row.parent_digest) == ("replace", "dialogue", "d", digest_of(talk()))
    assert row.edited == ("turns",)
    assert made.provenance == Provenance(
        kind="person", agent="a1+a2", round="r1", inputs=("d", "e1", "e2"), made_at=BY.made_at
    )
    assert made.id != "d"
    assert made.turns[1] == ANSWERS.model_copy(update={"id": made.turns[1].id, "text": "It is a square."})
    assert made.turns[1].id != "a1"
    assert (made.turns[0], made.turns[2:]) == (TURNS[0], TURNS[2:])


def test_references_follow_a_renamed_turn():
    made = held(verdict("u2", text="Which is it?"), verdict("c", text="It is rather a"))
    by_text = {turn.text: turn for turn in made.turns}
    asked, cut = by_text["Which is it?"], by_text["It is rather a"]
    assert cut.trigger_ref == asked.id != "u2"
    assert made.turns[4].interrupts == cut.id != "c"
    assert (cut.truncated_at_char, cut.intended_text) == (14, "It is rather a square.")


@pytest.mark.parametrize(
    "said",
    [
        verdict("a1", "reject"),
        verdict("a1", "accept", timing="too_late"),
        verdict("a1", "reject", timing="too_early"),
    ],
)
def test_what_is_wrong_or_untimely_stays_but_is_not_learned(said):
    made = held(said)
    assert texts(made) == texts(talk())
    turn = made.turns[1]
    assert (turn.learn, turn.loss_weight) == (False, 0.0)
    assert turn.id != "a1"
    assert all(other.learn and other.loss_weight == 1.0 for other in (made.turns[0], *made.turns[2:]))
    assert made.decisions == talk().decisions


def test_what_is_not_learned_already_is_no_edit():
    made = held(verdict("a1", "reject"))
    assert say(verdict(made.turns[1].id, "reject"), where=film(made)).corrections == []


def test_a_fix_that_came_late_is_not_learned_either():
    turn = held(verdict("a1", text="It is a square.", timing="too_late")).turns[1]
    assert (turn.text, turn.learn) == ("It is a square.", False)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("u1", ["u2", "c", "u3", "a3", "u4", "ok", "r1", "r2"]),
        ("u2", ["u1", "a1", "u4", "ok", "r1", "r2"]),
        ("u3", ["u1", "a1", "u4", "ok", "r1", "r2"]),
        ("u4", ["u1", "a1", "u2", "c", "u3", "a3"]),
    ],
)
def test_a_rejected_question_takes_its_exchange_along(name, left):
    made = held(verdict(name, "reject"))
    assert [turn.id for turn in made.turns] == left
    assert made.decisions == tuple(decisions_on(made.turns, CLOCK, fps=rate) for rate in (None, 2))
    assert made.decisions != talk().decisions


def test_reports_go_with_their_own_request():
    once = LEAVES.model_copy(update={"every": False})
    asks = [user(f"u{k}", 110 + 40 * k, task="tell_me_when", about=once) for k in range(2)]
    oks = [says(f"ok{k}", 130 + 40 * k, f"u{k}") for k in range(2)]
    reports = [says("r1", 205, "e1", trigger="event"), says("r2", 305, "e2", trigger="event")]
    row = talk(asks[0], oks[0], asks[1], oks[1], *reports)
    assert [t.id for t in held(verdict("u0", "reject"), where=film(row)).turns] == ["u1", "ok1", "r2"]
    assert [t.id for t in held(verdict("u1", "reject"), where=film(row)).turns] == ["u0", "ok0", "r1"]


def test_both_requests_for_one_event_have_a_report():
    asks = [user(f"u{k}", 110 + 40 * k, task="tell_me_when", about=LEAVES) for k in range(2)]
    oks = [says(f"ok{k}", 130 + 40 * k, f"u{k}") for k in range(2)]
    reports = [says("r1", 205, "e1", trigger="event"), says("r2", 225, "e1", trigger="event")]
    made = held(verdict("u0", "reject"), where=film(talk(asks[0], oks[0], asks[1], oks[1], *reports)))
    assert [turn.id for turn in made.turns] == ["u1", "ok1", "r2"]


def test_a_conversation_without_a_question_is_none():
    (row,) = say(*(verdict(name, "reject") for name in ("u1", "u2", "u4"))).corrections
    assert (row.action, row.parent_id, row.dialogue) == ("remove", "d", None)


@pytest.mark.parametrize(("text", "why"), [("At 0:12.", "absolute time"), ("  ", "no words")])
def test_words_that_nobody_could_say_are_refused(text, why):
    edits = say(verdict("a1", text=text))
    assert edits.corrections == []
    assert [(row.kind, row.record) for row in edits.troubles] == [("flaw", "a1")]
    assert why in edits.troubles[0].reason


def test_two_windows_edit_one_conversation_once():
    where = film()
    one, other = item_of(where, "dialogue", (0, 40 * F)), item_of(where, "dialogue", (40 * F, CLOCK.end_ns))
    edits = edit(
        where,
        judged(one, with_verdicts(one, verdict("a1", "reject")), ("a1",)),
        judged(other, with_verdicts(other, verdict("ok", text="Sure.")), ("a2",)),
    )
    (row,) = edits.corrections
    assert row.annotators == ("a1", "a2")
    assert [turn.learn for turn in row.dialogue.turns[:2]] == [True, False]
    assert "Sure." in texts(row.dialogue)


def test_windows_that_contradict_each_other_change_nothing():
    where = film()
    one, other = item_of(where, "dialogue", (0, 40 * F)), item_of(where, "dialogue", (0, 60 * F))
    edits = edit(
        where,
        judged(one, with_verdicts(one, verdict("a1", "reject"))),
        judged(other, with_verdicts(other, verdict("a1", text="No."))),
    )
    assert edits.corrections == []
    assert [(row.kind, row.record) for row in edits.troubles] == [("conflict", "a1")]


def test_no_verdict_leaves_every_turn():
    assert corrected_turns(talk(), {}, EVENTS) == TURNS


LIVELY = [lively_film()]


def films():
    """Films with conversations of all sorts, made once."""
    while len(LIVELY) < 3:
        scene = within(lively(f"held {len(LIVELY)}", seconds=30, seed=len(LIVELY)))
        LIVELY.append((scene, film_of(scene)))
    return LIVELY


@st.composite
def verdicts(draw):
    """A film, and what somebody might say of some of its turns."""
    scene, where = draw(st.sampled_from(films()))
    found = []
    for turn in where.dialogues[0].turns:
        kind = draw(st.sampled_from(["accept", "accept", "accept", "reject", "fix"]))
        text = draw(st.sampled_from([None, "Quite so.", turn.text])) if kind == "fix" else None
        timing = draw(st.sampled_from([None, None, "too_late"])) if turn.role == "assistant" else None
        found.append(TurnVerdict(id=turn.id, verdict=kind, text=text, timing=timing))
    return scene, where, found


@FEW
@given(verdicts())
def test_whatever_people_say_the_conversation_obeys_every_law(tmp_path_factory, case):
    scene, where, said = case
    item = item_of(where, "dialogue")
    edits = edit(where, judged(item, with_verdicts(item, *said)))
    assert edits.troubles == []
    after = laid(tmp_path_factory.mktemp("d"), where, edits.corrections)
    assert broken(scene, after) == []
    (before,) = where.dialogues
    asked = {turn.id for turn in before.turns if turn.role == "user"}
    refused = {one.id for one in said if one.verdict == "reject"} & asked
    left = [turn for row in after.dialogues for turn in row.turns]
    assert not refused & {turn.id for turn in left}
    if not refused:
        assert len(left) == len(before.turns)


@FEW
@given(verdicts())
def test_an_untouched_round_after_it_changes_nothing(tmp_path_factory, case):
    _, where, said = case
    item = item_of(where, "dialogue")
    edits = edit(where, judged(item, with_verdicts(item, *said)))
    after = laid(tmp_path_factory.mktemp("d"), where, edits.corrections)
    again = edit(after, judged(item_of(after, "dialogue")))
    assert (again.corrections, again.troubles) == ([], [])
