"""The benchmark of augmentation measures what it says: the same frames, in turn, and a row for every case."""

from fractions import Fraction

import numpy as np
import pytest

from augment.picture_settings import PictureOperation
from augment.settings import Pipeline
from augment.showing import Showing
from datasets_build.video import read
from tests.augment.folders import finished
from tests.augmentation_page import kind_of, operations
from tests.bench import augmenting
from tests.bench.augmenting import CASES, MOST, Stand, main, measure, run, seconds, spent
from tests.bench.ratios import Line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("bench") / "out", splits=("train", "train"), seconds=6)


@pytest.fixture(scope="module")
def stand(folder):
    return Stand.of(folder, fps=Fraction(1), decoder="pyav")


def test_every_change_of_time_has_a_case():
    done = {each.kind for case in CASES.values() for each in case}
    kinds = {kind_of(each) for each in operations() if not issubclass(each, PictureOperation)}
    # What is done to conversations alone reads no frame.
    assert kinds - done == {"late_answer", "interrupt", "dropped_answer", "wrong_then_corrected"}
    assert all(Pipeline(operations=case) for case in CASES.values())


@pytest.mark.parametrize("what", ["concat", "speed + skip + freeze", "reverse"])
def test_both_sides_read_the_same_frames(stand, what, monkeypatch):
    maker = stand.maker(CASES[what])
    made = maker.make(stand.clips[0], 1)
    ours = Showing(view=made.view, reels=stand.reels).frames(stand.times(made), decoder="pyav")
    found = []

    def kept(path, clock, times, *, decoder):
        found.append(read(path, clock, times, decoder=decoder).data)

    monkeypatch.setattr(augmenting, "read", kept)
    stand.baseline(made)()
    assert sum(map(len, found)) == len(ours)
    both = [sorted(picture.tobytes() for picture in pictures) for pictures in (ours, np.concatenate(found))]
    assert both[0] == both[1]


def test_a_row_for_each_case(folder):
    stand = Stand.of(folder, fps=Fraction(1), decoder="pyav", datasets=["dialogue"])
    assert stand.clips[0].dialogues
    assert not stand.clips[0].questions
    lines = run(stand, rounds=2, cases=["skip, every", "loop"])
    assert [line.what for line in lines] == ["skip, every", "loop"]
    for line in lines:
        assert line.value > 0
        assert line.most == MOST == 1.05
        assert "records" in line.ours


def test_what_is_slower_is_told(stand, monkeypatch):
    """With a clock of its own: ours takes half as much again."""
    taken = {"ours": 3.0, "baseline": 2.0}
    monkeypatch.setattr(Stand, "ours", lambda self, maker, copy: "ours")
    monkeypatch.setattr(Stand, "baseline", lambda self, made: lambda: "baseline")
    monkeypatch.setattr(augmenting, "seconds", lambda work: taken.get(work(), 0.001))
    line = measure(stand, "loop", CASES["loop"], rounds=3)
    assert line.value == 1.5
    assert not line.passed
    taken["ours"] = 2.05
    assert measure(stand, "loop", CASES["loop"], rounds=3).passed


def test_work_of_this_process_is_counted():
    def work():
        assert sum(k * k for k in range(300_000))

    before = spent()
    assert seconds(work) > 0
    assert spent() > before


def test_the_program_says_whether_all_hold(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["augmenting", "--only", "loop", "--rounds", "1"])
    monkeypatch.setattr(augmenting, "draw", lambda *args, **more: folder)
    for value, code in ((1.0, 0), (1.2, 1)):
        line = Line(what="loop", ours="1 ms", value=value, most=MOST)
        monkeypatch.setattr(augmenting, "run", lambda *args, line=line, **more: [line])
        assert main() == code
        assert ("PASS", "FAIL")[code] in capsys.readouterr().out
