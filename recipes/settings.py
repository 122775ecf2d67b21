"""All settings of a run in one object: one YAML file names the data, the model, the layout and each stage."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from augment.settings import Pipeline
from datasets_build.core.config import Config
from models.layouts import LAYOUTS
from recipes.losses.settings import InteractionLoss, Losses

StageName = Literal["align", "stream", "interact"]
STAGES: tuple[StageName, StageName, StageName] = ("align", "stream", "interact")
Train = Literal["full", "lora", "frozen"]
# What a stage can show: its own sources and those of the stages before it, which it may go on with.
_ALIGN = ("captions", "frame_events", "moments", "sliding_window")
_STREAM = (*_ALIGN, "incremental", "realtime")
_INTERACT = (*_STREAM, "dialogue", "preference")


class MadeConfig(Config):
    """Sizes of a model from nothing; widths in channels, `patch` and `window` in pixels."""

    vocabulary: int = Field(default=640, ge=300)
    layers: int = Field(default=4, ge=1)
    width: int = Field(default=128, ge=32, multiple_of=32)
    heads: int = Field(default=4, ge=1)
    key_value_heads: int = Field(default=2, ge=1)
    mlp: int = Field(default=384, ge=32)
    vision_depth: int = Field(default=4, ge=1)
    vision_width: int = Field(default=128, ge=32)
    vision_heads: int = Field(default=4, ge=1)
    vision_mlp: int = Field(default=256, ge=32)
    patch: int = Field(default=14, ge=2)
    window: int = Field(default=56, ge=4)


class ModelConfig(Config):
    """Which model training begins with: a checkpoint (`source`, a folder or a name on the hub), or one from nothing.

    `revision` is the hub's. `dtype` is that of the weights. `checkpointing` computes activations of the decoder anew in
    the backward pass.
    """

    family: Literal["qwen2_5_vl", "qwen2_5_omni", "qwen3_vl"] = "qwen2_5_vl"
    source: str | None = None
    revision: str | None = None
    made: MadeConfig | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    attention: Literal["sdpa", "eager"] = "sdpa"
    checkpointing: bool = False

    @model_validator(mode="after")
    def _one(self) -> ModelConfig:
        if (self.source is None) == (self.made is None):
            raise ValueError("found both or neither of source and made, expected exactly one")
        return self


class DataConfig(Config):
    """Which records and frames.

    `folders` are outputs of `datasets_build`. `fps` frames a second are seen, as a fraction such as `2` or
    `30000/1001`; frames further apart than `max_gap_s` share no grid. A frame takes at most `max_pixels`. Frames and
    features are kept in `cache`; empty: beside the run. A run ends where more than `max_skipped` of its samples cannot
    be decoded. `workers` threads make batches ahead.
    """

    folders: tuple[str, ...] = Field(min_length=1)
    fps: str = "2"
    max_gap_s: float = Field(default=2.0, gt=0)
    min_pixels: int | None = Field(default=None, ge=1)
    max_pixels: int | None = Field(default=None, ge=1)
    decoder: Literal["decord", "pyav", "torchcodec"] = "decord"
    cache: str = ""
    max_skipped: float = Field(default=0.02, ge=0, le=1)
    workers: int = Field(default=1, ge=0)

    @field_validator("folders")
    @classmethod
    def _once(cls, folders: tuple[str, ...]) -> tuple[str, ...]:
        resolved = [Path(folder).resolve() for folder in folders]
        again = sorted({str(folder) for folder in resolved if resolved.count(folder) > 1})
        if again:
            raise ValueError(f"found {again[0]} more than once, expected each folder once")
        return folders

    @field_validator("fps")
    @classmethod
    def _rate(cls, text: str) -> str:
        try:
            rate = Fraction(text)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if rate <= 0:
            raise ValueError(f"found {text!r}, expected frames per second such as '2' or '30000/1001'")
        return text


class ModuleConfig(Config):
    """How a part of the model trains, and its learning rate."""

    train: Train = "frozen"
    lr: float = Field(default=1e-5, ge=0)


class ModulesConfig(Config):
    """The freeze map.

    `merger` is all that leads from vision to language; `head` is the output projection where it is not tied to the
    embeddings, which belong to `language`. `lora_rank` and `lora_alpha` count where a part is `lora`.
    """

    vision: ModuleConfig = ModuleConfig()
    merger: ModuleConfig = ModuleConfig(train="full")
    language: ModuleConfig = ModuleConfig(train="full")
    head: ModuleConfig = ModuleConfig(train="full")
    lora_rank: int = Field(default=16, ge=1)
    lora_alpha: float = Field(default=32.0, gt=0)


class OptimConfig(Config):
    """AdamW and its schedule.

    The rate rises over the first `warmup`, a share of all steps, and then follows `schedule` down to `least`, a share
    of the greatest rate. `clip` bounds the norm of all gradients.
    """

    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: float = Field(default=0.03, ge=0, le=1)
    least: float = Field(default=0.0, ge=0, le=1)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)


class PackConfig(Config):
    """A step takes `rows` rows of at most `tokens` tokens, over all processes; `micro` of them go through together."""

    tokens: int = Field(default=4096, ge=16)
    rows: int = Field(default=8, ge=1)
    micro: int = Field(default=1, ge=1)


class StageConfig(Config):
    """What all stages share. `mix` weighs sources of examples by name; a source that is not named is left out.

    Every stage has its own `sources`, and refuses others. At least one loss counts from step 0 on.

    `begins` names the step from which a source is learned, where that is not the first: what moves is learned sooner by
    a model that knows what it looks at.

    `begin_with` is the stage or package that it goes on from: `base` is the model of the run. A checkpoint is saved
    every `save_every` steps and the newest `keep` stay.

    `augment` is a pipeline of `augment.settings`: augmented copies of the training videos are learned too.
    """

    sources: ClassVar[tuple[str, ...]] = ()

    steps: int = Field(default=1000, ge=0)
    begin_with: str = "base"
    modules: ModulesConfig = ModulesConfig()
    optim: OptimConfig = OptimConfig()
    pack: PackConfig = PackConfig()
    losses: Losses = Losses()
    mix: dict[str, float] = Field(default_factory=dict)
    begins: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    window_s: float = Field(default=24.0, gt=0)
    save_every: int = Field(default=200, ge=1)
    keep: int = Field(default=2, ge=1)
    log_every: int = Field(default=10, ge=1)
    augment: Pipeline | None = None

    @field_validator("mix")
    @classmethod
    def _weights(cls, mix: dict[str, float]) -> dict[str, float]:
        unknown = [source for source in mix if source not in cls.sources]
        if unknown:
            raise ValueError(
                f"no source of this stage is {', '.join(unknown)}, expected some of {', '.join(cls.sources)}"
            )
        if any(weight < 0 for weight in mix.values()) or not any(mix.values()):
            raise ValueError(f"found {mix}, expected weights of 0 or more, one of them above 0")
        return mix

    @model_validator(mode="after")
    def _first(self) -> StageConfig:
        weighed = {source for source, weight in self.mix.items() if weight}
        absent = sorted(set(self.begins) - weighed)
        if absent:
            raise ValueError(
                f"begins: {', '.join(absent)} has no weight in mix; give it one, or leave it out of begins"
            )
        if all(self.begins.get(source, 0) for source in weighed):
            raise ValueError(f"begins: found {self.begins}, expected a source of mix that is learned from step 0 on")
        return self

    @model_validator(mode="after")
    def _learns(self) -> StageConfig:
        # Weights only rise with their ramps: one that counts at first counts at all steps.
        if not any(self.losses.scales(0).values()):
            raise ValueError("losses: none counts at step 0, expected one with a weight above 0 and no ramp before it")
        return self


class AlignConfig(StageConfig):
    """Stage 1.

    Sources: `captions` (what an event looks like, after it), `frame_events` (what is on at a grid) and `moments` (what
    the picture shows, at every grid at which a streaming question's answer is true); `sliding_window` as in stage 2.
    """

    sources: ClassVar[tuple[str, ...]] = _ALIGN

    mix: dict[str, float] = Field(default={"captions": 1.0, "frame_events": 1.0})


class StreamConfig(StageConfig):
    """Stage 2.

    Sources: `sliding_window`, `incremental`, `realtime`, three ways to show streaming questions, and those of stage 1.

    A sliding window is `window_s` long and shares `overlap_s` with the one before, in which nothing is learned; the
    last `sink_rounds` rounds before it stand in it as text. A conversation in windows learns at most `rounds`
    questions; a video with more is shown in several. `incremental` carries the cache over windows of `carry_s`.
    `realtime` decides after every grid; of the questions in one example, at most `standing` wait for an answer at a
    time. Of the decisions before the first of them is asked, a share of `idle` is learned: silence is right there, and
    learned soon. A share of `late` of what is said in `realtime` is said a grid later than it could be, as often as
    that is in time: a model that missed the moment has then learned to speak yet. What comes late may come after the
    next question of the same example was asked. A share of `twins` of the questions beside the stream is asked once
    more one grid later.
    """

    sources: ClassVar[tuple[str, ...]] = _STREAM

    begin_with: str = "align"
    mix: dict[str, float] = Field(
        default={"sliding_window": 1.0, "incremental": 1.0, "realtime": 2.0, "frame_events": 0.5}
    )
    overlap_s: float = Field(default=12.0, ge=0)
    sink_rounds: int = Field(default=4, ge=0)
    rounds: int = Field(default=16, ge=1)
    carry_s: float = Field(default=12.0, gt=0)
    max_s: float = Field(default=120.0, gt=0)
    standing: int = Field(default=2, ge=1)
    idle: float = Field(default=0.25, ge=0, le=1)
    late: float = Field(default=0.0, ge=0, lt=1)
    twins: float = Field(default=0.25, ge=0, le=1)

    @model_validator(mode="after")
    def _overlap(self) -> StreamConfig:
        if self.overlap_s >= self.window_s:
            raise ValueError(f"overlap_s is {self.overlap_s}, expected less than window_s, {self.window_s}")
        return self


class InteractConfig(StageConfig):
    """Stage 3. Sources: `dialogue`, `preference`: pairs of traces of which one is better, and those of stages 1 and 2.

    Pairs teach by the interaction loss alone, which is on by default here; without it they are refused.
    `feedback` is the share of dialogues in which an earlier reply was wrong and the user says so. `rejects` names how
    the worse trace of a pair is made: `early`, `late`, `chatter`, `missed`, `wrong`, `barge_in`, `frames`.
    """

    sources: ClassVar[tuple[str, ...]] = _INTERACT

    begin_with: str = "stream"
    losses: Losses = Losses(interaction=InteractionLoss(weight=0.5))
    mix: dict[str, float] = Field(default={"dialogue": 1.0, "preference": 1.0})
    window_s: float = Field(default=60.0, gt=0)
    feedback: float = Field(default=0.2, ge=0, le=1)
    rejects: tuple[Literal["early", "late", "chatter", "missed", "wrong", "barge_in", "frames"], ...] = (
        "early",
        "late",
        "chatter",
        "missed",
        "wrong",
        "barge_in",
    )

    @model_validator(mode="after")
    def _pairs(self) -> InteractConfig:
        weight = self.mix.get("preference", 0.0)
        if weight and not self.losses.interaction.weight:
            raise ValueError(
                f"mix.preference is {weight} and losses.interaction.weight is 0: its pairs would be shown and teach "
                "nothing; give that loss a weight such as 0.5, or leave preference out of the mix"
            )
        if weight and not self.rejects:
            raise ValueError(
                f"mix.preference is {weight} and rejects is empty: there are no pairs; name some of early, late, "
                "chatter, missed, wrong, barge_in and frames, or leave preference out of the mix"
            )
        return self


class EvaluateConfig(Config):
    """How a model is scored: on which split, on how many videos (0: all), how long an answer may be.

    A decision is right within `early_s` before and `late_s` after the window of what it answers to.
    """

    split: Literal["validation", "test"] = "test"
    videos: int = Field(default=0, ge=0)
    max_new_tokens: int = Field(default=24, ge=1)
    threshold: float | None = Field(default=None, ge=0, le=1)
    early_s: float = Field(default=0.0, ge=0)
    late_s: float = Field(default=0.0, ge=0)
    tious: tuple[float, ...] = (0.3, 0.5, 0.7)


class ServeConfig(Config):
    """What a package says about how it is streamed; the rest are the session's defaults."""

    memory: Literal["all", "window", "star_stream", "clusters", "retrieval"] = "star_stream"
    window_s: float | None = Field(default=60.0, gt=0)
    slots: int = Field(default=8192, ge=1)
    history_rounds: int = Field(default=10, ge=0)
    max_new_tokens: int = Field(default=64, ge=1)


class RunConfig(Config):
    """A run: `out` is its folder, `seed` decides all that is random, `threads` are those of each process (0: of torch).

    `peak_tflops` is what the device can do, for utilisation in the log; 0 takes it from the data sheet of a GPU that is
    known, or measures it at the start; the log says which. `license` is that of the weights, which the base model
    passes on.
    """

    name: str = "run"
    out: str = "out/run"
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0)
    peak_tflops: float = Field(default=0.0, ge=0)
    license: str = "unknown"
    layout: str = "branch"
    system_prompt: str = "You are a helpful assistant."
    model: ModelConfig
    data: DataConfig
    align: AlignConfig = AlignConfig()
    stream: StreamConfig = StreamConfig()
    interact: InteractConfig = InteractConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    serve: ServeConfig = ServeConfig()

    @field_validator("layout")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in LAYOUTS:
            raise ValueError(f"found {name!r}, expected one of {', '.join(LAYOUTS)}")
        return name

    @model_validator(mode="after")
    def _in_order(self) -> RunConfig:
        for place, name in enumerate(STAGES):
            begin = self.stage(name).begin_with
            if begin in STAGES[place:]:
                raise ValueError(f"{name}.begin_with is {begin}, expected base, an earlier stage or a package's folder")
        return self

    def stage(self, name: StageName) -> StageConfig:
        """The settings of a stage."""
        if name == "align":
            return self.align
        return self.stream if name == "stream" else self.interact
