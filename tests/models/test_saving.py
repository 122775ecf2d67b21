"""Saving on a full disk, and over folders that hold something else: refused in one sentence, and nothing is lost."""

import os
import resource
from contextlib import contextmanager
from dataclasses import replace

import pytest

from models.errors import PackageError
from models.package import SaveOptions, load_package, save_package
from models.tiny import tiny_processor
from tests.models.packages import CARD, REPLACE, SETTINGS, save, tiny


@contextmanager
def no_file_beyond(size):
    """Lets the system refuse every byte beyond that size of any file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# The weights are written by safetensors, small files by Python.
@pytest.mark.parametrize("size", [100_000, 100])
def test_a_full_disk_is_told_and_leaves_what_was_there(package, size):
    new = {"settings": replace(SETTINGS, slots=9), "options": REPLACE, "model": tiny("qwen2_5_vl", 1)}
    told = r"package: cannot be written \(.*File too large.*make room"
    with pytest.raises(PackageError, match=told), no_file_beyond(size):
        save(package, **new)
    assert os.listdir(package.parent) == ["package"]
    assert load_package(package, verify=True).settings == SETTINGS


def test_a_tokenizer_that_cannot_be_written_is_told(tmp_path):
    model = tiny("qwen2_5_vl")
    model.save_pretrained = lambda folder, max_shard_size: (folder / "config.json").write_text("{}")
    parts = {"processor": tiny_processor("qwen2_5_vl"), "settings": SETTINGS, "card": CARD}
    with pytest.raises(PackageError, match=r"cannot be written \(File too large") as caught, no_file_beyond(4000):
        save_package(tmp_path / "package", model=model, **parts)
    # This is why a bare Exception has to be understood.
    assert type(caught.value.__cause__) is Exception
    assert os.listdir(tmp_path) == []


def test_an_error_that_is_no_disk_is_left_alone(tmp_path):
    model = tiny("qwen2_5_vl")
    model.save_pretrained = lambda folder, max_shard_size: 1 // 0
    with pytest.raises(ZeroDivisionError):
        save(tmp_path / "package", model=model)
    assert os.listdir(tmp_path) == []


def test_a_folder_of_somebody_is_not_replaced(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    with pytest.raises(
        PackageError, match=r"found a folder with thesis\.tex and without streaming_config\.json or conf"
    ):
        save(home, options=REPLACE)
    assert (home / "thesis.tex").read_text() == "years of work"


def test_a_checkpoint_may_be_replaced(package):
    (package / "streaming_config.json").unlink()
    save(package, options=REPLACE)
    assert load_package(package).settings == SETTINGS


@pytest.mark.parametrize("folder", ["", " ", "a\0b", "~nobody-of-that-name/x"])
def test_a_path_that_is_none_is_refused(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(PackageError, match=r"expected a path|write another path"):
        save(folder, options=REPLACE)
    assert os.listdir(tmp_path) == ["config.json"]


@pytest.mark.parametrize("folder", [".", ".."])
def test_the_working_directory_is_refused(package, monkeypatch, folder):
    (package / "deep").mkdir()
    monkeypatch.chdir(package if folder == "." else package / "deep")
    with pytest.raises(PackageError, match="is the working directory or holds it"):
        save(folder, options=SaveOptions(overwrite=True))
    assert (package / "config.json").exists()


def test_a_name_too_long_for_the_disk_is_told(tmp_path):
    with pytest.raises(PackageError, match=r"File name too long.*; write another path"):
        save(tmp_path / ("x" * 300))
