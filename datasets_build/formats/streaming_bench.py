"""StreamingBench: entries of a clip with their questions, times as `HH:MM:SS` or `MM:SS`.

A question has `options` and the letter of the right one in `answer`, or (proactive output) the words to say,
`ground_truth_output`, and when to say them, `ground_truth_time_stamp`. In the sequential part such entries stand in
lists, one for each sequence. A question is put at the frame that is on screen at its time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import Field

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Answer, Evidence, Json, StreamingQA, Video
from datasets_build.formats.place import WINDOW_NS, Bundle, Place, Row, RowError

PROACTIVE = "Proactive Output"
_STAMP = re.compile(r"(?:(\d{1,2}):)?(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)")
_LETTER = re.compile(r"([A-Z])\.\s*")


class Question(Row):
    """One question of a clip."""

    task_type: str
    question: str
    time_stamp: str
    answer: str | None = None
    options: list[str] = Field(default_factory=list)
    ground_truth_time_stamp: str | None = None
    ground_truth_output: str | None = None


class Clip(Row):
    """The questions on one clip of a video."""

    video_path: str
    questions: list[Question] = Field(min_length=1)


def video_of(row: Json) -> str:
    """The path of the video that an entry is of."""
    return Clip.model_validate(row).video_path


def read(row: Json, place: Place) -> Bundle:
    """An entry as questions. Raises RowError and pydantic's ValidationError."""
    asked = Clip.model_validate(row).questions
    return Bundle(questions=tuple(_question(question, place, k) for k, question in enumerate(asked)))


def _question(row: Question, place: Place, k: int) -> StreamingQA:
    where = f"questions.{k}"
    ask_ns = place.seen(_seconds(row.time_stamp, f"{where}.time_stamp"), f"{where}.time_stamp")
    if row.ground_truth_time_stamp is not None:
        return _proactive(row, place, k, ask_ns)
    if row.answer is None or len(row.answer) != 1 or not 0 <= ord(row.answer) - ord("A") < len(row.options):
        found = f"found {row.answer!r}, expected the letter of one of {len(row.options)} options"
        raise RowError("bad_value", f"{where}.answer: {found}")
    right = ord(row.answer) - ord("A")
    options = tuple(_LETTER.sub("", option, count=1) if _LETTER.match(option) else option for option in row.options)
    answer = Answer(text=options[right], t_ns=ask_ns, window_start_ns=ask_ns, window_end_ns=place.window_end(ask_ns))
    return StreamingQA(
        id=place.made("streaming_qa", k),
        video_id=place.video.id,
        mode="realtime",
        task=row.task_type,
        question=row.question,
        ask_ns=ask_ns,
        evidence=(Evidence(start_ns=0, end_ns=ask_ns),),
        answerable_from_ns=ask_ns,
        answers=(answer,),
        options=options,
        correct_option=right,
        provenance=place.provenance,
    )


def _proactive(row: Question, place: Place, k: int, ask_ns: int) -> StreamingQA:
    where = f"questions.{k}"
    if row.ground_truth_output is None or row.ground_truth_time_stamp is None:
        raise RowError("bad_value", f"{where}.ground_truth_output: found none, expected the words to say")
    stamp = f"{where}.ground_truth_time_stamp"
    due_ns = place.seen(_seconds(row.ground_truth_time_stamp, stamp), stamp)
    if due_ns < ask_ns:
        found = f"found {row.ground_truth_time_stamp}, expected {row.time_stamp}, when it is asked, or later"
        raise RowError("bad_span", f"{stamp}: {found}")
    end_ns = place.clock.snap_up(due_ns + WINDOW_NS)
    answer = Answer(text=row.ground_truth_output, t_ns=due_ns, window_start_ns=due_ns, window_end_ns=end_ns)
    return StreamingQA(
        id=place.made("streaming_qa", k),
        video_id=place.video.id,
        mode="proactive" if due_ns > ask_ns else "realtime",
        task=row.task_type,
        question=row.question,
        ask_ns=ask_ns,
        evidence=(Evidence(start_ns=ask_ns, end_ns=due_ns),),
        answerable_from_ns=due_ns,
        answers=(answer,),
        provenance=place.provenance,
    )


def _seconds(stamp: str, where: str) -> str:
    """A time stamp as decimal seconds, taken exactly."""
    found = _STAMP.fullmatch(stamp.strip())
    if found is None:
        raise RowError("bad_time", f"{where}: found {stamp!r}, expected HH:MM:SS")
    hours, minutes, seconds = found.groups(default="0")
    whole, _, rest = seconds.partition(".")
    return f"{(int(hours) * 60 + int(minutes)) * 60 + int(whole)}.{rest or 0}"


def write(bundle: Bundle, video: Video) -> Json:
    """Questions as one entry; a part of a second of their times stands behind a point."""
    return {
        "time": f"[0:00:00 - {_stamp(max(row.ask_ns for row in bundle.questions))[1:]}]",
        "questions": [_written(row) for row in bundle.questions],
        "video_path": video.uri,
    }


def _written(row: StreamingQA) -> Json:
    item: dict[str, Json] = {"task_type": row.task, "question": row.question, "time_stamp": _stamp(row.ask_ns)}
    if row.correct_option is not None:
        letters = [chr(ord("A") + k) for k in range(len(row.options))]
        options: list[Json] = [f"{letter}. {option}" for letter, option in zip(letters, row.options, strict=True)]
        return item | {"answer": letters[row.correct_option], "options": options}
    if row.mode in ("forward", "proactive") or row.task == PROACTIVE:
        answer = row.answers[0]
        return item | {
            "task_type": PROACTIVE,
            "ground_truth_time_stamp": _stamp(answer.t_ns),
            "ground_truth_output": answer.text,
        }
    raise RowError("no_options", f"question {row.id}: found no options, expected some in a {row.mode} question")


def _stamp(t_ns: int) -> str:
    seconds, rest = divmod(t_ns, NS_PER_S)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{rest:09d}".rstrip("0") if rest else text


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes an entry each."""
    for question in bundle.questions:
        yield Bundle(questions=(question,))
