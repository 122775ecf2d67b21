"""The figures of docs/keyframes.md are what their words say."""

from itertools import pairwise

import numpy as np
import pytest

from datasets_build.core.clock import NS_PER_S
from datasets_build.perception.coverage import covered
from tests.bench import keyframes
from tests.bench.keyframes import Film, best, ours, pooled, rivals, sampled, sixth
from tests.bench.keyframes_drawn import Manner, draw_film

FRAME_NS = NS_PER_S // 25


def film(events_s, *, seconds=30, name="a", moves=True):
    """A still film in which a block jumps to another place at the start of each event."""
    t_ns = np.arange(seconds * 25, dtype=np.int64) * FRAME_NS
    thumbs = np.full((len(t_ns), 9, 16, 3), 90, np.uint8)
    places = (
        np.searchsorted([round(start * NS_PER_S) for start, _ in events_s], t_ns, side="right") if moves else t_ns * 0
    )
    for thumb, place in zip(thumbs, places.tolist(), strict=True):
        left = 1 + 4 * (place % 3)
        thumb[3:6, left : left + 3] = 220
    events = tuple((round(a * NS_PER_S), round(b * NS_PER_S)) for a, b in events_s)
    return Film("drawn", name, t_ns, seconds * NS_PER_S, thumbs, t_ns[::250], events)


INSTANTS = [(t, t) for t in (4.08, 9.12, 13.16, 20.32, 25.28)]


def test_a_sixth_is_a_sixth_of_two_frames_a_second():
    one = film(INSTANTS)
    assert len(sampled(one, fps=2)) == 60
    assert len(sixth(one)) == 10
    assert sixth(one)[1] == 3 * NS_PER_S
    assert set(sampled(one, fps=0.7).tolist()) <= set(one.t_ns.tolist()), "times of frames, as decoders give them"


def test_what_happens_in_a_still_film_is_found_within_the_budget():
    one = film(INSTANTS)
    times = ours(one, spend=20)
    assert len(times) <= len(sixth(one))
    assert covered(one.events, times, tolerance_ns=FRAME_NS).all()
    assert not covered(one.events, sixth(one), tolerance_ns=FRAME_NS).any()


def test_a_larger_budget_never_covers_less_of_a_still_film():
    shares = [
        pooled([film(INSTANTS)], lambda each, spend=spend: ours(each, spend=spend))[1] for spend in (3, 8, 20, 60)
    ]
    assert all(a <= b for few, more in pairwise(shares) for a, b in zip(few, more, strict=True))
    assert shares[0][0] < shares[-1][0]


def test_groups_are_pooled_by_events_and_not_by_films():
    group = [film([(1.0, 1.0)]), film([(2.0, 2.0), (2.5, 2.5), (3.2, 3.2)])]
    spent, shares = pooled(group, lambda each: each.events[0][:1])
    assert spent == 2
    # One of one and one of three; at half a second both of 2.0 and 2.5.
    assert shares == [0.5, 0.5, 0.5, 0.75]


def test_nobody_covers_more_than_the_best_of_as_many():
    rng = np.random.default_rng(3)
    group = []
    for number in range(3):
        starts = np.sort(rng.uniform(0, 28, 25))
        group.append(film([(s, s + float(rng.choice([0.0, 0.4]))) for s in starts], name=str(number)))
    number, most = best(group, apart=False)
    of_each, less = best(group, apart=True)
    assert number == of_each == 30
    spent, shares = pooled(group, sixth)
    assert spent == number
    assert all(a <= b <= c for a, b, c in zip(shares, less, most, strict=True))
    assert all(a <= b for a, b in pairwise(most))
    assert most[0] < 1


def test_pictures_that_one_film_does_not_need_serve_another():
    # Ten pictures each: one film has fifteen events, the other five.
    busy, quiet = [(1.5 * k + 1, 1.5 * k + 1) for k in range(15)], [(5.0 * k + 1, 5.0 * k + 1) for k in range(5)]
    group = [film(busy, name="busy"), film(quiet, name="quiet")]
    assert best(group, apart=False)[1][0] == 1.0
    assert best(group, apart=True)[1][0] == 15 / 20


def test_the_table_has_a_row_for_each_rival_and_for_the_best(capsys):
    keyframes.report({"drawn": [film(INSTANTS)]})
    lines = capsys.readouterr().out.splitlines()
    assert "drawn: 1 films, 30 s, 5 events" in lines
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    names = [cells[0] for cells in rows[2:]]
    assert names == [*rivals(), "best of 2 fps / 6", "the same, film by film", "least that cover all"]
    assert all(len(cells) == 2 + len(keyframes.TOLERANCES_S) for cells in rows)
    assert rows[2 + names.index("2 fps")][1:] == ["60", "0.000", "0.200", "1.000", "1.000"]
    assert rows[2 + names.index("best of 2 fps / 6")][1:] == ["10", "1.000", "1.000", "1.000", "1.000"]
    assert rows[-1][2:] == ["5", "5", "5", "5"]


@pytest.mark.slow
def test_a_drawn_film_is_looked_at_frame_by_frame(tmp_path):
    path = tmp_path / "a.mp4"
    facts = draw_film(path, seed=5, world_s=4, manner=Manner(rest_s=0.2))
    events = tuple((fact.start_ns, fact.end_ns) for fact in facts)
    found = keyframes.look("drawn, resting", path, events)
    assert (found.kind, found.name, found.events) == ("drawn, resting", "a.mp4", events)
    assert len(found.thumbs) == len(found.t_ns) == round(found.end_ns / FRAME_NS)
    assert found.keys_ns[0] == 0
    assert set(found.keys_ns.tolist()) <= set(found.t_ns.tolist())
    assert len(ours(found, spend=20)) >= 1


@pytest.mark.slow
def test_the_plot_is_drawn(tmp_path):
    keyframes.plot({"drawn": [film(INSTANTS)]}, tmp_path / "a.svg")
    keyframes.plot({"drawn": [film(INSTANTS)]}, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "drawn, ±0.25 s" in (tmp_path / "a.svg").read_text("utf-8")
