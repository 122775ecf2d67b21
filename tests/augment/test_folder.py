"""Augmented folders: like any other, made once, the same after every kill, and their parents as they were."""

import json
import multiprocessing
import random
import shutil
import signal
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augment.errors import AugmentError
from augment.folder import refuse_nested
from augment.maker import Maker
from augment.settings import Concat, Crop, Freeze, Jitter, Loop, Pipeline, Reverse, Skip, Speed
from augment.showing import open_showings
from augment.source import Source, by_size
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.files import DataError, read_rejects
from datasets_build.core.layout import clock_of, read_videos, table_path
from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.records import Annotation, Dialogue, Event, StreamingQA
from datasets_build.core.stage import StageError, output_folder
from datasets_build.core.table import read_table
from tests.augment.folders import applied, finished, maps_of, stamps, stopped_after, tree
from tests.drawn import frame_number
from tests.laws import examples

SLOWED = (Speed(low=0.5, high=0.8), Freeze(stalls=2))
DATASETS = ("streaming_qa/qa", StreamingQA), ("dialogue/dialogues", Dialogue)


def rows(out, table, model):
    return [row for path in sorted((out / table).glob("*.parquet")) for row in read_table(path, model)]


@pytest.fixture(scope="module")
def slowed(parent, tmp_path_factory):
    """A folder of slowed and stalled copies."""
    out = tmp_path_factory.mktemp("slowed") / "out"
    counts = applied(parent, out, *SLOWED, copies=2)
    return out, counts


def test_it_is_an_output_folder_like_any_other(slowed):
    out, counts = slowed
    assert {path.name for path in out.iterdir()} == {
        "index", "perceive", "events", "streaming_qa", "frame_events", "dialogue", "augment", "rejects.jsonl",
    }  # fmt: skip
    assert counts["index.videos"] == len(read_videos(out)) == 6
    assert counts["streaming_qa.qa"] == len(rows(out, "streaming_qa/qa", StreamingQA))
    assert counts["dialogue.dialogues"] == 6
    assert counts["augment.augmentations"] == len(maps_of(out))
    for name in ("index", "perceive", "events", "streaming_qa", "frame_events", "dialogue", "augment"):
        manifest = json.loads((out / name / "manifest.json").read_text())
        assert manifest["stage"] == name
        for file in manifest["files"]:
            assert (out / name / file["path"]).stat().st_size == file["bytes"]


def test_the_checks_hold_on_it(slowed):
    result = run_checks(slowed[0], CheckConfig())
    assert result.checked > 500
    assert list(map(str, result.violations)) == []


