"""What goes wrong in a conversation: late, lost and wrong answers, people who barge in, streams that were gone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from augment.answers import Asked, CannotAskError, last_seen, replies_to, true_texts
from augment.latency import latencies
from augment.settings import Delay, DroppedAnswer, Interrupt, LateAnswer, Operation, Reconnect, WrongThenCorrected
from augment.talk import Policy, Talk, cut_at, no_latency, words_of
from augment.wrong import wrong_texts
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.cutting import characters_at
from datasets_build.core.records import About, Turn
from datasets_build.core.reply import Reply
from datasets_build.truth.asides import aside_in, said
from datasets_build.truth.gaps import gaps
from datasets_build.truth.styles import is_referring
from datasets_build.truth.words import question_texts, speaks_of_now, writer_of

_TRIES = 4
# Can be asked of any video.
_ALWAYS: tuple[tuple[str, Literal["scene", "shots"]], ...] = (
    ("now", "scene"),
    ("before", "scene"),
    ("count_so_far", "shots"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishaps:
    """What goes wrong in a conversation, and how often.

    Attributes:
        rng: what chance decides.
        done: the operations that are done.
    """

    rng: random.Random = field(default_factory=lambda: random.Random(0))
    done: Sequence[Operation] = ()

    @property
    def late(self) -> Policy:
        """What becomes of a reply that comes too late."""
        return next((each.policy for each in self.done if isinstance(each, LateAnswer)), "drop")

    def latency(self) -> Callable[[], int]:
        """Draws how much later a reply begins, ns."""
        for each in self.done:
            if isinstance(each, Delay) and each.model is not None:
                return latencies(each.model, self.rng).__next__
        return no_latency

    def happens(self, talk: Talk, asked: Turn, answer: Turn, ask: Asked) -> bool:
        """Lets something go wrong with the answer to a question, if chance wants it and it can be.

        Args:
            talk: the conversation, to which the exchange is added.
            asked: the question, as it is heard now.
            answer: as it was.
            ask: what is asked.

        Returns:
            Whether it has; else nothing is changed.
        """
        for each in self.done:
            try:
                if isinstance(each, DroppedAnswer) and self.rng.random() < each.share:
                    _dropped(talk, asked, answer, ask, round(each.patience_s * NS_PER_S))
                    return True
                if isinstance(each, WrongThenCorrected) and self.rng.random() < each.share:
                    wrong = _wrong(talk, asked, answer, ask, self.rng)
                    (_corrected if each.by == "self" else _refused)(talk, asked, wrong, answer, ask)
                    return True
            except CannotAskError:
                continue
        return False

    def barge_in(self, talk: Talk, turn: Turn) -> None:
        """Lets somebody break into an answer; exchanges that then find no room are left out."""
        for each in self.done:
            if isinstance(each, Interrupt) and self._wants_in(talk, turn, each):
                _barge(talk, turn, self.rng, resume=each.then == "resume")

    def _wants_in(self, talk: Talk, turn: Turn, operation: Interrupt) -> bool:
        return turn in talk.turns and _can_be_cut(turn) and self.rng.random() < operation.share

    def come_back(self, talk: Talk) -> None:
        """Lets the assistant say what it saw last, where a stream was gone."""
        if not any(isinstance(each, Reconnect) for each in self.done):
            return
        for before, after in gaps(talk.clock):
            try:
                _back(talk, before, after)
            except CannotAskError:
                continue


def _unlearned(turn: Turn) -> Turn:
    return turn.model_copy(update={"learn": False, "loss_weight": 0.0})


def _dropped(talk: Talk, asked: Turn, answer: Turn, ask: Asked, patience_ns: int) -> None:
    """A question that nobody answers is asked again; what is true then is answered."""
    start = talk.clock.snap_up(asked.end_ns + patience_ns)
    end = talk.clock.snap_up(start + talk.asking_ns(asked, asked.text))
    _, replies = replies_to(replace(ask, ask_ns=end))
    again = asked.model_copy(
        update={
            "id": talk.turn_id(asked.id, "again"),
            "start_ns": start,
            "end_ns": end,
            "trigger": "timer",
            "trigger_ref": asked.id,
        }
    )
    reply = talk.spoken(answer, replies[0], trigger="user_query", ref=again.id)
    talk.hold([(asked.start_ns, asked.end_ns), (start, reply.end_ns)])
    talk.turns += [_unlearned(asked), again, reply]


def _wrong(talk: Talk, asked: Turn, answer: Turn, ask: Asked, rng: random.Random) -> Turn:
    """What is not true, said when the right answer would be."""
    _, replies = replies_to(ask)
    texts = wrong_texts(ask)
    if not texts:
        raise CannotAskError("there is nothing wrong to say")
    untrue = replace(replies[0], text=rng.choice(texts), valid_until_ns=None)
    return _unlearned(talk.spoken(answer, untrue, trigger="user_query", ref=asked.id, part="wrong"))


def _corrected(talk: Talk, asked: Turn, wrong: Turn, answer: Turn, ask: Asked) -> None:
    """The assistant notices by itself, and says what was right when it was asked and still is."""
    _, replies = replies_to(ask)
    right = _after(talk, replies[0], wrong.end_ns, aside_in(talk.dialogue.language, "corrected"))
    turn = talk.said_from(answer, right, trigger="correction", ref=wrong.id, part=0)
    talk.hold([(asked.start_ns, turn.end_ns)])
    talk.turns += [asked, wrong, turn]


def _refused(talk: Talk, asked: Turn, wrong: Turn, answer: Turn, ask: Asked) -> None:
    """Somebody says that it is not right, and asks again."""
    text = aside_in(talk.dialogue.language, "refused") + asked.text
    start = talk.clock.snap_up(wrong.end_ns + talk.scene.rules.pause_ns)
    end = talk.clock.snap_up(start + talk.asking_ns(asked, text))
    _, replies = replies_to(replace(ask, ask_ns=end))
    # What has become true in the meantime is not refused.
    if any(
        said(wrong.text).text in true_texts(replace(ask, ask_ns=t)) for t in (wrong.start_ns, wrong.end_ns, start, end)
    ):
        raise CannotAskError("what was wrong has become right")
    refusal = asked.model_copy(
        update={
            "id": talk.turn_id(asked.id, "refused"),
            "start_ns": start,
            "end_ns": end,
            "text": text,
            "trigger": "correction",
            "trigger_ref": wrong.id,
        }
    )
    turn = talk.spoken(answer, replies[0], trigger="correction", ref=refusal.id)
    talk.hold([(asked.start_ns, turn.end_ns)])
    talk.turns += [asked, wrong, refusal, turn]


def _after(talk: Talk, reply: Reply, t_ns: int, aside: str) -> Reply:
    """The same reply, said from an instant on, as long as it is right."""
    ends = [talk.clock.snap_up(t_ns + talk.scene.rules.window_ns)]
    ends += [] if reply.valid_until_ns is None else [reply.valid_until_ns]
    if min(ends) <= t_ns:
        raise CannotAskError("it is not right any more")
    return replace(reply, text=aside + reply.text, t_ns=t_ns, window_end_ns=min(ends))


def _can_be_cut(turn: Turn) -> bool:
    """Whether a turn is a whole answer of which something is proved: promises are short."""
    plain = turn.role == "assistant" and turn.trigger == "user_query" and turn.truncated_at_char is None
    return plain and bool(turn.evidence) and turn.learn and said(turn.text).aside is None


def _barge(talk: Talk, turn: Turn, rng: random.Random, *, resume: bool) -> None:
    """Breaks into a turn with another question, in the middle of a word where there is a frame in one."""
    rules = talk.scene.rules
    times = talk.clock.t_ns
    inside = times[(times > turn.start_ns) & (times < turn.end_ns)].tolist()
    could = [t for t in inside if rules.least_said <= characters_at(turn, t) <= len(turn.text) - rules.least_left]
    amid = [t for t in could if turn.text[characters_at(turn, t) - 1 : characters_at(turn, t) + 1].isalnum()]
    users = list(_others(talk, turn, rng)) if could else []
    for user in rng.sample(users, min(_TRIES, len(users))):
        try:
            _break_in(talk, turn, user, rng.choice(amid or could), resume=resume)
        except CannotAskError:
            continue
        return


def _others(talk: Talk, turn: Turn, rng: random.Random) -> Iterator[Turn]:
    """What somebody may ask instead: the conversation's other questions, and those that suit any video."""
    asked = next(user for user in talk.turns if user.id == turn.trigger_ref)
    users = [
        user
        for user in talk.dialogue.turns
        if user.role == "user" and user.task not in (None, "tell_me_when") and not is_referring(user)
    ]
    yield from (user for user in users if (user.task, user.about) != (asked.task, asked.about))
    writer = writer_of(talk.dialogue.provenance)
    known = {(user.task, user.about) for user in (asked, *users)}
    for task, kind in _ALWAYS if writer is not None else ():
        about = About(kind=kind)
        if (task, about) not in known and writer is not None:
            text = rng.choice(sorted(question_texts(writer, task, about)))
            yield asked.model_copy(update={"task": task, "about": about, "text": text})


