"""The line in which frames wait for their features, and the thread that serves it."""

import atexit
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import Enum
from threading import Condition, Thread
from weakref import WeakMethod, WeakSet

import torch
from torch import Tensor

from models.backbone import Features
from models.errors import ClosedError
from models.feature_cache import content_key


class Outcome(Enum):
    """How a request ended."""

    ENCODED = "encoded"
    EXACT = "exact"
    SIMILAR = "similar"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Request:
    """Frames that want features; how they get them is filled in on the way."""

    __slots__ = ("_key", "frames", "future", "outcome")

    def __init__(self, frames: Tensor) -> None:
        self.frames = frames
        self.future: Future[Features] = Future()
        self.outcome = Outcome.ENCODED
        self._key: bytes | None = None

    def key(self, encoder: bytes) -> bytes:
        """The content key, hashed once."""
        if self._key is None:
            self._key = content_key(self.frames, encoder)
        return self._key


class Line:
    """Requests that wait, and how many ended how; `changed` guards all of it.

    Attributes:
        changed: notified of every change.
        waiting: requests that nobody has begun, oldest first.
        counts: requests by how they ended.
        submitted: requests taken in.
        busy: some are being answered.
        closed: no more are taken in.
    """

    def __init__(self) -> None:
        self.changed = Condition()
        self.waiting: deque[Request] = deque()
        self.counts = dict.fromkeys(Outcome, 0)
        self.submitted = 0
        self.busy = False
        self.closed = False

    def check_open(self) -> None:
        """Raises ClosedError where no more requests are taken in."""
        if self.closed:
            raise ClosedError(
                "encoder: found it closed, expected it open; make another, or open another session of the model"
            )

    def count_in(self) -> None:
        """Counts a request that comes. Raises ClosedError."""
        with self.changed:
            self.check_open()
            self.submitted += 1

    def count(self, outcome: Outcome) -> None:
        """Counts a request that ended."""
        with self.changed:
            self.counts[outcome] += 1

    def put(self, request: Request, *, most: int) -> None:
        """Waits until fewer than `most` requests wait, then takes one in. Raises ClosedError."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or len(self.waiting) < most)
            self.count_in()
            self.waiting.append(request)
            self.changed.notify_all()

    def take(self, most: int) -> list[Request]:
        """The next requests that nobody cancelled, which count as begun; none: closed, and nothing is left."""
        taken: list[Request] = []
        with self.changed:
            while not taken:
                self.changed.wait_for(lambda: self.closed or self.waiting)
                if not self.waiting:
                    break
                while self.waiting and len(taken) < most:
                    request = self.waiting.popleft()
                    if request.future.set_running_or_notify_cancel():
                        taken.append(request)
                    else:
                        self.counts[Outcome.CANCELLED] += 1
                self.busy = bool(taken)
                self.changed.notify_all()
        return taken

    def rest(self) -> None:
        """What was taken is answered."""
        with self.changed:
            self.busy = False
            self.changed.notify_all()

    def drain(self) -> None:
        """Returns when everything taken in so far, by any thread, is answered."""
        with self.changed:
            self.changed.wait_for(lambda: not self.waiting and not self.busy)

    def close(self, *, cancel: bool) -> None:
        """Takes no more in; what waits is still answered, or cancelled."""
        with self.changed:
            self.closed = True
            if cancel:
                for request in self.waiting:
                    request.future.cancel()
            self.changed.notify_all()


class Server(Thread):
    """Answers a line's requests until it is closed and empty.

    It does not keep alive whom it works for, so that a model nobody uses any more gives its memory back; and none is
    at work when the interpreter ends, since an accelerator's library would abort the process then.

    Args:
        line: where requests wait.
        answer: a bound method; the thread ends when its object is gone.
        batch: how many requests it is given at once.
    """

    def __init__(self, line: Line, answer: Callable[[Sequence[Request]], None], *, batch: int) -> None:
        super().__init__(name="vision", daemon=True)
        self.line = line
        self._answer = WeakMethod(answer)
        self._batch = batch
        # OpenMP counts for each thread anew; products that are cut another way round otherwise.
        self._threads = torch.get_num_threads()
        _SERVERS.add(self)

    def run(self) -> None:
        """Serves."""
        torch.set_num_threads(self._threads)
        while requests := self.line.take(self._batch):
            self._serve(requests)
            self.line.rest()

    def _serve(self, requests: Sequence[Request]) -> None:
        answer = self._answer()
        if answer is not None:
            answer(requests)
            return
        for request in requests:
            self.line.count(Outcome.CANCELLED)
            request.future.set_exception(ClosedError("encoder: its model is gone; keep the model while it is used"))


_SERVERS: WeakSet[Server] = WeakSet()


@atexit.register
def end_servers() -> None:
    """Ends all threads; what waits is cancelled."""
    servers = list(_SERVERS)
    for server in servers:
        server.line.close(cancel=True)
    for server in servers:
        if server.is_alive():
            server.join()
