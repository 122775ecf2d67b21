"""Frames in, features out: what was seen before is looked up, the rest is encoded, on the spot or in the background."""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import RLock, current_thread
from types import TracebackType
from weakref import finalize

from torch import Tensor

from models.backbone import Features
from models.errors import SettingsError
from models.feature_cache import FeatureCache, SimilarCache, signature
from models.patches import FrameFormat, Frames
from models.tower import Tower
from models.vision_line import Line, Outcome, Request, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionSettings:
    """How features are made and kept.

    Attributes:
        cache_bytes: bound of the features kept by content; 0 keeps none.
        similarity: greatest mean difference of thumbnails, in 0…255, at which the features of an earlier frame stand
            in; None: only equal pixels are reused, and nothing is approximate.
        background: encode in a thread of its own.
        max_pending: how many requests may wait for the thread before `submit` blocks.
        batch: how many waiting requests the thread encodes in one call. With 1 the features depend on the frames
            alone; with more, on chance too, in the last bits of float32, since products of other sizes round otherwise.
    """

    cache_bytes: int = 256 * 2**20
    similarity: float | None = None
    background: bool = True
    max_pending: int = 8
    batch: int = 1

    def __post_init__(self) -> None:
        for name, least in (("cache_bytes", 0), ("max_pending", 1), ("batch", 1)):
            value = {"cache_bytes": self.cache_bytes, "max_pending": self.max_pending, "batch": self.batch}[name]
            if type(value) is not int or value < least:
                raise SettingsError(f"{name}: found {value!r}, expected an int of {least} or more")
        if type(self.background) is not bool:
            raise SettingsError(f"background: found {self.background!r}, expected true or false")
        if self.similarity is not None and (
            type(self.similarity) not in (int, float) or not 0 < self.similarity <= 255
        ):
            raise SettingsError(f"similarity: found {self.similarity!r}, expected null or a number in (0, 255]")


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionStats:
    """What an encoder has done so far: every request is in exactly one count from `encoded` to `failed`, or open.

    Attributes:
        submitted: requests taken.
        encoded: requests for which the tower ran.
        exact_hits: requests whose pixels had been encoded before, or were being encoded for another request.
        similar_hits: requests answered with the features of a similar frame.
        cancelled: requests given up before they began.
        failed: requests that ended in an error.
        pending: requests that wait for the thread.
        seconds: time of the host in resizing and encoding; an accelerator may still be at work after it.
        held_bytes: bytes of features kept.
    """

    submitted: int
    encoded: int
    exact_hits: int
    similar_hits: int
    cancelled: int
    failed: int
    pending: int
    seconds: float
    held_bytes: int


