"""What is told of a package is what its model is, found without loading it."""

import json
import shutil

import pytest
import torch

from models.errors import PackageError
from models.info import inspect
from models.manifest import SETTINGS_FILE
from models.model_card import ModelCard
from models.settings import StreamingSettings
from tests.models.films import model

FAMILIES = ("qwen2_5_vl", "qwen2_5_omni", "qwen3_vl")


@pytest.fixture(scope="module", params=FAMILIES)
def saved(request, tmp_path_factory):
    made = model(request.param)
    folder = made.save(
        tmp_path_factory.mktemp("saved") / request.param, card=ModelCard(name="Tiny", license="apache-2.0")
    )
    return made, folder


@pytest.fixture
def package(saved, tmp_path):
    shutil.copytree(saved[1], tmp_path / "package")
    return tmp_path / "package"


def test_what_is_told_is_what_the_model_is(saved):
    made, folder = saved
    found = inspect(folder, verify=True)
    assert found.family == folder.name
    assert found.parameters == made.backbone.model.num_parameters()
    assert (found.dtype, found.layers, found.width) == ("float32", 2, made.backbone.width)
    pool = made.pool()
    assert (found.kv_bytes, found.pool_bytes) == (pool.bytes_per_slot, pool.nbytes)
    assert found.settings == made.settings
    assert found.manifest.card.name == "Tiny"
    assert {check.how for check in found.checks} == {"sha256"}
    assert found.problems == ()


def test_tokens_of_a_frame_are_those_of_a_session(saved):
    made, folder = saved
    with made.session() as session:
        costs = {(cost.height, cost.width): cost.tokens for cost in inspect(folder, verify=False).frames}
        frame = torch.zeros(360, 640, 3, dtype=torch.uint8).numpy()
        for t_ns in (0, 1, 2):
            session.add_frame(frame, t_ns)
        # The first grid is fed before the third frame is taken; beside it stands the system turn.
        before = len(made.prompts.system(made.settings.system_prompt))
        timed = 8 if folder.name == "qwen3_vl" else 0
        answer = session.ask("What?")
        seen = answer.stats.visible_tokens - answer.stats.prompt_tokens - before
    grids = answer.stats.frames
    assert grids == 2
    assert 0 <= seen - grids * 2 * costs[360, 640] <= grids * 3 * timed


def test_the_dtype_of_the_weights_counts(saved, tmp_path):
    made, folder = saved
    half = model(folder.name)
    half.backbone.model.to(torch.bfloat16)
    found = inspect(half.save(tmp_path / "half", card=ModelCard(name="Half", license="unknown")), verify=False)
    assert found.dtype == "bfloat16"
    assert found.kv_bytes * 2 == made.pool().bytes_per_slot


def test_broken_files_are_told_all_at_once(package):
    (package / "LICENSE").unlink()
    (package / "README.md").write_text("changed")
    content = bytearray((package / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (package / "model.safetensors").write_bytes(content)
    assert [problem.split(":")[0].rsplit("/", 1)[1] for problem in inspect(package, verify=False).problems] == [
        "LICENSE",
        "README.md",
    ]
    assert len(inspect(package, verify=True).problems) == 3


def test_a_plain_checkpoint_is_told_too(package):
    (package / SETTINGS_FILE).unlink()
    found = inspect(package, verify=False)
    assert (found.manifest, found.checks, found.settings) == (None, (), StreamingSettings())


def test_what_cannot_be_told_is_an_error(package, tmp_path):
    with pytest.raises(PackageError, match="found nothing, expected a package folder"):
        inspect(tmp_path / "none", verify=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackageError, match=r"config\.json: missing"):
        inspect(tmp_path / "empty", verify=False)
    (package / "processor_config.json").write_text("{")
    with pytest.raises(PackageError, match="its processor cannot be read"):
        inspect(package, verify=False)
    (package / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(PackageError, match="its header cannot be read"):
        inspect(package, verify=False)
    (package / "model.safetensors").write_bytes((2).to_bytes(8, "little") + json.dumps({}).encode())
    with pytest.raises(PackageError, match=r"holds no model\.safetensors"):
        inspect(package, verify=False)
