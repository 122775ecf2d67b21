import json

import pytest

from datasets_build.core.files import DataError
from datasets_build.formats.loss import Losses, LossReport


def test_losses_are_counted_by_record_and_told_in_order(tmp_path):
    report = LossReport("ms-swift")
    report.lose("turn.task", "no place", "b")
    report.lose("turn.task", "no place", "a", times=2)
    report.lose("turn.task", "no place", "b")
    report.lose("turn.about", "no place", "a", times=0)
    report.lose("turn.task", "another reason", "c")
    assert [(loss.field, loss.records, loss.times, loss.example) for loss in report] == [
        ("turn.task", 2, 4, "b"),
        ("turn.task", 1, 1, "c"),
    ]
    report.write(tmp_path)
    read = Losses.read(tmp_path)
    assert read.losses == tuple(report)
    assert read.lines()[0] == "lost: turn.task: 4 in 2 records, such as b: no place"
    assert json.loads((tmp_path / "loss.json").read_text())["format"] == "ms-swift"


def test_no_loss_is_said(tmp_path):
    LossReport("hf").write(tmp_path)
    assert Losses.read(tmp_path).lines() == ["lost: nothing: hf holds all that was exported"]


@pytest.mark.parametrize("content", [None, "{}", "no json", '{"format": "hf", "losses": [{"field": 1}]}'])
def test_what_is_no_report_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "loss.json").write_text(content)
    with pytest.raises(DataError, match=r"loss\.json: not a loss report"):
        Losses.read(tmp_path)
