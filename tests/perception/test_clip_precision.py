import logging

import pytest

from datasets_build.perception import clip_precision
from datasets_build.perception.clip import PRECISIONS, TINY, ClipConfig
from datasets_build.perception.clip_int8 import Int8Error, is_installed
from datasets_build.perception.clip_precision import choose, fastest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.mark.parametrize(
    ("times", "best"),
    [
        ({"fp32": [1.0]}, "fp32"),
        ({"fp32": [1.0, 1.0, 1.0], "bf16": [0.5, 0.5, 0.5], "int8": [0.3, 0.3, 0.3]}, "int8"),
        ({"fp32": [1.0], "bf16": [0.5], "int8": [0.7]}, "bf16"),
        # On a machine without the instructions.
        ({"fp32": [1.0], "bf16": [3.0], "int8": [1.4]}, "fp32"),
        # Within what one trial differs from the next: nothing is lost for nothing.
        ({"fp32": [1.0], "bf16": [0.95]}, "fp32"),
        # One slow round of three is the machine's, not the model's.
        ({"fp32": [1.0, 1.0, 1.0], "bf16": [9.0, 0.5, 0.5]}, "bf16"),
    ],
)
def test_the_fastest_wins_where_it_is_clearly_faster(times, best):
    assert choose(times) == best


@pytest.mark.slow
def test_a_trial_ends_with_a_precision_that_runs_here():
    assert fastest(ClipConfig(model=TINY, precision="auto")) in PRECISIONS


def test_without_the_packages_integers_are_not_tried_and_the_log_says_so(monkeypatch, caplog):
    monkeypatch.setattr(clip_precision, "is_installed", lambda: False)
    with caplog.at_level(logging.INFO):
        found = clip_precision._encoders(ClipConfig(model=TINY, precision="auto"))
    assert set(found) == {"fp32", "bf16"}
    assert "int8 is not tried" in caplog.text


def test_a_model_that_cannot_be_put_into_integers_is_timed_without_them(monkeypatch, caplog):
    real = clip_precision.load_encoder

    def load(config):
        if config.precision == "int8":
            raise Int8Error("cannot be put into integers")
        return real(config)

    monkeypatch.setattr(clip_precision, "is_installed", lambda: True)
    monkeypatch.setattr(clip_precision, "load_encoder", load)
    with caplog.at_level(logging.INFO):
        assert set(clip_precision._encoders(ClipConfig(model=TINY, precision="auto"))) == {"fp32", "bf16"}
    assert "cannot be put into integers" in caplog.text


def test_where_the_packages_are_the_trial_has_all_three():
    if not is_installed():
        pytest.skip("onnxruntime is not installed")
    assert set(clip_precision._encoders(ClipConfig(model=TINY, precision="auto"))) == set(PRECISIONS)
