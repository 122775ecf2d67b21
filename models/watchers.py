"""How frames reach the cache: as they come (incremental), at the question (delayed), or as whole clips.

A watcher takes arrivals in order and, at a question, says which entries hold what the model remembers.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol

from models.backbone import Features
from models.errors import PoolFullError
from models.memory.policy import MemoryPolicy
from models.memory.records import Change, Merged
from models.metrics import Meter
from models.positions import Cursor
from models.row import Draft, Entry
from models.slots import Stored
from models.track import Arrival, Scene, Track, flat, merged_scene, scene_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Remembered:
    """What a question can look at: frame keys with their entries and features, in time order."""

    keys: tuple[int, ...]
    entries: Mapping[int, int]
    features: Mapping[int, Features]


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


class Watcher(Protocol):
    """The part of a session that brings frames into its cache."""

    def absorb(self, arrival: Arrival) -> None:
        """Takes the next grid."""
        ...

    def drafts(self, arrival: Arrival) -> list[Draft]:
        """Takes the next grid and leaves its forward to the caller; empty when it enters later or not at all."""
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


def wait(future: Future[Features], meter: Meter) -> Features:
    """The features of a grid, waited for."""
    with meter.time("vision_wait"):
        return future.result()


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

    def absorb(self, arrival: Arrival) -> None:
        """Memory decides, what it lets go is freed, and the grid enters the cache in one forward."""
        self.track.run(self.drafts(arrival))

    def drafts(self, arrival: Arrival) -> list[Draft]:
        """Memory decides; returns the placed grid for a forward that the caller runs.

        Raises:
            PoolFullError: what memory would let go does not make room; nothing has changed then.
        """
        features = wait(arrival.future, self.track.meter)
        self.track.start()
        scene = scene_of(arrival, features)
        policy = self.policy.copy()
        change = policy.observe(arrival.chunk(features if policy.needs_features else None))
        self._check_room(scene, change)
        self.policy = policy
        self._forget(change)
        for merged in change.merge:
            self._merge(merged, arrival, scene)
        if arrival.key not in policy.live():
            return []
        return [self._enter(arrival.key, scene)]

    def _check_room(self, scene: Scene, change: Change) -> None:
        gone = (*change.evict, *change.offload, *(key for merged in change.merge for key in merged.of))
        freed = self.track.row.freeable(self._entries[key] for key in gone if key in self._entries)
        need, free = self.track.tokens(scene), self.track.row.available
        if need > free + freed:
            raise PoolFullError(
                f"pool: a grid needs {need} slots; {free} are free and memory lets go of {freed}. "
                "Raise `slots`, lower `max_pixels`, or close the answer or snapshot that is open"
            )

    def _enter(self, key: int, scene: Scene) -> Draft:
        seen = [self.track.start(), *(self._entries[live] for live in self._order())]
        [draft], cursor = self.track.place([scene], sees=seen, cursor=self.track.cursor)
        if scene.cursor is None:
            self.track.cursor = cursor
        self._entries[key] = draft.entry.id
        if self._keep:
            self._features[key] = scene.features
        return draft

    def _order(self) -> list[int]:
        """Keys in the cache by time."""
        return sorted(self._entries, key=lambda key: self.track.row.entry(self._entries[key]).block.t0_ns)

    def _merge(self, merged: Merged, arrival: Arrival, scene: Scene) -> None:
        first = merged.of[0]
        if first == arrival.key:
            place = scene
        else:
            parts = 1 + len(scene.features.deepstack)
            place = merged_scene(merged, self.track.row.entry(self._entries[first]), parts)
        self._drop(merged.of)
        self.track.run([self._enter(merged.key, place)])

    def _forget(self, change: Change) -> None:
        self.track.meter.evicted += len(change.evict) + len(change.drop)
        for key in change.offload:
            entry_id, features = self._entries.pop(key), self._features.pop(key, None)
            entry = self.track.row.entry(entry_id)
            kept = None if features is None else features.to(entry.slots.device)
            self.offloaded[key] = Offloaded(entry=entry, stored=self.track.row.take_out(entry_id), features=kept)
        for key in change.drop:
            del self.offloaded[key]
        self._drop(change.evict)

    def _drop(self, keys: Sequence[int]) -> None:
        # The newest grid may be let go before it has entered.
        self.track.row.free([self._entries.pop(key) for key in keys if key in self._entries])
        for key in keys:
            self._features.pop(key, None)

    def expire(self, now_ns: int) -> None:
        """Lets time pass without a frame."""
        self._forget(self.policy.expire(now_ns))

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
        """Copies blocks back from host memory beside the cache's own; the caller frees the entries."""
        entries = []
        for key in keys:
            kept = self.offloaded[key]
            back = self.track.row.put_back(kept.entry, kept.stored)
            entries.append(back.id)
            self.track.row.move(back.id, delta=(kept.delta,) * 3, cursor=back.cursor)
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

    def absorb(self, arrival: Arrival) -> None:
        """Memory decides; what it lets go before it was encoded is not encoded any more."""
        needs = self.policy.needs_features
        features = wait(arrival.future, self.track.meter) if needs else None
        change = self.policy.observe(arrival.chunk(features))
        self._chosen[arrival.key] = arrival
        for merged in change.merge:
            self._merge(merged)
        self._forget((*change.evict, *change.offload))

    def expire(self, now_ns: int) -> None:
        """Lets time pass without a frame."""
        change = self.policy.expire(now_ns)
        self._forget((*change.evict, *change.offload))

    def _forget(self, keys: Sequence[int]) -> None:
        for key in keys:
            gone = self._chosen.pop(key)
            if isinstance(gone, Arrival):
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

    def ready(self) -> Remembered:
        """Fills the cache with the chosen grids, as one pass over system turn and frames would."""
        system = self.track.start()
        keys = sorted(self._chosen, key=lambda key: (self._chosen[key].t0_ns, key))
        same = 0
        while same < min(len(keys), len(self._filled)) and self._filled[same][0] == keys[same]:
            same += 1
        self.track.row.free([entry for _, entry in self._filled[same:]])
        if same < len(self._filled):
            self._filled = self._filled[:same]
            self._set_cursor(system)
        scenes = {key: self._scene(self._chosen[key]) for key in keys}
        seen = [system, *(entry for _, entry in self._filled)]
        drafts, cursor = self.track.place([scenes[key] for key in keys[same:]], sees=seen, cursor=self.track.cursor)
        self.track.run(drafts)
        self.track.cursor = cursor
        self._filled += [(key, draft.entry.id) for key, draft in zip(keys[same:], drafts, strict=True)]
        return Remembered(
            keys=tuple(keys), entries=dict(self._filled), features={key: scenes[key].features for key in keys}
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
        scenes = [
            self._scene(chosen)
            for chosen in self._chosen.values()
            if isinstance(chosen, Scene) or (chosen.future.done() and not chosen.future.cancelled())
        ]
        return sum(scene.features.nbytes for scene in scenes)

    def compact(self) -> int:
        """Nothing to do: each fill begins right behind the system turn or what it reuses."""
        return 0

    def memory_bytes(self) -> int:
        """Bytes of the memory policy's own state."""
        return self.policy.nbytes()

    def save(self) -> "Delayed":
        """A copy of the choice and of what is filled; the track is shared."""
        saved = Delayed(self.track, self.policy.copy())
        saved._chosen, saved._filled = dict(self._chosen), list(self._filled)
        return saved


class Clips:
    """Frames enter as whole clips, each in one forward; a new clip takes the place of the old one and never sees it.

    Args:
        track: the session's line of frames.
        grids: temporal grids of a clip.
    """

    def __init__(self, track: Track, grids: int) -> None:
        self.track = track
        self._grids = grids
        self._waiting: list[Arrival] = []
        self._clip: dict[int, tuple[int, Features]] = {}

    def absorb(self, arrival: Arrival) -> None:
        """Takes a grid; the last one of a clip brings the clip in."""
        self._waiting.append(arrival)
        if len(self._waiting) < self._grids:
            return
        clip = {waiting.key: scene_of(waiting, wait(waiting.future, self.track.meter)) for waiting in self._waiting}
        system = self.track.start()
        self._waiting = []
        self.track.row.free([entry for entry, _ in self._clip.values()])
        self.track.meter.evicted += len(self._clip)
        self._clip = {}
        start = Cursor(next=self.track.row.entry(system).end)
        drafts, self.track.cursor = self.track.place(list(clip.values()), sees=[system], cursor=start)
        self.track.run(drafts)
        for (key, scene), draft in zip(clip.items(), drafts, strict=True):
            self._clip[key] = (draft.entry.id, scene.features)

    def drafts(self, arrival: Arrival) -> list[Draft]:
        """Takes a grid; a whole clip is fed at once."""
        self.absorb(arrival)
        return []

    def ready(self) -> Remembered:
        """The newest whole clip."""
        self.track.start()
        return Remembered(
            keys=tuple(self._clip),
            entries={key: entry for key, (entry, _) in self._clip.items()},
            features={key: features for key, (_, features) in self._clip.items()},
        )

    def tail(self) -> Sequence[Scene]:
        """The grids of the clip that is not whole yet."""
        return [scene_of(arrival, wait(arrival.future, self.track.meter)) for arrival in self._waiting]

    def feature_bytes(self) -> int:
        """Bytes of the features of the clip in the cache."""
        return sum(features.nbytes for _, features in self._clip.values())

    def expire(self, now_ns: int) -> None:
        """Nothing expires: the newest clip stays until the next one is whole."""

    def compact(self) -> int:
        """Nothing to do: each clip begins right behind the system turn."""
        return 0

    def memory_bytes(self) -> int:
        """No policy, no state."""
        return 0

    def save(self) -> "Clips":
        """A copy of what lives and waits; the track is shared."""
        saved = Clips(self.track, self._grids)
        saved._waiting, saved._clip = list(self._waiting), dict(self._clip)
        return saved
