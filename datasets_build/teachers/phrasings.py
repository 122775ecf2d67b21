"""Many sentences from few lines: alternatives in brackets, and parts that several lines share.

`[Tell|Show] me [|, please]` is four sentences; brackets may stand inside brackets, and an empty alternative leaves its
words out. `<ask>` stands for each of the alternatives of the part `ask`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

_MARKS = re.compile(r"([\[\]|]|<[a-z_]+>)")


def expanded(lines: Sequence[str], parts: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The sentences of each of some lines, in their order.

    Raises:
        ValueError: brackets do not match, a part is unknown or contains itself, or a sentence stands there twice.
    """
    found = tuple(tuple(_line(line, parts, ())) for line in lines)
    counts = Counter(text for texts in found for text in texts)
    twice = [text for text, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} stands there twice")
    return found


def _line(line: str, parts: Mapping[str, Sequence[str]], inside: tuple[str, ...]) -> list[str]:
    marks = [mark for mark in _MARKS.split(line) if mark]
    texts, end = _choice(marks, 0, parts, inside)
    if end < len(marks):
        raise ValueError(f"{line!r}: {marks[end]!r} without its '['")
    return texts


def _choice(
    marks: Sequence[str], at: int, parts: Mapping[str, Sequence[str]], inside: tuple[str, ...]
) -> tuple[list[str], int]:
    """The texts of alternatives from a mark on, up to the mark that ends them; at the top there is only one."""
    done: list[str] = []
    row: list[Sequence[str]] = []
    while at < len(marks) and marks[at] != "]":
        if marks[at] == "[":
            texts, at = _choice(marks, at + 1, parts, inside)
            if at == len(marks):
                raise ValueError(f"{''.join(marks)!r}: '[' without its ']'")
            row.append(texts)
        elif marks[at] == "|":
            done += _joined(row)
            row = []
        else:
            row.append(_part(marks[at], parts, inside))
        at += 1
    return [*done, *_joined(row)], at


def _joined(row: Sequence[Sequence[str]]) -> list[str]:
    return ["".join(pieces) for pieces in product(*row)]


def _part(mark: str, parts: Mapping[str, Sequence[str]], inside: tuple[str, ...]) -> Sequence[str]:
    if not mark.startswith("<"):
        return [mark]
    name = mark[1:-1]
    if name not in parts or name in inside:
        raise ValueError(f"{mark} {'contains itself' if name in inside else 'is no part'}")
    return [text for line in parts[name] for text in _line(line, parts, (*inside, name))]
