"""Transitions between shots: what a detector finds, and the JSON files of truth and predictions of the field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from datasets_build.core.files import DataError, read_json, write_json
from datasets_build.core.records import Json

Kind = Literal["cut", "dissolve", "fade_to_black", "fade_from_black", "fade_through"]
"""How one shot becomes the next; a wipe counts as a dissolve. A flash is none."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What a detector found, in frames of the decoded video.

    A cut has `first == last`, the first frame of the new shot (≥ 1). A gradual transition has the first and the last
    frame that it changes, both included. `score` says how sure the detector is; larger is surer. Raises ValueError.
    """

    first: int
    last: int
    kind: Kind
    score: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind: found {self.kind!r}, expected one of {', '.join(get_args(Kind))}")
        least = 1 if self.kind == "cut" else 0
        if not least <= self.first <= self.last or (self.kind == "cut" and self.first != self.last):
            expected = "one frame from 1 on" if self.kind == "cut" else "0 ≤ first ≤ last"
            raise ValueError(f"{self.kind}: found frames {self.first} to {self.last}, expected {expected}")
        if not math.isfinite(self.score):
            raise ValueError(f"score: found {self.score}, expected a finite number")


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A transition as the rules see it.

    `before` is the last frame of the old shot (-1: there is none), `after` the first of the new one; `first` and `last`
    are the interval as its file writes it, which of a cut is the first frame of the new shot.
    """

    before: int
    after: int
    first: int
    last: int

    @classmethod
    def cut(cls, frame: int) -> Mark:
        """A hard cut by the first frame of the new shot."""
        return cls(frame - 1, frame, frame, frame)

    @classmethod
    def gradual(cls, first: int, last: int) -> Mark:
        """A gradual transition by the frames that it changes, both included."""
        return cls(first - 1, last + 1, first, last)

    @classmethod
    def pair(cls, before: int, after: int) -> Mark:
        """As ClipShots and TransNetV2 write it: the last frame of the old shot and the first of the new."""
        return cls.cut(after) if after - before == 1 else cls(before, after, before, after)

    @property
    def is_cut(self) -> bool:
        """Whether no frame lies between the two shots."""
        return self.after - self.before == 1


@dataclass(frozen=True, slots=True)
class Film:
    """The transitions of one video in order.

    `ignored` are places where a prediction is neither right nor wrong, `frames` is how many the video has. Of bare
    boundaries, `typed` is False: each stands as a cut, and may be meant as any kind.
    """

    marks: tuple[Mark, ...] = ()
    ignored: tuple[Mark, ...] = ()
    frames: int | None = None
    typed: bool = True


@dataclass(frozen=True, slots=True)
class Films:
    """A file of truth or predictions: films by the name of their video, and what a person should know of the file."""

    films: Mapping[str, Film]
    notes: tuple[str, ...] = ()


def film_of(found: Iterable[Transition]) -> Film:
    """What a detector found, as it is scored."""
    marks = (Mark.cut(each.first) if each.kind == "cut" else Mark.gradual(each.first, each.last) for each in found)
    return Film(marks=tuple(sorted(marks)))


def write_predictions(path: Path, found: Mapping[str, Sequence[Transition]]) -> None:
    """Write what a detector found of each video in the form of `cuts.json`, with kinds and scores beside it."""
    films: dict[str, Json] = {}
    for video, transitions in found.items():
        ordered = sorted(transitions, key=lambda each: (each.first, each.last))
        cuts = [each for each in ordered if each.kind == "cut"]
        gradual = [each for each in ordered if each.kind != "cut"]
        films[video] = {
            "cuts": [each.first for each in cuts],
            "cut_scores": [each.score for each in cuts],
            "gradual": [[each.first, each.last] for each in gradual],
            "gradual_kinds": [each.kind for each in gradual],
            "gradual_scores": [each.score for each in gradual],
        }
    write_json(path, films)


_CutFrame = Annotated[int, Field(ge=1)]
_FrameNumber = Annotated[int, Field(ge=0)]
_Pair = tuple[_FrameNumber, _FrameNumber]
_Place = _FrameNumber | _Pair
_CUT_FRAMES = TypeAdapter(list[_CutFrame], config=ConfigDict(strict=True))
# Fields of `cuts.json` and of our predictions that tell about the rest and are not scored.
_DESCRIBE = frozenset(
    {"checked", "notes", "cut_times_s", "segments", "cut_scores", "gradual_kinds", "gradual_scores", "frame_num"}
)


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _ListedEntry(_Entry):
    """The form of `cuts.json`."""

    cuts: list[_CutFrame] = []
    gradual: list[_Pair] = []
    minor: list[_Place] = []
    uncertain: list[_Place] = []
    jump_cuts: list[_Place] = []
    frames: _FrameNumber | None = None


