"""Who is compared with whom."""

import pytest

from annotate.agreement.panels import Panel, against_gold, against_others, between, kind_of, table_of
from annotate.errors import AnnotateError
from annotate.tasks import Sheet
from tests.annotate.people import S, done, events, item, mark, qa_items

EMPTY = Sheet(kind="events")
ITEMS = [item("k1", EMPTY), item("k2", EMPTY, truth=events(), is_gold=True), item("k3", EMPTY)]
WORK = {name: events(mark("m", "pour", start * S, (start + 1) * S)) for start, name in enumerate("abcd")}


def table(*pairs):
    return table_of(ITEMS, [done(key, name, WORK[name], number=at) for at, (key, name) in enumerate(pairs)])


def test_people_stand_in_order_whoever_came_first():
    forth, back = table(("k1", "b"), ("k1", "a")), table(("k1", "a"), ("k1", "b"))
    assert list(forth["k1"]) == list(back["k1"]) == ["a", "b"]
    assert list(forth) == ["k1", "k2", "k3"]


def test_of_two_works_of_one_person_the_latest_counts():
    early = done("k1", "a", WORK["a"], number=2)
    late = early.model_copy(update={"work": WORK["b"], "annotation_id": 1, "updated_at": "2026-01-02T00:00:00Z"})
    same = early.model_copy(update={"work": WORK["c"], "annotation_id": 3})
    assert table_of(ITEMS, [late, early])["k1"]["a"] == late
    assert table_of(ITEMS, [same, early])["k1"]["a"] == same


def test_work_on_an_item_that_is_not_there_is_an_error():
    with pytest.raises(AnnotateError, match="k9: work of a on an item that the round does not hold"):
        table(("k9", "a"))


def test_work_of_another_kind_is_an_error():
    (asked,), _ = qa_items(1, 1)
    with pytest.raises(AnnotateError, match="found events of a, expected qa"):
        table_of([asked], [done(asked.key, "a", WORK["a"])])


def test_a_key_that_stands_twice_is_an_error():
    with pytest.raises(AnnotateError, match="2 items have 1 keys"):
        table_of([ITEMS[0], ITEMS[0]], [])


def test_kinds_do_not_mix():
    assert kind_of(ITEMS) == "events"
    with pytest.raises(AnnotateError, match="found 2 in the items: events, qa"):
        kind_of([*ITEMS, *qa_items(1, 1)[0]])
    with pytest.raises(AnnotateError, match="found 0"):
        kind_of([])


def test_panels_between_people_need_two():
    panels = between(ITEMS, table(("k1", "a"), ("k1", "b"), ("k1", "c"), ("k2", "a")))
    assert [(panel.item.key, len(panel.works)) for panel in panels] == [("k1", 3)]


def test_a_person_against_others_comes_first_in_each_panel():
    panels = against_others("b", ITEMS, table(("k1", "a"), ("k1", "b"), ("k1", "c"), ("k2", "a"), ("k3", "b")))
    assert [panel.works for panel in panels] == [(WORK["b"], WORK["a"]), (WORK["b"], WORK["c"])]


def test_gold_is_what_is_marked_as_gold_and_has_a_truth():
    panels = against_gold("a", ITEMS, table(("k1", "a"), ("k2", "a"), ("k2", "b")))
    assert panels == [Panel(item=ITEMS[1], works=(WORK["a"], events()))]
    known = [item("k2", EMPTY, truth=events())]
    assert against_gold("a", known, table_of(known, [done("k2", "a", WORK["a"])])) == []
    forgotten = [item("k2", EMPTY, is_gold=True)]
    assert against_gold("a", forgotten, table_of(forgotten, [done("k2", "a", WORK["a"])])) == []


def test_who_finds_a_clip_unfit_says_nothing_of_it():
    panel = Panel(item=ITEMS[0], works=(WORK["a"], events(usable=False)))
    assert panel.usable == (WORK["a"],)
