"""Four ways of asking: the three that see the same frames agree, and what each costs is what it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.compare import compare, first_difference
from models.errors import QuestionError
from tests.models.films import film_file, film_of, model

FAMILIES = ("qwen2_5_vl", "qwen2_5_omni", "qwen3_vl")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return film_of(film_file(tmp_path_factory.mktemp("film") / "a.mkv"))


@pytest.mark.parametrize("family", FAMILIES)
def test_all_ways_that_see_the_same_agree(film, family):
    ways = compare(model(family), film, "What is it?", max_new_tokens=12)
    assert [way.name for way in ways] == ["one-shot", "delayed", "incremental", "clip"]
    one_shot, delayed, incremental, clip = ways
    for way in (one_shot, delayed, incremental):
        assert way.differs_at is None
        assert (way.token_ids, way.text) == (one_shot.token_ids, one_shot.text)
        assert (way.frames, way.visible_tokens) == (len(film) // 2, one_shot.visible_tokens)
        # Keys and values, 2 layers, 2 heads, 16 wide, float32.
        assert way.cache_bytes == way.visible_tokens * 2 * 2 * 2 * 16 * 4
    # The clip, and what came since it was whole.
    assert 4 <= clip.frames < len(film) // 2
    assert clip.visible_tokens < one_shot.visible_tokens
    assert clip.differs_at == first_difference(one_shot.token_ids, clip.token_ids)


def test_what_is_done_ahead_is_not_done_at_the_question(film):
    one_shot, delayed, incremental, _ = compare(model(), film, "What is it?", max_new_tokens=4)
    assert one_shot.ahead_s == 0
    assert delayed.ahead_s > 0
    assert one_shot.first_token_s > one_shot.vision_s > 0
    for way in (one_shot, delayed, incremental):
        assert 0 < way.first_token_s <= way.total_s
        # Every way encodes the frames itself; none finds the features of the way before.
        assert way.vision_s > 0


def test_a_film_of_lone_frames_fits(film):
    apart = [(frame, 11 * t_ns) for frame, t_ns in film[:7]]
    made = model()
    ways = compare(made, apart, "What is it?", max_new_tokens=4)
    assert [way.frames for way in ways[:3]] == [7, 7, 7]
    assert {way.differs_at for way in ways[:3]} == {None}


def test_a_film_without_frames_is_refused():
    with pytest.raises(QuestionError, match="found no frame"):
        compare(model(), [], "What?", max_new_tokens=4)


tokens = st.lists(st.integers(0, 3), max_size=6)


@given(tokens, tokens)
def test_the_first_difference_is_where_prefixes_part(one, other):
    place = first_difference(one, other)
    assert place == first_difference(other, one)
    if place is None:
        assert one == other
    else:
        assert one[:place] == other[:place]
        assert one[place : place + 1] != other[place : place + 1]
