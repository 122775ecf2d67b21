"""Augmented videos for training: the same item for the same epoch, whoever asks; other ones in the next; none lost."""

import pickle
import re
import shutil
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from augment.dataset import NOTHING, AugmentedDataset
from augment.errors import AugmentError
from augment.maker import Maker
from augment.picture_settings import Colour, Noise
from augment.settings import Concat, Crop, Freeze, Loop, Pipeline, Reverse, Skip, Speed
from augment.source import Source
from datasets_build.core.layout import read_videos
from tests.augment.folders import applied, finished, maps_of, tree
from tests.drawn import frame_number

MIXED = Pipeline(
    seed=5,
    copies=2,
    operations=(Speed(form="pieces", p=0.6), Skip(form="bursts", p=0.5), Freeze(p=0.5), Concat(p=0.3)),
)


def told(item):
    """All that decides an item, as text."""
    clip = item.clip
    rows = (clip.video, *clip.events, *clip.questions, *clip.dialogues, *clip.annotations, *item.maps, *item.left)
    records = "\n".join(row.model_dump_json() for row in rows)
    return (records, item.copy, item.camera, item.reason, item.times_ns.tolist(), item.pixels.numpy().tobytes())


def one(items):
    """A collation that leaves items as they are."""
    (item,) = items
    return item


@pytest.fixture(scope="module")
def mixed(parent):
    return AugmentedDataset(parent, MIXED, fps=Fraction(1, 2), decoder="pyav")


def test_an_item_is_a_clip_with_its_frames(mixed):
    assert len(mixed) == 4
    augmented = 0
    for k in range(len(mixed)):
        item = mixed[k]
        augmented += item.is_augmented
        view = item.showing.view
        assert item.clip.video.id in {row.video_id for row in item.maps} | {clip.video.id for clip in mixed.clips}
        assert {row.video_id for row in (*item.clip.events, *item.clip.questions)} == {item.clip.video.id}
        assert item.pixels.dtype == torch.uint8
        assert item.times_ns.dtype == torch.int64
        assert item.pixels.shape == (len(item.times_ns), 48, 64, 3)
        numbers = [frame_number(picture) for picture in item.pixels.numpy()]
        assert numbers == [view.frame_of[view.clock.index_at(t)] for t in item.times_ns.tolist()]
        assert np.array_equal(item.frames(item.times_ns.tolist()[:2]), item.pixels[:2].numpy())
        assert bool(item.reason) == (not item.is_augmented)
    assert augmented


def test_records_that_nobody_trains_on_are_not_made(parent, mixed):
    talk = AugmentedDataset(parent, MIXED, datasets=["dialogue"])
    for k in range(len(talk)):
        mine, whole = talk[k], mixed[k]
        assert not mine.clip.questions
        assert [row.model_dump() for row in mine.clip.dialogues] == [row.model_dump() for row in whole.clip.dialogues]
        assert mine.clip.events == whole.clip.events
    assert any(mixed[k].clip.questions and mixed[k].clip.dialogues for k in range(len(mixed)))
    with pytest.raises(AugmentError, match="found no dataset talk, expected of streaming_qa"):
        AugmentedDataset(parent, MIXED, datasets=["talk"])


def test_an_epoch_draws_anew_and_comes_back(mixed):
    epochs = []
    for epoch in (0, 1, 0):
        mixed.set_epoch(epoch)
        assert mixed.epoch == epoch
        assert [mixed[k].copy for k in range(4)] == [2 * epoch, 2 * epoch + 1] * 2
        epochs.append([told(mixed[k]) for k in range(4)])
    assert epochs[0] == epochs[2]
    assert epochs[0] != epochs[1]
    mixed.set_epoch(0)


def test_the_order_does_not_matter(mixed):
    forwards = [told(mixed[k]) for k in range(4)]
    assert [told(mixed[k]) for k in (3, 1, 0, 2)] == [forwards[k] for k in (3, 1, 0, 2)]


@pytest.mark.parametrize(
    ("workers", "decoder"), [(0, "pyav"), (2, "pyav"), pytest.param(2, "decord", marks=pytest.mark.slow)]
)
def test_any_number_of_workers_gives_the_same(parent, mixed, workers, decoder):
    data = AugmentedDataset(parent, MIXED, fps=Fraction(1, 2), decoder=decoder)
    # What this process has read before shall not be in the way of a child that is forked from it.
    _ = data[0].frames([0])
    loader = DataLoader(
        data,
        batch_size=1,
        num_workers=workers,
        collate_fn=one,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
    )
    for epoch in (0, 3):
        data.set_epoch(epoch)
        mixed.set_epoch(epoch)
        items = list(loader)
        assert [told(item)[:5] for item in items] == [told(mixed[k])[:5] for k in range(4)]
        for item in items:
            view, times = item.showing.view, item.times_ns.tolist()
            assert [frame_number(picture) for picture in item.pixels.numpy()] == [
                view.frame_of[view.clock.index_at(t)] for t in times
            ]
    mixed.set_epoch(0)


