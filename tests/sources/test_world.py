"""Folders of drawn videos: names, sidecars, drawing again, and what a decoder finds in them."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.config import ConfigError, load_config
from datasets_build.core.files import DataError
from datasets_build.sources import world
from datasets_build.sources.world import (
    FIXED_MTIME_S,
    RATES,
    WorldConfig,
    WorldTruth,
    draw_world,
    plan,
    read_truth,
    sidecar,
)
from datasets_build.sources.world_shapes import COLOURS

S = 1_000_000_000
SMALL = WorldConfig(videos=4, seconds=13, width=160, height=128)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return draw_world(tmp_path_factory.mktemp("worlds"), SMALL)


def content(paths: list[Path]) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for path in paths for p in (path, sidecar(path))}


def test_names_and_rates_take_turns(drawn: list[Path]):
    assert [path.name for path in drawn] == [
        *("world_000_cfr25.mp4", "world_001_cfr29_97.mp4", "world_002_cfr23_976.mp4", "world_003_vfr.mp4")
    ]
    assert [read_truth(sidecar(path)).rate for path in drawn] == ["25/1", "30000/1001", "24000/1001", "vfr"]
    assert sidecar(drawn[0]).name == "world_000_cfr25.world.json"


def test_a_sidecar_has_the_agreed_fields(drawn: list[Path]):
    row = json.loads(sidecar(drawn[0]).read_text())
    assert row["schema"] == "streamvl-world/1"
    assert (row["unit"], row["seed"], row["number"], row["rate"]) == ("ns", 0, 0, "25/1")
    assert (row["duration_ns"], row["frames"]) == (13 * S, 325)
    assert set(row["annotations"][0]) == {"start_ns", "end_ns", "is_point", "kind", "label", "subject", "text"}
    assert {fact["kind"] for fact in row["annotations"]} == {"caption"}
    assert set(row["transitions"][0]) == {"kind", "start_frame", "end_frame", "start_ns", "end_ns"}


def test_boxes_are_told_where_they_are_asked_for_and_change_nothing_else(tmp_path: Path):
    plain = WorldConfig(style="lesson", videos=1, seconds=10, width=128, height=128)
    (bare,) = draw_world(tmp_path, plain)
    before, truth = bare.read_bytes(), read_truth(sidecar(bare, "lesson"))
    (video,) = draw_world(tmp_path, plain.model_copy(update={"boxes": True}))
    assert video.read_bytes() == before
    told = read_truth(sidecar(video, "lesson"))
    assert told.annotations[: len(truth.annotations)] == truth.annotations
    assert {row.kind for row in told.annotations[len(truth.annotations) :]} == {"box"}
    assert told.spec != truth.spec
    draw_world(tmp_path, plain)
    assert read_truth(sidecar(bare, "lesson")) == truth


def test_drawing_is_reproducible_to_the_byte(drawn: list[Path], tmp_path: Path):
    assert content(draw_world(tmp_path / "again", SMALL)) == content(drawn)


def test_what_is_there_is_left_alone(drawn: list[Path]):
    before = {p: p.stat().st_ino for path in drawn for p in (path, sidecar(path))}
    assert draw_world(drawn[0].parent, SMALL) == drawn
    assert {p: p.stat().st_ino for p in before} == before


def test_modification_times_are_fixed(drawn: list[Path]):
    assert {p.stat().st_mtime for path in drawn for p in (path, sidecar(path))} == {FIXED_MTIME_S}
    assert sorted(p.name for p in drawn[0].parent.iterdir()) == sorted(content(drawn))


def test_more_videos_leave_the_first_ones_as_they_are(drawn: list[Path], tmp_path: Path):
    fewer = draw_world(tmp_path, SMALL.model_copy(update={"videos": 1}))
    assert content(fewer) == content(drawn[:1])
    assert draw_world(tmp_path, SMALL.model_copy(update={"videos": 2})) == [tmp_path / path.name for path in drawn[:2]]
    assert content([tmp_path / path.name for path in drawn[:2]]) == content(drawn[:2])
    assert draw_world(tmp_path / "none", SMALL.model_copy(update={"videos": 0})) == []


@pytest.mark.parametrize("damage", ["no video", "no sidecar", "half a sidecar", "half a video", "another sidecar"])
def test_what_is_missing_or_damaged_is_drawn_again(drawn: list[Path], tmp_path: Path, damage: str):
    only = SMALL.model_copy(update={"videos": 1})
    (video,) = draw_world(tmp_path, only)
    truth = sidecar(video)
    if damage == "no video":
        video.unlink()
    elif damage == "no sidecar":
        truth.unlink()
    elif damage == "half a sidecar":
        truth.write_bytes(truth.read_bytes()[:500])
    elif damage == "half a video":
        video.write_bytes(video.read_bytes()[:500])
    else:
        truth.write_bytes(sidecar(drawn[1]).read_bytes())
    assert content(draw_world(tmp_path, only)) == content(drawn[:1])


def test_other_settings_draw_other_videos(tmp_path: Path):
    only = SMALL.model_copy(update={"videos": 1})
    first = content(draw_world(tmp_path, only))
    assert content(draw_world(tmp_path, only.model_copy(update={"seed": 1}))) != first
    assert content(draw_world(tmp_path, only)) == first


@pytest.mark.parametrize("step", ["encode", "facts"])
def test_an_interrupted_drawing_leaves_no_half_file(
    drawn: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
):
    only = SMALL.model_copy(update={"videos": 1})
    other = only.model_copy(update={"seed": 9})
    draw_world(tmp_path, other)

    def stop(*args: object, **kwargs: object) -> None:
        if step == "encode":
            Path(args[0]).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world, step, stop)
        with pytest.raises(KeyboardInterrupt):
            draw_world(tmp_path, only)
    # Never the new video beside the old truth.
    assert [p.name for p in tmp_path.iterdir()] == ["world_000_cfr25.mp4"]
    assert content(draw_world(tmp_path, only)) == content(drawn[:1])


def test_drawn_videos_of_other_settings_are_not_mixed_in(tmp_path: Path):
    draw_world(tmp_path, SMALL.model_copy(update={"videos": 2}))
    (tmp_path / "world_cup.mp4").write_bytes(b"somebody else's")
    with pytest.raises(DataError, match=r"world_001_cfr29_97\.mp4.*delete them"):
        draw_world(tmp_path, SMALL.model_copy(update={"videos": 1}))
    with pytest.raises(DataError, match="2 drawn videos"):
        draw_world(tmp_path, SMALL.model_copy(update={"videos": 2, "vfr_share": 1.0}))


def test_broken_sidecars_are_refused_with_a_reason(drawn: list[Path], tmp_path: Path):
    path = tmp_path / "a.world.json"
    with pytest.raises(DataError, match="no such file"):
        read_truth(path)
    path.write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_truth(path)
    row = json.loads(sidecar(drawn[0]).read_text())
    for change, where in (
        ({"unit": "ms"}, "unit"),
        ({"schema": "streamvl-world/2"}, "schema"),
        ({"frames": "225"}, "frames"),
        ({"colour": "red"}, "colour"),
        ({"annotations": [{"start_ns": -1}]}, r"annotations\.0\.start_ns"),
    ):
        path.write_text(json.dumps(row | change))
        with pytest.raises(DataError, match=rf"a\.world\.json: {where}.*draw it again"):
            read_truth(path)


def test_a_truth_survives_the_round_trip(drawn: list[Path]):
    for path in drawn:
        truth = read_truth(sidecar(path))
        assert WorldTruth.model_validate_json(truth.model_dump_json(by_alias=True)) == truth
        assert truth.annotations
        assert isinstance(truth.annotations, tuple)


def decode(path: Path) -> tuple[list[int], np.ndarray]:
    """Nanoseconds after the first frame, and pictures `(frames, height, width, 3)`."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        tick = stream.time_base  # read while the container is open: afterwards it is anything
    first = frames[0].pts
    times = [int((frame.pts - first) * tick * S + Fraction(1, 2)) for frame in frames]
    return times, np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


