"""Rows of foreign files for tests: videos that they are of, and Hypothesis strategies for every form."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

from hypothesis import strategies as st

from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Json, Provenance
from datasets_build.formats.place import Place, Unit
from tests.builders.made import clock_from, steady, video_of

DATA = Path(os.environ.get("STREAMVL_DATA", "/nowhere"))
SHA = "ab" * 32
CLOCKS = {
    "25": steady(60, Fraction(25)),
    "29.97": steady(60, Fraction(30_000, 1001)),
    "vfr": clock_from([33, 41, 100, 5, 1200, 17] * 40, last_ms=60),
}
LENGTH = 40.0
"""Seconds that all the clocks have."""


def place_of(
    clock: FrameClock = CLOCKS["25"], *, unit: Unit | None = None, row: str = "0", name: str = "clip"
) -> Place:
    """A row's place on a video that is not really there."""
    provenance = Provenance(kind="corpus", agent="made:file.json", version=f"sha256:{SHA}")
    return Place(video_of(name, clock), clock, provenance, row, unit)


clocks = st.sampled_from(sorted(CLOCKS)).map(CLOCKS.__getitem__)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    str.strip
)
plain = st.from_regex(r"[A-Za-z][a-z,.' ]{0,18}[a-z]", fullmatch=True).map(lambda text: " ".join(text.split()))
times = st.one_of(
    st.integers(0, int(LENGTH)), st.floats(0, LENGTH).map(lambda value: round(value, 3)), st.floats(0, LENGTH)
)


@st.composite
def pairs(draw: st.DrawFn) -> list[Json]:
    """Start and end."""
    return sorted([draw(times), draw(times)])


extra = st.dictionaries(
    st.sampled_from(["note", "a/b", "x~y", "score"]),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), words),
    max_size=2,
)
"""Keys that no form knows."""


@st.composite
def videollm_online(draw: st.DrawFn) -> Json:
    lines = draw(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), words, times), min_size=1, max_size=6))
    return {
        "video_uid": "clip",
        "conversation": [{"role": r, "content": c, "time": t} | draw(extra) for r, c, t in lines],
    } | draw(extra)


@st.composite
def streamo(draw: st.DrawFn) -> Json:
    written = st.one_of(times, times.map(lambda t: f"{t:.3f}"), st.integers(0, 39).map(str), st.just("0:12.5"))
    asked = [{"content": draw(words), "time": draw(written)} for _ in range(draw(st.integers(0, 3)))]
    said: list[Json] = []
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            start, end = draw(pairs())
            said.append({"content": draw(words), "st_time": start, "end_time": end, "time": ""})
        else:
            said.append({"content": draw(words), "time": draw(written)} | draw(extra))
    return {"video_path": "a/clip.mp4", "question": asked, "response": said, "task_type": "QA"} | draw(extra)


@st.composite
def mmduet(draw: st.DrawFn) -> Json:
    form = draw(st.sampled_from(["talk", "told", "grounding", "answers"]))
    if form == "grounding":
        spans = draw(st.lists(pairs(), min_size=1, max_size=3))
        return {"video_uid": "clip", "query": draw(words), "timestamps": spans} | draw(extra)
    if form == "answers":
        ends = sorted(draw(st.lists(st.integers(1, 39), min_size=3, max_size=7, unique=True)))
        spans = list(zip(ends[1::2], ends[2::2], strict=False))
        given = [{"content": draw(words), "time": list(span)} for span in spans]
        asked = {"role": "user", "content": draw(words), "time": ends[0]}
        return {"video_uid": "clip", "conversation": [asked], "answer": given, "question_id": "q7"}
    lines: list[Json] = []
    for _ in range(draw(st.integers(1, 4))):
        start, time, end = sorted([draw(times), draw(times), draw(times)])
        line = {"content": draw(words), "time": time, "timespan": [start, end], "learn": draw(st.booleans())}
        lines.append({"role": "assistant"} | line if form == "talk" else {"text": line.pop("content")} | line)
    if form == "told":
        return {"video_uid": "clip", "anno_uid": "a1", "narrations": lines}
    return {"video_uid": "clip", "conversation": [{"role": "user", "content": draw(words), "time": 0}, *lines]}


@st.composite
def livecc(draw: st.DrawFn) -> Json:
    ends = sorted(draw(st.lists(times, min_size=2, max_size=14)))
    said = [[start, end, draw(plain).split()[0]] for start, end in zip(ends[::2], ends[1::2], strict=False)]
    shown = {
        "type": "video",
        "video": "a/clip.mp4",
        "video_start": draw(st.sampled_from([0, ends[0]])),
        "video_end": 40.0,
    }
    query = {"type": "text", "text": draw(words), "previous": draw(plain), "title": "", "category": "x"}
    return [
        {"role": "user", "content": [shown, query]},
        {"role": "assistant", "content": [{"type": "text_stream", "text_stream": said}]},
    ]


