"""Laws of dialogues in memory: each clause finds its fault."""

import pytest

from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.laws import Known
from datasets_build.core.clock import Span
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Dialogue, Event, Evidence, Provenance, Turn
from tests.builders.made import MS, clock_from, video_of

CLOCK = clock_from([40] * 249)
VIDEO = video_of("v", CLOCK)
MADE = Provenance(kind="template", agent="test")
EVENT = Event(
    id="e", video_id="v", start_ns=6_000 * MS, end_ns=8_000 * MS, label="enter", label_set="world", caption="It enters",
    known_from_ns=6_400 * MS, confidence=1.0, source="annotation", provenance=MADE,
)  # fmt: skip
KNOWN = Known(VIDEO, CLOCK, {"e": EVENT})


def turn(name, role, start, end, text="Some words here.", **more):
    return Turn(id=name, role=role, start_ns=start * MS, end_ns=end * MS, text=text, **more)


def seen(start, end, name=None):
    return {
        "evidence": (Evidence(start_ns=start * MS, end_ns=end * MS, event_id=name),),
        "answerable_from_ns": end * MS,
        "window_start_ns": end * MS,
        "window_end_ns": (end + 2_000) * MS,
    }


TURNS = (
    turn("u1", "user", 400, 1_000),
    turn("a1", "assistant", 1_200, 2_000, "Some", trigger="user_query", trigger_ref="u1",
         intended_text="Some words here.", truncated_at_char=4, **seen(0, 1_000)),
    turn("u2", "user", 2_000, 3_000, interrupts="a1"),
    turn("a2", "assistant", 3_200, 4_000, trigger="interruption", trigger_ref="u2", **seen(0, 3_000)),
    turn("u3", "user", 4_600, 5_000, "Tell me when it enters."),
    turn("a3", "assistant", 5_200, 5_600, "I will.", trigger="user_query", trigger_ref="u3",
         answerable_from_ns=5_000 * MS, window_start_ns=5_000 * MS, window_end_ns=7_000 * MS),
    turn("r", "assistant", 6_800, 7_600, trigger="event", trigger_ref="e", **seen(6_000, 6_400, "e")),
)  # fmt: skip


def dialogue(turns=TURNS, **update):
    row = Dialogue(
        id="d", video_id="v", start_ns=0, end_ns=CLOCK.end_ns, system="Watch.", language="en", turns=tuple(turns),
        decisions=(decisions_on(turns, CLOCK, fps=None),), provenance=MADE,
    )  # fmt: skip
    return row.model_copy(update=update)


def changed(name, **update):
    return dialogue([t.model_copy(update=update) if t.id == name else t for t in TURNS])


def broken(row, known=KNOWN):
    return {law.name for law in DIALOGUE_LAWS if list(law.breaches(row, known))}


def test_a_good_dialogue_breaks_nothing():
    assert broken(dialogue()) == set()


