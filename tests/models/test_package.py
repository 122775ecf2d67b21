"""Packages: what is saved is loaded, bit for bit; what is damaged, foreign or half there is refused by its name."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import huggingface_hub.constants
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5OmniConfig, Qwen2_5OmniForConditionalGeneration

from models.backbone import MODEL_CLASSES
from models.errors import PackageError
from models.manifest import SETTINGS_FILE, check_package, read_manifest
from models.model_card import ModelCard, TrainingProvenance
from models.package import PROCESSORS, SaveOptions, load, load_base, load_package, save_package
from models.routers.indexer import Indexer
from models.settings import StreamingSettings
from models.tiny import tiny_config, tiny_processor

FAMILIES = tuple(MODEL_CLASSES)
CARD = ModelCard(name="Tiny", license="apache-2.0", provenance=TrainingProvenance(base_model="Qwen/tiny", steps=3))
REPLACE = SaveOptions(overwrite=True)
SETTINGS = StreamingSettings(slots=512, memory="window", system_prompt="Watch.")


def tiny(family, seed=0):
    torch.manual_seed(seed)
    return MODEL_CLASSES[family](tiny_config(family)).eval()


def save(folder, family="qwen2_5_vl", **parts):
    given = {"model": tiny(family), "processor": tiny_processor(family), "settings": SETTINGS, "card": CARD}
    return save_package(folder, **given | parts)


def same_weights(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module", params=FAMILIES)
def saved(request, tmp_path_factory):
    return save(tmp_path_factory.mktemp("saved") / request.param, request.param)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return save(tmp_path_factory.mktemp("one") / "package", model=tiny("qwen2_5_vl"))


@pytest.fixture
def package(one, tmp_path):
    shutil.copytree(one, tmp_path / "package")
    return tmp_path / "package"


def edit(folder, change, name=SETTINGS_FILE):
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def refused(folder, *told, verify=False):
    with pytest.raises(PackageError) as caught:
        load_package(folder, verify=verify)
    for part in told:
        assert part in str(caught.value)
    return str(caught.value)


def test_what_is_saved_is_loaded(saved):
    loaded = load_package(saved, verify=True)
    family = saved.name
    assert same_weights(loaded.model, tiny(family))
    assert isinstance(loaded.model, MODEL_CLASSES[family])
    assert not loaded.model.training
    assert loaded.model.config._attn_implementation == "sdpa"
    assert type(loaded.processor).__name__ == PROCESSORS[family]
    assert loaded.processor.tokenizer("é<|video_pad|>")["input_ids"][2:] == [263]
    assert (loaded.settings, loaded.card, loaded.folder) == (SETTINGS, CARD, saved)


def test_a_package_is_a_checkpoint_of_stock_transformers(saved):
    family = saved.name
    assert same_weights(MODEL_CLASSES[family].from_pretrained(saved), tiny(family))
    assert {"README.md", "LICENSE", "config.json", "generation_config.json"} <= set(os.listdir(saved))
    assert "apache-2.0" in (saved / "LICENSE").read_text()


def test_load_tells_packages_from_checkpoints(package):
    assert load(package).settings == SETTINGS
    (package / SETTINGS_FILE).unlink()
    plain = load(package)
    assert (plain.settings, plain.card) == (StreamingSettings(), None)
    assert same_weights(plain.model, tiny("qwen2_5_vl"))


def test_dtype_and_attention_are_as_asked(package):
    loaded = load_package(package, dtype=torch.bfloat16, attention="eager")
    assert loaded.model.dtype == torch.bfloat16
    assert loaded.model.config._attn_implementation == "eager"
    with pytest.raises(PackageError, match="attention is 'flash_attention_2', expected one of eager"):
        load_package(package, attention="flash_attention_2")


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_told(package, device):
    with pytest.raises(PackageError, match=rf"device is '{device}'.*choose one that this machine has"):
        load_package(package, device=device)


def test_the_dtype_that_was_saved_comes_back(tmp_path):
    half = save(tmp_path / "half", model=tiny("qwen2_5_vl").to(torch.bfloat16))
    assert load_package(half).model.dtype == torch.bfloat16
    assert "bfloat16" in (half / "README.md").read_text()


def test_saving_leaves_a_model_in_training_as_it_is(tmp_path):
    model = tiny("qwen2_5_vl").train()
    save(tmp_path / "package", model=model)
    assert model.training
    assert all(weight.requires_grad for weight in model.parameters())


def test_large_weights_are_cut_in_shards(tmp_path):
    folder = save(tmp_path / "package", options=SaveOptions(shard_size="200KB"))
    assert len(read_manifest(folder).weights) > 2
    assert same_weights(load_package(folder, verify=True).model, tiny("qwen2_5_vl"))
    shard = read_manifest(folder).weights[1].name
    (folder / shard).unlink()
    refused(folder, shard, "missing", "copy the package anew")


def test_a_learned_router_goes_with_its_weights(tmp_path):
    learned = replace(SETTINGS, router="indexer")
    with pytest.raises(PackageError, match=r"lacks indexer\.safetensors \(for the router"):
        save(tmp_path / "package", settings=learned)
    assert os.listdir(tmp_path) == []
    Indexer(query_dim=64, frame_dim=64, width=4).save(tmp_path / "trained")
    folder = save(tmp_path / "package", settings=learned, options=SaveOptions(router_weights=tmp_path / "trained"))
    loaded = load_package(folder, verify=True)
    assert same_weights(loaded.model, tiny("qwen2_5_vl"))
    assert Indexer.load(loaded.folder / "indexer.safetensors").W_q.shape == (4, 64)
    assert [entry.name for entry in read_manifest(folder).weights] == ["model.safetensors"]


def test_the_thinker_of_a_whole_omni_checkpoint_is_loaded(tmp_path):
    config = Qwen2_5OmniConfig(thinker_config=tiny_config("qwen2_5_omni").to_dict(), enable_audio_output=False)
    whole = Qwen2_5OmniForConditionalGeneration(config)
    whole.save_pretrained(tmp_path)
    tiny_processor("qwen2_5_omni").save_pretrained(tmp_path)
    # The talker's tensors stand in the same files, under the names of the released checkpoints.
    tensors = load_file(tmp_path / "model.safetensors")
    released = {
        name.replace("thinker.model.language_model.", "thinker.model.").replace(
            "thinker.model.visual.", "thinker.visual."
        ): part
        for name, part in tensors.items()
    }
    assert any(name.startswith("thinker.visual.") for name in released)
    save_file(released | {"talker.x": torch.zeros(2)}, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = load_base(tmp_path)
    assert same_weights(loaded.model, whole.thinker)
    again = save(tmp_path / "package", "qwen2_5_omni", model=loaded.model, processor=loaded.processor)
    assert same_weights(load_package(again).model, whole.thinker)


def test_what_is_there_is_replaced_whole_or_not_at_all(package):
    (package / "notes").write_text("mine")
    with pytest.raises(PackageError, match="exists already"):
        save(package)
    assert (package / "notes").exists()
    save(package, "qwen3_vl", options=REPLACE)
    assert load_package(package, verify=True).settings == SETTINGS
    assert read_manifest(package).family == "qwen3_vl"
    assert not (package / "notes").exists()


class Plan:
    """Makes the n-th call below a folder fail; disarmed by default, for an audit hook cannot be taken off."""

    def __init__(self):
        self.root, self.left = None, 0

    def __call__(self, event, args):
        if self.root and event in ("open", "os.mkdir", "os.rename") and str(self.root) in str(args[0]):
            self.left -= 1
            if self.left < 0:
                self.root = None
                raise OSError(28, "No space left on device")


@pytest.fixture(scope="module")
def plan():
    made = Plan()
    sys.addaudithook(made)
    return made


def test_wherever_the_disk_fails_the_old_package_stays(package, plan):
    new, failed = {"settings": replace(SETTINGS, slots=9), "model": tiny("qwen2_5_vl", 1), "options": REPLACE}, 0
    for point in range(0, 100, 7):
        plan.root, plan.left = package.parent, point
        try:
            save(package, **new)
        except OSError:
            failed += 1
        finally:
            done, plan.root = plan.root is not None, None
        manifest = read_manifest(package)
        assert not [check for check in check_package(package, manifest, verify=True) if check.problem]
        assert os.listdir(package.parent) == ["package"]
        if done:
            break
        assert manifest.settings in (SETTINGS, new["settings"])
    assert failed > 3
    assert done
    assert manifest.settings == new["settings"]


@pytest.mark.slow
def test_a_killed_save_leaves_a_whole_package(package):
    script = (
        "import os, pathlib, sys; from tests.models.killed_writer import Trap\n"
        "from tests.models.test_package import *\n"
        "parts = {'settings': StreamingSettings(slots=9), 'model': tiny('qwen2_5_vl', 1), 'options': REPLACE}\n"
        "torch.set_num_threads(1)\n"
        "for point in range(0, 400, 17):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        sys.addaudithook(Trap(point, lambda: os._exit(9)))\n"
        "        save(sys.argv[1], **parts)\n"
        "        os._exit(0)\n"
        "    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "    manifest = read_manifest(pathlib.Path(sys.argv[1]))\n"
        "    broken = [c for c in check_package(pathlib.Path(sys.argv[1]), manifest, verify=True) if c.problem]\n"
        "    print(code, manifest.settings.slots, len(broken), flush=True)\n"
        "    if not code: break\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, package], capture_output=True, text=True, timeout=120, check=True
    )
    rows = [line.split() for line in done.stdout.splitlines() if line[:1].isdigit()]
    assert {row[2] for row in rows} == {"0"}
    assert [row[0] for row in rows] == ["9"] * (len(rows) - 1) + ["0"]
    assert rows[0][1] == "512"
    assert rows[-1][1] == "9"
    assert os.listdir(package.parent) == ["package"]


def test_a_missing_file_is_named(package):
    for name in ("config.json", "README.md", "LICENSE", "tokenizer.json", "model.safetensors"):
        (package / name).rename(package / "aside")
        refused(package, str(package / name), "missing")
        (package / "aside").rename(package / name)
    assert load_package(package)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_altered_or_torn_file_is_found(package, data):
    manifest = read_manifest(package)
    entry = data.draw(st.sampled_from(manifest.files))
    path = package / entry.name
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    torn = data.draw(st.booleans())
    changed = whole[:at] if torn else whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    path.write_bytes(changed)
    problems = {check.name: check.problem for check in check_package(package, manifest, verify=True)}
    quick = {check.name: check.problem for check in check_package(package, manifest, verify=False)}
    path.write_bytes(whole)
    assert [name for name, problem in problems.items() if problem] == [entry.name]
    assert str(path) in problems[entry.name]
    # Without hashing, only changes inside the tensors themselves pass.
    if torn or not entry.is_weights:
        assert quick[entry.name]


def test_weights_are_hashed_only_when_asked(package):
    path = package / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert load_package(package)
    refused(package, "model.safetensors", "SHA-256", verify=True)
    content[10] ^= 1
    path.write_bytes(content)
    refused(package, "model.safetensors", "its header does not describe")
    path.write_bytes(b"\xff" * len(content))
    refused(package, "model.safetensors", "its header does not describe")


@pytest.mark.parametrize("name", ["adapter_config.json", "model-00001.safetensors", "modeling.py", "pytorch_model.bin"])
def test_a_file_that_a_loader_would_read_is_refused(package, name):
    (package / name).write_text("{}")
    refused(package, name, "remove it")


def test_a_file_that_no_loader_reads_is_left_alone(package):
    (package / ".gitattributes").write_text("x")
    (package / "picture.png").write_text("x")
    assert load_package(package)


CHANGES = [
    (lambda v: v.update(format="other"), ("field format", "belongs to something else")),
    (lambda v: v.update(format_version="2.0"), ("format_version is 2.0", "streamvl 0.1.0", "expected 1.x")),
    (lambda v: v.update(format_version="2.0", libraries=None), ("of an unstated version",)),
    (lambda v: v.update(format_version=1), ("format_version is 1, expected such as 1.0",)),
    (lambda v: v.update(family="qwen9"), ("field family is 'qwen9'", "expected one of qwen2_5_vl")),
    (lambda v: v.update(family="qwen3_vl", processor="Qwen3VLProcessor"), ("config.json", "found a model of family")),
    (lambda v: v.update(processor="Qwen3VLProcessor"), ("field processor", "expected Qwen2_5_VLProcessor")),
    (lambda v: v.update(processor=3), ("field processor is 3",)),
    (lambda v: v.update(colour=1), ("unknown fields ['colour']",)),
    (lambda v: v.pop("card"), ("missing fields ['card']",)),
    (lambda v: v["settings"].update(slotz=1), ("field settings", "unknown field slotz")),
    (lambda v: v["settings"].update(slots="many"), ("field settings", "setting slots is 'many'")),
    (lambda v: v["settings"]["memory_settings"].update(last="x"), ("field settings", "last is 'x'")),
    (lambda v: v["card"].update(license=""), ("field card", "license is ''")),
    (lambda v: v["card"]["provenance"].update(steps=-1), ("field card", "steps is -1")),
    (lambda v: v.update(libraries=[]), ("field libraries is a list",)),
    (lambda v: v.update(files={}), ("field files is a dict",)),
    (lambda v: v["files"].append(1), ("is 1, expected an object",)),
    (lambda v: v["files"].append(v["files"][0]), ("each once",)),
    (lambda v: v["files"][0].update(name="../../etc/passwd"), ("field files[0].name", "plain name")),
    (lambda v: v["files"][0].update(size=-1), ("field files[0].size is -1",)),
    (lambda v: v["files"][0].update(mode=1), ("field files[0]", "unknown fields ['mode']")),
    (lambda v: v.update(files=[f for f in v["files"] if f["name"] != "LICENSE"]), ("lacks LICENSE",)),
    (lambda v: v.update(files=[f for f in v["files"] if "safe" not in f["name"]]), ("lacks *.safetensors",)),
]


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=lambda part: part[0] if isinstance(part, tuple) else "")
def test_a_wrong_manifest_is_refused_by_its_field(package, change, told):
    edit(package, change)
    message = refused(package, *told)
    assert str(package) in message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": "streamvl-package"'])
def test_a_manifest_that_is_no_json_is_refused(package, text):
    (package / SETTINGS_FILE).write_text(text)
    refused(package, SETTINGS_FILE)


def test_places_that_hold_no_package(tmp_path, package):
    refused(tmp_path / "none", "found nothing, expected a package folder")
    refused(package / "LICENSE", "found a file, expected a package folder")
    (package / SETTINGS_FILE).unlink()
    refused(package, "load_base")


def test_a_newer_minor_version_of_known_fields_loads(package):
    edit(package, lambda value: value.update(format_version="1.9"))
    assert load_package(package)


def other_patches():
    processor = tiny_processor("qwen2_5_vl")
    processor.video_processor.patch_size = 14
    return processor


def more_tokens():
    processor = tiny_processor("qwen2_5_vl")
    processor.tokenizer.add_tokens([f"word{number}" for number in range(100)])
    return processor


def other_ids():
    config = tiny_config("qwen2_5_vl")
    config.video_token_id = 7
    return MODEL_CLASSES["qwen2_5_vl"](config)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (lambda: {"processor": tiny_processor("qwen3_vl")}, "processor is a Qwen3VLProcessor, expected Qwen2_5_VL"),
        (lambda: {"processor": other_patches()}, "patch, merge and temporal sizes are (14, 2, 2), expected (4, 2, 2)"),
        (lambda: {"processor": more_tokens()}, "the tokenizer has 374 tokens, but the model embeds 320"),
        (lambda: {"model": other_ids()}, "the tokenizer's token 7, where the model puts video"),
        (lambda: {"model": tiny("qwen2_5_vl").model}, "model is a Qwen2_5_VLModel, expected Qwen2_5_VLForCond"),
    ],
)
def test_parts_that_do_not_fit_are_not_saved(tmp_path, parts, told):
    with pytest.raises(PackageError) as caught:
        save(tmp_path / "package", **parts())
    assert told in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_without_some_tensor_is_refused(package):
    path = package / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("lm_head.weight")
    save_file(tensors, path, {"format": "pt"})
    (package / SETTINGS_FILE).unlink()
    with pytest.raises(PackageError, match=r"1 tensors are missing or of another shape, such as lm_head\.weight"):
        load_base(package)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v.update(model_type="bert"), "BertConfig, expected Qwen2_5_VLConfig"),
        (lambda v: v.update(model_type="own", auto_map={"AutoConfig": "own.Own"}), "transformers cannot load it"),
        (lambda v: v["text_config"].update(hidden_size="wide"), "transformers cannot load it"),
        (lambda v: v["text_config"].update(hidden_size=128), "transformers cannot load it"),
    ],
)
def test_a_foreign_checkpoint_is_refused(package, change, told):
    (package / SETTINGS_FILE).unlink()
    (package / "own.py").write_text("raise SystemExit('ran foreign code')")
    edit(package, change, "config.json")
    with pytest.raises(PackageError) as caught:
        load_base(package)
    assert told in str(caught.value)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(PackageError, match=r"config\.json: missing"):
        load_base(tmp_path)


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


@pytest.mark.parametrize("packaged", [True, False])
def test_a_cached_name_loads_without_a_network(offline, package, packaged):
    if not packaged:
        (package / SETTINGS_FILE).unlink()
    repository, commit = offline / "models--org--tiny", "a" * 40
    (repository / "snapshots").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    package.rename(repository / "snapshots" / commit)
    loaded = load("org/tiny")
    assert same_weights(loaded.model, tiny("qwen2_5_vl"))
    assert loaded.settings == (SETTINGS if packaged else StreamingSettings())