@pytest.mark.slow
def test_workers_that_start_from_nothing_give_the_same(parent, mixed):
    loader = DataLoader(
        AugmentedDataset(parent, MIXED, fps=Fraction(1, 2), decoder="pyav"),
        batch_size=2,
        num_workers=2,
        collate_fn=list,
        persistent_workers=True,
        multiprocessing_context="spawn",
    )
    for epoch in (0, 2):
        loader.dataset.set_epoch(epoch)
        mixed.set_epoch(epoch)
        assert [told(item) for batch in loader for item in batch] == [told(mixed[k]) for k in range(4)]
    mixed.set_epoch(0)


def test_it_can_be_pickled_and_so_can_its_items(mixed):
    mixed.set_epoch(1)
    again = pickle.loads(pickle.dumps(mixed))
    assert again.epoch == 1
    assert [told(again[k]) for k in range(4)] == [told(mixed[k]) for k in range(4)]
    again.set_epoch(2)
    assert mixed.epoch == 1
    item = pickle.loads(pickle.dumps(again[0]))
    assert told(item) == told(again[0])
    assert np.array_equal(item.frames([0]), again[0].frames([0]))
    mixed.set_epoch(0)


def test_the_first_epoch_is_what_is_written(parent, tmp_path):
    applied(parent, tmp_path / "out", *MIXED.operations, seed=MIXED.seed, copies=MIXED.copies)
    written = [video for video in read_videos(tmp_path / "out") if video.split == "train"]
    data = AugmentedDataset(parent, MIXED)
    items = [data[k] for k in range(len(data))]
    assert [item.clip.video for item in items if item.is_augmented] == written
    maps = {row.id: row for row in maps_of(tmp_path / "out")}
    assert all(maps[row.id] == row for item in items for row in item.maps)


def test_copies_are_those_of_the_maker(parent):
    """The seed rule: epoch and copy are one number."""
    data = AugmentedDataset(parent, Pipeline(seed=2, copies=3, operations=(Speed(), Crop(least=0.8))))
    data.set_epoch(4)
    talk_rules = Source.open(parent).rules("dialogue")
    maker = Maker(pipeline=Pipeline(seed=2, operations=(Speed(), Crop(least=0.8))), talk_rules=talk_rules)
    made = maker.make(data.clips[1], 4 * 3 + 2)
    item = data[1 * 3 + 2]
    assert item.copy == 14
    assert item.clip.video == made.clip.video
    assert item.maps == made.maps


