"""The export of a dataset as rows of a foreign form; what is lost is what does not come back when they are read again.

Records that an import brought are written in the rows that they came from, in file order, with all that was kept of
those; others follow, a row for each. All rows are held in memory, because most forms are one JSON value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from datasets_build.core.config import Config
from datasets_build.core.files import write_bytes
from datasets_build.core.layout import by_video, clock_of, dataset_rows, read_videos, table_path
from datasets_build.core.progress import tool_versions, track
from datasets_build.core.records import Dialogue, Event, Json, Part, Provenance, Record, Reject, StreamingQA, Video
from datasets_build.core.stage import Fingerprint, Stage, code_digest, output_folder, stage_digest
from datasets_build.core.table import read_table
from datasets_build.formats.foreign import TABLE, Foreign, applied
from datasets_build.formats.format import FormatError
from datasets_build.formats.forms import FORMS, Form
from datasets_build.formats.loss import LossReport
from datasets_build.formats.place import Bundle, Place, RowError, Unit

Kind = Literal["streaming_qa", "dialogue", "frame_events", "events"]
_KINDS: tuple[Kind, ...] = ("streaming_qa", "dialogue", "frame_events", "events")
_DERIVED = frozenset({"id", "video_id", "decisions"})
_REFERENCES = frozenset({"event_id", "trigger_ref", "interrupts", "twin_id"})
_GONE, _CHANGED = "the form has no place for it", "it comes back as another value"


class RowsConfig(Config):
    """Which form rows are written in."""

    format: str


def export_rows(dataset: Path, name: str, to: Path, *, force: bool = False) -> Stage:
    """Write a dataset such as `OUT/dialogue`, or `OUT/events`, as files of a foreign form, with `loss.json`.

    Raises:
        FormatError: no such form, one that cannot hold the dataset, or nothing to export.
        StageError: the dataset is not finished, or the folder holds something else.
    """
    kind, out, form = _kind_of(dataset), dataset.resolve().parent, FORMS[name]
    if (kind if kind != "events" else "frame_events") not in form.datasets:
        raise FormatError(f"{name} cannot hold {kind}, expected one of {', '.join(sorted(form.datasets))}")
    if to.resolve().is_relative_to(out):
        raise FormatError(f"{to}: lies inside {out}, expected a folder outside the output that is exported")
    inputs = {stage: stage_digest(out, stage) for stage in dict.fromkeys(("index", "events", kind))}
    inputs |= {"dataset": kind, "import": stage_digest(out, "import") if (out / TABLE).is_file() else ""}
    mark = Fingerprint.of(RowsConfig(format=name), code=code_digest("formats"), inputs=inputs)
    with output_folder(to.resolve().parent) as above:
        stage = Stage.open(above, to.resolve().name, mark, force=force)
        if not stage.done:
            _write(stage, _Writer(out, name, form, kind))
    return stage


def _kind_of(dataset: Path) -> Kind:
    for kind in _KINDS:
        if dataset.resolve().name == kind:
            return kind
    raise FormatError(f"{dataset}: expected a dataset folder such as OUT/streaming_qa, OUT/dialogue, OUT/events")


def _write(stage: Stage, writer: _Writer) -> None:
    rows = writer.rows()
    if not rows:
        raise FormatError(f"{writer.out}: {writer.kind} holds nothing that {writer.name} can say")
    for file, content in writer.form.container.join(rows).items():
        path = stage.final / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    writer.losses.write(stage.final)
    counts = {"records": writer.records, "rows": len(rows), "left out": len(writer.rejects)}
    stage.commit(rejects=writer.rejects, counts=counts, tools=tool_versions("pydantic"))


@dataclass(slots=True)
class _Writer:
    """Writes the records of an output folder, video by video."""

    out: Path
    name: str
    form: Form
    kind: Kind
    losses: LossReport = field(init=False)
    rejects: list[Reject] = field(default_factory=list)
    records: int = 0

    def __post_init__(self) -> None:
        self.losses = LossReport(self.name)

    def rows(self) -> list[Json]:
        """All rows: those that were imported in file order, then the others in index order."""
        events = by_video(read_table(table_path(self.out, Event), Event))
        asked = by_video(dataset_rows(self.out, "streaming_qa/qa", StreamingQA) if self.kind == "streaming_qa" else ())
        talked = by_video(dataset_rows(self.out, "dialogue/dialogues", Dialogue) if self.kind == "dialogue" else ())
        foreign = self._foreign()
        imported: list[tuple[str, int, Json]] = []
        others: list[Json] = []
        videos = read_videos(self.out)
        for video in track(videos, total=len(videos), label="export"):
            whole = Bundle(tuple(events[video.id]), tuple(asked[video.id]), tuple(talked[video.id]))
            self.records += len(self._told(whole))
            for part, row in _parts(whole, foreign.get(video.id, ()), self.form):
                written = self._row(part, row, video)
                if isinstance(written, RowError):
                    self._leave_out(part, written)
                elif row is not None:
                    imported.append((row.file, row.item, written))
                else:
                    others.append(written)
        return [row for _, _, row in sorted(imported, key=lambda found: found[:2])] + others

    def _foreign(self) -> Mapping[str, list[Foreign]]:
        path = self.out / TABLE
        rows = read_table(path, Foreign) if path.is_file() else ()
        return by_video(row for row in rows if row.format == self.name)

    def _row(self, part: Bundle, row: Foreign | None, video: Video) -> Json | RowError:
        """Records as a row; what is lost is counted."""
        try:
            written = self.form.rows.write(part, video)
            written = written if row is None else applied(written, row.kept)
            self._count_losses(part, written, video, row)
        except RowError as error:
            return error
        except ValidationError as error:
            return RowError("bad_row", str(error.errors()[0]["msg"]))
        return written

    def _count_losses(self, part: Bundle, written: Json, video: Video, row: Foreign | None) -> None:
        unit = Unit("s") if self.form.needs_unit else None
        first = self._told(part)[0]
        source = first.provenance if row is not None else Provenance(kind="corpus", agent=self.name)
        place = Place(video, clock_of(self.out, video), source, first.id, unit)
        untouched = row is not None and all(record.id in row.records for record in part.records)
        again = self._told(part if untouched else self.form.rows.read(written, place))
        for k, record in enumerate(self._told(part)):
            for where, why in lost_fields(record, again[k] if k < len(again) else None):
                self.losses.lose(where, why, record.id)

    def _told(self, part: Bundle) -> tuple[Event | StreamingQA | Dialogue, ...]:
        """The records of a part that the dataset is made of; events beside them only help to say it."""
        if self.kind == "streaming_qa":
            return part.questions
        return part.dialogues if self.kind == "dialogue" else part.events

    def _leave_out(self, part: Bundle, error: RowError) -> None:
        made = self._told(part)[0].id
        reason = f"{self.kind} {made}: {error}"
        self.rejects.append(
            Reject(stage="export", item=made, code=error.code, reason=reason, action=f"{self.name} cannot say it")
        )


def _parts(whole: Bundle, foreign: list[Foreign] | tuple[()], form: Form) -> Iterator[tuple[Bundle, Foreign | None]]:
    """A video's records by the row that they make, with the foreign row that they came from."""
    now = {_origin(record): record for record in whole.records}
    used: set[str] = set()
    for row in foreign:
        found = [now[made] for made in row.records if made in now]
        used.update(record.id for record in found)
        part = _bundle(found)
        if part.questions or part.dialogues or not (whole.questions or whole.dialogues):
            yield part, row
    rest = _bundle([record for record in whole.records if record.id not in used])
    context = rest._replace(events=whole.events) if rest.questions or rest.dialogues else rest
    yield from ((part, None) for part in form.rows.bundles(context))


