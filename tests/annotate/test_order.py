"""The order of the next round: each reason alone, all together, and always the same."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from annotate.errors import AnnotateError
from annotate.order import Candidate, OrderConfig, candidate, order
from annotate.source import Film
from datasets_build.core.clock import Span
from datasets_build.core.config import load_config
from datasets_build.core.perceived import Embedder, Keyframe
from datasets_build.core.records import Event, Provenance
from tests.annotate.people import S

NONE = {"uncertain": 0.0, "diverse": 0.0, "disputed": 0.0, "random": 0.0}


def only(**weights):
    return OrderConfig(**(NONE | weights))


def keys(candidates, config):
    return [place.key for place in order(candidates, config)]


# Each alone


def test_the_least_confident_comes_first():
    found = [
        Candidate(key="sure", confidences=(0.9, 0.95)),
        Candidate(key="unsure", confidences=(0.99, 0.2)),
        Candidate(key="nothing"),
    ]
    places = order(found, only(uncertain=1.0))
    assert [place.key for place in places] == ["unsure", "sure", "nothing"]
    assert [place.uncertain for place in places] == pytest.approx([0.8, 0.1, 0.0])
    assert [place.score for place in places] == pytest.approx([0.8, 0.1, 0.0])


def test_a_wide_boundary_is_uncertain_however_sure_the_label():
    found = [
        Candidate(key="wide", confidences=(1.0,), widths_ns=(3 * S,)),
        Candidate(key="narrow", confidences=(1.0,), widths_ns=(S // 4,)),
        Candidate(key="unsure", confidences=(0.5,), widths_ns=(0,)),
    ]
    places = order(found, only(uncertain=1.0))
    assert [(place.key, place.uncertain) for place in places] == [("wide", 0.75), ("unsure", 0.5), ("narrow", 0.2)]


def test_the_worst_disputes_come_first():
    found = [Candidate(key="a", dispute=0.2), Candidate(key="b", dispute=0.9), Candidate(key="c")]
    assert keys(found, only(disputed=2.0)) == ["b", "a", "c"]


def test_the_seed_shuffles_and_neighbours_do_not():
    found = [Candidate(key=f"k{at}") for at in range(40)]
    one, other = keys(found, only(random=1.0)), keys(found, OrderConfig(**NONE | {"random": 1.0}, seed=1))
    assert sorted(one) == sorted(other)
    assert one != other
    # Half of them taken away: the rest keep their order.
    kept = {candidate.key for candidate in found[::2]}
    assert keys(found[::2], only(random=1.0)) == [key for key in one if key in kept]
    chances = [place.random for place in order(found, only(random=1.0))]
    assert 0.3 < np.mean(chances) < 0.7


def unit(*values):
    return tuple(float(value) for value in values)


def test_the_next_is_the_farthest_from_all_before_it():
    found = [
        Candidate(key="a", embedding=unit(1, 0)),
        Candidate(key="b", embedding=unit(1, 0.1)),
        Candidate(key="c", embedding=unit(0, 1)),
        Candidate(key="d", embedding=unit(-3, 0)),
    ]
    places = order(found, only(diverse=1.0))
    assert [place.key for place in places] == ["a", "d", "c", "b"]
    assert [place.diverse for place in places][:3] == pytest.approx([1.0, 1.0, 0.5])
    assert places[3].diverse == pytest.approx((1 - 1 / np.hypot(1, 0.1)) / 2, abs=1e-6)


vectors = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)


@given(st.lists(vectors, min_size=1, max_size=8))
@settings(max_examples=25)
def test_no_other_item_is_farther_than_the_one_chosen(drawn):
    found = [Candidate(key=f"k{at}", embedding=unit(*vector)) for at, vector in enumerate(drawn)]
    table = {one.key: np.array(one.embedding) / np.linalg.norm(one.embedding) for one in found}
    chosen = keys(found, only(diverse=1.0))
    for at in range(1, len(chosen)):
        far = {key: min((1 - float(table[key] @ table[before])) / 2 for before in chosen[:at]) for key in chosen[at:]}
        assert far[chosen[at]] >= max(far.values()) - 1e-5


@given(st.lists(vectors, min_size=2, max_size=8))
@settings(max_examples=25)
def test_distances_never_grow(drawn):
    found = [Candidate(key=f"k{at}", embedding=unit(*vector)) for at, vector in enumerate(drawn)]
    distances = [place.diverse for place in order(found, only(diverse=1.0))]
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(distances))


def test_without_a_picture_nothing_is_known_of_it():
    found = [Candidate(key="a"), Candidate(key="b", embedding=unit(1, 0)), Candidate(key="c", embedding=unit(0, 0))]
    places = order(found, only(diverse=1.0))
    assert [(place.key, place.diverse) for place in places] == [("b", 1.0), ("a", 0.0), ("c", 0.0)]


def test_a_greedy_order_covers_clusters_before_it_repeats_one():
    rng = np.random.default_rng(3)
    centres = np.eye(6)
    found = [
        Candidate(key=f"k{at:03d}", embedding=unit(*(centres[at % 6] + rng.normal(0, 0.05, 6)))) for at in range(120)
    ]
    first = keys(found, only(diverse=1.0))[:6]
    assert {int(key[1:]) % 6 for key in first} == set(range(6))


def test_only_the_first_places_look_at_what_was_chosen():
    found = [Candidate(key=f"k{at}", embedding=unit(1, at), dispute=at / 10) for at in range(10)]
    config = OrderConfig(**NONE | {"diverse": 1.0, "disputed": 0.1}, diverse_first=3)
    places = order(found, config)
    assert [place.diverse for place in places[3:]] == [0.0] * 7
    disputed = [place.disputed for place in places[3:]]
    assert disputed == sorted(disputed, reverse=True)


# Together


def test_weights_say_what_counts_more():
    doubtful = Candidate(key="doubtful", confidences=(0.1,), dispute=0.1)
    disputed = Candidate(key="disputed", confidences=(0.9,), dispute=0.8)
    assert keys([doubtful, disputed], only(uncertain=2.0, disputed=1.0)) == ["doubtful", "disputed"]
    assert keys([doubtful, disputed], only(uncertain=1.0, disputed=2.0)) == ["disputed", "doubtful"]
    (first, _) = order([doubtful, disputed], only(uncertain=1.0, disputed=3.0))
    assert first.score == pytest.approx((0.1 + 3 * 0.8) / 4)


def test_a_near_copy_of_what_was_chosen_waits():
    found = [
        Candidate(key="a", confidences=(0.1,), embedding=unit(1, 0)),
        Candidate(key="a copy", confidences=(0.11,), embedding=unit(1, 0)),
        Candidate(key="b", confidences=(0.3,), embedding=unit(0, 1)),
    ]
    assert keys(found, only(uncertain=1.0)) == ["a", "a copy", "b"]
    assert keys(found, only(uncertain=1.0, diverse=1.0)) == ["a", "b", "a copy"]


candidates = st.lists(
    st.builds(
        Candidate,
        key=st.text("abc", min_size=1, max_size=3),
        confidences=st.lists(st.floats(0, 1), max_size=2).map(tuple),
        widths_ns=st.lists(st.integers(0, 9 * S), max_size=2).map(tuple),
        embedding=st.one_of(st.just(()), vectors.map(lambda vector: unit(*vector))),
        dispute=st.one_of(st.none(), st.floats(0, 1)),
    ),
    max_size=8,
    unique_by=lambda one: one.key,
)


@given(candidates, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_the_same_items_have_the_same_order_and_all_are_in_it(found, random):
    config = OrderConfig(random=0.5)
    places = order(found, config)
    assert order(random.sample(found, len(found)), config) == places
    assert sorted(place.key for place in places) == sorted(one.key for one in found)


@given(candidates)
@settings(max_examples=25)
def test_only_ratios_of_weights_matter(found):
    one = OrderConfig(uncertain=1.0, diverse=2.0, disputed=0.5, random=1.0)
    four = OrderConfig(uncertain=4.0, diverse=8.0, disputed=2.0, random=4.0)
    for place, other in zip(order(found, one), order(found, four), strict=True):
        assert place.key == other.key
        assert place.score == pytest.approx(other.score)


def test_ties_fall_by_key():
    found = [Candidate(key=key, embedding=unit(1, 0), dispute=0.5) for key in ("c", "a", "b")]
    assert keys(found, OrderConfig()) == ["a", "b", "c"]
    assert keys(found, only(disputed=1.0)) == ["a", "b", "c"]


def test_nothing_has_an_empty_order():
    assert order([]) == []


# Errors


def test_a_key_that_stands_twice_is_an_error():
    with pytest.raises(AnnotateError, match="2 items have 1 keys"):
        order([Candidate(key="a"), Candidate(key="a")])


def test_embeddings_of_two_models_are_an_error():
    with pytest.raises(AnnotateError, match=r"several lengths, found 2 \(a\), 3 \(b\)"):
        order([Candidate(key="a", embedding=unit(1, 0)), Candidate(key="b", embedding=unit(1, 0, 0))])


def test_settings_without_any_weight_are_an_error():
    with pytest.raises(ValidationError, match="all weights are 0"):
        only()
    with pytest.raises(ValidationError):
        only(uncertain=-1.0)


def test_settings_load_like_all_others(tmp_path):
    path = tmp_path / "order.yaml"
    path.write_text("disputed: 3.0\nseed: 7\n", encoding="utf-8")
    assert load_config(OrderConfig, path, ["random=0.5"]) == OrderConfig(disputed=3.0, seed=7, random=0.5)


# From records


def event(start, end, *, confidence=0.9, onset=0, offset=0, point=False):
    return Event(
        id="e", video_id="v", start_ns=start, end_ns=end, label="pour", label_set="acts", caption="", is_point=point,
        known_from_ns=start, confidence=confidence, onset_uncertainty_ns=onset, offset_uncertainty_ns=offset,
        source="signal", provenance=Provenance(kind="rule", agent="test"),
    )  # fmt: skip


def keyframe(t_ns, *embedding):
    embedder = Embedder(name="signature", weights="none", is_semantic=False)
    return Keyframe(
        id="f", video_id="v", shot_id="s", t_ns=t_ns, frame_index=0, reason="first", novelty=0.0, embedder=embedder,
        embedding=unit(*embedding), jpeg=b"",
    )  # fmt: skip


SHOWN = Span(start_ns=0, end_ns=10 * S)


def of_film(events=(), keyframes=(), **known):
    film = Film(video=None, path=None, clock=None, events=events, keyframes=keyframes)
    return candidate("k", film, SHOWN, **known)


def test_what_reaches_into_the_window_counts():
    events = [
        event(9 * S, 12 * S, confidence=0.8, onset=5, offset=9),
        event(10 * S, 12 * S, confidence=0.1),
        event(0, 0, confidence=0.7, point=True),
        event(10 * S, 10 * S, confidence=0.2, point=True),
    ]
    found = of_film(events, dispute=0.4)
    assert found == Candidate(key="k", confidences=(0.8, 0.7), widths_ns=(9, 0), dispute=0.4)


def test_the_embedding_is_the_mean_direction_of_keyframes_in_the_window():
    frames = [keyframe(0, 9, 0), keyframe(S, 0, 1), keyframe(10 * S, 5, 5), keyframe(2)]
    assert of_film(keyframes=frames).embedding == pytest.approx((0.5, 0.5))
    assert of_film().embedding == ()


def test_keyframes_of_two_embedders_are_an_error():
    with pytest.raises(AnnotateError, match="k: keyframes have embeddings of several lengths"):
        of_film(keyframes=[keyframe(0, 1, 0), keyframe(S, 1, 0, 0)])
