"""How frames of a view look: what chance decides of an operation on pixels, and looks laid over frames.

What a frame looks like follows from the looks, the frame itself, its place and its time: never from which other frames
are read with it, and never from a later one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from augment import picture_settings as settings
from augment.boxes import Box, box_under, hull
from augment.errors import AugmentError
from augment.pictures import CHANGES, Instant
from datasets_build.core.augmentation import Look
from datasets_build.core.clock import Int64s
from datasets_build.core.records import Parameter, Video
from datasets_build.core.topics import CAMERA, MOTION

Pixels = npt.NDArray[np.uint8]
"""`(n, height, width, 3)`, RGB, upright."""
Size = tuple[int, int]
"""`(width, height)` in pixels, upright."""
VERSION = "1"
"""Of the pixels that looks give; what keeps pixels makes them anew when it changes."""
COMPRESS = "compress"
SHAKES = frozenset({"shake", "shake_zoom"})
_SIZED = frozenset({"resolution", "letterbox", "squeeze", "window"})
# What was measured over the whole picture need not be so in a part of it.
_MEASURED = frozenset({"motion_burst", "light_up", "light_down"})
_SEED_BITS = 62
_MOST_SQUEEZED = 1.25
# Twice as wide as 8K video: one such frame takes most of a gigabyte.
_MOST_SIDE = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an operation on pixels may look at.

    Attributes:
        size: of the pictures before all looks.
        fps: how many of them there are in a second, on average.
        boxes: where tracked things are in them, as shares; raises AugmentError where that is not told of all.
    """

    size: Size
    fps: Fraction
    boxes: Callable[[], Sequence[Box]]


