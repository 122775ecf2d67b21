"""OVO-Bench: items of twelve tasks in three groups, times in seconds.

- backward and real-time tasks: a question at `realtime` with `options`, of which number `gt` is right; `answer` says it
  in words of its own, which may be others;
- CRR: a question at `ask_time`, answered by what is seen at `clue_time`, probed by `test_info` of `type` 0 or 1;
- SSR: the steps of a tutorial with their spans, each asked after ("is this step being done?") at instants;
- REC: an activity with the spans in which it is done, counted at instants.

A question is put at the frame that is on screen at its time, so that nothing is known that is not in the prefix. That
an answer is no later than its question makes everything up to it the evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field

from datasets_build.core.records import Answer, Event, Evidence, Json, Probe, StreamingQA, Video
from datasets_build.formats.place import Bundle, Place, Row, RowError, seconds_of
from datasets_build.formats.talk import event_of, span_of

BACKWARD = ("EPM", "HLD", "ASI")
CHOICES = (*BACKWARD, "STU", "OJR", "ATR", "FPD", "ACR", "OCR")
_NO, _YES = "no", "yes"
_STEP = "Is the person doing this step now: {}?"
_COUNT = "How many times has it happened so far: {}?"


class Item(Row):
    """What every item has."""

    task: str
    video: str


class Choice(Item):
    """A question with options at an instant."""

    task: Literal["EPM", "HLD", "ASI", "STU", "OJR", "ATR", "FPD", "ACR", "OCR"]
    realtime: float
    question: str
    answer: str
    options: list[str]
    gt: int


class Test(Row):
    """An instant and whether the answer is known, or the step is being done."""

    realtime: float
    type: Literal[0, 1]


class Clue(Item):
    """A question that a later clue answers."""

    question: str
    answer: str
    ask_time: float
    clue_time: float
    test_info: list[Test] = Field(min_length=1)


class StepTest(Test):
    """An instant at which a step is asked after."""

    step: str


class Steps(Item):
    """The steps of a tutorial."""

    tutorial: str
    all_steps: list[str]
    start_time: list[float]
    end_time: list[float]
    test_info: list[StepTest] = Field(min_length=1)


class CountTest(Row):
    """An instant and the count by then."""

    realtime: float
    count: int


class Repeats(Item):
    """An activity that is done again and again."""

    activity: str
    start_times: list[float]
    end_times: list[float]
    test_info: list[CountTest] = Field(min_length=1)


def video_of(row: Json) -> str:
    """The path of the video that an item is of."""
    return Item.model_validate(row).video


def read(row: Json, place: Place) -> Bundle:
    """An item as questions and events. Raises RowError and pydantic's ValidationError."""
    task = Item.model_validate(row).task
    if task == "CRR":
        return Bundle(questions=(_clue(Clue.model_validate(row), place),))
    if task == "SSR":
        return _steps(Steps.model_validate(row), place)
    if task == "REC":
        return _repeats(Repeats.model_validate(row), place)
    return Bundle(questions=(_choice(Choice.model_validate(row), place),))


def _choice(item: Choice, place: Place) -> StreamingQA:
    ask_ns = place.seen(item.realtime, "realtime")
    if not 0 <= item.gt < len(item.options):
        raise RowError("bad_value", f"gt: found {item.gt}, expected one of {len(item.options)} options")
    answer = Answer(text=item.answer, t_ns=ask_ns, window_start_ns=ask_ns, window_end_ns=place.window_end(ask_ns))
    return StreamingQA(
        id=place.made("streaming_qa"),
        video_id=place.video.id,
        mode="backward" if item.task in BACKWARD else "realtime",
        task=item.task,
        question=item.question,
        ask_ns=ask_ns,
        evidence=(Evidence(start_ns=0, end_ns=ask_ns),),
        answerable_from_ns=ask_ns,
        answers=(answer,),
        options=tuple(item.options),
        correct_option=item.gt,
        provenance=place.provenance,
    )


