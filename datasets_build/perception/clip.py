"""Embeddings of pictures: CLIP through open_clip when a model is named, the perceptual signature otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self, get_args

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from datasets_build.core.config import Config
from datasets_build.core.files import DataError, read_json, sha256_file
from datasets_build.core.perceived import Embedder

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn

Picture = npt.NDArray[np.uint8]
Embeddings = npt.NDArray[np.float32]
Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SIGNATURE = Embedder(name="perceptual-signature", weights="none", is_semantic=False)
TINY = "tiny"
TINY_NAME, TINY_FOLDER = "tiny-clip-of-drawn-shapes", Path(__file__).parent / "weights" / "tiny_clip"


class ClipError(DataError):
    """CLIP weights that were asked for and cannot be loaded."""


class ClipConfig(Config):
    """Which CLIP model judges novelty. With `model` empty there is none, and the perceptual signature serves.

    `model` is an open_clip architecture (`ViT-B-32`), a hub name (`hf-hub:org/name`), a folder (`local-dir:PATH`) or
    `tiny`, the small one of this package, which knows drawn shapes and nothing of real video; `weights` a checkpoint
    file or an open_clip tag (`laion2b_s34b_b79k`), needed with an architecture only. `precision` is what the image
    tower computes in; `auto` takes the fastest on this machine, so that another may give other bytes. Pictures go
    through it `batch` at a time; videos that last no longer than `together_s` in all share their batches.
    """

    model: str = ""
    weights: str = ""
    device: str = "cpu"
    threads: int = Field(default=1, ge=1)
    precision: Literal["fp32", "bf16", "int8", "auto"] = "fp32"
    batch: int = Field(default=16, ge=1)
    together_s: float = Field(default=60.0, ge=0)

    @model_validator(mode="after")
    def _on_a_processor(self) -> Self:
        if self.device != "cpu" and self.precision in ("int8", "auto"):
            raise ValueError(f"precision: found {self.precision} with device {self.device!r}, expected device cpu")
        return self


class Encoder(Protocol):
    """Turns pictures into unit vectors whose dot product is their likeness; `batch` is how many it likes at a time."""

    embedder: Embedder
    batch: int

    def encode(self, pictures: Sequence[Picture]) -> Embeddings:
        """`(n, dimensions) float32` unit vectors of RGB pictures `(height, width, 3) uint8`."""
        ...


class SignatureEncoder:
    """Layout (a mean-free 8 × 8 thumbnail) and mean colour in Lab: knows no meaning, reacts to light and to shaking."""

    embedder = SIGNATURE
    batch = 1

    def encode(self, pictures: Sequence[Picture]) -> Embeddings:
        """`(n, 196) float32` unit vectors of RGB pictures `(height, width, 3) uint8`."""
        return np.stack([self._one(picture) for picture in pictures])

    @staticmethod
    def _one(picture: Picture) -> npt.NDArray[np.float32]:
        small = cv2.resize(picture, (8, 8), interpolation=cv2.INTER_AREA)
        lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32).reshape(-1, 3) / 255
        mean = lab.mean(axis=0)
        # The constant keeps a flat picture away from the zero vector, and its noise from counting as layout.
        vector = np.concatenate([(lab - mean).reshape(-1), mean - 0.5, [np.float32(0.3)]]).astype(np.float32)
        unit: npt.NDArray[np.float32] = vector / np.linalg.norm(vector)
        return unit


class ClipModel(Protocol):
    """What is used of an open_clip model."""

    visual: nn.Module

    def encode_image(self, image: Tensor) -> Tensor:
        """`(n, dimensions)` vectors of prepared pictures `(n, 3, side, side)`."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """The weights by name."""
        ...


class ClipEncoder:
    """An open_clip image tower with its own preprocessing; what it makes of a picture depends on that picture alone."""

    def __init__(self, config: ClipConfig) -> None:
        import open_clip
        import torch

        assert config.precision != "auto", "the parent settles it before it asks for an encoder"
        torch.set_num_threads(config.threads)
        model, self._preprocess = _load(config)
        self._device = config.device
        self.embedder = Embedder(
            name=TINY_NAME if config.model == TINY else config.model.split(":", 1)[0],
            weights=Path(config.weights).name if config.weights else Path(_folder_or_name(config)).name,
            weights_sha256=_state_digest(model.state_dict()),
            preprocess_sha256=_preprocess_digest(open_clip.get_model_preprocess_cfg(model)),
            precision=config.precision,
            is_semantic=True,
        )
        # Integers are scaled by the greatest number of a batch, so that a batch must be one picture.
        self.batch = 1 if config.precision == "int8" else config.batch
        blank = torch.zeros_like(self._prepared([np.zeros((32, 32, 3), np.uint8)]))
        self._pad = blank.expand(self.batch - 1, -1, -1, -1)
        self._run = _RUNNERS[config.precision](model, blank, config.threads)

    def encode(self, pictures: Sequence[Picture]) -> Embeddings:
        """`(n, dimensions) float32` unit vectors of RGB pictures `(height, width, 3) uint8`."""
        import torch

        parts = [pictures[k : k + self.batch] for k in range(0, len(pictures), self.batch)]
        with torch.inference_mode():
            rows = [self._embed(self._prepared(part)) for part in parts]
            vectors = torch.nn.functional.normalize(torch.cat(rows), dim=-1)
        array: Embeddings = vectors.cpu().numpy()
        return array

    def _embed(self, part: Tensor) -> Tensor:
        """Run a batch that is filled up to its full size: in one of another size sums are taken in another order."""
        import torch

        whole = torch.cat([part, self._pad])[: self.batch]
        return self._run(whole)[: len(part)].float()

    def _prepared(self, pictures: Sequence[Picture]) -> Tensor:
        import torch
        from PIL.Image import fromarray

        return torch.stack([self._preprocess(fromarray(picture)) for picture in pictures]).to(self._device)


def _load(config: ClipConfig) -> tuple[ClipModel, Callable[[Image], Tensor]]:
    """The model in float32, ready to embed, and its preprocessing of a PIL picture."""
    import open_clip

    name = f"local-dir:{TINY_FOLDER}" if config.model == TINY else config.model
    try:
        model, preprocess = open_clip.create_model_from_pretrained(
            name, pretrained=config.weights or None, device=config.device
        )
    # open_clip raises whatever its loaders raise: hub, file, pickle and shape errors share no base.
    except Exception as error:
        raise ClipError(
            f"clip.model={config.model!r}, clip.weights={config.weights!r}: cannot be loaded "
            f"({' '.join(str(error).split())[:300]}); give a local checkpoint, or leave clip.model empty"
        ) from error
    return model.eval(), preprocess


def _in_float32(model: ClipModel, _blank: Tensor, _threads: int) -> Callable[[Tensor], Tensor]:
    return lambda pictures: model.encode_image(pictures)


def _in_bfloat16(model: ClipModel, _blank: Tensor, _threads: int) -> Callable[[Tensor], Tensor]:
    import torch

    model.visual.to(torch.bfloat16)
    return lambda pictures: model.encode_image(pictures.to(torch.bfloat16))


def _in_integers(model: ClipModel, blank: Tensor, threads: int) -> Callable[[Tensor], Tensor]:
    from datasets_build.perception.clip_int8 import quantized

    return quantized(model.visual, blank, threads=threads)


_RUNNERS: Mapping[Precision, Callable[[ClipModel, Tensor, int], Callable[[Tensor], Tensor]]] = {
    "fp32": _in_float32,
    "bf16": _in_bfloat16,
    "int8": _in_integers,
}


def _state_digest(state: dict[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        digest.update(name.encode() + str(tensor.dtype).encode() + str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _preprocess_digest(settings: Mapping[str, object]) -> str:
    """What stands for size, resizing, cropping, mean, spread and interpolation, as open_clip names them."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def load_encoder(config: ClipConfig) -> Encoder:
    """The encoder that a config asks for. Raises ClipError when named weights cannot be loaded."""
    return ClipEncoder(config) if config.model else SignatureEncoder()


