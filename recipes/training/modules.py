"""Which part of a model each parameter belongs to, what of it trains, and how: whole, through adapters, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer, LoraModel
from torch import nn
from transformers import PreTrainedModel

from recipes.errors import RecipeError
from recipes.settings import ModuleConfig, ModulesConfig, OptimConfig, Train

ModuleName = Literal["vision", "merger", "language", "head", "audio"]
MODULES: tuple[ModuleName, ...] = ("vision", "merger", "language", "head", "audio")
_ADAPTER = "default"
_NO_AUDIO = ModuleConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What trains of a module.

    Attributes:
        module: its name.
        train: how.
        lr: its greatest learning rate.
        trained: how many of its numbers train.
        count: how many it has, adapters among them.
    """

    module: ModuleName
    train: Train
    lr: float
    trained: int
    count: int

    def __str__(self) -> str:
        """As in `language: full, 3,085,938,688 of 3,085,938,688 parameters at lr 1e-05`."""
        told = f"{self.module}: {self.train}, {self.trained:,} of {self.count:,} parameters"
        return f"{told} at lr {self.lr:g}" if self.trained else told


def module_of(name: str) -> ModuleName:
    """The part that a parameter belongs to, by its full name in a model of one of the three families.

    `merger` is all that leads from vision to language, deepstack mergers too; `head` is the output projection, which
    has parameters of its own only where it is not tied to the embeddings; `audio` is what no recipe trains.

    Raises:
        RecipeError: a name that belongs to none.
    """
    parts = name.split(".")
    if "audio_tower" in parts:
        return "audio"
    if "visual" in parts:
        rest = parts[parts.index("visual") + 1]
        return "merger" if rest in ("merger", "deepstack_merger_list") else "vision"
    if "lm_head" in parts:
        return "head"
    if "language_model" in parts:
        return "language"
    raise RecipeError(f"parameter {name}: belongs to no known part; expected a model of one of the three families")


def module_config(config: ModulesConfig, module: ModuleName) -> ModuleConfig:
    """The settings of a part; audio is always frozen."""
    return {
        "vision": config.vision,
        "merger": config.merger,
        "language": config.language,
        "head": config.head,
        "audio": _NO_AUDIO,
    }[module]


def freeze(model: PreTrainedModel, config: ModulesConfig, *, seed: int) -> LoraModel | None:
    """Makes a model train as its freeze map says; adapters go into all linear layers of a part that is `lora`.

    Args:
        model: changed in place.
        config: the freeze map.
        seed: of the adapters' first weights.

    Returns:
        What holds the adapters, for `merge`; None where there are none.

    Raises:
        RecipeError: nothing would train, or a part to be adapted has no linear layer.
    """
    adapted = [module for module in MODULES if module_config(config, module).train == "lora"]
    tuner = _with_adapters(model, config, modules=adapted, seed=seed) if adapted else None
    for name, weight in model.named_parameters():
        train = module_config(config, module_of(name)).train
        weight.requires_grad_(train == "full" or (train == "lora" and "lora_" in name))
    if not any(weight.requires_grad for weight in model.parameters()):
        raise RecipeError("modules: all are frozen, so nothing would train; set train of one of them to full or lora")
    return tuner


def _with_adapters(
    model: PreTrainedModel, config: ModulesConfig, *, modules: Sequence[ModuleName], seed: int
) -> LoraModel:
    tied = model.config.tie_word_embeddings
    found = [
        (name, module_of(name))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and not (tied and module_of(name) == "head")
    ]
    targets = [name for name, module in found if module in modules]
    # A head that is tied has nothing of its own to adapt.
    wanted = {module for module in modules if not (tied and module == "head")}
    lacking = wanted - {module for _, module in found}
    if lacking or not targets:
        raise RecipeError(f"modules: {', '.join(sorted(lacking or modules))} is lora but has no linear layer to adapt")
    lora = LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules=targets, lora_dropout=0.0, bias="none"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LoraModel(model, lora, _ADAPTER)


def merge(tuner: LoraModel | None, model: PreTrainedModel) -> PreTrainedModel:
    """The model with its adapters added into its weights, in place; the model itself where there are none."""
    if tuner is None:
        return model
    merged: PreTrainedModel = tuner.merge_and_unload(safe_merge=True)
    left = [name for name, layer in merged.named_modules() if isinstance(layer, LoraLayer)]
    if left:
        raise RecipeError(f"adapters: {left[0]} was not merged")
    return merged


def parameter_groups(model: nn.Module, config: ModulesConfig, optim: OptimConfig) -> list[dict[str, object]]:
    """Groups for an optimizer: a learning rate for each part, and no decay on norms, biases and all else in one line.

    Each group is what `torch.optim` takes, with its `module` beside; groups without parameters are left out.

    Args:
        model: the model, or what holds it; frozen parameters are in no group.
        config: the learning rates.
        optim: the decay.
    """
    groups: list[dict[str, object]] = []
    for module in MODULES:
        weights = [
            weight for name, weight in model.named_parameters() if weight.requires_grad and module_of(name) == module
        ]
        for decays in (True, False):
            chosen = [weight for weight in weights if (weight.dim() > 1) == decays]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": module_config(config, module).lr,
                        "weight_decay": optim.weight_decay if decays else 0.0,
                        "module": module,
                    }
                )
    return groups


def shares(model: nn.Module, config: ModulesConfig) -> list[Share]:
    """What trains of each part that the model has; as text, one line of the log each."""
    counts = {module: [0, 0] for module in MODULES}
    for name, weight in model.named_parameters():
        count = counts[module_of(name)]
        count[0] += weight.numel() * weight.requires_grad
        count[1] += weight.numel()
    return [
        Share(
            module=module,
            train=module_config(config, module).train,
            lr=module_config(config, module).lr,
            trained=trained,
            count=count,
        )
        for module, (trained, count) in counts.items()
        if count
    ]
