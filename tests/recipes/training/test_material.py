"""What a stage begins with: weights, tokenizer and data have one fingerprint, and a change of any of them is seen."""

import json
import logging

import pytest
import torch

from models.model_card import ModelCard
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from recipes.base import make_base
from recipes.data.corpus import Corpus
from recipes.settings import DataConfig, ModelConfig, ModuleConfig, ModulesConfig, RunConfig, StreamConfig
from recipes.training.material import make_trainee, open_base
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


@pytest.mark.parametrize(("layout", "told"), [("branch", True), ("gap", False)])
def test_a_package_of_another_layout_is_told(tmp_path, caplog, layout, told):
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=StreamingSettings(layout="gap"))
    folder = model.save(tmp_path / "package", card=ModelCard(name="tiny", license="unknown"))
    stream = StreamConfig(begin_with=str(folder))
    run = run_of(tmp_path).model_copy(update={"stream": stream, "layout": layout})
    base = open_base(run, "stream", Corpus({}, ()))
    assert len(base.decision_ids) == 3
    words = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(words) == told
    assert not told or "was trained for layout gap, and goes on with layout branch" in words[0]
