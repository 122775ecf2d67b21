"""What happens in a drawn world: scenes, actors and their moves, written before anything is drawn.

A script knows no frames. Every actor keeps to a straight lane along the scene's axis, so that its place is one number;
lanes never overlap, and two actors share a lane only to collide in it. Nothing happens near a scene's ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from datasets_build.core.clock import NS_PER_S
from datasets_build.sources.world_shapes import COLOURS, OUTLINES, Axis, Rgb, contact_distance, reach

STEPS = 4  # a shape moves in quarters of a pixel, each of which shows: what moves in truth moves in the picture
LANES = 3
CAST = 4
MS = NS_PER_S // 1000
SCENE_NS = 7 * NS_PER_S
QUIET_NS = 400 * MS  # nothing happens this close to a scene's ends
REST_NS = 350 * MS  # at least this long between two moves: longer than any frame stays on screen
PATTERNS = ("plain", "blotches", "stripes", "tiles")
BACKDROPS: tuple[Rgb, ...] = (
    (66, 76, 92),
    (206, 197, 174),
    (146, 162, 142),
    (44, 44, 50),
    (184, 194, 206),
    (142, 112, 98),
    (98, 86, 112),
    (226, 222, 214),
)


@dataclass(frozen=True, slots=True)
class Leg:
    """A straight move at constant speed from `start` to `end` (pixels along the lane) during `[start_ns, end_ns)`."""

    start_ns: int
    end_ns: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Recolour:
    """From `at_ns` on the actor has another colour."""

    at_ns: int
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A shape in a scene: centre `lane` pixels across, `home` pixels along the axis until its first leg."""

    kind: str
    colour: str
    radius: float
    lane: float
    home: float
    legs: tuple[Leg, ...]
    recolours: tuple[Recolour, ...]

    def place(self, t_ns: int) -> float:
        """Where the centre is at an instant, in pixels along the axis: a multiple of `1 / STEPS`."""
        place = self.home
        for leg in self.legs:
            if t_ns <= leg.start_ns:
                break
            done = min(1.0, (t_ns - leg.start_ns) / (leg.end_ns - leg.start_ns))
            place = leg.start + (leg.end - leg.start) * done
        return round(place * STEPS) / STEPS

    def colour_at(self, t_ns: int) -> str:
        """The colour's name at an instant."""
        return next((change.colour for change in reversed(self.recolours) if change.at_ns <= t_ns), self.colour)


@dataclass(frozen=True, slots=True)
class Collision:
    """Two actors (places in the scene's cast) touch at `at_ns` and stay in touch for at least `REST_NS`."""

    at_ns: int
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A still, muted background; `grain` seeds its texture."""

    colour: Rgb
    pattern: str
    grain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What happens during `[start_ns, end_ns)`; `length` is the picture's extent along `axis` in pixels."""

    start_ns: int
    end_ns: int
    axis: Axis
    length: int
    backdrop: Backdrop
    actors: tuple[Actor, ...]
    collisions: tuple[Collision, ...]

    def visible(self, actor: Actor, place: float) -> bool:
        """Whether the actor reaches at least a pixel into the picture; otherwise nothing of it is drawn."""
        before, after = reach(actor.kind, actor.radius, self.axis)
        return place + after >= 1 and place - before <= self.length - 1

    def touching(self, hit: Collision, t_ns: int) -> bool:
        """Whether the two of a collision are in touch at an instant."""
        low, high = sorted((self.actors[k] for k in (hit.first, hit.second)), key=lambda actor: actor.place(t_ns))
        touch = contact_distance((low.kind, low.radius), (high.kind, high.radius), self.axis)
        return high.place(t_ns) - low.place(t_ns) <= touch

    def inside(self, actor: Actor, place: float) -> bool:
        """Whether the whole actor is in the picture."""
        before, after = reach(actor.kind, actor.radius, self.axis)
        return place - before >= 0 and place + after <= self.length


