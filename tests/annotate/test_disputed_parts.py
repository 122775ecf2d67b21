"""What people agree on in a window stands, what they do not agree on stays as it was, and nothing else happens."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.disputes import Disputed, decided, resolve
from annotate.edits import ELSEWHERE, parts
from annotate.merge import Standing, Undecided
from annotate.outcome import Finished, outcome
from annotate.rounds import Round
from annotate.tasks import QuestionVerdict, TurnVerdict, Work
from tests.annotate.merging import (
    broken,
    edit,
    item_of,
    judged,
    laid,
    lively_film,
    manifest_of,
    untouched_work,
    with_marks,
    with_verdicts,
)
from tests.annotate.people import MS, Person, adjudicate, done, event_items, work_events
from tests.annotate.test_disputes import against_truth
from tests.annotate.test_edited_dialogues import film as talking_film
from tests.annotate.test_edited_events import FILM, VIDEO, F, drawing, event, film, mark, removing
from tests.builders.made import Scene, shots_at
from tests.laws import examples

FEW = settings(max_examples=examples(40), deadline=None)
KEPT = ("id", "label", "start_ns", "end_ns", "caption")


def results_of(items, works):
    """What becomes of items; `works` are everybody's on each."""
    handed = [
        done(item.key, f"a{at}", work, number=at)
        for item, several in zip(items, works, strict=True)
        for at, work in enumerate(several)
    ]
    manifest = manifest_of(items, items[0].sheet.kind)
    return outcome(Finished(round_=Round.of(None, manifest, items), done=handed))


def edits_of_results(where, items, results):
    """The edits that a merge makes of them."""
    pieces = []
    for item in items:
        result = results[item.key]
        standing = result.part if isinstance(result, Undecided) else result
        open_ids = points_of(result)
        if standing is not None:
            pieces.append(judged(item, standing.work, standing.annotators, open_ids))
    return edit(where, *pieces)


def points_of(result):
    points = result.points if isinstance(result, Undecided) else ()
    return frozenset(name for point in points for name in point.records)


def of_two(left, right, where=FILM):
    """The result and the edits of two people's marks on the whole film."""
    item = item_of(where, "events")
    results = results_of([item], [[with_marks(item, change) for change in (left, right)]])
    return results[item.key], edits_of_results(where, [item], results)


def moving(name, start, end):
    def change(marks):
        marks[name] = marks[name].model_copy(update={"start_ns": start * F, "end_ns": end * F})

    return change


def both(*changes):
    def change(marks):
        for one in changes:
            one(marks)

    return change


TWO = film(event("e1", 20, 60), event("e2", 200, 260), event("e3", 400, 440))


def test_what_is_agreed_is_merged_beside_what_is_not():
    moved = moving("e1", 24, 64)
    result, edits = of_two(both(moved, removing("e2")), moved, TWO)
    assert isinstance(result, Undecided)
    assert [(row.parent_id, row.action) for row in edits.corrections] == [("e1", "replace")]
    assert (edits.corrections[0].event.start_ns, edits.corrections[0].annotators) == (24 * F, ("a0", "a1"))
    (point,) = result.points
    assert (point.records, point.annotators, point.about) == (("e2",), ("a0", "a1"), "mark")
    assert point.decide == result.reasons[0]


def test_what_one_removed_and_the_other_kept_stays():
    result, edits = of_two(removing("e2"), lambda marks: None, TWO)
    assert edits.corrections == []
    assert points_of(result) == {"e2"}


def test_what_one_alone_drew_is_not_added_and_is_told():
    result, edits = of_two(drawing(mark("x", 100, 140)), lambda marks: None, TWO)
    assert edits.corrections == []
    assert [(point.records, point.start_ns) for point in result.points] == [((), 100 * F)]


def test_a_region_that_one_moved_far_away_stays_where_it_was():
    result, edits = of_two(moving("e1", 100, 140), removing("e2"), TWO)
    assert edits.corrections == []
    assert points_of(result) == {"e1", "e2"}


