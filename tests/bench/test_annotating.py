"""The benchmark of annotation measures what it says, on a server in memory; bounds that are missed are told."""

from contextlib import nullcontext

import pytest

from tests.annotate.board_of_lies import BoardOfLies
from tests.bench import annotating
from tests.bench.annotating import CHANGES, LEAST, MOST, Cost, Stand, main, missing, pulled, pulls, pushed, run, whole
from tests.bench.ratios import Line

BIG, SMALL = 150, 120


def stand_of(root, items):
    board = BoardOfLies(honest=True)
    return Stand(root, items, board, lambda task: board.annotate(task, 7, ["jump"]))


@pytest.fixture
def stands(tmp_path):
    return [stand_of(tmp_path / "rounds", items) for items in (BIG, SMALL)]


def pass_time(stands):
    def sleep(seconds):
        for stand in stands:
            stand.board.pass_time(seconds)

    return sleep


def cost(wall_s, own_s=0.1, tasks=10):
    return Cost(wall_s=wall_s, own_s=own_s, tasks=tasks)


class Told:
    """A stand that costs what it is told."""

    def __init__(self, items, *, push_s=1.0, everything_s=1.0, calls=None):
        self.items, self.push_s, self.everything_s = items, push_s, everything_s
        self.calls = [] if calls is None else calls

    def push(self):
        return self.push_s

    def work(self, changes):
        self.calls.append(("work", self.items))

    def pull(self, changes, *, everything=False):
        assert not (everything and changes)
        self.calls.append(("pull", self.items))
        return cost(self.everything_s)


def test_a_row_for_each_promise(stands):
    lines = run(*stands, rounds=1, sleep=pass_time(stands))
    assert [line.what for line in lines] == [
        "push of 150 items, in seconds",
        "an item of it, against one of 120",
        "pull of 10 changes of 150 items, against 120",
        "of that not the server's: processor time of the puller",
        "pull of 100 changes of 150 items, against 120",
        "of that not the server's: processor time of the puller",
        "pull of 10 changes, against --everything of the same 150",
    ]
    assert all(line.value > 0 for line in lines)
    assert [(line.least, line.most) for line in lines if line.bounded] == [
        (None, 2.7),
        (None, MOST),
        (None, MOST),
        (LEAST * BIG / 10_000, None),
    ]
    assert "150 tasks read" in lines[-1].baseline


def test_both_sides_read_the_same_changes_and_no_push(stands):
    for stand in stands:
        stand.push()
    annotating.settle(stands, pass_time(stands))
    many, few = pulls(stands, 10, 3)
    assert [one.tasks for one in many] == [one.tasks for one in few]
    # The first with the change that let the push settle.
    assert many[0].tasks == 11
    for stand in stands:
        assert len({task.key for task in stand.board.tasks.values() if task.annotations}) == 31


def test_a_pull_that_brings_something_else_is_void(stands):
    stand = stands[1]
    stand.push()
    stand.annotate = lambda task: None
    stand.work(3)
    with pytest.raises(RuntimeError, match=r"of-120: pulled 0 new of 0 rows, expected 3"):
        stand.pull(3)


def test_all_work_before_either_pulls_and_another_begins_each_round():
    calls = []
    pulls([Told(2, calls=calls), Told(1, calls=calls)], 10, 2)
    works = [("work", 2), ("work", 1)]
    assert calls == [*works, ("pull", 2), ("pull", 1), *works, ("pull", 1), ("pull", 2)]


def test_a_slow_push_is_told():
    for push_s, passed in ((179, True), (181, False)):
        total, each = pushed(Told(10_000, push_s=push_s), Told(500, push_s=4.5))
        assert total.passed is passed
        assert each.value == pytest.approx(push_s / 180 * 2)
        assert not each.bounded
    assert not next(iter(pushed(Told(1000, push_s=19), Told(500)))).passed


def test_a_pull_that_grows_with_the_project_is_told():
    """The ratio is that of a round: the last one meets a slow machine."""
    few = [cost(1.0, 0.1), cost(1.0, 0.1), cost(9.0, 0.1)]
    for factor, passed in ((1.9, True), (2.1, False)):
        many = [cost(factor * one.wall_s, 0.5, tasks=12) for one in few]
        clock, own = pulled(Told(10_000), Told(500), 10, [many, few])
        assert clock.value == pytest.approx(factor)
        assert clock.passed is passed
        assert (clock.ours, clock.baseline) == (f"{factor:.2f} s, 12 tasks read", "1.00 s, 10 tasks read")
        assert own.value == pytest.approx(5)
        assert not own.bounded


def test_a_pull_that_costs_what_all_costs_is_told():
    for everything_s, passed in ((11.0, True), (9.0, False)):
        line = whole(Told(10_000, everything_s=everything_s), [cost(1.0)])
        assert line.value == everything_s
        assert line.passed is passed
    assert whole(Told(1000, everything_s=1.1), [cost(1.0)]).passed


def test_without_a_studio_nothing_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("STREAMVL_TEST_STUDIO", raising=False)
    monkeypatch.setenv("STREAMVL_STUDIO", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["annotating"])
    assert main() == 0
    said = capsys.readouterr().out
    assert said == f"annotating: not measured: no Label Studio in {tmp_path}/venv; `make label-studio` makes it\n"


def test_a_variable_that_points_nowhere_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMVL_TEST_STUDIO", str(tmp_path))
    with pytest.raises(SystemExit, match=r"STREAMVL_TEST_STUDIO=.*: holds no bin/label-studio"):
        missing()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "label-studio").touch()
    monkeypatch.setattr(annotating, "version", lambda name: "2.1.2")
    assert missing() is None

    def absent(name):
        raise annotating.PackageNotFoundError(name)

    monkeypatch.setattr(annotating, "version", absent)
    assert missing() == "no label-studio-sdk; `make label-studio` installs it"


def test_the_program_says_whether_all_hold(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["annotating", "--items", "20", "--small", "10", "--rounds", "0"])
    monkeypatch.setattr(annotating, "missing", lambda: None)
    monkeypatch.setattr(annotating, "served", lambda home: nullcontext())
    monkeypatch.setattr(annotating, "enter", lambda access: nullcontext())
    monkeypatch.setattr(annotating, "annotator", lambda studio: None)
    for value, code in ((1.0, 0), (3.0, 1)):
        asked = []

        def rows(big, small, *, rounds, value=value, asked=asked):
            asked.append((big.items, small.items, rounds))
            return [Line(what="pull", ours="1 s", value=value, most=MOST)]

        monkeypatch.setattr(annotating, "run", rows)
        assert main() == code
        assert ("PASS", "FAIL")[code] in capsys.readouterr().out
        assert asked == [(20, 10, 0)]


def test_a_round_too_small_for_the_work_is_refused_before_anything_starts(monkeypatch, capsys):
    monkeypatch.setattr(annotating, "missing", lambda: pytest.fail("it began"))
    needed = 1 + 3 * sum(CHANGES)
    monkeypatch.setattr("sys.argv", ["annotating", "--small", str(needed - 1), "--rounds", "3"])
    with pytest.raises(SystemExit):
        main()
    assert f"--small: found {needed - 1}, expected at least {needed} items" in capsys.readouterr().err
