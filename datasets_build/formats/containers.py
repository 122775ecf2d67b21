"""How rows stand in a foreign file: a JSON list, JSON lines, an object by video, subtitles; both ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from datasets_build.core.files import DataError
from datasets_build.core.records import Json

Files = Mapping[str, bytes]
"""What an export writes: content by name."""


@dataclass(frozen=True, slots=True)
class Container:
    """Reading takes a file's name and text, and gives its rows; writing gives whole files."""

    split: Callable[[str, str], list[Json]]
    join: Callable[[Sequence[Json]], Files]


def _loaded(name: str, text: str) -> Json:
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not valid JSON ({error})") from error
    return found


def _dumped(value: Json) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def _line(value: Json) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _list(name: str, text: str) -> list[Json]:
    found = _loaded(name, text)
    if not isinstance(found, list):
        raise DataError(f"{name}: found a JSON {type(found).__name__}, expected a list of rows")
    return found


def _lines(name: str, text: str) -> list[Json]:
    # Not `splitlines`, which also breaks at characters that texts may hold.
    return [_loaded(f"{name}:{k}", line) for k, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _list_or_lines(name: str, text: str) -> list[Json]:
    return _lines(name, text) if name.endswith(".jsonl") else _list(name, text)


def _with_seeks(name: str, text: str) -> list[Json]:
    """JSON lines; a last line of whole numbers is where each line begins, and has to be right."""
    rows = _lines(name, text)
    seeks = rows[-1] if rows else None
    if not isinstance(seeks, list) or not all(isinstance(seek, int) for seek in seeks):
        return rows
    starts, at = list[Json](), 0
    for line in text.split("\n"):
        starts += [at] if line.strip() else []
        at += len(line.encode()) + 1
    if seeks != starts[:-1]:
        raise DataError(f"{name}: its last line names {len(seeks)} places, expected those of its {len(rows) - 1} rows")
    return rows[:-1]


def _seeks(rows: Sequence[Json]) -> tuple[bytes, list[Json]]:
    lines, starts, at = [_line(row) for row in rows], list[Json](), 0
    for line in lines:
        starts.append(at)
        at += len(line)
    return b"".join(lines), starts


def _join_seeks(rows: Sequence[Json]) -> Files:
    content, starts = _seeks(rows)
    return {"livecc_with_seeks.jsonl": content + _line(starts)}


def _join_seeks_beside(rows: Sequence[Json]) -> Files:
    content, starts = _seeks(rows)
    return {"streaming_vlm.jsonl": content, "streaming_vlm_seeks.jsonl": _line(starts)}


def _sequences(name: str, text: str) -> list[Json]:
    """A list of entries, or of lists of them; those of one list share the number `sequence`."""
    rows: list[Json] = []
    for k, entry in enumerate(_list(name, text)):
        if isinstance(entry, list):
            rows += [{**part, "sequence": k} if isinstance(part, dict) else part for part in entry]
        else:
            rows.append(entry)
    return rows


def _join_sequences(rows: Sequence[Json]) -> Files:
    entries: list[Json] = []
    lists: dict[str, list[Json]] = {}
    for row in rows:
        if isinstance(row, dict) and "sequence" in row:
            number = json.dumps(row["sequence"])
            if number not in lists:
                entries.append(lists.setdefault(number, []))
            lists[number].append({key: value for key, value in row.items() if key != "sequence"})
        else:
            entries.append(row)
    return {"streaming_bench.json": _dumped(entries)}


def _by_video(name: str, text: str) -> list[Json]:
    found = _loaded(name, text)
    if not isinstance(found, dict):
        raise DataError(f"{name}: found a JSON {type(found).__name__}, expected an object with a key for each video")
    return [{"video": video, **row} if isinstance(row, dict) else row for video, row in found.items()]


def _join_by_video(rows: Sequence[Json]) -> Files:
    whole: dict[str, Json] = {}
    for row in rows:
        assert isinstance(row, dict), "a row of a video is an object"
        whole[str(row["video"])] = {key: value for key, value in row.items() if key != "video"}
    return {"activitynet.json": _dumped(whole)}


def _mmduet(name: str, text: str) -> list[Json]:
    """A list of conversations, or an object of narrations by video and by annotator."""
    found = _loaded(name, text)
    if isinstance(found, list):
        return found
    rows: list[Json] = []
    for video, told in found.items() if isinstance(found, dict) else ():
        for made, lines in told.items() if isinstance(told, dict) else ():
            rows.append({"video_uid": video, "anno_uid": made, "narrations": lines})
    if not rows:
        raise DataError(f"{name}: found no rows, expected a list of them, or an object of narrations by video")
    return rows


def _join_mmduet(rows: Sequence[Json]) -> Files:
    talks: list[Json] = []
    told: dict[str, Json] = {}
    for row in rows:
        if not isinstance(row, dict) or "narrations" not in row:
            talks.append(row)
            continue
        of_video = told.setdefault(str(row["video_uid"]), {})
        assert isinstance(of_video, dict), "a video's narrations stand by annotator"
        of_video[str(row["anno_uid"])] = row["narrations"]
    files = {"mmduet.json": _dumped(talks)} if talks or not told else {}
    return files | ({"mmduet_narrations.json": _dumped(told)} if told else {})


def _subtitles(name: str, text: str) -> list[Json]:
    return [{"video": PurePosixPath(name).stem, "text": text}]


def _join_subtitles(rows: Sequence[Json]) -> Files:
    files = {}
    for row in rows:
        assert isinstance(row, dict), "a file of subtitles is an object"
        name = PurePosixPath(str(row["video"]))
        files[f"{name.name}.vtt" if not name.suffix else f"{name.with_suffix('.vtt')}"] = str(row["text"]).encode()
    return files


def listed(file: str) -> Container:
    """A JSON list; JSON lines are read too."""
    return Container(_list_or_lines, lambda rows: {file: _dumped(list(rows))})


def lined(file: str) -> Container:
    """JSON lines; a JSON list is read too."""
    return Container(_list_or_lines, lambda rows: {file: b"".join(_line(row) for row in rows)})


SEEKS = Container(_with_seeks, _join_seeks)
SEEKS_BESIDE = Container(_with_seeks, _join_seeks_beside)
SEQUENCES = Container(_sequences, _join_sequences)
BY_VIDEO = Container(_by_video, _join_by_video)
MMDUET = Container(_mmduet, _join_mmduet)
SUBTITLES = Container(_subtitles, _join_subtitles)
