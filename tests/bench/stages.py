"""Where the time of a pass goes: timers around its stages, each charged with what no stage inside it takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from typing import ParamSpec, TypeVar
from unittest.mock import patch

P = ParamSpec("P")
R = TypeVar("R")
REST = "rest"
_END = object()


class Stages:
    """Charges the calling thread's processor seconds to the innermost stage that is open; `REST` to none."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self.seconds: Counter[str] = Counter()
        self._open = [REST]
        self._since = clock()

    def enter(self, name: str) -> None:
        """Charge what follows to this stage."""
        now = self._clock()
        self.seconds[self._open[-1]] += now - self._since
        self._open.append(name)
        self._since = now

    def leave(self) -> None:
        """Charge what follows to the stage around the innermost one."""
        now = self._clock()
        self.seconds[self._open.pop()] += now - self._since
        self._since = now

    def around(self, name: str, work: Callable[P, R]) -> Callable[P, R]:
        """The same function as a stage; of a generator, each of its steps."""

        @wraps(work)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            self.enter(name)
            try:
                return work(*args, **kwargs)
            finally:
                self.leave()

        @wraps(work)
        def steps(*args: P.args, **kwargs: P.kwargs) -> Iterator[object]:
            each = iter(work(*args, **kwargs))  # type: ignore[call-overload]  # it is a generator function
            while True:
                self.enter(name)
                try:
                    found = next(each, _END)
                finally:
                    self.leave()
                if found is _END:
                    return
                yield found

        return steps if isgeneratorfunction(work) else call  # type: ignore[return-value]  # a generator is its result

    @contextmanager
    def timed(self, places: Mapping[str, Sequence[tuple[object, str]]]) -> Iterator[None]:
        """Time the functions `(module or class, name)` of each stage while this is open."""
        with ExitStack() as patches:
            for name, functions in places.items():
                for owner, function in functions:
                    timed = self.around(name, getattr(owner, function))
                    patches.enter_context(patch.object(owner, function, timed))
            self._since = self._clock()
            yield
            self.seconds[REST] += self._clock() - self._since
