"""Pictures of timelines: marks are where the times say, on every lane; the command says what is wrong."""

import math
import shutil
import sys
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ImageColor import getrgb

from augment import __main__ as command
from augment import figures as figures_module
from augment.boxes import Box
from augment.errors import AugmentError
from augment.figures import figures
from augment.picture_settings import Noise, Window
from augment.settings import Concat, Freeze, Loop, Pipeline, Reverse, Speed
from augment.sheet import DPI, FILL, LEFT, RIGHT, STRIP, WIDTH, Joined, Part, Sheet, drawn, step_of
from augment.source import Source
from augment.timeline import Bar
from datasets_build.core.clock import Span
from datasets_build.core.layout import read_videos, table_path
from datasets_build.core.records import Annotation
from datasets_build.core.table import read_table, write_table
from tests.augment.folders import tree
from tests.builders.made import said
from tests.laws import examples

SECOND = 1_000_000_000


def part(*bars, length_s=10.0, begins_s=0.0):
    return Part(name="a", begins_s=begins_s, length_s=length_s, bars=bars, frames_s=[0.0, 1.0, 2.5])


def sheet(*bars, after=(), stretch_s=(0.0, 10.0), before=None):
    joined = Joined(ends=[(0.0, 0.0), (10.0, 10.0)], bends=[], even=[(5.0, 5.0)])
    parts = before or [part(*bars)]
    return Sheet(title="any", before=parts, after=part(*after), links=[joined], stretch_s=stretch_s)


def bar(begin_s, end_s, kind="event", text="something"):
    span = Span(start_ns=round(begin_s * SECOND), end_ns=round(end_s * SECOND))
    lane = {"event": "events", "question": "questions"}.get(kind, "talk")
    return Bar(lane=lane, kind=kind, at_ns=span.start_ns, spans=(span,), text=text)


def picture_of(made):
    with Image.open(BytesIO(drawn(made))) as found:
        return np.asarray(found.convert("RGB")).astype(int)


def columns(pixels, colour):
    """The columns in which a colour stands."""
    same = np.abs(pixels - np.array(getrgb(colour))).sum(axis=2) < 24
    return np.flatnonzero(same.any(axis=0))


def x_of(at_s, stretch_s=(0.0, 10.0)):
    begin, end = stretch_s
    return DPI * (LEFT + (at_s - begin) / (end - begin) * (WIDTH - LEFT - RIGHT))


@pytest.mark.parametrize(
    ("begin_s", "end_s", "kind"), [(0.0, 0.7, "event"), (2.3, 9.1, "question"), (9.0, 10.0, "user")]
)
def test_a_bar_is_where_its_times_are(begin_s, end_s, kind):
    found = columns(picture_of(sheet(bar(begin_s, end_s, kind))), FILL[kind])
    assert abs(found[0] - x_of(begin_s)) <= 3
    assert abs(found[-1] - x_of(end_s)) <= 3


def test_a_stretch_is_shown_larger():
    found = columns(picture_of(sheet(bar(4.0, 5.0), stretch_s=(3.0, 6.0))), FILL["event"])
    assert abs(found[0] - x_of(4.0, (3.0, 6.0))) <= 3
    assert abs(found[-1] - x_of(5.0, (3.0, 6.0))) <= 3
    assert len(columns(picture_of(sheet(bar(7.0, 8.0), stretch_s=(3.0, 6.0))), FILL["event"])) == 0


def test_videos_stand_side_by_side():
    second = part(bar(1.0, 2.0), length_s=3.0, begins_s=6.0)
    found = columns(picture_of(sheet(before=[part(length_s=5.0), second])), FILL["event"])
    assert abs(found[0] - x_of(7.0)) <= 3


def strip_of(boxes):
    """The columns and rows in inches, from the corner of a black picture of two by one, that are white in it."""
    black = Part(
        name="a", begins_s=0.0, length_s=10.0, bars=(), frames_s=[0.0],
        pictures={2.0: np.zeros((64, 128, 3), np.uint8)}, boxes={2.0: boxes},
    )  # fmt: skip
    left, top = round(x_of(2.0)), round(0.36 * DPI)
    inside = picture_of(sheet(before=[black]))[top + 1 : top + round(STRIP * DPI) - 1, left + 1 :]
    inside = inside[:, : round(2 * STRIP * DPI) - 5]
    white = inside.min(axis=2) > 200
    return [np.flatnonzero(white.any(axis=axis)) / DPI / STRIP for axis in (0, 1)]


def test_a_box_is_drawn_where_it_is_in_its_picture():
    assert [len(found) for found in strip_of([])] == [0, 0]
    x, y = strip_of([Box(left=0.25, top=0.25, right=0.5, bottom=0.75)])
    assert [x[0], x[-1], y[0], y[-1]] == pytest.approx([0.5, 1.0, 0.25, 0.75], abs=0.05)
    assert len(strip_of([Box(left=0.0, top=0.0, right=0.1, bottom=0.2), Box(left=0.7, top=0.5, right=1, bottom=1)])[0])


