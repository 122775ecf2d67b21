"""What a viewer of some frames of a drawn world sees: worked out from the world alone, never through a map.

The definitions are those of `datasets_build.sources.world_truth`, read as its first sentence says: a fact holds at a
frame when a viewer who has seen the frames up to it can tell. A viewer sees what is in the frames, and of what lies
between two of them only what stays: an actor that is elsewhere, of another colour, in another scene.
"""

import random
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from datasets_build.builders.events import EventsConfig, events_of
from datasets_build.core.clock import FrameClock
from datasets_build.core.perceived import Shot
from datasets_build.core.records import Event
from datasets_build.sources.lesson_script import LABELS, write_lesson
from datasets_build.sources.world import VFR_PACES, VFR_TIME_BASE
from datasets_build.sources.world_draw import scene_at
from datasets_build.sources.world_script import Script, write_script
from datasets_build.sources.world_truth import facts, transitions
from tests.builders.made import MS, Scene, said, shots_at, video_of

LATE_NS = 200 * MS
"""What is over at once has not been seen in a frame that comes later than this."""
EVENTS = EventsConfig(signals=False)
STYLES = ("world", "lesson")


@dataclass(frozen=True)
class World:
    """A drawn video without its pixels: its script, its clock, and what the builders make of its sidecar."""

    name: str
    script: Script = field(repr=False)
    clock: FrameClock = field(repr=False)
    made: Scene = field(repr=False)
    events: list[Event] = field(repr=False)


def clock_at(rng, seconds):
    """Steady or uneven frames, as the drawer has them; few of them, that tests are fast."""
    if rng.random() < 0.6:
        rate = rng.choice([Fraction(25), Fraction(12), Fraction(24_000, 1001)])
        return FrameClock.from_pts(range(int(seconds * rate)), time_base=1 / rate, last_duration=1)
    ticks = [0]
    while ticks[-1] < seconds / VFR_TIME_BASE - max(VFR_PACES):
        ticks.append(ticks[-1] + rng.choice(VFR_PACES))
    return FrameClock.from_pts(ticks, time_base=VFR_TIME_BASE, last_duration=20)


@lru_cache(maxsize=64)
def world(style, number, seconds=16):
    """One of the worlds of a style."""
    rng = random.Random(f"{style} {number}")
    write = write_script if style == "world" else write_lesson
    script = write(rng, width=160, height=128, seconds=seconds)
    return staged(script, clock_at(rng, seconds), f"{style}-{number}", style=style)


def staged(script, clock, name, *, style):
    """A script as a world, with what the builders make of what its drawer tells."""
    video = video_of(name, clock)
    told = [f for f in facts(script, clock) if style == "world" or f.label in LABELS]
    rows = [said(video, f.start_ns, f.end_ns, f.text, label=f.label, subject=f.subject, origin=style) for f in told]
    joins = transitions(script, clock)
    made = Scene(video, clock, _shots(video, clock, joins), [], rows)
    return World(video.id, script, clock, made, events_of(video, clock, made.shots, [], rows, EVENTS).events)