@dataclass(frozen=True, slots=True)
class Join:
    """How two scenes meet at `at_ns`: a hard cut, or a fade to black and up again, `half_ns` on each side."""

    kind: Literal["cut", "fade"]
    at_ns: int
    half_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A whole video: its scenes in order and the joins between them."""

    width: int
    height: int
    end_ns: int
    scenes: tuple[Scene, ...]
    joins: tuple[Join, ...]


@dataclass(frozen=True, slots=True)
class _Role:
    kind: str
    colours: tuple[str, str]
    radius: float


@dataclass(kw_only=True)
class _Track:
    """An actor's part while it is being written: where it is, and the time up to which that is settled."""

    rng: Random
    role: _Role
    axis: Axis
    length: int
    lane: float
    now: int
    until: int
    patience_ms: int = 2000
    home: float = 0.0
    at: float = 0.0
    legs: list[Leg] = field(default_factory=list)
    recolours: list[Recolour] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Pixels per second; slow enough that crossing the border takes several frames.
        self.speed = self.role.radius * self.rng.uniform(2.8, 5.0)

    @property
    def reach(self) -> tuple[float, float]:
        return reach(self.role.kind, self.role.radius, self.axis)

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and highest place at which the whole shape shows, with a small margin."""
        before, after = self.reach
        return before + 4, self.length - after - 4

    @property
    def is_out(self) -> bool:
        return not 0 < self.at < self.length

    def outside(self, side: Literal["low", "high"]) -> float:
        """A place just beyond one end of the lane."""
        before, after = self.reach
        return -after - 3 if side == "low" else self.length + before + 3

    def pause(self) -> int:
        return REST_NS + self.rng.randrange(0, self.patience_ms) * MS

    def duration(self, to: float) -> int:
        return max(1, round(abs(to - self.at) / self.speed * 1000)) * MS

    def travel(self, to: float) -> bool:
        """Go somewhere and rest; False, and nothing happens, when the time does not suffice."""
        end = self.now + self.duration(to)
        if end + REST_NS > self.until:
            return False
        self.legs.append(Leg(self.now, end, self.at, to))
        self.at, self.now = to, end + self.pause()
        return True

    def recolour(self) -> bool:
        """Take the role's other colour and rest."""
        if self.now + REST_NS > self.until:
            return False
        self.recolours.append(Recolour(self.now, self.role.colours[1 - len(self.recolours) % 2]))
        self.now += self.pause()
        return True

    def actor(self) -> Actor:
        return Actor(
            kind=self.role.kind,
            colour=self.role.colours[0],
            radius=self.role.radius,
            lane=self.lane,
            home=self.home,
            legs=tuple(self.legs),
            recolours=tuple(self.recolours),
        )


def _wander(track: _Track) -> None:
    """Alone in a lane: come in, move about, change colour, go out, come in again."""
    rng, goes_on = track.rng, True
    while goes_on:
        low, high = track.limits
        if track.is_out:
            goes_on = track.travel(rng.uniform(low + 0.1 * (high - low), high - 0.1 * (high - low)))
            continue
        action = rng.choices(("move", "leave", "recolour"), weights=(5, 2, 3))[0]
        if action == "move":
            # Far enough to be seen: into the emptier half of the lane.
            upwards = track.at < (low + high) / 2
            step = rng.uniform(0.3, 0.5) * (high - low)
            goes_on = track.travel(min(high, track.at + step) if upwards else max(low, track.at - step))
        elif action == "leave":
            goes_on = track.travel(track.outside(rng.choice(("low", "high"))))
        else:
            goes_on = track.recolour()


def _meet(low: _Track, high: _Track, share: float) -> int | None:
    """Bring two into contact: `share` of the gap is covered by `low`. Returns the instant, None for want of time."""
    # One pixel closer than touching, so that no seam is left between them.
    touch = contact_distance((low.role.kind, low.role.radius), (high.role.kind, high.role.radius), low.axis) - 1
    gap = high.at - low.at - touch
    start = max(low.now, high.now)
    targets = (low.at + gap * share, high.at - gap * (1 - share))
    end = start + max(low.duration(targets[0]), high.duration(targets[1]))
    wait = end + low.pause()
    # The way back takes as long as the way there, and must fit too.
    if wait + (end - start) + REST_NS > low.until:
        return None
    for track, target in zip((low, high), targets, strict=True):
        if target != track.at:
            track.legs.append(Leg(start, end, track.at, target))
        track.at, track.now = target, wait
    return end


def _own_end(track: _Track, side: int) -> float:
    """A place near the low (0) or high (1) end of the lane."""
    low, high = track.limits
    inset = (high - low) * track.rng.uniform(0.02, 0.2)
    return high - inset if side else low + inset


def _clash(low: _Track, high: _Track) -> list[int]:
    """Two in one lane: come in, collide, part, and again while there is time. Returns the instants of contact."""
    rng, times = low.rng, []
    homes = [_own_end(track, side) if track.is_out else track.at for side, track in enumerate((low, high))]
    for track, home in zip((low, high), homes, strict=True):
        if track.is_out and not track.travel(home):
            return []
    while (at_ns := _meet(low, high, rng.choice((0.0, 1.0, 0.5)))) is not None:
        times.append(at_ns)
        for track, home in zip((low, high), homes, strict=True):
            if track.at != home:
                track.travel(home)
        if rng.random() < 0.3:
            rng.choice((low, high)).recolour()
    side: Literal["low", "high"] = rng.choice(("low", "high"))
    leaver = low if side == "low" else high
    leaver.travel(leaver.outside(side))
    return times


