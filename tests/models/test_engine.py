"""Tests of a forward over slots: whatever the schedule, rows and batch, the logits are those of one plain forward."""

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backbone import Features, Visual
from models.engine import Engine, Feed
from models.slots import SlotPool
from tests.laws import examples
from tests.models.small import FAMILIES, backbone

ROWS, SLOTS = 4, 70
NONE = torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class Piece:
    """Tokens that enter together: how many, which earlier pieces they see, and which of them are pictures."""

    count: int
    sees: tuple[int, ...]
    visual: bool = False


def drawn(piece, index, on, seed):
    """Token ids, and features with deepstack rows where the family has them."""
    generator = torch.Generator().manual_seed(1000 * seed + index)
    token_ids = torch.randint(0, 250, (piece.count,), generator=generator)
    if not piece.visual:
        return token_ids, None, None
    # The first of several tokens is text, so that pictures do not fill a piece.
    visual = torch.arange(piece.count) >= min(1, piece.count - 1)
    shape = (int(visual.sum()), on.width)
    layers = 1 if on.family.timed_text else 0
    tensors = [torch.randn(shape, generator=generator).to(on.dtype) for _ in range(1 + layers)]
    return token_ids, Features(embeds=tensors[0], deepstack=tuple(tensors[1:])), visual


def starts(pieces):
    at, found = 0, []
    for piece in pieces:
        found.append(at)
        at += piece.count
    return found, at


def positions_of(pieces, seed):
    """Any positions will do; the three axes differ."""
    total = starts(pieces)[1]
    generator = torch.Generator().manual_seed(seed)
    return torch.arange(total) + torch.randint(0, 9, (3, total), generator=generator)


def plain(on, pieces, seed):
    """Logits (tokens, vocabulary) of one forward without a cache under a dense mask."""
    begins, total = starts(pieces)
    seen = torch.zeros(total, total, dtype=torch.bool)
    embeds = torch.zeros(total, on.width, dtype=on.dtype)
    visual_rows, deepstack = torch.zeros(1, total, dtype=torch.bool), []
    for index, (piece, at) in enumerate(zip(pieces, begins, strict=True)):
        here = slice(at, at + piece.count)
        for other in piece.sees:
            seen[here, begins[other] : begins[other] + pieces[other].count] = True
        seen[here, here] = torch.ones(piece.count, piece.count, dtype=torch.bool).tril()
        token_ids, features, visual = drawn(piece, index, on, seed)
        embeds[here] = on.embed(token_ids)
        if features is not None:
            embeds[here][visual] = features.embeds
            visual_rows[0, here] = visual
            deepstack.append(features.deepstack)
    mask = torch.zeros(total, total, dtype=on.dtype).masked_fill(~seen, torch.finfo(on.dtype).min)
    layers = tuple(torch.cat(layer) for layer in zip(*deepstack, strict=True))
    with torch.inference_mode():
        hidden = on.hidden(
            embeds[None], positions_of(pieces, seed)[:, None], mask[None, None], None,
            Visual(rows=visual_rows, deepstack=layers) if layers else None,
        )  # fmt: skip
        return on.head(hidden)[0].float()


class Stream:
    """One session's pieces on their way through a row of a pool."""

    def __init__(self, on, pool, row, pieces, seed):
        self.on, self.pool, self.row, self.pieces, self.seed = on, pool, row, pieces, seed
        self.begins = starts(pieces)[0]
        self.positions = positions_of(pieces, seed)
        self.slots, self.next, self.logits, self.freed = {}, 0, {}, set()

    def feeds(self, count):
        """The next pieces, all of them placed before any of them is fed."""
        taken = range(self.next, min(self.next + count, len(self.pieces)))
        for index in taken:
            self.slots[index] = self.pool.place(self.row, self.pieces[index].count)
        self.next = taken.stop
        return [(self, index, self.feed(index)) for index in taken]

    def feed(self, index):
        piece, at = self.pieces[index], self.begins[index]
        token_ids, features, visual = drawn(piece, index, self.on, self.seed)
        sees = [self.slots[other] for other in piece.sees]
        return Feed(
            row=self.row, token_ids=token_ids, positions=self.positions[:, at : at + piece.count],
            slots=self.slots[index], sees=torch.cat(sees) if sees else NONE, features=features, visual=visual,
            logits=piece.count,
        )  # fmt: skip

    def evict(self):
        """Frees what nobody will look at any more; later pieces take the slots."""
        needed = {other for piece in self.pieces[self.next :] for other in piece.sees}
        for index in range(self.next):
            if index not in needed and index not in self.freed:
                self.freed.add(index)
                self.pool.free(self.row, self.slots[index])

    def all_logits(self):
        return torch.cat([self.logits[index] for index in range(len(self.pieces))])


