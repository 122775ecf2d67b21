import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate import server
from annotate.access import (
    ACCESS_FILE,
    Access,
    connect,
    invite,
    personal_token,
    read_access,
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


@contextmanager
def answering(pages: dict[str, tuple[int, str, bytes]]) -> Iterator[str]:
    """A server that answers each path with status, type and body, and all others with 404."""

    class Page(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, kind, body = pages.get(self.path, (404, "text/html", b"<html>"))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.do_GET()

    with HTTPServer((server.HOST, 0), Page) as there:
        thread = Thread(target=there.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://{server.HOST}:{there.server_address[1]}"
        finally:
            there.shutdown()
            thread.join()


def version_page(version: str) -> dict[str, tuple[int, str, bytes]]:
    body = json.dumps({"label-studio-os-package": {"version": version}}).encode()
    return {"/api/version": (200, "application/json", body)}


def person_page(email: str) -> dict[str, tuple[int, str, bytes]]:
    return {"/api/current-user/whoami": (200, "application/json", json.dumps({"email": email}).encode())}


def test_a_server_by_address_and_token_is_entered():
    with answering(version_page("1.23.9") | person_page("a@b.c")) as url:
        access = connect(f" {url}/ ", f"{SECRET}\n", media=Path("/media"))
    assert access == Access(url=url, username="a@b.c", token=SECRET, version="1.23.9", media=Path("/media"))


def test_no_server():
    with pytest.raises(AnnotateError, match=r"no Label Studio answers there \(.*refused.*make label-studio"):
        connect(f"http://127.0.0.1:{server.free_port()}", SECRET)


@pytest.mark.parametrize(
    "page",
    [
        (200, "text/html", b"<html>a shop</html>"),
        (404, "text/plain", b""),
        (200, "application/json", b"[1]"),
        (200, "application/json", b'{"label-studio-os-package": "1.23.2"}'),
        (200, "application/json", b'{"label-studio-os-package": {"version": 1.23}}'),
        (302, "text/html", b""),
    ],
)
def test_a_port_that_answers_as_something_else(page):
    with answering({"/api/version": page}) as url, pytest.raises(AnnotateError, match=r"no Label Studio \(status"):
        connect(url, SECRET)


@pytest.mark.parametrize("version", ["1.22.0", "1.230.1", "2.0.0", "1.23"])
def test_another_version_names_both(version):
    with (
        answering(version_page(version) | person_page("a@b.c")) as url,
        pytest.raises(AnnotateError, match=f"found Label Studio {version}, expected 1.23.x"),
    ):
        connect(url, SECRET)


@pytest.mark.parametrize("token", [SECRET, "aa.bb.cc"])
def test_a_wrong_token_is_named_without_being_shown(token):
    with answering(version_page("1.23.2")) as url, pytest.raises(AnnotateError, match="opens nothing") as error:
        connect(url, token)
    assert token not in str(error.value)


@pytest.mark.parametrize("token", ["", "two words", "a\nHost: x", "tökén"])
def test_a_token_that_cannot_be_one_never_reaches_a_message(token):
    with answering(version_page("1.23.2")) as url, pytest.raises(AnnotateError, match="characters") as error:
        connect(url, token)
    assert not token.strip() or token.strip() not in str(error.value)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8080", "ftp://x", "http://", "http://me:hunter2@x", "http://x:port", "http://x?token=hunter2"],
)
def test_an_address_that_is_none(url):
    with pytest.raises(AnnotateError, match="not an address") as error:
        connect(url, SECRET)
    assert "hunter2" not in str(error.value)


def test_a_local_address_is_never_asked_of_a_proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.free_port()}")
    monkeypatch.setenv("no_proxy", "")
    with answering(version_page("1.23.2") | person_page("a@b.c")) as url:
        assert connect(url, SECRET).username == "a@b.c"


def test_the_text_of_an_access_holds_no_secret():
    text = repr(Access(url="http://x", username="u", token=SECRET, version="1.23.2", password="hunter2"))
    assert SECRET not in text
    assert "hunter2" not in text


PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=15)
@given(
    access=st.builds(
        Access,
        url=st.sampled_from(["http://127.0.0.1:8080", "https://labels.example.org/studio"]),
        username=PLAIN,
        token=st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True),
        version=PLAIN,
        media=st.none() | st.just(Path("/a b/ä")),
        password=PLAIN,
    )
)
def test_an_access_is_kept_as_it_is_and_for_its_owner_alone(tmp_path_factory, access):
    home = tmp_path_factory.getbasetemp() / "kept"
    previous = os.umask(0)
    try:
        write_access(home, access)
    finally:
        os.umask(previous)
    assert read_access(home) == access
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / ACCESS_FILE).stat().st_mode & 0o777 == 0o600


