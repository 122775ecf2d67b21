"""What a track says at an instant is what each of its events says, one by one."""

from hypothesis import given
from hypothesis import strategies as st

from datasets_build.builders.tracks import Told, Track
from datasets_build.core.records import Event, Provenance
from datasets_build.teachers.teacher import Happening

INSTANTS = st.integers(0, 12)


@st.composite
def told(draw):
    """An event whose four instants come in order, as `bounds_of` gives them."""
    early, known, off, done = sorted(draw(st.tuples(INSTANTS, INSTANTS, INSTANTS, INSTANTS)))
    made = Event(
        id=draw(st.text("abc", min_size=1, max_size=3)), video_id="v", start_ns=early, end_ns=done, label="move",
        label_set="world", caption="It moves.", known_from_ns=known, confidence=1.0, source="annotation",
        provenance=Provenance(kind="corpus", agent="world"),
    )  # fmt: skip
    happening = Happening("move", "world", None, "It moves.")
    return Told(made, happening, None, "scene", early, known, off, done)


def is_on(item, t):
    return item.known_ns <= t < item.off_ns


def may_be_on(item, t):
    return item.early_ns <= t < item.done_ns


@given(st.lists(told(), max_size=8), INSTANTS)
def test_a_track_is_its_events_one_by_one(items, t):
    track = Track(items)
    order = sorted(items, key=lambda item: (item.early_ns, item.done_ns, item.event.id))
    over = [item for item in order if item.done_ns <= t]
    latest = max((item.done_ns for item in over), default=None)
    assert track.told == order
    assert track.on(t) == [item for item in order if is_on(item, t)]
    assert track.busy(t) == any(may_be_on(item, t) for item in order)
    assert track.unclear(t) == any(may_be_on(item, t) and not is_on(item, t) for item in order)
    assert track.begun(t) == sum(item.early_ns <= t for item in order)
    assert track.done(t) == over
    assert track.last_done(t) == [item for item in over if item.done_ns == latest]
    assert track.after(t) == [item for item in order if item.early_ns > t]
    assert track.next_early(t) == min((item.early_ns for item in order if item.early_ns > t), default=None)


@given(st.lists(told(), max_size=8), INSTANTS)
def test_what_was_surely_last_ended_behind_all_else(items, t):
    track = Track(items)
    last = track.last_done(t)
    others = [item for item in track.done(t) if item not in last]
    sure = all(item.done_ns <= min(one.off_ns for one in last) for item in others)
    assert track.surely_last(t) == (last if sure else [])
