"""Rendered folders: files that equal the on-the-fly view frame for frame, and records that are those of any folder."""

import json
import multiprocessing
import random
import shutil
import signal
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment import render as module
from augment.encode import CODINGS, Container, Film, container_of, encode
from augment.errors import AugmentError, RoomError
from augment.folder import apply
from augment.render import ahead, frames_of
from augment.settings import Crop, Freeze, Jitter, Pipeline, Speed
from augment.showing import Reel, Showing, is_augmented, open_showings
from augment.source import Source
from augment.temporal import concat
from augment.view import View
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.files import read_rejects, sha256_file
from datasets_build.core.layout import clock_of, read_videos, video_path
from datasets_build.core.stage import StageError
from datasets_build.video import check_decoder, decoder_for, probe, read
from tests.augment.folders import applied, finished, maps_of, stamps, stopped_after, tree
from tests.augment.views import changed
from tests.builders.made import video_of
from tests.drawn import VideoSpec, draw_video, frame_number
from tests.laws import examples
from tests.recipes.disks import small_disk

DECODERS = ("decord", "pyav", "torchcodec")
# A jitter of nanoseconds and a stall of more than an MP4 holds at that tick: both containers come.
STALL = Freeze(p=0.6, least_s=3, most_s=4)
PIPELINE = Pipeline(operations=(Crop(least=0.6, most=0.7), Speed(low=0.7, high=1.5), Jitter(p=0.5), STALL), copies=2)


def rendered(parent, out, *, codec="lossless", pipeline=PIPELINE, force=False):
    """What `apply` says that it has written."""
    return apply(Source.open(parent), out, pipeline, force=force, render=codec)


@pytest.fixture(scope="module")
def files(parent, tmp_path_factory):
    """A rendered folder, every pixel kept."""
    out = tmp_path_factory.mktemp("rendered") / "out"
    rendered(parent, out)
    return out


@pytest.fixture(scope="module")
def reels(tmp_path_factory):
    """Drawn videos of one size."""
    folder = tmp_path_factory.mktemp("drawn")
    specs = {
        "steady": VideoSpec(frames=16, b_frames=2, size=(64, 48)),
        "uneven": VideoSpec(durations=(1, 3, 2, 7, 1, 4, 2, 5), time_base=Fraction(1, 50), size=(64, 48)),
    }
    made = {}
    for name, spec in specs.items():
        path = folder / f"{name}.mp4"
        draw_video(path, spec)
        clock = probe(path).clock
        video = video_of(name, clock).model_copy(update={"width": 64, "height": 48})
        made[video.id] = Reel(video=video, path=path, clock=clock)
    return made


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_equals_the_view_frame_for_frame_for_every_decoder(reels, tmp_path_factory, data):
    view = concat([View.whole(name, reel.clock) for name, reel in reels.items()])
    for _ in range(data.draw(st.integers(0, 3))):
        view = changed(view, data.draw) if len(view.clock) < 60 else view
    showing = Showing(view=view, reels=reels)
    path = tmp_path_factory.mktemp("film") / f"film.{container_of(view.clock).suffix}"
    encode(path, frames_of(showing), Film(clock=view.clock, coding=CODINGS["lossless"]))
    found = probe(path)
    assert found.clock.t_ns.tolist() == view.clock.t_ns.tolist()
    assert found.clock.end_ns == view.clock.end_ns
    times = view.clock.t_ns.tolist()
    right = showing.frames(times, decoder="pyav")
    assert [frame_number(picture) for picture in right] == view.frame_of.tolist()
    for name in DECODERS:
        trust = check_decoder(path, found, name)
        assert trust.trusted, trust.reason
        assert np.array_equal(read(path, found.clock, times, decoder=trust, fallback=False).data, right)


def test_it_is_an_output_folder_like_any_other(parent, files):
    assert not is_augmented(files)
    assert (files / "videos" / "manifest.json").is_file()
    assert not (files / ".work").exists()
    shown, suffixes = open_showings(files), set()
    for video in read_videos(files):
        path, clock = video_path(files, video), clock_of(files, video)
        suffixes.add(path.suffix)
        assert path.parent == files / "videos"
        assert (video.sha256, video.bytes) == (sha256_file(path), path.stat().st_size)
        found, view = probe(path), shown[video.id].view
        assert (video.codec, video.container) == (found.codec, found.container) == ("ffv1", found.container)
        assert clock.t_ns.tolist() == found.clock.t_ns.tolist() == view.clock.t_ns.tolist()
        assert clock.pts.tolist() == found.pts.tolist()
        assert clock.end_ns == found.clock.end_ns == view.clock.end_ns == video.duration_ns
        # What is trusted with the parent was tried on the file.
        assert [(trust.name, trust.trusted) for trust in video.decoders] == [("pyav", True), ("decord", True)]
        times = clock.t_ns.tolist()
        ours = read(path, clock, times, decoder=decoder_for(video)).data
        assert np.array_equal(ours, shown[video.id].frames(times, decoder="pyav"))
    assert suffixes == {".mp4", ".mkv"}


