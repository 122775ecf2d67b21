"""COIN: the tasks and steps of `COIN.json`, whose words are their classes."""

from __future__ import annotations

from typing import Literal

from datasets_build.sources.dense import DatabaseForm, parse_dense
from datasets_build.sources.entries import CorpusConfig, Reading, text_of


class CoinConfig(CorpusConfig):
    """Nothing beyond what every corpus has."""

    format: Literal["coin"] = "coin"


def parse_coin(text: str, config: CoinConfig) -> Reading:
    """What the file's text says of each video, in seconds of the whole video. Raises DataError."""
    return parse_dense(text, config.file, DatabaseForm(rows="annotation", whole="class"))


def read_coin(config: CoinConfig) -> Reading:
    """Read the file that the settings name. Raises DataError."""
    return parse_coin(text_of(config.file), config)
