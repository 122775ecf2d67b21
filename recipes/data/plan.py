"""Which examples stand in which row of which step: a pure function of lengths, settings, seed and epoch."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from recipes.data.example import Example
from recipes.data.mix import Mix, tokens_of
from recipes.errors import RecipeError
from recipes.settings import PackConfig

# So many shuffled examples are packed together: more fill rows better, fewer are more random.
BUFFER = 512
# A mix whose weights leave so many epochs empty is no mix.
EMPTY = 1000
Row = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Tokens of an example with its rival, and whether it stands alone in its row."""

    tokens: int
    alone: bool = False

    @classmethod
    def of(cls, example: Example) -> Size:
        """The size of an example."""
        return cls(tokens=tokens_of(example), alone=bool(example.cuts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where training stands: the next step, counted from the first one, and the epoch that its first row is of."""

    epoch: int
    step: int


class Plan:
    """Steps of rows without end: epoch follows epoch, and a step that an epoch cannot fill is filled from the next.

    Args:
        sizes: of all examples.
        passes: places of the examples of an epoch, in passes that are shuffled one by one.
        pack: how many tokens a row and how many rows a step takes.
        seed: of the shuffles.

    Raises:
        RecipeError: an example that shares its row is longer than a row.
    """

    def __init__(
        self, sizes: Sequence[Size], passes: Callable[[int], Sequence[Sequence[int]]], pack: PackConfig, *, seed: int
    ) -> None:
        long = [place for place, size in enumerate(sizes) if size.tokens > pack.tokens and not size.alone]
        if long:
            raise RecipeError(
                f"plan: example {long[0]} has {sizes[long[0]].tokens} tokens, expected at most {pack.tokens} of "
                f"pack.tokens ({len(long)} such); cut it, or leave it out"
            )
        self._sizes = tuple(sizes)
        self._passes = passes
        self._pack = pack
        self._seed = seed
        # Rows before each epoch, as far as anybody has asked.
        self._before = [0]
        self._rows = lru_cache(maxsize=4)(self._packed)

    @classmethod
    def of(cls, mix: Mix, pack: PackConfig, *, without: Collection[str] = ()) -> Plan:
        """The plan of a mix, or of what is left of it without some sources."""
        sizes = [Size.of(example) for example in mix.examples]
        return cls(sizes, lambda epoch: mix.passes(epoch, without=without), pack, seed=mix.seed)

    def rows(self, epoch: int) -> tuple[Row, ...]:
        """All rows of an epoch, in order."""
        return self._rows(epoch)

    def step(self, number: int) -> tuple[Row, ...]:
        """The rows of a step, the fullest first, `pack.rows` of them."""
        if number < 0:
            raise RecipeError(f"plan: found step {number}, expected 0 or more")
        first = number * self._pack.rows
        epoch = self._epoch_of(first)
        skip = first - self._before[epoch]
        rows: list[Row] = []
        while len(rows) < self._pack.rows:
            rows += self._rows(epoch)[skip : skip + self._pack.rows - len(rows)]
            epoch, skip = epoch + 1, 0
        return tuple(sorted(rows, key=lambda row: (-self.tokens(row), row)))

    def cursor(self, number: int) -> Cursor:
        """Where training stands before a step."""
        return Cursor(epoch=self._epoch_of(number * self._pack.rows), step=number)

    def tokens(self, row: Row) -> int:
        """How full a row is."""
        return sum(self._sizes[place].tokens for place in row)

    def steps_of(self, epochs: int) -> int:
        """How many whole steps so many epochs give."""
        return self._before_epoch(epochs) // self._pack.rows

    def _before_epoch(self, epoch: int) -> int:
        while len(self._before) <= epoch:
            self._before.append(self._before[-1] + len(self._rows(len(self._before) - 1)))
            if len(self._before) > EMPTY and self._before[-1] == 0:
                raise RecipeError(f"plan: none of {EMPTY} epochs holds an example; raise the weights of the mix")
        return self._before[epoch]

    def _epoch_of(self, row: int) -> int:
        epoch = 0
        while self._before_epoch(epoch + 1) <= row:
            epoch += 1
        return epoch

    def _packed(self, epoch: int) -> tuple[Row, ...]:
        rng = random.Random(f"{self._seed}/{epoch}")
        rows: list[Row] = []
        for places in self._passes(epoch):
            order = list(places)
            rng.shuffle(order)
            found: list[Row] = []
            for begin in range(0, len(order), BUFFER):
                found += self._first_fit(order[begin : begin + BUFFER])
            rng.shuffle(found)
            rows += found
        return tuple(rows)

    def _first_fit(self, places: Sequence[int]) -> list[Row]:
        """Rows of at most `pack.tokens`: each example, the longest first, goes to the first row with room for it."""
        rows: list[list[int]] = []
        room: list[int] = []
        for place in sorted(places, key=lambda place: -self._sizes[place].tokens):
            size = self._sizes[place]
            at = next((k for k, left in enumerate(room) if left >= size.tokens and not size.alone), len(rows))
            if at == len(rows):
                rows.append([])
                room.append(self._pack.tokens)
            rows[at].append(place)
            room[at] = -1 if size.alone else room[at] - size.tokens
        return [tuple(row) for row in rows]
