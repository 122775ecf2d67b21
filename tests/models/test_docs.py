"""The docs of the streaming model name what there is, and their code runs."""

import re
from dataclasses import fields
from inspect import signature
from pathlib import Path

import numpy as np

from models.answer import AnswerOptions
from models.decode import StopRule
from models.memory.policy import POLICIES
from models.memory.settings import MemorySettings
from models.model_card import ModelCard
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from tests.models.oracle import drawn_frames

TEXT = (Path(__file__).parents[2] / "docs/streaming.md").read_text(encoding="utf-8")


def test_every_setting_that_is_named_exists():
    known = {
        field.name for kind in (StreamingSettings, MemorySettings, AnswerOptions, StopRule) for field in fields(kind)
    }
    known |= {*signature(StreamingModel.session).parameters, *signature(StreamingModel.pool).parameters}
    known |= {"memory_settings", "options"}
    tables = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    named = {name for code in re.findall(r"`([^`]+)`", tables) for name in re.findall(r"(\w+)=", code)}
    assert len(named) > 10
    assert named <= known
    rows = set(re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.MULTILINE))
    assert set(POLICIES) <= rows


def test_the_code_trains_and_packages_a_router(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    frames = drawn_frames(8)
    here = {
        "model": StreamingModel.from_random(tiny_config("qwen3_vl")),
        "grids": [np.stack(frames[at : at + 2]) for at in range(0, 8, 2)],
        "card": ModelCard(name="routed", license="apache-2.0"),
    }
    exec(code.replace("steps=1000", "steps=3"), here)
    assert StreamingModel.from_pretrained("out/routed").session(router="indexer").settings.router == "indexer"
