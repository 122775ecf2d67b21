"""QVHighlights: the windows in which a query is true, and the saliency of their 2-second clips, which must agree.

A video is a clip of up to 150 s, named `YOUTUBE-ID_start_end`; times count from the clip's own start. No record holds
a saliency: it is checked, and left where it is, which one row of the rejects tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from datasets_build.core.clock import NS_PER_S
from datasets_build.sources.entries import CorpusConfig, Reading, text_of
from datasets_build.sources.exact import CaptionError, Value, show, span_of
from datasets_build.sources.moments import parse_moments
from datasets_build.sources.said import Fault

CLIP_NS = 2 * NS_PER_S
_SCORES = range(5)


class QVHighlightsConfig(CorpusConfig):
    """Nothing beyond what every corpus has."""

    format: Literal["qvhighlights"] = "qvhighlights"
    licence: str | None = "CC BY-NC-SA 4.0"


def parse_qvhighlights(text: str, config: QVHighlightsConfig) -> Reading:
    """What the lines say of each clip. A query whose scored clips are not those of its windows is refused whole."""
    rated = 0

    def inspect(query: Mapping[str, Value]) -> None:
        nonlocal rated
        rated += query.get("saliency_scores") is not None
        _inspect(query)

    reading = parse_moments(text, inspect)
    if not rated:
        return reading
    note = f"{config.file.name} rates the clips of {rated} queries (saliency_scores); no record holds a saliency"
    return replace(reading, notes=(Fault("not_kept", note),))


def _inspect(query: Mapping[str, Value]) -> None:
    ids, scores = query.get("relevant_clip_ids"), query.get("saliency_scores")
    if ids is None and scores is None:
        return
    if not isinstance(ids, list) or not isinstance(scores, list) or len(ids) != len(scores):
        counts = " and ".join(str(len(v)) if isinstance(v, list) else show(v) for v in (ids, scores))
        raise CaptionError("bad_saliency", f"found {counts}, expected as many relevant_clip_ids as saliency_scores")
    for each in scores:
        if not isinstance(each, list) or any(score not in _SCORES or isinstance(score, bool) for score in each):
            raise CaptionError("bad_saliency", f"saliency_scores: found {show(each)}, expected scores of 0 to 4")
    clips = _clips(query.get("relevant_windows"))
    n_clips = sum(end - start for start, end in clips)
    inside = {str(number) for number in ids if _is_clip(number, clips)}
    if not len(ids) == len(inside) == n_clips:
        found = f"{len(ids)} relevant_clip_ids, {len(inside)} of them of windows"
        raise CaptionError("bad_saliency", f"found {found}, expected the {n_clips} clips of 2 s in its windows")


def _is_clip(number: Value, clips: Sequence[tuple[int, int]]) -> bool:
    if not isinstance(number, int) or isinstance(number, bool):
        return False
    return any(start <= number < end for start, end in clips)


def _clips(windows: Value) -> list[tuple[int, int]]:
    """The numbers of the 2-second clips that share time with a window, as half-open ranges that lie apart.

    They are never counted one by one: a wrong window may be as long as the age of the world.
    """
    spans = [span_of(window, "relevant_windows") for window in windows] if isinstance(windows, list) else []
    apart: list[tuple[int, int]] = []
    for first, last in sorted((start // CLIP_NS, -(-end // CLIP_NS)) for start, end in spans):
        if apart and first <= apart[-1][1]:
            apart[-1] = apart[-1][0], max(apart[-1][1], last)
        else:
            apart.append((first, last))
    return apart


def read_qvhighlights(config: QVHighlightsConfig) -> Reading:
    """Read the file that the settings name. Raises DataError."""
    return parse_qvhighlights(text_of(config.file), config)
