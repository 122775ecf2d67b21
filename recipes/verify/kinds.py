"""Which examples are streamed: of each source one of every kind, since a fault may show in one kind alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from recipes.data.example import Example
from recipes.data.script import Script

# A long example is at most so many times as long as the shortest: a session goes through it one decision after the
# other, which takes time.
LONG = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An example and what it was chosen for."""

    example: Example
    kinds: tuple[str, ...]


def choose(examples: Iterable[Example], scripts: Mapping[str, Script]) -> list[Chosen]:
    """Of each source the shortest example, the shortest of each kind, and the longest of at most `LONG` times that.

    Args:
        examples: without their rivals.
        scripts: by the key of their example. One that shows other pictures than its own, or that nobody knows, cannot
            be streamed, and is chosen only where its source has no other.

    Returns:
        None twice; sources in the order of their shortest examples.
    """
    sources: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda example: example.tokens):
        sources.setdefault(example.source, []).append(example)
    found: list[Chosen] = []
    for mine in sources.values():
        told = [example for example in mine if example.key in scripts and not scripts[example.key].shown]
        found += _of_source(told, scripts) if told else [Chosen(example=mine[0], kinds=("shortest",))]
    return found


def _of_source(mine: list[Example], scripts: Mapping[str, Script]) -> list[Chosen]:
    """Args: mine: of one source, by rising length."""
    first: dict[str, Example] = {"shortest": mine[0]}
    for example in mine:
        for kind in kinds_of(scripts[example.key]):
            first.setdefault(kind, example)
    first["longest"] = [example for example in mine if example.tokens <= LONG * mine[0].tokens][-1]
    by_key: dict[str, list[str]] = {}
    for kind, example in first.items():
        by_key.setdefault(example.key, []).append(kind)
    known = {example.key: example for example in mine}
    return [Chosen(example=known[key], kinds=tuple(kinds)) for key, kinds in by_key.items()]


def kinds_of(script: Script) -> list[str]:
    """What is special about a script, in words."""
    lines = script.lines
    told = {
        "a decided reply cut short": any(not line.question and not line.ended for line in lines),
        "an answer cut short": any(line.question and not line.ended for line in lines),
        "a user who barges in": any(not one.ended and two.question for one, two in pairwise(lines)),
        "a frame without its partner": any(
            line.question and script.footage.waiting_at(line.t_ns) is not None for line in lines
        ),
    }
    return [kind for kind, there in told.items() if there]
