"""What each kind of work looks like on a screen: configuration, what is sent, what comes back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from annotate.screens import dialogue, events, qa
from annotate.screens.regions import Flaw, Task
from annotate.tasks import Item, Kind, Work
from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """One kind's functions; see the module of each for what they do.

    `flaws(result, item, labels, is_finished)` finds what is wrong with a result.
    """

    config: Callable[[Sequence[str]], str]
    encode: Callable[[Item, str | None], Task]
    decode: Callable[[Sequence[Json], Item, FrameClock], Work]
    flaws: Callable[[Sequence[Json], Item, Collection[str], bool], list[Flaw]]


def _events_flaws(result: Sequence[Json], item: Item, labels: Collection[str], _: bool) -> list[Flaw]:
    return events.read(result, item, labels)[2].flaws


def _qa_flaws(result: Sequence[Json], item: Item, _: Collection[str], is_finished: bool) -> list[Flaw]:
    return qa.read(result, item, is_finished=is_finished)[2].flaws


def _dialogue_flaws(result: Sequence[Json], item: Item, _: Collection[str], is_finished: bool) -> list[Flaw]:
    return dialogue.read(result, item, is_finished=is_finished)[2].flaws


SCREENS: dict[Kind, Screen] = {
    "events": Screen(
        config=events.config,
        encode=lambda item, video: events.encode(item, video=video),
        decode=events.decode,
        flaws=_events_flaws,
    ),
    "qa": Screen(
        config=lambda _: qa.config(),
        encode=lambda item, video: qa.encode(item, video=video),
        decode=qa.decode,
        flaws=_qa_flaws,
    ),
    "dialogue": Screen(
        config=lambda _: dialogue.config(),
        encode=lambda item, video: dialogue.encode(item, video=video),
        decode=dialogue.decode,
        flaws=_dialogue_flaws,
    ),
}


def config(kind: Kind, labels: Sequence[str] = ()) -> str:
    """The labelling configuration of a kind; only events have labels. Raises ScreenError on labels that cannot be."""
    return SCREENS[kind].config(labels)


def encode(item: Item, *, video: str | None = None) -> Task:
    """What the server gets for an item; `video` says where the proxy is. Raises ScreenError where it cannot."""
    return SCREENS[item.sheet.kind].encode(item, video)


def decode(result: Sequence[Json], item: Item, clock: FrameClock) -> Work:
    """What a person did, on the source's clock. Raises ScreenError on a result with a flaw."""
    return SCREENS[item.sheet.kind].decode(result, item, clock)


def untouched(work: Work, item: Item) -> bool:
    """Whether somebody changed nothing and found nothing wrong: the events as they were, or all accepted unrated."""
    if not work.usable:
        return False
    if work.kind == "events":
        return work.marks == item.sheet.marks
    rated = any(verdict.quality for verdict in work.questions) or any(turn.timing for turn in work.turns)
    verdicts = [each.verdict for each in work.questions] + [each.verdict for each in work.turns]
    return not rated and all(verdict == "accept" for verdict in verdicts)
