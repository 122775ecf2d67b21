"""Laws across files: splits by source, references, equal copies, views that equal their grid, and manifests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from datasets_build.checks.laws import Breach, Ledger
from datasets_build.core.files import read_json, sha256_file
from datasets_build.core.records import Dialogue, Part, Record, StreamingQA, Video

P = TypeVar("P", bound=Part)
V = TypeVar("V", bound=Record)
SPLIT_BY_SOURCE = ("split_by_source", "videos of one group, and copies of one file, share a split")
MANIFEST = ("manifest_agrees", "every file of a stage is listed with its size and SHA-256, and no other is there")
SHOWN = 120


def split_breaches(videos: Sequence[Video]) -> Iterator[tuple[str, Breach]]:
    """Groups and files (by SHA-256) that stand in two splits, under the id of the video that gives them away."""
    homes: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for video in videos:
        for key in (("group", video.group), ("sha256", video.sha256)):
            first = next(iter(homes[key].items()), None)
            homes[key].setdefault(video.id, video.split)
            if first is not None and first[1] != video.split:
                kind, value = key
                yield video.id, Breach(f"split {video.split}", f"{first[1]}, as video {first[0]} of {kind} {value}")


def missing_references(
    row: StreamingQA | Dialogue,
    events: frozenset[str],
    *,
    boxes: frozenset[str] = frozenset(),
    augmented: bool = False,
) -> Iterator[Breach]:
    """Ids in a record that are no event of its video, and no box of it either where they say what it was made from.

    One of an augmented video, or one that people corrected, names its parent before them.
    """
    turns = row.turns if isinstance(row, Dialogue) else (row,)
    for part in turns:
        for piece in part.evidence:
            if piece.event_id is not None and piece.event_id not in events:
                yield Breach(f"event {piece.event_id} in evidence", "an event of the video")
    inputs = row.provenance.inputs
    if augmented and (not inputs or inputs[0] in events):
        yield Breach(f"inputs {inputs} in provenance", "the record that it was made from, before its events")
    for made in inputs[augmented or row.provenance.kind == "person" :]:
        if made not in events and made not in boxes:
            yield Breach(f"input {made} in provenance", "an event or a box of the video")


def difference(found: P | None, expected: P | None) -> Breach | None:
    """The first field in which two records of one kind differ; None when they are equal."""
    if found == expected:
        return None
    if found is None or expected is None:
        here, there = ("no row", "a row") if found is None else ("a row", "no row")
        return Breach(here, f"{there}: {str(found or expected)[:SHOWN]}")
    pairs = ((name, getattr(found, name), getattr(expected, name)) for name in type(expected).model_fields)
    name, one, other = next(pair for pair in pairs if pair[1] != pair[2])
    return Breach(f"{name} {str(one)[:SHOWN]}", str(other)[:SHOWN])


def view_breaches(found: Iterator[V], derived: Iterator[V]) -> Iterator[tuple[str, Breach | None]]:
    """Compare a written view with the derived one, row by row: a record id and its breach, or None."""
    for row, wanted in zip_longest(found, derived):
        named = row or wanted
        assert named is not None, "zip_longest ends with the longer one"
        yield named.id, difference(row, wanted)


def longest_window(folder: Path) -> int | None:
    """The longest response window that a dataset's settings allow, in ns; None where its manifest names none."""
    content = read_json(folder / "manifest.json")
    fields = content.get("fields") if isinstance(content, dict) else None
    text = fields.get("config.facts.window_ns") if isinstance(fields, dict) else None
    return int(text) if isinstance(text, str) and text.isdigit() else None


def check_manifest(folder: Path, ledger: Ledger) -> None:
    """Hold the files of a stage's folder against its manifest."""
    name = f"{folder.name}/manifest.json"
    content = read_json(folder / "manifest.json")
    listed = content.get("files") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        ledger.note(*MANIFEST, name, name, [Breach("no list of files", "files with path, bytes and sha256")])
        return
    there = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    there.pop("manifest.json", None)
    for entry in listed:
        row = entry if isinstance(entry, dict) else {}
        file = str(row.get("path"))
        path = there.pop(file, None)
        ledger.note(*MANIFEST, f"{folder.name}/{file}", file, _file_breaches(path, row.get("bytes"), row.get("sha256")))
    for file in there:
        ledger.note(*MANIFEST, f"{folder.name}/{file}", file, [Breach("a file that is not listed", "no such file")])


def _file_breaches(path: Path | None, size: object, sha256: object) -> Iterator[Breach]:
    if path is None:
        yield Breach("no such file", "a file, as the manifest lists it")
    elif path.stat().st_size != size:
        yield Breach(f"{path.stat().st_size} bytes", f"{size} bytes")
    elif (found := sha256_file(path)) != sha256:
        yield Breach(f"SHA-256 {found}", f"{sha256}")
