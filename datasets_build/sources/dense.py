"""Dense captions in the two forms that ActivityNet began and others took over.

- captions: `{"NAME": {"duration": 12.5, "timestamps": [[start, end], …], "sentences": [...]}, …}`;
- database: `{"database": {"NAME": {"duration", "subset", "annotations": [{"segment": [start, end], …}]}}}`.

All times are seconds from the start of the video, which both forms' corpora document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.files import DataError
from datasets_build.sources.entries import Collector, Entry, Reading, duration_of, json_object, refused, split_named
from datasets_build.sources.exact import CaptionError, Value, object_of, show, span_of, string_of
from datasets_build.sources.said import Fault, Kind, Said, Sheet

_EXPECTED = "an object of videos, or one under `database`"
_PREFIX = "v_"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseForm:
    """Where a database keeps what is said.

    Args:
        rows: the key of a video's list.
        text: the key of a row's text.
        is_label: whether the text is a class of the corpus.
        labels: the classes there are, None when any will do.
        whole: the key of the class of all that is done, from `start` to `end`, whose parts the rows are; None: no such.
    """

    rows: str = "annotations"
    text: str = "label"
    is_label: bool = True
    labels: frozenset[str] | None = None
    whole: str | None = None


def parse_dense(text: str, path: Path, form: DatabaseForm) -> Reading:
    """Read either form.

    Raises:
        DataError: the file is no JSON object of videos.
    """
    top = json_object(text, path, _EXPECTED)
    if "database" in top:
        database = top["database"]
        if not isinstance(database, dict):
            raise DataError(f"{path}: database: found {show(database)}, expected an object of videos")
        entries = tuple(_database_entry(name, value, form) for name, value in database.items())
        return Reading(entries, notes=_unread(database, path, (form.rows,)))
    notes = _unread(top, path, ("timestamps", "sentences"))
    return Reading(tuple(_captions_entry(name, value) for name, value in top.items()), notes=notes)


def _unread(videos: Mapping[str, Value], path: Path, known: Collection[str]) -> tuple[Fault, ...]:
    """One note about the lists that stand beside those that are read: a misspelt key would vanish."""
    objects = (value for value in videos.values() if isinstance(value, dict))
    found = Counter(
        key for value in objects for key, each in value.items() if isinstance(each, list) and key not in known
    )
    lists = ", ".join(f"{show(key)} of {count} videos" for key, count in sorted(found.items()))
    return (Fault("not_kept", f"{path.name} holds lists that are not read: {lists}"),) if found else ()


def names_of(name: str) -> tuple[str, ...]:
    """A video's name as it stands and with or without the `v_` that some releases put before it."""
    bare = name.removeprefix(_PREFIX)
    return (name, bare) if bare != name else (name, _PREFIX + name)


def _captions_entry(name: str, value: Value) -> Entry:
    lists = [value.get(key) for key in ("timestamps", "sentences")] if isinstance(value, dict) else []
    try:
        return Entry(names=names_of(name), sheet=_captions_sheet(name, object_of(value, "timestamps and sentences")))
    except CaptionError as error:
        count = max((len(each) for each in lists if isinstance(each, list)), default=1)
        return Entry(names=names_of(name), sheet=refused(name, error, count))


def _captions_sheet(name: str, value: Mapping[str, Value]) -> Sheet:
    times, sentences = value.get("timestamps"), value.get("sentences")
    if not isinstance(times, list) or not isinstance(sentences, list) or len(times) != len(sentences):
        counts = " and ".join(str(len(v)) if isinstance(v, list) else show(v) for v in (times, sentences))
        raise CaptionError("not_captions", f"found {counts}, expected as many timestamps as sentences")
    duration_ns, collected = duration_of(value.get("duration")), Collector()
    for number, (pair, sentence) in enumerate(zip(times, sentences, strict=True), start=1):
        where = f"{name}, caption {number}"
        try:
            start_ns, end_ns = span_of(pair, "timestamps", duration_ns)
            text = string_of(sentence, "sentence")
            collected.add(Said(where=where, start_ns=start_ns, end_ns=end_ns, text=text))
        except CaptionError as error:
            collected.fail(where, error)
    return collected.sheet(duration_ns)


def _database_entry(name: str, value: Value, form: DatabaseForm) -> Entry:
    lists = value.values() if isinstance(value, dict) else ()
    count = max((len(each) for each in lists if isinstance(each, list)), default=1)
    try:
        content = object_of(value, f"an object with {form.rows}")
        sheet = _database_sheet(name, content, form)
        return Entry(names=names_of(name), sheet=sheet, split=split_named(content.get("subset")))
    except CaptionError as error:
        return Entry(names=names_of(name), sheet=refused(name, error, count))


def _database_sheet(name: str, value: Mapping[str, Value], form: DatabaseForm) -> Sheet:
    rows, duration_ns, collected = value.get(form.rows), duration_of(value.get("duration")), Collector()
    if rows is None:
        if other := next((key for key, each in value.items() if isinstance(each, list)), None):
            raise CaptionError("unknown_key", f"found a list {show(other)}, expected {form.rows}")
        # The test part of a database names its videos and says nothing of them.
        return collected.sheet(duration_ns)
    if not isinstance(rows, list):
        raise CaptionError("bad_type", f"{form.rows}: found {show(rows)}, expected a list")
    if form.whole is not None and form.whole in value:
        where = f"{name}, {form.whole}"
        try:
            start_ns, end_ns = span_of([value.get("start"), value.get("end")], "start and end", duration_ns)
            task = string_of(value[form.whole], form.whole)
            collected.add(Said(where=where, start_ns=start_ns, end_ns=end_ns, text=task, kind="label", label=task))
        except CaptionError as error:
            collected.fail(where, error)
    for number, row in enumerate(rows, start=1):
        where = f"{name}, {form.rows} {number}"
        try:
            content = object_of(row, "an object with segment")
            start_ns, end_ns = span_of(content.get("segment"), "segment", duration_ns)
            text = string_of(content.get(form.text), form.text)
            label = known_label(text, form.labels) if form.is_label else None
            kind: Kind = "label" if form.is_label else "caption"
            collected.add(Said(where=where, start_ns=start_ns, end_ns=end_ns, text=text, kind=kind, label=label))
        except CaptionError as error:
            collected.fail(where, error)
    return collected.sheet(duration_ns)


def known_label(label: str, labels: Collection[str] | None) -> str:
    """The label, if it is one of those there are. Raises CaptionError."""
    if labels is not None and label not in labels:
        raise CaptionError("unknown_label", f"found {show(label)}, expected one of {len(labels)} labels of the list")
    return label


def label_lines(text: str) -> Iterator[str]:
    """The classes of a label list, one a line; their order numbers them from 0."""
    return (line.strip() for line in text.strip("\n").split("\n"))
