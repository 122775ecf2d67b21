"""Stage 1: what the picture shows now, asked after every grid at which the answer is still true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from datasets_build.core.clock import NS_PER_S
from recipes.data.corpus import Material
from recipes.data.example import Example
from recipes.data.footage import Footage, Stretch
from recipes.data.questions import Instant, instants, learnable
from recipes.data.script import Desk, Line, Script, borders_of, in_order

SOURCE = "moments"


def moments(material: Material, window_s: float, desk: Desk) -> list[Example]:
    """The examples of a video: one for each grid in which evidence begins, as long as answers hold, `window_s` at most.

    Questions of mode `realtime` alone: what is true of now stays true until a stated instant, so one record teaches
    every grid until then.
    """
    footage = material.footage
    lasting = {row.id for row in material.questions if row.mode == "realtime" and row.answers[0].valid_until_ns}
    groups: dict[int, list[Instant]] = {}
    for item in instants(material):
        if item.key in lasting and item.evidence:
            start_ns = min(part.start_ns for part in item.evidence)
            groups.setdefault(max(0, footage.begun_at(start_ns + 1) - 1), []).append(item)
    examples: list[Example] = []
    for first, asked in groups.items():
        stretch = _stretch(footage, first, asked, round(window_s * NS_PER_S))
        end_ns = 0 if stretch is None else footage.span(stretch)[1]
        for item in asked:
            if item.t_ns >= end_ns:
                desk.left.out(SOURCE, "evidence is too long ago for the window", item.key)
        if stretch is None:
            continue

        def make(stretch: Stretch, asked: Sequence[Instant] = asked) -> list[Script]:
            lines = _lines(footage, stretch, learnable(asked, material, stretch, source=SOURCE, left=desk.left))
            if not lines:
                return []
            return [
                Script(
                    key=f"{SOURCE}/{footage.video.id}/{stretch.first}",
                    source=SOURCE,
                    footage=footage,
                    stretch=stretch,
                    lines=in_order(lines),
                    borders=borders_of(material.events),
                )
            ]

        examples += desk.written(make, stretch)
    return examples


def _stretch(footage: Footage, first: int, asked: Sequence[Instant], length_ns: int) -> Stretch | None:
    """The grids from the one that shows the evidence's begin; None where there is none."""
    start_ns = min(part.start_ns for item in asked for part in item.evidence)
    until = min(max(item.until_ns for item in asked), start_ns + length_ns)
    stop = footage.known_at(until - 1)
    return Stretch(first=first, learn=first, stop=stop) if stop > first else None


def _lines(footage: Footage, stretch: Stretch, asked: Sequence[Instant]) -> list[Line]:
    """Each question once after each grid, from the time of its record on, for as long as its answer holds."""
    lines: dict[tuple[str, int], Line] = {}
    for item in asked:
        line = item.line(aside=True)
        for grid in footage.grids[stretch.first : stretch.stop]:
            if item.t_ns <= grid.t1_ns < item.until_ns:
                name = f"{item.key}/{grid.t1_ns}"
                again = replace(line, t_ns=grid.t1_ns, name=name, window_end_ns=max(item.window_end_ns, grid.t1_ns + 1))
                lines.setdefault((item.question, grid.t1_ns), again)
    return list(lines.values())
