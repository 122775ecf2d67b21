"""Stage 2 as a live stream: decisions after grids, with questions that wait and others beside them."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from datasets_build.core.asked import put_question
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Answer, StreamingQA
from recipes.data.corpus import Material
from recipes.data.example import Example, GridRef, State
from recipes.data.footage import Stretch
from recipes.data.questions import Instant, instants, is_standing, learnable
from recipes.data.script import Desk, Left, Line, Script, borders_of, in_order, shows
from recipes.settings import StreamConfig

SOURCE = "realtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Something to be said after a grid.

    Attributes:
        place: of the grid, in the video.
        text, task: what, and of which task.
        since_ns: from when on it is awaited.
        evidence_ns: when it can be known.
        window_end_ns: until when it is in time.
        until_ns: until when saying it takes; no decision is taken on the way.
        learn, loss_weight, ended: as of a line.
        name: of the record that it belongs to.
    """

    place: int
    text: str
    task: str
    since_ns: int
    evidence_ns: int
    window_end_ns: int
    until_ns: int = 0
    learn: bool = True
    loss_weight: float = 1.0
    ended: bool = True
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Late:
    """Whether something is said a grid later than it could be, which is still in time.

    A model that was silent when it should have spoken finds itself where no label ever was; these are labels for there.

    Attributes:
        share: how often, of what is said to questions that stand, and again of what is late already.
        rng: draws.
    """

    share: float
    rng: random.Random

    def moved(self, dues: Sequence[Due], grids: Sequence[GridRef], stretch: Stretch) -> tuple[list[Due], set[int]]:
        """The same things, some of them later, and the grids at which they were not said: nothing is right there."""
        taken = {due.place for due in dues}
        told, passed = [], set()
        for due in dues:
            place = due.place
            while self.rng.random() < self.share and self._can(due, place + 1, grids, stretch, taken):
                passed.add(place)
                place += 1
            told.append(replace(due, place=place))
        return told, passed

    @staticmethod
    def _can(due: Due, place: int, grids: Sequence[GridRef], stretch: Stretch, taken: set[int]) -> bool:
        return place < stretch.stop and place not in taken and grids[place].t1_ns < due.window_end_ns


def realtime(material: Material, settings: StreamConfig, desk: Desk) -> list[Example]:
    """The examples of a video: in each stretch of `max_s` one for every few standing questions.

    Questions whose answers come later stay in the dialogue; not more than `standing` of them wait at a time in one
    example. Those that can be answered at once are asked beside the examples of a stretch, dealt out over them, a share
    of `twins` of them once more one grid later.
    """
    footage = material.footage
    standing = [row for row in material.questions if is_standing(row)]
    at_once = [item for item in instants(material) if not _opens(item, standing)]

    def make(stretch: Stretch) -> list[Script]:
        rows = [row for row in standing if _fits(row, material, stretch, desk.left)]
        beside = learnable(at_once, material, stretch, source=SOURCE, left=desk.left)
        groups = _groups(rows, settings.standing) or [[]]
        scripts = []
        for number, group in enumerate(groups):
            late = Late(share=settings.late, rng=desk.rng("late", footage.video.id, stretch.learn + number))
            lines = standing_lines(group, material, stretch, desk.left, late=late)
            if settings.idle < 1:
                lines = _some_idle(
                    lines, group, desk.rng("idle", footage.video.id, stretch.learn + number), share=settings.idle
                )
            dealt = beside[number :: len(groups)]
            lines += with_twins(dealt, material, stretch, desk=desk, share=settings.twins)
            scripts.append(
                Script(
                    key=f"{SOURCE}/{footage.video.id}/{stretch.learn}/{number}",
                    source=SOURCE,
                    footage=footage,
                    stretch=stretch,
                    lines=in_order(lines),
                    borders=borders_of(material.events),
                )
            )
        return scripts

    stretches = footage.stretches(round(settings.max_s * NS_PER_S))
    return [example for stretch in stretches for example in desk.written(make, stretch)]


def _opens(item: Instant, standing: Sequence[StreamingQA]) -> bool:
    """Whether a question at once is the first answer of one that stands."""
    return any(row.id == item.key for row in standing)


def _fits(row: StreamingQA, material: Material, stretch: Stretch, left: Left) -> bool:
    """Whether a standing question is asked and first answered in a stretch that has shown what proves it."""
    footage, first = material.footage, row.answers[0]
    begin, end = footage.span(stretch)
    if not begin <= row.ask_ns < end:
        return False
    at_ns = row.ask_ns
    if first.t_ns > row.ask_ns:
        place = due_place(footage.grids, first.t_ns)
        if place >= stretch.stop:
            # Half a round would teach that a request is never answered.
            left.out(SOURCE, "answered behind the stretch", row.id)
            return False
        at_ns = footage.grids[place].t1_ns
    evidence = [part for part in row.evidence if part.start_ns <= max(first.t_ns, row.ask_ns)]
    if not shows(footage, stretch, evidence, at_ns=at_ns):
        left.out(SOURCE, "evidence is not shown", row.id)
        return False
    return True


def _groups(rows: Sequence[StreamingQA], most: int) -> list[list[StreamingQA]]:
    """Puts questions together so that not more than `most` of a group wait at a time, each as early as it can."""
    groups: list[list[StreamingQA]] = []
    for row in sorted(rows, key=lambda row: (row.ask_ns, row.id)):
        for group in groups:
            if sum(other.answers[-1].t_ns >= row.ask_ns for other in group) < most:
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


