"""ActivityNet: Captions (`train.json`, `val_1.json`, `val_2.json`), or the classes of `activity_net.v1-3.min.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from datasets_build.sources.dense import DatabaseForm, label_lines, parse_dense
from datasets_build.sources.entries import CorpusConfig, Reading, text_of


class ActivityNetConfig(CorpusConfig):
    """`labels`: a list of the classes, one a line; a label that is not in it is refused."""

    format: Literal["activitynet"] = "activitynet"
    labels: Path | None = None


def parse_activitynet(text: str, config: ActivityNetConfig, labels: frozenset[str] | None = None) -> Reading:
    """What the file's text says of each video, in seconds. Raises DataError when it is not of this corpus."""
    return parse_dense(text, config.file, DatabaseForm(labels=labels))


def read_activitynet(config: ActivityNetConfig) -> Reading:
    """Read the files that the settings name. Raises DataError."""
    labels = None if config.labels is None else frozenset(label_lines(text_of(config.labels)))
    return parse_activitynet(text_of(config.file), config, labels)
