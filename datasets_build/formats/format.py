"""What a format is: which datasets it holds, and a function that writes talks into a folder and tells what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field, field_validator

from datasets_build.core.clock import FrameClock
from datasets_build.core.config import Config
from datasets_build.core.files import DataError
from datasets_build.core.records import Reject, Video
from datasets_build.core.views import parse_grid
from datasets_build.formats.loss import LossReport
from datasets_build.formats.steps import Talk

Dataset = Literal["streaming_qa", "frame_events", "dialogue"]


class FormatError(DataError):
    """Records that cannot be written in a format, or files that cannot be read as one."""


class Options(Config):
    """How talks are written.

    Attributes:
        fps: the grid: `native` or frames per second as text.
        size: the longest side of a frame in pixels; None for the video's own size. Frames are never made larger.
        quality: of the JPEG files, 1 to 95.
        max_steps: the most steps of a sample; longer talks are cut into windows. None cuts nothing.
        shard: samples in a file of the formats that have many (webdataset, trl, hf).
        layout: `steps` has an assistant's message after every frame; `turns` only where something is said.
        silence: what the assistant's message says where it is silent, `standby` where it waits for an answer to come,
            and `respond` what stands before its words, all in the layout `steps`.
    """

    fps: str = "2"
    size: int | None = Field(default=None, ge=16)
    quality: int = Field(default=90, ge=1, le=95)
    max_steps: int | None = Field(default=None, ge=1)
    shard: int = Field(default=256, ge=1)
    layout: Literal["steps", "turns"] = "steps"
    silence: str = Field(default="</Silence>", min_length=1)
    standby: str = Field(default="</Standby>", min_length=1)
    respond: str = "</Response> "

    @field_validator("fps")
    @classmethod
    def _grid(cls, value: str) -> str:
        parse_grid(value)
        return value

    @property
    def rate(self) -> Fraction | None:
        """The grid's rate; None for every frame."""
        return parse_grid(self.fps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reel:
    """A video with all talks over it; `path` is its file."""

    video: Video
    clock: FrameClock
    path: Path
    talks: tuple[Talk, ...]


@dataclass(slots=True, kw_only=True)
class Job:
    """What a format writes to and tells.

    Attributes:
        folder: where the files go; it appears under its own name once all is written.
        work: for parts of a run that may be killed; what lies here is found again when the command is repeated.
        options: how talks are written.
        losses: what the format cannot hold.
        rejects: what is left out, and why.
        counts: what the export holds, for the manifest.
    """

    folder: Path
    work: Path
    options: Options
    losses: LossReport
    rejects: list[Reject] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class Format(Protocol):
    """One format; implementations are modules that have these names, chosen by `export.FORMATS`."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """What the command line calls it."""

    @property
    def DATASETS(self) -> frozenset[Dataset]:  # noqa: N802
        """Which datasets it holds."""

    @property
    def HOW(self) -> tuple[str, ...]:  # noqa: N802
        """What a user of the files must do and know, a paragraph each, for the export's README."""

    def write(self, reels: Iterable[Reel], job: Job) -> None:
        """Write all talks of all videos, which come in index order, into `job.folder`.

        Raises:
            FormatError: something cannot be written and may not be left out.
        """
