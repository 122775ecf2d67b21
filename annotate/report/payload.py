"""Everything that the page of a round shows, read from its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annotate.agreement.figures import Figures, PersonFigures, figures
from annotate.agreement.measures import Measures
from annotate.agreement.panels import table_of
from annotate.closing import Closed, read_closed
from annotate.desk import reading_of
from annotate.held import Held
from annotate.manifest import Manifest
from annotate.pull import Reading
from annotate.report.cases import Cases, cases_of, clipped
from annotate.report.settings import PageConfig
from annotate.report.words import Group, Line, SignLines, event_group, group_of, sign_lines
from annotate.rounds import Round
from annotate.standing import Status, counts, finished, held, status
from annotate.tasks import Done
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import Config

CAUSES = {
    "unknown_key": "its task is of no item of this round",
    "other_round": "its task is of another round's item",
    "edited": "somebody else changed it",
    "author": "nobody knows who made it",
    "other_data": "its task was given other data",
    "second": "a second one of the same person",
    "invalid": "it breaks the rules of the screen",
    "task_gone": "its task was deleted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting and its value in words."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagged:
    """A flag of an annotation that therefore does not count."""

    key: str
    annotation: int
    by: str
    cause: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a round is.

    `full`, `some`, `none`: items that as many people did as were asked for, fewer, and nobody. `skipped` to `deleted`
    of `status` count annotations. `flags`: the first of them, `flags_left_out` how many more there are.
    """

    status: Status
    full: int
    some: int
    none: int
    works: int
    people: int
    flags: tuple[Flagged, ...]
    flags_left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person by pseudonym. `figures` is None for somebody none of whose work counts; `spent_s`: seconds in all."""

    name: str
    skipped: int
    flagged: int
    spent_s: float
    timed: int
    figures: PersonFigures | None
    gold: Line | None
    others: Line | None
    against_gold: Group | None
    against_others: Group | None
    signs: tuple[SignLines, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the template shows; `figures` and what follows from it are None for a round without items."""

    manifest: Manifest
    clips: int
    clips_s: float
    labels_left_out: int
    settings: tuple[Setting, ...]
    closed: Closed | None
    progress: Progress
    figures: Figures | None
    between: Group | None
    shown: Group | None
    people: tuple[Person, ...]
    cases: Cases
    config: PageConfig


def collect(round_: Round, reading: Reading | None, config: PageConfig) -> Page:
    """Read the folder of a round.

    Args:
        round_: the round.
        reading: how its screen is read; by the folder of its records where None, once there is work to read.
        config: what the page holds.

    Raises:
        AnnotateError: a file of the round was changed, or the records that it was made of are gone.
    """
    every = held(round_)
    done: list[Done] = []
    if any(counts(one) for one in every):
        done = finished(round_, reading or reading_of(round_))
    found = figures(round_.items, done, config.agreement) if round_.items else None
    return Page(
        manifest=round_.manifest,
        clips=len({item.window.proxy_sha256 for item in round_.items}),
        clips_s=sum(item.window.end_ns - item.window.start_ns for item in round_.items) / NS_PER_S,
        labels_left_out=max(0, len(round_.manifest.labels) - config.most_rows),
        settings=(*_settings(config.agreement), *_settings(config.disputes)),
        closed=read_closed(round_),
        progress=_progress(round_, every, config),
        figures=found,
        between=group_of(found.between) if found else None,
        shown=event_group(found.shown) if found and found.shown else None,
        people=_people(round_, every, done, found),
        cases=cases_of(round_, done, config),
        config=config,
    )


def _settings(config: Config) -> tuple[Setting, ...]:
    return tuple(Setting(name=name, value=str(value)) for name, value in config.model_dump(mode="json").items())


def _progress(round_: Round, every: Sequence[Held], config: PageConfig) -> Progress:
    by = Counter(one.key for one in every if counts(one))
    does = [by[item.key] for item in round_.items]
    full = sum(many >= round_.manifest.overlap for many in does)
    none = does.count(0)
    flags = [
        Flagged(
            key=clipped(one.key, config.most_letters),
            annotation=one.annotation,
            by=one.by,
            cause=CAUSES[flag.code],
            detail=clipped(flag.detail, config.most_letters),
        )
        for one in every
        if one.live
        for flag in one.flags
    ]
    return Progress(
        status=status(round_),
        full=full,
        some=len(does) - full - none,
        none=none,
        works=sum(counts(one) for one in every),
        people=len({one.by for one in every if counts(one)}),
        flags=tuple(flags[: config.most_rows]),
        flags_left_out=max(0, len(flags) - config.most_rows),
    )


def _people(round_: Round, every: Sequence[Held], done: Sequence[Done], found: Figures | None) -> tuple[Person, ...]:
    known: Mapping[str, PersonFigures] = {one.annotator: one for one in found.people} if found else {}
    skipped = Counter(one.by for one in every if one.live and one.skipped and not one.flags)
    flagged = Counter(one.by for one in every if one.live and one.flags)
    spent: dict[str, list[float]] = {}
    for works in table_of(round_.items, done).values():
        for name, one in works.items():
            spent.setdefault(name, []).append(one.lead_time_s)
    names = sorted({*known, *skipped, *flagged}, key=lambda name: (len(name), name))
    return tuple(
        _person(name, known.get(name), spent.get(name, []), skipped=skipped[name], flagged=flagged[name])
        for name in names
    )


def _person(name: str, found: PersonFigures | None, spent: Sequence[float], *, skipped: int, flagged: int) -> Person:
    return Person(
        name=name,
        skipped=skipped,
        flagged=flagged,
        spent_s=sum(spent),
        timed=sum(seconds > 0 for seconds in spent),
        figures=found,
        gold=_chief(found.against_gold) if found else None,
        others=_chief(found.against_others) if found else None,
        against_gold=group_of(found.against_gold) if found else None,
        against_others=group_of(found.against_others) if found else None,
        signs=tuple(sign_lines(sign) for sign in found.signs) if found else (),
    )


def _chief(measures: Measures) -> Line | None:
    """The one figure that stands for a comparison in a short table: the middle F1, or the share of same verdicts."""
    lines = group_of(measures).lines
    if measures.events is not None:
        return lines[len(measures.events.f1) // 2] if measures.events.f1 else None
    return next((line for line in lines if line.name == "Same verdict"), None)
