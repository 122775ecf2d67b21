"""Who is compared with whom: panels of finished works on one item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotate.errors import AnnotateError
from annotate.tasks import Done, Item, Kind, Work

Table = Mapping[str, Mapping[str, Done]]
"""Item key → pseudonym → that person's work, both in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Works on one item that are compared with each other, each with each."""

    item: Item
    works: tuple[Work, ...]

    @property
    def usable(self) -> tuple[Work, ...]:
        """Those that found the clip fit to be judged; the others say nothing of what it holds."""
        return tuple(work for work in self.works if work.usable)


def kind_of(items: Iterable[Item]) -> Kind:
    """The kind of work that all items ask for. Raises AnnotateError for none or for more than one."""
    kinds = sorted({item.sheet.kind for item in items})
    if len(kinds) != 1:
        raise AnnotateError(f"figures are of one kind of work, found {len(kinds)} in the items: {', '.join(kinds)}")
    return kinds[0]


def table_of(items: Sequence[Item], done: Iterable[Done]) -> Table:
    """Everybody's work by item and person; of several works of one person on one item, the latest counts.

    Raises:
        AnnotateError: two items with one key, work on an item that is not there, or work of another kind.
    """
    by_key = {item.key: item for item in items}
    if len(by_key) != len(items):
        raise AnnotateError(f"items: {len(items)} items have {len(by_key)} keys, expected one each")
    latest: dict[tuple[str, str], Done] = {}
    for one in sorted(done, key=lambda one: (one.updated_at, one.annotation_id)):
        item = by_key.get(one.key)
        if item is None:
            raise AnnotateError(f"{one.key}: work of {one.annotator} on an item that the round does not hold")
        if one.work.kind != item.sheet.kind:
            raise AnnotateError(f"{one.key}: found {one.work.kind} of {one.annotator}, expected {item.sheet.kind}")
        latest[one.key, one.annotator] = one
    table: dict[str, dict[str, Done]] = {key: {} for key in sorted(by_key)}
    for (key, annotator), one in sorted(latest.items(), key=lambda entry: entry[0]):
        table[key][annotator] = one
    return table


def between(items: Sequence[Item], table: Table) -> list[Panel]:
    """One panel for each item that two or more people did."""
    panels = [Panel(item=item, works=tuple(one.work for one in table[item.key].values())) for item in items]
    return [panel for panel in panels if len(panel.works) > 1]


def against_others(annotator: str, items: Sequence[Item], table: Table) -> list[Panel]:
    """One panel for each other person on each item that `annotator` did; `annotator` comes first."""
    panels = []
    for item in items:
        mine = table[item.key].get(annotator)
        others = [one for name, one in table[item.key].items() if name != annotator]
        panels += [Panel(item=item, works=(mine.work, one.work)) for one in others if mine is not None]
    return panels


def against_gold(annotator: str, items: Sequence[Item], table: Table) -> list[Panel]:
    """One panel for each gold item that `annotator` did: the person's work, then the truth."""
    panels = []
    for item in items:
        mine = table[item.key].get(annotator)
        if mine is not None and item.is_gold and item.truth is not None:
            panels.append(Panel(item=item, works=(mine.work, item.truth)))
    return panels
