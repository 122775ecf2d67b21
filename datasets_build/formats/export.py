"""The export of a dataset: its records as talks, written in a format, published whole with its losses and its card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

import jinja2

from datasets_build.core.clock import FrameClock
from datasets_build.core.config import flatten
from datasets_build.core.dataset import SPLITS
from datasets_build.core.layout import VideoRows, clock_of, read_videos, video_path
from datasets_build.core.progress import tool_versions, track
from datasets_build.core.records import Dialogue, Event, Record, StreamingQA, Video
from datasets_build.core.stage import Fingerprint, Stage, code_digest, output_folder, stage_digest
from datasets_build.formats import hf, llamafactory, ms_swift, qwen_finetune, trl, webdataset
from datasets_build.formats.format import Dataset, Format, FormatError, Job, Options, Reel
from datasets_build.formats.loss import Losses, LossReport
from datasets_build.formats.parquet import DATA
from datasets_build.formats.steps import Talk, of_dialogue, of_events, of_question

FORMATS: Mapping[str, Format] = {
    "ms-swift": ms_swift,
    "llamafactory": llamafactory,
    "trl": trl,
    "qwen-vl-finetune": qwen_finetune,
    "webdataset": webdataset,
    "hf": hf,
}
R = TypeVar("R", bound=Record)
CARD = Path(__file__).with_name("card.md")
_TOOLS = ("av", "datasets", "pillow", "pyarrow", "pydantic")
_SUBSETS: Mapping[Dataset, str] = {"streaming_qa": "qa", "dialogue": "dialogues", "frame_events": "events"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A finished export: its folder, what it holds, and the lines of its loss report."""

    stage: Stage
    counts: Mapping[str, int]
    losses: list[str]


def export(dataset: Path, name: str, to: Path, options: Options, *, force: bool = False) -> Exported:
    """Write a dataset such as `OUT/streaming_qa` in a format into a folder of its own.

    Args:
        dataset: a finished dataset of an output folder.
        name: of the format, one of `FORMATS`.
        to: the folder; it appears once it is whole, and the same command goes on where it was stopped.
        options: how talks are written.
        force: write anew what is there.

    Raises:
        FormatError: no such format, one that cannot hold the dataset, or nothing to export.
        StageError: the dataset is not finished, or the folder holds something else.
    """
    if name not in FORMATS:
        raise FormatError(f"format {name!r} is unknown, expected one of {', '.join(FORMATS)}")
    kind, out, form = kind_of(dataset), dataset.resolve().parent, FORMATS[name]
    if kind not in form.DATASETS:
        raise FormatError(f"{name} cannot hold {kind}, expected one of {', '.join(sorted(form.DATASETS))}")
    if to.resolve().is_relative_to(out):
        raise FormatError(f"{to}: lies inside {out}, expected a folder outside the output that is exported")
    inputs = {"dataset": kind, "format": name, "index": stage_digest(out, "index"), kind: stage_digest(out, kind)}
    mark = Fingerprint.of(options, code=code_digest("formats", "decoders", "video.py"), inputs=inputs)
    with output_folder(to.resolve().parent) as above:
        stage = Stage.open(above, to.resolve().name, mark, force=force)
        if not stage.done:
            _write(stage, form, kind, out, options)
    return Exported(stage=stage, counts=stage.counts(), losses=Losses.read(stage.folder).lines())


def kind_of(dataset: Path) -> Dataset:
    """Which dataset a folder is. Raises FormatError for another folder."""
    found = [kind for kind in get_args(Dataset) if kind == dataset.resolve().name]
    if not found:
        raise FormatError(f"{dataset}: expected a dataset folder such as OUT/streaming_qa, OUT/dialogue")
    kind: Dataset = found[0]
    return kind


def _write(stage: Stage, form: Format, kind: Dataset, out: Path, options: Options) -> None:
    job = Job(folder=stage.final, work=stage.work, options=options, losses=LossReport(form.NAME))
    reader = _Reader(out, kind)
    form.write(reader.reels(), job)
    job.losses.write(job.folder)
    _write_card(job, form, kind, reader.licences)
    stage.commit(rejects=job.rejects, counts=job.counts, tools=tool_versions(*_TOOLS))


def _dialogues(rows: list[Dialogue], clock: FrameClock) -> list[Talk]:
    del clock
    return [of_dialogue(row) for row in rows]


def _questions(rows: list[StreamingQA], clock: FrameClock) -> list[Talk]:
    return [of_question(row, clock) for row in rows]


def _narrations(rows: list[Event], clock: FrameClock) -> list[Talk]:
    return [of_events(rows[0].video_id, rows, clock)] if rows else []


@dataclass(slots=True)
class _Reader:
    """Reads a dataset video by video."""

    out: Path
    kind: Dataset
    licences: Counter[str] = field(default_factory=Counter)

    def reels(self) -> Iterator[Reel]:
        """Every video with its talks, in index order; videos without any are none."""
        talks = self._talks()
        videos = read_videos(self.out)
        for video in track(videos, total=len(videos), label="export"):
            clock = clock_of(self.out, video)
            found = talks(video, clock)
            if found:
                self.licences[video.licence or "not stated"] += 1
                yield Reel(video=video, clock=clock, path=video_path(self.out, video), talks=tuple(found))

    def _talks(self) -> Callable[[Video, FrameClock], list[Talk]]:
        if self.kind == "dialogue":
            return partial(_take, self._rows(Dialogue), _dialogues)
        if self.kind == "streaming_qa":
            return partial(_take, self._rows(StreamingQA), _questions)
        return partial(_take, self._rows(Event), _narrations)

    def _rows(self, model: type[R]) -> dict[str, VideoRows[R]]:
        folder = self.out / self.kind / _SUBSETS[self.kind]
        paths = {split: folder / f"{split}.parquet" for split in SPLITS}
        return {split: VideoRows(path, model) for split, path in paths.items() if path.exists()}


def _take(
    rows: Mapping[str, VideoRows[R]],
    talks: Callable[[list[R], FrameClock], list[Talk]],
    video: Video,
    clock: FrameClock,
) -> list[Talk]:
    return talks(rows[video.split].take(video.id), clock) if video.split in rows else []


def _write_card(job: Job, form: Format, kind: Dataset, licences: Mapping[str, int]) -> None:
    template = jinja2.Environment(  # noqa: S701 - Markdown, where escaping would print entities
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    ).from_string(CARD.read_text(encoding="utf-8"))
    has_data = (job.folder / DATA).is_dir()
    splits = [split for split in SPLITS if list((job.folder / DATA).glob(f"{split}-*.parquet"))] if has_data else []
    text = template.render(
        configs=[(split, f"{DATA}/{split}-*.parquet") for split in splits],
        dataset=kind,
        name=form.NAME,
        counts=", ".join(f"{number} {what}" for what, number in job.counts.items()) + ".",
        how=form.HOW,
        licences=sorted(licences.items()),
        settings=flatten(job.options).items(),
    )
    (job.folder / "README.md").write_text(text, encoding="utf-8")