def test_an_event_that_goes_on_in_dispute_takes_what_hangs_with_it_along():
    # One moved e1 away and drew another in its place; the other kept it.
    away = both(moving("e1", 100, 140), drawing(mark("x", 20, 60)))
    result, edits = of_two(away, moving("e1", 22, 60), TWO)
    assert edits.corrections == []
    assert points_of(result) == {"e1"}
    assert len(result.points) == 2


def test_three_who_keep_an_event_at_three_places_do_not_lose_it():
    item = item_of(TWO, "events")
    works = [with_marks(item, moving("e2", at, at + 30)) for at in (100, 200, 300)]
    result = results_of([item], [works])[item.key]
    assert points_of(result) == {"e2"}
    (reason,) = resolve(item, [done(item.key, f"a{at}", work) for at, work in enumerate(works)]).reasons
    assert (reason.about, reason.id, len(reason.marks)) == ("boundary", "e2", 3)


def test_a_clip_that_may_be_unfit_changes_nothing_and_all_of_it_is_open():
    item = item_of(TWO, "events")
    unfit = Work(kind="events", usable=False)
    result = results_of([item], [[with_marks(item, removing("e1")), unfit]])[item.key]
    assert edits_of_results(TWO, [item], {item.key: result}).corrections == []
    assert points_of(result) == {part.id for part in parts(item.sheet)}


def test_what_another_window_disputes_stays_and_the_agreed_change_is_told():
    # The movement of `FILM` is cut by two windows.
    left, right = (item_of(FILM, "events", span) for span in ((0, 100 * F), (100 * F, 500 * F)))
    longer = [with_marks(left, moving("move", 40, 100))] * 2
    results = results_of([left, right], [longer, [untouched_work(right), with_marks(right, removing("move"))]])
    assert isinstance(results[left.key], Standing)
    edits = edits_of_results(FILM, [left, right], results)
    assert edits.corrections == []
    assert [(one.record, one.reason) for one in edits.troubles] == [("move", ELSEWHERE)]


def test_an_exchange_with_a_turn_in_dispute_stays_whole():
    where = talking_film()
    item = item_of(where, "dialogue")
    said = [TurnVerdict(id="u1", verdict="reject")]
    works = [with_verdicts(item, *said, TurnVerdict(id="a1", verdict=verdict)) for verdict in ("accept", "reject")]
    results = results_of([item], [works])
    assert points_of(results[item.key]) == {"a1"}
    edits = edits_of_results(where, [item], results)
    assert edits.corrections == []
    assert [(one.record, one.reason) for one in edits.troubles] == [
        ("u1", "people do not agree yet about a turn of its exchange")
    ]


@st.composite
def crowds(draw):
    """Windows over a film of events, and what two to four people make of each."""
    rng = Random(draw(st.integers(0, 2**32)))
    events = [
        event(f"e{at}", at * 60 + 5, at * 60 + rng.randrange(6, 50), rng.choice(("move", "stop"))) for at in range(7)
    ]
    where = film(*events)
    cut = rng.choice([[0, 500], [0, 130, 500], [0, 90, 310, 500]])
    items = [item_of(where, "events", (a * F, b * F)) for a, b in pairwise(cut)]
    many = rng.randrange(2, 5)
    return where, items, [[_any_marks(item, rng) for _ in range(many)] for item in items]


def _any_marks(item, rng):
    if rng.random() < 0.15:
        return Work(kind="events", usable=False)
    marks = []
    for one in item.sheet.marks:
        what = rng.choice(("keep", "keep", "keep", "nudge", "move", "label", "remove"))
        if what == "remove":
            continue
        by = {"nudge": rng.randrange(-6, 7), "move": rng.randrange(-90, 90)}.get(what, 0)
        start = min(max(0, one.start_ns + by * F), 498 * F)
        end = min(max(start + F, one.end_ns + by * F), 500 * F)
        label = rng.choice(("move", "stop")) if what == "label" else one.label
        marks.append(one.model_copy(update={"start_ns": start, "end_ns": end, "label": label}))
    drawn = [mark(f"x{at}", start, start + 20, rng.choice(("move", "stop"))) for at, start in enumerate((150, 330))]
    return Work(kind="events", marks=(*marks, *(one for one in drawn if rng.random() < 0.3)))


