"""A learned router from its examples to an answer: trained on a model's own features, packaged, and asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.errors import FrameError, SettingsError
from models.memory.settings import MemorySettings
from models.model_card import ModelCard
from models.package import SaveOptions
from models.routers.candidate import Candidate
from models.routers.indexer import Example, Indexer, train_indexer
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from tests.models.oracle import SECOND_NS, drawn_frames

SETTINGS = StreamingSettings(slots=1024, max_new_tokens=2, background=False, top_k=2, system_prompt="Watch.")
QUESTION = "where is the square"
CARD = ModelCard(name="routed", license="apache-2.0")


@pytest.fixture(scope="module")
def model():
    return StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=SETTINGS)


@pytest.fixture(scope="module")
def grids():
    frames = drawn_frames(24, seed=3)
    return [np.stack(frames[at : at + 2]) for at in range(0, 24, 2)]


@pytest.fixture(scope="module")
def weights(model, grids, tmp_path_factory):
    """An indexer for which this question is answered by the grids 1 and 2."""
    seen = [
        Candidate(key=key, t_ns=key * SECOND_NS, features=model.grid_features(grid)) for key, grid in enumerate(grids)
    ]
    words = model.question_features(QUESTION)
    indexer = Indexer(query_dim=words.shape[1], frame_dim=words.shape[1], width=8)
    examples = [Example(query=words, candidates=tuple(seen), relevant=(1, 2))]
    losses = train_indexer(indexer, examples, steps=60, lr=0.03, seed=0)
    assert losses[-1] < losses[0]
    path = tmp_path_factory.mktemp("trained") / "indexer.safetensors"
    indexer.save(path)
    return path


def test_a_trained_indexer_chooses_in_a_session_what_it_was_taught(model, grids, weights, tmp_path):
    learned = replace(
        SETTINGS, router="indexer", memory="retrieval", memory_settings=MemorySettings(last=2), window_s=None
    )
    made = StreamingModel(model.backbone, model.processor, learned)
    folder = made.save(tmp_path / "package", card=CARD, options=SaveOptions(router_weights=weights))
    session = StreamingModel.from_pretrained(folder).session()
    for key, grid in enumerate(grids):
        for place, frame in enumerate(grid):
            session.add_frame(frame, key * SECOND_NS + place * SECOND_NS // 2)
    recalled = []
    session.observe(lambda event: recalled.append(getattr(event, "before", None)))
    session.ask(QUESTION).run()
    assert [entry.block.t0_ns for entry in recalled if entry is not None] == [SECOND_NS, 2 * SECOND_NS]


def test_features_are_those_that_sessions_feed(model, grids):
    session, fed = model.session(), []
    session.observe(lambda event: fed.append(event.features))
    for place, frame in enumerate(grids[0]):
        session.add_frame(frame, place)
    [features] = [given for given in fed if given is not None]
    assert torch.equal(model.grid_features(grids[0]), features.embeds)
    with pytest.raises(FrameError):
        model.grid_features(grids[0].astype(np.float32))


def test_without_weights_the_error_names_the_way(model):
    with pytest.raises(SettingsError, match=r"train_indexer, put it into a package by .*SaveOptions\(router_weights"):
        model.session(router="indexer")
