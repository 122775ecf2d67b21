import sys

import numpy as np
import pytest
import torch

from datasets_build.perception.clip import TINY, ClipConfig, ClipEncoder
from datasets_build.perception.clip_int8 import Int8Error, is_installed, quantized

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
needs_onnx = pytest.mark.skipif(not is_installed(), reason="onnxruntime is not installed: the extra `onnx`")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert not is_installed()
    with pytest.raises(Int8Error, match=r"onnxruntime and onnx.*pip install 'streamvl\[onnx\]'.*fp32 or bf16"):
        quantized(torch.nn.Linear(2, 2), torch.zeros(1, 2), threads=1)


@needs_onnx
def test_a_product_in_integers_stays_near_the_one_in_floats():
    torch.manual_seed(0)
    tower = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.GELU(), torch.nn.Linear(64, 16)).eval()
    run = quantized(tower, torch.zeros(1, 32), threads=1)
    given = torch.randn(1, 32)
    cosine = torch.nn.functional.cosine_similarity(run(given), tower(given))
    assert 0.99 < float(cosine) < 1.0


@needs_onnx
def test_what_cannot_be_exported_is_an_error_that_names_the_setting():
    class Odd(torch.nn.Module):
        def forward(self, given):
            return torch.linalg.eigvals(given).real

    with pytest.raises(Int8Error, match=r"clip.precision=int8: this model cannot be put into integers"):
        quantized(Odd(), torch.zeros(1, 2, 2), threads=1)


@needs_onnx
def test_an_embedding_in_integers_depends_on_its_picture_alone():
    encoder = ClipEncoder(ClipConfig(model=TINY, precision="int8"))
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (48, 64, 3)).astype(np.uint8) for _ in range(3)]
    whole = encoder.encode(pictures)
    assert encoder.batch == 1
    assert encoder.embedder.precision == "int8"
    assert np.array_equal(whole, np.concatenate([encoder.encode([one]) for one in pictures]))
    assert np.array_equal(whole[::-1], encoder.encode(pictures[::-1]))
