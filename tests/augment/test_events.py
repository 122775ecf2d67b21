"""Events in views, case by case: what is moved, cut, seen late, hidden or gone, and what a viewer can tell of it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.events import move_events, survives_backwards
from augment.seen import LATE_NS, Told, strips_of
from augment.temporal import Pace, Stall, concat, crop, freeze, loop, reverse, skip, speed
from augment.view import View
from datasets_build.core.records import Event, Provenance
from datasets_build.core.topics import PICTURE_SET, bounds_of
from tests.augment.clips import clip
from tests.augment.views import changed
from tests.builders.made import clock_from
from tests.laws import examples

MS = 1_000_000
CLOCK = clock_from([100] * 99, last_ms=100)
WHOLE = View.whole("a", CLOCK)
END = 10_000


def event(label, start, end=None, *, subject="red circle", known=None, text=None, **more):
    """An event of the scene; times in ms."""
    point = end is None
    end = start if point else end
    return Event(
        id=f"{label}-{start}",
        video_id="a",
        start_ns=start * MS,
        end_ns=end * MS,
        label=label,
        label_set=more.pop("label_set", "world"),
        caption=text or f"The {subject} does.",
        subject=subject,
        is_point=point,
        known_from_ns=(min(end, start + 400) if known is None else known) * MS,
        confidence=1.0,
        source=more.pop("source", "annotation"),
        provenance=Provenance(kind="corpus", agent="world"),
        **more,
    )


def picture(label, start, end=None, **more):
    return event(label, start, end, subject=None, label_set=PICTURE_SET, source="shot", known=end or start, **more)


def turns(start, old="red circle", new="blue"):
    return event("change_colour", start, subject=old, text=f"The {old} turns {new}.")


START = picture("video_start", 0)


def moved(view, *events):
    return move_events(view, {"a": [START, *events]}, video_id="v")


def told(found):
    return [(e.label, e.start_ns // MS, e.end_ns // MS) for e in found]


def without(*gaps):
    """The video without the frames of some stretches, in ms."""
    gone = {k for low, high in gaps for k in range(low // 100, high // 100)}
    return skip(WHOLE, np.array([k for k in range(100) if k not in gone], np.int64))


def test_a_video_as_it_is_has_its_events():
    there = moved(WHOLE, event("enter", 1000, 2000), event("stop", 2000), picture("shot_start", 4000))
    assert told(there.there) == [("video_start", 0, 0), ("enter", 1000, 2000), ("stop", 2000, 2000),
                                 ("shot_start", 4000, 4000)]  # fmt: skip
    assert [e.known_from_ns for e in there.there[1:]] == [1400 * MS, 2000 * MS, 4000 * MS]
    assert (there.gone, there.hidden) == ([], [])


def test_what_no_frame_shows_is_hidden_at_the_next_and_gone():
    there = moved(without((1000, 2500)), event("enter", 1000, 2000))
    assert told(there.there) == [("video_start", 0, 0)]
    assert told(there.hidden) == [("enter", 2500, 2500)]
    assert [gone.reason for gone in there.gone] == ["it happens where no frame shows it"]


def test_what_is_cut_away_is_gone_and_not_hidden():
    there = moved(crop(WHOLE, 50, 100), event("enter", 1000, 2000))
    assert (told(there.there), there.hidden) == ([("video_start", 0, 0)], [])
    assert [gone.reason for gone in there.gone] == ["no frame of it is shown"]


def test_one_frame_of_an_act_is_enough_and_it_is_known_at_its_end():
    found = moved(without((1000, 1900)), event("enter", 1000, 2000)).there[-1]
    assert (found.start_ns, found.end_ns, found.known_from_ns) == (1900 * MS, 2000 * MS, 2000 * MS)
    assert found.offset_uncertainty_ns == 0


def test_one_frame_of_what_somebody_tells_in_words_is_not():
    words = event("caption", 1000, 3000, subject=None, label_set="captions")
    found = moved(without((1000, 2900)), words).there[-1]
    assert bounds_of(found, WHOLE.clock).done_ns == WHOLE.end_ns
    whole = moved(without((1000, 1200)), words).there[-1]
    assert whole.offset_uncertainty_ns == 0


@pytest.mark.parametrize(("first", "certain"), [(15, True), (17, False)])
def test_what_began_before_the_view_is_known_when_enough_is_left(first, certain):
    found = moved(crop(WHOLE, first, 100), event("enter", 1000, 2000)).there[-1]
    assert found.start_ns == 0
    assert (found.offset_uncertainty_ns == 0) == certain


def test_what_the_view_ends_in_is_never_over():
    view = loop(crop(WHOLE, 0, 15), 2)
    first, again = (e for e in moved(view, event("enter", 1000, 2000)).there if e.label == "enter")
    assert [told([e]) for e in (first, again)] == [[("enter", 1000, 1500)], [("enter", 2500, 3000)]]
    assert bounds_of(first, view.clock).done_ns == view.end_ns


def test_what_is_over_in_no_frame_before_a_seam_is_never_over():
    gone = skip(WHOLE, np.array([k for k in range(100) if not 15 <= k < 99], np.int64))
    view = loop(crop(gone, 0, 15), 2)
    first = moved(view, event("enter", 1000, 2000)).there[1]
    assert bounds_of(first, view.clock).done_ns == view.end_ns
    # What ends with its video is over with it.
    lasting = moved(loop(WHOLE, 2), event("enter", 9000, END)).there[1]
    assert bounds_of(lasting, loop(WHOLE, 2).clock).done_ns == END * MS


def test_parts_of_what_has_parts_are_certain():
    found = moved(crop(WHOLE, 12, 15), event("move", 1000, 2000)).there[-1]
    assert (found.start_ns, found.end_ns, found.offset_uncertainty_ns) == (0, 300 * MS, 0)


@pytest.mark.parametrize(("gap", "at"), [((2000, 2200), 2200), ((2000, 2300), None), ((1500, 2000), 2000)])
def test_an_instant_is_seen_soon_or_never(gap, at):
    there = moved(without(gap), event("collide", 2000))
    assert told(there.there[1:]) == ([("collide", at, at)] if at else [])
    assert told(there.hidden) == ([] if at else [("collide", gap[1], gap[1])])
    assert LATE_NS == 200 * MS


def test_what_happens_at_the_first_frame_was_not_seen_to_happen():
    for act in (event("stop", 2000), event("collide", 2000), turns(2000)):
        there = moved(crop(WHOLE, 20, 100), act)
        assert told(there.there) == [("video_start", 0, 0)]
        assert told(there.hidden) == [(act.label, 0, 0)]
    # A line is heard, whatever was before.
    line = event("subtitle", 2000, subject=None, label_set="srt")
    assert told(moved(crop(WHOLE, 20, 100), line).there)[-1] == ("subtitle", 0, 0)


def test_a_colour_is_seen_to_have_changed_however_late():
    assert told(moved(without((2000, 5000)), turns(2000)).there)[-1] == ("change_colour", 5000, 5000)


OTHERS = [
    turns(3000, "blue circle", "green"),
    turns(3000, "blue circle", "red"),
    event("leave", 3000, 4000, subject="blue circle"),
    event("enter", 1500, 1900),
    picture("shot_start", 3000),
]


@pytest.mark.parametrize("other", OTHERS)
def test_but_not_where_either_frame_shows_it_otherwise(other):
    there = moved(without((1100, 5000)), turns(2000), other)
    assert turns(2000).id in {name for e in there.hidden for name in e.provenance.inputs}


def test_rest_is_seen_at_the_second_frame_that_shows_it():
    acts = (event("move", 1000, 2000), event("stop", 2000))
    assert told(moved(WHOLE, *acts).there)[1:] == [("move", 1000, 2000), ("stop", 2000, 2000)]
    # Without its last moving frame, the frame at 2 s is the first that shows the new place.
    assert told(moved(without((1900, 2000)), *acts).there)[1:] == [("move", 1000, 2100), ("stop", 2100, 2100)]
    assert told(moved(without((1900, 3000)), *acts).there)[1:] == [("move", 1000, 3100), ("stop", 3100, 3100)]


def test_a_stop_without_a_movement_that_was_seen_is_hidden():
    there = moved(without((1000, 2000)), event("move", 1000, 2000), event("stop", 2000))
    assert told(there.there) == [("video_start", 0, 0)]
    assert {label for label, _, _ in told(there.hidden)} == {"move", "stop"}


def test_a_stop_is_hidden_where_it_goes_on_by_then():
    there = moved(without((1900, 2500)), event("move", 1000, 2000), event("stop", 2000), event("move", 2500, 3000))
    assert [e.label for e in there.hidden] == ["stop"]
    assert told(there.there)[1] == ("move", 1000, 2600)


def test_cuts_in_one_gap_are_one_cut():
    there = moved(without((2000, 4000)), picture("shot_start", 2500), picture("shot_start", 3000))
    assert told(there.there) == [("video_start", 0, 0), ("shot_start", 4000, 4000)]


def test_a_fade_of_which_nothing_is_shown_is_a_cut():
    there = moved(without((2000, 4000)), picture("fade", 2500, 3000))
    assert told(there.there) == [("video_start", 0, 0), ("shot_start", 4000, 4000)]
    assert there.there[-1].caption != picture("fade", 2500, 3000).caption
    # Of a fade and a cut behind it, both over at one frame, the fade is what is seen.
    both = moved(without((2700, 4000)), picture("fade", 2500, 3000), picture("shot_start", 3500))
    assert told(both.there) == [("video_start", 0, 0), ("fade", 2500, 4000)]


def test_a_fade_that_ends_in_a_seam_is_not_over():
    view = loop(crop(WHOLE, 0, 30), 2)
    first = next(e for e in moved(view, picture("fade", 2500, 3000)).there if e.label == "fade")
    assert bounds_of(first, view.clock).done_ns == view.end_ns


def lesson(*acts):
    return [e.model_copy(update={"label_set": "lesson"}) for e in acts]


def sets(found):
    return [e.label_set for e in found.there if e.label_set != PICTURE_SET]


def test_who_was_there_before_breaks_a_promise_until_the_next_shot():
    acts = lesson(event("enter", 1000, 1500), turns(3000), event("enter", 6000, 6500, subject="red star"))
    cut = picture("shot_start", 5000)
    assert sets(moved(WHOLE, *acts, cut)) == ["lesson"] * 3
    assert sets(moved(crop(WHOLE, 20, 100), *acts, cut)) == ["world", "lesson"]
    # Nothing had come in by then.
    assert sets(moved(crop(WHOLE, 10, 100), *acts, cut)) == ["lesson"] * 3
    assert sets(moved(crop(WHOLE, 50, 100), *acts, cut)) == ["lesson"]


def test_who_comes_in_unseen_breaks_it_too():
    acts = lesson(event("enter", 1000, 1500), turns(3000), event("enter", 6000, 6500, subject="red star"))
    there = moved(without((800, 2000)), *acts, picture("shot_start", 5000))
    assert sets(there) == ["world", "lesson"]


def test_recognising_takes_as_long_in_the_view_as_it_took():
    fast = moved(speed(WHOLE, [Pace(0, Fraction(2))]), event("enter", 1000, 3000)).there[-1]
    assert (fast.start_ns, fast.known_from_ns, fast.end_ns) == (500 * MS, 900 * MS, 1500 * MS)
    slow = moved(speed(WHOLE, [Pace(0, Fraction(1, 2))]), event("enter", 1000, 3000)).there[-1]
    assert (slow.start_ns, slow.known_from_ns) == (2000 * MS, 2800 * MS)
    stalled = moved(freeze(WHOLE, [Stall(10, 5000 * MS)]), event("enter", 1000, 3000)).there[-1]
    assert (stalled.start_ns, stalled.known_from_ns) == (1000 * MS, 6400 * MS)


def test_backwards_the_picture_is_mirrored_and_the_scene_is_hidden():
    acts = (picture("pan_left", 2000, 3000), picture("shot_start", 5000), event("enter", 7000, 8000), turns(4000))
    there = moved(reverse(WHOLE), *acts)
    assert told(there.there) == [("video_start", 0, 0), ("shot_start", 5000, 5000), ("pan_right", 7000, 8000)]
    assert {(e.label, e.subject) for e in there.hidden} == {
        ("enter", "red circle"), ("leave", "red circle"), ("change_colour", "red circle"),
        ("change_colour", "blue circle")}  # fmt: skip
    assert survives_backwards(acts[0])
    assert not survives_backwards(acts[2])


def test_a_seam_is_a_cut_and_swallows_one_that_begins_with_it():
    view = concat([crop(WHOLE, 0, 20), crop(WHOLE, 50, 60)])
    there = moved(view, picture("shot_start", 5000))
    assert told(there.there) == [("video_start", 0, 0), ("shot_start", 2000, 2000)]
    assert there.there[1].provenance.agent == "augment"
    assert there.gone == []


def test_uncertain_ends_stay_uncertain():
    unsure = picture("pan_left", 2000, 3000).model_copy(
        update={"onset_uncertainty_ns": 100 * MS, "offset_uncertainty_ns": 200 * MS}
    )
    found = moved(speed(WHOLE, [Pace(0, Fraction(1, 2))]), unsure).there[-1]
    assert (found.onset_uncertainty_ns, found.offset_uncertainty_ns) == (200 * MS, 400 * MS)


@settings(max_examples=examples(80), deadline=None)
@given(st.sampled_from(("a", "b")), st.data())
def test_in_any_view_events_are_ordered_inside_and_on_frames_and_the_parents_stay(name, data):
    parent = clip(name, seconds=12.0)
    before = [e.model_copy(deep=True) for e in parent.events]
    view = View.whole("a", parent.clock)
    for _ in range(data.draw(st.integers(0, 3))):
        view = changed(view, data.draw)
    found = move_events(view, {"a": parent.events}, video_id="v")
    for e in (*found.there, *found.hidden):
        assert 0 <= e.start_ns <= e.known_from_ns <= e.end_ns <= view.end_ns
        assert e.is_point == (e.start_ns == e.end_ns)
        assert e.start_ns < view.end_ns
        assert all(view.clock.on_grid(t) for t in (e.start_ns, e.known_from_ns, e.end_ns))
    assert len({e.id for e in found.there}) == len(found.there)
    assert len({e.id for e in found.hidden}) == len(found.hidden)
    begins = [int(strip.shown_ns[0]) for strip in strips_of(view)]
    assert [e.start_ns for e in found.there if e.provenance.agent == "augment"] == begins
    kept = {name for e in found.there for name in e.provenance.inputs}
    assert not kept & {gone.event.id for gone in found.gone}
    assert parent.events == before


def test_what_is_told_of_subjects():
    acts = (event("move", 1000, 2000), event("stop", 2000), turns(3000), picture("fade", 5000, 6000))
    all_of = Told([START, *acts])
    assert all_of.ending(acts[1]) == acts[0]
    assert all_of.stop_of(acts[0]) == acts[1]
    assert all_of.ending(event("stop", 4000)) is None
    assert [e.label for e in all_of.acts(["blue circle"])] == ["change_colour"]
    assert [all_of.shot_of(t * MS) for t in (0, 5999, 6000)] == [0, 0, 6000 * MS]
    assert all_of.new_shot(5500 * MS, 5800 * MS)
    assert not all_of.new_shot(6000 * MS, 7000 * MS)


SEAMS = {"seen": (True, False), "unmeasured": (True, False), "unsure": (False, True), "alike": (False, False)}
"""What each verdict of a seam makes of it: an event that is there, or a hidden one."""


@pytest.mark.parametrize("verdict", SEAMS)
def test_a_seam_is_told_where_it_is_seen_and_hidden_where_that_is_unsure(verdict):
    acts = [event("enter", 1000, 2000), event("stop", 2000)]
    view = loop(crop(WHOLE, 0, 30), 2)
    found = move_events(view, {"a": [START, *acts]}, video_id="v", seams=(verdict,))
    plain = move_events(view, {"a": [START, *acts]}, video_id="v")
    there, hidden = SEAMS[verdict]
    seam = next(e for e in plain.there if e.label == "shot_start")
    assert (seam in found.there, seam in found.hidden) == (there, hidden)
    assert [e for e in found.there if e != seam] == [e for e in plain.there if e != seam]
    assert [e for e in found.hidden if e != seam] == plain.hidden == []


def test_seams_are_judged_each_for_itself_and_each_needs_a_verdict():
    view = loop(crop(WHOLE, 0, 30), 4)
    found = move_events(view, {"a": [START]}, video_id="v", seams=("alike", "seen", "unsure"))
    assert told(found.there) == [("video_start", 0, 0), ("shot_start", 6000, 6000)]
    assert told(found.hidden) == [("shot_start", 9000, 9000)]
    with pytest.raises(ValueError, match="zip"):
        move_events(view, {"a": [START]}, video_id="v", seams=("alike", "seen"))


@pytest.mark.parametrize(("verdict", "gone"), [("seen", []), ("unsure", ["shot_start-1000"])])
def test_a_new_shot_that_begins_with_a_seam_is_told_with_it_or_gone(verdict, gone):
    view = concat([crop(WHOLE, 20, 30), crop(WHOLE, 10, 20)])
    found = move_events(view, {"a": [START, picture("shot_start", 1000)]}, video_id="v", seams=(verdict,))
    assert [row.event.id for row in found.gone] == gone
    assert all("look alike" in row.reason for row in found.gone)
    assert len([e for e in (*found.there, *found.hidden) if e.label == "shot_start"]) == 1
