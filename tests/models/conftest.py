"""What tests of the models share. Small models run fastest on one thread: several would wait for other processes."""

import shutil

import pytest
import torch

from tests.models.packages import save, tiny
from tests.models.watched import FAMILIES, Watched, encoders, tiny_backbone, tiny_format

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def backbones():
    return {family: tiny_backbone(family) for family in FAMILIES}


@pytest.fixture(scope="module")
def formats():
    return {family: tiny_format(family) for family in FAMILIES}


@pytest.fixture
def tower(backbones):
    """A tower that counts what it encodes and can be made to wait or to fail."""
    return Watched(backbones["qwen2_5_vl"])


@pytest.fixture
def make(tower, formats):
    """Makes encoders of that tower; all are closed in the end."""
    with encoders(tower, formats["qwen2_5_vl"]) as made:
        yield made


@pytest.fixture(scope="module")
def one_package(tmp_path_factory):
    return save(tmp_path_factory.mktemp("one") / "package", model=tiny("qwen2_5_vl"))


@pytest.fixture
def package(one_package, tmp_path):
    """A package of its own for each test."""
    shutil.copytree(one_package, tmp_path / "package")
    return tmp_path / "package"
