import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from datasets_build.core.files import DataError
from datasets_build.perception.likeness import NUMBERS
from datasets_build.perception.shot_training.fit import Lessons, Net, fit, lesson, save
from datasets_build.perception.shot_training.material import Material, texture
from datasets_build.perception.shot_training.sequences import Gradual, Made, make_sequence
from datasets_build.perception.transition_net import OUTPUTS, load_net

MATERIAL = Material(tuple(texture(np.random.default_rng(seed)) for seed in range(4)), ())


def test_numpy_gives_what_torch_gives(tmp_path):
    torch.manual_seed(0)
    nets = [Net().eval(), Net().eval()]
    nets[0].mean.fill_(0.3)
    save(nets, tmp_path / "w.npz")
    numbers = np.random.default_rng(0).normal(size=(150, NUMBERS)).astype(np.float32)
    with torch.inference_mode():
        wanted = sum(net(torch.from_numpy(numbers)[None])[0].sigmoid().numpy() for net in nets) / 2
    assert np.allclose(load_net(tmp_path / "w.npz").run(numbers), wanted, atol=1e-5)


def test_the_same_weights_are_the_same_bytes(tmp_path):
    torch.manual_seed(0)
    net = Net()
    save([net], tmp_path / "a.npz")
    save([net], tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with pytest.raises(DataError, match="no such folder"):
        save([net], tmp_path / "nowhere/a.npz")


def test_the_truth_of_each_frame_is_what_was_made():
    frames = np.random.default_rng(0).integers(0, 256, (40, 27, 48, 3)).astype(np.uint8)
    numbers, truth = lesson(Made(frames, (7,), (Gradual(10, 19, "mix"), Gradual(25, 30, "out"))))
    assert numbers.shape == (40, NUMBERS)
    assert np.flatnonzero(truth[:, 0]).tolist() == [7]
    assert np.flatnonzero(truth[:, 1]).tolist() == [*range(10, 20), *range(25, 31)]
    assert np.flatnonzero(truth[:, OUTPUTS.index("out")]).tolist() == list(range(25, 31))
    assert not truth[:, OUTPUTS.index("in")].any()


@pytest.mark.slow
def test_it_learns():
    made = Lessons.of([lesson(make_sequence(MATERIAL, np.random.default_rng(seed))) for seed in range(96)])
    one, two = (fit(made, made, epochs=epochs, seed=0) for epochs in (1, 6))
    loss = torch.nn.BCEWithLogitsLoss()
    with torch.inference_mode():
        early, late = (float(loss(net(made.numbers.float()), made.truth)) for net in (one, two))
    assert late < 0.7 * early


def test_the_command_answers_help():
    import typer

    from datasets_build.perception.shot_training.fit import main

    app = typer.Typer()
    app.command()(main)
    answer = CliRunner().invoke(app, ["--help"])
    assert answer.exit_code == 0
    assert "--photos" in answer.output
