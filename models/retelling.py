"""What was said, fed anew behind all input at each turn: for layouts whose replies stand behind the whole video.

The whole video is what has been seen so far, so at every turn the session is what training derives of all up to then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.answer import Branch
from models.blocks import Kind
from models.dialogue import Round, Run
from models.positions import Cursor
from models.row import Draft
from models.state import State
from models.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a turn feeds anew.

    Attributes:
        drafts: all that was said, placed on the turn's branch.
        ends: the end of the last round, which stays if the turn does.
    """

    drafts: tuple[Draft, ...] = ()
    ends: tuple[Run, ...] = ()


def heard_by(state: State, branch: Branch) -> tuple[int, ...]:
    """The entries of input that a branch sees."""
    return tuple(key for key in branch.sees() if not state.row.entry(key).block.kind.said)


def retell(state: State, view: View, asked: Sequence[Draft], *, t_ns: int) -> Told:
    """Places what was said behind the input so far, and the branch's cursor behind that.

    Where replies see all input, each sees all but the frame that waits, which is shown to this turn alone; elsewhere
    each sees what it saw, as far as memory has not let it go. The end of the last round sees what this turn sees, its
    last token the question too.

    Args:
        state: the session; no reply is in its cache.
        view: what the turn sees.
        asked: its question, as placed.
        t_ns: when the turn is known.

    Raises:
        PoolFullError: it does not all fit.
    """
    branch, inputs = view.branch, heard_by(state, view.branch)
    if state.positions.reply != "continue":
        branch.cursor = Cursor(next=state.positions.offset)
    until_ns = t_ns if view.until_ns is None else view.until_ns
    rounds = [kept for kept in state.dialogue.rounds if kept.t_ns <= until_ns]
    waits, asks = {draft.entry.id for draft in view.drafts}, {draft.entry.id for draft in asked}
    lasting = tuple(key for key in inputs if key not in waits)
    alive = {entry.id for entry in state.row.live()}
    drafts: list[Draft] = []

    def tell(run: Run, sees: Sequence[int]) -> None:
        before = [draft.entry.id for draft in drafts]
        draft = branch.place(Kind.REPLY, run.tokens, t_ns=t_ns)
        drafts.append(Draft(entry=draft.entry, sees=(*sees, *before)))

    everything = state.visibility.replies_see == "all"
    for run in (run for kept in rounds for run in kept.said):
        tell(run, lasting if everything else [key for key in run.inputs if key in alive])
    ends: tuple[Run, ...] = ()
    if rounds and rounds[-1].unfed:
        *first, last = rounds[-1].unfed
        unasked = tuple(key for key in inputs if key not in asks)
        ends = (Run(tokens=tuple(first), inputs=unasked), Run(tokens=(last,), inputs=inputs))
        ends = tuple(run for run in ends if run.tokens)
        for run in ends:
            tell(run, run.inputs)
    return Told(drafts=tuple(drafts), ends=ends)


def retellable(state: State, branch: Branch, said: Round) -> Round:
    """A round whose reply is fed anew at every turn; only its question stays in the cache.

    Args:
        state: the session.
        branch: of the turn, not released yet.
        said: the round with the entries of question and reply.
    """
    entries = [state.row.entry(key) for key in said.entries]
    tokens = tuple(token for entry in entries if entry.block.kind.said for token in entry.block.token_ids)
    # An end that sees what the reply sees is a part of it.
    parts = () if state.visibility.predicting_row else said.unfed
    run = Run(tokens=(*tokens, *parts), inputs=heard_by(state, branch))
    texts = tuple(entry.id for entry in entries if not entry.block.kind.said)
    return replace(said, entries=texts, said=(run,), unfed=() if parts else said.unfed)