class _PairedEntry(_Entry):
    """The form of ClipShots, AutoShot and TransNetV2."""

    transitions: list[_Pair]
    frames: _FrameNumber | None = None
    frame_num: float | None = None


def read_films(path: Path) -> Films:
    """Read truth or predictions. Raises DataError naming the file, the video, the field and what was found.

    A video has `{"cuts": [frame, …], "gradual": [[first, last], …]}` as `cuts.json`, or `{"transitions": [[a, b], …]}`
    as ClipShots, or `[frame, …]` as PySceneDetect gives boundaries. AutoShot keeps remarks under a key with `_`.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: found {_shown(value)}, expected an object with a key per video")
    notes: list[str] = []
    films: dict[str, Film] = {}
    for video, entry in value.items():
        if _is_remark(video, entry):
            notes.append(f"{path}: {video!r} is no video and was not read")
        else:
            films[video] = _film(entry, f"{path}: {video!r}", notes)
    return Films(films=films, notes=tuple(notes))


def _is_remark(key: str, entry: Json) -> bool:
    # Names of videos begin with `_` too.
    return key.startswith("_") and isinstance(entry, list) and any(isinstance(row, list | str) for row in entry)


def _film(entry: Json, where: str, notes: list[str]) -> Film:
    try:
        if isinstance(entry, list):
            frames = _CUT_FRAMES.validate_python(entry)
            film = Film(marks=_in_order(map(Mark.cut, frames), where, notes), typed=False)
        elif isinstance(entry, dict) and "transitions" in entry:
            film = _paired(entry, where, notes)
        else:
            film = _listed(entry, where, notes)
    except ValidationError as error:
        first = error.errors()[0]
        # A place may be a number or a pair, and pydantic adds to its path which of both it tried.
        field = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("tuple[", "constrained")))
        told = f"{where}, field {field}" if field else where
        raise DataError(f"{told}: found {_shown(first['input'])}: {first['msg']}") from error
    late = [mark for mark in film.marks if film.frames is not None and mark.first >= film.frames]
    if late:
        notes.append(f"{where}: {len(late)} transitions lie past its {film.frames} frames, from {late[0].first} on")
    return film


def _listed(entry: Json, where: str, notes: list[str]) -> Film:
    if not isinstance(entry, dict) or not entry.keys() & {"cuts", "gradual"}:
        forms = "an object with `cuts` and `gradual`, one with `transitions`, or a list of frames"
        raise DataError(f"{where}: found {_shown(entry)}, expected {forms}")
    listed = _ListedEntry.model_validate_json(json.dumps(entry))
    _tell_unread(listed, where, notes)
    for first, last in listed.gradual:
        if first > last:
            raise DataError(
                f"{where}, field gradual: found [{first}, {last}], expected the first frame before the last"
            )
    marks = [*map(Mark.cut, listed.cuts), *(Mark.gradual(first, last) for first, last in listed.gradual)]
    places = (*listed.minor, *listed.uncertain, *listed.jump_cuts)
    ignored = {Mark.cut(place) if isinstance(place, int) else Mark.gradual(*sorted(place)) for place in places}
    return Film(
        marks=_in_order(marks, where, notes), ignored=tuple(sorted(ignored.difference(marks))), frames=listed.frames
    )


def _paired(entry: dict[str, Json], where: str, notes: list[str]) -> Film:
    if clash := sorted(entry.keys() & {"cuts", "gradual"}):
        raise DataError(f"{where}: found `transitions` beside `{clash[0]}`, expected one of both forms")
    paired = _PairedEntry.model_validate_json(json.dumps(entry))
    _tell_unread(paired, where, notes)
    marks = []
    for before, after in paired.transitions:
        if after > before:
            marks.append(Mark.pair(before, after))
        else:
            notes.append(f"{where}: [{before}, {after}] does not end behind its begin and was left out")
    frames = paired.frames if paired.frame_num is None else int(paired.frame_num)
    return Film(marks=_in_order(marks, where, notes), frames=frames)


def _in_order(marks: Iterable[Mark], where: str, notes: list[str]) -> tuple[Mark, ...]:
    given = sorted(marks)
    once = tuple(dict.fromkeys(given))
    if len(once) < len(given):
        notes.append(f"{where}: {len(given) - len(once)} transitions stand there twice and count once")
    return once


def _tell_unread(entry: _Entry, where: str, notes: list[str]) -> None:
    unread = sorted((entry.model_extra or {}).keys() - _DESCRIBE)
    if unread:
        notes.append(f"{where}: not read: {', '.join(unread)}")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
