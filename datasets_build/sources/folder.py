"""Any folder tree of video files as a corpus: which files are videos, and which say something about them.

Names beside a video `clip.mp4` that say something about it:

- `clip.srt`, `clip.vtt`, `clip.ass`, `clip.ssa`, also with a language (`clip.en.srt`, `clip.pt-BR.forced.srt`) and also
  after the whole name (`clip.mp4.srt`);
- `clip.json`, `clip.captions.json`, `clip.mp4.json`: captions; `clip.world.json`, `clip.lesson.json`: the truth
  about a drawn video.

A stem that several videos share (`clip.mp4`, `clip.webm`) is said of all of them. Hidden files and folders are passed
over; links are followed, but not in circles; what is no regular file is never opened.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from datasets_build.core.config import Config
from datasets_build.core.files import DataError
from datasets_build.core.records import Reject
from datasets_build.sources.captions import Unit
from datasets_build.sources.said import Clock

SidecarKind = Literal["subtitles", "captions", "world", "lesson"]
_DRAWN: Mapping[str, SidecarKind] = {".world": "world", ".lesson": "lesson"}
SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".mpe"),
    *(".m2v", ".vob", ".gif", ".flv", ".f4v", ".wmv", ".asf", ".ogv", ".ogm", ".3gp", ".3g2", ".mxf", ".dv", ".rm"),
    *(".rmvb", ".y4m", ".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".nut"),
)
SIDECAR_SUFFIXES = (".srt", ".vtt", ".ass", ".ssa", ".json")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_MARK = ".captions"
_QUALIFIERS = frozenset({"forced", "sdh", "cc", "default", "auto"})
_KINDS_OF_NODE = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_Identity = tuple[int, int]


class LicenceRule(Config):
    """The licence of the videos whose path below VIDEOS matches a shell pattern; `*` also crosses folders."""

    match: str
    licence: str


class FolderConfig(Config):
    """Settings of a folder of videos.

    `suffixes` (lower case, with the dot; any case on disk) make a file a video. `licences` are tried in order, the
    first that matches wins, else `licence` stands. `caption_unit` and `caption_clock` say how plain times of JSON
    captions are meant where their file does not say: `video` counts from the first shown frame, `container` is the
    file's own timeline. `words`: subtitles give words where they state their times, or, `spread`, the others too, with
    each cue's time spread over its letters.
    """

    suffixes: tuple[str, ...] = Field(default=SUFFIXES, min_length=1)
    licence: str = "unknown"
    licences: tuple[LicenceRule, ...] = ()
    caption_unit: Unit = "s"
    caption_clock: Clock = "video"
    words: Literal["stated", "spread"] = "stated"

    @field_validator("suffixes")
    @classmethod
    def _dotted(cls, suffixes: tuple[str, ...]) -> tuple[str, ...]:
        for suffix in suffixes:
            if not re.fullmatch(r"\.[^.\s/]+", suffix) or suffix != suffix.lower():
                raise ValueError(f"a suffix is lower case and starts with a dot, found {suffix!r}")
        return suffixes

    def licence_of(self, uri: str) -> str:
        """The licence of the video at a path below VIDEOS."""
        found = (rule.licence for rule in self.licences if fnmatch.fnmatchcase(uri, rule.match))
        return next(found, self.licence)


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A regular file with a video's suffix; `uri` is its path below VIDEOS with `/`."""

    uri: str
    path: Path


