"""JoyAI's and Streamo's rows as their trainers read them: a frame a second, its time in words before it.

Streamo's converter ends in this form as well: it swaps its own `<stream>` for `<image>` and the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from datasets_build.core.clock import NS_PER_S
from datasets_build.formats import ms_swift
from datasets_build.formats.chats import write_jsonl_chats
from datasets_build.formats.format import Dataset, Job, Reel
from datasets_build.formats.samples import IMAGE, Sample

ALL: frozenset[Dataset] = frozenset({"streaming_qa", "frame_events", "dialogue"})
FIXED = {"fps": "1", "layout": "steps"}
"""One pair of messages a second."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """A form of ms-swift's rows in which every frame has its time before it."""

    NAME: str
    HOW: tuple[str, ...]
    stamp: Callable[[int], str]
    DATASETS: frozenset[Dataset] = ALL

    def row_of(self, sample: Sample, images: list[str]) -> ms_swift.Row:
        """A sample as a line."""
        row = ms_swift.row_of(sample, images)
        times = iter([step.t_ns for step in sample.steps])
        messages = [
            message.model_copy(update={"content": self._stamped(message.content, times)})
            if message.role == "user"
            else message
            for message in row.messages
        ]
        return row.model_copy(update={"messages": tuple(messages)})

    def _stamped(self, content: str, times: Iterable[int]) -> str:
        times = iter(times)
        lines = content.split("\n")
        return "\n".join(f"{self.stamp(next(times))}\n{line}" if line == IMAGE else line for line in lines)

    def write(self, reels: Iterable[Reel], job: Job) -> None:
        """Write `<split>.jsonl` and the frames."""
        write_jsonl_chats(reels, job, self.row_of, turn_loss=True)


def _seconds(t_ns: int) -> str:
    return f"<{t_ns / NS_PER_S:.1f} seconds>"


def _interval(t_ns: int) -> str:
    first = t_ns // NS_PER_S
    return f"<{first}s-{first + 1}s>"


JOYAI = Stamped(
    "joyai-seconds",
    (
        *ms_swift.HOW,
        "A pair of messages a second: `<4.0 seconds>`, the frame and what the user says; `</silence>`, or "
        "`</response>` and what is said. There is no word for waiting, which is told as silence.",
    ),
    _seconds,
)
STREAMO = Stamped(
    "streamo-image",
    (
        *ms_swift.HOW,
        "A pair of messages a second: `<4s-5s>`, the frame and what the user says; `</Silence>`, `</Standby>` or "
        "`</Response>` and what is said, which Streamo's tokenizer has as tokens of their own.",
    ),
    _interval,
)
SETTLED = {
    "joyai-seconds": FIXED | {"silence": "</silence>", "standby": "</silence>", "respond": "</response> "},
    "streamo-image": FIXED | {"silence": "</Silence>", "standby": "</Standby>", "respond": "</Response> "},
}
"""Options that are part of a form."""
