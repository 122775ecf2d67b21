"""A record as steps of a grid: at each step a frame, the words that have come since the last step, and what is decided.

A step stands for the time since the step before it, its own instant included. A user's words are there once the user
has ended (`end_ns`); what the assistant says stands at the first step at or after its start. So nothing at step k is
later than `t_ns` of step k. States are those of `core.decisions`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from datasets_build.core.asked import put_question
from datasets_build.core.clock import FrameClock, Span
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Dialogue, Event, StreamingQA, Turn, derive_id

State = Literal["silence", "standby", "respond", "delegate"]
Kind = Literal["dialogue", "question", "narration"]
NARRATE = "Tell me what happens, as soon as it can be seen."


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What is said over a span of a video: a dialogue, a question with its answers, or its events told as they come.

    Attributes:
        id: of the record that it was made from.
        kind: which kind of record that is.
        video_id: over which video.
        start_ns: where it begins, on the video's clock, and `end_ns` where it ends.
        system: what the assistant is told to be; empty where nothing is.
        turns: by their start; a user before an assistant of the same instant.
    """

    id: str
    kind: Kind
    video_id: str
    start_ns: int
    end_ns: int
    system: str
    turns: tuple[Turn, ...]

    @property
    def span(self) -> Span:
        """Its stretch of the video."""
        return Span(start_ns=self.start_ns, end_ns=self.end_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a grid.

    Attributes:
        t_ns: when its frame is shown.
        frame_index: which frame that is.
        users: turns of users that ended since the step before, in their order.
        said: turns of the assistant that began since the step before, in their order.
        state: what the assistant decides here.
    """

    t_ns: int
    frame_index: int
    users: tuple[Turn, ...] = ()
    said: tuple[Turn, ...] = ()
    state: State = "silence"

    @property
    def user_text(self) -> str:
        """What users said since the step before, a line each."""
        return "\n".join(turn.text for turn in self.users)

    @property
    def text(self) -> str:
        """What the assistant says here, a line a turn; empty where it is silent."""
        return "\n".join(turn.text for turn in self.said)

    @property
    def learn(self) -> bool:
        """Whether all that is said here may be learned.

        A turn that was cut short may not: its end was the user's doing and cannot be foreseen.
        """
        return all(turn.learn and turn.truncated_at_char is None for turn in self.said)

    @property
    def weight(self) -> float:
        """The largest weight in the loss of what is said here; 1 where nothing is."""
        return max((turn.loss_weight for turn in self.said), default=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """A talk on a grid; `late` are the turns that come after its last step and are in none."""

    steps: tuple[Step, ...]
    late: tuple[Turn, ...]


def of_dialogue(row: Dialogue) -> Talk:
    """A dialogue as it is."""
    return Talk(
        id=row.id,
        kind="dialogue",
        video_id=row.video_id,
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        system=row.system,
        turns=_in_order(row.turns),
    )


def of_question(row: StreamingQA, clock: FrameClock) -> Talk:
    """A question and its answers as turns, from the video's start on; its steps end with the last answer."""
    asked = Turn(
        id=derive_id("asked", row.id),
        role="user",
        start_ns=row.ask_ns,
        end_ns=row.ask_ns,
        text=put_question(row),
        task=row.task,
        about=row.about,
    )
    answers = [
        Turn(
            id=derive_id("answered", row.id, k),
            role="assistant",
            start_ns=answer.t_ns,
            end_ns=answer.t_ns,
            text=answer.text,
            state="respond",
            trigger="user_query",
            trigger_ref=asked.id,
            evidence=tuple(part for part in row.evidence if part.role == "necessary" and part.end_ns <= answer.t_ns),
            window_start_ns=answer.window_start_ns,
            window_end_ns=answer.window_end_ns,
        )
        for k, answer in enumerate(row.answers)
    ]
    return Talk(
        id=row.id,
        kind="question",
        video_id=row.video_id,
        start_ns=0,
        end_ns=clock.end_ns,
        system="",
        turns=_in_order([asked, *answers]),
    )


def of_events(video_id: str, events: Sequence[Event], clock: FrameClock) -> Talk:
    """The events of a video, each told in its caption when it can be known, after a request at the start."""
    asked = Turn(id=derive_id("narrate", video_id), role="user", start_ns=0, end_ns=0, text=NARRATE)
    told = [
        Turn(
            id=event.id,
            role="assistant",
            start_ns=event.known_from_ns,
            end_ns=event.known_from_ns,
            text=event.caption or event.label,
            state="respond",
            trigger="event",
            trigger_ref=event.id,
        )
        for event in events
    ]
    return Talk(
        id=derive_id("narration", video_id),
        kind="narration",
        video_id=video_id,
        start_ns=0,
        end_ns=clock.end_ns,
        system="",
        turns=_in_order([asked, *told]),
    )


def _in_order(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    return tuple(sorted(turns, key=lambda turn: (turn.start_ns, turn.role == "assistant")))


def steps_of(talk: Talk, clock: FrameClock, fps: Fraction | None) -> Stepped:
    """A talk on a grid of its video; turns of the system stand at no step.

    Args:
        talk: on the clock's video.
        clock: of the video.
        fps: the grid's rate, None for every frame.
    """
    frames = [k for k in clock.grid(fps).tolist() if talk.span.contains(clock.time_of(k))]
    times = [clock.time_of(k) for k in frames]
    users: list[list[Turn]] = [[] for _ in times]
    said: list[list[Turn]] = [[] for _ in times]
    late = []
    for turn in (turn for turn in talk.turns if turn.role != "system"):
        place = bisect_left(times, turn.end_ns if turn.role == "user" else turn.start_ns)
        if place == len(times):
            late.append(turn)
        else:
            (users if turn.role == "user" else said)[place].append(turn)
    states = _states(talk, clock, fps)
    # After the last answer nothing is asked any more, so nothing is decided.
    stop = (
        max((k + 1 for k in range(len(times)) if users[k] or said[k]), default=0) if talk.kind == "question" else None
    )
    steps = tuple(
        Step(
            t_ns=t_ns,
            frame_index=frame,
            users=tuple(asked),
            said=tuple(spoken),
            state="delegate" if any(turn.state == "delegate" for turn in spoken) else state,
        )
        for t_ns, frame, asked, spoken, state in zip(times, frames, users, said, states, strict=True)
    )
    return Stepped(steps=steps[:stop], late=tuple(late))


def _states(talk: Talk, clock: FrameClock, fps: Fraction | None) -> Iterator[State]:
    for run in decisions_on(talk.turns, clock, fps=fps, span=talk.span).runs:
        for _ in range(run.steps):
            yield run.state