@FEW
@given(crowds())
def test_of_events_everything_is_settled_or_open_and_what_is_open_stays(tmp_path_factory, crowd):
    where, items, works = crowd
    results = results_of(items, works)
    edits = edits_of_results(where, items, results)
    after = laid(tmp_path_factory.mktemp("parts"), where, edits.corrections)
    assert broken(Scene(VIDEO, where.clock, shots_at(VIDEO, where.clock, [])), after) == []
    open_ids = frozenset().union(*map(points_of, results.values()))
    there = {one.id: one for one in after.events}
    before = {one.id: one for one in where.events}
    assert all(there[name] == before[name] for name in open_ids)
    told = {trouble.record for trouble in edits.troubles}
    changed = {row.parent_id for row in edits.corrections} - {None}
    for item, several in zip(items, works, strict=True):
        result = results[item.key]
        shown = {part.id for part in parts(item.sheet)}
        assert points_of(result) <= shown
        standing = result.part if isinstance(result, Undecided) else result
        for name in shown - open_ids - changed - told if standing and standing.work.usable else ():
            # Nothing happened to it: most people kept it about as it was, in this window at least.
            assert 2 * sum(any(one.id == name for one in work.marks) or not work.usable for work in several) >= len(
                several
            )
    for row in edits.corrections:
        if row.action == "remove":
            _is_removed_by_most(row.parent_id, before[row.parent_id], items, works)


def _is_removed_by_most(name, record, items, works):
    """Nobody's mark under its id stands at its old place for half of those who could judge a window."""
    for item, several in zip(items, works, strict=True):
        fit = [work for work in several if work.usable]
        if name in {part.id for part in parts(item.sheet)} and 2 * len(fit) > len(several):
            kept = [work for work in fit if any(_same(one, record) for one in work.marks)]
            assert 2 * len(kept) < len(fit)


def _same(mark, record):
    return (mark.id, mark.label, mark.start_ns, mark.end_ns) == (
        record.id,
        record.label,
        record.start_ns,
        record.end_ns,
    )


@FEW
@given(st.sampled_from(["qa", "dialogue"]), st.integers(2, 3), st.randoms(use_true_random=False))
def test_of_verdicts_everything_is_settled_or_open_and_what_is_open_stays(tmp_path_factory, kind, many, rng):
    scene, where = lively_film()
    item = item_of(where, kind)
    kinds = QuestionVerdict if kind == "qa" else TurnVerdict
    asked = list(parts(item.sheet))

    def anybody():
        said = [kinds(id=one.id, verdict=rng.choice(("accept", "accept", "reject"))) for one in asked]
        return with_verdicts(item, *said)

    works = [anybody() for _ in range(many)]
    results = results_of([item], [works])
    result = results[item.key]
    edits = edits_of_results(where, [item], results)
    after = laid(tmp_path_factory.mktemp("parts"), where, edits.corrections)
    assert broken(scene, after) == []
    standing = result.part if isinstance(result, Undecided) else result
    agreed = {one.id for one in (*standing.work.questions, *standing.work.turns)} if standing else set()
    assert agreed | points_of(result) == {one.id for one in asked}
    assert not agreed & points_of(result)
    kept = {one.id for one in after.questions} | {turn.id for row in after.dialogues for turn in row.turns}
    gone = {row.parent_id for row in edits.corrections}
    assert not gone & points_of(result)
    assert points_of(result) <= kept


