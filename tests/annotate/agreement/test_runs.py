"""Runs of many panels at once add up to what a walk over every instant of each adds up to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.agreement.alpha import nominal, nominal_rows
from annotate.agreement.events import measure_events
from annotate.agreement.figure import AgreementConfig
from annotate.agreement.grid import instants
from annotate.agreement.panels import Panel
from annotate.agreement.runs import runs_of
from annotate.tasks import Sheet
from datasets_build.core.clock import FrameClock
from tests.annotate.agreement.strategies import works
from tests.annotate.people import LABELS, MS, S, events, item, mark

STEP = 130 * MS
ROWS = {"k0": 0, "k1": 1, "k2": 2}


def panel(key, *works_):
    return Panel(item=item(key, Sheet(kind="events"), end_ns=10 * S), works=works_)


def walked(panels, asked):
    """`nominal_rows` of every instant of every panel by itself; `asked` says what of a set of labels is a value."""
    values, units, owner = {}, [], []
    for one in panels:
        if len(one.usable) < 2:
            continue
        for t in instants(one.item.window, step_ns=STEP, clocks=None).tolist():
            sets = [
                frozenset(m.label for m in work.marks if not m.is_point and m.start_ns <= t < m.end_ns)
                for work in one.usable
            ]
            units.append([values.setdefault(asked(view), len(values)) for view in sets])
            owner.append(ROWS[one.item.key])
    counts = np.zeros((len(units), len(values)))
    for at, unit in enumerate(units):
        np.add.at(counts[at], unit, 1)
    return nominal_rows(counts, np.ones(len(units)), owner, rows=len(ROWS))


some = st.lists(
    st.tuples(st.sampled_from(sorted(ROWS)), st.lists(works(), min_size=1, max_size=4)), min_size=1, max_size=5
)


@given(some)
@settings(max_examples=25, deadline=None)
def test_many_panels_add_up_to_what_a_walk_gives(drawn):
    panels = [panel(key, *people) for key, people in drawn]
    runs = runs_of(panels, ROWS, step_ns=STEP, clocks=None)
    told, plain = runs.of_sets(), walked(panels, lambda view: view)
    assert told[:, 0] == pytest.approx(plain[:, 0])
    # The columns may come in another order.
    assert sorted(map(tuple, told[:, 1:].T[told[:, 1:].any(axis=0)])) == sorted(map(tuple, plain[:, 1:].T))
    assert runs.instants == sum(len(one.works) > 1 for one in panels) * len(range(STEP // 2, 10 * S, STEP))
    for label in LABELS:
        by_label = walked(panels, lambda view, label=label: label in view)
        assert runs.of_label(label)[:, 0] == pytest.approx(by_label[:, 0])
        assert nominal(runs.of_label(label)) == pytest.approx(nominal(by_label), nan_ok=True)


@given(some)
@settings(max_examples=10, deadline=None)
def test_figures_are_those_of_the_walk(drawn):
    panels = [panel(key, *people) for key, people in drawn]
    found = measure_events(panels, AgreementConfig(resamples=20, grid_ns=STEP))
    plain = nominal(walked(panels, lambda view: view).sum(axis=0))
    if np.isfinite(plain):
        assert found.frame_alpha.value == pytest.approx(float(plain))
    else:
        assert found.frame_alpha.value is None
    for one in found.labels:
        alpha = nominal(walked(panels, lambda view, name=one.label: name in view).sum(axis=0))
        assert one.frame_alpha.value == (pytest.approx(float(alpha)) if np.isfinite(alpha) else None)


def test_one_work_on_two_items_is_read_on_each_clock():
    same = events(mark("m", "pour", 0, S))
    clocks = {"v": FrameClock.from_pts(range(10), time_base=1, last_duration=1)}
    short = Panel(item=item("k0", Sheet(kind="events"), end_ns=10 * S, video_id="v"), works=(same, same))
    long = Panel(item=item("k1", Sheet(kind="events"), end_ns=10 * S, video_id="w"), works=(same, same))
    runs = runs_of([short, long], ROWS, step_ns=S // 10, clocks=clocks)
    assert runs.of_label("pour").tolist() == [[2.0 * 10, 2.0, 18.0], [2.0 * 100, 20.0, 180.0], [0, 0, 0]]


def test_nobody_and_an_empty_grid_give_no_runs():
    alone = panel("k0", events(mark("m", "pour", 0, S)))
    unfit = panel("k1", events(), events(usable=False))
    runs = runs_of([alone, unfit], ROWS, step_ns=STEP, clocks=None)
    assert (runs.instants, runs.sets) == (0, ())
    assert runs.of_sets().shape == (3, 1)
    assert not runs.of_label("pour").any()
    wide = runs_of([panel("k0", events(), events())], ROWS, step_ns=30 * S, clocks=None)
    assert wide.instants == 0
