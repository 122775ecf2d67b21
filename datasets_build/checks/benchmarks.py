"""What public benchmarks ask, and about which videos: read from their own annotation files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from datasets_build.core.config import Config
from datasets_build.core.files import DataError, read_json
from datasets_build.core.records import Json

BenchmarkFormat = Literal["ovo_bench", "streaming_bench"]
_CLIP_OF = re.compile(r"^([\w-]{11})_\d+_\d+$")
_LEAST_NAME = 8


class BenchmarkFile(Config):
    """An annotation file of a benchmark: `file` counts from the current folder."""

    format: BenchmarkFormat
    file: str


class Asked(NamedTuple):
    """What a benchmark asks about a video; `question` is None where it only names the video."""

    name: str
    video: str
    question: str | None


def read_benchmark(entry: BenchmarkFile) -> Iterator[Asked]:
    """All that a benchmark asks. Raises DataError when the file is not one of its form."""
    content = read_json(Path(entry.file))
    if not isinstance(content, list):
        raise DataError(f"{entry.file}: found {type(content).__name__}, expected a list of {entry.format} items")
    for k, item in enumerate(content):
        # Sequences of questions lie in lists of their own.
        for row in item if isinstance(item, list) else [item]:
            if not isinstance(row, dict):
                raise DataError(f"{entry.file}: item {k}: found {type(row).__name__}, expected a mapping")
            yield from _READERS[entry.format](row, f"{entry.file}: item {k}")


def _text(row: Mapping[str, Json], field: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise DataError(f"{where}: field {field} is {value!r}, expected text")
    return value


def _ovo(row: Mapping[str, Json], where: str) -> Iterator[Asked]:
    """OVO-Bench: counting and steps have no question of their own, but what is counted or done."""
    question = row.get("question")
    yield Asked("OVO-Bench", _text(row, "video", where), question if isinstance(question, str) else None)


def _streaming_bench(row: Mapping[str, Json], where: str) -> Iterator[Asked]:
    video, questions = _text(row, "video_path", where), row.get("questions")
    if not isinstance(questions, list):
        raise DataError(f"{where}: field questions is {questions!r}, expected a list")
    for each in questions:
        if not isinstance(each, dict):
            raise DataError(f"{where}: field questions holds {each!r}, expected a mapping")
        yield Asked("StreamingBench", video, _text(each, "question", where))


_READERS: Mapping[BenchmarkFormat, Callable[[Mapping[str, Json], str], Iterator[Asked]]] = {
    "ovo_bench": _ovo,
    "streaming_bench": _streaming_bench,
}


def names_of(path: str) -> frozenset[str]:
    """The names by which a video file may be known elsewhere: its stem, and the id of the film that it is a clip of.

    Names of fewer than eight characters, or without a digit, are anybody's.
    """
    stem = PurePosixPath(path.replace("\\", "/")).stem
    clip = _CLIP_OF.match(stem)
    names = {stem, clip.group(1)} if clip else {stem}
    return frozenset(name for name in names if len(name) >= _LEAST_NAME and any(map(str.isdigit, name)))
