"""Putting a question to a session and writing its reply, one forward per token."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from models.answer import BRIEFLY, Answer, AnswerOptions, Asked, Branch, Hooks
from models.blocks import Block, Kind
from models.dialogue import Round
from models.errors import PoolFullError
from models.positions import Cursor
from models.row import Draft
from models.state import State
from models.view import View, look

# Dialogue takes at most this share of a session's slots; beyond it the oldest rounds go early.
DIALOGUE_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A question as it comes in.

    Attributes:
        text: empty for a turn that the model takes by itself.
        t_ns: when.
        begun: the clock at that moment, for statistics.
        options: how the reply is written.
    """

    text: str
    t_ns: int
    begun: float
    options: AnswerOptions


def ask(state: State, put: Put) -> Answer:
    """Brings the cache up to date, feeds the question on a branch and chooses the reply's first token."""
    before = dict(state.meter.seconds)
    state.drain()
    state.watcher.expire(put.t_ns)
    state.set_back()
    text = put.text + BRIEFLY if put.options.draft_tokens else put.text
    view = look(state, state.prompts.text(put.text))
    asked = _question(state, view, text, put.t_ns)
    state.meter.questions += 1
    stats = Asked(
        question=put.text,
        t_ns=put.t_ns,
        begun=put.begun,
        encode_s=state.meter.seconds["vision_wait"] - before["vision_wait"],
        prefill_s=state.meter.seconds["prefill"] - before["prefill"],
        prompt_tokens=asked.tokens,
        visible_tokens=len(state.row.slots_of(view.branch.sees())),
        frames=view.frames,
        passing=(*view.passing, *asked.seam),
    )
    return reply(state, view.branch, asked, options=put.options, stats=stats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Tokens to be fed on a branch."""

    kind: Kind
    tokens: tuple[int, ...]
    t_ns: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A turn whose prompt is in the cache.

    Attributes:
        logits: float32 (vocabulary,), what the model would say first.
        tokens: of the prompt.
        seam: the entry that closed the video, if this turn brought it.
    """

    logits: Tensor
    tokens: int
    seam: tuple[int, ...]


def _question(state: State, view: View, text: str, t_ns: int) -> Opened:
    opened = state.dialogue.seam is None and not state.dialogue.rounds
    return open_turn(state, view, state.prompts.question(text, opened=opened), t_ns=t_ns)


def open_turn(state: State, view: View, tokens: Sequence[int], *, t_ns: int) -> Opened:
    """Feeds the newest frames, the end of the last round, the user's text and the reply's header in one pass.

    Raises:
        PoolFullError: they do not fit; the branch is released then.
    """
    branch, drafts = view.branch, list(view.drafts)
    try:
        finished, branch.cursor = state.dialogue.finish(branch.sees(), branch.cursor)
        drafts += finished
        # The round that was finished has one block more; the new turn sees it.
        branch.look_at([*branch.base, *(draft.entry.id for draft in finished)])
        seam = state.prompts.seam() if state.dialogue.seam is None else ()
        closing = [branch.place(Kind.QUERY, seam, t_ns=t_ns)] if seam else []
        drafts += closing
        if tokens:
            drafts.append(branch.place(Kind.QUERY, tokens, t_ns=t_ns))
        branch.cursor = reply_cursor(state, view)
        drafts.append(branch.place(Kind.REPLY, state.prompts.reply_start(), t_ns=t_ns, logits=1))
        logits = state.track.run(drafts)[-1][-1]
    except Exception:
        branch.release()
        raise
    header = len(drafts[-1].entry.slots)
    return Opened(
        logits=logits,
        tokens=len(tokens) + len(seam) + header,
        seam=tuple(draft.entry.id for draft in closing),
    )


def reply_cursor(state: State, view: View) -> Cursor:
    """Where the reply's header goes under the session's layout."""
    rule, branch = state.positions, view.branch
    if rule.reply == "restart":
        return Cursor(next=max(rule.offset, state.reply_next))
    if rule.reply == "shared":
        entries = [state.row.entry(key) for key in branch.sees()]
        frames = [entry for entry in entries if entry.block.kind is Kind.FRAMES]
        if frames:
            return Cursor(next=max(state.reply_next, int(frames[-1].positions[0].min())))
    return branch.cursor


def reply(state: State, branch: Branch, opened: Opened, *, options: AnswerOptions, stats: Asked) -> Answer:
    """Begins a reply on an open turn."""

    def step(kind: Kind, tokens: Sequence[int]) -> Tensor:
        return _step(state, branch, Text(kind=kind, tokens=tuple(tokens), t_ns=stats.t_ns))

    def ended(said: Round) -> Sequence[int]:
        return _ended(state, branch, said, seam=opened.seam)

    hooks = Hooks(step=step, ended=ended)
    answer = Answer(branch, opened.logits, prompts=state.prompts, options=options, asked=stats, hooks=hooks)
    state.answer = answer
    return answer


def _step(state: State, branch: Branch, text: Text) -> Tensor:
    """One token; when speaking while frames keep coming, the oldest waiting grid enters in the same forward."""
    frames = _due_frames(state) if state.settings.mode == "parallel" and state.intake.queue else []
    if frames:
        remembered = state.watcher.ready()
        entries = [remembered.entries[key] for key in remembered.keys]
        branch.look_at([state.track.start(), *entries, *state.dialogue.visible()])
        if state.positions.reply == "continue":
            branch.cursor = Cursor(next=max(branch.cursor.next, state.track.cursor.next))
    draft = branch.place(text.kind, text.tokens, t_ns=text.t_ns, logits=1)
    with state.meter.time("decode"):
        logits = state.row.run([*frames, draft])[-1]
    state.meter.decode_tokens += 1
    return logits[-1]


def _due_frames(state: State) -> list[Draft]:
    """The oldest waiting grid, placed; it goes on waiting while there is no room."""
    try:
        frames = state.watcher.drafts(state.intake.queue[0])
    except PoolFullError:
        return []
    state.intake.queue.popleft()
    return frames


def _ended(state: State, branch: Branch, said: Round, *, seam: tuple[int, ...]) -> Sequence[int]:
    """Keeps a finished round, its reply as one block; returns the entries that stay."""
    state.answer = None
    if state.positions.reply != "continue":
        state.reply_next = branch.cursor.next
    if not state.dialogue.limit:
        return ()
    replies = [key for key in said.entries if state.row.entry(key).block.kind is Kind.REPLY]
    texts = [key for key in said.entries if key not in replies]
    if replies:
        tokens = tuple(token for key in replies for token in state.row.entry(key).block.token_ids)
        block = Block(kind=Kind.REPLY, t0_ns=said.t_ns, t1_ns=said.t_ns, token_ids=tokens)
        texts.append(state.row.join(replies, block).id)
    kept = tuple(sorted(texts))
    branch.own = [entry for entry in branch.own if entry not in replies] + list(kept)
    if seam:
        state.dialogue.seam = seam[0]
    state.dialogue.add(replace(said, entries=kept))
    while state.dialogue.rounds and state.dialogue.tokens() > DIALOGUE_SHARE * state.row.pool.slots:
        state.dialogue.drop_oldest()
    return (*kept, *seam)
