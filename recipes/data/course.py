"""A plan for each part of a stage: sources that come in later are not in the rows before."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from recipes.data.mix import Mix
from recipes.data.plan import Cursor, Plan, Row
from recipes.settings import PackConfig


class Course:
    """Steps of rows without end, planned anew from each step at which a source comes in.

    Args:
        mix: whose `begins` say when.
        pack: how many tokens a row and how many rows a step takes.

    Raises:
        RecipeError: an example that shares its row is longer than a row.
    """

    def __init__(self, mix: Mix, pack: PackConfig) -> None:
        self._first = sorted({0, *mix.begins.values()})
        self._plans = [
            Plan.of(mix, pack, without={source for source, begin in mix.begins.items() if begin > first})
            for first in self._first
        ]

    def step(self, number: int) -> tuple[Row, ...]:
        """The rows of a step, the fullest first, `pack.rows` of them. Raises RecipeError for a step below 0."""
        plan, first = self._at(number)
        return plan.step(number - first)

    def share(self, number: int, *, rank: int, world: int) -> tuple[Row, ...]:
        """The rows of a step that one of `world` processes takes; together they take each row once."""
        return self.step(number)[rank::world]

    def cursor(self, number: int) -> Cursor:
        """Where training stands before a step; epochs count anew in each part."""
        plan, first = self._at(number)
        return Cursor(epoch=plan.cursor(number - first).epoch, step=number)

    def first_epochs(self) -> Iterator[tuple[Row, ...]]:
        """The steps of the first epoch of each part, one at least."""
        for plan in self._plans:
            yield from (plan.step(number) for number in range(max(1, plan.steps_of(1))))

    def _at(self, number: int) -> tuple[Plan, int]:
        place = max(0, bisect_right(self._first, number) - 1)
        return self._plans[place], self._first[place]
