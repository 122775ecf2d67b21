"""What screens share that ask about several things, a block each: questions or turns, each with a verdict.

Blocks are numbered in the order of the sheet, from 0, and their controls are named after the number (`verdict_0`).
What can be fixed is filled in; it counts under the verdict `fix` alone, where people see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from annotate.screens.regions import CLIP, CLIP_CONTROL, VERDICTS, Control, Reading, Region, ScreenError, sent
from annotate.tasks import Item, Question, Said, Verdict
from datasets_build.core.records import Json

Asked = TypeVar("Asked", Question, Said)
J = TypeVar("J")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of a result while it is read; `where` is how messages call it."""

    reading: Reading
    fields: Mapping[str, Region]
    place: int
    where: str
    is_finished: bool

    def field(self, name: str) -> Region | None:
        """The region of one of its fields."""
        return self.fields.get(f"{name}_{self.place}")

    def verdict(self) -> Verdict | None:
        """Accept, fix or reject, which a finished result must have; None where it is missing or a flaw."""
        region = self.field("verdict")
        if region is None and self.is_finished:
            self.reading.flaw("missing", self.where, "no verdict", "one of " + ", ".join(VERDICTS))
        return cast("Verdict | None", self.reading.choice(region, VERDICTS))

    def is_open(self, verdict: Verdict | None) -> bool:
        """Whether its corrections are looked at: those that people see, and those that go out to be seen."""
        return verdict == "fix" or (verdict is None and not self.is_finished)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """A screen of blocks: what one is about, `question` or `turn`, and its fields with the types of their controls."""

    about: str
    types: Mapping[str, str]

    def controls(self, count: int) -> dict[str, Control]:
        """The controls of so many blocks, and that of the whole clip."""
        found = {CLIP: CLIP_CONTROL}
        for place in range(count):
            for field, type_ in self.types.items():
                found[f"{field}_{place}"] = Control(type=type_, to_name=f"{self.about}_{place}")
        return found

    def filled(
        self, item: Item, rows: Sequence[Asked], values_of: Callable[[Asked], Mapping[str, dict[str, Json]]]
    ) -> tuple[Json, ...]:
        """The regions that are filled in, by the values of each block's fields. No verdict is chosen.

        Raises:
            ScreenError: nothing to ask about, or two of one id.
        """
        if len({row.id for row in rows}) != len(rows) or not rows:
            raise ScreenError(f"item {item.key}: found {len(rows)} {self.about}s, expected one or more, each id once")
        controls = self.controls(len(rows))
        return tuple(
            sent(controls[f"{field}_{place}"], f"{row.id}-{field}", f"{field}_{place}", value)
            for place, row in enumerate(rows)
            for field, value in values_of(row).items()
        )

    def read(
        self,
        result: Sequence[Json],
        rows: Sequence[Asked],
        judged: Callable[[Block, Asked], J | None],
        *,
        is_finished: bool,
    ) -> tuple[list[J], bool, Reading]:
        """What `judged` makes of the blocks that have a verdict, whether the clip can be judged, and the reading.

        A result that is not finished, as a prediction is, need not have verdicts.
        """
        controls = self.controls(len(rows))
        reading = Reading(result, controls)
        fields = reading.single(controls)
        if not reading.is_usable(fields.get(CLIP)):
            return [], False, reading
        found = []
        for place, row in enumerate(rows):
            where = f"{self.about} {row.id}"
            block = Block(reading=reading, fields=fields, place=place, where=where, is_finished=is_finished)
            found.append(judged(block, row))
        return [each for each in found if each is not None], True, reading
