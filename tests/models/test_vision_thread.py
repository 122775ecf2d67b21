import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ClosedError
from models.tower import Tower
from models.vision import Encoder
from tests.laws import examples
from tests.models.watched import (
    PLAIN,
    THREAD,
    WAIT,
    counts,
    grey,
    picture,
    same,
)


@settings(max_examples=examples(25))
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


@settings(max_examples=examples(25))
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


@pytest.mark.parametrize("as_array", [True, False])
def test_frames_may_be_drawn_over_while_they_wait(make, tower, as_array):
    expected = make().submit(picture(5)).result()
    tower.begun.clear()
    tower.gate.clear()
    encoder = make(THREAD)
    encoder.submit(picture(0))
    assert tower.begun.wait(WAIT)
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
    encoder.submit(picture(9))
    assert tower.begun.wait(WAIT)
    # Twice in one batch: encoded once.
    twin = encoder.submit(picture(0))
    futures = [encoder.submit(picture(seed, size)) for seed, size in enumerate(sizes)]
    tower.gate.set()
    encoder.drain()
    assert tower.calls == [1, 3, 2]
    assert twin.result() is futures[0].result()
    for future, one in zip(futures, expected, strict=True):
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
    # The tower goes on once the last is cancelled: by a clock, it could be before.
    futures[-1].add_done_callback(lambda _: tower.gate.set())
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
    before = set(threading.enumerate())
    encoder = make()
    # One of an earlier test may end meanwhile.
    assert set(threading.enumerate()) <= before
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
            futures[-1].add_done_callback(lambda _: tower.gate.set())
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
