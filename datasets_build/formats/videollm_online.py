"""VideoLLM-online's raw conversations: `{video_uid, conversation: [{role, content, time}]}`, times in seconds.

Its loader moves a user's time down and an assistant's up to its 2 fps grid, and derives silence from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datasets_build.core.records import Json, Video
from datasets_build.formats.place import Bundle, Place, Row, seconds_of
from datasets_build.formats.talk import Line, conversation


class Message(Row):
    """One line; `time` in seconds, when the user has asked or the assistant begins."""

    role: Literal["user", "assistant", "system"]
    content: str
    time: float


class Conversation(Row):
    """One conversation over a video."""

    video_uid: str
    conversation: list[Message]


def video_of(row: Json) -> str:
    """The name of the video that a row is of."""
    return Conversation.model_validate(row).video_uid


def read(row: Json, place: Place) -> Bundle:
    """A row as a dialogue. Raises RowError and pydantic's ValidationError."""
    found = Conversation.model_validate(row)
    lines = []
    for k, message in enumerate(found.conversation):
        where = f"conversation.{k}.time"
        at_ns = place.heard(message.time, where)
        lines.append(Line(role=message.role, text=message.content, at_ns=at_ns, where=where))
    return conversation(lines, place)


def write(bundle: Bundle, video: Video) -> Json:
    """A dialogue as a row; a system prompt of its own is a first line."""
    dialogue = bundle.dialogues[0]
    messages: list[Json] = []
    for turn in dialogue.turns:
        time = turn.start_ns if turn.role == "assistant" else turn.end_ns
        messages.append({"role": turn.role, "content": turn.text, "time": seconds_of(time)})
    return {"video_uid": video.uri, "conversation": messages}


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes a row each."""
    for dialogue in bundle.dialogues:
        yield Bundle(events=bundle.events, dialogues=(dialogue,))
