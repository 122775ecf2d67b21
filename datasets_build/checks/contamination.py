"""Contamination: nothing to learn from is also something to measure with, be it one's own test split or a benchmark."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from datasets_build.checks.benchmarks import BenchmarkFile, names_of, read_benchmark
from datasets_build.checks.laws import Breach, Ledger
from datasets_build.checks.pictures import Album, picture_hash
from datasets_build.checks.shingles import code_of, shingles_of, words_of
from datasets_build.core.config import Config
from datasets_build.core.files import DataError
from datasets_build.core.layout import read_videos, table_path
from datasets_build.core.perceived import Keyframe
from datasets_build.core.records import Video
from datasets_build.teachers.template import CHINESE, PHRASES, TERSE

SAME_PICTURES = ("split_by_pictures", "no video of another split shows the pictures of one to learn from")
SAME_QUESTION = ("split_by_questions", "no question of another split is a question to learn from, in its special words")
BENCHMARK_VIDEO = ("benchmark_videos", "no video to learn from bears the name of a benchmark's")
BENCHMARK_QUESTION = ("benchmark_questions", "no question to learn from is a benchmark's")
BENCHMARK_PICTURES = ("benchmark_pictures", "no video to learn from shows the pictures of a benchmark's")
_LENGTH = 3
_SLOTS = 1 << 20
UNREADABLE = (pa.ArrowInvalid, pa.ArrowKeyError, OSError, KeyError)
"""What pyarrow says of a file that is no table, or not one of the wanted columns."""


class ContaminationConfig(Config):
    """What counts as the same.

    `benchmarks` are annotation files, `folders` output folders of this program that were made from the videos of a
    benchmark (index and perceive). Pictures are alike that differ in `picture_bits` of 256 at most, videos where at
    least `picture_share` of the pictures of the shorter one are. A question of at least `least_words` words is a
    benchmark's where it holds `overlap` of its runs of three words; it is another split's where so many of its words
    are the same, and `special` of these are in hardly any other video and not the templates' own.
    """

    benchmarks: tuple[BenchmarkFile, ...] = ()
    folders: tuple[str, ...] = ()
    picture_bits: int = Field(default=20, ge=0, le=64)
    picture_share: float = Field(default=0.5, gt=0, le=1)
    least_words: int = Field(default=8, ge=3)
    overlap: float = Field(default=0.8, gt=0, le=1)
    special: int = Field(default=4, ge=1)


class Asking(NamedTuple):
    """A question of a dataset, in a file."""

    file: str
    record: str
    video_id: str
    text: str


def check_contamination(out: Path, videos: Sequence[Video], config: ContaminationConfig, ledger: Ledger) -> None:
    """Hold the train split against the other splits, and against benchmarks where some are named.

    Raises:
        DataError: a benchmark's file or folder cannot be read.
    """
    by_id = {video.id: video for video in videos}
    held = {video.id for video in videos if video.split != "train"}
    _pictures(out, by_id, held, config, ledger)
    _questions(out, by_id, config, ledger)
    if config.benchmarks:
        _benchmarks(out, by_id, config, ledger)
    for folder in config.folders:
        _foreign_pictures(out, by_id, Path(folder), config, ledger)


def _pictures(
    out: Path, videos: Mapping[str, Video], held: set[str], config: ContaminationConfig, ledger: Ledger
) -> None:
    album = _album(out, lambda made: made in held)

    for video, alike in _alike(out, videos, album, config):
        others = [f"the pictures of {videos[name].uri}, which is in {videos[name].split}" for name in alike]
        breaches = [Breach(f"{video.uri} with {other}", "one split for both") for other in others]
        ledger.note(*SAME_PICTURES, "perceive/keyframes.parquet", video.id, breaches)


def _foreign_pictures(
    out: Path, videos: Mapping[str, Video], folder: Path, config: ContaminationConfig, ledger: Ledger
) -> None:
    names = {video.id: video.uri for video in read_videos(folder)}
    album = _album(folder, lambda made: made in names)
    for video, alike in _alike(out, videos, album, config):
        breaches = [Breach(f"{video.uri} with the pictures of {folder}/{names[name]}", "others") for name in alike]
        ledger.note(*BENCHMARK_PICTURES, "perceive/keyframes.parquet", video.id, breaches)


def _album(out: Path, wanted: Callable[[str], bool]) -> Album:
    """The pictures of the wanted videos of a folder, hashed."""
    album = Album()
    for video_id, jpeg in _keyframes(out):
        made = picture_hash(jpeg) if wanted(video_id) else None
        if made is not None:
            album.add(video_id, made)
    return album


def _keyframes(out: Path) -> Iterator[tuple[str, bytes]]:
    """Each keyframe's video and picture; a table that cannot be read is another law's matter."""
    path = table_path(out, Keyframe)
    try:
        for row in _columns(path, "video_id", "jpeg") if path.exists() else ():
            yield str(row["video_id"]), row["jpeg"]
    except UNREADABLE:
        return


def _alike(
    out: Path, videos: Mapping[str, Video], album: Album, config: ContaminationConfig
) -> Iterator[tuple[Video, list[str]]]:
    """Each train video that has pictures, with the videos of an album that show the same."""
    for video_id, rows in groupby(_keyframes(out), key=itemgetter(0)):
        video = videos.get(video_id)
        if video is None or video.split != "train" or not album.sizes:
            continue
        hashes = [made for made in (picture_hash(jpeg) for _, jpeg in rows) if made is not None]
        met: Counter[str] = Counter()
        for made in hashes:
            met.update(album.near(made, config.picture_bits))
        if hashes:
            least = {name: config.picture_share * min(len(hashes), album.sizes[name]) for name in met}
            yield video, sorted(name for name, number in met.items() if number >= least[name])


def _asked(out: Path, splits: Sequence[str]) -> Iterator[Asking]:
    """What is asked in some splits, by people who talk or alone."""
    for split in splits:
        for file, read in (
            (f"streaming_qa/qa/{split}.parquet", _alone),
            (f"dialogue/dialogues/{split}.parquet", _said),
        ):
            try:
                yield from read(out, file) if (out / file).exists() else ()
            except UNREADABLE:
                # That a table cannot be read is another law's matter.
                continue


def _columns(path: Path, *names: str) -> Iterator[Mapping[str, Any]]:
    # Only texts are wanted: whole records would take most of the time of a check.
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(batch_size=1000, columns=list(names)):
            yield from batch.to_pylist()


def _alone(out: Path, file: str) -> Iterator[Asking]:
    for row in _columns(out / file, "id", "video_id", "question"):
        yield Asking(file, str(row["id"]), str(row["video_id"]), str(row["question"]))


def _said(out: Path, file: str) -> Iterator[Asking]:
    names = ("id", "video_id", "turns.list.element.role", "turns.list.element.text")
    for row in _columns(out / file, *names):
        for turn in row["turns"]:
            if turn["role"] == "user":
                yield Asking(file, str(row["id"]), str(row["video_id"]), str(turn["text"]))


def _questions(out: Path, videos: Mapping[str, Video], config: ContaminationConfig, ledger: Ledger) -> None:
    """Questions of other splits that were asked in the train split as well, with the same special words."""
    others = ("validation", "test")
    counts, total = _videos_per_word(out)
    # A word is special that hardly any video's questions have.
    most = min(50, max(2, total // 1000))
    index: defaultdict[int, list[int]] = defaultdict(list)
    held: list[tuple[Asking, frozenset[int]]] = []
    for asking in _asked(out, others):
        codes = _codes(asking.text)
        special = [code for code in codes - _phrased() if counts[code % _SLOTS] <= most]
        if len(codes) >= config.least_words and len(special) >= config.special:
            for code in special:
                index[code].append(len(held))
            held.append((asking, codes))
    for asking in _asked(out, ("train",)):
        codes = _codes(asking.text)
        shared = Counter(place for code in codes for place in index.get(code, ()))
        like = [
            held[place][0]
            for place, number in sorted(shared.items())
            if number >= config.special and _overlap(codes, held[place][1]) >= config.overlap
        ]
        breaches = [Breach(f"{asking.text!r}, as record {each.record} of {each.file}", "another") for each in like[:1]]
        if asking.video_id in videos:
            ledger.note(*SAME_QUESTION, asking.file, asking.record, breaches)


@lru_cache(maxsize=1)
def _phrased() -> frozenset[int]:
    """The words of the templates: with few videos hardly any other one is asked in them, and they prove no copy."""
    texts = (path.read_text(encoding="utf-8") for path in (PHRASES, CHINESE, TERSE))
    return frozenset(code_of((word,)) for text in texts for word in words_of(text))


def _codes(text: str) -> frozenset[int]:
    return frozenset(code_of((word,)) for word in words_of(text))


def _overlap(one: frozenset[int], other: frozenset[int]) -> float:
    """Jaccard's coefficient."""
    return len(one & other) / max(1, len(one | other))


