"""Which laws hold for records of foreign files: those of time and causality, not those of how we ask and answer.

What a corpus asks is not worked out from the events, has no twin, and may be said in words that we would not use. A
record counts as imported where its provenance says so or it corrects one that was; the import has to list it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from datasets_build.checks.causality import QUESTION_LAWS
from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.laws import Breach, Law
from datasets_build.core.augmentation import AUGMENTED
from datasets_build.core.records import Dialogue, Part, StreamingQA, Video
from datasets_build.core.table import read_table
from datasets_build.formats.foreign import TABLE, Foreign

P = TypeVar("P", bound=Part)
LISTED = ("imported_listed", "a record of a foreign file is one that the import lists")
_QUESTION_NAMES = (
    "evidence_reaches_event",
    "answerable_from_evidence",
    "answer_after_question",
    "answer_after_evidence",
    "answer_window",
    "answers_supersede",
    "later_answers_proved",
    "mode_fits",
    "question_says_something",
)
_DIALOGUE_NAMES = (
    "turns_in_order",
    "turns_apart",
    "turn_after_evidence",
    "turn_in_window",
    "interruptions_consistent",
    "decisions_derived",
    "nobody_talked_over",
    "dialogue_whole",
)


def _named(laws: Sequence[Law[P]], names: Sequence[str]) -> tuple[Law[P], ...]:
    by_name = {law.name: law for law in laws}
    return tuple(by_name[name] for name in names)


IMPORTED_QUESTION_LAWS: tuple[Law[StreamingQA], ...] = _named(QUESTION_LAWS, _QUESTION_NAMES)
IMPORTED_DIALOGUE_LAWS: tuple[Law[Dialogue], ...] = _named(DIALOGUE_LAWS, _DIALOGUE_NAMES)


class Imports:
    """The records that the import of an output folder lists; none where nothing was imported."""

    def __init__(self, out: Path) -> None:
        path = out / TABLE
        rows = read_table(path, Foreign) if path.is_file() else ()
        self._listed = {made for row in rows for made in row.records}

    def has(self, row: StreamingQA | Dialogue) -> bool:
        """Whether a record came from a foreign file, as it is or corrected."""
        corrects = row.provenance.kind == "person" and row.provenance.inputs[:1]
        return row.provenance.kind == "corpus" or bool(corrects and row.provenance.inputs[0] in self._listed)

    def unlisted(self, row: StreamingQA | Dialogue, video: Video) -> Iterator[Breach]:
        """What is wrong with a record that says it came from a foreign file; one of an augmented video has a parent."""
        if row.provenance.kind == "corpus" and video.source != AUGMENTED and row.id not in self._listed:
            yield Breach(f"a record of {row.provenance.agent}", f"one that {TABLE} lists")
