"""A Ray cluster of processes of this machine, and programs that use it; every process it starts ends with it."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from tests.formats.real_packages import environment

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ray==2.60.0", "-c", str(ROOT / "constraints.txt"))
START_S = 120


def interpreter(folder):
    """A Python that has Ray: this one, or that of an environment in a folder, made where there is none."""
    return sys.executable if find_spec("ray") else str(environment(Path(folder), "ray", PACKAGES))


def waited(found, limit_s=START_S):
    """What a function gives once it gives something; it is asked again and again."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"nothing within {limit_s} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """Nodes by name; the first is the head. `before` is a shell line that runs in the node's own file system view."""

    def __init__(self, python):
        self.python = python
        # Sockets lie in it, whose names may not be long.
        self._folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
        self.address = f"127.0.0.1:{free_port()}"
        self._nodes, self._seen, self._starters = {}, {}, []

    @property
    def environ(self):
        return {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": self.address, "PYTHONUNBUFFERED": "1"}

    def add(self, name, cpus=1, before=""):
        head = not self._nodes
        how = [
            "--head",
            f"--port={self.address.split(':')[1]}",
            f"--temp-dir={self._folder}",
            "--include-dashboard=false",
        ]
        command = [
            self.python, "-m", "ray.scripts.scripts", "start", *(how if head else [f"--address={self.address}"]),
            f"--node-name={name}", f"--num-cpus={cpus}", "--object-store-memory=100000000",
            "--disable-usage-stats", "--block",
        ]  # fmt: skip
        if before:
            command = ["unshare", "-m", "bash", "-c", f"{before} && exec {shlex.join(command)}"]
        log = Path(self._folder) / f"{name}.log"
        environ = {key: value for key, value in self.environ.items() if key not in ("RAY_ADDRESS", "PYTHONPATH")}
        with log.open("w") as out:
            node = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, env=environ, cwd="/")
        self._starters.append(node)
        self._nodes[name] = psutil.Process(node.pid)
        try:
            waited(lambda: node.poll() is not None or "Ray runtime started" in log.read_text())
            assert node.poll() is None
        except AssertionError:
            raise AssertionError(log.read_text()) from None
        self.processes()

    def processes(self, name=None):
        """The live processes of a node, or of all; they are remembered."""
        found = []
        for node in [self._nodes[name]] if name else self._nodes.values():
            with suppress(psutil.NoSuchProcess):
                found += [node, *node.children(recursive=True)]
        self._seen |= {each.pid: each for each in found}
        return found

    def titled(self, title, name=None):
        """Processes of a node whose command line begins so, as Ray's workers are named by what they run."""
        found = []
        for each in self.processes(name):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
                if each.cmdline()[0].startswith(title) or each.name() == title:
                    found.append(each)
        return found

    def kill(self, name):
        """End a node at once, as when its machine is cut off: its raylet first."""
        (raylet,) = self.titled("raylet", name)
        rest = self.processes(name)
        raylet.kill()
        return rest

    def remove(self, name):
        self.processes()
        self._end([self._nodes.pop(name)])

    def close(self):
        self.processes()
        self._end(list(self._nodes.values()))
        self._nodes = {}
        for each in self._seen.values():
            with suppress(psutil.NoSuchProcess):
                each.kill()
        for each in self._starters:
            each.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, starters):
        inside = [each for starter in starters for each in _below(starter)]
        for starter in starters:
            with suppress(psutil.NoSuchProcess):
                starter.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs([*starters, *inside], timeout=20)
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def _below(process):
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
