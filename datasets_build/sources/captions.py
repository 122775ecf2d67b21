"""Captions in JSON as timed text, one row at a time, with numbers taken exactly as they are written.

Three forms are read:

- a list of rows, or `{"captions": [...]}`, or Whisper's `{"segments": [...]}`, or `{"annotations": [...]}`. A row has
  `text` and its times as `start` and `end`, or in keys that name their unit (`start_s`, `start_ms`, `start_ns`); an
  instant has `is_point: true` and a start alone. It may have `kind`, `label`, `language`, `confidence`, `subject` (or
  `speaker`) and `words`, each with `word` (or `text`), times and perhaps `confidence` (or `probability`, `score`).
- ActivityNet's `{"duration": 12.5, "timestamps": [[start, end], …], "sentences": [...]}`, in seconds.

The unit of plain times is, in this order: the file's own `unit` (`s`, `ms`, `ns`), seconds for Whisper's form, the
setting `caption_unit`. Times count from the first shown frame unless the file's `clock` or the setting `caption_clock`
says `container`. A file may state its video's `duration` or `duration_ns`, and its `video_sha256`; a video that is not
like that gets nothing from it. Keys that are not read are named in one fault per file; Whisper's own figures are known
and passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from datasets_build.core.clock import NS_PER_S
from datasets_build.sources.exact import (
    CaptionError,
    Value,
    fraction_of,
    load_json,
    nanoseconds,
    object_of,
    show,
    string_of,
)
from datasets_build.sources.said import Clock, Fault, Kind, Said, Sheet

Unit = Literal["s", "ms", "ns"]
OVERRUN_NS = NS_PER_S
_LISTS = ("captions", "segments", "annotations")
_TOP_KEYS = frozenset(
    {*_LISTS, "unit", "clock", "duration", "duration_ns", "video_sha256", "language", "text", "task", "word_segments"}
)
_ACTIVITYNET_KEYS = frozenset({"duration", "timestamps", "sentences", "clock"})
_TIME_KEYS = frozenset(f"{end}{unit}" for end in ("start", "end") for unit in ("", "_s", "_ms", "_ns"))
_ROW_KEYS = frozenset({"text", "kind", "label", "language", "confidence", "subject", "speaker", "is_point", "words"})
_WORD_KEYS = frozenset({"word", "text", "confidence", "probability", "score", "speaker"})
_WHISPER_FIGURES = frozenset(
    {"id", "seek", "tokens", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob", "chars", "transient"}
)


def parse_captions(text: str, *, unit: Unit, clock: Clock, known: frozenset[str] = frozenset()) -> Sheet:
    """Read captions.

    Args:
        text: the file's content.
        unit: of plain times, where neither the file nor its form says.
        clock: of the times, where the file does not say.
        known: further top-level keys that are not captions and need no fault.

    Returns:
        The rows that could be read, and a fault for everything else; never raises for content.
    """
    try:
        content = load_json(text)
        if isinstance(content, dict) and {"timestamps", "sentences"} <= content.keys():
            return _activitynet(content, clock)
        return _rows_form(content, unit, clock, known)
    except CaptionError as error:
        return Sheet(faults=(error.fault,))


def _choice(value: Value, name: str, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise CaptionError("bad_value", f"{name}: found {show(value)}, expected one of {', '.join(choices)}")
    return value


def _number_of(value: Value, name: str) -> float:
    number = float(fraction_of(value))
    if not 0 <= number <= 1:
        raise CaptionError("bad_value", f"{name}: found {show(value)}, expected 0 to 1")
    return number


@dataclass(slots=True)
class _Reader:
    """The reading of one file: how plain times are meant, and what has been found."""

    unit: str
    unit_is_stated: bool
    language: str | None
    rows: list[Said] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)

    def read(self, content: list[Value]) -> None:
        for number, value in enumerate(content, start=1):
            self._keep(f"caption {number}", value, words=False)
            words = value.get("words") if isinstance(value, dict) else None
            if isinstance(words, list):
                for place, word in enumerate(words, start=1):
                    self._keep(f"caption {number}, word {place}", word, words=True)
            elif words is not None:
                self.faults.append(Fault("bad_type", f"caption {number}: words: found {show(words)}, expected a list"))

    def _keep(self, where: str, value: Value, *, words: bool) -> None:
        try:
            row = object_of(value)
            self.rows.append(self._word(where, row) if words else self._row(where, row))
        except CaptionError as error:
            self.faults.append(Fault(error.fault.code, f"{where}: {error}"))
        else:
            known = (_WORD_KEYS if words else _ROW_KEYS | _WHISPER_FIGURES) | _TIME_KEYS
            self.unread.update(key for key in row if key not in known)

    def _row(self, where: str, row: dict[str, Value]) -> Said:
        is_point = row.get("is_point", False)
        if not isinstance(is_point, bool):
            raise CaptionError("bad_type", f"is_point: found {show(is_point)}, expected true or false")
        start_ns, end_ns = self._span(row, is_point=is_point)
        voice = row.get("subject") if row.get("subject") is not None else row.get("speaker")
        return Said(
            where=where,
            start_ns=start_ns,
            end_ns=end_ns,
            text=string_of(row.get("text"), "text"),
            kind=_kind(row.get("kind", "caption")),
            label=_optional(row, "label"),
            language=_optional(row, "language") or self.language,
            subject=None if voice is None else string_of(voice, "subject"),
            confidence=None if row.get("confidence") is None else _number_of(row["confidence"], "confidence"),
            is_point=is_point,
        )

    def _word(self, where: str, row: dict[str, Value]) -> Said:
        start_ns, end_ns = self._span(row, is_point=False)
        score = next((row[key] for key in ("confidence", "probability", "score") if row.get(key) is not None), None)
        return Said(
            where=where,
            start_ns=start_ns,
            end_ns=end_ns,
            text=string_of(row.get("word", row.get("text")), "word"),
            kind="word",
            language=self.language,
            subject=_optional(row, "speaker"),
            confidence=None if score is None else _number_of(score, "confidence"),
        )

    def _span(self, row: dict[str, Value], *, is_point: bool) -> tuple[int, int]:
        start_ns = self._time(row, "start")
        has_end = any(key.startswith("end") for key in row if key in _TIME_KEYS)
        end_ns = start_ns if is_point and not has_end else self._time(row, "end")
        if end_ns < start_ns or (end_ns == start_ns) != is_point:
            expected = "an instant to end where it starts" if is_point else "an end after the start"
            raise CaptionError("bad_span", f"found start {start_ns} ns and end {end_ns} ns, expected {expected}")
        return start_ns, end_ns

    def _time(self, row: dict[str, Value], name: str) -> int:
        keys = [key for key in (name, f"{name}_s", f"{name}_ms", f"{name}_ns") if key in row]
        if len(keys) != 1:
            found = ", ".join(keys) or "none"
            raise CaptionError("bad_time", f"found {found}, expected one of {name}, {name}_s, {name}_ms, {name}_ns")
        unit = keys[0].removeprefix(name).lstrip("_") or self.unit
        if self.unit_is_stated and unit != self.unit:
            raise CaptionError(
                "unclear_unit", f"found {keys[0]} in a file whose unit is {self.unit}, expected one unit"
            )
        try:
            return nanoseconds(row[keys[0]], unit)
        except CaptionError as error:
            raise CaptionError(error.fault.code, f"{keys[0]}: {error}") from None


def _optional(row: dict[str, Value], name: str) -> str | None:
    return None if row.get(name) is None else string_of(row[name], name)


def _kind(value: Value) -> Kind:
    kind: Kind = _choice(value, "kind", get_args(Kind))  # type: ignore[assignment]  # one of exactly these words
    return kind


def _clock(top: dict[str, Value], default: Clock) -> Clock:
    clock: Clock = _choice(top.get("clock", default), "clock", get_args(Clock))  # type: ignore[assignment]  # as above
    return clock


def _rows_form(content: Value, unit: Unit, clock: Clock, known: frozenset[str]) -> Sheet:
    top: dict[str, Value] = content if isinstance(content, dict) else {"captions": content}
    names = [name for name in _LISTS if name in top]
    rows = top[names[0]] if len(names) == 1 else None
    if not isinstance(rows, list):
        raise CaptionError(
            "not_captions",
            f"found {show(sorted(top)) if isinstance(content, dict) else show(content)}, expected a list of captions "
            "or an object with one list named captions, segments or annotations",
        )
    stated = top.get("unit")
    if stated is not None:
        _choice(stated, "unit", get_args(Unit))
    default = "s" if names == ["segments"] else unit
    reader = _Reader(str(stated or default), stated is not None, _optional(top, "language"))
    reader.read(rows)
    reader.unread.update(key for key in top if key not in _TOP_KEYS | known)
    duration, unit_of = (top["duration_ns"], "ns") if "duration_ns" in top else (top.get("duration"), reader.unit)
    return Sheet(
        rows=tuple(reader.rows),
        faults=(*reader.faults, *_unread(reader.unread)),
        clock=_clock(top, clock),
        duration_ns=None if duration is None else nanoseconds(duration, unit_of),
        video_sha256=_optional(top, "video_sha256"),
        overrun_ns=OVERRUN_NS,
    )


def _unread(counts: Counter[str]) -> Iterator[Fault]:
    if counts:
        keys = ", ".join(f"{show(key)} ({counts[key]})" for key in sorted(counts)[:8])
        more = f" and {len(counts) - 8} more" if len(counts) > 8 else ""
        yield Fault("unread_keys", f"found keys {keys}{more} that nothing here reads; their rows were kept")


def _activitynet(top: dict[str, Value], clock: Clock) -> Sheet:
    times, sentences = top["timestamps"], top["sentences"]
    if not isinstance(times, list) or not isinstance(sentences, list) or len(times) != len(sentences):
        counts = " and ".join(str(len(v)) if isinstance(v, list) else show(v) for v in (times, sentences))
        raise CaptionError("not_captions", f"found {counts}, expected as many timestamps as sentences")
    reader = _Reader("s", unit_is_stated=False, language=None)
    reader.read([_as_row(pair, sentence) for pair, sentence in zip(times, sentences, strict=True)])
    reader.unread.update(key for key in top if key not in _ACTIVITYNET_KEYS)
    sheet = Sheet(
        rows=tuple(reader.rows),
        faults=(*reader.faults, *_unread(reader.unread)),
        clock=_clock(top, clock),
        overrun_ns=OVERRUN_NS,
    )
    if top.get("duration") is None:
        return replace(sheet, rows=(), faults=(Fault("not_captions", "duration: found none, expected seconds"),))
    return replace(sheet, duration_ns=nanoseconds(top["duration"], "s"))


def _as_row(pair: Value, sentence: Value) -> Value:
    if isinstance(pair, list) and len(pair) == 2:
        return {"start_s": pair[0], "end_s": pair[1], "text": sentence}
    return pair
