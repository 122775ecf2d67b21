"""A folder is there whole or not at all, whenever its writer dies."""

import os
import subprocess
import sys
import threading

import pytest

from models import whole_folder as module
from models.errors import PackageError
from models.whole_folder import restore, whole_folder
from tests.models.killed_writer import KILLED, NAMES, write

POINTS = 24


def texts(folder):
    """The one text that all files hold."""
    assert sorted(os.listdir(folder)) == list(NAMES)
    (text,) = {(folder / name).read_text() for name in NAMES}
    return text


def write_half(target, *, overwrite):
    with whole_folder(target, overwrite=overwrite, marks=NAMES) as aside:
        (aside / "a").write_text("half")
        raise RuntimeError("disk")


def killed(root, how, renames):
    subprocess.run(
        [sys.executable, "-m", "tests.models.killed_writer", str(root), str(POINTS), how, renames],
        check=True,
        timeout=280,
    )
    codes = [int((root / f"{point}.code").read_text()) for point in range(POINTS)]
    # The kills reach from the first call to beyond the last one, or the test would prove nothing.
    assert codes[0] == KILLED
    assert codes[-1] == 0
    return codes


@pytest.mark.parametrize("renames", ["exchange", "renames"])
def test_a_killed_replacement_leaves_the_old_or_the_new(tmp_path, renames):
    codes = killed(tmp_path, "replace", renames)
    seen = []
    for point, code in enumerate(codes):
        target = tmp_path / str(point) / "package"
        if renames == "exchange":
            assert target.is_dir()
        restore(target)
        seen.append(texts(target))
        assert code == KILLED or seen[-1] == "new"
        write(target, "next", overwrite=True)
        assert texts(target) == "next"
        assert os.listdir(target.parent) == ["package"]
    assert {"old", "new"} == set(seen)
    assert seen == sorted(seen, reverse=True)


def test_a_killed_first_write_leaves_nothing_or_all(tmp_path):
    there = []
    for point, code in enumerate(killed(tmp_path, "new", "exchange")):
        target = tmp_path / str(point) / "package"
        there.append(target.exists())
        assert not target.exists() or texts(target) == "new"
        assert code == KILLED or target.exists()
        write(target, "next", overwrite=True)
        assert os.listdir(target.parent) == ["package"]
    assert set(there) == {False, True}


def test_an_error_while_writing_leaves_no_trace(tmp_path):
    target = tmp_path / "package"
    with pytest.raises(RuntimeError, match="disk"):
        write_half(target, overwrite=False)
    assert os.listdir(tmp_path) == []
    write(target, "old", overwrite=False)
    with pytest.raises(RuntimeError, match="disk"):
        write_half(target, overwrite=True)
    assert os.listdir(tmp_path) == ["package"]
    assert texts(target) == "old"


def test_a_replacement_holds_nothing_of_the_old(tmp_path):
    target = tmp_path / "package"
    with whole_folder(target, overwrite=False, marks=NAMES) as aside:
        (aside / "a").write_text("old")
        (aside / "stray").write_text("old")
    write(target, "new", overwrite=True)
    assert texts(target) == "new"


def test_what_is_there_is_refused(tmp_path):
    write(tmp_path / "package", "old", overwrite=False)
    with pytest.raises(PackageError, match=r"exists already.*overwrite"):
        write(tmp_path / "package", "new", overwrite=False)
    assert texts(tmp_path / "package") == "old"
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "package")
    for name in ("file", "link"):
        with pytest.raises(PackageError, match="found a file or a link"):
            write(tmp_path / name, "new", overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["thesis.tex", ".git", "aa"])
def test_a_folder_that_is_no_such_one_is_never_replaced(tmp_path, name):
    target = tmp_path / "package"
    target.mkdir()
    (target / name).write_text("years of work")
    with pytest.raises(PackageError, match=rf"found a folder with {name} and without a or b or c"):
        write(target, "new", overwrite=True)
    assert (target / name).read_text() == "years of work"
    assert os.listdir(tmp_path) == ["package"]
    # One mark is enough, and so is emptiness.
    (target / "b").write_text("old")
    write(target, "new", overwrite=True)
    assert texts(target) == "new"
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", "new", overwrite=True)
    assert texts(tmp_path / "empty") == "new"


def test_the_working_directory_and_its_parents_are_never_replaced(tmp_path, monkeypatch):
    here = tmp_path / "package" / "deep"
    here.mkdir(parents=True)
    for folder in (here, here.parent):
        (folder / "a").write_text("mine")
    monkeypatch.chdir(here)
    for target in (here, here.parent, here / "..", here.parent / "deep"):
        with pytest.raises(PackageError, match="working directory or holds it"):
            write(target, "new", overwrite=True)
    assert (here / "a").read_text() == (here.parent / "a").read_text() == "mine"
    monkeypatch.chdir(tmp_path)
    write(here.parent, "new", overwrite=True)
    assert texts(here.parent) == "new"


def test_a_working_directory_that_is_gone_keeps_nobody_from_writing(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    write(tmp_path / "package", "old", overwrite=False)
    write(tmp_path / "package", "new", overwrite=True)
    assert texts(tmp_path / "package") == "new"


def test_parents_are_made(tmp_path):
    write(tmp_path / "deep" / "er" / "package", "new", overwrite=False)
    assert texts(tmp_path / "deep" / "er" / "package") == "new"


def test_two_writers_take_turns(tmp_path):
    target = tmp_path / "package"
    threads = [threading.Thread(target=write, args=(target, text), kwargs={"overwrite": True}) for text in "xyzuvw"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts(target) in "xyzuvw"
    assert os.listdir(tmp_path) == ["package"]


def test_an_exchange_that_fails_for_another_reason_is_told(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(FileNotFoundError):
        module._exchange(tmp_path / "one", tmp_path / "none")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a").touch()
    assert module._exchange(tmp_path / "one", tmp_path / "two")
    assert os.listdir(tmp_path / "one") == ["a"]
