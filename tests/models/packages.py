"""Small packages for tests, and how one is bent and found wanting."""

import json

import pytest
import torch

from models.backbone import MODEL_CLASSES
from models.errors import PackageError
from models.manifest import SETTINGS_FILE
from models.model_card import ModelCard, TrainingProvenance
from models.package import SaveOptions, load_package, save_package
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
