"""Train, validation and test: whole groups, in exact shares, decided by a hash and not by order or chance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import Field, model_validator

from datasets_build.core.config import Config
from datasets_build.core.records import Split, derive_id

# Whom a corpus of fewer groups than splits serves first: something to learn from, then something to measure with.
_FIRST: tuple[Split, ...] = ("train", "test", "validation")


class SplitConfig(Config):
    """Shares of groups (identical files are one group); they sum to 1. Another `seed` deals the groups anew."""

    train: float = Field(default=0.8, gt=0, le=1)
    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.1, ge=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1, abs_tol=1e-9):
            raise ValueError(f"train, validation and test sum to 1, found {total:g}")
        return self

    @property
    def shares(self) -> dict[Split, float]:
        """The share of each split that is wanted at all."""
        shares: dict[Split, float] = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: share for split, share in shares.items() if share > 0}


def quotas(n_groups: int, shares: Mapping[Split, float]) -> dict[Split, int]:
    """How many groups each split gets: as near to its share as whole numbers go, but at least one where it can.

    With fewer groups than splits, train is served first and then test.
    """
    wanted = [split for split in _FIRST if split in shares][:n_groups]
    counts: dict[Split, int] = dict.fromkeys(wanted, 1)
    for _ in range(n_groups - len(wanted)):
        neediest = max(wanted, key=lambda split: shares[split] * n_groups - counts[split])
        counts[neediest] += 1
    return counts


def assign_splits(
    groups: Iterable[str], config: SplitConfig, stated: Mapping[str, Split] | None = None
) -> dict[str, Split]:
    """The split of every distinct group; the order of `groups` does not matter.

    Groups whose split is `stated` have it; the shares count for the others.
    """
    fixed = dict(stated or {})
    dealt = sorted(set(groups) - fixed.keys(), key=lambda group: derive_id("split", group, config.seed))
    counts = quotas(len(dealt), config.shares)
    splits = [split for split in config.shares for _ in range(counts.get(split, 0))]
    return fixed | dict(zip(dealt, splits, strict=True))
