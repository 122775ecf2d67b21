"""Items made by a thread of their own before they are asked for: decoding goes on while pictures are looked at."""

from __future__ import annotations

import threading
from collections.abc import Generator
from queue import Queue
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Generator[T], *, most: int) -> Generator[T]:
    """The same items in the same order, then the same error; up to one and a half times `most` of them wait.

    Args:
        items: runs in the thread, and is closed there when it is over or nobody listens any more.
        most: they change hands in runs of half as many, because each change costs about what a small picture does.
    """
    line: Queue[tuple[list[T], BaseException | None, bool]] = Queue(maxsize=1)
    is_wanted = threading.Event()
    is_wanted.set()
    thread = threading.Thread(target=_fill, args=(line, items, max(1, most // 2), is_wanted), daemon=True)
    thread.start()
    goes_on = True
    try:
        while goes_on:
            held, error, goes_on = line.get()
            yield from held
            if error is not None:
                raise error
    finally:
        is_wanted.clear()
        while goes_on:
            goes_on = line.get()[2]
        thread.join()


def _fill(
    line: Queue[tuple[list[T], BaseException | None, bool]],
    items: Generator[T],
    run: int,
    is_wanted: threading.Event,
) -> None:
    held: list[T] = []
    failed: BaseException | None = None
    try:
        for item in items:
            held.append(item)
            if len(held) == run:
                line.put((held, None, True))
                held = []
            if not is_wanted.is_set():
                break
        items.close()
    # Whatever it is, it is the listener's to see.
    except BaseException as error:  # noqa: BLE001 - see above
        failed = error
    line.put((held, failed, False))
