import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from annotate import server
from annotate.access import (
    ACCESS_FILE,
    connect,
    personal_token,
    sign_in,
    write_access,
)
from annotate.errors import AnnotateError
from tests.annotate.servers import Servers, mark_installed

STAND_IN = Path(__file__).with_name("stand_in.py")
SECRET = "s3cret-token"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder with a stand-in for the real server; whatever runs in it at the end is ended."""
    folder = tmp_path / "studio"
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / "venv" / "bin" / "label-studio").symlink_to(STAND_IN)
    mark_installed(folder)
    yield folder
    server.stop(folder)


def mood(home: Path, what: str) -> None:
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "mood").write_text(what)


def running_pid(home: Path) -> int:
    pid = server.status(home).pid
    assert pid is not None
    return pid


def test_where_a_server_lives(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMVL_STUDIO", str(tmp_path / "own"))
    assert server.default_home() == tmp_path / "own"
    monkeypatch.delenv("STREAMVL_STUDIO")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert server.default_home() == tmp_path / "streamvl" / "label-studio"


@pytest.mark.parametrize("call", [server.start, server.stop, server.status, server.install])
def test_a_password_is_never_kept_inside_the_repository(call):
    inside = Path(server.__file__).parents[1] / "out" / "studio"
    with pytest.raises(AnnotateError, match="set STREAMVL_STUDIO to a folder outside"):
        call(inside)
    assert not inside.exists()


def test_started_found_again_and_stopped(home):
    assert not server.stop(home)
    first = server.start(home)
    pid = running_pid(home)
    assert server.start(home) == first
    assert running_pid(home) == pid
    assert server.status(home) == server.Status(home=home, is_installed=True, pid=pid, url=first.url, version="1.23.2")
    assert (first.version, first.token, first.media) == ("1.23.2", "aa.bb.cc", home / "media")
    assert server.stop(home)
    assert server.status(home) == server.Status(home=home, is_installed=True)
    assert not server.stop(home)
    assert server.start(home) == first  # the same port, account and token


def test_no_secret_in_arguments_log_or_words(home, caplog):
    told: list[str] = []
    access = server.start(home, tell=told.append)
    line = " ".join(psutil.Process(running_pid(home)).cmdline())
    for text in (line, caplog.text, " ".join(told), (home / "server.log").read_text()):
        assert access.password not in text
        assert access.token not in text
    assert len(access.password) >= 20
    for path in (home / "server.log", home / ACCESS_FILE):
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_server_is_apart_from_terminal_and_shell(home, monkeypatch):
    for name, value in {"LABEL_STUDIO_HOST": "http://evil", "PYTHONPATH": "/x", "https_proxy": "http://p"}.items():
        monkeypatch.setenv(name, value)
    server.start(home)
    pid = running_pid(home)
    assert os.getsid(pid) == pid != os.getsid(0)
    environment = json.loads((home / "data" / "environment.json").read_text())
    assert not {"LABEL_STUDIO_HOST", "PYTHONPATH", "https_proxy"} & set(environment)
    assert environment["LABEL_STUDIO_COLLECT_ANALYTICS"] == "false"


def test_two_who_start_it_at_once_get_the_same_one(home):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(server.start, [home, home])
    assert first == second
    assert first.url == server.status(home).url


def test_a_killed_server_is_noticed(home):
    first = server.start(home)
    pid = running_pid(home)
    os.kill(pid, signal.SIGKILL)
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert server.status(home).pid is None
    assert server.start(home) == first
    assert running_pid(home) != pid


def test_a_server_that_is_being_killed_as_it_is_found_is_started_again(home):
    first = server.start(home)
    server.stop(home)
    mood(home, "hangs")
    with ThreadPoolExecutor(1) as pool:
        server._launch(home, first)
        dying = running_pid(home)
        starting = pool.submit(server.start, home)
        while not is_waiting(home):
            time.sleep(0.01)
        mood(home, "")
        os.kill(dying, signal.SIGKILL)
        assert starting.result() == first
    assert running_pid(home) != dying


def is_waiting(home: Path) -> bool:
    """Whether a start holds the folder: it has found the process and waits for an answer."""
    with (home / ".lock").open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_another_server_is_never_ended(home, tmp_path):
    other = [sys.executable, str(home / "venv" / "bin" / "label-studio"), "start", "--no-browser"]
    options = ["--internal-host", server.HOST, "--data-dir", str(tmp_path / "other"), "--port", str(server.free_port())]
    (tmp_path / "other").mkdir()
    environment = {"LABEL_STUDIO_USERNAME": "a", "LABEL_STUDIO_PASSWORD": "b"}
    with subprocess.Popen([*other, *options], env=environment) as child:
        assert not server.stop(home)
        server.start(home)
        assert server.stop(home)
        assert child.poll() is None
        child.terminate()


def test_a_given_port_that_is_taken(home):
    with socket.create_server((server.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AnnotateError, match=f"{port}: another program listens there"):
            server.start(home, port)
    assert server.status(home).pid is None
    assert server.start(home, port).url.endswith(f":{port}")
    with pytest.raises(AnnotateError, match="found our server at port"):
        server.start(home, server.free_port())


def test_the_last_port_is_left_where_somebody_took_it(home):
    first = server.start(home)
    server.stop(home)
    with socket.create_server((server.HOST, int(first.url.rpartition(":")[2]))):
        second = server.start(home)
    assert second.url != first.url
    assert second == replace(first, url=second.url)


def test_a_server_that_moved_to_another_port_is_found_there(home):
    mood(home, "moves")
    access = server.start(home)
    assert access.url == server.status(home).url
    server.stop(home)
    with pytest.raises(AnnotateError, match="found our server at port"):
        server.start(home, server.free_port())


def test_a_server_that_dies_says_why(home):
    mood(home, "dies")
    with pytest.raises(AnnotateError, match="ended while it started; its last words: no room on the disk"):
        server.start(home)
    mood(home, "")
    assert server.start(home).version == "1.23.2"


def test_a_server_of_another_version_is_not_used(home):
    mood(home, "old")
    with pytest.raises(AnnotateError, match=r"found Label Studio 1\.22\.0, expected 1\.23\.x"):
        server.start(home)


def test_a_lost_password_makes_a_new_account(home):
    first = server.start(home)
    (home / ACCESS_FILE).unlink()
    second = server.start(home)
    assert second.username != first.username
    assert server.start(home) == second


def test_a_token_that_opens_nothing_is_replaced(home):
    first = server.start(home)
    write_access(home, replace(first, token="lost"))
    assert server.start(home) == first


def test_a_wrong_password_is_one_sentence(home):
    access = server.start(home)
    write_access(home, replace(access, token="lost", password="hunter2"))
    with pytest.raises(AnnotateError, match="could not sign in as streamvl-") as error:
        server.start(home)
    assert "hunter2" not in str(error.value)


def test_nothing_starts_without_its_environment(home):
    (home / "venv.sha256").write_text("half\n")
    assert not server.status(home).is_installed
    with pytest.raises(AnnotateError, match="no whole Label Studio there; run `make label-studio`"):
        server.start(home)


def test_a_whole_environment_is_left_alone(home):
    told: list[str] = []
    before = (home / "venv").stat().st_mtime_ns
    assert server.install(home, tell=told.append) == home / "venv"
    assert ((home / "venv").stat().st_mtime_ns, told) == (before, [])


def test_an_environment_is_not_replaced_under_a_running_server(home):
    server.start(home)
    (home / "venv.sha256").write_text("of another version\n")
    with pytest.raises(AnnotateError, match=r"its server runs, and is not what .* asks for; stop it first"):
        server.install(home)
    assert server.stop(home)
    assert (home / "venv" / "bin" / "label-studio").exists()


@pytest.mark.slow
def test_a_half_made_environment_is_finished(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("no-such-package-of-streamvl @ file:///nowhere\n")
    home, elsewhere = tmp_path / "studio", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir()
    (elsewhere / "precious").touch()
    (home / "venv").symlink_to(elsewhere)
    with pytest.raises(AnnotateError, match=r"pip install: ended with status 1: .*; run it again"):
        server.install(home, requirements=requirements)
    assert (elsewhere / "precious").exists()
    assert not (home / "venv").is_symlink()
    (home / "venv" / "half").touch()
    requirements.write_text("")
    assert server.install(home, requirements=requirements) == home / "venv"
    assert not (home / "venv" / "half").exists()
    assert (home / "venv" / "bin" / "python").exists()
    assert (home / "venv.sha256").exists()


@pytest.mark.slow
def test_the_real_one_in_and_out(servers: Servers):
    home = servers.home("in and out")
    access = server.start(home)
    assert access.version == "1.23.2"
    assert server.start(home) == access
    assert connect(access.url, access.token).username == access.username
    assert access.password not in (home / "server.log").read_text()
    assert access.token not in (home / "server.log").read_text()
    again = personal_token(sign_in(access.url, access.username, access.password))
    with pytest.raises(AnnotateError, match="opens nothing"):
        connect(access.url, access.token)
    assert connect(access.url, again).username == access.username
    renewed = server.start(home)
    assert renewed.token not in (access.token, again)
    pid = running_pid(home)
    assert server.stop(home)
    assert not psutil.pid_exists(pid)


@pytest.mark.slow
def test_the_real_one_is_there_again_at_once_after_a_kill(servers: Servers):
    home = servers.home("killed-and-started")
    access = server.start(home)
    for _ in range(3):
        pid = running_pid(home)
        os.kill(pid, signal.SIGKILL)
        assert server.start(home).username == access.username
        assert running_pid(home) != pid
    assert connect(server.status(home).url or "", access.token).username == access.username


@pytest.mark.slow
def test_the_real_one_listens_to_this_machine_alone(servers: Servers):
    process = psutil.Process(running_pid(servers.running_home()))
    listening = [each.laddr.ip for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert listening == [server.HOST]
