"""What people disagree about, worst first, and the work that stands where they agree.

The rule. A clip is fit to be judged if more than half say so. An event stands if more than half of those who judged the
clip marked it under one label at one time; its times are the medians of all who marked it. A verdict stands if more
than half gave it; of corrected texts the one most like the others, of times the median, where more than half lie close
to it. What exactly half say, and what many see but name, place or word differently, is for an adjudicator, who learns
what is open and never who said what or how many did. Until then what is open stays as it was shown, and what people
agree on stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from annotate.agreement.figure import Positive, Share
from annotate.agreement.groups import Group, across_labels, closeness, groups_of, most_close, standing_for
from annotate.agreement.judgements import judgements
from annotate.agreement.matching import is_instant, match
from annotate.agreement.panels import table_of
from annotate.agreement.votes import Ballot, Open, count, unlike
from annotate.edits import parts
from annotate.errors import AnnotateError
from annotate.tasks import Done, Item, Mark, Question, Said, Sheet, Work
from datasets_build.core.clock import format_ns
from datasets_build.core.config import Config
from datasets_build.core.records import Many, Ns, Part, derive_id


class DisputeConfig(Config):
    """When people agree.

    `pair_iou`: marks that share as much of their time are about one event; `agree_iou`: and lie at one time.
    `tolerance_ns`: how far apart instants may lie. `time_tolerance_ns`: how far times of questions may lie from their
    median. `text_agree`: chrF from which two texts say the same.
    """

    pair_iou: Share = 0.3
    agree_iou: Share = 0.5
    tolerance_ns: Positive = 500_000_000
    time_tolerance_ns: Positive = 1_000_000_000
    text_agree: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.agree_iou < self.pair_iou:
            raise ValueError(f"agree_iou: found {self.agree_iou}, expected pair_iou ({self.pair_iou}) or more")
        return self


class Source(Part):
    """Whose work went into a result."""

    annotator: str
    annotation_id: int


class Reason(Part):
    """Something that an adjudicator must decide: what (`decide`, a sentence), where, and between what.

    `id` is that of the question, turn or shown mark, empty for what only people drew. `options` and the candidate
    `marks` are in order of the alphabet and of time: they tell neither who nor how many. `shown_ids` are all shown
    things that it is about. `score` 0..1: how far apart.
    """

    about: Literal["usable", "mark", "label", "boundary", "verdict", "text", "time", "timing"]
    id: str
    start_ns: Ns
    end_ns: Ns
    decide: str
    options: Many[str] = ()
    marks: Many[Mark] = ()
    shown_ids: Many[str] = ()
    score: Share


class Agreed(Part):
    """Work that stands, with `score` 0..1 for what people still differ in.

    The work of one person alone is taken as it is: `sources` tells. `outvoted`: what fewer than half drew, which does
    not stand and which nobody is asked about again.
    """

    key: str
    work: Work
    sources: Many[Source]
    score: Share
    outvoted: Many[Reason] = ()


class Disputed(Part):
    """Work that does not stand yet: `reasons`, the worst first, and `agreed`, what stands all the same.

    `outvoted`: what fewer than half drew. `score` 0..1: how far any two people are apart, on average over pairs; 0 for
    equal works.
    """

    key: str
    agreed: Work
    reasons: Many[Reason]
    sources: Many[Source]
    score: Share
    outvoted: Many[Reason] = ()

    @property
    def open_ids(self) -> frozenset[str]:
        """The shown things that stay as they are until somebody decides; nothing stands of a clip that may be unfit."""
        return frozenset(name for reason in self.reasons for name in reason.shown_ids)


def resolve(item: Item, done: Sequence[Done], config: DisputeConfig | None = None) -> Agreed | Disputed:
    """Merge the works of all people on one item, or say what they disagree about.

    Raises:
        AnnotateError: no work, or work on another item.
    """
    config = config or DisputeConfig()
    people = list(table_of([item], done)[item.key].values())
    if not people:
        raise AnnotateError(f"{item.key}: found no work, expected that of one person or more")
    works = [one.work for one in people]
    sources = tuple(Source(annotator=one.annotator, annotation_id=one.annotation_id) for one in people)
    score = disagreement(item, works, config)
    if len(works) == 1:
        return Agreed(key=item.key, work=works[0], sources=sources, score=score)
    agreed, reasons, outvoted = _merged(item, works, config)
    few = tuple(sorted(outvoted, key=lambda reason: (reason.start_ns, reason.end_ns, reason.decide)))
    if not reasons:
        return Agreed(key=item.key, work=agreed, sources=sources, score=score, outvoted=few)
    worst = tuple(sorted(reasons, key=lambda reason: (-reason.score, reason.start_ns, reason.id, reason.decide)))
    return Disputed(key=item.key, agreed=agreed, reasons=worst, sources=sources, score=score, outvoted=few)


def disputes(items: Sequence[Item], done: Iterable[Done], config: DisputeConfig | None = None) -> list[Disputed]:
    """All items that two or more people did and do not agree on, worst first."""
    table = table_of(items, done)
    twice = [item for item in items if len(table[item.key]) > 1]
    found = [resolve(item, list(table[item.key].values()), config) for item in twice]
    return sorted((one for one in found if isinstance(one, Disputed)), key=lambda one: (-one.score, one.key))


def disagreement(item: Item, works: Sequence[Work], config: DisputeConfig | None = None) -> float:
    """How far works on one item are apart, 0..1: the mean over pairs of people, 0 for one alone.

    Of two who do not both find the clip fit to be judged: 1, or 0 if neither does. Events: 1 minus twice the sum of the
    similarities of matched marks over the number of all marks. Questions and turns: the mean of `votes.unlike`.
    """
    config = config or DisputeConfig()
    apart = [_apart(item, left, right, config) for left, right in combinations(works, 2)]
    return sum(apart) / len(apart) if apart else 0.0


def open_sheet(item: Item, disputed: Disputed) -> Sheet:
    """What an adjudicator is asked: agreed and candidate marks, or the questions in dispute, or the whole dialogue.

    It holds no vote and no name. Where fitness itself is in dispute, it is the sheet that all have seen.
    """
    if any(reason.about == "usable" for reason in disputed.reasons):
        return item.sheet
    open_ids = {reason.id for reason in disputed.reasons}
    marks = [*disputed.agreed.marks, *(mark for reason in disputed.reasons for mark in reason.marks)]
    return Sheet(
        kind=item.sheet.kind,
        marks=tuple(sorted(marks, key=_in_time)),
        questions=tuple(question for question in item.sheet.questions if question.id in open_ids),
        turns=item.sheet.turns,
    )


def decided(item: Item, disputed: Disputed, work: Work) -> Work | Disputed:
    """The work that stands once an adjudicator has answered `open_sheet` with `work`.

    Their marks stand as they are, since they saw the agreed ones; verdicts stand for what was in dispute alone. Where
    they left out some of that, the rest is still in dispute.
    """
    if item.sheet.kind == "events" or not work.usable or any(one.about == "usable" for one in disputed.reasons):
        return work
    questions = {said.id: said for said in (*work.questions, *disputed.agreed.questions)}
    turns = {said.id: said for said in (*work.turns, *disputed.agreed.turns)}
    both = Work(
        kind=work.kind,
        questions=tuple(questions[one.id] for one in item.sheet.questions if one.id in questions),
        turns=tuple(turns[one.id] for one in item.sheet.turns if one.id in turns),
    )
    rest = tuple(reason for reason in disputed.reasons if reason.id not in {*questions, *turns})
    return disputed.model_copy(update={"agreed": both, "reasons": rest}) if rest else both


def _merged(item: Item, works: Sequence[Work], config: DisputeConfig) -> tuple[Work, list[Reason], list[Reason]]:
    """What stands, what is open, and what is outvoted."""
    fit = [work for work in works if work.usable]
    kind = item.sheet.kind
    if 2 * len(fit) == len(works):
        return Work(kind=kind), [_unfit(item)], []
    if 2 * len(fit) < len(works):
        return Work(kind=kind, usable=False), [], []
    if kind == "events":
        marks, reasons, few = _marks(item, fit, config)
        return Work(kind=kind, marks=tuple(sorted(marks, key=_in_time))), reasons, few
    return *_verdicts(item, fit, config), []


def _unfit(item: Item) -> Reason:
    return Reason(
        about="usable",
        id="",
        start_ns=item.window.start_ns,
        end_ns=item.window.end_ns,
        decide="Can this clip be judged at all?",
        options=("no", "yes"),
        shown_ids=tuple(shown.id for shown in parts(item.sheet)),
        score=1.0,
    )


def _marks(item: Item, works: Sequence[Work], config: DisputeConfig) -> tuple[list[Mark], list[Reason], list[Reason]]:
    tolerance = config.tolerance_ns
    groups = groups_of([work.marks for work in works], iou=config.pair_iou, tolerance_ns=tolerance)
    # The largest group takes the shown id first; another of the same id gets one of its own.
    names = _Names(item)
    half = len(works) / 2
    agreed: list[tuple[Mark, Group]] = []
    reasons: list[Reason] = []
    for group in sorted((group for group in groups if len(group) > half), key=lambda group: -len(group)):
        mark = standing_for(group, names.of(group))
        if most_close(group, iou=config.agree_iou, tolerance_ns=tolerance) > half:
            agreed.append((mark, group))
        else:
            apart = 1 - closeness(group, tolerance_ns=tolerance)
            reasons.append(_open(item, [mark], group, "boundary", score=apart))
    rest = [group for group in groups if len(group) <= half]
    few: list[Group] = []
    for joined in across_labels(rest, iou=config.agree_iou, tolerance_ns=tolerance):
        if len(joined) >= half:
            reasons.append(_proposed(item, joined, names, "mark"))
        else:
            few.append(joined)
    for shown in item.sheet.marks:
        # Many keep it, each at a time of their own: it is somewhere.
        kept = tuple(one for group in few for one in group if one.mark.id == shown.id)
        if len({one.person for one in kept}) >= half:
            reasons.append(_proposed(item, kept, names, "boundary"))
    shown_ids = {shown.id for shown in item.sheet.marks}
    drawn = [group for group in few if any(one.mark.id not in shown_ids for one in group)]
    outvoted = [_open(item, [standing_for(group, "")], group, "mark", score=1.0) for group in drawn]
    return *_apart_from_open(item, agreed, reasons, tolerance), outvoted


def _apart_from_open(
    item: Item, agreed: Sequence[tuple[Mark, Group]], reasons: Sequence[Reason], tolerance_ns: int
) -> tuple[list[Mark], list[Reason]]:
    """The agreed marks that are of no shown event in dispute; the others are open with it."""
    kept, found = list(agreed), list(reasons)
    names = {mark.id for mark in item.sheet.marks}
    open_ids = {name for reason in reasons for name in reason.shown_ids}
    while True:
        with_it = [(mark, group) for mark, group in kept if open_ids & {mark.id, *(one.mark.id for one in group)}]
        if not with_it:
            return [mark for mark, _ in kept], found
        for mark, group in with_it:
            kept.remove((mark, group))
            apart = 1 - closeness(group, tolerance_ns=tolerance_ns)
            found.append(_open(item, [mark], group, "boundary", score=apart))
            open_ids |= names & {mark.id, *(one.mark.id for one in group)}


def _proposed(item: Item, group: Group, names: _Names, about: Literal["mark", "boundary"]) -> Reason:
    """What is open about marks of which no group is of most people: a candidate for each label or each place."""
    labels = _labels(group)
    if about == "mark":
        parted = [tuple(one for one in group if one.mark.label == label) for label in labels]
    else:
        parted = [(one,) for one in group]
    candidates = [standing_for(part, names.of(part)) for part in parted]
    return _open(item, candidates, group, "label" if len(labels) > 1 else about, score=1.0)


class _Names:
    """Gives out ids of marks: the shown one where people kept it, else one that follows from the mark."""

    def __init__(self, item: Item) -> None:
        self._item = item
        self._free = {mark.id for mark in item.sheet.marks}
        self._given: set[str] = set()

    def of(self, group: Group) -> str:
        """The shown id that most of a group kept and no other group has, else an id of its own."""
        kept = sorted(one.mark.id for one in group if one.mark.id in self._free)
        if kept:
            name = max(kept, key=kept.count)
            self._free.discard(name)
            return name
        mark = standing_for(group, "")
        content = (mark.label, mark.start_ns, mark.end_ns)
        # Somebody may draw one thing twice.
        numbered = (derive_id("mark", self._item.key, *content, number) for number in range(len(self._given) + 1))
        name = next(name for name in numbered if name not in self._given)
        self._given.add(name)
        return name


def _open(
    item: Item,
    marks: Sequence[Mark],
    group: Group,
    about: Literal["mark", "label", "boundary"],
    *,
    score: float,
) -> Reason:
    start, end = min(one.mark.start_ns for one in group), max(one.mark.end_ns for one in group)
    where = f"At {format_ns(start)}" if start == end else f"Between {format_ns(start)} and {format_ns(end)}"
    names = ", ".join(_labels(group))
    are_instants = all(is_instant(one.mark) for one in group)
    asked = {
        "mark": f"{where}: does “{names}” happen, and {'when exactly' if are_instants else 'from when to when'}?",
        "label": f"{where}: which of these happens, if any: {names}?",
        "boundary": f"{where}: when {'exactly is' if are_instants else 'does'} “{names}”"
        + ("?" if are_instants else " begin, and when does it end?"),
    }
    shown = [mark.id for mark in item.sheet.marks]
    about_ids = {*(mark.id for mark in marks), *(one.mark.id for one in group)}
    return Reason(
        about=about,
        id=next((mark.id for mark in marks if mark.id in shown), ""),
        start_ns=start,
        end_ns=end,
        decide=asked[about],
        options=tuple(_labels(group)) if about == "label" else (),
        marks=tuple(sorted(marks, key=_in_time)),
        shown_ids=tuple(name for name in shown if name in about_ids),
        score=score,
    )


def _verdicts(item: Item, works: Sequence[Work], config: DisputeConfig) -> tuple[Work, list[Reason]]:
    people = [judgements(item, work) for work in works]
    questions, turns, reasons = [], [], []
    sheet: tuple[Question | Said, ...] = (*item.sheet.questions, *item.sheet.turns)
    for shown in sheet:
        said = tuple(person[shown.id] for person in people if shown.id in person)
        ballot = Ballot(shown=shown, said=said, text_agree=config.text_agree, tolerance_ns=config.time_tolerance_ns)
        outcome = count(ballot)
        if isinstance(outcome, Open):
            reasons.append(_open_verdict(ballot, outcome))
        else:
            questions += [outcome.question] if outcome.question else []
            turns += [outcome.turn] if outcome.turn else []
    return Work(kind=item.sheet.kind, questions=tuple(questions), turns=tuple(turns)), reasons


def _open_verdict(ballot: Ballot, outcome: Open) -> Reason:
    start, end = ballot.span
    pairs = [unlike(a, b, tolerance_ns=ballot.tolerance_ns) for a, b in combinations(ballot.said, 2)]
    return Reason(
        about=outcome.about,
        id=ballot.shown.id,
        start_ns=start,
        end_ns=end,
        decide=outcome.decide,
        options=outcome.options,
        shown_ids=(ballot.shown.id,),
        score=sum(pairs) / len(pairs) if pairs else 1.0,
    )


def _apart(item: Item, left: Work, right: Work, config: DisputeConfig) -> float:
    if not (left.usable and right.usable):
        return float(left.usable != right.usable)
    if item.sheet.kind == "events":
        pairs = match(left.marks, right.marks, iou=config.pair_iou, tolerance_ns=config.tolerance_ns)
        both = len(left.marks) + len(right.marks)
        return max(0.0, 1 - 2 * sum(pair.similarity for pair in pairs) / both) if both else 0.0
    ours, theirs = judgements(item, left), judgements(item, right)
    names = ours.keys() | theirs.keys()
    values = [
        unlike(ours[name], theirs[name], tolerance_ns=config.time_tolerance_ns)
        if name in ours and name in theirs
        else 1.0
        for name in sorted(names)
    ]
    return sum(values) / len(values) if values else 0.0


def _labels(group: Group) -> list[str]:
    return sorted({one.mark.label for one in group})


def _in_time(mark: Mark) -> tuple[int, int, str, str]:
    return (mark.start_ns, mark.end_ns, mark.label, mark.id)
