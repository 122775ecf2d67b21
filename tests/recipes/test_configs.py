from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.utils import DistributedType
from transformers import Qwen2_5_VLConfig, Qwen2_5OmniThinkerConfig, Qwen3VLConfig

from datasets_build.core.config import ConfigError, load_config
from models.backbone import MODEL_CLASSES
from recipes.settings import STAGES, RunConfig
from recipes.training.command import read_run
from recipes.training.modules import freeze, module_of, parameter_groups, shares

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
CONFIGS = sorted((RECIPES / "configs").glob("*.yaml"))
LAUNCHERS = {
    "cpu": (DistributedType.NO, 1),
    "cpu2": (DistributedType.MULTI_GPU, 2),
    "gpu1": (DistributedType.NO, 1),
    "ddp": (DistributedType.MULTI_GPU, 8),
    "fsdp2": (DistributedType.FSDP, 8),
    "zero2": (DistributedType.DEEPSPEED, 8),
    "zero3": (DistributedType.DEEPSPEED, 8),
    "multi_node": (DistributedType.FSDP, 16),
}
# The published sizes, from the models' own config.json on the hub.
SIZES = {
    "qwen2_5_vl_3b": Qwen2_5_VLConfig(
        text_config={"vocab_size": 151_936, "hidden_size": 2048, "intermediate_size": 11_008, "num_hidden_layers": 36,
                     "num_attention_heads": 16, "num_key_value_heads": 2},
        vision_config={"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048},
        tie_word_embeddings=True,
    ),
    "qwen2_5_vl_7b": Qwen2_5_VLConfig(
        text_config={"vocab_size": 152_064, "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28,
                     "num_attention_heads": 28, "num_key_value_heads": 4},
        vision_config={"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
        tie_word_embeddings=False,
    ),
    "qwen2_5_omni_7b": Qwen2_5OmniThinkerConfig(
        text_config={"vocab_size": 152_064, "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28,
                     "num_attention_heads": 28, "num_key_value_heads": 4},
        vision_config={"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
        audio_config={"d_model": 1280, "encoder_layers": 32, "encoder_ffn_dim": 5120, "output_dim": 3584},
    ),
    "qwen3_vl_4b": Qwen3VLConfig(
        text_config={"vocab_size": 151_936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
                     "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128},
        vision_config={"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "out_hidden_size": 2560,
                       "deepstack_visual_indexes": [5, 11, 17]},
        tie_word_embeddings=True,
    ),
}  # fmt: skip
BILLIONS = {"qwen2_5_vl_3b": 3.75, "qwen2_5_vl_7b": 8.29, "qwen2_5_omni_7b": 8.93, "qwen3_vl_4b": 4.44}


def test_every_config_is_there():
    assert {path.stem for path in CONFIGS} == {"tiny", "tiny_qwen3_vl", "demo", *SIZES}
    assert {path.stem for path in (RECIPES / "accelerate").glob("*.yaml")} == set(LAUNCHERS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_loads_and_its_stages_follow_each_other(path):
    run = load_config(RunConfig, path)
    assert run.name == path.stem
    assert [run.stage(name).begin_with for name in STAGES] == ["base", "align", "stream"]
    for name in STAGES:
        assert run.stage(name).pack.rows % run.stage(name).pack.micro == 0
    assert (run.model.made is None) == (path.stem in SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_freeze_maps_fit_the_published_sizes(name):
    run = load_config(RunConfig, RECIPES / "configs" / f"{name}.yaml")
    with torch.device("meta"):
        model = MODEL_CLASSES[run.model.family](SIZES[name])
    model.tie_weights()
    assert sum(weight.numel() for weight in model.parameters()) / 1e9 == pytest.approx(BILLIONS[name], rel=0.01)
    for stage in STAGES:
        modules = run.stage(stage).modules
        freeze(model, modules, seed=0)
        trained = {module_of(n) for n, weight in model.named_parameters() if weight.requires_grad}
        assert "language" in trained
        assert not trained & {"vision", "audio"}
        assert ("merger" in trained) == (stage != "interact")
        groups = parameter_groups(model, modules, run.stage(stage).optim)
        assert {group["module"] for group in groups} == trained
        assert all(group["lr"] <= 1e-5 for group in groups)
        assert ("head" in [share.module for share in shares(model, modules)]) == (not model.config.tie_word_embeddings)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_accelerate_reads_its_configs(name):
    config = ClusterConfig.from_yaml_file(str(RECIPES / "accelerate" / f"{name}.yaml"))
    assert (config.distributed_type, config.num_processes) == LAUNCHERS[name]
    assert config.mixed_precision == ("no" if name.startswith("cpu") else "bf16")
    assert config.use_cpu == (name == "cpu")
    if name in ("fsdp2", "multi_node"):
        assert config.fsdp_config["fsdp_version"] == 2
    if name.startswith("zero"):
        assert config.deepspeed_config["zero_stage"] == int(name[-1])
    assert (config.num_machines, config.main_process_ip) == ((2, "127.0.0.1") if name == "multi_node" else (1, None))


def test_overrides_are_full_paths_or_the_stages_own():
    path = RECIPES / "configs" / "tiny.yaml"
    run = read_run(path, ["steps=7", "out=elsewhere", "optim.clip=0.5", "stream.steps=9"], "align")
    assert (run.align.steps, run.out, run.align.optim.clip, run.stream.steps) == (7, "elsewhere", 0.5, 9)
    assert read_run(path, ["align.steps=7"], None).align.steps == 7


def test_a_rate_goes_to_every_part_that_trains():
    path = RECIPES / "configs" / "tiny.yaml"
    modules = read_run(path, ["lr=3e-5", "modules.merger.train=full"], "interact").interact.modules
    kept = read_run(path, [], "interact").interact.modules
    assert (modules.merger.lr, modules.language.lr, modules.head.lr) == (3e-5, 3e-5, 3e-5)
    assert modules.vision.lr == kept.vision.lr != 3e-5
    assert read_run(path, ["lr=1e-5"], "interact").align == read_run(path, [], "interact").align


@pytest.mark.parametrize("override", ["stepz=7", "align.stepz=7", "steps=many", "lr=fast", "modules.lr=1", "="])
def test_what_is_no_setting_is_refused(override):
    with pytest.raises(ConfigError):
        read_run(RECIPES / "configs" / "tiny.yaml", [override], "align")
