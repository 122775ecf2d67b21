"""What must hold of a package or checkpoint before it runs; loading refuses by the same checks that `info` tells."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoProcessor, PreTrainedConfig, ProcessorMixin, Qwen2_5OmniConfig

from models.backbone import Family, family_of
from models.errors import PackageError, SettingsError
from models.manifest import README, SETTINGS_FILE, WEIGHTS, FileCheck, Manifest, check_package, check_required
from models.tensors import embedding_shape, stored_tensors

PROCESSORS: Final = {
    "qwen2_5_vl": "Qwen2_5_VLProcessor",
    "qwen2_5_omni": "Qwen2_5OmniProcessor",
    "qwen3_vl": "Qwen3VLProcessor",
}
_VIDEO_TOKENS: Final = {"qwen2_5_vl": "<|video_pad|>", "qwen2_5_omni": "<|VIDEO|>", "qwen3_vl": "<|video_pad|>"}
_PARTS: Final = ("text_config", "vision_config", "thinker_config")
_LOAD_ERRORS: Final = (
    OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError, SafetensorError,
    StrictDataclassError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found about a package.

    Attributes:
        files: of every file.
        faults: whole sentences about what is wrong with the package although its files may be whole.
    """

    files: tuple[FileCheck, ...]
    faults: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """All that is wrong; a package without problems may be loaded."""
        return self.faults + tuple(check.problem for check in self.files if check.problem is not None)


def examine(folder: Path, manifest: Manifest, *, verify: bool) -> Examined:
    """Check a package: every file, that nothing is lacking, its family, its processor's name, its weights' sizes.

    Args:
        folder: of the package.
        manifest: what `read_manifest` gave of it.
        verify: hash the weights too.
    """
    files = tuple(check_package(folder, manifest, verify=verify))
    broken = {check.name for check in files if check.problem is not None}
    faults = [*_told(lambda: check_required(folder, manifest)), *_told(lambda: _check_names(folder, manifest))]
    # What a broken file would tell is told of the file itself.
    if not faults and "config.json" not in broken:
        faults += _told(lambda: _check_family(folder, manifest))
        if not faults and not broken:
            faults += _told(lambda: _check_sizes(folder))
    return Examined(files=files, faults=tuple(faults))


def check_checkpoint(folder: Path) -> None:
    """Refuse a folder that is no plain checkpoint of the three families.

    Raises:
        PackageError: it is a package without its settings, or its configuration is of no family or not its weights'.
    """
    _check_not_stripped(folder)
    _check_sizes(folder)


def _told(check: Callable[[], None]) -> tuple[str, ...]:
    try:
        check()
    except PackageError as error:
        return (str(error),)
    return ()


def _check_names(folder: Path, manifest: Manifest) -> None:
    path = folder / SETTINGS_FILE
    expected = PROCESSORS.get(manifest.family)
    if expected is None:
        raise PackageError(
            f"{path}: field family is {manifest.family!r}, expected one of {', '.join(PROCESSORS)}; "
            "load it with the version that wrote it"
        )
    if manifest.processor != expected:
        raise PackageError(
            f"{path}: field processor is {manifest.processor!r}, expected {expected} for family {manifest.family}; "
            "save the package again with its own processor"
        )


def _check_family(folder: Path, manifest: Manifest) -> None:
    found = family_of_folder(folder)[0].name
    if found != manifest.family:
        raise PackageError(
            f"{folder / 'config.json'}: found a model of family {found}, expected {manifest.family} as "
            f"{SETTINGS_FILE} says; save the package again"
        )


def _check_sizes(folder: Path) -> None:
    """Compares the embedding with the configuration: a wrong one could make transformers build a far larger model."""
    text = family_of_folder(folder)[1].get_text_config()
    if not any(folder.glob(f"model*{WEIGHTS}")):
        return  # transformers knows where else to look, or tells what it misses
    found, expected = embedding_shape(stored_tensors(folder)), (text.vocab_size, text.hidden_size)
    if found is not None and found != expected:
        raise PackageError(
            f"{folder / 'config.json'}: describes an embedding of {expected[0]} by {expected[1]}, but the weights hold "
            f"one of {found[0]} by {found[1]}; copy the checkpoint anew"
        )


def _check_not_stripped(path: Path) -> None:
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
    return family_of_config(config, str(folder / "config.json")), config


def _config(path: Path) -> PreTrainedConfig:
    if not (path / "config.json").is_file():
        raise PackageError(f"{path / 'config.json'}: missing, expected in every checkpoint; check the path")
    with as_package_errors(path / "config.json"):
        _check_parts(path / "config.json")
        config: PreTrainedConfig = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if isinstance(config, Qwen2_5OmniConfig):
        thinker: PreTrainedConfig = config.thinker_config  # type: ignore[assignment]  # a record after it was read
        return thinker
    return config


def _check_parts(path: Path) -> None:
    """A part that is null would silently become that of the largest model."""
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise PackageError(f"{path}: found a {type(value).__name__}, expected a JSON object; copy it anew")
    for held in (value, value.get("thinker_config")):
        for name in _PARTS:
            if isinstance(held, dict) and name in held and not isinstance(held[name], dict):
                raise PackageError(f"{path}: field {name} is {held[name]!r}, expected an object; copy it anew")


def processor_of_folder(folder: Path, family: Family, config: PreTrainedConfig) -> ProcessorMixin:
    """The processor of a checkpoint, which fits its model. Raises PackageError."""
    with as_package_errors(folder):
        found: ProcessorMixin = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        check_processor(str(folder), family, config, found)
    return found


@contextmanager
def as_package_errors(path: Path) -> Iterator[None]:
    """What transformers raises for a folder it cannot load, told as a PackageError of that path."""
    try:
        yield
    except _LOAD_ERRORS as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise PackageError(
            f"{path}: transformers cannot load it ({told}); copy it anew, or check its version"
        ) from error


def family_of_config(config: PreTrainedConfig, where: str) -> Family:
    """The family of a configuration that was found `where`. Raises PackageError for one of no family."""
    try:
        return family_of(config)
    except (SettingsError, AttributeError) as error:
        raise PackageError(f"{where}: {error}; take a checkpoint of one of {', '.join(PROCESSORS)}") from error


def check_processor(where: str, family: Family, config: PreTrainedConfig, processor: ProcessorMixin) -> None:
    """Refuse a processor that does not fit the model. Raises PackageError, naming `where` both were found."""
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
