"""Putting a question to a session and writing its reply, one forward per token."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from models.answer import BRIEFLY, Answer, AnswerOptions, Asked, Branch, Hooks
from models.blocks import Block, Kind
from models.dialogue import Round
from models.errors import PoolFullError
from models.positions import Cursor
from models.row import Draft, Entry
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
        PoolFullError: they do not fit; the branch is released then, and the last round is as it was.
    """
    branch, rounds, reply_next = view.branch, state.dialogue.rounds, state.reply_next
    finished: list[Draft] = []
    try:
        if rounds and (view.until_ns is None or rounds[-1].t_ns <= view.until_ns):
            finished = _finish_round(state, branch, t_ns=t_ns)
        drafts = [*view.drafts, *finished]
        seam = () if state.dialogue.sealed(view.until_ns) else state.prompts.seam()
        closing = [branch.place(Kind.QUERY, seam, t_ns=t_ns)] if seam else []
        drafts += closing
        if tokens:
            drafts.append(branch.place(Kind.QUERY, tokens, t_ns=t_ns))
        branch.cursor = reply_cursor(state, view)
        drafts.append(branch.place(Kind.REPLY, state.prompts.reply_start(), t_ns=t_ns, logits=1))
        logits = state.track.run(drafts)[-1][-1]
    except Exception:
        branch.release()
        state.row.free([draft.entry.id for draft in finished])
        state.dialogue.rounds, state.reply_next = rounds, reply_next
        raise
    header = len(drafts[-1].entry.slots)
    return Opened(
        logits=logits,
        tokens=len(tokens) + len(seam) + header,
        seam=tuple(draft.entry.id for draft in closing),
    )


def _finish_round(state: State, branch: Branch, *, t_ns: int) -> list[Draft]:
    """Places the end of the last round, which belongs to what was said, and lets the branch see it."""
    if state.positions.reply == "continue":
        finished, branch.cursor = state.dialogue.finish(branch.sees(), branch.cursor, t_ns=t_ns)
    else:
        said = Cursor(next=state.reply_next)
        finished, said = state.dialogue.finish(branch.sees(), said, t_ns=t_ns, apart=True)
        state.reply_next = said.next
    branch.look_at([*branch.base, *(draft.entry.id for draft in finished)])
    return finished


def reply_cursor(state: State, view: View) -> Cursor:
    """Where the reply's header goes under the session's layout."""
    rule = state.positions
    if rule.reply == "continue":
        return view.branch.cursor
    newest = _newest_frames(state, view.branch)
    if rule.reply == "restart" or newest is None or newest.id == state.reply_to:
        return Cursor(next=max(rule.offset, state.reply_next))
    return Cursor(next=int(newest.positions[0].min()))


def _newest_frames(state: State, branch: Branch) -> Entry | None:
    """The newest frames that a branch sees."""
    entries = (state.row.entry(key) for key in branch.sees())
    frames = [entry for entry in entries if entry.block.kind is Kind.FRAMES]
    return max(frames, key=lambda entry: (entry.block.t1_ns, entry.id), default=None)


def reply(state: State, branch: Branch, opened: Opened, *, options: AnswerOptions, stats: Asked) -> Answer:
    """Begins a reply on an open turn."""

    def step(kind: Kind, tokens: Sequence[int]) -> Tensor:
        return _step(state, branch, Text(kind=kind, tokens=tuple(tokens), t_ns=stats.t_ns))

    def ended(said: Round) -> Sequence[int]:
        return _ended(state, branch, said, seam=opened.seam)

    hooks = Hooks(step=step, ended=ended)
    try:
        answer = Answer(branch, opened.logits, prompts=state.prompts, options=options, asked=stats, hooks=hooks)
    except Exception:
        branch.release()
        raise
    state.answer = answer
    return answer


def _step(state: State, branch: Branch, text: Text) -> Tensor:
    """One forward of a reply; when speaking while frames keep coming, the oldest waiting grid enters in the same."""
    frames = _due_frames(state) if state.settings.mode == "parallel" and state.intake.queue else []
    if frames:
        remembered = state.watcher.ready()
        entries = [remembered.entries[key] for key in remembered.keys]
        branch.look_at([state.track.start(), *entries, *state.dialogue.visible()])
        if state.positions.reply == "continue":
            branch.cursor = Cursor(next=max(branch.cursor.next, state.track.cursor.next))
    try:
        draft = branch.place(text.kind, text.tokens, t_ns=text.t_ns, logits=1)
    except PoolFullError:
        state.track.run(frames)
        raise
    try:
        if text.kind is Kind.QUERY:
            return state.track.run([*frames, draft])[-1][-1]
        with state.meter.time("decode"):
            logits = state.row.run([*frames, draft])[-1]
    except Exception:
        branch.drop(draft)
        raise
    state.meter.decode_tokens += len(text.tokens)
    state.meter.prefill_tokens += sum(len(frame.entry.slots) for frame in frames)
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
    if not state.dialogue.limit:
        return ()
    newest = _newest_frames(state, branch)
    state.reply_next, state.reply_to = branch.cursor.next, -1 if newest is None else newest.id
    replies = [key for key in said.entries if state.row.entry(key).block.kind is Kind.REPLY]
    texts = [key for key in said.entries if key not in replies]
    if replies:
        tokens = tuple(token for key in replies for token in state.row.entry(key).block.token_ids)
        # A reply that was written while frames came knows those that came last.
        known_ns = said.t_ns if newest is None else max(said.t_ns, newest.block.t1_ns - 1)
        block = Block(kind=Kind.REPLY, t0_ns=known_ns, t1_ns=known_ns, token_ids=tokens)
        texts.append(state.row.join(replies, block).id)
    kept = tuple(sorted(texts))
    branch.own = [entry for entry in branch.own if entry not in replies] + list(kept)
    if seam and state.dialogue.seam is None:
        state.dialogue.seam = seam[0]
        kept = (*kept, *seam)
    state.dialogue.add(replace(said, entries=tuple(key for key in kept if key not in seam)))
    while state.dialogue.rounds and state.dialogue.tokens() > DIALOGUE_SHARE * state.row.pool.slots:
        state.dialogue.drop_oldest()
    if not state.dialogue.rounds:
        state.reply_next = 0
    return kept
