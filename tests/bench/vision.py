"""What batched windows and reused features save, as ratios in one run on a random tower of the real shape.

Run by `python -m tests.bench.vision`. Every figure is the median over paired rounds, so that a machine that slows down
slows both sides. Writes no file.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedConfig

from models.backbone import MODEL_CLASSES, Backbone
from models.patches import FrameFormat
from models.tiny import tiny_config
from models.tower import Tower
from models.vision import Encoder, VisionSettings

ROUNDS = 5
# Pixels of a frame and how many grids go into one call.
LOADS = (((112, 112), 1), ((224, 224), 1), ((224, 224), 4), ((420, 308), 1), ((448, 448), 1))


def middle_config(family: str, depth: int = 8) -> PreTrainedConfig:
    """The tiny decoder below a vision tower with a quarter of the layers and of the width of the released ones."""
    config = tiny_config(family)
    vision = config.vision_config
    vision.initializer_range = 0.02
    vision.hidden_size, vision.num_heads, vision.intermediate_size, vision.depth = 320, 4, 856, depth
    vision.patch_size = 16 if family == "qwen3_vl" else 14
    if family == "qwen3_vl":
        vision.num_position_embeddings, vision.deepstack_visual_indexes = 2304, [1, 3, 5]
    else:
        vision.window_size, vision.fullatt_block_indexes = 112, [3, 7]
    return config


def frame_format(family: str) -> FrameFormat:
    """The released format, in which a frame keeps about its size."""
    patch = 16 if family == "qwen3_vl" else 14
    return FrameFormat(
        patch=patch, merge=2, temporal=2, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), rescale=1 / 255,
        min_pixels=(2 * patch) ** 2, max_pixels=2**21,
    )  # fmt: skip


class Calls(TorchFunctionMode):
    """Counts attention calls."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.nn.functional.scaled_dot_product_attention
        return function(*args, **(kwargs or {}))


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def rounds(slow: Callable[[], object], fast: Callable[[], object]) -> list[tuple[float, float]]:
    """Both in turn, again and again."""
    return [(seconds(slow), seconds(fast)) for _ in range(ROUNDS)]


def windows(family: str) -> None:
    """Stock against batched, for each load."""
    torch.manual_seed(0)
    backbone = Backbone(MODEL_CLASSES[family](middle_config(family)))
    stock, batched, form = Tower(backbone, batched=False), Tower(backbone), frame_format(family)
    for size, count in LOADS:
        patches = [form.patchify(torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)) for _ in range(count)]
        grids = [form.grid(*size)] * count
        calls = []
        for tower in (stock, batched):
            with Calls() as seen:
                found = tower.encode(patches, grids)
            calls.append(seen.count)
        apart = max(
            float((a.embeds - b.embeds).abs().max()) for a, b in zip(stock.encode(patches, grids), found, strict=True)
        )
        times = rounds(lambda: stock.encode(patches, grids), lambda: batched.encode(patches, grids))  # noqa: B023 - run here
        ratio = statistics.median(slow / fast for slow, fast in times)
        slow, fast = (1000 * statistics.median(side) for side in zip(*times, strict=True))
        print(
            f"{family:13} {size[0]}×{size[1]} ×{count}: attention calls {calls[0]:4} → {calls[1]:3}, "
            f"{slow:7.1f} → {fast:7.1f} ms, {ratio:.2f}× as fast, max difference {apart:.1e}"
        )


def duplicates(family: str) -> None:
    """A stream in which 3 of 4 grids show what was shown before, with and without the cache."""
    torch.manual_seed(0)
    tower, form = Tower(Backbone(MODEL_CLASSES[family](middle_config(family)))), frame_format(family)
    scenes = [torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8) for _ in range(4)]
    stream = [scenes[k // 4] for k in range(16)]
    tower.encode([form.patchify(scenes[0])], [form.grid(224, 224)])

    def look(cache_bytes: int) -> int:
        with Encoder(tower, form, VisionSettings(cache_bytes=cache_bytes, background=False)) as encoder:
            for frames in stream:
                encoder.submit(frames)
            return encoder.stats().encoded

    times = rounds(lambda: look(0), lambda: look(2**28))
    ratio = statistics.median(slow / fast for slow, fast in times)
    print(f"{family:13} 16 grids, 4 of them new: {look(2**28)} encoded, {ratio:.2f}× as fast as without the cache")


def main() -> None:
    """Prints all ratios, on one core."""
    torch.set_num_threads(1)
    for family in MODEL_CLASSES:
        windows(family)
        duplicates(family)


if __name__ == "__main__":
    main()
