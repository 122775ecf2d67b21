"""How utterances take their place in time: reading speed, first-token delay, and a floor that one speaker holds."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from pydantic import Field

from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.config import Config


class SpeechConfig(Config):
    """Characters per second of both speakers, and how long the assistant takes from knowing to its first word.

    An answer is cut short only after `least_said` of its characters, and while `least_left` are still to come.
    """

    user_chars_per_s: int = Field(default=18, gt=0)
    assistant_chars_per_s: int = Field(default=20, gt=0)
    first_token_ns: int = Field(default=200_000_000, ge=0)
    pause_ns: int = Field(default=500_000_000, ge=0)
    least_said: int = Field(default=8, ge=1)
    least_left: int = Field(default=6, ge=1)


class LatencyConfig(Config):
    """How a model is late: its time to first token and its speed, drawn anew for each reply.

    Both are log-normal around `first_token_ns` and `tokens_per_s`: median · exp(spread · z), z normal, at most
    `most` times slower than the median. A token is `chars_per_token` characters long.
    """

    first_token_ns: int = Field(default=300_000_000, ge=0)
    first_token_spread: float = Field(default=0.4, ge=0, le=3)
    tokens_per_s: float = Field(default=6.0, gt=0)
    tokens_spread: float = Field(default=0.2, ge=0, le=3)
    chars_per_token: float = Field(default=4.0, gt=0)
    most: float = Field(default=5.0, ge=1)


def drawn_paces(speech: SpeechConfig, latency: LatencyConfig, rng: Random) -> Iterator[SpeechConfig]:
    """How fast each reply in turn is said, without end: `speech` with a first token and a speed of its own."""
    while True:
        late, slow = (
            min(latency.most, math.exp(spread * rng.gauss(0.0, 1.0)))
            for spread in (latency.first_token_spread, latency.tokens_spread)
        )
        chars = max(1, round(latency.tokens_per_s * latency.chars_per_token / slow))
        drawn = {"first_token_ns": round(latency.first_token_ns * late), "assistant_chars_per_s": chars}
        yield speech.model_copy(update=drawn)


@dataclass(frozen=True, slots=True)
class Utterance:
    """Where a text stands: `[start_ns, end_ns)` on the frame grid."""

    start_ns: int
    end_ns: int


def question_until(text: str, heard_ns: int, clock: FrameClock, speech: SpeechConfig) -> Utterance:
    """A question whose last word is out at `heard_ns`; at the video's start it may begin before the first frame does.

    What was said before the first frame is cut off: the utterance starts at 0.
    """
    start = clock.snap_up(heard_ns - len(text) * NS_PER_S // speech.user_chars_per_s)
    return Utterance(min(start, heard_ns), heard_ns)


def answer_from(text: str, known_ns: int, clock: FrameClock, speech: SpeechConfig) -> Utterance | None:
    """A reply that begins after the first-token delay; None when the video ends before its last word."""
    start = clock.snap_up(known_ns + speech.first_token_ns)
    end = start + len(text) * NS_PER_S // speech.assistant_chars_per_s
    return (
        Utterance(start, clock.snap_up(max(end, start + 1))) if end <= clock.end_ns and start < clock.end_ns else None
    )


def answer_at_once(known_ns: int, clock: FrameClock, text: str, speech: SpeechConfig) -> Utterance:
    """A reply in the very frame at which it is known, ended by the video's end at the latest."""
    end = known_ns + max(1, len(text) * NS_PER_S // speech.assistant_chars_per_s)
    return Utterance(known_ns, clock.snap_up(end))


@dataclass(slots=True)
class Floor:
    """Stretches of time in which somebody speaks or is waited for; they never overlap."""

    pause_ns: int
    taken: list[tuple[int, int]] = field(default_factory=list)

    def free(self, start_ns: int, end_ns: int) -> bool:
        """Whether `[start, end)`, with a pause on both sides, is nobody's."""
        k = bisect_left(self.taken, (start_ns, start_ns))
        before_ends = self.taken[k - 1][1] if k else None
        if before_ends is not None and before_ends + self.pause_ns > start_ns:
            return False
        return k == len(self.taken) or end_ns + self.pause_ns <= self.taken[k][0]

    def take(self, start_ns: int, end_ns: int) -> None:
        """Hold a stretch."""
        insort(self.taken, (start_ns, max(end_ns, start_ns + 1)))

    def release(self, start_ns: int, end_ns: int) -> None:
        """Give a stretch back."""
        self.taken.remove((start_ns, max(end_ns, start_ns + 1)))
