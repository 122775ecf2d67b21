"""What the page's script needs to draw one video: small pictures, thinned curves, records; as JSON safe inside HTML."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from PIL import Image, UnidentifiedImageError

from datasets_build.core.layout import video_path
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.records import Dialogue, Event, Many, Part, StreamingQA, Video

P = TypeVar("P", bound=Part)
CURVE_POINTS = 600
CURVE_WIDTH, CURVE_HEIGHT = 10_000, 100
JPEG_QUALITY = 72
CURVES: dict[str, Callable[[Signals], Sequence[float]]] = {
    "luma": lambda part: part.luma,
    "motion": lambda part: part.motion,
    "complexity": lambda part: part.complexity,
}
# JSON's own syntax holds none of these, so each stands inside a string, where an escape means the same.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
_MADE_BY = {"inputs", "prompt_sha256", "seed", "round", "made_at"}
_UNSHOWN: dict[str, Any] = {
    "shots": {"__all__": {"video_id", "detector"}},
    "events": {"__all__": {"video_id": True, "provenance": _MADE_BY}},
    "questions": {"__all__": {"video_id": True, "provenance": _MADE_BY}},
    "dialogues": {"__all__": {"video_id": True, "provenance": _MADE_BY}},
}


@dataclass(frozen=True, slots=True)
class Detail:
    """One video with its rows of every stage; None where the stage has not been run."""

    video: Video
    shots: Sequence[Shot] | None = None
    keyframes: Sequence[Keyframe] | None = None
    signals: Sequence[Signals] | None = None
    events: Sequence[Event] | None = None
    questions: Sequence[StreamingQA] | None = None
    dialogues: Sequence[Dialogue] | None = None


class Picture(Part):
    """A keyframe on the page; `jpeg` is base64, None when the page's limit left the picture out."""

    t_ns: int
    frame_index: int
    reason: str
    novelty: float
    jpeg: str | None


class Curve(Part):
    """A signal as the `points` of an SVG polyline in a box of 10000 × 100; `top` is the value at the upper edge."""

    name: str
    top: float
    points: str


class Payload(Part):
    """Everything that the script draws for one video. `src` is a URL relative to the page."""

    name: str
    src: str
    format: str
    duration_ns: int
    offset_ns: int
    width: int
    height: int
    shots: Many[Shot] | None
    pictures: Many[Picture] | None
    curves: Many[Curve] | None
    events: Many[Event] | None
    questions: Many[StreamingQA] | None
    dialogues: Many[Dialogue] | None


def relative_url(out: Path, video: Video) -> str:
    """The URL from `OUT/report.html` to a video's file: relative, percent-quoted, `/` between its steps."""
    # Lexical on purpose: a browser resolves `..` by the text of the address, not by what links point to.
    target, start = os.path.abspath(video_path(out, video)), os.path.abspath(out)  # noqa: PTH100
    return quote(Path(os.path.relpath(target, start)).as_posix(), safe="/")


def shown_size(video: Video) -> tuple[int, int]:
    """`(width, height)` on screen: upright, and with square pixels."""
    width, height = video.width * video.sar_num / max(1, video.sar_den), float(video.height)
    if video.rotation_deg in (90, 270):
        width, height = height, width
    return max(1, round(width)), max(1, round(height))


def small_jpeg(content: bytes, longest: int) -> bytes | None:
    """A JPEG whose longer side has at most `longest` pixels; None when the bytes hold no picture."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.format == "JPEG" and max(picture.size) <= longest:
                return content
            small = picture.convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None
    small.thumbnail((longest, longest))
    aside = io.BytesIO()
    small.save(aside, "JPEG", quality=JPEG_QUALITY)
    return aside.getvalue()


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` of the indices `0..count-1`, evenly spread, the first always among them."""
    if count <= limit:
        return list(range(count))
    return [k * count // limit for k in range(limit)]


def pictures(keyframes: Sequence[Keyframe], *, limit: int, longest: int) -> list[Picture]:
    """Keyframes for the page: every one with its time, at most `limit` with their picture."""
    chosen = set(spread(len(keyframes), limit))
    out = []
    for k, row in enumerate(keyframes):
        jpeg = small_jpeg(row.jpeg, longest) if k in chosen else None
        text = base64.b64encode(jpeg).decode("ascii") if jpeg is not None else None
        out.append(
            Picture(t_ns=row.t_ns, frame_index=row.frame_index, reason=row.reason, novelty=row.novelty, jpeg=text)
        )
    return out


def thin(values: Sequence[float], limit: int) -> list[int]:
    """At most `limit` indices of the finite values that keep every stretch's lowest and highest, in order."""
    finite = [k for k, value in enumerate(values) if math.isfinite(value)]
    if len(finite) <= limit:
        return finite
    kept: set[int] = set()
    stretches = max(1, limit // 2)
    for k in range(stretches):
        part = finite[k * len(finite) // stretches : (k + 1) * len(finite) // stretches]
        kept |= {min(part, key=values.__getitem__), max(part, key=values.__getitem__)}
    return sorted(kept)


def curve(name: str, signals: Sequence[Signals], duration_ns: int) -> Curve:
    """One signal of a video, thinned to 600 points; brightness spans 0..1, the others reach up to their highest."""
    times = [t for part in signals for t in part.t_ns]
    values: list[float] = [value for part in signals for value in CURVES[name](part)]
    kept = thin(values, CURVE_POINTS)
    top = 1.0 if name == "luma" else max((values[k] for k in kept), default=0.0) or 1.0
    points = []
    for k in kept:
        x = times[k] * CURVE_WIDTH // max(1, duration_ns)
        points.append(f"{x},{CURVE_HEIGHT - round(CURVE_HEIGHT * values[k] / top)}")
    return Curve(name=name, top=round(top, 4), points=" ".join(points))


def payload_of(detail: Detail, *, src: str, max_pictures: int, picture_px: int) -> Payload:
    """Collect what the script draws for one video."""
    video = detail.video
    width, height = shown_size(video)
    shown = None
    if detail.keyframes is not None:
        shown = tuple(pictures(detail.keyframes, limit=max_pictures, longest=picture_px))
    curves = None
    if detail.signals is not None:
        curves = tuple(curve(name, detail.signals, video.duration_ns) for name in CURVES)
    return Payload(
        name=video.uri,
        src=src,
        format=f"{video.container}, {video.codec}",
        duration_ns=video.duration_ns,
        # A player counts from the container's own zero, which may lie before the first frame.
        offset_ns=max(0, video.start_offset_ns),
        width=width,
        height=height,
        shots=_tuple(detail.shots),
        pictures=shown,
        curves=curves,
        events=_tuple(detail.events),
        questions=_tuple(detail.questions),
        dialogues=_tuple(detail.dialogues),
    )


def _tuple(rows: Sequence[P] | None) -> tuple[P, ...] | None:
    return None if rows is None else tuple(rows)


def script_json(payload: Payload) -> str:
    """The payload as JSON that may stand inside `<script>`: nothing in it can end or open a tag or a comment."""
    return payload.model_dump_json(exclude=_UNSHOWN, exclude_none=True).translate(_ESCAPES)
