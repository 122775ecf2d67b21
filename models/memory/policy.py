"""The memory policies behind one protocol, chosen by name."""

from collections.abc import Mapping
from typing import Final, Protocol

from models.errors import SettingsError
from models.memory.clusters import ClusterPolicy
from models.memory.everything import KeepAll
from models.memory.records import Change, Chunk, Held, Merged
from models.memory.retrieval import RetrievalPolicy, UnknownChunkError
from models.memory.settings import MemorySettings
from models.memory.star_stream import StarStreamPolicy
from models.memory.window import WindowPolicy

__all__ = [
    "POLICIES",
    "Change",
    "Chunk",
    "Held",
    "MemoryPolicy",
    "MemorySettings",
    "Merged",
    "PolicyClass",
    "RetrievalPolicy",
    "UnknownChunkError",
    "build_policy",
]


class MemoryPolicy(Protocol):
    """Decides which chunks of an endless stream live; it moves nothing itself, the session carries its changes out.

    Every key ever observed or made by a merge is live, offloaded, or was named once in a change. `needs_features`
    tells whether chunks must bring their features.
    """

    needs_features: bool

    def observe(self, chunk: Chunk) -> Change:
        """Take in a chunk that is already in the cache. Raises TimeError when time runs backwards; nothing changes."""
        ...

    def expire(self, now_ns: int) -> Change:
        """Let time pass without a new chunk. Raises TimeError for a time that is no int."""
        ...

    def live(self) -> tuple[int, ...]:
        """Keys in the cache, in time order, each once."""
        ...

    def offloaded(self) -> tuple[int, ...]:
        """Keys in host memory, in time order."""
        ...

    def pinned(self) -> frozenset[int]:
        """Live keys that the policy protects."""
        ...

    def nbytes(self) -> int:
        """Bytes of pictures, features and numbers that the policy itself keeps; bounded, except for "all"."""
        ...

    def max_tokens(self, *, chunk_tokens: int) -> int | None:
        """The most tokens live after any change when each chunk takes `chunk_tokens`; None when none can be told.

        A pool needs one chunk more: the newest enters before the policy answers.
        """
        ...

    def least_tokens(self, *, chunk_tokens: int) -> int:
        """The tokens that it must be able to keep live, whatever else goes, when each chunk takes `chunk_tokens`."""
        ...

    def copy(self) -> "MemoryPolicy":
        """An independent copy: whatever happens to one leaves the other as it is."""
        ...


class PolicyClass(Protocol):
    """What makes a policy of settings."""

    def __call__(self, settings: MemorySettings) -> MemoryPolicy:
        """A policy that has seen nothing yet."""
        ...


POLICIES: Final[Mapping[str, PolicyClass]] = {
    "all": KeepAll,
    "clusters": ClusterPolicy,
    "retrieval": RetrievalPolicy,
    "star_stream": StarStreamPolicy,
    "window": WindowPolicy,
}


def build_policy(name: str, *, settings: MemorySettings) -> MemoryPolicy:
    """A policy that has seen nothing yet. Raises SettingsError for a name that is none of `POLICIES`."""
    if name not in POLICIES:
        raise SettingsError(f"memory policy {name!r} is unknown, expected one of {', '.join(sorted(POLICIES))}")
    return POLICIES[name](settings)
