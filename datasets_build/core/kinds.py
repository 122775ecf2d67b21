"""Every kind of record by its name, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping

from datasets_build.core.augmentation import Augmentation
from datasets_build.core.perceived import Keyframe, Scene, Shot, Signals
from datasets_build.core.records import Annotation, Dialogue, Event, FrameLabel, Json, Part, Record, StreamingQA, Video


def json_schema(model: type[Part]) -> Mapping[str, Json]:
    """The JSON Schema of a record kind."""
    schema: Mapping[str, Json] = model.model_json_schema()
    return schema


KINDS: dict[str, type[Record]] = {
    "video": Video,
    "shot": Shot,
    "scene": Scene,
    "keyframe": Keyframe,
    "signals": Signals,
    "annotation": Annotation,
    "event": Event,
    "frame_label": FrameLabel,
    "streaming_qa": StreamingQA,
    "dialogue": Dialogue,
    "augmentation": Augmentation,
}
