"""No forgetting at all: for one-shot use, short clips and tests."""

from models.memory.records import HELD_BYTES, Change, Chunk, Held, check_order, check_time, held_of
from models.memory.settings import MemorySettings


class KeepAll:
    """Every chunk lives for ever; the cache grows with the stream, and no setting limits it."""

    needs_features = False

    def __init__(self, settings: MemorySettings) -> None:
        self._settings = settings
        self._keys: list[int] = []
        self._newest: Held | None = None

    def observe(self, chunk: Chunk) -> Change:
        """Take the chunk in; nothing leaves. Raises TimeError."""
        check_order(chunk, self._newest)
        self._newest = held_of(chunk)
        self._keys.append(chunk.key)
        return Change()

    def expire(self, now_ns: int) -> Change:
        """Nothing ever expires."""
        check_time("now_ns", now_ns)
        return Change()

    def live(self) -> tuple[int, ...]:
        """All keys, in time order."""
        return tuple(self._keys)

    def offloaded(self) -> tuple[int, ...]:
        """Nothing is offloaded."""
        return ()

    def pinned(self) -> frozenset[int]:
        """Nothing needs a pin."""
        return frozenset()

    def nbytes(self) -> int:
        """Bytes of own state: eight for each key, growing."""
        return 8 * len(self._keys) + (HELD_BYTES if self._newest else 0)

    def max_tokens(self, *, chunk_tokens: int) -> int | None:  # noqa: ARG002 - the protocol's name
        """No bound can be told."""
        return None

    def least_tokens(self, *, chunk_tokens: int) -> int:
        """Every chunk stays."""
        return chunk_tokens

    def copy(self) -> "KeepAll":
        """An independent copy."""
        other = KeepAll(self._settings)
        other._keys, other._newest = self._keys.copy(), self._newest
        return other