def _shots(video, clock, joins) -> list[Shot]:
    """Shots that begin with cuts and in the middle of fades, whose spans are the drawer's."""
    middle = {(join.start_frame + join.end_frame) // 2: join for join in joins}
    kinds = ["fade_through" if join.kind == "fade" else "cut" for join in joins]
    spans = {at: (join.start_frame, join.end_frame) for at, join in middle.items()}
    return shots_at(video, clock, list(middle), kinds, spans)


class Shown(NamedTuple):
    """A frame that is shown: in which piece, of which world, which of its frames, and when."""

    piece: int
    world: World
    frame: int
    at: Fraction

    @property
    def t_ns(self):
        return self.world.clock.time_of(self.frame)


class Seen(NamedTuple):
    """What a viewer sees happen: from the frame `start` of the film to before `end`; the same for an instant."""

    label: str
    subject: str | None
    start: int
    end: int


@dataclass(frozen=True)
class Film:
    """Frames in the order in which they are shown, and when the last one leaves the screen."""

    frames: tuple[Shown, ...]
    end: Fraction

    @classmethod
    def of(cls, world):
        times = world.clock.t_ns.tolist()
        return cls(tuple(Shown(0, world, k, Fraction(t)) for k, t in enumerate(times)), Fraction(world.clock.end_ns))

    def time(self, index):
        return self.frames[index].at if index < len(self.frames) else self.end

    def timed(self, change):
        return Film(tuple(f._replace(at=change(f.at)) for f in self.frames), change(self.end))

    def speed(self, borders, factors):
        """`factors` hold from the frames `borders` on."""

        def change(t):
            at, stops = Fraction(0), [*(self.time(k) for k in borders[1:]), self.end]
            for begin, stop, factor in zip((self.time(k) for k in borders), stops, factors, strict=True):
                at += (min(max(t, begin), stop) - begin) / factor
            return at

        return self.timed(change)

    def skip(self, kept):
        first = {k for k in range(len(self.frames)) if not k or self.frames[k].piece != self.frames[k - 1].piece}
        return Film(tuple(f for k, f in enumerate(self.frames) if k in kept or k in first), self.end)

    def crop(self, first, stop):
        begin = self.time(first)
        return Film(tuple(f._replace(at=f.at - begin) for f in self.frames[first:stop]), self.time(stop) - begin)

    def freeze(self, frame, longer):
        return Film(
            tuple(f._replace(at=f.at + longer * (k > frame)) for k, f in enumerate(self.frames)), self.end + longer
        )

    def then(self, other):
        pieces = max(f.piece for f in self.frames) + 1
        later = (f._replace(piece=f.piece + pieces, at=f.at + self.end) for f in other.frames)
        return Film((*self.frames, *later), self.end + other.end)


def seen_in(film, style):
    """All that a viewer sees happen, without the seams between pieces."""
    found = []
    pieces = sorted({f.piece for f in film.frames})
    for piece in pieces:
        strip = [(k, f) for k, f in enumerate(film.frames) if f.piece == piece]
        viewer = Viewer(strip, stop=strip[-1][0] + 1)
        acts = [seen for scene in viewer.world.script.scenes for seen in viewer.scene(scene)]
        found += [seen for seen in acts if style == "world" or seen.label in LABELS]
        found += viewer.joins()
    return sorted(found, key=str)


class Viewer:
    """Looks at the frames of one piece; `strip` has each with its place in the film, `stop` is the place behind."""

    def __init__(self, strip, stop):
        self.strip, self.stop, self.world = strip, stop, strip[0][1].world
        self.clock, self.script = self.world.clock, self.world.script

    def after(self, t_ns):
        """The first frame at or after an instant of the world: its place in the strip."""
        return next((n for n, (_, f) in enumerate(self.strip) if f.t_ns >= t_ns), len(self.strip))

    def place(self, n):
        return self.strip[n][0] if n < len(self.strip) else self.stop

    def source_frames(self, scene):
        return [t for t in self.clock.t_ns.tolist() if scene_at(self.script, t) is scene]

    def scene(self, scene):
        for actor in scene.actors:
            for leg in actor.legs:
                yield from self.leg(scene, actor, leg)
            for change in actor.recolours:
                yield from self.recolour(scene, actor, change)
        for hit in scene.collisions:
            yield from self.collision(scene, hit)

    def leg(self, scene, actor, leg):
        """Which frames show the actor under way: elsewhere than the world's frame before has it."""
        times, name = self.source_frames(scene), f"{actor.colour_at(leg.start_ns)} {actor.kind}"
        visible = {t: scene.visible(actor, actor.place(t)) for t in times}
        before = dict(zip(times[1:], times, strict=False))
        moving = [
            t
            for t in times[1:]
            if visible[t] and leg.start_ns < t and before[t] < leg.end_ns and actor.place(t) != actor.place(before[t])
        ]
        shown = [n for n, (_, f) in enumerate(self.strip) if f.t_ns in set(moving)]
        if not shown:
            return
        gone = not scene.visible(actor, leg.end)
        # Its last step is over at a frame; that it rests is seen when a frame behind shows it there once more.
        end = shown[-1] + 1 if gone else self.after(moving[-1]) + 1
        yield Seen("move", name, self.place(shown[0]), self.place(end))
        crossing = [n for n in shown if not scene.inside(actor, actor.place(self.strip[n][1].t_ns))]
        if not scene.visible(actor, leg.start) and crossing:
            yield Seen("enter", name, self.place(crossing[0]), self.place(crossing[-1] + 1))
        if gone and crossing:
            yield Seen("leave", name, self.place(crossing[0]), self.place(crossing[-1] + 1))
        if not gone and end < len(self.strip) and self.rests(scene, actor, moving[-1], self.strip[end][1].t_ns):
            yield Seen("stop", name, self.place(end), self.place(end))

    def rests(self, scene, actor, since, t_ns):
        """Whether an actor is at an instant as it was when it came to rest, and has been since."""
        times = [t for t in self.source_frames(scene) if since <= t <= t_ns]
        same = len({(actor.place(t), actor.colour_at(t)) for t in times}) == 1
        return same and scene_at(self.script, t_ns) is scene

    def recolour(self, scene, actor, change):
        new = self.after(change.at_ns)
        if not 0 < new < len(self.strip):
            return
        first, last = self.strip[new - 1][1].t_ns, self.strip[new][1].t_ns
        if self.is_dark(first, last) or any(scene_at(self.script, t) is not scene for t in (first, last)):
            return
        always = [t for t in self.source_frames(scene) if first <= t <= last]
        if all(scene.visible(actor, actor.place(t)) for t in always):
            others = [c for c in actor.recolours if first < self.clock.snap_up(c.at_ns) <= last]
            if others == [change]:
                name = f"{actor.colour_at(change.at_ns - 1)} {actor.kind}"
                yield Seen("change_colour", name, self.place(new), self.place(new))

    def is_dark(self, *times_ns):
        """Whether a scene is still dark or dark already: too little is seen of it to tell what was before."""
        joins = transitions(self.script, self.clock)
        return any(join.start_ns <= t_ns < join.end_ns for join in joins for t_ns in times_ns)

    def collision(self, scene, hit):
        times = self.source_frames(scene)
        touch = next(k for k in range(len(times)) if times[k] >= hit.at_ns)
        while scene.touching(hit, times[touch - 1]):
            touch -= 1
        n = self.after(times[touch])
        if not 0 < n < len(self.strip):
            return
        before, t_ns = self.strip[n - 1][1].t_ns, self.strip[n][1].t_ns
        if self.is_dark(before, t_ns):
            return
        if t_ns - times[touch] <= LATE_NS and scene_at(self.script, before) is scene_at(self.script, t_ns) is scene:
            assert scene.touching(hit, t_ns), "two that collide stay in touch for longer"
            names = [f"{a.colour_at(hit.at_ns)} {a.kind}" for a in (scene.actors[hit.first], scene.actors[hit.second])]
            yield Seen("collide", " and ".join(names), self.place(n), self.place(n))

    def joins(self):
        """Changes of scene: of several between two frames a viewer sees one, and a fade only in its dark frames."""
        best = {}
        for join in transitions(self.script, self.clock):
            dark = [n for n, (_, f) in enumerate(self.strip) if join.start_ns <= f.t_ns < join.end_ns]
            there = self.after(join.end_ns)
            if dark:
                seen = Seen("fade", None, self.place(dark[0]), self.place(dark[-1] + 1))
            elif 0 < there < len(self.strip):
                seen = Seen("shot_start", None, self.place(there), self.place(there))
            else:
                continue
            other = best.get(there)
            best[there] = seen if other is None or seen.start < other.start else other
        return best.values()
