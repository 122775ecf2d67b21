"""Operations on pixels as a YAML file says them: how frames look, never when they come."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from augment.operation import Operation, Positive

Height = Annotated[int, Field(ge=16, le=4320, multiple_of=2)]
Kilobits = Annotated[float, Field(ge=8, le=100_000)]
_MOST_RATIO = 10


class PictureOperation(Operation):
    """Something that is done to the pixels of a video."""


def _proportions(given: object) -> object:
    # YAML 1.1 reads 4:3 without quotes as a number of base 60.
    sides = re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", given) if isinstance(given, str) else None
    across, down = map(int, sides.groups()) if sides else (0, 1)
    if not down <= across * _MOST_RATIO <= down * _MOST_RATIO**2:
        raise ValueError(f'found {given!r}, expected width and height in quotes from "1:10" to "10:1", such as "4:3"')
    return given


Ratio = Annotated[str, BeforeValidator(_proportions)]


def _ordered(name: str, least: float, most: float) -> None:
    if most < least:
        raise ValueError(f"most{name} {most} lies below least{name} {least}")


class Resolution(PictureOperation):
    """Another size with the same proportions, both sides even: one of `heights`, or between `least` and `most`."""

    kind: Literal["resolution"] = "resolution"
    heights: tuple[Height, ...] = ()
    least: Height = 144
    most: Height = 480

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _ordered("", self.least, self.most)
        return self


class Aspect(PictureOperation):
    """Other proportions, one of `ratios` such as `"4:3"`.

    `letterbox` lays black bars beside the whole picture; `squeeze` makes it narrower or wider, by a quarter at most:
    no question after a shape is kept then, for a squeezed square is none.
    """

    kind: Literal["aspect"] = "aspect"
    form: Literal["letterbox", "squeeze"] = "letterbox"
    ratios: Annotated[tuple[Ratio, ...], Field(min_length=1)] = ("1:1", "4:3", "16:9")


class Window(PictureOperation):
    """A part of the picture, at least `least` of its width and height, in which every tracked box is whole.

    A box that touches an edge keeps that edge, so that what comes in or goes out there still does.
    """

    kind: Literal["window"] = "window"
    least: Annotated[float, Field(ge=0.2, lt=1)] = 0.6


class Colour(PictureOperation):
    """Brighter or darker, more or less contrast and saturation, another curve, warmer or cooler light.

    Each is how much is changed at most. None of it turns a hue: light scales a pixel as a whole, saturation moves it
    along the line to its own grey, and warmth changes red against blue by a tenth at most, so that the name of a colour
    stays true. Black stays black.
    """

    kind: Literal["colour"] = "colour"
    brightness: Annotated[float, Field(ge=0, le=0.25)] = 0.15
    contrast: Annotated[float, Field(ge=0, le=0.25)] = 0.15
    gamma: Annotated[float, Field(ge=0, le=0.25)] = 0.15
    warmth: Annotated[float, Field(ge=0, le=0.1)] = 0.05
    least_saturation: Annotated[float, Field(ge=0.5, le=1)] = 0.7
    most_saturation: Annotated[float, Field(ge=1, le=1.5)] = 1.2


class Blur(PictureOperation):
    """Out of focus (`gaussian`, standard deviation) or moved during the exposure (`motion`, length of the streak).

    Between `least` and `most`, as shares of the picture's height.
    """

    kind: Literal["blur"] = "blur"
    form: Literal["gaussian", "motion"] = "gaussian"
    least: Annotated[float, Field(gt=0, le=0.05)] = 0.002
    most: Annotated[float, Field(gt=0, le=0.05)] = 0.008

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _ordered("", self.least, self.most)
        return self


class Compress(PictureOperation):
    """Sent as H.264 at a bit rate between `least_kbit_s` and `most_kbit_s`, a key frame every `group_s`.

    What needs the bits gets them to about a tenth, at 20 kbit/s and less a quarter fewer; what is easily told takes
    fewer. Of large pictures a low rate cannot be kept: then each frame is as coarse as H.264 goes.
    """

    kind: Literal["compress"] = "compress"
    least_kbit_s: Kilobits = 100.0
    most_kbit_s: Kilobits = 800.0
    group_s: Annotated[float, Field(ge=0.2, le=10)] = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _ordered("_kbit_s", self.least_kbit_s, self.most_kbit_s)
        return self


class Shake(PictureOperation):
    """A camera held by hand: it wanders by `least` to `most` of the picture's sides, smoothly, about each `period_s`.

    What the edges uncover is the picture mirrored (`reflect`), or nothing, for the picture is enlarged (`zoom`). How
    the camera moves, and whether anything does, cannot be told then, so that labels and questions of it go.
    """

    kind: Literal["shake"] = "shake"
    edges: Literal["reflect", "zoom"] = "reflect"
    least: Annotated[float, Field(gt=0, le=0.1)] = 0.005
    most: Annotated[float, Field(gt=0, le=0.1)] = 0.02
    period_s: Positive = 0.8

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _ordered("", self.least, self.most)
        return self


class Noise(PictureOperation):
    """Noise of a sensor, new in each frame; its standard deviation in white is `least` to `most` of the full range."""

    kind: Literal["noise"] = "noise"
    least: Annotated[float, Field(gt=0, le=0.2)] = 0.01
    most: Annotated[float, Field(gt=0, le=0.2)] = 0.05

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _ordered("", self.least, self.most)
        return self
