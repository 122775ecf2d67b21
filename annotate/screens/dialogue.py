"""The screen for dialogues: the turns beside the video and in step with it, and a block to judge each.

Label Studio sorts the turns of its transcript and counts those that it shows, so nothing is asked of the transcript:
it is there to be read and to seek in the video. The blocks are of their own list, in the order of the sheet. Of a text
only one that differs counts, and only under `fix`.
"""

from __future__ import annotations

from collections.abc import Sequence

from annotate.screens.blocks import Block, Blocks
from annotate.screens.regions import Reading, Task, data_of, moment, render
from annotate.tasks import Item, Said, Timing, TurnVerdict, Window, Work
from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.records import Json

TIMINGS: dict[str, Timing] = {"too early": "too_early", "too late": "too_late"}
BLOCKS = Blocks(about="turn", types={"verdict": "choices", "text": "textarea", "timing": "choices"})
# A turn that starts at exactly zero would be put behind all others in the transcript.
_LEAST_NS = 1_000_000


def config() -> str:
    """The labelling configuration, the same for all dialogues."""
    return render("dialogue")


def encode(item: Item, *, video: str | None = None) -> Task:
    """What the server gets: the transcript, the turns as blocks, and their texts filled in. No verdict is chosen.

    Raises:
        ScreenError: no turn, or two of one id.
    """
    turns = item.sheet.turns
    result = BLOCKS.filled(item, turns, lambda turn: {"text": {"text": [turn.text]}} if turn.text.strip() else {})
    blocks: list[Json] = [{"id": turn.id, "text": _words(item.window, place, turn)} for place, turn in enumerate(turns)]
    lines: list[Json] = [_line(item.window, place, turn) for place, turn in enumerate(turns)]
    return Task(data={**data_of(item, video), "turns": blocks, "transcript": lines}, result=result)


def _words(window: Window, place: int, turn: Said) -> str:
    return f"{place + 1}. {turn.role}, {moment(window, turn.start_ns)}\n{turn.text}"


def _line(window: Window, place: int, turn: Said) -> Json:
    """A turn of the transcript; times are seconds of the proxy, at least a millisecond long."""
    start, end = (
        window.time_map.apply(min(max(t_ns, window.start_ns), window.end_ns)) for t_ns in (turn.start_ns, turn.end_ns)
    )
    start = max(start, _LEAST_NS)
    return {
        "role": f"{place + 1}. {turn.role}",
        "text": turn.text,
        "start": start / NS_PER_S,
        "end": max(end, start + _LEAST_NS) / NS_PER_S,
    }


def read(result: Sequence[Json], item: Item, *, is_finished: bool = True) -> tuple[list[TurnVerdict], bool, Reading]:
    """The turns that have a verdict, whether the clip can be judged, and the reading with its flaws."""
    return BLOCKS.read(result, item.sheet.turns, _judged, is_finished=is_finished)


def _judged(block: Block, turn: Said) -> TurnVerdict | None:
    reading, before = block.reading, len(block.reading.flaws)
    verdict = block.verdict()
    late = reading.choice(block.field("timing"), TIMINGS)
    text = reading.text(block.field("text")) if block.is_open(verdict) else None
    text = None if text == turn.text.strip() else text
    if verdict is None:
        return None
    if verdict == "fix" and len(reading.flaws) == before and text is None and late is None:
        reading.flaw("unchanged", block.where, "fix without a change", "another text or a complaint")
    return TurnVerdict(id=turn.id, verdict=verdict, text=text, timing=TIMINGS[late] if late else None)


def decode(result: Sequence[Json], item: Item, clock: FrameClock) -> Work:  # noqa: ARG001 - every screen has a clock
    """What a person said of the turns, in the order of the sheet; of a clip that cannot be judged nothing else counts.

    Raises:
        ScreenError: the result has a flaw (`annotate.validate` finds all of them).
    """
    verdicts, is_usable, reading = read(result, item)
    reading.check()
    return Work(kind="dialogue", turns=tuple(verdicts), usable=is_usable)
