"""Streamo's raw rows: `{video_name, video_path, task_type, source, question, response}`; JoyAI's are of the same form.

A question is `{content, time}`, a response `{content, time}` or `{content, st_time, end_time}`: what happens in that
span is told at its end. Numbers stand as numbers or as text, and `m:ss` as text. Streamo's converter takes whole
numbers for steps of its grid and text with a point for seconds, so the unit has to be stated. It also puts the first
question at the first step, whenever it was asked, and cuts the fraction of a second off; files of our own hold exact
seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from datasets_build.core.records import Dialogue, Json, Turn, Video
from datasets_build.formats.place import Bundle, Place, Row, RowError, Unit, seconds_of
from datasets_build.formats.talk import Line, conversation, span_of, told_span

_NUMBER = re.compile(r"\d+(\.\d+)?")
_WHOLE = re.compile(r"\d+")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
Time = int | float | str | None


class Question(Row):
    """Something asked, at a time."""

    content: str
    time: Time


class Response(Row):
    """Something said, at a time or at the end of a span."""

    content: str
    time: Time = None
    st_time: Time = None
    end_time: Time = None


class Sample(Row):
    """A row: a video, what is asked over it, and what is answered."""

    video_name: str | None = None
    video_path: str | None = None
    question: list[Question]
    response: list[Response]


def video_of(row: Json) -> str:
    """The path of the video that a row is of, else its name."""
    found = Sample.model_validate(row)
    if not (name := found.video_path or found.video_name):
        raise RowError("no_video", "found neither video_path nor video_name, expected one")
    return name


def read(row: Json, place: Place) -> Bundle:
    """A row as a dialogue, and its spans as events. Raises RowError and pydantic's ValidationError."""
    found = Sample.model_validate(row)
    lines = []
    for k, question in enumerate(found.question):
        where = f"question.{k}.time"
        at_ns = place.heard(_seconds(question.time, place, where), where)
        lines.append(Line(role="user", text=question.content, at_ns=at_ns, where=where))
    lines += [_response(response, place, f"response.{k}") for k, response in enumerate(found.response)]
    return conversation(lines, place)


def _response(response: Response, place: Place, where: str) -> Line:
    spanned = [time not in (None, "") for time in (response.st_time, response.end_time)]
    if any(spanned):
        start = _seconds(response.st_time, place, f"{where}.st_time")
        end = _seconds(response.end_time, place, f"{where}.end_time")
        about = span_of(place, (start, end), where)
        at_ns = min(about.end_ns, place.last_ns)
        return Line(role="assistant", text=response.content, at_ns=at_ns, about=about, where=where)
    at_ns = place.heard(_seconds(response.time, place, f"{where}.time"), f"{where}.time")
    return Line(role="assistant", text=response.content, at_ns=at_ns, where=where)


def _seconds(time: Time, place: Place, where: str) -> str:
    """A time in seconds, as decimal text that is taken exactly."""
    if place.unit is None:
        raise RowError("unclear_unit", f"{where}: found {time!r} in no stated unit, expected --time-unit s or frame")
    text = time.strip() if isinstance(time, str) else "" if time is None else f"{Decimal(str(time)):f}"
    if _NUMBER.fullmatch(text):
        steps = place.unit.name == "frame" and (_WHOLE.fullmatch(text) or not isinstance(time, str))
        return _steps(text, place.unit) if steps else text
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups(default="0")
        return _decimal((int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds))
    raise RowError("bad_time", f"{where}: found {time!r}, expected seconds such as 12.5, or m:ss")


def _steps(text: str, unit: Unit) -> str:
    """Steps of the grid as seconds; as in the converter, a fraction of a step is cut off."""
    return _decimal(Fraction(int(Fraction(text))) / unit.fps)


def _decimal(seconds: Fraction) -> str:
    """Seconds as decimal text, to the nanosecond."""
    return f"{float(seconds):.9f}" if seconds.denominator > 1 else str(seconds.numerator)


def write(bundle: Bundle, video: Video) -> Json:
    """A dialogue as a row, in exact seconds."""
    dialogue: Dialogue = bundle.dialogues[0]
    asked: list[Json] = [
        {"content": turn.text, "time": float(seconds_of(turn.end_ns))} for turn in dialogue.turns if turn.role == "user"
    ]
    said = [_said(turn, bundle) for turn in dialogue.turns if turn.role == "assistant"]
    return {
        "video_name": video.uri.rsplit("/", 1)[-1],
        "video_path": video.uri,
        "task_type": "dialogue",
        "source": "streamvl",
        "question": asked,
        "response": said,
    }


def _said(turn: Turn, bundle: Bundle) -> Json:
    about = told_span(turn.evidence, bundle.events)
    if about is not None and turn.start_ns == about.end_ns:
        ends = float(seconds_of(about.start_ns)), float(seconds_of(about.end_ns))
        return {"content": turn.text, "st_time": ends[0], "end_time": ends[1], "time": ""}
    return {"content": turn.text, "time": float(seconds_of(turn.start_ns))}


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes a row each."""
    for dialogue in bundle.dialogues:
        yield Bundle(events=bundle.events, dialogues=(dialogue,))
