"""Drawn films for the measure of keyframes: worlds in which nothing happens for most of the time, filmed badly.

A drawn world has two events a second, which no film of the street or of a room has. Here it rests between what happens,
as long as asked for, and the light flickers, the sensor is noisy and the camera shakes a little, all the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import cv2
import numpy as np
import numpy.typing as npt

from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.sources.world_draw import draw_frame
from datasets_build.sources.world_script import Actor, Scene, Script, write_script
from datasets_build.sources.world_truth import WorldAnnotation, facts

RATE = Fraction(25)
_STILL_NS = NS_PER_S // 4  # a rest begins where nothing has happened for so long
_WIDTH, _HEIGHT = 320, 240


@dataclass(frozen=True, slots=True)
class Manner:
    """How a film is made: rests of `rest_s` seconds on average; light by parts, noise in levels, shake in pixels."""

    rest_s: float
    flicker: float = 0.02
    noise: float = 3.0
    shake: float = 0.5


def draw_film(path: Path, *, seed: int, world_s: int, manner: Manner) -> tuple[WorldAnnotation, ...]:
    """Draw a film of `world_s` seconds of world, longer by its rests; returns every event, exact to the frame."""
    rng = Random(f"keyframes/{seed}")
    script = rested(write_script(rng, width=_WIDTH, height=_HEIGHT, seconds=world_s), rng, rest_s=manner.rest_s)
    frames = int(script.end_ns * RATE / NS_PER_S)
    clock = FrameClock.from_pts(range(frames), time_base=1 / RATE, last_duration=1)
    noise = np.random.default_rng(seed)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "threads": "1"}
        for t_ns in clock.t_ns.tolist():
            picture = disturbed(draw_frame(script, t_ns), noise, manner)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return facts(script, clock)


def disturbed(picture: npt.NDArray[np.uint8], rng: np.random.Generator, manner: Manner) -> npt.NDArray[np.uint8]:
    """A picture `(h, w, 3) uint8` in flickering light, by a shaking camera with a noisy sensor."""
    dx, dy = rng.normal(0.0, manner.shake, 2)
    moved = cv2.warpAffine(
        picture, np.array([[1, 0, dx], [0, 1, dy]]), picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
    )
    light = np.float32(1.0 + rng.normal(0.0, manner.flicker))
    grain = rng.standard_normal(picture.shape[:2], np.float32)[..., None] * np.float32(manner.noise)
    return np.clip(moved * light + grain, 0, 255).astype(np.uint8)


def rested(script: Script, rng: Random, *, rest_s: float) -> Script:
    """The same happenings with a rest, `rest_s` on average, wherever nothing happens for a moment."""
    rests = [(at, int(rng.expovariate(1.0) * rest_s * NS_PER_S)) for at in still_instants(script)]

    def late(t_ns: int) -> int:
        return t_ns + sum(length for at, length in rests if at < t_ns)

    return replace(
        script,
        end_ns=late(script.end_ns) // NS_PER_S * NS_PER_S,
        scenes=tuple(_late_scene(scene, late) for scene in script.scenes),
        joins=tuple(replace(join, at_ns=late(join.at_ns)) for join in script.joins),
    )


def still_instants(script: Script) -> list[int]:
    """The middle of every stretch inside a scene in which nothing happens for a quarter of a second."""
    found = []
    for scene in script.scenes:
        busy = sorted(
            [(leg.start_ns, leg.end_ns) for actor in scene.actors for leg in actor.legs]
            + [(change.at_ns, change.at_ns) for actor in scene.actors for change in actor.recolours]
            + [(hit.at_ns, hit.at_ns) for hit in scene.collisions]
        )
        over = busy[0][1] if busy else scene.end_ns
        for start, end in [*busy[1:], (scene.end_ns, scene.end_ns)]:
            if start - over >= 2 * _STILL_NS:
                found.append((over + start) // 2)
            over = max(over, end)
    return found


def _late_scene(scene: Scene, late) -> Scene:  # type: ignore[no-untyped-def]
    return replace(
        scene,
        start_ns=late(scene.start_ns),
        end_ns=late(scene.end_ns),
        actors=tuple(_late_actor(actor, late) for actor in scene.actors),
        collisions=tuple(replace(hit, at_ns=late(hit.at_ns)) for hit in scene.collisions),
    )


def _late_actor(actor: Actor, late) -> Actor:  # type: ignore[no-untyped-def]
    return replace(
        actor,
        legs=tuple(replace(leg, start_ns=late(leg.start_ns), end_ns=late(leg.end_ns)) for leg in actor.legs),
        recolours=tuple(replace(change, at_ns=late(change.at_ns)) for change in actor.recolours),
    )