def test_what_a_judge_left_out_is_still_in_dispute():
    _, where = lively_film()
    item = item_of(where, "qa")
    first, second, *_ = item.sheet.questions
    works = [
        untouched_work(item),
        with_verdicts(item, *(QuestionVerdict(id=one.id, verdict="reject") for one in (first, second))),
    ]
    found = resolve(item, [done(item.key, f"a{at}", work) for at, work in enumerate(works)])
    assert found.open_ids == {first.id, second.id}
    half = decided(item, found, Work(kind="qa", questions=(QuestionVerdict(id=first.id, verdict="reject"),)))
    assert isinstance(half, Disputed)
    assert half.open_ids == {second.id}
    assert first.id in {one.id for one in half.agreed.questions}


@pytest.mark.parametrize("kind", ["events", "qa", "dialogue"])
def test_nobody_who_agrees_leaves_anything_open(kind):
    _, where = lively_film()
    item = item_of(where, kind)
    result = results_of([item], [[untouched_work(item)] * 3])[item.key]
    assert isinstance(result, Standing)
    assert points_of(result) == frozenset()
    assert edits_of_results(where, [item], {item.key: result}).corrections == []


@pytest.mark.parametrize("seed", range(3))
def test_what_is_merged_at_once_is_better_than_what_was_shown_and_a_second_round_is_better_still(seed):
    items, truths = event_items(seed, 24)
    faults = {"noise": 350 * MS, "miss": 0.08, "false_alarm": 0.05, "relabel": 0.04}
    crowd = [Person(name=f"a{at}", bias=bias * MS, **faults) for at, bias in enumerate((120, -120))]
    handed = [one for person in crowd for one in work_events(person, items, truths, seed)]
    first = Finished(round_=Round.of(None, manifest_of(items, "events"), items), done=handed)
    results = outcome(first)
    assert any(isinstance(result, Undecided) for result in results.values())
    shown = {one.key: Work(kind="events", marks=one.sheet.marks) for one in items}
    at_once = {one.key: _left(one, results[one.key]) for one in items}
    both = adjudicate(Person(name="z", **faults), items, truths, handed, seed)
    f1 = [
        against_truth(items, truths, works).events.f1[1].figure.value
        for works in (
            shown,
            at_once,
            both,
            *({one.key: one.work for one in handed if one.annotator == p.name} for p in crowd),
        )
    ]
    assert f1[0] < f1[1] < f1[2]
    assert max(f1[3:]) < f1[2]


def _left(item, result):
    """The marks of a window after a merge: what stands, and what stayed as it was."""
    if isinstance(result, Standing):
        return result.work
    stayed = [mark for mark in item.sheet.marks if mark.id in points_of(result)]
    return Work(kind="events", marks=(*result.part.work.marks, *stayed))


@pytest.mark.parametrize("people", [3, 4])
def test_what_one_of_many_drew_is_not_added_and_is_told(people):
    item = item_of(TWO, "events")
    works = [with_marks(item, drawing(mark("x", 100, 140))), *[untouched_work(item)] * (people - 1)]
    result = results_of([item], [works])[item.key]
    assert isinstance(result, Standing)
    assert [(one.records, one.start_ns, one.end_ns) for one in result.outvoted] == [((), 100 * F, 140 * F)]
    assert edits_of_results(TWO, [item], {item.key: result}).corrections == []


@FEW
@given(crowds())
def test_every_drawn_mark_stands_is_open_or_is_outvoted(crowd):
    _, items, works = crowd
    results = results_of(items, works)
    for item, several in zip(items, works, strict=True):
        result, fit = results[item.key], [work for work in several if work.usable]
        if 2 * len(fit) <= len(several):
            continue
        standing = result.part if isinstance(result, Undecided) else result
        points = (*standing.outvoted, *(result.points if isinstance(result, Undecided) else ()))
        places = [(one.start_ns, one.end_ns) for one in (*standing.work.marks, *points)]
        shown = {part.id for part in parts(item.sheet)}
        for one in (one for work in fit for one in work.marks if one.id not in shown):
            assert any(start < one.end_ns and one.start_ns < end for start, end in places)
