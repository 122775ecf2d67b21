"""The command line when it is stopped, or when its film breaks off: the costs so far, one sentence, no thread left."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from models import __main__ as module
from models import compare as comparing
from models.film import FilmError
from tests.models.films import film_file, model
from tests.models.packages import CARD

STOPS = [(signal.SIGINT, 130, "stopped by Ctrl-C"), (signal.SIGTERM, 143, "stopped by SIGTERM")]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return model().save(tmp_path_factory.mktemp("stopping") / "tiny", card=CARD)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return film_file(tmp_path_factory.mktemp("film") / "a.mkv")


@pytest.fixture(autouse=True)
def ctrl_c():
    """What a shell starts in the background ignores Ctrl-C, and so would these tests there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `main` in this process; gives its code, its output and its errors, and sees that no thread stays."""

    def call(*words):
        threads, handler = set(threading.enumerate()), signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(sys, "argv", ["models", *map(str, words)])
        try:
            code = module.main()
        except SystemExit as end:
            code = end.code
        assert set(threading.enumerate()) <= threads
        assert signal.getsignal(signal.SIGTERM) is handler
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.mark.parametrize(("number", "code", "told"), STOPS)
def test_a_watch_that_is_stopped_tells_what_it_has_cost(run, package, film, monkeypatch, number, code, told):
    show, shown = module._show, []

    def stop(screen, event, *, as_json):
        show(screen, event, as_json=as_json)
        shown.append(event)
        if len(shown) == 1:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(module, "_show", stop)
    found, out, errors = run("watch", package, film, "--ask", "What?", "--at", 1, "--json")
    assert (found, errors.strip()) == (code, told)
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["asked", "ended"]
    assert json.loads(out.splitlines()[-1])["frames"] == 3


@pytest.mark.parametrize(("number", "code", "told"), STOPS)
def test_a_comparison_that_is_stopped_leaves_no_thread(run, package, film, monkeypatch, number, code, told):
    ask, asked = comparing._ask, []

    def stop(session, name, film, question):
        asked.append(name)
        for frame, t_ns in film[:2]:
            session.add_frame(frame, t_ns)
        if name == "delayed":
            assert any("vision" in thread.name for thread in threading.enumerate())
            os.kill(os.getpid(), number)
        return ask(session, name, film[2:], question)

    monkeypatch.setattr(comparing, "_ask", stop)
    found, out, errors = run("compare", package, film, "--ask", "What?", "--max-new-tokens", 2)
    assert (found, out, errors.strip()) == (code, "", told)
    assert asked == ["one-shot", "one-shot", "delayed"]


def test_a_comparison_that_fails_leaves_no_thread(run, package, film):
    code, _, errors = run("compare", package, film, "--ask", " ")
    assert code == 1
    assert errors.startswith("error: ")


def test_other_verbs_stop_too(run, package, monkeypatch):
    def stop(folder, *, verify):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "inspect", stop)
    code, _, errors = run("info", package)
    assert (code, errors.strip()) == (130, "stopped by Ctrl-C")


def test_a_film_that_breaks_off_is_told_after_its_costs(run, package, film, monkeypatch):
    whole = module.frames

    def broken(path, *, fps):
        for place, shown in enumerate(whole(path, fps=fps)):
            if place == 4:
                raise FilmError("a.mkv: cannot be decoded after 1.000 s")
            yield shown

    monkeypatch.setattr(module, "frames", broken)
    words = ("--ask", "Early?", "--at", 0.5, "--ask", "Late?", "--at", 2)
    code, out, errors = run("watch", package, film, "--json", *words)
    assert code == 1
    assert errors == "error: a.mkv: cannot be decoded after 1.000 s\n"
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["question"] for event in events if event["event"] == "answered"] == ["Early?"]
    assert (events[-1]["event"], events[-1]["frames"]) == ("ended", 4)


def test_a_thread_that_is_not_the_main_one_runs_verbs(run, package):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(run("info", package)[0]))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "told"), STOPS)
def test_a_stopped_process_ends_with_its_code(package, film, number, code, told):
    script = (
        "import os, sys; from models import __main__ as module, compare\n"
        "ask = compare._ask\n"
        "def stop(session, name, film, question):\n"
        "    session.add_frame(*film[0])\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "compare._ask = stop\n"
        "sys.exit(module.main())\n"
    )
    words = [sys.executable, "-c", script, "compare", package, film, "--ask", "What?"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False)
    assert (done.returncode, done.stderr.strip()) == (code, told)
