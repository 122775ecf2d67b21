"""Conversations held again in an augmented video: people ask at the same moments and hear what is true there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from augment.answers import Asked, CannotAskError, Scene, replies_to
from augment.mishaps import Mishaps
from augment.talk import Talk, cut_at, words_of
from augment.wording import timely
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Dialogue, Turn, derive_id
from datasets_build.core.reply import Reply
from datasets_build.core.speech import Floor
from datasets_build.core.topics import UNPROVED
from datasets_build.core.views import parse_grid
from datasets_build.truth.styles import is_referring, style_of
from datasets_build.truth.words import writer_of


class Left(NamedTuple):
    """A turn of a user that the augmented conversation does not have, and why."""

    turn_id: str
    reason: str


class Held(NamedTuple):
    """An augmented conversation, None where nothing is left of it, and what of it is left out."""

    dialogue: Dialogue | None
    left: list[Left]


def talk_again(
    dialogue: Dialogue, heard_ns: Mapping[str, int], scene: Scene, *, mishaps: Mishaps | None = None
) -> Held:
    """The same conversation in another video.

    Each question is heard at its moment, and answered as late after it could be known as before, at the same speed of
    speech. An exchange that finds no room beside those before it is left out; an answer is cut short where the next
    question still comes in the middle of it, and whole elsewhere.

    Args:
        dialogue: the conversation.
        heard_ns: when the last word of each user turn is out in the augmented video, at a frame, by turn; turns that
            are not there are not asked.
        scene: that video.
        mishaps: what goes wrong in it; None: nothing.
    """
    going = mishaps or Mishaps()
    talk = Talk(dialogue, scene, Floor(scene.rules.pause_ns), going.latency(), going.late)
    going.come_back(talk)
    replies = {
        turn.trigger_ref: turn for turn in dialogue.turns if turn.role == "assistant" and turn.trigger != "event"
    }
    # What was wrong is not said again: only what was said instead.
    replies |= {ref: replies.get(turn.id, turn) for ref, turn in replies.items() if not turn.learn}
    users = said_by(dialogue, "user")
    left = [Left(turn.id, "it is asked where nothing is shown") for turn in users if turn.id not in heard_ns]
    for user in sorted((turn for turn in users if turn.id in heard_ns), key=lambda turn: heard_ns[turn.id]):
        try:
            _exchange(talk, user, replies.get(user.id), heard_ns[user.id], going)
        except CannotAskError as error:
            left.append(Left(user.id, str(error)))
    return Held(_dialogue(talk), left)


def said_by(dialogue: Dialogue, role: str) -> list[Turn]:
    """The turns of one speaker, in order."""
    return [turn for turn in dialogue.turns if turn.role == role]


def _dialogue(talk: Talk) -> Dialogue | None:
    # A conversation in which nobody asks is none: a stream that comes back has nobody to tell.
    if not any(turn.role == "user" for turn in talk.turns):
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


def _exchange(talk: Talk, user: Turn, answer: Turn | None, heard_ns: int, going: Mishaps) -> None:
    """A question with all that answers it, or nothing of it."""
    if user.task in UNPROVED and answer is not None:
        asked = talk.question(user, heard_ns)
        talk.made[answer.id] = _take(talk, asked, [_promise(talk, answer, asked)], cuts=None)
        return
    if user.about is None or user.task is None or answer is None:
        raise CannotAskError("it does not say what it is about")
    if not talk.scene.plain and writer_of(talk.dialogue.provenance) is None and timely(user.text):
        raise CannotAskError("its question speaks of time, and who wrote it cannot be asked for another")
    asked = _referring(talk, user, talk.question(user, heard_ns))
    standing = user.task == "tell_me_when"
    words = words_of(talk.dialogue, user, () if standing else (answer,))
    ask = Asked(task=user.task, about=user.about, ask_ns=heard_ns, words=words, scene=talk.scene, in_vain=standing)
    if not standing and asked.trigger is None and going.happens(talk, asked, answer, ask):
        return
    _, replies = replies_to(ask)
    if standing:
        turns = [_promise(talk, answer, asked), *_reports(talk, answer, replies)]
    else:
        turns = [talk.spoken(answer, replies[0], trigger="user_query", ref=asked.id)]
    talk.made[answer.id] = _take(talk, asked, turns, cuts=talk.made.get(user.interrupts or ""))
    going.barge_in(talk, turns[0])


def _referring(talk: Talk, user: Turn, asked: Turn) -> Turn:
    """A question that refers to an answer names what that has become.

    Raises:
        CannotAskError: that is not said right before it any more, or tells of something else.
    """
    if not is_referring(user):
        return asked
    answer = talk.made.get(user.trigger_ref or "")
    before = sorted((turn for turn in talk.turns if turn.start_ns < asked.start_ns), key=lambda turn: turn.start_ns)
    if answer is None or not before or before[-1].id != answer.id or before[-1].end_ns > asked.start_ns:
        raise CannotAskError("what it refers to is not said right before it any more")
    heard = next((turn for turn in talk.turns if turn.id == answer.trigger_ref), None)
    events = {name: fact.event for name, fact in talk.scene.grounds.by_id.items()}
    old = {turn.id: turn for turn in talk.dialogue.turns}
    was = old[user.trigger_ref or ""]
    if (style := style_of(asked, before[-1], heard, events)) is None:
        raise CannotAskError("what it refers to tells of something else")
    if (style == "meant") != _is_meant(user, old.get(was.trigger_ref or "")):
        raise CannotAskError("what it refers to tells of something else")
    return asked.model_copy(update={"trigger_ref": answer.id})


def _is_meant(user: Turn, heard: Turn | None) -> bool:
    """Whether a user asked the same of another subject before."""
    if heard is None or heard.about is None or user.about is None or heard.task != user.task:
        return False
    return heard.about.subject != user.about.subject


def _promise(talk: Talk, turn: Turn, asked: Turn) -> Turn:
    """A request is taken up at once, in the same words."""
    end = talk.clock.snap_up(asked.end_ns + talk.scene.rules.window_ns)
    reply = Reply(turn.intended_text or turn.text, asked.end_ns, end, None, ())
    return talk.spoken(turn, reply, trigger="user_query", ref=asked.id)


def _reports(talk: Talk, promise: Turn, replies: Sequence[Reply]) -> list[Turn]:
    """A report of each event that is waited for, in the words of before where there was such a report."""
    before = {turn.trigger_ref: turn for turn in talk.dialogue.turns if turn.trigger == "event"}
    found = []
    for k, reply in enumerate(replies):
        (piece,) = reply.evidence
        assert piece.event_id is not None, "a report names its event"
        parents = talk.scene.grounds.by_id[piece.event_id].event.provenance.inputs
        old = next((before[parent] for parent in parents if parent in before), promise)
        found.append(talk.spoken(old, reply, trigger="event", ref=piece.event_id, part=f"{promise.id}/{k}"))
    return found


def _take(talk: Talk, asked: Turn, turns: Sequence[Turn], *, cuts: Turn | None) -> Turn:
    """Gives an exchange its place; a question that comes in the middle of the answer before it cuts that short.

    Returns:
        The first of the turns, as it is said there.
    """
    first, *later = turns
    if cuts is not None and cuts in talk.turns and cuts.start_ns < asked.start_ns < cuts.end_ns:
        cut = cut_at(cuts, asked.start_ns, talk.scene.rules)
        held = talk.held(cuts.start_ns)
        stretches = [(held[0], first.end_ns), *((turn.start_ns, turn.end_ns) for turn in later)]
        talk.hold(stretches, instead=held)
        talk.turns[talk.turns.index(cuts)] = cut
        asked = asked.model_copy(update={"interrupts": cut.id})
        first = first.model_copy(update={"trigger": "interruption"})
    else:
        talk.hold([(asked.start_ns, first.end_ns), *((turn.start_ns, turn.end_ns) for turn in later)])
    talk.turns += [asked, first, *later]
    return first
