"""The screen for dialogues: the turns beside the video and in step with it, and a block to judge each.

Label Studio sorts the turns of its transcript and counts those that it shows, so nothing is asked of the transcript:
it is there to be read and to seek in the video. The blocks are of their own list, in the order of the sheet, and their
controls are named after the place there (`verdict_0`). Of a text only one that differs counts, and only under `fix`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from annotate.screens.regions import (
    CLIP,
    Control,
    Reading,
    Region,
    ScreenError,
    Task,
    block_controls,
    data_of,
    moment,
    render,
    sent,
)
from annotate.tasks import Item, Said, Timing, TurnVerdict, Window, Work
from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.records import Json

TIMINGS: dict[str, Timing] = {"too early": "too_early", "too late": "too_late"}
_TYPES = {"verdict": "choices", "text": "textarea", "timing": "choices"}
# A turn that starts at exactly zero would be put behind all others in the transcript.
_LEAST_NS = 1_000_000


def config() -> str:
    """The labelling configuration, the same for all dialogues."""
    return render("dialogue")


def _controls(count: int) -> dict[str, Control]:
    return block_controls(_TYPES, "turn", count)


def encode(item: Item, *, video: str | None = None) -> Task:
    """What the server gets: the transcript, the turns as blocks, and their texts filled in. No verdict is chosen.

    Raises:
        ScreenError: no turn, or two of one id.
    """
    turns = item.sheet.turns
    if len({turn.id for turn in turns}) != len(turns) or not turns:
        raise ScreenError(f"item {item.key}: found {len(turns)} turns, expected one or more, each id once")
    controls = _controls(len(turns))
    blocks: list[Json] = [{"id": turn.id, "text": _words(item.window, place, turn)} for place, turn in enumerate(turns)]
    lines: list[Json] = [_line(item.window, place, turn) for place, turn in enumerate(turns)]
    result = [
        sent(controls[f"text_{place}"], f"{turn.id}-text", f"text_{place}", {"text": [turn.text]})
        for place, turn in enumerate(turns)
        if turn.text.strip()
    ]
    return Task(data={**data_of(item, video), "turns": blocks, "transcript": lines}, result=tuple(result))


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
    """The verdicts, whether the clip can be judged, and the reading with its flaws.

    A result that is not finished, as a prediction is, need not have verdicts.
    """
    turns = item.sheet.turns
    controls = _controls(len(turns))
    reading = Reading(result, controls)
    fields = reading.single(controls)
    if not reading.is_usable(fields.get(CLIP)):
        return [], False, reading
    blocks = (
        {field: fields[f"{field}_{place}"] for field in _TYPES if f"{field}_{place}" in fields}
        for place in range(len(turns))
    )
    judged = [_judged(reading, block, turn, is_finished) for block, turn in zip(blocks, turns, strict=True)]
    return [each for each in judged if each], True, reading


def _judged(reading: Reading, block: Mapping[str, Region], turn: Said, is_finished: bool) -> TurnVerdict | None:
    before = len(reading.flaws)
    verdict = reading.verdict(block.get("verdict"), f"turn {turn.id}", is_finished=is_finished)
    late = reading.choice(block.get("timing"), TIMINGS)
    if verdict is None:
        return None
    text: str | None = None
    if verdict == "fix":
        text = reading.text(block.get("text"))
        text = None if text == turn.text.strip() else text
        if len(reading.flaws) == before and text is None and late is None:
            reading.flaw("unchanged", f"turn {turn.id}", "fix without a change", "another text or a complaint")
    return TurnVerdict(id=turn.id, verdict=verdict, text=text, timing=TIMINGS[late] if late else None)


def decode(result: Sequence[Json], item: Item, clock: FrameClock) -> Work:  # noqa: ARG001 - every screen has a clock
    """What a person said of the turns, in the order of the sheet; of a clip that cannot be judged nothing else counts.

    Raises:
        ScreenError: the result has a flaw (`annotate.validate` finds all of them).
    """
    verdicts, is_usable, reading = read(result, item)
    reading.check()
    return Work(kind="dialogue", turns=tuple(verdicts), usable=is_usable)
