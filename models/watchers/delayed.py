"""Frames are chosen and encoded as they come, and enter the cache at the question."""

from collections.abc import Sequence

from models.backbone import Features
from models.errors import PoolFullError
from models.memory.policy import MemoryPolicy
from models.memory.records import Merged
from models.positions import Cursor
from models.row import Draft
from models.track import Arrival, Scene, Track, scene_of
from models.watcher import Remembered, check_size, wait


class Delayed:
    """Frames are chosen and encoded as they come; the language model sees them at the question, in one pass.

    A later question reuses the longest common beginning of the old and the new choice.

    Args:
        track: the session's line of frames.
        policy: decides which grids live.
    """

    def __init__(self, track: Track, policy: MemoryPolicy) -> None:
        self.track = track
        self.policy = policy
        self._chosen: dict[int, Arrival | Scene] = {}
        self._filled: list[tuple[int, int]] = []
        # Grids that a saved state shares: it may still ask for their features.
        self._shared: frozenset[int] = frozenset()

    def admit(self, arrival: Arrival) -> None:
        """Refuses a grid that memory could never keep."""
        check_size(self.policy, self.track.tokens(arrival))

    def absorb(self, arrival: Arrival) -> None:
        """Memory decides; what it lets go before it was encoded is not encoded any more."""
        needs = self.policy.needs_features
        features = wait(arrival.future, self.track.meter) if needs else None
        change = self.policy.observe(arrival.chunk(features, tokens=self.track.tokens(arrival)))
        self._chosen[arrival.key] = arrival
        for merged in change.merge:
            self._merge(merged)
        self._forget((*change.evict, *change.offload))

    def expires(self, now_ns: int) -> bool:  # noqa: ARG002 - the same at every time
        """Time alone takes nothing out of the cache: the next question does."""
        return False

    def expire(self, now_ns: int) -> None:
        """Lets time pass without a frame."""
        change = self.policy.expire(now_ns)
        self._forget((*change.evict, *change.offload))

    def _forget(self, keys: Sequence[int]) -> None:
        for key in keys:
            gone = self._chosen.pop(key, None)
            if isinstance(gone, Arrival) and key not in self._shared:
                gone.future.cancel()
        self.track.meter.evicted += len(keys)

    def drafts(self, arrival: Arrival) -> list[Draft]:
        """Takes the next grid; nothing is fed before a question."""
        self.absorb(arrival)
        return []

    def _merge(self, merged: Merged) -> None:
        members = [self._chosen.pop(key) for key in merged.of]
        first = members[0]
        parts = 1 + len(self._scene(first).features.deepstack)
        pieces = merged.features.chunk(parts, dim=-1)
        self._chosen[merged.key] = Scene(
            t0_ns=merged.t0_ns,
            last_ns=merged.t1_ns - 1,
            height=first.height,
            width=first.width,
            features=Features(embeds=pieces[0], deepstack=tuple(pieces[1:])),
        )

    def _scene(self, chosen: Arrival | Scene) -> Scene:
        return chosen if isinstance(chosen, Scene) else scene_of(chosen, wait(chosen.future, self.track.meter))

    def _encoded(self, key: int) -> Scene:
        try:
            return self._scene(self._chosen[key])
        except Exception:
            # A grid that cannot be encoded is told of once; kept, it would break every question to come.
            self.track.give_up(self._chosen.pop(key).last_ns)
            raise

    def ready(self) -> Remembered:
        """Fills the cache with the chosen grids, as one pass over system turn and frames would.

        Raises:
            PoolFullError: the grids do not fit; nothing has changed then.
        """
        system = self.track.start()
        keys = sorted(self._chosen, key=lambda key: (self._chosen[key].t0_ns, key))
        same = 0
        while same < min(len(keys), len(self._filled)) and self._filled[same][0] == keys[same]:
            same += 1
        scenes = {key: self._encoded(key) for key in keys}
        self._check_room([scenes[key] for key in keys[same:]], [entry for _, entry in self._filled[same:]])
        self.track.row.free([entry for _, entry in self._filled[same:]])
        if same < len(self._filled):
            self._filled = self._filled[:same]
            self._set_cursor(system)
        seen = [system, *(entry for _, entry in self._filled)]
        fresh = [scenes[key] for key in keys[same:]]
        drafts, self.track.cursor = self.track.place(fresh, sees=seen, cursor=self.track.cursor)
        # Noted before they are fed: where that fails they are owed, and the next forward brings them in.
        self._filled += [(key, draft.entry.id) for key, draft in zip(keys[same:], drafts, strict=True)]
        self.track.run(drafts)
        return Remembered(
            keys=tuple(keys), entries=dict(self._filled), features={key: scenes[key].features for key in keys}
        )

    def _check_room(self, scenes: Sequence[Scene], old: Sequence[int]) -> None:
        freed, free = self.track.row.freeable(old), self.track.row.available
        need = sum(self.track.tokens(scene) for scene in scenes)
        if need > free + freed:
            raise PoolFullError(
                f"pool: the chosen grids need {need} slots; {free} are free and the last choice lets go of {freed}. "
                "Raise `slots`, lower `max_pixels` or the memory's capacity, or close the answer or snapshot that is "
                "open"
            )

    def _set_cursor(self, system: int) -> None:
        cursor = Cursor(next=self.track.row.entry(system).end)
        if self._filled:
            last = self.track.row.entry(self._filled[-1][1])
            cursor = self.track.row.after(last)
        self.track.cursor = cursor

    def tail(self) -> Sequence[Scene]:
        """Nothing waits at a question."""
        return ()

    def feature_bytes(self) -> int:
        """Bytes of the chosen grids that are encoded."""
        return sum(_bytes(chosen) for chosen in self._chosen.values())

    def compact(self) -> int:
        """Nothing to do: each fill begins right behind the system turn or what it reuses."""
        return 0

    def memory_bytes(self) -> int:
        """Bytes of the memory policy's own state."""
        return self.policy.nbytes()

    def save(self) -> "Delayed":
        """A copy of the choice and of what is filled; the track is shared."""
        saved = Delayed(self.track, self.policy.copy())
        self._shared = frozenset(self._chosen)
        saved._chosen, saved._filled, saved._shared = dict(self._chosen), list(self._filled), self._shared
        return saved


def _bytes(chosen: Arrival | Scene) -> int:
    if isinstance(chosen, Scene):
        return chosen.features.nbytes
    future = chosen.future
    # A tower that failed is told of where the features are needed.
    encoded = future.done() and not future.cancelled() and future.exception() is None
    return future.result().nbytes if encoded else 0
