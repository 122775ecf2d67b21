"""Corpora: annotation files of the field, matched with the videos that are there by name.

`index.corpora: [{format: activitynet, file: val_1.json}]` reads one. Every row of a video that is there becomes an
annotation or a reject; the rows of videos that are not there are counted, and told in one reject a corpus.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field

from datasets_build.core.config import flatten
from datasets_build.core.files import DataError, sha256_file
from datasets_build.core.records import Annotation, Json, Reject, Split, Video
from datasets_build.sources.activitynet import ActivityNetConfig, read_activitynet
from datasets_build.sources.charades import CharadesConfig, read_charades
from datasets_build.sources.coin import CoinConfig, read_coin
from datasets_build.sources.ego4d import Ego4DConfig, read_ego4d
from datasets_build.sources.entries import Entry, Reading
from datasets_build.sources.epic_kitchens import EpicKitchensConfig, read_epic_kitchens
from datasets_build.sources.exact import show
from datasets_build.sources.kinetics import KineticsConfig, read_kinetics
from datasets_build.sources.pe_video import PEVideoConfig, read_pe_video
from datasets_build.sources.qvhighlights import QVHighlightsConfig, read_qvhighlights
from datasets_build.sources.said import Fault
from datasets_build.sources.sidecars import Placed, place, reject, rejects_of
from datasets_build.sources.video_json import VideoJsonConfig, read_video_json
from datasets_build.sources.youcook2 import YouCook2Config, read_youcook2

CorpusName = Literal[
    "activitynet", "charades", "coin", "ego4d", "epic_kitchens",
    "kinetics", "pe_video", "qvhighlights", "video_json", "youcook2",
]  # fmt: skip
CorpusSettings = Annotated[
    ActivityNetConfig
    | CharadesConfig
    | CoinConfig
    | Ego4DConfig
    | EpicKitchensConfig
    | KineticsConfig
    | PEVideoConfig
    | QVHighlightsConfig
    | VideoJsonConfig
    | YouCook2Config,
    Field(discriminator="format"),
]
# Each takes the settings of its own format, which the key names; no type says that of a dict.
READERS: Mapping[CorpusName, Callable[[Any], Reading]] = {
    "activitynet": read_activitynet,
    "charades": read_charades,
    "coin": read_coin,
    "ego4d": read_ego4d,
    "epic_kitchens": read_epic_kitchens,
    "kinetics": read_kinetics,
    "pe_video": read_pe_video,
    "qvhighlights": read_qvhighlights,
    "video_json": read_video_json,
    "youcook2": read_youcook2,
}
_NAMED = 5


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A corpus with its bytes known: `uri` is `format:name`, `version` the SHA-256 of its file, or of a folder's list.

    `digests` are those of every file that is read for it, by name.
    """

    uri: str
    version: str
    digests: Mapping[str, str]
    settings: CorpusSettings

    @property
    def origin(self) -> str:
        """The label set of its labels."""
        return self.settings.label_set or self.settings.format

    @property
    def fingerprint(self) -> str:
        """All that decides what it says, without where its files lie."""
        fields = flatten(self.settings)
        values = [
            f"{name}={value}" for name, value in fields.items() if not isinstance(getattr(self.settings, name), Path)
        ]
        return "; ".join([self.uri, *values, *(f"{name} {sha256}" for name, sha256 in self.digests.items())])


def identify(corpora: Sequence[CorpusSettings]) -> tuple[CorpusFile, ...]:
    """Hash the files of every corpus.

    Raises:
        DataError: a file cannot be read, or two corpora of one format have files of one name.
    """
    found = tuple(_identify(settings) for settings in corpora)
    twice = [uri for uri, count in Counter(corpus.uri for corpus in found).items() if count > 1]
    if twice:
        raise DataError(f"index.corpora: found {twice[0]} twice, expected files of different names")
    return found


