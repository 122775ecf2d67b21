"""What all ways of bringing frames in promise: order, nothing lost, and nothing changed by a refusal or a copy."""

from concurrent.futures import Future

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.errors import PoolFullError
from models.metrics import Meter
from models.row import Draft
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from models.watcher import wait
from tests.laws import examples
from tests.models.oracle import Oracle, drawn_frames
from tests.models.small import FAMILIES, SECOND, backbone, text_block
from tests.models.watched import Watched, encoders, tiny_format
from tests.models.watching import MODES, arrival, features_for, held, track_of, watcher_of


def state(watcher):
    """All that a refusal could have changed, in the watcher and in its line."""
    track = watcher.track
    own = [
        getattr(watcher, name, None) for name in ("_entries", "_chosen", "_filled", "_clip", "_waiting", "offloaded")
    ]
    policy = getattr(watcher, "policy", None)
    entries = [(entry.id, entry.slots.tolist(), entry.positions.tolist()) for entry in track.row.live()]
    return (
        repr(own), None if policy is None else (policy.live(), policy.offloaded()), entries, track.row.used,
        track.cursor, track.meter.evicted, watcher.feature_bytes(), watcher.memory_bytes(),
    )  # fmt: skip


def show(watcher):
    """Entries that a question would see: the system turn, what is remembered, and what waits."""
    remembered = watcher.ready()
    return [watcher.track.start(), *(remembered.entries[key] for key in remembered.keys)]


def take(watcher, came):
    """Brings a grid in and asks for what is remembered: the one or the other needs room and features."""
    watcher.absorb(came)
    return watcher.ready()


def question(watcher, sees):
    """Logits of a question behind the frames, which goes again."""
    row, cursor = watcher.track.row, watcher.track.cursor
    entry, _ = row.place(text_block(3, first=60), cursor)
    [logits] = row.run([Draft(entry=entry, sees=tuple(sees), logits=3)])
    row.free([entry.id])
    return logits


# Waiting for features.


def test_waiting_is_timed_and_an_error_of_the_tower_passes_on():
    meter, future = Meter(), Future()
    features = features_for("qwen2_5_vl", 4, 0)
    future.set_result(features)
    assert wait(future, meter) is features
    assert meter.seconds["vision_wait"] > 0
    failed = Future()
    failed.set_exception(RuntimeError("out of memory, say"))
    before = meter.seconds["vision_wait"]
    with pytest.raises(RuntimeError, match="out of memory"):
        wait(failed, meter)
    assert meter.seconds["vision_wait"] > before


# What they promise.


@given(
    st.sampled_from(FAMILIES), st.sampled_from(MODES), st.sampled_from(["all", "window", "star_stream", "retrieval"]),
    st.lists(st.sampled_from(["frame", "frame", "frame", "ready"]), max_size=10),
)  # fmt: skip
@settings(max_examples=examples(30), deadline=None)
def test_what_is_remembered_is_in_the_cache_in_order_of_time_and_whole(family, mode, memory, steps):
    oracle = Oracle(backbone(family))
    track = track_of(family, observer=oracle)
    watcher = watcher_of(mode, track, memory=memory, last=2, star_capacity=1, stream_capacity=2)
    came = []
    for step in ["frame", *steps]:
        if step == "frame":
            came.append(arrival(len(came), family=family, level=60 * (len(came) % 4)))
            watcher.absorb(came[-1])
        else:
            watcher.ready()
        expected = sum(len(entry.slots) for entry in track.row.live())
        assert track.row.used == expected
    remembered = watcher.ready()
    assert set(remembered.keys) == set(remembered.entries) == set(remembered.features)
    assert list(remembered.keys) == sorted(remembered.keys)
    live = [entry for entry in track.row.live() if entry.block.kind is Kind.FRAMES]
    assert sorted(remembered.entries.values()) == [entry.id for entry in live]
    for key in remembered.keys:
        entry = track.row.entry(remembered.entries[key])
        assert (entry.block.t0_ns, entry.block.t1_ns) == (came[key].t0_ns, came[key].last_ns + 1)
        assert torch.equal(remembered.features[key].embeds, came[key].future.result().embeds)
    # What waits is what came after the newest that is remembered.
    tail = [waiting.t0_ns for waiting in watcher.tail()]
    newest = max((came[key].t0_ns for key in remembered.keys), default=-1)
    assert tail == [one.t0_ns for one in came if one.t0_ns > newest]
    assert not tail or mode == "clip"
    again = watcher.ready()
    assert (again.keys, again.entries) == (remembered.keys, remembered.entries)
    question(watcher, show(watcher))
    assert oracle.difference() <= 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_before_the_first_frame_there_is_the_system_turn(mode):
    track = track_of()
    watcher = watcher_of(mode, track)
    remembered = watcher.ready()
    assert (remembered.keys, dict(remembered.entries), dict(remembered.features)) == ((), {}, {})
    assert [entry.id for entry in track.row.live()] == [track.system]
    assert (list(watcher.tail()), watcher.feature_bytes(), watcher.compact()) == ([], 0, 0)
    watcher.expire(SECOND)
    assert watcher.ready().keys == ()


