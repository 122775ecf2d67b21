"""Small drawn videos whose ends look alike, or not, with their pictures and with what is measured of them."""

from fractions import Fraction
from functools import lru_cache

import numpy as np

from augment.clip import Clip
from datasets_build.core.clock import FrameClock
from datasets_build.perception.signals import SignalMeter, SignalsConfig, stretch
from datasets_build.sources.world_draw import draw_frame
from datasets_build.sources.world_script import Actor, Backdrop, Join, Leg, Recolour, Scene, Script
from tests.augment.worlds import staged
from tests.builders.made import MS

WIDTH, HEIGHT, END_NS = 160, 128, 6_000 * MS
AWAY, LEFT, RIGHT = -60.0, 50.0, 110.0
# Of one brightness, to 2 of 255.
BLUE, PURPLE = "blue", "purple"
STAGES = {
    "still": (LEFT, [], []),
    "returns": (LEFT, [(1000, 2000, LEFT, RIGHT), (3000, 4000, RIGHT, LEFT)], []),
    "comes": (AWAY, [(1000, 2500, AWAY, RIGHT)], []),
    "goes_on": (LEFT, [(2000, 3000, LEFT, RIGHT)], []),
    "turns": (LEFT, [], [(3000, PURPLE)]),
    "cuts": (LEFT, [], []),
}
"""Where a shape is, where it moves to (ms and pixels), and when it turns to another colour; `cuts` has a hard cut."""


def _actor(name, radius=30.0):
    home, legs, turns = STAGES[name]
    return Actor(
        kind="circle",
        colour=BLUE,
        radius=radius,
        lane=64.0,
        home=home,
        legs=tuple(Leg(start * MS, end * MS, here, there) for start, end, here, there in legs),
        recolours=tuple(Recolour(at * MS, colour) for at, colour in turns),
    )


def _scene(start_ns, end_ns, colour, *actors):
    backdrop = Backdrop(colour, "blotches", 1)
    return Scene(
        start_ns=start_ns, end_ns=end_ns, axis="x", length=WIDTH, backdrop=backdrop, actors=actors, collisions=()
    )


def script_of(name):
    """The script of one of the stages."""
    dark, light = (66, 76, 92), (206, 197, 174)
    if name != "cuts":
        scenes, joins = (_scene(0, END_NS, light, _actor(name)),), ()
    else:
        half = END_NS // 2
        scenes = (_scene(0, half, dark), _scene(half, END_NS, light, _actor(name)))
        joins = (Join("cut", half),)
    return Script(width=WIDTH, height=HEIGHT, end_ns=END_NS, scenes=scenes, joins=joins)


@lru_cache(maxsize=16)
def stage(name, rate=25):
    """One of the stages as a world."""
    clock = FrameClock.from_pts(range(END_NS // (1000 * MS) * rate), time_base=Fraction(1, rate), last_duration=1)
    return staged(script_of(name), clock, f"{name}-{rate}", style="world")


def picture(drawn, frame):
    """A frame of a world: RGB `(height, width, 3) uint8`."""
    return draw_frame(drawn.script, drawn.clock.time_of(frame))


MEASURED = {}


def signals_of(drawn):
    """What is measured of a world, by its name."""
    if drawn.name not in MEASURED:
        MEASURED[drawn.name] = _measured(drawn)
    return MEASURED[drawn.name]


def _measured(drawn):
    # Frames that are not measured are not drawn.
    config = SignalsConfig()
    meter, samples, last = SignalMeter(config), [], None
    for t_ns in drawn.clock.t_ns.tolist():
        if last is None or t_ns - last >= 1000 * MS / config.rate_hz:
            samples.append(meter.feed(t_ns, np.ascontiguousarray(draw_frame(drawn.script, t_ns)[:, :, ::-1])))
            last = t_ns
    assert all(samples)
    # Short stretches, so that a seam has its samples in several.
    parts = [samples[k : k + 7] for k in range(0, len(samples), 7)]
    return [stretch(drawn.name, k, part) for k, part in enumerate(parts)]


def clip_of(drawn, *, questions=(), measured=True):
    """A world as a clip."""
    return Clip(
        video=drawn.made.video,
        clock=drawn.clock,
        events=drawn.events,
        questions=questions,
        signals=signals_of(drawn) if measured else (),
        shots=drawn.made.shots,
    )