@pytest.mark.parametrize("number", range(4))
def test_the_file_shows_what_the_truth_says(drawn: list[Path], number: int):
    truth = read_truth(sidecar(drawn[number]))
    times, _ = decode(drawn[number])
    assert len(times) == truth.frames
    assert times == plan(SMALL, number).clock.t_ns.tolist()
    for fact in truth.annotations:
        assert fact.start_ns in times
        assert fact.end_ns in times
    for join in truth.transitions:
        assert times[join.start_frame] == join.start_ns
        assert times[join.end_frame] == join.end_ns


@pytest.mark.parametrize("number", range(4))
def test_cuts_and_fades_are_seen_in_the_file(drawn: list[Path], number: int):
    light = decode(drawn[number])[1].mean(axis=(1, 2, 3))
    jumps = np.abs(np.diff(light))
    joins = read_truth(sidecar(drawn[number])).transitions
    cuts = [join.start_frame for join in joins if join.kind == "cut"]
    quiet = np.ones(len(jumps), bool)
    for join in joins:
        if join.kind == "fade":
            quiet[join.start_frame - 2 : join.end_frame + 1] = False
            assert light[join.start_frame : join.end_frame].min() < 2
            assert light[join.start_frame - 1] > 30
            assert light[join.end_frame] > 30
    assert [int(k) + 1 for k in np.flatnonzero((jumps > 20) & quiet)] == cuts


