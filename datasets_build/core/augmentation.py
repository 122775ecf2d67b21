"""The record of an augmentation: what was done to a video, the exact map to its new clock, and how it now looks."""

from __future__ import annotations

from datasets_build.core.clock import TimeMap
from datasets_build.core.records import Many, Parameter, Part, Record, derive_id

AUGMENTED = "augment"
"""The `source` of a video that was made of others."""
ON_PIXELS = frozenset({"resolution", "aspect", "window", "colour", "blur", "compress", "shake", "noise"})
"""Kinds of operations that change the pixels of frames; all others change what happens when."""


class Knot(Part):
    """A point of a time map: rationals as text (`"1001/3"`), nanoseconds on the source's and the target's clock."""

    source: str
    target: str


class Look(Part):
    """A change of a video's pixels with everything that chance decided of it.

    `kind` and the meaning of the parameters are those of `augment.looks`; chance that differs from frame to frame
    (noise, shake) follows from `seed` and the frame alone.
    """

    kind: str
    parameters: Many[Parameter] = ()
    seed: int = 0

    def value(self, name: str) -> float:
        """The parameter of a name. Raises KeyError where it has none."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter.value
        raise KeyError(f"look {self.kind}: has no parameter {name}")


class Augmentation(Record):
    """How a record or video was changed in time: what was done, with which seed, and the map to the new clock.

    A video that is put together of several pieces has a row for each. Of one that `is_reversed` the map begins on the
    mirrored clock of the parent, on which `t` is the parent's end less `t`. `on_ns` has the instants of the parent at
    which its shown frames come on, in the order in which they do, where those are not the frames' own times. `looks`
    change the pixels of its frames one after the other, the same for all pieces. Videos of one `scene_id` show one
    scene on one clock, as several cameras do.
    """

    parent_id: str
    operation: str
    seed: int
    parameters: Many[Parameter] = ()
    is_reversed: bool = False
    on_ns: Many[int] = ()
    knots: Many[Knot]
    dropped_frames: Many[int] = ()
    invalidated: Many[str] = ()
    looks: Many[Look] = ()
    scene_id: str | None = None

    @property
    def time_map(self) -> TimeMap:
        """The map from the parent's clock to this record's."""
        return TimeMap.through((knot.source, knot.target) for knot in self.knots)


def seal_of(row: Augmentation) -> str:
    """The id that a row's content gives: whatever is changed of it later, its id does not fit any more."""
    return derive_id("augmentation", row.video_id, row.model_dump_json(exclude={"id"}))


def sealed(row: Augmentation) -> Augmentation:
    """The row under the id that its content gives."""
    return row.model_copy(update={"id": seal_of(row)})
