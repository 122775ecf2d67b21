"""The output folder that is augmented: its clips, one at a time, and how its datasets ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from augment.answers import Rules
from augment.clip import Clip
from augment.errors import AugmentError
from datasets_build.core.files import read_json
from datasets_build.core.layout import VideoRows, by_video, clock_of, dataset_rows, read_videos, table_path
from datasets_build.core.perceived import Keyframe, Shot, Signals
from datasets_build.core.records import Annotation, Dialogue, Event, Record, StreamingQA, Video
from datasets_build.core.stage import lost_files, stale_inputs, verb_of

R = TypeVar("R", bound=Record)
DATASETS = ("streaming_qa", "frame_events", "dialogue")
NEEDED = ("index", "events")


@dataclass(frozen=True, slots=True)
class Source:
    """A finished output folder.

    Attributes:
        out: the folder.
        datasets: which it has.
    """

    out: Path
    datasets: tuple[str, ...]

    @classmethod
    def open(cls, out: Path) -> Source:
        """Looks at what is there.

        Raises:
            AugmentError: no index, no events, no dataset, one that was built before another was made anew, one that is
                half built, or one that has lost a file.
        """
        missing = [stage for stage in NEEDED if not (out / stage / "manifest.json").is_file()]
        if missing:
            raise AugmentError(f"{out}: holds no finished {missing[0]}; expected an output of python -m datasets_build")
        found = tuple(name for name in DATASETS if (out / name / "manifest.json").is_file())
        if not found:
            raise AugmentError(f"{out}: holds none of {', '.join(DATASETS)}; run python -m datasets_build build")
        for stage in ("events", *found):
            if stale := stale_inputs(out, stage):
                raise AugmentError(f"{out / stage}: was built before {stale[0]} was made anew; build it again")
        _refuse_parts(out)
        return cls(out, found)

    def rules(self, stage: str) -> Rules:
        """How a dataset asks, as its manifest says; the defaults where it does not."""
        path = self.out / stage / "manifest.json"
        content = read_json(path) if path.is_file() else None
        fields = content.get("fields") if isinstance(content, dict) else None
        told = fields if isinstance(fields, dict) else {}
        default = Rules()
        given = {}
        for name in Rules.__dataclass_fields__:
            text = str(told.get(f"config.facts.{name}", told.get(f"config.speech.{name}", "")))
            given[name] = int(text) if text.isdigit() else getattr(default, name)
        if "config.latency.tokens_per_s" in told:
            given["assistant_chars_per_s"] = 0
        return Rules(**given)

    def clips(self, datasets: Sequence[str] | None = None) -> Iterator[Clip]:
        """Every usable video with its records, in the order of the index.

        Args:
            datasets: whose questions and conversations, one or more; None: of all that the folder has.

        Raises:
            AugmentError: the folder does not have one of them, or none is named.
        """
        if isinstance(datasets, str):
            raise AugmentError(
                f"datasets: found the text {datasets!r}, expected a list of names, such as [{self.datasets[0]!r}]"
            )
        wanted = self.datasets if datasets is None else tuple(datasets)
        if not wanted:
            raise AugmentError(f"datasets: found none, expected of {', '.join(self.datasets)}, or None for all")
        if strange := [name for name in wanted if name not in self.datasets]:
            raise AugmentError(f"{self.out}: found no dataset {strange[0]}, expected of {', '.join(self.datasets)}")
        videos = read_videos(self.out)
        events = VideoRows(table_path(self.out, Event), Event)
        annotations = VideoRows(table_path(self.out, Annotation), Annotation)
        signals, shots, keyframes = self._perceived(Signals), self._perceived(Shot), self._perceived(Keyframe)
        asked = dataset_rows(self.out, "streaming_qa/qa", StreamingQA) if "streaming_qa" in wanted else ()
        talked = dataset_rows(self.out, "dialogue/dialogues", Dialogue) if "dialogue" in wanted else ()
        questions, dialogues = by_video(asked), by_video(talked)
        for video in videos:
            told, said = events.take(video.id), annotations.take(video.id)
            measured, cuts, chosen = signals(video.id), shots(video.id), keyframes(video.id)
            if video.status == "quarantined" or not told:
                continue
            yield Clip(
                video=video,
                clock=clock_of(self.out, video),
                events=told,
                questions=questions.get(video.id, ()),
                dialogues=dialogues.get(video.id, ()),
                annotations=said,
                signals=measured,
                shots=cuts,
                keyframes=chosen,
            )

    def _perceived(self, model: type[R]) -> Callable[[str], list[R]]:
        """Takes the rows of a video from a table of perceive; nothing where there is none."""
        path = table_path(self.out, model)
        return VideoRows(path, model).take if path.is_file() else lambda _: []


def _refuse_parts(out: Path) -> None:
    """Raises AugmentError where a stage is not whole: what it would have had shall not be left out in silence."""
    for stage in (*NEEDED, "perceive", *DATASETS):
        again = f"python -m datasets_build {verb_of(stage)}"
        if not (out / stage / "manifest.json").is_file():
            if (out / ".work" / stage).is_dir():
                raise AugmentError(f"{out}: {stage} is half built; finish it with {again}, or remove .work/{stage}")
        elif lost := lost_files(out, stage):
            raise AugmentError(f"{lost[0]}: is missing, expected what {stage}/manifest.json lists; run {again} --force")


def by_size(clips: Sequence[Clip]) -> dict[tuple[str, int, int], list[Clip]]:
    """Clips that may stand behind one another: of one split and one size."""
    found: defaultdict[tuple[str, int, int], list[Clip]] = defaultdict(list)
    for clip in clips:
        found[clip.video.split, *clip.video.upright_size].append(clip)
    return dict(found)


def size_of(video: Video) -> tuple[str, int, int]:
    """The key of `by_size`."""
    return (video.split, *video.upright_size)
