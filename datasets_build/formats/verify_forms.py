"""The check of files in foreign forms: what their readers demand, and that nothing is said before its time.

Rows are read again and held against the records of the source: every line at the instant of its record, every record
in a row or among the rejects. Words of LiveCC are told in pieces, so that only their times are held.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from datasets_build.core.files import read_rejects
from datasets_build.core.layout import clock_of, dataset_rows, read_videos, table_path
from datasets_build.core.records import Dialogue, Event, Json, Provenance, StreamingQA
from datasets_build.core.table import read_table
from datasets_build.formats.demands import DEMANDS
from datasets_build.formats.fault import Fault
from datasets_build.formats.format import FormatError
from datasets_build.formats.forms import FORMS, Form
from datasets_build.formats.importing import Finder
from datasets_build.formats.place import Bundle, Place, RowError, Unit

_BESIDE = ("loss.json", "rejects.jsonl", "manifest.json", "streaming_vlm_seeks.jsonl")
_PIECES = frozenset({"livecc", "streaming_vlm"})
_WHOLE = frozenset({"videollm_online", "streamo", "joyai", "qvhighlights", "activitynet", "webvtt"})
Times = dict[tuple[str, str], set[int]]
"""When something is said, asked or shown: by video and words."""


def form_in(manifest: object) -> str | None:
    """The foreign form of an export; None where it is for a trainer."""
    fields = manifest.get("fields") if isinstance(manifest, dict) else None
    name = fields.get("config.format") if isinstance(fields, dict) else None
    found = ast.literal_eval(str(name)) if name is not None else None
    return found if found in FORMS else None


def form_faults(folder: Path, manifest: Mapping[str, Any], name: str, out: Path | None) -> Iterator[Fault]:
    """Everything that is wrong with an export in a foreign form.

    Raises:
        DataError: a file cannot be read as rows at all.
        FormatError: the manifest names no dataset.
    """
    source = _Source(folder, str(manifest["fields"].get("input.dataset", "")), name, out) if out is not None else None
    for entry in manifest["files"]:
        path = folder / str(entry["path"])
        if path.name in _BESIDE or not path.is_file():
            continue
        file = path.relative_to(folder).as_posix()
        for k, row in enumerate(FORMS[name].container.split(file, path.read_text(encoding="utf-8"))):
            yield from demand_faults(f"{file}: row {k}", row, name)
            if source is not None:
                yield from source.faults(f"{file}: row {k}", row)
    if source is not None:
        yield from source.lost()


def demand_faults(where: str, row: Json, name: str) -> Iterator[Fault]:
    """What readers of a form would refuse, or read wrongly."""
    try:
        for found, expected in DEMANDS[name](row):
            yield Fault(where, "demands", found, expected)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        yield Fault(where, "demands", f"{error!r}", f"the fields of {name}")


class _Source:
    """The records that were exported, and which of them were met in the rows."""

    def __init__(self, folder: Path, kind: str, name: str, out: Path) -> None:
        self.name, self.form, self.out = name, FORMS[name], out
        self._finder = Finder(read_videos(out))
        self._times: Times = defaultdict(set)
        self._records: dict[str, list[tuple[str, str]]] = {}
        self._met: set[tuple[str, str]] = set()
        self._rejected = {row.item for row in read_rejects(folder / "rejects.jsonl")}
        for record in _records(out, kind):
            lines = list(_lines(record))
            self._records[record.id] = [(record.video_id, text) for text, _ in lines]
            for text, t_ns in lines:
                self._times[record.video_id, text].add(t_ns)

    def faults(self, where: str, row: Json) -> Iterator[Fault]:
        """A row against the records of its video."""
        try:
            bundle = self._read(row)
        except (RowError, ValidationError) as error:
            yield Fault(where, "loads", str(error).splitlines()[0], "a row that can be read")
            return
        for record in _held(bundle, self.form):
            for text, t_ns in _lines(record):
                yield from self._line(where, (record.video_id, text), t_ns)

    def _read(self, row: Json) -> Bundle:
        name = self.form.rows.video_of(row)
        video = self._finder.find(name)
        if video is None:
            raise RowError("no_video", f"video {name}, which is not in the index")
        unit = Unit("s") if self.form.needs_unit else None
        place = Place(video, clock_of(self.out, video), Provenance(kind="corpus", agent=self.name), "0", unit)
        return self.form.rows.read(row, place)

    def _line(self, where: str, key: tuple[str, str], t_ns: int) -> Iterator[Fault]:
        self._met.add(key)
        due = self._times.get(key)
        if due is None and self.name in _WHOLE:
            yield Fault(where, "words", f"{key[1]!r}, of no record", "words of the source")
        elif due is not None and t_ns not in due:
            rule = "causality" if t_ns < min(due) else "times"
            yield Fault(where, rule, f"{key[1]!r} at {t_ns} ns", f"{', '.join(map(str, sorted(due)))} ns")

    def lost(self) -> Iterator[Fault]:
        """Records of which a line is in no row, and that are no rejects either."""
        for made, keys in self._records.items() if self.name in _WHOLE else ():
            missing = [text for video, text in keys if (video, text) not in self._met]
            if missing and made not in self._rejected:
                yield Fault("rejects.jsonl", "nothing vanishes", f"no trace of {missing[0]!r} of {made}", "a row")


def _records(out: Path, kind: str) -> Iterator[Event | StreamingQA | Dialogue]:
    if kind == "dialogue":
        yield from dataset_rows(out, "dialogue/dialogues", Dialogue)
    elif kind == "streaming_qa":
        yield from dataset_rows(out, "streaming_qa/qa", StreamingQA)
    elif kind in ("frame_events", "events"):
        yield from read_table(table_path(out, Event), Event)
    else:
        raise FormatError(f"manifest.json: field input.dataset: found {kind!r}, expected the dataset that was exported")


def _held(bundle: Bundle, form: Form) -> tuple[Event | StreamingQA | Dialogue, ...]:
    if "frame_events" in form.datasets:
        return bundle.events
    return (*bundle.questions, *bundle.dialogues)


def _lines(record: Event | StreamingQA | Dialogue) -> Iterator[tuple[str, int]]:
    """Words, and when they are there: a question once it is out, an answer and an event from when they begin."""
    if isinstance(record, Event):
        yield " ".join((record.caption or record.label).split()), record.start_ns
    elif isinstance(record, Dialogue):
        for turn in record.turns:
            if turn.role != "system":
                yield turn.text, turn.end_ns if turn.role == "user" else turn.start_ns
    else:
        yield record.question, record.ask_ns
        if not record.options:
            for answer in record.answers:
                yield answer.text, answer.t_ns
