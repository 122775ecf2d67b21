import json
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backbone import MODEL_CLASSES, Backbone, family_of
from models.errors import ClosedError, FrameError, SettingsError
from models.patches import FrameFormat
from models.tiny import tiny_config, tiny_processor
from models.tower import Tower
from models.vision import Encoder, VisionSettings

FAMILIES = tuple(MODEL_CLASSES)
PLAIN = VisionSettings(cache_bytes=10**6, background=False)
THREAD = replace(PLAIN, background=True)
WAIT = 20


class Watched(Tower):
    """A tower that counts its calls, waits at a gate, and fails when told to."""

    def __init__(self, backbone):
        super().__init__(backbone)
        self.calls = []
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.gate.set()
        self.broken = False

    def encode(self, patches, grids):
        self.begun.set()
        assert self.gate.wait(WAIT)
        self.calls.append(len(grids))
        if self.broken:
            raise RuntimeError("out of memory, say")
        return super().encode(patches, grids)

    @property
    def grids(self):
        return sum(self.calls)


@pytest.fixture(scope="module")
def backbones():
    torch.manual_seed(0)
    return {family: Backbone(MODEL_CLASSES[family](tiny_config(family))) for family in FAMILIES}


@pytest.fixture(scope="module")
def formats():
    return {
        family: FrameFormat.from_processor(tiny_processor(family), family_of(tiny_config(family)))
        for family in FAMILIES
    }


@pytest.fixture
def tower(backbones):
    return Watched(backbones["qwen2_5_vl"])


@pytest.fixture
def make(tower, formats):
    made = []

    def encoder(chosen=PLAIN, **changes):
        made.append(Encoder(tower, formats["qwen2_5_vl"], replace(chosen, **changes)))
        return made[-1]

    yield encoder
    tower.gate.set()
    for one in made:
        one.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "vision"]


def picture(seed, size=(16, 24)):
    return torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def grey(value):
    return torch.full((2, 16, 24, 3), value, dtype=torch.uint8)


def same(one, other):
    parts = zip((one.embeds, *one.deepstack), (other.embeds, *other.deepstack), strict=True)
    return all(torch.equal(a, b) for a, b in parts)


def counts(encoder):
    stats = encoder.stats()
    answered = stats.encoded + stats.exact_hits + stats.similar_hits + stats.cancelled + stats.failed
    assert stats.submitted == answered + stats.pending
    return stats


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chosen", [PLAIN, THREAD])
def test_features_are_those_of_the_tower(backbones, formats, family, chosen):
    tower, form = Tower(backbones[family]), formats[family]
    with Encoder(tower, form, chosen) as encoder:
        for seed, size in enumerate([(16, 24), (40, 24), (16, 24)]):
            frames = picture(seed, size)
            found = encoder.submit(frames).result(WAIT)
            (expected,) = tower.encode([form.patchify(frames)], [form.grid(*size)])
            assert same(found, expected)
            assert found.tokens == form.tokens(*size)


@pytest.mark.parametrize("chosen", [PLAIN, THREAD])
def test_frames_seen_before_cost_no_vision_work(make, tower, chosen):
    encoder = make(chosen)
    futures = [encoder.submit(picture(seed)) for seed in (1, 2, 1, 1, 2, 3, 1)]
    found = [future.result(WAIT) for future in futures]
    assert tower.grids == 3
    assert found[0] is found[2] is found[3] is found[6]
    assert found[1] is found[4]
    stats = counts(encoder)
    assert (stats.submitted, stats.encoded, stats.exact_hits, stats.similar_hits) == (7, 3, 4, 0)
    assert stats.held_bytes == 3 * found[0].nbytes
    assert stats.seconds > 0
    before = stats.seconds
    encoder.submit(picture(1)).result(WAIT)
    assert counts(encoder).seconds == before


def test_one_pixel_or_another_size_is_another_picture(make, tower):
    encoder = make()
    frames = picture(1)
    first = encoder.submit(frames).result()
    other = frames.clone()
    other[0, 0, 0, 0] ^= 1
    assert not same(encoder.submit(other).result(), first)
    encoder.submit(frames.reshape(2, 24, 16, 3)).result()
    assert tower.grids == 3


def test_other_formats_or_weights_have_other_keys(backbones, formats):
    tower, form = Tower(backbones["qwen2_5_vl"]), formats["qwen2_5_vl"]
    names = [
        Encoder(tower, form, PLAIN)._name,
        Encoder(tower, replace(form, max_pixels=form.max_pixels + 1), PLAIN)._name,
        Encoder(Tower(backbones["qwen2_5_omni"]), form, PLAIN)._name,
    ]
    assert len(set(names)) == 3
    assert Encoder(Tower(backbones["qwen2_5_vl"]), replace(form), PLAIN)._name == names[0]


