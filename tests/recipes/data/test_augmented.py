"""A corpus with augmented copies behind it: the originals as they were, and the copies what a written folder holds."""

import numpy as np
import pytest

from augment.errors import AugmentError
from augment.settings import Concat, Crop, Freeze, Jitter, Loop, Pipeline, Skip, Speed
from recipes.data.augmented import with_augmented
from recipes.errors import CorpusError
from tests.augment.folders import applied, finished, tree
from tests.drawn import frame_number
from tests.recipes.data.lessons import data_config, frame_format, open_corpus

SLOWED = Pipeline(copies=2, operations=(Speed(low=0.5, high=0.8), Freeze(stalls=2)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two short drawn videos to train on and one to test on."""
    return finished(tmp_path_factory.mktemp("augmented") / "out")


def opened(folder, pipeline):
    return with_augmented(open_corpus(folder), data_config(folder), frame_format(), pipeline)


def test_the_copies_stand_behind_the_originals_and_only_in_training(folder):
    before, found = open_corpus(folder), opened(folder, SLOWED)
    for split in ("validation", "test"):
        assert [each.footage.video for each in found.materials.get(split, ())] == [
            each.footage.video for each in before.materials.get(split, ())
        ]
    ours, theirs = found.materials["train"], before.materials["train"]
    assert [each.footage.video for each in ours[: len(theirs)]] == [each.footage.video for each in theirs]
    assert len(ours) == len(theirs) * 3
    ids = [each.footage.video.id for each in ours]
    assert len(set(ids)) == len(ids)
    assert found.footage().keys() >= set(ids)
    assert found.unused == before.unused
    for copy in ours[len(theirs) :]:
        assert copy.footage.showing is not None
        rows = [*copy.questions, *copy.events, *copy.annotations, *copy.dialogues]
        assert {row.video_id for row in rows} == {copy.footage.video.id}
        assert [row.ask_ns for row in copy.questions] == sorted(row.ask_ns for row in copy.questions)
        assert copy.footage.end_ns > min(each.footage.end_ns for each in theirs)


PIPELINES = {
    "slowed": SLOWED,
    "lost": Pipeline(seed=3, operations=(Skip(form="bursts"), Jitter())),
    "joined": Pipeline(seed=1, operations=(Crop(least=0.6, most=0.9), Concat(), Loop(p=0.5))),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_they_are_what_a_written_folder_holds(folder, tmp_path, name):
    """On the fly and written out are two ways to the same: records, times of frames, grids, and pixels."""
    pipeline = PIPELINES[name]
    applied(folder, tmp_path / "out", *pipeline.operations, seed=pipeline.seed, copies=pipeline.copies)
    written = open_corpus(tmp_path / "out").materials["train"]
    made = {each.footage.video.id: each for each in opened(folder, pipeline).materials["train"]}
    assert len(written) >= 1
    for each in written:
        ours = made[each.footage.video.id]
        for part in ("questions", "annotations"):
            assert getattr(ours, part) == getattr(each, part)
        assert sorted(row.id for row in ours.events) == sorted(row.id for row in each.events)
        assert ours.dialogues == each.dialogues
        assert (ours.footage.video, ours.footage.times) == (each.footage.video, each.footage.times)
        assert (ours.footage.grids, ours.footage.waits) == (each.footage.grids, each.footage.waits)
        times = ours.footage.times[::7]
        pictures = ours.footage.decoded(times, decoder="pyav")
        assert np.array_equal(pictures, each.footage.decoded(times, decoder="pyav"))
        view = ours.footage.showing.view
        expected = [view.frame_of[view.clock.index_at(t)] for t in times]
        assert [frame_number(picture) for picture in pictures] == expected
        assert ours.footage.content(times, decoder="pyav") == each.footage.content(times, decoder="pyav")


def test_the_folder_stays_as_it_is(folder):
    before = tree(folder)
    opened(folder, SLOWED)
    assert tree(folder) == before


def test_a_copy_that_cannot_be_made_is_unused_with_the_reason(tmp_path):
    lone = finished(tmp_path / "out", splits=("train",), seconds=6, talk=False)
    before = open_corpus(lone, needs=("streaming_qa", "frame_events"))
    pipeline = Pipeline(copies=8, operations=(Freeze(), Concat(p=0.5)))
    found = with_augmented(before, data_config(lone), frame_format(), pipeline)
    made, unused = len(found.materials["train"]) - len(before.materials["train"]), len(found.unused)
    assert made
    assert unused
    assert made + unused == 8
    assert {row.uri for row in found.unused} < {f"clip-0.mp4, copy {copy}" for copy in range(8)}
    assert all("no other video of this split and size" in row.reason for row in found.unused)


def test_where_nothing_can_be_made_that_is_told_before_anything_is_trained(tmp_path):
    lone = finished(tmp_path / "out", splits=("train",), seconds=6, talk=False)
    before = open_corpus(lone, needs=("streaming_qa", "frame_events"))
    with pytest.raises(CorpusError, match=r"of clip-0\.mp4, copy 0: concat: there is no other video"):
        with_augmented(before, data_config(lone), frame_format(), Pipeline(operations=(Concat(),)))


def test_where_chance_does_nothing_that_is_told(folder):
    with pytest.raises(CorpusError, match="nothing is made of any video; chance did nothing to any, raise p"):
        opened(folder, Pipeline(operations=(Loop(p=1e-12),)))


def test_a_folder_that_is_augmented_already_is_refused(folder, tmp_path):
    applied(folder, tmp_path / "out", Freeze())
    with pytest.raises(CorpusError, match="is augmented already; leave augment out, or name the folder that it came"):
        opened(tmp_path / "out", SLOWED)


def test_a_folder_that_is_gone_is_one_sentence(folder, tmp_path):
    corpus = open_corpus(folder)
    with pytest.raises(AugmentError, match="holds no finished index"):
        with_augmented(corpus, data_config(tmp_path / "gone"), frame_format(), SLOWED)


def test_copies_follow_from_seed_and_number(folder):
    def names(pipeline):
        return [each.footage.video.id for each in opened(folder, pipeline).materials["train"]]

    once = names(SLOWED)
    assert names(SLOWED) == once
    other = names(SLOWED.model_copy(update={"seed": 1}))
    assert other[:2] == once[:2]
    assert not set(other[2:]) & set(once[2:])
