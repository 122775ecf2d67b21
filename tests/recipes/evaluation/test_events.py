"""Frame events: F1 at grids, and detection of spans."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.evaluation.events import (
    Seen,
    Stretch,
    average_precision,
    count_names,
    mean_average_precision,
    stretches,
    tiou,
)
from tests.recipes.evaluation.made import S

NAMES = st.frozensets(st.sampled_from(["enter", "leave", "move"]), max_size=3)
ROWS = st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=12)


def grids_of(rows, video_id="v", confidence=1.0):
    return [
        Seen(
            video_id=video_id, start_ns=k * S, t_ns=(k + 1) * S, true=frozenset(true), said=frozenset(said),
            confidence=confidence,
        )
        for k, (true, said) in enumerate(rows)
    ]  # fmt: skip


def span(start, end, *, name="move", video_id="v", score=1.0):
    return Stretch(video_id=video_id, name=name, start_ns=start, end_ns=end, score=score)


@settings(max_examples=50)
@given(ROWS)
def test_f1_by_brute_force(rows):
    found = count_names(grids_of(rows))
    pairs = [(k, name) for k in range(len(rows)) for name in ("enter", "leave", "move")]

    def f1(chosen):
        hit = sum(name in rows[k][0] and name in rows[k][1] for k, name in chosen)
        sides = sum((name in rows[k][0]) + (name in rows[k][1]) for k, name in chosen)
        return 2 * hit / sides if sides else 0.0

    assert found.micro_f1 == pytest.approx(f1(pairs))
    true = {name for row, _ in rows for name in row}
    each = [f1([pair for pair in pairs if pair[1] == name]) for name in true]
    assert found.macro_f1 == pytest.approx(sum(each) / len(each) if each else 0.0)


@settings(max_examples=40)
@given(ROWS)
def test_perfect_is_one_and_empty_is_nothing(rows):
    perfect = grids_of([(true, true) for true, _ in rows])
    truth = stretches(perfect, said=False)
    for least in (0.3, 0.5, 0.7):
        assert mean_average_precision(truth, stretches(perfect, said=True), least) == pytest.approx(float(bool(truth)))
        assert mean_average_precision(truth, [], least) == 0
    assert count_names(perfect).micro_f1 == count_names(perfect).macro_f1 == bool(truth)


@settings(max_examples=40)
@given(ROWS)
def test_spans_hold_exactly_the_grids_that_they_come_from(rows):
    grids = grids_of(rows)
    for said in (False, True):
        found = stretches(grids, said=said)
        held = {(name, k) for k, row in enumerate(rows) for name in row[said]}
        covered = [(one.name, k) for one in found for k in range(one.start_ns // S, one.end_ns // S)]
        assert sorted(covered) == sorted(held)
        # Runs are whole: none begins where another of its name ends.
        ends = {(one.name, one.end_ns) for one in found}
        assert not any((one.name, one.start_ns) in ends for one in found)


def test_a_gap_between_grids_ends_a_span():
    grids = grids_of([({"move"}, {"move"})] * 3)
    found = stretches([grids[0], grids[2]], said=True)
    assert [(one.start_ns, one.end_ns) for one in found] == [(0, S), (2 * S, 3 * S)]


def test_score_is_the_mean_confidence():
    row = ({"move"}, {"move"})
    one, other = grids_of([row], confidence=0.2)[0], grids_of([row, row], confidence=0.6)[1]
    (found,) = stretches([one, other], said=True)
    assert found.score == pytest.approx(0.4)
    assert stretches([one], said=False)[0].score == 1


@pytest.mark.parametrize(
    ("one", "other", "value"),
    [((0, 10), (0, 10), 1), ((0, 10), (5, 15), 5 / 15), ((0, 10), (10, 20), 0), ((0, 10), (2, 4), 0.2)],
)
def test_tiou_by_hand(one, other, value):
    assert tiou(span(*one), span(*other)) == tiou(span(*other), span(*one)) == pytest.approx(value)


def test_average_precision_by_hand():
    truth = [span(0, 10), span(20, 30), span(0, 10, video_id="w")]
    found = [
        span(0, 10, score=0.9),
        span(50, 60, score=0.8),
        span(20, 30, score=0.7),
        span(0, 10, score=0.6),
        span(0, 10, video_id="w", score=0.5),
    ]
    # Right, wrong, right, wrong (taken before), right: precision 1, 2/3 and 3/5 at recall 1/3, 2/3 and 1.
    assert average_precision(truth, found, 0.5) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_precision_is_raised_to_the_best_at_a_higher_recall():
    truth = [span(0, 10), span(20, 30)]
    found = [span(50, 60, score=0.9), span(0, 10, score=0.8), span(20, 30, score=0.7)]
    assert average_precision(truth, found, 0.5) == pytest.approx(2 / 3)


def test_a_detection_takes_the_span_that_it_overlaps_most():
    truth = [span(0, 10), span(8, 20)]
    assert average_precision(truth, [span(7, 20, score=0.9), span(0, 9, score=0.8)], 0.5) == pytest.approx(1)


@settings(max_examples=40)
@given(ROWS, ROWS)
def test_permuting_videos_changes_nothing(one, other):
    first, second = grids_of(one, "a", 0.5), grids_of(other, "b", 0.75)
    for grids in ([*first, *second], [*second, *first]):
        truth, found = stretches(grids, said=False), stretches(grids, said=True)
        assert found == stretches([*first, *second], said=True)
        assert mean_average_precision(truth, found, 0.5) == mean_average_precision(truth[::-1], found, 0.5)
    assert count_names([*first, *second]).micro_f1 == count_names([*second, *first]).micro_f1


@settings(max_examples=30)
@given(ROWS)
def test_a_stricter_overlap_never_scores_more(rows):
    grids = grids_of(rows)
    truth, found = stretches(grids, said=False), stretches(grids, said=True)
    scores = [mean_average_precision(truth, found, least) for least in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert scores == sorted(scores, reverse=True)


def test_without_truth_there_is_no_precision():
    assert average_precision([], [span(0, 1)], 0.5) == 0
    assert mean_average_precision([], [span(0, 1)], 0.5) == 0
