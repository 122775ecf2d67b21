"""Writing a dataset's folder: every subset and split streamed to its file, then the card that `load_dataset` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Self

from datasets_build.core.config import Config, flatten
from datasets_build.core.dataset import SPLITS, Card, Subset, write_card
from datasets_build.core.files import whole_file
from datasets_build.core.records import SCHEMA_VERSION, Part, Split, Video
from datasets_build.core.stage import Stage, package_version
from datasets_build.core.table import ROWS_PER_GROUP, TableWriter

VIDEOS = Subset("videos", Video, "a source video: where it is, what it is, and its licence")


@dataclass(slots=True)
class _Sheet:
    """One file being written: full row groups go out, the rest waits."""

    writer: TableWriter
    waiting: list[Part] = field(default_factory=list)

    def add(self, rows: Iterable[Part]) -> None:
        feed = iter(rows)
        while more := list(islice(feed, ROWS_PER_GROUP - len(self.waiting))):
            self.waiting += more
            if len(self.waiting) == ROWS_PER_GROUP:
                self.flush()

    def flush(self) -> None:
        self.writer.write(self.waiting)
        self.waiting = []


class Publisher:
    """Streams records into `folder/<subset>/<split>.parquet`; memory holds one row group per file.

    Files appear when the block is left without an error. A split without rows gets no file, because `load_dataset`
    refuses an empty one. The subset `videos` is written beside those that are given.
    """

    def __init__(self, folder: Path, subsets: Sequence[Subset]) -> None:
        self.folder, self.subsets = folder, [*subsets, VIDEOS]
        self.licences: Counter[str] = Counter()
        self._models = {subset.name: subset.model for subset in self.subsets}
        self._sheets: dict[tuple[str, Split], _Sheet] = {}
        self._files = ExitStack()

    def __enter__(self) -> Self:
        self._files.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            for sheet in self._sheets.values():
                sheet.flush()
        self._files.__exit__(kind, error, trace)  # type: ignore[arg-type]  # a traceback is passed through as it came

    def add(self, subset: str, split: Split, rows: Iterable[Part]) -> None:
        """Append rows to a subset's split."""
        feed = iter(rows)
        for first in islice(feed, 1):
            sheet = self._sheets.get((subset, split)) or self._open(subset, split)
            sheet.add([first])
            sheet.add(feed)

    def add_video(self, video: Video) -> None:
        """Say that the dataset holds something of this video."""
        self.licences[video.licence] += 1
        self.add(VIDEOS.name, video.split, [video])

    def _open(self, subset: str, split: Split) -> _Sheet:
        path = self.folder / subset / f"{split}.parquet"
        path.parent.mkdir(exist_ok=True)
        aside = self._files.enter_context(whole_file(path))
        writer = self._files.enter_context(TableWriter(aside, self._models[subset]))
        return self._sheets.setdefault((subset, split), _Sheet(writer))

    def counts(self) -> dict[str, dict[Split, int]]:
        """Rows per subset and split; right once the block has been left."""
        return {
            subset.name: {
                split: self._sheets[subset.name, split].writer.n_rows if (subset.name, split) in self._sheets else 0
                for split in SPLITS
            }
            for subset in self.subsets
        }

    def totals(self) -> dict[str, int]:
        """Rows per subset over all splits."""
        return {name: sum(counts.values()) for name, counts in self.counts().items()}


def publish_card(
    stage: Stage, publisher: Publisher, config: Config, *, title: str, summary: str, notes: Sequence[str]
) -> None:
    """Write the dataset's card: contents, units, fields, licences, and every setting that made it."""
    licences: Mapping[str, int] = {
        name or "not stated": publisher.licences[name] for name in sorted(publisher.licences)
    }
    built = [
        f"streamvl {package_version()}, schema {SCHEMA_VERSION}, fingerprint {stage.fingerprint.digest}",
        "files and their SHA-256 are in `manifest.json`, what was left out in `rejects.jsonl`",
        *(f"`{stage.name}.{name}` = `{value}`" for name, value in flatten(config).items()),
    ]
    card = Card(title=title, summary=summary, built=built, licences=licences, notes=notes)
    write_card(publisher.folder, publisher.subsets, publisher.counts(), card)
