"""Truth proof: the labels of an augmented drawn video are what its drawer's world shows in the frames that are left.

Equal, without tolerance, on the frame grid: label, subject, first frame and first frame behind, for every event.
"""

import random
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.events import move_events
from augment.temporal import Pace, Stall, concat, crop, freeze, loop, skip, speed
from augment.view import View
from datasets_build.core.clock import FrameClock
from datasets_build.sources.lesson_script import LABELS
from datasets_build.sources.world_truth import facts, transitions
from tests.augment.worlds import STYLES, Film, Seen, seen_in, world
from tests.builders.made import MS
from tests.laws import examples

FACTORS = st.fractions(Fraction(1, 4), 4, max_denominator=20)


def changed(film, view, draw):
    """One change of both: in `augment`, and in the plain list of frames that the oracle looks at."""
    count = len(film.frames)
    kind = draw(st.sampled_from(("speed", "thin", "bursts", "crop", "freeze", "loop")))
    rng = random.Random(draw(st.integers(0, 999)))
    if kind == "speed":
        borders = sorted({0, *(rng.randrange(count) for _ in range(draw(st.integers(0, 2))))})
        factors = [draw(FACTORS) for _ in borders]
        paces = [Pace(view.clock.time_of(k), factor) for k, factor in zip(borders, factors, strict=True)]
        return film.speed(borders, factors), speed(view, paces)
    if kind in ("thin", "bursts"):
        share = draw(st.floats(0.1, 0.9))
        kept = {0, *(k for k in range(count) if rng.random() >= share)}
        if kind == "bursts":
            gaps = [(rng.randrange(count), rng.randrange(1, 80)) for _ in range(draw(st.integers(1, 4)))]
            kept = {0, *range(count)} - {k for first, length in gaps for k in range(max(1, first), first + length)}
        return film.skip(kept), skip(view, np.array(sorted(kept), np.int64))
    if kind == "crop":
        first = rng.randrange(count)
        stop = rng.randrange(first, count) + 1
        return film.crop(first, stop), crop(view, first, stop)
    if kind == "freeze":
        frame, longer = rng.randrange(count), rng.randrange(1, 3000) * MS
        return film.freeze(frame, longer), freeze(view, [Stall(frame, longer)])
    return film.then(film), loop(view, 2)


@st.composite
def films(draw, style, changes=3, numbers=12):
    """A film and the view that should show the same, of one world or of two behind each other."""
    made = []
    for number in draw(st.lists(st.integers(0, numbers - 1), min_size=1, max_size=2, unique=True)):
        drawn = world(style, number)
        film, view = Film.of(drawn), View.whole(drawn.name, drawn.clock)
        for _ in range(draw(st.integers(0, changes))):
            film, view = changed(film, view, draw) if len(film.frames) < 900 else (film, view)
        made.append((film, view))
    (film, view), *more = made
    for other, beside in more:
        film, view = film.then(other), concat([view, beside])
    return film, view


def events_in(film, view):
    sources = {f.world.name: f.world.events for f in film.frames}
    return move_events(view, sources, video_id="v")


def told(events, view):
    """Events as the oracle writes them, without the seams."""
    seams = {view.clock.time_of(int(np.searchsorted(view.piece_of, k))) for k in range(len(view.pieces))}
    place = {int(t): k for k, t in enumerate([*view.clock.t_ns, view.end_ns])}
    return sorted(
        (
            Seen(event.label, event.subject, place[event.start_ns], place[event.end_ns])
            for event in events
            if not (event.label in ("video_start", "shot_start") and event.start_ns in seams)
        ),
        key=str,
    )


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=examples(40), deadline=None)
@given(st.data())
def test_a_view_shows_the_frames_that_the_oracle_looks_at(style, data):
    film, view = data.draw(films(style))
    sources = [(f.world.name, f.frame) for f in film.frames]
    assert [view.origin(k) for k in range(len(view.clock))] == sources
    times = [f.at for f in film.frames]
    # Each change may round to whole nanoseconds once.
    assert all(abs(a - b) <= 8 for a, b in zip(view.clock.t_ns.tolist(), times, strict=True))


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=examples(100), deadline=None)
@given(st.data())
def test_events_are_what_a_viewer_of_the_world_sees(style, data):
    film, view = data.draw(films(style))
    assert told(events_in(film, view).there, view) == seen_in(film, style)


def drawn_facts(script, clock, style):
    """What the drawer itself tells of a script on a clock."""
    place = {int(t): k for k, t in enumerate([*clock.t_ns, clock.end_ns])}
    acts = [f for f in facts(script, clock) if style == "world" or f.label in LABELS]
    joins = [
        Seen("shot_start" if j.kind == "cut" else "fade", None, j.start_frame, j.end_frame)
        for j in transitions(script, clock)
    ]
    return sorted([*(Seen(f.label, f.subject, place[f.start_ns], place[f.end_ns]) for f in acts), *joins], key=str)


def thinner(clock, kept):
    times = clock.t_ns[kept]
    return FrameClock(times, clock.end_ns, times)


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 11), st.integers(0, 999), st.sampled_from((0.0, 0.2, 0.5)))
def test_the_drawer_tells_the_same_of_the_frames_that_are_left(style, number, seed, share):
    """The oracle, and augment, against the drawer's own words on a clock with fewer frames: no gap hides an act."""
    drawn, rng = world(style, number), random.Random(seed)
    kept, times = [0], drawn.clock.t_ns
    for k in range(1, len(times)):
        after = drawn.clock.time_of(k + 1)
        if rng.random() >= share or after - times[kept[-1]] > 180 * MS:
            kept.append(k)
    expected = drawn_facts(drawn.script, thinner(drawn.clock, np.array(kept)), style)
    film = Film.of(drawn).skip(set(kept))
    view = skip(View.whole(drawn.name, drawn.clock), np.array(kept, np.int64))
    assert seen_in(film, style) == expected
    assert told(events_in(film, view).there, view) == expected


def test_the_worlds_show_all_that_can_happen():
    met = Counter(
        seen.label for style in STYLES for k in range(12) for seen in seen_in(Film.of(world(style, k)), style)
    )
    assert set(met) == {"enter", "leave", "move", "stop", "collide", "change_colour", "shot_start", "fade"}
    assert min(met.values()) >= 5, met
