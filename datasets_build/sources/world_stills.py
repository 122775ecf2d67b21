"""Single drawn pictures with sentences about them: coloured shapes that stand before a quiet background.

A still is drawn by the same code as the frames of a drawn video, but its shapes may stand anywhere and be alike, so
that number and place can be told: "two red circles and a white star", "a red circle above a blue star".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import Literal, get_args

from datasets_build.core.clock import NS_PER_S
from datasets_build.sources.world_draw import Picture, draw_frame
from datasets_build.sources.world_script import BACKDROPS, PATTERNS, Actor, Backdrop, Scene, Script
from datasets_build.sources.world_shapes import COLOURS, OUTLINES

Relation = Literal["to the left of", "to the right of", "above", "below"]
OPPOSITE: dict[Relation, Relation] = {
    "to the left of": "to the right of",
    "to the right of": "to the left of",
    "above": "below",
    "below": "above",
}
NUMBERS = {2: "two", 3: "three", 4: "four"}
SIZES = ((320, 240), (320, 180), (240, 240))
_HOW_MANY = ((0, 1, 2, 3, 4), (4, 28, 36, 22, 10))
_RADII = (0.1, 0.18)  # of the picture's height
_APART = 0.12  # of the picture's side: nearer than that, no side is told
_TRIES = 40
_EMPTY = ("Nothing but the background.", "There are no shapes.", "An empty picture.")
_LISTS = ("{all}.", "A picture of {all}.", "The picture shows {all}.")
_PLACED = ("{one} {where} {other}.", "There is {one} {where} {other}.", "A picture of {one} {where} {other}.")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that names every shape of a picture (`names`, sorted), and how two of them stand, if it says so."""

    text: str
    names: tuple[str, ...]
    placed: tuple[str, Relation, str] | None = None


@dataclass(frozen=True, slots=True)
class Still:
    """A picture before it is drawn: its script, the names of its shapes (sorted), and what stands where."""

    script: Script
    names: tuple[str, ...]
    relations: frozenset[tuple[str, Relation, str]]

    def draw(self) -> Picture:
        """The picture: RGB `(height, width, 3) uint8`."""
        return draw_frame(self.script, 0)

    def fits(self, sentence: Sentence) -> bool:
        """Whether a sentence is true of the picture."""
        return sentence.names == self.names and (sentence.placed is None or sentence.placed in self.relations)


def write_still(rng: Random, colours: Sequence[str] = tuple(COLOURS)) -> Still:
    """Invent a picture of shapes in some of the colours; everything in it follows from `rng`."""
    width, height = rng.choice(SIZES)
    actors: list[Actor] = []
    (count,) = rng.choices(*_HOW_MANY)
    for _ in range(count):
        actor = place(rng, actors, colours=colours, width=width, height=height)
        if actor is not None:
            actors.append(actor)
    backdrop = Backdrop(rng.choice(BACKDROPS), rng.choice(PATTERNS), rng.getrandbits(32))
    return still_of(tuple(actors), backdrop, width=width, height=height)


def still_of(actors: tuple[Actor, ...], backdrop: Backdrop, *, width: int, height: int) -> Still:
    """The still in which these actors stand; an actor's `home` is its x, its `lane` its y, in pixels."""
    scene = Scene(start_ns=0, end_ns=NS_PER_S, axis="x", length=width, backdrop=backdrop, actors=actors, collisions=())
    script = Script(width=width, height=height, end_ns=NS_PER_S, scenes=(scene,), joins=())
    names = tuple(sorted(f"{actor.colour} {actor.kind}" for actor in actors))
    return Still(script, names, _relations(actors, width, height))


def place(rng: Random, others: Sequence[Actor], *, colours: Sequence[str], width: int, height: int) -> Actor | None:
    """A shape that stands clear of the others; None where there is no room. Now and then like one that is there."""
    kind, colour = rng.choice(sorted(OUTLINES)), rng.choice(sorted(colours))
    if others and rng.random() < 0.3:
        kind, colour = others[-1].kind, others[-1].colour
    radius = round(height * rng.uniform(*_RADII), 1)
    for _ in range(_TRIES):
        # Up to half of a shape may lie outside the picture, as of one that comes in.
        x, y = rng.uniform(0.3 * radius, width - 0.3 * radius), rng.uniform(0.3 * radius, height - 0.3 * radius)
        if all((x - one.home) ** 2 + (y - one.lane) ** 2 > (1.1 * (radius + one.radius)) ** 2 for one in others):
            return Actor(kind=kind, colour=colour, radius=radius, lane=y, home=x, legs=(), recolours=())
    return None


def _relations(actors: Sequence[Actor], width: int, height: int) -> frozenset[tuple[str, Relation, str]]:
    """How each two shapes of different names stand, along the axis on which they are further apart."""
    found: set[tuple[str, Relation, str]] = set()
    for one, other in permutations(actors, 2):
        x, y = (one.home - other.home) / width, (one.lane - other.lane) / height
        names = f"{one.colour} {one.kind}", f"{other.colour} {other.kind}"
        if names[0] == names[1] or max(abs(x), abs(y)) < _APART:
            continue
        across: Relation = "to the left of" if x < 0 else "to the right of"
        upright: Relation = "above" if y < 0 else "below"
        found.add((names[0], across if abs(x) > abs(y) else upright, names[1]))
    return frozenset(found)


def tell(still: Still, rng: Random) -> Sentence:
    """A sentence that is true of a still, in one of several phrasings; of two shapes, half the time how they stand."""
    if len(still.names) == 2 and still.relations and rng.random() < 0.5:
        return told_place(rng.choice(sorted(still.relations)), rng)
    return told_names(still.names, rng)


def told_names(names: tuple[str, ...], rng: Random) -> Sentence:
    """A sentence that says which shapes there are (`names`, sorted), in any order."""
    if not names:
        return Sentence(rng.choice(_EMPTY), names)
    count = Counter(names)
    order = sorted(count)
    rng.shuffle(order)
    text = rng.choice(_LISTS).format(all=_listed([_counted(name, count[name]) for name in order]))
    return Sentence(text[0].upper() + text[1:], names)


def told_place(placed: tuple[str, Relation, str], rng: Random) -> Sentence:
    """A sentence that says how the only two shapes stand."""
    one, where, other = placed
    text = rng.choice(_PLACED).format(one=_counted(one, 1), where=where, other=_counted(other, 1))
    return Sentence(text[0].upper() + text[1:], tuple(sorted((one, other))), placed)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _counted(name: str, count: int) -> str:
    if count == 1:
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    return f"{NUMBERS[count]} {name}{'es' if name.endswith('s') else 's'}"


def vocabulary() -> tuple[str, ...]:
    """Every word and mark of every sentence, in lower case, sorted."""
    shapes = {word for kind in OUTLINES for word in (kind, kind + ("es" if kind.endswith("s") else "s"))}
    text = " ".join((*_EMPTY, *_LISTS, *_PLACED, *get_args(Relation), *NUMBERS.values(), "an and ,"))
    words = re.findall(r"[a-z]+|[.,]", re.sub(r"{\w+}", " ", text).lower())
    return tuple(sorted({*words, *shapes, *COLOURS}))
