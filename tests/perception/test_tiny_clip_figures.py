from collections import Counter
from random import Random

import pytest
import torch

from datasets_build.perception.tiny_clip_figures import SHOWN_SIDE, Pairs, _recall, changed, held_out, measure, shown
from datasets_build.perception.train_tiny_clip import Settings as TrainSettings
from datasets_build.perception.train_tiny_clip import save_weights, train, truth_table, write_folder
from datasets_build.sources.world_stills import OPPOSITE, write_still

CHANGES = ("colour", "shape", "number", "place")


def cases(change, count=60):
    rng = Random(3)
    found = [(still, changed(still, change, rng)) for still in (write_still(rng) for _ in range(count))]
    return [(still, pair) for still, pair in found if pair is not None]


def test_held_out_sentences_are_true_of_one_picture_alone():
    found, sentences = held_out(30, seed=0)
    assert torch.equal(truth_table(found, sentences), torch.eye(30, dtype=torch.bool))


def test_held_out_pictures_depend_on_their_seed_alone():
    assert held_out(5, seed=0) == held_out(5, seed=0)
    assert held_out(5, seed=0) != held_out(5, seed=1)


@pytest.mark.parametrize("change", CHANGES)
def test_of_each_pair_one_is_true_and_the_other_is_not(change):
    found = cases(change)
    assert len(found) > 5
    for still, (true, false) in found:
        assert still.fits(true)
        assert not still.fits(false)
        assert true.text != false.text


def test_a_changed_colour_or_shape_changes_one_name_and_nothing_else_of_it():
    for change, same in (("colour", 1), ("shape", 0)):
        for _, (true, false) in cases(change):
            (old,) = list((counted(true) - counted(false)).elements())
            (new,) = list((counted(false) - counted(true)).elements())
            assert old.split()[same] == new.split()[same]


def test_a_changed_number_is_one_more_of_a_shape_that_is_there():
    for still, (true, false) in cases("number"):
        (more,) = list((counted(false) - counted(true)).elements())
        assert more in still.names


def test_a_changed_place_is_its_opposite_in_the_same_words():
    for _, (true, false) in cases("place"):
        assert false.text == true.text.replace(true.placed[1], OPPOSITE[true.placed[1]])


def test_recall_counts_who_is_nearer_than_the_right_one():
    likeness = torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.5, 0.1], [0.9, 0.8, 0.1]])
    assert _recall(likeness, 1) == pytest.approx(0.333)
    assert _recall(likeness, 2) == pytest.approx(0.667)
    assert _recall(likeness, 5) == 1.0


def test_a_shown_still_has_the_size_of_a_candidate():
    assert max(shown(write_still(Random(0))).shape) <= SHOWN_SIDE


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_an_untrained_model_is_at_chance(tmp_path):
    write_folder(tmp_path)
    save_weights(train(TrainSettings(steps=1, batch=4), tmp_path), tmp_path)
    figures = measure(tmp_path, count=60, seed=0)
    assert figures.retrieval.image_to_text_r1 < 0.15
    assert figures.retrieval.chance_r1 == pytest.approx(1 / 60)
    assert figures.pairs.pictures == 60
    assert all(0.2 < getattr(figures.pairs, change) < 0.8 for change in CHANGES)
    assert Pairs(1, 1.0, 1.0, 1.0, 1.0).chance == 0.5


def counted(sentence):
    return Counter(sentence.names)
