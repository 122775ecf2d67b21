"""What became of each item of a round: work that stands, by agreement or by a second round, or why none does yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from annotate.disputes import Disputed, decided, resolve
from annotate.merge import Standing, Undecided
from annotate.rounds import Round
from annotate.second import parents_of
from annotate.tasks import Done, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A round with the work that counts."""

    round_: Round
    done: Sequence[Done]


def outcome(first: Finished, second: Finished | None = None) -> dict[str, Standing | Undecided]:
    """What became of each item that somebody worked on, by its key; gold is left out.

    Args:
        first: the round.
        second: the round in which its disputes were decided, where there was one.

    Raises:
        AnnotateError: the rounds do not belong together.
    """
    works: defaultdict[str, list[Done]] = defaultdict(list)
    for one in first.done:
        works[one.key].append(one)
    items = [item for item in first.round_.items if not item.is_gold and works[item.key]]
    found = {item.key: resolve(item, works[item.key]) for item in items}
    rulings = _rulings(first, second, [one for one in found.values() if isinstance(one, Disputed)])
    by_key = first.round_.by_key
    results: dict[str, Standing | Undecided] = {}
    for key, result in found.items():
        people = tuple(dict.fromkeys(source.annotator for source in result.sources))
        if not isinstance(result, Disputed):
            results[key] = Standing(work=result.work, annotators=people)
        elif key in rulings:
            work, judge = rulings[key]
            annotators = tuple(sorted({*people, judge}))
            results[key] = Standing(work=decided(by_key[key], result, work), annotators=annotators)
        else:
            results[key] = Undecided(tuple(reason.decide for reason in result.reasons))
    return results


def _rulings(first: Finished, second: Finished | None, disputed: Sequence[Disputed]) -> dict[str, tuple[Work, str]]:
    """What was decided in a second round, and by whom, by the key of the item in the first."""
    if second is None:
        return {}
    parents = parents_of(second.round_, first.round_, disputed)
    return {parents[one.key].key: (one.work, one.annotator) for one in second.done if one.key in parents}
