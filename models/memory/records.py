"""What a memory policy is told (`Chunk`), what it answers (`Change`, `Merged`), what it keeps of a chunk (`Held`)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from models.errors import FrameError, SettingsError, TimeError

HELD_BYTES: Final = 32  # four integers of eight bytes


def check_time(name: str, value_ns: int) -> None:
    """Refuse a time that is no integer of nanoseconds. Raises TimeError."""
    if type(value_ns) is not int:
        raise TimeError(f"{name} is {value_ns!r}, expected an int of nanoseconds; convert seconds with round(s * 1e9)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """One block of frames, usually two, as a memory policy sees it.

    `key` is unique and rises with time, never negative (negative keys name merged chunks). `[t0_ns, t1_ns)` is its
    span. `tokens` is how many cache slots it takes, with the text around it. `thumbnail` (height, width, 3) uint8 shows
    its last frame, see `signals.thumbnail`. `features` (patches, dim) floating, any device, are its merged vision
    features, at most one for each token; they may be None for a policy whose `needs_features` is False. Raises
    TimeError and FrameError.
    """

    key: int
    t0_ns: int
    t1_ns: int
    tokens: int
    thumbnail: npt.NDArray[np.uint8]
    features: torch.Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse spans, sizes and pictures that no policy could use."""
        check_time("Chunk.t0_ns", self.t0_ns)
        check_time("Chunk.t1_ns", self.t1_ns)
        if type(self.key) is not int or self.key < 0:
            raise TimeError(f"Chunk.key is {self.key!r}, expected an int of 0 or more that rises with time")
        where = f"chunk {self.key}"
        if self.t1_ns <= self.t0_ns:
            raise TimeError(f"{where}: its span [{self.t0_ns}, {self.t1_ns}) is empty, expected t0_ns < t1_ns")
        if type(self.tokens) is not int or self.tokens < 1:
            raise FrameError(f"{where}: tokens is {self.tokens!r}, expected an int of 1 or more")
        picture = self.thumbnail
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise FrameError(
                f"{where}: the thumbnail is {picture.dtype} {picture.shape}, expected uint8 (height, width, 3); "
                "make it with signals.thumbnail"
            )
        _check_features(where, self.features, tokens=self.tokens)


def _check_features(where: str, features: torch.Tensor | None, *, tokens: int) -> None:
    if features is None:
        return
    fits = features.ndim == 2 and 1 <= features.shape[0] <= tokens and features.shape[1] > 0
    if not fits or not features.is_floating_point():
        raise FrameError(
            f"{where}: features are {features.dtype} {tuple(features.shape)}, "
            f"expected floating (patches, dim), {tokens} patches at most"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Merged:
    """One chunk made of several neighbours in time.

    `key` is negative and unique. `of` are the keys of the live chunks whose place it takes, in time order; a merged
    chunk may be among them. `features` (tokens, dim), in the members' dtype and on their device, are the mean over
    all frames that ever went into it.
    """

    key: int
    of: tuple[int, ...]
    t0_ns: int
    t1_ns: int
    features: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What must happen to the cache now; the chunk just observed is in the cache unless named here.

    `evict`: live keys that die. `offload`: live keys whose cache moves to host memory. `drop`: offloaded keys that
    are forgotten for good. `merge`: members die and the merged chunk enters in their place. A key is named once at
    most, and each field is in time order.
    """

    evict: tuple[int, ...] = ()
    offload: tuple[int, ...] = ()
    drop: tuple[int, ...] = ()
    merge: tuple[Merged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a policy keeps of each chunk: its key, its span and the cache slots it takes."""

    key: int
    t0_ns: int
    t1_ns: int
    tokens: int


def held_of(chunk: Chunk) -> Held:
    """The part of a chunk that a policy keeps."""
    return Held(key=chunk.key, t0_ns=chunk.t0_ns, t1_ns=chunk.t1_ns, tokens=chunk.tokens)


def check_order(chunk: Chunk, last: Held | None) -> None:
    """Refuse a chunk that begins or ends before the last one did, or whose key does not rise. Raises TimeError."""
    if last is None:
        return
    if chunk.t0_ns < last.t0_ns or chunk.t1_ns < last.t1_ns:
        raise TimeError(
            f"chunk {chunk.key}: its span [{chunk.t0_ns}, {chunk.t1_ns}) runs backwards after "
            f"[{last.t0_ns}, {last.t1_ns}) of chunk {last.key}; feed chunks in time order or open a new session"
        )
    if chunk.key <= last.key:
        raise TimeError(f"chunk {chunk.key}: its key does not rise after {last.key}; give each chunk a new, larger key")


def check_budget(chunk: Chunk, *, least: int, max_tokens: int | None) -> None:
    """Refuse a chunk when the `least` tokens a policy must keep beside it do not fit. Raises SettingsError."""
    if max_tokens is not None and least > max_tokens:
        raise SettingsError(
            f"chunk {chunk.key} of {chunk.tokens} tokens: the policy must keep {least} tokens, but max_tokens is "
            f"{max_tokens}; raise it and the pool's slots, of which it is a share at most, or make frames smaller"
        )


def need_features(chunk: Chunk, *, policy: str) -> torch.Tensor:
    """The chunk's features. Raises SettingsError when the policy needs them and the chunk brings none."""
    if chunk.features is None:
        raise SettingsError(
            f"chunk {chunk.key} brings no features, but {policy} decides by them; "
            "pass features whenever needs_features is True"
        )
    return chunk.features
