"""Whole preflights: of each stage and layout, and of data that are not all there."""

import shutil
from collections import Counter

import pytest

from recipes.data.mix import Report
from recipes.errors import RecipeError
from recipes.settings import PackConfig
from recipes.verify.preflight import first_examples, preflight, prepare, told_data
from tests.recipes.data.lessons import build, drawn_scene
from tests.recipes.verify.benches import run_of

CHECKS = {"data", "frames", "labels", "positions", "sight", "packing", "streaming", "gradients", "memory"}
SOURCES = {
    "align": {"captions", "frame_events"},
    "stream": {"sliding_window", "incremental", "realtime", "frame_events"},
    "interact": {"dialogue", "preference"},
}


def holds(run, stage):
    findings = list(preflight(run, stage))
    wrong = [finding.words for finding in findings if not finding.ok]
    assert not wrong
    counts = Counter(finding.check for finding in findings)
    assert set(counts) - {"carried"} == CHECKS
    assert ("carried" in counts) == (stage == "stream")
    for check in ("data", "sight", "streaming"):
        named = {f.words.partition(":")[0] for f in findings if f.check == check}
        assert named == SOURCES[stage]
    assert not any("\n" in finding.words for finding in findings)


@pytest.mark.parametrize(
    ("stage", "layout", "family"),
    [
        pytest.param("align", "branch", "qwen2_5_vl", marks=pytest.mark.slow),
        ("stream", "branch", "qwen3_vl"),
        ("interact", "group", "qwen2_5_vl"),
    ],
)
def test_a_clean_run_holds(lessons, tmp_path, stage, layout, family):
    holds(run_of(lessons, tmp_path, layout=layout, family=family), stage)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["align", "stream", "interact"])
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("layout", ["branch", "group", "gap", "overlap", "overlap_shared", "interleave"])
def test_every_stage_holds_under_every_layout_that_shows_the_past(lessons, tmp_path, stage, family, layout):
    holds(run_of(lessons, tmp_path, layout=layout, family=family), stage)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("layout", ["origin", "batch"])
def test_layouts_that_show_the_whole_video_hold_but_for_windows(lessons, tmp_path, family, layout):
    run = run_of(lessons, tmp_path, layout=layout, family=family)
    holds(run, "align")
    holds(run, "interact")
    wrong = [finding for finding in preflight(run, "stream") if not finding.ok]
    assert [finding.check for finding in wrong] == ["carried"]
    without = run.model_copy(update={"stream": run.stream.model_copy(update={"mix": {"sliding_window": 1.0}})})
    assert all(finding.ok for finding in preflight(without, "stream"))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["align", "stream"])
def test_a_run_with_adapters_holds(lessons, tmp_path, stage):
    run = run_of(lessons, tmp_path)
    part = run.stage(stage)
    language = part.modules.language.model_copy(update={"train": "lora"})
    modules = part.modules.model_copy(update={"language": language})
    changed = run.model_copy(update={stage: part.model_copy(update={"modules": modules})})
    assert all(finding.ok for finding in preflight(changed, stage))


def test_examples_of_every_source_are_looked_at(lessons, tmp_path):
    run = run_of(lessons, tmp_path)
    pack = PackConfig(tokens=1500, rows=1, micro=1)
    ready = prepare(run.model_copy(update={"stream": run.stream.model_copy(update={"pack": pack})}), "stream")
    found = first_examples(ready)
    assert {example.source for example in found} == SOURCES["stream"]
    assert len({example.key for example in found}) == len(found)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Two videos; the pictures of the first broke off after it was indexed."""
    folder = tmp_path_factory.mktemp("broken") / "out"
    scenes = [drawn_scene(folder / "videos", f"film-{k}", frames=100 - 10 * k, seed=k) for k in range(2)]
    break_off(folder / "videos" / scenes[0].video.uri)
    return build(folder, scenes)


def break_off(path):
    """What is lost is the middle of the pictures; the index stands in front or behind."""
    whole = path.read_bytes()
    third = len(whole) // 3
    path.write_bytes(whole[:third] + bytes(third) + whole[2 * third :])


def frames_told(run):
    return next(finding for finding in preflight(run, "align") if finding.check == "frames")


def test_pictures_that_cannot_be_decoded_are_told_and_left_out(broken, tmp_path):
    findings = list(preflight(run_of(broken, tmp_path), "align"))
    (frames,) = [finding for finding in findings if finding.check == "frames"]
    assert not frames.ok
    assert "cannot be decoded" in frames.words
    assert "film-0" in frames.words
    assert {finding.check for finding in findings} == CHECKS
    assert all(finding.ok for finding in findings if finding is not frames)


def test_as_many_as_the_settings_allow_are_no_fault(broken, tmp_path):
    assert frames_told(run_of(broken, tmp_path, max_skipped=0.6)).ok
    assert not frames_told(run_of(broken, tmp_path, max_skipped=0.4)).ok


def test_data_without_any_picture_are_refused(broken, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(broken, copy)
    for path in (copy / "videos").glob("film-1.*"):
        break_off(path)
    with pytest.raises(RecipeError, match=r"none of .* examples can be looked at"):
        frames_told(run_of(copy, tmp_path))


def test_data_are_told_source_by_source():
    report = Report(
        examples={"captions": 3, "frame_events": 0},
        tokens={"captions": 90, "frame_events": 0},
        said={"captions": 4, "frame_events": 0},
        tasks={"caption": 4},
        left={("captions", "too long"): (2, ("a", "b")), ("captions", "no grid"): (1, ("c",))},
        unused={"x.mp4": "no frames", "y.mp4": "no frames"},
        never={"moments": 40},
    )
    first, second, never, third = told_data(report)
    assert first.words == "captions: 3 examples, 90 tokens, 4 things learned; left out: 2 too long, 1 no grid"
    assert first.ok
    assert not second.ok
    assert "nothing to learn" in second.words
    assert not never.ok
    assert never.words.startswith("moments: comes in at step 40, when the stage is over")
    assert third.words == "2 videos are not used, such as x.mp4: no frames"
    assert third.ok