def due_place(grids: Sequence[GridRef], t_ns: int) -> int:
    """The first grid whose last frame is not before an instant."""
    return bisect_left(grids, t_ns, key=lambda grid: grid.t1_ns)


def standing_lines(
    rows: Sequence[StreamingQA], material: Material, stretch: Stretch, left: Left, *, late: Late | None = None
) -> list[Line]:
    """The rounds of standing questions, and a decision after every grid in which a stretch learns.

    After a grid at which something could be said that `late` has put off, there is none.
    """
    footage = material.footage
    lines: list[Line] = []
    dues: list[Due] = []
    waits: list[tuple[int, int]] = []
    for row in rows:
        first = row.answers[0]
        at_once = first.t_ns <= row.ask_ns
        lines.append(
            Line(
                t_ns=row.ask_ns,
                task=row.task,
                question=put_question(row),
                text=first.text if at_once else "",
                state=None if at_once else "standby",
                evidence_ns=first.t_ns,
                window_end_ns=first.window_end_ns,
            )
        )
        dues += [_due(row, answer, footage.grids) for answer in row.answers[int(at_once) :]]
        # A request to be told needs no answer of its own; any other question waits for its first.
        if row.mode != "proactive":
            waits.append((row.ask_ns, first.t_ns))
    kept = scheduled(dues, footage.grids, stretch, left)
    passed: set[int] = set()
    if late is not None:
        kept, passed = late.moved(kept, footage.grids, stretch)
    learned = [place for place in range(stretch.learn, stretch.stop) if place not in passed]
    return [*lines, *decision_lines(kept, footage.grids, learned, waits=waits)]


def _some_idle(lines: Sequence[Line], rows: Sequence[StreamingQA], rng: random.Random, *, share: float) -> list[Line]:
    """All lines but some of the decisions before the first of these questions is asked.

    Those behind a question that has been answered stay: who has been told once would be told again and again.
    """
    first_ns = min((row.ask_ns for row in rows), default=None)
    kept = []
    for line in lines:
        idle = not line.question and (first_ns is None or line.t_ns <= first_ns)
        if not idle or rng.random() < share:
            kept.append(line)
    return kept


def _due(row: StreamingQA, answer: Answer, grids: Sequence[GridRef]) -> Due:
    return Due(
        place=due_place(grids, answer.t_ns),
        text=answer.text,
        task=row.task,
        since_ns=row.ask_ns,
        evidence_ns=answer.t_ns,
        window_end_ns=answer.window_end_ns,
        name=row.id,
    )


def scheduled(dues: Sequence[Due], grids: Sequence[GridRef], stretch: Stretch, left: Left) -> list[Due]:
    """One thing a grid: of two, the later one is said at the next grid, if that is still in time."""
    taken: dict[int, Due] = {}
    for due in sorted(dues, key=lambda due: (due.place, due.evidence_ns, due.text)):
        place = due.place
        while place in taken:
            place += 1
        late = place > due.place and place < len(grids) and grids[place].t1_ns >= due.window_end_ns
        if place >= stretch.stop or late:
            left.out(SOURCE, "no grid in its window", f"{due.name}/{due.evidence_ns}")
        else:
            taken[place] = replace(due, place=place)
    return [taken[place] for place in sorted(taken)]


def decision_lines(
    dues: Sequence[Due], grids: Sequence[GridRef], places: Sequence[int], *, waits: Sequence[tuple[int, int]]
) -> list[Line]:
    """A decision after each of some grids; `waits` are half-open spans in which somebody waits for an answer.

    `respond` where something is due, else `standby` while somebody waits for an answer, else `silence`: the definition
    of `datasets_build.core.decisions`, on grids of two frames. The decision about a grid is taken before a question of
    the same time is heard.
    """
    at = {due.place: due for due in dues}
    lines = []
    for place in places:
        t_ns = grids[place].t1_ns
        coming = [due for due in dues if due.place >= place and due.since_ns <= t_ns]
        following = min(coming, key=lambda due: due.evidence_ns, default=None)
        due = at.get(place)
        state: State = "respond" if due else "standby" if any(a < t_ns < b for a, b in waits) else "silence"
        told = due or following
        lines.append(
            Line(
                t_ns=t_ns,
                task=told.task if told else "watch",
                text=due.text if due else "",
                state=state,
                learn=due.learn if due else True,
                loss_weight=due.loss_weight if due else 1.0,
                ended=due.ended if due else True,
                aside=due is None,
                evidence_ns=told.evidence_ns if told else None,
                window_end_ns=told.window_end_ns if told else None,
                name=due.name if due else "",
            )
        )
    return lines


def with_twins(
    asked: Sequence[Instant], material: Material, stretch: Stretch, *, desk: Desk, share: float
) -> list[Line]:
    """Questions beside the stream; a share of them is asked again one grid later, where the answer is still true."""
    footage = material.footage
    end = footage.span(stretch)[1]
    lines = []
    for item in asked:
        line = item.line(aside=True)
        seen = footage.known_at(item.t_ns)
        rng = desk.rng("twins", item.key)
        if 0 < seen < len(footage.grids) and rng.random() < share:
            later = item.t_ns + footage.grids[seen].t1_ns - footage.grids[seen - 1].t1_ns
            if later < min(end, item.until_ns) and footage.known_at(later) == seen + 1:
                name = f"{item.key}/later"
                line = replace(line, twin=name)
                ends = max(item.window_end_ns, later + 1)
                lines.append(replace(line, t_ns=later, name=name, twin="", window_end_ns=ends))
        lines.append(line)
    return lines
