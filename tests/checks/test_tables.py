"""Laws of the perceived tables and the annotations: each clause finds its fault, on written tables and in memory."""

import shutil

import pytest

from datasets_build.checks.laws import Known, Ledger
from datasets_build.checks.tables import KEYFRAME_LAWS, SHOT_LAWS, SIGNAL_LAWS, TableRun, follow_breaches, tile_breaches
from datasets_build.checks.walk import Atlas
from datasets_build.core.perceived import Keyframe, Scene, Shot, Signals
from datasets_build.core.records import Annotation
from datasets_build.core.table import read_table
from tests.builders.made import MS, bare, clock_from, keyframes_at, lively, shots_at, signals_of, video_of, write_out
from tests.checks.planted import edit, swap, within

CLOCK = clock_from([40] * 9)
VIDEO = video_of("v", CLOCK)
SHOTS = shots_at(VIDEO, CLOCK, [4, 7])
KNOWN = Known(VIDEO, CLOCK, {}, shots={shot.id: shot for shot in SHOTS})
(KEY,) = keyframes_at(VIDEO, CLOCK, SHOTS, [5])
PART = signals_of(VIDEO, CLOCK, [0, 3, 6])


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    scenes = [within(lively("a", seconds=12)), bare("b"), within(lively("c", seconds=12, split="test"))]
    return write_out(tmp_path_factory.mktemp("tables") / "out", scenes)


@pytest.fixture
def out(good, tmp_path):
    return shutil.copytree(good, tmp_path / "out")


def judged(out):
    ledger = Ledger(99)
    run = TableRun(out, Atlas(out), ledger)
    run.annotations()
    run.perceived()
    return ledger


def broken(out):
    return {name for name, count in judged(out).broken.items() if count}


def test_good_tables_break_nothing(good):
    ledger = judged(good)
    assert ledger.violations == []
    laws = {law.name for law in (*SHOT_LAWS, *KEYFRAME_LAWS, *SIGNAL_LAWS)} | {
        "shots_tile",
        "scenes_tile",
        "signals_follow",
    }
    assert laws | {"time_inside", "time_ordered", "time_on_grid", "ids_unique"} <= set(ledger.checked)


def column(name, change):
    return lambda row: tuple(change(k, value) for k, value in enumerate(getattr(row, name)))


@pytest.mark.parametrize(
    ("model", "update", "laws"),
    [
        (
            Shot,
            {"start_ns": lambda r: r.start_ns + 1},
            {"time_on_grid", "shot_frames", "keyframe_in_shot", "shot_transition"},
        ),
        (Shot, {"start_frame": lambda r: r.start_frame + 1}, {"shot_frames", "shots_tile"}),
        (Shot, {"end_ns": lambda r: r.start_ns}, {"shot_frames", "keyframe_in_shot", "scenes_tile"}),
        (Shot, {"ordinal": 7}, {"shots_tile"}),
        (Shot, {"transition": "first"}, {"shots_tile"}),
        (Shot, {"transition": "dissolve"}, {"shot_transition"}),
        (Shot, {"transition_end_ns": lambda r: r.end_ns}, {"shot_transition"}),
        (Scene, {"start_ns": lambda r: r.start_ns + 1}, {"time_on_grid", "scenes_tile"}),
        (Scene, {"end_ns": 10**13}, {"time_inside", "scenes_tile"}),
        (Scene, {"start_frame": lambda r: r.start_frame + 1}, {"scenes_tile"}),
        (Scene, {"end_frame": lambda r: r.end_frame + 1}, {"scenes_tile"}),
        (Scene, {"ordinal": 7}, {"scenes_tile"}),
        (Scene, {"shot_ids": ()}, {"scenes_tile"}),
        (Scene, {"shot_ids": lambda r: (*r.shot_ids[:-1], "nobody")}, {"scenes_tile"}),
        (Scene, {"shot_ids": lambda r: (*r.shot_ids, r.shot_ids[0])}, {"scenes_tile"}),
        (Keyframe, {"t_ns": lambda r: r.t_ns + 10**12}, {"time_inside", "keyframe_in_shot"}),
        (Keyframe, {"frame_index": lambda r: r.frame_index + 1}, {"keyframe_in_shot"}),
        (Keyframe, {"shot_id": "nobody"}, {"keyframe_in_shot"}),
        (Signals, {"t_ns": column("t_ns", lambda k, t: t - (k == 5))}, {"signals_sampled"}),
        (Signals, {"luma": lambda r: r.luma[1:]}, {"signals_sampled"}),
        (Signals, {"ordinal": 1}, {"signals_follow"}),
        (Annotation, {"start_ns": 10**13, "end_ns": 10**13}, {"time_inside"}),
    ],
)
def test_a_planted_fault_is_found_in_its_file(out, model, update, laws):
    file = {
        Shot: "perceive/shots.parquet", Keyframe: "perceive/keyframes.parquet", Signals: "perceive/signals.parquet",
        Annotation: "index/annotations.parquet", Scene: "perceive/scenes.parquet",
    }[model]  # fmt: skip
    edit(out, file, model, lambda rows: swap(rows, lambda r: model is not Shot or r.ordinal == 1, **update))
    ledger = judged(out)
    assert {name for name, count in ledger.broken.items() if count} == laws
    assert file in {row.file for row in ledger.violations}
    assert swap.id in {row.record for row in ledger.violations}


