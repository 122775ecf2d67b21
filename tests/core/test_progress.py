import logging
from types import SimpleNamespace

import pytest

from datasets_build.core import progress
from datasets_build.core.progress import print_header, tool_versions, track


@pytest.fixture
def lines(caplog):
    logger = logging.getLogger("datasets_build")
    logger.propagate = True
    caplog.set_level(logging.INFO, logger="datasets_build")
    return caplog


def test_items_pass_through_and_the_end_is_said(lines):
    assert list(track(range(3), total=3, label="index")) == [0, 1, 2]
    assert [record.message.split(",")[0] for record in lines.records] == ["index: 3 of 3 videos"]


def test_off_a_terminal_there_is_a_line_a_minute(lines, monkeypatch):
    clock = iter([0.0, 61.0, 62.0, 125.0, 126.0])
    # A clock of its own: the one of all would be read by threads of others, too.
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    list(track(range(3), total=3, label="index"))
    assert [record.message for record in lines.records] == [
        "index: 1 of 3 videos, 61 s",
        "index: 3 of 3 videos, 125 s",
        "index: 3 of 3 videos, 126.0 s",
    ]


def test_on_a_terminal_there_is_a_bar(monkeypatch, lines):
    from io import StringIO

    from rich.console import Console

    screen = StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=100))
    assert list(track(iter("ab"), total=2, label="index")) == ["a", "b"]
    assert "2/2" in screen.getvalue()
    assert not lines.records


def test_the_header_names_versions_and_settings(lines):
    print_header("streamvl 0.1.0: index", {"av": "18.1"}, {"index.seed": "0"})
    text = "\n".join(record.message for record in lines.records)
    assert "av 18.1" in text
    assert "index.seed = 0" in text


def test_versions_are_those_installed():
    found = tool_versions("pydantic", "no-such-package")
    assert found["pydantic"][0].isdigit()
    assert found["no-such-package"] == "absent"
    assert found["python"].startswith("3.")


@pytest.mark.parametrize("terminal", [True, False])
def test_logging_is_set_up_once(monkeypatch, terminal):
    from rich.console import Console

    logger = logging.getLogger("datasets_build")
    before = logger.handlers[:], logger.level, logger.propagate
    monkeypatch.setattr(progress, "console", Console(stderr=True, force_terminal=terminal))
    for _ in range(2):
        progress.set_up_logging(verbose=True)
    assert len(logger.handlers) == 1
    assert logger.level == logging.DEBUG
    logger.handlers[:], logger.level, logger.propagate = before