def _clue(item: Clue, place: Place) -> StreamingQA:
    ask_ns, clue_ns = place.seen(item.ask_time, "ask_time"), place.seen(item.clue_time, "clue_time")
    if clue_ns < ask_ns:
        raise RowError(
            "bad_span", f"clue_time: found {item.clue_time}, expected {item.ask_time}, its ask_time, or later"
        )
    probes = [
        Probe(t_ns=place.seen(test.realtime, f"test_info.{k}.realtime"), kind="yes_no", expected=_word(test.type))
        for k, test in enumerate(item.test_info)
    ]
    if any(probe.t_ns < ask_ns for probe in probes):
        raise RowError(
            "bad_span", f"test_info: found a point before {item.ask_time}, expected none before its ask_time"
        )
    answer = Answer(text=item.answer, t_ns=clue_ns, window_start_ns=clue_ns, window_end_ns=place.window_end(clue_ns))
    return StreamingQA(
        id=place.made("streaming_qa"),
        video_id=place.video.id,
        mode="forward" if clue_ns > ask_ns else "realtime",
        task=item.task,
        question=item.question,
        ask_ns=ask_ns,
        evidence=(Evidence(start_ns=ask_ns, end_ns=clue_ns),),
        answerable_from_ns=clue_ns,
        answers=(answer,),
        test_points=tuple(probes),
        provenance=place.provenance,
    )


def _word(kind: int) -> str:
    return _YES if kind else _NO


def _event(place: Place, text: str, number: int, span: tuple[float, float], where: str) -> Event:
    return event_of(place, number, text, span_of(place, span, where))


def _steps(item: Steps, place: Place) -> Bundle:
    if not len(item.all_steps) == len(item.start_time) == len(item.end_time):
        found = f"{len(item.all_steps)} steps, {len(item.start_time)} starts and {len(item.end_time)} ends"
        raise RowError("bad_value", f"all_steps: found {found}, expected as many of each")
    events = tuple(
        _event(place, step, k, span, f"start_time.{k}")
        for k, (step, span) in enumerate(zip(item.all_steps, _pairs(item.start_time, item.end_time), strict=True))
    )
    texts = list(dict.fromkeys(test.step for test in item.test_info))
    questions = []
    for k, text in enumerate(texts):
        probes = [
            Probe(t_ns=place.seen(test.realtime, "test_info.realtime"), kind="yes_no", expected=_word(test.type))
            for test in item.test_info
            if test.step == text
        ]
        questions.append(_probed(place, "SSR", k, _STEP.format(text), probes))
    return Bundle(events=events, questions=tuple(questions))


def _repeats(item: Repeats, place: Place) -> Bundle:
    if len(item.start_times) != len(item.end_times):
        found = f"{len(item.start_times)} starts and {len(item.end_times)} ends"
        raise RowError("bad_value", f"start_times: found {found}, expected as many of each")
    pairs = _pairs(item.start_times, item.end_times)
    events = tuple(_event(place, item.activity, k, span, f"start_times.{k}") for k, span in enumerate(pairs))
    probes = [
        Probe(t_ns=place.seen(test.realtime, f"test_info.{k}.realtime"), kind="count", expected=str(test.count))
        for k, test in enumerate(item.test_info)
    ]
    return Bundle(events=events, questions=(_probed(place, "REC", 0, _COUNT.format(item.activity), probes),))


def _pairs(starts: Sequence[float], ends: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(starts, ends, strict=True))


def _probed(place: Place, task: str, number: int, question: str, probes: Sequence[Probe]) -> StreamingQA:
    """A question that is asked at its first instant; each change of what is expected is an answer of its own."""
    ask_ns = min(probe.t_ns for probe in probes)
    changes: list[Probe] = []
    for probe in sorted(probes, key=lambda probe: probe.t_ns):
        if not changes or (changes[-1].expected != probe.expected and changes[-1].t_ns < probe.t_ns):
            changes.append(probe)
    ends = [probe.t_ns for probe in changes[1:]]
    answers = [
        Answer(
            text=probe.expected,
            t_ns=probe.t_ns,
            window_start_ns=probe.t_ns,
            window_end_ns=place.window_end(probe.t_ns, until),
            valid_until_ns=until,
        )
        for probe, until in zip(changes, [*ends, None], strict=True)
    ]
    later = [Evidence(start_ns=a.t_ns, end_ns=b.t_ns, role="sufficient") for a, b in pairwise(changes)]
    return StreamingQA(
        id=place.made("streaming_qa", number),
        video_id=place.video.id,
        mode="counting" if task == "REC" else "realtime",
        task=task,
        question=question,
        ask_ns=ask_ns,
        evidence=(Evidence(start_ns=0, end_ns=ask_ns), *later),
        answerable_from_ns=ask_ns,
        answers=tuple(answers),
        test_points=tuple(probes),
        provenance=place.provenance,
    )


