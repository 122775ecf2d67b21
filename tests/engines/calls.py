"""What engines are tried with: functions that end in every way, and cases of them for a program to run.

`main(ENGINE, OUT, CASE,CASE,…)` prints one JSON line: what became of the items of each.
"""

import ctypes
import json
import os
import signal
import time
from pathlib import Path

from datasets_build.core.files import DataError
from datasets_build.core.stage import output_folder
from datasets_build.run import open_engine

# No test waits this long: it only has to outlast the start of a child on the busiest machine.
PATIENCE_S = 300
FATES = ["ok-1", "crash-1", "hang-1", "raise-1", "refuse-1", "ok-2", "large-1", "ok-3"]


def double(value):
    return 2 * value


def segfault(_):
    print("last words", flush=True)
    ctypes.string_at(0)


def hang(_):
    # A native call that holds on, as a decoder's does; Python cannot interrupt it.
    ctypes.CDLL(None).sleep(600)


def refuse(_):
    raise DataError("a.mp4: not a video")


def stumble(_):
    raise KeyError("x")


def large(_):
    # More than a cluster sends along with its answer: it lies in the store of its node.
    return bytes(1_000_000)


def fill_the_disk(_):
    with Path("/dev/full").open("wb", buffering=0) as out:
        out.write(b"x")


def fate(item):
    ends = {"ok": double, "crash": segfault, "hang": hang, "raise": stumble, "refuse": refuse, "large": large}
    return ends[item.split("-")[0]](1)


def long(item):
    time.sleep(item)
    return item


def kill_above(item):
    """Take down the process that waits for this one, which on a cluster is Ray's own; the harmless pass."""
    if item < 0:
        time.sleep(0.2)
        return item
    with Path(f"attempts-{item}").open("a") as log:
        log.write("x")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
    return None


def hold(item):
    Path(f"{item}.pid").write_text(str(os.getpid()))
    time.sleep(600)


def told(value):
    return f"{len(value)} bytes" if isinstance(value, bytes) else value


def fates(engine):
    # Only what hangs meets its deadline: a child may take long to start.
    run = engine.run_each(fate, FATES, deadline_s=1, extra_s=lambda item: PATIENCE_S * (not item.startswith("hang")))
    ended = [[each.item, [each.error.kind, each.error.detail] if each.error else told(each.value)] for each in run]
    return sorted(ended)


def many(engine):
    """How many calls were on their way at a time, at most, and what came of 60."""
    begun = ended = most = 0
    found = []

    def begin(_):
        nonlocal begun, most
        begun += 1
        most = max(most, begun - ended)
        return 0.0

    for outcome in engine.run_each(double, range(60), deadline_s=PATIENCE_S, extra_s=begin):
        ended += 1
        found.append(outcome.value)
    return [most, sorted(found)]


def poison(engine):
    run = engine.run_each(kill_above, [-1, 7, -2, -3], deadline_s=PATIENCE_S)
    return sorted([each.item, each.error.detail if each.error else each.value] for each in run)


def disk(engine):
    try:
        return [str(each) for each in engine.run_each(fill_the_disk, [1, 2], deadline_s=PATIENCE_S)]
    except OSError as error:
        return error.strerror


def nothing(engine):
    return list(engine.run_each(double, [], deadline_s=1))


def longer(engine):
    run = engine.run_each(long, [1.0], deadline_s=0.1, extra_s=lambda item: PATIENCE_S * item)
    return [each.value for each in run]


def held(engine):
    return list(engine.run_each(hold, ["a", "b", "c"], deadline_s=PATIENCE_S))


def slowly(engine):
    return [each.value for each in engine.run_each(long, [0.5] * 400, deadline_s=PATIENCE_S)]


def early(engine):
    """Leave after the first outcome; what runs must end though the engine goes on."""
    run = engine.run_each(fate, ["ok-1", "hang-1", "hang-2"], deadline_s=PATIENCE_S)
    first = next(run)
    run.close()
    return [first.value, [each.value for each in engine.run_each(double, [3, 4], deadline_s=PATIENCE_S)]]


CASES = {case.__name__: case for case in (fates, many, poison, disk, nothing, longer, held, slowly, early)}


def main(name, out, cases, workers=None):
    os.chdir(out)
    with output_folder(Path(out)), open_engine(name, Path(out), int(workers) if workers else None) as engine:
        print(json.dumps([CASES[case](engine) for case in cases.split(",")]))
