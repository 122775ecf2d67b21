"""How a dataset is distributed, as small tables: pure counting over records, each walked once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from datasets_build.core.dataset import SPLITS
from datasets_build.core.records import DecisionRun, Dialogue, Event, Split, StreamingQA, Video
from datasets_build.core.tenths import BINS, bin_of, first_reply

STATES: tuple[str, ...] = get_args(DecisionRun.model_fields["state"].annotation)
OPTION_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table: its cells, and the shares (each 0..1) that its bar stacks."""

    cells: tuple[str | int, ...]
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A small table with a bar behind every row; `legend` names the bar's parts when it has several.

    A table that could not be counted yet has no lines and says why in `about`.
    """

    title: str
    about: str
    columns: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    legend: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameView:
    """How many rows a per-frame view of the events has in each split."""

    name: str
    rows: Mapping[Split, int]


@dataclass(slots=True)
class QuestionCounts:
    """What one walk over the questions counts."""

    tasks: Counter[tuple[str, str, Split]] = field(default_factory=Counter)
    answerable: Counter[tuple[str, bool]] = field(default_factory=Counter)
    correct: Counter[int] = field(default_factory=Counter)
    asked: Counter[int] = field(default_factory=Counter)
    splits: Counter[Split] = field(default_factory=Counter)


@dataclass(slots=True)
class EventCounts:
    """What one walk over the events counts."""

    labels: Counter[tuple[str, str, Split]] = field(default_factory=Counter)
    instants: Counter[tuple[str, str]] = field(default_factory=Counter)
    length_ns: Counter[tuple[str, str]] = field(default_factory=Counter)
    splits: Counter[Split] = field(default_factory=Counter)


@dataclass(slots=True)
class DialogueCounts:
    """What one walk over the dialogues counts; `first` holds bins of the first reply, None where nobody replies."""

    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: Counter[int | None] = field(default_factory=Counter)
    turns: Counter[tuple[str, str]] = field(default_factory=Counter)
    interrupted: Counter[tuple[str, str]] = field(default_factory=Counter)
    splits: Counter[Split] = field(default_factory=Counter)


def count_questions(
    rows: Iterable[tuple[Split, StreamingQA]], durations: Mapping[str, int]
) -> tuple[QuestionCounts, list[Table]]:
    """Count questions and lay them out; `durations` maps a video's id to its length in ns."""
    counts = QuestionCounts()
    for split, row in rows:
        counts.splits[split] += 1
        counts.tasks[row.task, row.mode, split] += 1
        counts.answerable[row.mode, not row.unanswerable] += 1
        counts.asked[bin_of(row.ask_ns, 0, durations.get(row.video_id, 0))] += 1
        if row.correct_option is not None:
            counts.correct[row.correct_option] += 1
    return counts, list(_question_tables(counts))


def _question_tables(counts: QuestionCounts) -> Iterator[Table]:
    kinds = sorted({(task, mode) for task, mode, _ in counts.tasks})
    lines = [(kind, [counts.tasks[(*kind, split)] for split in SPLITS]) for kind in kinds]
    about = "How many questions of each kind every split holds."
    yield Table("Questions by task and mode", about, ("task", "mode", *SPLITS, "all"), _bars(lines))
    yield _answerable_table(counts.answerable)
    yield Table(
        "When questions are asked",
        "Position of the question in its video. A lump at one end lets a model guess from the clock alone.",
        ("part of the video", "questions"),
        _histogram(counts.asked),
    )
    if counts.correct:
        options = [((_option(k),), [counts.correct[k]]) for k in sorted(counts.correct)]
        about = "Where the right option stands. Even rows leave nothing to guess from."
        yield Table("Right option", about, ("option", "questions"), _bars(options, with_sum=False))


def _option(index: int) -> str:
    return OPTION_NAMES[index] if 0 <= index < len(OPTION_NAMES) else str(index)


def _answerable_table(counts: Counter[tuple[str, bool]]) -> Table:
    lines = []
    for mode in [*sorted({mode for mode, _ in counts}), "all"]:
        yes, no = (
            sum(number for (name, flag), number in counts.items() if flag is wanted and mode in (name, "all"))
            for wanted in (True, False)
        )
        share = no / max(1, yes + no)
        lines.append(Line((mode, yes, no, percent(share)), (1 - share, share)))
    about = "Questions that nothing in the video answers; they teach to decline."
    columns = ("mode", "answerable", "unanswerable", "share")
    return Table("Unanswerable questions", about, columns, tuple(lines), ("answerable", "unanswerable"))


def count_events(rows: Iterable[Event], split_of: Mapping[str, Split]) -> tuple[EventCounts, list[Table]]:
    """Count events and lay them out; `split_of` maps a video's id to its split."""
    counts = EventCounts()
    for row in rows:
        key, split = (row.label_set, row.label), split_of[row.video_id]
        counts.splits[split] += 1
        counts.labels[(*key, split)] += 1
        counts.instants[key] += row.is_point
        counts.length_ns[key] += row.end_ns - row.start_ns
    return counts, [_event_table(counts)]