def _videos_per_word(out: Path) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]:
    """In how many videos' questions each word is, by its code modulo the slots; and how many videos there are."""
    counts = np.zeros(_SLOTS, np.int64)
    total = 0
    for _, asked in groupby(_asked(out, ("train", "validation", "test")), key=lambda each: each.video_id):
        words = {code % _SLOTS for each in asked for code in _codes(each.text)}
        counts[sorted(words)] += 1
        total += 1
    return counts, total


def _benchmarks(out: Path, videos: Mapping[str, Video], config: ContaminationConfig, ledger: Ledger) -> None:
    names: dict[str, str] = {}
    index: defaultdict[int, list[int]] = defaultdict(list)
    questions: list[tuple[str, int]] = []
    for entry in config.benchmarks:
        known = set[tuple[str, ...]]()
        for item in read_benchmark(entry):
            for name in names_of(item.video):
                names.setdefault(name.casefold(), f"{item.name} {item.video}")
            words = words_of(item.question or "")
            if len(words) >= config.least_words and words not in known:
                known.add(words)
                codes = shingles_of(words, _LENGTH)
                for code in codes:
                    index[code].append(len(questions))
                questions.append((f"{item.name}: {item.question}", len(codes)))
    if not names:
        raise DataError(f"{', '.join(entry.file for entry in config.benchmarks)}: no items, expected a benchmark's")
    for video in videos.values():
        if video.split == "train":
            found = sorted(names[name.casefold()] for name in names_of(video.uri) if name.casefold() in names)
            breaches = [Breach(f"{video.uri}, which is {each}", "a video of no benchmark") for each in found]
            ledger.note(*BENCHMARK_VIDEO, "index/videos.parquet", video.id, breaches)
    for asking in _asked(out, ("train",)):
        shared = Counter(place for code in shingles_of(words_of(asking.text), _LENGTH) for place in index.get(code, ()))
        like = [
            questions[place][0] for place, number in shared.items() if number >= config.overlap * questions[place][1]
        ]
        breaches = [
            Breach(f"{asking.text!r}, which is {each}", "a question of no benchmark") for each in sorted(like)[:1]
        ]
        ledger.note(*BENCHMARK_QUESTION, asking.file, asking.record, breaches)
