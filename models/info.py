"""What a package or checkpoint is, told without loading its weights."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from transformers import PreTrainedConfig

from models.backbone import Family
from models.checks import check_checkpoint, examine, family_of_folder, processor_of_folder
from models.errors import PackageError, SettingsError
from models.manifest import SETTINGS_FILE, FileCheck, Manifest, read_manifest
from models.patches import FrameFormat
from models.settings import StreamingSettings
from models.tensors import StoredTensor, stored_tensors

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
class Costs:
    """What a model is and what it takes.

    Attributes:
        family: of the model.
        layers, width: of the decoder.
        parameters: as stored, in `dtype`.
        dtype: of most of the weights, as in `bfloat16`.
        kv_bytes: bytes of keys and values that a token takes.
        pool_bytes: those of all slots of one session.
        frames: what frames of common sizes cost.
    """

    family: str
    layers: int
    width: int
    parameters: int
    dtype: str
    kv_bytes: int
    pool_bytes: int
    frames: tuple[FrameCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a folder holds.

    Attributes:
        folder: where.
        costs: of its model; None where a package is too broken to tell.
        settings: how it is streamed.
        manifest: None for a plain checkpoint.
        checks: of every file; empty for a plain checkpoint.
        problems: all that is wrong with a package, as sentences; a package without any loads.
    """

    folder: Path
    costs: Costs | None
    settings: StreamingSettings
    manifest: Manifest | None
    checks: tuple[FileCheck, ...]
    problems: tuple[str, ...]


def inspect(folder: Path, *, verify: bool) -> Info:
    """Look at a package, or a plain checkpoint on disk, with the checks that loading makes.

    Args:
        folder: where.
        verify: hash the weights too.

    Raises:
        PackageError: it is neither, or says nothing of itself that can be read.
    """
    if folder.is_dir() and not (folder / SETTINGS_FILE).exists():
        check_checkpoint(folder)
        settings = StreamingSettings()
        costs = _costs(folder, settings)
        return Info(folder=folder, costs=costs, settings=settings, manifest=None, checks=(), problems=())
    manifest = read_manifest(folder)
    examined = examine(folder, manifest, verify=verify)
    known: Costs | None = None
    problems = examined.problems
    try:
        known = _costs(folder, manifest.settings)
    except PackageError as error:
        # Mostly a broken file is the cause, which is told already.
        problems = problems or (str(error),)
    return Info(
        folder=folder,
        costs=known,
        settings=manifest.settings,
        manifest=manifest,
        checks=examined.files,
        problems=problems,
    )


def _costs(folder: Path, settings: StreamingSettings) -> Costs:
    family, config = family_of_folder(folder)
    tensors = stored_tensors(folder)
    dtype = _most(tensors)
    text = config.get_text_config()
    head = text.head_dim if "head_dim" in text.to_dict() else text.hidden_size // text.num_attention_heads
    kv_bytes = 2 * text.num_hidden_layers * text.num_key_value_heads * head * dtype.itemsize
    return Costs(
        family=family.name,
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        parameters=sum(tensor.size for tensor in tensors),
        dtype=str(dtype).removeprefix("torch."),
        kv_bytes=kv_bytes,
        pool_bytes=kv_bytes * settings.slots,
        frames=_frames(folder, family, config, settings),
    )


def _most(tensors: tuple[StoredTensor, ...]) -> torch.dtype:
    """The dtype of most numbers."""
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.dtype] += tensor.size
    return _DTYPES.get(sizes.most_common(1)[0][0], torch.float32)


def _frames(
    folder: Path, family: Family, config: PreTrainedConfig, settings: StreamingSettings
) -> tuple[FrameCost, ...]:
    processor = processor_of_folder(folder, family, config)
    try:
        form = FrameFormat.from_processor(
            processor, family, min_pixels=settings.min_pixels, max_pixels=settings.max_pixels
        )
    except SettingsError as error:
        raise PackageError(f"{folder}: {error}; copy it anew, or change its settings") from error
    return tuple(
        FrameCost(height=height, width=width, tokens=form.tokens(height, width) / family.temporal)
        for height, width in SIZES
    )