def test_some_folder_has_both_kinds_of_joins():
    kinds = {join.kind for number in range(8) for join in plan(WorldConfig(), number).script.joins}
    assert kinds == {"cut", "fade"}


@pytest.mark.parametrize("number", range(4))
def test_colours_appear_and_vanish_in_the_file_with_enter_and_leave(drawn: list[Path], number: int):
    truth = read_truth(sidecar(drawn[number]))
    times, pictures = decode(drawn[number])
    for fact in truth.annotations:
        if fact.label in {"enter", "leave"}:
            before, after = pictures[times.index(fact.start_ns) - 1], pictures[times.index(fact.end_ns)]
            paint = COLOURS[fact.subject.split()[0]]
            grown = amount(after, paint) - amount(before, paint)
            assert grown > 50 if fact.label == "enter" else grown < -50


def amount(picture: np.ndarray, paint: tuple[int, int, int]) -> int:
    """How many pixels are near a colour."""
    return int((np.abs(picture.astype(int) - paint).max(axis=2) < 40).sum())


def test_what_happens_does_not_depend_on_the_frame_rate():
    constant, variable = (plan(SMALL.model_copy(update={"vfr_share": share}), 0) for share in (0.0, 1.0))
    assert constant.script == variable.script
    assert (constant.rate, variable.rate) == (Fraction(25), None)
    assert constant.spec != variable.spec


@given(seed=st.integers(0, 2**40), seconds=st.integers(4, 60))
def test_variable_times_vary_and_fill_the_video(seed: int, seconds: int):
    clock = plan(WorldConfig(seed=seed, seconds=seconds, vfr_share=1.0), 0).clock
    lengths = np.diff([*clock.t_ns.tolist(), clock.end_ns])
    assert clock.end_ns == seconds * S
    assert lengths.max() <= 120_000_000
    assert len({int(length) for length in lengths}) > 1


@given(share=st.floats(0, 1), videos=st.integers(1, 60))
def test_the_share_of_variable_rates_is_kept(share: float, videos: int):
    config = WorldConfig(vfr_share=share)
    paces = [world._pace(config, number) for number in range(videos)]
    assert abs(paces.count("vfr") - share * videos) < 1 + 1e-6
    assert set(paces) <= {"vfr", *RATES}


@pytest.mark.parametrize(
    ("override", "message"),
    [("width=321", "even"), ("videos=-1", "videos"), ("seconds=2", "seconds"), ("vfr_share=2.0", "vfr_share")],
)
def test_impossible_settings_are_refused(override: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_config(WorldConfig, None, [override])


def test_pauses_are_longer_than_any_frame():
    # Else two moves could fuse on the grid.
    for number in range(3):
        clock = plan(WorldConfig(vfr_share=1.0), number).clock
        assert max(b - a for a, b in pairwise(clock.t_ns.tolist())) < world.VFR_HICCUP * S // 600 + 2
