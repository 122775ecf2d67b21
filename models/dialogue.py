"""Rounds of dialogue beside the video: later questions see them, frames do not, and they leave as whole rounds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.blocks import Block, Kind
from models.layouts import LAYOUTS, PositionRule
from models.positions import Cursor
from models.row import Draft, Entry, Row

_ONE_COUNT = LAYOUTS["origin"].positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A question with its reply, or a turn that the model took by itself.

    Attributes:
        question: empty for a turn of the model's own.
        reply: what was given out of it; shorter than what was meant if it was interrupted, the short answer where that
            happened before the full one began.
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
        rule: where positions of replies go.
    """

    def __init__(self, row: Row, limit: int, *, rule: PositionRule = _ONE_COUNT) -> None:
        self.row = row
        self.limit = limit
        self.rule = rule
        self.rounds: tuple[Round, ...] = ()
        self.seam: int | None = None

    def visible(self, until_ns: int | None = None) -> list[int]:
        """Entries that a new turn sees, oldest first; only those fed up to a time, if one is given."""
        seam = [] if self.seam is None else [self.seam]
        entries = [*seam, *(entry for kept in self.rounds for entry in kept.entries)]
        return [key for key in entries if until_ns is None or self.row.entry(key).block.t0_ns <= until_ns]

    def sealed(self, until_ns: int | None = None) -> bool:
        """Whether a new turn sees the mark that closes the video."""
        return self.seam is not None and (until_ns is None or self.row.entry(self.seam).block.t0_ns <= until_ns)

    @property
    def end(self) -> int:
        """Greatest position of all rounds in the count of the input, plus one; 0 without any.

        Replies are in that count only under a rule that continues it.
        """
        return self.end_at(None)

    def end_at(self, until_ns: int | None) -> int:
        """The same of what was fed up to a time only, if one is given."""
        entries = [self.row.entry(key) for key in self.visible(until_ns)]
        return max((entry.end for entry in entries if not self._apart(entry)), default=0)

    def tokens(self) -> int:
        """Slots that the rounds take."""
        return sum(len(self.row.entry(entry).slots) for entry in self.visible())

    def finish(
        self,
        sees: Sequence[int],
        cursor: Cursor,
        *,
        t_ns: int | None = None,
        apart: bool = False,
        count: int | None = None,
    ) -> tuple[list[Draft], Cursor]:
        """Places the end of the last round, which is fed together with what comes next.

        Args:
            sees: what the next question sees besides the dialogue.
            cursor: where the next question would begin.
            t_ns: when the end is fed, which is when it has seen what it sees; None is the round's own time.
            apart: what is said has positions of its own, and `cursor` is where they go on.
            count: so many tokens of it are placed; None is all.

        Raises:
            PoolFullError: it does not fit; nothing has changed.
        """
        tokens = self.rounds[-1].unfed[:count] if self.rounds else ()
        if not tokens:
            return [], cursor
        last = self.rounds[-1]
        known_ns = last.t_ns if t_ns is None else max(last.t_ns, t_ns)
        block = Block(kind=Kind.REPLY, t0_ns=known_ns, t1_ns=known_ns, token_ids=tokens)
        own = cursor if apart else Cursor(next=max(cursor.next, self.end_at(t_ns)))
        entry, after = self.row.place(block, own)
        draft = Draft(entry=entry, sees=(*sees, *self.visible()))
        fed = replace(last, entries=(*last.entries, entry.id), unfed=last.unfed[len(tokens) :])
        self.rounds = (*self.rounds[:-1], fed)
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

    def _apart(self, entry: Entry) -> bool:
        """Whether positions of an entry are not in the count of the input."""
        return self.rule.reply != "continue" and entry.block.kind.said
