from dataclasses import replace

import numpy as np
import pytest

from datasets_build.core.files import DataError
from datasets_build.perception.likeness import NUMBERS
from datasets_build.perception.transition_net import WEIGHTS, NetStream, TransitionNet, load_net


def rewritten(path, change):
    with np.load(WEIGHTS) as data:
        arrays = dict(data)
    change(arrays)
    np.savez(path, **arrays)
    return path


def test_the_weights_that_ship_are_small_and_of_two_networks():
    assert WEIGHTS.stat().st_size <= 2 * 2**20
    assert len(load_net().members) == 2
    assert load_net().reach == 64


def test_outputs_are_chances_and_depend_on_no_frame_beyond_the_reach():
    net, rng = load_net(), np.random.default_rng(0)
    numbers = rng.normal(size=(300, NUMBERS)).astype(np.float32)
    whole = net.run(numbers)
    assert whole.shape == (300, 4)
    assert ((whole >= 0) & (whole <= 1)).all()
    part = net.run(numbers[50:250])
    assert np.allclose(part[64:-64], whole[114:186], atol=1e-5)
    changed = numbers.copy()
    changed[200] += 5
    assert np.allclose(net.run(changed)[: 200 - 64], whole[: 200 - 64], atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half"])
def test_what_is_no_file_of_weights_is_named(tmp_path, content):
    path = tmp_path / "w.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"w\.npz: cannot be read as weights of the shot detector"):
        load_net(path)


def test_a_missing_array_and_another_size_are_named(tmp_path):
    lost = rewritten(tmp_path / "lost.npz", lambda arrays: arrays.pop("0.exit"))
    with pytest.raises(DataError, match="cannot be read as weights"):
        load_net(lost)
    other = rewritten(tmp_path / "other.npz", lambda arrays: arrays.update({"1.entry": arrays["1.entry"][:50]}))
    with pytest.raises(DataError, match=f"is for 50 numbers a frame, expected {NUMBERS}"):
        load_net(other)


def test_the_mean_of_members_counts(tmp_path):
    same = {f"1.{name.split('.', 1)[1]}": value for name, value in np.load(WEIGHTS).items() if name.startswith("0.")}

    def doubled(arrays):
        for name in [name for name in arrays if name.startswith("1.")]:
            del arrays[name]
        arrays.update(same)

    twice = load_net(rewritten(tmp_path / "twice.npz", doubled))
    numbers = np.random.default_rng(0).normal(size=(40, NUMBERS)).astype(np.float32)
    assert np.allclose(twice.run(numbers), TransitionNet(twice.members[:1], twice.digest).run(numbers), atol=1e-6)


@pytest.mark.parametrize("sizes", [(300,), (96, 128, 76), (1, 2, 3, 294), (0, 40, 0, 200, 60, 0)])
def test_numbers_that_come_in_parts_have_the_chances_of_the_whole(sizes):
    net, numbers = load_net(), np.random.default_rng(3).normal(size=(300, NUMBERS)).astype(np.float32)
    stream, told, taken = NetStream(net), [], 0
    for k, size in enumerate(sizes):
        told.append(stream.feed(numbers[taken : taken + size], final=k == len(sizes) - 1))
        taken += size
        # What is told is all that is certain, and no more.
        assert sum(map(len, told)) == (300 if k == len(sizes) - 1 else max(0, taken - net.reach))
    assert np.allclose(np.concatenate(told), net.run(numbers), atol=1e-6)


def test_members_of_unequal_reach_wait_for_each_other():
    member = load_net().members[0]
    nearer = replace(member, blocks=member.blocks[:3])
    net, numbers = TransitionNet((member, nearer), ""), np.random.default_rng(4).normal(size=(200, NUMBERS))
    stream = NetStream(net)
    first = stream.feed(numbers[:150].astype(np.float32), final=False)
    assert len(first) == 150 - net.reach
    rest = stream.feed(numbers[150:].astype(np.float32), final=True)
    assert np.allclose(np.concatenate([first, rest]), net.run(numbers.astype(np.float32)), atol=1e-6)
