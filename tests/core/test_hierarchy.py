"""What lies within what: against every pair of events, by hand, and as the table of a dataset."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.hierarchy import levels_of
from datasets_build.core.records import Event, Provenance
from datasets_build.core.topics import PICTURE_SET

RULE = Provenance(kind="rule", agent="test")


def event(name, start, end=None, *, label="step", label_set="coin"):
    end = start if end is None else end
    return Event(
        id=name, video_id="v", start_ns=start, end_ns=end, label=label, label_set=label_set, caption=name,
        is_point=start == end, known_from_ns=start, confidence=1.0, source="annotation", provenance=RULE,
    )  # fmt: skip


@dataclass(frozen=True)
class Pair:
    inner: Event
    outer: Event

    @property
    def holds(self):
        """Whether one holds the other, instant by instant."""
        inner, outer = self.inner, self.outer
        if inner.label_set != outer.label_set or outer.is_point:
            return False
        inside = {inner.start_ns} if inner.is_point else set(range(inner.start_ns, inner.end_ns))
        return inside < set(range(outer.start_ns, outer.end_ns)) or (inner.is_point and inside <= {outer.start_ns})


times = st.tuples(st.integers(0, 12), st.integers(0, 6))
many = st.lists(st.tuples(times, st.sampled_from(["coin", "ego4d", PICTURE_SET])), max_size=12).map(
    lambda found: [
        event(f"e{k}", start, start + length, label=f"l{k}", label_set=of)
        for k, ((start, length), of) in enumerate(found)
    ]
)


def by_id(events):
    return {row.event_id: row for row in levels_of(events)}


@given(many)
def test_an_event_lies_within_the_shortest_that_holds_it(events):
    rows = by_id(events)
    assert list(rows) == [each.id for each in events]
    lengths = {each.id: each.end_ns - each.start_ns for each in events}
    starts = {each.id: each.start_ns for each in events}
    for inner in events:
        told = inner.label_set != PICTURE_SET
        holding = [outer.id for outer in events if told and Pair(inner, outer).holds]
        within = rows[inner.id].within
        assert (within is None) == (not holding)
        if within is not None:
            best = min((lengths[name], -starts[name]) for name in holding)
            assert (lengths[within], -starts[within]) == best


@given(many)
def test_paths_lead_down_from_the_top(events):
    rows = by_id(events)
    labels = {each.id: each.label for each in events}
    for name, row in rows.items():
        above = rows[row.within] if row.within else None
        assert row.path == (*(above.path if above else ()), labels[name])
        assert row.depth == len(row.path) - 1
        assert above is None or above.label_set == row.label_set


@given(many, st.randoms(use_true_random=False))
def test_the_order_of_the_events_changes_nothing_but_the_order_of_the_rows(events, rng):
    mixed = rng.sample(events, len(events))
    assert by_id(mixed) == by_id(events)


def test_a_task_its_steps_and_a_moment_in_one():
    task, step = event("task", 0, 100, label="make tea"), event("step", 10, 40, label="pour")
    moment, beside = event("moment", 39, label="spill"), event("beside", 40, label="laugh")
    rows = by_id([task, step, moment, beside])
    assert [rows[name].within for name in ("task", "step", "moment", "beside")] == [None, "task", "step", "task"]
    assert rows["moment"].path == ("make tea", "pour", "spill")


def test_equal_spans_lie_beside_one_another():
    rows = by_id([event("a", 0, 10), event("b", 0, 10), event("c", 2, 3)])
    assert (rows["a"].within, rows["b"].within) == (None, None)
    assert rows["c"].within in ("a", "b")


def test_what_only_overlaps_is_no_part():
    rows = by_id([event("a", 0, 10), event("b", 5, 12)])
    assert [row.depth for row in rows.values()] == [0, 0]
