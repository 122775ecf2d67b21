"""One at a time, and nobody waits for the dead."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from annotate.errors import AnnotateError
from annotate.lock import alone, hold, wait
from tests.recipes.disks import small_disk


def test_who_comes_second_is_told_who_is_there(tmp_path):
    path = tmp_path / "lock"
    told = f"{tmp_path}: process {os.getpid()} is already pushing; wait for it"
    with hold(path, "pushing"):
        with pytest.raises(AnnotateError, match=told), hold(path, "pushing"):
            pytest.fail("two were let in")
        # The refused one took nothing from the one who holds it.
        with pytest.raises(AnnotateError, match="already pushing"), hold(path, "pushing"):
            pytest.fail("two were let in")


def test_an_error_lets_go(tmp_path):
    path = tmp_path / "lock"
    with pytest.raises(KeyError), hold(path, "pushing"):
        raise KeyError
    with hold(path, "pushing"):
        assert path.read_text() == f"{os.getpid()}\n"


def test_what_a_longer_number_left_is_gone(tmp_path):
    (tmp_path / "lock").write_text("4000000000\n")
    with hold(tmp_path / "lock", "pushing"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_that_cannot_be_made(tmp_path):
    told = r"cannot be made to lock the round \(No such file"
    with pytest.raises(AnnotateError, match=told), hold(tmp_path / "none" / "lock", "pushing"):
        pytest.fail("held nothing")


def test_who_waits_comes_after(tmp_path):
    counted = tmp_path / "count"
    counted.write_text("0")

    def add(_):
        for _ in range(20):
            with wait(tmp_path / "lock"):
                counted.write_text(str(int(counted.read_text()) + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert counted.read_text() == "80"


def test_a_folder_is_held_by_one_at_a_time_and_keeps_nothing(tmp_path):
    seen = []

    def go(who):
        for _ in range(20):
            with alone(tmp_path):
                seen.append(who)
                time.sleep(0.0005)
                seen.append(who)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(go, "ab"))
    assert all(first == second for first, second in zip(seen[::2], seen[1::2], strict=True))
    assert len(seen) == 80
    assert not list(tmp_path.iterdir())


def test_an_error_lets_go_of_a_folder(tmp_path):
    with pytest.raises(KeyError), alone(tmp_path):
        raise KeyError
    with alone(tmp_path):
        pass
    with pytest.raises(FileNotFoundError), alone(tmp_path / "none"):
        pytest.fail("held nothing")


def test_a_full_disk_is_no_reason_to_let_nobody_in(tmp_path):
    with small_disk(tmp_path / "disk", size="8k") as disk:
        with pytest.raises(OSError, match="No space left"):
            (disk / "ballast").write_bytes(b"x" * 65536)
        with hold(disk / "lock", "pushing"):
            assert (disk / "lock").read_text() == ""
            with pytest.raises(AnnotateError, match="process unknown is already"), hold(disk / "lock", "pushing"):
                pytest.fail("two were let in")