@settings(max_examples=25)
@given(
    seeds=st.lists(st.integers(0, 5), max_size=14),
    cache_rows=st.integers(0, 4),
    pending=st.integers(1, 4),
    pauses=st.sets(st.integers(0, 13)),
)
def test_the_thread_changes_no_bit(backbones, formats, seeds, cache_rows, pending, pauses):
    tower, form = Tower(backbones["qwen3_vl"]), formats["qwen3_vl"]
    one = Encoder(tower, form, PLAIN).submit(picture(0)).result().nbytes
    chosen = replace(PLAIN, cache_bytes=cache_rows * one)
    expected = [Encoder(tower, form, chosen).submit(picture(seed)).result() for seed in seeds]
    with Encoder(tower, form, replace(chosen, background=True, max_pending=pending)) as encoder:
        futures = []
        for place, seed in enumerate(seeds):
            futures.append(encoder.submit(picture(seed)))
            if place in pauses:
                encoder.drain()
                assert all(future.done() for future in futures)
        found = [future.result(WAIT) for future in futures]
        stats = counts(encoder)
        assert stats.held_bytes <= chosen.cache_bytes
        assert stats.submitted == len(seeds) == stats.encoded + stats.exact_hits
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))


@settings(max_examples=25)
@given(values=st.lists(st.integers(90, 110), max_size=14), bound=st.integers(1, 6), cache_rows=st.integers(0, 3))
def test_likeness_does_not_depend_on_the_thread_either(backbones, formats, values, bound, cache_rows):
    tower, form = Tower(backbones["qwen2_5_omni"]), formats["qwen2_5_omni"]
    one = Encoder(tower, form, PLAIN).submit(picture(0)).result().nbytes
    chosen = replace(PLAIN, cache_bytes=cache_rows * one, similarity=float(bound))
    alone = Encoder(tower, form, chosen)
    expected = [alone.submit(grey(value)).result() for value in values]
    with Encoder(tower, form, replace(chosen, background=True)) as encoder:
        found = [future.result(WAIT) for future in [encoder.submit(grey(value)) for value in values]]
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))
    assert replace(encoder.stats(), seconds=0) == replace(alone.stats(), seconds=0)


def test_a_like_frame_is_answered_with_the_one_that_was_encoded(make, tower):
    encoder = make(similarity=3.0)
    found = [encoder.submit(grey(value)).result() for value in (100, 102, 104, 102, 100, 106)]
    stats = counts(encoder)
    # 102 is like 100; 104 is like 102, but not like 100, which is what was encoded; 102 is then nearest to the latest.
    assert (stats.encoded, stats.similar_hits, stats.exact_hits) == (2, 3, 1)
    assert found[1] is found[0]
    assert found[3] is found[2]
    assert found[4] is found[0]
    assert found[5] is found[2]


def test_a_slow_drift_never_creeps(make, tower):
    encoder = make(similarity=3.0)
    for value in range(60, 120):
        found = encoder.submit(grey(value)).result()
        # What stands in was made from a frame less than 3 levels away.
        near = [encoder.submit(grey(other)).result() for other in range(value - 2, value + 1) if other >= 60]
        assert any(found is one for one in near)
    assert tower.grids == 20


def test_likeness_is_off_by_default(make, tower):
    encoder = make()
    for value in (100, 101, 102):
        encoder.submit(grey(value)).result()
    assert tower.grids == 3
    assert VisionSettings().similarity is None


def test_nothing_is_made_of_features_that_were_dropped(make, tower):
    encoder = make(similarity=3.0, cache_bytes=0)
    for value in (100, 101, 100):
        encoder.submit(grey(value)).result()
    assert tower.grids == 3


def test_what_waits_is_bounded_and_never_dropped(make, tower):
    tower.gate.clear()
    encoder = make(THREAD, max_pending=2)
    futures = [encoder.submit(picture(0))]
    assert tower.begun.wait(WAIT)
    futures += [encoder.submit(picture(seed)) for seed in (1, 2)]
    assert encoder.stats().pending == 2
    blocked = threading.Thread(target=lambda: futures.append(encoder.submit(picture(3))))
    blocked.start()
    time.sleep(0.05)
    assert blocked.is_alive()
    assert (encoder.stats().pending, encoder.stats().submitted) == (2, 3)
    tower.gate.set()
    blocked.join(WAIT)
    encoder.drain()
    assert [future.done() for future in futures] == [True] * 4
    assert counts(encoder).encoded == 4


