import time
from types import SimpleNamespace

import pytest

from datasets_build.core.worker import WorkerError
from tests.bench.perceive import cells, decode_all, equal_videos, profile_rows, spread, workers_rows
from tests.bench.perceive_costs import DECODE, PLACES, SCALE, Cost, Profile, cost, draw, measure, profile
from tests.bench.stages import REST, Stages


class Ticking:
    """A clock that goes on only when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_each_stage_is_charged_with_what_no_stage_inside_it_takes():
    clock = Ticking()
    stages = Stages(clock)

    def spend(seconds):
        clock.now += seconds

    def outer():
        spend(1)
        work.inner()
        spend(2)

    def rows():
        spend(8)
        yield 1
        spend(16)
        yield 2

    work = SimpleNamespace(outer=outer, inner=lambda: spend(4), rows=rows)
    before = work.inner
    with stages.timed({"outer": [(work, "outer")], "inner": [(work, "inner")], "rows": [(work, "rows")]}):
        spend(32)
        work.outer()
        for _ in work.rows():
            spend(64)
    assert dict(stages.seconds) == {"outer": 3, "inner": 4, "rows": 24, REST: 32 + 128}
    assert work.inner is before


def test_a_stage_that_fails_is_closed():
    clock = Ticking()
    stages = Stages(clock)
    work = SimpleNamespace(fail=lambda: 1 / 0)
    with stages.timed({"fails": [(work, "fail")]}):
        with pytest.raises(ZeroDivisionError):
            work.fail()
        clock.now += 5
    assert stages.seconds[REST] == 5


def test_a_cost_has_the_time_of_all_threads():
    waiting = cost(lambda: time.sleep(0.05))
    assert waiting.wall >= 0.05 > waiting.cpu
    assert Cost(3.0, 8.0).over(Cost(2.0, 2.0)) == Cost(1.5, 4.0)
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
    assert cells([Cost(1.0, 2.0)]) == "1.00 (1.00 to 1.00) | 2.00 (2.00 to 2.00)"


def test_every_stage_of_a_pass_is_seen(tmp_path):
    draw(tmp_path / "a.mp4", (320, 180), 150)
    found = profile(tmp_path / "a.mp4", tmp_path)
    assert set(found.stages) == {DECODE, *PLACES, REST}
    # A stage that nothing is charged to is one whose function has gone elsewhere.
    assert all(value > 0 for name, value in found.stages.items() if name != DECODE)
    assert found.alone > 0
    frames, ours, theirs = measure(tmp_path / "a.mp4", tmp_path, 1)
    assert (frames, len(ours), len(theirs)) == (150, 1, 1)


def test_the_table_of_stages_has_a_column_for_each_video():
    rows = profile_rows({"one": Profile(2.0, {DECODE: 2.5, SCALE: 0.5}), "two": Profile(1.0, {DECODE: 1.0, SCALE: 0})})
    assert rows == [
        "| ms of processor time a frame | one | two |",
        "| - | - | - |",
        "| decoding alone | 2.000 | 1.000 |",
        "| decode | 2.500 | 1.000 |",
        "| scale | 0.500 | 0.000 |",
        "| all stages | 3.000 | 1.000 |",
    ]


def test_a_video_that_does_not_decode_stops_the_bench(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(WorkerError, match="InvalidDataError"):
        decode_all([tmp_path / "a.mp4"], 1)


@pytest.mark.slow
def test_two_workers_do_what_one_does(tmp_path):
    out = equal_videos(tmp_path, (320, 180), copies=3, frames=30)
    rows = workers_rows(out, 1)
    assert len(rows) == 4
    for row, name in zip(rows[2:], ("perceive", "decoding alone"), strict=True):
        told, one, two, ratio = row.strip("| ").split(" | ")
        assert told == name
        assert float(one.removesuffix(" s")) > 0 < float(two.removesuffix(" s"))
        assert 0 < float(ratio.split()[0]) < 4
    assert not (out / "perceive").exists()
