"""A small output folder of `datasets_build`, made by its own builders over made records, and what training needs."""

from functools import cache
from pathlib import Path

import torch

from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.frame_events import FrameEventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.files import sha256_file
from datasets_build.video import probe
from models.backbone import family_of
from models.layouts import LAYOUTS
from models.patches import FrameFormat
from models.tiny import byte_tokenizer, special, tiny_config, tiny_processor
from recipes.data.corpus import Corpus, Material
from recipes.data.rows import Format
from recipes.data.script import Desk, Left, Writer
from recipes.settings import DataConfig, MadeConfig, ModelConfig, RunConfig
from tests.builders.made import lively, write_out
from tests.drawn import NTSC, PAL, VideoSpec, draw_video

SECOND = 1_000_000_000
DECISIONS = (special("<|silence|>"), special("<|standby|>"), special("<|respond|>"))
SEEDS = {"train": range(2), "validation": range(1), "test": range(1)}


def frame_format(family="qwen2_5_vl", **bounds):
    return FrameFormat.from_processor(tiny_processor(family), family_of(tiny_config(family)), **bounds)


def build(out: Path, scenes) -> Path:
    """Index and perception as given, all datasets by the real builders, and a file of the right size for each video."""
    write_out(out, scenes)
    build_events(out, EventsConfig())
    build_streaming_qa(out, StreamingQAConfig())
    build_frame_events(out, FrameEventsConfig(fps=("2",)))
    build_dialogue(out, DialogueConfig())
    (out / "videos").mkdir(exist_ok=True)
    for scene in scenes:
        path = out / "videos" / scene.video.uri
        if not path.exists():
            path.write_bytes(bytes(scene.video.bytes))
    return out


def made_scenes():
    """Four videos of 16 s in which a lot happens, without pictures."""
    return [
        fitted(lively(f"{split}-{seed}", seconds=16.0, seed=seed, split=split))
        for split, seeds in SEEDS.items()
        for seed in seeds
    ]


def fitted(scene):
    """Without what is said to happen behind the video's end."""
    scene.annotations = [row for row in scene.annotations if row.end_ns <= scene.clock.end_ns]
    return scene


def drawn_scene(folder: Path, name: str, *, frames: int = 300, split="train", seed=0):
    """A lively video whose file is really there: every frame bears its number."""
    scene = lively(name, seconds=frames / 25, seed=seed, split=split)
    path = folder / scene.video.uri
    folder.mkdir(parents=True, exist_ok=True)
    rate = PAL if int(scene.clock.pts[1]) == 3600 else NTSC
    draw_video(path, VideoSpec(rate=rate, frames=len(scene.clock), size=(64, 48)))
    found = probe(path)
    changes = {
        "sha256": sha256_file(path), "bytes": path.stat().st_size, "n_frames": len(found.clock),
        "duration_ns": found.clock.end_ns, "time_base_num": found.time_base.numerator,
        "time_base_den": found.time_base.denominator, "width": 64, "height": 48,
    }  # fmt: skip
    scene.video = scene.video.model_copy(update=changes)
    scene.clock = found.clock
    return fitted(scene)


def data_config(*folders, **more):
    return DataConfig(folders=tuple(str(folder) for folder in folders), **more)


def run_config(*folders, **more):
    return RunConfig(model=ModelConfig(made=MadeConfig()), data=data_config(*folders), **more)


def open_corpus(*folders, needs=("streaming_qa", "frame_events", "dialogue"), **more) -> Corpus:
    return Corpus.open(data_config(*folders, **more), frame_format(), needs=needs)


@cache
def writer(layout="branch", family="qwen2_5_vl") -> Writer:
    return Writer.of(
        byte_tokenizer(family),
        family_of(tiny_config(family)),
        LAYOUTS[layout],
        decision_ids=DECISIONS,
        system_prompt="You are a helpful assistant.",
    )


def desk(*, limit=100_000, seed=0, layout="branch") -> Desk:
    return Desk(writer=writer(layout), limit=limit, left=Left(), seed=seed)


def how(layout="branch", family="qwen2_5_vl") -> Format:
    return Format(
        layout=LAYOUTS[layout],
        clock=family_of(tiny_config(family)).clock,
        frames=frame_format(family),
        decision_ids=DECISIONS,
        pad_id=special("<|endoftext|>"),
    )


def gradient(height, width, *, seed=0, frames=2):
    """Pictures without two equal pixels side by side."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, height, width, 3), generator=generator, dtype=torch.uint8)


def material_of(corpus: Corpus, *, split="train", place=0) -> Material:
    return corpus.materials[split][place]