def _break_in(talk: Talk, turn: Turn, user: Turn, start_ns: int, *, resume: bool) -> None:
    cut = cut_at(turn, start_ns, talk.scene.rules)
    end = talk.clock.snap_up(start_ns + talk.asking_ns(user, user.text))
    if user.about is None or user.task is None:
        raise CannotAskError("it does not say what it is about")
    words = words_of(talk.dialogue, user, ())
    _, replies = replies_to(Asked(task=user.task, about=user.about, ask_ns=end, words=words, scene=talk.scene))
    asked = user.model_copy(
        update={
            "id": talk.turn_id(turn.id, "barge"),
            "start_ns": start_ns,
            "end_ns": end,
            "interrupts": turn.id,
            "trigger": None,
            "trigger_ref": None,
        }
    )
    reply = talk.spoken(turn, replies[0], trigger="interruption", ref=asked.id, part="barged")
    held = talk.held(turn.start_ns)
    further = _resumed(talk, turn, reply) if resume else []
    try:
        talk.hold([(held[0], (further or [reply])[-1].end_ns)], instead=held)
    except CannotAskError:
        further = []
        talk.hold([(held[0], reply.end_ns)], instead=held)
    talk.turns[talk.turns.index(turn)] = cut
    talk.turns += [asked, reply, *further]


