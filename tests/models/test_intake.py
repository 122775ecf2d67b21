"""Tests of the way in: frames become grids that are being encoded, and a refused frame leaves nothing behind."""

from concurrent.futures import CancelledError
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ClosedError, FrameError, TimeError
from models.intake import Intake
from models.memory.signals import thumbnail
from models.metrics import Meter
from models.pairs import Pairer
from tests.laws import examples
from tests.models.oracle import drawn_frames
from tests.models.small import FAMILIES, SECOND, backbone
from tests.models.watched import THREAD, WAIT, Watched, counts, encoders, same, tiny_format

GAP = 2 * SECOND


def intake_of(encoder, family="qwen2_5_vl", *, gap_ns=GAP):
    values = backbone(family).family
    return Intake(encoder, Pairer(gap_ns), frame_format=tiny_format(family), family=values, meter=Meter())


@pytest.fixture
def tower():
    return Watched(backbone())


@pytest.fixture
def make(tower):
    with encoders(tower, tiny_format("qwen2_5_vl")) as made:
        yield made


def state(intake):
    """All that a refused frame could have changed."""
    pairer = intake.pairer
    return (
        list(intake.queue), intake.first_ns, intake.last_ns, intake._next, asdict(intake._meter),
        pairer._waiting, pairer._last_ns, pairer._layout,
    )  # fmt: skip


# Pairing.


