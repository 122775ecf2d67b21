"""Train the tiny CLIP: `python -m datasets_build.perception.train_tiny_clip --out DIR`.

It learns from drawn pictures and their sentences, each drawn once. A model of open_clip's own classes (a small CLIP
ResNet and a small text transformer) with a tokenizer of its own few words. It knows coloured shapes and NOTHING of real
video: it makes what keyframes need of meaning testable on machines without weights. The same seed on the same machine
with one thread gives the same weights.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import cv2
import numpy as np
import open_clip
import torch
from safetensors.torch import save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from torch.nn.functional import cross_entropy

from datasets_build.core.files import whole_file, write_json
from datasets_build.core.records import Json
from datasets_build.perception.tiny_clip_figures import measure, shown
from datasets_build.sources.world_shapes import COLOURS
from datasets_build.sources.world_stills import Sentence, Still, tell, vocabulary, write_still

log = logging.getLogger(__name__)
NOTE = "trained on drawn shapes only; knows nothing of real video, and is no substitute for a released CLIP"
WEIGHTS = "open_clip_model.safetensors"
SIDE, WORDS = 96, 24
_PAD, _UNKNOWN, _START, _END = "<pad>", "<unk>", "<start_of_text>", "<end_of_text>"
# The text tower reads at its greatest token, so the end comes last.
TOKENS = (_PAD, _UNKNOWN, _START, *vocabulary(), _END)
MODEL: dict[str, Json] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
    "text_cfg": {
        "context_length": WORDS,
        "vocab_size": len(TOKENS),
        "width": 128,
        "heads": 4,
        "layers": 2,
        "hf_tokenizer_name": "tokenizer.json",
    },
}
# The whole picture is squeezed into a square: what stands at its sides must not be cut off.
PREPROCESS: dict[str, Json] = {
    "mean": [0.5] * 3,
    "std": [0.25] * 3,
    "interpolation": "bilinear",
    "resize_mode": "squash",
}
_WARM_UP, _CLIP, _MOST_SCALE = 100, 1.0, math.log(100)
_SHIFT = SIDE // 10
_PALETTES = (1, 2, 4, len(COLOURS))


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; `held` pictures measure what was learned."""

    steps: int = 1200
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.05
    seed: int = 0
    held: int = 200


def write_folder(folder: Path) -> None:
    """The configuration and the tokenizer that open_clip reads beside the weights."""
    config: dict[str, Json] = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS, "note": NOTE}
    write_json(folder / "open_clip_config.json", config)
    words = {token: number for number, token in enumerate(TOKENS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=_UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_START} $A {_END}", special_tokens=[(_START, words[_START]), (_END, words[_END])]
    )
    with whole_file(folder / "tokenizer.json") as aside:
        aside.write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    special: dict[str, Json] = {"pad_token": _PAD, "unk_token": _UNKNOWN, "bos_token": _START, "eos_token": _END}
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": WORDS, **special},
    )


def drawn(stills: Sequence[Still]) -> Tensor:
    """The pictures of stills as the model is given them: `(n, 3, SIDE, SIDE) uint8`."""
    small = [cv2.resize(shown(still), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for still in stills]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)


def disturbed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures `(n, 3, side, side) uint8` in another light, shaken, with noise: `float32` 0..1 of the same shape."""
    n, side = len(pictures), pictures.shape[-1]

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((n, *shape), generator=generator)

    padded = torch.nn.functional.pad(pictures.float() / 255, (_SHIFT,) * 4, mode="replicate")
    shifts = torch.randint(0, 2 * _SHIFT + 1, (n, 2), generator=generator).tolist()
    moved = torch.stack([one[:, y : y + side, x : x + side] for one, (y, x) in zip(padded, shifts, strict=True)])
    mean = moved.mean(dim=(1, 2, 3), keepdim=True)
    light = (moved - mean) * draw(0.7, 1.3, 1, 1, 1) + mean * draw(0.7, 1.3, 1, 1, 1)
    light = light.clamp(0, 1) ** draw(0.75, 1.35, 1, 1, 1) * draw(0.6, 1.3, 1, 1, 1)
    noise = torch.randn(light.shape, generator=generator) * draw(0, 0.06, 1, 1, 1)
    return (light + noise).clamp(0, 1)


def contrastive_loss(likeness: Tensor, fits: Tensor) -> Tensor:
    """CLIP's loss (Radford et al., 2021) where several partners may be right.

    `likeness` `(n, n) float32` are scaled cosines of pictures (rows) and sentences, `fits` `(n, n) bool` which pairs
    are true; each row's and each column's target is spread evenly over its true partners.
    """
    true = fits.float()
    rows = cross_entropy(likeness, true / true.sum(1, keepdim=True))
    columns = cross_entropy(likeness.T, true.T / true.T.sum(1, keepdim=True))
    return (rows + columns) / 2


def truth_table(stills: Sequence[Still], sentences: Sequence[Sentence]) -> Tensor:
    """Which sentence is true of which still: `(stills, sentences) bool`."""
    return torch.tensor([[still.fits(sentence) for sentence in sentences] for still in stills])


def train(settings: Settings, folder: Path) -> open_clip.CLIP:
    """Train from nothing on pictures that are drawn as they are needed, each seen once; the model is in float32."""
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    rng = Random(f"tiny-clip/{settings.seed}")
    model = open_clip.CLIP(**MODEL).to(memory_format=torch.channels_last)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    mean, std = (torch.tensor(PREPROCESS[name])[:, None, None] for name in ("mean", "std"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, settings.steps))
    model.train()
    for step in range(settings.steps):
        # Where few colours are about, shape, number and place must tell the pictures of a batch apart.
        palette = rng.sample(sorted(COLOURS), rng.choice(_PALETTES))
        stills = [write_still(rng, palette) for _ in range(settings.batch)]
        sentences = [tell(still, rng) for still in stills]
        pictures = (disturbed(drawn(stills), generator) - mean) / std
        with torch.autocast("cpu", torch.bfloat16):
            image = model.encode_image(pictures.to(memory_format=torch.channels_last), normalize=True)
        text = model.encode_text(tokenizer([sentence.text for sentence in sentences]), normalize=True)
        likeness = model.logit_scale.exp() * image.float() @ text.T
        loss = contrastive_loss(likeness, truth_table(stills, sentences))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, _MOST_SCALE)
        if step % 50 == 0 or step == settings.steps - 1:
            log.info("step %d of %d: loss %.3f", step, settings.steps, loss.item())
    return model.eval()


def _pace(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to nothing."""
    if step < _WARM_UP:
        return (step + 1) / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (step - _WARM_UP) / max(1, steps - _WARM_UP)))


def save_weights(model: open_clip.CLIP, folder: Path) -> None:
    """Write the weights in float16, from which they are loaded back into float32."""
    half = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    with whole_file(folder / WEIGHTS) as aside:
        aside.write_bytes(save({name: value.contiguous() for name, value in half.items()}, {"note": NOTE}))


def main() -> None:
    """Train, save and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model, made if need be")
    parser.add_argument("--steps", type=int, default=Settings().steps)
    parser.add_argument("--seed", type=int, default=Settings().seed)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = Settings(steps=given.steps, seed=given.seed)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    write_folder(given.out)
    save_weights(train(settings, given.out), given.out)
    found = asdict(measure(given.out, count=settings.held, seed=settings.seed))
    write_json(given.out / "figures.json", {"settings": asdict(settings), "figures": found, "note": NOTE})
    log.info("%s: %s", given.out, found)


if __name__ == "__main__":
    main()