def _origin(record: Record) -> str:
    """The id under which a record was imported: its own, or its parent's where people corrected it."""
    source = record.provenance if isinstance(record, Event | StreamingQA | Dialogue) else None
    return source.inputs[0] if source is not None and source.kind == "person" and source.inputs else record.id


def _bundle(records: list[Record]) -> Bundle:
    return Bundle(
        tuple(record for record in records if isinstance(record, Event)),
        tuple(record for record in records if isinstance(record, StreamingQA)),
        tuple(record for record in records if isinstance(record, Dialogue)),
    )


def lost_fields(before: Part, after: Part | None, path: str = "") -> Iterator[tuple[str, str]]:
    """The fields of a record that do not come back when its row is read again, each with why; parts by their field."""
    for name, info in type(before).model_fields.items():
        value = getattr(before, name)
        empty = info.get_default() if not info.is_required() else None
        again = getattr(after, name) if after is not None else empty
        if name in _DERIVED or value == again or (name in _REFERENCES and None not in (value, again)):
            continue
        where = f"{path}{name}"
        if isinstance(value, Provenance):
            yield where, _GONE
        elif isinstance(value, Part):
            yield from lost_fields(value, again if isinstance(again, Part) else None, f"{where}.")
        elif isinstance(value, tuple) and value and all(isinstance(part, Part) for part in value):
            others = again if isinstance(again, tuple) and len(again) == len(value) else (None,) * len(value)
            for one, other in zip(value, others, strict=True):
                yield from lost_fields(one, other, f"{where}.")
        else:
            yield where, _GONE if again in (None, empty, "") else _CHANGED
