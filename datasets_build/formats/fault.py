"""What is wrong with an exported file, and the manifest of an export against its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.files import DataError, sha256_file


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with an exported file: where, which rule, what was found and what was expected."""

    where: str
    rule: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: found {self.found}, expected {self.expected}"


def file_faults(folder: Path, manifest: object) -> Iterator[Fault]:
    """Files that are not those that a manifest lists. Raises DataError where it lists none."""
    listed = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(listed, list):
        raise DataError(f"{folder}/manifest.json: field files is missing, expected the files of the export")
    for entry in listed:
        path = folder / str(entry["path"])
        if not path.is_file():
            yield Fault(str(entry["path"]), "manifest", "no file", "the file that the manifest lists")
        elif sha256_file(path) != entry["sha256"]:
            yield Fault(str(entry["path"]), "manifest", "other bytes", f"sha256 {entry['sha256']}")
