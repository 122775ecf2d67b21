"""MMDuet's three forms, times in seconds.

- conversations `{video_uid, conversation: [{role, content, time, timespan, learn}]}`; a row with `answer: [{content,
  time: [start, end]}]` asks the first line, and each answer is right in its span;
- narrations `{video_uid: {anno_uid: [{time, text, timespan, learn}]}}`, here a row with `anno_uid` and `narrations`;
- grounding `{video_uid, query, timestamps: [[start, end], …]}`.

A line is said inside the span that it tells of: its proof is the part up to it. What the loader learns of its two heads
follows from the spans, and is not written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from datasets_build.core.clock import Span
from datasets_build.core.records import Answer, Evidence, Json, StreamingQA, Turn, Video
from datasets_build.formats.place import Bundle, Place, Row, RowError, seconds_of
from datasets_build.formats.talk import Line, conversation, event_of, span_of, told_span

Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class Named(Row):
    """What every row has."""

    video_uid: str


class Message(Row):
    """One line of a conversation."""

    role: Literal["user", "assistant"]
    content: str
    time: float
    timespan: Pair | None = None
    learn: bool = True


class Given(Row):
    """An answer, and the span in which it is right."""

    content: str
    time: Pair


class Conversation(Named):
    """A conversation, or a question with its answers."""

    conversation: list[Message] = Field(min_length=1)
    answer: list[Given] | None = None


class Narration(Row):
    """One sentence of a narration."""

    time: float
    text: str
    timespan: Pair | None = None
    learn: bool = True


class Narrations(Named):
    """A narration of a video."""

    anno_uid: str
    narrations: list[Narration] = Field(min_length=1)


class Grounding(Named):
    """A query and the spans that show it."""

    query: str
    timestamps: list[Pair] = Field(min_length=1)


def video_of(row: Json) -> str:
    """The name of the video that a row is of."""
    return Named.model_validate(row).video_uid


def read(row: Json, place: Place) -> Bundle:
    """A row of any of the forms as records. Raises RowError and pydantic's ValidationError."""
    keys = row if isinstance(row, dict) else {}
    if "query" in keys:
        return _grounded(Grounding.model_validate(row), place)
    if "narrations" in keys:
        found = Narrations.model_validate(row).narrations
        said = [
            Message(role="assistant", content=n.text, time=n.time, timespan=n.timespan, learn=n.learn) for n in found
        ]
        return _talk(said, place, "narrations")
    talk = Conversation.model_validate(row)
    return _talk(talk.conversation, place, "conversation") if talk.answer is None else _asked(talk, talk.answer, place)


def _grounded(row: Grounding, place: Place) -> Bundle:
    spans = [span_of(place, times, f"timestamps.{k}") for k, times in enumerate(row.timestamps)]
    return Bundle(events=tuple(event_of(place, k, row.query, span) for k, span in enumerate(spans)))


def _talk(messages: list[Message], place: Place, name: str) -> Bundle:
    lines = []
    for k, message in enumerate(messages):
        where = f"{name}.{k}"
        spanned = message.timespan is not None and message.role == "assistant"
        about = span_of(place, message.timespan or (), f"{where}.timespan") if spanned else None
        lines.append(
            Line(
                role=message.role,
                text=message.content,
                at_ns=place.heard(message.time, f"{where}.time"),
                about=about,
                learn=message.learn,
                where=where,
            )
        )
    return conversation(lines, place)


def _asked(row: Conversation, given: list[Given], place: Place) -> Bundle:
    first = row.conversation[0]
    if first.role != "user" or len(row.conversation) > 1 or not given:
        raise RowError("bad_value", f"conversation: found {len(row.conversation)} lines, expected one question")
    ask_ns = place.heard(first.time, "conversation.0.time")
    spans = [span_of(place, part.time, f"answer.{k}.time") for k, part in enumerate(given)]
    for k, span in enumerate(spans):
        if span.start_ns < (spans[k - 1].end_ns if k else ask_ns):
            raise RowError(
                "bad_span", f"answer.{k}.time: found {given[k].time}, expected spans in order after the question"
            )
    answers = [
        Answer(text=part.content, t_ns=span.start_ns, window_start_ns=span.start_ns, window_end_ns=span.end_ns)
        for part, span in zip(given, spans, strict=True)
    ]
    proofs = [
        Evidence(start_ns=span.start_ns, end_ns=span.start_ns, role="sufficient" if k else "necessary")
        for k, span in enumerate(spans)
    ]
    question = StreamingQA(
        id=place.made("streaming_qa"),
        video_id=place.video.id,
        mode="proactive" if spans[0].start_ns > ask_ns else "realtime",
        task="magqa",
        question=first.content,
        ask_ns=ask_ns,
        evidence=tuple(proofs),
        answerable_from_ns=spans[0].start_ns,
        answers=tuple(answers),
        provenance=place.provenance,
    )
    return Bundle(questions=(question,))


def write(bundle: Bundle, video: Video) -> Json:
    """A question, a dialogue (a narration where no user speaks), or events of one caption as a row."""
    if bundle.questions:
        return _written_question(bundle.questions[0], video)
    if not bundle.dialogues:
        spans: list[Json] = [_pair(event.span) for event in bundle.events]
        return {"video_uid": video.uri, "query": bundle.events[0].caption, "timestamps": spans}
    dialogue = bundle.dialogues[0]
    messages = [_message(turn, bundle) for turn in dialogue.turns if turn.role != "system"]
    if any(turn.role == "user" for turn in dialogue.turns):
        return {"video_uid": video.uri, "conversation": list(messages)}
    told: list[Json] = [
        {"text" if key == "content" else key: value for key, value in message.items() if key != "role"}
        for message in messages
    ]
    return {"video_uid": video.uri, "anno_uid": dialogue.id, "narrations": told}


def _message(turn: Turn, bundle: Bundle) -> dict[str, Json]:
    message: dict[str, Json] = {"role": turn.role, "content": turn.text}
    if turn.role == "user":
        return message | {"time": seconds_of(turn.end_ns)}
    about = told_span(turn.evidence, bundle.events) or Span(start_ns=turn.start_ns, end_ns=turn.start_ns)
    return message | {"time": seconds_of(turn.start_ns), "timespan": _pair(about), "learn": turn.learn}


def _pair(span: Span) -> Json:
    return [seconds_of(span.start_ns), seconds_of(span.end_ns)]


def _written_question(row: StreamingQA, video: Video) -> Json:
    answers: list[Json] = [
        {"content": answer.text, "time": [seconds_of(answer.window_start_ns), seconds_of(answer.window_end_ns)]}
        for answer in row.answers
    ]
    asked: Json = {"role": "user", "content": row.question, "time": seconds_of(row.ask_ns)}
    return {"video_uid": video.uri, "conversation": [asked], "question_id": row.id, "answer": answers}


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes a row each."""
    for question in bundle.questions:
        yield Bundle(questions=(question,))
    for dialogue in bundle.dialogues:
        yield Bundle(events=bundle.events, dialogues=(dialogue,))
