"""Made sequences: shots joined by cuts, dissolves, fades and wipes, and disturbed by what is no transition."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from datasets_build.perception.likeness import miniature
from datasets_build.perception.shot_training.disturbances import disturb, doubled, recorded
from datasets_build.perception.shot_training.material import CLIP_SIZE, Material, UInt8s
from datasets_build.perception.shot_training.scenes import Pace, shot, write

_WIDTH, _HEIGHT = CLIP_SIZE
LENGTH = 256
Join = Literal["cut", "dissolve", "wipe", "fade"]
_JOINS: tuple[Join, ...] = ("cut", "dissolve", "wipe", "fade")
# Mean difference of two pictures, of 255, below which nobody sees a cut between them.
_VISIBLE = 5.0
_SHARES = (0.62, 0.16, 0.06, 0.16)


@dataclass(frozen=True, slots=True)
class Gradual:
    """First and last frame of a gradual transition, and its kind: a mix of two shots, out to a colour, in from one."""

    first: int
    last: int
    kind: Literal["mix", "out", "in"]


@dataclass(frozen=True, slots=True)
class Made:
    """A sequence `(n, 27, 48, 3) uint8` with its truth.

    `cuts` are the first frames of shots that begin at once, `spans` the gradual transitions.
    """

    frames: UInt8s
    cuts: tuple[int, ...]
    spans: tuple[Gradual, ...]


def make_sequence(material: Material, rng: np.random.Generator) -> Made:
    """Draw one sequence of `LENGTH` frames."""
    kind = rng.random()
    if kind < 0.06:
        return _plain_fades(rng) if kind < 0.03 else _slides(rng)
    pace = Pace(1.0 if rng.random() < 0.6 else float(np.exp(rng.uniform(0, np.log(14)))))
    cuts: list[int] = []
    spans: list[Gradual] = []
    film, which = shot(_duration(pace, rng), material, pace, rng)
    while len(film) < LENGTH:
        near = which if rng.random() < 0.15 and which >= 0 else None
        join = _JOINS[rng.choice(4, p=_SHARES)]
        follow, which = shot(_duration(pace, rng), material, pace, rng, near=near)
        film = _joined(film, follow, join, pace, rng, cuts=cuts, spans=spans)
    frames = disturb(film[:LENGTH], pace, rng)
    if rng.random() < 0.15:
        at = doubled(LENGTH, rng)
        frames = frames[at]
        # The first place that shows a frame of the new shot.
        cuts = [int(np.searchsorted(at, cut)) for cut in cuts]
    small = np.stack([miniature(frame) for frame in frames])
    small = recorded(small, rng)
    # What nobody can see is no transition: black to black, or a shot and itself.
    return Made(
        small,
        tuple(cut for cut in cuts if cut < LENGTH and _differs(small, cut - 1, cut)),
        tuple(
            Gradual(span.first, min(span.last, LENGTH - 1), span.kind)
            for span in spans
            if span.first < LENGTH and _differs(small, span.first - 1, span.last + (span.kind == "mix"))
        ),
    )


def _plain_fades(rng: np.random.Generator) -> Made:
    """One plain colour that comes in from black and goes out again, over and over."""
    light: list[float] = [0.0] * int(rng.integers(1, 20))
    spans: list[Gradual] = []
    ways: tuple[tuple[Literal["in", "out"], float, float], ...] = (("in", 0.0, 1.0), ("out", 1.0, 0.0))
    while len(light) < LENGTH:
        for kind, low, high in ways:
            steps = int(rng.integers(10, 60))
            spans.append(Gradual(len(light), len(light) + steps - 1, kind))
            light += [*np.linspace(low, high, steps), *[high] * _one_of(rng, 0, 2, int(rng.integers(0, 25)))]
    colour = np.full(3, rng.integers(120, 256)) if rng.random() < 0.6 else rng.integers(40, 256, 3)
    frames = (np.array(light[:LENGTH])[:, None, None, None] * colour).astype(np.uint8)
    small = recorded(np.repeat(np.repeat(frames, 27, axis=1), 48, axis=2), rng)
    inside = [span for span in spans if span.first < LENGTH]
    return Made(small, (), tuple(Gradual(span.first, min(span.last, LENGTH - 1), span.kind) for span in inside))


def _slides(rng: np.random.Generator) -> Made:
    """Plain cards of other colours, one behind the other, under lines of text that stay as they are or count on."""
    starts = [0]
    while starts[-1] < LENGTH:
        starts.append(starts[-1] + int(np.exp(rng.uniform(np.log(3), np.log(90)))))
    film = np.empty((starts[-1], _HEIGHT, _WIDTH, 3), np.uint8)
    for first, end in pairwise(starts):
        film[first:end] = rng.integers(0, 256, 3)
    for _ in range(int(rng.integers(0, 3))):
        write(film, 0, len(film), rng)
    if rng.random() < 0.5:
        row, left = int(rng.integers(12, _HEIGHT)), int(rng.integers(0, _WIDTH - 30))
        for k, frame in enumerate(film):
            cv2.putText(frame, f"{k:03d}", (left, row), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    small = np.stack([miniature(frame) for frame in film[:LENGTH]])
    cuts = tuple(cut for cut in starts[1:] if cut < LENGTH and _differs(small, cut - 1, cut))
    return Made(recorded(small, rng), cuts, ())


def _differs(small: UInt8s, before: int, after: int) -> bool:
    one, other = (
        cv2.resize(small[np.clip(k, 0, LENGTH - 1)], (16, 9), interpolation=cv2.INTER_AREA) for k in (before, after)
    )
    return float(cv2.absdiff(one, other).mean()) > _VISIBLE


def _one_of(rng: np.random.Generator, *numbers: int) -> int:
    return numbers[int(rng.integers(len(numbers)))]


def _duration(pace: Pace, rng: np.random.Generator) -> int:
    frames = np.exp(rng.normal(np.log(50), 0.9)) / pace.step ** rng.uniform(0.3, 1)
    return int(np.clip(frames, 3, 400))


def _joined(
    film: UInt8s,
    follow: UInt8s,
    join: Join,
    pace: Pace,
    rng: np.random.Generator,
    *,
    cuts: list[int],
    spans: list[Gradual],
) -> UInt8s:
    # It may not reach back into the transition before it.
    since = max([0, *cuts[-1:], *(span.last + 1 for span in spans[-1:])])
    longest = min(len(film) - since, len(follow)) - 1
    wanted = int(np.exp(rng.uniform(np.log(4), np.log(70))) / pace.step**0.7)
    steps = min(wanted, longest)
    at = len(film)
    if join == "cut" or steps < 2:
        cuts.append(at)
        return _cut(film, follow, rng)
    if join == "fade":
        return _faded(film, follow, steps, rng, cuts=cuts, spans=spans)
    mixed = (
        _wiped(film[-steps:], follow[:steps], rng) if join == "wipe" else _dissolved(film[-steps:], follow[:steps], rng)
    )
    spans.append(Gradual(at - steps, at - 1, "mix"))
    return np.concatenate([film[:-steps], mixed, follow[steps:]])


def _cut(old: UInt8s, new: UInt8s, rng: np.random.Generator) -> UInt8s:
    """Side by side; at times a change of rate has mixed the two frames, or a flash hides them."""
    film = np.concatenate([old, new])
    at, how = len(old), rng.random()
    if how < 0.05:
        film[at] = cv2.addWeighted(old[-1], 0.5, new[0], 0.5, 0)
    elif how < 0.1:
        for k in range(max(0, at - int(rng.integers(0, 3))), min(len(film), at + int(rng.integers(1, 4)))):
            film[k] = cv2.addWeighted(film[k], 0.3, np.full_like(film[k], 255), 0.7, 0)
    return film


def _dissolved(old: UInt8s, new: UInt8s, rng: np.random.Generator) -> UInt8s:
    n = len(old)
    share = ((np.arange(n) + 1) / (n + 1)).astype(np.float32)
    if rng.random() < 0.3:
        share = share * share * (3 - 2 * share)
    share = share[:, None, None, None]
    return (old * (1 - share) + new * share).astype(np.uint8)


def _wiped(old: UInt8s, new: UInt8s, rng: np.random.Generator) -> UInt8s:
    n = len(old)
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH].astype(np.float32)
    x, y = x / _WIDTH, y / _HEIGHT
    kind = int(rng.integers(4))
    if kind < 2:
        angle = rng.choice([0, 90, 180, 270]) if kind == 0 else rng.uniform(0, 360)
        along = np.cos(np.radians(angle)) * (x - 0.5) + np.sin(np.radians(angle)) * (y - 0.5)
    elif kind == 2:
        along = np.hypot(x - 0.5, y - 0.5) * rng.choice([-1, 1])
    else:
        along = np.arctan2(y - 0.5, x - 0.5)
    along = (along - along.min()) / np.ptp(along)
    soft = float(rng.uniform(0.01, 0.3))
    out = np.empty_like(old)
    for k in range(n):
        edge = (k + 1) / (n + 1) * (1 + soft)
        share = np.clip((edge - along) / soft, 0, 1)[..., None]
        out[k] = old[k] * (1 - share) + new[k] * share
    return out


def _faded(
    film: UInt8s, follow: UInt8s, steps: int, rng: np.random.Generator, *, cuts: list[int], spans: list[Gradual]
) -> UInt8s:
    """Out to a colour and in again; at times one half is a cut."""
    colour = np.zeros(3, np.float32) if rng.random() < 0.8 else np.full(3, 255, np.float32)
    if rng.random() < 0.05:
        colour = rng.uniform(0, 255, 3).astype(np.float32)
    out, into = rng.random() < 0.85, rng.random() < 0.85
    back = min(max(2, int(steps * rng.uniform(0.5, 1.5))), len(follow) - 1)
    held = _one_of(rng, 0, 0, 1, int(rng.integers(2, 12)), int(rng.integers(12, 60)))
    if not (out and into):
        held = max(held, 2)
    at = len(film)
    pause = np.broadcast_to(colour, (held, _HEIGHT, _WIDTH, 3)).astype(np.uint8)
    film, follow = film.copy(), follow.copy()
    if out:
        film[-steps:] = _towards(film[-steps:], colour, (np.arange(steps) + 1) / steps, rng)
        spans.append(Gradual(at - steps, at - 1, "out"))
    else:
        cuts.append(at)
    if into:
        follow[:back] = _towards(follow[:back], colour, 1 - np.arange(back) / back, rng)
        spans.append(Gradual(at + held, at + held + back - 1, "in"))
    else:
        cuts.append(at + held)
    return np.concatenate([film, pause, follow])


def _towards(
    frames: UInt8s, colour: npt.NDArray[np.float32], share: npt.NDArray[np.float64], rng: np.random.Generator
) -> UInt8s:
    # Faded in linear light or in the signal's own.
    curve = (share ** rng.choice([1.0, 1.0, 0.5, 2.0])).astype(np.float32)[:, None, None, None]
    faded: UInt8s = (frames * (1 - curve) + colour * curve).astype(np.uint8)
    return faded