def test_boxes_are_drawn_where_a_window_goes_by_them(boxed, monkeypatch):
    drawn_ = []
    monkeypatch.setattr(figures_module, "drawn", lambda made: drawn_.append(made) or b"")
    pipelines = {"plain": Pipeline(operations=(Noise(),)), "part": Pipeline(operations=(Window(),))}
    figures(boxed, pipelines, boxed.out / "pictures")
    plain, part_ = drawn_
    assert not any(any(each.boxes.values()) for each in (*plain.before, plain.after))
    before, after = ([box for found in each.boxes.values() for box in found] for each in (*part_.before, part_.after))
    assert set(before) == {Box(left=0.0, top=0.25, right=0.25, bottom=0.5)}
    (moved,) = set(after)
    assert moved.right - moved.left > 0.25 or moved.bottom - moved.top > 0.25


@pytest.fixture
def boxed(parent, tmp_path):
    """A folder of which every video has one thing that stays in its place all the time."""
    out = tmp_path / "boxed"
    shutil.copytree(parent, out)
    path = table_path(out, Annotation)
    rows = []
    for video in read_videos(out):
        mine = [row for row in read_table(path, Annotation) if row.video_id == video.id]
        names = {name for row in mine if row.subject for name in row.subject.split(" and ")}
        rows += mine
        for name in sorted(names):
            box = said(video, 0, video.duration_ns, "0 0.25 0.25 0.25", subject=name, kind="box")
            rows.append(box)
    write_table(path, Annotation, rows)
    return Source.open(out)


@pytest.mark.slow
def test_what_stands_over_one_another_gets_rows():
    one = picture_of(sheet(bar(1.0, 3.0)))
    two = picture_of(sheet(bar(1.0, 3.0), bar(2.0, 4.0, text="another")))
    apart = picture_of(sheet(bar(1.0, 3.0), bar(7.0, 8.0, text="another")))
    assert two.shape[0] > one.shape[0] == apart.shape[0]
    assert one.shape[1] == WIDTH * DPI


def test_the_same_sheet_is_the_same_picture():
    made = sheet(bar(1.0, 3.0), bar(2.0, 4.0, "user", "Why $ and _ and {?"), after=[bar(2.0, 6.0)])
    assert drawn(made) == drawn(made)


def test_texts_stay_inside():
    long = "a question that goes on and on " * 3
    pixels = picture_of(sheet(bar(9.5, 10.0, "question", long)))
    ink = columns(pixels, "#22303c")
    assert ink[-1] < (WIDTH - 0.05) * DPI


@settings(max_examples=examples(100), deadline=None)
@given(st.floats(0.1, 3000))
def test_an_axis_has_a_few_ticks(length_s):
    ticks = length_s * SECOND / step_of((0.0, length_s))
    assert ticks <= 25 or length_s > 240
    assert ticks >= 1 or length_s < 1.2


def test_a_stretch_that_is_none_is_refused():
    with pytest.raises(AugmentError, match="expected a rising one from 0 s on"):
        sheet(stretch_s=(3.0, 3.0))


PIPELINES = {
    "slowed": Pipeline(operations=(Speed(low=0.5, high=0.5), Freeze())),
    "joined": Pipeline(operations=(Concat(), Loop(), Reverse())),
    "noisy": Pipeline(operations=(Noise(),)),
}


@pytest.mark.slow
def test_every_pipeline_gets_a_picture(parent, tmp_path):
    before = tree(parent)
    paths = figures(Source.open(parent), PIPELINES, tmp_path / "pictures", video="clip-1.mp4")
    assert [path.name for path in paths] == ["slowed.png", "joined.png", "noisy.png"]
    assert tree(parent) == before
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width == 1100
            assert picture.height > 300


def test_what_cannot_be_shown_is_told_and_nothing_is_written(parent, tmp_path):
    source, out = Source.open(parent), tmp_path / "pictures"
    with pytest.raises(AugmentError, match=r"has no video nope\.mp4 with events, expected one of clip-0\.mp4"):
        figures(source, PIPELINES, out, video="nope.mp4")
    with pytest.raises(AugmentError, match="chance did nothing to it; set p to 1"):
        figures(source, {**PIPELINES, "none": Pipeline(operations=(Loop(p=1e-12),))}, out)
    with pytest.raises(AugmentError, match="expected a stretch of"):
        figures(source, PIPELINES, out, begin_s=3.0, until_s=2.0)
    with pytest.raises(AugmentError, match="until inf s: expected a stretch of"):
        figures(source, PIPELINES, out, until_s=math.inf)
    assert not out.exists()
    out.write_text("precious")
    with pytest.raises(AugmentError, match=r"pictures: cannot be made as a folder for the pictures \(File exists\)"):
        figures(source, {"none": Pipeline(operations=(Loop(),))}, out)
    assert out.read_text() == "precious"


def test_the_command_draws(parent, tmp_path, monkeypatch, capfd):
    config = tmp_path / "twice.yaml"
    config.write_text("operations: [{kind: loop}]\n")
    words = ["figures", str(parent), str(config), "--to", str(tmp_path / "out"), "--from", "1", "--until", "4"]
    monkeypatch.setattr(sys, "argv", ["augment", *words])
    with pytest.raises(SystemExit) as done:
        command.main()
    assert done.value.code == 0
    assert capfd.readouterr().out == f"{tmp_path / 'out' / 'twice.png'}\n"
    assert (tmp_path / "out" / "twice.png").is_file()
    monkeypatch.setattr(sys, "argv", ["augment", *words, "--video", "nope.mp4"])
    assert command.main() == 1
    assert "error: " in capfd.readouterr().err
