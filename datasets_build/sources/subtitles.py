"""Subtitles (SRT, WebVTT, SSA/ASS) as timed text, cue by cue: a broken cue costs itself and no other.

pysubs2 reads SSA/ASS events. SRT and WebVTT are cut into cues here, because pysubs2 joins whatever it cannot read (a
time without milliseconds, a NOTE, a cue number in words) to the text of the cue before, without a word, and drops a
number that ends a cue. Times are on the container's own timeline, as players apply them.
"""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Literal

import pysubs2

from datasets_build.sources.said import Fault, Said, Sheet

Syntax = Literal["srt", "vtt", "ass"]
Item = Said | Fault
NS_PER_MS = 1_000_000
_STAMP = r"(?:(\d{1,5}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_TIMING = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}(?:\s.*)?")
# Bounded, so that a line of a million letters takes no longer than a million short ones.
_LOOKS_TIMED = re.compile(r"-->|\d:\d{1,9}\S{0,20}\s{0,20}-{1,9}>|->\s{0,20}\d{1,9}:\d")
# The tags of subtitles and no others: `a < b`, `<video>` and `<3` are text.
_TAG_NAMES = "a|b|big|c|code|div|em|font|i|lang|p|rt|ruby|s|small|span|strong|sub|sup|tt|u|v"
_TAG = re.compile(rf"</?(?:{_TAG_NAMES})(?=[\s.>/])[^<>]*>|<\d*[:.][\d:.]*>", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]+)>")
_VTT_ASIDE = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")
_VTT_LANGUAGE = re.compile(r"Language:\s*(\S+)", re.IGNORECASE)
_ASS_EVENT = re.compile(r"\s*(?:Dialogue|Comment)\s*:")
_ASS_FIELDS = 10


def parse_subtitles(text: str, syntax: Syntax) -> Sheet:
    """Read subtitles; text loses markup, has its entities resolved, and its line breaks become spaces.

    Args:
        text: the file's content.
        syntax: `srt`, `vtt` or `ass` (which covers `.ssa`).

    Returns:
        A sheet on the container's clock whose rows are cut, not refused, where they reach out of the video.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = list(_read_ass(lines) if syntax == "ass" else _read_cues(lines, syntax))
    return Sheet(
        rows=tuple(item for item in found if isinstance(item, Said)),
        faults=tuple(item for item in found if isinstance(item, Fault)),
        clock="container",
    )


@dataclass(frozen=True, slots=True)
class MarkedCue:
    """A cue that could be read, and its text with markup."""

    said: Said
    marked: str


def marked_cues(text: str, syntax: Syntax) -> Iterator[MarkedCue]:
    """The cues of `parse_subtitles` with their markup, for who reads more out of it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if syntax == "ass":
        numbered = (place for place, line in enumerate(lines) if _ASS_EVENT.match(line))
        for number, place in enumerate(numbered, start=1):
            item = _read_ass_event(lines[place].strip(), f"cue {number} (line {place + 1})")
            if isinstance(item, Said):
                yield MarkedCue(item, lines[place].strip().split(",", _ASS_FIELDS - 1)[-1])
        return
    for cue in _find_cues(lines):
        marked, _ = _body(lines, cue, syntax)
        item = _read_cue(lines, cue, marked, syntax=syntax, language=None)
        if isinstance(item, Said):
            yield MarkedCue(item, marked)


def plain_text(marked: str) -> str:
    """Text without tags and override codes, entities resolved, all white space single."""
    bare = _OVERRIDE.sub("", _TAG.sub("", _BREAK.sub(" ", marked)))
    return " ".join(html.unescape(bare).split())


@dataclass(frozen=True, slots=True)
class _Cue:
    """Where a cue stands, as line indices: its first line (an identifier, else the timing), its timing line, its end.

    `number` counts from 1 in file order.
    """

    number: int
    head: int
    timing: int
    end: int

    @property
    def where(self) -> str:
        return f"cue {self.number} (line {self.timing + 1})"


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """Lines that follow each other without an empty one; `first` is the index of the first."""

    first: int
    lines: tuple[str, ...]


def _paragraphs(lines: Sequence[str], start: int, end: int, syntax: Syntax) -> list[_Paragraph]:
    # In WebVTT a line of spaces is a line, and web captions write one above each cue; in SRT it looks like none.
    full = [index for index in range(start, end) if (lines[index] if syntax == "vtt" else lines[index].strip())]
    firsts = [index for place, index in enumerate(full) if not place or full[place - 1] != index - 1]
    lasts = [index for place, index in enumerate(full, start=1) if place == len(full) or full[place] != index + 1]
    found = [_Paragraph(first, tuple(lines[first : last + 1])) for first, last in zip(firsts, lasts, strict=True)]
    return [part for part in found if any(line.strip() for line in part.lines)]


def _find_cues(lines: Sequence[str]) -> list[_Cue]:
    # A dictionary keeps the order and answers at once: a day of speech has a hundred thousand cues.
    timings = dict.fromkeys(index for index, line in enumerate(lines) if _LOOKS_TIMED.search(line))
    heads = []
    for index in timings:
        above = lines[index - 1].strip() if index else ""
        alone = index < 2 or not lines[index - 2].strip()
        is_identifier = above.isdigit() or (bool(above) and alone)
        heads.append(index - 1 if is_identifier and index - 1 not in timings else index)
    ends = [*heads[1:], len(lines)]
    return [_Cue(number, *place) for number, place in enumerate(zip(heads, timings, ends, strict=False), start=1)]


