"""Tensors on disk by content: files that are whole or absent, also where several processes write the same one."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

log = logging.getLogger(__name__)
NAME = "values"


class Stored:
    """Tensors under keys of bytes, in a folder, with those used last in memory.

    Safe for several threads and processes: a key always stands for the same content, so whoever comes last changes
    nothing. A file that is damaged counts as absent. Where the folder cannot be written, a full disk for one, that is
    said once, and tensors are made anew each time they are wanted; what can be read still is.

    Args:
        folder: made when the first tensor is written.
        max_bytes: of tensors kept in memory.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = Lock()
        self._refused = False
        self.nbytes = 0

    def get(self, key: bytes) -> Tensor | None:
        """The tensor of a key, which nobody may write to; None where there is none."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        try:
            values = load_file(self._path(key))[NAME]
        except (OSError, SafetensorError, KeyError):
            return None
        self._keep(key, values)
        return values

    def put(self, key: bytes, values: Tensor) -> None:
        """Keeps a tensor: in memory always, on disk as long as that can be written."""
        values = values.detach().cpu().contiguous()
        if not self._refused:
            try:
                self._write(self._path(key), values)
            except (OSError, SafetensorError) as error:
                self._refuse(error)
        self._keep(key, values)

    def _write(self, path: Path, values: Tensor) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex}")
        try:
            save_file({NAME: values}, aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    def _refuse(self, error: Exception) -> None:
        with self._lock:
            told, self._refused = self._refused, True
        if not told:
            log.warning(
                "%s: cannot be written to (%s); the run goes on without keeping more there, so frames are made anew "
                "and steps may be slower; make room, or name another folder in data.cache",
                self._folder,
                error,
            )

    def _keep(self, key: bytes, values: Tensor) -> None:
        size = values.numel() * values.element_size()
        with self._lock:
            if key in self._kept or size > self._max_bytes:
                return
            self._kept[key] = values
            self.nbytes += size
            while self.nbytes > self._max_bytes:
                _, dropped = self._kept.popitem(last=False)
                self.nbytes -= dropped.numel() * dropped.element_size()

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self._folder / name[:2] / f"{name}.safetensors"


def owned(values: Tensor) -> Tensor:
    """The same values as an ordinary tensor with storage of its own."""
    return torch.empty_like(values, requires_grad=False).copy_(values)
