"""A block: a run of tokens of a stream that become visible together."""

from dataclasses import dataclass, replace
from enum import StrEnum

from models.errors import StreamError, TimeError
from models.positions import Grid, check_grids


class BlockError(StreamError):
    """A block or a list of blocks contradicts itself."""


class Kind(StrEnum):
    """What a block is. The model says replies and decisions; all else is its input."""

    SYSTEM = "system"
    FRAMES = "frames"
    QUERY = "query"
    REPLY = "reply"
    DECISION = "decision"

    @property
    def said(self) -> bool:
        """Whether the model itself says such a block."""
        return self in (Kind.REPLY, Kind.DECISION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A run of tokens that become visible together.

    Attributes:
        kind: What it is.
        t0_ns: Where its half-open span begins. A text block is known from this instant on.
        t1_ns: Where its span ends, behind all its frames. A frames block is known from this instant on.
        token_ids: All its tokens, with wrapper text and the pads of its grids.
        grids: The video inside it, by rising start; only in input.
        feature: Key of its vision features; empty: none.
        pinned: Memory policies never drop it, and the cache plan keeps it to the end of its document.
        learn: Half-open token offsets that are supervised; None: nothing.
        loss_weight: Weight of each supervised token.
        turn: Blocks of one number other than 0 belong together: they see each other's passing blocks.
        passing: Seen only by blocks of its own turn; for everything else it has never been: no position, no mask and
            no supervised token of any other block depends on it.
    """

    kind: Kind
    t0_ns: int
    t1_ns: int
    token_ids: tuple[int, ...]
    grids: tuple[Grid, ...] = ()
    feature: str = ""
    pinned: bool = False
    learn: tuple[int, int] | None = None
    loss_weight: float = 1.0
    turn: int = 0
    passing: bool = False

    def __post_init__(self) -> None:
        where = f"{self.kind} block at {self.t0_ns} ns"
        if type(self.t0_ns) is not int or type(self.t1_ns) is not int or self.t1_ns < self.t0_ns:
            raise TimeError(
                f"{where}: span [{self.t0_ns!r}, {self.t1_ns!r}); "
                "expected ints of nanoseconds, the end not before the start"
            )
        if not self.token_ids:
            raise BlockError(f"{where}: holds no tokens; leave it out of the list")
        if self.grids and self.kind.said:
            raise BlockError(f"{where}: holds {len(self.grids)} grids, but what the model says is text")
        check_grids(len(self.token_ids), self.grids)
        if self.kind is Kind.FRAMES:
            for grid in self.grids:
                if not self.t0_ns <= grid.t_ns < self.t1_ns:
                    raise TimeError(
                        f"{where}: a grid at {grid.t_ns} ns lies outside its span [{self.t0_ns}, {self.t1_ns}); "
                        "end the span behind its last frame"
                    )
        if self.learn is not None and not 0 <= self.learn[0] < self.learn[1] <= len(self.token_ids):
            raise BlockError(
                f"{where}: learn is {self.learn}; expected a span inside [0, {len(self.token_ids)}), or None"
            )
        if not 0 <= self.loss_weight < float("inf"):
            raise BlockError(f"{where}: loss_weight is {self.loss_weight}; expected a finite weight of 0 or more")
        if type(self.turn) is not int or self.turn < 0 or (self.passing and not self.turn):
            raise BlockError(
                f"{where}: turn is {self.turn!r} and passing {self.passing}; expected a number of 0 or more, and of "
                "1 or more for a passing block: nobody else would see it"
            )

    @property
    def known_ns(self) -> int:
        """When all of it has arrived: the end of the span for frames, its begin for text."""
        return self.t1_ns if self.kind is Kind.FRAMES else self.t0_ns

    def part(self, start: int, stop: int) -> "Block":
        """The tokens [start, stop) of a block without grids, with what is supervised of them."""
        learn = None
        if self.learn is not None:
            span = max(self.learn[0], start) - start, min(self.learn[1], stop) - start
            learn = span if span[0] < span[1] else None
        return replace(self, token_ids=self.token_ids[start:stop], learn=learn)
