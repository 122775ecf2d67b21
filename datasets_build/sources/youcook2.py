"""YouCook2: recipe steps of `youcookii_annotations_trainval.json`, or the same as dense captions (`yc2_val.json`)."""

from __future__ import annotations

from typing import Literal

from datasets_build.sources.dense import DatabaseForm, parse_dense
from datasets_build.sources.entries import CorpusConfig, Reading, text_of


class YouCook2Config(CorpusConfig):
    """Nothing beyond what every corpus has."""

    format: Literal["youcook2"] = "youcook2"


def parse_youcook2(text: str, config: YouCook2Config) -> Reading:
    """What the file's text says of each video, in seconds. Raises DataError when it is not of this corpus."""
    return parse_dense(text, config.file, DatabaseForm(text="sentence", is_label=False))


def read_youcook2(config: YouCook2Config) -> Reading:
    """Read the file that the settings name. Raises DataError."""
    return parse_youcook2(text_of(config.file), config)
