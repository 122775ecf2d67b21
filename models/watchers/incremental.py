"""Frames enter the cache as they come; memory evicts blocks, and what is left keeps what it has seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.backbone import Features
from models.blocks import Block
from models.errors import PoolFullError
from models.memory.policy import MemoryPolicy
from models.memory.records import Change, Merged
from models.row import Draft, Entry
from models.slots import Stored
from models.track import Arrival, Scene, Track, merged_scene, scene_of
from models.watcher import Remembered, check_size, wait


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offloaded:
    """A block in host memory; `delta`: by how much the end of the context has moved since it left the cache."""

    entry: Entry
    stored: Stored
    features: Features | None
    delta: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of keys, values and features."""
        return self.stored.nbytes + (0 if self.features is None else self.features.nbytes)


class Incremental:
    """Each grid enters the cache as it comes; memory evicts blocks, and what is left keeps what it has seen.

    Args:
        track: the session's line of frames.
        policy: decides which grids live.
        keep_features: a router will ask for the features of what lives.
    """

    def __init__(self, track: Track, policy: MemoryPolicy, *, keep_features: bool) -> None:
        self.track = track
        self.policy = policy
        self.offloaded: dict[int, Offloaded] = {}
        self._keep = keep_features
        self._entries: dict[int, int] = {}
        self._features: dict[int, Features] = {}

    def admit(self, arrival: Arrival) -> None:
        """Refuses a grid that memory could never keep."""
        check_size(self.policy, self.track.tokens(arrival))

    def absorb(self, arrival: Arrival) -> None:
        """Memory decides, what it lets go is freed, and the grid enters the cache in one forward."""
        self.track.run(self.drafts(arrival))

    def drafts(self, arrival: Arrival) -> list[Draft]:
        """Memory decides; returns the placed grid, merged ones before it, for a forward that the caller runs.

        Raises:
            PoolFullError: what memory would let go does not make room; nothing has changed then.
        """
        features = wait(arrival.future, self.track.meter)
        self.track.start()
        policy = self.policy.copy()
        change = policy.observe(
            arrival.chunk(features if policy.needs_features else None, tokens=self.track.tokens(arrival))
        )
        merged = {merge.key: self._merged(merge, 1 + len(features.deepstack)) for merge in change.merge}
        entering = {arrival.key: scene_of(arrival, features)} if arrival.key in policy.live() else {}
        self._check_room([*merged.values(), *entering.values()], change)
        away = self._copies(change)
        self.policy = policy
        self._forget(change, away)
        for merge in change.merge:
            self._drop(merge.of)
        return [self._enter(key, scene) for key, scene in (*merged.items(), *entering.items())]

    def _merged(self, merge: Merged, parts: int) -> Scene:
        # The newest grid is never the first of those that are merged, so that one is in the cache.
        return merged_scene(merge, self.track.row.entry(self._entries[merge.of[0]]), parts)

    def _check_room(self, scenes: Sequence[Scene], change: Change) -> None:
        gone = (*change.evict, *change.offload, *(key for merged in change.merge for key in merged.of))
        freed = self.track.row.freeable(self._entries[key] for key in gone if key in self._entries)
        need, free = sum(self.track.tokens(scene) for scene in scenes), self.track.row.available
        if need > free + freed:
            raise PoolFullError(
                f"pool: a grid needs {need} slots; {free} are free and memory lets go of {freed}. "
                "Raise `slots`, lower `max_pixels`, or close the answer or snapshot that is open"
            )

    def _enter(self, key: int, scene: Scene) -> Draft:
        # A merged grid stands among the past; it knows what came before it, as if it had come in like that.
        before = [live for live in self._order() if self._block(live).t0_ns < scene.t0_ns]
        text = self.track.text(scene.last_ns)
        seen = [self.track.start(), *(self._entries[live] for live in before), *text]
        [draft], cursor = self.track.place([scene], sees=seen, cursor=self.track.cursor)
        if scene.cursor is None:
            self.track.cursor = cursor
        self._entries[key] = draft.entry.id
        if self._keep:
            self._features[key] = scene.features
        return draft

    def _block(self, key: int) -> Block:
        return self.track.row.entry(self._entries[key]).block

    def _order(self) -> list[int]:
        """Keys in the cache by time."""
        return sorted(self._entries, key=lambda key: self._block(key).t0_ns)

    def _copies(self, change: Change) -> dict[int, Offloaded]:
        """What goes to host memory, copied before anything is decided: a copy that fails leaves all as it was."""
        copies = {}
        for key in change.offload:
            entry, features = self.track.row.entry(self._entries[key]), self._features.get(key)
            kept = None if features is None else features.to(entry.slots.device)
            copies[key] = Offloaded(entry=entry, stored=self.track.row.copy_out(entry.id), features=kept)
        return copies

    def _forget(self, change: Change, away: dict[int, Offloaded]) -> None:
        self.track.meter.evicted += len(change.evict) + len(change.drop)
        self.offloaded |= away
        for key in change.drop:
            del self.offloaded[key]
        self._drop([*change.evict, *away])

    def _drop(self, keys: Sequence[int]) -> None:
        # The newest grid may be let go before it has entered.
        self.track.row.free([self._entries.pop(key) for key in keys if key in self._entries])
        for key in keys:
            self._features.pop(key, None)

    def expires(self, now_ns: int) -> bool:
        """Whether the cache would let anything go if time passed without a frame."""
        change = self.policy.copy().expire(now_ns)
        return bool(change.evict or change.offload)

    def expire(self, now_ns: int) -> None:
        """Lets time pass without a frame."""
        policy = self.policy.copy()
        change = policy.expire(now_ns)
        away = self._copies(change)
        self.policy = policy
        self._forget(change, away)

    def ready(self) -> Remembered:
        """What the cache holds."""
        self.track.start()
        keys = tuple(self._order())
        return Remembered(keys=keys, entries=dict(self._entries), features=dict(self._features))

    def tail(self) -> Sequence[Scene]:
        """Nothing waits: every grid that came in has entered."""
        return ()

    def feature_bytes(self) -> int:
        """Bytes of the features kept for a router."""
        return sum(features.nbytes for features in self._features.values())

    def compact(self) -> int:
        """Sets positions back; returns by how much the end moved."""
        delta = self.track.compact([self._entries[key] for key in self._order()])
        self.offloaded = {key: replace(kept, delta=kept.delta + delta) for key, kept in self.offloaded.items()}
        return delta

    def recall(self, keys: Sequence[int]) -> list[int]:
        """Copies blocks back from host memory beside the cache's own; the caller frees the entries.

        Raises:
            PoolFullError: they do not all fit; none is back then.
        """
        row, entries = self.track.row, list[int]()
        first = row.entry(self.track.start()).end
        try:
            for key in keys:
                kept = self.offloaded[key]
                back = row.put_back(kept.entry, kept.stored)
                entries.append(back.id)
                # Positions that were set back since have no place for the distant past: it stands at their beginning.
                delta = max(kept.delta, min(0, first - int(back.positions.min())))
                row.move(back.id, delta=(delta, delta, delta), cursor=back.cursor)
        except BaseException:
            row.free(entries)
            raise
        return entries

    def memory_bytes(self) -> int:
        """Bytes of the memory policy's own state."""
        return self.policy.nbytes()

    def save(self) -> "Incremental":
        """A copy of what lives; the track is shared."""
        saved = Incremental(self.track, self.policy.copy(), keep_features=self._keep)
        saved.offloaded = dict(self.offloaded)
        saved._entries, saved._features = dict(self._entries), dict(self._features)
        return saved
