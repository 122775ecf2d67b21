"""The pixels of a drawn world, and the video file they go into."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path
from random import Random

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from datasets_build.core.clock import FrameClock
from datasets_build.sources.world_script import STEPS, Actor, Backdrop, Join, Scene, Script
from datasets_build.sources.world_shapes import COLOURS, OUTLINES

Picture = npt.NDArray[np.uint8]
FULL = 256
BLACK_NS = 60_000_000  # the middle of a fade is black for this long on each side
RIM = 0.12  # the dark rim of a shape, in radii
ENCODER = {"preset": "veryfast", "crf": "20", "threads": "1"}


def scene_at(script: Script, t_ns: int) -> Scene:
    """The scene on screen at an instant; the last one stays."""
    return next((scene for scene in script.scenes if t_ns < scene.end_ns), script.scenes[-1])


def brightness(joins: tuple[Join, ...], t_ns: int) -> int:
    """How much of the picture's light is left at an instant: `FULL`, or less inside a fade, 0 in its middle."""
    for join in joins:
        distance = abs(t_ns - join.at_ns)
        if join.kind == "fade" and distance < join.half_ns:
            return FULL * max(0, distance - BLACK_NS) // (join.half_ns - BLACK_NS)
    return FULL


def _pattern(backdrop: Backdrop, width: int, height: int) -> npt.NDArray[np.float32]:
    """A quiet texture `(height, width) float32` around zero."""
    rng = Random(backdrop.grain)
    coarse = np.frombuffer(rng.randbytes(9 * 12), np.uint8).reshape(9, 12).astype(np.float32) / 255 - 0.5
    texture: npt.NDArray[np.float32] = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    if backdrop.pattern == "blotches":
        texture *= 44
    else:
        texture *= 11
    if backdrop.pattern == "stripes":
        texture += 7 * np.sin((x + y) * np.float32(rng.uniform(0.12, 0.3)))
    if backdrop.pattern == "tiles":
        texture += 7 * np.sign(np.sin(x * np.float32(0.11)) * np.sin(y * np.float32(0.11)))
    return texture


@lru_cache(maxsize=4)
def _background(backdrop: Backdrop, width: int, height: int) -> Picture:
    texture = _pattern(backdrop, width, height)
    # Darker towards the bottom, like a wall lit from above.
    slope = np.linspace(8, -8, height, dtype=np.float32)[:, None]
    colour = np.array(backdrop.colour, np.float32)
    picture: Picture = np.clip(colour + (texture + slope)[..., None], 0, 255).round().astype(np.uint8)
    picture.setflags(write=False)
    return picture


def _coverage(points: npt.NDArray[np.float64], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """How much of each pixel an outline covers: `(height, width, 1) float32` from 0 to 1."""
    fine = np.zeros((shape[0] * STEPS, shape[1] * STEPS), np.uint8)
    cv2.fillPoly(fine, [np.round(points * STEPS - 0.5).astype(np.int32)], 255)
    small = cv2.resize(fine, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    covered: npt.NDArray[np.float32] = small.astype(np.float32)[..., None] / 255
    return covered


def _draw_actor(picture: Picture, actor: Actor, *, centre: tuple[float, float], colour: str) -> None:
    height, width = picture.shape[:2]
    reach = int(actor.radius * 1.05) + 2
    left, top = max(0, int(centre[0]) - reach), max(0, int(centre[1]) - reach)
    right, bottom = min(width, int(centre[0]) + reach + 1), min(height, int(centre[1]) + reach + 1)
    patch = picture[top:bottom, left:right].astype(np.float32)
    outline, middle = OUTLINES[actor.kind] * actor.radius, np.array(centre) - (left, top)
    rgb = np.array(COLOURS[colour], np.float32)
    for points, paint in ((outline, rgb * 0.45), (outline * (1 - RIM), rgb)):
        covered = _coverage(points + middle, patch.shape[:2])
        patch += covered * (paint - patch)
    picture[top:bottom, left:right] = patch.round().astype(np.uint8)


def draw_frame(script: Script, t_ns: int) -> Picture:
    """The picture at an instant: RGB `(height, width, 3) uint8`. Depends on nothing but its arguments."""
    scene, light = scene_at(script, t_ns), brightness(script.joins, t_ns)
    picture = _background(scene.backdrop, script.width, script.height).copy()
    for actor in scene.actors:
        place = actor.place(t_ns)
        if scene.visible(actor, place):
            centre = (place, actor.lane) if scene.axis == "x" else (actor.lane, place)
            _draw_actor(picture, actor, centre=centre, colour=actor.colour_at(t_ns))
    if light < FULL:
        picture = (picture.astype(np.uint16) * light // FULL).astype(np.uint8)
    return picture


def _frames(script: Script, clock: FrameClock, time_base: Fraction) -> Iterator[av.VideoFrame]:
    for pts, t_ns in zip(clock.pts.tolist(), clock.t_ns.tolist(), strict=True):
        frame = av.VideoFrame.from_ndarray(draw_frame(script, t_ns), format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        yield frame


def encode(path: Path, script: Script, clock: FrameClock, *, time_base: Fraction, rate: Fraction | None) -> None:
    """Write a script as H.264 in an mp4; the same arguments give the same bytes.

    Args:
        path: where; its name may be any.
        script: what to draw.
        clock: when each frame is shown; its pts are ticks of `time_base`.
        time_base: seconds per tick.
        rate: frames per second, None for a variable rate.
    """
    ticks = clock.pts.tolist()
    end = ticks[-1] + max(1, round(Fraction(clock.end_ns - int(clock.t_ns[-1]), 10**9) / time_base))
    length = {pts: after - pts for pts, after in zip(ticks, [*ticks[1:], end], strict=True)}
    # Reordered frames would leave the last frame of a variable rate without its own duration.
    options = {**ENCODER, "bf": "0" if rate is None else "2"}
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("libx264", rate=rate or 30, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = script.width, script.height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = 50
        for frame in chain(_frames(script, clock, time_base), [None]):
            for packet in stream.encode(frame):
                if packet.pts is not None:
                    packet.duration = length[packet.pts]
                out.mux(packet)
