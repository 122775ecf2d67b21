"""LiveCC's streams: a user's message with a stretch of video and a query, and words with the times at which they fall.

A row is `[{role: user, content: [{type: video, video, video_start, video_end}, {type: text, text, previous, title,
category}]}, {role: assistant, content: [{type: text_stream, text_stream: [[start, end, word], …]}]}]`, in seconds of
the video. Words that follow each other without a pause are one turn. Where nothing says when a word of a turn was said,
words are spread evenly over it. StreamingVLM's rows are the same, and may begin with a message `previous text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from datasets_build.core.clock import NS_PER_S, Span
from datasets_build.core.records import Dialogue, Event, Json, Turn, Video
from datasets_build.formats.place import Bundle, Place, Row, RowError, seconds_of
from datasets_build.formats.talk import Line, conversation, event_of

WORD = "word"
PAUSE_NS = NS_PER_S
"""Words that are further apart are turns of their own."""
QUERY = "Please describe the video in real time."
Word = Annotated[list[float | str], Field(min_length=3, max_length=3)]


class Part(Row):
    """A part of a message: a stretch of video, a text, or words with their times."""

    type: Literal["video", "text", "text_stream"]
    video: str | None = None
    video_start: float = 0.0
    text: str | None = None
    text_stream: list[Word] = Field(default_factory=list)


class Message(Row):
    """What one side says."""

    role: str
    content: list[Part] | str


class Stream(Row):
    """A row: what the user shows and asks, and what is said to it."""

    video: Part
    text: Part
    words: Part


def _stream(row: Json) -> Stream:
    messages = [Message.model_validate(message) for message in row] if isinstance(row, list) else []
    parts = {
        (message.role, part.type): part
        for message in messages
        if isinstance(message.content, list)
        for part in message.content
    }
    try:
        return Stream(video=parts["user", "video"], text=parts["user", "text"], words=parts["assistant", "text_stream"])
    except KeyError as error:
        raise RowError("bad_value", f"found no {error.args[0][1]} of the {error.args[0][0]}, expected one") from None


def video_of(row: Json) -> str:
    """The path of the video that a row is of."""
    if not (name := _stream(row).video.video):
        raise RowError("no_video", "content.0.video: found none, expected a path")
    return name


def read(row: Json, place: Place) -> Bundle:
    """A row as a dialogue and its words as events. Raises RowError and pydantic's ValidationError."""
    found = _stream(row)
    words = [_word(word, place, k) for k, word in enumerate(found.words.text_stream)]
    if not words:
        raise RowError("no_text", "text_stream: found no words, expected at least one")
    for before, word in pairwise(words):
        if word.start_ns < before.start_ns:
            raise RowError("bad_span", f"text_stream: found {word.caption!r} before the word that stands before it")
    lines = [
        Line(role="assistant", text=" ".join(w.caption for w in run), at_ns=run[0].start_ns, until_ns=run[-1].end_ns)
        for run in _runs(words)
    ]
    begin_ns = place.heard(found.video.video_start, "content.0.video_start")
    if found.text.text and begin_ns <= words[0].start_ns:
        lines = [Line(role="user", text=found.text.text, at_ns=begin_ns, where="content.1.text"), *lines]
    return conversation(lines, place)._replace(events=tuple(words))


def _word(word: Sequence[float | str], place: Place, k: int) -> Event:
    start, end, text = word
    if isinstance(start, str) or isinstance(end, str) or not isinstance(text, str) or not text.strip():
        raise RowError("bad_value", f"text_stream.{k}: found {word}, expected start, end and a word")
    first, last = place.heard(start, f"text_stream.{k}.0"), place.until(end, f"text_stream.{k}.1")
    return event_of(place, k, text.strip(), Span(start_ns=first, end_ns=max(first, last)), label=WORD)


def _runs(words: Sequence[Event]) -> Iterator[list[Event]]:
    run: list[Event] = []
    for word in words:
        if run and word.start_ns - run[-1].end_ns >= PAUSE_NS:
            yield run
            run = []
        run.append(word)
    yield run


def write(bundle: Bundle, video: Video) -> Json:
    """What is said to one question as a row; its words' own times where there are events for them."""
    dialogue = bundle.dialogues[0]
    asked = [turn for turn in dialogue.turns if turn.role == "user"]
    said = [turn for turn in dialogue.turns if turn.role == "assistant"]
    known = [event for event in bundle.events if event.label == WORD]
    words: list[Json] = [
        [float(seconds_of(start_ns)), float(seconds_of(end_ns)), word]
        for turn in said
        for start_ns, end_ns, word in (_timed(turn, known) or _spread(turn))
    ]
    if not words:
        raise RowError("no_reply", f"dialogue {dialogue.id}: found a question that nothing is said to, expected words")
    start_ns = asked[0].end_ns if asked else dialogue.start_ns
    shown: Json = {
        "type": "video",
        "video": video.uri,
        "video_start": float(seconds_of(start_ns)),
        "video_end": float(seconds_of(dialogue.end_ns)),
    }
    query: Json = {
        "type": "text",
        "text": asked[0].text if asked else QUERY,
        "previous": "",
        "title": "",
        "category": "",
    }
    return [
        {"role": "user", "content": [shown, query]},
        {"role": "assistant", "content": [{"type": "text_stream", "text_stream": words}]},
    ]


def _timed(turn: Turn, words: Sequence[Event]) -> list[tuple[int, int, str]]:
    """The words of a turn with their own times; none where they say something else than the turn."""
    own = [word for word in words if turn.start_ns <= word.start_ns and word.start_ns <= turn.end_ns]
    while own and " ".join(word.caption for word in own) != turn.text:
        own = own[:-1]
    return [(word.start_ns, word.end_ns, word.caption) for word in own]


def _spread(turn: Turn) -> Iterator[tuple[int, int, str]]:
    words = turn.text.split()
    length = turn.end_ns - turn.start_ns
    for k, word in enumerate(words):
        yield turn.start_ns + length * k // len(words), turn.start_ns + length * (k + 1) // len(words), word


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes a row each: a question with what is said until the next one."""
    for dialogue in bundle.dialogues:
        starts = [turn for turn in dialogue.turns if turn.role == "user"]
        heads = [*starts] if dialogue.turns and dialogue.turns[0].role == "user" else [None, *starts]
        for k, head in enumerate(heads):
            begin = dialogue.start_ns if head is None else head.end_ns
            end = heads[k + 1] if k + 1 < len(heads) else None
            exchange = _between(dialogue, head, begin, dialogue.end_ns if end is None else end.end_ns)
            yield Bundle(events=bundle.events, dialogues=(exchange,))


def _between(dialogue: Dialogue, head: Turn | None, begin_ns: int, end_ns: int) -> Dialogue:
    said = [t for t in dialogue.turns if t.role == "assistant" and begin_ns <= t.start_ns < end_ns]
    turns = (*(() if head is None else (head,)), *said)
    return dialogue.model_copy(update={"turns": turns, "end_ns": end_ns})