def _least_kbit_s(seen: Seen) -> float:
    """The bit rate below which pictures turn grey while their labels stay.

    Bits for a frame's own syntax, and a part of one for each pixel: at 192 x 128 pixels and 24 frames a second half of
    a picture is grey with 20 kbit/s.
    """
    width, height = seen.size
    return float(seen.fps * Fraction(1500 + width * height // 250) / 1000)


def draw_looks(drawn: Sequence[tuple[settings.PictureOperation, random.Random]], seen: Seen) -> tuple[Look, ...]:
    """The looks that some operations give, one after the other, each with its own source of chance.

    Raises:
        AugmentError: one cannot be done to these pictures.
    """
    looks: list[Look] = []
    for operation, rng in drawn:
        before = tuple(looks)

        def boxes(before: tuple[Look, ...] = before) -> list[Box]:
            found = [box_under(box, before) for box in seen.boxes()]
            if any(box is None for box in found):
                raise AugmentError("window: comes after shake, under which nobody knows where boxes are; put it before")
            return [box for box in found if box is not None]

        looks.append(draw_look(operation, rng, Seen(size=size_after(looks, seen.size), fps=seen.fps, boxes=boxes)))
        width, height = size_after(looks, seen.size)
        if max(width, height) > _MOST_SIDE:
            name = type(operation).__name__.lower()
            raise AugmentError(
                f"{name}: makes pictures of {width} × {height} pixels, expected {_MOST_SIDE} a side at most"
            )
    return tuple(looks)


def draw_look(operation: settings.PictureOperation, rng: random.Random, seen: Seen) -> Look:
    """The look that an operation gives to pictures, with all that chance decides of it.

    Raises:
        AugmentError: it cannot be done to these pictures.
    """
    match operation:
        case settings.Resolution():
            return _resolution(operation, rng, seen.size)
        case settings.Aspect():
            return _aspect(operation, rng, seen.size)
        case settings.Window():
            return _window(operation, rng, seen)
        case settings.Colour():
            return _colour(operation, rng)
        case settings.Blur(form=form):
            kind = "blur" if form == "gaussian" else "motion_blur"
            share, angle = rng.uniform(operation.least, operation.most), rng.uniform(0, math.pi)
            return _look(kind, rng, {"share": share, "angle": angle})
        case settings.Compress():
            least = max(operation.least_kbit_s, _least_kbit_s(seen))
            if least > operation.most_kbit_s:
                raise AugmentError(
                    f"compress: {operation.most_kbit_s:g} kbit/s leave nothing to see of {seen.size[0]} x "
                    f"{seen.size[1]} pixels at {float(seen.fps):.3g} frames a second, expected {least:.0f} or more"
                )
            drawn = math.exp(rng.uniform(math.log(least), math.log(operation.most_kbit_s)))
            rate = min(max(drawn, least), operation.most_kbit_s)
            return _look(COMPRESS, rng, {"kbit_s": rate, "group_s": operation.group_s})
        case settings.Shake():
            kind = "shake" if operation.edges == "reflect" else "shake_zoom"
            amplitude = rng.uniform(operation.least, operation.most)
            return _look(kind, rng, {"amplitude": amplitude, "period_s": operation.period_s})
        case settings.Noise():
            return _look("noise", rng, {"sd": rng.uniform(operation.least, operation.most)})
    raise AugmentError(f"{type(operation).__name__}: is no operation on pixels")


def _look(kind: str, rng: random.Random, values: Mapping[str, float]) -> Look:
    parameters = tuple(Parameter(name=name, value=float(value)) for name, value in values.items())
    return Look(kind=kind, parameters=parameters, seed=rng.getrandbits(_SEED_BITS))


def _even(value: float) -> int:
    return max(2, 2 * round(value / 2))


def _resolution(operation: settings.Resolution, rng: random.Random, size: Size) -> Look:
    width, height = size
    chosen = rng.choice(operation.heights) if operation.heights else _even(rng.uniform(operation.least, operation.most))
    return _look("resolution", rng, {"width": _even(width * chosen / height), "height": chosen})


def _aspect(operation: settings.Aspect, rng: random.Random, size: Size) -> Look:
    width, height = size
    wanted = rng.choice(operation.ratios)
    across, down = map(int, wanted.split(":"))
    ratio = across / down
    if operation.form == "squeeze":
        change = ratio * height / width
        if not 1 / _MOST_SQUEEZED <= change <= _MOST_SQUEEZED:
            raise AugmentError(
                f"aspect: {wanted} squeezes pictures of {width}×{height} by {change:.2f}, expected "
                f"{1 / _MOST_SQUEEZED} to {_MOST_SQUEEZED}; take form letterbox"
            )
        return _look("squeeze", rng, {"width": _even(height * ratio), "height": _even(height)})
    wide = _even(math.ceil(max(width, height * ratio) / 2) * 2)
    high = _even(math.ceil(max(height, width / ratio) / 2) * 2)
    left, top = (wide - width) // 2, (high - height) // 2
    inner = {"left": left, "top": top, "inner_width": width, "inner_height": height}
    return _look("letterbox", rng, {"width": wide, "height": high, **inner})


def _window(operation: settings.Window, rng: random.Random, seen: Seen) -> Look:
    width, height = seen.size
    kept = hull(seen.boxes())
    left, right = _cut(kept.left, kept.right, width, operation.least, rng)
    top, bottom = _cut(kept.top, kept.bottom, height, operation.least, rng)
    if (right - left, bottom - top) == (width, height):
        raise AugmentError("window: the tracked boxes reach so far that nothing of the picture can be cut off")
    outer = {"outer_width": width, "outer_height": height}
    return _look("window", rng, {"left": left, "top": top, "width": right - left, "height": bottom - top, **outer})


def _cut(low: float, high: float, pixels: int, least: float, rng: random.Random) -> tuple[int, int]:
    """From which pixel to which one direction stays: all that lies in `[low, high)`, and no less than `least`."""
    begin, end = math.floor(low * pixels), math.ceil(high * pixels)
    room = min(pixels - math.ceil(least * pixels), begin + pixels - end)
    # An even number of pixels stays, where there is something to cut off.
    few = 2 - pixels % 2
    gone = rng.randrange(few, room + 1, 2) if few <= room else 0
    first = rng.randint(max(0, gone - (pixels - end)), min(gone, begin))
    return first, first + pixels - gone


def _colour(operation: settings.Colour, rng: random.Random) -> Look:
    def around(by: float) -> float:
        return 1 + rng.uniform(-by, by)

    values = {
        "brightness": around(operation.brightness),
        "contrast": around(operation.contrast),
        "gamma": around(operation.gamma),
        "warmth": rng.uniform(-operation.warmth, operation.warmth),
        "saturation": rng.uniform(operation.least_saturation, operation.most_saturation),
    }
    return _look("colour", rng, values)


def size_after(looks: Sequence[Look], size: Size) -> Size:
    """The size `(width, height)` of pictures of a size under looks."""
    for look in looks:
        if look.kind in _SIZED:
            size = round(look.value("width")), round(look.value("height"))
    return size


def video_under(looks: Sequence[Look], video: Video) -> Video:
    """The record of a video with the size of its pictures under looks, which are laid over upright ones."""
    if not looks:
        return video
    width, height = size_after(looks, video.upright_size)
    turned = video.rotation_deg in (90, 270)
    pixel = (video.sar_den, video.sar_num) if turned else (video.sar_num, video.sar_den)
    size = {"width": width, "height": height, "rotation_deg": 0, "sar_num": pixel[0], "sar_den": pixel[1]}
    return video.model_copy(update=size)


def apply_looks(looks: Sequence[Look], pixels: Pixels, frame_index: Int64s, t_ns: Int64s) -> Pixels:
    """Frames under looks, compression aside (`augment.coded`).

    Args:
        looks: one after the other.
        pixels: uint8 (n, height, width, 3).
        frame_index: int64 (n,), their places in the view.
        t_ns: int64 (n,), when they come in the view.

    Returns:
        uint8 (n, height, width, 3) of the size `size_after`.

    Raises:
        AugmentError: a look is none that is known here.
    """
    unknown = [look.kind for look in looks if look.kind not in CHANGES]
    if unknown:
        raise AugmentError(f"looks: found kind {unknown[0]}, expected one of {', '.join(CHANGES)}; update the package")
    if not looks or not len(pixels):
        return pixels
    found = []
    for picture, index, time in zip(pixels, frame_index.tolist(), t_ns.tolist(), strict=True):
        for look in looks:
            picture = CHANGES[look.kind](look, picture, Instant(index, time))
        found.append(picture)
    return np.stack(found)


def untellable_labels(looks: Sequence[Look]) -> frozenset[str]:
    """Labels of which a viewer cannot tell any more whether they are true: `streamvl/picture-1` has them all."""
    kinds = {look.kind for look in looks}
    shaken = CAMERA | MOTION if kinds & SHAKES else frozenset()
    return frozenset(shaken | (_MEASURED if "window" in kinds else frozenset()))


def untellable_tasks(looks: Sequence[Look]) -> frozenset[str]:
    """Tasks whose questions have no true answer any more: a squeezed square is none."""
    return frozenset({"shape"} if any(look.kind == "squeeze" for look in looks) else ())