@pytest.mark.parametrize(
    ("row", "laws"),
    [
        (
            changed("a2", start_ns=2_960 * MS),
            {"turn_after_evidence", "turn_in_window", "turn_answers_something", "nobody_talked_over"},
        ),
        (changed("a2", answerable_from_ns=2_000 * MS), {"turn_after_evidence"}),
        (changed("a2", answerable_from_ns=3_040 * MS, window_start_ns=3_040 * MS), {"turn_after_evidence"}),
        (changed("a2", answerable_from_ns=None), {"turn_after_evidence"}),
        (changed("a2", trigger_ref="u1"), {"interruptions_consistent", "answered_once"}),
        (
            changed("a2", trigger_ref="a1"),
            {"turn_answers_something", "interruptions_consistent", "answered_once"},
        ),
        (
            changed("a2", trigger_ref=None),
            {"turn_answers_something", "interruptions_consistent", "answered_once"},
        ),
        (changed("a2", trigger="timer"), {"turn_answers_something"}),
        (changed("a2", trigger=None), {"turn_answers_something"}),
        (changed("a2", window_end_ns=3_200 * MS), {"turn_in_window"}),
        (changed("a2", window_start_ns=2_000 * MS), {"turn_in_window"}),
        (changed("a2", end_ns=7_000 * MS), {"turns_apart", "nobody_talked_over"}),
        (changed("r", trigger_ref="f"), {"turn_answers_something"}),
        (
            changed("r", evidence=(Evidence(start_ns=6_000 * MS, end_ns=6_360 * MS, event_id="e"),)),
            {"turn_after_evidence"},
        ),
        (changed("r", text=""), {"turn_without_clock"}),
        (changed("r", text="It enters at 0:06."), {"turn_without_clock"}),
        (changed("r", end_ns=CLOCK.end_ns + 40 * MS), {"turns_in_order"}),
        (
            changed("u2", id="a2"),
            {"turns_in_order", "turn_answers_something", "interruptions_consistent", "answered_once"},
        ),
        (changed("u2", interrupts=None), {"interruptions_consistent"}),
        (changed("u2", interrupts="r"), {"interruptions_consistent"}),
        (changed("u2", interrupts="u1"), {"interruptions_consistent"}),
        (changed("u2", start_ns=2_040 * MS), {"interruptions_consistent"}),
        (changed("a1", text="Some w"), {"interruptions_consistent"}),
        (changed("a1", intended_text=None), {"interruptions_consistent"}),
        (changed("a1", truncated_at_char=None), {"interruptions_consistent"}),
        (changed("a1", truncated_at_char=16, text="Some words here."), {"interruptions_consistent"}),
        (changed("a1", truncated_at_char=0, text=""), {"interruptions_consistent", "turn_without_clock"}),
        (changed("a1", intended_text="Some 12 seconds"), {"turn_without_clock"}),
        (dialogue(decisions=()), {"decisions_derived"}),
        (dialogue(decisions=dialogue().decisions * 2), {"decisions_derived"}),
    ],
)
def test_one_wrong_field_breaks_its_law(row, laws):
    assert broken(row) == laws


def test_turns_out_of_order_are_found():
    assert broken(dialogue(TURNS[::-1])) == {"turns_in_order"}


def test_a_report_before_its_event_is_known_is_found():
    early = [*TURNS[:-1], TURNS[-1].model_copy(update={"start_ns": 6_360 * MS})]
    assert broken(dialogue(early)) == {"turn_after_evidence", "turn_in_window", "turn_answers_something"}


def test_decisions_that_claim_to_know_early_are_found():
    track = dialogue().decisions[0]
    runs = list(track.runs)
    # The response to the event, one frame sooner.
    k = max(k for k, run in enumerate(runs) if run.state == "respond")
    runs[k - 1] = runs[k - 1].model_copy(update={"steps": runs[k - 1].steps - 1})
    runs[k] = runs[k].model_copy(update={"start_ns": runs[k].start_ns - 40 * MS})
    runs[k + 1] = runs[k + 1].model_copy(
        update={"steps": runs[k + 1].steps + 1, "start_ns": runs[k].start_ns + 40 * MS}
    )
    row = dialogue(decisions=(track.model_copy(update={"runs": tuple(runs)}),))
    (law,) = [law for law in DIALOGUE_LAWS if law.name == "decisions_derived"]
    (breach,) = law.breaches(row, KNOWN)
    assert breach.found.startswith("grid native, run ")
    assert " × silence from " in breach.expected


def test_a_grid_written_another_way_is_found():
    track = dialogue().decisions[0]
    two = decisions_on(TURNS, CLOCK, fps=2).model_copy(update={"grid": "2"})
    (law,) = [law for law in DIALOGUE_LAWS if law.name == "decisions_derived"]
    (breach,) = law.breaches(dialogue(decisions=(track, two)), KNOWN)
    assert (breach.found, breach.expected) == ("grid '2'", "it to be written '2/1'")


def test_a_part_of_a_video_is_checked_on_its_own_steps():
    inside = Span(start_ns=4_000 * MS, end_ns=8_000 * MS)
    turns = TURNS[4:]
    row = dialogue(turns, start_ns=inside.start_ns, end_ns=inside.end_ns)
    assert broken(row) == {"decisions_derived", "dialogue_whole"}
    right = decisions_on(turns, CLOCK, fps=None, span=inside)
    assert broken(row.model_copy(update={"decisions": (right,)})) == {"dialogue_whole"}
