"""The export of a dataset: its records as talks, written in a format, published whole with its losses and its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2

from datasets_build.core.config import flatten
from datasets_build.core.dataset import SPLITS, content_digest
from datasets_build.core.progress import tool_versions
from datasets_build.core.stage import Fingerprint, Stage, code_digest, output_folder, stage_digest
from datasets_build.formats import hf, llamafactory, ms_swift, qwen_finetune, stamped, trl, webdataset
from datasets_build.formats.format import Dataset, Format, FormatError, Job, Options
from datasets_build.formats.loss import Losses, LossReport
from datasets_build.formats.parquet import DATA
from datasets_build.formats.source import Reader, kind_of

FORMATS: Mapping[str, Format] = {
    "ms-swift": ms_swift,
    "llamafactory": llamafactory,
    "trl": trl,
    "qwen-vl-finetune": qwen_finetune,
    "webdataset": webdataset,
    "hf": hf,
    "joyai-seconds": stamped.JOYAI,
    "streamo-image": stamped.STREAMO,
}
CARD = Path(__file__).with_name("card.md")
_TOOLS = ("av", "datasets", "pillow", "pyarrow", "pydantic")


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
        options: how talks are written; those that are part of the format are its own.
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
    options = options.model_copy(update=stamped.SETTLED.get(name, {}))
    inputs = {"dataset": kind, "format": name, "index": stage_digest(out, "index"), kind: stage_digest(out, kind)}
    mark = Fingerprint.of(options, code=code_digest("formats", "decoders", "video.py"), inputs=inputs)
    with output_folder(to.resolve().parent) as above:
        stage = Stage.open(above, to.resolve().name, mark, force=force)
        if not stage.done:
            _write(stage, form, kind, out, options)
    return Exported(stage=stage, counts=stage.counts(), losses=Losses.read(stage.folder).lines())


def _write(stage: Stage, form: Format, kind: Dataset, out: Path, options: Options) -> None:
    job = Job(folder=stage.final, work=stage.work, options=options, losses=LossReport(form.NAME))
    reader = Reader(out, kind)
    form.write(reader.reels(), job)
    job.losses.write(job.folder)
    _write_card(job, form, kind, reader.licences)
    stage.commit(rejects=job.rejects, counts=job.counts, tools=tool_versions(*_TOOLS))


def _write_card(job: Job, form: Format, kind: Dataset, licences: Mapping[str, int]) -> None:
    template = jinja2.Environment(  # noqa: S701 - Markdown, where escaping would print entities
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    ).from_string(CARD.read_text(encoding="utf-8"))
    has_data = (job.folder / DATA).is_dir()
    splits = [split for split in SPLITS if list((job.folder / DATA).glob(f"{split}-*.parquet"))] if has_data else []
    text = template.render(
        configs=[(split, f"{DATA}/{split}-*.parquet") for split in splits],
        content=content_digest(job.folder),
        dataset=kind,
        name=form.NAME,
        counts=", ".join(f"{number} {what}" for what, number in job.counts.items()) + ".",
        how=form.HOW,
        licences=sorted(licences.items()),
        settings=flatten(job.options).items(),
    )
    (job.folder / "README.md").write_text(text, encoding="utf-8")
