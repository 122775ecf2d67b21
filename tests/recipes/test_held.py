import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from recipes import held
from recipes.held import run_held

# A stage that takes its time to load, and a launcher in front of it that would die of a signal.
STAGE = """
import sys, time
from pathlib import Path
from recipes.training.stop import stopping
here = Path(sys.argv[1])
(here / "loading").touch()
time.sleep(float(sys.argv[2]))
with stopping() as stop:
    (here / "ready").touch()
    for _ in range(400):
        if stop:
            (here / "saved").touch()
            sys.exit(stop.exit_code)
        time.sleep(0.05)
"""
LAUNCHER = (
    "import subprocess, sys; "
    "sys.exit(subprocess.call([sys.executable, '-c', *sys.argv[1:]], start_new_session={apart}))"
)
ASKED = """
import sys
from recipes.held import run_held
sys.exit(run_held(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def handlers():
    """Those of this process, which a command ended by a signal leaves ignored."""
    before = {number: signal.getsignal(number) for number in held.HELD}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def asked(folder, load_s, *, apart=False):
    """The program that passes signals on, in front of a launcher and a stage, which may have a session of its own."""
    stage = [sys.executable, "-c", LAUNCHER.format(apart=apart), textwrap.dedent(STAGE), str(folder), str(load_s)]
    return subprocess.Popen([sys.executable, "-c", ASKED, *stage])


def wait_for(path):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("when", ["loading", "ready"])
@pytest.mark.parametrize("apart", [False, True], ids=["one session", "a session of its own"])
def test_a_signal_reaches_the_stage_whenever_it_comes(tmp_path, apart, when, number, code):
    started = asked(tmp_path, 0.5 if when == "loading" else 0.0, apart=apart)
    wait_for(tmp_path / when)
    started.send_signal(number)
    assert started.wait(timeout=60) == code
    assert (tmp_path / "saved").exists()


def test_signals_that_come_many_times_are_one(tmp_path):
    started = asked(tmp_path, 0.2)
    wait_for(tmp_path / "loading")
    # Until it is gone: the last ones come while it ends.
    while started.poll() is None:
        started.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    assert started.returncode == 143
    assert (tmp_path / "saved").exists()


def test_a_signal_from_before_the_process_is_passed_on(monkeypatch, tmp_path):
    start = subprocess.Popen

    def late(*args, **settings):
        os.kill(os.getpid(), signal.SIGTERM)
        return start(*args, **settings)

    monkeypatch.setattr(held.subprocess, "Popen", late)
    assert run_held([sys.executable, "-c", textwrap.dedent(STAGE), str(tmp_path), "0"]) == 143
    assert (tmp_path / "saved").exists()


@pytest.mark.parametrize("code", [0, 1, 7])
def test_the_code_is_the_commands(code):
    before = signal.getsignal(signal.SIGTERM)
    assert run_held([sys.executable, "-c", f"raise SystemExit({code})"]) == code
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_command_that_ended_well_beside_a_signal_ended_well():
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()
    assert run_held([sys.executable, "-c", "import time; time.sleep(0.6)"]) == 0