@pytest.mark.parametrize("mode", MODES)
def test_drafts_take_a_grid_as_absorb_does(mode):
    tracks = [track_of(), track_of()]
    absorbed, drafted = (watcher_of(mode, track, memory="window", last=2) for track in tracks)
    for key in range(5):
        absorbed.absorb(arrival(key))
        drafts = drafted.drafts(arrival(key))
        # Clips are of two grids.
        assert len(drafts) == {"incremental": 1, "delayed": 0, "clip": 2 * (key % 2)}[mode]
        if drafts:
            tracks[1].row.run(drafts)
    logits = [question(watcher, show(watcher)) for watcher in (absorbed, drafted)]
    torch.testing.assert_close(logits[0], logits[1], atol=1e-5, rtol=0)
    assert tracks[0].cursor == tracks[1].cursor


@pytest.mark.parametrize("mode", MODES)
def test_a_pool_that_is_full_leaves_everything_as_it_was_and_room_helps(mode):
    track = track_of(slots=64)
    watcher = watcher_of(mode, track, memory="window", last=2)
    for key in range(4):
        watcher.absorb(arrival(key))
    base = show(watcher)
    before = question(watcher, base)
    # A branch takes all that is left, and holds what memory would let go.
    track.row.hold(base)
    filler, _ = track.row.place(text_block(track.row.available), track.cursor)
    for key in (4, 5):
        if mode == "incremental" or (mode == "clip" and key == 5):
            unchanged = state(watcher)
            with pytest.raises(PoolFullError, match="Raise `slots`"):
                watcher.absorb(arrival(key))
            assert state(watcher) == unchanged
        else:
            watcher.absorb(arrival(key))
    if mode == "delayed":
        unchanged = state(watcher)
        with pytest.raises(PoolFullError, match="chosen grids need 8 slots; 0 are free"):
            watcher.ready()
        assert state(watcher) == unchanged
    track.row.free([filler.id])
    torch.testing.assert_close(question(watcher, base), before, atol=1e-5, rtol=0)
    track.row.let_go(base)
    if mode != "delayed":
        for key in (4, 5) if mode == "incremental" else (5,):
            watcher.absorb(arrival(key))
    assert watcher.ready().keys == (4, 5)


@pytest.mark.parametrize("mode", MODES)
def test_a_pool_too_small_for_the_system_turn_says_so_and_nothing_is_kept(mode):
    track = track_of(slots=4)
    watcher = watcher_of(mode, track, grids=1)
    with pytest.raises(PoolFullError):
        take(watcher, arrival(0))
    assert (track.row.used, track.system) == (0, None)


@pytest.mark.parametrize("mode", MODES)
def test_a_grid_whose_encoding_failed_changes_nothing_in_the_cache(mode):
    track = track_of()
    watcher = watcher_of(mode, track, grids=1)
    watcher.absorb(arrival(0))
    watcher.ready()
    broken = arrival(1, ready=False)
    broken.future.set_exception(RuntimeError("out of memory, say"))
    before = [(entry.id, entry.slots.tolist()) for entry in track.row.live()]
    with pytest.raises(RuntimeError, match="out of memory"):
        take(watcher, broken)
    assert [(entry.id, entry.slots.tolist()) for entry in track.row.live()] == before
    assert watcher.feature_bytes() == arrival(0).future.result().nbytes


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_goes_on_after_its_tower_failed_once(mode):
    chosen = StreamingSettings(mode=mode, slots=512, background=False, max_new_tokens=2, clip_frames=4, cache_bytes=0)
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=chosen)
    tower = Watched(model.backbone)
    with encoders(tower, tiny_format("qwen2_5_vl")) as make, model.session() as session:
        session._state.intake.encoder = make(cache_bytes=0)
        told = 0
        for index, frame in enumerate(drawn_frames(24)):
            tower.broken = index in (5, 9)
            try:
                session.add_frame(frame, index * SECOND)
                if index % 8 == 7:
                    session.ask("What?").run()
            except RuntimeError:
                told += 1
        session.ask("And now?").run()
        # Each failure is told of, and the grids that could be encoded are all there.
        assert told in ({2} if mode != "delayed" else {1, 2})
        assert session.metrics().chunks_pending == 0
        remembered = session._state.watcher.ready()
        assert len(remembered.keys) == {"incremental": 10, "delayed": 10, "clip": 2}[mode]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("memory", ["window", "clusters", "retrieval"])
def test_a_saved_state_is_gone_back_to_whatever_came_after(mode, memory):
    track = track_of()
    knobs = {"last": 2, "clusters": 1, "cluster_buffer": 1, "cluster_size": 2, "cluster_match": 0.0}
    watcher = watcher_of(mode, track, memory=memory, **knobs)
    for key in range(5):
        watcher.absorb(arrival(key, like=0))
    base, keys = show(watcher), watcher.ready().keys
    before, cursor, written = question(watcher, base), track.cursor, held(track, base)
    saved = watcher.save()
    kept = [entry.id for entry in track.row.live()]
    track.row.hold(kept)
    told = state(saved)[:2]
    for key in range(5, 9):
        watcher.absorb(arrival(key, like=0))
    assert watcher.ready().keys != keys
    assert state(saved)[:2] == told
    track.row.free([entry.id for entry in track.row.live() if entry.id not in kept])
    track.row.revive(kept)
    track.cursor = cursor
    # Twice, since a moment may be gone back to as often as wanted.
    for _ in range(2):
        back = saved.save()
        assert show(back) == base
        torch.testing.assert_close(question(back, base), before, atol=1e-5, rtol=0)
    assert all(map(torch.equal, held(track, base), written))
