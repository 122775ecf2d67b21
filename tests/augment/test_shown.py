"""Laws of what a viewer sees: cuts and spans are told at the frames that show them, backwards and late ones too."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.arrival import arrive
from augment.events import move_events
from augment.shots import move_shots
from augment.temporal import reverse
from augment.view import View
from datasets_build.core.perceived import Detector, Shot
from tests.augment.test_events import CLOCK, MS, START, picture, without
from tests.augment.views import changed
from tests.laws import examples

LATE = st.sampled_from([0, 0, 40 * MS, 700 * MS, 1200 * MS])


@st.composite
def shown(draw):
    """The made video after random changes, turned back once at most, as it arrives over a network."""
    view, backwards = View.whole("a", CLOCK), True
    for _ in range(draw(st.integers(1, 4))):
        if len(view.clock) > 250:
            break
        view = changed(view, draw, backwards=backwards)
        backwards = not any(piece.is_reversed for piece in view.pieces)
    if draw(st.booleans()):
        # Of some lengths, so that frames wait for others and then come at once.
        late = draw(st.lists(LATE, min_size=1, max_size=6))
        view = arrive(view, [late[k % len(late)] for k in range(len(view.clock))]).view
    return view


def frames_of(view):
    """Each piece as its frames' own times in the source and the times at which they are shown, found frame by frame."""
    for place in range(len(view.pieces)):
        mine = np.flatnonzero(view.piece_of == place).tolist()
        yield [(CLOCK.time_of(int(view.frame_of[k])), view.clock.time_of(k)) for k in mine]


def cuts_seen(view, cut_ns):
    """When the picture changes from before a cut to behind it, or back."""
    for frames in frames_of(view):
        for (before, _), (after, at) in pairwise(frames):
            if (before < cut_ns) != (after < cut_ns):
                yield at


@settings(max_examples=examples(150), deadline=None)
@given(shown(), st.integers(1, 98))
def test_a_cut_is_told_where_the_picture_cuts(view, frame):
    cut = picture("shot_start", 100 * frame)
    found = move_events(view, {"a": [START, cut]}, video_id="v")
    told = [event.start_ns for event in found.there if event.provenance.inputs == (cut.id,)]
    assert sorted(told) == sorted(cuts_seen(view, cut.start_ns))


@settings(max_examples=examples(150), deadline=None)
@given(shown(), st.integers(1, 98))
def test_a_shot_begins_where_the_picture_cuts(view, frame):
    detector = Detector(name="made", version="1", decoder="none")
    at = 100 * frame * MS
    shots = [
        Shot(id=f"s{k}", video_id="a", start_ns=start, end_ns=end, ordinal=k, start_frame=first, end_frame=stop,
             transition="cut" if k else "first", transition_start_ns=start, transition_end_ns=start, score=1.0,
             detector=detector)
        for k, (start, end, first, stop) in enumerate([(0, at, 0, frame), (at, CLOCK.end_ns, frame, len(CLOCK))])
    ]  # fmt: skip
    begins = {shot.start_ns for shot in move_shots(view, {"a": shots}, video_id="v")}
    seams = {frames[0][1] for frames in frames_of(view)}
    assert begins - seams == set(cuts_seen(view, at)) - seams


@settings(max_examples=examples(150), deadline=None)
@given(shown(), st.integers(0, 97), st.integers(1, 40))
def test_a_span_is_told_over_the_frames_that_show_it(view, first, count):
    dark = picture("black", 100 * first, min(9_900, 100 * (first + count)))
    found = move_events(view, {"a": [START, dark]}, video_id="v")
    told = sorted((e.start_ns, e.end_ns) for e in found.there if e.provenance.inputs == (dark.id,))
    expected = []
    for frames in frames_of(view):
        inside = [k for k, (own, _) in enumerate(frames) if dark.start_ns <= own < dark.end_ns]
        if inside:
            after = inside[-1] + 1
            later = int(np.searchsorted(view.clock.t_ns, frames[-1][1], side="right"))
            end = frames[after][1] if after < len(frames) else view.clock.time_of(later)
            expected.append((frames[inside[0]][1], end))
    assert told == sorted(expected)


def test_backwards_over_lost_frames_a_span_begins_with_the_first_frame_of_it():
    """The frame at 2.9 s stays on screen until 6 s, so backwards it comes at once behind the one from 6 s."""
    view = reverse(without((3000, 6000)))
    dark = picture("black", 2000, 4000)
    (found,) = (e for e in move_events(view, {"a": [START, dark]}, video_id="v").there if e.label == "black")
    first = view.frame_of.tolist().index(29)
    assert (found.start_ns, found.end_ns) == (view.clock.time_of(first), view.clock.time_of(first + 10))


@settings(max_examples=examples(100), deadline=None)
@given(shown(), st.integers(1, 98))
def test_a_shot_with_which_a_piece_begins_is_named_by_the_seam(view, frame):
    """Each cut of the source is told, named by a seam, or among what is gone."""
    cut = picture("shot_start", 100 * frame)
    found = move_events(view, {"a": [START, cut]}, video_id="v")
    named = {name for event in found.there for name in event.provenance.inputs}
    assert (cut.id in named) != (cut.id in {gone.event.id for gone in found.gone})
