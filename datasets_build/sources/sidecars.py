"""Sidecar files to annotations: read what stands beside a video, and lay it onto the video's clock."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace
from typing import Protocol

from datasets_build.core.clock import format_ns
from datasets_build.core.records import Annotation, Provenance, Reject, Video, derive_id
from datasets_build.sources.captions import parse_captions
from datasets_build.sources.folder import FolderConfig, SidecarFile
from datasets_build.sources.said import Fault, Said, Sheet
from datasets_build.sources.subtitles import Syntax, parse_subtitles
from datasets_build.sources.unseen import without_unseen
from datasets_build.sources.words import parse_words, spread_words

LARGEST_BYTES = 256 * 2**20
_SYNTAXES: dict[str, Syntax] = {".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ass"}
# What a drawn video's truth holds beside its annotations: for tests, not said of the video.
_WORLD_KEYS = frozenset({"schema", "seed", "number", "rate", "frames", "spec", "transitions"})
_TEXT_CONTROLS = frozenset("\t\n\v\f\r\x1a")
_DURATION_SHARE, _DURATION_SLACK_NS = 20, 1_000_000_000
_ACTIONS = {
    "bad_number": "write a finite number",
    "bad_row": "complete the row, or remove it",
    "bad_saliency": "correct the clips or the windows of the query",
    "bad_span": "correct the times",
    "bad_tags": "write one <video> for each video of the sample",
    "bad_text": "write whole Unicode characters",
    "bad_time": "write the times in full",
    "bad_type": "write a value of the expected type",
    "bad_value": "write one of the expected values",
    "beyond_duration": "correct the times, or the duration",
    "duplicate": "nothing, or remove the second row",
    "frames_disagree": "correct the frames or the times",
    "length": "nothing, or change the corpus's min_s and max_s",
    "many_videos": "make a sample for each video",
    "no_cue": "give it captions, or move it away",
    "no_content": "put the file back that the link means, or leave the link out",
    "no_rows": "check that this is the file that was meant",
    "no_text": "write a text, or remove the row",
    "no_window": "give the query its windows, or remove it",
    "not_a_pair": "put a question before each reply and a reply after each question",
    "not_captions": "bring it into one of the forms that datasets_build/sources/captions.py describes, or move it away",
    "not_kept": "nothing: it stays in the corpus file",
    "not_json": "repair the JSON",
    "not_text": "save it as UTF-8 text",
    "other_duration": "say the unit in the file (s, ms or ns), or give it the name of the video that it describes",
    "other_video": "make it anew for this video, or put the video that it describes in its place",
    "other_media": "take the images out, or leave the sample out",
    "outside_video": "check the unit (its key unit, or setting index.folder.caption_unit) and the video it belongs to",
    "pace": "nothing, or change the corpus's min_tokens_per_s and max_tokens_per_s",
    "stray_text": "give it a time, or remove it",
    "too_large": "cut it into the parts that belong to each video",
    "unclear_clock": "convert it to a file whose times start with the video",
    "unclear_unit": "use the unit that the file states",
    "unreadable": "make it readable for this user",
    "unknown_key": "correct the key: what lies under it is not read",
    "unknown_label": "correct the label, or give the list that it is of",
    "unread_keys": "nothing, unless the keys hold something of use: then convert them",
    "video_absent": "put the videos below VIDEOS under the names that the corpus gives them",
    "video_rejected": "mend the video",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """What a sidecar gave for one video, in file order."""

    annotations: tuple[Annotation, ...]
    rejects: tuple[Reject, ...]


class Teller(Protocol):
    """A file that says something about videos: its name, what kind of thing its rows come from, and its digest."""

    @property
    def uri(self) -> str:
        """What it is called in reasons and provenance."""
        ...

    @property
    def origin(self) -> str:
        """What its rows come from: the label set of their events."""
        ...

    @property
    def version(self) -> str:
        """Its digest, empty where another table holds it."""
        ...


def reject(sidecar: Teller, fault: Fault) -> Reject:
    """The reject row of something in a sidecar."""
    return Reject(
        stage="index",
        item=sidecar.uri,
        code=fault.code,
        reason=f"{sidecar.uri}: {fault.reason}",
        action=_ACTIONS[fault.code],
    )


def read_sidecar(sidecar: SidecarFile, config: FolderConfig) -> Sheet:
    """Read a sidecar file; whatever is wrong with it is a fault in the sheet, never an error."""
    try:
        size = sidecar.path.stat().st_size
        if size > LARGEST_BYTES:
            return Sheet(faults=(Fault("too_large", f"found {size} bytes, expected at most {LARGEST_BYTES}"),))
        content = sidecar.path.read_bytes()
    except OSError as error:
        return Sheet(faults=(Fault("unreadable", f"cannot be read ({error.strerror})"),))
    return parse_sidecar(content, sidecar, config)


def parse_sidecar(content: bytes, sidecar: SidecarFile, config: FolderConfig) -> Sheet:
    """The content of a sidecar file as a sheet; the language in its name counts where a row names none."""
    text, encoding = decode_text(content)
    if text is None:
        return Sheet(faults=(Fault("not_text", "found bytes that are no text, expected UTF-8"),))
    if sidecar.kind == "subtitles":
        sheet = _with_words(text, _SYNTAXES[sidecar.path.suffix.lower()], config)
    else:
        known = _WORLD_KEYS if sidecar.kind in ("world", "lesson") else frozenset()
        sheet = parse_captions(text, unit=config.caption_unit, clock=config.caption_clock, known=known)
    note = None if encoding.startswith("utf") else f"text read as {encoding}"
    rows = [replace(row, language=row.language or sidecar.language, note=_join(row.note, note)) for row in sheet.rows]
    return replace(sheet, rows=tuple(rows))


def _with_words(text: str, syntax: Syntax, config: FolderConfig) -> Sheet:
    """The cues, and then the words whose times the file states, or all of them where they are to be spread."""
    sheet = parse_subtitles(text, syntax)
    found = parse_words(text, syntax)
    words = [item for item in found if isinstance(item, Said)]
    faults = [item for item in found if isinstance(item, Fault)]
    if config.words == "spread":
        stated = {word.where.rsplit(", word ", 1)[0] for word in words}
        words += [word for row in sheet.rows if row.where not in stated for word in spread_words(row)]
    if not sheet.rows:
        # A file whose clock is not known has no cues, and its words have no time either.
        return sheet
    language = sheet.rows[0].language
    kept = (replace(word, language=word.language or language) for word in words)
    return replace(sheet, rows=(*sheet.rows, *kept), faults=(*sheet.faults, *faults))


def _join(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None


def decode_text(content: bytes) -> tuple[str | None, str]:
    """Text and the encoding that gave it: a byte order mark decides, else UTF-8, else Windows-1252, else Latin-1.

    None stands for bytes that are no text: NUL anywhere, or other control characters where only a guess fits.
    """
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        controls = {letter for letter in set(text) if letter < " "} - _TEXT_CONTROLS
        is_text = "\0" not in controls if encoding.startswith("utf") else not controls
        return (text, encoding) if is_text else (None, "")
    return None, ""


def place(sheet: Sheet, sidecar: Teller, video: Video) -> Placed:
    """Lay a sheet onto a video's clock (zero = first shown frame), without characters that nobody sees; pure.

    A row that reaches out of the video is cut and says so in `adjusted`; one that shares nothing with it is rejected,
    and so is one of JSON captions that reaches more than a second out, because then its unit is in doubt. A sheet whose
    stated duration is off by more than a second and a twentieth is rejected whole, and so is one about another video.
    """
    doubt = _doubt(sheet, video)
    if doubt is not None:
        lost = f"{doubt.reason}; its {len(sheet.rows)} captions were left out"
        return Placed((), (reject(sidecar, Fault(doubt.code, lost)),))
    items = [_place_row(row, sheet, sidecar=sidecar, video=video) for row in sheet.rows]
    return Placed(
        tuple(item for item in items if isinstance(item, Annotation)),
        tuple(item for item in items if isinstance(item, Reject)),
    )


def _doubt(sheet: Sheet, video: Video) -> Fault | None:
    """Why a sheet cannot be about this video, None when nothing speaks against it."""
    if sheet.video_sha256 not in (None, video.sha256):
        return Fault("other_video", f"found video_sha256 {sheet.video_sha256}, but {video.uri} has {video.sha256}")
    stated_ns = video.duration_ns if sheet.duration_ns is None else sheet.duration_ns
    difference_ns = abs(stated_ns - video.duration_ns)
    if difference_ns > _DURATION_SLACK_NS and difference_ns * _DURATION_SHARE > video.duration_ns:
        found = format_ns(video.duration_ns)
        return Fault("other_duration", f"found duration {format_ns(stated_ns)}, but {video.uri} lasts {found}")
    return None


def _seen(row: Said) -> Said:
    """A row without characters that nobody sees; its note tells which there were."""
    (text, of_text), (label, of_label), (subject, of_subject) = (
        without_unseen(value or "") for value in (row.text, row.label, row.subject)
    )
    found = dict.fromkeys([*of_text, *of_label, *of_subject])
    if not found:
        return row
    note = _join(row.note, f"without {', '.join(found)}, which nobody sees")
    return replace(row, text=text, label=label or None, subject=subject or None, note=note)


def _place_row(row: Said, sheet: Sheet, *, sidecar: Teller, video: Video) -> Annotation | Reject:
    row = _seen(row)
    if not row.text:
        return reject(sidecar, Fault("no_text", f"{row.where}: found nothing that can be seen, expected some text"))
    shift_ns = video.start_offset_ns if sheet.clock == "container" else 0
    wanted = (0, video.duration_ns) if row.is_whole else (row.start_ns - shift_ns, row.end_ns - shift_ns)
    start_ns, end_ns = (min(max(0, time), video.duration_ns) for time in wanted)
    outside_ns = max(start_ns - wanted[0], wanted[1] - end_ns)
    in_doubt = sheet.overrun_ns is not None and outside_ns > sheet.overrun_ns
    if in_doubt or (start_ns == end_ns and not row.is_point):
        found = f"{format_ns(wanted[0])} to {format_ns(wanted[1])}"
        limit = format_ns(video.duration_ns)
        reason = f"{row.where}: found {found} on the clock of {video.uri}, expected a part of 0:00.000 to {limit}"
        return reject(sidecar, Fault("outside_video", reason))
    cut = f"cut to the video from {wanted[0]}..{wanted[1]} ns" if outside_ns else None
    return Annotation(
        id=derive_id("annotation", video.id, sidecar.uri, row.where, *wanted, row.text),
        video_id=video.id,
        start_ns=start_ns,
        end_ns=end_ns,
        kind=row.kind,
        text=row.text,
        label=row.label,
        language=row.language,
        confidence=row.confidence,
        is_point=row.is_point,
        subject=row.subject,
        adjusted=_join(row.note, cut),
        origin=sidecar.origin,
        provenance=Provenance(kind="corpus", agent=sidecar.uri, version=sidecar.version),
    )


def rejects_of(sheet: Sheet, sidecar: Teller) -> tuple[Reject, ...]:
    """The reject rows of what could not be read in a sidecar, in file order."""
    return tuple(reject(sidecar, fault) for fault in sheet.faults)
