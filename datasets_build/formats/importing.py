"""The import: a foreign file and a folder of its videos become an output folder, as if its records had been built here.

The videos are indexed as always. `OUT/import` holds a row for each row of the file, with what no record has a place
for; the records lie where the builders put theirs, so whatever reads those reads these. Rows in equal rows out: each is
read, of a video that is not there, or a reject. All rows are held in memory.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from datasets_build.core.config import Config
from datasets_build.core.corrections import Corrected, Corrections
from datasets_build.core.dataset import Subset
from datasets_build.core.files import DataError, write_bytes
from datasets_build.core.layout import clock_of, read_videos, table_path
from datasets_build.core.progress import tool_versions, track
from datasets_build.core.publish import Publisher, publish_card
from datasets_build.core.records import Dialogue, Event, Json, Provenance, Reject, StreamingQA, Video, derive_id
from datasets_build.core.stage import Fingerprint, Stage, StageError, code_digest, collect_rejects, stage_digest
from datasets_build.core.table import write_table
from datasets_build.core.views import parse_grid
from datasets_build.formats.foreign import TABLE, Foreign, differences
from datasets_build.formats.format import FormatError
from datasets_build.formats.forms import READ, TIMED, Form
from datasets_build.formats.place import Bundle, Place, RowError, Unit
from datasets_build.formats.timed import timed_rows
from datasets_build.sources.folder import SUFFIXES
from datasets_build.sources.sidecars import decode_text

STAGE = "import"
_FILES, _CONFIG = "files", "import.json"
_TOOLS = ("pyarrow", "pydantic")
_MADE = ("events", "streaming_qa", "dialogue")
_NAMED = 20
_ACTIONS = {
    "video_absent": "put the videos into the folder, or nothing",
    "video_ambiguous": "give the file the whole path, or the videos different names",
    "video_rejected": "mend the video",
    "outside_video": "check the unit of the times, and that the file is about this video",
    "other_video": "put the file that was exported into the folder of videos",
    "leak": "mend the times: nothing is told before it begins",
}
_MEND = "mend the row in the file"


class ImportConfig(Config):
    """How a file is read: its `format`, and the `unit` of its plain numbers (`s`, or `frame` of a grid of `fps`)."""

    format: str
    unit: str = ""
    fps: str = "1"


@dataclass(slots=True)
class Found:
    """What a file gave."""

    rows: int = 0
    bundles: dict[str, list[Bundle]] = field(default_factory=lambda: defaultdict(list))
    foreign: list[Foreign] = field(default_factory=list)
    absent: Counter[str] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)

    def events(self, video_id: str) -> list[Event]:
        """The events of a video, by time."""
        rows = [row for bundle in self.bundles.get(video_id, ()) for row in bundle.events]
        return sorted(rows, key=lambda row: (row.start_ns, row.end_ns, row.id))

    def questions(self, video_id: str) -> list[StreamingQA]:
        """The questions of a video, by time."""
        rows = [row for bundle in self.bundles.get(video_id, ()) for row in bundle.questions]
        return sorted(rows, key=lambda row: (row.ask_ns, row.id))

    def dialogues(self, video_id: str) -> list[Dialogue]:
        """The dialogues of a video, in file order."""
        return [row for bundle in self.bundles.get(video_id, ()) for row in bundle.dialogues]


def import_file(file: Path, out: Path, config: ImportConfig, *, force: bool = False) -> list[Stage]:
    """Make the records of a foreign file of the videos that `OUT/index` holds.

    Args:
        file: of the format; for `webvtt` also a folder of such files, for a trainer's format that of an export.
        out: an output folder with a finished index.
        config: how the file is read.
        force: make anew what is there.

    Raises:
        FormatError: no such format, a unit that is missing or has no place here, or not one row could be read.
        DataError: the file cannot be read at all, or the folder holds built datasets.
    """
    form, unit = form_of(config), unit_of(config)
    contents = _contents(file, config.format)
    _refuse_built(out)
    digests = {f"file.{name}": _digest(content) for name, content in contents.items()}
    inputs = {"index": stage_digest(out, "index")} | digests
    code = code_digest("formats", "sources/subtitles.py")
    stage = Stage.open(out, STAGE, Fingerprint.of(config, code=code, inputs=inputs), force=force)
    found = read_files(contents, out, config.format, form, unit)
    if not stage.done:
        write_table(stage.final / Path(TABLE).name, Foreign, found.foreign)
        (stage.final / _FILES).mkdir()
        for name, content in contents.items():
            write_bytes(stage.final / _FILES / name, content)
        write_bytes(stage.final / _CONFIG, config.model_dump_json(indent=2).encode())
        counts = {
            "rows": found.rows,
            "imported": len(found.foreign),
            "of absent videos": sum(found.absent.values()),
            "rejected": found.rows - len(found.foreign) - sum(found.absent.values()),
        }
        stage.commit(rejects=[*found.rejects, *_absent(found)], counts=counts, tools=tool_versions(*_TOOLS))
    if not found.foreign:
        collect_rejects(out)
        raise FormatError(f"{file}: not one of its {found.rows} rows could be read; {out}/rejects.jsonl says why")
    stages = [stage, *_publish(out, found, config, force=force)]
    collect_rejects(out)
    return stages


def import_again(out: Path, *, force: bool = False) -> list[Stage]:
    """Make the records of an imported folder from the files that it keeps, with what people have corrected since.

    Raises:
        StageError: the records there are without these corrections, and `force` is not given.
        DataError: the folder was not imported into, or does not say how.
    """
    path = out / STAGE / _CONFIG
    try:
        config = ImportConfig.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: does not say how its file was read ({error}); import that again") from error
    contents = {path.name: path.read_bytes() for path in sorted((out / STAGE / _FILES).iterdir())}
    found = read_files(contents, out, config.format, form_of(config), unit_of(config))
    stages = [Stage.finished(out, STAGE), *_publish(out, found, config, force=force)]
    collect_rejects(out)
    return stages


def form_of(config: ImportConfig) -> Form:
    """The form of a file. Raises FormatError where there is none of that name."""
    if config.format not in READ:
        raise FormatError(f"format {config.format}: found no such format to read, expected of {', '.join(READ)}")
    return READ[config.format]


def unit_of(config: ImportConfig) -> Unit | None:
    """The stated unit. Raises FormatError where one is missing, or the format has a unit of its own."""
    if not form_of(config).needs_unit:
        if config.unit:
            raise FormatError(
                f"--time-unit: found {config.unit}, but {config.format} says its units itself: leave it out"
            )
        return None
    rate = parse_grid(config.fps)
    if config.unit == "s":
        return Unit("s")
    if config.unit == "frame" and rate is not None:
        return Unit("frame", rate)
    raise FormatError(
        f"--time-unit: found {config.unit or 'none'}, expected s or frame: in {config.format} a whole number may be "
        "either; frame counts steps of --fps"
    )


def _refuse_built(out: Path) -> None:
    """What builders made is not mixed with what comes from elsewhere."""
    for name in _MADE:
        if (out / name / "manifest.json").exists() and not (out / STAGE / "manifest.json").exists():
            raise StageError(f"{out}: {name} was built here; import into another OUT")


def _contents(file: Path, name: str) -> Mapping[str, bytes]:
    """What is read, by the name of its file; of an export for a trainer, its lines."""
    if name in TIMED:
        return dict([timed_rows(file, name)])
    files = sorted(path for path in file.iterdir() if path.suffix == ".vtt") if file.is_dir() else [file]
    try:
        return {path.name: path.read_bytes() for path in files}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_files(contents: Mapping[str, bytes], out: Path, name: str, form: Form, unit: Unit | None) -> Found:
    """All rows of some files, given by name, as records of the videos of an output folder."""
    finder = Finder(read_videos(out))
    clock = lru_cache(maxsize=8)(lambda made: clock_of(out, finder.by_id[made]))
    found = Found()
    for file, content in track(contents.items(), total=len(contents), label=STAGE, unit="files"):
        sha256 = _digest(content)
        text, _ = decode_text(content)
        if text is None:
            raise DataError(f"{file}: found bytes that are no text, expected UTF-8")
        provenance = Provenance(kind="corpus", agent=f"{name}:{file}", version=f"sha256:{sha256}")
        for k, row in enumerate(form.container.split(file, text)):
            found.rows += 1
            try:
                video = finder.find(form.rows.video_of(row))
                if video is None:
                    found.absent[form.rows.video_of(row)] += 1
                    continue
                place = Place(video, clock(video.id), provenance, f"{sha256[:20]}:{k}", unit)
                bundle, foreign = read_row(row, place, form, item=k)
            except (RowError, ValidationError) as error:
                found.rejects.append(_reject(file, k, error))
                continue
            found.foreign.append(foreign)
            found.bundles[video.id].append(bundle)
    return found


def read_row(row: Json, place: Place, form: Form, *, item: int) -> tuple[Bundle, Foreign]:
    """One row as records, and what it takes to write it again as it was. Raises RowError and ValidationError."""
    bundle = form.rows.read(row, place)
    _refuse_wordless(bundle)
    name, _, file = place.provenance.agent.partition(":")
    foreign = Foreign(
        id=derive_id("foreign", place.video.id, place.row),
        video_id=place.video.id,
        format=name,
        file=file,
        sha256=place.provenance.version.removeprefix("sha256:"),
        item=item,
        records=tuple(record.id for record in bundle.records),
        kept=differences(form.rows.write(bundle, place.video), row),
    )
    return bundle, foreign


def _refuse_wordless(bundle: Bundle) -> None:
    """Raises RowError where something is asked, answered or told without words; turns have theirs already."""
    asked = [text for row in bundle.questions for text in (row.question, *(answer.text for answer in row.answers))]
    if not all(text.strip() for text in (*asked, *(event.caption for event in bundle.events))):
        raise RowError("no_text", "found a question, answer or caption without words, expected a text")


def _reject(file: str, item: int, error: RowError | ValidationError) -> Reject:
    if isinstance(error, RowError):
        code, reason = error.code, str(error)
    else:
        first = error.errors()[0]
        code, reason = "bad_row", f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    where = f"{file}: row {item}"
    return Reject(stage=STAGE, item=where, code=code, reason=f"{where}: {reason}", action=_ACTIONS.get(code, _MEND))


def _absent(found: Found) -> Iterator[Reject]:
    """One row for all videos that are not there."""
    if found.absent:
        names, rows = sorted(found.absent), sum(found.absent.values())
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        reason = f"{rows} rows are of {len(names)} videos that are not there: {', '.join(names[:_NAMED])}{more}"
        code = "video_absent"
        yield Reject(stage=STAGE, item=f"{len(names)} videos", code=code, reason=reason, action=_ACTIONS[code])


class Finder:
    """Finds a video by the name that a file gives it: its path or the end of it, with or without the suffix."""

    def __init__(self, videos: Sequence[Video]) -> None:
        self.by_id: Mapping[str, Video] = {video.id: video for video in videos}
        self._named: defaultdict[str, list[tuple[tuple[str, ...], Video]]] = defaultdict(list)
        for video in videos:
            for parts in {_parts(video.uri), _parts(video.uri.removesuffix(PurePosixPath(video.uri).suffix))}:
                self._named[parts[-1]].append((parts, video))

    def find(self, name: str) -> Video | None:
        """The video of a name; None where there is none.

        Raises:
            RowError: two fit as well, or it was quarantined.
        """
        whole = _parts(name)
        suffix = PurePosixPath(whole[-1]).suffix if whole else ""
        bare = (*whole[:-1], whole[-1].removesuffix(suffix)) if suffix.lower() in SUFFIXES else whole
        best: dict[int, dict[str, Video]] = defaultdict(dict)
        for wanted in dict.fromkeys((whole, bare)):
            for parts, video in self._named.get(wanted[-1], ()) if wanted else ():
                shared = 0
                while shared < min(len(parts), len(wanted)) and parts[-1 - shared] == wanted[-1 - shared]:
                    shared += 1
                best[2 * shared + (wanted == whole)][video.id] = video
        if not best:
            return None
        found = list(best[max(best)].values())
        if len(found) > 1:
            raise RowError(
                "video_ambiguous", f"found videos {', '.join(v.uri for v in found)} for {name}, expected one"
            )
        if found[0].status == "quarantined":
            raise RowError("video_rejected", f"its video {found[0].uri} is quarantined")
        return found[0]


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _publish(out: Path, found: Found, config: ImportConfig, *, force: bool) -> Iterator[Stage]:
    """The tables and datasets, where the builders write theirs."""
    videos = read_videos(out)
    corrections = Corrections(out)
    fields = {"index": stage_digest(out, "index"), STAGE: stage_digest(out, STAGE)} | dict(corrections.inputs)
    fingerprint = Fingerprint.of(config, code=code_digest("formats"), inputs=fields)
    stage = Stage.open(out, "events", fingerprint, force=force)
    if not stage.done:
        laid = [corrections.events(video.id, found.events(video.id)) for video in videos]
        rows = (row for after in laid for row in sorted(after.rows, key=lambda row: (row.start_ns, row.end_ns, row.id)))
        count = write_table(stage.final / table_path(Path(), Event).name, Event, rows)
        counts = {"videos": len(found.bundles), "events": count}
        stale = [row for after in laid for row in after.stale]
        stage.commit(rejects=stale, counts=counts, tools=tool_versions(*_TOOLS))
    yield stage
    asked = {video.id: corrections.questions(video.id, found.questions(video.id)) for video in videos}
    if any(after.rows for after in asked.values()):
        subset = Subset("qa", StreamingQA, "a question at an instant, its evidence, and its timed answers")
        yield _dataset(Stage.open(out, "streaming_qa", fingerprint, force=force), subset, videos, asked, config)
    talked = {video.id: corrections.dialogues(video.id, found.dialogues(video.id)) for video in videos}
    if any(after.rows for after in talked.values()):
        subset = Subset("dialogues", Dialogue, "a conversation over a video, with decisions on stated grids")
        yield _dataset(Stage.open(out, "dialogue", fingerprint, force=force), subset, videos, talked, config)


def _dataset(
    stage: Stage,
    subset: Subset,
    videos: Sequence[Video],
    laid: Mapping[str, Corrected[StreamingQA]] | Mapping[str, Corrected[Dialogue]],
    config: ImportConfig,
) -> Stage:
    if not stage.done:
        with Publisher(stage.final, [subset]) as publisher:
            for video in videos:
                if laid[video.id].rows:
                    publisher.add(subset.name, video.split, laid[video.id].rows)
                    publisher.add_video(video)
        publish_card(
            stage,
            publisher,
            config,
            title=f"Records of a {config.format} file",
            summary=f"What a file of the format {config.format} says of these videos; nothing was made up.",
            notes=["Times were moved to frames; `import/foreign.parquet` keeps what the file said."],
        )
        stale = [row for after in laid.values() for row in after.stale]
        stage.commit(rejects=stale, counts=publisher.totals(), tools=tool_versions(*_TOOLS))
    return stage
