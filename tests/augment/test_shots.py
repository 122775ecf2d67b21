"""Shots and keyframes in views: they tile, begin at seams, and name the frames that are shown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.maker import Maker
from augment.settings import Pipeline, Skip
from augment.shots import move_keyframes, move_shots, shots_as_seen
from augment.temporal import concat, crop, loop, reverse, skip
from augment.view import View
from datasets_build.checks.laws import Known
from datasets_build.checks.tables import SHOT_LAWS, tile_breaches
from tests.augment.clips import clip
from tests.augment.views import views
from tests.builders.made import clock_from, keyframes_at, shots_at, video_of
from tests.builders.worlds import transitions_at
from tests.laws import examples

MS = 1_000_000
CLOCK = clock_from([100] * 39, last_ms=100)
VIDEO = video_of("a", CLOCK)
SHOTS = shots_at(VIDEO, CLOCK, [10, 25], ["cut", "fade_through"])
WHOLE = View.whole("a", CLOCK)


def moved(view, shots=SHOTS):
    return move_shots(view, {"a": shots}, video_id="v")


def told(shots):
    return [(shot.start_frame, shot.end_frame, shot.transition) for shot in shots]


def test_a_video_as_it_is_keeps_its_shots():
    assert told(moved(WHOLE)) == told(SHOTS)
    assert [shot.detector for shot in moved(WHOLE)] == [shot.detector for shot in SHOTS]


def test_a_crop_begins_with_a_first_shot():
    assert told(moved(crop(WHOLE, 5, 20))) == [(0, 5, "first"), (5, 15, "cut")]
    assert told(moved(crop(WHOLE, 12, 20))) == [(0, 8, "first")]


def test_a_seam_is_a_cut_with_a_detector_of_its_own():
    shots = moved(loop(crop(WHOLE, 0, 15), 2))
    assert told(shots) == [(0, 10, "first"), (10, 15, "cut"), (15, 25, "cut"), (25, 30, "cut")]
    assert [shot.detector.name for shot in shots] == ["made", "made", "augment", "made"]


def test_cuts_between_two_frames_are_one():
    thin = skip(WHOLE, np.array([*range(8), *range(30, 40)]))
    assert [row[:2] for row in told(moved(thin))] == [(0, 8), (8, 18)]


def test_where_shots_are_not_known_none_are_told():
    both = concat([WHOLE, View.whole("b", CLOCK)])
    assert move_shots(both, {"a": SHOTS, "b": []}, video_id="v") == []


def test_backwards_a_shot_begins_where_it_ended():
    assert [row[:2] for row in told(moved(reverse(WHOLE)))] == [(0, 15), (15, 30), (30, 40)]


SLOW = shots_at(
    VIDEO, CLOCK, [10, 20, 30], ["dissolve", "fade_to_black", "fade_from_black"],
    {10: (8, 13), 20: (18, 23), 30: (25, 34)},
)  # fmt: skip


def slowly(view):
    """The shots of a view with the spans of their transitions, in frames."""
    return [
        (shot.start_frame, shot.transition, view.clock.index_at(shot.transition_start_ns), ends(view, shot))
        for shot in moved(view, SLOW)
    ]


def ends(view, shot):
    end = shot.transition_end_ns
    return len(view.clock) if end == view.clock.end_ns else view.clock.index_at(end)


def test_a_transition_keeps_its_span():
    assert slowly(WHOLE) == [
        (0, "first", 0, 0), (10, "dissolve", 8, 13), (20, "fade_to_black", 18, 23), (30, "fade_from_black", 25, 34),
    ]  # fmt: skip


def test_of_a_transition_only_the_frames_that_a_piece_shows_count():
    assert slowly(crop(WHOLE, 9, 21)) == [(0, "first", 0, 0), (1, "dissolve", 0, 4), (11, "fade_to_black", 9, 12)]
    thin = skip(WHOLE, np.array([*range(9), *range(11, 40)]))
    assert slowly(thin)[1] == (9, "dissolve", 8, 11)


def test_a_transition_of_which_no_frame_is_shown_is_a_cut():
    thin = skip(WHOLE, np.array([*range(8), *range(13, 18), *range(23, 40)]))
    assert slowly(thin)[1:3] == [(8, "cut", 8, 8), (13, "cut", 13, 13)]


def test_backwards_a_fade_to_black_comes_out_of_black():
    assert slowly(reverse(WHOLE)) == [
        (0, "first", 0, 0), (10, "fade_to_black", 6, 15), (20, "fade_from_black", 17, 22), (30, "dissolve", 27, 32),
    ]  # fmt: skip


def test_a_seam_inside_a_transition_is_a_cut():
    twice = concat([crop(WHOLE, 0, 9), crop(WHOLE, 11, 15)])
    assert slowly(twice) == [(0, "first", 0, 0), (9, "cut", 9, 9)]


def faded(clips):
    return [name for name in clips if any(shot.transition == "fade_through" for shot in clip(name).shots)]


def test_a_fade_of_which_no_frame_is_left_is_the_cut_that_is_seen():
    names = faded("abcdefgh")
    assert len(names) > 2
    kept = lost = 0
    for name in names:
        parent = clip(name)
        for n in (2, 70):
            made = Maker(pipeline=Pipeline(operations=(Skip(form="every", n=n),))).make(parent, 0)
            seen = [event.span for event in made.clip.events if event.label == "fade"]
            for shot in made.clip.shots:
                if shot.transition == "fade_through":
                    assert [span for span in seen if span.start_ns <= shot.start_ns <= span.end_ns]
            fades = [
                sum(shot.transition == "fade_through" for shot in shots) for shots in (parent.shots, made.clip.shots)
            ]
            kept, lost = kept + fades[1], lost + fades[0] - fades[1]
    assert kept
    assert lost


def test_only_a_fade_at_the_shot_keeps_it_one():
    events = clip(faded("abcdefgh")[0]).events
    shots = clip(faded("abcdefgh")[0]).shots
    assert shots_as_seen(shots, events) == list(shots)
    by_people = [event.model_copy(update={"source": "human"}) for event in events]
    assert shots_as_seen(shots, by_people) == list(shots)
    others = [event for event in events if event.label != "fade"]
    assert {shot.transition for shot in shots_as_seen(shots, others)} <= {"first", "cut"}
    (fade, *_) = (event for event in events if event.label == "fade")
    for shift in (-(fade.span.duration_ns + 1), fade.span.duration_ns + 1):
        times = {"start_ns": fade.start_ns + shift, "end_ns": fade.end_ns + shift}
        moved = shots_as_seen(shots, [*others, fade.model_copy(update=times)])
        at = [shot for shot in moved if fade.start_ns <= shot.start_ns <= fade.end_ns]
        assert [shot.transition for shot in at] == ["cut"]


@settings(max_examples=examples(80), deadline=None)
@given(views(), st.data())
def test_shots_of_any_view_tile_it(view, data):
    sources = {}
    for name in dict.fromkeys(piece.source for piece in view.pieces):
        clock = next(piece.clock for piece in view.pieces if piece.source == name)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(clock) - 1), max_size=3))) if len(clock) > 1 else []
        kinds, spans = data.draw(transitions_at(cuts, len(clock)))
        sources[name] = shots_at(video_of(name, clock), clock, cuts, kinds, spans)
    shots = move_shots(view, sources, video_id="v")
    assert [found for _, found in tile_breaches(shots, view.clock)] == [[]] * len(shots)
    assert all(view.clock.time_of(s.start_frame) == s.start_ns for s in shots)
    assert all(view.clock.time_of(s.end_frame) == s.end_ns for s in shots)
    known = Known(video_of("v", view.clock), view.clock, {})
    assert [breach for law in SHOT_LAWS for shot in shots for breach in law.breaches(shot, known)] == []
    starts = {shot.start_ns for shot in shots}
    assert {int(view.clock.t_ns[int(np.searchsorted(view.piece_of, k))]) for k in range(len(view.pieces))} <= starts
    assert len({shot.id for shot in shots}) == len(shots)


@settings(max_examples=examples(60), deadline=None)
@given(views(sources=1), st.data())
def test_keyframes_are_those_that_are_shown(view, data):
    clock = view.pieces[0].clock
    frames = sorted(data.draw(st.sets(st.integers(0, len(clock) - 1), max_size=5)))
    video = video_of("v0", clock)
    own = shots_at(video, clock, [])
    chosen = keyframes_at(video, clock, own, frames)
    shots = move_shots(view, {"v0": own}, video_id="v")
    found = list(move_keyframes(view, {"v0": chosen}, shots, video_id="v"))
    assert [row.frame_index for row in found] == [k for k in range(len(view.clock)) if view.origin(k)[1] in frames]
    by_id = {shot.id: shot for shot in shots}
    for row in found:
        assert row.t_ns == view.clock.time_of(row.frame_index)
        assert by_id[row.shot_id].span.contains(row.t_ns)
    assert len({row.id for row in found}) == len(found)


def test_without_shots_there_are_no_keyframes():
    chosen = keyframes_at(VIDEO, CLOCK, SHOTS, [0, 5])
    assert list(move_keyframes(WHOLE, {"a": chosen}, [], video_id="v")) == []


@pytest.mark.parametrize(
    ("verdict", "is_cut"), [("seen", True), ("unmeasured", True), ("unsure", False), ("alike", False)]
)
def test_a_shot_goes_on_over_a_seam_that_is_not_told(verdict, is_cut):
    view = loop(crop(WHOLE, 0, 15), 2)
    shots = move_shots(view, {"a": SHOTS}, video_id="v", seams=(verdict,))
    ends = [(10, 15, "cut"), (15, 25, "cut")] if is_cut else [(10, 25, "cut")]
    assert told(shots) == [(0, 10, "first"), *ends, (25, 30, "cut")]
    assert {shot.detector.name for shot in shots} == {"made"} | ({"augment"} if is_cut else set())


def test_one_shot_that_is_looped_is_the_first_alone():
    shots = move_shots(loop(crop(WHOLE, 12, 20), 3), {"a": SHOTS}, video_id="v", seams=("alike", "unsure"))
    assert told(shots) == [(0, 24, "first")]


@settings(max_examples=examples(40), deadline=None)
@given(views(), st.data())
def test_shots_tile_whatever_seams_are_told(view, data):
    seams = [data.draw(st.sampled_from(("seen", "alike", "unsure", "unmeasured"))) for _ in view.pieces[1:]]
    clocks = {piece.source: piece.clock for piece in view.pieces}
    sources = {name: shots_at(video_of(name, clock), clock, []) for name, clock in clocks.items()}
    shots = move_shots(view, sources, video_id="v", seams=seams)
    assert [found for _, found in tile_breaches(shots, view.clock)] == [[]] * len(shots)
    first = np.searchsorted(view.piece_of, np.arange(1, len(view.pieces)))
    cuts = {view.clock.time_of(int(k)) for k, seam in zip(first, seams, strict=True) if seam in ("seen", "unmeasured")}
    assert {shot.start_ns for shot in shots} == {0} | cuts
    assert [shot.transition for shot in shots] == ["first"] + ["cut"] * len(cuts)
