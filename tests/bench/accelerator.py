"""Latency, tokens per second and memory of released model sizes with random weights on a GPU.

Run by `python -m tests.bench.accelerator [--size 3B --size 7B] [--chunks 64] [--seed 0]`. Needs no hub: the sizes are
written here as their published config.json has them, and random weights cost what trained ones do. Exits 2 without a
GPU; `--tiny` runs the same path with a tiny model on the CPU, to see that it works.

A chunk is two frames of 448×448: one temporal grid, 256 tokens. "With dialogue" is a chunk and a question behind it up
to its first token, ten rounds remembered. Both are given per frame, to stand beside the 45 ms without and 120 ms with
dialogue per frame that are quoted for such systems.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import typer
from transformers import PreTrainedConfig, Qwen2_5_VLConfig

from models.answer import AnswerOptions
from models.decode import StopRule
from models.session import Session
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from tests.bench.ratios import Line, show

MIB = 2**20
FRAME_NS = 500_000_000
QUOTED_FRAME_MS, QUOTED_DIALOGUE_MS = 45.0, 120.0
QUESTION = "What is she doing?"
ROUNDS = 10
# Random weights may say anything: only the count of tokens ends a reply.
LONG_REPLY = AnswerOptions(stop=StopRule(max_new_tokens=64, repeats=0))
NO_GPU = 2
SIZES = ("3B", "7B")

VISION = {
    "depth": 32, "hidden_size": 1280, "hidden_act": "silu", "intermediate_size": 3420, "num_heads": 16,
    "in_channels": 3, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31], "tokens_per_second": 2,
}  # fmt: skip
TEXT = {
    "hidden_act": "silu", "max_position_embeddings": 128_000, "rms_norm_eps": 1e-6, "use_sliding_window": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]},
    "bos_token_id": 151_643, "eos_token_id": 151_645,
}  # fmt: skip
# huggingface.co/Qwen/Qwen2.5-VL-3B-Instruct and -7B-Instruct, config.json.
SIZED = {
    "3B": {
        "hidden_size": 2048, "intermediate_size": 11_008, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True,
    },
    "7B": {
        "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152_064, "tie_word_embeddings": False,
    },
}  # fmt: skip


def released_config(size: str) -> PreTrainedConfig:
    """Qwen2.5-VL of a released size."""
    text = TEXT | SIZED[size]
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=VISION | {"out_hidden_size": text["hidden_size"]},
        tie_word_embeddings=text["tie_word_embeddings"],
        image_token_id=151_655, video_token_id=151_656, vision_start_token_id=151_652, vision_end_token_id=151_653,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is run: a model, where, and the side of its square frames."""

    name: str
    config: PreTrainedConfig
    device: torch.device
    dtype: torch.dtype
    side: int
    settings: StreamingSettings


def gpu_load(size: str) -> Load:
    """A released size in bfloat16 on the GPU, with the default memory of 20 + 20 chunks."""
    settings = StreamingSettings(slots=16_384, background=False, cache_bytes=0, history_rounds=ROUNDS)
    return Load(
        name=f"Qwen2.5-VL {size}", config=released_config(size), device=torch.device("cuda"), dtype=torch.bfloat16,
        side=448, settings=settings,
    )  # fmt: skip


def tiny_load() -> Load:
    """The same path for a CPU without patience."""
    settings = StreamingSettings(slots=2048, background=False, cache_bytes=0, history_rounds=ROUNDS)
    return Load(
        name="tiny", config=tiny_config("qwen2_5_vl"), device=torch.device("cpu"), dtype=torch.bfloat16, side=32,
        settings=settings,
    )  # fmt: skip


@contextmanager
def made_in(dtype: torch.dtype) -> Iterator[None]:
    """Modules made inside have weights of this dtype from the start: those of 7B in float32 would take 33 GB."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was found.

    Attributes:
        chunk_ms, worst_ms: a chunk, median and greatest.
        dialogue_ms: a chunk and a question up to its first token, median.
        first_ms: the question alone, median.
        rate: tokens per second of a long reply.
        weight_bytes, pool_bytes, peak_bytes: weights; the cache; all at its greatest, 0 where that is not known.
    """

    chunk_ms: float
    worst_ms: float
    dialogue_ms: float
    first_ms: float
    rate: float
    weight_bytes: int
    pool_bytes: int
    peak_bytes: int


