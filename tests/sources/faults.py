"""Workers of the index that misbehave on purpose, chosen by a file's name; importable in a child process."""

import os
import signal
import time
from pathlib import Path

from datasets_build.core.records import DecoderTrust
from datasets_build.sources import probing
from datasets_build.sources.probing import Check, Content, Refusal, Source
from datasets_build.video import Probe


def _misbehave(name: str) -> None:
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in name:
        time.sleep(600)
    if "bug" in name:
        raise RuntimeError(f"nobody foresaw {Path(name).name}")


def digest(path: Path) -> Content | Refusal:
    """Hash, but crash or hang on files that are named so."""
    _misbehave(path.name)
    return probing.digest(path)


def examine(source: Source) -> Probe | Refusal:
    """Probe, but crash or fail on files that are named so."""
    _misbehave(source.uri)
    return probing.examine(source)


def examine_hanging(source: Source) -> Probe | Refusal:
    """Probe, but hang on one file; the other one that is named so hangs in its decoder."""
    _misbehave(source.uri if source.uri == "hang.mp4" else "")
    return probing.examine(source)


def try_decoder(check: Check) -> DecoderTrust:
    """Try a decoder: torchcodec is always fine, decord crashes, hangs or fails on files that are named so."""
    if check.decoder == "decord":
        _misbehave(check.source.uri)
    return DecoderTrust(name=check.decoder, trusted=True)
