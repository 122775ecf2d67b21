"""What is true in a drawn world, on the frame grid: events with a sentence each, and the joins between scenes.

A fact holds at a frame when a viewer who has seen the frames up to it can tell. Spans are half-open, from the time of
the first frame at which the fact holds to the time of the first frame at which it no longer does; instants are the
time of the first frame that shows them.

- `move` (span): the actor shows and is elsewhere than one frame before; entering and leaving are moves too.
- `enter`, `leave` (span): the actor crosses the picture's border, so part of it shows and part does not.
- `stop` (instant): the first frame at which an actor that moved has not moved since the last frame, and shows.
- `collide` (instant): the first frame at which two actors touch. They stay in touch for several frames.
- `change_colour` (instant): the first frame in the new colour; the subject is named by the old one.

Nothing happens during a fade or at a cut, and an actor that stands in a new scene from its start does not "enter".

Boxes say where what shows is: whole pixels around every pixel that a shape touches, as shares of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Literal

from datasets_build.core.clock import FrameClock, Span
from datasets_build.core.records import Ns, Part
from datasets_build.sources.world_draw import FULL, brightness, scene_at
from datasets_build.sources.world_script import STEPS, Actor, Collision, Leg, Scene, Script
from datasets_build.sources.world_shapes import reach

Label = Literal["enter", "leave", "move", "stop", "collide", "change_colour"]
_SIDES = {"x": ("left", "right"), "y": ("top", "bottom")}
_WAYS = {"x": ("left", "right"), "y": ("up", "down")}
_EXITS = {"x": ("on the left", "on the right"), "y": ("at the top", "at the bottom")}


class WorldAnnotation(Part):
    """Something that happens in a drawn video, in one English sentence; an instant has `start_ns == end_ns`.

    `subject` is the actor, `red circle`, or both, `red circle and green star`. A box has no label; its text is
    `left top width height`, as shares of the picture's sides.
    """

    start_ns: Ns
    end_ns: Ns
    is_point: bool
    kind: Literal["caption", "box"] = "caption"
    label: Label | None
    subject: str
    text: str


class WorldTransition(Part):
    """A join of two scenes, from `start_frame` up to but without `end_frame`.

    A cut has `start_frame == end_frame`, the first frame of the new scene. A fade starts with the first frame that is
    darker than its scene and ends with the first that no longer is.
    """

    kind: Literal["cut", "fade"]
    start_frame: int
    end_frame: int
    start_ns: Ns
    end_ns: Ns


def _name(actor: Actor, t_ns: int) -> str:
    return f"{actor.colour_at(t_ns)} {actor.kind}"


def _fact(label: Label, subject: str, text: str, *, start_ns: int, end_ns: int | None = None) -> WorldAnnotation:
    """A span, or an instant when it has no end."""
    return WorldAnnotation(
        start_ns=start_ns,
        end_ns=start_ns if end_ns is None else end_ns,
        is_point=end_ns is None,
        label=label,
        subject=subject,
        text=text,
    )


def _moving(scene: Scene, actor: Actor, leg: Leg, clock: FrameClock) -> list[int]:
    """The frames at which an actor shows and is elsewhere than one frame before, because of one leg."""
    first = clock.frames_in(Span(start_ns=0, end_ns=leg.start_ns + 1)).stop
    last = clock.frames_in(Span(start_ns=0, end_ns=leg.end_ns)).stop
    places = [actor.place(clock.time_of(k)) for k in range(first - 1, last + 1)]
    pairs = enumerate(pairwise(places), start=first)
    return [k for k, (before, now) in pairs if before != now and scene.visible(actor, now)]


def _leg_facts(scene: Scene, actor: Actor, leg: Leg, clock: FrameClock) -> Iterator[WorldAnnotation]:
    frames = _moving(scene, actor, leg, clock)
    crossing = [k for k in frames if not scene.inside(actor, actor.place(clock.time_of(k)))]
    name, way = _name(actor, leg.start_ns), int(leg.end > leg.start)
    start_ns, end_ns = clock.time_of(frames[0]), clock.time_of(frames[-1] + 1)
    text = f"The {name} moves {_WAYS[scene.axis][way]}."
    yield _fact("move", name, text, start_ns=start_ns, end_ns=end_ns)
    if not scene.visible(actor, leg.start):
        text = f"The {name} enters from the {_SIDES[scene.axis][1 - way]}."
        yield _fact("enter", name, text, start_ns=start_ns, end_ns=clock.time_of(crossing[-1] + 1))
    if scene.visible(actor, leg.end):
        yield _fact("stop", name, f"The {name} stops.", start_ns=end_ns)
    else:
        text = f"The {name} leaves {_EXITS[scene.axis][way]}."
        yield _fact("leave", name, text, start_ns=clock.time_of(crossing[0]), end_ns=end_ns)


def _first_touch(scene: Scene, hit: Collision, clock: FrameClock) -> int:
    """The time of the first frame that shows two in touch; they may look so a moment before the planned instant."""
    frame = clock.frames_in(Span(start_ns=0, end_ns=hit.at_ns)).stop
    while scene.touching(hit, clock.time_of(frame - 1)):
        frame -= 1
    return clock.time_of(frame)


def _scene_facts(scene: Scene, clock: FrameClock) -> Iterator[WorldAnnotation]:
    for actor in scene.actors:
        for leg in actor.legs:
            yield from _leg_facts(scene, actor, leg, clock)
        for change in actor.recolours:
            old, at_ns = _name(actor, change.at_ns - 1), clock.snap_up(change.at_ns)
            yield _fact("change_colour", old, f"The {old} turns {change.colour}.", start_ns=at_ns)
    for hit in scene.collisions:
        one, other = (_name(scene.actors[k], hit.at_ns) for k in (hit.first, hit.second))
        text = f"The {one} and the {other} collide."
        yield _fact("collide", f"{one} and {other}", text, start_ns=_first_touch(scene, hit, clock))


def facts(script: Script, clock: FrameClock) -> tuple[WorldAnnotation, ...]:
    """Everything that happens, sorted by time."""
    found = [fact for scene in script.scenes for fact in _scene_facts(scene, clock)]
    return tuple(sorted(found, key=lambda fact: (fact.start_ns, fact.end_ns, str(fact.label), fact.subject)))


def boxes(script: Script, clock: FrameClock) -> tuple[WorldAnnotation, ...]:
    """Where every actor is, in as few rows as it takes, sorted by time; an actor is named by its colour of then."""
    times = clock.t_ns.tolist()
    found: list[WorldAnnotation] = []
    for scene in script.scenes:
        mine = [(k, t) for k, t in enumerate(times) if scene_at(script, t) is scene and brightness(script.joins, t)]
        for actor in scene.actors:
            shown = [(k, t) for k, t in mine if scene.visible(actor, actor.place(t))]
            # The places in one run of frames with one name and box all lie equally far behind their places in the list.
            told = [(k - n, _name(actor, t), _box(script, scene, actor, t), k) for n, (k, t) in enumerate(shown)]
            for (_, name, text), run in groupby(told, key=lambda each: each[:3]):
                frames = [k for *_, k in run]
                start_ns, end_ns = clock.time_of(frames[0]), clock.time_of(frames[-1] + 1)
                found.append(
                    WorldAnnotation(
                        start_ns=start_ns,
                        end_ns=end_ns,
                        is_point=False,
                        kind="box",
                        label=None,
                        subject=name,
                        text=text,
                    )
                )
    return tuple(sorted(found, key=lambda row: (row.start_ns, row.end_ns, row.subject)))


def _box(script: Script, scene: Scene, actor: Actor, t_ns: int) -> str:
    place = actor.place(t_ns)
    x, y = (place, actor.lane) if scene.axis == "x" else (actor.lane, place)
    shares: list[float] = []
    lengths: list[float] = []
    for axis, centre, pixels in (("x", x, script.width), ("y", y, script.height)):
        before, after = reach(actor.kind, actor.radius, axis)
        # Outlines are drawn in fractions of a pixel, so that a shape may touch this much more.
        low, high = math.floor(centre - before - 1 / STEPS), math.ceil(centre + after + 1 / STEPS)
        low, high = max(0, low), min(pixels, high)
        shares.append(low / pixels)
        lengths.append((high - low) / pixels)
    return " ".join(f"{round(value, 6):g}" for value in (*shares, *lengths))


def transitions(script: Script, clock: FrameClock) -> tuple[WorldTransition, ...]:
    """Every join between scenes, in order."""
    rows = []
    for join in script.joins:
        near = clock.frames_in(Span(start_ns=join.at_ns - join.half_ns, end_ns=join.at_ns + join.half_ns))
        dark = [k for k in near if brightness(script.joins, clock.time_of(k)) < FULL]
        first = clock.frames_in(Span(start_ns=0, end_ns=join.at_ns)).stop
        start, end = (dark[0], dark[-1] + 1) if dark else (first, first)
        rows.append(
            WorldTransition(
                kind=join.kind,
                start_frame=start,
                end_frame=end,
                start_ns=clock.time_of(start),
                end_ns=clock.time_of(end),
            )
        )
    return tuple(rows)