def _event_table(counts: EventCounts) -> Table:
    kinds = sorted({key[:2] for key in counts.labels})
    sets = sorted({label_set for label_set, _ in kinds})
    lines = []
    for label_set, label in kinds:
        numbers = [counts.labels[label_set, label, split] for split in SPLITS]
        spans = sum(numbers) - counts.instants[label_set, label]
        mean = f"{counts.length_ns[label_set, label] / spans / 1e9:.1f} s" if spans else "instant"
        names = (label, mean) if len(sets) < 2 else (label, label_set, mean)
        lines.append((names, numbers))
    about = "Every label with its mean length; instants have none." + (
        f" Label set: {sets[0]}." if len(sets) == 1 else ""
    )
    columns = ("label", "mean", *SPLITS, "all") if len(sets) < 2 else ("label", "label set", "mean", *SPLITS, "all")
    return Table("Events by label", about, columns, _bars(lines))


def count_dialogues(rows: Iterable[tuple[Split, Dialogue]]) -> tuple[DialogueCounts, list[Table]]:
    """Count dialogues, their turns and their decisions, and lay them out."""
    counts = DialogueCounts()
    for split, row in rows:
        counts.splits[split] += 1
        counts.first[first_reply(row)] += 1
        for track in row.decisions:
            for run in track.runs:
                counts.states[track.grid, run.state] += run.steps
        for turn in row.turns:
            key = (turn.role, turn.trigger or "none")
            counts.turns[key] += 1
            counts.interrupted[key] += turn.truncated_at_char is not None
    return counts, list(_dialogue_tables(counts))


def _dialogue_tables(counts: DialogueCounts) -> Iterator[Table]:
    lines = []
    for grid in sorted({grid for grid, _ in counts.states}):
        steps = [counts.states[grid, state] for state in STATES]
        total = max(1, sum(steps))
        lines.append(Line((grid, *steps, ratio(steps[:3])), tuple(number / total for number in steps)))
    yield Table(
        "Silence, standby, respond",
        "Steps of every stated grid by what the assistant does, and the ratio silence : standby : respond.",
        ("grid", *STATES, "ratio"),
        tuple(lines),
        STATES,
    )
    bins = Counter({k: n for k, n in counts.first.items() if k is not None})
    about = f"Position of the assistant's first reply in its dialogue. Dialogues without one: {counts.first[None]:,}."
    yield Table("First reply", about, ("part of the dialogue", "dialogues"), _histogram(bins))
    most = max(counts.turns.values(), default=1)
    turns = tuple(
        Line((*key, counts.turns[key], counts.interrupted[key]), (counts.turns[key] / most,))
        for key in sorted(counts.turns)
    )
    about = "Who speaks, what made them speak, and how many of the turns were cut short."
    yield Table("Turns", about, ("role", "trigger", "turns", "cut short"), turns)


def video_table(videos: Sequence[Video], more: Mapping[str, Counter[Split] | None]) -> Table:
    """Videos, hours and what was made of them, per split; None for a column whose stage has not been run."""
    lines = []
    for split in SPLITS:
        inside = [video for video in videos if video.split == split]
        cells: list[str | int] = [split, len(inside), hours(sum(video.duration_ns for video in inside))]
        cells += ["–" if column is None else column[split] for column in more.values()]
        lines.append(Line(tuple(cells), (len(inside) / max(1, len(videos)),)))
    about = "Splits go by source video; no video is in two."
    return Table("Splits", about, ("split", "videos", "length", *more), tuple(lines))


def view_table(views: Sequence[FrameView]) -> Table:
    """Frames of every per-frame view, per split."""
    rows = [((view.name,), [view.rows.get(split, 0) for split in SPLITS]) for view in views]
    return Table("Per-frame views", "Frames of every view of the events.", ("view", *SPLITS, "all"), _bars(rows))


def _bars(rows: Sequence[tuple[tuple[str, ...], Sequence[int]]], *, with_sum: bool = True) -> tuple[Line, ...]:
    most = max([sum(numbers) for _, numbers in rows], default=0) or 1
    return tuple(
        Line((*names, *numbers, *([sum(numbers)] if with_sum else [])), (sum(numbers) / most,))
        for names, numbers in rows
    )


def _histogram(bins: Mapping[int, int]) -> tuple[Line, ...]:
    most = max(bins.values(), default=0) or 1
    width = 100 // BINS
    return tuple(
        Line((f"{k * width}–{(k + 1) * width} %", bins.get(k, 0)), (bins.get(k, 0) / most,)) for k in range(BINS)
    )


def percent(share: float) -> str:
    """A share for people: `12.3 %`."""
    return f"{100 * share:.1f} %"


def ratio(numbers: Sequence[int]) -> str:
    """Numbers against the last one: `12.5 : 0.4 : 1`; plain counts when the last one is zero."""
    if not numbers or numbers[-1] == 0:
        return " : ".join(f"{number:,}" for number in numbers)
    return " : ".join([*(f"{number / numbers[-1]:.1f}" for number in numbers[:-1]), "1"])


def hours(length_ns: int) -> str:
    """A length of video for people: `12.34 h`, `5.2 min` or `8.0 s`."""
    seconds = length_ns / 1e9
    if seconds >= 3600:
        return f"{seconds / 3600:,.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"