class Encoder:
    """Turns the frames of grids into features, each content once.

    Requests are answered in the order in which they were submitted. With `similarity` off and `batch` 1, features are
    the same bit for bit with and without the thread. Callbacks of a future run in the thread that answers it, and must
    not submit to, drain or close the same encoder.
    """

    def __init__(self, tower: Tower, frame_format: FrameFormat, settings: VisionSettings) -> None:
        """Starts the thread, if there is to be one.

        Args:
            tower: encodes.
            frame_format: how frames become patches of this tower.
            settings: what is kept, and who works.
        """
        self.settings = settings
        self._tower = tower
        self._format = frame_format
        self._name = frame_format.fingerprint + tower.fingerprint
        self._cache = FeatureCache(settings.cache_bytes)
        self._similar = None if settings.similarity is None else SimilarCache(settings.similarity)
        self._seconds = 0.0
        self._line = Line()
        # Whoever holds it owns the caches; all else is guarded by the line.
        self._working = RLock()
        self._thread: Server | None = None
        if settings.background:
            self._thread = Server(self._line, self._answer, batch=settings.batch)
            self._thread.start()
            # The thread waits on the line alone: an encoder that nobody uses any more ends it.
            finalize(self, self._line.close, cancel=True).atexit = False

    def __enter__(self) -> "Encoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=error is not None)

    def submit(self, frames: Frames) -> Future[Features]:
        """Asks for the features of one grid.

        Blocks while `max_pending` requests wait; nothing is ever dropped. The frames are copied before it returns.
        Cancelling the future before its turn saves the work.

        Args:
            frames: uint8 (temporal, height, width, 3).

        Returns:
            A future of the features, done already where there is no thread. An error of the tower arrives through it.

        Raises:
            FrameError: the frames do not fit the format.
            ClosedError: the encoder is closed, or was closed while this call waited.
        """
        pixels = self._format.check(frames)
        if self._thread is None:
            return self._at_once(Request(pixels))
        request = Request(pixels.clone() if isinstance(frames, Tensor) else pixels)
        self._line.put(request, most=self.settings.max_pending)
        return request.future

    def drain(self) -> None:
        """Returns when everything submitted so far, by any thread, is answered."""
        self._line.drain()

    def close(self, *, cancel: bool = False) -> None:
        """Answers what waits, then ends the thread; a second call does nothing.

        Args:
            cancel: cancel what waits instead of answering it.
        """
        self._line.close(cancel=cancel)
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join()

    def check_open(self) -> None:
        """Raises ClosedError where it takes no more frames."""
        self._line.check_open()

    def stats(self) -> VisionStats:
        """What has been done so far."""
        with self._line.changed:
            return VisionStats(
                submitted=self._line.submitted,
                encoded=self._line.counts[Outcome.ENCODED],
                exact_hits=self._line.counts[Outcome.EXACT],
                similar_hits=self._line.counts[Outcome.SIMILAR],
                cancelled=self._line.counts[Outcome.CANCELLED],
                failed=self._line.counts[Outcome.FAILED],
                pending=len(self._line.waiting),
                seconds=self._seconds,
                held_bytes=self._cache.nbytes,
            )

    def _at_once(self, request: Request) -> Future[Features]:
        self._line.count_in()
        request.future.set_running_or_notify_cancel()
        self._answer([request])
        return request.future

    def _answer(self, requests: Sequence[Request]) -> None:
        """Looks up or encodes begun requests, in order; an error goes to those whom it concerns."""
        with self._working:
            groups: dict[bytes, list[Request]] = {}
            for request in requests:
                try:
                    self._route(request, groups)
                except Exception as error:  # noqa: BLE001 - travels to the future
                    self._fail([request], error)
            if groups:
                self._encode(groups)

    def _route(self, request: Request, groups: dict[bytes, list[Request]]) -> None:
        """Answers a request from the caches, or puts it into the group of its key."""
        key = request.key(self._name)
        if key not in groups and key not in self._cache and self._similar is not None:
            seen = signature(request.frames, self._grid(request))
            like = next((old for old in self._similar.like(seen) if old in groups or old in self._cache), None)
            if like is None:
                self._similar.add(seen, key)
            else:
                key, request.outcome = like, Outcome.SIMILAR
        elif key in groups or key in self._cache:
            request.outcome = Outcome.EXACT
        kept = self._cache.get(key)
        if kept is None:
            groups.setdefault(key, []).append(request)
        else:
            self._finish(request, kept)

    def _encode(self, groups: dict[bytes, list[Request]]) -> None:
        """One call of the tower for all groups."""
        started = time.perf_counter()
        firsts = [members[0] for members in groups.values()]
        try:
            patches = [self._format.patchify(request.frames) for request in firsts]
            found = self._tower.encode(patches, [self._grid(request) for request in firsts])
        except Exception as error:  # noqa: BLE001 - travels to the futures
            self._fail([request for members in groups.values() for request in members], error)
            return
        finally:
            with self._line.changed:
                self._seconds += time.perf_counter() - started
        for (key, members), features in zip(groups.items(), found, strict=True):
            self._cache.put(key, features)
            for request in members:
                self._finish(request, features)
            if key not in self._cache and self._similar is None:
                self._share(key, features)

    def _share(self, key: bytes, features: Features) -> None:
        """Answers waiting requests for the same pixels, where the cache is too small to hold the features."""
        with self._line.changed:
            waiting = list(self._line.waiting)
        same = {request for request in waiting if request.key(self._name) == key}
        with self._line.changed:
            # Nobody else takes from the queue.
            self._line.waiting = deque(request for request in self._line.waiting if request not in same)
            self._line.changed.notify_all()
        for request in waiting:
            if request not in same:
                continue
            if request.future.set_running_or_notify_cancel():
                request.outcome = Outcome.EXACT
                self._finish(request, features)
            else:
                self._line.count(Outcome.CANCELLED)

    def _grid(self, request: Request) -> tuple[int, int]:
        return self._format.grid(int(request.frames.shape[1]), int(request.frames.shape[2]))

    def _finish(self, request: Request, features: Features) -> None:
        self._line.count(request.outcome)
        request.future.set_result(features)

    def _fail(self, requests: Sequence[Request], error: Exception) -> None:
        for request in requests:
            self._line.count(Outcome.FAILED)
            request.future.set_exception(error)
