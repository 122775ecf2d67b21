"""From frames to the patches that the vision tower reads: resized, normalised and cut as the stock video processors do.

A stream has no length, so the rule for sizes counts one frame, never the whole video.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms
from transformers import ProcessorMixin, Qwen2VLVideoProcessor, Qwen3VLVideoProcessor
from transformers.image_utils import PILImageResampling

from models.backbone import Family
from models.errors import FrameError, SettingsError

Frames = Tensor | np.ndarray
VideoProcessor = Qwen2VLVideoProcessor | Qwen3VLVideoProcessor
CHANNELS = 3
MAX_ASPECT = 200
# What a frame takes at least and at most where the stock `Qwen2_5OmniProcessor` is called: its `videos_kwargs`.
OMNI_FRAME_TOKENS = (128, 768)


def as_frames(frames: Frames, dimensions: int) -> Tensor:
    """Pixels as a uint8 tensor whose last side is RGB; an array is copied, a tensor is not.

    Args:
        frames: uint8 (…, height, width, 3), tensor or array.
        dimensions: how many sides it must have.

    Raises:
        FrameError: another type, dtype or layout, or a side of 0.
    """
    if isinstance(frames, np.ndarray):
        if frames.dtype != np.uint8:
            raise FrameError(f"frames: found {frames.dtype}, expected uint8; scale to 0…255 and convert")
        # A copy has no negative strides and may be written, both of which torch asks for.
        frames = torch.from_numpy(np.array(frames, order="C"))
    if not isinstance(frames, Tensor):
        raise FrameError(f"frames: found {type(frames).__name__}, expected a torch tensor or a NumPy array")
    if frames.dtype != torch.uint8:
        raise FrameError(f"frames: found {frames.dtype}, expected torch.uint8; scale to 0…255 and convert")
    if frames.ndim != dimensions or frames.shape[-1] != CHANNELS:
        layout = "(height, width, 3)" if dimensions == 3 else "(frames, height, width, 3)"
        raise FrameError(f"frames: found shape {tuple(frames.shape)}, expected {layout}; colour comes last")
    if frames.numel() == 0:
        raise FrameError(f"frames: found shape {tuple(frames.shape)}, expected no side of 0")
    return frames


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFormat:
    """How frames become patches.

    Attributes:
        patch, merge, temporal: pixels per patch side, patches per token side, frames per grid.
        mean, std: per colour, of pixels in 0…1.
        rescale: factor that takes 0…255 to 0…1.
        min_pixels, max_pixels: bounds of one resized frame; a side is never less than one token.
        enlarge: a frame smaller than one token is first enlarged to one (the rule of Qwen3-VL).
    """

    patch: int
    merge: int
    temporal: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rescale: float
    min_pixels: int
    max_pixels: int
    enlarge: bool = False

    def __post_init__(self) -> None:
        if min(self.patch, self.merge, self.temporal) < 1:
            raise SettingsError(f"patch {self.patch}, merge {self.merge}, temporal {self.temporal}: expected 1 or more")
        if len(self.mean) != CHANNELS or len(self.std) != CHANNELS or min(self.std) <= 0 or self.rescale <= 0:
            raise SettingsError(
                f"mean {self.mean}, std {self.std}, rescale {self.rescale}: expected 3 colours, the latter two above 0"
            )
        if not 1 <= self.min_pixels <= self.max_pixels:
            raise SettingsError(f"pixels: found [{self.min_pixels}, {self.max_pixels}], expected 1 <= min <= max")
        if self.max_pixels < self.factor**2:
            raise SettingsError(f"max_pixels: found {self.max_pixels}, expected a token's {self.factor**2} or more")

    @classmethod
    def from_processor(
        cls, processor: ProcessorMixin, family: Family, *, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> "FrameFormat":
        """Reads the format from a model's processor.

        The processor of Qwen3-VL bounds a whole video, so one grid's share is taken, and no frame may hold more tokens
        than its `max_video_tokens` (the cap per frame of qwen-vl-utils). That of Qwen2.5-VL bounds each frame. The one
        of Qwen2.5-Omni is called by the stock `Qwen2_5OmniProcessor` with bounds of its own, 128 to 768 tokens a frame,
        whatever its `size` says; they are taken here where `size` allows more. A `size` of fewer tokens is kept, which
        the stock call would not do, so that small models have small frames.

        The stock processors also bound the area of a whole video (`max_video_tokens`, `longest_edge`) and shrink the
        frames of a long one; a stream has no length, so a session bounds each grid alone.

        Args:
            processor: holds the family's stock video processor.
            family: the model's family.
            min_pixels: of one frame; None takes the processor's.
            max_pixels: of one frame; None takes the processor's.

        Raises:
            SettingsError: the processor has no video part, contradicts the model, or leaves out a step.
        """
        video = _video_processor(processor, family)
        low, high = video.size["shortest_edge"], video.size["longest_edge"]
        if family.timed_text:
            tokens = video.max_video_tokens * (family.patch * family.merge) ** 2
            low, high = -(-low // family.temporal), min(high // family.temporal, tokens)
        elif family.name == "qwen2_5_omni":
            least, most = (count * (family.patch * family.merge) ** 2 for count in OMNI_FRAME_TOKENS)
            low, high = (least, most) if high > most else (low, high)
        return cls(
            patch=family.patch,
            merge=family.merge,
            temporal=family.temporal,
            mean=_colours(video.image_mean),
            std=_colours(video.image_std),
            rescale=float(video.rescale_factor),
            min_pixels=low if min_pixels is None else min_pixels,
            max_pixels=high if max_pixels is None else max_pixels,
            enlarge=family.timed_text,
        )

    @property
    def factor(self) -> int:
        """Pixels per token side."""
        return self.patch * self.merge

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that differ when any field differs."""
        return hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=16).digest()

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """The resized frame in patches: (rows, columns), both multiples of `merge`.

        Both sides are rounded to whole tokens; when the area leaves the bounds, both are scaled by the same ratio and
        rounded towards the bounds (`smart_resize` of transformers, for one frame).

        Raises:
            FrameError: a side of 0, or one side more than 200 times the other.
        """
        if min(height, width) < 1:
            raise FrameError(f"frame: found {height}×{width} pixels, expected no side of 0")
        if max(height, width) > MAX_ASPECT * min(height, width):
            raise FrameError(
                f"frame: found {height}×{width} pixels, expected sides at most {MAX_ASPECT} times apart; crop it"
            )
        factor = self.factor
        if self.enlarge and min(height, width) < factor:
            scale = factor / min(height, width)
            height, width = int(height * scale), int(width * scale)
        rows, columns = round(height / factor), round(width / factor)
        if rows * columns * factor**2 > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            rows = max(1, math.floor(height / shrink / factor))
            columns = max(1, math.floor(width / shrink / factor))
        elif rows * columns * factor**2 < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            rows, columns = math.ceil(height * grow / factor), math.ceil(width * grow / factor)
        return rows * self.merge, columns * self.merge

    def tokens(self, height: int, width: int) -> int:
        """How many tokens of the language model one grid of such frames takes."""
        rows, columns = self.grid(height, width)
        return rows * columns // self.merge**2

    def check(self, frames: Frames) -> Tensor:
        """The frames of one grid as a uint8 (temporal, height, width, 3) tensor.

        Raises:
            FrameError: wrong count, type, dtype, layout or aspect ratio.
        """
        pixels = as_frames(frames, 4)
        if pixels.shape[0] != self.temporal:
            raise FrameError(
                f"frames: found {pixels.shape[0]}, expected the {self.temporal} of one grid; double a lone one"
            )
        self.grid(pixels.shape[1], pixels.shape[2])
        return pixels

    def patchify(self, frames: Frames) -> Tensor:
        """The patches of one grid, on the device of the frames.

        Args:
            frames: uint8 (temporal, height, width, 3).

        Returns:
            float32 (rows * columns, 3 * temporal * patch²), the patches of each token together, tokens row by row.

        Raises:
            FrameError: as `check`.
        """
        pixels = self.check(frames)
        rows, columns = self.grid(pixels.shape[1], pixels.shape[2])
        size = [rows * self.patch, columns * self.patch]
        # Bicubic on bytes, as the stock processors do: the result is rounded to bytes before it is normalised.
        resized = transforms.resize(
            pixels.permute(0, 3, 1, 2).contiguous(), size, interpolation=InterpolationMode.BICUBIC, antialias=True
        )
        scale = 1.0 / self.rescale
        mean = (torch.tensor(self.mean) * scale).to(resized.device)[:, None, None]
        std = (torch.tensor(self.std) * scale).to(resized.device)[:, None, None]
        normal = resized.float().sub_(mean).div_(std)
        parts = normal.reshape(
            self.temporal, CHANNELS,
            rows // self.merge, self.merge, self.patch,
            columns // self.merge, self.merge, self.patch,
        )  # fmt: skip
        patches: Tensor = parts.permute(2, 5, 3, 6, 1, 0, 4, 7).reshape(rows * columns, -1)
        return patches


def _video_processor(processor: ProcessorMixin, family: Family) -> VideoProcessor:
    expected = Qwen3VLVideoProcessor if family.timed_text else Qwen2VLVideoProcessor
    video = processor.video_processor
    if not isinstance(video, expected):
        raise SettingsError(f"video_processor: found {type(video).__name__}, expected {expected.__name__}")
    found = (video.patch_size, video.merge_size, video.temporal_patch_size)
    if found != (family.patch, family.merge, family.temporal):
        raise SettingsError(
            f"video_processor: patch, merge and temporal size are {found}, expected the model's "
            f"{(family.patch, family.merge, family.temporal)}; the processor belongs to another model"
        )
    if not (video.do_resize and video.do_rescale and video.do_normalize):
        raise SettingsError("video_processor: do_resize, do_rescale or do_normalize is off, expected all three on")
    if video.resample != PILImageResampling.BICUBIC:
        raise SettingsError(f"video_processor: resample is {video.resample!r}, expected bicubic")
    return video


def _colours(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
