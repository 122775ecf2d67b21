"""Scores of shot boundaries by the three rules of the field's published figures, hard cuts and gradual ones apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from datasets_build.perception.transitions import Film, Mark

RuleName = Literal["trecvid0", "transnet2", "clipshots_overlap"]
_TOLERANCE = 2
# Two intervals of ClipShots may share a frame, which of two cuts means one frame apart.
_SHARED = 1


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of transitions: true ones, those of them that were hit, predictions that count, and false alarms.

    Precision is hits / predicted and recall hits / true, as the rules publish them; None where there is nothing.
    """

    true: int = 0
    hits: int = 0
    predicted: int = 0
    false_alarms: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            true=self.true + other.true,
            hits=self.hits + other.hits,
            predicted=self.predicted + other.predicted,
            false_alarms=self.false_alarms + other.false_alarms,
        )

    @property
    def precision(self) -> float | None:
        """Share of the predictions that are right."""
        return self.hits / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Share of the truth that was found."""
        return self.hits / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both."""
        return 2 * self.hits / (self.true + self.predicted) if self.true + self.predicted else None


@dataclass(frozen=True, slots=True)
class FilmScore:
    """The score of one video, or with `+` of several; `together` is of all transitions, whatever their kind."""

    cuts: Tally = Tally()
    gradual: Tally = Tally()
    together: Tally = Tally()
    ignored: int = 0
    missed: tuple[Mark, ...] = ()
    false_alarms: tuple[Mark, ...] = ()

    def __add__(self, other: FilmScore) -> FilmScore:
        """The counts of both; which transitions they were is told per video only."""
        return FilmScore(
            cuts=self.cuts + other.cuts,
            gradual=self.gradual + other.gradual,
            together=self.together + other.together,
            ignored=self.ignored + other.ignored,
        )


class _Role(Enum):
    HIT = "hit"
    AGAIN = "inside a gradual transition that was hit already"
    ALARM = "hits nothing"
    IGNORED = "hits nothing but a place that does not count"


@dataclass(frozen=True, slots=True)
class Matching:
    """Which transitions of the truth were hit, and pairs of (truth, prediction), all as indexes; `again` as above."""

    pairs: tuple[tuple[int, int], ...]
    again: frozenset[int] = frozenset()


def touch(one: Mark, other: Mark, tolerance: int) -> bool:
    """Whether two transitions meet, each widened by half of `tolerance` at both ends as in TransNetV2.

    A transition is the time between the last frame of the old shot and the first of the new one. Two cuts meet when
    they are at most `tolerance` frames apart.
    """
    return one.before + 1 <= other.after + tolerance and other.before + 1 <= one.after + tolerance


def match_nearest(truth: Sequence[int], found: Sequence[int], tolerance: int) -> list[tuple[int, int]]:
    """Pairs of (truth, prediction) as indexes: the nearest first, each used once, at most `tolerance` frames apart."""
    near = sorted(
        (abs(frame - true), at, of)
        for of, true in enumerate(truth)
        for at, frame in enumerate(found)
        if abs(frame - true) <= tolerance
    )
    pairs: list[tuple[int, int]] = []
    used_truth: set[int] = set()
    used_found: set[int] = set()
    for _, at, of in near:
        if of not in used_truth and at not in used_found:
            used_truth.add(of)
            used_found.add(at)
            pairs.append((of, at))
    return pairs


def match_in_order(truth: Sequence[Mark], found: Sequence[Mark], tolerance: int) -> list[tuple[int, int]]:
    """Pairs of (truth, prediction) as indexes, one to one and in order, of transitions that `touch`.

    Both lists are walked once: of two that do not meet, the earlier one is left behind.
    """
    pairs: list[tuple[int, int]] = []
    of = at = 0
    while of < len(truth) and at < len(found):
        if touch(truth[of], found[at], tolerance):
            pairs.append((of, at))
            of, at = of + 1, at + 1
        elif found[at].before < truth[of].before:
            at += 1
        else:
            of += 1
    return pairs


