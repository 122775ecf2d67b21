"""What a model said and decided while a video was streamed to it, as plain records with a JSON form."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from datasets_build.core.files import write_bytes
from recipes.data.example import State
from recipes.errors import RecipeError

Variant = Literal["seen", "blind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided after a grid.

    Attributes:
        t_ns: time of the grid's second frame.
        state: what was decided.
        chances: probabilities of silence, standby and respond among themselves.
    """

    t_ns: int
    state: State
    chances: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not all(0 <= chance <= 1 for chance in self.chances) or abs(sum(self.chances) - 1) > 1e-3:
            raise RecipeError(f"decision at {self.t_ns} ns: found chances {self.chances}, expected three that sum to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """One thing that was said.

    Attributes:
        t_ns: when it begins: the question's time, or that of the grid after which it was decided.
        end_ns: when its last character is out, at the speed of speech.
        text: what came out; empty where the reply has no words.
        state: the decision token that the reply to a question begins with; None: it begins with words.
        heard: number of the user's turn that it replies to at once; -1: it was decided after a grid.
        tokens: how many were written.
        confidence: mean probability of its tokens when each was chosen; 1 for none.
        cut: whether the user broke in.
    """

    t_ns: int
    end_ns: int
    text: str
    state: State | None
    heard: int
    tokens: int
    confidence: float
    cut: bool

    def __post_init__(self) -> None:
        if self.end_ns < self.t_ns:
            raise RecipeError(f"speech at {self.t_ns} ns: it ends before, at {self.end_ns} ns")

    @property
    def responds(self) -> bool:
        """Whether the model takes the floor: a reply to a question does not where it only waits or is silent."""
        return self.heard < 0 or (self.state in (None, "respond") and bool(self.text.strip()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a question that was asked aside, which nothing else in the stream knows of.

    Attributes:
        key: of the question.
        t_ns: when it was asked.
        text: the answer.
        state: the decision token that it begins with; None: it begins with words.
        confidence: mean probability of its tokens when each was chosen; 1 for none.
    """

    key: str
    t_ns: int
    text: str
    state: State | None
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A conversation in a session of its own: decisions by rising time, and all that was said, in its order."""

    key: str
    decisions: tuple[Decision, ...]
    speeches: tuple[Speech, ...]

    def __post_init__(self) -> None:
        times = [decision.t_ns for decision in self.decisions]
        if any(late <= early for early, late in pairwise(times)):
            raise RecipeError(f"talk {self.key}: found decisions out of order, expected their times to rise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything that one video brought about.

    Attributes:
        video_id: which.
        variant: `seen`, or `blind` where frames of another video, or grey ones, stood in for its own.
        replies: to the questions asked aside, by time.
        on: what was said to be on after each grid, by time.
        talks: standing questions and dialogues.
    """

    video_id: str
    variant: Variant
    replies: tuple[Reply, ...]
    on: tuple[Reply, ...]
    talks: tuple[Talk, ...]


_FORM = TypeAdapter(Trace)


def write_trace(path: Path, trace: Trace) -> None:
    """Writes a whole JSON file; the same trace gives the same bytes."""
    write_bytes(path, _FORM.dump_json(trace, indent=1) + b"\n")


def read_trace(path: Path) -> Trace:
    """Reads what `write_trace` wrote. Raises RecipeError where the file is none of its."""
    try:
        return _FORM.validate_json(path.read_bytes())
    except (OSError, ValidationError, RecipeError) as error:
        told = " ".join(str(error).split())
        raise RecipeError(f"{path}: found no whole trace ({told}); remove it, and evaluate again") from error