def test_the_checks_hold_on_it(files):
    result = run_checks(files, CheckConfig())
    assert result.checked > 200
    assert list(map(str, result.violations)) == []


def test_its_records_are_those_of_the_maps_alone(parent, files, tmp_path):
    apply(Source.open(parent), tmp_path / "out", PIPELINE)
    ours, theirs = tree(files), tree(tmp_path / "out")
    same = [name for name in theirs if name.startswith(("events/", "perceive/")) and name.endswith(".parquet")]
    assert len(same) >= 3
    assert {ours[name] for name in same} == {theirs[name] for name in same}
    assert maps_of(files) == maps_of(tmp_path / "out")
    assert is_augmented(tmp_path / "out")
    kept = ("id", "source", "split", "group", "licence", "duration_ns", "n_frames")
    for video, other in zip(read_videos(files), read_videos(tmp_path / "out"), strict=True):
        assert [getattr(video, name) for name in kept] == [getattr(other, name) for name in kept]


@pytest.mark.slow
def test_a_rendered_folder_can_be_augmented_again(files, tmp_path):
    applied(files, tmp_path / "out", Crop(least=0.6, most=0.9), Speed())
    assert list(map(str, run_checks(tmp_path / "out", CheckConfig()).violations)) == []
    shown = open_showings(tmp_path / "out")
    first = open_showings(files)
    for row in maps_of(tmp_path / "out"):
        view, before = shown[row.video_id].view, first[row.parent_id].view
        numbers = [frame_number(picture) for picture in shown[row.video_id].frames(view.clock.t_ns[:9].tolist())]
        assert numbers == before.frame_of[view.frame_of[:9]].tolist()


def test_h264_files_show_the_same_frames(whole):
    shown = open_showings(whole)
    for video in read_videos(whole):
        clock, view = clock_of(whole, video), shown[video.id].view
        assert (video.codec, video.pixel_format) == ("h264", "yuv420p")
        assert (clock.t_ns.tolist(), clock.end_ns) == (view.clock.t_ns.tolist(), view.clock.end_ns)
        pictures = read(video_path(whole, video), clock, clock.t_ns, decoder="pyav").data
        assert [frame_number(picture) for picture in pictures] == view.frame_of.tolist()


def test_a_repeated_run_does_nothing(parent, files, monkeypatch):
    before, written = tree(files), stamps(files)
    monkeypatch.setattr(module, "encode", None)
    rendered(parent, files)
    written["rejects.jsonl"] = stamps(files)["rejects.jsonl"]  # joined from its parts by every run
    assert (tree(files), stamps(files)) == (before, written)


@pytest.mark.parametrize("codec", [None, "h264"])
def test_another_way_over_a_rendered_folder_is_refused_and_touches_nothing(parent, files, codec):
    before = tree(files)
    with pytest.raises(StageError, match=r"config\.render: lossless → .*--force"):
        rendered(parent, files, codec=codec)
    assert tree(files) == before


@pytest.mark.slow
def test_records_alone_over_files_by_force_leave_no_files(parent, tmp_path):
    rendered(parent, tmp_path / "out", codec="h264")
    rendered(parent, tmp_path / "out", codec=None, force=True)
    assert is_augmented(tmp_path / "out")
    assert not (tmp_path / "out" / "videos").exists()


def test_videos_of_somebody_else_are_never_touched(parent, tmp_path):
    (tmp_path / "out" / "videos").mkdir(parents=True)
    (tmp_path / "out" / "videos" / "mine.mp4").write_text("precious")
    for codec in ("h264", "lossless"):
        with pytest.raises(StageError, match=r"holds no manifest\.json"):
            rendered(parent, tmp_path / "out", codec=codec, force=True)
    rendered(parent, tmp_path / "out", codec=None)
    assert (tmp_path / "out" / "videos" / "mine.mp4").read_text() == "precious"


def test_a_source_that_cannot_be_read_is_a_reject_and_the_others_are_made(tmp_path, caplog):
    parent = finished(tmp_path / "parent", qa=False, frames=False, seconds=6)
    (parent / "videos" / "clip-0.mp4").unlink()
    with caplog.at_level("WARNING"):
        rendered(parent, tmp_path / "out", codec="h264", pipeline=Pipeline(operations=(Speed(),)))
    assert "clip-0.mp4: no such file; of 1 of 3 videos nothing is rendered" in caplog.text
    (told,) = [row for row in read_rejects(tmp_path / "out" / "rejects.jsonl") if row.code == "not_rendered"]
    assert "clip-0.mp4: no such file" in told.reason
    assert len(read_videos(tmp_path / "out")) == 2
    assert len(list((tmp_path / "out" / "videos").glob("*.mp4"))) == 2
    assert list(map(str, run_checks(tmp_path / "out", CheckConfig()).violations)) == []


