"""Conversations about whole videos as trainers publish them, in JSON or JSON lines.

- LLaMA-Factory: `{"messages": [{"role", "content"}, …], "videos": ["a.mp4"]}`;
- Qwen's fine-tuning and LLaVA: `{"conversations": [{"from", "value"}, …], "video": "a.mp4"}`.

A question and the reply after it become one `qa` row over the whole video: question, line break, reply. Nothing says
when in the video a reply became true, so no event is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from datasets_build.core.files import DataError
from datasets_build.sources.entries import ByVideo, Collector, CorpusConfig, Reading, entries_of, json_lines, text_of
from datasets_build.sources.exact import CaptionError, Value, load_json, object_of, show, string_of
from datasets_build.sources.said import Fault, Said

_TAG = "<video>"
_TAG_WITH_SPACE = re.compile(rf"\s*{_TAG}\s*")
_ROLES: Mapping[str, Literal["user", "assistant", "system"]] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "system": "system",
}
Turn = tuple[str, str]


class VideoJsonConfig(CorpusConfig):
    """Nothing beyond what every corpus has."""

    format: Literal["video_json"] = "video_json"


def parse_video_json(text: str, config: VideoJsonConfig) -> Reading:
    """What the file's text says of each video. Raises DataError when it is no list of samples."""
    found, faults = ByVideo(), list[Fault]()
    for where, value in _samples(text, config):
        try:
            if isinstance(value, CaptionError):
                raise value
            sample = object_of(value, "an object with a video and a conversation")
            name, turns = _video(sample), _turns(sample)
        except CaptionError as error:
            faults.append(Fault(error.fault.code, f"{where}: {error}"))
        else:
            _add(found.of(name), where, turns)
    return Reading(tuple(entries_of(found)), tuple(faults))


def _samples(text: str, config: VideoJsonConfig) -> Iterator[tuple[str, Value | CaptionError]]:
    if text.lstrip().startswith("{"):
        yield from json_lines(text)
        return
    try:
        content = load_json(text)
    except CaptionError as error:
        raise DataError(f"{config.file}: {error}") from error
    if not isinstance(content, list):
        raise DataError(f"{config.file}: found {show(content)}, expected a list of samples or JSON lines")
    yield from ((f"sample {number}", value) for number, value in enumerate(content, start=1))


def _video(sample: Mapping[str, Value]) -> str:
    named = sample.get("video", sample.get("videos"))
    videos = named if isinstance(named, list) else [named]
    if sample.get("image") or sample.get("images"):
        raise CaptionError("other_media", "found images beside the video, expected a video alone")
    if len(videos) != 1:
        raise CaptionError("many_videos", f"found {len(videos)} videos, expected one")
    return string_of(videos[0], "video")


def _turns(sample: Mapping[str, Value]) -> list[Turn]:
    turns = sample.get("messages", sample.get("conversations"))
    if not isinstance(turns, list) or not turns:
        raise CaptionError("bad_type", f"found {show(turns)}, expected a list of messages or conversations")
    read = [_turn(object_of(turn, "an object with role and content")) for turn in turns]
    tags = sum(content.count(_TAG) for _, content in read)
    if tags != 1:
        raise CaptionError("bad_tags", f"found {tags} times {_TAG}, expected one for the one video")
    return read


def _turn(turn: Mapping[str, Value]) -> Turn:
    role = turn.get("role", turn.get("from"))
    if not isinstance(role, str) or role not in _ROLES:
        raise CaptionError("bad_value", f"role: found {show(role)}, expected one of {', '.join(_ROLES)}")
    return _ROLES[role], string_of(turn.get("content", turn.get("value")), "content")


def _add(collected: Collector, where: str, turns: list[Turn]) -> None:
    question = None
    for number, (role, content) in enumerate(turns, start=1):
        here = f"{where}, turn {number}"
        text = _TAG_WITH_SPACE.sub(" ", content).strip()
        if role == "user" and question is None and text:
            question = here, text
        elif role == "assistant" and question is not None and text:
            words = f"{question[1]}\n{text}"
            collected.add(Said(where=question[0], start_ns=0, end_ns=0, text=words, kind="qa", is_whole=True))
            question = None
        else:
            expected = "a question and its reply by turns"
            collected.fail(here, CaptionError("not_a_pair", f"found {role} saying {show(text)}, expected {expected}"))
    if question is not None:
        collected.fail(question[0], CaptionError("not_a_pair", "found a question without a reply, expected one"))


def read_video_json(config: VideoJsonConfig) -> Reading:
    """Read the file that the settings name. Raises DataError."""
    return parse_video_json(text_of(config.file), config)
