import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate import server
from annotate.access import (
    ACCESS_FILE,
    Access,
    connect,
    invite,
    other_than,
    personal_token,
    read_access,
    sign_in,
    write_access,
)
from annotate.errors import AnnotateError
from tests.annotate.servers import Servers

SECRET = "s3cret-token"


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


@pytest.mark.parametrize("token", [SECRET, "aa.bb.cc"])
def test_a_wrong_token_and_a_wrong_path_are_told_apart(token):
    denied = (401, "application/json", b'{"detail": "Invalid token."}')
    pages = {"/api/current-user/whoami": denied, "/api/token/refresh/": denied}
    with answering(version_page("1.23.2") | pages) as url:
        with pytest.raises(AnnotateError, match="check that it belongs to this server"):
            connect(url, token)
        with pytest.raises(AnnotateError, match=r"no Label Studio \(status 404"):
            connect(f"{url}/projects/1", token)
    elsewhere = {f"/studio{path}": page for path, page in version_page("1.23.2").items()}
    with answering(elsewhere) as url, pytest.raises(AnnotateError, match=r"/studio: .*\(status 404\): the address has"):
        connect(f"{url}/studio", token)


@pytest.mark.parametrize("token", [SECRET, "aa.bb.cc"])
def test_a_server_that_fails_says_nothing_of_a_token(token):
    failed = (500, "text/html", b"<html>")
    pages = {"/api/current-user/whoami": failed, "/api/token/refresh/": failed}
    with (
        answering(version_page("1.23.2") | pages) as url,
        pytest.raises(AnnotateError, match=r"the server failed as it looked at the token \(status 500\)"),
    ):
        connect(url, token)


def test_a_server_below_a_path_is_entered_there():
    pages = version_page("1.23.2") | person_page("a@b.c")
    with answering({f"/studio{path}": page for path, page in pages.items()}) as url:
        assert connect(f"{url}/studio/", SECRET).url == f"{url}/studio"


def test_what_a_page_begins_with_is_looked_at():
    with answering({"/clip": (206, "video/mp4", b"moving"), "/page": (200, "text/html", b"moving pictures")}) as url:
        access = Access(url=url, username="", token=SECRET, version="1.23.2")
        assert other_than(access, "/clip", b"moving") is None
        assert other_than(access, "/page", b"moving") is None
        assert other_than(access, "/clip", b"Moving") == "other bytes"
        assert other_than(access, "/clip", b"moving pictures") == "other bytes"
        assert other_than(access, "/none", b"moving") == "status 404"


@pytest.mark.parametrize("token", ["", "two words", "a\nHost: x", "tökén"])
def test_a_token_that_cannot_be_one_never_reaches_a_message(token):
    with answering(version_page("1.23.2")) as url, pytest.raises(AnnotateError, match="characters") as error:
        connect(url, token)
    assert not token.strip() or token.strip() not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "localhost:8080",
        "/x",
        "ftp://x",
        "http://",
        "http://me:hunter2@x",
        "http://x:port",
        "http://x?token=hunter2",
    ],
)
def test_an_address_that_is_none(url):
    with pytest.raises(AnnotateError, match="STREAMVL_STUDIO_URL: not an address") as error:
        connect(url, SECRET)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["http://ä..b:80", "http://two words:80", "http://nowhere.invalid"])
def test_an_address_of_nothing(url):
    with pytest.raises(AnnotateError, match="no Label Studio answers there"):
        connect(url, SECRET)


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


@settings(max_examples=10)
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
