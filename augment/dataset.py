"""Augmented videos as a dataset for training: each made in the moment in which it is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from augment.clip import Augmented, Clip
from augment.errors import AugmentError
from augment.maker import Maker
from augment.settings import Pipeline
from augment.showing import Pixels, Reel, Showing, is_augmented
from augment.source import Source, by_size
from augment.view import View
from datasets_build.core.augmentation import Augmentation
from datasets_build.core.clock import Int64s, TimeError
from datasets_build.core.layout import video_path
from datasets_build.core.records import Reject, Split
from datasets_build.video import DECODERS, VideoError

NOTHING = "chance did nothing to it"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """A video of an epoch.

    Attributes:
        clip: its records; those of the parent where it is not augmented.
        showing: where its frames are.
        copy: its number, from which with the seed and the parent all that chance decides follows.
        camera: which view of that copy.
        maps: where each piece of it comes from; empty where it is not augmented.
        left: what its parents have and it has not, with the reason.
        times_ns: int64 (n,), of its frames on the grid; empty where none were asked for.
        pixels: uint8 (n, height, width, 3), those frames.
        reason: why it is not augmented, or why its frames could not be read; empty: it is, and they were.
        decoder: who reads.
    """

    clip: Clip
    showing: Showing
    copy: int
    camera: int
    maps: tuple[Augmentation, ...] = ()
    left: tuple[Reject, ...] = ()
    times_ns: torch.Tensor
    pixels: torch.Tensor
    reason: str = ""
    decoder: str = "decord"

    @property
    def is_augmented(self) -> bool:
        """Whether a pipeline made it; else it is the video as it was."""
        return bool(self.maps)

    def frames(self, times_ns: Sequence[int]) -> Pixels:
        """What is on screen at some instants: uint8 (n, height, width, 3). Raises as `Showing.frames`."""
        return self.showing.frames(times_ns, decoder=self.decoder)


class AugmentedDataset(Dataset[Item]):
    """The videos of a split, each in `pipeline.copies` copies of `pipeline.views` views, drawn anew every epoch.

    Items are in the order of videos, copies, views, and copy `c` of epoch `n` has the number `n * copies + c`: epoch 0
    has the copies that `python -m augment apply` writes. An item is the same whichever process asks, in whatever order.

    A video to which an operation cannot be done, or to which chance does nothing, comes as it was, and so does one of
    which too little would be left to ask; `reason` says why. So does an item whose file cannot be read: then it has no
    frames. An epoch neither breaks off nor loses a video.

    It can be pickled, opens files only to read from them, and takes a new epoch to workers that stay (see
    `persistent_workers` of a `DataLoader`). Its items are records, so a loader needs `collate_fn`, such as `list`.

    Args:
        folder: a finished output of `python -m datasets_build`.
        pipeline: what is done.
        split: which videos.
        datasets: of `streaming_qa`, `frame_events` and `dialogue` those whose records are made, one or more; None: all
            that the folder has. Questions that nobody trains on cost time.
        fps: of the grid on which frames are read, exact; None reads none, and `Item.frames` reads them later.
        decoder: who reads, one of `datasets_build.video.DECODERS`; PyAV where the index does not trust it with a file.

    Raises:
        AugmentError: the folder is not whole, is augmented already, or has no video of the split or no such dataset; or
            there is no such decoder or rate.
    """

    def __init__(
        self,
        folder: Path | str,
        pipeline: Pipeline,
        *,
        split: Split = "train",
        datasets: Sequence[str] | None = None,
        fps: Fraction | int | None = None,
        decoder: str = "decord",
    ) -> None:
        folder = Path(folder)
        if is_augmented(folder):
            raise AugmentError(f"{folder}: is augmented already; name the folder that it came from")
        rate = None if fps is None else _rate(fps)
        if decoder not in tuple(DECODERS):
            raise AugmentError(f"decoder: found {decoder!r}, expected one of {', '.join(DECODERS)}")
        source = Source.open(folder)
        self.clips = tuple(clip for clip in source.clips(datasets) if clip.video.split == split)
        if not self.clips:
            raise AugmentError(f"{folder}: has no video of the split {split}")
        self.fps, self.decoder = rate, decoder
        self._maker = Maker(
            pipeline=pipeline,
            rules=source.rules("streaming_qa"),
            talk_rules=source.rules("dialogue"),
            others=by_size(self.clips),
        )
        self._reels = {
            clip.video.id: Reel(video=clip.video, path=video_path(folder, clip.video).resolve(), clock=clip.clock)
            for clip in self.clips
        }
        self._epoch = _shared(0)

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        # A pickled tensor is a copy of its own; one that was handed to a worker is shared already.
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    @property
    def epoch(self) -> int:
        """The epoch whose copies are drawn."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draws other copies from here on. Raises AugmentError for one that is no whole number from 0 on."""
        # Whole numbers of other libraries are taken; 1.5 would be cut to 1 in silence.
        if not isinstance(epoch, Integral) or epoch < 0:
            raise AugmentError(f"epoch: found {epoch!r}, expected a whole number, 0 or more")
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.clips) * self._maker.pipeline.copies * self._maker.pipeline.views

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        copies, views = self._maker.pipeline.copies, self._maker.pipeline.views
        rest, camera = divmod(index, views)
        clip, copy = self.clips[rest // copies], self.epoch * copies + rest % copies
        made, reason = self._made(clip, copy, camera)
        view = View.whole(clip.video.id, clip.clock) if made is None else made.view
        showing = Showing(
            view=view,
            reels={piece.source: self._reels[piece.source] for piece in view.pieces},
            looks=() if made is None else made.looks,
        )
        own = clip if made is None else made.clip
        times, pixels, unread = self._frames(own, showing)
        return Item(
            clip=own,
            showing=showing,
            copy=copy,
            camera=camera,
            maps=() if made is None else made.maps,
            left=() if made is None else made.left,
            times_ns=torch.from_numpy(times),
            pixels=torch.from_numpy(pixels),
            reason="; ".join(filter(None, (reason, unread))),
            decoder=self.decoder,
        )

    def _made(self, clip: Clip, copy: int, camera: int) -> tuple[Augmented | None, str]:
        """A copy, or None and why there is none."""
        try:
            made = self._maker.make(clip, copy, camera)
        # A map that rounds two frames together is told by the clock.
        except (AugmentError, TimeError) as error:
            return None, str(error)
        if made is None:
            return None, NOTHING
        rows = {"questions": (clip.questions, made.clip.questions), "dialogues": (clip.dialogues, made.clip.dialogues)}
        gone = [name for name, (before, after) in rows.items() if before and not after]
        return (None, f"no {' and no '.join(gone)} would be left") if gone else (made, "")

    def _frames(self, clip: Clip, showing: Showing) -> tuple[Int64s, Pixels, str]:
        """The frames of the grid with their times, or none and why."""
        nothing = np.zeros(0, np.int64), np.zeros((0, 0, 0, 3), np.uint8)
        if self.fps is None:
            return *nothing, ""
        times = clip.clock.t_ns[clip.clock.grid(self.fps)]
        try:
            return times, showing.frames(times.tolist(), decoder=self.decoder), ""
        except (AugmentError, VideoError, OSError) as error:
            return *nothing, f"its frames cannot be read: {error}"


def _rate(fps: object) -> Fraction:
    """A rate that is exact and above 0, or AugmentError."""
    if isinstance(fps, float) and 0 < fps < math.inf:
        raise AugmentError(f"fps: found {fps} (float), expected an exact rate; write Fraction({str(fps)!r})")
    if isinstance(fps, bool) or not isinstance(fps, Fraction | int) or fps <= 0:
        told = f"{fps} ({type(fps).__name__})"
        raise AugmentError(f"fps: found {told}, expected a Fraction or int above 0, or None for no frames")
    return Fraction(fps)


def _shared(value: int) -> torch.Tensor:
    """A number that worker processes see change."""
    number = torch.tensor(value, dtype=torch.int64)
    number.share_memory_()  # type: ignore[no-untyped-call]
    return number
