"""The last N chunks, the last seconds, the last tokens: whatever limit comes first."""

from collections import deque

from models.errors import SettingsError
from models.memory.records import HELD_BYTES, Change, Chunk, Held, check_budget, check_order, check_time, held_of
from models.memory.settings import MemorySettings


class Window:
    """Chunks in time order that leave at the old end; each call costs what it removes.

    `last` limits chunks, `window_ns` time, `max_tokens` cache slots; None is no limit. `newest` is the last chunk ever
    pushed, gone or not: time may not run back behind it.
    """

    def __init__(self, *, last: int | None, window_ns: int | None, max_tokens: int | None) -> None:
        self.newest: Held | None = None
        self.tokens = 0
        self._last = last
        self._window_ns = window_ns
        self._max_tokens = max_tokens
        self._held: deque[Held] = deque()

    def push(self, held: Held) -> list[Held]:
        """Add the newest chunk; returns what leaves, oldest first."""
        self.newest = held
        self._held.append(held)
        self.tokens += held.tokens
        return self._trim() + self.expire(held.t1_ns)

    def expire(self, now_ns: int) -> list[Held]:
        """Remove chunks whose span lies wholly before `now_ns` less the window; returns them, oldest first."""
        gone: list[Held] = []
        while self._window_ns is not None and self._held and self._held[0].t1_ns <= now_ns - self._window_ns:
            gone.append(self.pop())
        return gone

    def pop(self) -> Held:
        """Remove and return the oldest chunk."""
        oldest = self._held.popleft()
        self.tokens -= oldest.tokens
        return oldest

    def keys(self) -> tuple[int, ...]:
        """Keys in time order."""
        return tuple(held.key for held in self._held)

    def __len__(self) -> int:
        return len(self._held)

    def copy(self) -> "Window":
        """An independent copy."""
        other = Window(last=self._last, window_ns=self._window_ns, max_tokens=self._max_tokens)
        other.newest, other.tokens, other._held = self.newest, self.tokens, self._held.copy()
        return other

    def _trim(self) -> list[Held]:
        gone: list[Held] = []
        while self._last is not None and len(self._held) > self._last:
            gone.append(self.pop())
        while self._max_tokens is not None and self.tokens > self._max_tokens:
            gone.append(self.pop())
        return gone


def bounded_window(settings: MemorySettings, *, policy: str) -> Window:
    """The window that `last`, `window_s` and `max_tokens` describe. Raises SettingsError when none is given."""
    if settings.last is None and settings.window_s is None and settings.max_tokens is None:
        raise SettingsError(
            f"memory policy {policy} has no limit; set last, window_s or max_tokens, or choose the policy 'all'"
        )
    return Window(last=settings.last, window_ns=settings.window_ns, max_tokens=settings.max_tokens)


def window_tokens(settings: MemorySettings, *, chunk_tokens: int) -> int | None:
    """The most tokens such a window holds; None when only time limits it."""
    limits = [settings.max_tokens, None if settings.last is None else settings.last * chunk_tokens]
    return min((limit for limit in limits if limit is not None), default=None)


class WindowPolicy:
    """Keep the newest chunks: `last` of them at most, no older than `window_s`, in `max_tokens` together.

    Published as sliding-window attention over a stream (StreamingLLM, arXiv 2309.17453, without its sink). A baseline
    that is hard to beat: every other policy should be measured against it.
    """

    needs_features = False

    def __init__(self, settings: MemorySettings) -> None:
        self._settings = settings
        self._window = bounded_window(settings, policy="window")

    def observe(self, chunk: Chunk) -> Change:
        """Take the newest chunk in; evict what the limits push out. Raises TimeError and SettingsError."""
        check_order(chunk, self._window.newest)
        check_budget(chunk, least=chunk.tokens, max_tokens=self._settings.max_tokens)
        return Change(evict=tuple(held.key for held in self._window.push(held_of(chunk))))

    def expire(self, now_ns: int) -> Change:
        """Evict what is older than `window_s` at `now_ns`; a time before the newest chunk changes nothing more."""
        check_time("now_ns", now_ns)
        return Change(evict=tuple(held.key for held in self._window.expire(now_ns)))

    def live(self) -> tuple[int, ...]:
        """Keys in the cache, in time order."""
        return self._window.keys()

    def offloaded(self) -> tuple[int, ...]:
        """Nothing is offloaded."""
        return ()

    def pinned(self) -> frozenset[int]:
        """Nothing is pinned."""
        return frozenset()

    def nbytes(self) -> int:
        """Bytes of own state."""
        return HELD_BYTES * len(self._window)

    def max_tokens(self, *, chunk_tokens: int) -> int | None:
        """The most tokens live after a change; None when only time limits the window."""
        return window_tokens(self._settings, chunk_tokens=chunk_tokens)

    def least_tokens(self, *, chunk_tokens: int) -> int:
        """The newest chunk always stays."""
        return chunk_tokens

    def copy(self) -> "WindowPolicy":
        """An independent copy."""
        other = WindowPolicy(self._settings)
        other._window = self._window.copy()
        return other
