"""Augmented videos among those that are learned: made when the corpus is opened, their frames read through the maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

from augment.clip import Augmented, Clip
from augment.errors import AugmentError
from augment.maker import Maker
from augment.settings import Pipeline
from augment.showing import Reel, Showing, is_augmented
from augment.source import Source, by_size
from datasets_build.core.layout import video_path
from models.errors import FrameError
from models.patches import FrameFormat
from recipes.data.corpus import Corpus, Material, Unused
from recipes.data.footage import Footage
from recipes.errors import CorpusError
from recipes.settings import DataConfig


def with_augmented(corpus: Corpus, config: DataConfig, frames: FrameFormat, pipeline: Pipeline) -> Corpus:
    """A corpus with augmented copies of its training videos behind them.

    Args:
        corpus: of the same configuration.
        config: which folders, and how their frames are seen.
        frames: how large a grid a frame gives.
        pipeline: what is done to the videos.

    Raises:
        CorpusError: nothing can be made of any of them, or a folder is augmented already.
    """
    unused = list(corpus.unused)
    train = list(corpus.materials["train"])
    for folder in map(Path, config.folders):
        if is_augmented(folder):
            raise CorpusError(
                f"{folder}: is augmented already; leave augment out, or name the folder that it came from"
            )
        train += _made(folder, config, frames, pipeline, unused)
    if len(train) == len(corpus.materials["train"]):
        told = unused[len(corpus.unused) :]
        why = f", such as of {told[0].uri}: {told[0].reason}" if told else "; chance did nothing to any, raise p"
        raise CorpusError(f"augment: nothing is made of any video{why}")
    return Corpus({**corpus.materials, "train": tuple(train)}, unused)


def _made(
    folder: Path, config: DataConfig, frames: FrameFormat, pipeline: Pipeline, unused: list[Unused]
) -> Iterator[Material]:
    source = Source.open(folder)
    clips = [clip for clip in source.clips() if clip.video.split == "train"]
    maker = Maker(
        pipeline=pipeline,
        rules=source.rules("streaming_qa"),
        talk_rules=source.rules("dialogue"),
        others=by_size(clips),
    )
    reels = {
        clip.video.id: Reel(video=clip.video, path=video_path(folder, clip.video), clock=clip.clock) for clip in clips
    }
    for clip in clips:
        for copy, camera in product(range(pipeline.copies), range(pipeline.views)):
            try:
                made = maker.make(clip, copy, camera)
                if made is not None:
                    yield _material(made, clip, reels, config, frames)
            except (AugmentError, FrameError) as error:
                unused.append(Unused(video_id=clip.video.id, uri=f"{clip.video.uri}, copy {copy}", reason=str(error)))


def _material(
    made: Augmented, clip: Clip, reels: Mapping[str, Reel], config: DataConfig, frames: FrameFormat
) -> Material:
    own = made.clip
    footage = Footage.of(
        own.video, reels[clip.video.id].path, own.clock, fps=config.fps, max_gap_s=config.max_gap_s, frames=frames
    )
    shown = {piece.source: reels[piece.source] for piece in made.view.pieces}
    return Material(
        footage=replace(footage, showing=Showing(view=made.view, reels=shown, looks=made.looks)),
        questions=tuple(sorted(own.questions, key=lambda row: (row.ask_ns, row.id))),
        events=tuple(own.events),
        annotations=tuple(sorted(own.annotations, key=lambda row: (row.start_ns, row.id))),
        dialogues=tuple(own.dialogues),
    )
