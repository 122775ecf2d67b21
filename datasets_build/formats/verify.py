"""The check of exported files: what trainers demand of a row, and that nothing in it is later than its step.

It reads the files as a trainer does, `samples.jsonl` for the time of each step, and, where the output folder that was
exported is given, the source: times against the frame clock, words against the turns, pictures against the video.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image

from datasets_build.core.clock import FrameClock
from datasets_build.core.files import read_json, read_rejects
from datasets_build.core.records import Turn
from datasets_build.formats.chats import SampleInfo, read_infos
from datasets_build.formats.fault import Fault, file_faults
from datasets_build.formats.format import FormatError, Options, Reel
from datasets_build.formats.frames import jpegs
from datasets_build.formats.rows import ROWS, ForeignRow, rows_of
from datasets_build.formats.samples import IMAGE, escaped
from datasets_build.formats.source import MadeOf, Reader, made_of
from datasets_build.formats.steps import Talk
from datasets_build.formats.verify_forms import form_faults, form_in


def check_export(folder: Path, out: Path | None = None) -> list[Fault]:
    """Everything that is wrong with an export, of any format.

    Args:
        folder: of the export.
        out: the output folder that was exported; None leaves out what needs it.

    Raises:
        DataError: the folder is no export, or its files are not readable at all.
    """
    manifest = read_json(folder / "manifest.json")
    if isinstance(manifest, dict) and (form := form_in(manifest)) is not None:
        return [*file_faults(folder, manifest), *form_faults(folder, manifest, form, out)]
    made = made_of(folder)
    if made.format not in ROWS:
        raise FormatError(f"{folder}: holds {made.format}, expected one of {', '.join(ROWS)}")
    faults = list(file_faults(folder, manifest))
    infos = {info.id: info for info in read_infos(folder)}
    source = _Source.of(folder, made, out) if out is not None else None
    met: dict[str, str] = {}
    for row in rows_of(folder, made.format):
        if row.id in met:
            faults.append(Fault(row.where, "ids", f"{row.id} again, as in {met[row.id]}", "an id of its own"))
        met[row.id] = row.where
        faults += row_faults(row)
        if row.id not in infos:
            faults.append(Fault(row.where, "sidecar", f"no line for {row.id} in samples.jsonl", "one"))
            continue
        faults += step_faults(row, infos[row.id])
        if source is not None:
            faults += source.faults(row, infos[row.id])
    faults += [Fault("samples.jsonl", "sidecar", f"{key} without a row", "a row") for key in infos if key not in met]
    return faults + (list(source.lost(infos.values())) if source is not None else [])


def row_faults(row: ForeignRow) -> Iterator[Fault]:
    """What a trainer would refuse, skip or read wrongly."""
    tags = sum(said.content.count(IMAGE) for said in row.messages)
    if tags != len(row.images):
        yield Fault(row.where, "tags", f"{tags} {IMAGE} tags for {len(row.images)} images", "one for each")
    if any(said.role != "user" and IMAGE in said.content for said in row.messages):
        yield Fault(row.where, "tags", f"{IMAGE} in a message that is no user's", "tags in users' messages")
    roles = [said.role for said in row.messages]
    talk = roles[1:] if roles[:1] == ["system"] else roles
    if talk != ["user", "assistant"] * (len(talk) // 2) or not talk:
        yield Fault(row.where, "alternation", f"roles {talk}", "user and assistant in turns, ending with the assistant")
    for number, said in enumerate(row.messages):
        if not said.content.strip():
            yield Fault(row.where, "content", f"nothing in message {number}", "words or an image")
    for number, content in enumerate(row.images):
        if content is None:
            yield Fault(row.where, "media", f"no file for image {number}", "a file")
        elif not _opens(content):
            yield Fault(row.where, "media", f"image {number} does not open", "a picture")


def _opens(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
    except (OSError, SyntaxError):
        return False
    return True


def step_faults(row: ForeignRow, info: SampleInfo) -> Iterator[Fault]:
    """Whether the row shows the steps of its sample, a frame each and in order."""
    if len(row.images) != len(info.steps):
        yield Fault(row.where, "steps", f"{len(row.images)} images", f"one for each of {len(info.steps)} steps")
    for first, then in pairwise(info.steps):
        if then.t_ns <= first.t_ns or then.frame_index <= first.frame_index:
            yield Fault(row.where, "steps", f"frame {then.frame_index} after {first.frame_index}", "frames in order")


@dataclass(slots=True)
class _Video:
    """The talks of one video, and pictures of it that were made anew."""

    reel: Reel
    talks: Mapping[str, Talk]
    pictures: dict[int, bytes]


@dataclass(slots=True)
class _Source:
    """The output folder that was exported."""

    videos: Mapping[str, _Video]
    options: Options
    rejected: set[str]

    @classmethod
    def of(cls, folder: Path, made: MadeOf, out: Path) -> _Source:
        """Read what the export was made of."""
        reels = Reader(out, made.dataset).reels()
        videos = {reel.video.id: _Video(reel, {talk.id: talk for talk in reel.talks}, {}) for reel in reels}
        rejected = {row.item for row in read_rejects(folder / "rejects.jsonl")}
        return cls(videos=videos, options=made.options, rejected=rejected)

    def faults(self, row: ForeignRow, info: SampleInfo) -> Iterator[Fault]:
        """A row against its record and its video."""
        video = self.videos.get(info.video_id)
        talk = video.talks.get(info.record_id) if video else None
        if video is None or talk is None:
            yield Fault(row.where, "source", f"record {info.record_id} of video {info.video_id}", "one of the source")
            return
        yield from _times(row, info, video.reel.clock)
        yield from word_faults(row, info, talk, self.options)
        yield from self._pictures(row, info, video)

    def _pictures(self, row: ForeignRow, info: SampleInfo, video: _Video) -> Iterator[Fault]:
        """The last picture of a row against the video: a frame of another time has other bytes."""
        last = len(row.images) - 1
        if last < 0 or last >= len(info.steps):
            return
        index = info.steps[last].frame_index
        if index not in video.pictures:
            video.pictures[index] = next(iter(jpegs(video.reel, [index], self.options)))
        if row.images[last] != video.pictures[index]:
            yield Fault(row.where, "causality", f"another picture at step {last}", f"frame {index} of the video")

    def lost(self, infos: Iterable[SampleInfo]) -> Iterator[Fault]:
        """Records that are neither in a sample nor among the rejects."""
        held = {info.record_id for info in infos} | self.rejected
        for video in self.videos.values():
            for key in video.talks:
                if key not in held and video.reel.video.uri not in held:
                    yield Fault("rejects.jsonl", "nothing vanishes", f"no trace of record {key}", "a sample or a row")


def _times(row: ForeignRow, info: SampleInfo, clock: FrameClock) -> Iterator[Fault]:
    for number, step in enumerate(info.steps):
        if step.frame_index >= len(clock) or clock.time_of(step.frame_index) != step.t_ns:
            yield Fault(row.where, "causality", f"step {number}: frame {step.frame_index} at {step.t_ns}", "its time")


def word_faults(row: ForeignRow, info: SampleInfo, talk: Talk, options: Options) -> Iterator[Fault]:
    """Words of the record that stand before their time, and words of a step that do not stand in the row."""
    first: dict[str, int] = {}
    for turn in talk.turns:
        first[turn.text] = min(_known_ns(turn), first.get(turn.text, _known_ns(turn)))
    found: set[str] = set()
    for t_ns, number, lines in _timed(row, info):
        for text, known_ns in first.items():
            if begins_with(lines, text, options):
                found.add(text)
                if known_ns > t_ns:
                    yield Fault(row.where, "causality", f"{text!r} of {known_ns} ns in message {number}", f"by {t_ns}")
    words = {turn.id: turn.text for turn in talk.turns}
    for turn_id in (turn_id for step in info.steps for turn_id in step.turns):
        if words.get(turn_id) not in found:
            yield Fault(row.where, "words", f"turn {turn_id} nowhere", "the words of every turn of the steps")


def _timed(row: ForeignRow, info: SampleInfo) -> Iterator[tuple[int, int, Sequence[str]]]:
    """Every line of a row with what follows it in its message: the time of the frame before it, message, lines."""
    shown = 0
    for number, said in enumerate(row.messages):
        lines = said.content.split("\n")
        for k, line in enumerate(lines):
            shown += line.count(IMAGE)
            # What stands before the first frame comes with it.
            place = min(max(shown, 1), len(info.steps)) - 1
            yield info.steps[place].t_ns, number, lines[k:]


def begins_with(lines: Sequence[str], text: str, options: Options) -> bool:
    """Whether lines begin with the words of a turn, whatever stands before the first of them."""
    first, *more = escaped(text, options).split("\n")
    heads = ("", options.respond, "User: ", "Assistant: ")
    return lines[0] in [head + first for head in heads] and list(lines[1 : 1 + len(more)]) == more


def _known_ns(turn: Turn) -> int:
    return turn.end_ns if turn.role == "user" else turn.start_ns
