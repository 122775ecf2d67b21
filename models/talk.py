"""Putting a question to a session and writing its reply, one forward per token."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from models.answer import BRIEFLY, Answer, AnswerOptions, Asked, Branch, Hooks
from models.blocks import Block, Kind
from models.dialogue import Round
from models.errors import PoolFullError, SettingsError
from models.positions import Cursor
from models.retelling import Told, retell, retellable
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
    check_options(state, put.options)
    state.drain()
    # Else the ends of rounds are fed with the question, in one forward.
    if state.layout.in_line or state.watcher.expires(put.t_ns):
        state.close_rounds()
    state.watcher.expire(put.t_ns)
    state.set_back()
    text = put.text + BRIEFLY if put.options.draft_tokens else put.text
    view = look(state, state.prompts.text(put.text))
    asked = open_turn(state, view, text, t_ns=put.t_ns)
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
        passing=(*view.passing, *asked.passing),
    )
    return reply(state, view.branch, asked, options=put.options, stats=stats)


def check_options(state: State, options: AnswerOptions) -> None:
    """Refuses a short answer before the full one where questions do not see what was said.

    Raises:
        SettingsError: the session's layout hides replies from questions; the second one would ask about nothing.
    """
    if options.draft_tokens and state.visibility.queries_see != "all":
        raise SettingsError(
            f"draft_tokens: found {options.draft_tokens}, expected 0 under layout {state.settings.layout!r}, whose "
            "questions do not see what was said; ask twice, or use layout branch"
        )


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
        seam: the entries that closed the video and the turn that shows it, if this turn brought them.
        heard: where the count of the input goes on behind it; None where it brought no input.
        held: tokens of the last round's end that stand on the turn's branch.
        ends: the entries of ends of rounds that it fed.
        told: what it fed anew of what was said.
        before: what was said before it.
    """

    logits: Tensor
    tokens: int
    seam: tuple[int, ...]
    heard: Cursor | None
    held: int
    ends: tuple[int, ...]
    told: Told
    before: "Spoken"

    @property
    def passing(self) -> tuple[int, ...]:
        """The entries that are no part of the round that it becomes."""
        return (*self.seam, *(draft.entry.id for draft in self.told.drafts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What was said before a turn, to be gone back to where the turn comes to nothing."""

    rounds: tuple[Round, ...]
    reply_next: int
    reply_to: int

    @classmethod
    def of(cls, state: State) -> "Spoken":
        """As it stands now."""
        return cls(rounds=state.dialogue.rounds, reply_next=state.reply_next, reply_to=state.reply_to)

    def undo(self, state: State, ends: Sequence[int]) -> None:
        """Takes back the ends of rounds that were fed since."""
        state.row.free(ends)
        state.dialogue.rounds = self.rounds
        state.reply_next, state.reply_to = self.reply_next, self.reply_to


def open_turn(state: State, view: View, text: str, *, t_ns: int) -> Opened:
    """Feeds the newest frames, the ends of rounds, the user's text and the reply's header in one pass.

    Args:
        state: the session.
        view: what the turn sees.
        text: the question; empty for a turn of the model's own.
        t_ns: when the turn is known.

    Raises:
        PoolFullError: they do not fit; the branch is released then, and the last round is as it was.
    """
    branch, before = view.branch, Spoken.of(state)
    finished: list[Draft] = []
    held: tuple[int, ...] = ()
    try:
        if before.rounds and not state.layout.retold:
            finished, held = _finish_rounds(state, view, t_ns=t_ns)
        asked, seam = _ask(state, view, text, t_ns=t_ns)
        heard = branch.cursor if asked else None
        told = retell(state, view, asked, t_ns=t_ns) if state.layout.retold else Told()
        header = _header(state, branch, held, t_ns=t_ns)
        logits = state.track.run([*view.drafts, *finished, *asked, *told.drafts, *header])[-1][-1]
    except BaseException:
        branch.release()
        before.undo(state, [draft.entry.id for draft in finished])
        raise
    return Opened(
        logits=logits,
        tokens=sum(len(draft.entry.slots) for draft in (*asked, header[-1])),
        seam=seam,
        heard=heard,
        held=len(held),
        ends=tuple(draft.entry.id for draft in finished),
        told=told,
        before=before,
    )


def take_back(state: State, branch: Branch, opened: Opened) -> None:
    """Ends a turn that comes to nothing, without a trace.

    Where an end of a round sees what the next reply sees, it was fed for this turn alone and waits on.
    """
    branch.release()
    if state.positions.reply != "continue":
        opened.before.undo(state, opened.ends)


def _ask(state: State, view: View, text: str, *, t_ns: int) -> tuple[list[Draft], tuple[int, ...]]:
    """Places the question; the first one stands between the marks that close the video and the turn that shows it."""

    def hear(tokens: Sequence[int]) -> list[Draft]:
        return [_hear(state, view.branch, tokens, t_ns=t_ns)] if tokens else []

    if state.dialogue.sealed(view.until_ns):
        return hear(state.prompts.question(text) if text else ()), ()
    video, asked, turn = hear(state.prompts.seam()), hear(state.prompts.text(text)), hear(state.prompts.turn_close())
    return [*video, *asked, *turn], tuple(draft.entry.id for draft in (*video, *turn))


def _hear(state: State, branch: Branch, tokens: Sequence[int], *, t_ns: int) -> Draft:
    """Places input on a branch, which sees there what the layout lets a question see."""
    draft = branch.place(Kind.QUERY, tokens, t_ns=t_ns)
    if state.visibility.queries_see == "all" or state.visibility.frames_see_text:
        return draft
    return replace(draft, sees=tuple(key for key in draft.sees if not state.row.entry(key).block.kind.said))


def _header(state: State, branch: Branch, held: Sequence[int], *, t_ns: int) -> list[Draft]:
    """Places the reply's header, behind what the last round's end has held back for it."""
    if state.positions.reply != "continue" and not state.layout.retold:
        branch.cursor = _spoken(state)
    before = [branch.place(Kind.REPLY, held, t_ns=t_ns)] if held else []
    branch.cursor = _go_on(state, branch, branch.cursor)
    return [*before, branch.place(Kind.REPLY, state.prompts.reply_start(), t_ns=t_ns, logits=1)]


def _finish_rounds(state: State, view: View, *, t_ns: int) -> tuple[list[Draft], tuple[int, ...]]:
    """Places the ends of rounds, which belong to what was said, and lets the branch see them.

    Under a layout with a predicting row the last token is held back, because it sees what the next reply sees; it is
    returned beside what was placed.
    """
    branch = view.branch
    if state.positions.reply == "continue":
        finished = state.dialogue.finish(view.until_ns)
        branch.cursor = Cursor(next=max(branch.cursor.next, state.dialogue.end_at(view.until_ns)))
    elif view.until_ns is not None and state.dialogue.rounds[-1].t_ns > view.until_ns:
        return [], ()
    else:
        finished, said = [], _spoken(state)
        # The row before the first token has not seen the newest frames, so only what follows it goes to them.
        for first in (True, False):
            count = len(state.dialogue.rounds[-1].unfed) - state.visibility.predicting_row
            fed, said = state.dialogue.finish_apart(
                branch.sees(), said, t_ns=t_ns, count=min(count, 1) if first else count
            )
            if fed:
                finished += fed
                state.reply_next = (said := _go_on(state, branch, said)).next
                state.reply_to = _newest_id(state, branch)
    branch.look_at([*branch.base, *(draft.entry.id for draft in finished)])
    return finished, state.dialogue.rounds[-1].unfed if state.visibility.predicting_row else ()


def _spoken(state: State) -> Cursor:
    """Where what is said goes on if it has positions of its own."""
    return Cursor(next=max(state.positions.offset, state.reply_next))


def _go_on(state: State, branch: Branch, cursor: Cursor) -> Cursor:
    """Where the next thing said goes: on, or under `shared` to frames that the last one had not seen."""
    newest = _newest_frames(state, branch)
    if state.positions.reply != "shared" or newest is None or newest.id == state.reply_to:
        return cursor
    return Cursor(next=int(newest.positions[0].min()))


def _newest_id(state: State, branch: Branch) -> int:
    newest = _newest_frames(state, branch)
    return -1 if newest is None else newest.id


def _newest_frames(state: State, branch: Branch, *, before: int | None = None) -> Entry | None:
    """The newest frames that a branch sees, or that an entry of it has seen."""
    entries = (state.row.entry(key) for key in branch.sees() if before is None or key < before)
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
    except BaseException:
        branch.release()
        raise
    state.answer = answer
    _settle(state, branch, opened)
    return answer


def _settle(state: State, branch: Branch, opened: Opened) -> None:
    """Makes a turn that is taken part of what comes: a turn of silence never is."""
    state.reply_to = _newest_id(state, branch)
    if opened.held or opened.told.ends:
        *rounds, last = state.dialogue.rounds
        state.dialogue.rounds = (*rounds, replace(last, unfed=(), said=(*last.said, *opened.told.ends)))
    # Frames that came before a late turn stay where they are.
    if opened.heard is not None and not state.positions.beside and opened.heard.next > state.track.cursor.next:
        state.track.cursor = opened.heard


def _step(state: State, branch: Branch, text: Text) -> Tensor:
    """One forward of a reply; when speaking while frames keep coming, the oldest waiting grid enters in the same."""
    # A step that failed is tried again with the grid that it brought, and with no other.
    due = state.settings.mode == "parallel" and state.intake.queue and not branch.failed
    frames = _due_frames(state) if due else []
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
    frames = list(state.row.owed)
    try:
        if text.kind is Kind.QUERY:
            logits = state.track.run([*frames, draft])[-1]
        else:
            with state.meter.time("decode"):
                logits = state.row.run([*frames, draft])[-1]
    except BaseException:
        branch.drop(draft)
        branch.failed = True
        raise
    branch.failed = False
    if frames:
        branch.cursor = _go_on(state, branch, branch.cursor)
        state.reply_to = _newest_id(state, branch)
    if text.kind is Kind.REPLY:
        state.meter.decode_tokens += len(text.tokens)
        state.meter.prefill_tokens += sum(len(frame.entry.slots) for frame in frames)
    return logits[-1]


def _due_frames(state: State) -> list[Draft]:
    """The oldest waiting grid, placed; it goes on waiting while there is no room."""
    try:
        return state.hand_over()
    except PoolFullError:
        return []


def _ended(state: State, branch: Branch, said: Round, *, seam: tuple[int, ...]) -> Sequence[int]:
    """Keeps a finished round, its reply as one block; returns the entries that stay."""
    state.answer = None
    if state.layout.in_line:
        end = max((state.row.entry(key).end for key in said.entries), default=0)
        state.track.cursor = Cursor(next=max(state.track.cursor.next, end))
    if not state.dialogue.limit:
        state.reply_next, state.reply_to = 0, -1
        return ()
    said = retellable(state, branch, said) if state.layout.retold else _joined(state, branch, said)
    kept = said.entries
    if seam and not state.dialogue.seam:
        state.dialogue.seam, kept = seam, (*kept, *seam)
    state.dialogue.add(said)
    while state.dialogue.rounds and state.dialogue.tokens() > DIALOGUE_SHARE * state.row.pool.slots:
        state.dialogue.drop_oldest()
    if not state.dialogue.rounds:
        state.reply_next, state.reply_to = 0, -1
    return kept


def _joined(state: State, branch: Branch, said: Round) -> Round:
    """A round whose reply stays in the cache as one block."""
    newest = _newest_frames(state, branch)
    _stop_at(state, branch, said)
    replies = [key for key in said.entries if state.row.entry(key).block.kind is Kind.REPLY]
    texts = [key for key in said.entries if key not in replies]
    if replies:
        tokens = tuple(token for key in replies for token in state.row.entry(key).block.token_ids)
        # A reply that was written while frames came knows those that came last.
        known_ns = said.t_ns if newest is None else max(said.t_ns, newest.block.t1_ns)
        block = Block(kind=Kind.REPLY, t0_ns=known_ns, t1_ns=known_ns, token_ids=tokens)
        texts.append(state.row.join(replies, block).id)
    kept = tuple(sorted(texts))
    branch.own = [entry for entry in branch.own if entry not in replies] + list(kept)
    return replace(said, entries=kept, saw=tuple(branch.sees()))


def _stop_at(state: State, branch: Branch, said: Round) -> None:
    """Notes where what is said goes on behind the last token that stays, and which frames that one has seen."""
    entries = [state.row.entry(key) for key in branch.own]
    spoken = [entry for entry in entries if entry.block.kind is Kind.REPLY]
    taken_back = [entry.cursor for entry in spoken if entry.id not in said.entries]
    state.reply_next = (taken_back[0] if taken_back else branch.cursor).next
    last = max((entry.id for entry in spoken if entry.id in said.entries), default=-1)
    newest = _newest_frames(state, branch, before=last)
    state.reply_to = -1 if newest is None else newest.id
