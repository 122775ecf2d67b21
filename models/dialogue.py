"""Rounds of dialogue beside the video: later questions see them, frames do not, and they leave as whole rounds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.blocks import Block, Kind
from models.layouts import LAYOUTS, PositionRule
from models.positions import Cursor
from models.row import Draft, Entry, Row

_ONE_COUNT = LAYOUTS["origin"].positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Tokens of a reply that are fed anew at every turn; `inputs`: the entries of input that they see."""

    tokens: tuple[int, ...]
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A question with its reply, or a turn that the model took by itself.

    Attributes:
        question: empty for a turn of the model's own.
        reply: what was given out of it; shorter than what was meant if it was interrupted, the short answer where that
            happened before the full one began.
        t_ns: when it was asked or begun.
        entries: its blocks in the cache.
        saw: what its last token saw, itself included; what memory let go since is no longer in the cache.
        unfed: tokens at its end that are not in the cache yet; they enter with the next question.
        said: its reply, where that is not kept in the cache but fed anew.
    """

    question: str
    reply: str
    t_ns: int
    entries: tuple[int, ...]
    saw: tuple[int, ...] = ()
    unfed: tuple[int, ...] = ()
    said: tuple[Run, ...] = ()


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
        # The marks that close the video and the user's turn that shows it: they outlive the question between them.
        self.seam: tuple[int, ...] = ()

    def visible(self, until_ns: int | None = None) -> list[int]:
        """Entries that a new turn sees, oldest first; only those fed up to a time, if one is given."""
        entries = [*self.seam, *(entry for kept in self.rounds for entry in kept.entries)]
        return [key for key in entries if until_ns is None or self.row.entry(key).block.t0_ns <= until_ns]

    def sealed(self, until_ns: int | None = None) -> bool:
        """Whether a new turn sees the marks that close the video."""
        return bool(self.seam) and (until_ns is None or self.row.entry(self.seam[0]).block.t0_ns <= until_ns)

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
        """Slots that the rounds take, when all that is fed anew has been."""
        anew = sum(len(run.tokens) for kept in self.rounds for run in kept.said)
        return anew + sum(len(self.row.entry(entry).slots) for entry in self.visible())

    def finish(self, until_ns: int | None = None) -> list[Draft]:
        """Places the ends of rounds, which are fed together with what comes next, as parts of their replies.

        An end stands right behind its reply and sees what the reply saw, as it would in one sequence that holds both.

        Args:
            until_ns: only of replies that were there at that time, if one is given.

        Raises:
            PoolFullError: they do not all fit; nothing has changed.
        """
        rounds, drafts = self.rounds, list[Draft]()
        alive = {entry.id for entry in self.row.live()}
        try:
            for place, said in enumerate(rounds):
                parts = [self.row.entry(key) for key in said.entries]
                known_ns = max((part.block.t0_ns for part in parts), default=said.t_ns)
                if not said.unfed or (until_ns is not None and known_ns > until_ns):
                    continue
                block = Block(kind=Kind.REPLY, t0_ns=known_ns, t1_ns=known_ns, token_ids=said.unfed)
                begin = Cursor(next=max((part.end for part in parts), default=self.end_at(until_ns)))
                entry, _ = self.row.place(block, begin)
                drafts.append(Draft(entry=entry, sees=tuple(key for key in said.saw if key in alive)))
                whole = replace(said, entries=(*said.entries, entry.id), unfed=())
                self.rounds = (*self.rounds[:place], whole, *self.rounds[place + 1 :])
        except BaseException:
            self.row.free([draft.entry.id for draft in drafts])
            self.rounds = rounds
            raise
        return drafts

    def finish_apart(self, sees: Sequence[int], cursor: Cursor, *, t_ns: int, count: int) -> tuple[list[Draft], Cursor]:
        """Places part of the last round's end where what is said has positions of its own and sees what comes.

        Args:
            sees: what the next question sees besides the dialogue.
            cursor: where what is said goes on.
            t_ns: when it is fed, which is when it has seen what it sees.
            count: so many tokens of it are placed.

        Raises:
            PoolFullError: it does not fit; nothing has changed.
        """
        tokens = self.rounds[-1].unfed[:count] if self.rounds else ()
        if not tokens:
            return [], cursor
        last = self.rounds[-1]
        known_ns = max(last.t_ns, t_ns)
        block = Block(kind=Kind.REPLY, t0_ns=known_ns, t1_ns=known_ns, token_ids=tokens)
        entry, after = self.row.place(block, cursor)
        draft = Draft(entry=entry, sees=(*sees, *self.visible(t_ns)))
        fed = replace(last, entries=(*last.entries, entry.id), unfed=last.unfed[len(tokens) :])
        self.rounds = (*self.rounds[:-1], fed)
        return [draft], after

    def add(self, new: Round) -> None:
        """Takes a round in and lets the oldest go, whole, where there are too many."""
        self.rounds = (*self.rounds, new)
        while len(self.rounds) > self.limit:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        """Lets the oldest round go; with the last one go the marks that closed the video before it."""
        self.row.free(self.rounds[0].entries)
        self.rounds = self.rounds[1:]
        if not self.rounds:
            self.row.free(self.seam)
            self.seam = ()

    def _apart(self, entry: Entry) -> bool:
        """Whether positions of an entry are not in the count of the input."""
        return self.rule.reply != "continue" and entry.block.kind.said
