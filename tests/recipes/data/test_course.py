"""Sources come in at their step and not before; a step is a pure function of its number; shares meet."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.data.course import Course
from recipes.data.mix import Mix, Report
from recipes.data.plan import Plan
from recipes.errors import RecipeError
from recipes.settings import AlignConfig, PackConfig

NOTHING = Report(examples={}, tokens={}, said={}, tasks={}, left={}, unused={})


class _Named:
    """As much of an example as a course asks for."""

    def __init__(self, source, tokens):
        self.source, self.tokens, self.said, self.cuts, self.rival = source, tokens, (), (), None


def mix_of(lengths, weights, begins=None, seed=0):
    examples = [_Named(source, tokens) for source, mine in lengths.items() for tokens in mine]
    return Mix(examples, weights, NOTHING, seed=seed, begins=begins)


LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=20)


@st.composite
def courses(draw):
    lengths = {"a": draw(LENGTHS), "b": draw(LENGTHS), "c": draw(LENGTHS)}
    weights = {source: draw(st.sampled_from([1.0, 2.0, 3.5])) for source in lengths}
    begins = {"b": draw(st.integers(0, 6)), "c": draw(st.integers(0, 12))}
    mix = mix_of(lengths, weights, begins, seed=draw(st.integers(0, 3)))
    return mix, PackConfig(tokens=64, rows=draw(st.integers(1, 5)))


def sources(mix, rows):
    return {mix.examples[place].source for row in rows for place in row}


@given(courses())
@settings(max_examples=40)
def test_no_source_is_learned_before_it_begins(made):
    mix, pack = made
    course = Course(mix, pack)
    for number in range(20):
        begun = {source for source in mix.weights if mix.begins.get(source, 0) <= number}
        rows = course.step(number)
        assert len(rows) == pack.rows
        assert sources(mix, rows) <= begun
        assert all(sum(mix.examples[place].tokens for place in row) <= 64 for row in rows)


@given(courses())
@settings(max_examples=25)
def test_once_all_have_begun_it_is_the_plan_of_them_all(made):
    mix, pack = made
    last = max(mix.begins.values())
    course, plan = Course(mix, pack), Plan.of(mix, pack)
    assert [course.step(last + number) for number in range(8)] == [plan.step(number) for number in range(8)]
    assert course.cursor(last + 5).epoch == plan.cursor(5).epoch


@given(courses(), st.integers(0, 20))
@settings(max_examples=25)
def test_a_step_depends_on_its_number_alone(made, number):
    mix, pack = made
    fresh, used = Course(mix, pack), Course(mix, pack)
    for other in range(number):
        used.step(other)
    assert fresh.step(number) == used.step(number)
    assert fresh.cursor(number) == used.cursor(number)
    assert fresh.cursor(number).step == number


@given(courses(), st.integers(1, 5))
@settings(max_examples=25)
def test_shares_of_processes_are_the_step(made, world):
    mix, pack = made
    course = Course(mix, pack)
    for number in (0, 3, 14):
        rows = course.step(number)
        shares = [course.share(number, rank=rank, world=world) for rank in range(world)]
        assert Counter(row for share in shares for row in share) == Counter(rows)
        fullness = [sum(mix.examples[place].tokens for place in row) for row in rows]
        assert fullness == sorted(fullness, reverse=True)
        if pack.rows % world == 0:
            # Nobody has more than the fullest row more than another.
            loads = [sum(mix.examples[place].tokens for row in share for place in row) for share in shares]
            assert max(loads) - min(loads) <= max(fullness)


def test_without_begins_it_is_the_plan():
    mix = mix_of({"a": [3, 4, 5], "b": [6]}, {"a": 1.0, "b": 0.5})
    course, plan = Course(mix, PackConfig(tokens=16, rows=2)), Plan.of(mix, PackConfig(tokens=16, rows=2))
    assert [course.step(number) for number in range(9)] == [plan.step(number) for number in range(9)]


def test_the_first_epochs_hold_every_source():
    mix = mix_of({"a": [16] * 5, "b": [16] * 3}, {"a": 1.0, "b": 1.0}, {"b": 1})
    steps = list(Course(mix, PackConfig(tokens=16, rows=1)).first_epochs())
    # Five rows of what begins at once; then eight of both, though the first part is one step long.
    assert [sources(mix, rows) for rows in islice(steps, 5)] == [{"a"}] * 5
    assert Counter(place for rows in steps[5:] for row in rows for place in row) == Counter(range(8))


def test_a_step_below_the_first_is_refused():
    with pytest.raises(RecipeError, match="expected 0 or more"):
        Course(mix_of({"a": [1]}, {"a": 1.0}), PackConfig(tokens=16, rows=1)).step(-1)


def test_what_begins_is_in_the_mix_and_something_begins_at_once():
    assert AlignConfig(begins={"frame_events": 3}).begins == {"frame_events": 3}
    with pytest.raises(ValueError, match="begins: moments has no weight in mix"):
        AlignConfig(begins={"moments": 3})
    with pytest.raises(ValueError, match="expected a source of mix that is learned from step 0 on"):
        AlignConfig(begins={"frame_events": 3, "captions": 1})
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        AlignConfig(begins={"frame_events": -1})