def test_a_lost_shot_a_second_row_and_a_stranger_are_found(out):
    file = "perceive/shots.parquet"
    edit(out, file, Shot, lambda rows: rows[1:])
    assert {"shots_tile", "keyframe_in_shot"} <= broken(out)
    edit(out, "perceive/signals.parquet", Signals, lambda rows: [rows[0], *rows])
    assert {"ids_unique", "signals_follow"} <= broken(out)
    edit(out, "index/annotations.parquet", Annotation, lambda rows: [rows[0].model_copy(update={"video_id": "x"})])
    assert "references_resolve" in broken(out)


def test_lost_joined_and_strange_scenes_are_found(good, tmp_path):
    """One that is gone, of the first, the last and the only one; one whose shots another has; one of another video."""
    file, rows = "perceive/scenes.parquet", list(read_table(good / "perceive/scenes.parquet", Scene))
    alone = next(k for k, row in enumerate(rows) if sum(other.video_id == row.video_id for other in rows) == 1)
    for k in (0, alone, len(rows) - 1):
        out = shutil.copytree(good, tmp_path / f"{k}")
        edit(out, file, Scene, lambda rows, k=k: [*rows[:k], *rows[k + 1 :]])
        assert broken(out) == {"scenes_tile"}
    out = shutil.copytree(good, tmp_path / "twice")
    edit(out, file, Scene, lambda rows: [rows[0], *rows])
    assert broken(out) == {"ids_unique", "scenes_tile"}
    out = shutil.copytree(good, tmp_path / "strange")
    edit(out, file, Scene, lambda rows: [rows[0].model_copy(update={"video_id": "x"}), *rows[1:]])
    assert broken(out) == {"references_resolve", "scenes_tile"}


def test_a_folder_without_scenes_breaks_nothing(out):
    (out / "perceive/scenes.parquet").unlink()
    assert judged(out).violations == []


def test_a_table_that_cannot_be_read_is_found(out):
    (out / "perceive/signals.parquet").write_bytes(b"no table")
    assert broken(out) == {"file_readable"}


@pytest.mark.parametrize(
    ("shots", "faulty"),
    [
        (SHOTS, []),
        (SHOTS[:-1], [1]),
        ([SHOTS[0], SHOTS[2]], [1]),
        (SHOTS[1:], [0, 1]),
        ([], []),
    ],
)
def test_shots_that_do_not_tile(shots, faulty):
    found = list(tile_breaches(shots, CLOCK))
    assert [made for made, _ in found] == [shot.id for shot in shots]
    assert [k for k, (_, breaches) in enumerate(found) if breaches] == faulty


@pytest.mark.parametrize(
    ("update", "count"),
    [
        ({}, 0),
        ({"start_frame": 3}, 1),
        ({"end_frame": 4}, 1),
        ({"end_frame": 11}, 1),
        ({"start_ns": 0, "end_ns": 0}, 2),
    ],
)
def test_frames_and_times_of_a_shot_agree(update, count):
    law = next(law for law in SHOT_LAWS if law.name == "shot_frames")
    assert len(list(law.breaches(SHOTS[1].model_copy(update=update), KNOWN))) == count


