"""Shares of states and styles in dialogues: which exchanges stay so that states have their shares, and what came out.

Decisions are derived from turns, so a state gets less only where exchanges are left out, and more only where more of
them stay. Dialogues are thinned one after the other: what one is short of, the next ones of its split make up for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from datasets_build.builders.exchanges import Exchange
from datasets_build.core.clock import FrameClock, Int64s
from datasets_build.core.decisions import STATES, State, decisions_on
from datasets_build.core.records import DecisionTrack, Dialogue, Event, Json, Split, Turn
from datasets_build.core.views import grid_name
from datasets_build.truth.styles import is_referring, style_of

_NEAR = 0.01
_LEAST = 1e-6
_MISSED = ("no room", "nothing fits")


@dataclass(slots=True)
class Balance:
    """Thins dialogues, and counts what a build of them holds. Memory does not grow with the dialogues.

    Attributes:
        shares: of the steps of a grid, by state, 0 to 1; none: every exchange stays.
        fps: the grid's rate, None for the native one.
        styles: of exchanges, by style, as the settings ask for them.
    """

    shares: Mapping[State, float]
    fps: Fraction | None
    styles: Mapping[str, float]
    _drawn: Counter[tuple[Split, State]] = field(default_factory=Counter)
    _left_out: Counter[tuple[Split, State]] = field(default_factory=Counter)
    _tried: Counter[tuple[Split, str, str]] = field(default_factory=Counter)
    _steps: Counter[tuple[Split, str, State]] = field(default_factory=Counter)
    _turns: Counter[tuple[Split, str]] = field(default_factory=Counter)
    _tasks: Counter[tuple[Split, str]] = field(default_factory=Counter)

    def thinned(self, split: Split, exchanges: Sequence[Exchange], clock: FrameClock) -> list[Exchange]:
        """The exchanges of one dialogue that stay, one at least."""
        if not self.shares or not exchanges:
            return list(exchanges)
        costs = np.array([_cost(decisions_on(each.turns, clock, fps=self.fps)) for each in exchanges])
        quiet = np.array([len(clock.grid(self.fps)) if state == "silence" else 0 for state in STATES])
        drawn = quiet + np.array([self._drawn[split, state] for state in STATES])
        kept = self._kept(drawn, costs)
        for k, state in enumerate(STATES):
            self._drawn[split, state] = int(drawn[k] + costs[kept, k].sum())
            self._left_out[split, state] += int(costs[~kept, k].sum()) if state != "silence" else 0
        return [each for each, stays in zip(exchanges, kept, strict=True) if stays]

    def _kept(self, drawn: Int64s, costs: Int64s) -> npt.NDArray[np.bool_]:
        """Which exchanges stay: all at first, then one is left out or taken back, or two are, while that helps."""
        kept = np.ones(len(costs), bool)
        alone = np.eye(len(costs), dtype=np.int64)
        while True:
            signs = np.where(kept, -1, 1)
            moves = signs[:, None] * costs
            # Row and column name the two of a move; on the diagonal one moves alone.
            after = drawn + costs[kept].sum(0) + moves[:, None] + moves[None] * (1 - alone)[:, :, None]
            stay = kept.sum() + signs[:, None] + signs[None] * (1 - alone)
            # Of moves that come as near, the one that keeps most.
            found = np.where(stay < 1, np.inf, self._away(after) - _LEAST * stay)
            away = float(self._away(drawn + costs[kept].sum(0))) - _LEAST * kept.sum()
            one, other = np.unravel_index(found.argmin(), found.shape)
            if found[one, other] >= away - _LEAST / 2:
                return kept
            kept[[one, other]] = ~kept[[one, other]]

    def _away(self, steps: Int64s) -> npt.NDArray[np.float64]:
        """How many steps are away from where they should be, by the last axis."""
        named = [STATES.index(state) for state in self.shares]
        wanted = np.array(list(self.shares.values())) * steps.sum(-1, keepdims=True)
        away: npt.NDArray[np.float64] = np.abs(steps[..., named] - wanted).sum(-1)
        return away

    def tried(self, split: Split, styles: Mapping[tuple[str, str], int]) -> None:
        """Takes note of how often a dialogue wanted each style, and what became of it."""
        for (style, what), number in styles.items():
            self._tried[split, style, what] += number

    def count(self, split: Split, rows: Iterable[Dialogue], events: Sequence[Event]) -> None:
        """Counts what a video's dialogues hold in the end."""
        by_id = {event.id: event for event in events}
        for row in rows:
            for track in row.decisions:
                for run in track.runs:
                    self._steps[split, track.grid, run.state] += run.steps
            turns = {turn.id: turn for turn in row.turns}
            for turn in row.turns:
                if turn.role == "user":
                    self._tasks[split, turn.task or ""] += 1
                if (style := style_in(turn, turns, by_id)) is not None:
                    self._turns[split, style] += 1

    def as_json(self, splits: Sequence[Split]) -> dict[str, Json]:
        """What the manifest holds: by split, the states of each grid, the styles, and the tasks of the questions."""
        return {
            "states": {split: self._states(split) for split in splits},
            "styles": {split: {style: self._style(split, style) for style in self.styles} for split in splits},
            "tasks": {split: self._questions(split) for split in splits},
        }

    def _states(self, split: Split) -> Json:
        grids = dict.fromkeys(grid for where, grid, _ in self._steps if where == split)
        return {grid: {state: self._state(split, grid, state) for state in STATES} for grid in grids}

    def _state(self, split: Split, grid: str, state: State) -> Json:
        steps = self._steps[split, grid, state]
        reached = steps / max(1, sum(self._steps[split, grid, each] for each in STATES))
        asked = self.shares.get(state) if grid == grid_name(self.fps) else None
        why = self._why(split, state, reached - asked) if asked is not None else None
        return {"asked": asked, "reached": round(reached, 6), "steps": steps, "why_not": why}

    def _why(self, split: Split, state: State, over: float) -> str | None:
        """Why a share was missed, by so much, as a sentence."""
        if abs(over) <= _NEAR:
            return None
        if (over < 0) == (state == "silence"):
            return "Every dialogue keeps one exchange, and what is left out takes with it what another state needs."
        if any(self._left_out[split, each] for each in STATES if state in (each, "silence")):
            return "Exchanges that would bring more of it, or less silence, bring too much of another state."
        return "All of it that was drawn has stayed: ask for more exchanges or styles, where there is room for them."

    def _style(self, split: Split, style: str) -> Json:
        missed: dict[str, Json] = {
            why: self._tried[split, style, why] for why in _MISSED if self._tried[split, style, why]
        }
        wanted = self._tried[split, style, "wanted"]
        return {"asked": self.styles[style], "wanted": wanted, "turns": self._turns[split, style], "missed": missed}

    def _questions(self, split: Split) -> Json:
        found = {task: number for (where, task), number in sorted(self._tasks.items()) if where == split}
        total = max(1, sum(found.values()))
        return {task: {"reached": round(number / total, 6), "turns": number} for task, number in found.items()}


def _cost(track: DecisionTrack) -> list[int]:
    """The steps that an exchange brings to each state, and takes from silence."""
    found = Counter(dict.fromkeys(STATES, 0))
    for run in track.runs:
        if run.state != "silence":
            found[run.state] += run.steps
            found["silence"] -= run.steps
    return [found[state] for state in STATES]


def style_in(turn: Turn, turns: Mapping[str, Turn], events: Mapping[str, Event]) -> str | None:
    """The style that a turn shows, as the settings call it; None for plain questions and answers."""
    if turn.role != "user":
        return "mistake" if turn.trigger == "correction" else None
    if turn.interrupts is not None:
        return "barge_in"
    if turn.task in ("small_talk", "delegate"):
        return turn.task
    answer = turns.get(turn.trigger_ref or "") if is_referring(turn) else None
    if answer is None:
        return None
    style = style_of(turn, answer, turns.get(answer.trigger_ref or ""), events)
    return "correction" if style == "meant" else style
