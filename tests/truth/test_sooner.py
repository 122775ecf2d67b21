"""What was over before something else began: instants, ties, and what belongs to what begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.records import About, Event, Provenance
from datasets_build.truth.due import Due, due_of
from datasets_build.truth.grounds import Grounds
from datasets_build.truth.sooner import is_before, last_before, last_in_order
from tests.builders.made import MS, clock_from

CLOCK = clock_from([1] * 199, 1)


def event(name, start, end, label="stop", subject="red circle", known=0):
    return Event(
        id=name, video_id="v", start_ns=start * MS, end_ns=end * MS, label=label, label_set="world",
        caption=f"The {subject} does {label}.", subject=subject, is_point=start == end,
        known_from_ns=min(start + known, end) * MS, confidence=1.0, source="annotation",
        provenance=Provenance(kind="corpus", agent="test"),
    )  # fmt: skip


def grounds(*events):
    return Grounds(events, CLOCK)


def facts(*spans):
    made = [event(f"e{k}", *span, subject=f"shape {k}") for k, span in enumerate(spans)]
    return [grounds(*made).by_id[each.id] for each in made]


def names(found):
    return [fact.id for fact in found]


def test_of_two_at_one_instant_neither_is_before_the_other():
    one, same, then = facts((10, 10), (10, 10), (20, 30))
    assert not is_before(one, same)
    assert not is_before(same, one)
    assert is_before(one, then)
    assert not is_before(then, one)


def test_a_tie_with_the_first_of_three_leaves_no_order():
    """Two stop at one instant: which of them is among the last three?"""
    tied = facts((10, 10), (10, 10), (20, 20), (30, 30))
    assert last_in_order(tied) == []
    assert last_in_order(tied[::-1]) == []
    assert names(last_in_order(facts((9, 9), (10, 10), (20, 20), (30, 30)))) == ["e1", "e2", "e3"]
    assert last_in_order(facts((10, 10), (20, 20), (20, 20), (30, 30))) == [], "a tie of the second and third"


@pytest.mark.parametrize(
    "spans",
    [((10, 20), (15, 25), (30, 40)), ((10, 20), (20, 30)), ((5, 12), (10, 20), (20, 30), (30, 40))],
    ids=["overlap", "two", "one beside the first"],
)
def test_no_order_where_it_is_not_plain(spans):
    assert last_in_order(facts(*spans)) == []


def test_the_answer_that_is_due_knows_ties():
    about = About(kind="label", label="stop")
    told = [event(f"e{k}", t, t, subject=f"shape {k}") for k, t in enumerate((10, 20, 30))]
    found = due_of("order", about, 50 * MS, grounds(*told))
    assert isinstance(found, Due)
    assert names(found.told) == ["e0", "e1", "e2"]
    tied = due_of("order", about, 50 * MS, grounds(event("e", 10, 10, subject="shape 9"), *told))
    assert tied == "things that happened one after the other"


def marked(*events):
    """What was over last before `m` began."""
    made = grounds(*events)
    return names(last_before(made.scene, made.by_id["m"]))


BEFORE = event("b", 10, 20, "leave", "blue square")


def test_an_instant_is_not_its_own_past():
    assert marked(BEFORE, event("m", 50, 50)) == ["b"]
    due = due_of("before", About(kind="label", label="stop", subject="red circle"), 60 * MS,
                 grounds(BEFORE, event("m", 50, 50)))  # fmt: skip
    assert names(due.told) == ["b"]
    assert set(due.ends) == {"b", "m"}


def test_what_begins_with_it_and_is_its_own_belongs_to_it():
    enters = event("m", 50, 80, "enter", known=10)
    assert marked(BEFORE, enters, event("w", 50, 80, "move")) == ["b"]
    assert marked(BEFORE, enters, event("w", 55, 90, "move")) == ["b"], "before it can be told apart"
    assert marked(BEFORE, enters, event("w", 45, 80, "move")) == [], "it was at it before"
    assert marked(BEFORE, enters, event("w", 50, 80, "move", "blue square")) == [], "somebody else"
    both = event("m", 50, 50, "collide", "red circle and blue square")
    assert marked(BEFORE, both, event("w", 50, 50, "stop", "blue square")) == ["b"]


def test_another_instant_at_the_same_time_is_beside_it_and_not_before():
    assert marked(BEFORE, event("m", 50, 50), event("w", 50, 50, "stop", "blue square")) == []
    ways = [event("x", 30, 50, "move"), event("y", 30, 50, "move", "blue square")]
    assert marked(*ways, event("m", 50, 50)) == ["x", "y"]
    assert marked(*ways, event("m", 50, 50), event("w", 50, 50, "stop", "blue square")) == [], "over at once with them"


def test_its_own_earlier_act_is_what_came_before():
    assert marked(BEFORE, event("w", 30, 50, "move"), event("m", 50, 50)) == ["w"]
    assert marked(BEFORE, event("w", 30, 60, "move"), event("m", 50, 50)) == [], "it is still at it"
    assert marked(event("m", 50, 50)) == []


@given(st.lists(st.tuples(st.integers(1, 150), st.integers(0, 30)), min_size=1, max_size=7), st.integers(0, 6))
def test_all_that_is_before_is_over_and_nothing_lies_between(rows, pick):
    made = facts(*((start, start + length) for start, length in rows))
    marker = made[pick % len(made)]
    last = last_before(made, marker)
    assert all(fact.done_ns <= marker.early_ns and fact.id != marker.id for fact in last)
    latest = max((fact.done_ns for fact in last), default=None)
    for fact in made if last else ():
        if fact.id != marker.id and fact not in last:
            assert fact.done_ns < latest or fact.early_ns > marker.known_ns


@given(st.lists(st.tuples(st.integers(1, 150), st.integers(0, 30)), max_size=7), st.randoms())
def test_the_last_three_do_not_depend_on_how_they_are_listed(rows, rng):
    made = facts(*((start, start + length) for start, length in rows))
    shuffled = rng.sample(made, len(made))
    assert last_in_order(made) == last_in_order(shuffled)
    found = last_in_order(made)
    assert [fact.early_ns for fact in found] == sorted({fact.early_ns for fact in found})
