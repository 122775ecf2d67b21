"""The pixels of drawn worlds, and the files they go into."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.clock import FrameClock
from datasets_build.sources.world_draw import BLACK_NS, FULL, brightness, draw_frame, encode, scene_at
from datasets_build.sources.world_script import (
    BACKDROPS,
    PATTERNS,
    Actor,
    Backdrop,
    Join,
    Scene,
    Script,
    write_script,
)
from datasets_build.sources.world_shapes import COLOURS, OUTLINES

S = 1_000_000_000
MS = S // 1000


SAGE = Backdrop((146, 162, 142), "plain", 5)


def stage(*actors: Actor, backdrop: Backdrop = SAGE, axis: str = "x") -> Script:
    scene = Scene(start_ns=0, end_ns=S, axis=axis, length=160, backdrop=backdrop, actors=actors, collisions=())
    return Script(width=160, height=160, end_ns=S, scenes=(scene,), joins=())


def shape(kind: str, *, colour: str = "red", place: float = 80, lane: float = 80) -> Actor:
    return Actor(kind=kind, colour=colour, radius=25.0, lane=lane, home=place, legs=(), recolours=())


def area(points: np.ndarray) -> float:
    """The shoelace formula."""
    x, y = points[:, 0], points[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


@pytest.mark.parametrize("kind", sorted(OUTLINES))
@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_shape_stands_where_it_should_and_is_as_large_as_its_outline(kind: str, axis: str):
    bare, drawn = draw_frame(stage(axis=axis), 0), draw_frame(stage(shape(kind, place=60), axis=axis), 0)
    differs = (drawn.astype(int) != bare).any(axis=2)
    centre = np.array((60, 80) if axis == "x" else (80, 60))
    rows, cols = np.nonzero(differs)
    outline = OUTLINES[kind] * 25 + centre
    assert cols.min() == pytest.approx(outline[:, 0].min(), abs=1)
    assert cols.max() + 1 == pytest.approx(outline[:, 0].max(), abs=1)
    assert rows.min() == pytest.approx(outline[:, 1].min(), abs=1)
    assert rows.max() + 1 == pytest.approx(outline[:, 1].max(), abs=1)
    around = np.linalg.norm(outline - np.roll(outline, 1, axis=0), axis=1).sum()
    assert abs(differs.sum() - area(outline)) < around


@pytest.mark.parametrize("colour", sorted(COLOURS))
def test_a_shape_has_its_colour_inside_and_a_dark_rim(colour: str):
    picture = draw_frame(stage(shape("square", colour=colour)), 0)
    assert tuple(picture[80, 80]) == COLOURS[colour]
    left = 80 - 0.84 * 25
    rim = picture[80, int(left) + 1].astype(int)
    assert (rim <= np.array(COLOURS[colour])).all()
    assert rim.sum() < sum(COLOURS[colour]) * 0.6


def test_edges_are_smooth():
    picture = draw_frame(stage(shape("circle")), 0).astype(int)
    bare = draw_frame(stage(), 0).astype(int)
    differs = np.abs(picture - bare).sum(axis=2)
    partly = (differs > 0) & (differs < 150)
    assert partly.sum() > 20


@pytest.mark.parametrize("place", [-24.0, -10.0, 0.0, 150.0, 184.0])
def test_a_shape_at_the_border_is_cut_off(place: float):
    bare, drawn = draw_frame(stage(), 0), draw_frame(stage(shape("circle", place=place)), 0)
    changed = np.nonzero((bare != drawn).any(axis=(0, 2)))[0]
    assert changed.size
    assert changed.min() >= place - 26
    assert changed.max() <= place + 26


@pytest.mark.parametrize("place", [-24.25, -40.0, 184.25, 1000.0])
def test_a_shape_less_than_a_pixel_inside_is_not_drawn(place: float):
    assert (draw_frame(stage(), 0) == draw_frame(stage(shape("circle", place=place)), 0)).all()


@given(place=st.integers(120, 520))
def test_every_quarter_of_a_pixel_shows(place: int):
    one, next_ = (draw_frame(stage(shape("star", place=p / 4)), 0) for p in (place, place + 1))
    assert (one != next_).any()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("colour", BACKDROPS)
def test_backgrounds_are_quiet_and_near_their_colour(pattern: str, colour: tuple[int, int, int]):
    picture = draw_frame(stage(backdrop=Backdrop(colour, pattern, 7)), 0).astype(int)
    assert np.abs(picture.mean(axis=(0, 1)) - colour).max() < 8
    assert 0.5 < picture.std(axis=(0, 1)).max() < 25
    # No paint of the world lies in a background, or colours could not be told by their pixels.
    for paint in COLOURS.values():
        assert not (picture == paint).all(axis=2).any()


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), t_ns=st.integers(0, 8 * S - 1))
def test_a_picture_depends_on_the_script_and_the_instant_only(seed: int, t_ns: int):
    script = write_script(Random(seed), width=160, height=128, seconds=8)
    first = draw_frame(script, t_ns)
    first_copy = first.copy()
    first[:] = 0  # nobody can spoil the next picture
    assert (draw_frame(script, t_ns) == first_copy).all()
    assert first.shape == (128, 160, 3)
    assert first.dtype == np.uint8


def test_a_fade_goes_down_to_black_and_up_again():
    joins = (Join("cut", S), Join("fade", 5 * S, 500 * MS))
    light = {t: brightness(joins, t * MS) for t in range(4400, 5601, 20)}
    assert light[4400] == light[4500] == light[5500] == light[5600] == FULL
    assert light[4520] < FULL
    assert light[5480] < FULL
    falling = [light[t] for t in range(4500, 5001, 20)]
    assert falling == sorted(falling, reverse=True)
    assert all(light[t] == 0 for t in range(5000 - BLACK_NS // MS, 5001 + BLACK_NS // MS, 20))
    assert all(light[5000 - d] == light[5000 + d] for d in range(0, 600, 20))
    assert brightness(joins, S) == brightness(joins, S - 1) == FULL


def test_a_fade_dims_the_whole_picture():
    script = stage(shape("circle"))
    dim = Script(width=160, height=160, end_ns=S, scenes=script.scenes, joins=(Join("fade", S, 400 * MS),))
    t_ns = 800 * MS
    light = brightness(dim.joins, t_ns)
    assert 0 < light < FULL
    assert (draw_frame(dim, t_ns) == draw_frame(script, t_ns).astype(int) * light // FULL).all()


def test_the_scene_changes_at_the_join_and_the_last_one_stays():
    script = write_script(Random(3), width=160, height=128, seconds=20)
    for before, after in zip(script.scenes, script.scenes[1:], strict=False):
        assert scene_at(script, before.end_ns - 1) is before
        assert scene_at(script, before.end_ns) is after
    assert scene_at(script, script.end_ns + S) is script.scenes[-1]


def clocks() -> list[tuple[FrameClock, Fraction, Fraction | None]]:
    ntsc, film, tick = Fraction(30_000, 1001), Fraction(24_000, 1001), Fraction(1, 600)
    uneven = [0, 10, 34, 106, 130, 140, 180, 204, 229, 249]
    return [
        (FrameClock.from_pts(range(45), time_base=1 / ntsc, last_duration=1), 1 / ntsc, ntsc),
        (FrameClock.from_pts(range(50), time_base=1 / film, last_duration=1), 1 / film, film),
        (FrameClock.from_pts(uneven, time_base=tick, last_duration=33), tick, None),
    ]


@pytest.mark.parametrize("case", range(3))
def test_a_file_has_the_times_and_pictures_it_was_given(tmp_path: Path, case: int):
    clock, time_base, rate = clocks()[case]
    script = write_script(Random(11), width=160, height=128, seconds=4)
    encode(tmp_path / "any.name", script, clock, time_base=time_base, rate=rate)
    with av.open(str(tmp_path / "any.name")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (160, 128, "h264")
        frames = list(container.decode(stream))
        times = [round(Fraction(frame.pts) * stream.time_base * S) for frame in frames]
        end = max(Fraction(f.pts + f.duration) * stream.time_base for f in frames)
    assert times == pytest.approx(clock.t_ns.tolist(), abs=1)
    assert round(end * S) == pytest.approx(clock.end_ns, abs=1)
    for frame, t_ns in zip(frames, clock.t_ns.tolist(), strict=True):
        error = np.abs(frame.to_ndarray(format="rgb24").astype(int) - draw_frame(script, t_ns))
        assert error.mean() < 4


def test_a_file_is_the_same_each_time(tmp_path: Path):
    clock, time_base, rate = clocks()[0]
    script = write_script(Random(2), width=160, height=128, seconds=4)
    for name in ("a", "b"):
        encode(tmp_path / name, script, clock, time_base=time_base, rate=rate)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
