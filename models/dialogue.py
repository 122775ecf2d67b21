"""Rounds of dialogue beside the video: later questions see them, frames do not, and they leave as whole rounds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.blocks import Block, Kind
from models.positions import Cursor
from models.row import Draft, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A question with its reply, or a turn that the model took by itself.

    Attributes:
        question: empty for a turn of the model's own.
        reply: what was given out of it; shorter than what was meant if it was interrupted.
        t_ns: when it was asked or begun.
        entries: its blocks in the cache.
        unfed: tokens at its end that are not in the cache yet; they enter with the next question.
    """

    question: str
    reply: str
    t_ns: int
    entries: tuple[int, ...]
    unfed: tuple[int, ...] = ()


class Dialogue:
    """The last rounds of a session.

    Args:
        row: the session's row.
        limit: rounds kept; 0 keeps none.
    """

    def __init__(self, row: Row, limit: int) -> None:
        self.row = row
        self.limit = limit
        self.rounds: tuple[Round, ...] = ()
        self.seam: int | None = None

    def visible(self, until_ns: int | None = None) -> list[int]:
        """Entries that a new turn sees, oldest first; of the rounds up to a time, if one is given."""
        seam = [] if self.seam is None else [self.seam]
        seen = [kept for kept in self.rounds if until_ns is None or kept.t_ns <= until_ns]
        return [*seam, *(entry for kept in seen for entry in kept.entries)]

    @property
    def end(self) -> int:
        """Greatest position of all rounds, plus one; 0 without any."""
        return max((self.row.entry(entry).end for entry in self.visible()), default=0)

    def tokens(self) -> int:
        """Slots that the rounds take."""
        return sum(len(self.row.entry(entry).slots) for entry in self.visible())

    def finish(self, sees: Sequence[int], cursor: Cursor) -> tuple[list[Draft], Cursor]:
        """Places the end of the last round, which is fed together with what comes next.

        Args:
            sees: what the next question sees besides the dialogue.
            cursor: where the next question would begin.
        """
        if not self.rounds or not self.rounds[-1].unfed:
            return [], cursor
        last = self.rounds[-1]
        block = Block(kind=Kind.REPLY, t0_ns=last.t_ns, t1_ns=last.t_ns, token_ids=last.unfed)
        own = Cursor(next=max(cursor.next, self.end))
        entry, after = self.row.place(block, own)
        draft = Draft(entry=entry, sees=(*sees, *self.visible()))
        self.rounds = (*self.rounds[:-1], replace(last, entries=(*last.entries, entry.id), unfed=()))
        return [draft], after

    def add(self, new: Round) -> None:
        """Takes a round in and lets the oldest go, whole, where there are too many."""
        self.rounds = (*self.rounds, new)
        while len(self.rounds) > self.limit:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        """Lets the oldest round go; with the last one goes the mark that closed the video before it."""
        self.row.free(self.rounds[0].entries)
        self.rounds = self.rounds[1:]
        if not self.rounds and self.seam is not None:
            self.row.free([self.seam])
            self.seam = None

    def shift(self, delta: int) -> None:
        """Moves all rounds by as much as the end of the video's context moved."""
        for key in self.visible():
            self.row.move(key, delta=(delta, delta, delta), cursor=self.row.entry(key).cursor)
