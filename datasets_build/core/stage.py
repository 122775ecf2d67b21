"""A stage's output folder: resumed by fingerprint, published in one rename, its manifest written last.

Work in progress lives in `OUT/.work/<stage>/`; a folder `OUT/<stage>/` exists only when it is whole. Killing a stage at
any moment and repeating it gives the same bytes, because parts are keyed by input and joined in input order.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel

from datasets_build.core.config import flatten
from datasets_build.core.files import (
    DataError,
    each_reject,
    publish_folder,
    read_json,
    sha256_file,
    write_json,
    write_jsonl,
)
from datasets_build.core.records import SCHEMA_VERSION, Json, Reject

STAGES = ("index", "perceive", "import", "events", "streaming_qa", "frame_events", "dialogue", "augment")
# What a run on many machines leaves in OUT while it runs.
NODES = ".nodes"
_PACKAGE = Path(__file__).resolve().parent.parent
_REBUILD = "use another OUT, or rebuild it with --force (make: FORCE=1)"


class StageError(DataError):
    """A stage that may not start: its input is missing, or its output belongs to other settings."""


def code_digest(*parts: str) -> str:
    """Twelve hex digits over the source text of `datasets_build/<part>` files and folders (and always `core`)."""
    digest = hashlib.blake2b(digest_size=6)
    for part in ("core", *parts):
        root = _PACKAGE / part
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def package_version() -> str:
    """The installed version of streamvl, or `source` when it runs from a plain checkout."""
    try:
        return version("streamvl")
    except PackageNotFoundError:
        return "source"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What decides a stage's bytes: settings, code and inputs, each under a readable name."""

    fields: Mapping[str, str]

    @classmethod
    def of(cls, config: BaseModel, *, code: str, inputs: Mapping[str, str]) -> Fingerprint:
        """Collect the fields of a stage's config, its code digest and the digests of its inputs."""
        fields = {f"config.{name}": value for name, value in flatten(config).items()}
        fields |= {f"input.{name}": value for name, value in inputs.items()}
        return cls({**fields, "code": code, "schema_version": SCHEMA_VERSION})

    @property
    def digest(self) -> str:
        """Twenty hex digits that stand for all fields."""
        text = "\0".join(f"{name}={self.fields[name]}" for name in sorted(self.fields))
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()

    def changes(self, old: Mapping[str, Json]) -> list[str]:
        """Which fields differ from an older run, as `name: old → new`."""
        # Another version explains every other difference, so it is named first.
        order = ["schema_version", *self.fields, *old]
        names = [name for name in order if self.fields.get(name) != old.get(name)]
        unique = list(dict.fromkeys(names))
        return [f"{name}: {old.get(name, 'absent')} → {self.fields.get(name, 'absent')}" for name in unique]


@contextmanager
def output_folder(out: Path) -> Iterator[Path]:
    """Create OUT if need be and hold it for this process; a second run on the same folder is refused.

    Raises:
        StageError: another process holds the folder, or the path is a file.
    """
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StageError(f"{out}: is a file, expected a folder for the output") from error
    except OSError as error:
        raise StageError(f"{out}: cannot be made as a folder for the output ({error.strerror})") from error
    handle = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(f"{out}: another run is writing here; wait for it or stop it") from None
        # The rest of a run that was killed.
        shutil.rmtree(out / NODES, ignore_errors=True)
        yield out
    finally:
        os.close(handle)
        if made and out.exists() and not any(out.iterdir()):
            out.rmdir()