def test_videos_that_are_all_gone_are_told_before_anything_is_written(parent, tmp_path):
    shutil.copytree(parent, tmp_path / "parent")
    shutil.rmtree(tmp_path / "parent" / "videos")
    with pytest.raises(
        AugmentError, match=r"clip-\d\.mp4: no such file, nor one of any other video; rendering needs them"
    ):
        rendered(tmp_path / "parent", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_comes_back_with_other_times_is_no_video(parent, tmp_path, monkeypatch):
    """The guard: an encoder that loses a nanosecond."""

    def late(path, pictures, film):
        t_ns = film.clock.t_ns + (np.arange(len(film.clock)) > 4)
        encode(path, pictures, replace(film, clock=replace(film.clock, t_ns=t_ns)))

    monkeypatch.setattr(module, "encode", late)
    monkeypatch.setattr("augment.encode.container_of", lambda _: Container("mp4", 1))
    with pytest.raises(AugmentError, match=r"no video of it could be made.*other times than were written"):
        rendered(parent, tmp_path / "out", pipeline=Pipeline(operations=(Jitter(),)))


def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(parent, tmp_path):
    with small_disk(tmp_path / "disk", size="200k") as disk:
        with pytest.raises((RoomError, OSError), match="No space left"):
            rendered(parent, disk / "out")
        assert not (disk / "out" / "index").exists()
        kept = [path.name for path in (disk / "out" / ".work" / "videos" / "parts").iterdir()]
        assert not [name for name in kept if name.startswith(".")]


def start(parent, out):
    """What is killed: module level, so that a fresh process finds it."""
    rendered(Path(parent), Path(out), codec="h264")


@pytest.fixture(scope="module")
def whole(parent, tmp_path_factory):
    """A folder beside which others are made: where the parent lies is told from there."""
    out = tmp_path_factory.mktemp("beside") / "whole"
    rendered(parent, out, codec="h264")
    return out


@pytest.mark.slow
def test_killed_at_any_moment_and_repeated_is_the_same(parent, whole):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.augment.test_render"])
    begun, rng, died = time.monotonic(), random.Random(0), []
    rendered(parent, whole.parent / "again", codec="h264")
    whole_s = time.monotonic() - begun
    assert tree(whole.parent / "again") == tree(whole)
    while len(died) < 12:
        out = whole.parent / f"killed{len(died)}"
        for _ in range(rng.randint(1, 3)):
            child = context.Process(target=start, args=(str(parent), str(out)))
            child.start()
            child.join(timeout=rng.uniform(0.2, 1.5) * whole_s)
            child.kill()
            child.join()
            died += [child.exitcode] if child.exitcode else []
        rendered(parent, out, codec="h264")
        assert tree(out) == tree(whole)
    assert set(died) == {-signal.SIGKILL}


def test_stopped_between_two_files_it_goes_on_with_the_next(parent, whole, monkeypatch):
    made = []

    def some(path, pictures, film):
        if len(made) >= 2:
            raise KeyboardInterrupt
        encode(path, pictures, film)
        made.append(path.name)

    out = whole.parent / "stopped"
    with monkeypatch.context() as patched:
        patched.setattr(module, "encode", some)
        with pytest.raises(KeyboardInterrupt):
            rendered(parent, out, codec="h264")
    assert not (out / "videos").exists()
    with monkeypatch.context() as patched:
        patched.setattr(module, "encode", lambda path, *rest: made.append(path.name) or encode(path, *rest))
        rendered(parent, out, codec="h264")
    assert len(made) == len(set(made)) == len(read_videos(out))
    assert tree(out) == tree(whole)


@pytest.mark.parametrize(
    "published", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(5, marks=pytest.mark.slow)]
)
def test_stopped_between_two_stages_it_goes_on(parent, whole, monkeypatch, published):
    out = whole.parent / f"stopped{published}"
    with stopped_after(published, monkeypatch) as done:
        rendered(parent, out, codec="h264")
    assert done[0] == "videos"
    monkeypatch.setattr(module, "encode", None)
    rendered(parent, out, codec="h264")
    assert tree(out) == tree(whole)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same(parent, whole, monkeypatch):
    out = whole.parent / "alone"
    monkeypatch.setattr("augment.folder.Renderer", lambda **more: module.Renderer(**more, workers=1))
    rendered(parent, out, codec="h264")
    assert tree(out) == tree(whole)


def test_a_lost_file_is_noticed(parent, files, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(files, out)
    (out / "videos" / read_videos(out)[0].uri).unlink()
    with pytest.raises(StageError, match=r": is missing or damaged.*--force"):
        rendered(parent, out)


@given(st.lists(st.integers(), max_size=20))
def test_items_made_ahead_are_the_same(items):
    assert list(ahead(iter(items))) == items


def test_what_goes_wrong_ahead_comes_in_its_place():
    def torn():
        yield 1
        yield 2
        raise ValueError("three")

    found = ahead(torn())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(ValueError, match="three"):
        next(found)


def test_one_item_is_made_ahead_and_no_more():
    made = []
    found = ahead(made.append(k) or k for k in range(9))
    assert next(found) == 0
    time.sleep(0.05)
    assert len(made) <= 2
    found.close()


def test_what_is_said_where_a_folder_is_rendered(files):
    assert json.loads((files / "augment" / "sources.json").read_text())["rendered"] == "lossless"
    assert json.loads((files / "videos" / "manifest.json").read_text())["counts"] == {"videos": len(read_videos(files))}
