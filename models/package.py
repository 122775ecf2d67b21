"""A package: one folder with a trained model, its processor, its streaming settings and where it comes from.

It has the layout of transformers, so stock code loads it too; `streaming_config.json` holds what streaming adds.
"""

import importlib.metadata
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel, ProcessorMixin

from models.backbone import ATTENTION, MODEL_CLASSES, Family
from models.checks import (
    PROCESSORS,
    as_package_errors,
    check_checkpoint,
    check_processor,
    examine,
    family_of_config,
    family_of_folder,
    processor_of_folder,
)
from models.errors import PackageError
from models.hub import full_path, local_folder
from models.manifest import (
    LICENSE,
    README,
    ROUTER_WEIGHTS,
    SETTINGS_FILE,
    VERSION,
    Manifest,
    check_required,
    list_files,
    read_manifest,
    write_manifest,
)
from models.model_card import ModelCard, render_card
from models.routers.indexer import Indexer
from models.settings import StreamingSettings
from models.whole_folder import restore, whole_folder

__all__ = [
    "PROCESSORS",
    "SETTINGS_FILE",
    "Loaded",
    "SaveOptions",
    "family_of_folder",
    "load",
    "load_base",
    "load_package",
    "save_package",
]

# A folder that holds none of them is somebody's own and never replaced.
_MARKS: Final = (SETTINGS_FILE, "config.json")
_SIZE: Final = re.compile(r"[1-9][0-9]*(KB|MB|GB|TB)")
_LIBRARIES: Final = ("streamvl", "torch", "transformers", "tokenizers", "safetensors", "huggingface-hub")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOptions:
    """How a package is written.

    Attributes:
        overwrite: replace a package or checkpoint that is there; any other folder with something in it is refused.
        router_weights: file of a learned router, which goes into the package.
        shard_size: the weights are cut in files of at most this size.
    """

    overwrite: bool = False
    router_weights: Path | str | None = None
    shard_size: str = "5GB"

    def __post_init__(self) -> None:
        """Refuse a field of the wrong type, naming it. Raises PackageError."""
        if type(self.overwrite) is not bool:
            raise PackageError(f"option overwrite is {self.overwrite!r}, expected true or false")
        if self.router_weights is not None and not isinstance(self.router_weights, str | Path):
            raise PackageError(f"option router_weights is {self.router_weights!r}, expected a file")
        if type(self.shard_size) is not str or not _SIZE.fullmatch(self.shard_size):
            raise PackageError(f"option shard_size is {self.shard_size!r}, expected such as 5GB or 500MB")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """What a package or a plain checkpoint becomes in memory.

    Attributes:
        model: in evaluation mode.
        processor: the family's own.
        settings: how it is streamed; the defaults for a plain checkpoint.
        card: what its maker said; None for a plain checkpoint.
        folder: where it was read.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    settings: StreamingSettings
    card: ModelCard | None
    folder: Path


_PLAINLY: Final = SaveOptions()


def save_package(
    folder: Path | str,
    *,
    model: PreTrainedModel,
    processor: ProcessorMixin,
    settings: StreamingSettings,
    card: ModelCard,
    options: SaveOptions = _PLAINLY,
) -> Path:
    """Write a package whole: a process killed at any moment leaves what was there before, or the new package.

    Args:
        folder: where it goes.
        model: of one of the three families; its mode, device and gradients stay as they are.
        processor: the family's own, whose tokens and patches fit the model.
        settings: how the model is streamed.
        card: name, licence and provenance; `license="unknown"` where nobody knows it.
        options: whether a folder that is there is replaced, and what else goes in.

    Returns:
        The folder.

    Raises:
        PackageError: the folder exists or is no package to replace, it cannot be written, model and processor belong to
            no family or not to the same one, or the settings name a learned router whose weights are not given.
    """
    target = full_path(folder)
    for name, value, kind in (("card", card, ModelCard), ("options", options, SaveOptions)):
        if not isinstance(value, kind):
            raise PackageError(f"{name} is {value!r}, expected {kind.__name__}")
    family = _family_to_save(target, model, processor)
    router = None if options.router_weights is None else Path(options.router_weights)
    if router is not None:
        Indexer.load(router)
    with _as_save_errors(target), whole_folder(target, overwrite=options.overwrite, marks=_MARKS) as aside:
        model.save_pretrained(aside, max_shard_size=options.shard_size)
        processor.save_pretrained(aside)
        if router is not None:
            shutil.copyfile(router, aside / ROUTER_WEIGHTS)
        (aside / LICENSE).write_text(card.license_file, encoding="utf-8")
        (aside / README).write_text(_readme(model, family=family.name, settings=settings, card=card), encoding="utf-8")
        # safetensors writes for its owner alone; who may read the card may read the weights.
        for weights in aside.glob("*.safetensors"):
            shutil.copymode(aside / README, weights)
        manifest = Manifest(
            version=VERSION,
            family=family.name,
            processor=type(processor).__name__,
            settings=settings,
            card=card,
            libraries=tuple((name, _version(name)) for name in _LIBRARIES),
            files=list_files(aside),
        )
        check_required(target, manifest)
        write_manifest(aside, manifest)
    return target


def _family_to_save(target: Path, model: PreTrainedModel, processor: ProcessorMixin) -> Family:
    family = family_of_config(model.config, str(target))
    expected = MODEL_CLASSES[family.name]
    if not isinstance(model, expected):
        raise PackageError(
            f"{target}: model is a {type(model).__name__}, expected {expected.__name__}; merge adapters and take the "
            "model out of its wrappers first"
        )
    check_processor(str(target), family, model.config, processor)
    return family


@contextmanager
def _as_save_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Only a bare Exception tells that tokenizers could not write.
        if not isinstance(error, OSError | SafetensorError) and type(error) is not Exception:
            raise
        told = " ".join(str(error).split())[:300]
        raise PackageError(
            f"{target}: cannot be written ({told}); what was there stays whole: make room and check the permissions, "
            "or choose another disk"
        ) from error


def _readme(model: PreTrainedModel, *, family: str, settings: StreamingSettings, card: ModelCard) -> str:
    """The model card as text."""
    dtype = str(model.dtype).removeprefix("torch.")
    return render_card(card, family=family, settings=settings, parameters=model.num_parameters(), dtype=dtype)


def load_package(
    folder: Path | str,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    attention: str = "sdpa",
    verify: bool = False,
) -> Loaded:
    """Read a package after checking it: version, every file, family, processor, settings, licence and card.

    Args:
        folder: a package on disk.
        device: where the model goes.
        dtype: of the weights; None takes the one that was saved.
        attention: `sdpa` or `eager`.
        verify: hash the weights too, which reads them twice; otherwise their sizes and headers are checked.

    Raises:
        PackageError: with the file, the field, what was found and expected, and what to do.
    """
    path = full_path(folder)
    restore(path)
    manifest = read_manifest(path)
    for problem in examine(path, manifest, verify=verify).problems:
        raise PackageError(problem)
    model, processor = _load(path, device=device, dtype=dtype, attention=attention)
    return Loaded(model=model, processor=processor, settings=manifest.settings, card=manifest.card, folder=path)


def load_base(
    name_or_folder: Path | str,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    attention: str = "sdpa",
    revision: str | None = None,
) -> Loaded:
    """Read a plain checkpoint, with default settings: a folder, or a name on the hub or in its cache.

    Of Qwen2.5-Omni only the thinker is loaded. No code that lies beside the weights is ever run.

    Args:
        name_or_folder: such as `Qwen/Qwen2.5-VL-3B-Instruct`, or a folder.
        device: where the model goes.
        dtype: of the weights; None takes the one that was saved.
        attention: `sdpa` or `eager`.
        revision: branch, tag or commit on the hub; None takes the newest.

    Raises:
        PackageError: nothing of that name can be reached, or it is no checkpoint of the three families.
    """
    path = local_folder(name_or_folder, revision=revision)
    check_checkpoint(path)
    model, processor = _load(path, device=device, dtype=dtype, attention=attention)
    return Loaded(model=model, processor=processor, settings=StreamingSettings(), card=None, folder=path)


def load(
    name_or_folder: Path | str,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    attention: str = "sdpa",
    verify: bool = False,
) -> Loaded:
    """Read a package if it is one, and a plain checkpoint otherwise; on the hub or on disk.

    The arguments are those of `load_package`; a plain checkpoint has no hashes to `verify`.

    Raises:
        PackageError: as `load_package` and `load_base`.
    """
    path = local_folder(name_or_folder, revision=None)
    if (path / SETTINGS_FILE).exists():
        return load_package(path, device=device, dtype=dtype, attention=attention, verify=verify)
    return load_base(path, device=device, dtype=dtype, attention=attention)


def _load(
    path: Path, *, device: str | torch.device, dtype: torch.dtype | None, attention: str
) -> tuple[PreTrainedModel, ProcessorMixin]:
    if attention not in ATTENTION:
        raise PackageError(f"attention is {attention!r}, expected one of {', '.join(ATTENTION)}")
    family, config = family_of_folder(path)
    processor = processor_of_folder(path, family, config)
    stock: Any = MODEL_CLASSES[family.name]  # its annotations leave out that it also tells what it loaded
    with as_package_errors(path):
        model, told = stock.from_pretrained(
            path,
            dtype="auto" if dtype is None else dtype,
            attn_implementation=attention,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    absent = sorted(told["missing_keys"]) + sorted(str(key) for key in told["mismatched_keys"])
    if absent:
        raise PackageError(
            f"{path}: {len(absent)} tensors are missing or of another shape, such as {absent[0]}, expected all of "
            f"{type(model).__name__}; copy the checkpoint anew"
        )
    try:
        return model.to(device).eval(), processor
    except (RuntimeError, AssertionError) as error:
        told = " ".join(str(error).split())[:300]
        raise PackageError(f"device is {str(device)!r}: {told}; choose one that this machine has") from error


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
