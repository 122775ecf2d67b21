"""The check: every law, held against the files as they are written, and one JSON file that says what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from datasets_build.checks.answers import TRUTH_LAWS
from datasets_build.checks.augment_run import TABLE, AugmentRun
from datasets_build.checks.balance import Balance, BalanceConfig
from datasets_build.checks.blind import Blind, BlindConfig
from datasets_build.checks.causality import EVENT_LAWS, QUESTION_LAWS
from datasets_build.checks.contamination import ContaminationConfig, check_contamination
from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.exported import Exports, check_exports
from datasets_build.checks.figures import Figure
from datasets_build.checks.imported import IMPORTED_DIALOGUE_LAWS, IMPORTED_QUESTION_LAWS, LISTED, Imports
from datasets_build.checks.integrity import (
    SPLIT_BY_SOURCE,
    check_manifest,
    difference,
    longest_window,
    missing_references,
    split_breaches,
    view_breaches,
)
from datasets_build.checks.laws import Breach, Known, Law, Ledger, Violation
from datasets_build.checks.mishaps import MISHAP_LAWS
from datasets_build.checks.rebuild import Builds, check_rebuild
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.checks.tables import TableRun
from datasets_build.checks.text_leaks import LEAK_LAWS, TURN_LEAK_LAWS
from datasets_build.checks.timing import FRAME_LAWS, TIME_LAWS
from datasets_build.checks.walk import RESOLVES, Atlas, Group, Names, existing, walk
from datasets_build.checks.worded import WordedRun
from datasets_build.core.augmentation import AUGMENTED
from datasets_build.core.config import Config
from datasets_build.core.corrections import Corrections
from datasets_build.core.dataset import SPLITS
from datasets_build.core.files import write_json
from datasets_build.core.hierarchy import HIERARCHY, Level, levels_of
from datasets_build.core.layout import VideoRows, table_path
from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.records import Dialogue, Event, FrameLabel, Json, Record, Split, StreamingQA, Video
from datasets_build.core.stage import STAGES, stage_digest
from datasets_build.core.views import frame_labels, subset_grid

R = TypeVar("R", bound=Record)
WHOLE = ("nothing_missing", "every video that has events has rows in every subset, unless people took them away")
COPY = ("copies_equal", "videos and events in a dataset equal those of the index and the events stage")
LEVELS = ("hierarchy_equals_events", "what lies within what is as the events give it")
VIEW = ("frame_view_equals_grid", "a per-frame view equals what its events give on its grid")
DATASETS = ("streaming_qa", "frame_events", "dialogue")


class CheckConfig(Config):
    """How many violations are listed (all are counted), and the limits of what is judged over a whole dataset."""

    listed: int = Field(default=200, ge=1)
    blind: BlindConfig = BlindConfig()
    balance: BalanceConfig = BalanceConfig()
    contamination: ContaminationConfig = ContaminationConfig()


@dataclass(frozen=True, slots=True)
class LawCount:
    """How often a law was checked, and how often it was broken."""

    name: str
    about: str
    checked: int
    broken: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found; `violations` are the first ones. `warnings` are told and break nothing."""

    folders: tuple[str, ...]
    laws: tuple[LawCount, ...]
    violations: tuple[Violation, ...]
    warnings: tuple[Violation, ...] = ()
    figures: tuple[Figure, ...] = ()

    @property
    def checked(self) -> int:
        """Checks made, over all laws."""
        return sum(law.checked for law in self.laws)

    @property
    def broken(self) -> int:
        """Violations found, over all laws."""
        return sum(law.broken for law in self.laws)

    def as_json(self) -> Json:
        """What `check.json` holds."""
        laws: list[Json] = [
            {"name": law.name, "about": law.about, "checked": law.checked, "broken": law.broken} for law in self.laws
        ]
        return {
            "folders": list(self.folders),
            "checked": self.checked,
            "broken": self.broken,
            "laws": laws,
            "violations": [row.model_dump(mode="json") for row in self.violations],
            "warnings": [row.model_dump(mode="json") for row in self.warnings],
            "figures": [row.model_dump(mode="json") for row in self.figures],
        }


