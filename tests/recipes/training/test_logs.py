import json
import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recipes.training.flops import Flops
from recipes.training.logs import CURVES, TIMED, Journal, Noted, drop_lines, read_curves
from recipes.training.peak import Peak
from recipes.training.step import Taken


def noted(step, *, loss=2.0, skipped=0):
    taken = Taken(
        loss=loss,
        losses={"answer": loss / 2, "decision": loss / 2},
        states=torch.tensor([[4.0, 3.0, 4.0], [0.0, 0.0, 0.0], [1.0, 0.0, 2.0]], dtype=torch.float64),
        sources={},
        grad_norm=1.5,
        tokens=100,
        supervised=10,
        flops=Flops(model=1e6, hardware=2e6),
        stop=False,
    )
    return Noted(step=step, taken=taken, rates={"language": 1e-3}, sources={"captions": 1.25}, skipped=skipped)


def journal(folder, *, steps=10, every=1):
    return Journal(folder, steps=steps, every=every, peak=Peak(flops=1e9, source="of a made-up sheet"))


def test_a_line_tells_every_curve(tmp_path):
    with journal(tmp_path).opened(0, "stage") as kept:
        kept.note(noted(1, skipped=3), waited_s=0.0)
    (line,) = read_curves(tmp_path)
    assert line["losses"] == {"answer": 1.0, "decision": 1.0}
    assert line["decisions"] == {
        "silence": {"loss": 1.0, "right": 0.75, "count": 4},
        "respond": {"loss": 0.5, "right": 0.0, "count": 2},
    }
    assert (line["step"], line["skipped"], line["lr"]) == (1, 3, {"language": 0.001})
    assert line["tokens_per_s"] == pytest.approx(100 / line["seconds"])
    assert line["mfu"] == pytest.approx(1e6 / line["seconds"] / 1e9)
    assert line["hardware_share"] == pytest.approx(2 * line["mfu"])
    assert (line["peak_tflops"], line["peak_source"]) == (0.001, "of a made-up sheet")
    assert set(TIMED) < set(line)


def test_lines_come_every_so_often_and_at_the_end_with_speeds_of_what_lies_between(tmp_path):
    with journal(tmp_path, every=4).opened(0, "stage") as kept:
        for step in range(1, 11):
            kept.note(noted(step, loss=float(step)), waited_s=0.0)
    lines = read_curves(tmp_path)
    assert [(line["step"], line["loss"]) for line in lines] == [(4, 4.0), (8, 8.0), (10, 10.0)]
    assert [round(line["tokens_per_s"] * line["seconds"]) for line in lines] == [400, 400, 200]


def test_waiting_for_data_has_its_share(tmp_path):
    with journal(tmp_path).opened(0, "stage") as kept:
        kept.note(noted(1), waited_s=1000.0)
        kept.note(noted(2), waited_s=0.0)
    assert [line["data_share"] for line in read_curves(tmp_path)] == [1.0, 0.0]


@settings(max_examples=25)
@given(written=st.integers(0, 6), after=st.integers(0, 7), torn=st.sampled_from(["", '{"step": 7', '{"step"\n', "3\n"]))
def test_going_on_keeps_what_stands_before_the_checkpoint_once(tmp_path_factory, written, after, torn):
    path = tmp_path_factory.mktemp("curves") / CURVES
    lines = [json.dumps({"step": step}) + "\n" for step in range(1, written + 1)]
    path.write_text("".join(lines) + torn)
    drop_lines(path, after=after)
    assert path.read_text() == "".join(lines[:after])


def test_a_run_that_goes_on_writes_each_step_once(tmp_path):
    for begin, end in ((0, 5), (3, 6), (6, 6), (0, 1)):
        with journal(tmp_path).opened(begin, "stage") as kept:
            for step in range(begin + 1, end + 1):
                kept.note(noted(step), waited_s=0.0)
        assert [line["step"] for line in read_curves(tmp_path)] == list(range(1, end + 1))


def test_tensorboard_gets_the_same_numbers(tmp_path):
    with journal(tmp_path).opened(0, "stage") as kept:
        for step in (1, 2):
            kept.note(noted(step, loss=float(step)), waited_s=0.0)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [(1, 1.0), (2, 2.0)]
    assert {"losses/answer", "sources/captions", "decisions/respond/right", "lr/language", "mfu"} <= set(
        board.Tags()["scalars"]
    )


def test_a_pipe_gets_a_line_at_the_end(tmp_path, caplog):
    with caplog.at_level(logging.INFO), journal(tmp_path, steps=2).opened(0, "stage") as kept:
        kept.note(noted(1), waited_s=0.0)
        kept.note(noted(2, skipped=4), waited_s=0.0)
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("step 2 of 2: loss 2.0000, ")
    assert "4 skipped" in told
    assert told.endswith(" % of a made-up sheet")
