"""What a law is: a name, a sentence, and a function that finds where a record breaks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

from datasets_build.checks.figures import Figure
from datasets_build.core.clock import FrameClock
from datasets_build.core.perceived import Shot
from datasets_build.core.records import Annotation, Event, Part, StreamingQA, Video
from datasets_build.truth.grounds import Grounds

R = TypeVar("R", bound=Part)


class Breach(NamedTuple):
    """How a record breaks a law."""

    found: str
    expected: str


class Violation(Part):
    """A broken law: which, in which file and record, what was found there and what was expected."""

    law: str
    file: str
    record: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: {self.record}: breaks {self.law}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True)
class Known:
    """What a record may refer to: its video, the video's clock, events, boxes and shots, other questions about it."""

    video: Video
    clock: FrameClock
    events: Mapping[str, Event]
    questions: Mapping[str, StreamingQA] = field(default_factory=dict)
    boxes: Sequence[Annotation] = ()
    shots: Mapping[str, Shot] = field(default_factory=dict)
    window_ns: int | None = None
    """The longest response window of the dataset, as its settings say; None where they do not."""

    @cached_property
    def grounds(self) -> Grounds:
        """What the events give at an instant."""
        return Grounds(self.events.values(), self.clock, self.boxes)


@dataclass(frozen=True, slots=True)
class Law(Generic[R]):
    """A law on one kind of record."""

    name: str
    about: str
    breaches: Callable[[R, Known], Iterator[Breach]]


@dataclass(slots=True)
class Ledger:
    """Counts what was checked and broken per law, and keeps the first violations, all figures and all warnings."""

    keep: int
    about: dict[str, str] = field(default_factory=dict)
    checked: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    warnings: list[Violation] = field(default_factory=list)

    def weigh(self, about: str, file: str, figure: Figure) -> None:
        """Take in a figure: one that is broken breaks the law of its name, one that is a warning is told."""
        self.figures.append(figure)
        breach = Breach(
            f"{figure.of}: {figure.told}", f"at most {figure.limit:.3f}, where chance is {figure.chance:.3f}"
        )
        self.note(figure.name, about, file, figure.of, [breach] if figure.verdict == "broken" else [])
        if figure.verdict == "warned":
            said = Violation(law=figure.name, file=file, record=figure.of, found=breach.found, expected=breach.expected)
            self.warnings.append(said)

    def judge(self, file: str, record: str, law: Law[R], row: R, known: Known) -> None:
        """Hold one record against one law."""
        self.note(law.name, law.about, file, record, law.breaches(row, known))

    def note(self, name: str, about: str, file: str, record: str, breaches: Iterable[Breach]) -> None:
        """Count one check of a law and whatever broke it."""
        self.about.setdefault(name, about)
        self.checked[name] += 1
        for breach in breaches:
            self.broken[name] += 1
            if len(self.violations) < self.keep:
                self.violations.append(
                    Violation(law=name, file=file, record=record, found=breach.found, expected=breach.expected)
                )
