"""Models to begin with: from nothing in the families' architectures, or a checkpoint that learns to decide."""

import pytest
import torch
from tokenizers import Tokenizer
from transformers import Qwen2Tokenizer

from models.backbone import MODEL_CLASSES, family_of
from models.model_card import ModelCard
from models.package import save_package
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import byte_tokenizer, processor_of, tiny_config
from recipes.base import DECISION_WORDS, DECISIONS, load_stage, make_base
from recipes.errors import CheckpointError, RecipeError
from recipes.settings import ModelConfig
from tests.recipes.training.small import MADE

TEXTS = ["What colour is it?", "red"]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_model_from_nothing_is_packaged_and_streams(tmp_path, family):
    config = ModelConfig(family=family, made=MADE)
    base = make_base(config, texts=TEXTS, seed=1)
    assert isinstance(base.model, MODEL_CLASSES[family])
    assert family_of(base.model.config).name == family
    assert len(set(base.decision_ids)) == 3
    folder = save_package(
        tmp_path / "p",
        model=base.model,
        processor=base.processor,
        settings=StreamingSettings(decision_tokens=DECISIONS),
        card=ModelCard(name="small", license="apache-2.0"),
    )
    again = load_stage(folder, config)
    for name, weight in base.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name]), name
    assert again.decision_ids == base.decision_ids
    with StreamingModel.from_pretrained(folder) as model, model.session() as session:
        for k in range(2):
            session.add_frame(torch.randint(0, 255, (56, 56, 3), dtype=torch.uint8).numpy(), k * 500_000_000)
        assert [turn.state for turn in session.speak(take="silence")] == ["silence"]


def test_a_package_of_another_architecture_is_refused_before_it_is_loaded(tmp_path):
    base = make_base(ModelConfig(made=MADE), texts=TEXTS, seed=1)
    folder = save_package(
        tmp_path / "p",
        model=base.model,
        processor=base.processor,
        settings=StreamingSettings(),
        card=ModelCard(name="small", license="apache-2.0"),
    )
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="family qwen2_5_vl, expected qwen3_vl"):
        load_stage(folder, ModelConfig(family="qwen3_vl", made=MADE))


def test_the_seed_decides_the_weights():
    made = [make_base(ModelConfig(made=MADE), texts=TEXTS, seed=seed).model.state_dict() for seed in (3, 3, 4)]
    name = "model.language_model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(made[0][name], made[1][name])
    assert not torch.equal(made[0][name], made[2][name])


def test_a_family_that_is_not_made_is_told():
    with pytest.raises(RecipeError, match="qwen2_5_omni is not made from nothing"):
        make_base(ModelConfig(family="qwen2_5_omni", made=MADE), texts=TEXTS, seed=0)


@pytest.fixture
def plain_checkpoint(tmp_path):
    """A checkpoint whose tokenizer has no decision tokens, and whose spare rows are all alike."""
    config = tiny_config("qwen2_5_vl")
    model = MODEL_CLASSES["qwen2_5_vl"](config)
    spare = slice(262, None)
    model.get_input_embeddings().weight.data[spare] = 0.5
    full = byte_tokenizer("qwen2_5_vl")
    core = full.backend_tokenizer.to_str()
    plain = core
    for place, token in enumerate(DECISIONS):
        plain = plain.replace(token, f"<|spare_{place}|>")
    tokenizer = Qwen2Tokenizer(
        tokenizer_object=Tokenizer.from_str(plain), eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = full.chat_template
    folder = tmp_path / "plain"
    model.save_pretrained(folder)
    processor_of(config, tokenizer).save_pretrained(folder)
    return folder, model


def test_a_checkpoint_is_given_decision_tokens_that_can_be_told_apart(plain_checkpoint):
    folder, before = plain_checkpoint
    base = make_base(ModelConfig(source=str(folder)), texts=(), seed=0)
    embeddings = base.model.get_input_embeddings().weight
    assert len(set(base.decision_ids)) == 3
    for token, place in zip(DECISIONS, base.decision_ids, strict=True):
        words = base.tokenizer(DECISION_WORDS[token], add_special_tokens=False)["input_ids"]
        assert torch.allclose(embeddings[place], embeddings[words].mean(0))
    rows = embeddings[list(base.decision_ids)]
    assert torch.pdist(rows).min() > 0
    old = before.get_input_embeddings().weight
    kept = [place for place in range(len(old)) if place not in base.decision_ids]
    assert torch.equal(embeddings[kept], old[kept])


def test_a_model_is_a_checkpoint_or_made_and_never_both():
    for given in ({}, {"source": "x", "made": MADE}):
        with pytest.raises(ValueError, match="exactly one"):
            ModelConfig(**given)
