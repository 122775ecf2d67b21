"""Laws of augmented videos against their parents, in memory: silent on whatever pipelines make of whatever video."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.errors import AugmentError
from augment.picture_settings import Aspect, Blur, Colour, Noise, Resolution, Shake, Window
from augment.settings import (
    Concat,
    Crop,
    Delay,
    DroppedAnswer,
    Freeze,
    Interrupt,
    Jitter,
    LateAnswer,
    Loop,
    Pipeline,
    Reconnect,
    Reverse,
    Skip,
    Speed,
    WrongThenCorrected,
)
from tests.augment.worlds import STYLES
from tests.checks.remaking import Held, drawn, remade, spoken
from tests.laws import examples

IN_TIME = (
    Speed(form="pieces", low=0.25, high=4.0),
    Speed(form="ramp"),
    Speed(low=1.01, high=1.01),
    Skip(form="random", share=0.5),
    Skip(form="bursts", share=0.4),
    Skip(form="every", n=3),
    Reconnect(gaps=2),
    Jitter(sd_ms=15.0),
    Crop(least=0.1, most=0.8),
    Concat(),
    Loop(),
    Freeze(stalls=2),
    Reverse(p=0.5),
)
ON_PIXELS = (
    Colour(p=0.5),
    Resolution(heights=(24, 96)),
    Aspect(form="letterbox", ratios=("1:1", "21:9")),
    Aspect(form="squeeze", ratios=("5:4",)),
    Shake(p=0.5),
    Shake(edges="zoom", p=0.5),
    Noise(),
    Blur(form="motion"),
)
INTERACTION = (
    LateAnswer(policy="reword"),
    DroppedAnswer(share=0.5),
    WrongThenCorrected(share=0.5, by="user"),
    Interrupt(share=0.7, then="resume"),
)
NETWORKS = (
    Delay(network={"form": "lognormal", "median_ms": 300.0, "sigma": 1.0}),
    Delay(network={"form": "bursts", "good_ms": 60, "bad_ms": 2000}, model={"form": "constant", "ms": 900}),
    Delay(model={"form": "constant", "ms": 400}),
)


@st.composite
def pipelines(draw, *, most=3):
    """Any pipeline that may be written."""
    operations = draw(st.lists(st.sampled_from(IN_TIME), max_size=most))
    operations += draw(st.lists(st.sampled_from(NETWORKS), max_size=1))
    operations += draw(st.lists(st.sampled_from(INTERACTION), max_size=2, unique=True))
    operations += draw(st.lists(st.sampled_from(ON_PIXELS), max_size=2))
    try:
        return Pipeline(
            seed=draw(st.integers(0, 99)),
            views=draw(st.integers(1, 2)),
            gone=draw(st.sampled_from(("drop", "unanswerable"))),
            operations=tuple(operations),
        )
    except ValidationError:
        # Such as two views that differ in nothing.
        return Pipeline(seed=draw(st.integers(0, 99)), operations=(Speed(p=0.5),))


def held_of(clips, pipeline, camera=0):
    """An augmented video as it is made; None where none can be."""
    try:
        found, parents = remade(clips, pipeline, camera=camera)
    except AugmentError:
        # What cannot be done is refused; other tests hold that nothing else is.
        return None
    return Held(found, parents, pipeline) if found is not None else None


@settings(max_examples=examples(150), deadline=None)
@given(pipelines(), st.integers(0, 1))
def test_what_pipelines_make_is_never_refused(pipeline, camera):
    held = held_of([spoken("a"), spoken("b")], pipeline, min(camera, pipeline.views - 1))
    assert held is None or held.broken() == []


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=examples(100), deadline=None)
@given(pipelines(most=4), st.integers(0, 11), st.integers(0, 11))
def test_what_is_made_of_drawn_worlds_is_never_refused(style, pipeline, number, other):
    held = held_of([drawn(style, number), drawn(style, (number + 1 + other) % 12)], pipeline)
    assert held is None or held.broken() == []


def test_a_window_around_boxes_is_never_refused():
    held = held_of([spoken("a"), spoken("b")], Pipeline(operations=(Window(least=0.4), Freeze())))
    assert held is None or held.broken() == []
