"""The foreign forms of rows: how a row becomes records, and how records become a row again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from datasets_build.core.records import Json, Video
from datasets_build.formats import (
    activitynet,
    containers,
    livecc,
    mmduet,
    ovo_bench,
    qvhighlights,
    streaming_bench,
    streamo,
    timed,
    videollm_online,
    webvtt,
)
from datasets_build.formats.containers import Container
from datasets_build.formats.format import Dataset
from datasets_build.formats.place import Bundle, Place
from datasets_build.formats.rows import ROWS


class Rows(Protocol):
    """A form of rows; implementations are modules that have these names."""

    @property
    def video_of(self) -> Callable[[Json], str]:
        """The name of the video that a row is of. Raises RowError and pydantic's ValidationError."""

    @property
    def read(self) -> Callable[[Json, Place], Bundle]:
        """A row as records. Raises RowError and pydantic's ValidationError."""

    @property
    def write(self) -> Callable[[Bundle, Video], Json]:
        """Records as a row. Raises RowError where the form cannot hold them."""

    @property
    def bundles(self) -> Callable[[Bundle], Iterator[Bundle]]:
        """What of a video's records makes a row each."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of rows in its files, the datasets that it holds, and whether a file's numbers need a stated unit."""

    rows: Rows
    container: Container
    datasets: frozenset[Dataset]
    needs_unit: bool = False


_TALK: frozenset[Dataset] = frozenset({"dialogue"})
_ASKED: frozenset[Dataset] = frozenset({"streaming_qa"})
_EVENTS: frozenset[Dataset] = frozenset({"frame_events"})
FORMS: Mapping[str, Form] = {
    "videollm_online": Form(videollm_online, containers.listed("videollm_online.json"), _TALK),
    "livecc": Form(livecc, containers.SEEKS, _TALK),
    "streaming_vlm": Form(livecc, containers.SEEKS_BESIDE, _TALK),
    "mmduet": Form(mmduet, containers.MMDUET, _TALK | _ASKED),
    "streamo": Form(streamo, containers.listed("streamo.json"), _TALK, needs_unit=True),
    "joyai": Form(streamo, containers.listed("joyai.json"), _TALK, needs_unit=True),
    "ovo_bench": Form(ovo_bench, containers.listed("ovo_bench.json"), _ASKED),
    "streaming_bench": Form(streaming_bench, containers.SEQUENCES, _ASKED),
    "qvhighlights": Form(qvhighlights, containers.lined("qvhighlights.jsonl"), _EVENTS),
    "activitynet": Form(activitynet, containers.BY_VIDEO, _EVENTS),
    "webvtt": Form(webvtt, containers.SUBTITLES, _EVENTS),
}
"""Every form by the name that the command line takes."""
TIMED: Mapping[str, Form] = {name: Form(timed, containers.lined(f"{name}{timed.SUFFIX}"), _TALK) for name in ROWS}
"""How what `export` wrote for a trainer is read back: not its files, but the lines that `timed_rows` makes of them."""
READ: Mapping[str, Form] = {**FORMS, **TIMED}
"""Every form that can be imported."""
