import json
import shutil

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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_embedding_depends_on_its_picture_alone(precision):
    encoder = load_encoder(ClipConfig(model="tiny", precision=precision))
    shown = pictures(21)
    whole = encoder.encode(shown)
    assert len(whole) == 21 > encoder.batch
    assert np.array_equal(whole[5:8], encoder.encode(shown[5:8]))
    assert np.array_equal(whole[::-1], encoder.encode(shown[::-1]))
    assert np.array_equal(whole[20:], encoder.encode(shown[20:]))


def test_numbers_of_half_the_bytes_stay_near_and_say_what_they_are():
    full, half = (load_encoder(ClipConfig(model="tiny", precision=name)) for name in ("fp32", "bf16"))
    cosines = (full.encode(pictures(4)) * half.encode(pictures(4))).sum(axis=1)
    assert (cosines > 0.99).all()
    assert (cosines < 1).any()
    assert (full.embedder.precision, half.embedder.precision) == ("fp32", "bf16")
    # The weights are those that were loaded, whatever they are computed in.
    assert full.embedder.weights_sha256 == half.embedder.weights_sha256


@pytest.mark.parametrize("precision", ["int8", "auto"])
def test_what_runs_on_a_processor_only_is_refused_elsewhere(precision):
    with pytest.raises(ValueError, match=f"precision: found {precision} with device 'cuda', expected device cpu"):
        ClipConfig(model="ViT-B-32", device="cuda", precision=precision)
    assert ClipConfig(model="ViT-B-32", device="cuda", precision="bf16").precision == "bf16"


def test_float32_is_the_default():
    assert ClipConfig().precision == "fp32"


@pytest.mark.parametrize(
    "change", [{"mean": [0.4, 0.5, 0.5]}, {"interpolation": "bilinear"}, {"resize_mode": "squash"}, {"std": [0.2] * 3}]
)
def test_another_preprocessing_has_another_hash_and_the_same_weights(folder, tmp_path, change):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= change
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    one, other = (load_encoder(ClipConfig(model=f"local-dir:{path}")).embedder for path in (folder, copy))
    assert one.weights_sha256 == other.weights_sha256
    assert one.preprocess_sha256 != other.preprocess_sha256
    assert len(one.preprocess_sha256) == 64


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
