"""Lessons: the simplest drawn videos, from which a small model learns from nothing what it means to watch.

One big shape at a time on a plain backdrop, so that a picture of 56 x 56 pixels still tells it: it enters, rests, may
change colour, may leave; hard cuts join the scenes. Two happenings are more than a second apart, so that two frames a
second show each. How long shapes rest and how often they leave or change differs from video to video: the time that has
passed tells little of how much has happened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from datasets_build.core.clock import NS_PER_S
from datasets_build.sources.world_script import MS, Actor, Backdrop, Join, Leg, Recolour, Scene, Script
from datasets_build.sources.world_shapes import Axis, Rgb, reach
from datasets_build.sources.world_truth import Label

KINDS = ("circle", "square", "triangle", "cross")
COLOURS = ("red", "green", "blue", "yellow")
BACKDROPS: tuple[Rgb, ...] = ((34, 34, 40), (88, 88, 96), (176, 178, 184), (238, 238, 234))
LABELS: frozenset[Label] = frozenset({"enter", "leave", "change_colour"})
"""What is told of a lesson; its shapes move only to enter and to leave."""
# From lively to slow videos, in ms.
_RESTS = ((1300, 1450), (1300, 1800), (1500, 4000))
_GAPS = ((1100, 1250), (1100, 3000))
REST_NS = _RESTS[0][0] * MS
"""At least this long a shape rests after each thing that it does."""
EMPTY_NS = _GAPS[0][0] * MS
"""At least this long nothing is in the picture, at its beginning and between two shapes; and a last scene lasts."""
SHORTEST_S = 8
_CONTRAST = 250  # of neighbouring backdrops, over the sum of their channels: more than any change of colour


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manner:
    """What goes for a whole video: rests and times without a shape in ms, how often shapes leave, change, go on."""

    rests: tuple[int, int]
    gaps: tuple[int, int]
    leaves: float
    recolours: float
    uncut: float


@dataclass(frozen=True, slots=True)
class _Visit:
    """A shape's part: from `free_ns` on something else may happen."""

    actor: Actor
    free_ns: int
    has_left: bool


@dataclass(frozen=True, slots=True)
class _Pen:
    """Who writes: everything random, and the instant by which everything is over."""

    rng: Random
    manner: _Manner
    until_ns: int

    def between(self, low_ns: int, high_ns: int) -> int:
        return low_ns + self.rng.randrange(0, max(1, (high_ns - low_ns) // MS)) * MS

    def rest(self) -> int:
        return self.between(*(ms * MS for ms in self.manner.rests))

    def gap(self) -> int:
        return self.between(*(ms * MS for ms in self.manner.gaps))

    def way(self) -> int:
        """How long a shape takes to come in or to go out."""
        return self.between(850 * MS, 1050 * MS)

    def fits(self, end_ns: int) -> bool:
        return end_ns + REST_NS <= self.until_ns


def _visit(pen: _Pen, scene: Scene, across: int, now: int) -> _Visit | None:
    """A shape comes in and does what there is time for; None when there is none."""
    rng, end_ns = pen.rng, now + pen.way()
    if not pen.fits(end_ns):
        return None
    kind, colour = rng.choice(KINDS), rng.choice(COLOURS)
    radius = round(min(scene.length, across) * rng.uniform(0.27, 0.33), 1)
    before, after = reach(kind, radius, scene.axis)
    sides = (-after - 3, scene.length + before + 3)
    home, at = rng.choice(sides), scene.length * rng.uniform(0.46, 0.54)
    legs, recolours, free_ns = [Leg(now, end_ns, home, at)], [], end_ns + pen.rest()
    if rng.random() < pen.manner.recolours and pen.fits(free_ns):
        recolours.append(Recolour(free_ns, rng.choice([other for other in COLOURS if other != colour])))
        free_ns += pen.rest()
    end_ns = free_ns + pen.way()
    has_left = rng.random() < pen.manner.leaves and pen.fits(end_ns)
    if has_left:
        legs.append(Leg(free_ns, end_ns, at, rng.choice(sides)))
        free_ns = end_ns + pen.gap()
    actor = Actor(
        kind=kind,
        colour=colour,
        radius=radius,
        lane=across * rng.uniform(0.46, 0.54),
        home=home,
        legs=tuple(legs),
        recolours=tuple(recolours),
    )
    return _Visit(actor, free_ns, has_left)


def _stage(rng: Random, start_ns: int, *, size: tuple[int, int], before: Backdrop | None) -> Scene:
    """An empty scene without an end, on a backdrop that differs clearly in brightness from the one before."""
    far = [c for c in BACKDROPS if before is None or abs(sum(c) - sum(before.colour)) >= _CONTRAST]
    axis: Axis = rng.choice(("x", "y"))
    return Scene(
        start_ns=start_ns,
        end_ns=start_ns,
        axis=axis,
        length=size[0] if axis == "x" else size[1],
        backdrop=Backdrop(rng.choice(far), "plain", rng.getrandbits(32)),
        actors=(),
        collisions=(),
    )


def _scene(pen: _Pen, stage: Scene, across: int) -> tuple[Scene, bool]:
    """Fill a scene with shapes, one after the other, up to its cut; False for the last one, which lasts to the end."""
    actors: list[Actor] = []
    now = stage.start_ns + pen.gap()
    while (visit := _visit(pen, stage, across, now)) is not None:
        actors.append(visit.actor)
        now = visit.free_ns
        if not visit.has_left or pen.rng.random() >= pen.manner.uncut:
            break
    goes_on = bool(actors) and pen.fits(now)
    return replace(stage, actors=tuple(actors), end_ns=now), goes_on


def write_lesson(rng: Random, *, width: int, height: int, seconds: int) -> Script:
    """Invent a lesson of `width` x `height` pixels and so many seconds (`SHORTEST_S` or more), all of it from `rng`."""
    end_ns = seconds * NS_PER_S
    manner = _Manner(
        rests=rng.choice(_RESTS),
        gaps=rng.choice(_GAPS),
        leaves=rng.choice((0.1, 0.4, 0.9)),
        recolours=rng.choice((0.05, 0.3, 0.8)),
        uncut=rng.choice((0.2, 0.8)),
    )
    pen = _Pen(rng, manner, end_ns)
    scenes: list[Scene] = []
    goes_on = True
    while goes_on:
        start_ns, before = (scenes[-1].end_ns, scenes[-1].backdrop) if scenes else (0, None)
        stage = _stage(rng, start_ns, size=(width, height), before=before)
        across = height if stage.axis == "x" else width
        scene, goes_on = _scene(pen, stage, across)
        scenes.append(scene)
    scenes[-1] = replace(scenes[-1], end_ns=end_ns)
    joins = tuple(Join("cut", scene.end_ns) for scene in scenes[:-1])
    return Script(width=width, height=height, end_ns=end_ns, scenes=tuple(scenes), joins=joins)