class Stage:
    """One stage of one output folder.

    `done` says that the folder holds this fingerprint's result, `reused` that it did so before this run. Otherwise
    write parts below `work`, final files below `final`, and call `commit`.
    """

    def __init__(self, out: Path, name: str, fingerprint: Fingerprint) -> None:
        self.out, self.name, self.fingerprint = out, name, fingerprint
        self.folder = out / name
        self.work = out / ".work" / name
        self.final = self.work / "final"
        self.done = self.reused = False

    @classmethod
    def open(cls, out: Path, name: str, fingerprint: Fingerprint, *, force: bool = False) -> Stage:
        """Look at what is there: finished, resumable, absent, or made by something else.

        Args:
            out: the output folder, held by `output_folder`.
            name: the stage, which is also its folder's name.
            fingerprint: of this run.
            force: rebuild whatever is there, if this program made it (the old one stays until the new one is whole).

        Raises:
            StageError: the output there belongs to another fingerprint; the message names the changed fields.
        """
        stage = cls(out, name, fingerprint)
        if stage.folder.exists():
            stage.done = stage.reused = stage._is_finished(force=force)
        if stage.done:
            # A run that was killed right after publishing left its parts behind.
            stage._clear_work()
        else:
            if stage.work.exists() and not stage._is_resumable(force=force):
                shutil.rmtree(stage.work)
            stage.work.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(stage.final, ignore_errors=True)
            stage.final.mkdir()
            write_json(stage.work / "fingerprint.json", {"fields": dict(fingerprint.fields)})
        return stage

    @classmethod
    def finished(cls, out: Path, name: str) -> Stage:
        """A stage that is there, whatever made it. Raises StageError when it has no manifest."""
        stage_digest(out, name)
        stage = cls(out, name, Fingerprint({}))
        stage.done = stage.reused = True
        return stage

    def _is_finished(self, *, force: bool) -> bool:
        """Whether the folder holds this fingerprint's whole result; a folder that is not ours is never touched."""
        manifest = self.folder / "manifest.json"
        if not manifest.is_file():
            raise StageError(
                f"{self.folder}: holds no manifest.json, so no {self.name} of this program; "
                "move it away or use another OUT"
            )
        if force:
            return False
        try:
            content = read_json(manifest)
        except DataError as error:
            raise StageError(f"{error}; {_REBUILD}") from error
        self._refuse_changes(self.folder, content)
        for path, size in _listed(content):
            found = self.folder / path
            if not found.is_file() or found.stat().st_size != size:
                raise StageError(f"{found}: is missing or damaged, expected {size} bytes; {_REBUILD}")
        return True

    def _is_resumable(self, *, force: bool) -> bool:
        """Whether work in progress belongs to this fingerprint; without a mark it is the rest of a killed start."""
        mark = self.work / "fingerprint.json"
        if force or not mark.exists():
            return False
        self._refuse_changes(self.work, read_json(mark))
        return True

    def _refuse_changes(self, where: Path, content: Json) -> None:
        old = content.get("fields") if isinstance(content, dict) else None
        changes = self.fingerprint.changes(old if isinstance(old, dict) else {})
        if changes:
            shown = "; ".join(changes[:4]) + (f"; and {len(changes) - 4} more" if len(changes) > 4 else "")
            raise StageError(f"{where}: made with other settings, code or inputs ({shown}); {_REBUILD}")

    def commit(
        self,
        *,
        rejects: Iterable[Reject],
        counts: Mapping[str, int],
        tools: Mapping[str, str],
        reached: Mapping[str, Json] | None = None,
    ) -> None:
        """Write the rejects and then the manifest into `final`, and publish it under the stage's name.

        `reached` are fields of the manifest's own: what was asked for and came out.
        """
        codes: Counter[str] = Counter()
        write_jsonl(self.final / "rejects.jsonl", _counted(rejects, codes))
        write_json(self.final / "manifest.json", {**self._manifest(codes, counts, tools), **(reached or {})})
        publish_folder(self.final, self.folder)
        self.done = True
        self._clear_work()

    def _clear_work(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        if self.work.parent.exists() and not any(self.work.parent.iterdir()):
            self.work.parent.rmdir()

    def counts(self) -> dict[str, int]:
        """What the finished stage holds, from its manifest."""
        content = read_json(self.folder / "manifest.json")
        counts = content.get("counts") if isinstance(content, dict) else None
        if not isinstance(counts, dict):
            raise StageError(f"{self.folder}/manifest.json: field counts is missing, expected numbers by name")
        return {name: value for name, value in counts.items() if isinstance(value, int)}

    def _manifest(
        self, codes: Mapping[str, int], counts: Mapping[str, int], tools: Mapping[str, str]
    ) -> dict[str, Json]:
        files: list[Json] = [
            {"path": path.relative_to(self.final).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_file(path)}
            for path in sorted(self.final.rglob("*"))
            if path.is_file()
        ]
        return {
            "schema": "streamvl",
            "schema_version": SCHEMA_VERSION,
            "stage": self.name,
            "fingerprint": self.fingerprint.digest,
            "fields": dict(self.fingerprint.fields),
            "tools": dict(sorted({**tools, "streamvl": package_version()}.items())),
            "counts": dict(counts),
            "rejects": {code: codes[code] for code in sorted(codes)},
            "files": files,
        }


def _counted(rejects: Iterable[Reject], codes: Counter[str]) -> Iterator[Reject]:
    for row in rejects:
        codes[row.code] += 1
        yield row


def _listed(manifest: Json) -> list[tuple[str, int]]:
    files = manifest.get("files") if isinstance(manifest, dict) else None
    rows = [row for row in files if isinstance(row, dict)] if isinstance(files, list) else []
    sizes = [row.get("bytes") for row in rows]
    # What is no number is no file's size, so its file counts as damaged.
    return [
        (str(row.get("path")), size if isinstance(size, int) else -1) for row, size in zip(rows, sizes, strict=True)
    ]


def stage_digest(out: Path, name: str) -> str:
    """The digest of a finished stage that another one reads.

    Raises:
        StageError: the stage has not been run, or did not finish.
    """
    path = out / name / "manifest.json"
    if not path.exists():
        raise StageError(f"{out}: has no finished {name}; run `python -m datasets_build {verb_of(name)}` first")
    # An index lists a file for each of its videos, of which nothing is asked here.
    content = read_json(path, hook=_unless_file)
    if not isinstance(content, dict) or not isinstance(content.get("fingerprint"), str):
        raise StageError(f"{path}: holds no fingerprint, expected a manifest of this program")
    # Two runs of one fingerprint give the same bytes, so it stands for the content.
    return str(content["fingerprint"])


def earlier_field(out: Path, name: str, field: str) -> str | None:
    """A field of the fingerprint of the stage that is there, finished or begun; None where there is none to read."""
    for path in (out / name / "manifest.json", out / ".work" / name / "fingerprint.json"):
        content = read_json(path, hook=_unless_file) if path.is_file() else None
        fields = content.get("fields") if isinstance(content, dict) else None
        found = fields.get(field) if isinstance(fields, dict) else None
        if isinstance(found, str):
            return found
    return None


def _unless_file(row: dict[str, Json]) -> dict[str, Json] | None:
    return None if "sha256" in row else row


def stale_inputs(out: Path, name: str) -> list[str]:
    """The stages that a finished stage read and that have been made anew since."""
    content = read_json(out / name / "manifest.json")
    fields = content.get("fields") if isinstance(content, dict) else None
    used = {stage: fields.get(f"input.{stage}") for stage in STAGES} if isinstance(fields, dict) else {}
    made = [stage for stage in STAGES if (out / stage / "manifest.json").exists()]
    return [stage for stage in made if used.get(stage) is not None and used[stage] != stage_digest(out, stage)]


def lost_files(out: Path, name: str) -> list[Path]:
    """The files of a finished stage that its manifest lists and that are not there any more."""
    listed = _listed(read_json(out / name / "manifest.json"))
    return [out / name / path for path, _ in listed if not (out / name / path).is_file()]


def verb_of(stage: str) -> str:
    """The command that makes a stage."""
    return stage if stage in ("index", "perceive", "import") else "build"


def collect_rejects(out: Path) -> None:
    """Join the rejects of every finished stage into `OUT/rejects.jsonl`, in stage order."""
    rows = (row for name in STAGES for row in each_reject(out / name / "rejects.jsonl"))
    write_jsonl(out / "rejects.jsonl", rows)
