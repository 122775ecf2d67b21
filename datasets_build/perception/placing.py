"""Candidates meet shots: a shot without a candidate gets a picture that was kept for it, then keyframes are chosen.

Shots are told late. When one is told that no candidate lies in, the standby picture nearest to its middle stands for
it; this depends on nothing behind the frame at which the shot detector has told the shot's end and the finder all of
the shot's candidates.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.table import read_table
from datasets_build.perception.keyframes import Candidate, KeyframesConfig
from datasets_build.perception.selection import Choice, Place, Selector, choose_offline
from datasets_build.perception.shots import boundary
from datasets_build.perception.standby import StandbyPictures
from datasets_build.perception.transitions import Transition


class ShotFiller:
    """Listens to candidates and transitions and returns a candidate for every shot that has none."""

    def __init__(self, pictures: StandbyPictures) -> None:
        self._pictures = pictures
        self._starts = [0]
        self._frames: list[int] = []
        self._held: list[Transition] = []

    def feed(
        self, taken: Sequence[Candidate], found: Sequence[Transition], *, known: int | None = None
    ) -> list[Candidate]:
        """Take the candidates and the transitions that a frame made certain; before frame `known` no candidate follows.

        A transition behind that waits, None: none does.
        """
        self._frames.extend(candidate.frame_index for candidate in taken)
        if not found and not self._held:
            return []
        waiting = [*self._held, *found]
        self._held = [each for each in waiting if known is not None and boundary(each) > known]
        late = []
        for start in (boundary(each) for each in waiting if each not in self._held):
            if start <= 0 or start in self._starts[-64:]:
                continue
            insort(self._starts, start)
            at = bisect_left(self._starts, start)
            late += self._fill(self._starts[at - 1], start)
            # A fade may be told after the cut behind it: then the shot that it begins is over too.
            late += self._fill(start, self._starts[at + 1]) if at + 1 < len(self._starts) else []
        return late

    def finish(self, taken: Sequence[Candidate], found: Sequence[Transition], *, frames: int) -> list[Candidate]:
        """Say that the video is over, after so many frames."""
        late = self.feed(taken, found)
        return late + self._fill(self._starts[-1], frames)

    def _fill(self, first: int, end: int) -> list[Candidate]:
        at = bisect_left(self._frames, first)
        if at < len(self._frames) and self._frames[at] < end:
            return []
        held = self._pictures.nearest((first + end) // 2, first=first, end=end)
        if held is None:
            return []
        insort(self._frames, held.frame_index)
        return [Candidate(held.frame_index, held.t_ns, "change", held.picture)]


def select(raw: Sequence[Path], shots: Sequence[Shot], *, config: KeyframesConfig) -> Iterator[Keyframe]:
    """The keyframes among candidates, in order: the first file's rows are in order already, the others' are few.

    Online holds one row at a time, offline each candidate's embedding in float16 and its time.
    """
    if config.mode == "online":
        selector = Selector(config)
        for row, place, shot in _placed(raw, shots):
            choice = selector.choose(place, np.asarray(row.embedding, np.float32))
            if choice is not None:
                yield _kept(row, choice, shot)
        return
    places: list[Place] = []
    vectors: list[npt.NDArray[np.float16]] = []
    for row, place, _ in _placed(raw, shots):
        places.append(place)
        vectors.append(np.asarray(row.embedding, np.float16))
    chosen = choose_offline(places, np.stack(vectors), config) if vectors else []
    for (row, _, shot), offered in zip(_placed(raw, shots), chosen, strict=True):
        if offered is not None:
            yield _kept(row, offered, shot)


def _placed(raw: Sequence[Path], shots: Sequence[Shot]) -> Iterator[tuple[Keyframe, Place, Shot]]:
    starts = [shot.start_frame for shot in shots]
    first, *others = raw
    late = sorted((row for path in others for row in read_table(path, Keyframe)), key=_frame)
    for row in heapq.merge(read_table(first, Keyframe), late, key=_frame):
        shot = shots[bisect_right(starts, row.frame_index) - 1]
        yield row, Place(row.t_ns, shot.ordinal, shot.start_ns), shot


def _frame(row: Keyframe) -> int:
    return row.frame_index


def _kept(row: Keyframe, choice: Choice, shot: Shot) -> Keyframe:
    return row.model_copy(update={"shot_id": shot.id, "reason": choice.reason, "novelty": choice.novelty})
