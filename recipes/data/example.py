"""An example: a stretch of one video with all that is said about it, as blocks, and what each thing said is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.blocks import Block
from recipes.errors import RecipeError

State = Literal["silence", "standby", "respond"]
STATES: tuple[State, State, State] = ("silence", "standby", "respond")


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRef:
    """The two frames of one temporal grid.

    Attributes:
        video_id: whose frames.
        t0_ns, t1_ns: their presentation times; equal where a lone frame stands twice.
    """

    video_id: str
    t0_ns: int
    t1_ns: int

    @property
    def key(self) -> str:
        """How its block names it, in `Block.feature`."""
        return f"{self.video_id}/{self.t0_ns}/{self.t1_ns}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing that the model learns to say: a decision, a reply, or a decision with a reply.

    Attributes:
        t_ns: when it is said.
        task: of which task it is, such as `count_so_far`; curves and scores go by it.
        text: what is said; empty for a decision without a reply.
        state: the decision token that it begins with; None: it begins with its text.
        asked: whether it answers a question at once; False: decided after a grid.
        segment: number of the stretch without an annotated border that it lies in, rising within the example; a border
            is an event's begin or end, or a user's turn.
        evidence_ns: when what is to be said next can be known; None: nothing is to come.
        window_end_ns: until when that would still be in time; None: no limit is known.
        grid: index of the newest grid that it sees, in `Example.grids`; -1: none.
        twin: index in `Example.said` of the same words said one grid later, where they are as true; -1: none.
    """

    t_ns: int
    task: str
    text: str = ""
    state: State | None = None
    asked: bool = False
    segment: int = 0
    evidence_ns: int | None = None
    window_end_ns: int | None = None
    grid: int = -1
    twin: int = -1

    def __post_init__(self) -> None:
        if self.state is None and not self.text:
            raise RecipeError(f"said at {self.t_ns} ns for {self.task}: found neither text nor state; expected one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A document before it has frames.

    Attributes:
        key: names it for ever: record, stage's way of making it, and part.
        source: which curve it counts for, such as `streaming_qa`.
        video_id: of the one video that it shows.
        blocks: in the order of the stream, written by `models.transcript`.
        grids: what each frames block shows, in their order; a block has one grid and names it in `feature`.
        said: what is learned, in the order in which it is said; each is one run of supervised tokens.
        cuts: indices in `blocks` at which a window begins that carries the cache of those before it on; empty: one
            forward sees it whole.
        rival: the example that stands against it, both told about the same grids; None: no preference is learned.
        utility: worth of the trace, where there is a rival.
    """

    key: str
    source: str
    video_id: str
    blocks: tuple[Block, ...]
    grids: tuple[GridRef, ...]
    said: tuple[Said, ...]
    cuts: tuple[int, ...] = ()
    rival: Example | None = None
    utility: float = 0.0

    def __post_init__(self) -> None:
        named = [block.feature for block in self.blocks for _ in block.grids]
        if named != [grid.key for grid in self.grids]:
            raise RecipeError(f"example {self.key}: its blocks show {named}, expected each of its grids, in order")
        learned = _learned_runs(self.blocks)
        if learned != len(self.said):
            raise RecipeError(
                f"example {self.key}: found {len(self.said)} things said, expected {learned}, as many as blocks learn"
            )

    @property
    def tokens(self) -> int:
        """Its length."""
        return sum(len(block.token_ids) for block in self.blocks)


def _learned_runs(blocks: Sequence[Block]) -> int:
    """How many runs of tokens are supervised: one may go on over the end of a block, where its end is fed later."""
    runs, open_run = 0, False
    for block in blocks:
        if block.learn is not None:
            runs += not (open_run and block.learn[0] == 0)
        open_run = block.learn is not None and block.learn[1] == len(block.token_ids)
    return runs
