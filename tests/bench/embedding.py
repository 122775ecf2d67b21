"""How fast CLIP embeds pictures on one processor core in float32, bfloat16 and integers, and how far they drift apart.

Run by `make bench`. The speed is that of ViT-B-32 with random weights, its preprocessing included, as a ratio to
float32 in the same run; precisions take turns, so that a machine that slows down slows all of them. The drift is the
cosine of each picture's embedding to its own in float32, of that model and of the trained tiny one, on drawn pictures.
Without onnxruntime the rows of integers are left out, and the run says so. Writes no file: paste the table into
docs/performance.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import numpy as np
import open_clip
import torch

from datasets_build.perception.batches import Batches
from datasets_build.perception.clip import PRECISIONS, TINY, ClipConfig, ClipEncoder, Precision
from datasets_build.perception.clip_int8 import is_installed
from datasets_build.perception.standby import shrink
from datasets_build.sources.world_stills import write_still
from tests.bench.ratios import Line, Paired, show

ROUNDS, PICTURES, SIDE = 5, 32, 224
ARCHITECTURE = "ViT-B-32"
# So many videos of so few candidates each, as a folder of short clips has.
CLIPS, CANDIDATES = 8, 4


def pictures(count: int) -> list[np.ndarray]:
    """Drawn pictures of the size that keyframe candidates have."""
    rng = Random(0)
    return [shrink(write_still(rng).draw(), SIDE) for _ in range(count)]


def random_weights(folder: Path) -> Path:
    """A checkpoint of the real architecture; how fast it runs does not depend on what it knows."""
    torch.manual_seed(0)
    path = folder / "random.pt"
    torch.save(open_clip.create_model(ARCHITECTURE).state_dict(), path)
    return path


def encoders(config: ClipConfig) -> dict[Precision, ClipEncoder]:
    """One of each precision that runs here."""
    names = [name for name in PRECISIONS if name != "int8" or is_installed()]
    return {name: ClipEncoder(config.model_copy(update={"precision": name})) for name in names}


def drift(found: dict[Precision, ClipEncoder], shown: list[np.ndarray]) -> dict[Precision, tuple[float, float]]:
    """Mean and least cosine of each picture's embedding to its own in float32."""
    vectors = {name: encoder.encode(shown).astype(np.float64) for name, encoder in found.items()}
    cosines = {name: (vectors[name] * vectors["fp32"]).sum(1) for name in found}
    return {name: (float(values.mean()), float(values.min())) for name, values in cosines.items()}


def speeds(found: dict[Precision, ClipEncoder], shown: list[np.ndarray]) -> Paired:
    """All of them in turn on the same pictures, after a round to warm up."""
    for encoder in found.values():
        encoder.encode(shown[: encoder.batch])
    paired = Paired()
    for _ in range(ROUNDS):
        paired.round({name: lambda encoder=encoder: encoder.encode(shown) for name, encoder in found.items()})
    return paired


def sharing(encoder: ClipEncoder, shown: list[np.ndarray]) -> float:
    """How many times longer short videos take when each has its batches for itself."""

    def embed(*, together: bool) -> None:
        batches = Batches(encoder)
        for clip in range(CLIPS):
            for picture in shown[clip * CANDIDATES : (clip + 1) * CANDIDATES]:
                batches.add(picture, lambda _: None)
            if not together:
                batches.flush()
        batches.flush()

    paired = Paired()
    for _ in range(ROUNDS):
        paired.round({"alone": lambda: embed(together=False), "together": lambda: embed(together=True)})
    return paired.ratio("alone", "together")


def main() -> bool:
    """Print the table; returns whether every bound holds."""
    shown = pictures(PICTURES)
    with tempfile.TemporaryDirectory() as name:
        config = ClipConfig(model=ARCHITECTURE, weights=str(random_weights(Path(name))))
        found = encoders(config)
        paired = speeds(found, shown)
        apart, apart_tiny = drift(found, shown), drift(encoders(ClipConfig(model=TINY)), shown)
        shared = sharing(found["fp32"], shown)
    lines = []
    for precision in found:
        rate = 1000 * PICTURES / paired.ms(precision)
        mean, least = apart[precision]
        mean_tiny, least_tiny = apart_tiny[precision]
        told = f"cosine to fp32 {mean:.5f}, least {least:.5f}; tiny CLIP {mean_tiny:.5f}, {least_tiny:.5f}"
        ratio = paired.ratio("fp32", precision)
        lines.append(Line(what=f"{ARCHITECTURE} in {precision}", ours=f"{rate:.1f} pictures/s, {told}", value=ratio))
    what = f"{CLIPS} videos of {CANDIDATES} candidates: batches of their own against shared ones"
    lines.append(Line(what=what, ours="fp32", value=shared))
    if "int8" not in found:
        print("int8 was not run: onnx and onnxruntime are not installed (the extra `onnx`)")
    return show("CLIP on one core", lines)


if __name__ == "__main__":
    raise SystemExit(not main())