class Film:
    """Frames without end for one session, each a picture of its own."""

    def __init__(self, session: Session, load: Load, *, seed: int) -> None:
        self._session, self._load = session, load
        self._rng = np.random.default_rng(seed)
        self._shown = 0

    def chunk(self) -> float:
        """Shows two frames; milliseconds until they are in the cache."""
        side = self._load.side
        frames = self._rng.integers(0, 200, (2, side, side, 3), dtype=np.uint8)
        return self._timed(lambda: [self._show(frame) for frame in frames])

    def ask(self) -> float:
        """Asks; milliseconds to the first token. The round is remembered."""
        return self._timed(lambda: self._session.ask(QUESTION, max_new_tokens=1).run())

    def _show(self, frame: np.ndarray) -> None:
        self._session.add_frame(frame, self._shown * FRAME_NS)
        self._shown += 1

    def _timed(self, work: Callable[[], object]) -> float:
        wait(self._load.device)
        begun = time.perf_counter()
        work()
        wait(self._load.device)
        return 1000 * (time.perf_counter() - begun)


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(load: Load, *, chunks: int, seed: int) -> Figures:
    """Fills the memory and the dialogue, then measures so many chunks of each kind."""
    on_gpu = load.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(load.device)
    with made_in(load.dtype):
        model = StreamingModel.from_random(
            load.config, seed=seed, settings=load.settings, device=load.device, dtype=load.dtype
        )
    weights = sum(weight.nbytes for weight in model.backbone.model.parameters())
    with model.session() as session:
        film = Film(session, load, seed=seed)
        memory = load.settings.memory_settings
        for _ in range(memory.star_capacity + memory.stream_capacity + 4):
            film.chunk()
        alone = [film.chunk() for _ in range(chunks)]
        for _ in range(ROUNDS):
            film.ask()
        asked = [(film.chunk(), film.ask()) for _ in range(chunks)]
        stats = session.ask(QUESTION, options=LONG_REPLY).run().stats
        pool_bytes = session.metrics().pool_bytes
    return Figures(
        chunk_ms=statistics.median(alone),
        worst_ms=max(alone),
        dialogue_ms=statistics.median(chunk + ask for chunk, ask in asked),
        first_ms=statistics.median(ask for _, ask in asked),
        rate=(stats.tokens - 1) / (stats.total_s - stats.time_to_first_token_s),
        weight_bytes=weights,
        pool_bytes=pool_bytes,
        peak_bytes=torch.cuda.max_memory_allocated(load.device) if on_gpu else 0,
    )


def quoted(what: str, ms: float, most: float, *, compare: bool) -> Line:
    """A latency per frame beside the one that is quoted."""
    if not compare:
        return Line(what=what, ours=f"{ms:.1f} ms")
    return Line(what=what, ours=f"{ms:.1f} ms", baseline=f"{most:.0f} ms quoted", value=ms, most=most)


def lines(load: Load, found: Figures) -> list[Line]:
    """The figures as rows; what is quoted is compared only where a released size was measured."""
    compare = load.device.type == "cuda"
    sizes = (found.weight_bytes, found.pool_bytes, found.peak_bytes)
    return [
        Line(
            what=f"{load.name}: a chunk of 2 frames, median, worst",
            ours=f"{found.chunk_ms:.1f}, {found.worst_ms:.1f} ms",
        ),
        quoted("  per frame, without dialogue", found.chunk_ms / 2, QUOTED_FRAME_MS, compare=compare),
        quoted("  per frame, with dialogue", found.dialogue_ms / 2, QUOTED_DIALOGUE_MS, compare=compare),
        Line(what="  time to first token", ours=f"{found.first_ms:.1f} ms"),
        Line(what="  tokens per second", ours=f"{found.rate:.1f}"),
        Line(what="  weights, cache, peak", ours=", ".join(f"{part / MIB:.1f}" for part in sizes) + " MiB"),
    ]


def main(
    size: Annotated[list[str] | None, typer.Option(help="3B or 7B; again for both, which is the default.")] = None,
    chunks: Annotated[int, typer.Option(min=1, help="Chunks that are measured of each kind.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and frames.")] = 0,
    tiny: Annotated[bool, typer.Option("--tiny", help="A tiny model on the CPU: whether it runs.")] = False,
) -> None:
    """Prints the table; exits 1 where a quoted figure is missed, 2 without a GPU."""
    sizes = size or list(SIZES)
    unknown = [name for name in sizes if name not in SIZES]
    if unknown:
        raise typer.BadParameter(f"size is {unknown[0]!r}, expected one of {', '.join(SIZES)}")
    if not tiny and not torch.cuda.is_available():
        print("no GPU was found, so nothing was measured; --tiny runs the same path on the CPU")
        raise typer.Exit(NO_GPU)
    if tiny:
        torch.set_num_threads(1)
    where = "CPU" if tiny else torch.cuda.get_device_name()
    loads = [tiny_load()] if tiny else [gpu_load(name) for name in sizes]
    rows = [row for load in loads for row in lines(load, measure(load, chunks=chunks, seed=seed))]
    raise typer.Exit(0 if show(f"On {where}", rows) else 1)


if __name__ == "__main__":
    typer.run(main)
