"""What happened in a stream, written down as blocks: training meets exactly what a session under the layout feeds."""

from dataclasses import dataclass, replace

from models.blocks import Block, Kind
from models.errors import QuestionError, SettingsError, TimeError
from models.layouts import Layout
from models.positions import Grid
from models.prompts import Prompts
from models.speaking import STATES, TurnState


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One grid of video, usually of two frames.

    Attributes:
        t0_ns, last_ns: presentation times of its first and its last frame; equal for a lone one.
        height, width: its size in tokens.
        feature: key of its vision features.
    """

    t0_ns: int
    last_ns: int
    height: int
    width: int
    feature: str = ""

    def __post_init__(self) -> None:
        if type(self.t0_ns) is not int or type(self.last_ns) is not int or self.last_ns < self.t0_ns:
            raise TimeError(
                f"Sight: found frames from {self.t0_ns!r} to {self.last_ns!r} ns; expected ints of nanoseconds, the "
                "last frame not before the first"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model says.

    Attributes:
        text: its words.
        learn: whether decision token, text and `<|im_end|>` are supervised.
        loss_weight: weight of each of them.
        ended: False: it was interrupted, or cut off for its length, behind its last token; no end is supervised.
        state: the decision with which an answer to a question begins; None: with none.
    """

    text: str
    learn: bool = True
    loss_weight: float = 1.0
    ended: bool = True
    state: TurnState | None = None

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in STATES:
            raise SettingsError(f"Reply: state is {self.state!r}; expected one of {', '.join(STATES)}, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    """Whether tokens are supervised, and how much each counts."""

    learn: bool
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Tokens that the model says, and which of them are supervised."""

    tokens: tuple[int, ...]
    learn: tuple[int, int] | None
    weight: float

    def block(self, kind: Kind, *, t_ns: int, turn: int, passing: bool) -> Block:
        return Block(
            kind=kind,
            t0_ns=t_ns,
            t1_ns=t_ns,
            token_ids=self.tokens,
            learn=self.learn,
            loss_weight=self.weight,
            turn=turn,
            passing=passing,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """A whole reply: what a session feeds of it as it is written, and the marks behind, which it feeds later.

    The last token of the last run is the first one that is fed with what comes next.
    """

    runs: tuple[_Run, ...]
    rest: tuple[int, ...]
    kind: Kind = Kind.REPLY


@dataclass(frozen=True, slots=True, kw_only=True)
class _Put:
    """A turn as it comes in; `question` is empty for one that the model takes by itself."""

    question: str
    t_ns: int
    aside: bool
    waiting: Sight | None = None


class Transcript:
    """Writes a stream down, in the order of time, so that `derive` gives the ids and the mask of a session.

    The session has memory for all of it, takes frames as they come and feeds them before it decides or is asked. A turn
    `aside` is one that nobody later knows of, as if the session had gone back to a snapshot behind it; a decision to be
    silent is one by nature. Where a turn begins, the marks that end the reply before it are written as the layout has
    them: as a part of that reply, or behind the newest input, which its last tokens see there.

    Args:
        prompts: writes the text around everything.
        layout: that the session serves.
        system_prompt: as in the session's settings.
        decision_tokens: ids of silence, standby and respond.
        origin_ns: time of the stream's first frame.
    """

    def __init__(
        self,
        prompts: Prompts,
        layout: Layout,
        *,
        system_prompt: str,
        decision_tokens: tuple[int, int, int],
        origin_ns: int = 0,
    ) -> None:
        self._prompts = prompts
        self._apart = layout.visibility.predicting_row
        self._decisions = dict(zip(STATES, decision_tokens, strict=True))
        self._origin_ns = origin_ns
        system = prompts.system(system_prompt)
        self._blocks = [Block(kind=Kind.SYSTEM, t0_ns=origin_ns, t1_ns=origin_ns, token_ids=system, pinned=True)]
        # The newest frame that stays, and what is known last of all that was written.
        self._newest_ns: int | None = None
        self._known_ns = origin_ns
        self._turns = 0
        # Whether a turn that stays has closed the video; what of its end the next turn feeds.
        self._sealed = False
        self._rest: tuple[int, ...] = ()

    def see(self, sight: Sight) -> None:
        """A grid comes in.

        Raises:
            TimeError: it is not newer than the last one, or its last frame is older than what was asked.
        """
        before = self._newest_ns
        late = sight.t0_ns < self._origin_ns if before is None else sight.t0_ns <= before
        if late or sight.last_ns < self._known_ns:
            raise TimeError(
                f"transcript: frames from {sight.t0_ns} to {sight.last_ns} ns come after the frame at {before} ns and "
                f"what was written at {self._known_ns} ns; expected rising times: write down things in their order"
            )
        self._add(self._frames(sight))
        self._newest_ns = sight.last_ns

    def ask(self, question: str, reply: Reply, *, t_ns: int, aside: bool = False, waiting: Sight | None = None) -> None:
        """A question with its reply.

        Args:
            question: plain text.
            reply: what the model says.
            t_ns: when it is asked; at the very time of a frame it has seen that, and stands 1 ns behind.
            aside: nobody later knows of it.
            waiting: the frame without a partner, shown to this question alone.

        Raises:
            QuestionError: it is empty, or no frame has come.
            TimeError: it is asked before what was written last, or the frame that waits is older than a grid.
        """
        if not question.strip():
            raise QuestionError(f"transcript: the question at {t_ns} ns is {question!r}; expected text")
        shown_ns = self._newest_ns if waiting is None else waiting.last_ns
        if waiting is not None and self._newest_ns is not None and waiting.t0_ns <= self._newest_ns:
            raise TimeError(f"transcript: a frame waits at {waiting.t0_ns} ns; expected it behind {self._newest_ns} ns")
        put = _Put(question=question, t_ns=self._time(t_ns, shown_ns), aside=aside, waiting=waiting)
        words = self._words(reply)
        if reply.state is not None:
            words = (self._decisions[reply.state], *words)
        self._turn(put, self._said(words, reply))

    def decide(
        self,
        state: TurnState,
        *,
        t_ns: int | None = None,
        reply: Reply | None = None,
        learn: bool = True,
        loss_weight: float = 1.0,
        aside: bool = False,
    ) -> None:
        """A decision about the newest grid. Silence and standby leave nothing behind; what is said stays.

        Args:
            state: what is decided.
            t_ns: when; None is right behind the grid.
            reply: what is said; only where the model responds.
            learn: whether the decision is supervised; `reply.learn` says so of the words behind it.
            loss_weight: of the decision.
            aside: nobody later knows of it, also where the model responds.

        Raises:
            SettingsError: a reply without `respond` or `respond` without one, or a reply that has a state of its own.
            QuestionError: no grid has come.
            TimeError: it is taken before what was written last.
        """
        if (state == "respond") != (reply is not None) or (reply is not None and reply.state is not None):
            raise SettingsError(
                f"transcript: decision {state!r} with the reply {reply!r}; expected a reply, without a state, for "
                "'respond' alone"
            )
        at_ns = self._time(self._newest_ns if t_ns is None else t_ns, self._newest_ns)
        decision = self._run((self._decisions[state],), _Learned(learn=learn, weight=loss_weight), header=True)
        if reply is None:
            said = _Said(runs=(decision,), rest=(), kind=Kind.DECISION)
        else:
            said = self._said(self._words(reply), reply, decision=decision)
        self._turn(_Put(question="", t_ns=at_ns, aside=aside or reply is None), said)

    def blocks(self) -> tuple[Block, ...]:
        """All that was written, for `derive` under the same layout."""
        return tuple(self._blocks)

    def _time(self, t_ns: int | None, shown_ns: int | None) -> int:
        if t_ns is None or shown_ns is None:
            raise QuestionError("transcript: no frame has come yet; write down what is seen first")
        at_ns = max(t_ns, shown_ns + 1) if t_ns >= shown_ns else t_ns
        if at_ns < max(self._known_ns, shown_ns):
            raise TimeError(
                f"transcript: a turn at {t_ns} ns comes after what was written at {self._known_ns} ns; expected the "
                "order of time: write decisions about a grid before what is asked later"
            )
        return at_ns

    def _words(self, reply: Reply) -> tuple[int, ...]:
        return self._prompts.text(reply.text) if reply.text else ()

    def _run(self, tokens: tuple[int, ...], learned: _Learned, *, header: bool, unlearned: int = 0) -> _Run:
        """Tokens behind the header of a reply, or behind another run of it; the last ones may not be supervised."""
        before = self._prompts.reply_start() if header else ()
        span = len(before), len(before) + len(tokens) - unlearned
        learn = span if learned.learn and span[0] < span[1] else None
        return _Run(tokens=(*before, *tokens), learn=learn, weight=learned.weight)

    def _said(self, words: tuple[int, ...], reply: Reply, *, decision: _Run | None = None) -> _Said:
        """A reply that begins with its header, or behind a decision."""
        end, *newline = self._prompts.turn_close()
        # Nothing was said: the end of the turn is what is fed next.
        silent = not words and not reply.ended
        tokens = (*words, end) if reply.ended or silent else words
        rest = tuple(newline) if reply.ended or silent else (end, *newline)
        learned = _Learned(learn=reply.learn, weight=reply.loss_weight)
        run = self._run(tokens, learned, header=decision is None, unlearned=int(silent))
        runs = (run,) if decision is None else _joined(decision, run)
        return _Said(runs=runs, rest=rest)

    def _turn(self, put: _Put, said: _Said) -> None:
        if put.aside or put.waiting is not None:
            self._turns += 1
        turn = self._turns if put.aside or put.waiting is not None else 0
        if put.waiting is not None:
            # It is looked at when the question is asked, and anew at the next one.
            self._add(replace(self._frames(put.waiting), t1_ns=put.t_ns, turn=turn, passing=True))
        for kind, tokens in ((Kind.REPLY, self._rest), (Kind.QUERY, self._asked(put.question))):
            if tokens:
                run = _Run(tokens=tokens, learn=None, weight=1.0)
                self._add(run.block(kind, t_ns=put.t_ns, turn=turn, passing=put.aside))
        *runs, last = said.runs
        end = None
        if not put.aside and not self._apart:
            last, end = self._whole(last, said.rest, split=turn > 0)
        for run in (*runs, last):
            if run.tokens:
                self._add(run.block(said.kind, t_ns=put.t_ns, turn=turn, passing=put.aside))
        if end is not None:
            # It is fed with the next turn, when the frame that waited is gone.
            self._add(end.block(said.kind, t_ns=put.t_ns, turn=0, passing=False))
        if not put.aside:
            self._sealed, self._rest = True, said.rest if self._apart else ()

    def _asked(self, question: str) -> tuple[int, ...]:
        """The user's words; the first ones stand in the turn of the video, which they close."""
        if self._sealed:
            return self._prompts.question(question) if question else ()
        return (*self._prompts.seam(), *self._prompts.text(question), *self._prompts.turn_close())

    def _whole(self, run: _Run, rest: tuple[int, ...], *, split: bool) -> tuple[_Run, _Run | None]:
        """A run with its end, as one or, where they see different things, as two."""
        if not split:
            return replace(run, tokens=(*run.tokens, *rest)), None
        at = len(run.tokens) - 1
        learn = run.learn
        inside = None if learn is None or learn[0] >= min(learn[1], at) else (learn[0], min(learn[1], at))
        behind = (0, 1) if learn is not None and learn[1] > at else None
        return (
            replace(run, tokens=run.tokens[:at], learn=inside),
            replace(run, tokens=(run.tokens[at], *rest), learn=behind),
        )

    def _frames(self, sight: Sight) -> Block:
        tokens = sight.height * sight.width
        text = self._prompts.frames(
            tokens, t0_ns=sight.t0_ns - self._origin_ns, last_ns=sight.last_ns - self._origin_ns
        )
        grid = Grid(start=text.grid_start, height=sight.height, width=sight.width, t_ns=sight.t0_ns)
        return Block(
            kind=Kind.FRAMES,
            t0_ns=sight.t0_ns,
            t1_ns=sight.last_ns + 1,
            token_ids=text.token_ids,
            grids=(grid,),
            feature=sight.feature,
        )

    def _add(self, block: Block) -> None:
        self._blocks.append(block)
        self._known_ns = max(self._known_ns, block.known_ns)


def _joined(decision: _Run, words: _Run) -> tuple[_Run, ...]:
    """A decision and what is said behind it: one run where one span and one weight say what is supervised."""
    at = len(decision.tokens)
    if decision.learn is None and words.learn is None:
        return (replace(decision, tokens=(*decision.tokens, *words.tokens)),)
    if decision.learn is None or words.learn is None or decision.weight != words.weight:
        return decision, words
    learn = decision.learn[0], at + words.learn[1]
    return (replace(decision, tokens=(*decision.tokens, *words.tokens), learn=learn),)