def _resumed(talk: Talk, turn: Turn, after: Turn) -> list[Turn]:
    """The turn that was cut, said from the beginning behind another; nothing where it is not right any more."""
    try:
        again = _after(talk, talk.replies[turn.id], after.end_ns, aside_in(talk.dialogue.language, "resumed"))
        return [talk.said_from(turn, again, trigger="timer", ref=turn.id, part="resumed")]
    except CannotAskError:
        return []


def _back(talk: Talk, before_ns: int, after_ns: int) -> None:
    """What was seen last before a stream was gone, said when it is back."""
    like = next(turn for turn in talk.dialogue.turns if turn.role == "assistant")
    words = words_of(talk.dialogue, like, ())
    scene = About(kind="scene")
    asked = Asked(task="before", about=scene, ask_ns=before_ns, words=words, scene=talk.scene)
    _, evidence = last_seen(asked)
    timeless = sorted(text for text in true_texts(asked) if not speaks_of_now(text))
    if not timeless:
        raise CannotAskError("there are no words for it that stay true")
    text = timeless[after_ns % len(timeless)]
    end = talk.clock.snap_up(after_ns + talk.scene.rules.window_ns)
    reply = Reply(aside_in(talk.dialogue.language, "back") + text, after_ns, end, None, evidence)
    turn = talk.said_from(like, reply, trigger="timer", ref=None, part=f"back/{after_ns}")
    talk.hold([(turn.start_ns, turn.end_ns)])
    talk.turns.append(turn)
