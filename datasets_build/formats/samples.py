"""Windows as conversations for trainers: frames as images between words, users and assistant in strict turns.

A user's message shows a step's frame and what users have said; the assistant's message is the decision at that step.
Where the layout or the trainer has no message for a step (nothing is said; nothing may be learned and each message is),
the step is folded: its frame and words go to the front of the next user's message, so that order and times stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from datasets_build.core.records import Split, Turn
from datasets_build.formats.format import Options, Reel
from datasets_build.formats.loss import LossReport
from datasets_build.formats.steps import Step, Talk, steps_of
from datasets_build.formats.windows import Window, windows_of

IMAGE = "<image>"
EARLIER = "Earlier:"
UNLEARNED = "Assistant: "
"""What stands before the assistant's words in a user's message, where they may not be learned."""
# What trainers and tokenizers read as something else than text.
_TAG = re.compile(r"<(?=(?:image|video|audio|bbox|ref-object|cot-process|start-image|img)>|\|)", re.IGNORECASE)
_SIDE = "is in the source dataset alone, under the id in samples.jsonl"
_UNSAID = {
    "trigger", "task", "about", "evidence", "answerable_from_ns", "window_end_ns", "interrupts", "intended_text"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame in a message."""

    frame_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a user shows and says, or what the assistant says.

    Attributes:
        role: who.
        parts: frames and words in their order.
        learn: whether the loss counts it (the assistant's alone).
        weight: in the loss.
    """

    role: str
    parts: tuple[Shot | str, ...]
    learn: bool = True
    weight: float = 1.0

    @property
    def content(self) -> str:
        """As one text, in which `<image>` stands for a frame; a line a part."""
        return "\n".join(IMAGE if isinstance(part, Shot) else part for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A conversation over some steps of a talk.

    Attributes:
        key: its name, which no other sample of the export has.
        split: of its video.
        window: what it was made of.
        steps: those of the window whose frames it shows; behind the last message there is none.
        system: the system prompt, empty where there is none.
        messages: user and assistant in turns; the last is the assistant's.
    """

    key: str
    split: Split
    window: Window
    steps: tuple[Step, ...]
    system: str
    messages: tuple[Message, ...]

    @property
    def frames(self) -> list[int]:
        """The frames in the order in which they are shown."""
        return [part.frame_index for row in self.messages for part in row.parts if isinstance(part, Shot)]


def samples_of(reel: Reel, options: Options, losses: LossReport, *, turn_loss: bool) -> list[Sample]:
    """All samples of a video.

    Args:
        reel: the video and its talks.
        options: how they are written.
        losses: where it is told what they do not hold.
        turn_loss: whether the trainer can leave a message of the assistant out of the loss.
    """
    return [sample for talk in reel.talks for sample in _of_talk(talk, reel, options, losses, turn_loss=turn_loss)]


def _of_talk(talk: Talk, reel: Reel, options: Options, losses: LossReport, *, turn_loss: bool) -> Iterator[Sample]:
    found = steps_of(talk, reel.clock, options.rate)
    losses.lose("turn after the last step", "use a finer grid (fps)", talk.id, times=len(found.late))
    system = sum(turn.role == "system" for turn in talk.turns)
    losses.lose("turn of the system", "the system speaks at the start alone", talk.id, times=system)
    _tell(talk, found.steps, losses)
    for window in windows_of(talk, found.steps, options.max_steps):
        if not window.turns:
            losses.lose("window without a turn", "its steps are left out", talk.id, times=len(window.steps))
            continue
        writer = _Writer(window, options, losses, turn_loss=turn_loss)
        for step in window.steps:
            writer.add(step)
        dropped = writer.waiting_steps
        losses.lose("step behind the last message", "no message shows it", talk.id, times=len(dropped))
        unsaid = [turn for step in dropped for turn in (*step.users, *step.said)]
        losses.lose("turn behind the last message", "no message follows that is learned", talk.id, times=len(unsaid))
        if writer.messages:
            yield Sample(
                key=f"{talk.id}-{window.ordinal:03d}",
                split=reel.video.split,
                window=window,
                steps=window.steps[: len(window.steps) - len(dropped)],
                system=_escape(talk.system, talk, options, losses),
                messages=tuple(writer.messages),
            )


def _tell(talk: Talk, steps: Sequence[Step], losses: LossReport) -> None:
    """What no conversation of frames and words holds, of a whole talk."""
    stepped = [(turn, step) for step in steps for turn in (*step.users, *step.said)]
    given = [turn.model_dump(include=_UNSAID, exclude_none=True) for turn, _ in stepped]
    for name in sorted(_UNSAID):
        losses.lose(f"turn.{name}", _SIDE, talk.id, times=sum(bool(row.get(name)) for row in given))
    delegated = sum(step.state == "delegate" for step in steps)
    losses.lose("turn.state", "delegate is told as respond", talk.id, times=delegated)
    spoken = sum(turn.end_ns > turn.start_ns for turn, _ in stepped)
    losses.lose("turn.end_ns", "a turn stands whole at one step", talk.id, times=spoken)
    moved = sum(_at_ns(turn) < step.t_ns for turn, step in stepped)
    losses.lose("turn.start_ns", "rounded up to the step that it stands at", talk.id, times=moved)
    joined = sum(max(0, len(step.said) - 1) for step in steps)
    losses.lose("turn of its own", "joined with the turn before it at the same step", talk.id, times=joined)
    losses.lose("step.t_ns", "frames are in order, without their times, which samples.jsonl has", talk.id)


def _at_ns(turn: Turn) -> int:
    return turn.end_ns if turn.role == "user" else turn.start_ns


@dataclass(slots=True)
class _Writer:
    """Writes the messages of a window step by step; what waits goes into the next user's message."""

    window: Window
    options: Options
    losses: LossReport
    turn_loss: bool = field(kw_only=True)
    messages: list[Message] = field(default_factory=list)
    waiting: list[Shot | str] = field(default_factory=list)
    waiting_steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        before = self.window.earlier
        if before:
            self.waiting.append("\n".join([EARLIER, *(self._line(turn) for turn in before)]))
            self.losses.lose("turn of an earlier window", "told again as text", self.window.talk.id, times=len(before))

    def add(self, step: Step) -> None:
        """Write a step."""
        self.waiting.append(Shot(step.frame_index))
        self.waiting_steps.append(step)
        if step.users:
            self.waiting.append(self._clean(step.user_text))
        learn, said = self._learned(step), self._said(step)
        if said is None:
            return
        if not learn and not self.turn_loss:
            self.waiting += [self._line(turn) for turn in step.said]
            return
        self.messages.append(Message(role="user", parts=tuple(self.waiting)))
        self.messages.append(Message(role="assistant", parts=(said,), learn=learn, weight=step.weight))
        self.waiting, self.waiting_steps = [], []

    def _said(self, step: Step) -> str | None:
        """The assistant's message at a step; None where the layout has none."""
        words = self._clean(step.text)
        if self.options.layout == "turns":
            return words or None
        if step.said:
            return self.options.respond + words
        return self.options.standby if step.state == "standby" else self.options.silence

    def _learned(self, step: Step) -> bool:
        """Whether the words of a step may be learned, of which it is told why not."""
        talk = self.window.talk.id
        unseen = [turn for turn in step.said if self.window.unseen(turn)]
        stale = [turn for turn in step.said if turn.window_end_ns is not None and step.t_ns >= turn.window_end_ns]
        folded = "it is not learned" if self.turn_loss else "it is told in the next user's message and not learned"
        self.losses.lose("turn whose evidence lies in an earlier window", folded, talk, times=len(unseen))
        self.losses.lose("turn that is out of time at its step", f"{folded}; use a finer grid", talk, times=len(stale))
        learn = step.learn and not unseen and not stale
        if not step.learn and not self.turn_loss:
            self.losses.lose("turn.learn", f"every message is learned, so {folded}", talk)
        if not self.turn_loss and step.weight != 1.0:
            self.losses.lose("turn.loss_weight", "each message weighs the same", talk)
        return learn

    def _line(self, turn: Turn) -> str:
        """A turn told as text in a message of somebody else."""
        return f"{'User: ' if turn.role == 'user' else UNLEARNED}{self._clean(turn.text)}"

    def _clean(self, text: str) -> str:
        return _escape(text, self.window.talk, self.options, self.losses)


def _escape(text: str, talk: Talk, options: Options, losses: LossReport) -> str:
    """A text in which nothing is read as a tag: a space stands behind the `<` of what would be."""
    clean = escaped(text, options)
    losses.lose("text that looks like a tag", "a space stands in it", talk.id, times=int(clean != text))
    return clean


def escaped(text: str, options: Options) -> str:
    """`text` without anything that a trainer reads as a tag or a decision."""
    clean = _TAG.sub("< ", text)
    for word in (options.silence, options.standby, options.respond):
        token = word.strip()
        if token:
            clean = clean.replace(token, f"{token[0]} {token[1:]}")
    return clean
