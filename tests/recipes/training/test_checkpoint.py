import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from recipes.errors import CheckpointError
from recipes.training import checkpoint
from recipes.training.cursor import Cursor
from recipes.training.random_state import random_state
from tests.recipes.training.feeds import config_of

CONFIG = config_of("out")


class Small(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.one = nn.Linear(width, 2)
        self.two = nn.Linear(2, 2).requires_grad_(False)


def saved_of(step=5, **changes):
    given = {
        "stage": "align",
        "step": step,
        "cursor": Cursor(epoch=1, step=2, skipped=("x",)),
        "settings": checkpoint.settings_of(CONFIG),
        "began": "f",
        "processes": 1,
        "sharded": False,
        "files": {},
    }
    return checkpoint.Saved(**(given | changes))


def write(folder, step=5, *, keep=2, model=None):
    model = model or Small()
    aside = checkpoint.begin(folder, step)
    checkpoint.write_weights(aside, model, torch.optim.AdamW([w for w in model.parameters() if w.requires_grad]))
    checkpoint.write_random(aside, [random_state()])
    return checkpoint.publish(aside, saved_of(step), keep=keep)


def test_what_is_written_is_found_and_read(tmp_path):
    model = Small()
    path = write(tmp_path, model=model)
    assert path.name == "checkpoint-000005"
    found, saved = checkpoint.newest(tmp_path)
    assert found == path
    assert saved.cursor == Cursor(epoch=1, step=2, skipped=("x",))
    assert saved.settings == checkpoint.settings_of(CONFIG)
    assert json.loads((path / "state.json").read_text())["config_sha256"] == saved.digest
    assert saved.files.keys() == {"model.safetensors", "optimizer.pt", "random.pt"}
    other = Small()
    checkpoint.put_weights(path, other)
    assert torch.equal(other.one.weight, model.one.weight)
    assert not torch.equal(other.two.weight, model.two.weight)
    assert checkpoint.read_random(path, 0).keys() == random_state().keys()
    assert checkpoint.read_random(path, 1) is None


def test_only_the_newest_stay_and_what_was_not_finished_counts_for_nothing(tmp_path):
    for step in (5, 10, 15, 1_000_000):
        write(tmp_path, step)
    checkpoint.begin(tmp_path, 1_000_001)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["checkpoint-000015", "checkpoint-1000000"]
    assert checkpoint.newest(tmp_path)[1].step == 1_000_000
    write(tmp_path, 1_000_001)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1000000", "checkpoint-1000001"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "random.pt", "state.json"])
@pytest.mark.parametrize("fault", ["cut", "gone"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, name, fault):
    write(tmp_path, 5)
    path = write(tmp_path, 10) / name
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-1][: path.stat().st_size // 2])
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match="delete"):
        checkpoint.read_saved(path.parent)
    assert checkpoint.newest(tmp_path)[1].step == 5
    shutil.rmtree(tmp_path / "checkpoint-000005")
    assert checkpoint.newest(tmp_path) is None


@pytest.mark.parametrize("state", ["[]", "{}", '{"format": 2}', '{"format": 1, "stage": "align"}', "3"])
def test_a_strange_state_is_refused(tmp_path, state):
    path = write(tmp_path)
    (path / "state.json").write_text(state)
    with pytest.raises(CheckpointError, match=r"state\.json"):
        checkpoint.read_saved(path)


@settings(max_examples=40)
@given(name=st.sampled_from(sorted(checkpoint.settings_of(CONFIG))))
def test_a_changed_setting_is_allowed_refused_or_none_of_this_stages_business(tmp_path_factory, name):
    path = tmp_path_factory.getbasetemp() / "checkpoint-000005"
    now = checkpoint.settings_of(CONFIG)
    then = saved_of(settings=now | {name: "other"})
    free = {"name", "out", "threads", "peak_tflops", "license", "data.cache", "data.workers"}
    free |= {f"align.{field}" for field in ("steps", "save_every", "keep", "log_every")}
    if name.startswith(("stream.", "interact.")):
        assert checkpoint.check_same(then, path, settings=now, began="f", stage="align") == []
    elif name in free or name.startswith(("evaluate.", "serve.")):
        told = checkpoint.check_same(then, path, settings=now, began="f", stage="align")
        assert told == [f"{name}: other → {now[name]}"]
    else:
        with pytest.raises(CheckpointError, match="other settings") as error:
            checkpoint.check_same(then, path, settings=now, began="f", stage="align")
        assert f"({name}: other → {now[name]})" in str(error.value)


def test_another_stage_and_another_beginning_are_refused(tmp_path):
    now = checkpoint.settings_of(CONFIG)
    with pytest.raises(CheckpointError, match="is of stage align, expected stream"):
        checkpoint.check_same(saved_of(), tmp_path, settings=now, began="f", stage="stream")
    with pytest.raises(CheckpointError, match="the model or the data that the stage began with has changed"):
        checkpoint.check_same(saved_of(), tmp_path, settings=now, began="g", stage="align")


def test_another_architecture_is_refused_by_name(tmp_path):
    path = write(tmp_path)
    with pytest.raises(CheckpointError, match=r"one\.weight is \(2, 3\) float32, expected \(2, 4\) float32"):
        checkpoint.put_weights(path, Small(4))
    thawed = Small().requires_grad_()
    with pytest.raises(CheckpointError, match=r"two\.bias is absent, expected \(2,\) float32"):
        checkpoint.put_weights(path, thawed)
    frozen = Small()
    frozen.one.requires_grad_(False)
    with pytest.raises(CheckpointError, match=r"one\.bias is \(2,\) float32, expected absent"):
        checkpoint.put_weights(path, frozen)


@settings(max_examples=20)
@given(place=st.integers(0, 3), scale=st.floats(1.01, 2))
def test_the_fingerprint_of_a_beginning_sees_every_part_and_what_trains(place, scale):
    torch.manual_seed(1)
    model = Small()
    before = checkpoint.begin_digest(model)
    with torch.no_grad():
        model.one.weight.flatten()[place] *= scale
        between = checkpoint.begin_digest(model)
        model.two.weight.flatten()[place] *= scale
        after = checkpoint.begin_digest(model)
    model.two.requires_grad_(not model.two.weight.requires_grad)
    assert len({before, between, after, checkpoint.begin_digest(model)}) == 4
