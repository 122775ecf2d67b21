"""What is told of a package is what its model is, found without loading it."""

import shutil
from dataclasses import replace

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
    costs = found.costs
    assert costs.family == folder.name
    assert costs.parameters == made.backbone.model.num_parameters()
    assert (costs.dtype, costs.layers, costs.width) == ("float32", 2, made.backbone.width)
    pool = made.pool()
    assert (costs.kv_bytes, costs.pool_bytes) == (pool.bytes_per_slot, pool.nbytes)
    assert found.settings == made.settings
    assert found.manifest.card.name == "Tiny"
    assert {check.how for check in found.checks} == {"sha256"}
    assert found.problems == ()


def test_tokens_of_a_frame_are_those_of_a_session(saved):
    made, folder = saved
    with made.session() as session:
        costs = {(cost.height, cost.width): cost.tokens for cost in inspect(folder, verify=False).costs.frames}
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
    assert found.costs.dtype == "bfloat16"
    assert found.costs.kv_bytes * 2 == made.pool().bytes_per_slot


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


def as_checkpoint(package):
    (package / SETTINGS_FILE).unlink()
    (package / "README.md").unlink()


def test_a_plain_checkpoint_is_told_too(package):
    costs = inspect(package, verify=False).costs
    as_checkpoint(package)
    found = inspect(package, verify=False)
    assert (found.manifest, found.checks, found.settings) == (None, (), StreamingSettings())
    assert found.costs == replace(costs, pool_bytes=costs.kv_bytes * StreamingSettings().slots)
    assert found.problems == ()


def test_a_package_without_its_settings_is_no_plain_checkpoint(package):
    (package / SETTINGS_FILE).unlink()
    with pytest.raises(PackageError, match=r"streaming_config\.json: missing, expected beside the README\.md"):
        inspect(package, verify=False)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "processor_config.json", "tokenizer.json"])
@pytest.mark.parametrize("how", ["gone", "torn", "a folder"])
def test_a_broken_file_is_told_and_the_others_still_listed(package, name, how):
    whole = (package / name).read_bytes()
    (package / name).unlink()
    if how == "torn":
        (package / name).write_bytes(whole[:-7])
    elif how == "a folder":
        (package / name).mkdir()
    found = inspect(package, verify=False)
    assert [problem.split(":")[0] for problem in found.problems] == [str(package / name)]
    assert {check.name: check.problem is None for check in found.checks}[name] is False
    assert sum(check.problem is None for check in found.checks) == len(found.checks) - 1
    # What can still be told is told.
    assert found.settings.slots == 1024
    assert found.costs is None or name in ("model.safetensors", "tokenizer.json")


def test_what_cannot_be_told_is_an_error(package, tmp_path):
    with pytest.raises(PackageError, match="found nothing, expected a package folder"):
        inspect(tmp_path / "none", verify=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackageError, match=r"config\.json: missing"):
        inspect(tmp_path / "empty", verify=False)
    as_checkpoint(package)
    (package / "processor_config.json").write_text("{")
    with pytest.raises(PackageError, match="transformers cannot load it"):
        inspect(package, verify=False)
    (package / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(PackageError, match="its header cannot be read"):
        inspect(package, verify=False)
    (package / "model.safetensors").unlink()
    with pytest.raises(PackageError, match=r"holds no model\.safetensors"):
        inspect(package, verify=False)