def write(bundle: Bundle, video: Video) -> Json:
    """One question as an item, or all that one item gave.

    Raises:
        RowError: no task of the benchmark can hold it.
    """
    first = bundle.questions[0]
    item: dict[str, Json] = {"id": int(first.id[:7], 16), "task": first.task, "video": video.uri}
    if first.task == "SSR":
        return item | _written_steps(bundle)
    if first.mode == "counting":
        return item | {"task": "REC"} | _written_repeats(first, bundle.events)
    if first.task == "CRR" or first.mode in ("forward", "proactive"):
        return item | {"task": "CRR"} | _written_clue(first)
    if first.correct_option is None:
        raise RowError("no_options", f"question {first.id}: found no options, expected some in a {first.mode} question")
    if first.task not in CHOICES:
        item["task"] = "EPM" if first.mode == "backward" else "STU"
    return item | {
        "realtime": seconds_of(first.ask_ns),
        "question": first.question,
        "answer": first.answers[0].text,
        "options": list(first.options),
        "gt": first.correct_option,
    }


def _written_clue(question: StreamingQA) -> dict[str, Json]:
    clue = question.answers[0]
    probes = question.test_points or (
        Probe(t_ns=question.ask_ns, kind="yes_no", expected=_NO),
        Probe(t_ns=clue.t_ns, kind="yes_no", expected=_YES),
    )
    return {
        "question": question.question,
        "answer": clue.text,
        "ask_time": seconds_of(question.ask_ns),
        "clue_time": seconds_of(clue.t_ns),
        "test_info": [{"realtime": seconds_of(probe.t_ns), "type": int(_known(probe, clue.t_ns))} for probe in probes],
    }


def _known(probe: Probe, clue_ns: int) -> bool:
    """Whether the answer can be given at a test point."""
    return probe.expected == _YES if probe.kind == "yes_no" else probe.t_ns >= clue_ns


def _written_steps(bundle: Bundle) -> dict[str, Json]:
    tests: list[Json] = [
        {"realtime": seconds_of(probe.t_ns), "step": _filled(_STEP, row.question), "type": int(probe.expected == _YES)}
        for row in bundle.questions
        for probe in row.test_points
    ]
    return {
        "tutorial": "",
        "all_steps": [event.caption for event in bundle.events],
        "start_time": [seconds_of(event.start_ns) for event in bundle.events],
        "end_time": [seconds_of(event.end_ns) for event in bundle.events],
        "test_info": tests,
    }


def _written_repeats(question: StreamingQA, events: Sequence[Event]) -> dict[str, Json]:
    named = {piece.event_id for piece in question.evidence}
    spans = [event for event in events if event.id in named or question.task == "REC"]
    given = [(probe.t_ns, probe.expected) for probe in question.test_points if probe.kind == "count"]
    counts = given or [(answer.t_ns, answer.text) for answer in question.answers]
    if not counts or any(len(re.findall(r"\d+", text)) != 1 for _, text in counts):
        raise RowError("no_count", f"question {question.id}: found answers without a number, expected counts")
    return {
        "activity": _activity(question),
        "start_times": [seconds_of(event.start_ns) for event in spans],
        "end_times": [seconds_of(event.end_ns) for event in spans],
        "test_info": [
            {"realtime": seconds_of(t_ns), "count": int(re.findall(r"\d+", text)[0])} for t_ns, text in counts
        ],
    }


def _activity(question: StreamingQA) -> str:
    """What is counted, as far as a question of our own says it apart from its words."""
    about = question.about
    return (about.text or about.label if about else None) or _filled(_COUNT, question.question)


def _filled(template: str, text: str) -> str:
    """What a template was filled with; the whole text where people gave it another form."""
    before, after = template.split("{}")
    inside = text.startswith(before) and text.endswith(after)
    return text[len(before) : len(text) - len(after)] if inside else text


def bundles(bundle: Bundle) -> Iterator[Bundle]:
    """What of a video's records makes an item each."""
    for question in bundle.questions:
        yield Bundle(events=bundle.events, questions=(question,))
