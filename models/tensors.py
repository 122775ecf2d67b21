"""What the weights of a folder hold, read from the headers of its files: names, dtypes and shapes."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

from models.errors import PackageError
from models.manifest import WEIGHTS

_HEADER_LIMIT: Final = 100 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor in a safetensors file; its dtype as https://github.com/huggingface/safetensors#format names it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def stored_tensors(folder: Path) -> tuple[StoredTensor, ...]:
    """The tensors of all `model*.safetensors` of a folder, by file.

    Raises:
        PackageError: there are none, or a header cannot be read.
    """
    paths = sorted(folder.glob(f"model*{WEIGHTS}"))
    held = tuple(tensor for path in paths for tensor in _of_file(path))
    if not held:
        raise PackageError(f"{folder}: holds no model{WEIGHTS}, expected weights; check the path")
    return held


def embedding_shape(tensors: tuple[StoredTensor, ...]) -> tuple[int, ...] | None:
    """The shape of the decoder's table of tokens, (vocabulary, width); None where no name tells it."""
    for tensor in tensors:
        # A whole Qwen2.5-Omni also holds the table of its talker.
        if tensor.name.endswith("embed_tokens.weight") and not tensor.name.startswith("talker."):
            return tensor.shape
    return None


def _of_file(path: Path) -> list[StoredTensor]:
    try:
        with path.open("rb") as handle:
            # A damaged length must not ask for more memory than any header takes.
            header = json.loads(handle.read(min(int.from_bytes(handle.read(8), "little"), _HEADER_LIMIT)))
        return [
            StoredTensor(name=name, dtype=str(part["dtype"]), shape=tuple(int(side) for side in part["shape"]))
            for name, part in header.items()
            if name != "__metadata__"
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PackageError(f"{path}: its header cannot be read ({error}); copy it anew") from error
