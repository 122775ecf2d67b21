"""Latencies of networks and models: constant, log-normal, Gilbert-Elliott bursts, or a trace that was measured."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializationInfo,
    ValidationInfo,
    field_serializer,
    model_validator,
)

from datasets_build.core.config import Config, folder_of
from datasets_build.core.files import sha256_file

Ms = Annotated[float, Field(ge=0, le=60_000)]
Chance = Annotated[float, Field(gt=0, le=1)]
WHOLE_PATHS = {"paths": "whole"}
"""The context in which settings are written down for another folder: paths are told from the root."""
_NS_PER_MS = 1_000_000


class Constant(Config):
    """The same every time."""

    form: Literal["constant"] = "constant"
    ms: Ms


class LogNormal(Config):
    """Log-normal around `median_ms`: median · exp(sigma · z), z normal, cut at `most_ms`."""

    form: Literal["lognormal"] = "lognormal"
    median_ms: Ms
    sigma: Annotated[float, Field(ge=0, le=3)] = 0.5
    most_ms: Ms = 10_000.0


class Bursts(Config):
    """Two states, good and bad, as in the channel of Gilbert (1960) and Elliott (1963), each with its latency.

    From one draw to the next a good state turns bad with probability `to_bad`, a bad one good with `to_good`; the first
    is drawn from how often each is met in the long run, to_bad / (to_bad + to_good) for the bad one.
    """

    form: Literal["bursts"] = "bursts"
    good_ms: Ms
    bad_ms: Ms
    to_bad: Chance = 0.02
    to_good: Chance = 0.1

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.bad_ms < self.good_ms:
            raise ValueError(f"bad_ms {self.bad_ms} lies below good_ms {self.good_ms}")
        return self


class Trace(Config):
    """Latencies that were measured, a number of milliseconds in each line of a text file, from a drawn line on.

    Lines that are empty or begin with `#` are left out. A relative `path` counts from the folder of the YAML file that
    names it. The file's content is part of the setting: `sha256` need not be given, but where it is, it must fit.
    """

    form: Literal["trace"] = "trace"
    path: str
    sha256: str | None = None
    _folder: Path = PrivateAttr(default_factory=Path)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, given: object, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        # What is a trace already stays where it is.
        if not isinstance(given, dict) or not isinstance(given.get("path"), str):
            return handler(given)
        folder = folder_of(info)
        found = handler(given | {"sha256": _content(folder / given["path"], given.get("sha256"))})
        found._folder = folder
        return found

    @property
    def file(self) -> Path:
        """Where it lies."""
        return self._folder / self.path

    @field_serializer("path")
    def _told(self, path: str, info: SerializationInfo) -> str:
        return str(self.file.absolute()) if info.context == WHOLE_PATHS else path


def _content(path: Path, expected: object) -> str:
    """The digest of a file of latencies."""
    try:
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "no such file"
            raise ValueError(f"path {path}: {found}; expected latencies in ms, one a line")
        read_trace(path)
        found = sha256_file(path)
    except OSError as error:
        raise ValueError(f"path {path}: cannot be read ({error.strerror})") from error
    if expected not in (None, found):
        raise ValueError(f"path {path}: its content has changed, found sha256 {found}; correct sha256, or leave it out")
    return found


Latency = Annotated[Constant | LogNormal | Bursts | Trace, Field(discriminator="form")]


def read_trace(path: Path) -> list[float]:
    """The latencies of a file, ms.

    Raises:
        ValueError: a line is no number from 0 to 60,000, or there is none.
    """
    found = []
    for place, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 60_000:
            raise ValueError(f"{path}, line {place}: found {text[:40]!r}, expected milliseconds from 0 to 60000")
        found.append(value)
    if not found:
        raise ValueError(f"{path}: found no latency, expected one a line in ms")
    return found


def latencies(latency: Latency, rng: random.Random) -> Iterator[int]:
    """Draws one latency after the other, ns, without end.

    Raises:
        ValueError: the file of a trace is no longer one.
    """
    match latency:
        case Constant():
            drawn = _constant(latency)
        case LogNormal():
            drawn = _lognormal(latency, rng)
        case Bursts():
            drawn = _bursts(latency, rng)
        case Trace():
            drawn = _trace(latency, rng)
    return (round(ms * _NS_PER_MS) for ms in drawn)


def draw(latency: Latency, rng: random.Random, count: int) -> list[int]:
    """The first `count` latencies, ns."""
    return list(islice(latencies(latency, rng), count))


def _constant(latency: Constant) -> Iterator[float]:
    while True:
        yield latency.ms


def _lognormal(latency: LogNormal, rng: random.Random) -> Iterator[float]:
    while True:
        yield min(latency.most_ms, latency.median_ms * math.exp(latency.sigma * rng.gauss(0.0, 1.0)))


def _bursts(latency: Bursts, rng: random.Random) -> Iterator[float]:
    bad = rng.random() < latency.to_bad / (latency.to_bad + latency.to_good)
    while True:
        yield latency.bad_ms if bad else latency.good_ms
        bad = rng.random() >= latency.to_good if bad else rng.random() < latency.to_bad


def _trace(latency: Trace, rng: random.Random) -> Iterator[float]:
    values = read_trace(latency.file)
    at = rng.randrange(len(values))
    while True:
        yield values[at]
        at = (at + 1) % len(values)
