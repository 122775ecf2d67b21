"""Exported files: what a trainer demands of them, and that nothing in them is later than its step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from datasets_build.checks.laws import Breach, Ledger

EXPORT_CAUSAL = ("export_causal", "at no step an exported file shows a frame or words of later")
EXPORT_LOADS = ("export_loads", "exported files are what their trainers demand, and hold all of their source")
_CAUSAL = "causality"


class Fault(Protocol):
    """Something wrong with an exported file."""

    @property
    def where(self) -> str:
        """The place in the export."""

    @property
    def rule(self) -> str:
        """What it breaks; `causality` where something is shown too early."""

    @property
    def found(self) -> str:
        """What stands there."""

    @property
    def expected(self) -> str:
        """What should."""


@dataclass(frozen=True, slots=True)
class Exports:
    """Folders of exports, and who reads them: that takes decoders, which no check opens by itself."""

    folders: Sequence[Path]
    verify: Callable[[Path, Path], Sequence[Fault]]


def check_exports(out: Path, exports: Exports, ledger: Ledger) -> None:
    """Hold exports of a folder's datasets against it, as their trainers read them.

    Raises:
        DataError: a folder is no export, or one whose files are not readable at all.
    """
    for folder in exports.folders:
        faults = exports.verify(folder, out)
        for law, causal in ((EXPORT_CAUSAL, True), (EXPORT_LOADS, False)):
            ledger.note(*law, str(folder), folder.name, [])
            for fault in faults:
                if (fault.rule == _CAUSAL) == causal:
                    breach = Breach(f"{fault.rule}: {fault.found}", fault.expected)
                    ledger.note(*law, f"{folder}/{fault.where}", folder.name, [breach])