def test_what_a_killed_writer_left_open_to_all_is_not_written_into(tmp_path):
    aside = tmp_path / f".{ACCESS_FILE}.part"
    aside.write_text("old")
    aside.chmod(0o666)
    write_access(tmp_path, Access(url="http://x", username="", token=SECRET, version=""))
    assert (tmp_path / ACCESS_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("{}", 0o644, "found mode 644, expected 600"),
        ("{}", 0o600, "no text for url, username, password, token, version"),
        ("[]", 0o600, "no JSON object"),
        ('{"url": "http://x", "token": "hunter2', 0o600, "not valid JSON"),
        (None, 0o600, "no such file; start"),
    ],
)
def test_a_kept_access_that_cannot_be_used(tmp_path, content, mode, words):
    if content is not None:
        (tmp_path / ACCESS_FILE).write_text(content)
        (tmp_path / ACCESS_FILE).chmod(mode)
    with pytest.raises(ValueError, match=words) as error:
        read_access(tmp_path)
    assert "hunter2" not in str(error.value)


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
    code = f"from pathlib import Path; from annotate import server; print(server.start(Path({str(home)!r})).url)"
    starters = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(2)
    ]
    urls = {starter.communicate()[0] for starter in starters}
    assert urls == {f"{server.status(home).url}\n"}


def test_a_killed_server_is_noticed(home):
    first = server.start(home)
    pid = running_pid(home)
    os.kill(pid, signal.SIGKILL)
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert server.status(home).pid is None
    assert server.start(home) == first
    assert running_pid(home) != pid


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


@pytest.mark.slow
def test_a_half_made_environment_is_finished(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("")
    home = tmp_path / "studio"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    home.mkdir()
    (home / "venv").symlink_to(elsewhere)
    assert server.install(home, requirements=requirements) == home / "venv"
    assert (elsewhere / "precious").exists()
    assert (home / "venv" / "bin" / "python").exists()
    (home / "venv.sha256").unlink()
    (home / "venv" / "half").touch()
    server.install(home, requirements=requirements)
    assert not (home / "venv" / "half").exists()
    requirements.write_text("no-such-package-of-streamvl @ file:///nowhere\n")
    with pytest.raises(AnnotateError, match=r"pip install: ended with status 1: .*; run it again"):
        server.install(home, requirements=requirements)


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
def test_the_real_one_listens_to_this_machine_alone(servers: Servers):
    process = psutil.Process(running_pid(servers.running_home()))
    listening = [each.laddr.ip for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert listening == [server.HOST]


@pytest.mark.slow
def test_people_come_by_invitation(servers: Servers):
    access = servers.access()
    number = invite(access, "anna@example.org", "a long password")
    assert number > 1
    guest = sign_in(access.url, "anna@example.org", "a long password")
    entered = connect(access.url, personal_token(guest))
    assert entered.username == "anna@example.org"
    with pytest.raises(AnnotateError, match=r"made no account for anna@example\.org: .*already"):
        invite(access, "anna@example.org", "a long password")
    with pytest.raises(AnnotateError, match=r"made no account for ben@example\.org: .*password 8") as error:
        invite(access, "ben@example.org", "hunt")
    assert "hunt" not in str(error.value)
