"""Decisions follow from the turns alone, and every grid is an exact view of the same dialogue."""

from fractions import Fraction
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import Span
from datasets_build.core.decisions import State, decisions_on, pending_spans
from datasets_build.core.records import DecisionRun, Turn
from tests.builders.made import clock_from

CLOCK = clock_from([100] * 19, 100)
MS = 1_000_000


def user(name, start, end=None):
    return Turn(id=name, role="user", start_ns=start * MS, end_ns=(start if end is None else end) * MS, text="Now?")


def assistant(name, start, end, ref=None, trigger="user_query"):
    return Turn(
        id=name, role="assistant", start_ns=start * MS, end_ns=end * MS, text="Yes.", trigger=trigger, trigger_ref=ref
    )


def states(track):
    return "".join(run.state[0] * run.steps if run.state != "standby" else "w" * run.steps for run in track.runs)


def on(turns, fps=None, clock=CLOCK, span=None):
    return states(decisions_on(turns, clock, fps=fps, span=span))


@st.composite
def talks(draw):
    gaps = draw(st.lists(st.integers(10, 300), min_size=1, max_size=30))
    clock = clock_from(gaps, 40)
    times = [clock.time_of(k) for k in range(len(clock))]
    turns = []
    for k in range(draw(st.integers(0, 4))):
        at = draw(st.sampled_from(times))
        turns.append(Turn(id=f"u{k}", role="user", start_ns=at, end_ns=at, text="Now?"))
        later = [t for t in times if t >= at]
        if draw(st.booleans()):
            start = draw(st.sampled_from(later))
            turns.append(
                Turn(id=f"a{k}", role="assistant", start_ns=start, end_ns=start, text="Y", trigger_ref=f"u{k}")
            )
    return clock, turns


def test_silence_standby_respond():
    turns = [user("u", 200, 400), assistant("a", 700, 900, "u")]
    assert on(turns) == "ssss" + "www" + "r" + "s" * 12


def test_an_answer_in_the_frame_of_the_question_needs_no_standby():
    assert on([user("u", 300), assistant("a", 300, 500, "u")]) == "sss" + "r" + "s" * 16


def test_an_unanswered_question_stays_pending():
    assert on([user("u", 1500)]) == "s" * 15 + "w" * 5


def test_a_question_that_is_asked_again_is_pending_until_then():
    again = user("v", 900, 1100).model_copy(update={"trigger": "timer", "trigger_ref": "u"})
    turns = [user("u", 200, 400), again, assistant("a", 1300, 1500, "v")]
    assert on(turns) == "ssss" + "wwwww" + "ss" + "ww" + "r" + "s" * 6


def test_a_report_of_an_event_leaves_a_pending_question_pending():
    turns = [user("u", 200), assistant("e", 500, 600, "event-1", "event"), assistant("a", 900, 1000, "u")]
    assert on(turns) == "ss" + "www" + "r" + "www" + "r" + "s" * 10


def test_an_acknowledged_request_is_silent_until_its_event():
    turns = [user("u", 200), assistant("ok", 300, 400, "u"), assistant("e", 900, 1000, "event-1", "event")]
    assert on(turns) == "ss" + "w" + "r" + "sssss" + "r" + "s" * 10


def test_a_coarse_grid_responds_at_the_first_step_at_or_after_the_turn():
    # Steps of a 2-fps grid are at 0, 500, 1000, 1500 ms.
    turns = [user("u", 100), assistant("a", 501, 600, "u")]
    turns[1] = turns[1].model_copy(update={"start_ns": 600 * MS})
    assert on(turns, Fraction(2)) == "swrs"
    assert on([assistant("a", 500, 600, "x")], Fraction(2)) == "srss"


def test_a_turn_after_the_last_step_is_in_no_step():
    assert on([assistant("a", 1600, 1700, "x")], Fraction(2)) == "ssss"


def test_two_turns_in_one_step_are_one_response():
    turns = [assistant("a", 100, 200, "x"), assistant("b", 300, 400, "y")]
    assert on(turns, Fraction(2)) == "srss"


def test_a_span_leaves_out_the_steps_and_turns_outside():
    turns = [assistant("a", 100, 200, "x"), assistant("b", 800, 900, "y")]
    inside = Span(start_ns=500 * MS, end_ns=1000 * MS)
    assert on(turns, span=inside) == "sssrs"
    assert decisions_on(turns, CLOCK, fps=None, span=inside).runs[0].start_ns == 500 * MS


def test_the_grid_is_named_as_records_name_it():
    assert decisions_on([], CLOCK, fps=None).grid == "native"
    assert decisions_on([], CLOCK, fps=Fraction(30_000, 1001)).grid == "30000/1001"


def test_the_first_answer_ends_the_wait():
    turns = [user("u", 0), assistant("b", 700, 800, "u"), assistant("a", 300, 400, "u")]
    assert pending_spans(turns) == [Span(start_ns=0, end_ns=300 * MS)]


@given(talks(), st.sampled_from([None, Fraction(1), Fraction(4), Fraction(25), Fraction(30_000, 1001)]))
def test_runs_cover_every_step_once_and_alternate(talk, fps):
    clock, turns = talk
    track = decisions_on(turns, clock, fps=fps)
    grid = clock.grid(fps)
    assert sum(run.steps for run in track.runs) == len(grid)
    k = 0
    for run in track.runs:
        assert run.start_ns == clock.time_of(int(grid[k]))
        k += run.steps
    assert all(a.state != b.state for a, b in zip(track.runs, track.runs[1:], strict=False))


@given(talks(), st.sampled_from([Fraction(1), Fraction(2), Fraction(7), Fraction(24_000, 1001)]))
def test_a_coarse_grid_is_an_exact_view_of_the_native_one(talk, fps):
    clock, turns = talk
    native = on(turns, clock=clock)
    grid = clock.grid(fps).tolist()
    expected, last = "", -1
    for frame in grid:
        passed = native[last + 1 : frame + 1]
        expected += "r" if "r" in passed else native[frame]
        last = frame
    assert on(turns, fps, clock=clock) == expected


@given(talks())
def test_the_order_of_turns_does_not_matter(talk):
    clock, turns = talk
    assert decisions_on(turns, clock, fps=None) == decisions_on(turns[::-1], clock, fps=None)


@given(talks(), st.integers(0, 29))
def test_a_step_does_not_know_what_comes_after_it(talk, cut):
    clock, turns = talk
    now = clock.time_of(min(cut, len(clock) - 1))
    # A turn that has not begun cannot be seen, whatever it will answer.
    so_far = [turn for turn in turns if turn.start_ns <= now]
    here = min(cut, len(clock) - 1) + 1
    assert on(turns, clock=clock)[:here] == on(so_far, clock=clock)[:here]


def test_what_is_handed_on_is_a_step_of_its_own_unless_somebody_answers_in_it():
    handed = assistant("a", 500, 700, ref="u").model_copy(update={"state": "delegate"})
    track = decisions_on([user("u", 200, 300), handed], CLOCK, fps=None)
    assert [run.state for run in track.runs] == ["silence", "standby", "delegate", "silence"]
    both = decisions_on([handed, assistant("b", 750, 900)], CLOCK, fps=Fraction(1))
    assert {run.state for run in both.runs} == {"silence", "respond"}


def test_every_state_that_a_record_may_have_is_derived():
    assert set(get_args(State)) == set(get_args(DecisionRun.model_fields["state"].annotation))
