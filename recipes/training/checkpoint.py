"""Checkpoints of a stage: whole or absent, found again by themselves, refused where they belong to something else."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from datasets_build.core.config import flatten
from datasets_build.core.files import DataError, publish_folder, read_json, write_json
from datasets_build.core.records import Json
from recipes.errors import CheckpointError
from recipes.settings import STAGES, RunConfig, StageName
from recipes.training.cursor import Cursor
from recipes.training.random_state import State

STATE, WEIGHTS, OPTIMIZER, RANDOM, SHARDS = "state.json", "model.safetensors", "optimizer.pt", "random.pt", "shards"
_NAME = re.compile(r"checkpoint-(\d{6,})")
_SAMPLES = 64
# What may change between a checkpoint and the run that goes on from it: none of it changes what a step computes.
_FREE = ("name", "out", "threads", "peak_tflops", "license", "data.cache", "data.workers", "evaluate", "serve")
_FREE_OF_STAGE = ("steps", "save_every", "keep", "log_every")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a checkpoint says about itself.

    Attributes:
        stage: of which stage.
        step: how many steps were taken.
        cursor: where the data stands.
        settings: the resolved configuration, every setting under its full path.
        began: fingerprint of the weights that the stage began with; a checkpoint leaves out those that do not train.
        processes: how many took part.
        sharded: weights and optimizer lie in shards of accelerate, for as many processes.
        files: size of each file.
    """

    stage: StageName
    step: int
    cursor: Cursor
    settings: Mapping[str, str]
    began: str
    processes: int
    sharded: bool
    files: Mapping[str, int]

    @property
    def digest(self) -> str:
        """The SHA-256 of the configuration."""
        return config_digest(self.settings)


def config_digest(settings: Mapping[str, str]) -> str:
    """SHA-256 over all settings by name, 64 hex digits."""
    return hashlib.sha256("\0".join(f"{name}={settings[name]}" for name in sorted(settings)).encode()).hexdigest()


def folder_of(stage_folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return stage_folder / f"checkpoint-{step:06d}"


def checkpoints(stage_folder: Path) -> list[Path]:
    """All checkpoint folders, by rising step; a folder that was not finished has another name."""
    found = [(_NAME.fullmatch(path.name), path) for path in stage_folder.glob("checkpoint-*")]
    return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]


def newest(stage_folder: Path) -> tuple[Path, Saved] | None:
    """The newest checkpoint that is whole, and what it says; None where there is none.

    One that lacks a file or holds one of another size is passed over, since an older one may be good.
    """
    for path in reversed(checkpoints(stage_folder)):
        try:
            return path, read_saved(path)
        except CheckpointError:
            continue
    return None


def read_saved(path: Path) -> Saved:
    """What a checkpoint says, after a look at its files.

    Raises:
        CheckpointError: it has no state, or a file of it is missing or damaged.
    """
    try:
        content = read_json(path / STATE)
    except DataError as error:
        raise CheckpointError(f"{error}; the checkpoint is not whole: delete its folder") from error
    if not isinstance(content, dict) or content.get("format") != 1:
        raise CheckpointError(f"{path / STATE}: found no format 1, expected a checkpoint of this program")
    saved = _from_json(path, content)
    for name, size in saved.files.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            raise CheckpointError(f"{file}: is missing or damaged, expected {size} bytes; delete {path}")
    return saved


def _from_json(path: Path, content: dict[str, Json]) -> Saved:
    stage, step, settings, files = (content.get(name) for name in ("stage", "step", "settings", "files"))
    began, processes, sharded = (content.get(name) for name in ("began", "processes", "sharded"))
    fits = isinstance(settings, dict) and isinstance(files, dict) and isinstance(step, int) and stage in STAGES
    if not fits or not isinstance(began, str) or not isinstance(processes, int) or not isinstance(sharded, bool):
        raise CheckpointError(f"{path / STATE}: fields are missing or ill-typed; the checkpoint is damaged: delete it")
    assert isinstance(settings, dict)
    assert isinstance(files, dict)
    assert isinstance(step, int)
    return Saved(
        stage=next(name for name in STAGES if name == stage),
        step=step,
        cursor=Cursor.from_json(content.get("cursor")),
        settings={name: str(value) for name, value in settings.items()},
        began=began,
        processes=processes,
        sharded=sharded,
        files={name: size for name, size in files.items() if isinstance(size, int)},
    )


def settings_of(config: RunConfig) -> dict[str, str]:
    """Every setting of a run under its full path, as text."""
    return flatten(config)


def check_same(saved: Saved, path: Path, *, settings: Mapping[str, str], began: str, stage: StageName) -> list[str]:
    """Refuses a checkpoint that belongs to another run; returns what differs and may, as `name: old → new`.

    `steps`, `save_every`, `keep` and `log_every` of the stage may change, and what names, times, evaluates or serves a
    run; so may the other stages. With more steps a schedule that falls goes on along its new course.

    Raises:
        CheckpointError: another setting differs, which the message names, or the stage began with another model.
    """
    if saved.stage != stage:
        raise CheckpointError(f"{path}: is of stage {saved.stage}, expected {stage}")
    names = list(dict.fromkeys([*settings, *saved.settings]))
    differ = [name for name in names if settings.get(name) != saved.settings.get(name) and _counts(name, stage)]
    told = {name: f"{name}: {saved.settings.get(name, 'absent')} → {settings.get(name, 'absent')}" for name in differ}
    refused = [told[name] for name in differ if not _is_free(name, stage)]
    if refused:
        shown = "; ".join(refused[:4]) + (f"; and {len(refused) - 4} more" if len(refused) > 4 else "")
        raise CheckpointError(
            f"{path}: was made with other settings ({shown}); put them back, or use another out, "
            f"or delete {path.parent} to begin the stage anew"
        )
    if saved.began != began:
        raise CheckpointError(
            f"{path}: the model or the data that the stage began with has changed since; "
            f"bring it back, or delete {path.parent} to begin the stage anew"
        )
    return [told[name] for name in differ]


