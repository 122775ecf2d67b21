"""What the loaders and scorers of each foreign form demand of a row, as their own code reads it: replicas for a check.

Each gives what was found and what was expected. Nothing here shares code with the readers of `forms`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

Found = Any
"""A foreign row as JSON gives it, whose errors the caller takes for faults."""
Wrong = Iterator[tuple[str, str]]
_STAMP = re.compile(r"(\d{1,2}:)?\d{1,2}:\d{2}(\.\d+)?")
_CUE = re.compile(r"(\d+):(\d{2}):(\d{2})\.(\d{3}) --> (\d+):(\d{2}):(\d{2})\.(\d{3})")
_CHOICES = frozenset({"EPM", "HLD", "ASI", "STU", "OJR", "ATR", "FPD", "ACR", "OCR"})
_CLIP_S = 2


def _ordered(times: Sequence[float], what: str) -> Wrong:
    for before, after in pairwise(times):
        if after < before:
            yield f"{what} {after} after {before}", "times in order"


def _spoken(row: Found) -> Wrong:
    """VideoLLM-online: lines of known roles, in order; a time that runs back would be put on an earlier frame."""
    lines = row["conversation"]
    yield from _ordered([line["time"] for line in lines], "time")
    for line in lines:
        if line["role"] not in ("system", "user", "assistant"):
            yield f"role {line['role']!r}", "system, user or assistant"


def _streamed(row: Found) -> Wrong:
    """LiveCC and StreamingVLM: a user who shows a stretch of video and asks, and words in it, in order."""
    roles = [message["role"] for message in row]
    if roles[-2:] != ["user", "assistant"]:
        yield f"roles {roles}", "a user and an assistant"
        return
    shown, asked = row[-2]["content"][:2]
    if shown["type"] != "video" or asked["type"] != "text":
        yield f"parts {shown['type']}, {asked['type']}", "video, text"
        return
    begin, end = shown["video_start"], shown["video_end"]
    words = row[-1]["content"][0]["text_stream"]
    if not begin < end:
        yield f"video from {begin} to {end}", "an end after the start"
    yield from _ordered([start for start, _, _ in words], "a word at")
    for start, stop, word in words:
        if not begin <= start <= stop or start > end:
            yield f"{word!r} from {start} to {stop}", f"words from {begin} to {end}"


def _dueted(row: Found) -> Wrong:
    """MMDuet: every reply lies in the span that it tells of; answers follow each other."""
    if not row["video_uid"]:
        yield "no video_uid", "the name of a video"
    yield from _spans(row.get("timestamps", ()))
    told = [line for line in row.get("conversation", row.get("narrations", ())) if line.get("role") != "user"]
    for line in told:
        start, end = line.get("timespan", (line["time"], line["time"]))
        if not start <= line["time"] or start > end:
            yield f"{line['time']} of span {start} to {end}", "a time in or behind its span"
        if not isinstance(line.get("learn", True), bool):
            yield f"learn {line['learn']!r}", "true or false"
    yield from _ordered([line["time"] for line in row.get("conversation", ())], "time")
    yield from _ordered([time for answer in row.get("answer", ()) for time in answer["time"]], "an answer's")


def _stated(row: Found) -> Wrong:
    """Streamo and JoyAI: the converter takes a whole number for a frame and a number with a point for seconds."""
    lines = [*row["question"], *row["response"]]
    for line in lines:
        times = [line[key] for key in ("time", "st_time", "end_time") if line.get(key, "") != ""]
        if not times:
            yield f"no time for {line['content']!r}", "time, or st_time and end_time"
        for time in times:
            if not isinstance(time, float):
                yield f"time {time!r}", "a number with a point, which is seconds"
        if "st_time" in line and not line["st_time"] <= line["end_time"]:
            yield f"{line['st_time']} to {line['end_time']}", "an end after the start"
    said = [line["time"] if line.get("time", "") != "" else line["end_time"] for line in row["response"]]
    yield from _ordered(said, "a response at")


def _benched(row: Found) -> Wrong:
    """OVO-Bench: the keys of its task, an option for `gt`, and test points that agree with the clue."""
    if not isinstance(row["id"], int):
        yield f"id {row['id']!r}", "a number"
    task = row["task"]
    if task in _CHOICES:
        yield from _chosen(row)
    elif task == "CRR":
        yield from _clued(row)
    elif task == "REC":
        yield from _ordered([test["count"] for test in row["test_info"]], "count")
        yield from _spans(list(zip(row["start_times"], row["end_times"], strict=False)))
    elif task == "SSR":
        unknown = {test["step"] for test in row["test_info"]} - set(row["all_steps"])
        if unknown and row["all_steps"]:
            yield f"steps {sorted(unknown)}", "steps of all_steps"
    else:
        yield f"task {task!r}", "one of the benchmark"


def _chosen(row: Found) -> Wrong:
    options = row["options"]
    if not 2 <= len(options) <= 5 or len(set(options)) < len(options):
        yield f"options {options}", "2 to 5, each once"
    if not 0 <= row["gt"] < len(options):
        yield f"gt {row['gt']}", f"one of {len(options)} options"


def _clued(row: Found) -> Wrong:
    if row["clue_time"] < row["ask_time"]:
        yield f"a clue at {row['clue_time']}", f"{row['ask_time']}, when it is asked, or later"
    for test in row["test_info"]:
        if test["type"] != int(test["realtime"] >= row["clue_time"]):
            yield f"type {test['type']} at {test['realtime']}", f"1 from {row['clue_time']} on, 0 before"


def _asked(row: Found) -> Wrong:
    """StreamingBench: options `A. …` in order with the letter of the right one, or words with their time."""
    for asked in row["questions"]:
        stamps = [asked["time_stamp"], *filter(None, [asked.get("ground_truth_time_stamp")])]
        for stamp in stamps:
            if not _STAMP.fullmatch(stamp):
                yield f"time stamp {stamp!r}", "HH:MM:SS"
        if "options" not in asked:
            if not asked.get("ground_truth_output"):
                yield "neither options nor ground_truth_output", "one of them"
            continue
        letters = [option[:2] for option in asked["options"]]
        if letters != [f"{chr(ord('A') + k)}." for k in range(len(letters))]:
            yield f"options {letters}", "A. B. C. … in order"
        if f"{asked['answer']}." not in letters:
            yield f"answer {asked['answer']!r}", f"one of {letters}"


def _spans(spans: Sequence[tuple[float, float]], until: float | None = None) -> Wrong:
    for start, end in spans:
        if not 0 <= start <= end or (until is not None and end > until):
            yield f"{start} to {end}", f"a span in 0 to {'the end' if until is None else until}"


def _moments(row: Found) -> Wrong:
    """QVHighlights: windows in the video, the two-second clips that they touch, a score for each where any is."""
    yield from _spans(row["relevant_windows"], row["duration"])
    clips = row["relevant_clip_ids"]
    most = -(-row["duration"] // _CLIP_S)
    if not all(0 <= clip < most for clip in clips) or sorted(set(clips)) != list(clips):
        yield f"clips {clips}", f"0 to {most - 1}, each once, in order"
    scores = row.get("saliency_scores")
    if scores is not None and len(scores) != len(clips):
        yield f"{len(scores)} saliency scores", f"{len(clips)}, one for each clip"


def _captioned(row: Found) -> Wrong:
    """ActivityNet Captions: a span for each sentence, in the video."""
    if len(row["timestamps"]) != len(row["sentences"]):
        yield f"{len(row['timestamps'])} timestamps", f"{len(row['sentences'])}, one for each sentence"
    yield from _spans(row["timestamps"], row["duration"])


def _cued(row: Found) -> Wrong:
    """WebVTT: the first line, and cues that end after they begin, in order."""
    if not row["text"].startswith("WEBVTT\n"):
        yield f"a first line {row['text'][:10]!r}", "WEBVTT"
    cues = [tuple(map(int, found.groups())) for found in _CUE.finditer(row["text"])]
    for cue in cues:
        if cue[4:] <= cue[:4]:
            yield f"a cue from {cue[:4]} to {cue[4:]}", "an end after the start"
    for before, after in pairwise(cues):
        if after[:4] < before[:4]:
            yield f"a cue at {after[:4]} after one at {before[:4]}", "cues in order"


DEMANDS: Mapping[str, Callable[[Any], Wrong]] = {
    "videollm_online": _spoken,
    "livecc": _streamed,
    "streaming_vlm": _streamed,
    "mmduet": _dueted,
    "streamo": _stated,
    "joyai": _stated,
    "ovo_bench": _benched,
    "streaming_bench": _asked,
    "qvhighlights": _moments,
    "activitynet": _captioned,
    "webvtt": _cued,
}