def _identify(settings: CorpusSettings) -> CorpusFile:
    digests: dict[str, str] = {}
    for number, path in enumerate(settings.paths()):
        name = _name_of(path, settings.file)
        try:
            # Tables of one name in two folders are two files.
            digests[name if name not in digests else f"{name} ({number})"] = sha256_file(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read as a file of index.corpora ({error.strerror})") from error
    listed = "".join(f"{name}\0{sha256}\n" for name, sha256 in digests.items())
    is_folder = settings.file.is_dir()
    version = hashlib.sha256(listed.encode()).hexdigest() if is_folder else digests[settings.file.name]
    return CorpusFile(f"{settings.format}:{settings.file.name}", version, digests, settings)


def _name_of(path: Path, file: Path) -> str:
    return path.relative_to(file).as_posix() if path != file and path.is_relative_to(file) else path.name


@dataclass(frozen=True, slots=True)
class Match:
    """A corpus that was read and held against the videos.

    Args:
        corpus: where it comes from.
        reading: all that it says.
        of_video: the places in `reading.entries` of what it says of each usable video, by the video's path.
        absent: the places of entries whose video is not there.
        left_out: the places of entries whose video could not be used, with its path.
    """

    corpus: CorpusFile
    reading: Reading
    of_video: Mapping[str, tuple[int, ...]]
    absent: tuple[int, ...]
    left_out: Mapping[int, str]

    def entries(self, uri: str) -> list[Entry]:
        """What is said of a video."""
        return [self.reading.entries[number] for number in self.of_video.get(uri, ())]

    def rows(self, numbers: Iterable[int]) -> int:
        """How many rows some entries hold."""
        return sum(self.reading.entries[number].n_rows for number in numbers)


def read_corpus_file(corpus: CorpusFile) -> Reading:
    """All that a corpus says. Raises DataError when its file is not what its format says."""
    return READERS[corpus.settings.format](corpus.settings)


def match_corpus(
    corpus: CorpusFile, reading: Reading, *, usable: Iterable[str], unusable: Iterable[str], suffixes: Sequence[str]
) -> Match:
    """Find the video of each entry of a corpus by name; pure.

    Args:
        corpus: from `identify`.
        reading: what it says.
        usable: paths of videos below VIDEOS.
        unusable: paths of those that were left out.
        suffixes: what may end a video's name in the corpus.
    """
    here, gone = _by_stem(usable), _by_stem(unusable)
    of_video: dict[str, tuple[int, ...]] = {}
    absent, left_out = [], {}
    for number, entry in enumerate(reading.entries):
        found, lost = _meant(entry, here, suffixes), _meant(entry, gone, suffixes)
        for uri in found:
            of_video[uri] = (*of_video.get(uri, ()), number)
        if not found and lost:
            left_out[number] = lost[0]
        elif not found:
            absent.append(number)
    return Match(corpus, reading, of_video, tuple(absent), left_out)


Parts = tuple[str, ...]


def _by_stem(uris: Iterable[str]) -> dict[str, list[tuple[Parts, str]]]:
    found: dict[str, list[tuple[Parts, str]]] = {}
    for uri in uris:
        parts = PurePosixPath(uri).with_suffix("").parts
        found.setdefault(parts[-1], []).append((parts, uri))
    return found


def _meant(entry: Entry, videos: Mapping[str, list[tuple[Parts, str]]], suffixes: Sequence[str]) -> list[str]:
    """The paths of the videos that an entry may mean, in their order."""
    found: dict[str, None] = {}
    for name in entry.names:
        path = PurePosixPath(name.replace("\\", "/").strip("/"))
        path = path.with_suffix("") if path.suffix.lower() in suffixes else path
        wanted = tuple(part for part in path.parts if part not in (".", ".."))
        for parts, uri in videos.get(wanted[-1], []) if wanted else []:
            shared = min(len(parts), len(wanted))
            if parts[-shared:] == wanted[-shared:]:
                found[uri] = None
    return list(found)


def placed_of(match: Match, video: Video) -> Placed:
    """What a corpus says of a video, on the video's clock, and what of it cannot be."""
    annotations, rejects = list[Annotation](), list[Reject]()
    said: set[tuple[int, int, str, str, str | None]] = set()
    for entry in match.entries(video.uri):
        fault = entry.misfit and entry.misfit(video.duration_ns)
        if fault:
            found = Fault(fault.code, f"{entry.names[0]}: {fault.reason}")
            rejects += [reject(match.corpus, found) for _ in entry.sheet.rows]
            continue
        placed = place(entry.sheet, match.corpus, video)
        for each in placed.annotations:
            # One video may stand in a file by two names, or twice.
            if (each.start_ns, each.end_ns, each.kind, each.text, each.label) in said:
                again = f"{entry.names[0]}: found the words and times of another row again: {show(each.text)}"
                rejects.append(reject(match.corpus, Fault("duplicate", again)))
            else:
                annotations.append(each)
        said |= {(each.start_ns, each.end_ns, each.kind, each.text, each.label) for each in placed.annotations}
        rejects += placed.rejects
    return Placed(tuple(annotations), tuple(rejects))


def rejects_of_corpus(match: Match) -> Iterator[Reject]:
    """What of a corpus no video's clock decides: unusable rows, absent videos, and notes about the whole file."""
    corpus, entries = match.corpus, match.reading.entries
    yield from (reject(corpus, fault) for fault in (*match.reading.notes, *match.reading.faults))
    if not match.reading.n_rows:
        yield reject(corpus, Fault("no_rows", f"{corpus.settings.file.name}: found no row, expected some"))
    for number in sorted({number for numbers in match.of_video.values() for number in numbers}):
        yield from rejects_of(entries[number].sheet, corpus)
    for number, uri in match.left_out.items():
        reason = f"{entries[number].names[0]}: its video {uri} was left out, and {entries[number].n_rows} rows with it"
        yield reject(corpus, Fault("video_rejected", reason))
    if match.absent:
        names = ", ".join(entries[number].names[0] for number in match.absent[:_NAMED])
        more = f" and {len(match.absent) - _NAMED} more" if len(match.absent) > _NAMED else ""
        reason = f"{match.rows(match.absent)} rows of {len(match.absent)} videos that are not there: {names}{more}"
        yield reject(corpus, Fault("video_absent", f"found {reason}, expected them below VIDEOS"))


def stated_splits(matches: Sequence[Match], groups: Mapping[str, str]) -> dict[str, Split]:
    """The split of each group that a corpus sets; `groups` is the group of each usable video's path.

    Raises:
        DataError: two corpora, or two videos of identical content, are set to different splits.
    """
    found: dict[str, tuple[Split, str]] = {}
    for match in matches:
        wanted = match.corpus.settings.split
        for uri in match.of_video:
            for entry in match.entries(uri):
                split = entry.split if wanted == "stated" else wanted
                if split is None:
                    continue
                first = found.setdefault(groups[uri], (split, match.corpus.uri))
                if first[0] != split:
                    who = f"{uri}: {match.corpus.uri} says {split}, {first[1]} says {first[0]}"
                    raise DataError(f"{who} of it or of an identical video; expected one split (index.corpora)")
    return {group: split for group, (split, _) in found.items()}


def licence_with(licence: str, uri: str, matches: Sequence[Match]) -> str:
    """A video's licence, followed by those of the annotations that corpora give it."""
    told = [match.corpus for match in matches if uri in match.of_video and match.corpus.settings.licence]
    return "; ".join([licence, *(f"annotations {each.uri}: {each.settings.licence}" for each in told)])


def account(match: Match, n_placed: int) -> dict[str, Json]:
    """The numbers of one corpus: each row of the file is placed, rejected, or of a video that is not there.

    A row that is said of several videos counts once for each: `copies` are those beyond the first.
    """
    told = [number for numbers in match.of_video.values() for number in numbers]
    copies = match.rows(told) - match.rows(set(told))
    total, absent = match.reading.n_rows + copies, match.rows(match.absent)
    corpus = match.corpus
    return {
        "uri": corpus.uri,
        "sha256": corpus.version,
        "files": dict(corpus.digests),
        "licence": corpus.settings.licence,
        "split": corpus.settings.split,
        "label_set": corpus.origin,
        "videos": len(match.of_video),
        "absent videos": len(match.absent),
        "rows": match.reading.n_rows,
        "copies": copies,
        "annotations": n_placed,
        "rejected": total - absent - n_placed,
        "absent": absent,
    }
