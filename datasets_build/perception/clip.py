"""Embeddings of pictures: CLIP through open_clip when weights are given, the perceptual signature otherwise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from datasets_build.core.config import Config
from datasets_build.core.files import DataError, sha256_file
from datasets_build.core.perceived import Embedder

Picture = npt.NDArray[np.uint8]
Embeddings = npt.NDArray[np.float32]
SIGNATURE = Embedder(name="perceptual-signature", weights="none", is_semantic=False)


class ClipError(DataError):
    """CLIP weights that were asked for and cannot be loaded."""


class ClipConfig(Config):
    """Which CLIP model judges novelty. With `model` empty there is none, and the perceptual signature serves.

    `model` is an open_clip architecture (`ViT-B-32`), a hub name (`hf-hub:org/name`) or a folder (`local-dir:PATH`);
    `weights` a checkpoint file or an open_clip tag (`laion2b_s34b_b79k`), needed with an architecture only.
    """

    model: str = ""
    weights: str = ""
    device: str = "cpu"
    threads: int = Field(default=1, ge=1)


class Encoder(Protocol):
    """Turns pictures into unit vectors whose dot product is their likeness."""

    embedder: Embedder

    def encode(self, pictures: Sequence[Picture]) -> Embeddings:
        """`(n, dimensions) float32` unit vectors of RGB pictures `(height, width, 3) uint8`."""
        ...


class SignatureEncoder:
    """Layout (a mean-free 8 × 8 thumbnail) and mean colour in Lab: knows no meaning, reacts to light and to shaking."""

    embedder = SIGNATURE

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


class ClipEncoder:
    """An open_clip image tower with its own preprocessing."""

    def __init__(self, config: ClipConfig) -> None:
        import open_clip
        import torch

        torch.set_num_threads(config.threads)
        try:
            self._model, self._preprocess = open_clip.create_model_from_pretrained(
                config.model, pretrained=config.weights or None, device=config.device
            )
        # open_clip raises whatever its loaders raise: hub, file, pickle and shape errors share no base.
        except Exception as error:
            raise ClipError(
                f"clip.model={config.model!r}, clip.weights={config.weights!r}: cannot be loaded "
                f"({' '.join(str(error).split())[:300]}); give a local checkpoint, or leave clip.model empty"
            ) from error
        self._model.eval()
        self._device = config.device
        self.embedder = Embedder(
            name=config.model if ":" not in config.model else config.model.split(":", 1)[0],
            weights=Path(config.weights).name if config.weights else Path(config.model).name,
            weights_sha256=_state_digest(self._model.state_dict()),
            is_semantic=True,
        )

    def encode(self, pictures: Sequence[Picture]) -> Embeddings:
        """`(n, dimensions) float32` unit vectors of RGB pictures `(height, width, 3) uint8`."""
        import torch
        from PIL import Image

        batch = torch.stack([self._preprocess(Image.fromarray(picture)) for picture in pictures]).to(self._device)
        with torch.inference_mode():
            vectors = self._model.encode_image(batch, normalize=True)
        array: Embeddings = vectors.float().cpu().numpy()
        return array


def _state_digest(state: dict[str, object]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        assert isinstance(tensor, torch.Tensor)
        digest.update(name.encode() + str(tensor.dtype).encode() + str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_encoder(config: ClipConfig) -> Encoder:
    """The encoder that a config asks for. Raises ClipError when named weights cannot be loaded."""
    return ClipEncoder(config) if config.model else SignatureEncoder()


def describe_encoder(config: ClipConfig) -> Embedder:
    """Load the encoder once and say what it is; a function of its own so that a worker can do it."""
    return load_encoder(config).embedder


def weights_files(config: ClipConfig) -> list[Path]:
    """The files of weights that lie here; none where the hub has them."""
    paths = [Path(config.weights)] if config.weights else []
    if config.model.startswith("local-dir:"):
        folder = Path(config.model.removeprefix("local-dir:"))
        paths = sorted(folder.rglob("*"))
    return [path for path in paths if path.is_file()]


def weights_digest(config: ClipConfig) -> str:
    """What the weights are, for a stage's fingerprint: a file's hash, or the name that the hub resolves."""
    hashes = [sha256_file(path) for path in weights_files(config)]
    return ",".join(digest[:16] for digest in hashes) or f"{config.model}/{config.weights}"