def run(engine, feeds):
    for (stream, index, _), logits in zip(feeds, engine.forward([feed for *_, feed in feeds]), strict=True):
        stream.logits[index] = logits


@st.composite
def scripts(draw):
    pieces = []
    for index in range(draw(st.integers(1, 6))):
        sees = [other for other in range(index) if draw(st.integers(0, 3))]
        pieces.append(Piece(draw(st.integers(1, 5)), tuple(sees), draw(st.booleans())))
    return pieces


@given(
    st.sampled_from(FAMILIES), st.sampled_from(["eager", "sdpa"]), st.lists(scripts(), min_size=1, max_size=3),
    st.permutations(range(ROWS)), st.randoms(use_true_random=False),
)  # fmt: skip
@settings(max_examples=examples(40), deadline=None)
def test_any_schedule_over_any_rows_equals_each_session_in_one_plain_forward(family, attention, parts, rows, random):
    on = backbone(family, attention=attention)
    pool = SlotPool(on, slots=SLOTS, rows=ROWS)
    engine = Engine(on, pool)
    streams = [Stream(on, pool, row, pieces, seed) for seed, (row, pieces) in enumerate(zip(rows, parts, strict=False))]
    while unfinished := [stream for stream in streams if stream.next < len(stream.pieces)]:
        some = random.sample(unfinished, random.randint(1, len(unfinished)))
        feeds = [feed for stream in some for feed in stream.feeds(random.randint(1, 3))]
        random.shuffle(feeds)
        run(engine, feeds)
        for stream in some:
            stream.evict()
    assert pool.bytes_moved == 0
    for stream in streams:
        torch.testing.assert_close(stream.all_logits(), plain(on, stream.pieces, stream.seed), atol=1e-5, rtol=0)


TALK = [Piece(5, ()), Piece(4, (0,), visual=True), Piece(5, (0, 1), visual=True), Piece(3, (0, 2)), Piece(1, (0, 2, 3))]


def stream_through(on, pool, *, row=0, pieces=TALK, seed=7):
    stream = Stream(on, pool, row, pieces, seed)
    while stream.next < len(pieces):
        run(Engine(on, pool), stream.feeds(1))
        stream.evict()
    return stream.all_logits()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_stream_equals_the_plain_forward(family, attention):
    on = backbone(family, attention=attention)
    found = stream_through(on, SlotPool(on, slots=SLOTS))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain(on, TALK, 7), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_runs_and_stays_close(family):
    on = backbone(family, dtype=torch.bfloat16)
    found, exact = stream_through(on, SlotPool(on, slots=SLOTS)), plain(on, TALK, 7)
    assert found.isfinite().all()
    assert float((found - exact).norm() / exact.norm()) < 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_another_view_gives_other_logits(family):
    # The tests above could not see a mask that is ignored if this failed.
    on = backbone(family)
    blind = [*TALK[:4], replace(TALK[4], sees=(0, 3))]
    found, other = (
        stream_through(on, SlotPool(on, slots=SLOTS)),
        stream_through(on, SlotPool(on, slots=SLOTS), pieces=blind),
    )
    assert torch.equal(found[:-1], other[:-1])
    assert float((found[-1] - other[-1]).abs().max()) > 1e-2


