"""Finished output folders to augment: short drawn videos with all datasets, made by the builders in this process."""

import hashlib
from contextlib import contextmanager

import pytest

from augment.folder import apply
from augment.settings import Pipeline
from augment.source import Source
from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.frame_events import FrameEventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.augmentation import Augmentation
from datasets_build.core.files import sha256_file
from datasets_build.core.records import DecoderTrust
from datasets_build.core.stage import Stage
from datasets_build.core.table import read_table
from datasets_build.video import probe
from tests.augment.clips import BRISK
from tests.builders.made import lively, write_out
from tests.drawn import NTSC, PAL, VideoSpec, draw_video

SIZE = (64, 48)


def drawn(folder, name, *, seconds=12, split="train", seed=0):
    """A lively video whose file is really there: every frame bears its number."""
    scene = lively(name, seconds=seconds, seed=seed, split=split)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / scene.video.uri
    rate = PAL if int(scene.clock.pts[1]) == 3600 else NTSC
    draw_video(path, VideoSpec(rate=rate, frames=len(scene.clock), size=SIZE))
    found = probe(path)
    changes = {
        "sha256": sha256_file(path), "bytes": path.stat().st_size, "n_frames": len(found.clock),
        "duration_ns": found.clock.end_ns, "time_base_num": found.time_base.numerator,
        "time_base_den": found.time_base.denominator, "width": SIZE[0], "height": SIZE[1],
        "decoders": tuple(DecoderTrust(name=name, trusted=True) for name in ("pyav", "decord")),
    }  # fmt: skip
    scene.video = scene.video.model_copy(update=changes)
    scene.clock = found.clock
    # Nothing is said to happen behind the video's end.
    scene.annotations = [row for row in scene.annotations if row.end_ns <= scene.clock.end_ns]
    return scene


def finished(
    out, *, splits=("train", "train", "test"), seconds=12, qa=True, frames=True, talk=True, teacher="template"
):
    """An output folder of drawn videos, one for each split named."""
    scenes = [
        drawn(out / "videos", f"clip-{k}", split=split, seed=k, seconds=seconds) for k, split in enumerate(splits)
    ]
    write_out(out, scenes)
    build_events(out, EventsConfig())
    if qa:
        build_streaming_qa(out, StreamingQAConfig(teacher=teacher))
    if frames:
        build_frame_events(out, FrameEventsConfig(fps=("2",)))
    if talk:
        # Even a short video has several exchanges, so that some are left when much of it is cut away.
        build_dialogue(out, DialogueConfig(teacher=teacher, per_minute=24.0, speech=BRISK))
    return out


def applied(parent, out, *operations, force=False, **pipeline):
    """What `apply` says that it has written."""
    return apply(Source.open(parent), out, Pipeline(operations=operations, **pipeline), force=force)


def tree(out):
    """A digest of every file below a folder, hidden ones and names of empty folders too, by its relative path."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def stamps(out):
    """When each file below a folder was written, by its relative path."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in sorted(out.rglob("*")) if path.is_file()}


def maps_of(out):
    """The maps of an augmented folder."""
    return list(read_table(out / "augment" / "augmentations.parquet", Augmentation))


@contextmanager
def stopped_after(count, monkeypatch):
    """A run that ends where the stage behind so many finished ones would be; gives the names of those."""
    commit, done = Stage.commit, []

    def stop(self, **more):
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(self.name)
        commit(self, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Stage, "commit", stop)
        with pytest.raises(KeyboardInterrupt):
            yield done
