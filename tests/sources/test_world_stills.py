from random import Random

import numpy as np
import pytest

from datasets_build.sources.world_script import BACKDROPS, Actor, Backdrop
from datasets_build.sources.world_shapes import COLOURS
from datasets_build.sources.world_stills import Sentence, still_of, tell, vocabulary, write_still

GROUND = Backdrop(BACKDROPS[0], "plain", 1)


def actor(name, x, y, radius=24.0):
    colour, kind = name.split()
    return Actor(kind=kind, colour=colour, radius=radius, lane=y, home=x, legs=(), recolours=())


def still(*actors):
    return still_of(actors, GROUND, width=320, height=240)


def stills(count, seed=0):
    rng = Random(seed)
    return [write_still(rng) for _ in range(count)], rng


def test_the_same_generator_gives_the_same_picture_and_sentence():
    for seed in range(5):
        one, other = ([write_still(rng), tell(write_still(rng), rng)] for rng in (Random(seed), Random(seed)))
        assert one == other
        assert np.array_equal(one[0].draw(), other[0].draw())


def test_every_sentence_is_true_of_its_picture_and_in_the_vocabulary():
    found, rng = stills(300)
    known = set(vocabulary())
    texts = set()
    for one in found:
        sentence = tell(one, rng)
        assert one.fits(sentence)
        words = sentence.text.lower().replace(".", " .").replace(",", " ,").split()
        assert set(words) <= known, sentence.text
        texts.add(sentence.text)
    assert len(texts) > 150


def test_all_counts_shapes_and_colours_are_drawn_in_time():
    found, _ = stills(400)
    assert {len(one.names) for one in found} == {0, 1, 2, 3, 4}
    names = {name for one in found for name in one.names}
    assert len({name.split()[0] for name in names}) == len(COLOURS)
    assert len({name.split()[1] for name in names}) == 6
    assert any(len(set(one.names)) < len(one.names) for one in found), "two alike are never drawn"


def test_a_shape_is_where_the_script_says_and_in_its_colour():
    picture = still(actor("red circle", 80, 60)).draw()
    assert picture.shape == (240, 320, 3)
    assert tuple(picture[60, 80]) == COLOURS["red"]
    assert np.abs(picture[60, 240].astype(int) - BACKDROPS[0]).max() < 30


@pytest.mark.parametrize(
    ("other", "where", "back"),
    [
        ((200, 70), "to the left of", "to the right of"),
        ((90, 200), "above", "below"),
    ],
)
def test_sides_are_told_both_ways_and_their_opposites_are_not_true(other, where, back):
    one = still(actor("red circle", 80, 60), actor("blue star", *other))
    names = ("blue star", "red circle")
    assert one.relations == {("red circle", where, "blue star"), ("blue star", back, "red circle")}
    assert one.fits(Sentence("", names, ("red circle", where, "blue star")))
    assert not one.fits(Sentence("", names, ("red circle", back, "blue star")))


def test_what_stands_nearly_level_or_is_alike_has_no_side():
    assert still(actor("red circle", 100, 100, 8.0), actor("blue star", 120, 110, 8.0)).relations == frozenset()
    assert still(actor("red circle", 60, 60), actor("red circle", 220, 60)).relations == frozenset()


def test_number_and_articles_are_told_right():
    two = still(actor("red cross", 60, 60), actor("red cross", 220, 60), actor("orange star", 150, 180))
    told = {tell(two, Random(seed)).text for seed in range(40)}
    assert "Two red crosses and an orange star." in told
    assert "The picture shows an orange star and two red crosses." in told
    assert not any(" a orange" in text for text in told)


def test_a_sentence_of_other_shapes_or_another_number_is_not_true():
    one = still(actor("red circle", 60, 60))
    assert one.fits(Sentence("", ("red circle",)))
    assert not one.fits(Sentence("", ("red circle", "red circle")))
    assert not one.fits(Sentence("", ("blue circle",)))
    assert not still().fits(Sentence("", ("red circle",)))
    assert still().fits(tell(still(), Random(0)))