def run_checks(
    out: Path, config: CheckConfig, *, rebuild: Builds | None = None, exports: Exports | None = None
) -> CheckResult:
    """Prove the laws on the finished stages of `OUT` and write `OUT/check.json`.

    Args:
        out: the output folder.
        config: limits, and what to compare with.
        rebuild: builds the stages anew, to compare; None leaves that out.
        exports: folders to which datasets of `out` were exported, and who reads them.

    Raises:
        DataError: there is no index, or nothing has been built from it; or an export or a benchmark cannot be read.
    """
    stage_digest(out, "index")
    folders = existing(out, "events", *DATASETS)
    ledger = Ledger(config.listed)
    for name in STAGES:
        if (out / name / "manifest.json").exists():
            check_manifest(out / name, ledger)
    run = _Run(out, ledger, config)
    run.splits()
    tables = TableRun(out, run.atlas, ledger)
    tables.annotations()
    if (out / "perceive" / "manifest.json").exists():
        tables.perceived()
    run.events()
    if (out / TABLE).exists():
        AugmentRun(out, run.atlas, ledger).run()
    if "streaming_qa" in folders:
        run.streaming_qa()
    if "frame_events" in folders:
        run.frame_events()
    if "dialogue" in folders:
        run.dialogue()
    run.figures()
    check_contamination(out, run.atlas.videos, config.contamination, ledger)
    if exports is not None:
        check_exports(out, exports, ledger)
    if rebuild is not None:
        check_rebuild(out, rebuild, ledger)
    laws = tuple(
        LawCount(name, ledger.about[name], ledger.checked[name], ledger.broken[name]) for name in sorted(ledger.about)
    )
    found = tuple(ledger.violations), tuple(ledger.warnings), tuple(ledger.figures)
    result = CheckResult(tuple(folders), laws, *found)
    write_json(out / "check.json", result.as_json())
    return result