def test_what_stale_slots_hold_changes_nothing():
    on = backbone("qwen3_vl")
    clean, dirty = SlotPool(on, slots=SLOTS, rows=3), SlotPool(on, slots=SLOTS, rows=3)
    for layer in dirty.pools:
        layer.pool_keys.normal_(std=1e3)
        layer.pool_values.normal_(std=1e30)
    assert torch.equal(stream_through(on, clean, row=1), stream_through(on, dirty, row=1))


def test_rows_that_take_no_part_keep_every_byte():
    on = backbone()
    pool = SlotPool(on, slots=SLOTS, rows=4)
    for layer in pool.pools:
        layer.pool_keys.normal_()
        layer.pool_values.normal_()
    before = [tensor.clone() for layer in pool.pools for tensor in (layer.pool_keys, layer.pool_values)]
    first, last = Stream(on, pool, 0, TALK, 1), Stream(on, pool, 2, TALK, 2)
    run(Engine(on, pool), [*first.feeds(2), *last.feeds(1)])
    written = {0: 9, 2: 5}
    for kept, now in zip(
        before, (t for layer in pool.pools for t in (layer.pool_keys, layer.pool_values)), strict=True
    ):
        for row in range(4):
            count = written.get(row, 0)
            assert torch.equal(kept[row, :, count:], now[row, :, count:])
            assert not count or not torch.equal(kept[row, :, :count], now[row, :, :count])


def test_a_long_row_beside_a_short_one_changes_neither():
    on = backbone()
    pool = SlotPool(on, slots=300, rows=2)
    long = [Piece(90, ()), Piece(90, (0,)), Piece(2, (0, 1))]
    streams = [Stream(on, pool, 0, long, 3), Stream(on, pool, 1, TALK, 4)]
    run(Engine(on, pool), streams[0].feeds(2))
    run(Engine(on, pool), [*streams[1].feeds(4), *streams[0].feeds(1)])
    run(Engine(on, pool), streams[1].feeds(1))
    for stream in streams:
        torch.testing.assert_close(stream.all_logits(), plain(on, stream.pieces, stream.seed), atol=1e-5, rtol=0)


def test_only_the_logits_that_are_asked_for_come_back():
    on = backbone()
    pool = SlotPool(on, slots=SLOTS)
    stream = Stream(on, pool, 0, TALK, 7)
    whole = plain(on, TALK, 7)
    feeds = [feed for *_, feed in stream.feeds(3)]
    none, two, last = Engine(on, pool).forward(
        [replace(feeds[0], logits=0), replace(feeds[1], logits=2), replace(feeds[2], logits=1)]
    )
    assert none.shape == (0, 320)
    torch.testing.assert_close(two, whole[7:9], atol=1e-5, rtol=0)
    torch.testing.assert_close(last, whole[13:14], atol=1e-5, rtol=0)


def test_a_feed_that_names_its_own_slots_is_still_causal():
    on = backbone()
    pool = SlotPool(on, slots=SLOTS)
    stream = Stream(on, pool, 0, TALK[:1], 7)
    [(_, _, feed)] = stream.feeds(1)
    [logits] = Engine(on, pool).forward([replace(feed, sees=feed.slots)])
    torch.testing.assert_close(logits, plain(on, TALK[:1], 7), atol=1e-5, rtol=0)


def test_features_of_another_dtype_are_taken():
    # The vision tower may run in another precision than the decoder.
    on = backbone("qwen3_vl", dtype=torch.bfloat16)
    pool = SlotPool(on, slots=SLOTS)
    stream = Stream(on, pool, 0, TALK, 7)
    for _, _, feed in stream.feeds(2):
        features = None if feed.features is None else feed.features.to(on.device, torch.float32)
        [logits] = Engine(on, pool).forward([replace(feed, features=features)])
    torch.testing.assert_close(logits, stream_through(on, SlotPool(on, slots=SLOTS))[5:9], atol=1e-6, rtol=0)
