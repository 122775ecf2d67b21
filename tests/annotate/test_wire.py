import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from annotate import server, wire
from annotate.access import Access
from annotate.board import MissingError, Project, RefusedError, UnknownError
from annotate.errors import AnnotateError
from annotate.studio import enter
from tests.annotate.servers import needs_sdk

PROJECT = Project(id=7, title="r1", config_sha256="0" * 64, overlap=1)
ACCESS = Access(url="http://127.0.0.1:9", username="a@b.c", token="t", version="1.23.2")


def test_what_is_missing_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(wire, "version", lambda _: "1.0.20")
    with pytest.raises(AnnotateError, match=r"found label-studio-sdk 1\.0\.20, expected 2\.1\.x; run `pip install"):
        enter(ACCESS)

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(wire, "version", absent)
    with pytest.raises(AnnotateError, match="not installed; run `pip install --no-deps -r annotate/requirements-sdk"):
        enter(ACCESS)
    monkeypatch.setattr(wire, "version", lambda _: "2.1.2")
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(AnnotateError, match=r"lacks a package .*run `pip install"):
        enter(ACCESS)


def test_the_client_library_is_named_in_one_file_and_loaded_by_none():
    package = Path(wire.__file__).parent
    naming = [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"import label_studio|from label_studio|httpx", path.read_text())
    ]
    assert naming == ["wire.py"]
    code = "import sys, annotate.studio; print([m for m in sys.modules if m.startswith(('label_studio', 'httpx.'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def refusing(status, body):
    from label_studio_sdk.core.api_error import ApiError

    def call():
        raise ApiError(status_code=status, headers={"set-cookie": "sessionid=hunter2"}, body=body)

    return call


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (
            400,
            {"detail": "no", "validation_errors": {"x": ["y"]}},
            RefusedError,
            "doing it: refused with status 400: .*y",
        ),
        (401, {"detail": "no"}, RefusedError, "a@b.c is not let in .status 401: no"),
        (404, "<html> lost </html>", MissingError, "project 7 is gone"),
        (408, {}, UnknownError, "status 408"),
        (409, {"detail": "twice"}, RefusedError, "twice"),
        (500, "x" * 999, UnknownError, "status 500: x{300}; it may have been carried out"),
        (None, None, UnknownError, "status 500"),
    ],
)
def test_every_answer_is_one_of_the_boards_errors(status, body, kind, words):
    needs_sdk()
    line = wire.wire_to(ACCESS)
    with pytest.raises(kind, match=words) as error:
        line.ask("doing it", refusing(status, body), PROJECT)
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None
    line.close()


def test_silence_is_not_a_refusal():
    needs_sdk()
    line = wire.wire_to(Access(url=f"http://127.0.0.1:{server.free_port()}", username="", token="t", version=""))
    with pytest.raises(UnknownError, match=r"asking: no answer .ConnectError.; it may have been carried out"):
        line.ask("asking", line.client.versions.get)
    line.close()