def describe_encoder(config: ClipConfig) -> Embedder:
    """Load the encoder once, embed a picture, and say what it is; a function of its own so that a worker can do it."""
    encoder = load_encoder(config)
    encoder.encode([np.zeros((32, 32, 3), np.uint8)])
    return encoder.embedder


def _folder_or_name(config: ClipConfig) -> str:
    return str(TINY_FOLDER) if config.model == TINY else config.model.removeprefix("local-dir:")


def weights_files(config: ClipConfig) -> list[Path]:
    """The files of weights that lie here; none where the hub has them."""
    paths = [Path(config.weights)] if config.weights else []
    if config.model == TINY or config.model.startswith("local-dir:"):
        paths = sorted(Path(_folder_or_name(config)).rglob("*"))
    return [path for path in paths if path.is_file()]


def weights_digest(config: ClipConfig) -> str:
    """What the weights are, for a stage's fingerprint: a file's hash, or the name that the hub resolves."""
    hashes = [sha256_file(path) for path in weights_files(config)]
    return ",".join(digest[:16] for digest in hashes) or f"{config.model}/{config.weights}"


def weights_note(config: ClipConfig) -> str:
    """What a folder of weights says of itself: `note` in its configuration, empty where there is none."""
    told = [path for path in weights_files(config) if path.name == "open_clip_config.json"]
    content = read_json(told[0]) if told else None
    note = content.get("note") if isinstance(content, dict) else None
    return note if isinstance(note, str) else ""
