"""Writes a folder in a child that dies at a chosen file system call; run as a script, `POINTS` children one by one.

    python -m tests.models.killed_writer ROOT POINTS {new,replace} {exchange,renames}

Each child works in `ROOT/<point>`; `ROOT/<point>.code` then says 9 where it was killed and 0 where it came through.
"""

import os
import sys
from pathlib import Path

from models import whole_folder as module
from models.whole_folder import whole_folder

NAMES = ("a", "b", "c")
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "ctypes.dlsym")
KILLED = 9


class Trap:
    """Calls `spring` at the n-th file system call."""

    def __init__(self, point, spring):
        self.left = point
        self.spring = spring

    def __call__(self, event, args):
        if event in EVENTS and self.spring:
            self.left -= 1
            if self.left < 0:
                self.spring()


def write(target, text, *, overwrite):
    with whole_folder(target, overwrite=overwrite, marks=NAMES) as aside:
        for name in NAMES:
            (aside / name).write_text(text)


def main(root, points, how, renames):
    if renames == "renames":
        module._exchange = lambda one, other: False
    for point in range(points):
        target = root / str(point) / "package"
        if how == "replace":
            write(target, "old", overwrite=False)
        child = os.fork()
        if not child:
            sys.addaudithook(Trap(point, lambda: os._exit(KILLED)))
            write(target, "new", overwrite=how == "replace")
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        (root / f"{point}.code").write_text(str(code))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
