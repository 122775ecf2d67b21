"""`streaming_config.json`: what a package is, how it streams, and the size and SHA-256 of each of its files."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from models.errors import PackageError, SettingsError
from models.model_card import ModelCard
from models.settings import StreamingSettings

SETTINGS_FILE: Final = "streaming_config.json"
FORMAT: Final = "streamvl-package"
VERSION: Final = (1, 0)
README: Final = "README.md"
LICENSE: Final = "LICENSE"
WEIGHTS: Final = ".safetensors"
ROUTER_WEIGHTS: Final = "indexer.safetensors"
REQUIRED: Final = ("config.json", "processor_config.json", README, LICENSE)
# What a loader of transformers may pick up by its name alone.
_READ_BY_LOADERS: Final = (".safetensors", ".bin", ".pt", ".json", ".jinja", ".model", ".txt", ".py", ".gguf")
_VERSION: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")
_NAME_LIMIT: Final = 255  # bytes of a file name on common file systems
_HEADER_LIMIT: Final = 100 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file of the package: its name, its bytes and their SHA-256 as 64 hex digits."""

    name: str
    size: int
    sha256: str

    @property
    def is_weights(self) -> bool:
        """Whether it holds tensors, which are too large to hash at each start."""
        return self.name.endswith(WEIGHTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The contents of `streaming_config.json`.

    Attributes:
        version: of the format, as `(major, minor)`.
        family: the model's family.
        processor: class name of its processor.
        settings: how it is streamed.
        card: what its maker said.
        libraries: `(name, version)` of what wrote it.
        files: every other file of the folder, by name.
    """

    version: tuple[int, int]
    family: str
    processor: str
    settings: StreamingSettings
    card: ModelCard
    libraries: tuple[tuple[str, str], ...]
    files: tuple[FileEntry, ...]

    @property
    def weights(self) -> tuple[FileEntry, ...]:
        """The files with the model's tensors."""
        return tuple(entry for entry in self.files if entry.is_weights and entry.name != ROUTER_WEIGHTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What was found about one file; `problem` is a whole sentence, or None."""

    name: str
    size: int
    how: str
    problem: str | None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `streaming_config.json`, the last file of a package."""
    value = {
        "format": FORMAT,
        "format_version": f"{manifest.version[0]}.{manifest.version[1]}",
        "family": manifest.family,
        "processor": manifest.processor,
        "libraries": dict(manifest.libraries),
        "settings": manifest.settings.to_json(),
        "card": manifest.card.to_json(),
        "files": [{"name": entry.name, "size": entry.size, "sha256": entry.sha256} for entry in manifest.files],
    }
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")


def list_files(folder: Path) -> tuple[FileEntry, ...]:
    """Every file of a flat folder but the manifest, by name, with its size and hash. Raises PackageError for others."""
    paths = sorted(path for path in folder.iterdir() if path.name != SETTINGS_FILE)
    for path in paths:
        if not path.is_file():
            raise PackageError(f"{path.name}: found a folder, expected files; give the processor one chat template")
    return tuple(FileEntry(name=path.name, size=path.stat().st_size, sha256=_sha256(path)) for path in paths)


def read_manifest(folder: Path) -> Manifest:
    """What a package folder says about itself, its files not looked at.

    Raises:
        PackageError: no such folder, no package, of another version, or a field that is absent, unknown or wrong.
    """
    path = folder / SETTINGS_FILE
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise PackageError(f"{folder}: found {found}, expected a package folder; check the path")
    if not path.is_file():
        raise PackageError(
            f"{path}: missing, expected in every package; a plain checkpoint is loaded with load_base, "
            "a package is copied anew"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{path}: found no whole JSON ({error}); copy the package anew") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise PackageError(f"{path}: field format, expected {FORMAT!r}; this file belongs to something else")
    version = _version(path, value)
    wanted = ["format", "format_version", "family", "processor", "libraries", "settings", "card", "files"]
    _check_fields(path, "", value, wanted)
    return Manifest(
        version=version,
        family=_text(path, "family", value["family"]),
        processor=_text(path, "processor", value["processor"]),
        settings=_settings(path, value["settings"]),
        card=_card(path, value["card"]),
        libraries=_libraries(path, value["libraries"]),
        files=tuple(_entries(path, value["files"])),
    )


def check_package(folder: Path, manifest: Manifest, *, verify: bool) -> list[FileCheck]:
    """Every file of a package against its entry; the first problem of each is told, none is raised.

    Sizes always; SHA-256 of all but the weights, and with `verify` theirs too, of which otherwise the header is read.
    """
    checks = [_check_file(folder, entry, verify=verify) for entry in manifest.files]
    known = {entry.name for entry in manifest.files} | {SETTINGS_FILE}
    for path in sorted(folder.iterdir()):
        if path.name not in known and path.name.endswith(_READ_BY_LOADERS):
            problem = f"{path}: stands in no field files of {SETTINGS_FILE}, yet a loader would read it; remove it"
            # A link may lead nowhere.
            checks.append(FileCheck(name=path.name, size=path.lstat().st_size, how="listed", problem=problem))
    return checks


def check_required(folder: Path, manifest: Manifest) -> None:
    """Refuse a package whose list of files lacks one that every package has. Raises PackageError."""
    names = {entry.name for entry in manifest.files}
    lacking = [name for name in REQUIRED if name not in names] + ([] if manifest.weights else [f"*{WEIGHTS}"])
    if manifest.settings.router == "indexer" and ROUTER_WEIGHTS not in names:
        lacking.append(f"{ROUTER_WEIGHTS} (for the router of its settings)")
    if lacking:
        raise PackageError(
            f"{folder / SETTINGS_FILE}: field files lacks {', '.join(lacking)}, which it needs; save it again"
            f"{' with SaveOptions(router_weights=path)' if ROUTER_WEIGHTS in lacking[-1] else ''}"
        )


def _check_file(folder: Path, entry: FileEntry, *, verify: bool) -> FileCheck:
    hashed = verify or not entry.is_weights
    try:
        problem = _file_problem(folder / entry.name, entry, hashed=hashed)
    except OSError as error:
        problem = f"{folder / entry.name}: cannot be read ({error}); check its permissions, or copy the package anew"
    return FileCheck(name=entry.name, size=entry.size, how="sha256" if hashed else "header", problem=problem)


def _file_problem(path: Path, entry: FileEntry, *, hashed: bool) -> str | None:
    problem = None
    if not path.is_file():
        problem = f"{path}: missing, expected {entry.size} bytes; copy the package anew"
    elif (size := path.stat().st_size) != entry.size:
        problem = f"{path}: found {size} bytes, expected {entry.size}; it is torn or was changed: copy the package anew"
    elif hashed and (sha256 := _sha256(path)) != entry.sha256:
        problem = (
            f"{path}: found SHA-256 {sha256}, expected {entry.sha256}; it was changed: copy the package anew, "
            "or load your change as a checkpoint and save it as a new package"
        )
    elif not hashed:
        problem = _header_problem(path)
    return problem


def _header_problem(path: Path) -> str | None:
    """What is wrong with the header of a safetensors file: 8 bytes of length, then JSON with the tensors' places."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        header = handle.read(length) if length <= min(size, _HEADER_LIMIT) else b""
    try:
        tensors = json.loads(header)
        ends = [part["data_offsets"][1] for name, part in tensors.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0) == size
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        whole = False
    return None if whole else f"{path}: its header does not describe its {size} bytes; copy the package anew"


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _version(path: Path, value: dict[str, Any]) -> tuple[int, int]:
    text = value.get("format_version")
    found = _VERSION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise PackageError(f"{path}: field format_version is {text!r}, expected such as 1.0; copy the package anew")
    version = int(found[1]), int(found[2])
    if version[0] != VERSION[0]:
        libraries = value.get("libraries")
        writer = libraries.get("streamvl") if isinstance(libraries, dict) else None
        raise PackageError(
            f"{path}: field format_version is {text}, written by streamvl {writer or 'of an unstated version'}, "
            f"expected {VERSION[0]}.x; load it with that version, or save it again with this one"
        )
    return version


def _check_fields(path: Path, where: str, value: dict[str, Any], wanted: Sequence[str]) -> None:
    unknown, missing = sorted(set(value) - set(wanted)), sorted(set(wanted) - set(value))
    if unknown or missing:
        raise PackageError(
            f"{path}: {where}found unknown fields {unknown} and missing fields {missing}, expected exactly "
            f"{list(wanted)}; load it with the version that wrote it, or save it again"
        )


def _text(path: Path, name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise PackageError(f"{path}: field {name} is {value!r}, expected text; copy the package anew")
    return value


def _settings(path: Path, value: object) -> StreamingSettings:
    try:
        return StreamingSettings.from_json(value)
    except SettingsError as error:
        raise PackageError(f"{path}: field settings: {error}") from error


def _card(path: Path, value: object) -> ModelCard:
    try:
        return ModelCard.from_json(value)
    except PackageError as error:
        raise PackageError(f"{path}: field card: {error}") from error


def _libraries(path: Path, value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise PackageError(f"{path}: field libraries is a {type(value).__name__}, expected names and versions")
    return tuple((name, _text(path, f"libraries.{name}", version)) for name, version in value.items())


def _entries(path: Path, value: object) -> Iterator[FileEntry]:
    if not isinstance(value, list):
        raise PackageError(f"{path}: field files is a {type(value).__name__}, expected a list; copy the package anew")
    seen: set[str] = set()
    for number, row in enumerate(value):
        where = f"field files[{number}]"
        if not isinstance(row, dict):
            raise PackageError(f"{path}: {where} is {row!r}, expected an object; copy the package anew")
        _check_fields(path, f"{where}: ", row, [part.name for part in fields(FileEntry)])
        name, size = _text(path, f"{where}.name", row["name"]), row["size"]
        # A name with a path in it could make a check read, or a message show, a file elsewhere.
        plain = Path(name).name == name and name not in (".", "..", SETTINGS_FILE)
        if name in seen or not plain or len(name.encode("utf-8", "surrogatepass")) > _NAME_LIMIT:
            raise PackageError(f"{path}: {where}.name is {name[:300]!r}, expected the plain name of a file, each once")
        if type(size) is not int or size < 0:
            raise PackageError(f"{path}: {where}.size is {size!r}, expected an integer of 0 or more")
        seen.add(name)
        yield FileEntry(name=name, size=size, sha256=_text(path, f"{where}.sha256", row["sha256"]))
