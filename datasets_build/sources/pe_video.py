"""PE-Video: what a person wrote about a whole clip (`human_caption`), where length and pace fit a spoken narration.

A local copy is read in any of these forms: the published tar shards (`KEY.json` and `KEY.mp4` in each), the same
unpacked into a folder, or a table of rows (`.parquet`, `.jsonl`, `.json`) with `human_caption` and a `video_id` or
`__key__`. From the hub, `python -m datasets_build pe-video facebook/PE-Video DIR` makes such a copy.
"""

from __future__ import annotations

import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from tokenizers import Tokenizer

from datasets_build.core.clock import NS_PER_S, format_ns
from datasets_build.core.files import DataError
from datasets_build.sources.entries import Collector, CorpusConfig, Entry, Reading, json_lines, text_of
from datasets_build.sources.exact import CaptionError, Value, load_json, object_of, show, string_of
from datasets_build.sources.said import Fault, Said

_PIECE = re.compile(r"\w+|[^\w\s]")
_SUFFIXES = (".json", ".jsonl", ".parquet", ".tar")
Row = tuple[str, Value | CaptionError]
Count = Callable[[str], int]


class PEVideoConfig(CorpusConfig):
    """Settings of PE-Video.

    A caption is kept where its video lasts `min_s` to `max_s` and it has `min_tokens_per_s` to `max_tokens_per_s`
    tokens for each second; all four limits are kept themselves. Tokens are those of `tokenizer` (a `tokenizer.json`),
    without one words and punctuation marks.
    """

    format: Literal["pe_video"] = "pe_video"
    licence: str | None = "CC BY-NC 4.0"
    min_s: float = Field(default=5.0, ge=0)
    max_s: float = Field(default=30.0, gt=0)
    min_tokens_per_s: float = Field(default=3.0, ge=0)
    max_tokens_per_s: float = Field(default=5.0, gt=0)
    tokenizer: Path | None = None

    def paths(self) -> tuple[Path, ...]:
        """Every file that is read, in a folder all that can hold rows."""
        return (*shards(self.file), *([self.tokenizer] if self.tokenizer else []))


def shards(path: Path) -> list[Path]:
    """The files of a local copy that hold rows. Raises DataError when a folder has none."""
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
    if not found:
        raise DataError(f"{path}: holds no {' '.join(_SUFFIXES)}, expected a copy of PE-Video")
    return found


def parse_pe_video(rows: Iterator[Row], config: PEVideoConfig, count: Count) -> Reading:
    """What each row says of the video that it names; its pace is judged when the video is known."""
    entries, faults = list[Entry](), list[Fault]()
    for where, value in rows:
        try:
            if isinstance(value, CaptionError):
                raise value
            row = object_of(value, "an object with human_caption")
            nested = row.get("json")
            content = nested if isinstance(nested, dict) else row
            named = row.get("__key__") or content.get("video_id")
            name = string_of(str(named) if isinstance(named, int) else named, "video_id")
        except CaptionError as error:
            faults.append(Fault(error.fault.code, f"{where}: {error}"))
            continue
        collected = Collector()
        fits = None
        try:
            text = string_of(content.get("human_caption"), "human_caption")
            collected.add(Said(where=f"{name}, human_caption", start_ns=0, end_ns=0, text=text, is_whole=True))
            fits = partial(misfit, count(text), config)
        except CaptionError as error:
            collected.fail(f"{name}, human_caption", error)
        entries.append(Entry(names=(name,), sheet=collected.sheet(), misfit=fits))
    return Reading(tuple(entries), tuple(faults))


def misfit(n_tokens: int, config: PEVideoConfig, duration_ns: int) -> Fault | None:
    """Why a caption of so many tokens is not taken for a video of this length, None when it is."""
    length = f"{format_ns(duration_ns)} of video"
    if not Fraction(config.min_s) * NS_PER_S <= duration_ns <= Fraction(config.max_s) * NS_PER_S:
        return Fault("length", f"found {length}, expected {config.min_s:g} to {config.max_s:g} s")
    pace = Fraction(n_tokens * NS_PER_S, duration_ns)
    if not Fraction(config.min_tokens_per_s) <= pace <= Fraction(config.max_tokens_per_s):
        found = f"{n_tokens} caption tokens for {length}, {float(pace):.3g} a second"
        return Fault("pace", f"found {found}, expected {config.min_tokens_per_s:g} to {config.max_tokens_per_s:g}")
    return None


def count_pieces(text: str) -> int:
    """Words and punctuation marks."""
    return len(_PIECE.findall(text))


def _counter(path: Path | None) -> Count:
    if path is None:
        return count_pieces
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower one
        raise DataError(f"{path}: cannot be read as a tokenizer.json ({error})") from error
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _rows(path: Path) -> Iterator[Row]:
    if path.suffix == ".tar":
        yield from _tar_rows(path)
    elif path.suffix == ".parquet":
        yield from _parquet_rows(path)
    else:
        yield from _text_rows(path)


def _tar_rows(path: Path) -> Iterator[Row]:
    try:
        with tarfile.open(path) as shard:
            for member in shard:
                if member.name.endswith(".json") and not member.isdir():
                    yield f"{path.name}: {member.name}", _member(shard, member)
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read as a tar file ({_on_one_line(error)})") from error


def _on_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _member(shard: tarfile.TarFile, member: tarfile.TarInfo) -> Value | CaptionError:
    try:
        content = shard.extractfile(member)
    except KeyError:
        content = None
    if content is None:
        return CaptionError("no_content", "found a link to nothing or no plain file, expected a JSON file")
    return _keyed(content.read(), member.name.removesuffix(".json"))


def _keyed(content: bytes, key: str) -> Value | CaptionError:
    try:
        return {"__key__": PurePosixPath(key).name, "json": object_of(load_json(content.decode("utf-8")))}
    except UnicodeDecodeError:
        return CaptionError("not_text", "found bytes that are no text, expected UTF-8")
    except CaptionError as error:
        return error


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        table = pq.ParquetFile(path)
        columns = [
            name for name in table.schema_arrow.names if name in ("__key__", "video_id", "human_caption", "json")
        ]
        for number, row in enumerate(
            (row for batch in table.iter_batches(columns=columns) for row in batch.to_pylist()), 1
        ):
            yield f"{path.name}: row {number}", row
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({_on_one_line(error)})") from error


def _text_rows(path: Path) -> Iterator[Row]:
    text = text_of(path)
    if path.suffix == ".jsonl":
        yield from ((f"{path.name}: {where}", value) for where, value in json_lines(text))
        return
    try:
        content = load_json(text)
    except CaptionError as error:
        yield path.name, error
        return
    if isinstance(content, list):
        yield from ((f"{path.name}: row {number}", value) for number, value in enumerate(content, start=1))
    elif isinstance(content, dict) and "human_caption" in content:
        yield path.name, {"__key__": path.stem, "json": content}
    else:
        yield path.name, CaptionError("bad_row", f"found {show(content)}, expected an object with human_caption")


def read_pe_video(config: PEVideoConfig) -> Reading:
    """Read the copy that the settings name. Raises DataError."""
    rows = (row for path in shards(config.file) for row in _rows(path))
    return parse_pe_video(rows, config, _counter(config.tokenizer))
