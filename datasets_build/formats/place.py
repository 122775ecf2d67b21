"""Where the rows of a foreign file meet a video: their seconds become instants of its frames, or the row is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from datasets_build.core.clock import NS_PER_S, FrameClock, format_ns, seconds_to_ns
from datasets_build.core.records import Dialogue, Event, Provenance, Record, StreamingQA, Video, derive_id

OVERRUN_NS = NS_PER_S
"""A row may reach this far out of its video and is cut; one that reaches further is of another video, or unit."""
WINDOW_NS = 2 * NS_PER_S
"""How long an answer may still be given where a corpus does not say."""


class RowError(ValueError):
    """A row that cannot be read: a short code, and in words what was found and expected."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Row(BaseModel):
    """A row of a foreign file: strict about what it reads; keys that it does not know are kept elsewhere."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Bundle(NamedTuple):
    """The records that make one row of a foreign file."""

    events: tuple[Event, ...] = ()
    questions: tuple[StreamingQA, ...] = ()
    dialogues: tuple[Dialogue, ...] = ()

    @property
    def records(self) -> tuple[Record, ...]:
        """All of them, events first."""
        return (*self.events, *self.questions, *self.dialogues)


@dataclass(frozen=True, slots=True)
class Unit:
    """What a plain number of a file means: seconds, or steps of a grid of `fps`."""

    name: Literal["s", "frame"]
    fps: Fraction = field(default=Fraction(1))


@dataclass(frozen=True, slots=True)
class Place:
    """The video that a row is of; `row` is the row's name in its file, which ids are made of.

    Two readings of an instant: `heard` is the first frame at or after it, so that nothing is said too soon; `seen` is
    the frame on screen, so that nothing is known too late.
    """

    video: Video
    clock: FrameClock
    provenance: Provenance
    row: str
    unit: Unit | None = None

    def made(self, kind: str, *payload: str | int | None) -> str:
        """The id of a record of this row."""
        return derive_id(kind, self.video.id, self.provenance.agent, self.row, *payload)

    def ns(self, seconds: float | str, what: str) -> int:
        """Seconds as nanoseconds of the video, at most its end. Raises RowError behind the end."""
        t_ns = seconds_to_ns(Decimal(str(seconds)))
        if not 0 <= t_ns <= self.clock.end_ns + OVERRUN_NS:
            end = format_ns(self.clock.end_ns)
            raise RowError("outside_video", f"{what}: found {seconds} s, expected 0 to {end}, the length of its video")
        return min(t_ns, self.clock.end_ns)

    def heard(self, seconds: float | str, what: str) -> int:
        """The first frame at or after an instant, the last one where no frame follows."""
        return min(self.clock.snap_up(self.ns(seconds, what)), self.last_ns)

    def seen(self, seconds: float | str, what: str) -> int:
        """The frame that is on screen at an instant."""
        return self.frame_at(self.ns(seconds, what))

    def until(self, seconds: float | str, what: str) -> int:
        """The end of a span: the first frame at or after an instant, or the video's end."""
        return self.clock.snap_up(self.ns(seconds, what))

    def frame_at(self, t_ns: int) -> int:
        """The frame on screen at an instant in ns, the last one at the end."""
        return self.clock.time_of(self.clock.index_at(min(t_ns, self.clock.end_ns - 1)))

    @property
    def last_ns(self) -> int:
        """When the last frame is shown."""
        return int(self.clock.t_ns[-1])

    def window_end(self, t_ns: int, limit_ns: int | None = None) -> int:
        """The end of the window of an answer at an instant: a while later, at `limit_ns` if that comes sooner."""
        end_ns = self.clock.snap_up(t_ns + WINDOW_NS)
        return max(self.clock.snap_up(t_ns + 1), min(end_ns, limit_ns or end_ns))


def seconds_of(t_ns: int) -> int | float:
    """Nanoseconds as seconds of a foreign file: whole where they are whole; read back, they give the same ns."""
    return t_ns // NS_PER_S if t_ns % NS_PER_S == 0 else t_ns / NS_PER_S