def _counts(name: str, stage: StageName) -> bool:
    return not any(name.startswith(f"{other}.") for other in STAGES if other != stage)


def _is_free(name: str, stage: StageName) -> bool:
    free = (*_FREE, *(f"{stage}.{field}" for field in _FREE_OF_STAGE))
    return any(name == part or name.startswith(f"{part}.") for part in free)


def essential_digest(settings: Mapping[str, str], stage: StageName) -> str:
    """SHA-256 over the settings that decide what a step of a stage computes."""
    kept = {name: value for name, value in settings.items() if _counts(name, stage) and not _is_free(name, stage)}
    return config_digest(kept)


def begin_digest(model: nn.Module) -> str:
    """Fingerprint of the weights that a stage begins with: names, shapes, types, and samples of every one."""
    digest = hashlib.blake2b(digest_size=16)
    for name, weight in model.named_parameters():
        flat = weight.detach().flatten()
        few = flat[:: -(-len(flat) // _SAMPLES)].double().cpu().numpy().tobytes()
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype} {weight.requires_grad}".encode() + few)
    return digest.hexdigest()


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """What trains, adapters too, by name, on the host."""
    return {
        name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters() if weight.requires_grad
    }


def put_weights(path: Path, model: nn.Module) -> None:
    """Reads what trains from a checkpoint into a model.

    Raises:
        CheckpointError: it holds other names or shapes, as that of another architecture does, or cannot be read.
    """
    try:
        found = load_file(path / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path / WEIGHTS}: cannot be read ({error}); delete {path}") from error
    wanted = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    for name in sorted(wanted.keys() | found.keys()):
        here, there = wanted.get(name), found.get(name)
        if here is None or there is None or here.shape != there.shape or here.dtype != there.dtype:
            raise CheckpointError(
                f"{path / WEIGHTS}: {name} is {_told(there)}, expected {_told(here)}; the checkpoint is of another "
                f"architecture or freeze map: use its own model, or delete {path.parent} to begin the stage anew"
            )
    with torch.no_grad():
        for name, weight in wanted.items():
            weight.copy_(found[name])


def _told(weight: Tensor | None) -> str:
    return "absent" if weight is None else f"{tuple(weight.shape)} {str(weight.dtype).removeprefix('torch.')}"


def begin(stage_folder: Path, step: int) -> Path:
    """An empty folder to fill, beside the place that it will take; what a killed process left there goes."""
    stage_folder.mkdir(parents=True, exist_ok=True)
    aside = part_of(stage_folder, step)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    return aside


def part_of(stage_folder: Path, step: int) -> Path:
    """Where a checkpoint lies while it is written."""
    return stage_folder / f".checkpoint-{step:06d}.part"


def write_weights(aside: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Writes what trains and the optimizer's state into a folder that is being filled."""
    save_file(trained_weights(model), aside / WEIGHTS)
    torch.save(optimizer.state_dict(), aside / OPTIMIZER)


def put_optimizer(path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Reads the optimizer's state from a checkpoint."""
    optimizer.load_state_dict(torch.load(path / OPTIMIZER, map_location="cpu", weights_only=True))


def write_random(aside: Path, states: Sequence[State]) -> None:
    """Writes the random states of all processes."""
    torch.save(list(states), aside / RANDOM)


def read_random(path: Path, process: int) -> State | None:
    """The random state of a process; None for one that did not take part."""
    states: list[State] = torch.load(path / RANDOM, map_location="cpu", weights_only=True)
    return states[process] if process < len(states) else None


def publish(aside: Path, saved: Saved, *, keep: int) -> Path:
    """Gives a filled folder its name in one step, and deletes all but the newest `keep`.

    `saved.files` is filled in here.
    """
    files: dict[str, Json] = {}
    for file in sorted(aside.rglob("*")):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
            files[file.relative_to(aside).as_posix()] = file.stat().st_size
    settings: dict[str, Json] = dict(saved.settings)
    cursor: dict[str, Json] = {
        "epoch": saved.cursor.epoch,
        "step": saved.cursor.step,
        "skipped": list(saved.cursor.skipped),
    }
    write_json(
        aside / STATE,
        {
            "format": 1,
            "stage": saved.stage,
            "step": saved.step,
            "cursor": cursor,
            "config_sha256": saved.digest,
            "settings": settings,
            "began": saved.began,
            "processes": saved.processes,
            "sharded": saved.sharded,
            "files": files,
        },
    )
    folder = folder_of(aside.parent, saved.step)
    publish_folder(aside, folder)
    for old in checkpoints(folder.parent)[:-keep]:
        # Renamed first: a folder that is half deleted must not bear a checkpoint's name.
        gone = part_of(folder.parent, 0)
        shutil.rmtree(gone, ignore_errors=True)
        old.replace(gone)
        shutil.rmtree(gone)
    return folder
