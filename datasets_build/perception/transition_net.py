"""The learned shot detector's network in NumPy: small enough that loading torch would cost more than running it.

A stack of dilated temporal convolutions with residual connections (after Bai et al., 2018) over the numbers of
`likeness.measure`; four outputs a frame: a new shot begins here; the frame lies
inside a gradual transition; inside one that goes out to a colour; inside one that comes in from a colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from datasets_build.core.files import DataError, sha256_file
from datasets_build.perception.likeness import NUMBERS, Float32s

OUTPUTS = ("cut", "gradual", "out", "in")
WEIGHTS = Path(__file__).with_name("weights") / "transitions.npz"


@dataclass(frozen=True, slots=True)
class _Block:
    dilation: int
    taps: Float32s
    taps_bias: Float32s
    mix: Float32s
    mix_bias: Float32s

    def run(self, padded: Float32s) -> Float32s:
        """What comes out for all rows but the first and the last `dilation` ones."""
        n = len(padded) - 2 * self.dilation
        inner = sum(padded[k * self.dilation : k * self.dilation + n] @ self.taps[k] for k in range(3))
        held = padded[self.dilation : self.dilation + n]
        out: Float32s = held + np.maximum(inner + self.taps_bias, 0) @ self.mix + self.mix_bias
        return out


@dataclass(frozen=True, slots=True)
class _Member:
    mean: Float32s
    spread: Float32s
    entry: Float32s
    entry_bias: Float32s
    blocks: tuple[_Block, ...]
    exit: Float32s
    exit_bias: Float32s

    def enter(self, numbers: Float32s) -> Float32s:
        held: Float32s = np.maximum((numbers - self.mean) / self.spread @ self.entry + self.entry_bias, 0)
        return held

    def leave(self, held: Float32s) -> Float32s:
        score = np.clip(held @ self.exit + self.exit_bias, -30, 30)
        chances: Float32s = (1 / (1 + np.exp(-score))).astype(np.float32)
        return chances


@dataclass(frozen=True, slots=True)
class TransitionNet:
    """Networks as `shot_training.fit` writes them, whose mean counts; `digest` is the file's SHA-256."""

    members: tuple[_Member, ...]
    digest: str

    @property
    def reach(self) -> int:
        """How many frames before and after a frame its outputs depend on."""
        return max(sum(block.dilation for block in member.blocks) for member in self.members)

    def run(self, numbers: Float32s) -> Float32s:
        """Chances `(n, 4) float32`, in the order of `OUTPUTS`, for numbers `(n, NUMBERS) float32`."""
        return NetStream(self).feed(numbers, final=True)


class NetStream:
    """Runs a network over numbers that come in parts: what a part shares with the next is computed once."""

    def __init__(self, net: TransitionNet) -> None:
        self._streams = [_MemberStream(member) for member in net.members]

    def feed(self, numbers: Float32s, *, final: bool) -> Float32s:
        """Take the next numbers, perhaps none; returns the chances that no later ones change, all when it is final."""
        told = [stream.feed(numbers, final=final) for stream in self._streams]
        n = min(map(len, told))
        for stream in self._streams:
            stream.drop(n)
        total: Float32s = np.sum([chances[:n] for chances in told], axis=0)
        return total / np.float32(len(told))


class _MemberStream:
    """One member; `feed` gives all chances that are certain and not dropped yet."""

    def __init__(self, member: _Member) -> None:
        self._member = member
        width = member.entry.shape[1]
        # Before the first row and behind the last there are zeros.
        self._held = [np.zeros((block.dilation, width), np.float32) for block in member.blocks]
        self._told = np.zeros((0, len(OUTPUTS)), np.float32)

    def feed(self, numbers: Float32s, *, final: bool) -> Float32s:
        new = self._member.enter(numbers)
        for k, block in enumerate(self._member.blocks):
            behind = np.zeros((block.dilation if final else 0, new.shape[1]), np.float32)
            padded = np.concatenate([self._held[k], new, behind])
            n = max(0, len(padded) - 2 * block.dilation)
            new = block.run(padded) if n else padded[:0]
            self._held[k] = padded[n:]
        self._told = np.concatenate([self._told, self._member.leave(new)])
        return self._told

    def drop(self, n: int) -> None:
        self._told = self._told[n:]


@lru_cache(maxsize=4)
def load_net(path: Path = WEIGHTS) -> TransitionNet:
    """Read weights. Raises DataError when the file is no weights of this network."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            held = {name: np.asarray(data[name], np.float32) for name in data.files}
        count = len({name.split(".")[0] for name in held})
        members = tuple(_member({name: held[f"{k}.{name}"] for name in _names(held, k)}) for k in range(count))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as weights of the shot detector ({error})") from error
    for member in members:
        if member.entry.shape[0] != NUMBERS or member.exit.shape[1] != len(OUTPUTS):
            raise DataError(f"{path}: is for {member.entry.shape[0]} numbers a frame, expected {NUMBERS}")
    return TransitionNet(members, sha256_file(path))


def _names(held: Mapping[str, Float32s], member: int) -> list[str]:
    return [name.split(".", 1)[1] for name in held if name.startswith(f"{member}.")]


def _member(held: Mapping[str, Float32s]) -> _Member:
    blocks = tuple(
        _Block(int(dilation), held[f"taps{k}"], held[f"taps_bias{k}"], held[f"mix{k}"], held[f"mix_bias{k}"])
        for k, dilation in enumerate(held["dilations"])
    )
    names = ("mean", "spread", "entry", "entry_bias", "exit", "exit_bias")
    mean, spread, entry, entry_bias, leave, leave_bias = (held[name] for name in names)
    return _Member(mean, spread, entry, entry_bias, blocks, leave, leave_bias)
