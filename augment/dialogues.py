"""Conversations held again in an augmented video: people ask at the same moments and hear what is true there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from augment.answers import Asked, CannotAskError, Reply, Rules, Scene, Words, replies_to
from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.decisions import decisions_on
from datasets_build.core.evidence import answerable_from
from datasets_build.core.records import Dialogue, Turn, derive_id
from datasets_build.core.speech import Floor
from datasets_build.core.views import parse_grid


class Left(NamedTuple):
    """A turn of a user that the augmented conversation does not have, and why."""

    turn_id: str
    reason: str


class Held(NamedTuple):
    """An augmented conversation, None where nothing is left of it, and what of it is left out."""

    dialogue: Dialogue | None
    left: list[Left]


@dataclass(slots=True)
class _Talk:
    """A conversation in the making."""

    dialogue: Dialogue
    scene: Scene
    floor: Floor
    turns: list[Turn] = field(default_factory=list)
    made: dict[str, Turn] = field(default_factory=dict)

    @property
    def clock(self) -> FrameClock:
        return self.scene.clock

    def turn_id(self, parent: str, part: int | str = 0) -> str:
        return derive_id("turn", self.scene.video_id, self.dialogue.id, parent, part)


def talk_again(dialogue: Dialogue, heard_ns: Mapping[str, int], scene: Scene) -> Held:
    """The same conversation in another video.

    Each question is heard at its moment, and answered as late after it could be known as before, at the same speed of
    speech. An exchange that finds no room beside those before it is left out; an answer is cut short where the next
    question still comes in the middle of it, and whole elsewhere.

    Args:
        dialogue: the conversation.
        heard_ns: when the last word of each user turn is out in the augmented video, at a frame, by turn; turns that
            are not there are not asked.
        scene: that video.
        pause_ns: between exchanges.
    """
    talk = _Talk(dialogue, scene, Floor(scene.rules.pause_ns))
    replies = {
        turn.trigger_ref: turn for turn in dialogue.turns if turn.role == "assistant" and turn.trigger != "event"
    }
    users = said_by(dialogue, "user")
    left = [Left(turn.id, "it is asked where nothing is shown") for turn in users if turn.id not in heard_ns]
    for user in sorted((turn for turn in users if turn.id in heard_ns), key=lambda turn: heard_ns[turn.id]):
        try:
            _exchange(talk, user, replies.get(user.id), heard_ns[user.id])
        except CannotAskError as error:
            left.append(Left(user.id, str(error)))
    return Held(_dialogue(talk), left)


def said_by(dialogue: Dialogue, role: str) -> list[Turn]:
    """The turns of one speaker, in order."""
    return [turn for turn in dialogue.turns if turn.role == role]


def _dialogue(talk: _Talk) -> Dialogue | None:
    if not talk.turns:
        return None
    old, turns = talk.dialogue, sorted(talk.turns, key=lambda t: (t.start_ns, t.role != "user", t.end_ns, t.id))
    events = dict.fromkeys(piece.event_id for turn in turns for piece in turn.evidence if piece.event_id)
    return old.model_copy(
        update={
            "id": derive_id("dialogue", talk.scene.video_id, old.id),
            "video_id": talk.scene.video_id,
            "start_ns": 0,
            "end_ns": talk.clock.end_ns,
            "turns": tuple(turns),
            "decisions": tuple(decisions_on(turns, talk.clock, fps=parse_grid(d.grid)) for d in old.decisions),
            "provenance": old.provenance.model_copy(update={"inputs": (old.id, *events), "seed": talk.scene.seed}),
        }
    )


def _exchange(talk: _Talk, user: Turn, answer: Turn | None, heard_ns: int) -> None:
    """A question with all that answers it, or nothing of it."""
    if user.about is None or user.task is None or answer is None:
        raise CannotAskError("it does not say what it is about")
    asked = _question(talk, user, heard_ns)
    standing = user.task == "tell_me_when"
    ask = Asked(
        task=user.task,
        about=user.about,
        ask_ns=heard_ns,
        words=_words(talk, user, () if standing else (answer,)),
        scene=talk.scene,
        in_vain=standing,
    )
    _, replies = replies_to(ask)
    if standing:
        turns = [_promise(talk, answer, asked), *_reports(talk, answer, replies)]
    else:
        turns = [_spoken(talk, answer, replies[0], trigger="user_query", ref=asked.id)]
    _take(talk, asked, turns, cuts=talk.made.get(user.interrupts or ""))


def _words(talk: _Talk, user: Turn, answers: Sequence[Turn]) -> Words:
    return Words(
        written=talk.dialogue.provenance,
        said=tuple(turn.intended_text or turn.text for turn in answers),
        said_of={turn.trigger_ref or "": turn.text for turn in talk.dialogue.turns if turn.trigger == "event"},
        events=frozenset(piece.event_id for turn in answers for piece in turn.evidence if piece.event_id),
        key=user.id,
    )


def _question(talk: _Talk, user: Turn, heard_ns: int) -> Turn:
    """The question, spoken as fast as before; what would have been said before the first frame is cut off."""
    length = user.end_ns - user.start_ns
    if talk.dialogue.provenance.kind == "template":
        length = len(user.text) * NS_PER_S // talk.scene.rules.user_chars_per_s
    start = min(heard_ns, talk.clock.snap_up(heard_ns - length))
    changed = {"id": talk.turn_id(user.id), "start_ns": start, "end_ns": heard_ns, "interrupts": None}
    return user.model_copy(update=changed)


def _said(talk: _Talk, turn: Turn, reply: Reply) -> tuple[int, int]:
    """When a reply is said: as late after it could be known as before, as fast as before."""
    if talk.dialogue.provenance.kind == "template":
        length = len(reply.text) * NS_PER_S // talk.scene.rules.assistant_chars_per_s
    else:
        length = (turn.end_ns - turn.start_ns) * len(reply.text) // len(turn.text)
    due = turn.start_ns if turn.window_start_ns is None else turn.window_start_ns
    start = talk.clock.snap_up(reply.t_ns + turn.start_ns - due)
    end = talk.clock.snap_up(max(start + length, start + 1))
    if start >= min(reply.window_end_ns, talk.clock.end_ns) or start + length > talk.clock.end_ns:
        raise CannotAskError("its answer would come too late")
    if reply.valid_until_ns is not None and end > reply.valid_until_ns:
        raise CannotAskError("its answer would not be out while it is right")
    return start, end


def _spoken(
    talk: _Talk, turn: Turn, reply: Reply, *, trigger: Literal["user_query", "event"], ref: str, part: int | str = 0
) -> Turn:
    start, end = _said(talk, turn, reply)
    evidence = tuple(piece.model_copy(update={"role": "necessary"}) for piece in reply.evidence)
    return turn.model_copy(
        update={
            "id": talk.turn_id(turn.id, part),
            "start_ns": start,
            "end_ns": end,
            "text": reply.text,
            "trigger": trigger,
            "trigger_ref": ref,
            "evidence": evidence,
            "answerable_from_ns": answerable_from(evidence),
            "window_start_ns": reply.t_ns,
            "window_end_ns": reply.window_end_ns,
            "truncated_at_char": None,
            "intended_text": None,
        }
    )


def _promise(talk: _Talk, turn: Turn, asked: Turn) -> Turn:
    """A request is taken up at once, in the same words."""
    rules = talk.scene.rules
    end = talk.clock.snap_up(asked.end_ns + rules.window_ns)
    reply = Reply(turn.intended_text or turn.text, asked.end_ns, end, None, ())
    made = _spoken(talk, turn, reply, trigger="user_query", ref=asked.id)
    return made.model_copy(update={"answerable_from_ns": asked.end_ns})


def _reports(talk: _Talk, promise: Turn, replies: Sequence[Reply]) -> list[Turn]:
    """A report of each event that is waited for, in the words of before where there was such a report."""
    before = {turn.trigger_ref: turn for turn in talk.dialogue.turns if turn.trigger == "event"}
    found = []
    for k, reply in enumerate(replies):
        (piece,) = reply.evidence
        assert piece.event_id is not None, "a report names its event"
        parents = talk.scene.grounds.by_id[piece.event_id].event.provenance.inputs
        old = next((before[parent] for parent in parents if parent in before), promise)
        found.append(_spoken(talk, old, reply, trigger="event", ref=piece.event_id, part=f"{promise.id}/{k}"))
    return found


def _take(talk: _Talk, asked: Turn, turns: Sequence[Turn], *, cuts: Turn | None) -> None:
    """Gives an exchange its place; a question that comes in the middle of the answer before it cuts that short."""
    first, *later = turns
    if cuts is not None and cuts.start_ns < asked.start_ns < cuts.end_ns:
        cut = _cut_short(cuts, asked.start_ns, talk.scene.rules)
        held = next(stretch for stretch in talk.floor.taken if stretch[0] <= cuts.start_ns < stretch[1])
        talk.floor.release(*held)
        stretches = [(held[0], first.end_ns), *((turn.start_ns, turn.end_ns) for turn in later)]
        _hold(talk, stretches, instead=held)
        talk.turns[talk.turns.index(cuts)] = cut
        asked = asked.model_copy(update={"interrupts": cut.id})
        first = first.model_copy(update={"trigger": "interruption"})
    else:
        _hold(talk, [(asked.start_ns, first.end_ns), *((turn.start_ns, turn.end_ns) for turn in later)])
    talk.turns += [asked, first, *later]
    talk.made[_parent_of(talk, first)] = first


def _parent_of(talk: _Talk, made: Turn) -> str:
    return next(turn.id for turn in talk.dialogue.turns if talk.turn_id(turn.id) == made.id)


def _hold(talk: _Talk, stretches: Sequence[tuple[int, int]], *, instead: tuple[int, int] | None = None) -> None:
    """Holds the floor for all of an exchange, or for nothing of it."""
    taken: list[tuple[int, int]] = []
    for stretch in stretches:
        if not talk.floor.free(*stretch):
            for each in taken:
                talk.floor.release(*each)
            if instead is not None:
                talk.floor.take(*instead)
            raise CannotAskError("somebody else speaks then")
        talk.floor.take(*stretch)
        taken.append(stretch)


def _cut_short(answer: Turn, at_ns: int, rules: Rules) -> Turn:
    """What of an answer was said before an instant inside it."""
    said = len(answer.text) * (at_ns - answer.start_ns) // (answer.end_ns - answer.start_ns)
    if not rules.least_said <= said <= len(answer.text) - rules.least_left:
        raise CannotAskError("it would cut off next to nothing or all of the answer before it")
    changed = {"end_ns": at_ns, "text": answer.text[:said], "intended_text": answer.text, "truncated_at_char": said}
    return answer.model_copy(update=changed)
