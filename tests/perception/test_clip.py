import json

import numpy as np
import pytest
import torch

from datasets_build.core.worker import Worker
from datasets_build.perception.clip import (
    SIGNATURE,
    ClipConfig,
    ClipError,
    describe_encoder,
    load_encoder,
    weights_digest,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A real open_clip model of the real architecture, tiny and random, saved as open_clip saves one."""
    import open_clip

    folder = tmp_path_factory.mktemp("tiny-clip")
    torch.manual_seed(0)
    model = open_clip.CLIP(**TINY)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": preprocess}))
    return folder


def pictures(n):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (48, 64, 3)).astype(np.uint8) for _ in range(n)]


def test_without_weights_the_signature_serves_and_says_so():
    encoder = load_encoder(ClipConfig())
    assert encoder.embedder == SIGNATURE
    assert not encoder.embedder.is_semantic


def test_local_weights_load_and_embed(folder):
    encoder = load_encoder(ClipConfig(model=f"local-dir:{folder}"))
    vectors = encoder.encode(pictures(3))
    assert vectors.shape == (3, 16)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.embedder.is_semantic
    assert len(encoder.embedder.weights_sha256) == 64


def test_batching_does_not_change_an_embedding(folder):
    encoder = load_encoder(ClipConfig(model=f"local-dir:{folder}"))
    whole = encoder.encode(pictures(4))
    single = np.concatenate([encoder.encode([one]) for one in pictures(4)])
    assert np.allclose(whole, single, atol=1e-5)


@pytest.mark.slow
def test_a_worker_describes_the_model(folder):
    config = ClipConfig(model=f"local-dir:{folder}")
    with Worker() as worker:
        assert worker.call(120, describe_encoder, config) == load_encoder(config).embedder


@pytest.mark.parametrize(
    "config",
    [
        ClipConfig(model="local-dir:/no/such/folder"),
        ClipConfig(model="ViT-B-32", weights="/no/such/file.pt"),
        ClipConfig(model="no-such-architecture", weights="x"),
    ],
)
def test_weights_that_cannot_be_loaded_are_an_error_not_a_fallback(config):
    with pytest.raises(ClipError, match=r"cannot be loaded.*leave clip\.model empty"):
        load_encoder(config)


def test_the_fingerprint_follows_the_weights(folder, tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"one")
    first = weights_digest(ClipConfig(model="ViT-B-32", weights=str(path)))
    path.write_bytes(b"two")
    assert weights_digest(ClipConfig(model="ViT-B-32", weights=str(path))) != first
    assert weights_digest(ClipConfig(model="ViT-B-32", weights="openai")) == "ViT-B-32/openai"
    assert len(weights_digest(ClipConfig(model=f"local-dir:{folder}")).split(",")) == 2
