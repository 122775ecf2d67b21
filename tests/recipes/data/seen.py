"""What a learned reply of an example can really see, by the mask of the derived context."""

from dataclasses import dataclass

from models.blocks import NOT_LEARNED, Kind, derive
from models.masks import visible
from recipes.data.example import Example, Said


@dataclass(frozen=True)
class View:
    """A thing said with the frames that the rows which predict it can see."""

    said: Said
    frames_ns: tuple[int, ...]
    newest_ns: int


def views(example: Example, how) -> list[View]:
    """For each thing said, the times of all frames that any row predicting it can see."""
    context = derive(example.blocks, how.layout, clock=how.clock)
    mask = visible(context)
    times, at = [], 0
    shown = {grid.key: grid for grid in example.grids}
    for block in context.blocks:
        if block.kind is Kind.FRAMES:
            grid = shown[block.feature]
            # What a block claims to show is what it shows when: its own span, not the name of a picture.
            times.append((at, (block.t0_ns, block.grids[0].t_ns, grid.t1_ns)))
        at += len(block.token_ids)
    learned = (context.labels != NOT_LEARNED).nonzero()[:, 0].tolist()
    runs: list[list[int]] = []
    for place in learned:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    assert len(runs) == len(example.said)
    found = []
    for said, run in zip(example.said, runs, strict=True):
        rows = mask[[place - 1 for place in run]]
        frames = sorted({t_ns for first, span in times if bool(rows[:, first].any()) for t_ns in span})
        found.append(View(said=said, frames_ns=tuple(frames), newest_ns=max(frames, default=-1)))
    return found


def faults(example: Example, how, footage, evidence) -> list[str]:
    """What is wrong with an example, in words.

    Args:
        example: one document.
        how: its format.
        footage: its video.
        evidence: for a thing said, the spans that prove it; None where it needs no proof.
    """
    wrong = []
    for view in views(example, how):
        said = view.said
        if view.newest_ns > said.t_ns:
            wrong.append(f"{said.task} at {said.t_ns} sees a frame of {view.newest_ns}")
        for start_ns, end_ns in evidence(said) or ():
            needed = {t_ns for t_ns in footage.times if start_ns <= t_ns <= min(end_ns, said.t_ns)}
            if not needed <= set(view.frames_ns):
                wrong.append(f"{said.task} at {said.t_ns} does not see {sorted(needed - set(view.frames_ns))}")
            if view.newest_ns < start_ns:
                wrong.append(f"{said.task} at {said.t_ns} has seen nothing since {start_ns}")
        words = said.text and said.state != "silence"
        if words and said.evidence_ns is not None and said.evidence_ns > said.t_ns:
            wrong.append(f"{said.task} at {said.t_ns} says what is known at {said.evidence_ns}")
    return wrong
