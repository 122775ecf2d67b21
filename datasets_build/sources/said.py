"""What a sidecar file says, before it meets a video: timed rows, and what in the file could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["caption", "label", "word", "qa", "box"]
Clock = Literal["video", "container"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One timed text in nanoseconds of the sheet's clock.

    `where` names it inside its file for people (`cue 3 (line 9)`); an instant has `is_point` and `start_ns == end_ns`.
    `is_whole` is said of all of the video, whatever its length. `note` tells what was read with some freedom.
    """

    where: str
    start_ns: int
    end_ns: int
    text: str
    kind: Kind = "caption"
    label: str | None = None
    language: str | None = None
    subject: str | None = None
    confidence: float | None = None
    is_point: bool = False
    is_whole: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a sidecar that could not be used: a short code, and what was found and expected."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A sidecar's content in file order.

    Args:
        rows: what could be read.
        faults: what could not.
        clock: `video` times count from the first shown frame, `container` times are on the file's own timeline.
        duration_ns: how long the sheet says its video is, None when it does not say.
        video_sha256: the digest of the one video that the sheet describes, None when it does not say.
        overrun_ns: a row may reach this far out of the video and is cut; further and its unit is in doubt. None cuts
            any row that shares an instant with the video.
    """

    rows: tuple[Said, ...] = ()
    faults: tuple[Fault, ...] = ()
    clock: Clock = "video"
    duration_ns: int | None = None
    video_sha256: str | None = None
    overrun_ns: int | None = None
