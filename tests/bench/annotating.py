"""What rounds of annotation cost as they grow: `python -m tests.bench.annotating [--items 10000] [--small 500]`.

On a Label Studio of its own, started anew, which is looked for as the tests look for it; without one nothing is
measured. Two rounds of items without films are pushed, and people's work in them is pulled: what a pull costs should
follow from what changed, not from how much there is. A pull is all that the command does once it runs: the round is
read from the disk, its project found, the changes listed and written. The two rounds are pulled in turn.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from annotate import server
from annotate.access import Access
from annotate.board import Studio
from annotate.people import People
from annotate.pull import OVERLAP_S, pull
from annotate.push import find_project, push
from annotate.rounds import load
from annotate.studio import MARGIN, LabelStudio, enter
from datasets_build.core.records import Json
from tests.annotate.rounds_of_items import CONFIG_OF_VIDEOS, posting, reading, some_round
from tests.annotate.servers import mark_installed
from tests.bench.ratios import Line, show

PUSH_S = 180.0
"""What a push of 10,000 items may take; of fewer, as much less."""
MOST = 2.0
"""How many times what a pull of the small round costs one of the big round may cost, for the same changes."""
LEAST = 10.0
"""How many times what a pull of 10 changes costs one of all of 10,000 has to cost; of fewer, as much less."""
CHANGES = (10, 100)
SETTLE_S = MARGIN.total_seconds() + OVERLAP_S + 1
RESULT: list[Json] = [
    {
        "id": "n1",
        "from_name": "events",
        "to_name": "video",
        "type": "timelinelabels",
        "value": {"ranges": [{"start": 1, "end": 20}], "timelinelabels": ["jump"]},
    }
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a pull took: seconds by the clock, processor seconds of this process, tasks that it read."""

    wall_s: float
    own_s: float
    tasks: int


class Stand:
    """A round of items on a server, and somebody who annotates tasks there, by their numbers."""

    def __init__(self, root: Path, items: int, board: Studio, annotate: Callable[[int], object]) -> None:
        self.root, self.items, self.board, self.annotate = root, items, board, annotate
        self.name = f"of-{items}"
        # Spread over the round, each item once.
        self._untouched = iter(random.Random(0).sample(range(items), items))

    def push(self) -> float:
        """Sends all; seconds."""
        round_ = some_round(self.root, self.items, name=self.name, config=CONFIG_OF_VIDEOS)
        begun = time.perf_counter()
        push(round_, self.board, config=CONFIG_OF_VIDEOS, posting=posting)
        return time.perf_counter() - begun

    def work(self, changes: int) -> None:
        """Annotates items that nobody has annotated yet."""
        round_ = load(self.root, self.name)
        keys = [round_.items[next(self._untouched)].key for _ in range(changes)]
        tasks = self.board.keys(find_project(round_, self.board, config=CONFIG_OF_VIDEOS), keys)
        for key in keys:
            self.annotate(tasks[key][0])

    def pull(self, changes: int, *, everything: bool = False) -> Cost:
        """Brings back what was done since the last time. Raises RuntimeError where that is not what was done."""
        begun, own = time.perf_counter(), time.thread_time()
        round_ = load(self.root, self.name)
        done = pull(
            round_,
            self.board,
            project=find_project(round_, self.board, config=CONFIG_OF_VIDEOS),
            reading=reading(),
            people=People(self.root.parent / "people.json"),
            everything=everything,
        )
        cost = Cost(wall_s=time.perf_counter() - begun, own_s=time.thread_time() - own, tasks=done.tasks)
        if (done.new, done.rows) != (changes, changes):
            raise RuntimeError(f"round {self.name}: pulled {done.new} new of {done.rows} rows, expected {changes}")
        return cost


def settle(stands: Sequence[Stand], sleep: Callable[[float], None]) -> None:
    """Pulls once, and lets a change follow far enough behind the push that no later pull reads that again."""
    for stand in stands:
        stand.pull(0)
    sleep(SETTLE_S)
    for stand in stands:
        stand.work(1)
        stand.pull(1)


def pulls(stands: Sequence[Stand], changes: int, rounds: int) -> list[list[Cost]]:
    """What pulls of as many changes cost, by stand, round after round; another stand begins each round."""
    costs: list[list[Cost]] = [[] for _ in stands]
    for turn in range(rounds):
        for stand in stands:
            stand.work(changes)
        for at in sorted(range(len(stands)), reverse=bool(turn % 2)):
            costs[at].append(stands[at].pull(changes))
    return costs