def _read_cues(lines: Sequence[str], syntax: Syntax) -> Iterator[Item]:
    cues = _find_cues(lines)
    preamble = _paragraphs(lines, 0, cues[0].head if cues else len(lines), syntax)
    language = None
    if syntax == "vtt" and preamble and preamble[0].lines[0].startswith("WEBVTT"):
        header = preamble.pop(0)
        language = next((match[1] for line in header.lines if (match := _VTT_LANGUAGE.match(line))), None)
        if any(line.startswith("X-TIMESTAMP-MAP") for line in header.lines):
            # A piece of an HLS stream: its zero is an MPEG-TS time that only the playlist knows.
            yield Fault("unclear_clock", "found X-TIMESTAMP-MAP, expected times on the video's own timeline")
            return
    yield from _strays(preamble, syntax)
    if not cues:
        yield Fault("no_cue", "found no line with times, expected such as 00:00:01,000 --> 00:00:02,500")
    for cue in cues:
        text, strays = _body(lines, cue, syntax)
        yield _read_cue(lines, cue, text, syntax=syntax, language=language)
        yield from _strays(strays, syntax)


def _body(lines: Sequence[str], cue: _Cue, syntax: Syntax) -> tuple[str, list[_Paragraph]]:
    """A cue's text with markup, and the paragraphs after it that are not part of it."""
    parts = _paragraphs(lines, cue.timing + 1, cue.end, syntax)
    if syntax == "vtt":
        # WebVTT ends a cue at the first empty line; an empty line at once means an empty cue.
        own = [place == 0 and part.first == cue.timing + 1 for place, part in enumerate(parts)]
    else:
        # SRT in the wild holds empty lines inside a cue; a numbered paragraph is another cue that lost its time.
        own = [place == 0 or not part.lines[0].strip().isdigit() for place, part in enumerate(parts)]
    text = "\n".join(line for part in compress(parts, own) for line in part.lines)
    return text, [part for part, is_own in zip(parts, own, strict=True) if not is_own]


def _strays(parts: Sequence[_Paragraph], syntax: Syntax) -> Iterator[Fault]:
    for part in parts:
        if syntax == "vtt" and _VTT_ASIDE.match(part.lines[0]):
            continue
        found = " / ".join(part.lines)[:80]
        yield Fault("stray_text", f"line {part.first + 1}: found text without a time ({found!r}), expected a cue")


def _read_cue(lines: Sequence[str], cue: _Cue, marked: str, *, syntax: Syntax, language: str | None) -> Item:
    written = lines[cue.timing].strip()
    match = _TIMING.fullmatch(lines[cue.timing])
    stamps = [stamp_ns(match.groups()[:4]), stamp_ns(match.groups()[4:])] if match else [None]
    if None in stamps:
        return Fault("bad_time", f"{cue.where}: found {written[:80]!r}, expected HH:MM:SS,mmm --> HH:MM:SS,mmm")
    start_ns, end_ns = (stamp for stamp in stamps if stamp is not None)
    notes = []
    if match and any(digits and len(digits) < 3 for digits in (match[4], match[8])):
        notes.append(f"fraction of a second written in fewer than three digits ({written})")
    name = lines[cue.head].strip()
    if syntax == "srt" and cue.head < cue.timing and not name.isdigit():
        notes.append(f"cue number written as {name!r}")
    voices = dict.fromkeys(plain_text(voice) for voice in _VOICE.findall(marked))
    return _said_or_fault(
        Said(
            where=cue.where,
            start_ns=start_ns,
            end_ns=end_ns,
            text=plain_text(marked),
            language=language,
            subject=", ".join(voices) or None,
            note="; ".join(notes) or None,
        ),
        written,
    )


def _said_or_fault(said: Said, written: str) -> Item:
    if said.end_ns <= said.start_ns:
        return Fault("bad_span", f"{said.where}: found {written!r}, expected an end after the start")
    if not said.text:
        return Fault("no_text", f"{said.where}: found no text, expected some")
    return said


def stamp_ns(groups: Sequence[str | None]) -> int | None:
    """Nanoseconds of (hours, minutes, seconds, fraction) as written; None when minutes or seconds pass 59."""
    hours, minutes, seconds = (int(group or 0) for group in groups[:3])
    if minutes > 59 or seconds > 59:
        return None
    fraction_ms = int((groups[3] or "").ljust(3, "0"))
    return ((hours * 60 + minutes) * 60_000 + seconds * 1000 + fraction_ms) * NS_PER_MS


def _read_ass(lines: Sequence[str]) -> Iterator[Item]:
    number = 0
    for index, line in enumerate(lines):
        if _ASS_EVENT.match(line):
            number += 1
            item = _read_ass_event(line.strip(), f"cue {number} (line {index + 1})")
            if item:
                yield item
    if not number:
        yield Fault("no_cue", "found no Dialogue line, expected such as Dialogue: 0,0:00:01.00,0:00:02.50,Default,…")


def _read_ass_event(line: str, where: str) -> Item | None:
    """One event, on its own so that a broken one stops no other; None for comments and drawings, which are no text."""
    fields = line.split(",", _ASS_FIELDS - 1)
    bad = Fault("bad_time", f"{where}: found {line[:80]!r}, expected Dialogue: layer,H:MM:SS.cc,H:MM:SS.cc,…,text")
    if len(fields) < _ASS_FIELDS:
        # pysubs2 would fill what is missing with an end at 10 s and no text.
        return bad
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a malformed margin or layer means nothing here
            (event,) = pysubs2.SSAFile.from_string(f"[Events]\n{line}\n", format_="ass")
    except ValueError:
        return bad
    if not event.is_text:
        return None
    said = Said(
        where=where,
        start_ns=event.start * NS_PER_MS,
        end_ns=event.end * NS_PER_MS,
        text=" ".join(event.plaintext.split()),
        subject=event.name.strip() or None,
    )
    return _said_or_fault(said, f"{fields[1]} --> {fields[2]}")
