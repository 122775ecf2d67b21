"""The yes and no of a step in turn, as facts give them."""

from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.records import Event, Provenance
from datasets_build.truth.grounds import Grounds
from datasets_build.truth.steps import stances, standing
from tests.builders.made import MS, clock_from

CLOCK = clock_from([1] * 199, 1)


def event(name, start, end):
    return Event(
        id=name, video_id="v", start_ns=start * MS, end_ns=end * MS, label="move", label_set="world",
        caption="It moves.", subject="red circle", is_point=start == end, known_from_ns=start * MS, confidence=1.0,
        source="annotation", provenance=Provenance(kind="corpus", agent="test"),
    )  # fmt: skip


def facts(*spans):
    grounds = Grounds([event(f"e{k}", *span) for k, span in enumerate(spans)], CLOCK)
    return sorted(grounds.by_id.values())


def test_no_yes_no_for_each_time():
    found = stances(facts((10, 20), (30, 40)), 5 * MS)
    assert [(s.at_ns // MS, s.is_on) for s in found] == [(5, False), (10, True), (20, False), (30, True), (40, False)]
    assert [s.until_ns and s.until_ns // MS for s in found] == [10, 20, 30, 40, None]


def test_asked_while_it_lasts_it_begins_with_yes():
    found = stances(facts((10, 20), (30, 40)), 15 * MS)
    assert [(s.at_ns // MS, s.is_on) for s in found] == [(15, True), (20, False), (30, True), (40, False)]
    assert [s.fact and s.fact.id for s in found] == ["e0", "e0", "e1", "e1"]
    assert [s.is_on for s in stances(facts((10, 20)), 20 * MS)] == [False]


def test_nothing_is_certain_while_two_are_under_way_or_one_may_be():
    assert stances(facts((10, 20), (14, 30)), 15 * MS) == []
    late = event("e", 10, 20).model_copy(update={"known_from_ns": 16 * MS})
    assert stances(list(Grounds([late], CLOCK).by_id.values()), 15 * MS) == []
    assert [s.is_on for s in stances(list(Grounds([late], CLOCK).by_id.values()), 16 * MS)] == [True, False]


def test_it_stops_where_two_meet_or_one_has_no_length():
    assert len(stances(facts((10, 20), (20, 30)), 0)) == 1
    assert len(stances(facts((10, 20), (25, 25)), 0)) == 3


def test_what_stands_for_too_short_ends_what_is_said():
    found = stances(facts((10, 20), (22, 40)), 0)
    assert len(standing(found, least_ns=5 * MS, most=9, end_ns=CLOCK.end_ns)) == 2
    assert len(standing(found, least_ns=MS, most=9, end_ns=CLOCK.end_ns)) == 5
    assert len(standing(found, least_ns=MS, most=4, end_ns=CLOCK.end_ns)) == 4
    assert len(standing(found, least_ns=MS, most=9, end_ns=15 * MS)) == 2


@given(st.lists(st.tuples(st.integers(1, 150), st.integers(0, 30)), max_size=6), st.integers(0, 199))
def test_at_every_instant_it_is_on_exactly_where_an_event_is(rows, t):
    spans = sorted((start, start + length) for start, length in rows)
    for stance in stances(facts(*spans), t * MS):
        until = 200 if stance.until_ns is None else stance.until_ns // MS
        for at in range(stance.at_ns // MS, until):
            assert any(a <= at < b for a, b in spans) == stance.is_on
