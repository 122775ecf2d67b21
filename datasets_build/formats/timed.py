"""Conversations that an export wrote for a trainer, read back as lines with times, which only its sidecar has.

A trainer's file (ms-swift, LLaMA-Factory, TRL, qwen-vl-finetune, WebDataset, hf) says what is shown and said in which
order, and not when. `samples.jsonl` beside it names the time of every step, and `manifest.json` the words that stand
for silence; a file without those cannot become records, and is refused. Windows of one record become one row again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from datasets_build.core.records import Json, Ns, Video
from datasets_build.formats.chats import SIDECAR, SampleInfo, read_infos
from datasets_build.formats.format import FormatError, Options
from datasets_build.formats.place import Bundle, Place, Row, RowError
from datasets_build.formats.qwen_finetune import NAME as QWEN
from datasets_build.formats.rows import ForeignRow, rows_of
from datasets_build.formats.samples import IMAGE, UNLEARNED
from datasets_build.formats.source import made_of
from datasets_build.formats.talk import Line, conversation

SUFFIX = ".lines.jsonl"


class TimedLine(Row):
    """Something said; `t_ns` is the step at which it stands."""

    role: Literal["user", "assistant"]
    text: str
    t_ns: Ns
    learn: bool = True
    weight: float = 1.0


class TimedRow(Row):
    """What an export says of one record; `record` is the id under which it was exported."""

    video: str
    sha256: str
    record: str
    system: str
    lines: list[TimedLine]


def timed_rows(path: Path, name: str) -> tuple[str, bytes]:
    """A file name and JSON lines: what an export in a trainer's format says, record by record.

    Args:
        path: the folder of the export, or one file of it.
        name: of the format, one of `rows.ROWS`.

    Raises:
        FormatError: it is not by our export, so that nothing says when anything is said; or rows do not agree with it.
    """
    folder = _folder_of(path, name)
    made = made_of(folder)
    if made.format != name:
        raise FormatError(f"{folder}: found an export for {made.format}, expected --format {made.format}")
    infos = {info.id: info for info in read_infos(folder)}
    only = "" if path == folder else f"{path.relative_to(folder).as_posix()}:"
    found: dict[str, list[tuple[ForeignRow, SampleInfo]]] = {}
    for row in rows_of(folder, name):
        if row.where.startswith(only):
            if row.id not in infos:
                raise FormatError(f"{folder}/{row.where}: found no line for {row.id} in {SIDECAR}, expected one")
            found.setdefault(infos[row.id].record_id, []).append((row, infos[row.id]))
    lines = [f"{_row(windows, name, made.options).model_dump_json()}\n" for windows in found.values()]
    return f"{path.name}{SUFFIX}", "".join(lines).encode()


def _folder_of(path: Path, name: str) -> Path:
    for folder in (path, path.parent, path.parent.parent):
        if (folder / SIDECAR).is_file():
            return folder
    raise FormatError(
        f"{path}: files of {name} hold no times, and found no {SIDECAR} beside it, expected the folder of an export or "
        "a file in it"
    )


def _row(windows: Sequence[tuple[ForeignRow, SampleInfo]], name: str, options: Options) -> TimedRow:
    ordered = sorted(windows, key=lambda each: each[1].window)
    first, info = ordered[0]
    if info.earlier:
        raise FormatError(f"{first.where}: found a later window of {info.record_id}, expected those before it as well")
    lines = [line for row, shown in ordered for line in lines_of(row, shown, options)]
    return TimedRow(video=info.uri, sha256=info.sha256, record=info.record_id, system=_system(first, name), lines=lines)


def _system(row: ForeignRow, name: str) -> str:
    if row.messages and row.messages[0].role == "system":
        return row.messages[0].content
    before, _ = _shown(row.messages[0].content) if row.messages else ("", ())
    return before if name == QWEN else ""


def lines_of(row: ForeignRow, info: SampleInfo, options: Options) -> Iterator[TimedLine]:
    """What a row says, at the times of its steps; what stands before the first frame was said in an earlier window.

    Raises:
        FormatError: it shows more or fewer frames than its sample has steps.
    """
    step = -1
    for said in row.messages:
        if said.role == "user":
            for text in _shown(said.content)[1]:
                step += 1
                yield from _told(text, _at(row, info, step))
        elif said.role == "assistant" and (words := _words(said.content, options)):
            t_ns = _at(row, info, step)
            yield TimedLine(role="assistant", text=words, t_ns=t_ns, learn=said.learn, weight=said.weight)
    if step != len(info.steps) - 1:
        raise FormatError(f"{row.where}: found {step + 1} frames, expected one for each of {len(info.steps)} steps")


def _at(row: ForeignRow, info: SampleInfo, step: int) -> int:
    if not 0 <= step < len(info.steps):
        raise FormatError(f"{row.where}: found frame {step}, expected 0 to {len(info.steps) - 1}, as its sample has")
    return info.steps[step].t_ns


def _shown(content: str) -> tuple[str, tuple[str, ...]]:
    """What stands before the first frame of a message, and what follows each frame."""
    parts: list[list[str]] = [[]]
    for line in content.split("\n"):
        if line == IMAGE:
            parts.append([])
        else:
            parts[-1].append(line)
    before, *after = ["\n".join(lines) for lines in parts]
    return before, tuple(after)


def _told(text: str, t_ns: int) -> Iterator[TimedLine]:
    """What a user said at a step, and behind it what the assistant said that is not learned."""
    lines = text.split("\n") if text else []
    starts = [k for k, line in enumerate(lines) if line.startswith(UNLEARNED)]
    if asked := "\n".join(lines[: starts[0] if starts else None]):
        yield TimedLine(role="user", text=asked, t_ns=t_ns)
    if starts:
        said = "\n".join(line.removeprefix(UNLEARNED) for line in lines[starts[0] :])
        yield TimedLine(role="assistant", text=said, t_ns=t_ns, learn=False)


def _words(content: str, options: Options) -> str:
    """What a message of the assistant says; empty where it is a decision to be silent."""
    if options.layout == "turns":
        return content
    return "" if content in (options.silence, options.standby) else content.removeprefix(options.respond)


def video_of(row: Json) -> str:
    """The name of the video that a row is of."""
    return TimedRow.model_validate(row).video


def read(row: Json, place: Place) -> Bundle:
    """A row as a dialogue. Raises RowError and pydantic's ValidationError."""
    found = TimedRow.model_validate(row)
    if found.sha256 != place.video.sha256:
        raise RowError("other_video", f"found the SHA-256 {found.sha256} of its video, expected {place.video.sha256}")
    for k, line in enumerate(found.lines):
        if place.frame_at(line.t_ns) != line.t_ns:
            raise RowError("outside_video", f"lines.{k}: found {line.t_ns} ns, expected the time of a frame")
    lines = [
        Line(
            role=line.role,
            text=line.text,
            at_ns=line.t_ns,
            learn=line.learn,
            weight=line.weight,
            where=f"lines.{k}",
        )
        for k, line in enumerate(found.lines)
    ]
    return conversation(lines, place, system=found.system)


def write(bundle: Bundle, video: Video) -> Json:
    """A dialogue as a row."""
    dialogue = bundle.dialogues[0]
    lines: list[Json] = [
        {
            "role": turn.role,
            "text": turn.text,
            "t_ns": turn.end_ns if turn.role == "user" else turn.start_ns,
            "learn": turn.learn,
            "weight": turn.loss_weight,
        }
        for turn in dialogue.turns
    ]
    return {
        "video": video.uri,
        "sha256": video.sha256,
        "record": dialogue.id,
        "system": dialogue.system,
        "lines": lines,
    }


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes a row each."""
    for dialogue in bundle.dialogues:
        yield Bundle(dialogues=(dialogue,))
