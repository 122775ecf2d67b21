"""A window in the cache; what leaves it goes to host memory, where a router may call it back."""

from collections import OrderedDict
from collections.abc import Iterable

from models.errors import StreamError
from models.memory.records import HELD_BYTES, Change, Chunk, Held, check_budget, check_order, check_time, held_of
from models.memory.settings import MemorySettings
from models.memory.window import bounded_window, window_tokens


class UnknownChunkError(StreamError):
    """A chunk is recalled that the policy neither keeps in the cache nor in host memory."""


class RetrievalPolicy:
    """Keep the newest chunks in the cache and older ones in host memory, `host_bytes` of them at most.

    The window is that of the policy "window". When host memory is full, the chunk that was offloaded or recalled the
    longest ago is forgotten. Published with one cache block per frame as ReKV (arXiv 2503.00540), there without a
    bound on host memory.
    """

    needs_features = False

    def __init__(self, settings: MemorySettings) -> None:
        self._settings = settings
        self._window = bounded_window(settings, policy="retrieval")
        self._host: OrderedDict[int, Held] = OrderedDict()  # the least recently used first
        self._host_tokens = 0

    def observe(self, chunk: Chunk) -> Change:
        """Take the newest chunk in; offload what the window's limits push out. Raises TimeError and SettingsError."""
        check_order(chunk, self._window.newest)
        check_budget(chunk, least=chunk.tokens, max_tokens=self._settings.max_tokens)
        return self._offload(self._window.push(held_of(chunk)))

    def expire(self, now_ns: int) -> Change:
        """Offload what is older than `window_s` at `now_ns`."""
        check_time("now_ns", now_ns)
        return self._offload(self._window.expire(now_ns))

    def recalled(self, keys: Iterable[int]) -> None:
        """Note that chunks were used for an answer, in the order given: they are forgotten later than others.

        Keys of the window are passed over. Raises UnknownChunkError, and then notes none of them.
        """
        wanted = tuple(keys)
        live = set(self._window.keys())
        for key in wanted:
            if key not in self._host and key not in live:
                raise UnknownChunkError(f"chunk {key} is neither live nor offloaded; recall only keys of offloaded()")
        for key in wanted:
            if key in self._host:
                self._host.move_to_end(key)

    def live(self) -> tuple[int, ...]:
        """Keys in the cache, in time order."""
        return self._window.keys()

    def offloaded(self) -> tuple[int, ...]:
        """Keys in host memory, in time order."""
        return tuple(sorted(self._host))

    def pinned(self) -> frozenset[int]:
        """Nothing is pinned."""
        return frozenset()

    def host_bytes(self) -> int:
        """Bytes of cache that the offloaded chunks take, at `chunk_bytes` for each token."""
        return self._host_tokens * self._settings.chunk_bytes

    def nbytes(self) -> int:
        """Bytes of own state; the offloaded cache itself belongs to the session."""
        return HELD_BYTES * (len(self._window) + len(self._host))

    def max_tokens(self, *, chunk_tokens: int) -> int | None:
        """The most tokens live after a change; None when only time limits the window."""
        return window_tokens(self._settings, chunk_tokens=chunk_tokens)

    def least_tokens(self, *, chunk_tokens: int) -> int:
        """The newest chunk always stays."""
        return chunk_tokens

    def copy(self) -> "RetrievalPolicy":
        """An independent copy."""
        other = RetrievalPolicy(self._settings)
        other._window, other._host, other._host_tokens = self._window.copy(), self._host.copy(), self._host_tokens
        return other

    def _offload(self, leaving: list[Held]) -> Change:
        before = set(self._host)
        for held in leaving:
            self._host[held.key] = held
            self._host_tokens += held.tokens
        forgotten: list[int] = []
        while self.host_bytes() > self._settings.host_bytes:
            key, held = self._host.popitem(last=False)
            self._host_tokens -= held.tokens
            forgotten.append(key)
        # A chunk that would be forgotten at once never travels to host memory.
        return Change(
            evict=tuple(sorted(key for key in forgotten if key not in before)),
            offload=tuple(held.key for held in leaving if held.key in self._host),
            drop=tuple(sorted(key for key in forgotten if key in before)),
        )
