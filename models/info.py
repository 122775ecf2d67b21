"""What a package or checkpoint is, told without loading its weights."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

import torch
from transformers import AutoProcessor

from models.backbone import Family
from models.errors import PackageError
from models.manifest import SETTINGS_FILE, WEIGHTS, FileCheck, Manifest, check_package, read_manifest
from models.package import family_of_folder
from models.patches import FrameFormat
from models.settings import StreamingSettings

SIZES: Final = ((360, 640), (480, 854), (720, 1280), (1080, 1920))
# Names of dtypes in a safetensors file: https://github.com/huggingface/safetensors#format
_DTYPES: Final = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCost:
    """Tokens that one frame of a size takes in the cache, its patches' partners counted in."""

    height: int
    width: int
    tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a folder holds.

    Attributes:
        folder: where.
        family: of the model.
        layers, width: of the decoder.
        parameters: as stored, in `dtype`.
        dtype: of most of the weights, as in `bfloat16`.
        kv_bytes: bytes of keys and values that a token takes.
        pool_bytes: those of all slots of one session.
        frames: what frames of common sizes cost.
        settings: how it is streamed.
        manifest: None for a plain checkpoint.
        checks: of every file; empty for a plain checkpoint.
    """

    folder: Path
    family: str
    layers: int
    width: int
    parameters: int
    dtype: str
    kv_bytes: int
    pool_bytes: int
    frames: tuple[FrameCost, ...]
    settings: StreamingSettings
    manifest: Manifest | None
    checks: tuple[FileCheck, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the files."""
        return tuple(check.problem for check in self.checks if check.problem is not None)


def inspect(folder: Path, *, verify: bool) -> Info:
    """Look at a package, or a plain checkpoint on disk.

    Args:
        folder: where.
        verify: hash the weights too.

    Raises:
        PackageError: it is neither, or a file that describes it cannot be read.
    """
    manifest = read_manifest(folder) if (folder / SETTINGS_FILE).exists() or not folder.is_dir() else None
    checks = () if manifest is None else tuple(check_package(folder, manifest, verify=verify))
    settings = StreamingSettings() if manifest is None else manifest.settings
    family, config = family_of_folder(folder)
    parameters, dtype = _weights(folder)
    text = config.get_text_config()
    head = text.head_dim if "head_dim" in text.to_dict() else text.hidden_size // text.num_attention_heads
    kv_bytes = 2 * text.num_hidden_layers * text.num_key_value_heads * head * dtype.itemsize
    return Info(
        folder=folder,
        family=family.name,
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        parameters=parameters,
        dtype=str(dtype).removeprefix("torch."),
        kv_bytes=kv_bytes,
        pool_bytes=kv_bytes * settings.slots,
        frames=_frames(folder, family, settings),
        settings=settings,
        manifest=manifest,
        checks=checks,
    )


def _weights(folder: Path) -> tuple[int, torch.dtype]:
    """How many parameters the model's files hold, and the dtype of most of them, from their headers."""
    held: dict[str, int] = {}
    for path in sorted(folder.glob(f"model*{WEIGHTS}")):
        try:
            with path.open("rb") as handle:
                header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
            for name, part in header.items():
                if name != "__metadata__":
                    held[part["dtype"]] = held.get(part["dtype"], 0) + prod(part["shape"])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
            raise PackageError(f"{path}: its header cannot be read ({error}); copy it anew") from error
    if not held:
        raise PackageError(f"{folder}: holds no model{WEIGHTS}, expected weights; check the path")
    most = max(held, key=lambda name: held[name])
    return sum(held.values()), _DTYPES.get(most, torch.float32)


def _frames(folder: Path, family: Family, settings: StreamingSettings) -> tuple[FrameCost, ...]:
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        told = " ".join(str(error).split())[:200]
        raise PackageError(f"{folder}: its processor cannot be read ({told}); copy it anew") from error
    form = FrameFormat.from_processor(processor, family, min_pixels=settings.min_pixels, max_pixels=settings.max_pixels)
    return tuple(
        FrameCost(height=height, width=width, tokens=form.tokens(height, width) / family.temporal)
        for height, width in SIZES
    )
