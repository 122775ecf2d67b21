"""The records of what is seen in a video: shots, scenes, keyframes and signals, and what found them."""

from __future__ import annotations

from typing import Literal

from datasets_build.core.records import Float16, Float32, Many, Ns, Parameter, Part, Record, SpanRecord


class Detector(Part):
    """What found a shot or a scene, with its setting and the decoder that fed it."""

    name: str
    version: str
    decoder: str
    parameters: Many[Parameter] = ()


class Shot(SpanRecord):
    """A run of frames between two transitions; `transition` says how it begins, and in which span it came about.

    The span of a cut is empty. A shot begins in the middle of a gradual one: its span reaches into both shots.
    """

    ordinal: int
    start_frame: int
    end_frame: int
    transition: Literal["first", "cut", "dissolve", "fade_to_black", "fade_from_black", "fade_through"]
    transition_start_ns: Ns
    transition_end_ns: Ns
    score: float
    detector: Detector


class Embedder(Part):
    """What measured novelty and likeness: a CLIP model, how it saw and in what numbers, or the signature."""

    name: str
    weights: str
    weights_sha256: str | None = None
    preprocess_sha256: str | None = None
    precision: Literal["fp32", "bf16", "int8"] | None = None
    is_semantic: bool


class Scene(SpanRecord):
    """Shots in a row that show one continuous scene; `embedder` and `detector` say by what they were joined."""

    ordinal: int
    start_frame: int
    end_frame: int
    shot_ids: Many[str]
    embedder: Embedder
    detector: Detector


class Keyframe(Record):
    """A chosen frame with its embedding and a small picture (JPEG, upright)."""

    shot_id: str
    t_ns: Ns
    frame_index: int
    reason: Literal["first", "novelty", "change", "gap", "human"]
    novelty: float
    embedder: Embedder
    embedding: Many[Float16]
    jpeg: bytes


class Signals(Record):
    """A stretch of measured signals, one value per sampled frame; stretches of a video follow each other in order.

    `luma` 0..1 mean brightness; `contrast` 0..1 spread of brightness; `motion` 0..1 mean absolute change since the
    previous sample; `local_motion` the same for the most changed of 16 × 16 cells (empty: not measured); `complexity`
    0..1 edge density; `pan_x`, `pan_y` camera movement in picture widths and heights per second (positive = the view
    moves right, down); `zoom` relative growth of the picture per second, a lower bound.
    """

    ordinal: int
    t_ns: Many[int]
    luma: Many[Float32]
    contrast: Many[Float32]
    motion: Many[Float32]
    complexity: Many[Float32]
    pan_x: Many[Float32]
    pan_y: Many[Float32]
    zoom: Many[Float32]
    local_motion: Many[Float32] = ()
