"""Frames enter the cache as whole clips."""

from collections.abc import Sequence

from models.backbone import Features
from models.errors import PoolFullError, SettingsError
from models.positions import Cursor
from models.row import Draft
from models.track import Arrival, Scene, Track, scene_of
from models.watcher import Remembered, wait


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

    def admit(self, arrival: Arrival) -> None:
        """Refuses a grid of which no clip would fit in the pool."""
        need, slots = self._grids * self.track.tokens(arrival), self.track.row.pool.slots
        if need > slots:
            raise SettingsError(
                f"a grid of {self.track.tokens(arrival)} tokens: a clip of {self._grids} needs {need} slots, the pool "
                f"has {slots}; raise `slots`, or lower `clip_frames` or `max_pixels`"
            )

    def absorb(self, arrival: Arrival) -> None:
        """Takes a grid; the last one of a clip brings the clip in."""
        self.track.run(self.drafts(arrival))

    def drafts(self, arrival: Arrival) -> list[Draft]:
        """Takes a grid; with the last one of a clip, returns the placed clip.

        Raises:
            PoolFullError: the clip does not fit; nothing has changed then.
        """
        waiting = [*self._waiting, arrival]
        if len(waiting) < self._grids:
            self._waiting = waiting
            return []
        clip = {grid.key: self._scene(grid) for grid in waiting}
        system = self.track.start()
        self._check_room(list(clip.values()))
        self.track.row.free([entry for entry, _ in self._clip.values()])
        self.track.meter.evicted += len(self._clip)
        start = Cursor(next=self.track.row.entry(system).end)
        drafts, self.track.cursor = self.track.place(list(clip.values()), sees=[system], cursor=start)
        self._waiting = []
        self._clip = {
            key: (draft.entry.id, scene.features) for (key, scene), draft in zip(clip.items(), drafts, strict=True)
        }
        return drafts

    def _check_room(self, clip: Sequence[Scene]) -> None:
        freed = self.track.row.freeable(entry for entry, _ in self._clip.values())
        need, free = sum(self.track.tokens(scene) for scene in clip), self.track.row.available
        if need > free + freed:
            raise PoolFullError(
                f"pool: a clip needs {need} slots; {free} are free and the clip before it lets go of {freed}. "
                "Raise `slots`, lower `max_pixels` or `clip_frames`, or close the answer or snapshot that is open"
            )

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
        return [self._scene(arrival) for arrival in self._waiting]

    def _scene(self, arrival: Arrival) -> Scene:
        try:
            return scene_of(arrival, wait(arrival.future, self.track.meter))
        except Exception:
            # A grid that cannot be encoded is told of once; kept, it would break every clip to come.
            self._waiting = [other for other in self._waiting if other is not arrival]
            self.track.give_up(arrival.last_ns)
            raise

    def feature_bytes(self) -> int:
        """Bytes of the features of the clip in the cache."""
        return sum(features.nbytes for _, features in self._clip.values())

    def expires(self, now_ns: int) -> bool:  # noqa: ARG002 - the same at every time
        """Nothing that the cache holds is let go by time alone."""
        return False

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