def test_a_planted_fault_is_found(slowed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(slowed[0], out)
    import pyarrow.parquet as pq

    path = out / "events" / "events.parquet"
    table = pq.read_table(path)
    found = table.to_pylist()
    shifted = next(row for row in found if row["end_ns"] - row["start_ns"] > 10**9)
    shifted["start_ns"] += 1
    pq.write_table(table.from_pylist(found, schema=table.schema), path)
    assert any(shifted["id"] in str(breach) for breach in run_checks(out, CheckConfig()).violations)


def test_the_parent_is_untouched(parent, tmp_path):
    before, written = tree(parent), stamps(parent)
    applied(parent, tmp_path / "out", Freeze())
    assert (tree(parent), stamps(parent)) == (before, written)


def test_a_repeated_run_does_nothing(parent, slowed):
    out, counts = slowed
    before, written = tree(out), stamps(out)
    assert applied(parent, out, *SLOWED, copies=2) == counts
    written["rejects.jsonl"] = stamps(out)["rejects.jsonl"]  # joined from its parts by every run
    assert (tree(out), stamps(out)) == (before, written)


def test_a_forced_run_makes_the_same_anew(parent, slowed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(slowed[0], out)
    (out / "events" / "events.parquet").write_bytes(b"damaged")
    with pytest.raises(StageError, match=r"events\.parquet: is missing or damaged.*--force"):
        applied(parent, out, *SLOWED, copies=2)
    applied(parent, out, *SLOWED, copies=2, force=True)
    # Where the parent lies is told from the folder itself.
    (out / "augment" / "sources.json").write_bytes((slowed[0] / "augment" / "sources.json").read_bytes())
    ours, theirs = tree(out), tree(slowed[0])
    assert {name for name in ours if ours[name] != theirs.get(name)} <= {"augment/manifest.json"}
    assert ours.keys() == theirs.keys()


@pytest.mark.parametrize(
    ("operations", "more", "named"),
    [
        ((Speed(low=0.6, high=0.8), Freeze(stalls=2)), {}, "config.operations"),
        (SLOWED, {"seed": 1}, "config.seed: 0 → 1"),
    ],
)
def test_another_pipeline_over_a_folder_is_refused_and_touches_nothing(parent, slowed, operations, more, named):
    out, _ = slowed
    before = tree(out)
    with pytest.raises(StageError, match=f"made with other settings.*{named}.*--force"):
        applied(parent, out, *operations, **{"copies": 2, **more})
    assert tree(out) == before


def test_a_parent_that_was_made_anew_is_noticed(tmp_path):
    parent = finished(tmp_path / "parent", splits=("train",), talk=False, frames=False)
    applied(parent, tmp_path / "out", *SLOWED)
    manifest = parent / "streaming_qa" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fingerprint": "', '"fingerprint": "00'))
    with pytest.raises(StageError, match=r"input\.parent\.streaming_qa"):
        applied(parent, tmp_path / "out", *SLOWED)


def test_a_folder_is_not_augmented_into_itself_nor_twice(parent, slowed, tmp_path):
    before = tree(parent)
    (tmp_path / "link").symlink_to(parent)
    for same in (parent, parent / ".", tmp_path / "link"):
        with pytest.raises(AugmentError, match="is the folder that is augmented; name another one"):
            applied(parent, same, *SLOWED)
    with pytest.raises(AugmentError, match="is augmented already; put all operations into one pipeline"):
        applied(slowed[0], tmp_path / "out", *SLOWED)
    assert tree(parent) == before
    assert not (tmp_path / "out").exists()


def test_a_folder_is_not_augmented_into_a_folder_of_its_own_nor_one_that_holds_it(parent, tmp_path):
    before = tree(parent)
    (tmp_path / "link").symlink_to(parent)
    for inside in (
        parent / "index",
        parent / "streaming_qa" / "more",
        parent / ".work" / "x",
        parent / "videos" / "deep" / "er",
        tmp_path / "link" / "events",
    ):
        with pytest.raises(AugmentError, match=r"lies inside .*, which the augmented folder is made of"):
            applied(parent, inside, *SLOWED)
    for around in (parent.parent, parent / ".." / "..", tmp_path / "link" / "..", Path("/")):
        with pytest.raises(AugmentError, match=r"holds .*, the folder that is augmented; name one beside it"):
            applied(parent, around, *SLOWED)
    assert tree(parent) == before
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(StageError, match="is a file, expected a folder"):
        applied(parent, tmp_path / "loop", *SLOWED)
    # A name that begins alike is no folder inside, and a folder beside the stages is none of them.
    for beside in (parent.parent / f"{parent.name}-slowed", parent / "slowed", parent / "events-slowed"):
        refuse_nested(parent, beside)


def test_an_output_that_is_a_file_or_held_is_refused(parent, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(StageError, match="is a file"):
        applied(parent, tmp_path / "file", *SLOWED)
    assert (tmp_path / "file").read_text() == "precious"
    with output_folder(tmp_path / "held"), pytest.raises(StageError, match="another run is writing here"):
        applied(parent, tmp_path / "held", *SLOWED)


def test_a_folder_of_somebody_else_is_never_touched(parent, tmp_path):
    (tmp_path / "out" / "events").mkdir(parents=True)
    (tmp_path / "out" / "events" / "mine.txt").write_text("precious")
    before = tree(tmp_path / "out")
    for force in (False, True):
        with pytest.raises(StageError, match=r"holds no manifest\.json"):
            applied(parent, tmp_path / "out", *SLOWED, force=force)
        assert tree(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("operations", "why"),
    [
        ((Skip(form="motion"),), "the videos have no measured signals"),
        ((Concat(),), "no other video of this split and size"),
        ((Speed(p=1e-12),), "chance did nothing to any video, raise p"),
    ],
)
def test_a_pipeline_that_leaves_nothing_is_told_before_anything_is_written(lone, tmp_path, operations, why):
    out = tmp_path / "deep" / "out"
    with pytest.raises(AugmentError, match=f"leaves nothing of any video.*{why}"):
        applied(lone, out, *operations)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """One video of which nothing was measured, with questions alone."""
    out = finished(tmp_path_factory.mktemp("lone") / "out", splits=("validation",), frames=False, talk=False)
    shutil.rmtree(out / "perceive")
    return out


def test_a_folder_with_one_dataset_gets_that_one(lone, tmp_path):
    counts = applied(lone, tmp_path / "out", *SLOWED)
    assert counts["streaming_qa.qa"] > 0
    assert counts["perceive.shots"] == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "index", "perceive", "events", "streaming_qa", "augment", "rejects.jsonl",
    }  # fmt: skip


def test_what_cannot_be_done_to_one_video_is_told_and_the_others_are_made(parent, tmp_path):
    out = tmp_path / "out"
    applied(parent, out, Concat())
    told = read_rejects(out / "rejects.jsonl")
    assert told == read_rejects(out / "augment" / "rejects.jsonl")
    (cannot,) = [row for row in told if row.code == "cannot"]
    assert (cannot.stage, cannot.item) == ("augment", "clip-2.mp4: copy 0")
    assert "no other video of this split and size" in cannot.reason
    assert cannot.action
    assert {video.split for video in read_videos(out)} == {"train"}


def test_what_a_crop_leaves_out_is_in_the_rejects(parent, tmp_path):
    out = tmp_path / "out"
    applied(parent, out, Crop(least=0.5, most=0.7))
    told = read_rejects(out / "rejects.jsonl")
    assert told
    assert all(row.stage == "augment" and row.code and row.reason and row.action for row in told)
    named = {row.item.split()[-1] for row in told}
    kept = {row.provenance.inputs[0] for row in rows(out, "streaming_qa/qa", StreamingQA)}
    made = {row.parent_id for row in maps_of(out)}
    asked = {row.id for row in rows(parent, "streaming_qa/qa", StreamingQA) if row.video_id in made}
    assert asked <= named | kept
    assert set(maps_of(out)[0].invalidated) <= named


def test_every_record_names_parent_operations_seed_and_map(parent, slowed):
    out, _ = slowed
    maps = {row.video_id: row for row in maps_of(out)}
    parents = {video.id: video for video in read_videos(parent)}
    assert maps.keys() == {video.id for video in read_videos(out)}
    for video in read_videos(out):
        row = maps[video.id]
        assert [json.loads(part)["kind"] for part in row.operation.split(" + ")] == ["speed", "freeze"]
        assert row.parent_id in parents
        low, high = row.time_map.source
        assert (low, high) == (0, parents[row.parent_id].duration_ns)
        assert round(row.time_map.target[1]) == video.duration_ns
        assert video.split == parents[row.parent_id].split
    for table, model in DATASETS:
        before = {row.id: row for row in rows(parent, table, model)}
        for row in rows(out, table, model):
            assert before[row.provenance.inputs[0]].video_id == maps[row.video_id].parent_id
            assert row.provenance.seed == maps[row.video_id].seed


def test_every_question_can_be_mapped_back(parent, slowed):
    """From what is on the disk alone: through the maps, an augmented instant is the parent's again."""
    out, _ = slowed
    showings = open_showings(out)
    before = {row.id: row for row in rows(parent, "streaming_qa/qa", StreamingQA)}
    found = rows(out, "streaming_qa/qa", StreamingQA)
    for row in found:
        view = showings[row.video_id].view
        source, there = view.back(row.ask_ns)
        old = before[row.provenance.inputs[0]]
        assert source == old.video_id
        # A question stands at a frame, and no frame was lost, so it is asked at the very same one.
        assert abs(there - old.ask_ns) <= 1
        assert view.instants(source, old.ask_ns) == [(0, row.ask_ns)]
    assert len(found) > 10


def test_frames_are_read_through_the_written_maps(slowed):
    showings = open_showings(slowed[0])
    for name, showing in list(showings.items())[:2]:
        clock = clock_of(slowed[0], next(video for video in read_videos(slowed[0]) if video.id == name))
        assert np.array_equal(clock.t_ns, showing.view.clock.t_ns)
        some = np.linspace(0, len(clock) - 1, 12).astype(int)
        pictures = showing.frames(clock.t_ns[some].tolist(), decoder="pyav")
        assert [frame_number(picture) for picture in pictures] == showing.view.frame_of[some].tolist()


@pytest.mark.slow
def test_a_folder_moves_with_its_parent_and_says_when_it_is_gone(parent, tmp_path):
    shutil.copytree(parent, tmp_path / "here" / "parent")
    applied(tmp_path / "here" / "parent", tmp_path / "here" / "out", Freeze())
    (tmp_path / "here").rename(tmp_path / "there")
    assert len(open_showings(tmp_path / "there" / "out")) == 3
    shutil.rmtree(tmp_path / "there" / "parent")
    with pytest.raises(AugmentError, match="which is no finished output any more; bring it back"):
        open_showings(tmp_path / "there" / "out")


@pytest.mark.slow
def test_another_copy_leaves_the_first_as_it_is(parent, slowed, tmp_path):
    applied(parent, tmp_path / "out", *SLOWED, copies=1)
    once = {video.id for video in read_videos(tmp_path / "out")}
    twice = {video.id for video in read_videos(slowed[0])}
    assert once < twice
    assert len(twice) == 2 * len(once)


OPERATIONS = (
    Speed(form="pieces"),
    Skip(form="bursts", share=0.3),
    Jitter(),
    Crop(),
    Concat(p=0.5),
    Loop(p=0.5),
    Freeze(),
    Reverse(p=0.5),
)


@pytest.mark.slow
@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=3, unique=True), st.integers(0, 99))
def test_what_is_written_is_what_is_made_on_the_fly(parent, tmp_path_factory, operations, seed):
    """The tables hold the very records that a maker gives, and the checks hold on them."""
    out = tmp_path_factory.mktemp("made") / "out"
    source = Source.open(parent)
    clips = list(source.clips())
    maker = Maker(
        pipeline=Pipeline(seed=seed, operations=tuple(operations)),
        rules=source.rules("streaming_qa"),
        talk_rules=source.rules("dialogue"),
        others=by_size(clips),
    )
    try:
        applied(parent, out, *operations, seed=seed)
    except AugmentError as error:
        assert "leaves nothing" in str(error)  # noqa: PT017 - whether chance leaves something is part of the law
        return
    written = {video.id for video in read_videos(out)}
    made = []
    for clip in clips:
        try:
            made.append(maker.make(clip, 0))
        except AugmentError:
            continue
    made = [each for each in made if each is not None and each.clip.video.id in written]
    assert [each.clip.video for each in made] == read_videos(out)
    for model, part in ((Event, "events"), (Annotation, "annotations"), (Shot, "shots"), (Keyframe, "keyframes")):
        assert [row for each in made for row in getattr(each.clip, part)] == list(
            read_table(table_path(out, model), model)
        )
    assert [row for each in made for row in each.maps] == maps_of(out)
    for (table, model), part in zip(DATASETS, ("questions", "dialogues"), strict=True):
        told = {row.id: row for row in rows(out, table, model)}
        assert {row.id: row for each in made for row in getattr(each.clip, part)} == told
    assert run_checks(out, CheckConfig()).broken == 0


