"""Shot detection alone: the transitions of video files, without an index and without records."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.files import DataError
from datasets_build.core.progress import track
from datasets_build.core.worker import WorkerError
from datasets_build.engines.local import Local
from datasets_build.perception.keyframes import thumbnail
from datasets_build.perception.shots import ShotsConfig, open_finder
from datasets_build.perception.transitions import Transition, write_predictions
from datasets_build.video import analysis_size, probe, scan

log = logging.getLogger(__name__)
_DEADLINE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Look:
    """One video and how to look at it; the long side of the pictures that detectors see is `side`."""

    path: Path
    config: ShotsConfig
    side: int


def transitions_in(look: Look) -> list[Transition]:
    """The transitions of one video, in order. Raises VideoError when it cannot be decoded."""
    found = probe(look.path)
    size = analysis_size(*found.upright_size, long_side=look.side)
    finder = open_finder(look.config)
    transitions: list[Transition] = []
    for frame in scan(look.path, found.clock, size=size, exact=False):
        assert frame.image is not None, "a scan with a size gives images"
        transitions += finder.feed(frame.index, frame.image, thumbnail(frame.image))
    return transitions + finder.finish()


def detect_shots(looks: Sequence[Look], to: Path, *, workers: int) -> dict[str, WorkerError]:
    """Write the transitions of all videos, by file name, in the form of `cuts.json`; returns those that failed.

    Raises:
        DataError: no video was named, two have one name, or not one could be decoded.
    """
    names = [look.path.name for look in looks]
    if not names:
        raise DataError("no video was named")
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{doubles[0]}: two videos have this name, and predictions go by it")
    found: dict[str, list[Transition]] = {}
    failed: dict[str, WorkerError] = {}
    outcomes = Local(workers).run_each(transitions_in, looks, deadline_s=_DEADLINE_S)
    for outcome in track(outcomes, total=len(looks), label="detect shots"):
        if outcome.error is not None:
            failed[outcome.item.path.name] = outcome.error
            log.warning("%s: %s", outcome.item.path, outcome.error.detail)
        else:
            found[outcome.item.path.name] = outcome.value or []
    if not found:
        raise DataError(f"not one of {len(looks)} videos could be decoded; the log has each reason")
    write_predictions(to, {name: found[name] for name in sorted(found)})
    return failed