SLOW = SHOTS[1].model_copy(
    update={"transition": "dissolve", "transition_start_ns": 80 * MS, "transition_end_ns": 200 * MS}
)


@pytest.mark.parametrize(
    ("shot", "update", "found"),
    [
        (SLOW, {}, []),
        (SLOW, {"transition": "fade_through"}, []),
        (SLOW, {"transition_end_ns": SLOW.start_ns}, []),
        (SLOW, {"transition_end_ns": 400 * MS}, []),
        (SLOW, {"transition_end_ns": 440 * MS}, ["inside", "440000000"]),
        (SLOW, {"transition_start_ns": 200 * MS}, ["around", "an empty"]),
        (SLOW, {"transition_end_ns": 120 * MS}, ["around"]),
        (SLOW, {"transition_start_ns": 81 * MS}, ["transition_start_ns 81000000"]),
        (SLOW, {"transition_end_ns": 201 * MS}, ["transition_end_ns 201000000"]),
        (SLOW, {"transition": "cut"}, ["of a cut"]),
        (SLOW, {"transition": "first"}, ["of a first"]),
        (SHOTS[1], {}, []),
        (SHOTS[1], {"transition": "fade_through"}, []),
        (SHOTS[1], {"transition": "fade_to_black"}, ["an empty transition span"]),
        (SHOTS[1], {"transition_start_ns": 120 * MS, "transition_end_ns": 120 * MS}, ["around"]),
    ],
)
def test_the_span_of_a_transition_lies_around_the_beginning_of_its_shot(shot, update, found):
    law = next(law for law in SHOT_LAWS if law.name == "shot_transition")
    breaches = list(law.breaches(shot.model_copy(update=update), KNOWN))
    assert len(breaches) == len(found)
    for breach, words in zip(breaches, found, strict=True):
        assert words in f"{breach.found}, expected {breach.expected}"


@pytest.mark.parametrize(
    ("update", "found"),
    [
        ({}, []),
        ({"frame_index": -1}, ["frame_index -1"]),
        ({"frame_index": 10}, ["frame_index 10"]),
        ({"frame_index": 8, "t_ns": 320 * MS}, [f"t_ns {320 * MS}"]),
        ({"shot_id": SHOTS[0].id}, [f"t_ns {200 * MS}"]),
    ],
)
def test_a_keyframe_lies_in_its_shot(update, found):
    (law,) = KEYFRAME_LAWS
    assert [breach.found for breach in law.breaches(KEY.model_copy(update=update), KNOWN)] == found


@pytest.mark.parametrize(
    ("t_ns", "found"),
    [
        (PART.t_ns, []),
        ((0, 120 * MS, 120 * MS), [f"t_ns.2 {120 * MS}"]),
        ((0, 240 * MS, 120 * MS), [f"t_ns.2 {120 * MS}"]),
        ((0, 121 * MS, 240 * MS), [f"t_ns.1 {121 * MS}"]),
        ((0, 120 * MS, CLOCK.end_ns), [f"t_ns.2 {CLOCK.end_ns}"]),
        ((0, 120 * MS), ["2 times, luma 3, contrast 3, motion 3, complexity 3, pan_x 3, pan_y 3, zoom 3"]),
    ],
)
def test_samples_lie_on_frames_in_order(t_ns, found):
    (law,) = SIGNAL_LAWS
    assert [breach.found for breach in law.breaches(PART.model_copy(update={"t_ns": t_ns}), KNOWN)] == found


def test_signals_without_a_sample_are_found():
    (law,) = SIGNAL_LAWS
    columns = dict.fromkeys(("t_ns", "luma", "contrast", "motion", "complexity", "pan_x", "pan_y", "zoom"), ())
    (breach,) = law.breaches(PART.model_copy(update=columns), KNOWN)
    assert breach.found == "0 times, no values"


def test_stretches_follow_each_other():
    later = PART.model_copy(update={"ordinal": 1, "t_ns": (280 * MS, 320 * MS)})
    assert [breaches for _, breaches in follow_breaches([PART, later])] == [[], []]
    again = later.model_copy(update={"t_ns": (240 * MS,)})
    assert [len(breaches) for _, breaches in follow_breaches([PART, again])] == [0, 1]
    assert [len(breaches) for _, breaches in follow_breaches([later, PART])] == [1, 2]