def _cast(rng: Random, radius: float) -> list[_Role]:
    """The roles of a video: no two share a shape or a colour, so that "the red circle" is always one of them."""
    kinds = rng.sample(sorted(OUTLINES), CAST)
    colours = rng.sample(sorted(COLOURS), 2 * CAST)
    pairs = zip(colours[:CAST], colours[CAST:], strict=True)
    return [
        _Role(kind, pair, round(radius * rng.uniform(0.85, 1.0), 1)) for kind, pair in zip(kinds, pairs, strict=True)
    ]


def _place(rng: Random, role: _Role, *, scene: Scene, lane: float, side: int | None) -> _Track:
    """Give a role a lane: waiting outside, or standing there from the start. `side` 0 or 1 keeps to one end."""
    track = _Track(
        rng=rng, role=role, axis=scene.axis, length=scene.length, lane=lane, now=scene.start_ns, until=scene.end_ns
    )
    if side is not None:
        # Two who collide do so again and again.
        track.patience_ms, track.speed = 450, max(track.speed, 4.2 * role.radius)
    low, high = track.limits
    if rng.random() < (0.6 if side is None else 0.3):
        track.at = track.outside(rng.choice(("low", "high")) if side is None else ("low", "high")[side])
    elif side is None:
        track.at = rng.uniform(low, high)
    else:
        track.at = _own_end(track, side)
    track.home = track.at
    track.now += rng.randrange(0, 1000) * MS
    return track


def _fill(rng: Random, scene: Scene, roles: list[_Role], across: int) -> Scene:
    """Write the parts of an empty scene; its span is the time in which something may happen."""
    lanes = [across * (k + 0.5) / LANES for k in rng.sample(range(LANES), LANES)]
    tracks: list[_Track] = []
    collisions: tuple[Collision, ...] = ()
    alone = rng.sample(roles, rng.choice((2, 2, 3)))
    if rng.random() < 0.7:
        # Mostly the same two, so that they collide again in a later scene.
        pair = roles[:2] if rng.random() < 0.6 else rng.sample(roles, 2)
        alone = [role for role in alone if role not in pair][:1]
        first, lane = rng.randrange(2), lanes.pop()
        tracks = [_place(rng, role, scene=scene, lane=lane, side=(k + first) % 2) for k, role in enumerate(pair)]
        times = _clash(tracks[first], tracks[1 - first])
        collisions = tuple(Collision(at_ns, 0, 1) for at_ns in times)
    for role, lane in zip(alone, lanes, strict=False):
        tracks.append(_place(rng, role, scene=scene, lane=lane, side=None))
        _wander(tracks[-1])
    return replace(scene, actors=tuple(track.actor() for track in tracks), collisions=collisions)


def _bounds(rng: Random, end_ns: int) -> list[int]:
    count = max(1, round(end_ns / SCENE_NS))
    inner = [end_ns * k // count + rng.randrange(-800, 800) * MS for k in range(1, count)]
    return [0, *inner, end_ns]


def _backdrops(rng: Random, count: int) -> list[Backdrop]:
    """Backgrounds of which neighbours differ clearly in brightness."""
    colours: list[Rgb] = []
    for _ in range(count):
        far = [c for c in BACKDROPS if not colours or abs(sum(c) - sum(colours[-1])) >= 150]
        colours.append(rng.choice(far))
    return [Backdrop(colour, rng.choice(PATTERNS), rng.getrandbits(32)) for colour in colours]


def _join(rng: Random, at_ns: int) -> Join:
    return Join("cut", at_ns) if rng.random() < 0.6 else Join("fade", at_ns, rng.randrange(350, 650) * MS)


def write_script(rng: Random, *, width: int, height: int, seconds: int) -> Script:
    """Invent a video of `width` x `height` pixels and so many seconds; everything in it follows from `rng`."""
    bounds = _bounds(rng, seconds * NS_PER_S)
    joins = [_join(rng, at_ns) for at_ns in bounds[1:-1]]
    halves = [0, *(join.half_ns for join in joins), 0]
    roles = _cast(rng, min(width, height) / LANES * 0.38)
    scenes = []
    for k, backdrop in enumerate(_backdrops(rng, len(bounds) - 1)):
        axis: Axis = rng.choice(("x", "x", "y"))
        length, across = (width, height) if axis == "x" else (height, width)
        # Written between the quiet ends, then widened to the whole span.
        first, last = bounds[k] + halves[k] + QUIET_NS, bounds[k + 1] - halves[k + 1] - QUIET_NS
        stage = Scene(
            start_ns=first, end_ns=last, axis=axis, length=length, backdrop=backdrop, actors=(), collisions=()
        )
        scenes.append(replace(_fill(rng, stage, roles, across), start_ns=bounds[k], end_ns=bounds[k + 1]))
    return Script(width=width, height=height, end_ns=bounds[-1], scenes=tuple(scenes), joins=tuple(joins))
