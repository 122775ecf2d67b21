"""Moment retrieval as Moment-DETR and lighthouse have it: JSON lines of `query, duration, vid, relevant_windows`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from datasets_build.sources.entries import ByVideo, Reading, duration_of, entries_of, json_lines
from datasets_build.sources.exact import CaptionError, Value, object_of, show, span_of, string_of
from datasets_build.sources.said import Fault, Said

Inspect = Callable[[Mapping[str, Value]], None]


def parse_moments(text: str, inspect: Inspect | None = None) -> Reading:
    """Each window in which a query's words are true becomes one row, in seconds of the video that `vid` names.

    Args:
        text: the file's content.
        inspect: raises CaptionError for a query of which no window may be used.
    """
    found, durations, faults = ByVideo(), dict[str, int](), list[Fault]()
    for where, value in json_lines(text):
        try:
            if isinstance(value, CaptionError):
                raise value
            query = object_of(value, "an object with query, vid and relevant_windows")
            name = string_of(query.get("vid"), "vid")
        except CaptionError as error:
            faults.append(Fault(error.fault.code, f"{where}: {error}"))
            continue
        _add(found, durations, name, where, query, inspect)
    return Reading(tuple(entries_of(found, durations)), tuple(faults))


def _add(
    found: ByVideo,
    durations: dict[str, int],
    name: str,
    where: str,
    query: Mapping[str, Value],
    inspect: Inspect | None,
) -> None:
    collector, listed = found.of(name), query.get("relevant_windows")
    wheres = [f"{where}, window {number + 1}" for number in range(len(listed) if isinstance(listed, list) else 0)]
    try:
        windows = _windows(query)
        text = string_of(query.get("query"), "query")
        _agree(durations, name, duration_of(query.get("duration")))
        if inspect is not None:
            inspect(query)
    except CaptionError as error:
        for each in wheres or [where]:
            collector.fail(each, error)
        return
    for each, window in zip(wheres, windows, strict=True):
        try:
            start_ns, end_ns = span_of(window, "relevant_windows", durations.get(name))
            collector.add(Said(where=each, start_ns=start_ns, end_ns=end_ns, text=text))
        except CaptionError as error:
            collector.fail(each, error)


def _windows(query: Mapping[str, Value]) -> list[Value]:
    windows = query.get("relevant_windows")
    if not isinstance(windows, list) or not windows:
        raise CaptionError("no_window", f"relevant_windows: found {show(windows)}, expected [[start, end], …]")
    return windows


def _agree(durations: dict[str, int], name: str, duration_ns: int | None) -> None:
    """All queries of a video state one length."""
    if duration_ns is not None and durations.setdefault(name, duration_ns) != duration_ns:
        found = f"found {duration_ns} ns, expected the {durations[name]} ns of an earlier query"
        raise CaptionError("other_duration", f"duration: {found}")
