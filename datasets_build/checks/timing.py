"""Laws of time: every instant lies inside the video and on its frame grid, and every interval is ordered."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.core.records import FrameLabel, Part

_LENGTHS = frozenset({"onset_uncertainty_ns", "offset_uncertainty_ns"})
_INTERVALS = (("start_ns", "end_ns"), ("window_start_ns", "window_end_ns"))


@cache
def _fields(kind: type[Part]) -> tuple[str, ...]:
    return tuple(kind.model_fields)


@cache
def _instants(kind: type[Part]) -> tuple[str, ...]:
    return tuple(name for name in _fields(kind) if name.endswith("_ns") and name not in _LENGTHS)


def parts_of(record: Part, path: str = "") -> Iterator[tuple[str, Part]]:
    """The record and every part inside it, each with its path (`answers.0.`)."""
    yield path, record
    for name in _fields(type(record)):
        value = getattr(record, name)
        for k, item in enumerate(value if isinstance(value, tuple) else ()):
            if isinstance(item, Part):
                yield from parts_of(item, f"{path}{name}.{k}.")


def instants_of(record: Part) -> Iterator[tuple[str, int]]:
    """Every instant in a record with its path; lengths of time are none."""
    for path, part in parts_of(record):
        for name in _instants(type(part)):
            if isinstance(value := getattr(part, name), int):
                yield f"{path}{name}", value


def _inside(record: Part, known: Known) -> Iterator[Breach]:
    for path, t_ns in instants_of(record):
        if not 0 <= t_ns <= known.clock.end_ns:
            yield Breach(f"{path} {t_ns}", f"an instant of [0, {known.clock.end_ns}] ns")


def _on_grid(record: Part, known: Known) -> Iterator[Breach]:
    for path, t_ns in instants_of(record):
        if 0 <= t_ns <= known.clock.end_ns and not known.clock.on_grid(t_ns):
            near = known.clock.time_of(known.clock.index_at(t_ns))
            yield Breach(f"{path} {t_ns}", f"a frame's time, such as {near} ns")


def _ordered(record: Part, known: Known) -> Iterator[Breach]:
    del known
    for path, part in parts_of(record):
        for first, last in _INTERVALS:
            if {first, last} <= type(part).model_fields.keys():
                start, end = getattr(part, first), getattr(part, last)
                if (start is None) != (end is None):
                    yield Breach(f"{path}{first} {start}, {last} {end}", "both or neither")
                elif start is not None and end < start:
                    yield Breach(f"{path}{first} {start}, {last} {end}", f"{last} at or after {first}")


INSIDE: Law[Part] = Law("time_inside", "every instant lies inside its video", _inside)
ON_GRID: Law[Part] = Law("time_on_grid", "every instant is a frame's time or the video's end", _on_grid)
ORDERED: Law[Part] = Law("time_ordered", "every interval ends at or after its start", _ordered)
TIME_LAWS: tuple[Law[Part], ...] = (INSIDE, ON_GRID, ORDERED)


def _frame_index(record: FrameLabel, known: Known) -> Iterator[Breach]:
    if not 0 <= record.frame_index < len(known.clock):
        yield Breach(f"frame_index {record.frame_index}", f"a frame of [0, {len(known.clock)})")
    elif known.clock.time_of(record.frame_index) != record.t_ns:
        at = known.clock.time_of(record.frame_index)
        yield Breach(f"t_ns {record.t_ns} at frame {record.frame_index}", f"{at} ns")


FRAME_LAWS: tuple[Law[FrameLabel], ...] = (
    Law("frame_index", "frame index and time of a step name the same frame", _frame_index),
)
