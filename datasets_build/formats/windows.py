"""Long talks in windows of at most so many steps: every turn stands in one window, and what came before it as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from datasets_build.core.records import Turn
from datasets_build.formats.steps import Step, Talk


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Some steps of a talk in a row.

    Attributes:
        talk: of which they are.
        ordinal: which window of the talk this is, from 0.
        steps: at least one.
        earlier: turns of all windows before this one, in their order; none of them is later than its first step.
    """

    talk: Talk
    ordinal: int
    steps: tuple[Step, ...]
    earlier: tuple[Turn, ...]

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns that stand in the window."""
        return turns_of(self.steps)

    def unseen(self, turn: Turn) -> bool:
        """Whether something that proves a turn began before the window shows its first frame."""
        first = self.steps[0].t_ns
        return self.ordinal > 0 and any(part.role == "necessary" and part.start_ns < first for part in turn.evidence)


def turns_of(steps: Sequence[Step]) -> tuple[Turn, ...]:
    """The turns of steps in their order, at each step users first."""
    return tuple(turn for step in steps for turn in (*step.users, *step.said))


def windows_of(talk: Talk, steps: Sequence[Step], max_steps: int | None) -> list[Window]:
    """All steps of a talk, cut into windows.

    A question is cut from its end, so that the last answer has as much before it as fits; other talks from their start.

    Args:
        talk: that the steps are of.
        steps: all of them.
        max_steps: the most of one window; None cuts nothing.
    """
    count = len(steps)
    longest = max_steps or max(1, count)
    short = count % longest if talk.kind == "question" else 0
    borders = [0, *range(short or longest, count, longest), count] if count else []
    return [
        Window(talk=talk, ordinal=k, steps=tuple(steps[first:stop]), earlier=turns_of(steps[:first]))
        for k, (first, stop) in enumerate(pairwise(borders))
    ]
