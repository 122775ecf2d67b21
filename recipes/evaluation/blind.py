"""What stands in for the video where a model is to do without it: frames of another one.

Frames in grey are no floor: training shows none, and a model in front of what it has never met does worse than it could
by its words alone. Frames of another video are such as it knows, and tell nothing of what is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from recipes.evaluation.clip import Clip, Picture, Pictures


class Elsewhere(Pictures):
    """The frames of another video at the times of a clip's own, again from its first where it is shorter.

    Args:
        clip: whose times.
        other: whose frames.
        decoder: who reads.
    """

    def __init__(self, clip: Clip, other: Clip, *, decoder: str) -> None:
        super().__init__(clip, decoder=decoder, variant="blind")
        self._times_ns = clip.times_ns
        self._shown = Pictures(other, decoder=decoder)
        self._length = len(other.times_ns)

    def since(self, place: int = 0) -> Iterator[tuple[Picture, int]]:
        """Yields the frames from one on, as `Pictures` does.

        Raises:
            VideoError: the other file cannot be read.
        """
        while place < len(self._times_ns):
            times = self._times_ns[place : place + self._length - place % self._length]
            shown = self._shown.since(place % self._length)
            yield from ((picture, t_ns) for t_ns, (picture, _) in zip(times, shown, strict=False))
            place += len(times)


def others_for(clip: Clip, clips: Sequence[Clip], *, most: int = 3) -> list[Clip]:
    """Videos that may stand in for one, the first to try first: the same ones each time, by the name of the video.

    Args:
        clip: for which; no video of its group stands in for it, which may show almost the same.
        clips: to take from, of the training split.
        most: so many at most.
    """
    strange = [other for other in clips if other.video.group != clip.video.group and other.times_ns]
    if not strange:
        return []
    first = int.from_bytes(hashlib.blake2b(clip.video_id.encode(), digest_size=8).digest()) % len(strange)
    return [*strange[first:], *strange[:first]][:most]
