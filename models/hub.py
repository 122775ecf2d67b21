"""Where a model lies on disk: a folder as it is, or what the hub's cache holds of a name."""

from pathlib import Path
from typing import Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from models.errors import PackageError
from models.whole_folder import restore

# What a checkpoint needs to run; other files on the hub are copies of the same weights in other formats.
_WANTED: Final = ("*.json", "*.safetensors", "*.jinja", "*.txt", "README.md", "LICENSE*")


def full_path(folder: Path | str) -> Path:
    """The folder with `~` and what is relative written out. Raises PackageError for a path that no folder can have."""
    text = str(folder)
    if not isinstance(folder, str | Path) or not text.strip() or "\0" in text:
        raise PackageError(f"folder is {text!r}, expected a path; name one")
    try:
        path = Path(folder).expanduser().absolute()
        path.exists()
    except (RuntimeError, OSError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise PackageError(f"{text[:200]}: {told}; write another path") from error
    return path


def local_folder(name_or_folder: Path | str, *, revision: str | None) -> Path:
    """A folder for a path or a hub name; a name is fetched where there is a network, or read from the cache.

    Raises:
        PackageError: there is no such folder, and the hub has no such name or cannot be reached.
    """
    path = full_path(name_or_folder)
    restore(path)
    if path.exists():
        return path
    name = str(name_or_folder)
    advice = "check its spelling and `hf auth login`, download it once with a network (`hf download`), or give a folder"
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(_WANTED)))
    except HFValidationError as error:
        raise PackageError(f"{name}: no such folder, and no name that the hub could have; check the path") from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = "" if revision is None else f" at revision {revision}"
        raise PackageError(f"{name}{at}: no such folder, and the hub shows none of that name; {advice}") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise PackageError(
            f"{name}: no such folder, not in the hub's cache, and the hub cannot be reached; {advice}"
        ) from error
