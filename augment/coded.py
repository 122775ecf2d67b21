"""Frames as they look after they were sent at a bit rate: real H.264, encoded and decoded in memory.

Frames are sent in groups of a fixed length in time, each a stream of its own that begins with a key frame. No frame is
coded from a later one (no B-frames, no lookahead), so its pixels follow from those of its group up to itself. Of later
frames only how many come within the group counts, for that is what the bit rate is shared among.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from threading import RLock

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from augment.looks import COMPRESS, Pixels, apply_looks
from augment.pictures import Picture
from datasets_build.core.augmentation import Look
from datasets_build.core.clock import NS_PER_S, FrameClock, Int64s, Span

Reader = Callable[[Int64s], Pixels]
"""The frames of a view at `(n,)` rising places: `(n, height, width, 3) uint8`."""
# What has been sent may run ahead of the bit rate by this long; a group begins with half of it.
_BUFFER_S = Fraction(1, 2)
_BUFFER_START = 0.5
# How many frames are read at a time, and how many groups are kept.
_RUN, _KEPT = 16, 2
_PARAMETERS = (
    "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:scenecut=0:weightp=0:force-cfr=1:threads=1:sliced-threads=0"
)


class Sender:
    """An encoder and a decoder, one behind the other, frame by frame.

    Args:
        kbit_s: the bit rate.
        fps: how many frames a second share it.
        size: `(width, height)` of the frames; odd sides are sent with their last row or column twice.
    """

    def __init__(self, *, kbit_s: float, fps: Fraction, size: tuple[int, int]) -> None:
        self._size = size
        width, height = (side + side % 2 for side in size)
        bits = round(1000 * kbit_s)
        encoder, decoder = av.CodecContext.create("libx264", "w"), av.CodecContext.create("h264", "r")
        assert isinstance(encoder, VideoCodecContext), "libx264 encodes video"
        assert isinstance(decoder, VideoCodecContext), "h264 is video"
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.framerate, encoder.time_base, encoder.bit_rate = fps, 1 / fps, bits
        # A buffer below one frame is none.
        buffer = round(bits * max(_BUFFER_S, 1 / fps))
        encoder.options = {
            "preset": "veryfast",
            "maxrate": str(bits),
            "bufsize": str(buffer),
            "x264-params": f"{_PARAMETERS}:keyint=infinite:vbv-init={_BUFFER_START}",
        }
        encoder.thread_count = decoder.thread_count = 1
        self._encoder, self._decoder, self._sent = encoder, decoder, 0
        self.n_bytes = 0

    def send(self, picture: Picture) -> Picture:
        """A frame `(height, width, 3) uint8` as it comes out; `n_bytes` grows by what it took."""
        width, height = self._size
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p")
        frame.pts = self._sent
        self._sent += 1
        packets = self._encoder.encode(frame)
        self.n_bytes += sum(packet.size for packet in packets)
        (found,) = [out for packet in packets for out in self._decoder.decode(packet)]
        return found.to_ndarray(format="rgb24").astype(np.uint8, copy=False)[:height, :width]


@dataclass(slots=True)
class _Group:
    """Frames of a group that have been sent so far."""

    frames: range
    fps: Fraction
    kbit_s: float
    sender: Sender | None = None
    done: list[Picture] = field(default_factory=list)

    def send(self, stop: int, read: Reader) -> None:
        """Sends all before a place in the view that have not been."""
        while self.frames.start + len(self.done) < stop:
            first = self.frames.start + len(self.done)
            for picture in read(np.arange(first, min(stop, first + _RUN), dtype=np.int64)):
                size = picture.shape[1], picture.shape[0]
                self.sender = self.sender or Sender(kbit_s=self.kbit_s, fps=self.fps, size=size)
                self.done.append(self.sender.send(picture))


class Coder:
    """Sends frames of one view, and keeps the last few groups, so that each frame of them is read and sent once."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[str, int], _Group] = OrderedDict()
        self._lock = RLock()

    def __reduce__(self) -> tuple[type[Coder], tuple[()]]:
        # Encoders stay in their process.
        return Coder, ()

    def frames(self, look: Look, frames: Int64s, clock: FrameClock, read: Reader, *, name: str) -> Pixels:
        """Frames of a view as they come out: uint8 (n, height, width, 3).

        Args:
            look: of the kind `compress`.
            frames: int64 (n,), rising places in the view, one at least.
            clock: of the view.
            read: the frames that are sent.
            name: of what `read` reads; groups of one name are the same.
        """
        group_ns = round(look.value("group_s") * NS_PER_S)
        numbers = clock.t_ns[frames] // group_ns
        found: list[Picture] = []
        with self._lock:
            for number in dict.fromkeys(numbers.tolist()):
                wanted = frames[numbers == number]
                group = self._group(name, number, look, clock)
                try:
                    group.send(int(wanted[-1]) + 1, read)
                except BaseException:
                    # Half a group would be continued with a gap.
                    self._groups.pop((name, number), None)
                    raise
                found += [group.done[place - group.frames.start] for place in wanted.tolist()]
        return np.stack(found)

    def _group(self, name: str, number: int, look: Look, clock: FrameClock) -> _Group:
        key = name, number
        if key not in self._groups:
            group_ns = round(look.value("group_s") * NS_PER_S)
            start, end = number * group_ns, min((number + 1) * group_ns, clock.end_ns)
            inside = clock.frames_in(Span(start_ns=start, end_ns=end))
            fps = Fraction(len(inside) * NS_PER_S, end - start).limit_denominator(1000)
            self._groups[key] = _Group(inside, fps, look.value("kbit_s"))
            while len(self._groups) > _KEPT:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]


def look_at(
    looks: Sequence[Look], frames: Int64s, clock: FrameClock, read: Reader, *, coder: Coder, name: str
) -> Pixels:
    """Frames of a view under all its looks, compression included: uint8 (n, height, width, 3).

    Args:
        looks: one after the other.
        frames: int64 (n,), rising places in the view, one at least.
        clock: of the view.
        read: the frames without looks; it is asked for those before as well, where a look needs them.
        coder: of this view.
        name: of what `read` reads.

    Raises:
        AugmentError: a look is none that is known here.
    """
    last = max((place for place, look in enumerate(looks) if look.kind == COMPRESS), default=None)
    if last is None:
        return apply_looks(looks, read(frames), frames, clock.t_ns[frames])

    def before(wanted: Int64s) -> Pixels:
        return look_at(looks[:last], wanted, clock, read, coder=coder, name=name)

    sent = coder.frames(looks[last], frames, clock, before, name=f"{name} {last}")
    return apply_looks(looks[last + 1 :], sent, frames, clock.t_ns[frames])