@dataclass(frozen=True, slots=True)
class SidecarFile:
    """A file that says something about the videos at `videos` (at least one)."""

    uri: str
    path: Path
    kind: SidecarKind
    language: str | None
    videos: tuple[str, ...]

    @property
    def origin(self) -> str:
        """What its rows come from."""
        return self.kind

    @property
    def version(self) -> str:
        """Nothing: a sidecar stands beside its video, and its digest is in the index's inputs."""
        return ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a tree holds, everything sorted by `uri`; `root` is absolute. No video file is in neither list."""

    root: Path
    videos: tuple[VideoFile, ...]
    sidecars: tuple[SidecarFile, ...]
    rejects: tuple[Reject, ...]


def list_folder(videos: Path, config: FolderConfig, *, skip: Path | None = None) -> Listing:
    """Find the videos of a tree and what stands beside them; opens no file.

    Args:
        videos: the folder, or one video file, which stands for itself and its sidecars.
        config: what counts as a video.
        skip: our own output folder, passed over when it lies inside the tree.

    Raises:
        DataError: there is no such path, it cannot be listed, or it holds nothing with a video's suffix.
    """
    try:
        mode = videos.stat().st_mode
    except OSError as error:
        raise DataError(f"{videos}: {error.strerror}; expected a folder of videos") from error
    if skip is not None and skip.exists() and skip.samefile(videos):
        raise DataError(f"{videos}: is the output folder itself; choose another OUT")
    only = None if stat.S_ISDIR(mode) else videos.name
    root = Path(os.path.abspath(videos if only is None else videos.parent))  # noqa: PTH100 - keeps links as they are
    found = list(_walk(root, skip) if only is None else _beside(root))
    listing = sort_out(root, found, config, only=only)
    if not listing.videos and not listing.rejects:
        known = " ".join(config.suffixes[:8])
        raise DataError(f"{videos}: holds no video, expected files named {known} … (setting index.folder.suffixes)")
    return listing


@dataclass(frozen=True, slots=True)
class Node:
    """A directory entry that is no folder we could enter: `refused` says why it may not be opened, None if it may."""

    uri: str
    refused: tuple[str, str] | None = None


def _beside(root: Path) -> Iterator[Node]:
    with os.scandir(root) as entries:
        for entry in entries:
            node = _examine(entry, entry.name)
            if isinstance(node, Node):
                yield node


def _walk(root: Path, skip: Path | None) -> Iterator[Node]:
    ours = _identity(skip.stat()) if skip is not None and skip.exists() else None
    todo: list[tuple[str, frozenset[_Identity]]] = [("", frozenset({_identity(root.stat())}))]
    while todo:
        folder, above = todo.pop()
        try:
            with os.scandir(root / folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            if not folder:
                raise DataError(f"{root}: {error.strerror}; expected a folder that can be listed") from error
            yield Node(folder + "/", ("unreadable", f"the folder cannot be listed ({error.strerror})"))
            continue
        for entry in visible:
            uri = f"{folder}/{entry.name}" if folder else entry.name
            node = _examine(entry, uri)
            if isinstance(node, Node):
                yield node
            elif node in above:
                yield Node(uri + "/", ("link_loop", "the link leads back to a folder above it"))
            elif node != ours:
                todo.append((uri, above | {node}))


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _examine(entry: os.DirEntry[str], uri: str) -> Node | _Identity:
    """What an entry is behind its links: a folder's identity, or a node with the reason why it may not be opened."""
    try:
        status = entry.stat()
    except OSError as error:
        reason = "the link leads nowhere" if entry.is_symlink() else "the file cannot be examined"
        return Node(uri, ("dangling_link" if entry.is_symlink() else "unreadable", f"{reason} ({error.strerror})"))
    if stat.S_ISDIR(status.st_mode):
        return _identity(status)
    for is_kind, name in _KINDS_OF_NODE:
        if is_kind(status.st_mode):
            return Node(uri, ("not_a_file", f"found {name}, expected a regular file"))
    return Node(uri)


