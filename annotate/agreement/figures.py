"""All figures of a round: between people, each person against others and against hidden gold, and signs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from annotate.agreement.events import EventMeasures, measure_events
from annotate.agreement.figure import AgreementConfig
from annotate.agreement.measures import Measures, measure
from annotate.agreement.panels import Panel, Table, against_gold, against_others, between, kind_of, table_of
from annotate.agreement.reliability import Sign, is_worth_a_look, signs_of
from annotate.tasks import Done, Item, Kind, Work
from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Many, Part


class PersonFigures(Part):
    """One person, by pseudonym: `items` done, of them `gold`; times of `against_*` are the person's minus the other's.

    `is_worth_a_look` says that several signs stand together, which somebody should look at; it judges nobody.
    """

    annotator: str
    items: int
    gold: int
    unusable: int
    against_gold: Measures
    against_others: Measures
    signs: Many[Sign]
    is_worth_a_look: bool


class Figures(Part):
    """All figures of a round, with what they were worked out under.

    `works`: finished works that count. `twice`: items that two or more people did. `between`: all people with each
    other. `shown`: people (first) against what they were shown, for events alone: how far people move predictions.
    """

    kind: Kind
    items: int
    done: int
    works: int
    twice: int
    people: Many[PersonFigures]
    between: Measures
    shown: EventMeasures | None
    grid: str
    config: AgreementConfig


def figures(
    items: Sequence[Item],
    done: Iterable[Done],
    config: AgreementConfig | None = None,
    *,
    clocks: Mapping[str, FrameClock] | None = None,
) -> Figures:
    """Work out all figures of a round.

    Args:
        items: all items of the round, of one kind.
        done: finished work; of several works of one person on one item, the latest counts.
        config: settings, the defaults where None.
        clocks: by video id; frame-level figures then ask at the video's own frames, else every `config.grid_ns`.

    Raises:
        AnnotateError: no items, items of several kinds or with one key, or work that fits no item.
    """
    config = config or AgreementConfig()
    kind = kind_of(items)
    table = table_of(items, done)
    # Resamples go by position: the order in which items come must not matter.
    items = sorted(items, key=lambda item: item.key)
    people = sorted({name for works in table.values() for name in works}, key=_natural)
    shared = between(items, table)
    is_events = kind == "events"
    return Figures(
        kind=kind,
        items=len(items),
        done=sum(bool(works) for works in table.values()),
        works=sum(len(works) for works in table.values()),
        twice=len(shared),
        people=tuple(_person(name, items, table, config, clocks=clocks) for name in people),
        between=measure(shared, kind, config, clocks=clocks),
        shown=measure_events(_shown(items, table), config, clocks=clocks, signed=True) if is_events else None,
        grid=("the frames of videos with a clock, else " if clocks else "") + f"every {config.grid_ns / 1e6:g} ms",
        config=config,
    )


def _person(
    name: str,
    items: Sequence[Item],
    table: Table,
    config: AgreementConfig,
    *,
    clocks: Mapping[str, FrameClock] | None,
) -> PersonFigures:
    kind = kind_of(items)
    mine = [item for item in items if name in table[item.key]]
    signs = signs_of(name, mine, table, config)
    gold = against_gold(name, mine, table)
    return PersonFigures(
        annotator=name,
        items=len(mine),
        gold=len(gold),
        unusable=sum(not table[item.key][name].work.usable for item in mine),
        against_gold=measure(gold, kind, config, clocks=clocks, signed=True),
        against_others=measure(against_others(name, mine, table), kind, config, clocks=clocks, signed=True),
        signs=signs,
        is_worth_a_look=is_worth_a_look(signs),
    )


def _shown(items: Sequence[Item], table: Table) -> list[Panel]:
    return [
        Panel(item=item, works=(one.work, Work(kind="events", marks=item.sheet.marks)))
        for item in items
        for one in table[item.key].values()
    ]


def _natural(name: str) -> tuple[int, str]:
    # a2 before a10.
    return (len(name), name)
