"""Stage 2, two ways: windows that slide over a video with earlier rounds as text, and one cache that is carried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from datasets_build.core.clock import NS_PER_S
from recipes.data.corpus import Material
from recipes.data.example import Example
from recipes.data.footage import Stretch
from recipes.data.questions import Instant, instants, learnable
from recipes.data.script import Desk, Line, Script, borders_of, in_order
from recipes.settings import StreamConfig

SLIDING = "sliding_window"
INCREMENTAL = "incremental"


def sliding_window(material: Material, settings: StreamConfig, desk: Desk) -> list[Example]:
    """Windows of `window_s` that share `overlap_s`, in which nothing is learned, with the last rounds before as text.

    Only questions that can be answered at once are asked here; `realtime` asks the others.
    """
    footage = material.footage
    asked = instants(material)

    def make(stretch: Stretch) -> list[Script]:
        learned = learnable(asked, material, stretch, source=SLIDING, left=desk.left)
        first = footage.grids[stretch.first]
        sink = _sink(asked, first.t0_ns, at_ns=first.t1_ns, rounds=settings.sink_rounds if stretch.first else 0)
        begin = footage.span(stretch)[0]
        heard = [item.line(aside=False, learn=False) for item in asked if first.t1_ns <= item.t_ns < begin]
        lines = [*sink, *in_order([*heard, *(item.line(aside=False) for item in learned)])]
        return [_script(material, SLIDING, stretch, lines)]

    stretches = footage.stretches(round(settings.window_s * NS_PER_S), overlap_ns=round(settings.overlap_s * NS_PER_S))
    return [example for stretch in stretches for example in desk.written(make, stretch)]


def incremental(material: Material, settings: StreamConfig, desk: Desk) -> list[Example]:
    """Stretches of `max_s` whose cache is carried over windows of `carry_s`, with questions as rounds that stay."""
    footage = material.footage
    asked = instants(material)

    def make(stretch: Stretch) -> list[Script]:
        learned = learnable(asked, material, stretch, source=INCREMENTAL, left=desk.left)
        lines = in_order(item.line(aside=False) for item in learned)
        return [
            replace(_script(material, INCREMENTAL, stretch, lines), carry_ns=max(1, round(settings.carry_s * NS_PER_S)))
        ]

    stretches = footage.stretches(round(settings.max_s * NS_PER_S))
    return [example for stretch in stretches for example in desk.written(make, stretch)]


def _script(material: Material, source: str, stretch: Stretch, lines: Sequence[Line]) -> Script:
    return Script(
        key=f"{source}/{material.footage.video.id}/{stretch.learn}",
        source=source,
        footage=material.footage,
        stretch=stretch,
        lines=tuple(lines),
        borders=borders_of(material.events),
    )


def _sink(asked: Sequence[Instant], before_ns: int, *, at_ns: int, rounds: int) -> list[Line]:
    """The last rounds before an instant, written down behind the first grid, where no frame sees them."""
    earlier = [item for item in asked if item.t_ns < before_ns]
    kept = earlier[-rounds:] if rounds else []
    return [replace(item.line(aside=False, learn=False), t_ns=at_ns) for item in kept]