def test_equal_frames_that_wait_are_encoded_once_even_without_a_cache(make, tower):
    tower.gate.clear()
    encoder = make(THREAD, cache_bytes=0)
    futures = [encoder.submit(picture(seed)) for seed in (0, 1, 2, 1, 0, 1)]
    futures[3].cancel()
    tower.gate.set()
    encoder.drain()
    assert tower.grids == 3
    assert futures[1].result() is futures[5].result()
    assert futures[0].result() is futures[4].result()
    stats = counts(encoder)
    assert (stats.encoded, stats.exact_hits, stats.cancelled, stats.held_bytes) == (3, 2, 1, 0)


def test_cancelling_in_time_saves_the_work(make, tower):
    tower.gate.clear()
    encoder = make(THREAD)
    begun = encoder.submit(picture(0))
    assert tower.begun.wait(WAIT)
    waiting = [encoder.submit(picture(seed)) for seed in (1, 2, 3)]
    assert waiting[0].cancel()
    assert waiting[2].cancel()
    assert not begun.cancel()
    tower.gate.set()
    encoder.drain()
    assert begun.done()
    assert waiting[1].done()
    with pytest.raises(CancelledError):
        waiting[0].result()
    stats = counts(encoder)
    assert (tower.grids, stats.encoded, stats.cancelled) == (2, 2, 2)


@pytest.mark.parametrize("chosen", [PLAIN, THREAD])
def test_an_error_travels_to_the_future_and_no_further(make, tower, chosen):
    encoder = make(chosen)
    tower.broken = True
    failed = [encoder.submit(picture(seed)) for seed in (0, 1)]
    for future in failed:
        with pytest.raises(RuntimeError, match="out of memory"):
            future.result(WAIT)
    tower.broken = False
    assert encoder.submit(picture(0)).result(WAIT).tokens == 6
    stats = counts(encoder)
    assert (stats.failed, stats.encoded, stats.exact_hits) == (2, 1, 0)


def test_likeness_to_a_frame_that_failed_is_none(make, tower):
    encoder = make(similarity=3.0)
    tower.broken = True
    assert encoder.submit(grey(100)).exception() is not None
    tower.broken = False
    encoder.submit(grey(101)).result()
    assert counts(encoder).encoded == 1


@pytest.mark.parametrize("chosen", [PLAIN, THREAD])
def test_bad_frames_are_refused_at_once(make, tower, chosen):
    encoder = make(chosen)
    for bad in (torch.zeros(2, 16, 24, 3), picture(0)[:1], picture(0).permute(0, 3, 1, 2)):
        with pytest.raises(FrameError):
            encoder.submit(bad)
    assert encoder.submit(picture(0)).result(WAIT).tokens == 6
    assert counts(encoder).submitted == 1


@pytest.mark.parametrize("as_array", [True, False])
def test_frames_may_be_drawn_over_while_they_wait(make, tower, as_array):
    expected = make().submit(picture(5)).result()
    tower.gate.clear()
    encoder = make(THREAD)
    drawn = picture(5)
    future = encoder.submit(drawn.numpy() if as_array else drawn)
    drawn.zero_()
    tower.gate.set()
    assert same(future.result(WAIT), expected)


def test_several_at_once(make, tower):
    alone = make()
    sizes = [(16, 24), (16, 24), (40, 24), (24, 16), (16, 24)]
    expected = [alone.submit(picture(seed, size)).result() for seed, size in enumerate(sizes)]
    tower.calls.clear()
    tower.begun.clear()
    tower.gate.clear()
    encoder = make(THREAD, batch=4)
    futures = [encoder.submit(picture(9))]
    assert tower.begun.wait(WAIT)
    futures += [encoder.submit(picture(seed, size)) for seed, size in enumerate(sizes)]
    # Twice in one batch: encoded once.
    futures.insert(2, encoder.submit(picture(0)))
    tower.gate.set()
    encoder.drain()
    assert tower.calls == [1, 3, 2]
    assert futures.pop(2).result() is futures[1].result()
    for future, one in zip(futures[1:], expected, strict=True):
        scale = float(one.embeds.abs().max())
        assert (future.result().embeds - one.embeds).abs().max() <= 1e-6 * scale
    assert counts(encoder).exact_hits == 1


