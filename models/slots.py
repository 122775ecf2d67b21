"""A static pool of cache slots: placing writes new tokens, evicting frees slots, and no other byte moves.

Keys are stored rotated, so their order in memory does not matter; a mask says which slots a token sees. A token that
must change its position is rotated from its first key, never from a rotated one: rounding enters once, however often
it moves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from threading import RLock

import numpy as np
import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from models.backbone import Backbone
from models.errors import ClosedError, PoolFullError, SettingsError

# Views end at a multiple of this, so that attention meets few shapes and never reads far past the slots it needs.
VIEW_STEP = 64
Shift = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """The keys and values of some tokens, taken out of a pool.

    Attributes:
        keys, values: (layers, key-value heads, tokens, head width); keys as first written, whatever moved them since.
        shift: by how many positions they have moved since they were written, in time, height and width.
    """

    keys: Tensor
    values: Tensor
    shift: Shift

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(part.numel() * part.element_size() for part in (self.keys, self.values))


class SlotLayer(CacheLayerMixin):
    """Keys and values of one decoder layer, (rows, heads, slots, width) each; the pool says where a forward writes."""

    def __init__(self, shape: tuple[int, int, int, int], *, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        # The base class types them as perhaps absent; the pool is never without them.
        self.keys = self.pool_keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = self.pool_values = torch.zeros(shape, dtype=dtype, device=device)
        self.is_initialized = True
        self.write: Write | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the pool is static."""

    # The decoders of the three families pass states and nothing else; hints would be dropped in silence.
    def update(self, key_states: Tensor, value_states: Tensor) -> tuple[Tensor, Tensor]:
        """Writes (batch, heads, n, width) into the planned slots and returns views of the planned rows."""
        write = self.write
        assert write is not None, "a forward without a plan of slots"
        for pool, states in ((self.pool_keys, key_states), (self.pool_values, value_states)):
            if write.single:
                pool[write.first_row].index_copy_(1, write.slots, states[0])
            else:
                pool.transpose(1, 2)[write.rows, write.slots] = states.transpose(1, 2)[write.batch, write.place]
        rows = slice(write.first_row, write.first_row + key_states.shape[0])
        return self.pool_keys[rows, :, : write.length], self.pool_values[rows, :, : write.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys, for masks that transformers would make itself."""
        del query_length
        return (self.write.length if self.write else 0), 0

    def get_seq_length(self) -> int:
        """Unused: positions are always passed."""
        return 0

    def get_max_length(self) -> int:
        """Slots of a row."""
        return int(self.pool_keys.shape[2])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Write:
    """Where the tokens of one forward go.

    Attributes:
        first_row: first row of the pool that takes part; the batch covers the rows from here on.
        length: how many slots of each row the forward looks at.
        slots: int64 (tokens,), the slot of each real token.
        rows, batch, place: int64 (tokens,), its row in the pool, its row in the batch and its place there.
        single: one row and no padding.
    """

    first_row: int
    length: int
    slots: Tensor
    rows: Tensor
    batch: Tensor
    place: Tensor
    single: bool


class SlotPool(Cache):
    """The cache of one or several sessions: `rows` independent rows of `slots` slots in every layer.

    Its sessions hold `lock` while they work: a forward plans where all layers write, so only one may run at a time.

    Args:
        backbone: whose decoder writes here, and no other; sets layers, heads, width, dtype and device.
        slots: slots of a row.
        rows: how many sessions can share the pool.

    Raises:
        SettingsError: slots or rows are no positive integers, or take more memory than there is.
    """

    def __init__(self, backbone: Backbone, *, slots: int, rows: int = 1) -> None:
        if type(slots) is not int or type(rows) is not int or slots < 1 or rows < 1:
            raise SettingsError(
                f"pool: found {rows!r} rows of {slots!r} slots, expected an integer of at least 1 of each"
            )
        self.backbone = backbone
        config = backbone.config
        shape = (rows, config.num_key_value_heads, slots, backbone.head_dim)
        try:
            self.pools = [
                SlotLayer(shape, dtype=backbone.dtype, device=backbone.device) for _ in range(config.num_hidden_layers)
            ]
            self._free = np.ones((rows, slots), dtype=bool)
            self._shift = np.zeros((rows, slots, 3), dtype=np.int64)
        except (RuntimeError, ValueError, MemoryError) as error:  # torch and NumPy each tell it in their own way
            size = 2 * config.num_hidden_layers * math.prod(shape) * backbone.dtype.itemsize
            raise SettingsError(
                f"pool: {rows} rows of {slots} slots take {size:,} bytes, more than {backbone.device} has free; lower "
                "the setting slots"
            ) from error
        super().__init__(layers=list(self.pools))
        self._frequencies: Tensor = backbone.text.rotary_emb.inv_freq.to(backbone.device, torch.float32)
        self._axes = rotary_axes(backbone).to(backbone.device)
        self._anchors: list[Tensor] = []
        self._rows_free = list(range(rows))
        self.bytes_moved = 0
        self.lock = RLock()

    @property
    def slots(self) -> int:
        """Slots of a row."""
        return int(self._free.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values, and of the first keys once a rebase has happened; constant otherwise."""
        tensors = [tensor for layer in self.pools for tensor in (layer.pool_keys, layer.pool_values)] + self._anchors
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of keys and values that one token takes over all layers."""
        layer = self.pools[0].pool_keys
        return int(2 * len(self.pools) * layer.shape[1] * layer.shape[3] * layer.element_size())

    def used(self, row: int) -> int:
        """How many slots of the row hold tokens."""
        return int(self.slots - np.count_nonzero(self._free[row]))

    def open_row(self) -> int:
        """Hands out a row for a session.

        Raises:
            PoolFullError: every row has its session.
        """
        with self.lock:
            if not self._rows_free:
                rows = self._free.shape[0]
                raise PoolFullError(
                    f"pool: all {rows} rows have their session; close one or make the pool with more rows"
                )
            return self._rows_free.pop(0)

    def close_row(self, row: int) -> None:
        """Takes a row back; its slots are free.

        Raises:
            ClosedError: the row was given back already.
        """
        with self.lock:
            if row in self._rows_free:
                raise ClosedError(f"row {row} of the pool was given back already")
            self._free[row] = True
            self._shift[row] = 0
            self._rows_free = sorted([*self._rows_free, row])

    def place(self, row: int, tokens: int) -> Tensor:
        """Takes the lowest free slots of a row: int64 (tokens,).

        Raises:
            PoolFullError: fewer are free; nothing is taken then.
        """
        free = np.flatnonzero(self._free[row])
        if len(free) < tokens:
            raise PoolFullError(
                f"pool: {tokens} slots are needed and {len(free)} of {self.slots} are free; "
                f"raise `slots`, shorten the memory or use fewer pixels per frame"
            )
        chosen = free[:tokens]
        self._free[row, chosen] = False
        self._shift[row, chosen] = 0
        return torch.from_numpy(chosen.astype(np.int64))

    def free(self, row: int, slots: Tensor) -> None:
        """Gives slots back; their bytes stay where they are until another token takes the place."""
        places = slots.numpy()
        assert not self._free[row, places].any(), "a slot is freed twice"
        self._free[row, places] = True

    def view_length(self, last: int) -> int:
        """How many slots a forward looks at to reach slot `last`."""
        return min(self.slots, (last // VIEW_STEP + 1) * VIEW_STEP)

    def plan(self, write: Write | None) -> None:
        """Tells every layer where the next forward writes; None ends the plan."""
        for layer in self.pools:
            layer.write = write

    def copy_out(self, row: int, slots: Tensor) -> Stored:
        """Copies tokens of one block to host memory; their slots stay taken."""
        places = slots.to(self.pools[0].pool_keys.device)
        shift = self._block_shift(row, slots)
        first = [layer.pool_keys for layer in self.pools] if shift == (0, 0, 0) else self._anchors
        keys = torch.stack([written[row, :, places] for written in first]).cpu()
        values = torch.stack([layer.pool_values[row, :, places] for layer in self.pools]).cpu()
        stored = Stored(keys=keys, values=values, shift=shift)
        self.bytes_moved += stored.nbytes
        return stored

    def put_back(self, row: int, slots: Tensor, stored: Stored) -> None:
        """Copies tokens into slots that `place` has handed out."""
        device = self.pools[0].pool_keys.device
        places = slots.to(device)
        moved = stored.shift != (0, 0, 0)
        if moved:
            self._make_anchors()
        for index, layer in enumerate(self.pools):
            keys = stored.keys[index].to(device)
            if moved:
                self._anchors[index][row].index_copy_(1, places, keys)
                keys = self._turned(keys, stored.shift)
            layer.pool_keys[row].index_copy_(1, places, keys)
            layer.pool_values[row].index_copy_(1, places, stored.values[index].to(device))
        self._shift[row, slots.numpy()] = stored.shift
        self.bytes_moved += stored.nbytes + moved * stored.keys.nbytes

    def rebase(self, row: int, slots: Tensor, delta: Shift) -> None:
        """Moves the positions of one block's tokens by `delta` in time, height and width.

        The move is applied to the key as it was first written, so that a token is rotated once after it was written,
        however often it is rebased. Values carry no position. Where memory runs out, nothing has moved.
        """
        if delta == (0, 0, 0):
            return
        self._make_anchors()
        before = self._block_shift(row, slots)
        after = (before[0] + delta[0], before[1] + delta[1], before[2] + delta[2])
        places = slots.to(self.pools[0].pool_keys.device)
        fresh = before == (0, 0, 0)
        if fresh:
            for layer, anchor in zip(self.pools, self._anchors, strict=True):
                anchor[row].index_copy_(1, places, layer.pool_keys[row, :, places])
        # All that takes memory comes before the first key changes.
        turned = [self._turned(anchor[row, :, places], after) for anchor in self._anchors]
        for layer, keys in zip(self.pools, turned, strict=True):
            layer.pool_keys[row].index_copy_(1, places, keys)
        self._shift[row, slots.numpy()] = after
        self.bytes_moved += (1 + fresh) * sum(keys.numel() * keys.element_size() for keys in turned)

    def _turned(self, keys: Tensor, shift: Shift) -> Tensor:
        return rotate(keys, torch.tensor(shift, device=keys.device)[self._axes], self._frequencies)

    def _block_shift(self, row: int, slots: Tensor) -> Shift:
        shifts = self._shift[row, slots.numpy()]
        assert (shifts == shifts[0]).all(), "the tokens of a block move together"
        return int(shifts[0, 0]), int(shifts[0, 1]), int(shifts[0, 2])

    def _make_anchors(self) -> None:
        if not self._anchors:
            self._anchors = [torch.zeros_like(layer.pool_keys) for layer in self.pools]


def rotary_axes(backbone: Backbone) -> Tensor:
    """Which axis (0 time, 1 height, 2 width) turns each rotary pair: int64 (head width / 2,).

    Qwen2.5 gives each axis one run of frequencies (`mrope_section`); Qwen3-VL interleaves them as t, h, w, t, h, w, …
    until the sections of height and width are used up.
    """
    rope = backbone.config.rope_parameters
    sections = [int(count) for count in rope["mrope_section"]]
    if not backbone.family.timed_text:
        return torch.arange(3).repeat_interleave(torch.tensor(sections))
    axes = torch.zeros(backbone.head_dim // 2, dtype=torch.int64)
    for axis in (1, 2):
        axes[axis : 3 * sections[axis] : 3] = axis
    return axes


def rotate(keys: Tensor, moves: Tensor, frequencies: Tensor) -> Tensor:
    """Turns rotary keys by some positions, in float32: (..., width) to the same shape and dtype.

    Args:
        keys: keys in the half-split layout of transformers (pair i is columns i and i + width / 2).
        moves: int64 (width / 2,), positions to move each pair by; may be negative.
        frequencies: float32 (width / 2,), the inverse frequencies.

    Source: RoFormer, arXiv 2104.09864, equation 34: rotations by two positions add up.
    """
    angle = frequencies.double() * moves
    cos, sin = angle.cos().float(), angle.sin().float()
    first, second = keys.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(keys.dtype)


def row_span(rows: Sequence[int]) -> range:
    """The contiguous rows that a batch over `rows` covers; rows in between are padding."""
    return range(min(rows), max(rows) + 1)
