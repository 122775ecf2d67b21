"""Speaking without being asked: after each grid the model decides to be silent, to stand by, or to respond."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from models.answer import Answer, AnswerOptions, Asked
from models.blocks import Kind
from models.state import State
from models.talk import check_options, open_turn, reply, take_back
from models.view import look

TurnState = Literal["silence", "standby", "respond"]
STATES: tuple[TurnState, TurnState, TurnState] = ("silence", "standby", "respond")


@dataclass(slots=True, kw_only=True)
class Turn:
    """One decision.

    Attributes:
        t_ns: end of the grid that it was taken after.
        state: `silence`, `standby` (something is coming) or `respond`.
        probabilities: of the three, among themselves.
        decided_s: seconds that the decision took.
        answer: what is said, to be iterated piece by piece; None unless it responds.
    """

    t_ns: int
    state: TurnState
    probabilities: tuple[float, float, float]
    decided_s: float
    answer: Answer | None = field(default=None)

    @property
    def text(self) -> str:
        """All that is said; writes the rest of the reply first."""
        return "" if self.answer is None else self.answer.run().text


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """Which tokens stand for the three decisions, and when the third is taken.

    Attributes:
        tokens: ids of silence, standby and respond.
        threshold: probability of respond from which the model speaks; None takes the likeliest of the three.
        take: the decision that is taken whatever the model would do; None: its own.
    """

    tokens: tuple[int, int, int]
    threshold: float | None
    take: TurnState | None = None

    def decide(self, logits: torch.Tensor) -> tuple[TurnState, tuple[float, float, float]]:
        """The decision and the three probabilities from logits (vocabulary,)."""
        chances = logits[list(self.tokens)].softmax(-1).tolist()
        if self.take is not None:
            best = STATES.index(self.take)
        elif self.threshold is None:
            best = max(range(3), key=lambda place: chances[place])
        elif chances[2] >= self.threshold:
            best = 2
        else:
            best = 0 if chances[0] >= chances[1] else 1
        return STATES[best], (chances[0], chances[1], chances[2])


def speak(state: State, decider: Decider, options: AnswerOptions) -> Iterator[Turn]:
    """Decides about each grid that has come in; a reply that is left unread is written to its end.

    Closed at a turn, it closes that turn's answer. An error while a reply is written to its end leaves the reply open.
    """
    while (turn := _next_turn(state, decider, options)) is not None:
        try:
            yield turn
        except BaseException:
            # Left here, it would stay open until the next question, and hold what it sees.
            if turn.answer is not None:
                turn.answer.close()
            raise
        if turn.answer is not None:
            turn.answer.run()


def _next_turn(state: State, decider: Decider, options: AnswerOptions) -> Turn | None:
    """The decision about the oldest grid that none was taken about; None when there is no such grid."""
    with state.row.pool.lock:
        while state.undecided and state.undecided[0] in state.track.lost:
            state.undecided.popleft()
        if not state.undecided:
            return None
        turn = _decide(state, decider, options, t_ns=state.undecided[0])
        state.undecided.popleft()
        state.meter.turns += 1
        state.meter.responses += turn.answer is not None
        return turn


def _decide(state: State, decider: Decider, options: AnswerOptions, *, t_ns: int) -> Turn:
    begun = time.perf_counter()
    before = dict(state.meter.seconds)
    check_options(state, options)
    state.interrupt()
    state.drain()
    if state.layout.in_line:
        state.close_rounds()
    state.set_back()
    # What is decided about a frame is known right behind it, as is a question at its time.
    view = look(state, (), until_ns=t_ns + 1)
    opened = open_turn(state, view, "", t_ns=t_ns + 1)
    decision, chances = decider.decide(opened.logits)
    decided_s = time.perf_counter() - begun
    if decision != "respond":
        take_back(state, view.branch, opened)
        return Turn(t_ns=t_ns, state=decision, probabilities=chances, decided_s=decided_s)
    try:
        draft = view.branch.place(Kind.REPLY, [decider.tokens[2]], t_ns=t_ns + 1, logits=1)
        logits = state.track.run([draft])[-1][-1]
    except BaseException:
        take_back(state, view.branch, opened)
        raise
    said = replace(opened, logits=logits, tokens=opened.tokens + 1)
    asked = Asked(
        question="",
        t_ns=t_ns + 1,
        begun=begun,
        encode_s=state.meter.seconds["vision_wait"] - before["vision_wait"],
        prefill_s=state.meter.seconds["prefill"] - before["prefill"],
        prompt_tokens=said.tokens,
        visible_tokens=len(state.row.slots_of(view.branch.sees())),
        frames=view.frames,
        passing=(*view.passing, *opened.passing),
    )
    answer = reply(state, view.branch, said, options=options, stats=asked)
    return Turn(t_ns=t_ns, state="respond", probabilities=chances, decided_s=decided_s, answer=answer)
