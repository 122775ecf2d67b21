"""Whether a decoder gives the very frames that PyAV gives: the check before it may read a file."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets_build.core.clock import FrameClock
from datasets_build.core.records import derive_id
from datasets_build.decoders import pyav
from datasets_build.decoders.cursor import key_frame_near
from datasets_build.decoders.frames import Decoder, Size, UInt8s, VideoError

REFERENCE_DEADLINE_S = 300.0
MARK_SIDE = 256
# Levels of grey (0..255), measured: right pictures differ by up to 3, the wrong ones that matter by more than 0.3.
MAX_DISTANCE = 12.0
MIN_APART = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """What is kept of a picture: its size and a small grey view `(h, w) float32` around zero.

    Block means, so that scaling noise goes and content stays; without the mean, so that another colour matrix is no
    fault.
    """

    size: Size
    grey: npt.NDArray[np.float32]

    def apart(self, other: Mark) -> float:
        """Mean distance in levels of grey; infinite between sizes."""
        return float(np.abs(self.grey - other.grey).mean()) if self.size == other.size else float("inf")


def mark_of(image: UInt8s) -> Mark:
    """The mark of a picture `(h, w, 3) uint8`."""
    step = max(1, max(image.shape[:2]) // MARK_SIDE)
    height, width = (max(1, side // step) for side in image.shape[:2])
    grey = image[: height * step, : width * step].mean(axis=2, dtype=np.float32)
    blocks = grey.reshape(height, grey.shape[0] // height, width, grey.shape[1] // width).mean(axis=(1, 3))
    return Mark((image.shape[1], image.shape[0]), np.asarray(blocks - blocks.mean(), np.float32))


def find_fault(path: Path, clock: FrameClock, name: str, decoder: Decoder, *, deadline_s: float) -> VideoError | None:
    """Ask for frames out of order and hold each against PyAV's frame of that index and its neighbours.

    Args:
        path: the video.
        clock: its frames' times.
        name: what the decoder is called.
        decoder: the one on trial; it checks count and times by itself.
        deadline_s: for each frame.

    Returns:
        None when every frame is right, else what is wrong: `decoder_untrusted`, or as `Remote.read`.

    Raises:
        VideoError: the file itself cannot be read.
    """
    if doubt := decoder.doubt(path):
        return _untrusted(path, name, doubt)
    key = key_frame_near(path, clock, len(clock) // 2)
    if key is None:
        return _untrusted(path, name, "decoding cannot start at its key frames")
    order = sample_indices(len(clock), key)
    found: dict[int, Mark] = {}
    for index in order:
        try:
            (image,) = decoder.read(path, clock, np.array([index]), size=None, deadline_s=deadline_s)
        except VideoError as error:
            return error
        found[index] = mark_of(image)
    near = sorted({k for index in order for k in (index - 1, index, index + 1) if 0 <= k < len(clock)})
    right = {
        index: mark_of(image)
        for index, image in pyav.pictures(path, clock, np.array(near), size=None, deadline_s=REFERENCE_DEADLINE_S)
    }
    for index in order:
        fault = picture_fault(found[index], right[index], right.get(index - 1), right.get(index + 1))
        if fault:
            return _untrusted(path, name, f"at frame {index} {fault}")
    return None


def _untrusted(path: Path, name: str, reason: str) -> VideoError:
    return VideoError("decoder_untrusted", f"{path}: {name} is not trusted: {reason}")


def sample_indices(n_frames: int, key: int) -> list[int]:
    """Up to seven frames in a fixed order that jumps back and forth: both ends, and around a key frame.

    Decoders that lose count do so on either side of a key frame and at the end.
    """
    last = n_frames - 1
    order = sorted({0, max(0, key - 1), key, min(key + 1, last), n_frames // 2, max(0, last - 1), last})
    random.Random(derive_id("samples", "", n_frames)).shuffle(order)
    return order


def picture_fault(found: Mark, right: Mark, before: Mark | None, after: Mark | None) -> str | None:
    """What is wrong with a picture that should be `right`; None when nothing is.

    A neighbour that looks the same proves nothing either way.
    """
    if found.size != right.size:
        return f"it gives {found.size[0]}x{found.size[1]} pixels instead of {right.size[0]}x{right.size[1]}"
    distance = found.apart(right)
    telling = [
        (found.apart(near), where)
        for near, where in ((before, "before"), (after, "after"))
        if near and right.apart(near) >= MIN_APART
    ]
    nearest, where = min(telling, default=(distance, ""))
    if nearest < distance:
        return f"it shows the frame {where}"
    return "it shows another picture" if distance > MAX_DISTANCE else None
