"""The report of `score-shots`: two files in, a row per video and a total out, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.files import DataError
from datasets_build.core.records import Json
from datasets_build.perception.score_shots import RULES, FilmScore, RuleName, Tally
from datasets_build.perception.transitions import Film, Mark, read_films

_HEAD = ("video", "cuts", "hit", "false", "P", "R", "F1", "gradual", "hit", "false", "R", "all F1")


@dataclass(frozen=True, slots=True)
class Report:
    """Scores under one rule: per video in the order of the truth, and what a person should know of both files.

    `missing` are videos without a prediction, which count as all missed; `skipped` are left out.
    """

    rule: RuleName
    videos: Mapping[str, FilmScore]
    missing: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def total(self) -> FilmScore:
        """The sum of the counts of all videos; its shares are those of the sum."""
        return sum(self.videos.values(), FilmScore())

    def lines(self) -> list[str]:
        """The table, then what was left out or not read."""
        rows = [_HEAD, *(_row(video, score) for video, score in self.videos.items())]
        rows.append(_row(f"total of {len(self.videos)}", self.total))
        widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
        table = [_aligned(row, widths) for row in rows]
        told = list(self.notes)
        if self.missing:
            told.insert(0, f"{len(self.missing)} videos have no prediction, all missed: {', '.join(self.missing)}")
        if self.total.ignored:
            told.append(f"{self.total.ignored} predictions at minor or uncertain places count neither way")
        rule = "-" * len(table[0])
        skipped = f", without {', '.join(self.skipped)}" if self.skipped else ""
        return [f"rule {self.rule}{skipped}", *table[:1], rule, *table[1:-1], rule, table[-1], *told]

    def as_json(self) -> dict[str, Json]:
        """The same for a program: shares as fractions or null, missed and false transitions as [first, last]."""
        return {
            "rule": self.rule,
            "skipped": list(self.skipped),
            "missing": list(self.missing),
            "notes": list(self.notes),
            "total": _counts(self.total),
            "videos": {
                video: {
                    **_counts(score),
                    "missed_cuts": [mark.after for mark in score.missed if mark.is_cut],
                    "missed_gradual": _spans(score.missed, cuts=False),
                    "false_cuts": [mark.after for mark in score.false_alarms if mark.is_cut],
                    "false_gradual": _spans(score.false_alarms, cuts=False),
                }
                for video, score in self.videos.items()
            },
        }


def score_files(truth: Path, predictions: Path, rule: RuleName, *, skip: Sequence[str] = ()) -> Report:
    """Score a file of predictions against a file of truth.

    Raises DataError when a file cannot be read, a predicted video has no truth, or a video to skip is unknown.
    """
    true, found = read_films(truth), read_films(predictions)
    for video in skip:
        if video not in true.films:
            raise DataError(f"{truth}: no video {video!r}, which --skip names; expected one of {_named(true.films)}")
    for video in found.films:
        if video not in true.films:
            raise DataError(f"{predictions}: {video!r} has no truth; expected videos of {truth}: {_named(true.films)}")
    scored = [video for video in true.films if video not in skip]
    if not scored:
        raise DataError(f"{truth}: no video is left to score")
    score = RULES[rule]
    notes = [*true.notes, *found.notes]
    for video in scored:
        frames, marks = true.films[video].frames, found.films.get(video, Film()).marks
        late = [mark.first for mark in marks if frames is not None and mark.first >= frames]
        if late:
            notes.append(
                f"{predictions}: {video!r}: {len(late)} predictions lie past its {frames} frames, from {late[0]} on"
            )
    return Report(
        rule=rule,
        videos={video: score(true.films[video], found.films.get(video, Film())) for video in scored},
        missing=tuple(video for video in scored if video not in found.films),
        skipped=tuple(dict.fromkeys(skip)),
        notes=tuple(notes),
    )


def _named(films: Mapping[str, Film]) -> str:
    names = [repr(name) for name in films]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _row(video: str, score: FilmScore) -> tuple[str, ...]:
    cuts, gradual = score.cuts, score.gradual
    return (
        video,
        *(str(count) for count in (cuts.true, cuts.hits, cuts.false_alarms)),
        *(_share(share) for share in (cuts.precision, cuts.recall, cuts.f1)),
        *(str(count) for count in (gradual.true, gradual.hits, gradual.false_alarms)),
        _share(gradual.recall),
        _share(score.together.f1),
    )


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(row, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)])


def _counts(score: FilmScore) -> dict[str, Json]:
    return {
        "cuts": _tally(score.cuts),
        "gradual": _tally(score.gradual),
        "together": _tally(score.together),
        "ignored": score.ignored,
    }


def _tally(tally: Tally) -> dict[str, Json]:
    return {
        "true": tally.true,
        "hits": tally.hits,
        "missed": tally.true - tally.hits,
        "predicted": tally.predicted,
        "false_alarms": tally.false_alarms,
        "precision": tally.precision,
        "recall": tally.recall,
        "f1": tally.f1,
    }


def _spans(marks: Sequence[Mark], *, cuts: bool) -> list[Json]:
    return [[mark.first, mark.last] for mark in marks if mark.is_cut == cuts]
