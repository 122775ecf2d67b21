"""Stage 2, two ways: windows that slide over a video with earlier rounds as text, and one cache that is carried on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    Questions are dealt out over conversations of at most `rounds` that are learned, each of which shows the whole
    window. Only questions that can be answered at once are asked here; `realtime` asks the others.
    """
    footage = material.footage
    asked = instants(material)

    def make(stretch: Stretch) -> list[Script]:
        first, begin = footage.grids[stretch.first], footage.span(stretch)[0]
        learned = learnable(asked, material, stretch, source=SLIDING, left=desk.left)
        scripts = []
        for number, (one, learns) in enumerate(_dealt(asked, learned, settings.rounds)):
            # Behind a gap a window may have nothing to share: what is asked of its first frame alone has no past.
            past = stretch.first > 0 and all(item.t_ns >= first.t1_ns for item in learns)
            sink = _sink(one, first.t0_ns, at_ns=first.t1_ns, rounds=settings.sink_rounds if past else 0)
            heard = [item.line(aside=False, learn=False) for item in one if first.t1_ns <= item.t_ns < begin]
            lines = [*sink, *in_order([*heard, *(item.line(aside=False) for item in learns)])]
            scripts.append(_script(material, SLIDING, stretch, number=number, lines=lines))
        return scripts

    stretches = footage.stretches(round(settings.window_s * NS_PER_S), overlap_ns=round(settings.overlap_s * NS_PER_S))
    return [example for stretch in stretches for example in desk.written(make, stretch)]


def incremental(material: Material, settings: StreamConfig, desk: Desk) -> list[Example]:
    """Stretches of `max_s` whose cache is carried over windows of `carry_s`, with questions as rounds that stay.

    Questions are dealt out as in a sliding window.
    """
    footage = material.footage
    asked = instants(material)

    def make(stretch: Stretch) -> list[Script]:
        learned = learnable(asked, material, stretch, source=INCREMENTAL, left=desk.left)
        carry_ns = max(1, round(settings.carry_s * NS_PER_S))
        scripts = []
        for number, (_, learns) in enumerate(_dealt(asked, learned, settings.rounds)):
            lines = in_order(item.line(aside=False) for item in learns)
            script = _script(material, INCREMENTAL, stretch, number=number, lines=lines)
            scripts.append(replace(script, carry_ns=carry_ns))
        return scripts

    stretches = footage.stretches(round(settings.max_s * NS_PER_S))
    return [example for stretch in stretches for example in desk.written(make, stretch)]


def _dealt(
    asked: Sequence[Instant], learned: Sequence[Instant], most: int
) -> Iterator[tuple[list[Instant], list[Instant]]]:
    """Deals questions out over conversations of at most `most` that are learned: all of each, and those learned."""
    count = max(1, -(-len(learned) // most))
    places = {item.key: place % count for place, item in enumerate(learned)}
    # Those that are not learned here are an earlier part of one of the conversations.
    earlier = [item for item in asked if item.key not in places]
    places |= {item.key: place % count for place, item in enumerate(earlier)}
    for number in range(count):
        yield (
            [item for item in asked if places[item.key] == number],
            [item for item in learned if places[item.key] == number],
        )


def _script(material: Material, source: str, stretch: Stretch, *, number: int, lines: Sequence[Line]) -> Script:
    return Script(
        key=f"{source}/{material.footage.video.id}/{stretch.learn}/{number}",
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
