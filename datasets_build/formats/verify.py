"""The check of exported files: what trainers demand of a row, and that nothing in it is later than its step.

It reads the files as a trainer does, `samples.jsonl` for the time of each step, and, where the output folder that was
exported is given, the source: times against the frame clock, words against the turns, pictures against the video.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise, zip_longest
from pathlib import Path

from PIL import Image

from datasets_build.core.clock import FrameClock
from datasets_build.core.files import read_json, read_rejects
from datasets_build.core.records import Turn
from datasets_build.formats.chats import SampleInfo, read_infos
from datasets_build.formats.fault import Fault, file_faults
from datasets_build.formats.format import FormatError, Options, Reel
from datasets_build.formats.frames import jpegs
from datasets_build.formats.loss import LossReport
from datasets_build.formats.rows import ROWS, TURN_LOSS, ForeignRow, Said, rows_of
from datasets_build.formats.samples import IMAGE, Sample, escaped, samples_of
from datasets_build.formats.source import MadeOf, Reader, made_of
from datasets_build.formats.steps import Talk
from datasets_build.formats.verify_forms import form_faults, form_in

_SHOWN = 60


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
    samples: Mapping[str, Sample]
    pictures: dict[int, bytes]

    def shown(self, indices: Sequence[int], options: Options) -> list[bytes]:
        """Digests of frames as they are exported."""
        new = sorted(set(indices) - self.pictures.keys())
        self.pictures |= zip(new, map(_digest, jpegs(self.reel, new, options)), strict=True)
        return [self.pictures[index] for index in indices]


def _digest(content: bytes | None) -> bytes:
    return blake2b(content or b"", digest_size=16).digest()


@dataclass(slots=True)
class _Source:
    """The output folder that was exported."""

    videos: Mapping[str, _Video]
    options: Options
    rejected: set[str]

    @classmethod
    def of(cls, folder: Path, made: MadeOf, out: Path) -> _Source:
        """Read what the export was made of."""
        videos = {}
        for reel in Reader(out, made.dataset).reels():
            anew = samples_of(reel, made.options, LossReport(made.format), turn_loss=made.format in TURN_LOSS)
            talks = {talk.id: talk for talk in reel.talks}
            videos[reel.video.id] = _Video(reel, talks, {sample.key: sample for sample in anew}, {})
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
        # What stands too early or is lost is said by that name.
        found = list(word_faults(row, info, talk, self.options)) or list(message_faults(row, video.samples.get(row.id)))
        yield from found
        yield from self._pictures(row, info, video)

    def _pictures(self, row: ForeignRow, info: SampleInfo, video: _Video) -> Iterator[Fault]:
        """Every picture of a row against the video: a frame of another time has other bytes."""
        known = [step.frame_index for step in info.steps if step.frame_index < len(video.reel.clock)]
        if len(known) != len(info.steps):
            return
        for number, (content, made) in enumerate(zip(row.images, video.shown(known, self.options), strict=False)):
            if _digest(content) != made:
                yield Fault(row.where, "causality", f"another picture at step {number}", f"frame {known[number]}")

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


def message_faults(row: ForeignRow, sample: Sample | None) -> Iterator[Fault]:
    """Messages that are not those of the sample: more, fewer, other words, or another loss."""
    if sample is None:
        yield Fault(row.where, "source", f"sample {row.id}", "one that the source gives")
        return
    due = [Said(message.role, message.content, message.learn, message.weight) for message in sample.messages]
    if sample.system and row.messages[:1] and row.messages[0].role == "system":
        due = [Said("system", sample.system), *due]
    elif sample.system:
        # A format without that role has its words at the start.
        due[:1] = [Said(due[0].role, f"{sample.system}\n{due[0].content}")]
    for number, (found, wanted) in enumerate(zip_longest(row.messages, due)):
        if found is None or wanted is None:
            there = "no message" if found is None else f"a message of the {found.role}"
            yield Fault(row.where, "messages", f"{there} at {number}", f"{len(due)} messages")
            return
        if (found.role, found.content) != (wanted.role, wanted.content):
            told = f"{found.role}: {found.content[:_SHOWN]!r}"
            yield Fault(
                row.where, "messages", f"message {number}, {told}", f"{wanted.role}: {wanted.content[:_SHOWN]!r}"
            )
        elif found.role == "assistant" and (found.learn, found.weight) != (wanted.learn, wanted.weight):
            told = f"message {number} with learn {found.learn}, weight {found.weight}"
            yield Fault(row.where, "loss", told, f"learn {wanted.learn}, weight {wanted.weight}")


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