@given(st.lists(st.sampled_from([1, SECOND // 3, SECOND, GAP, GAP + 1, 9 * SECOND]), min_size=1, max_size=8))
@settings(max_examples=examples(25), deadline=None)
def test_frames_become_grids_of_two_that_lie_close(steps):
    times = np.cumsum([5, *steps]).tolist()
    expected, waiting = [], None
    for t_ns in times:
        if waiting is not None and t_ns - waiting <= GAP:
            expected.append((waiting, t_ns))
            waiting = None
        else:
            expected += [] if waiting is None else [(waiting, waiting)]
            waiting = t_ns
    tower = Watched(backbone())
    with encoders(tower, tiny_format("qwen2_5_vl")) as make:
        intake = intake_of(make())
        arrived = []
        for frame, t_ns in zip(drawn_frames(len(times)), times, strict=True):
            arrived += intake.add(frame, int(t_ns))
            lone = intake.lone()
        assert [(arrival.t0_ns, arrival.last_ns) for arrival in arrived] == expected
        assert [arrival.key for arrival in arrived] == list(range(len(expected)))
        assert list(intake.queue) == arrived
        assert (intake.first_ns, intake.last_ns) == (times[0], times[-1])
        assert (intake._meter.frames, intake._meter.chunks) == (len(times), len(expected))
        assert (None if lone is None else (lone.t0_ns, lone.last_ns)) == (None if waiting is None else (waiting,) * 2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(16, 24), (24, 16), (20, 45), (9, 9)])
def test_an_arrival_has_the_size_the_features_and_the_picture_of_its_frames(family, size):
    tower = Watched(backbone(family))
    first, second = drawn_frames(2, size=size)
    with encoders(tower, tiny_format(family)) as make:
        encoder = make()
        intake = intake_of(encoder, family)
        assert intake.add(first, 0) == []
        [arrival] = intake.add(second, SECOND)
        found = arrival.future.result(WAIT)
        rows, columns = tiny_format(family).grid(*size)
        assert (arrival.height, arrival.width) == (rows // 2, columns // 2)
        assert found.tokens == arrival.height * arrival.width
        assert len(found.deepstack) == (1 if family == "qwen3_vl" else 0)
        assert np.array_equal(arrival.thumbnail, thumbnail(second))
        assert same(found, encoder.submit(np.stack([first, second])).result(WAIT))
        other = encoder.submit(np.stack([second, first])).result(WAIT)
        assert not same(found, other)


def test_what_memory_is_told_of_an_arrival(make):
    intake = intake_of(make())
    for frame, t_ns in zip(drawn_frames(2), (3, 8), strict=True):
        arrived = intake.add(frame, t_ns)
    features = arrived[0].future.result(WAIT)
    chunk = arrived[0].chunk(features, tokens=17)
    # The span is half-open and ends behind the last frame.
    assert (chunk.key, chunk.t0_ns, chunk.t1_ns, chunk.tokens) == (0, 3, 9, 17)
    assert chunk.features.shape == (12, 64)
    assert arrived[0].chunk(None, tokens=17).features is None


def test_the_caller_may_draw_the_next_frame_into_the_same_memory(make):
    frames = drawn_frames(2)
    intake, other = intake_of(make()), intake_of(make())
    canvas = frames[0].copy()
    intake.add(canvas, 0)
    canvas[:] = frames[1]
    [arrival] = intake.add(canvas, 1)
    canvas[:] = 0
    other.add(frames[0], 0)
    [kept] = other.add(frames[1], 1)
    assert same(arrival.future.result(WAIT), kept.future.result(WAIT))


# Refusing.


FRAME = drawn_frames(1)[0]
BAD = {
    "size": (FRAME[:-1], 9, FrameError, "with which the stream began"),
    "dtype": (FRAME.astype(np.float32), 9, FrameError, "uint8"),
    "grey": (FRAME[..., 0], 9, FrameError, r"\(height, width, 3\)"),
    "colour first": (FRAME.transpose(2, 0, 1), 9, FrameError, r"\(height, width, 3\)"),
    "empty": (FRAME[:0], 9, FrameError, "no side of 0"),
    "ribbon": (np.zeros((2, 900, 3), np.uint8), 9, FrameError, "900"),
    "list": (FRAME.tolist(), 9, FrameError, "list"),
    "backwards": (FRAME, 4, TimeError, "after 5 ns"),
    "twice": (FRAME, 5, TimeError, "after 5 ns"),
    "float": (FRAME, 9.0, TimeError, "int of nanoseconds"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_frame_is_refused_and_nothing_changes(make, tower, name):
    frame, t_ns, error, message = BAD[name]
    intake = intake_of(make())
    for good, time_ns in zip(drawn_frames(3), (1, 2, 5), strict=True):
        intake.add(good, time_ns)
    before, worked = state(intake), tower.grids
    with pytest.raises(error, match=message):
        intake.add(frame, t_ns)
    assert (state(intake), tower.grids) == (before, worked)
    [arrival] = intake.add(FRAME, 6)
    assert (arrival.t0_ns, arrival.last_ns) == (5, 6)


def test_a_closed_encoder_refuses_and_the_waiting_frame_goes_on_waiting(make):
    encoder = make()
    intake = intake_of(encoder)
    intake.add(FRAME, 1)
    encoder.close()
    before = state(intake)
    with pytest.raises(ClosedError):
        intake.add(FRAME, 2)
    assert state(intake) == before


# Work.


def test_frames_seen_before_use_no_vision_work(make, tower):
    encoder = make()
    intake = intake_of(encoder)
    arrived = [arrival for t_ns in range(8) for arrival in intake.add(FRAME, t_ns)]
    assert tower.grids == 1
    assert (counts(encoder).encoded, counts(encoder).exact_hits) == (1, 3)
    assert all(same(arrived[0].future.result(), arrival.future.result()) for arrival in arrived)
    changed = FRAME.copy()
    changed[0, 0, 0] ^= 1
    intake.add(changed, 10)
    intake.add(FRAME, 11)
    assert tower.grids == 2


def test_a_thread_encodes_while_frames_come_and_gives_the_same_features(make, tower):
    frames = drawn_frames(6)
    ahead, at_once = intake_of(make(THREAD)), intake_of(make())
    tower.gate.clear()
    arrived = [arrival for t_ns, frame in enumerate(frames) for arrival in ahead.add(frame, t_ns)]
    assert len(arrived) == 3
    assert not any(arrival.future.done() for arrival in arrived)
    tower.gate.set()
    found = [arrival.future.result(WAIT) for arrival in arrived]
    direct = [arrival for t_ns, frame in enumerate(frames) for arrival in at_once.add(frame, t_ns)]
    assert all(arrival.future.done() for arrival in direct)
    assert all(same(one, other.future.result()) for one, other in zip(found, direct, strict=True))


def test_dropped_grids_that_have_not_begun_are_never_encoded(make, tower):
    encoder = make(THREAD)
    intake = intake_of(encoder)
    tower.gate.clear()
    arrived = [arrival for t_ns, frame in enumerate(drawn_frames(6)) for arrival in intake.add(frame, t_ns)]
    assert tower.begun.wait(WAIT)
    intake.drop()
    assert not intake.queue
    tower.gate.set()
    encoder.drain()
    # The first had begun.
    assert arrived[0].future.result(WAIT).tokens == 12
    for arrival in arrived[1:]:
        with pytest.raises(CancelledError):
            arrival.future.result(WAIT)
    assert (tower.grids, counts(encoder).cancelled) == (1, 2)


def test_an_error_of_the_tower_arrives_with_the_grid(make, tower):
    intake = intake_of(make())
    intake.add(FRAME, 0)
    tower.broken = True
    [arrival] = intake.add(FRAME, 1)
    with pytest.raises(RuntimeError, match="out of memory"):
        arrival.future.result(WAIT)


# A frame without its partner, and going back.


def test_a_lone_frame_is_shown_doubled_and_goes_on_waiting(make):
    encoder = make()
    intake = intake_of(encoder)
    assert intake.lone() is None
    frames = drawn_frames(2)
    intake.add(frames[0], 7)
    lone = intake.lone()
    assert (lone.key, lone.t0_ns, lone.last_ns) == (0, 7, 7)
    assert same(lone.future.result(WAIT), encoder.submit(np.stack([frames[0]] * 2)).result(WAIT))
    assert not intake.queue
    [arrival] = intake.add(frames[1], 9)
    assert (arrival.key, arrival.t0_ns, arrival.last_ns) == (0, 7, 9)
    assert intake.lone() is None


def test_going_back_drops_what_waits_and_keys_go_on_rising(make):
    intake = intake_of(make())
    frames = drawn_frames(8)
    for t_ns in range(3):
        intake.add(frames[t_ns], t_ns)
    moment, last_ns = intake.pairer.copy(), intake.last_ns
    for t_ns in range(3, 6):
        intake.add(frames[t_ns], t_ns)
    assert [arrival.key for arrival in intake.queue] == [0, 1, 2]
    intake.rewind(moment, last_ns=last_ns)
    assert (list(intake.queue), intake.first_ns, intake.last_ns) == ([], 0, 2)
    # The time that was taken back may come again; the frame that waited then waits again.
    [arrival] = intake.add(frames[6], 3)
    assert (arrival.key, arrival.t0_ns, arrival.last_ns) == (3, 2, 3)


def test_going_back_before_the_first_frame_begins_anew(make):
    intake = intake_of(make())
    intake.add(FRAME, 50)
    intake.rewind(Pairer(GAP), last_ns=None)
    assert (intake.first_ns, intake.last_ns, intake.lone()) == (None, None, None)
    intake.add(torch.zeros(16, 16, 3, dtype=torch.uint8), 4)
    assert (intake.first_ns, intake.last_ns) == (4, 4)
