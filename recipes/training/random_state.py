"""The random states of a process, saved and given back."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor

State = dict[str, object]


def random_state() -> State:
    """The states of Python, NumPy and torch, devices too, in types that `torch.load` reads without running code."""
    name, keys, place, has_gauss, gauss = np.random.get_state()
    version, numbers, following = random.getstate()
    return {
        "python": [version, list(numbers), following],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), int(place), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
        "devices": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: State) -> None:
    """Puts the states back that `random_state` read."""
    python, numpy, devices = state["python"], state["numpy"], state["devices"]
    assert isinstance(python, list)
    assert isinstance(numpy, list)
    assert isinstance(devices, list)
    random.setstate((python[0], tuple(python[1]), python[2]))
    keys: Tensor = numpy[1]
    np.random.set_state((numpy[0], keys.numpy().astype(np.uint32), *numpy[2:]))
    host = state["torch"]
    assert isinstance(host, Tensor)
    torch.set_rng_state(host)
    if devices and torch.cuda.is_available() and len(devices) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(devices)


def seed_all(seed: int) -> None:
    """Seeds Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
