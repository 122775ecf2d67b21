"""A package: one folder with a trained model, its processor, its streaming settings and where it comes from.

It has the layout of transformers, so stock code loads it too; `streaming_config.json` holds what streaming adds.
"""

import importlib.metadata
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
    Qwen2_5OmniConfig,
)

from models.backbone import ATTENTION, MODEL_CLASSES, Family, family_of
from models.errors import PackageError, SettingsError
from models.hub import full_path, local_folder
from models.manifest import (
    LICENSE,
    README,
    ROUTER_WEIGHTS,
    SETTINGS_FILE,
    VERSION,
    Manifest,
    check_package,
    check_required,
    list_files,
    read_manifest,
    write_manifest,
)
from models.model_card import ModelCard, render_card
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

PROCESSORS: Final = {
    "qwen2_5_vl": "Qwen2_5_VLProcessor",
    "qwen2_5_omni": "Qwen2_5OmniProcessor",
    "qwen3_vl": "Qwen3VLProcessor",
}
_VIDEO_TOKENS: Final = {"qwen2_5_vl": "<|video_pad|>", "qwen2_5_omni": "<|VIDEO|>", "qwen3_vl": "<|video_pad|>"}
# A folder that holds none of them is somebody's own and never replaced.
_MARKS: Final = (SETTINGS_FILE, "config.json")
_LIBRARIES: Final = ("streamvl", "torch", "transformers", "tokenizers", "safetensors", "huggingface-hub")
_LOAD_ERRORS: Final = (
    OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError, SafetensorError,
    StrictDataclassError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOptions:
    """How a package is written.

    Attributes:
        overwrite: replace a package or checkpoint that is there; any other folder with something in it is refused.
        router_weights: file of a learned router, which goes into the package.
        shard_size: the weights are cut in files of at most this size.
    """

    overwrite: bool = False
    router_weights: Path | None = None
    shard_size: str = "5GB"


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
    family = _family_to_save(target, model, processor)
    with _as_save_errors(target), whole_folder(target, overwrite=options.overwrite, marks=_MARKS) as aside:
        model.save_pretrained(aside, max_shard_size=options.shard_size)
        processor.save_pretrained(aside)
        if options.router_weights is not None:
            shutil.copyfile(options.router_weights, aside / ROUTER_WEIGHTS)
        (aside / LICENSE).write_text(card.license_file, encoding="utf-8")
        (aside / README).write_text(_readme(model, family=family.name, settings=settings, card=card), encoding="utf-8")
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
    family = _family(model.config, str(target))
    expected = MODEL_CLASSES[family.name]
    if not isinstance(model, expected):
        raise PackageError(
            f"{target}: model is a {type(model).__name__}, expected {expected.__name__}; merge adapters and take the "
            "model out of its wrappers first"
        )
    _check_processor(str(target), family, model.config, processor)
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
    check_required(path, manifest)
    for check in check_package(path, manifest, verify=verify):
        if check.problem is not None:
            raise PackageError(check.problem)
    expected = PROCESSORS.get(manifest.family)
    if expected is None:
        raise PackageError(
            f"{path / SETTINGS_FILE}: field family is {manifest.family!r}, expected one of {', '.join(PROCESSORS)}; "
            "load it with the version that wrote it"
        )
    if manifest.processor != expected:
        raise PackageError(
            f"{path / SETTINGS_FILE}: field processor is {manifest.processor!r}, expected {expected} for family "
            f"{manifest.family}; save the package again with its own processor"
        )
    found = family_of_folder(path)[0].name
    if found != manifest.family:
        raise PackageError(
            f"{path / 'config.json'}: found a model of family {found}, expected {manifest.family} as {SETTINGS_FILE} "
            "says; save the package again"
        )
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
    _check_whole(path)
    model, processor = _load(path, device=device, dtype=dtype, attention=attention)
    return Loaded(model=model, processor=processor, settings=StreamingSettings(), card=None, folder=path)


def load(
    name_or_folder: Path | str,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    attention: str = "sdpa",
) -> Loaded:
    """Read a package if it is one, and a plain checkpoint otherwise; on the hub or on disk.

    Raises:
        PackageError: as `load_package` and `load_base`.
    """
    path = local_folder(name_or_folder, revision=None)
    if (path / SETTINGS_FILE).exists():
        return load_package(path, device=device, dtype=dtype, attention=attention)
    return load_base(path, device=device, dtype=dtype, attention=attention)


def _check_whole(path: Path) -> None:
    """Refuses a package without its settings: as a plain checkpoint it would stream by other ones, silently."""
    readme = path / README
    if readme.is_file() and not (path / SETTINGS_FILE).exists():
        head = readme.read_text(encoding="utf-8", errors="replace").split("\n---\n")[0]
        if "\n- streamvl\n" in f"{head}\n":
            raise PackageError(
                f"{path / SETTINGS_FILE}: missing, expected beside the {README} of a package; copy the package anew, "
                f"or remove {README} to load the bare weights with default settings"
            )


def family_of_folder(folder: Path) -> tuple[Family, PreTrainedConfig]:
    """The family and the configuration of a checkpoint on disk; of Qwen2.5-Omni, the thinker's. Raises PackageError."""
    config = _config(folder)
    return _family(config, str(folder / "config.json")), config


def _config(path: Path) -> PreTrainedConfig:
    if not (path / "config.json").is_file():
        raise PackageError(f"{path / 'config.json'}: missing, expected in every checkpoint; check the path")
    with _as_package_errors(path / "config.json"):
        config: PreTrainedConfig = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if isinstance(config, Qwen2_5OmniConfig):
        thinker: PreTrainedConfig = config.thinker_config  # type: ignore[assignment]  # a record after it was read
        return thinker
    return config


def _load(
    path: Path, *, device: str | torch.device, dtype: torch.dtype | None, attention: str
) -> tuple[PreTrainedModel, ProcessorMixin]:
    if attention not in ATTENTION:
        raise PackageError(f"attention is {attention!r}, expected one of {', '.join(ATTENTION)}")
    family, config = family_of_folder(path)
    with _as_package_errors(path):
        processor: ProcessorMixin = AutoProcessor.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    _check_processor(str(path), family, config, processor)
    stock: Any = MODEL_CLASSES[family.name]  # its annotations leave out that it also tells what it loaded
    with _as_package_errors(path):
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


@contextmanager
def _as_package_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except _LOAD_ERRORS as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise PackageError(
            f"{path}: transformers cannot load it ({told}); copy it anew, or check its version"
        ) from error


def _family(config: PreTrainedConfig, where: str) -> Family:
    try:
        return family_of(config)
    except (SettingsError, AttributeError) as error:
        raise PackageError(f"{where}: {error}; take a checkpoint of one of {', '.join(PROCESSORS)}") from error


def _check_processor(where: str, family: Family, config: PreTrainedConfig, processor: ProcessorMixin) -> None:
    found, expected = type(processor).__name__, PROCESSORS[family.name]
    if found != expected:
        raise PackageError(
            f"{where}: processor is a {found}, expected {expected} for family {family.name}; take its own"
        )
    video = processor.video_processor
    cut, wanted = (
        (video.patch_size, video.merge_size, video.temporal_patch_size),
        (family.patch, family.merge, family.temporal),
    )
    if cut != wanted:
        raise PackageError(
            f"{where}: the processor's patch, merge and temporal sizes are {cut}, expected {wanted} as the model has "
            "them; take the model's own processor"
        )
    token, marked = _VIDEO_TOKENS[family.name], processor.tokenizer.convert_ids_to_tokens(family.video_id)
    if marked != token:
        raise PackageError(
            f"{where}: the tokenizer's token {family.video_id}, where the model puts video, is {marked!r}, expected "
            f"{token!r}; take the model's own processor"
        )
    tokens, rows = len(processor.tokenizer), config.get_text_config().vocab_size
    if tokens > rows:
        raise PackageError(
            f"{where}: the tokenizer has {tokens} tokens, but the model embeds {rows}; resize its embeddings first"
        )


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
