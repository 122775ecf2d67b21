"""How frames reach the cache: as they come (incremental), at the question (delayed), or as whole clips.

A watcher takes arrivals in order and, at a question, says which entries hold what the model remembers.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from models.backbone import Features
from models.errors import SettingsError
from models.memory.policy import MemoryPolicy
from models.metrics import Meter
from models.row import Draft
from models.track import Arrival, Scene


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Remembered:
    """What a question can look at: frame keys with their entries and features, in time order."""

    keys: tuple[int, ...]
    entries: Mapping[int, int]
    features: Mapping[int, Features]


class Watcher(Protocol):
    """The part of a session that brings frames into its cache."""

    def admit(self, arrival: Arrival) -> None:
        """Refuses a grid that could never be kept, before its features are known.

        Raises:
            SettingsError: memory or pool are too small for grids of this size.
        """
        ...

    def absorb(self, arrival: Arrival) -> None:
        """Takes the next grid."""
        ...

    def drafts(self, arrival: Arrival) -> list[Draft]:
        """Takes the next grid and leaves its forward to the caller; empty when it enters later or not at all."""
        ...

    def expires(self, now_ns: int) -> bool:
        """Whether the cache would let anything go if time passed without a frame."""
        ...

    def expire(self, now_ns: int) -> None:
        """Lets time pass without a frame."""
        ...

    def ready(self) -> Remembered:
        """Brings the cache up to date and says what it holds."""
        ...

    def compact(self) -> int:
        """Sets positions back where that can be done; returns by how much the end of the context moved."""
        ...

    def tail(self) -> Sequence[Scene]:
        """Grids that have come in but are not in the cache yet; a question takes them on its branch."""
        ...

    def feature_bytes(self) -> int:
        """Bytes of vision features kept."""
        ...

    def memory_bytes(self) -> int:
        """Bytes of the memory policy's own state."""
        ...

    def save(self) -> "Watcher":
        """The state for a snapshot; the entries themselves stay where they are."""
        ...


def check_size(policy: MemoryPolicy, tokens: int) -> None:
    """Refuses grids of so many tokens where a policy could never keep what it must. Raises SettingsError."""
    least, most = policy.least_tokens(chunk_tokens=tokens), policy.max_tokens(chunk_tokens=tokens)
    if most is not None and least > most:
        raise SettingsError(
            f"a grid of {tokens} tokens: memory must be able to keep {least} tokens, but may take {most}; raise "
            "`slots` (memory takes a share of them at most) and `max_tokens`, or lower `max_pixels`"
        )


def wait(future: Future[Features], meter: Meter) -> Features:
    """The features of a grid, waited for."""
    with meter.time("vision_wait"):
        return future.result()
