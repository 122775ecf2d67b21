"""What all formats of conversations share: samples with their frames, rows in a file per split, and the sidecar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.files import DataError
from datasets_build.core.records import Many, Ns, Part, Reject, Split
from datasets_build.formats.format import FormatError, Job, Reel
from datasets_build.formats.frames import FOLDER, frame_name, save_frames
from datasets_build.formats.samples import Sample, samples_of
from datasets_build.formats.steps import Kind, State

SIDECAR = "samples.jsonl"


class ShownStep(Part):
    """A step of a sample: its frame, its time, what is decided, and which turns it holds."""

    t_ns: Ns
    frame_index: int
    state: State
    turns: Many[str]


class SampleInfo(Part):
    """A line of `samples.jsonl`: what a sample was made of, its rights, and the time of everything in it.

    `record_id` is the id of the question, dialogue or narration; `earlier` are turns told as text at the start.
    """

    id: str
    split: Split
    kind: Kind
    record_id: str
    video_id: str
    uri: str
    sha256: str
    source: str
    licence: str
    window: int
    steps: Many[ShownStep]
    earlier: Many[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A video with its samples; `frames` is the folder that holds their frames as `<index>.jpg`."""

    reel: Reel
    samples: list[Sample]
    frames: Path


def each_video(reels: Iterable[Reel], job: Job, *, turn_loss: bool) -> Iterator[Told]:
    """The samples of every video that can be read, their frames saved; writes `samples.jsonl` on the way.

    Raises:
        FormatError: nothing at all is left.
    """
    counts: Counter[str] = Counter()
    with (job.folder / SIDECAR).open("w", encoding="utf-8") as sidecar:
        for reel in reels:
            samples = samples_of(reel, job.options, job.losses, turn_loss=turn_loss)
            job.rejects += _unsampled(reel, samples)
            folder = save_frames(reel, [k for sample in samples for k in sample.frames], job) if samples else None
            if folder is None:
                continue
            for sample in samples:
                sidecar.write(info_of(sample, reel).model_dump_json() + "\n")
                counts[sample.split] += 1
                counts["messages"] += len(sample.messages)
            counts["videos"] += 1
            counts["frames"] += sum(1 for _ in folder.iterdir())
            yield Told(reel=reel, samples=samples, frames=folder)
    if not counts["videos"]:
        raise FormatError(_nothing(job))
    job.counts |= counts


def _unsampled(reel: Reel, samples: list[Sample]) -> list[Reject]:
    """A row for every record of which there is no sample."""
    held = {sample.window.talk.id for sample in samples}
    return [
        Reject(
            stage="export",
            item=talk.id,
            code="no_sample",
            reason=f"none of what it says over {reel.video.uri} can be learned at these steps",
            action="use a finer grid (fps) or longer windows (max_steps); loss.json has the reasons",
        )
        for talk in reel.talks
        if talk.id not in held
    ]


def _nothing(job: Job) -> str:
    why = f"; {job.rejects[0].item}: {job.rejects[0].reason}" if job.rejects else "; no record has a turn"
    return f"nothing can be exported{why}"


def info_of(sample: Sample, reel: Reel) -> SampleInfo:
    """A sample's line of the sidecar."""
    video, window = reel.video, sample.window
    return SampleInfo(
        id=sample.key,
        split=sample.split,
        kind=window.talk.kind,
        record_id=window.talk.id,
        video_id=video.id,
        uri=video.uri,
        sha256=video.sha256,
        source=video.source,
        licence=video.licence,
        window=window.ordinal,
        steps=tuple(
            ShownStep(
                t_ns=step.t_ns,
                frame_index=step.frame_index,
                state=step.state,
                turns=tuple(turn.id for turn in (*step.users, *step.said)),
            )
            for step in sample.steps
        ),
        earlier=tuple(turn.id for turn in window.earlier),
    )


def read_infos(folder: Path) -> Iterator[SampleInfo]:
    """The sidecar of an export. Raises DataError naming the broken line."""
    path = folder / SIDECAR
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected the folder of an export")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield SampleInfo.model_validate_json(line)
            except ValueError as error:
                raise DataError(f"{path}:{number}: not a line of a sidecar ({error})") from error


RowOf = Callable[[Sample, list[str]], Part]
"""The row of a sample in a foreign file, given the names of its frames."""


def write_jsonl_chats(reels: Iterable[Reel], job: Job, row_of: RowOf, *, turn_loss: bool) -> None:
    """Write `<split>.jsonl` with a row a sample, and `frames/` beside it."""
    with ExitStack() as stack:
        files = {}
        for told in each_video(reels, job, turn_loss=turn_loss):
            for sample in told.samples:
                if sample.split not in files:
                    path = job.folder / f"{sample.split}.jsonl"
                    files[sample.split] = stack.enter_context(path.open("w", encoding="utf-8"))
                names = [frame_name(told.reel.video.id, k) for k in sample.frames]
                files[sample.split].write(row_of(sample, names).model_dump_json(exclude_none=True) + "\n")
    (job.work / FOLDER).rename(job.folder / FOLDER)
