"""Laws of exchanges in memory: each clause finds its fault."""

import pytest

from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.exchanges import is_acknowledgement, said_by, turns_of
from datasets_build.checks.laws import Known
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Dialogue, Event, Evidence, Provenance, Turn
from tests.builders.made import MS, clock_from, video_of

CLOCK = clock_from([40] * 249)
MADE = Provenance(kind="template", agent="test")
EVENT = Event(
    id="e", video_id="v", start_ns=6_000 * MS, end_ns=8_000 * MS, label="enter", label_set="world", caption="It enters",
    known_from_ns=6_400 * MS, confidence=1.0, source="annotation", provenance=MADE,
)  # fmt: skip
KNOWN = Known(video_of("v", CLOCK), CLOCK, {"e": EVENT})


def turn(name, role, start, end, **more):
    return Turn(id=name, role=role, start_ns=start * MS, end_ns=end * MS, text="Some words here.", **more)


def proved(start, end, name=None):
    return {
        "evidence": (Evidence(start_ns=start * MS, end_ns=end * MS, event_id=name),),
        "answerable_from_ns": end * MS,
        "window_start_ns": end * MS,
        "window_end_ns": (end + 2_000) * MS,
    }


TURNS = {
    "u1": turn("u1", "user", 400, 1_000),
    "a1": turn("a1", "assistant", 1_200, 2_000, trigger="user_query", trigger_ref="u1", **proved(0, 1_000)),
    "u2": turn("u2", "user", 4_600, 5_000),
    "a2": turn("a2", "assistant", 5_200, 5_600, trigger="user_query", trigger_ref="u2",
               answerable_from_ns=5_000 * MS, window_start_ns=5_000 * MS, window_end_ns=7_000 * MS),
    "r": turn("r", "assistant", 6_800, 7_600, trigger="event", trigger_ref="e", **proved(6_000, 6_400, "e")),
}  # fmt: skip


def dialogue(turns, **update):
    row = Dialogue(
        id="d", video_id="v", start_ns=0, end_ns=CLOCK.end_ns, system="Watch.", language="en",
        turns=tuple(sorted(turns, key=lambda t: t.start_ns)), decisions=(decisions_on(turns, CLOCK, fps=None),),
        provenance=MADE,
    )  # fmt: skip
    return row.model_copy(update=update)


def changed(name, **update):
    return dialogue([t.model_copy(update=update) if t.id == name else t for t in TURNS.values()])


def without(*names):
    return dialogue([t for t in TURNS.values() if t.id not in names])


def broken(row, known=KNOWN):
    return {law.name for law in DIALOGUE_LAWS if list(law.breaches(row, known))}


def test_a_good_dialogue_breaks_nothing():
    assert broken(dialogue(list(TURNS.values()))) == set()
    assert broken(without("r")) == set(), "a request may be in vain"


@pytest.mark.parametrize(
    ("row", "laws"),
    [
        # The user talks into an answer that goes on as if nothing were.
        (changed("u2", start_ns=1_600 * MS), {"nobody_talked_over"}),
        (changed("u2", start_ns=1_200 * MS), {"nobody_talked_over"}),
        (changed("a1", end_ns=4_640 * MS), {"nobody_talked_over"}),
        (changed("a1", end_ns=4_600 * MS), set()),
        (without("a1"), {"answered_once"}),
        (without("a2"), {"answered_once", "reports_requested"}),
        (changed("a1", trigger_ref="u2"), {"answered_once", "turn_answers_something"}),
        (changed("a1", evidence=(), answerable_from_ns=1_040 * MS, window_start_ns=1_040 * MS), {"answers_founded"}),
        (changed("a2", window_start_ns=5_040 * MS), {"answers_founded", "reports_requested"}),
        (changed("a2", window_start_ns=None, window_end_ns=None), {"answers_founded", "reports_requested"}),
        (changed("r", window_start_ns=None, window_end_ns=None), {"answers_founded"}),
        (changed("r", evidence=()), {"answers_founded", "reports_requested"}),
        (changed("r", **proved(6_000, 6_400)), {"reports_requested"}),
        (without("u1", "a1", "u2", "a2"), {"reports_requested"}),
        (without("u2", "a2"), {"reports_requested"}),
        (changed("a1", end_ns=1_200 * MS), {"turn_has_length"}),
        (dialogue(list(TURNS.values()), start_ns=40 * MS), {"dialogue_whole", "decisions_derived"}),
        (dialogue(list(TURNS.values()), end_ns=9_000 * MS), {"dialogue_whole", "decisions_derived"}),
    ],
)  # fmt: skip
def test_one_wrong_turn_breaks_its_law(row, laws):
    assert broken(row) == laws


def test_evidence_that_is_only_a_distractor_names_no_event():
    piece = TURNS["r"].evidence[0].model_copy(update={"role": "distractor"})
    bare = Evidence(start_ns=6_000 * MS, end_ns=6_400 * MS)
    assert broken(changed("r", evidence=(piece, bare))) == {"reports_requested"}


def test_a_request_after_the_event_began_asks_for_another_one():
    sooner = EVENT.model_copy(update={"start_ns": 4_960 * MS, "known_from_ns": 6_400 * MS})
    row = changed("r", **proved(4_960, 6_400, "e"))
    assert broken(row, Known(KNOWN.video, CLOCK, {"e": sooner})) == {"reports_requested"}


def test_an_assistant_that_starts_inside_a_question_is_found():
    row = changed("r", start_ns=4_800 * MS, end_ns=5_000 * MS)
    assert "nobody_talked_over" in broken(row)


def test_a_question_before_the_first_frame_is_answered_in_it():
    turns = [
        turn("u", "user", 0, 0),
        turn("a", "assistant", 0, 400, trigger="user_query", trigger_ref="u", **proved(0, 0)),
    ]
    assert broken(dialogue(turns)) == set()


def test_only_what_follows_from_the_request_alone_is_an_acknowledgement():
    assert is_acknowledgement(TURNS["a2"], TURNS["u2"])
    assert not is_acknowledgement(TURNS["a2"], None)
    assert not is_acknowledgement(TURNS["a2"], TURNS["u1"])
    assert not is_acknowledgement(TURNS["a1"], TURNS["u1"])
    assert not is_acknowledgement(TURNS["a2"].model_copy(update={"trigger": "interruption"}), TURNS["u2"])


def test_turns_are_found_by_speaker_and_id():
    row = dialogue(list(TURNS.values()))
    assert [t.id for t in said_by(row, "user")] == ["u1", "u2"]
    assert turns_of(row) == TURNS
