"""What loading refuses, `inspect` tells, by the same sentence; what it tells nothing against loads."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from models.checks import check_checkpoint, examine, family_of_folder
from models.errors import PackageError, SettingsError
from models.info import inspect
from models.manifest import SETTINGS_FILE, read_manifest
from models.package import load, load_package
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tensors import StoredTensor, embedding_shape, stored_tensors
from models.tiny import tiny_processor
from tests.models.packages import FAMILIES, edit, save, tiny


def signed(folder):
    """Makes the manifest fit the files as they are now."""

    def fit(value):
        for entry in value["files"]:
            content = (folder / entry["name"]).read_bytes()
            entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())

    edit(folder, fit)


def config(change):
    def bend(folder):
        edit(folder, change, "config.json")
        signed(folder)

    return bend


def other_processor(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    tiny_processor("qwen3_vl").save_pretrained(folder)
    signed(folder)


def other_embedding(folder):
    tensors = load_file(folder / "model.safetensors")
    (name,) = [name for name in tensors if name.endswith("embed_tokens.weight")]
    tensors[name] = torch.zeros(320, 32)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    signed(folder)


BENDS = {
    "family": lambda folder: edit(folder, lambda v: v.update(family="qwen3_vl", processor="Qwen3VLProcessor")),
    "no family": lambda folder: edit(folder, lambda v: v.update(family="qwen9")),
    "processor's name": lambda folder: edit(folder, lambda v: v.update(processor="Qwen3VLProcessor")),
    "processor": other_processor,
    "router": lambda folder: edit(folder, lambda v: v["settings"].update(router="indexer")),
    "unlisted": lambda folder: edit(folder, lambda v: v.update(files=v["files"][1:])),
    "stray": lambda folder: (folder / "modeling.py").write_text("x"),
    "model type": config(lambda v: v.update(model_type="bert")),
    "null text": config(lambda v: v.update(text_config=None)),
    "null vision": config(lambda v: v.update(vision_config=None)),
    "list": lambda folder: ((folder / "config.json").write_text("[]"), signed(folder)),
    "width": config(lambda v: v["text_config"].update(hidden_size=48)),
    "words": config(lambda v: v["text_config"].update(vocab_size=352)),
    "embedding": other_embedding,
    "deleted weights": lambda folder: (folder / "model.safetensors").unlink(),
}


def forbid_building(monkeypatch):
    def build(*given, **named):
        raise AssertionError("a model is built")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", build)


@pytest.mark.parametrize("name", BENDS)
def test_what_is_refused_is_told_and_no_model_is_built(package, monkeypatch, name):
    BENDS[name](package)
    problems = inspect(package, verify=True).problems

    forbid_building(monkeypatch)
    with pytest.raises(PackageError) as caught:
        load_package(package, verify=True)
    assert problems[0] == str(caught.value)


def test_what_is_whole_has_no_problems(package):
    examined = examine(package, read_manifest(package), verify=True)
    assert examined.problems == ()
    assert {check.name for check in examined.files} | {SETTINGS_FILE} == {path.name for path in package.iterdir()}
    assert load_package(package)


def test_faults_stand_before_files_and_all_are_told(package):
    edit(package, lambda value: value["settings"].update(router="indexer"))
    (package / "LICENSE").write_text("changed")
    told = examine(package, read_manifest(package), verify=False).problems
    assert len(told) == 2
    assert "indexer.safetensors" in told[0]
    assert "LICENSE" in told[1]


@pytest.mark.parametrize("change", [{"text_config": None}, {"vision_config": 3}, {"text_config": {}}])
def test_a_configuration_that_means_the_largest_model_builds_none(package, monkeypatch, change):
    edit(package, lambda value: value.update(change), "config.json")
    (package / SETTINGS_FILE).unlink()
    (package / "README.md").unlink()
    forbid_building(monkeypatch)
    with pytest.raises(PackageError, match=r"config\.json: (field|describes an embedding of)"):
        load(package)


def test_a_null_thinker_is_refused(tmp_path):
    value = {"model_type": "qwen2_5_omni", "thinker_config": {"text_config": None}}
    (tmp_path / "config.json").write_text(json.dumps(value))
    with pytest.raises(PackageError, match="field text_config is None, expected an object"):
        family_of_folder(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_headers_tell_every_tensor(tmp_path, family):
    model = tiny(family)
    folder = save(tmp_path / family, family, model=model)
    tensors = stored_tensors(folder)
    assert sum(tensor.size for tensor in tensors) == model.num_parameters()
    assert {tensor.dtype for tensor in tensors} == {"F32"}
    assert embedding_shape(tensors) == (320, 64)
    (folder / SETTINGS_FILE).unlink()
    with pytest.raises(PackageError, match=r"streaming_config\.json: missing"):
        check_checkpoint(folder)
    (folder / "README.md").unlink()
    check_checkpoint(folder)


def test_the_talker_has_a_table_of_its_own():
    talker = StoredTensor(name="talker.model.embed_tokens.weight", dtype="F32", shape=(8, 2))
    thinker = StoredTensor(name="thinker.model.embed_tokens.weight", dtype="F32", shape=(9, 3))
    assert embedding_shape((talker, thinker)) == (9, 3)
    assert embedding_shape((talker,)) is None


@pytest.mark.parametrize("header", [b"\xff" * 100, b"", (2).to_bytes(8, "little") + b"[]", b"\0" * 8])
def test_a_header_that_is_none_is_refused(tmp_path, header):
    (tmp_path / "model.safetensors").write_bytes(header)
    with pytest.raises(PackageError, match=r"its header cannot be read"):
        stored_tensors(tmp_path)


def test_slots_beyond_memory_are_told(package):
    edit(package, lambda value: value["settings"].update(slots=10**15))
    model = StreamingModel.from_pretrained(package)
    with pytest.raises(SettingsError, match=r"1 rows of 1000000000000000 slots take 512,000,000,000,000,000 bytes"):
        model.session()
    for slots in (2**62, 2**63 - 1):
        with pytest.raises(SettingsError, match="lower the setting slots"):
            model.session(StreamingSettings(slots=slots))
    model.session(StreamingSettings(slots=64)).close()
    model.close()
