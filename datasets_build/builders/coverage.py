"""Which of the twelve tasks of OVO-Bench a build covers, and why it could not make the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from datasets_build.core.evidence import TEXT_LABEL
from datasets_build.core.records import Annotation, Event, Json, Split, StreamingQA
from datasets_build.core.topics import ACTS, COMPLETE_SETS, domain_of
from datasets_build.truth.ovo import OVO, Ovo, ovo_of

_LACKS: Mapping[Ovo, str] = {
    "EPM": "nothing happens that is over for certain before the video is, and that there are words for",
    "ASI": "no three things happen one after the other, each over when the next begins",
    "HLD": "no question about what was before has an answer and can be asked of what was never shown as well",
    "STU": "no box lies in one quarter of the picture for long enough, of a thing that has done something before",
    "OJR": "nothing is done by exactly one thing for long enough to ask for it",
    "ATR": "nothing that is called by its colour and its shape does something alone for long enough to ask for it",
    "ACR": "nothing lasts for long enough to ask for it while it does",
    "OCR": "no text in the picture stands alone for long enough to ask for it",
    "FPD": "nothing happens of which it is certain that it comes next",
    "REC": "no instant was found at which a count stands for long enough",
    "SSR": "no step begins and lasts of which it is certain when it is not carried out",
    "CRR": "nothing that has been seen does a second thing soon enough",
}
_WAYS: Mapping[Ovo, tuple[str, ...]] = {
    "EPM": ("before", "last", "happened_yet"),
    "ASI": ("order",),
    "HLD": ("twins",),
    "STU": ("where",),
    "OJR": ("who", "shape"),
    "ATR": ("attribute", "colour"),
    "ACR": ("now",),
    "OCR": ("read",),
    "FPD": ("next",),
    "REC": ("count_so_far", "tally", "shots"),
    "SSR": ("step",),
    "CRR": ("clue",),
}
"""The tasks of the settings that give questions of each."""


@dataclass(slots=True)
class Coverage:
    """What one walk over a build's questions counts, and what its videos tell of.

    Attributes:
        tasks: of the settings.
    """

    tasks: Sequence[str]
    asked: Counter[tuple[Ovo, Split]] = field(default_factory=Counter)
    boxes: int = 0
    texts: int = 0
    scenes: int = 0
    named: int = 0
    complete: int = 0
    before: int = 0

    def see(self, events: Sequence[Event], boxes: Sequence[Annotation]) -> None:
        """Takes note of what is told of a video."""
        scene = [event for event in events if domain_of(event) == "scene"]
        self.boxes += len(boxes)
        self.texts += sum(event.label == TEXT_LABEL for event in events)
        self.scenes += bool(scene)
        self.named += sum(event.label in ACTS and bool(event.subject) for event in scene)
        self.complete += bool(scene) and all(event.label_set in COMPLETE_SETS for event in scene)

    def count(self, split: Split, rows: Iterable[StreamingQA]) -> None:
        """Counts questions."""
        for row in rows:
            self.before += row.task == "before" and not row.unanswerable
            if (task := ovo_of(row)) is not None:
                self.asked[task, split] += 1

    def missing(self) -> dict[Ovo, str]:
        """Why each task that has no question has none, as a sentence."""
        there = {task for (task, _), number in self.asked.items() if number}
        return {task: f"{task}: {self._why(task)}." for task in OVO if task not in there}

    def told(self) -> str:
        """In a sentence, whether all tasks have questions, and why not."""
        missing = self.missing()
        if not missing:
            return "All twelve tasks of OVO-Bench have questions."
        return f"Of the twelve tasks of OVO-Bench these have no question, and why. {' '.join(missing.values())}"

    def _why(self, task: Ovo) -> str:
        if not set(_WAYS[task]) & set(self.tasks):
            ways = ", ".join(f"`{way}`" for way in _WAYS[task])
            return f"not asked for, since `streaming_qa.tasks` names none of {ways}"
        if task == "STU" and not self.boxes:
            return "no annotation of kind `box` tells where anything is (a drawn world tells it with `world.boxes`)"
        if task == "OCR" and not self.texts:
            return "no annotation of text in the picture (label `text`)"
        if task == "HLD" and self.before and not self.named:
            return (
                "what happens is told in whole sentences, so no absent subject can take the place of one that is named"
            )
        if task == "CRR" and self.scenes and not self.named:
            return "no annotation names who does something (a `subject`, with one of the labels of acts)"
        if task in ("OJR", "ATR") and not self.complete:
            return "of no video everything that happens is told, so nobody knows what does something alone"
        if task not in ("REC", "ACR", "HLD", "EPM") and not self.scenes:
            return "no annotation tells what happens in any video"
        return _LACKS[task]

    def as_json(self, splits: Sequence[Split]) -> Json:
        """What the manifest holds: questions of each task by split, and why there are none."""
        missing = self.missing()
        return {
            task: {"questions": {split: self.asked[task, split] for split in splits}, "missing": missing.get(task)}
            for task in OVO
        }
