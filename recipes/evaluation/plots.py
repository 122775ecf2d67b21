"""Pictures of an evaluation, drawn without a display."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from recipes.evaluation.report import Evaluation

NAMES = ("accuracy.png", "decisions.png", "delays.png", "flips.png")
INK, PALE, WARM, COOL = "#1b4965", "#b8c4cc", "#e07a5f", "#3d8c6f"


def draw(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draws all pictures.

    Args:
        evaluation: what they show.
        folder: where the files of `NAMES` go.

    Returns:
        Their paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = sum(figure.name.startswith("accuracy/") for figure in evaluation.figures)
    sizes = ((7.0, 1.2 + 0.42 * tasks), (6.0, 4.0), (6.0, 3.6), (6.0, 4.0))
    paths = []
    for name, size, how in zip(NAMES, sizes, (_accuracy, _decisions, _delays, _flips), strict=True):
        canvas = Canvas(figsize=size, layout="constrained", facecolor="white")
        FigureCanvasAgg(canvas)
        axes = canvas.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        how(axes, evaluation)
        # Without a date the same evaluation gives the same bytes.
        canvas.savefig(folder / name, dpi=130, metadata={"Software": None})
        paths.append(folder / name)
    return paths


def _accuracy(axes: Axes, evaluation: Evaluation) -> None:
    figures = [figure for figure in evaluation.figures if figure.name.startswith("accuracy/") and figure.n][::-1]
    for place, figure in enumerate(figures):
        axes.barh(place + 0.18, figure.value or 0.0, height=0.34, color=INK, label="model" if place == 0 else None)
        axes.barh(place - 0.18, figure.blind or 0.0, height=0.34, color=PALE, label="blind" if place == 0 else None)
        if figure.majority is not None:
            label = "commonest answer" if place == 0 else None
            axes.plot([figure.majority] * 2, [place - 0.38, place + 0.38], color=WARM, linewidth=2, label=label)
    names = [f"{figure.name.removeprefix('accuracy/')} ({figure.n})" for figure in figures]
    axes.set_yticks(range(len(figures)), names)
    axes.set_xlim(0, 1.01)
    axes.set_xlabel("share of right answers")
    axes.set_title("Answers by task")
    if figures:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12 - 0.6 / len(figures)), ncols=3, frameon=False)


def _decisions(axes: Axes, evaluation: Evaluation) -> None:
    points = evaluation.sweep
    thresholds = [0.0 if point.threshold is None else point.threshold for point in points]
    axes.plot(thresholds, [point.precision for point in points], color=INK, marker="o", markersize=3, label="precision")
    axes.plot(thresholds, [point.recall for point in points], color=WARM, marker="o", markersize=3, label="recall")
    served = evaluation.served
    axes.axhline(served.precision, color=INK, linewidth=1, linestyle=":", label="as served")
    axes.axhline(served.recall, color=WARM, linewidth=1, linestyle=":")
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("probability from which the model responds")
    axes.set_title("Responses in their windows")
    axes.legend(frameon=False)


def _delays(axes: Axes, evaluation: Evaluation) -> None:
    delays = evaluation.delays_s
    axes.set_xlabel("seconds from evidence to response")
    axes.set_ylabel("responses")
    axes.set_title(f"Delay of {len(delays)} responses in time")
    if not delays:
        axes.text(0.5, 0.5, "no response was in time", ha="center", va="center", transform=axes.transAxes)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    axes.hist(delays, bins=min(20, max(5, len(delays) // 4)), color=INK, edgecolor="white")
    middle = delays[len(delays) // 2] if len(delays) % 2 else sum(delays[len(delays) // 2 - 1 :][:2]) / 2
    axes.axvline(middle, color=WARM, linewidth=2, label=f"median {middle:.2f} s")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def _flips(axes: Axes, evaluation: Evaluation) -> None:
    points = evaluation.sweep
    axes.plot(
        [point.accuracy for point in points],
        [point.flip_rate for point in points],
        color=COOL,
        marker="o",
        markersize=4,
        label="by threshold",
    )
    served = evaluation.served
    axes.plot([served.accuracy], [served.flip_rate], color=WARM, marker="D", linestyle="", label="as served")
    axes.set_xlabel("share of grids with the right decision")
    axes.set_ylabel("off-boundary flips per pair of grids")
    axes.set_title("Steadiness")
    axes.set_ylim(bottom=min(0.0, -0.02 * max([served.flip_rate, *(point.flip_rate for point in points)])))
    axes.legend(frameon=False)
