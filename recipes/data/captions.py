"""Stage 1: what an event looked like, asked right after it; many questions beside one stretch of video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.topics import sentence
from recipes.data.corpus import Material
from recipes.data.example import Example
from recipes.data.footage import Footage, Stretch
from recipes.data.script import Desk, Line, Script, borders_of
from recipes.settings import AlignConfig

SOURCE = "captions"
QUESTION = "What has just happened?"
NOT_TOLD = frozenset({"video_start"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What somebody says about a span of a video, and when it can be known."""

    start_ns: int
    known_ns: int
    text: str


def captions(material: Material, settings: AlignConfig, desk: Desk) -> list[Example]:
    """The examples of a video: one for each stretch of `settings.window_s` in which something is told."""
    footage = material.footage
    told = told_of(material)

    def make(stretch: Stretch) -> list[Script]:
        lines = _lines(footage, stretch, told, desk)
        if not lines:
            return []
        return [
            Script(
                key=f"{SOURCE}/{footage.video.id}/{stretch.learn}",
                source=SOURCE,
                footage=footage,
                stretch=stretch,
                lines=tuple(lines),
                borders=borders_of(material.events),
            )
        ]

    stretches = footage.stretches(round(settings.window_s * NS_PER_S))
    return [example for stretch in stretches for example in desk.written(make, stretch)]


def told_of(material: Material) -> list[Told]:
    """Captions of events, and those of annotations that no event repeats, by the time at which they are known."""
    found = {
        (event.start_ns, sentence(event.caption)): Told(
            start_ns=event.start_ns, known_ns=max(event.known_from_ns, event.end_ns), text=sentence(event.caption)
        )
        for event in material.events
        if event.caption and event.label not in NOT_TOLD
    }
    texts = {text for _, text in found}
    for row in material.annotations:
        text = sentence(row.text)
        if row.kind == "caption" and row.text.strip() and text not in texts:
            found[row.start_ns, text] = Told(start_ns=row.start_ns, known_ns=max(row.end_ns, row.start_ns), text=text)
    return sorted(found.values(), key=lambda item: (item.known_ns, item.start_ns, item.text))


def _lines(footage: Footage, stretch: Stretch, told: Sequence[Told], desk: Desk) -> list[Line]:
    """One question after each grid in which something became known."""
    lines = []
    before = footage.grids[stretch.learn - 1].t1_ns if stretch.learn else -1
    for grid in footage.grids[stretch.learn : stretch.stop]:
        new = [item for item in told if before < item.known_ns <= grid.t1_ns]
        before = grid.t1_ns
        whole = [item for item in new if footage.covers(stretch, item.start_ns, at_ns=grid.t1_ns)]
        for item in new:
            if item not in whole:
                desk.left.out(SOURCE, "evidence is not shown", f"{footage.video.id}/{item.known_ns}")
        # To say one of two things that have just happened would be as right as to say the other.
        if whole and len(whole) == len(new):
            lines.append(
                Line(
                    t_ns=grid.t1_ns,
                    task="caption",
                    question=QUESTION,
                    text=" ".join(item.text for item in whole),
                    aside=True,
                    evidence_ns=max(item.known_ns for item in whole),
                    window_end_ns=None,
                )
            )
    return lines
