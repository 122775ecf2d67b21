"""Marks of several people that are about one event, and the mark that stands for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from annotate.agreement.matching import is_instant, match, similarity
from annotate.tasks import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A mark and who drew it, as a position among the people."""

    person: int
    mark: Mark


Group = tuple[Member, ...]
"""Marks about one event, at most one of each person, in order of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    rank: tuple[float, int, int, int, int]
    left: Member
    right: Member


def groups_of(people: Sequence[Sequence[Mark]], *, iou: float, tolerance_ns: int) -> list[Group]:
    """Put the marks of several people together, label by label, in order of time.

    Every two people are matched (`annotate.agreement.matching.match`); pairs join their groups, the closest first,
    where no person is in both. Who the people are plays no part, ties fall by time.
    """
    members = [Member(person=number, mark=mark) for number, marks in enumerate(people) for mark in marks]
    owner: dict[tuple[int, int], list[Member]] = {_place(one): [one] for one in members}
    for edge in sorted(_edges(people, iou, tolerance_ns), key=lambda edge: edge.rank):
        left, right = owner[_place(edge.left)], owner[_place(edge.right)]
        if not {one.person for one in left} & {one.person for one in right}:
            left += right
            owner |= {_place(one): left for one in right}
    found = {id(group): tuple(sorted(group, key=_when)) for group in owner.values()}
    return sorted(found.values(), key=lambda group: _when(group[0]))


def across_labels(groups: Sequence[Group], *, iou: float, tolerance_ns: int) -> list[Group]:
    """Join groups of different labels that lie at one time and share no person; the rest stay as they are."""
    joined: list[list[Member]] = []
    for group in groups:
        home = next((other for other in joined if _same_time(other, group, iou, tolerance_ns)), None)
        if home is None:
            joined.append(list(group))
        else:
            home += group
    return [tuple(sorted(group, key=_when)) for group in joined]


def closeness(group: Group, *, tolerance_ns: int) -> float:
    """The median similarity of any two of a group; 1 for one mark alone."""
    pairs = [_alike(left, right, tolerance_ns) for left, right in combinations([one.mark for one in group], 2)]
    return sorted(pairs)[(len(pairs) - 1) // 2] if pairs else 1.0


def most_close(group: Group, *, iou: float, tolerance_ns: int) -> int:
    """How many of a group are the same, from `iou` on, as the one that most are the same as, itself among them."""
    marks = [one.mark for one in group]
    return max(sum(similarity(one, other, iou=iou, tolerance_ns=tolerance_ns) > 0 for other in marks) for one in marks)


def median_ns(times: Iterable[int]) -> int:
    """The middle time, or the mean of the two in the middle, rounded down."""
    ranked = sorted(times)
    half = len(ranked) // 2
    return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) // 2


def standing_for(group: Group, name: str) -> Mark:
    """One mark for a group of one label, called `name`: median times, the most frequent of everything else.

    Of equally frequent notes the first in the alphabet stands, and `unsure` before `sure`.
    """
    marks = [one.mark for one in group]
    is_point = 2 * sum(is_instant(mark) for mark in marks) > len(marks)
    # A span has a length for each of its members, and so the medians have.
    timed = [mark for mark in marks if is_instant(mark) == is_point]
    start = median_ns(mark.start_ns for mark in timed)
    notes = Counter(mark.note for mark in marks if mark.note)
    sure = Counter(mark.confidence for mark in marks if mark.confidence is not None)
    return Mark(
        id=name,
        label=min(mark.label for mark in marks),
        start_ns=start,
        end_ns=start if is_point else median_ns(mark.end_ns for mark in timed),
        is_point=is_point,
        note=min(notes, key=lambda note: (-notes[note], note), default=""),
        confidence="unsure" if 0 < 2 * sure["unsure"] >= sure.total() else ("sure" if sure else None),
    )


def _place(member: Member) -> tuple[int, int]:
    return (member.person, id(member.mark))


def _when(member: Member) -> tuple[int, int, str, str]:
    return (member.mark.start_ns, member.mark.end_ns, member.mark.label, member.mark.id)


def _alike(left: Mark, right: Mark, tolerance_ns: int) -> float:
    return similarity(left, right, iou=0.0, tolerance_ns=tolerance_ns)


def _edges(people: Sequence[Sequence[Mark]], iou: float, tolerance_ns: int) -> list[_Edge]:
    found = []
    for (a, ours), (b, theirs) in combinations(enumerate(people), 2):
        for pair in match(ours, theirs, iou=iou, tolerance_ns=tolerance_ns):
            ends = sorted((mark.start_ns, mark.end_ns) for mark in (pair.left, pair.right))
            rank = (-pair.similarity, *ends[0], *ends[1])
            left, right = Member(person=a, mark=pair.left), Member(person=b, mark=pair.right)
            found.append(_Edge(rank=rank, left=left, right=right))
    return found


def _same_time(one: Sequence[Member], other: Group, iou: float, tolerance_ns: int) -> bool:
    if {member.person for member in one} & {member.person for member in other}:
        return False
    pairs = [(left.mark, right.mark) for left in one for right in other]
    return all(similarity(left, right, iou=iou, tolerance_ns=tolerance_ns) > 0 for left, right in pairs)