def test_views_of_a_copy_share_its_times_and_differ_in_looks(parent):
    pipeline = Pipeline(copies=2, views=2, operations=(Speed(low=0.5, high=0.8), Colour(brightness=0.25), Noise()))
    data = AugmentedDataset(parent, pipeline, fps=Fraction(1, 2), decoder="pyav")
    assert len(data) == 8
    items = [data[k] for k in range(8)]
    assert [(item.copy, item.camera) for item in items] == [(0, 0), (0, 1), (1, 0), (1, 1)] * 2
    assert len({item.clip.video.id for item in items}) == 8
    for one, two in zip(items[::2], items[1::2], strict=True):
        assert one.showing.looks != two.showing.looks
        assert torch.equal(one.times_ns, two.times_ns)
        assert not torch.equal(one.pixels, two.pixels)
        assert [row.knots for row in one.maps] == [row.knots for row in two.maps]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Two videos of which nothing was measured, with questions alone; read only."""
    folder = finished(tmp_path_factory.mktemp("bare") / "in", splits=("train", "train"), frames=False, talk=False)
    shutil.rmtree(folder / "perceive")
    return folder


def test_no_frames_are_read_unless_they_are_asked_for(parent, monkeypatch):
    from augment import showing

    monkeypatch.setattr(showing, "read", None)
    item = AugmentedDataset(parent, MIXED)[0]
    assert len(item.times_ns) == len(item.pixels) == 0
    with pytest.raises(TypeError):
        item.frames([0])


@pytest.mark.parametrize(
    ("operations", "why"),
    [
        ((Loop(p=1e-12),), NOTHING),
        ((Crop(least=0.02, most=0.02),), "would be left"),
        ((Skip(form="motion"),), "have no measured signals"),
    ],
)
def test_what_cannot_be_augmented_comes_as_it_was_with_the_reason(bare, operations, why):
    data = AugmentedDataset(bare, Pipeline(operations=operations), fps=Fraction(2), decoder="pyav")
    for k in range(2):
        item = data[k]
        assert why in item.reason
        assert not item.is_augmented
        assert item.clip is data.clips[k]
        assert frame_number(item.pixels[1].numpy()) == data.clips[k].clock.index_at(int(item.times_ns[1]))


@pytest.mark.slow
def test_concat_with_nobody_is_no_error(tmp_path):
    folder = finished(tmp_path / "in", splits=("train",), frames=False, talk=False)
    item = AugmentedDataset(folder, Pipeline(operations=(Concat(),)))[0]
    assert "no other video of this split and size" in item.reason
    assert item.clip.questions


def test_a_file_that_is_gone_is_told_and_the_epoch_goes_on(bare, tmp_path):
    folder = shutil.copytree(bare, tmp_path / "in")
    data = AugmentedDataset(folder, Pipeline(operations=(Freeze(),)), fps=Fraction(1), decoder="pyav")
    (folder / "videos" / data.clips[0].video.uri).unlink()
    items = [data[k] for k in range(2)]
    assert "its frames cannot be read" in items[0].reason
    assert data.clips[0].video.uri in items[0].reason
    assert (len(items[0].pixels), len(items[0].times_ns)) == (0, 0)
    assert items[0].is_augmented
    assert items[1].reason == ""
    assert len(items[1].pixels) > 5


def test_only_videos_of_the_split_are_there(parent):
    assert [clip.video.split for clip in AugmentedDataset(parent, MIXED).clips] == ["train", "train"]
    (clip,) = AugmentedDataset(parent, MIXED, split="test").clips
    assert clip.video.split == "test"
    with pytest.raises(AugmentError, match="has no video of the split validation"):
        AugmentedDataset(parent, MIXED, split="validation")


def test_what_is_wrong_is_told_at_once(parent, tmp_path):
    applied(parent, tmp_path / "out", Freeze())
    with pytest.raises(AugmentError, match="is augmented already; name the folder that it came from"):
        AugmentedDataset(tmp_path / "out", MIXED)
    with pytest.raises(AugmentError, match="holds no finished index"):
        AugmentedDataset(tmp_path, MIXED)
    data = AugmentedDataset(parent, Pipeline(operations=(Reverse(),)))
    for epoch in (-1, 1.5, 2.0, "3", None, np.int64(-2)):
        with pytest.raises(AugmentError, match=r"^epoch: found .*, expected a whole number, 0 or more$") as caught:
            data.set_epoch(epoch)
        assert repr(epoch) in str(caught.value)
        assert data.epoch == 0
    data.set_epoch(np.int64(3))
    assert data.epoch == 3
    for index in (-1, len(data)):
        with pytest.raises(IndexError):
            data[index]


@pytest.mark.parametrize("decoder", ["nope", "", "PyAV", ["pyav"], None])
@pytest.mark.parametrize("fps", [None, Fraction(1)])
def test_a_decoder_that_is_not_there_is_told_at_once(parent, decoder, fps):
    with pytest.raises(AugmentError, match=r"^decoder: found .*, expected one of decord, pyav, torchcodec$") as caught:
        AugmentedDataset(parent, MIXED, fps=fps, decoder=decoder)
    assert repr(decoder) in str(caught.value)


@pytest.mark.parametrize(
    ("fps", "words"),
    [
        (2.5, "fps: found 2.5 (float), expected an exact rate; write Fraction('2.5')"),
        (2.0, "write Fraction('2.0')"),
        (1e-05, "write Fraction('1e-05')"),
        (Fraction(0), "fps: found 0 (Fraction), expected a Fraction or int above 0, or None for no frames"),
        (-1, "fps: found -1 (int), expected a Fraction or int above 0"),
        (0.0, "fps: found 0.0 (float), expected a Fraction or int above 0"),
        (float("nan"), "fps: found nan (float), expected a Fraction or int above 0"),
        (float("inf"), "fps: found inf (float), expected a Fraction or int above 0"),
        ("2", "fps: found 2 (str), expected a Fraction or int above 0"),
        (True, "fps: found True (bool), expected a Fraction or int above 0"),
    ],
)
def test_a_rate_that_is_not_exact_or_none_at_all_is_told_at_once(parent, fps, words):
    with pytest.raises(AugmentError, match=re.escape(words)):
        AugmentedDataset(parent, MIXED, fps=fps)


def test_a_whole_rate_is_the_fraction_that_it_is(parent):
    whole, same = (AugmentedDataset(parent, MIXED, fps=fps, decoder="pyav") for fps in (1, Fraction(1)))
    assert isinstance(whole.fps, Fraction)
    assert told(whole[0]) == told(same[0])
    assert len(whole[0].pixels)


def test_a_folder_may_be_named_by_text(parent):
    data, same = (AugmentedDataset(folder, MIXED, fps=1, decoder="pyav") for folder in (str(parent), parent))
    assert told(data[1]) == told(same[1])
    assert len(data[1].pixels)
    with pytest.raises(AugmentError, match=r"nowhere: holds no finished index"):
        AugmentedDataset(str(parent / "nowhere"), MIXED)


def test_the_folder_stays_as_it_is(parent):
    before = tree(parent)
    data = AugmentedDataset(parent, MIXED, fps=Fraction(1), decoder="pyav")
    _ = [data[k] for k in range(len(data))]
    assert tree(parent) == before
