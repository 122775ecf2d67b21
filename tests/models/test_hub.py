"""Names on the hub, without a network: what the cache holds is loaded, and the rest is refused with advice."""

import huggingface_hub.constants
import pytest

from models.errors import PackageError
from models.manifest import SETTINGS_FILE
from models.package import load, load_base
from models.settings import StreamingSettings
from tests.models.packages import SETTINGS, same_weights, save, tiny


@pytest.fixture
def package(tmp_path):
    return save(tmp_path / "package")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_name_that_cannot_be_reached_says_what_to_do(offline):
    for loader in (load, load_base):
        with pytest.raises(PackageError, match="not in the hub's cache, and the hub cannot be reached; check"):
            loader("Qwen/Qwen2.5-VL-3B-Instruct")
    with pytest.raises(PackageError, match="no name that the hub could have"):
        load_base("a/b/c")
    with pytest.raises(PackageError, match="no name that the hub could have"):
        load("/no/such/folder")


def test_a_name_longer_than_any_file_name_is_told(offline):
    for loader in (load, load_base):
        with pytest.raises(PackageError, match="File name too long; write another path"):
            loader("a" * 5000)


@pytest.mark.parametrize("packaged", [True, False])
def test_a_cached_name_loads_without_a_network(offline, package, packaged):
    if not packaged:
        (package / SETTINGS_FILE).unlink()
        (package / "README.md").unlink()
    repository, commit = offline / "models--org--tiny", "a" * 40
    (repository / "snapshots").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    package.rename(repository / "snapshots" / commit)
    loaded = load("org/tiny")
    assert same_weights(loaded.model, tiny("qwen2_5_vl"))
    assert loaded.settings == (SETTINGS if packaged else StreamingSettings())