def start(parent, out):
    """What a killed process was about to do."""
    applied(parent, out, *SLOWED)


@pytest.fixture(scope="module")
def killers():
    """Processes that start quickly, to be killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.augment.test_folder"])
    return context


@pytest.fixture(scope="module")
def beside(parent, tmp_path_factory):
    """A folder for outputs that shall be the same to the byte: where their parent lies is told from there."""
    folder = tmp_path_factory.mktemp("beside")
    applied(parent, folder / "whole", *SLOWED)
    return folder


@pytest.mark.slow
def test_killed_at_any_moment_and_repeated_is_the_same(parent, beside, killers):
    rng, kills = random.Random(0), 20
    begun = time.monotonic()
    applied(parent, beside / "again", *SLOWED)
    whole_s = time.monotonic() - begun
    died = []
    while len(died) < kills:
        out = beside / f"killed{len(died)}"
        for _ in range(rng.randint(1, 3)):
            child = killers.Process(target=start, args=(parent, out))
            child.start()
            child.join(timeout=rng.uniform(0.1, 1.5) * whole_s)
            child.kill()
            child.join()
            died += [child.exitcode] if child.exitcode else []
        applied(parent, out, *SLOWED)
        assert tree(out) == tree(beside / "whole")
    assert set(died) == {-signal.SIGKILL}


@pytest.mark.parametrize(
    "finished_stages", [4, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 2, 3, 5, 6))]
)
def test_a_run_that_stopped_between_two_stages_goes_on(parent, beside, monkeypatch, finished_stages):
    """The moments at which a kill leaves most behind: some stages published, others not."""
    out = beside / f"stopped{finished_stages}"
    with stopped_after(finished_stages, monkeypatch):
        applied(parent, out, *SLOWED)
    assert (out / ".work").exists()
    applied(parent, out, *SLOWED)
    assert tree(out) == tree(beside / "whole")


def test_a_map_on_the_disk_is_exact(slowed):
    """Knots are rationals as text, so nothing is lost on the way."""
    for row in maps_of(slowed[0]):
        for knot in row.knots:
            assert str(Fraction(knot.source)) == knot.source
            assert str(Fraction(knot.target)) == knot.target


def test_a_broken_folder_of_sources_is_one_sentence(slowed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(slowed[0], out)
    (out / "augment" / "sources.json").write_text("{")
    with pytest.raises(DataError, match=r"sources\.json: not valid JSON"):
        open_showings(out)
