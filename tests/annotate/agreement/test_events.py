"""Agreement about events: by hand, and by law."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.agreement.events import ONE_VALUE, measure_events
from annotate.agreement.figure import AgreementConfig
from annotate.agreement.panels import Panel
from annotate.tasks import Sheet
from datasets_build.core.clock import FrameClock
from tests.annotate.agreement.strategies import works
from tests.annotate.people import LABELS, MS, S, events, item, mark

FEW = AgreementConfig(resamples=20)
SHEET = Sheet(kind="events")


def panel(*people, key="k", end_ns=10 * S):
    return Panel(item=item(key, SHEET, end_ns=end_ns), works=tuple(people))


def measured(*panels, signed=False, config=FEW, clocks=None):
    return measure_events(panels, config, signed=signed, clocks=clocks)


def f1(found):
    return [at.figure.value for at in found.f1]


POUR = mark("a", "pour", 0, 4 * S)


def test_f1_by_hand():
    # Two against three marks, of which one pair overlaps by two thirds.
    left = events(POUR, mark("b", "stir", 5 * S, 6 * S))
    right = events(mark("c", "pour", 0, 6 * S), mark("d", "stir", 8 * S, 9 * S), mark("e", "taste", 0, S))
    found = measured(panel(left, right))
    assert [at.iou for at in found.f1] == [0.3, 0.5, 0.7]
    assert f1(found) == [pytest.approx(2 / 5), pytest.approx(2 / 5), 0.0]
    assert {at.figure.n for at in found.f1} == {5}
    assert [one.label for one in found.labels] == ["pour", "stir", "taste"]
    assert [one.f1[0].figure.value for one in found.labels] == [1.0, 0.0, 0.0]


def test_f1_pools_items_and_pairs_of_people():
    both, none = panel(events(POUR), events(POUR), key="k1"), panel(events(POUR), events(), key="k2")
    assert f1(measured(both, none))[0] == pytest.approx(2 / 3)
    three = panel(events(POUR), events(POUR), events())
    # Pairs: 2 of 2, 0 of 1, 0 of 1.
    assert f1(measured(three))[0] == pytest.approx(2 / 4)


def test_frame_alpha_by_hand():
    # Ten instants: 2 both pour, 2 pour against none, 6 both none. n = 20, pour 6, none 14, agreeing 16.
    left, right = events(mark("a", "pour", 0, 4 * S)), events(mark("b", "pour", 0, 2 * S))
    found = measured(panel(left, right), config=AgreementConfig(resamples=20, grid_ns=S))
    expected = 1 - (20 - 16) / ((20**2 - 6**2 - 14**2) / 19)
    assert found.frame_alpha.value == pytest.approx(expected)
    assert found.frame_alpha.n == 10
    assert found.labels[0].frame_alpha.value == pytest.approx(expected)


def test_a_clock_makes_frames_the_grid():
    clock = FrameClock.from_pts([0, 1, 2, 3], time_base=Fraction(2), last_duration=1)
    found = measured(panel(events(POUR), events()), clocks={"v": clock})
    assert found.frame_alpha.n == 4


def test_boundaries_by_hand():
    left, right = events(mark("a", "pour", 0, 4 * S)), events(mark("b", "pour", 300 * MS, 3 * S))
    found = measured(panel(left, right), signed=True)
    assert (found.start.bias_ms.value, found.end.bias_ms.value) == (-300.0, 1000.0)
    assert (found.start.median_ms.value, found.end.median_ms.value) == (300.0, 1000.0)
    # Once a pair, however many thresholds it passes.
    assert (found.start.median_ms.n, found.end.median_ms.n) == (1, 1)
    assert measured(panel(left, right)).start.bias_ms.value is None


def test_instants_have_a_start_and_no_end_and_hold_at_no_frame():
    left = events(mark("a", "pour", S, S, is_point=True))
    right = events(mark("b", "pour", S + 100 * MS, S + 100 * MS, is_point=True))
    found = measured(panel(left, right))
    assert f1(found) == [1.0, 1.0, 1.0]
    assert (found.start.median_ms.value, found.end.median_ms.n) == (100.0, 0)
    assert (found.frame_alpha.value, found.frame_alpha.reason) == (None, ONE_VALUE)


def test_nobody_marked_anything():
    found = measured(panel(events(), events()))
    assert [at.figure.reason for at in found.f1] == ["there are no marks"] * 3
    assert found.frame_alpha.reason == ONE_VALUE
    assert found.labels == ()


def test_who_finds_the_clip_unfit_is_missing():
    found = measured(panel(events(POUR), events(POUR), events(usable=False)))
    assert f1(found) == [1.0, 1.0, 1.0]
    alone = measured(panel(events(POUR), events(usable=False)))
    assert [at.figure.n for at in alone.f1] == [0, 0, 0]
    assert alone.frame_alpha.reason == "there are no instants"


def test_no_panels_have_no_figures():
    found = measured()
    assert found.frame_alpha.value is None
    assert found.start.median_ms.reason == "there are no matched marks"


def test_the_interval_is_over_items():
    whole = measured(*(panel(events(POUR), events(POUR) if at % 2 else events(), key=f"k{at}") for at in range(20)))
    figure = whole.f1[0].figure
    assert figure.items == 20
    assert figure.low < figure.value < figure.high


people = st.lists(works(), min_size=2, max_size=3)


@given(people, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_it_is_the_same_whoever_is_who(drawn, random):
    shuffled = random.sample(drawn, len(drawn))
    forth, back = measured(panel(*drawn)), measured(panel(*shuffled))
    assert f1(forth) == pytest.approx(f1(back))
    assert forth.frame_alpha.value == pytest.approx(back.frame_alpha.value)
    for one, other in zip(forth.labels, back.labels, strict=True):
        assert one.frame_alpha.value == pytest.approx(other.frame_alpha.value)


@given(people)
@settings(max_examples=25, deadline=None)
def test_new_names_of_labels_change_nothing(drawn):
    names = dict(zip(LABELS, ("z", "y", "x"), strict=True))
    renamed = [events(*(one.model_copy(update={"label": names[one.label]}) for one in work.marks)) for work in drawn]
    forth, back = measured(panel(*drawn)), measured(panel(*renamed))
    assert f1(forth) == pytest.approx(f1(back))
    assert forth.frame_alpha.value == pytest.approx(back.frame_alpha.value)


@given(works(), st.integers(2, 3))
@settings(max_examples=25, deadline=None)
def test_equal_works_agree_in_full(work, many):
    found = measured(panel(*[work] * many))
    for figure in (found.frame_alpha, *(at.figure for at in found.f1)):
        assert figure.value is None or figure.value == pytest.approx(1.0)
    assert found.start.median_ms.value in (None, 0.0)
    # Nothing but a marked span can make two values.
    spans = [one for one in work.marks if not one.is_point]
    assert bool(spans) or found.frame_alpha.value is None


@given(works(), works(), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_moving_everything_moves_no_match_and_no_error(left, right, seconds):
    here, there = measured(panel(left, right)), measured(panel(moved(left, seconds), moved(right, seconds)))
    assert f1(here) == f1(there)
    assert here.start == there.start
    assert here.end == there.end


def moved(work, seconds):
    marks = []
    for one in work.marks:
        times = {"start_ns": one.start_ns + seconds * S, "end_ns": one.end_ns + seconds * S}
        marks.append(one.model_copy(update=times))
    return events(*marks)
