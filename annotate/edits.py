"""What becomes of records after people: corrections, what contradicts itself, and what cannot stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from annotate.tasks import Item, Mark, Question, Said, Sheet, Work
from datasets_build.core.clock import Span
from datasets_build.core.corrections import Correction, digest_of
from datasets_build.core.records import Dialogue, Event, Many, Part, Provenance, StreamingQA, derive_id


class Trouble(Part):
    """Something that people said and that is not done: why, about which record, in which items.

    `conflict`: it contradicts what is said of the same record in another window. `flaw`: a record like that cannot
    be. Both are left for another round.
    """

    kind: Literal["conflict", "flaw"]
    video_id: str
    record: str
    keys: Many[str]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Work on a window that stands, and whose it is: pseudonyms, in alphabetical order.

    `open_ids` are shown things that people do not agree about yet: they stay as they are.
    """

    item: Item
    work: Work
    annotators: tuple[str, ...]
    open_ids: frozenset[str] = frozenset()

    @property
    def span(self) -> Span:
        """Of the window, on the source's clock."""
        return Span(start_ns=self.item.window.start_ns, end_ns=self.item.window.end_ns)

    @property
    def shown(self) -> frozenset[str]:
        """The ids of what was asked about."""
        return frozenset(part.id for part in parts(self.item.sheet))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Where and when something was corrected; `made_at` is the round's, so that merging it again gives the same."""

    round: str
    made_at: str

    def provenance(self, annotators: Iterable[str], inputs: Sequence[str]) -> Provenance:
        """Of a record that people made."""
        agent = "+".join(annotators)
        return Provenance(kind="person", agent=agent, round=self.round, inputs=tuple(inputs), made_at=self.made_at)


@dataclass(slots=True)
class Edits:
    """Corrections of one video, in the order in which they are laid over it, and what is left for another round."""

    by: Signature
    corrections: list[Correction] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def replace(self, parent: Event | StreamingQA | Dialogue, made: Event | StreamingQA | Dialogue, who: Who) -> None:
        """Puts a record in the place of another one."""
        shown, found = parent.model_dump(), made.model_dump()
        edited = tuple(name for name in shown if name not in _MADE and shown[name] != found[name])
        self.corrections.append(self._of("replace", parent, made, edited, who))

    def remove(self, parent: Event | StreamingQA | Dialogue, who: Who) -> None:
        """Takes a record away."""
        self.corrections.append(self._of("remove", parent, None, (), who))

    def add(self, made: Event, who: Who) -> None:
        """Brings an event that was not there."""
        self.corrections.append(self._of("add", None, made, (), who))

    def trouble(self, kind: Literal["conflict", "flaw"], judged: Sequence[Judged], record: str, reason: str) -> None:
        """Says why something is not done."""
        keys = tuple(one.item.key for one in judged)
        made = Trouble(kind=kind, video_id=judged[0].item.window.video_id, record=record, keys=keys, reason=reason)
        self.troubles.append(made)

    def _of(
        self,
        action: Literal["replace", "remove", "add"],
        parent: Event | StreamingQA | Dialogue | None,
        made: Event | StreamingQA | Dialogue | None,
        edited: tuple[str, ...],
        who: Who,
    ) -> Correction:
        record = made or parent
        assert record is not None, "a correction is of a record, or brings one"
        return Correction(
            id=derive_id("correction", self.by.round, action, parent.id if parent else None, made.id if made else None),
            video_id=record.video_id,
            round=self.by.round,
            action=action,
            parent_id=parent.id if parent else None,
            parent_digest=digest_of(parent) if parent else None,
            event=made if isinstance(made, Event) else None,
            question=made if isinstance(made, StreamingQA) else None,
            dialogue=made if isinstance(made, Dialogue) else None,
            of=_OF[type(record)],
            edited=edited,
            annotators=who,
        )


Who = tuple[str, ...]
"""Pseudonyms of those whose work it is, in alphabetical order."""
ELSEWHERE = "people do not agree yet about it in another window that shows it"
"""Why something that people agree on in one window is not done."""
_MADE = frozenset({"id", "provenance", "source", "parent_event_id"})
_OF: Mapping[type, Literal["event", "question", "dialogue"]] = {
    Event: "event",
    StreamingQA: "question",
    Dialogue: "dialogue",
}


def parts(sheet: Sheet) -> Iterator[Mark | Question | Said]:
    """Everything that a sheet asks about."""
    yield from sheet.marks
    yield from sheet.questions
    yield from sheet.turns


def is_open(name: str, judged: Iterable[Judged]) -> bool:
    """Whether people do not agree yet about something that a window of theirs shows."""
    return any(name in one.open_ids for one in judged)


def who_of(judged: Iterable[Judged]) -> Who:
    """Those whose work some pieces of it are."""
    return tuple(sorted({name for one in judged for name in one.annotators}))


def kept_inputs(record: StreamingQA | Dialogue) -> tuple[str, ...]:
    """What the next record of it is made from: itself, and the events that it was made from."""
    events = record.provenance.inputs[record.provenance.kind == "person" :]
    return (record.id, *events)
