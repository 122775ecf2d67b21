"""The result of an evaluation: every figure beside its baselines, as JSON and as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from datasets_build.core.files import write_bytes
from recipes.errors import RecipeError
from recipes.evaluation.scores import Figure, VideoScores, all_decided, figures_of, interval
from recipes.evaluation.stability import Point

VERSION = 2
# Figures with an interval over videos.
MAIN = (
    "accuracy/all",
    "decisions/f1",
    "decisions/silence_accuracy",
    "decisions/utility",
    "stability/flip_rate",
    "events/micro_f1",
    "interaction/dialogue",
)
# What a clock without words can be compared on, and what the commonest answer can.
_WORDLESS = ("decisions/duplicate_rate", "decisions/utility", "decisions/at_once", "decisions/state")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What was evaluated.

    Attributes:
        package: folder of the model; `model_sha256` is over the names and hashes of its files.
        layout: of positions and visibility.
        split: of the data.
        videos, rejected: how many were scored, and how many could not be replayed.
        datasets: folder and fingerprint of each dataset.
        config: of the run, as JSON text.
    """

    package: str
    model_sha256: str
    layout: str
    split: str
    videos: int
    rejected: int
    datasets: Mapping[str, str]
    config: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The scores of all videos, one after the other, in front of the video and of what stands for it."""

    seen: Sequence[VideoScores]
    blind: Sequence[VideoScores]
    clock: Sequence[VideoScores]
    majority: Sequence[VideoScores]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that an evaluation found.

    Attributes:
        version: of this form.
        about: what was evaluated.
        figures: in the order of the report.
        delays_s: from evidence to response, of each that was in time, rising.
        served: the point that the model is served at, by its own probabilities.
        sweep: what thresholds on the probability of responding would bring about, from those probabilities.
    """

    version: int
    about: About
    figures: tuple[Figure, ...]
    delays_s: tuple[float, ...]
    served: Point
    sweep: tuple[Point, ...]

    def figure(self, name: str) -> Figure:
        """A figure by its name. Raises RecipeError where there is none."""
        for found in self.figures:
            if found.name == name:
                return found
        raise RecipeError(f"figure {name}: found none, expected one of {', '.join(f.name for f in self.figures)}")


_FORM = TypeAdapter(Evaluation)


def count_figures(scored: Scored, *, tious: Sequence[float], seed: int) -> tuple[Figure, ...]:
    """Every figure with what the baselines get, and intervals for the main ones."""
    figures = []
    for name, counted in figures_of(scored.seen, tious).items():
        value, n = counted(scored.seen)
        between = interval(scored.seen, counted, seed=seed) if name in MAIN else None
        timed = name.startswith("decisions/") and not name.startswith(_WORDLESS)
        figures.append(
            Figure(
                name=name,
                value=value,
                n=n,
                low=None if between is None else between[0],
                high=None if between is None else between[1],
                blind=counted(scored.blind)[0],
                clock=counted(scored.clock)[0] if timed else None,
                majority=counted(scored.majority)[0] if name.startswith(("accuracy/", "exact/")) else None,
            )
        )
    return tuple(figures)


def delays_s(scores: Sequence[VideoScores]) -> tuple[float, ...]:
    """All delays in seconds, rising."""
    return tuple(sorted(delay / 1e9 for delay in all_decided(scores).delays_ns))


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Writes a whole JSON file; the same evaluation gives the same bytes."""
    write_bytes(path, _FORM.dump_json(evaluation, indent=2) + b"\n")


def read_evaluation(path: Path) -> Evaluation:
    """Reads what `write_evaluation` wrote. Raises RecipeError where the file is none of its."""
    try:
        found = _FORM.validate_json(path.read_bytes())
    except (OSError, ValidationError, RecipeError) as error:
        told = " ".join(str(error).split())
        raise RecipeError(f"{path}: found no whole evaluation ({told}); evaluate again") from error
    if found.version != VERSION:
        raise RecipeError(f"{path}: version is {found.version}, expected {VERSION}; evaluate again")
    return found


def markdown(evaluation: Evaluation) -> str:
    """The report as Markdown: what was evaluated, and a table of all figures."""
    about = evaluation.about
    lines = [
        f"# Evaluation of {Path(about.package).name}",
        "",
        f"{about.videos} videos of split {about.split}, {about.rejected} left out; layout {about.layout}; "
        f"model {about.model_sha256[:12]}.",
        "",
        "Blind: the same model before another video, of the training split. Clock: responses timed by the clock alone, "
        "fitted on that split for each task and mode. Majority: the commonest answer to each question there. "
        "In brackets: 95 % interval over videos.",
        "",
        "| figure | value | n | blind | clock | majority |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for figure in evaluation.figures:
        between = "" if figure.low is None or figure.high is None else f" [{figure.low:.3f}, {figure.high:.3f}]"
        cells = [show(figure.value) + between, str(figure.n), *map(show, (figure.blind, figure.clock, figure.majority))]
        lines.append(f"| {figure.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def show(value: float | None) -> str:
    """A value with three decimals, or a dash."""
    return "–" if value is None else f"{value:.3f}"
