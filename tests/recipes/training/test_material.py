"""What a stage begins with: weights, tokenizer and data have one fingerprint, and a change of any of them is seen."""

import json

import torch

from recipes.base import make_base
from recipes.settings import DataConfig, ModelConfig, ModuleConfig, ModulesConfig, RunConfig, StreamConfig
from recipes.training.material import make_trainee
from tests.recipes.training.small import MADE


def run_of(folder):
    full = ModuleConfig(train="full", lr=1e-3)
    modules = ModulesConfig(vision=full, merger=full, language=full, head=full)
    return RunConfig(
        model=ModelConfig(made=MADE), data=DataConfig(folders=(str(folder),)), stream=StreamConfig(modules=modules)
    )


def began(folder, *, texts=("a red square",), seed=1, scale=1.0):
    base = make_base(ModelConfig(made=MADE), texts=texts, seed=seed)
    with torch.no_grad():
        base.model.model.visual.merger.ln_q.weight.mul_(scale)
    return make_trainee(run_of(folder), "stream", base, (1, 1, 1)).began


def built(folder, fingerprint):
    for stage in ("index", "streaming_qa"):
        (folder / stage).mkdir(parents=True, exist_ok=True)
        (folder / stage / "manifest.json").write_text(json.dumps({"fingerprint": f"{fingerprint}{stage}"}))
    return folder


def test_the_same_beginning_has_the_same_fingerprint(tmp_path):
    folder = built(tmp_path, "x")
    assert began(folder) == began(folder)


def test_other_weights_words_or_data_have_another(tmp_path):
    first = began(built(tmp_path, "x"))
    others = [
        began(tmp_path, seed=2),
        began(tmp_path, scale=1.01),
        began(tmp_path, texts=("a blue circle, again and again",)),
        began(built(tmp_path, "y")),
    ]
    assert len({first, *others}) == 5
