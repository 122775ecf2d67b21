"""An answer as it is written: a branch of the cache, one token after the other, given out as text."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from torch import Tensor

from models.blocks import Block, Kind
from models.decode import Chooser, Sampling, Sentences, StopRule, TextStream, loops
from models.dialogue import Round
from models.errors import SettingsError, StreamError
from models.positions import Cursor
from models.prompts import Prompts
from models.row import Draft, Row

StoppedBy = Literal["end", "length", "stop", "loop", "interrupted", ""]
BRIEFLY = " Answer in a few words."
IN_FULL = "Now answer in full."


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """How a reply is written.

    Attributes:
        sampling: how tokens are chosen; None takes the session's settings.
        stop: when it ends; None takes the session's settings.
        pieces: `token` gives text out as soon as it is certain, `sentence` in whole sentences.
        draft_tokens: above 0, a short answer of at most so many tokens comes first, and then the full one.
    """

    sampling: Sampling | None = None
    stop: StopRule | None = None
    pieces: Literal["token", "sentence"] = "token"
    draft_tokens: int = 0

    def __post_init__(self) -> None:
        if self.pieces not in ("token", "sentence"):
            raise SettingsError(f"pieces: found {self.pieces!r}, expected 'token' or 'sentence'")
        if type(self.draft_tokens) is not int or self.draft_tokens < 0:
            raise SettingsError(f"draft_tokens: found {self.draft_tokens!r}, expected an integer of 0 or more")


class Piece(str):
    """Text of an answer; `draft` marks the short answer that a full one follows."""

    __slots__ = ("draft",)
    draft: bool

    def __new__(cls, text: str, *, draft: bool = False) -> Self:
        """Text with its mark."""
        piece = super().__new__(cls, text)
        piece.draft = draft
        return piece


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStats:
    """What an answer cost. Seconds are wall-clock, from the moment the question was put.

    Attributes:
        prompt_tokens: tokens of question and turn marks.
        visible_tokens: slots that the question saw, and itself.
        frames: grids that it saw.
        encode_s: waiting for the vision tower; `prefill_s`: filling the cache, question included.
        time_to_first_token_s: until the first token was chosen.
        total_s: until now, or until the end; time in which nobody asked for the next piece included.
        tokens: tokens of the reply, the one that ended it included.
        stopped_by: `end` (the model), `length`, `stop` (a stop text), `loop`, `interrupted`, or empty while it runs.
    """

    prompt_tokens: int
    visible_tokens: int
    frames: int
    encode_s: float
    prefill_s: float
    time_to_first_token_s: float
    total_s: float
    tokens: int
    stopped_by: StoppedBy


class Branch:
    """Blocks beside the video's line: what a question, its frames of the moment and its reply take in the cache.

    Args:
        row: the session's row.
        base: entries that the branch sees, held until it ends.
        cursor: where its text begins.

    Attributes:
        own: its blocks in the cache.
        failed: whether its last step failed, and is to be tried again as it was.
    """

    def __init__(self, row: Row, base: Sequence[int], cursor: Cursor) -> None:
        self.row = row
        self.cursor = cursor
        self.base = tuple(base)
        self.own: list[int] = []
        self.failed = False
        self._open = True
        row.hold(self.base)

    def sees(self) -> tuple[int, ...]:
        """What the next block of the branch sees."""
        return (*self.base, *self.own)

    def look_at(self, base: Sequence[int]) -> None:
        """Lets the branch see other entries from now on (speaking while frames keep coming)."""
        self.row.hold(base)
        self.row.let_go(self.base)
        self.base = tuple(base)

    def place(self, kind: Kind, tokens: Sequence[int], *, t_ns: int, logits: int = 0) -> Draft:
        """Places a block of text behind the branch's last one."""
        block = Block(kind=kind, t0_ns=t_ns, t1_ns=t_ns, token_ids=tuple(tokens))
        entry, self.cursor = self.row.place(block, self.cursor)
        draft = Draft(entry=entry, sees=self.sees(), logits=logits)
        self.own.append(entry.id)
        return draft

    def drop(self, draft: Draft) -> None:
        """Takes back a block that was placed and never fed."""
        self.own.remove(draft.entry.id)
        self.cursor = draft.entry.cursor
        self.row.free([draft.entry.id])

    def release(self, keep: Sequence[int] = ()) -> None:
        """Ends the branch: frees its blocks but those to keep, and lets the base go."""
        if self._open:
            self._open = False
            kept = set(keep)
            self.row.free([entry for entry in self.own if entry not in kept])
            self.row.let_go(self.base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as it was put: what the answer's statistics and the dialogue need of it."""

    question: str
    t_ns: int
    begun: float
    encode_s: float
    prefill_s: float
    prompt_tokens: int
    visible_tokens: int
    frames: int
    passing: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What an answer needs of its session.

    Attributes:
        step: feeds tokens behind the branch's last, and whatever else is due, in one forward; returns the last logits.
        ended: told of the finished round once; returns the entries that stay in the cache.
    """

    step: Callable[[Kind, Sequence[int]], Tensor]
    ended: Callable[[Round], Sequence[int]]


class Answer(Iterator[str]):
    """Streams a reply; iterate it for pieces of text.

    The first token is chosen before the object is handed out. Closing it early ends the reply; what was given out stays
    in the dialogue, and no token behind it. A reply is over when its last piece has been taken. A `StreamError` on
    the way, such as a full pool, closes it too; after any other, such as a device out of memory, the next call tries
    the same step again.

    Args:
        branch: holds question and reply.
        logits: float32 (vocabulary,), after the question.
        prompts: writes turn marks and knows where replies end.
        options: how it is written.
        asked: the question.
        hooks: the session's part.
    """

    def __init__(
        self, branch: Branch, logits: Tensor, *, prompts: Prompts, options: AnswerOptions, asked: Asked, hooks: Hooks
    ) -> None:
        self._branch = branch
        self._prompts = prompts
        self._options = options
        self._sampling = options.sampling or Sampling()
        self._stop = options.stop or StopRule()
        self._asked = asked
        self._hooks = hooks
        self._sentences = Sentences()
        self._ready: list[Piece] = []
        self._given: list[str] = []
        self._drafted: list[str] = []
        self._all_tokens: list[int] = []
        self._done: StoppedBy = ""
        self._ended = False
        self._draft = options.draft_tokens > 0
        self._begin(logits)
        self._first_s = time.perf_counter() - asked.begun
        self._total_s = self._first_s

    def _begin(self, logits: Tensor) -> None:
        self._limit = self._options.draft_tokens if self._draft else self._stop.max_new_tokens
        self._chooser = Chooser(self._sampling)
        self._text = TextStream(self._prompts.tokenizer, stop=self._stop.texts)
        self._tokens: list[int] = []
        # For each token the characters that were whole with it, and its block where it was fed.
        self._written: list[int] = []
        self._fed: list[int] = []
        self._heard = 0
        # How this stage ended, while its last pieces have not been taken.
        self._over: StoppedBy = ""
        self._waiting: int | None = self._chooser.choose(logits, self._tokens)

    def __next__(self) -> str:
        with self._branch.row.pool.lock:
            return self._next_piece()

    def _next_piece(self) -> str:
        while not self._ready:
            if self._ended:
                raise StopIteration
            try:
                self._advance()
            except StreamError:
                self.close()
                raise
        piece = self._ready.pop(0)
        self._heard += len(piece)
        (self._drafted if piece.draft else self._given).append(piece)
        if not self._ready and self._over and not self._draft:
            self._finish(self._over)
        return piece

    def _advance(self) -> None:
        """Takes the token that waits, gives out its text, and chooses the next one with the following call."""
        if self._over:
            self._refine()
        if self._waiting is None:
            logits = self._hooks.step(Kind.REPLY, self._tokens[-1:])
            self._fed.append(self._branch.own[-1])
            self._waiting = self._chooser.choose(logits, self._tokens)
        token, self._waiting = self._waiting, None
        self._tokens.append(token)
        self._all_tokens.append(token)
        if token in self._prompts.stop_ids():
            self._written.append(self._text.written)
            self._end_stage("end")
            return
        self._give(self._text.add(token))
        self._written.append(self._text.written)
        if self._text.stopped:
            self._end_stage("stop")
        elif loops(self._tokens, self._stop.repeats):
            self._end_stage("loop")
        elif len(self._tokens) >= self._limit:
            self._end_stage("length")

    def _give(self, text: str) -> None:
        parts = self._sentences.add(text) if self._options.pieces == "sentence" else [text]
        self._ready += [Piece(part, draft=self._draft) for part in parts if part]

    def _end_stage(self, reason: StoppedBy) -> None:
        self._give(self._text.rest())
        self._written[-1] = self._text.written
        rest = self._sentences.rest()
        if rest:
            self._ready.append(Piece(rest, draft=self._draft))
        # The next stage begins, or the reply ends, when all of this one has been taken: it may be closed before.
        self._over = reason
        if not self._ready and not self._draft:
            self._finish(reason)

    def _refine(self) -> None:
        """Closes the short answer and asks for the full one."""
        again = self._prompts.question(IN_FULL)
        block = (*self._unfed(), *again, *self._prompts.reply_start())
        logits = self._hooks.step(Kind.QUERY, block)
        self._draft = False
        self._begin(logits)

    def _unfed(self) -> tuple[int, ...]:
        """The reply's last token, which no forward has taken yet, and the end of the turn."""
        last = self._tokens[-1:]
        ended = bool(last) and last[0] in self._prompts.stop_ids()
        return (*(() if ended else last), *self._prompts.turn_close())

    def _finish(self, reason: StoppedBy) -> None:
        self._ended = True
        self._done = reason
        self._total_s = time.perf_counter() - self._asked.begun
        # A stop text is no more part of what was said than what nobody took.
        kept = self._given_tokens() if reason in ("interrupted", "stop") else len(self._tokens)
        passing = {*self._asked.passing, *self._fed[kept:]}
        said = Round(
            question=self._asked.question,
            reply="".join(self._given or self._drafted),
            t_ns=self._asked.t_ns,
            entries=tuple(entry for entry in self._branch.own if entry not in passing),
            unfed=self._unfed() if kept == len(self._tokens) else self._prompts.turn_close(),
        )
        self._branch.release(keep=self._hooks.ended(said))

    def _given_tokens(self) -> int:
        """How many tokens of this stage it took to write what was given out of it."""
        written = [0, *self._written]
        place = bisect_left(written, self._heard)
        if written[place] == self._heard:
            return place
        # A token that goes on behind a sentence is kept only if it brought more of it than the white space at its end.
        taken = "".join(self._drafted if self._draft else self._given)
        before = written[place - 1]
        return bisect_left(written, before) if taken[before:].isspace() else place

    def close(self) -> None:
        """Ends the reply where it stands; harmless when it has ended."""
        with self._branch.row.pool.lock:
            if not self._ended:
                self._ready = []
                self._finish("interrupted")

    @property
    def base(self) -> tuple[int, ...]:
        """The entries that its branch holds."""
        return self._branch.base

    def run(self) -> "Answer":
        """Writes the rest of the reply; returns itself."""
        for _ in self:
            pass
        return self

    @property
    def text(self) -> str:
        """All that was given out, without the short answer before it."""
        return "".join(self._given)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Tokens of the reply so far, the short one's included."""
        return tuple(self._all_tokens)

    @property
    def stats(self) -> AnswerStats:
        """What it has cost so far."""
        asked = self._asked
        return AnswerStats(
            prompt_tokens=asked.prompt_tokens,
            visible_tokens=asked.visible_tokens,
            frames=asked.frames,
            encode_s=asked.encode_s,
            prefill_s=asked.prefill_s,
            time_to_first_token_s=self._first_s,
            total_s=self._total_s if self._ended else time.perf_counter() - asked.begun,
            tokens=len(self._all_tokens),
            stopped_by=self._done,
        )