def test_one_batch_fails_as_one(make, tower):
    tower.gate.clear()
    encoder = make(THREAD, batch=3)
    first = encoder.submit(picture(0))
    assert tower.begun.wait(WAIT)
    tower.broken = True
    futures = [encoder.submit(picture(seed)) for seed in (1, 2, 1)]
    tower.gate.set()
    encoder.drain()
    assert [future.exception() is None for future in [first, *futures]] == [False] * 4
    assert counts(encoder).failed == 4


def test_closing_answers_what_waits(make, tower):
    tower.gate.clear()
    encoder = make(THREAD)
    futures = [encoder.submit(picture(seed)) for seed in range(3)]
    threading.Timer(0.02, tower.gate.set).start()
    encoder.close()
    assert all(future.done() and not future.cancelled() for future in futures)
    encoder.close()
    with pytest.raises(ClosedError):
        encoder.submit(picture(0))
    assert counts(encoder).submitted == 3


def test_closing_may_cancel_what_waits(make, tower):
    tower.gate.clear()
    encoder = make(THREAD)
    futures = [encoder.submit(picture(seed)) for seed in range(4)]
    assert tower.begun.wait(WAIT)
    threading.Timer(0.02, tower.gate.set).start()
    encoder.close(cancel=True)
    assert [future.cancelled() for future in futures] == [False, True, True, True]
    assert (tower.grids, counts(encoder).cancelled) == (1, 3)


def test_closing_wakes_those_who_wait_for_room(make, tower):
    tower.gate.clear()
    encoder = make(THREAD, max_pending=1)
    encoder.submit(picture(0))
    assert tower.begun.wait(WAIT)
    encoder.submit(picture(1))
    errors = []

    def late():
        try:
            encoder.submit(picture(2))
        except ClosedError as error:
            errors.append(error)

    blocked = threading.Thread(target=late)
    blocked.start()
    closer = threading.Thread(target=encoder.close)
    closer.start()
    # The queue is full still, and the tower at work.
    blocked.join(WAIT)
    assert len(errors) == 1
    tower.gate.set()
    closer.join(WAIT)
    assert counts(encoder).encoded == 2


def test_without_a_thread_there_is_none(make):
    before = threading.active_count()
    encoder = make()
    assert threading.active_count() == before
    encoder.drain()
    encoder.close()
    with pytest.raises(ClosedError):
        encoder.submit(picture(0))


def test_an_error_in_the_block_cancels_what_waits(tower, formats):
    tower.gate.clear()
    futures = []

    def broken_session():
        with Encoder(tower, formats["qwen2_5_vl"], THREAD) as encoder:
            futures.extend(encoder.submit(picture(seed)) for seed in range(3))
            assert tower.begun.wait(WAIT)
            threading.Timer(0.02, tower.gate.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        broken_session()
    assert [future.cancelled() for future in futures] == [False, True, True]


def test_many_callers(make, tower):
    encoder = make(THREAD, max_pending=2)
    found = {}

    def ask(place):
        found[place] = encoder.submit(picture(place % 3)).result(WAIT)

    callers = [threading.Thread(target=ask, args=(place,)) for place in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(WAIT)
    assert len(found) == 12
    assert all(found[place] is found[place % 3] for place in range(12))
    assert tower.grids == 3


numbers = st.integers(0, 10**9)


@given(
    st.builds(
        VisionSettings,
        cache_bytes=numbers, similarity=st.none() | st.floats(0.01, 255) | st.integers(1, 255),
        background=st.booleans(), max_pending=numbers.map(lambda n: n + 1), batch=numbers.map(lambda n: n + 1),
    )
)  # fmt: skip
@settings(max_examples=25)
def test_settings_survive_json(chosen):
    assert VisionSettings.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen


@pytest.mark.parametrize(
    "change",
    [{"cache_bytes": -1}, {"cache_bytes": 1.0}, {"similarity": 0}, {"similarity": 256.0}, {"similarity": True},
     {"similarity": "1"}, {"similarity": float("nan")}, {"background": 1}, {"max_pending": 0}, {"max_pending": True},
     {"batch": 0}, {"batch": None}, {"colour": 1}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(change):
    with pytest.raises(SettingsError):
        VisionSettings.from_json(asdict(PLAIN) | change)


def test_settings_are_complete():
    given_ = asdict(PLAIN)
    del given_["batch"]
    for bad in (given_, [], None, "{}"):
        with pytest.raises(SettingsError):
            VisionSettings.from_json(bad)
