"""The worst disagreements: what is open, what each person said there, and what was to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from annotate.agreement.judgements import Judgement, judgements
from annotate.agreement.panels import table_of
from annotate.disputes import Disputed, Reason, disputes
from annotate.report.settings import PageConfig
from annotate.report.stills import Stills, frame_at, stills
from annotate.report.timeline import Timeline, around, isolated, mark_words, sides_of, timeline_of
from annotate.rounds import Round
from annotate.tasks import Done, Item, Mark, Work
from datasets_build.core.clock import NS_PER_S, Span, format_ns

_MOMENT_NS = 500_000_000
_FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one side says about a point, a line each."""

    by: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A picture: its time, who says what happens then, and the JPEG as a data URI, empty where there is none."""

    time: str
    captions: tuple[str, ...]
    src: str
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Something that is open, with what everybody says, a closer timeline where one helps, and pictures."""

    decide: str
    score: float
    said: tuple[Said, ...]
    close_up: Timeline | None
    shots: tuple[Shot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """A colour and what it stands for."""

    hue: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One item that people do not agree on. `others` are points in a sentence each, `left_out` further ones."""

    key: str
    video: str
    where: str
    score: float
    is_gold: bool
    people: tuple[str, ...]
    timeline: Timeline
    legend: tuple[Legend, ...]
    points: tuple[Point, ...]
    others: tuple[str, ...]
    left_out: int
    no_pictures: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """The worst disagreements, worst first, out of `total`."""

    total: int
    shown: tuple[Case, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instant:
    """When to look, and why."""

    t_ns: int
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """An item with the works of all people on it, and what a legend says of labels."""

    item: Item
    works: Mapping[str, Work]
    hues: Mapping[str, int]
    letters: int

    @property
    def window(self) -> Span:
        return Span(start_ns=self.item.window.start_ns, end_ns=self.item.window.end_ns)


def cases_of(round_: Round, done: Sequence[Done], config: PageConfig) -> Cases:
    """The worst disagreements of a round, with pictures of its proxies."""
    found = disputes(round_.items, done, config.disputes)
    table, by_key = table_of(round_.items, done), round_.by_key
    hues = hues_of(round_, done)
    shown = []
    for one in found[: config.most_disputes]:
        works = {name: work.work for name, work in table[one.key].items()}
        place = _Place(item=by_key[one.key], works=works, hues=hues, letters=config.most_letters)
        shown.append(_case(place, one, config, round_.proxies))
    return Cases(total=len(found), shown=tuple(shown))


def hues_of(round_: Round, done: Sequence[Done]) -> dict[str, int]:
    """A colour for each label of a round, as degrees of a colour wheel: neighbours in order lie far apart."""
    drawn = {mark.label for one in done for mark in one.work.marks}
    drawn |= {mark.label for item in round_.items for mark in item.sheet.marks}
    labels = [*round_.manifest.labels, *sorted(drawn - set(round_.manifest.labels))]
    # The golden angle, 137.5 degrees.
    return {label: round(at * 137.508) % 360 for at, label in enumerate(labels)}


def _case(place: _Place, disputed: Disputed, config: PageConfig, proxies: Path) -> Case:
    item, window = place.item, place.item.window
    full, rest = disputed.reasons[: config.most_points], disputed.reasons[config.most_points :]
    chosen = _chosen([_instants(place, reason) for reason in full], config.most_pictures)
    frames = [frame_at(window, one.t_ns) for of in chosen for one in of]
    pictures = stills(proxies, window, frames, longest=config.picture_px)
    sides = sides_of(item, place.works, place.hues)
    bands = [Span(start_ns=one.start_ns, end_ns=one.end_ns) for one in disputed.reasons]
    others = tuple(clipped(one.decide, config.most_letters) for one in rest[: config.most_rows])
    return Case(
        key=disputed.key,
        video=window.video_id,
        where=f"{format_ns(window.start_ns)} to {format_ns(window.end_ns)}",
        score=disputed.score,
        is_gold=item.is_gold,
        people=tuple(place.works),
        timeline=timeline_of(sides, place.window, bands),
        legend=_legend(place),
        points=tuple(_point(place, one, shots, pictures) for one, shots in zip(full, chosen, strict=True)),
        others=others,
        left_out=len(rest) - len(others),
        no_pictures=pictures.reason,
        width=pictures.size[0],
        height=pictures.size[1],
    )


def _legend(place: _Place) -> tuple[Legend, ...]:
    works = [*place.works.values(), *([place.item.truth] if place.item.truth else [])]
    labels = {mark.label for work in works for mark in work.marks} | {mark.label for mark in place.item.sheet.marks}
    return tuple(Legend(hue=place.hues.get(label, 215), label=label) for label in sorted(labels))


def _point(place: _Place, reason: Reason, instants: Sequence[_Instant], pictures: Stills) -> Point:
    by_frame: dict[int, list[_Instant]] = {}
    for one in sorted(instants, key=lambda one: (one.t_ns, one.caption)):
        by_frame.setdefault(frame_at(place.item.window, one.t_ns), []).append(one)
    close_up = None
    if place.item.sheet.kind == "events" and reason.about != "usable":
        span = Span(start_ns=reason.start_ns, end_ns=reason.end_ns)
        near = around(_within(span, place.window), place.window, least_ns=4 * NS_PER_S)
        close_up = timeline_of(sides_of(place.item, place.works, place.hues), near, [span])
    return Point(
        decide=clipped(reason.decide, place.letters),
        score=reason.score,
        said=_said(place, reason),
        close_up=close_up,
        shots=tuple(_shot(of, pictures.by_frame.get(frame, ""), place.letters) for frame, of in by_frame.items()),
    )


def _speakers(place: _Place) -> dict[str, Work]:
    """Everybody, and the truth of a gold item."""
    truth = place.item.truth if place.item.is_gold else None
    return {**place.works, **({"truth": truth} if truth is not None else {})}


def _said(place: _Place, reason: Reason) -> tuple[Said, ...]:
    """What was shown, what everybody made of it, and the truth where it is known."""
    said = [Said(by=name, lines=_lines(place, work, reason)) for name, work in _speakers(place).items()]
    if reason.about == "usable":
        return tuple(said)
    return (Said(by="shown", lines=_shown(place, reason)), *said)


def _shown(place: _Place, reason: Reason) -> tuple[str, ...]:
    sheet = place.item.sheet
    if sheet.kind == "events":
        return _lines(place, Work(kind="events", marks=sheet.marks), reason)
    answers = [
        f"answered “{isolated(one.answer)}” at {format_ns(one.answer_ns)}"
        for one in sheet.questions
        if one.id == reason.id
    ]
    turns = [f"{one.role}: “{isolated(one.text)}”" for one in sheet.turns if one.id == reason.id]
    return tuple(clipped(line, place.letters) for line in (*answers, *turns))


def _shot(instants: Sequence[_Instant], src: str, letters: int) -> Shot:
    captions = tuple(dict.fromkeys(clipped(one.caption, letters) for one in instants))
    time = format_ns(instants[0].t_ns)
    return Shot(time=time, captions=captions, src=src, alt=f"The clip at {time}: {'; '.join(captions)}")


def _lines(place: _Place, work: Work, reason: Reason) -> tuple[str, ...]:
    """What somebody's work says about a point."""
    if not work.usable:
        return ("the clip cannot be judged",)
    if reason.about == "usable":
        return ("the clip can be judged",)
    if place.item.sheet.kind == "events":
        marks = _there(work, reason)
        if _labelled(marks, reason):
            return tuple(clipped(mark_words(mark), place.letters) for mark in _labelled(marks, reason))
        others = "; ".join(clipped(mark_words(mark), place.letters) for mark in marks[:3])
        return (f"no such mark; has {others}" if others else "no mark",)
    said = judgements(place.item, work).get(reason.id)
    return tuple(clipped(line, place.letters) for line in _verdict(said)) if said else ("nothing",)


def _verdict(said: Judgement) -> tuple[str, ...]:
    lines: list[str] = [said.verdict]
    if said.has_text:
        lines.append(f"“{isolated(said.text)}”")
    if said.has_ask and said.ask_ns is not None:
        lines.append(f"asked at {format_ns(said.ask_ns)}")
    if said.has_answer and said.answer_ns is not None:
        lines.append(f"answered at {format_ns(said.answer_ns)}")
    if said.timing:
        lines.append(said.timing.replace("_", " "))
    if said.quality is not None:
        lines.append(f"rated {said.quality} of 5")
    return tuple(lines)


def _there(work: Work, reason: Reason) -> list[Mark]:
    """The marks of a work that meet the time of a point."""
    found = [mark for mark in work.marks if mark.start_ns <= reason.end_ns and mark.end_ns >= reason.start_ns]
    return sorted(found, key=lambda mark: (mark.start_ns, mark.end_ns, mark.label))


def _labelled(marks: Sequence[Mark], reason: Reason) -> list[Mark]:
    labels = {mark.label for mark in reason.marks}
    return [mark for mark in marks if mark.label in labels]


def _instants(place: _Place, reason: Reason) -> list[_Instant]:
    """When to look for a point, what tells most first; never outside the window."""
    if reason.about == "usable":
        whole = place.window
        times = [whole.start_ns + whole.duration_ns * part // 6 for part in (1, 3, 5)]
        return [_Instant(t_ns=time, caption="in the clip") for time in times]
    found = _of_marks(place, reason) if place.item.sheet.kind == "events" else _of_judgements(place, reason)
    inside = [one for one in dict.fromkeys(found) if place.window.contains(one.t_ns)]
    span = _within(Span(start_ns=reason.start_ns, end_ns=reason.end_ns), place.window)
    middle = _Instant(t_ns=(span.start_ns + span.end_ns) // 2, caption="in between")
    return [*(inside or [middle]), *_beside(inside or [middle], place.window)]


def _beside(instants: Sequence[_Instant], window: Span) -> list[_Instant]:
    """A moment before the first and a moment after the last, where there are few: one picture alone tells no change."""
    times = [one.t_ns for one in instants]
    beside = (
        _Instant(t_ns=min(times) - _MOMENT_NS, caption="a moment before"),
        _Instant(t_ns=max(times) + _MOMENT_NS, caption="a moment after"),
    )
    return [one for one in beside if len(set(times)) < _FEW and window.contains(one.t_ns)]


def _of_marks(place: _Place, reason: Reason) -> list[_Instant]:
    starts, ends = [], []
    for name, work in _speakers(place).items():
        for mark in _labelled(_there(work, reason), reason) if work.usable else ():
            label = f"“{isolated(mark.label)}”"
            is_span = mark.end_ns > mark.start_ns
            starts.append(_Instant(t_ns=mark.start_ns, caption=f"{name}: {label}{' begins' if is_span else ''}"))
            if is_span:
                ends.append(_Instant(t_ns=mark.end_ns, caption=f"{name}: {label} is over"))
    return starts + ends


def _of_judgements(place: _Place, reason: Reason) -> list[_Instant]:
    question = next((one for one in place.item.sheet.questions if one.id == reason.id), None)
    if question is None:
        names = ("the turn begins", "the turn ends")
        times = (reason.start_ns, reason.end_ns)
        return [_Instant(t_ns=time, caption=name) for time, name in zip(times, names, strict=True)]
    found = [
        _Instant(t_ns=question.ask_ns, caption="shown: asked"),
        _Instant(t_ns=question.answer_ns, caption="shown: answered"),
    ]
    for name, work in _speakers(place).items():
        said = judgements(place.item, work).get(reason.id)
        if said and said.has_ask and said.ask_ns is not None:
            found.append(_Instant(t_ns=said.ask_ns, caption=f"{name}: asked"))
        if said and said.has_answer and said.answer_ns is not None:
            found.append(_Instant(t_ns=said.answer_ns, caption=f"{name}: answered"))
    return found


def _chosen(instants: Sequence[Sequence[_Instant]], most: int) -> list[list[_Instant]]:
    """At most so many pictures, shared by the points in turn, the worst first; one time is one picture."""
    kept: list[list[_Instant]] = [[] for _ in instants]
    times: set[tuple[int, int]] = set()
    for layer in zip_longest(*instants):
        for at, one in enumerate(layer):
            if one is not None and ((at, one.t_ns) in times or len(times) < most):
                times.add((at, one.t_ns))
                kept[at].append(one)
    return kept


def _within(span: Span, window: Span) -> Span:
    start = min(max(span.start_ns, window.start_ns), window.end_ns)
    return Span(start_ns=start, end_ns=min(max(span.end_ns, start), window.end_ns))


def clipped(text: str, letters: int) -> str:
    """People's text, and how much was left out of it where it is long."""
    if len(text) <= letters:
        return text
    # What a cut leaves open would turn the words after it.
    return f"{isolated(text[:letters])}… and {len(text) - letters:,} more characters"
