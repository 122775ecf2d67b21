"""Decisions: what the assistant does at every step of a grid, derived from the turns of a dialogue.

A step stands for the time since the step before it. It is

* `respond` when an assistant turn starts in that time: the first step at or after the turn's `start_ns`. A turn that
  starts after the last step of a coarse grid is in none of its steps;
* `delegate` in its place where that turn hands a task on to another model or tool, and no other turn starts then;
* else `standby` while a question is pending: from the step at or after the end of a user turn to the start of the first
  turn whose `trigger_ref` is that user turn: its answer, or the same question asked again (one that is never answered
  stays pending);
* else `silence`. A standing request ("tell me when …") that has been acknowledged is answered in this sense: the
  assistant is silent until the event.

A step depends on nothing but the turns and its own stretch of time, so every grid is an exact view of one dialogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from typing import Literal

import numpy as np

from datasets_build.core.clock import FrameClock, Int64s, Span
from datasets_build.core.records import DecisionRun, DecisionTrack, Turn
from datasets_build.core.views import grid_name

State = Literal["silence", "standby", "delegate", "respond"]
STATES: tuple[State, ...] = ("silence", "standby", "delegate", "respond")


def pending_spans(turns: Sequence[Turn]) -> list[Span]:
    """When each user turn waits for its answer, in turn order; an unanswered one waits to the end of time."""
    answered: dict[str, int] = {}
    for turn in turns:
        if turn.trigger_ref is not None:
            answered[turn.trigger_ref] = min(turn.start_ns, answered.get(turn.trigger_ref, turn.start_ns))
    never = 2**63 - 1
    return [
        Span(start_ns=turn.end_ns, end_ns=max(turn.end_ns, answered.get(turn.id, never)))
        for turn in turns
        if turn.role == "user"
    ]


def decisions_on(
    turns: Sequence[Turn], clock: FrameClock, *, fps: Fraction | None, span: Span | None = None
) -> DecisionTrack:
    """The run-length track of a dialogue on a grid.

    Args:
        turns: of the dialogue, any order.
        clock: of its video.
        fps: the grid's rate, None for every frame.
        span: the dialogue's stretch of the video, None for all of it; steps outside are left out.
    """
    times: Int64s = clock.t_ns[clock.grid(fps)]
    if span is not None:
        times = times[(times >= span.start_ns) & (times < span.end_ns)]
    states = np.zeros(len(times), np.int8)
    for wait in pending_spans(turns):
        first, last = np.searchsorted(times, [wait.start_ns, wait.end_ns], side="left")
        states[first:last] = 1
    spoken = [turn for turn in turns if turn.role == "assistant" and (span is None or span.contains(turn.start_ns))]
    steps = np.searchsorted(times, np.array([turn.start_ns for turn in spoken], np.int64), side="left")
    for step, turn in zip(steps.tolist(), spoken, strict=True):
        if step < len(times):
            states[step] = max(states[step], 2 if turn.state == "delegate" else 3)
    return DecisionTrack(grid=grid_name(fps), runs=tuple(_runs(times, states.tolist())))


def _runs(times: Int64s, states: Sequence[int]) -> list[DecisionRun]:
    runs, k = [], 0
    for state, group in groupby(states):
        steps = sum(1 for _ in group)
        runs.append(DecisionRun(state=STATES[state], start_ns=int(times[k]), steps=steps))
        k += steps
    return runs