class _Run:
    """One check of one folder."""

    def __init__(self, out: Path, ledger: Ledger, config: CheckConfig) -> None:
        self.out, self.ledger = out, ledger
        self.blind, self.balance = Blind(config.blind), Balance(config.balance)
        self.atlas = Atlas(out)
        self.names = Names()
        self.lively: dict[Split, set[str]] = {split: set() for split in SPLITS}
        self.corrections = Corrections(out)
        self.imports = Imports(out)

    def splits(self) -> None:
        """No group and no file in two splits."""
        guilty = dict(split_breaches(self.atlas.videos))
        for video in self.atlas.videos:
            breach = guilty.get(video.id)
            self.ledger.note(*SPLIT_BY_SOURCE, "index/videos.parquet", video.id, [breach] if breach else [])
            self.names.meet("video", video.id, "index/videos.parquet", self.ledger)

    def events(self) -> None:
        """The events stage itself."""
        for group, file in walk(table_path(self.out, Event), Event, None, self.atlas, self.ledger):
            self.lively[group.video.split].add(group.video.id)
            known = Known(group.video, group.clock, {})
            for event in group.rows:
                assert isinstance(event, Event), "the walk reads events"
                self.names.meet("event", event.id, file, self.ledger)
                self._judge(file, event, known, EVENT_LAWS)

    def streaming_qa(self) -> None:
        """Questions."""
        words = WordedRun(self.out / "streaming_qa", self.ledger)
        for group, file in self._groups("streaming_qa", "qa", StreamingQA):
            rows = {row.id: row for row in self._unique(group, "question", file) if isinstance(row, StreamingQA)}
            known, lines = self._known(group, rows, "streaming_qa"), words.lines(group.video)
            for row in rows.values():
                words.judge(file, row, lines.get(row.id, {}), known)
                ours = (*QUESTION_LAWS, *TRUTH_LAWS, *LEAK_LAWS)
                self._judge(file, row, known, IMPORTED_QUESTION_LAWS if self._imported(file, row, known) else ours)
                self.blind.question(row, group.video)
                self.balance.question(row, group.video)
                self._resolve(file, row, known)
        self._copies("streaming_qa", "videos", Video)

    def dialogue(self) -> None:
        """Dialogues."""
        words = WordedRun(self.out / "dialogue", self.ledger)
        for group, file in self._groups("dialogue", "dialogues", Dialogue):
            known, lines = self._known(group, {}, "dialogue"), words.lines(group.video)
            for row in self._unique(group, "dialogue", file):
                assert isinstance(row, Dialogue), "the walk reads dialogues"
                words.judge(file, row, lines.get(row.id, {}), known)
                ours = (*DIALOGUE_LAWS, *REPLY_LAWS, *MISHAP_LAWS, *TURN_LEAK_LAWS)
                self._judge(file, row, known, IMPORTED_DIALOGUE_LAWS if self._imported(file, row, known) else ours)
                self.blind.dialogue(row, group.video)
                self.balance.dialogue(row, group.video)
                self._resolve(file, row, known)
        self._copies("dialogue", "videos", Video)

    def figures(self) -> None:
        """What only the whole of a dataset shows: what a blind can guess, and how things are spread."""
        for figure, about in (*self.blind.figures(), *self.balance.figures()):
            dataset = figure.of.partition("/")[0].partition(",")[0]
            self.ledger.weigh(about, f"{dataset}/manifest.json", figure)

    def frame_events(self) -> None:
        """Events and their views."""
        self._copies("frame_events", "events", Event)
        self._copies("frame_events", "videos", Video)
        for folder in sorted(path.name for path in (self.out / "frame_events").glob("frames_*")):
            for split in SPLITS:
                self._view(folder, split)
        self._levels()

    def _levels(self) -> None:
        """Which event lies within which, against what the events give."""
        for group, file in self._groups("frame_events", HIERARCHY, Level):
            rows = (row for row in group.rows if isinstance(row, Level))
            for name, breach in view_breaches(rows, iter(levels_of(self.atlas.events_of(group.video.id)))):
                self.ledger.note(*LEVELS, file, name, [breach] if breach else [])

    def _view(self, subset: str, split: Split) -> None:
        """One view of one split, step by step against what the events give."""
        fps = subset_grid(subset)
        shots = VideoRows(table_path(self.out, Shot), Shot)
        keyframes = VideoRows(table_path(self.out, Keyframe), Keyframe)
        place = -1
        for group, file in self._groups("frame_events", subset, FrameLabel, split):
            made, here = group.video.id, self.atlas.place(group.video.id)
            for video in self.atlas.videos[place + 1 : here + 1]:
                cuts, chosen = shots.take(video.id), {row.frame_index for row in keyframes.take(video.id)}
            place = max(place, here)
            events = self.atlas.events_of(made)
            derived = frame_labels(made, group.clock, events, shots=cuts, keyframes=chosen, fps=fps)
            for step, breach in view_breaches(self._indexed(group, file), derived):
                self.ledger.note(*VIEW, file, step, [breach] if breach else [])

    def _indexed(self, group: Group, file: str) -> Iterator[FrameLabel]:
        known = Known(group.video, group.clock, {})
        for row in group.rows:
            assert isinstance(row, FrameLabel), "the walk reads steps"
            for law in FRAME_LAWS:
                self.ledger.judge(file, row.id, law, row, known)
            yield row

    def _groups(
        self, dataset: str, subset: str, model: type[R], only: Split | None = None
    ) -> Iterator[tuple[Group, str]]:
        """A subset's rows video by video, every split, and which videos have none."""
        for split in SPLITS if only is None else (only,):
            path = self.out / dataset / subset / f"{split}.parquet"
            met = set()
            for group, file in walk(path, model, split, self.atlas, self.ledger) if path.exists() else ():
                met.add(group.video.id)
                yield group, file
            for made in sorted(self.lively[split]):
                taken = made not in met and self.corrections.take_from(made, model)
                lost = [Breach("no rows", "at least one")] if made not in met and not taken else []
                self.ledger.note(*WHOLE, f"{dataset}/{subset}/{split}.parquet", made, lost)

    def _copies(self, dataset: str, subset: str, model: type[R]) -> None:
        for group, file in self._groups(dataset, subset, model):
            video = group.video
            source: list[Record] = [video] if model is Video else list(self.atlas.events_of(video.id))
            expected = {row.id: row for row in source}
            for row in group.rows:
                breach = difference(row, expected.pop(row.id, None))
                self.ledger.note(*COPY, file, row.id, [breach] if breach else [])
            for made in expected:
                self.ledger.note(*COPY, file, made, [Breach("no row", f"a copy of {made}")])

    def _unique(self, group: Group, kind: str, file: str) -> Iterator[Record]:
        for row in group.rows:
            self.names.meet(kind, row.id, file, self.ledger)
            yield row

    def _known(self, group: Group, rows: dict[str, StreamingQA], stage: str) -> Known:
        events = {event.id: event for event in self.atlas.events_of(group.video.id)}
        boxes = self.atlas.boxes_of(group.video.id)
        window_ns = longest_window(self.out / stage)
        return Known(group.video, group.clock, events, rows, boxes=boxes, window_ns=window_ns)

    def _imported(self, file: str, row: StreamingQA | Dialogue, known: Known) -> bool:
        """Whether a record came from a foreign file; one that says so is listed by the import."""
        if not self.imports.has(row):
            return False
        self.ledger.note(*LISTED, file, row.id, self.imports.unlisted(row, known.video))
        return True

    def _judge(self, file: str, row: R, known: Known, laws: tuple[Law[R], ...]) -> None:
        for law in (*TIME_LAWS, *laws):
            self.ledger.judge(file, row.id, law, row, known)  # type: ignore[arg-type]  # a law on parts holds for records

    def _resolve(self, file: str, row: StreamingQA | Dialogue, known: Known) -> None:
        augmented = known.video.source == AUGMENTED
        boxes = frozenset(box.id for box in known.boxes)
        missing = missing_references(row, frozenset(known.events), boxes=boxes, augmented=augmented)
        self.ledger.note(*RESOLVES, file, row.id, missing)
