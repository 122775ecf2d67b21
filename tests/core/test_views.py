"""Per-frame views equal their definition on every grid, and no event vanishes between two steps."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.files import DataError
from datasets_build.core.records import Event, Provenance
from datasets_build.core.views import frame_labels, frames_subset, grid_name, parse_grid, subset_grid
from tests.builders.made import clock_from, shots_at, video_of

CLOCK = clock_from([40] * 9)
GRIDS = st.sampled_from([None, Fraction(1), Fraction(2), Fraction(5), Fraction(30_000, 1001), Fraction(1, 3)])


def event(name, start, end, label="pan_left"):
    return Event(
        id=name, video_id="v", start_ns=start, end_ns=end, label=label, label_set="test", caption="It is on.",
        is_point=start == end, known_from_ns=start, confidence=1.0, source="signal",
        provenance=Provenance(kind="rule", agent="test"),
    )  # fmt: skip


def at(frame, clock=CLOCK):
    return clock.time_of(frame)


def view(events, *, clock=CLOCK, fps=None, shots=(), keyframes=()):
    return list(frame_labels("v", clock, events, shots=shots, keyframes=frozenset(keyframes), fps=fps))


@st.composite
def worlds(draw):
    clock = clock_from(draw(st.lists(st.integers(1, 400), max_size=25)), draw(st.integers(1, 400)))
    spans = draw(st.lists(st.tuples(st.integers(0, len(clock) - 1), st.integers(0, 8)), max_size=12))
    events = [event(f"e{k}", at(a, clock), at(min(len(clock), a + n), clock)) for k, (a, n) in enumerate(spans)]
    return clock, sorted(events, key=lambda row: (row.start_ns, row.end_ns))


@pytest.mark.parametrize(
    ("text", "rate", "name", "folder"),
    [
        ("native", None, "native", "frames_native"),
        ("2", Fraction(2), "2/1", "frames_2fps"),
        ("30000/1001", Fraction(30_000, 1001), "30000/1001", "frames_30000_1001fps"),
        ("0.5", Fraction(1, 2), "1/2", "frames_1_2fps"),
    ],
)
def test_a_grid_has_one_name_in_records_and_one_in_folders(text, rate, name, folder):
    assert parse_grid(text) == rate
    assert grid_name(rate) == name
    assert frames_subset(rate) == folder
    assert subset_grid(folder) == rate
    assert parse_grid(name) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "1/0", "2 fps", "inf", "nan"])
def test_a_rate_that_is_none_is_refused(text):
    with pytest.raises(DataError, match="expected native or frames per second"):
        parse_grid(text)


@pytest.mark.parametrize("name", ["frames_", "frames_2", "native", "frames_4_2fps", "events", "frames_fps"])
def test_a_foreign_folder_name_is_refused(name):
    with pytest.raises(DataError):
        subset_grid(name)


def test_a_span_holds_its_frames_and_not_its_end():
    rows = view([event("a", at(2), at(5))])
    assert [row.frame_index for row in rows if row.event_ids] == [2, 3, 4]
    assert [row.frame_index for row in rows if row.starting] == [2]
    assert {row.labels for row in rows} == {(), ("pan_left",)}


def test_an_instant_belongs_to_exactly_its_frame():
    rows = view([event("cut", at(3), at(3), "shot_start")])
    assert [(row.frame_index, row.event_ids, row.starting) for row in rows if row.event_ids or row.starting] == [
        (3, ("cut",), ("cut",))
    ]


def test_between_two_steps_nothing_vanishes_and_nothing_comes_early():
    # Steps of a 5-fps grid on a 25-fps clock are frames 0 and 5.
    rows = view(
        [event("cut", at(3), at(3)), event("short", at(1), at(4)), event("late", at(6), at(9))], fps=Fraction(5)
    )
    assert [row.frame_index for row in rows] == [0, 5]
    assert rows[0].starting == () == rows[0].event_ids
    assert rows[1].starting == ("short", "cut")
    assert rows[1].event_ids == ()


def test_shots_and_keyframes_are_named_at_their_frames():
    video = video_of("v", CLOCK)
    shots = shots_at(video, CLOCK, [4])
    rows = view([], shots=shots, keyframes=[0, 4])
    assert [row.shot_id for row in rows] == [shots[0].id] * 4 + [shots[1].id] * 6
    assert [row.frame_index for row in rows if row.is_keyframe] == [0, 4]
    assert view([])[0].shot_id is None
    assert view([], shots=shots[:1])[7].shot_id is None


def test_ids_tell_grids_and_frames_apart():
    ids = [row.id for fps in (None, Fraction(5)) for row in view([], fps=fps)]
    assert len(set(ids)) == len(ids) == 12


@given(worlds(), GRIDS)
def test_a_step_says_what_its_definition_says(world, fps):
    clock, events = world
    rows = view(events, clock=clock, fps=fps)
    assert [row.frame_index for row in rows] == clock.grid(fps).tolist()
    before = -1
    for row in rows:
        assert row.t_ns == clock.time_of(row.frame_index)
        on = {e.id for e in events if e.span.contains(row.t_ns) or (e.is_point and e.start_ns == row.t_ns)}
        assert set(row.event_ids) == on
        assert len(row.labels) == len(row.event_ids)
        assert set(row.starting) == {e.id for e in events if before < e.start_ns <= row.t_ns}
        before = row.t_ns


@given(worlds(), GRIDS)
def test_every_event_starts_exactly_once_unless_it_comes_after_the_last_step(world, fps):
    clock, events = world
    rows = view(events, clock=clock, fps=fps)
    begun = [name for row in rows for name in row.starting]
    assert sorted(begun) == sorted(e.id for e in events if e.start_ns <= rows[-1].t_ns)


@given(worlds())
def test_a_coarse_view_is_the_native_one_thinned(world):
    clock, events = world
    native = {row.frame_index: row for row in view(events, clock=clock)}
    for row in view(events, clock=clock, fps=Fraction(2)):
        assert row.event_ids == native[row.frame_index].event_ids
        assert row.is_keyframe == native[row.frame_index].is_keyframe
