"""Packages: what is saved is loaded, bit for bit; what is damaged, foreign or half there is refused by its name."""

import os
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5OmniConfig, Qwen2_5OmniForConditionalGeneration

from models.backbone import MODEL_CLASSES
from models.errors import PackageError
from models.manifest import SETTINGS_FILE, check_package, read_manifest
from models.package import PROCESSORS, SaveOptions, load, load_base, load_package
from models.routers.indexer import Indexer
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config, tiny_processor
from tests.models.packages import CARD, FAMILIES, REPLACE, SETTINGS, edit, refused, same_weights, save, tiny


@pytest.fixture(scope="module", params=FAMILIES)
def saved(request, tmp_path_factory):
    return save(tmp_path_factory.mktemp("saved") / request.param, request.param)


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


def as_checkpoint(package):
    """Leaves what any training run would have saved."""
    (package / SETTINGS_FILE).unlink()
    (package / "README.md").unlink()


def test_load_tells_packages_from_checkpoints(package):
    assert load(package).settings == SETTINGS
    as_checkpoint(package)
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


@pytest.mark.parametrize(
    "wrong", [{"overwrite": 1}, {"router_weights": 3}, {"shard_size": "lots"}, {"shard_size": "0GB"}, {"shard_size": 5}]
)
def test_options_of_the_wrong_kind_are_refused(wrong):
    with pytest.raises(PackageError, match=rf"option {next(iter(wrong))} is .*expected"):
        SaveOptions(**wrong)


def test_who_may_read_the_card_may_read_the_weights(package):
    assert stat.S_IMODE((package / "README.md").stat().st_mode) == 0o666 & ~current_umask()
    assert len({stat.S_IMODE(file.stat().st_mode) for file in package.iterdir()}) == 1


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_weights_are_hashed_where_that_is_asked(package):
    weights = package / "model.safetensors"
    held = bytearray(weights.read_bytes())
    held[-1] ^= 1
    weights.write_bytes(held)
    StreamingModel.from_pretrained(package).close()
    with pytest.raises(PackageError, match=r"model\.safetensors"):
        StreamingModel.from_pretrained(package, verify=True)


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
    # Saved again it still has them, here over itself.
    model = StreamingModel.from_pretrained(folder)
    model.save(folder, card=loaded.card, options=SaveOptions(overwrite=True))
    again = StreamingModel.from_pretrained(folder)
    assert torch.equal(Indexer.load(folder / "indexer.safetensors").W_q, Indexer.load(tmp_path / "trained").W_q)
    again.session().close()


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
    new, failed = {"settings": replace(SETTINGS, slots=9), "model": tiny("qwen2_5_vl", 1), "options": REPLACE}, []
    for point in range(0, 100, 7):
        plan.root, plan.left = package.parent, point
        try:
            save(package, **new)
        except PackageError as error:
            failed.append("cannot be written ([Errno 28] No space left on device)" in str(error))
        finally:
            done, plan.root = plan.root is not None, None
        manifest = read_manifest(package)
        assert not [check for check in check_package(package, manifest, verify=True) if check.problem]
        assert os.listdir(package.parent) == ["package"]
        if done:
            break
        assert manifest.settings in (SETTINGS, new["settings"])
    assert len(failed) > 3
    assert all(failed)
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
        [sys.executable, "-c", script, package], capture_output=True, text=True, timeout=280, check=True
    )
    rows = [line.split() for line in done.stdout.splitlines() if line[:1].isdigit()]
    assert {row[2] for row in rows} == {"0"}
    assert [row[0] for row in rows] == ["9"] * (len(rows) - 1) + ["0"]
    assert rows[0][1] == "512"
    assert rows[-1][1] == "9"
    assert os.listdir(package.parent) == ["package"]


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
        (lambda: {"card": {"name": "Tiny"}}, "card is {'name': 'Tiny'}, expected ModelCard"),
        (lambda: {"options": 3}, "options is 3, expected SaveOptions"),
        (lambda: {"options": SaveOptions(router_weights=__file__)}, "no indexer can be read"),
        (lambda: {"options": SaveOptions(router_weights="/no/such/file")}, "no indexer can be read"),
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
    as_checkpoint(package)
    with pytest.raises(PackageError, match=r"1 tensors are missing or of another shape, such as lm_head\.weight"):
        load_base(package)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v.update(model_type="bert"), "BertConfig, expected Qwen2_5_VLConfig"),
        (lambda v: v.update(model_type="own", auto_map={"AutoConfig": "own.Own"}), "transformers cannot load it"),
        (lambda v: v["text_config"].update(hidden_size="wide"), "transformers cannot load it"),
        (lambda v: v["text_config"].update(hidden_size=128), "describes an embedding of 320 by 128"),
        (lambda v: v["vision_config"].update(hidden_size=64), "transformers cannot load it"),
    ],
)
def test_a_foreign_checkpoint_is_refused(package, change, told):
    as_checkpoint(package)
    (package / "own.py").write_text("raise SystemExit('ran foreign code')")
    edit(package, change, "config.json")
    with pytest.raises(PackageError) as caught:
        load_base(package)
    assert told in str(caught.value)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(PackageError, match=r"config\.json: missing"):
        load_base(tmp_path)


def test_a_package_without_its_settings_is_no_plain_checkpoint(package):
    (package / SETTINGS_FILE).unlink()
    for read in (load, load_base):
        with pytest.raises(PackageError, match=r"streaming_config\.json: missing"):
            read(package)
    (package / "README.md").unlink()
    assert load(package).settings == StreamingSettings()
