"""What became of each item of a round: work that stands, by agreement or by a second round, or why it does not yet.

Where people agree about a part of an item, that part stands, and the rest is open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from annotate.disputes import Agreed, Disputed, Reason, decided, resolve
from annotate.merge import Standing, Undecided
from annotate.merged import Point
from annotate.rounds import Round
from annotate.second import parents_of
from annotate.tasks import Done, Item, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A round with the work that counts."""

    round_: Round
    done: Sequence[Done]


def outcome(first: Finished, second: Finished | None = None) -> dict[str, Standing | Undecided]:
    """What became of each item that somebody worked on, by its key; gold is left out.

    What a second round leaves open of an item is as open as before.

    Args:
        first: the round.
        second: the round in which its disputes were decided, where there was one.

    Raises:
        AnnotateError: the rounds do not belong together.
    """
    found = _found(first)
    rulings = _rulings(first, second, [one for one in found.values() if isinstance(one, Disputed)])
    by_key = first.round_.by_key
    results: dict[str, Standing | Undecided] = {}
    for key, result in found.items():
        people = tuple(dict.fromkeys(source.annotator for source in result.sources))
        if not isinstance(result, Disputed):
            few = _points(by_key[key], result.outvoted, people)
            results[key] = Standing(work=result.work, annotators=people, outvoted=few)
            continue
        in_the_end: Work | Disputed = result
        if key in rulings:
            work, judges = rulings[key]
            people = tuple(sorted({*people, *judges}))
            in_the_end = decided(by_key[key], result, work)
        if isinstance(in_the_end, Disputed):
            results[key] = _undecided(by_key[key], in_the_end, people)
        else:
            few = _points(by_key[key], result.outvoted, people)
            results[key] = Standing(work=in_the_end, annotators=people, outvoted=few)
    return results


def _undecided(item: Item, disputed: Disputed, people: tuple[str, ...]) -> Undecided:
    """What is open of an item, and what stands of it."""
    few = _points(item, disputed.outvoted, people)
    part = Standing(work=disputed.agreed, annotators=people, outvoted=few)
    points = _points(item, disputed.reasons, people)
    return Undecided(tuple(reason.decide for reason in disputed.reasons), part=part, points=points)


def _points(item: Item, reasons: Sequence[Reason], people: tuple[str, ...]) -> tuple[Point, ...]:
    return tuple(
        Point(
            key=item.key,
            video_id=item.window.video_id,
            about=reason.about,
            records=reason.shown_ids,
            start_ns=reason.start_ns,
            end_ns=reason.end_ns,
            decide=reason.decide,
            annotators=people,
        )
        for reason in reasons
    )


def in_dispute(first: Finished) -> list[Disputed]:
    """What people did not agree about in a round, the worst first; gold, whose truth is known, is left out."""
    found = [one for one in _found(first).values() if isinstance(one, Disputed)]
    return sorted(found, key=lambda one: (-one.score, one.key))


def apart(first: Finished) -> dict[tuple[str, int, int], float]:
    """How far people were apart about each window of a round, 0..1, by its video and both its ends.

    Windows that one person alone did, and gold, tell nothing of that.
    """
    by_key = first.round_.by_key
    scores = {}
    for key, one in _found(first).items():
        window = by_key[key].window
        if len(one.sources) > 1:
            scores[window.video_id, window.start_ns, window.end_ns] = one.score
    return scores


def _found(first: Finished) -> dict[str, Agreed | Disputed]:
    """What becomes of each item that somebody worked on by that round alone, in its order; gold is left out."""
    works = _by_key(first.done)
    items = [item for item in first.round_.items if not item.is_gold and item.key in works]
    return {item.key: resolve(item, works[item.key]) for item in items}


def _by_key(done: Sequence[Done]) -> dict[str, list[Done]]:
    works: defaultdict[str, list[Done]] = defaultdict(list)
    for one in done:
        works[one.key].append(one)
    return dict(works)


def _rulings(
    first: Finished, second: Finished | None, disputed: Sequence[Disputed]
) -> dict[str, tuple[Work, tuple[str, ...]]]:
    """What was decided in a second round, and by whom, by the key of the item in the first.

    Where several people decided and do not agree, nothing is decided.
    """
    if second is None:
        return {}
    parents = parents_of(second.round_, first.round_, disputed)
    items, rulings = second.round_.by_key, {}
    for key, works in _by_key(second.done).items():
        ruled = resolve(items[key], works)
        if key in parents and isinstance(ruled, Agreed):
            rulings[parents[key].key] = ruled.work, tuple(source.annotator for source in ruled.sources)
    return rulings
