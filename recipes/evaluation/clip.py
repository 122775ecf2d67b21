"""One video as an evaluation sees it: its frames at exact times, what is asked about it, and what is true of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from augment.showing import Showing
from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Event, Split, Video
from datasets_build.video import decoder_for, read
from recipes.data.corpus import Corpus, Material
from recipes.data.frame_events import name_of, on_between
from recipes.data.questions import is_standing
from recipes.errors import CorpusError
from recipes.evaluation.script import Ask, Script, asks_of, dialogue, standing
from recipes.evaluation.trace import Variant

Picture = npt.NDArray[np.uint8]
GREY = 128
# So many frames are decoded at once, and kept while a video is short.
CHUNK = 64
KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class On:
    """What can be told to be on at a grid: the names of the events, sorted, each once."""

    t_ns: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """A video with all that is known about it.

    Attributes:
        video: its record.
        path: its file.
        clock: its frames' times.
        times_ns: of the frames that are seen.
        grids_ns: when each grid of two frames is known.
        asks: questions asked aside, by time.
        scripts: standing questions and dialogues.
        borders_ns: when an event begins or ends, rising.
        on: what is on at each grid.
        showing: of an augmented video, where its frames are.
    """

    video: Video
    path: Path
    clock: FrameClock
    times_ns: tuple[int, ...]
    grids_ns: tuple[int, ...]
    asks: tuple[Ask, ...]
    scripts: tuple[Script, ...]
    borders_ns: tuple[int, ...]
    on: tuple[On, ...]
    showing: Showing | None = None

    @property
    def video_id(self) -> str:
        """Its id."""
        return self.video.id


def clips_of(corpus: Corpus, split: Split, *, most: int = 0) -> list[Clip]:
    """The clips of a split, in the order of the corpus.

    Args:
        corpus: videos with their records.
        split: which.
        most: so many of them; 0: all.

    Raises:
        CorpusError: the split has no video.
    """
    materials = corpus.materials[split]
    if not materials:
        raise CorpusError(f"split {split}: found no video; expected one or more: index more videos, or name another")
    return [clip_of(material) for material in materials[: most or None]]


def clip_of(material: Material) -> Clip:
    """What an evaluation needs of a video's records."""
    footage = material.footage
    grids = tuple(grid.t1_ns for grid in footage.grids)
    asks = sorted((ask for row in material.questions for ask in asks_of(row)), key=lambda ask: (ask.t_ns, ask.key))
    talks = [standing(row) for row in material.questions if is_standing(row)]
    # Nobody says what is wrong, or nothing, because a record does: of such a conversation nothing is right or wrong.
    talks += [dialogue(row) for row in material.dialogues if all(turn.learn for turn in row.turns)]
    borders = {t_ns for event in material.events for t_ns in (event.start_ns, event.end_ns)}
    return Clip(
        video=footage.video,
        path=footage.path,
        clock=footage.clock,
        showing=footage.showing,
        times_ns=footage.times,
        grids_ns=grids,
        asks=tuple(asks),
        scripts=tuple(talks),
        borders_ns=tuple(sorted(borders)),
        on=tuple(_on(material.events, grids)) if material.events else (),
    )


def _on(events: Sequence[Event], grids: Sequence[int]) -> Iterator[On]:
    for before, t_ns in zip((-1, *grids), grids, strict=False):
        found = on_between(events, before_ns=before, until_ns=t_ns)
        yield On(t_ns=t_ns, names=tuple(sorted({name_of(event) for event in found})))


class Pictures:
    """The frames of a clip, again and again, decoded once where they take no more than `KEPT_BYTES`.

    Args:
        clip: whose.
        decoder: who reads.
        variant: `blind` gives grey pictures of the same size and times, and opens the file for one picture's size only.
    """

    def __init__(self, clip: Clip, *, decoder: str, variant: Variant = "seen") -> None:
        self._clip = clip
        self._decoder = decoder
        self.variant = variant
        self._kept: list[Picture] = []
        self._grey: Picture | None = None

    def since(self, place: int = 0) -> Iterator[tuple[Picture, int]]:
        """Yields the frames from one on: uint8 (height, width, 3) RGB, and its time in nanoseconds, rising.

        Raises:
            VideoError: the file cannot be read.
        """
        times = self._clip.times_ns
        for first in range(place - place % CHUNK, len(times), CHUNK):
            chunk = times[first : first + CHUNK]
            frames = self._chunk(first, chunk)
            skipped = max(0, place - first)
            yield from zip(frames[skipped:], chunk[skipped:], strict=True)

    def _chunk(self, first: int, times_ns: Sequence[int]) -> Sequence[Picture]:
        if self.variant == "blind":
            if self._grey is None:
                self._grey = np.full_like(self._read(times_ns[:1])[0], GREY)
            return [self._grey] * len(times_ns)
        if first < len(self._kept):
            return self._kept[first : first + len(times_ns)]
        frames = self._read(times_ns)
        if first == len(self._kept) and (first + len(frames)) * frames[0].nbytes <= KEPT_BYTES:
            self._kept += frames
        return frames

    def _read(self, times_ns: Sequence[int]) -> list[Picture]:
        clip = self._clip
        if clip.showing is not None:
            return list(clip.showing.frames(times_ns, decoder=self._decoder))
        return list(read(clip.path, clip.clock, times_ns, decoder=decoder_for(clip.video, self._decoder)).data)
