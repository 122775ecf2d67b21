"""Pictures of what people saw: frames of a proxy as small JPEGs inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from annotate.film import Reel
from annotate.proxy import ProxyError, check_proxy, proxy_path, to_proxy_frame
from annotate.tasks import Window
from datasets_build.core.clock import FrameClock
from datasets_build.video import Size, VideoError, read

# Enough for three pictures a second of a slow disk.
_DEADLINE_S = 120.0
# A picture of noise is no reason for a page that mail refuses.
_MOST_BYTES = 20_000
_QUALITIES = (80, 65, 50, 35, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stills:
    """Pictures of a window by proxy frame, as data URIs; where there are none `reason` says why."""

    by_frame: dict[int, str]
    size: Size
    reason: str = ""


def frame_at(window: Window, t_ns: int) -> int:
    """The proxy frame, from 0, that comes on at or next after an instant of the source; the last one at the end."""
    return min(to_proxy_frame(window, t_ns), window.frames - 1)


def stills(folder: Path, window: Window, frames: Sequence[int], *, longest: int) -> Stills:
    """Frames of a window's proxy as JPEGs; a proxy that is not the one that people saw gives none.

    Args:
        folder: of the proxies.
        window: of which.
        frames: which, from 0, in any order.
        longest: pixels of the longer side; none is enlarged.
    """
    size = _fit(window, longest)
    if not frames:
        return Stills(by_frame={}, size=size)
    wanted = sorted(set(frames))
    clock = _clock(window)
    try:
        check_proxy(folder, window)
        found = read(
            proxy_path(folder, window),
            clock,
            clock.t_ns[np.array(wanted, np.int64)],
            size=size,
            decoder="pyav",
            deadline_s=_DEADLINE_S,
        )
    except ProxyError as error:
        return Stills(by_frame={}, size=size, reason=f"of the clip that people saw there is {error.found}")
    except VideoError as error:
        return Stills(by_frame={}, size=size, reason=f"the clip cannot be read ({error.code})")
    return Stills(by_frame={frame: _uri(found.data[at]) for at, frame in enumerate(wanted)}, size=size)


def _clock(window: Window) -> FrameClock:
    """A proxy's frames by its making: one every `1 / fps` from 0, in the ticks of the file."""
    rate = Fraction(window.fps_num, window.fps_den)
    tick = Reel(rate=rate, size=(window.width, window.height)).tick
    step = int(1 / (rate * tick))
    return FrameClock.from_pts((k * step for k in range(window.frames)), time_base=tick, last_duration=step)


def _fit(window: Window, longest: int) -> Size:
    scale = min(Fraction(1), Fraction(longest, max(window.width, window.height)))
    return max(1, round(window.width * scale)), max(1, round(window.height * scale))


def _uri(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> str:
    """A picture `(height, width, 3) uint8` RGB as a data URI, coarser where it would be large."""
    content = b""
    for quality in _QUALITIES:
        aside = io.BytesIO()
        Image.fromarray(picture).save(aside, "JPEG", quality=quality)
        content = aside.getvalue()
        if len(content) <= _MOST_BYTES:
            break
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
