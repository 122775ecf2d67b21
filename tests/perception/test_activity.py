import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.perception.activity import LATE_NS, ActivityMeter

FRAME_NS = NS_PER_S // 25


def thumbs(frames, *, block=None, seed=0, noise=0.0, flicker=0.0):
    """Thumbnails with a bright block at `block(k) -> (row, column)` or None."""
    rng = np.random.default_rng(seed)
    base = rng.integers(60, 140, (9, 16, 3)).astype(float)
    for k in range(frames):
        picture = base.copy()
        if block is not None and (at := block(k)) is not None:
            picture[at[0] : at[0] + 2, at[1] : at[1] + 2] = 230
        picture = picture * (1 + rng.normal(0, flicker)) + rng.normal(0, noise, picture.shape)
        yield np.clip(picture, 0, 255).astype(np.uint8)


def said(pictures, meter=None):
    meter = meter or ActivityMeter()
    return [meter.feed(k * FRAME_NS, thumb) for k, thumb in enumerate(pictures)]


def frames(activity, name):
    return [k for k, each in enumerate(activity) if getattr(each, name)]


def test_nothing_moves_in_a_still_picture():
    activity = said(thumbs(300))
    assert not any(frames(activity, name) for name in ("began", "ended", "moves"))


def test_noise_and_flicker_are_no_motion():
    activity = said(thumbs(1000, noise=2.0, flicker=0.02))
    assert len(frames(activity, "began")) <= 3


def test_what_appears_begins_and_ends_once_and_soon():
    activity = said(thumbs(80, block=lambda k: (3, 5) if k >= 40 else None))
    (begun,), (ended,) = frames(activity, "began"), frames(activity, "ended")
    assert 40 <= begun <= 42
    assert begun < ended <= 40 + 8


def test_motion_is_one_place_from_its_begin_to_its_end():
    activity = said(thumbs(140, block=lambda k: (3, 2 + min(max(k - 40, 0), 40) // 4)))
    assert frames(activity, "began")[0] in range(43, 48)
    assert len(frames(activity, "began")) == 1
    last = frames(activity, "ended")[-1]
    # The picture is told to rest at most a fifth of a second and a frame after it does.
    assert 80 <= last <= 80 + LATE_NS // FRAME_NS + 1
    assert not activity[-1].moves


def test_two_places_begin_one_by_one():
    def block(k):
        return (1, 1) if 40 <= k < 60 else None

    one = list(thumbs(100, block=block))
    other = list(thumbs(100, block=lambda k: (6, 12) if k >= 46 else None))
    still = next(thumbs(1))
    both = [np.maximum(a, b) if k >= 40 else still for k, (a, b) in enumerate(zip(one, other, strict=True))]
    assert len(frames(said(both), "began")) >= 2


def test_a_reset_forgets_the_picture_before():
    meter = ActivityMeter()
    said(thumbs(30, seed=1), meter)
    meter.reset()
    after = [meter.feed((30 + k) * FRAME_NS, thumb) for k, thumb in enumerate(thumbs(30, seed=2))]
    assert not any(each.began or each.moves for each in after)
    # Without it the cut is motion.
    meter = ActivityMeter()
    said(thumbs(30, seed=1), meter)
    after = [meter.feed((30 + k) * FRAME_NS, thumb) for k, thumb in enumerate(thumbs(30, seed=2))]
    assert any(each.began for each in after)


@given(st.integers(0, 100), st.integers(1, 99))
def test_later_frames_change_nothing(seed, cut_off):
    pictures = list(thumbs(100, seed=seed, noise=3.0, block=lambda k: (seed % 7, k // 10)))
    assert said(pictures)[:cut_off] == said(pictures[:cut_off])


def test_fast_frames_are_passed_over():
    meter = ActivityMeter()
    pictures = list(thumbs(240, block=lambda k: (3, 5) if k >= 120 else None))
    activity = [meter.feed(k * NS_PER_S // 240, thumb) for k, thumb in enumerate(pictures)]
    assert len(frames(activity, "began")) == 1


def test_what_comes_in_over_the_edge_enters_and_is_known_when_it_stops():
    def block(k):
        return (3, 7 - min(max(k - 40, 0), 30) // 4) if k < 400 else None

    def from_left(k):
        return (3, min((k - 40) // 4, 7)) if k >= 40 else None

    inner, outer = said(thumbs(120, block=block)), said(thumbs(120, block=from_left))
    assert outer[frames(outer, "began")[0]].enters
    assert all(outer[k].entered for k in frames(outer, "ended"))
    assert not inner[frames(inner, "began")[0]].enters
    assert not any(inner[k].entered for k in frames(inner, "ended"))


def test_what_entered_and_rested_moves_again_as_any_other():
    def block(k):
        if k < 40:
            return None
        return (3, min((k - 40) // 4, 6)) if k < 110 else (3, 6 + min((k - 110) // 4, 5))

    activity = said(thumbs(180, block=block))
    *_, again = frames(activity, "began")
    assert again >= 110
    assert not activity[again].enters
    assert not activity[frames(activity, "ended")[-1]].entered
