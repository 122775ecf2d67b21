"""Tracked boxes: read, moved with the picture, kept whole by a window, and asked for where it needs them."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.boxes import Box, box_of, box_under, hull, row_under, tracked
from augment.clip import Clip
from augment.errors import AugmentError
from augment.maker import Maker
from augment.picture_settings import Aspect, Colour, Resolution, Shake, Window
from augment.settings import Pipeline, Speed
from augment.showing import open_showings
from augment.source import Source
from datasets_build.core.augmentation import Augmentation, Look
from datasets_build.core.files import write_json
from datasets_build.core.layout import read_videos
from datasets_build.core.records import Annotation
from datasets_build.core.table import read_table
from datasets_build.sources.world import WorldConfig, draw_world, plan
from datasets_build.sources.world_draw import scene_at
from datasets_build.sources.world_shapes import COLOURS, reach
from tests.augment.clips import RULES, broken, clip
from tests.builders.made import said
from tests.laws import examples
from tests.pipeline import run
from tests.readme_tree import ROOT

SHARES = st.integers(0, 1000).map(lambda n: n / 1000)


def boxed(video, start_ns, end_ns, text, subject=None):
    return said(video, start_ns, end_ns, text, kind="box", subject=subject, is_point=False)


def row(text):
    return boxed(clip("a").video, 0, 10**9, text)


def look(kind, **values):
    return Look(kind=kind, parameters=[{"name": name, "value": float(value)} for name, value in values.items()])


@settings(max_examples=examples(100), deadline=None)
@given(SHARES, SHARES, st.integers(1, 1000), st.integers(1, 1000))
def test_a_box_is_read_as_it_is_written(left, top, wide, high):
    box = Box(left=left * 0.9, top=top * 0.9, right=min(1, left * 0.9 + wide / 9000), bottom=top * 0.9 + high / 10000)
    again = box_of(row(box.text))
    assert (again.left, again.top, again.right, again.bottom) == pytest.approx(
        (box.left, box.top, box.right, box.bottom), abs=2e-6
    )


@pytest.mark.parametrize(
    "text",
    ["here", "0.1 0.2 0.3", "0.1 0.2 0.3 0.4 0.5", "0.1,0.2,0.3,0.4", "0.5 0.5 0.6 0.1", "-0.1 0 0.5 0.5", "0 0 0 1",
     "0 0 nan 1", "12 40 100 80", "1 0 0.0005 1", "inf 0 1 1"],
)  # fmt: skip
def test_a_text_that_is_no_box_is_told(text):
    with pytest.raises(AugmentError, match=r'box annotation \w+: found text .*expected text "left top width height"'):
        box_of(row(text))


def test_what_reaches_out_by_less_than_a_pixel_is_cut():
    box = box_of(row("-0.0005 0.2 0.5 0.8004"))
    assert (box.left, box.top, box.bottom) == (0.0, 0.2, 1.0)
    with pytest.raises(AugmentError, match="expected corners in order"):
        Box(left=0.5, top=0.1, right=0.4, bottom=0.2)


def test_a_hull_keeps_the_edges_that_are_touched():
    boxes = [Box(left=0.0005, top=0.3, right=0.2, bottom=0.5), Box(left=0.4, top=0.2, right=0.6, bottom=0.9995)]
    assert hull(boxes) == Box(left=0.0, top=0.2, right=0.6, bottom=1.0)


def test_boxes_go_where_looks_put_them():
    box = Box(left=0.25, top=0.5, right=0.5, bottom=0.75)
    assert box_under(box, ()) == box
    assert box_under(box, (look("noise"), look("resolution", width=8, height=4), look("squeeze"))) == box
    wide = look("letterbox", width=128, height=48, left=32, top=0, inner_width=64, inner_height=48)
    assert box_under(box, (wide,)) == Box(left=0.375, top=0.5, right=0.5, bottom=0.75)
    part = look("window", width=32, height=24, left=8, top=24, outer_width=64, outer_height=48)
    assert box_under(box, (part,)) == Box(left=0.25, top=0.0, right=0.75, bottom=0.5)
    assert box_under(box, (wide, look("shake"))) is None
    away = look("window", width=8, height=8, left=0, top=0, outer_width=64, outer_height=48)
    assert box_under(box, (away, wide)) is None


def test_only_boxes_are_moved():
    part = look("window", width=32, height=24, left=8, top=24, outer_width=64, outer_height=48)
    told = said(clip("a").video, 0, 10**9, "0.25 0.5 0.25 0.25")
    assert row_under(told, (part,)) is told
    assert row_under(row("0.25 0.5 0.25 0.25"), (part,)).text == "0.25 0 0.5 0.5"
    assert row_under(row("0.25 0.5 0.25 0.25"), (look("shake"),)) is None
    untouched = row("no box")
    assert row_under(untouched, ()) is untouched


def with_boxes(parent, *rows):
    return Clip(
        video=parent.video,
        clock=parent.clock,
        events=parent.events,
        questions=parent.questions,
        dialogues=parent.dialogues,
        annotations=[*parent.annotations, *rows],
        shots=parent.shots,
    )


def everyone(parent, text="0.3 0.4 0.2 0.2", edge="0 0.4 0.5 0.2"):
    """A box for all that takes part in anything, at an edge where it comes in or goes out."""
    for event in parent.events:
        for name in (event.subject or "").split(" and ") if event.subject else ():
            where = edge if event.label in ("enter", "leave") else text
            yield boxed(parent.video, event.start_ns, min(event.end_ns + 1, parent.clock.end_ns), where, name)


def made(parent, *operations):
    return Maker(pipeline=Pipeline(operations=operations), rules=RULES, talk_rules=RULES).make(parent, 0)


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_window_keeps_every_law_and_moves_the_boxes(name):
    parent = clip(name)
    found = made(with_boxes(parent, *everyone(parent)), Speed(), Resolution(heights=(96,)), Window(), Colour())
    assert broken(found) == []
    (part,) = [each for each in found.looks if each.kind == "window"]
    assert part.value("left") == 0
    assert (found.clip.video.width, found.clip.video.height) == (part.value("width"), part.value("height"))
    boxes = [each for each in found.clip.annotations if each.kind == "box"]
    assert boxes
    for each in boxes:
        box = box_of(each)
        pixels = box.left * part.value("width") + part.value("left"), box.top * part.value("height") + part.value("top")
        parent_box = box_of(next(old for old in everyone(parent) if old.id == each.provenance.inputs[0]))
        assert pixels == pytest.approx((parent_box.left * 128, parent_box.top * 96), abs=0.01)


def test_under_shake_boxes_are_left_out_and_told():
    parent = with_boxes(clip("a"), *everyone(clip("a")))
    found = made(parent, Shake())
    assert not [each for each in found.clip.annotations if each.kind == "box"]
    assert {reject.code for reject in found.left if "Annotation" in reject.item} == {"moved"}
    kept = made(parent, Aspect(ratios=("1:1",)))
    assert len([each for each in kept.clip.annotations if each.kind == "box"]) == len(list(everyone(clip("a"))))


def test_a_window_on_a_record_without_boxes_is_refused():
    with pytest.raises(AugmentError, match=r"a\.mp4: has no tracked boxes, which window needs"):
        made(clip("a"), Window())


def test_a_window_is_refused_where_a_subject_has_no_box():
    parent = clip("a")
    rows = list(everyone(parent))
    event = next(event for event in parent.events if event.label == "move")
    lacking = [each for each in rows if each.subject != event.subject]
    with pytest.raises(AugmentError, match=f"names '{event.subject}', for which there is no box between"):
        made(with_boxes(parent, *lacking), Window())
    assert tracked("a", rows, parent.events)
    # An article more, or a capital letter, is the same subject.
    renamed = [each.model_copy(update={"subject": f"The {each.subject}"}) for each in rows]
    assert len(tracked("a", renamed, parent.events)) == len(rows)


def test_who_comes_in_or_goes_out_has_a_box_at_an_edge():
    parent = clip("a")
    rows = list(everyone(parent, edge="0.3 0.4 0.2 0.2"))
    with pytest.raises(AugmentError, match="for which there is no box at an edge between"):
        tracked("a", rows, parent.events)


def test_a_bad_box_is_told_before_anything_is_cut():
    parent = clip("a")
    with pytest.raises(AugmentError, match="found text 'left of the tree', expected text"):
        made(with_boxes(parent, *everyone(parent), boxed(parent.video, 0, 10**9, "left of the tree")), Window())


def test_boxes_all_over_leave_nothing_to_cut():
    parent = clip("a")
    with pytest.raises(AugmentError, match="nothing of the picture can be cut off"):
        made(with_boxes(parent, *everyone(parent), boxed(parent.video, 0, 10**9, "0 0 1 1")), Window())


# A drawn world from end to end: who is where comes from the drawer, and stands in a sidecar beside the video.
WORLD = WorldConfig(videos=2, seconds=6, width=160, height=128, seed=5, vfr_share=0.4)


def places(script, t_ns):
    """Every shape that shows: its name, and the box of what shows of it, as shares."""
    scene = scene_at(script, t_ns)
    for actor in scene.actors:
        along = actor.place(t_ns)
        if scene.visible(actor, along):
            centre = {"x": (along, actor.lane), "y": (actor.lane, along)}[scene.axis]
            sides = []
            for axis, at, size in zip(("x", "y"), centre, (script.width, script.height), strict=True):
                before, after = reach(actor.kind, actor.radius, axis)
                sides.append((max(0.0, at - before) / size, min(size, at + after) / size))
            (left, right), (top, bottom) = sides
            yield f"{actor.colour_at(t_ns)} {actor.kind}", f"{left} {top} {right - left} {bottom - top}"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An output folder of drawn videos with boxes."""
    videos, out = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("out")
    draw_world(videos, WORLD)
    for number in range(WORLD.videos):
        drawn = plan(WORLD, number)
        ends = [*drawn.clock.t_ns.tolist()[1:], drawn.clock.end_ns]
        rows = [
            {"kind": "box", "start": start, "end": end, "text": text, "subject": name}
            for start, end in zip(drawn.clock.t_ns.tolist(), ends, strict=True)
            for name, text in places(drawn.script, start)
        ]
        write_json(videos / f"{drawn.name.removesuffix('.mp4')}.captions.json", {"unit": "ns", "annotations": rows})
    for verb in ("index", "perceive", "build"):
        done = run(verb, out, videos, "index.check_decoders=[]")
        assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.mark.slow
