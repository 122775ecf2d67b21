"""Golden position ids by the rule of transformers 4.57.6: `python -m tests.models.golden_positions --write`.

The rule: text counts up from the greatest id so far plus one; a video begins there too, each of its grids at the time
since its first one, rows and columns counting from the video's begin. Qwen3-VL makes every grid a video of its own.
Independent of `models.positions`: plain lists, fractions of seconds, and the maximum over all ids so far.
"""

import json
import sys
from fractions import Fraction
from pathlib import Path

GOLDEN = Path(__file__).with_name("golden_positions.json")
FAMILIES = {"qwen2_5_vl": "2", "qwen2_5_omni": "25", "qwen3_vl": "0"}
MS = 1_000_000


def video(height, width, *times_ms):
    return {"height": height, "width": width, "t_ns": [round(time * MS) for time in times_ms]}


RUNS = {
    "text alone": [{"text": 5}],
    "video alone": [video(2, 3, 0, 1000, 2000)],
    "text around a long video": [{"text": 4}, video(2, 2, *range(0, 30_000, 1000)), {"text": 6}],
    "half seconds": [{"text": 1}, video(1, 2, *range(0, 4000, 500)), {"text": 2}],
    "irregular times": [{"text": 2}, video(2, 2, 40, 73.4, 1_012, 1_019, 7_000, 7_499.999, 7_540), {"text": 3}],
    "late start": [{"text": 1}, video(1, 1, 3_600_000, 3_601_000.000_001, 3_601_999.999_999), {"text": 1}],
    "wide frames in little time": [{"text": 3}, video(2, 9, 0, 33), {"text": 3}],
    "tall frames in little time": [video(7, 1, 0, 33), {"text": 3}],
    "text between grids": [
        {"text": 2}, video(2, 2, 0, 500), {"text": 3}, video(2, 2, 1_000, 2_500), {"text": 1}, video(2, 2, 9_000),
        {"text": 2},
    ],
    "two videos, the second begins at 0 again": [
        {"text": 2}, video(2, 2, 0, 5_000), {"text": 1}, video(3, 1, 0, 800), {"text": 2},
    ],
    "30 frames a second": [{"text": 1}, video(1, 1, *(Fraction(2000 * k, 30) for k in range(20))), {"text": 1}],
}  # fmt: skip


def positions(runs, rate):
    """Rows t, h, w of ids for runs of text and video at `rate` positions a second; 0: each grid is its own video."""
    ids = []

    def begin():
        return max((max(triple) for triple in ids), default=-1) + 1

    for run in runs:
        if "text" in run:
            base = begin()
            ids += [(base + step,) * 3 for step in range(run["text"])]
            continue
        clips = [run["t_ns"]] if rate else [[time] for time in run["t_ns"]]
        for clip in clips:
            base = begin()
            ids += [
                (base + int(Fraction(time - clip[0], 10**9) * rate), base + row, base + column)
                for time in clip
                for row in range(run["height"])
                for column in range(run["width"])
            ]
    return [list(row) for row in zip(*ids, strict=True)]


def golden():
    """The golden file's text: one case a line."""
    cases = [
        json.dumps(
            {"name": name, "family": family, "tokens_per_second": rate, "runs": runs,
             "positions": positions(runs, Fraction(rate))}
        )
        for name, runs in RUNS.items()
        for family, rate in FAMILIES.items()
    ]  # fmt: skip
    return "[\n" + ",\n".join(cases) + "\n]\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        GOLDEN.write_text(golden(), encoding="utf-8")
    else:
        print(golden(), end="")
