"""Signs that somebody may pass on what is shown without looking: never a verdict, always with n.

Each sign is also what an honest person can show: somebody fast and good is fast, somebody who got easy clips leaves
them untouched. So every sign is held against what others did with the same items, and one sign alone calls for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from annotate.agreement.bootstrap import Floats, of_mean, of_quantile, of_sums
from annotate.agreement.figure import AgreementConfig, Figure
from annotate.agreement.panels import Table
from annotate.tasks import Done, Item, Mark, Verdict, Work
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Many, Part

DECISIONS = ("accept", "fix", "reject", "add")


class Sign(Part):
    """One sign: the person's own figure, that of others on the same items, and the two against each other.

    `time`: time spent over the clip's length, median; against: over what others spent. `untouched`: share of items
    left as they were shown; against: difference. `entropy`: bits of the choices accept, fix, reject, add (for events:
    kept, moved or renamed, removed, drawn); against: less the mean of the others' own bits. `planted`: share of gold
    items that needed a change and in which nothing was found; against: difference. `rule` says when it is `raised`.
    """

    name: Literal["time", "untouched", "entropy", "planted"]
    own: Figure
    others: Figure
    against: Figure
    raised: bool
    rule: str


def signs_of(annotator: str, items: Sequence[Item], table: Table, config: AgreementConfig) -> Many[Sign]:
    """The four signs of one person, in the order time, untouched, entropy, planted."""
    seen = [_seen(row, item, table, annotator) for row, item in enumerate(items) if annotator in table[item.key]]
    planted = [one for one in seen if needs_change(one.item)]
    return (
        _time(seen, config),
        _untouched([one for one in seen if _shows_something(one.item)], config),
        _entropy([one for one in seen if one.others], config),
        _planted(planted, config),
    )


def is_worth_a_look(signs: Sequence[Sign]) -> bool:
    """Whether work passes unchanged (`untouched` or `planted`) and a further sign stands beside it."""
    raised = {sign.name for sign in signs if sign.raised}
    return len(raised) > 1 and bool(raised & {"untouched", "planted"})


def needs_change(item: Item) -> bool:
    """Whether what a gold item shows is not its truth."""
    if not item.is_gold or item.truth is None:
        return False
    if item.sheet.kind != "events" or not item.truth.usable:
        return not finds_nothing(item, item.truth)
    return sorted(map(_said, item.truth.marks)) != sorted(map(_said, item.sheet.marks))


def finds_nothing(item: Item, work: Work) -> bool:
    """Whether work passes all that is shown; ratings, notes and how sure somebody is are no findings."""
    is_late = any(turn.timing for turn in work.turns)
    return work.usable and not is_late and all(said == "accept" for said in decisions(item, work))


def decisions(item: Item, work: Work) -> Sequence[str]:
    """What a person did with each shown thing, and `add` for each that was drawn anew."""
    if item.sheet.kind != "events":
        return _verdicts(work)
    left = {mark.id: mark for mark in work.marks}
    shown = {mark.id: mark for mark in item.sheet.marks}
    done = [_decision(mark, left.get(name)) for name, mark in shown.items()]
    return done + ["add" for name in left if name not in shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    row: int
    item: Item
    mine: Done
    others: tuple[Done, ...]

    @property
    def seconds(self) -> float:
        return (self.item.window.end_ns - self.item.window.start_ns) / NS_PER_S


def _seen(row: int, item: Item, table: Table, annotator: str) -> _Seen:
    people = table[item.key]
    others = tuple(one for name, one in people.items() if name != annotator)
    return _Seen(row=row, item=item, mine=people[annotator], others=others)


def _verdicts(work: Work) -> Sequence[Verdict]:
    return [said.verdict for said in work.questions] + [turn.verdict for turn in work.turns]


def _said(mark: Mark) -> tuple[str, int, int]:
    return (mark.label, mark.start_ns, mark.end_ns)


def _decision(shown: Mark, left: Mark | None) -> str:
    if left is None:
        return "reject"
    return "accept" if _said(shown) == _said(left) else "fix"


def _shows_something(item: Item) -> bool:
    return bool(item.sheet.marks or item.sheet.questions or item.sheet.turns)


def _rows(seen: Sequence[_Seen]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([one.row for one in seen], dtype=np.int64)


def _time(seen: Sequence[_Seen], config: AgreementConfig) -> Sign:
    # A server that counted nothing says zero.
    timed = [one for one in seen if one.mine.lead_time_s > 0 and one.seconds > 0]
    spent = [(one, [other.lead_time_s for other in one.others if other.lead_time_s > 0]) for one in timed]
    both = [(one, float(np.median(times))) for one, times in spent if times]
    of_clip = np.array([one.mine.lead_time_s / one.seconds for one in timed])
    theirs = np.array([time / one.seconds for one, time in both])
    ratios = np.array([one.mine.lead_time_s / time for one, time in both])
    rows = _rows([one for one, _ in both])
    own = of_quantile(of_clip, _rows(timed), q=0.5, unit="timed items", config=config)
    return Sign(
        name="time",
        own=own,
        others=of_quantile(theirs, rows, q=0.5, unit="items that others were timed on", config=config),
        against=of_quantile(ratios, rows, q=0.5, unit="items that others were timed on", config=config),
        raised=own.high is not None and own.high < config.hasty and own.items >= config.least_items,
        rule=f"own, interval and all, below {config.hasty:g} clip lengths in {config.least_items} items or more",
    )


def _untouched(seen: Sequence[_Seen], config: AgreementConfig) -> Sign:
    own, others, against = _shares(seen, lambda _, one: one.untouched, config, unit="items that show something")
    margin = config.untouched_margin
    return Sign(
        name="untouched",
        own=own,
        others=others,
        against=against,
        raised=against.low is not None and against.low > margin and against.items >= config.least_items,
        rule=f"difference, interval and all, above {margin:g} in {config.least_items} items or more",
    )


def _planted(seen: Sequence[_Seen], config: AgreementConfig) -> Sign:
    own, others, against = _shares(
        seen, lambda item, one: finds_nothing(item, one.work), config, unit="gold items that need a change"
    )
    return Sign(
        name="planted",
        own=own,
        others=others,
        against=against,
        raised=own.low is not None and own.low > 0.5 and own.items >= config.least_items,
        rule=f"own, interval and all, above a half of {config.least_items} items or more",
    )


def _shares(
    seen: Sequence[_Seen], passes: Callable[[Item, Done], bool], config: AgreementConfig, *, unit: str
) -> tuple[Figure, Figure, Figure]:
    both = [one for one in seen if one.others]
    mine = np.array([float(passes(one.item, one.mine)) for one in seen])
    theirs = np.array([np.mean([passes(one.item, other) for other in one.others]) for one in both])
    apart = np.array([passes(one.item, one.mine) for one in both], dtype=np.float64) - theirs
    shared = f"{unit} and that others did"
    return (
        of_mean(mine, _rows(seen), unit=unit, config=config),
        of_mean(theirs, _rows(both), unit=shared, config=config),
        of_mean(apart, _rows(both), unit=shared, config=config),
    )


def _entropy(seen: Sequence[_Seen], config: AgreementConfig) -> Sign:
    people = sorted({other.annotator for one in seen for other in one.others})
    parts = np.zeros((len(seen), 1 + len(people), len(DECISIONS)))
    for row, one in enumerate(seen):
        for at, who in ((0, one.mine), *((1 + people.index(other.annotator), other) for other in one.others)):
            for said in decisions(one.item, who.work):
                parts[row, at, DECISIONS.index(said)] += 1
    n = int(parts[:, 0].sum())
    unit = "choices on items that others did"
    flat = parts.reshape(len(seen), (1 + len(people)) * len(DECISIONS))
    margin = config.entropy_margin
    against = of_sums(flat, _less_chosen, n=n, unit=unit, why="others chose nothing", config=config)
    theirs = flat[:, len(DECISIONS) :]
    return Sign(
        name="entropy",
        own=of_sums(parts[:, 0], entropy, n=n, unit=unit, why="", config=config),
        others=of_sums(
            theirs, _each, n=int(theirs.sum()), unit="choices of others on these items", why="", config=config
        ),
        against=against,
        raised=against.high is not None and against.high < -margin and against.items >= config.least_items,
        rule=f"difference, interval and all, below -{margin:g} bits in {config.least_items} items or more",
    )


def entropy(counts: Floats) -> Floats:
    """Entropy in bits of counts `(…, k)`, nan where all are zero.

    With the correction of Miller, Note on the bias of information estimates, 1955: few choices show too little of it.
    """
    n = counts.sum(axis=-1)
    share = counts / np.maximum(n, 1)[..., None]
    plain = -(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=-1)
    correction = ((counts > 0).sum(axis=-1) - 1) / (2 * np.maximum(n, 1) * np.log(2))
    return np.asarray(np.where(n > 0, plain + correction, np.nan))


def _each(sums: Floats) -> Floats:
    """Mean over people of each one's entropy; those who chose nothing do not count."""
    bits = entropy(sums.reshape(*sums.shape[:-1], -1, len(DECISIONS)))
    known = np.isfinite(bits)
    total = np.where(known, bits, 0.0).sum(axis=-1)
    return np.asarray(np.where(known.any(axis=-1), total / np.maximum(known.sum(axis=-1), 1), np.nan))


def _less_chosen(sums: Floats) -> Floats:
    size = len(DECISIONS)
    return np.asarray(entropy(sums[..., :size]) - _each(sums[..., size:]))
