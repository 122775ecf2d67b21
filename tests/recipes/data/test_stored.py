"""A cache that cannot be written costs time and nothing else."""

import logging
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.data.stored import Stored
from tests.recipes.disks import fill, small_disk


def key(number):
    return bytes([number]) * 16


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_disk_that_runs_full_is_told_once_and_what_is_on_it_stays(tmp_path, caplog):
    with small_disk(tmp_path / "disk") as disk:
        stored = Stored(disk / "frames", max_bytes=0)
        values = [torch.full((2048,), number, dtype=torch.float32) for number in range(20)]
        for number, one in enumerate(values):
            stored.put(key(number), one)
        found = [stored.get(key(number)) for number in range(20)]
        assert 0 < sum(one is not None for one in found) < 20
        assert all(one is None or torch.equal(one, values[number]) for number, one in enumerate(found))
        # What was begun and did not fit is gone.
        files = [path for path in disk.rglob("*") if path.is_file()]
        assert len(files) == sum(one is not None for one in found)
        assert all(path.suffix == ".safetensors" for path in files)
    (told,) = said(caplog)
    assert str(disk / "frames") in told
    assert "goes on without keeping more there" in told
    assert "name another folder in data.cache" in told
    assert "\n" not in told


def test_a_disk_that_is_full_from_the_begin_is_told_once(tmp_path, caplog):
    with small_disk(tmp_path / "disk") as disk:
        (disk / "frames").mkdir()
        fill(disk)
        stored = Stored(disk / "frames", max_bytes=1 << 20)
        for number in range(4):
            stored.put(key(number), torch.full((8,), float(number)))
        assert all(torch.equal(stored.get(key(number)), torch.full((8,), float(number))) for number in range(4))
        # An empty file may have found room; nobody takes it for a tensor.
        assert all(Stored(disk / "frames", max_bytes=0).get(key(number)) is None for number in range(4))
    assert len(said(caplog)) == 1


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_told_once(tmp_path, caplog, folder):
    (tmp_path / "file").write_text("x")
    stored = Stored(tmp_path / folder, max_bytes=100)
    for number in range(3):
        stored.put(key(number), torch.ones(4))
        assert torch.equal(stored.get(key(number)), torch.ones(4))
    assert len(said(caplog)) == 1
    assert (tmp_path / "file").read_text() == "x"


def test_many_threads_are_told_once(tmp_path, caplog):
    (tmp_path / "file").write_text("x")
    stored = Stored(tmp_path / "file", max_bytes=0)
    threads = [threading.Thread(target=stored.put, args=(key(number), torch.ones(4))) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said(caplog)) == 1


@given(numbers=st.lists(st.integers(0, 5), min_size=1, max_size=12), writable=st.booleans())
@settings(max_examples=25)
def test_what_is_found_is_what_was_put_wherever_it_lies(tmp_path_factory, numbers, writable):
    folder = tmp_path_factory.mktemp("stored") / "cache"
    if not writable:
        folder.write_text("x")
    stored = Stored(folder, max_bytes=48)
    for number in numbers:
        stored.put(key(number), torch.full((4,), float(number)))
        assert torch.equal(stored.get(key(number)), torch.full((4,), float(number)))
        assert stored.nbytes <= 48
    again = Stored(folder, max_bytes=0)
    assert all((again.get(key(number)) is not None) == writable for number in numbers)