@st.composite
def ovo_bench(draw: st.DrawFn) -> Json:
    task = draw(st.sampled_from(["EPM", "OCR", "CRR", "SSR", "REC"]))
    item: dict[str, Json] = {"id": draw(st.integers(0, 9)), "task": task, "video": "COIN/clip.mp4"}
    if task in ("EPM", "OCR"):
        options = draw(st.lists(words, min_size=2, max_size=5))
        right = draw(st.integers(0, len(options) - 1))
        asked = {"realtime": draw(times), "question": draw(words), "answer": draw(words)}
        return item | asked | {"options": options, "gt": right}
    if task == "CRR":
        ask, clue, *rest = sorted(draw(times) for _ in range(4))
        tests = [{"realtime": t, "type": draw(st.integers(0, 1))} for t in (ask, clue, *rest)]
        return item | {
            "question": draw(words),
            "answer": draw(words),
            "ask_time": ask,
            "clue_time": clue,
            "test_info": tests,
        }
    spans = draw(st.lists(pairs(), min_size=1, max_size=3))
    starts, ends = [span[0] for span in spans], [span[1] for span in spans]
    if task == "REC":
        tests = [{"realtime": draw(times), "count": draw(st.integers(0, 5))} for _ in range(draw(st.integers(1, 4)))]
        return item | {"activity": draw(words), "start_times": starts, "end_times": ends, "test_info": tests}
    steps = draw(st.lists(words, min_size=len(spans), max_size=len(spans), unique=True))
    tests = [
        {"realtime": draw(times), "step": step, "type": draw(st.integers(0, 1))}
        for step in steps
        for _ in range(draw(st.integers(1, 3)))
    ]
    return item | {"tutorial": "T", "all_steps": steps, "start_time": starts, "end_time": ends, "test_info": tests}


@st.composite
def streaming_bench(draw: st.DrawFn) -> Json:
    questions: list[Json] = []
    for _ in range(draw(st.integers(1, 3))):
        first, then = sorted([draw(st.integers(0, 39)), draw(st.integers(0, 39))])
        asked = {"task_type": draw(words), "question": draw(words), "time_stamp": f"00:00:{first:02d}"}
        if draw(st.booleans()):
            due = {"ground_truth_time_stamp": f"00:{then:02d}", "ground_truth_output": draw(words)}
            questions.append(asked | due | {"task_type": "Proactive Output"})
        else:
            options = [f"{letter}. {draw(words)}" for letter in "ABCD"]
            questions.append(
                asked | {"answer": draw(st.sampled_from("ABCD")), "options": options, "required_ability": "x"}
            )
    return {"time": "[0:00:00 - 0:00:10]", "questions": questions, "video_path": "./videos/clip.mp4"} | draw(extra)


@st.composite
def qvhighlights(draw: st.DrawFn) -> Json:
    windows = draw(st.lists(pairs(), min_size=1, max_size=3))
    found = {"qid": draw(st.integers(0, 9)), "query": draw(words), "duration": 60, "vid": "clip"}
    return found | {"relevant_windows": windows, "relevant_clip_ids": [1, 2], "saliency_scores": [[1, 2, 3]]}


@st.composite
def activitynet(draw: st.DrawFn) -> Json:
    spans = draw(st.lists(pairs(), min_size=1, max_size=4))
    return {"video": "clip", "duration": 60.02, "timestamps": spans, "sentences": [f" {draw(words)}" for _ in spans]}


@st.composite
def webvtt(draw: st.DrawFn) -> Json:
    cues = []
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted([draw(st.integers(0, 39_000)), draw(st.integers(0, 39_000))])
        stamps = [f"00:00:{ms // 1000:02d}.{ms % 1000:03d}" for ms in (start, max(end, start + 1))]
        cues.append(f"{' --> '.join(stamps)}\n{draw(plain)}\n")
    return {"video": "clip", "text": "\n".join(["WEBVTT\n", *cues])}


ROWS = {
    "videollm_online": videollm_online(),
    "livecc": livecc(),
    "streaming_vlm": livecc(),
    "mmduet": mmduet(),
    "streamo": streamo(),
    "joyai": streamo(),
    "ovo_bench": ovo_bench(),
    "streaming_bench": streaming_bench(),
    "qvhighlights": qvhighlights(),
    "activitynet": activitynet(),
    "webvtt": webvtt(),
}
