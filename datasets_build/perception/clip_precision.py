"""Which numbers CLIP computes in fastest on this machine: a short timed trial, made once before the work begins."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from datasets_build.perception.clip import ClipConfig, Encoder, Precision, load_encoder
from datasets_build.perception.clip_int8 import Int8Error, is_installed

log = logging.getLogger(__name__)
ROUNDS, PICTURES, SIDE = 3, 16, 224
# What loses accuracy must gain more time than one trial differs from the next.
GAIN = 0.9


def fastest(config: ClipConfig) -> Precision:
    """Time every precision that runs here on the same pictures, in turn; the model is loaded once for each."""
    encoders = _encoders(config)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(PICTURES)]
    times: dict[Precision, list[float]] = {name: [] for name in encoders}
    for _ in range(ROUNDS + 1):
        for name, encoder in encoders.items():
            begun = time.perf_counter()
            encoder.encode(pictures)
            times[name].append(time.perf_counter() - begun)
    # The first round warms up.
    return choose({name: found[1:] for name, found in times.items()})


def _encoders(config: ClipConfig) -> dict[Precision, Encoder]:
    names: list[Precision] = ["fp32", "bf16"]
    if is_installed():
        names.append("int8")
    else:
        log.info("clip.precision=auto: int8 is not tried, onnxruntime and onnx are not installed (streamvl[onnx])")
    encoders: dict[Precision, Encoder] = {}
    for name in names:
        try:
            encoders[name] = load_encoder(config.model_copy(update={"precision": name}))
        except Int8Error as error:
            log.info("clip.precision=auto: %s", error)
    return encoders


def choose(times: Mapping[Precision, Sequence[float]]) -> Precision:
    """The precision of the least median; float32 unless another needs less than `GAIN` of its time."""
    typical = {name: median(found) for name, found in times.items()}
    best = min(typical, key=lambda name: typical[name])
    return best if typical[best] < GAIN * typical["fp32"] else "fp32"