def test_a_drawn_world_with_boxes_from_its_sidecar_to_a_window(world, tmp_path):
    config = tmp_path / "window.yaml"
    config.write_text("copies: 3\noperations:\n  - {kind: window, least: 0.3}\n  - {kind: speed, p: 0.5}\n")
    out = tmp_path / "out"
    augment(world, out, config)
    boxes = {}
    for each in read_table(out / "index" / "annotations.parquet", Annotation):
        if each.kind == "box":
            boxes.setdefault(each.video_id, []).append(each)
    showings = open_showings(out)
    assert boxes
    assert boxes.keys() == showings.keys()
    seen = sum(right_colours(showings[name], rows) for name, rows in boxes.items())
    assert seen > 50


def augment(world, out, config):
    verb = [sys.executable, "-m", "augment", "apply", str(world), "--to", str(out), "-c", str(config)]
    done = subprocess.run(verb, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    checked = run("check", out, out)
    assert checked.returncode == 0, checked.stdout[-2000:]


@pytest.mark.slow
def test_the_pipeline_that_ships_makes_views_of_every_scene(world, tmp_path):
    out = tmp_path / "out"
    augment(world, out, ROOT / "augment" / "configs" / "pixels.yaml")
    videos = {video.id: video for video in read_videos(out)}
    showings = open_showings(out)
    assert videos.keys() == showings.keys()
    for name, shown in showings.items():
        (picture,) = shown.frames([shown.view.end_ns // 2], decoder="pyav")
        width, height = videos[name].upright_size
        assert picture.shape == (height, width, 3)
    scenes = {}
    for row in read_table(out / "augment" / "augmentations.parquet", Augmentation):
        scenes.setdefault(row.scene_id, set()).add(row.video_id)
    assert None not in scenes
    assert max(map(len, scenes.values())) == 2
    for together in scenes.values():
        assert len({tuple(showings[name].view.clock.t_ns.tolist()) for name in together}) == 1


def right_colours(shown, rows):
    """In how many of some boxes the middle of the picture has the colour that the box is named after: in all."""
    rows = [each for each in rows if inside(box_of(each))][::17]
    pixels = shown.frames([shown.view.clock.snap_up(each.start_ns) for each in rows], decoder="pyav") if rows else ()
    for each, picture in zip(rows, pixels, strict=True):
        box, (height, width) = box_of(each), picture.shape[:2]
        x, y = (box.left + box.right) / 2 * width, (box.top + box.bottom) / 2 * height
        middle = picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].reshape(-1, 3).mean(axis=0)
        expected = np.array(COLOURS[each.subject.split()[0]])
        assert np.abs(middle - expected).max() < 40, (each.subject, each.text, middle)
    return len(rows)


def inside(box):
    return min(box.left, box.top) > 0.01 and max(box.right, box.bottom) < 0.99


@pytest.mark.slow
def test_boxes_of_a_drawn_world_are_those_of_everyone_who_does_anything(world):
    for each in Source.open(world).clips():
        assert tracked(each.video.uri, each.annotations, each.events)