def pushed(big: Stand, small: Stand) -> Iterator[Line]:
    """Pushes both rounds."""
    few_s, many_s = small.push(), big.push()
    ours, baseline = 1000 * many_s / big.items, 1000 * few_s / small.items
    most = PUSH_S * big.items / 10_000
    yield Line(what=f"push of {big.items:,} items, in seconds", ours=f"{many_s:.0f} s", value=many_s, most=most)
    yield Line(
        what=f"an item of it, against one of {small.items:,}",
        ours=f"{ours:.1f} ms",
        baseline=f"{baseline:.1f} ms",
        value=ours / baseline,
    )


def pulled(big: Stand, small: Stand, changes: int, costs: Sequence[Sequence[Cost]]) -> Iterator[Line]:
    """Rows about pulls of as many changes: by the clock, bounded, and this process's own part of it."""
    many, few = costs
    yield Line(
        what=f"pull of {changes} changes of {big.items:,} items, against {small.items:,}",
        ours=f"{_wall(many):.2f} s, {_tasks(many)} tasks read",
        baseline=f"{_wall(few):.2f} s, {_tasks(few)} tasks read",
        value=statistics.median(a.wall_s / b.wall_s for a, b in zip(many, few, strict=True)),
        most=MOST,
    )
    yield Line(
        what="of that not the server's: processor time of the puller",
        ours=f"{1000 * _own(many):.0f} ms",
        baseline=f"{1000 * _own(few):.0f} ms",
        value=_own(many) / _own(few),
    )


def whole(big: Stand, costs: Sequence[Cost]) -> Line:
    """The row about a pull of everything, against those of a few changes of the same round."""
    everything = big.pull(0, everything=True)
    return Line(
        what=f"pull of {CHANGES[0]} changes, against --everything of the same {big.items:,}",
        ours=f"{_wall(costs):.2f} s",
        baseline=f"{everything.wall_s:.1f} s, {everything.tasks:,} tasks read",
        value=everything.wall_s / _wall(costs),
        least=LEAST * big.items / 10_000,
    )


def _wall(costs: Sequence[Cost]) -> float:
    return statistics.median(cost.wall_s for cost in costs)


def _own(costs: Sequence[Cost]) -> float:
    return statistics.median(cost.own_s for cost in costs)


def _tasks(costs: Sequence[Cost]) -> int:
    return int(statistics.median_high(cost.tasks for cost in costs))


def run(big: Stand, small: Stand, *, rounds: int, sleep: Callable[[float], None] = time.sleep) -> list[Line]:
    """All rows."""
    lines = list(pushed(big, small))
    settle((big, small), sleep)
    measured = {changes: pulls((big, small), changes, rounds) for changes in CHANGES}
    for changes, costs in measured.items():
        lines += pulled(big, small, changes, costs)
    return [*lines, whole(big, measured[CHANGES[0]][0])]


def missing() -> str | None:
    """What is not there that a measurement needs, None where all is. Raises SystemExit for a variable that is wrong."""
    venv = _venv()
    if not (venv / "bin" / "label-studio").exists():
        if "STREAMVL_TEST_STUDIO" in os.environ:
            raise SystemExit(f"STREAMVL_TEST_STUDIO={venv}: holds no bin/label-studio")
        return f"no Label Studio in {venv}; `make label-studio` makes it"
    try:
        version("label-studio-sdk")
    except PackageNotFoundError:
        return "no label-studio-sdk; `make label-studio` installs it"
    return None


def _venv() -> Path:
    named = os.environ.get("STREAMVL_TEST_STUDIO")
    return Path(named) if named else server.default_home() / "venv"


@contextmanager
def served(home: Path) -> Iterator[Access]:
    """A server in a folder of its own, ended at the end."""
    home.mkdir(mode=0o700)
    (home / "venv").symlink_to(_venv().resolve())
    mark_installed(home)
    try:
        yield server.start(home)
    finally:
        server.stop(home)


def annotator(studio: LabelStudio) -> Callable[[int], object]:
    """Somebody who works through the server's own interface."""
    client = studio._wire.client
    return lambda task: client.annotations.create(id=task, result=RESULT, lead_time=1.0)


def main() -> int:
    """Starts a server, measures, and prints; exit code 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--small", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    needed = 1 + given.rounds * sum(CHANGES)
    if min(given.items, given.small) < needed:
        parser.error(f"--small: found {given.small}, expected at least {needed} items for so many rounds")
    lacking = missing()
    if lacking is not None:
        print(f"annotating: not measured: {lacking}")
        return 0
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(Path(scratch) / "home") as access,
        enter(access) as studio,
    ):
        root, works = Path(scratch) / "rounds", annotator(studio)
        big, small = (Stand(root, items, studio, works) for items in (given.items, given.small))
        lines = run(big, small, rounds=given.rounds)
    return 0 if show("rounds of annotation on a Label Studio of their own", lines) else 1


if __name__ == "__main__":
    sys.exit(main())