def trecvid0(truth: Film, found: Film) -> FilmScore:
    """The rule of PySceneDetect's benchmark (`benchmark/evaluator.py`), after TRECVID's shot boundary task.

    A prediction is one frame: of a predicted gradual transition its middle. Those inside a true gradual transition are
    its own: the first is the hit, others are false alarms of the gradual ones. The rest is matched with the true cuts
    one to one, at tolerance 0.
    """
    points = [(mark.first + mark.last) // 2 for mark in found.marks]
    pairs: list[tuple[int, int]] = []
    again: set[int] = set()
    for at, point in enumerate(points):
        within = (of for of, mark in enumerate(truth.marks) if not mark.is_cut and mark.first <= point <= mark.last)
        of = next(within, None)
        if of is None:
            continue
        if any(of == hit for hit, _ in pairs):
            again.add(at)
        else:
            pairs.append((of, at))
    cuts = [of for of, mark in enumerate(truth.marks) if mark.is_cut]
    taken = again | {at for _, at in pairs}
    rest = [at for at in range(len(points)) if at not in taken]
    frames = [truth.marks[of].after for of in cuts]
    pairs += [(cuts[of], rest[at]) for of, at in match_nearest(frames, [points[at] for at in rest], 0)]

    def at_place(mark: Mark, place: Mark) -> bool:
        return place.first <= (mark.first + mark.last) // 2 <= place.last

    return _scored(truth, found, Matching(tuple(pairs), frozenset(again)), at_place)


def transnet2(truth: Film, found: Film) -> FilmScore:
    """The rule of TransNetV2 and AutoShot (`evaluate_scenes` in `training/metrics_utils.py`) at its tolerance of 2.

    Transitions of all kinds stand in one list and are matched one to one and in order; of `together`, hits and false
    alarms are theirs. A prediction that is left over and meets a true gradual transition is a false alarm of the
    gradual ones, not of the cuts.
    """
    pairs = match_in_order(truth.marks, found.marks, _TOLERANCE)
    gradual = [mark for mark in truth.marks if not mark.is_cut]
    left = set(range(len(found.marks))) - {at for _, at in pairs}
    again = {at for at in left if any(touch(found.marks[at], mark, _TOLERANCE) for mark in gradual)}
    return _scored(truth, found, Matching(tuple(pairs), frozenset(again)), lambda a, b: touch(a, b, _TOLERANCE))


def _scored(truth: Film, found: Film, matching: Matching, near: Callable[[Mark, Mark], bool]) -> FilmScore:
    """Counts of a matching one to one: a false alarm is of the kind that it claims, or of the gradual it repeats."""
    taken = {at for _, at in matching.pairs}
    roles = []
    for at, mark in enumerate(found.marks):
        if at in taken:
            roles.append(_Role.HIT)
        elif any(near(mark, place) for place in truth.ignored):
            roles.append(_Role.IGNORED)
        else:
            roles.append(_Role.AGAIN if at in matching.again else _Role.ALARM)
    hit = {of for of, _ in matching.pairs}
    told = list(zip(found.marks, roles, strict=True))
    cut_alarms = sum(role is _Role.ALARM and mark.is_cut for mark, role in told)
    alarms = tuple(mark for mark, role in told if role in (_Role.ALARM, _Role.AGAIN))
    cuts = _one_to_one(truth.marks, hit, cut_alarms, cuts=True)
    gradual = _one_to_one(truth.marks, hit, len(alarms) - cut_alarms, cuts=False)
    return FilmScore(
        cuts=cuts,
        gradual=gradual,
        together=cuts + gradual,
        ignored=roles.count(_Role.IGNORED),
        missed=tuple(mark for of, mark in enumerate(truth.marks) if of not in hit),
        false_alarms=alarms,
    )


def _one_to_one(truth: Sequence[Mark], hit: set[int], alarms: int, *, cuts: bool) -> Tally:
    of_kind = [of for of, mark in enumerate(truth) if mark.is_cut == cuts]
    hits = sum(of in hit for of in of_kind)
    return Tally(true=len(of_kind), hits=hits, predicted=hits + alarms, false_alarms=alarms)


def clipshots_overlap(truth: Film, found: Film) -> FilmScore:
    """The rule of ClipShots (`tools/evaluate.py`): hit is what any prediction of its kind overlaps, however often.

    Cuts are held against cuts and gradual transitions against gradual ones; `together` holds all against all. A bare
    boundary is of the kinds that it overlaps. Precision is hits / predictions, so one prediction over two true
    transitions can lift it above 1. A false alarm overlaps nothing at all; a predicted cut inside a dissolve is none,
    yet it counts among the predicted cuts.
    """
    met = {mark: [true.is_cut for true in truth.marks if touch(mark, true, _SHARED)] for mark in found.marks}
    ignored = {mark for mark in met if not met[mark] and any(touch(mark, place, _SHARED) for place in truth.ignored)}
    counted = [mark for mark in found.marks if mark not in ignored]
    false = tuple(mark for mark in counted if not met[mark])

    def claims(mark: Mark, kinds: set[bool]) -> bool:
        return mark.is_cut in kinds if found.typed or not met[mark] else not kinds.isdisjoint(met[mark])

    def is_hit(true: Mark, kinds: set[bool]) -> bool:
        return any(touch(true, mark, _SHARED) and claims(mark, kinds) for mark in counted)

    def tally(kinds: set[bool]) -> Tally:
        of_kind = [true for true in truth.marks if true.is_cut in kinds]
        return Tally(
            true=len(of_kind),
            hits=sum(is_hit(true, kinds) for true in of_kind),
            predicted=sum(claims(mark, kinds) for mark in counted),
            false_alarms=sum(mark.is_cut in kinds for mark in false),
        )

    return FilmScore(
        cuts=tally({True}),
        gradual=tally({False}),
        together=tally({True, False}),
        ignored=len(found.marks) - len(counted),
        missed=tuple(true for true in truth.marks if not is_hit(true, {true.is_cut})),
        false_alarms=false,
    )


RULES: Mapping[RuleName, Callable[[Film, Film], FilmScore]] = {
    "trecvid0": trecvid0,
    "transnet2": transnet2,
    "clipshots_overlap": clipshots_overlap,
}
