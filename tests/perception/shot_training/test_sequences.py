import itertools

import numpy as np
import pytest

from datasets_build.perception.shot_training.material import Material, texture
from datasets_build.perception.shot_training.sequences import LENGTH, make_sequence

MATERIAL = Material(tuple(texture(np.random.default_rng(seed)) for seed in range(8)), ())
MADE = [make_sequence(MATERIAL, np.random.default_rng((5, seed))) for seed in range(40)]


def apart(made, before, after):
    return np.abs(made.frames[before].astype(int) - made.frames[after]).mean()


def test_a_sequence_is_whole_and_comes_again_with_its_seed():
    for seed, made in enumerate(MADE[:6]):
        again = make_sequence(MATERIAL, np.random.default_rng((5, seed)))
        assert made.frames.shape == (LENGTH, 27, 48, 3)
        assert np.array_equal(made.frames, again.frames)
        assert (made.cuts, made.spans) == (again.cuts, again.spans)


def test_the_truth_lies_inside_in_order_and_apart():
    for made in MADE:
        assert list(made.cuts) == sorted(made.cuts)
        assert all(0 < cut < LENGTH for cut in made.cuts)
        for span in made.spans:
            assert span.first <= span.last < LENGTH
        for one, other in itertools.pairwise(sorted(made.spans, key=lambda span: span.first)):
            assert one.last < other.first


def test_there_is_enough_of_every_kind():
    spans = [span.kind for made in MADE for span in made.spans]
    assert sum(len(made.cuts) for made in MADE) > 40
    assert {kind: spans.count(kind) > 4 for kind in ("mix", "out", "in")} == {"mix": True, "out": True, "in": True}


def test_a_cut_can_be_seen_and_is_where_it_is_said_to_be():
    steps = [apart(made, cut - 1, cut) for made in MADE for cut in made.cuts]
    assert min(steps) > 2
    usual = [apart(made, k - 1, k) for made in MADE for k in range(1, LENGTH) if k not in made.cuts]
    assert np.median(steps) > 5 * np.median(usual)


@pytest.mark.parametrize(("kind", "end"), [("out", "last"), ("in", "first")])
def test_a_fade_ends_or_begins_in_one_colour(kind, end):
    whole = [(made, span) for made in MADE for span in made.spans if span.first > 0 and span.last < LENGTH - 1]
    ends = [made.frames[getattr(span, end)] for made, span in whole if span.kind == kind]
    flat = [np.median(frame.std(axis=(0, 1))) for frame in ends]
    assert len(flat) > 4
    # Titles and bars stay over a fade.
    assert np.median(flat) < 12


def slides(seeds):
    """Sequences of plain cards: the first number that a seed's generator gives says what it draws."""
    wanted = [seed for seed in seeds if 0.03 <= np.random.default_rng((5, seed)).random() < 0.06]
    return [make_sequence(MATERIAL, np.random.default_rng((5, seed))) for seed in wanted]


def test_plain_cards_are_cut_where_their_colour_changes_and_nowhere_else():
    shown = slides(range(300))
    assert len(shown) > 4
    for made in shown:
        assert made.spans == ()
        colour = np.median(made.frames.astype(int), axis=(1, 2))
        jumps = np.abs(np.diff(colour, axis=0)).mean(axis=1)
        assert min(jumps[cut - 1] for cut in made.cuts) > 3
        still = [jump for k, jump in enumerate(jumps) if k + 1 not in made.cuts]
        # Noise moves the median by a level or two; two cards may be of nearly one colour.
        assert np.quantile(still, 0.95) < 3 < np.median(jumps[[cut - 1 for cut in made.cuts]])