def sort_out(root: Path, nodes: Iterable[Node], config: FolderConfig, *, only: str | None = None) -> Listing:
    """Divide directory entries into videos, sidecars and rejects; pure.

    Args:
        root: what every `uri` is below.
        nodes: any order.
        config: what counts as a video.
        only: keep this one video and its sidecars.
    """
    videos, others, rejects = [], [], []
    for node in sorted(nodes, key=lambda node: node.uri):
        suffix = PurePosixPath(node.uri).suffix.lower()
        is_video = suffix in config.suffixes
        if only is not None and (node.uri != only if is_video else not node.uri.startswith(PurePosixPath(only).stem)):
            continue
        if not (is_video or suffix in SIDECAR_SUFFIXES or node.uri.endswith("/")):
            continue
        refused = node.refused or _bad_name(node.uri)
        if refused:
            rejects.append(_reject(node.uri, *refused))
        elif is_video:
            videos.append(VideoFile(node.uri, root / node.uri))
        else:
            others.append(node.uri)
    sidecars, orphans = _attach(root, others, [video.uri for video in videos])
    if only is None:
        rejects += [
            _reject(uri, "orphan", "found no usable video of this name beside it, expected one") for uri in orphans
        ]
    rejects.sort(key=lambda row: row.item)
    return Listing(root, tuple(videos), tuple(sidecars), tuple(rejects))


def _bad_name(uri: str) -> tuple[str, str] | None:
    if any("\ud800" <= letter <= "\udfff" for letter in uri):
        return "name_not_utf8", "the name is not UTF-8, which no table can hold"
    return None


_ACTIONS = {
    "dangling_link": "mend or remove the link",
    "link_loop": "nothing: its videos are found in their own place",
    "name_not_utf8": "rename it, for example with convmv",
    "not_a_file": "move it away, or copy its content to a file",
    "orphan": "give it the name of its video, or move it away",
    "unreadable": "make it readable for this user",
}


def _reject(uri: str, code: str, reason: str) -> Reject:
    shown = os.fsencode(uri).decode(errors="backslashreplace")
    return Reject(stage="index", item=shown, code=code, reason=f"{shown}: {reason}", action=_ACTIONS[code])


def _attach(root: Path, uris: Sequence[str], videos: Sequence[str]) -> tuple[list[SidecarFile], list[str]]:
    """Find each sidecar's videos; returns the sidecars, and the names that must have a video and have none."""
    by_name = {uri: (uri,) for uri in videos}
    by_stem: dict[str, tuple[str, ...]] = {}
    for uri in videos:
        stem = uri.removesuffix(PurePosixPath(uri).suffix)
        by_stem[stem] = (*by_stem.get(stem, ()), uri)
    sidecars, orphans = [], []
    for uri in uris:
        kind, base = _kind_of(uri)
        # `clip.info.json` is no captions file in a language named info: a bare JSON name carries no tags.
        is_bare = kind == "captions" and not uri.lower().endswith(f"{_MARK}.json")
        owners, language = _owners(base, 0 if is_bare else 2, by_name, by_stem)
        if owners:
            sidecars.append(SidecarFile(uri, root / uri, kind, language, owners))
        elif not is_bare:
            orphans.append(uri)
    return sidecars, orphans


def _kind_of(uri: str) -> tuple[SidecarKind, str]:
    """What a sidecar's name says that it holds, and the name without that."""
    base = uri.removesuffix(PurePosixPath(uri).suffix)
    if not uri.lower().endswith(".json"):
        return "subtitles", base
    for mark, kind in _DRAWN.items():
        if base.lower().endswith(mark):
            return kind, base[: -len(mark)]
    return "captions", base[: -len(_MARK)] if base.lower().endswith(_MARK) else base


def _owners(
    base: str, most_tags: int, by_name: Mapping[str, tuple[str, ...]], by_stem: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], str | None]:
    """The videos that a sidecar's name without suffixes means, and the language in it."""
    head, slash, name = base.rpartition("/")
    parts = name.split(".")
    for tags in range(min(most_tags + 1, len(parts))):
        stem = head + slash + ".".join(parts[: len(parts) - tags])
        owners = by_name.get(stem) or by_stem.get(stem)
        said = parts[len(parts) - tags :]
        if said and said[-1].lower() in _QUALIFIERS:
            said = said[:-1]
        if owners and (not said or (len(said) == 1 and _LANGUAGE.fullmatch(said[0]))):
            return owners, said[0].replace("_", "-") if said else None
    return (), None
