"""Moments: one record of what is true now teaches every grid at which it is true, and no other."""

from dataclasses import replace

import pytest

from datasets_build.core.records import Answer, Evidence, StreamingQA
from recipes.data.moments import moments
from tests.recipes.data.lessons import SECOND, desk, material_of


def asked(material, *, at_s, until_s, since_s=0.0, text="red", question="What colour is it?", key="q", mode="realtime"):
    """A question of the present in the video of a material."""
    at_ns, until_ns = round(at_s * SECOND), None if until_s is None else round(until_s * SECOND)
    window = at_ns + SECOND if until_ns is None else min(at_ns + SECOND, until_ns)
    source = material.questions[0]
    return StreamingQA(
        id=key,
        video_id=source.video_id,
        mode=mode,
        task="colour",
        question=question,
        ask_ns=at_ns,
        evidence=(Evidence(start_ns=round(since_s * SECOND), end_ns=at_ns),),
        answerable_from_ns=at_ns,
        answers=(Answer(text=text, t_ns=at_ns, window_start_ns=at_ns, window_end_ns=window, valid_until_ns=until_ns),),
        provenance=source.provenance,
    )


def with_questions(corpus, *rows):
    return replace(material_of(corpus), questions=rows)


def said_at(examples):
    return sorted(said.t_ns for example in examples for said in example.said)


@pytest.mark.parametrize(("at_s", "until_s"), [(1.1, 4.2), (2.0, 2.6), (0.4, 7.0)])
def test_it_is_asked_at_every_grid_while_it_is_true(corpus, at_s, until_s):
    material = material_of(corpus)
    examples = moments(with_questions(corpus, asked(material, at_s=at_s, until_s=until_s)), 24.0, desk())
    expected = [grid.t1_ns + 1 for grid in material.footage.grids if at_s * SECOND <= grid.t1_ns < until_s * SECOND]
    assert said_at(examples) == expected
    assert {said.text for example in examples for said in example.said} <= {"red"}


def test_an_answer_that_lasts_beyond_the_window_ends_with_it(corpus):
    material = material_of(corpus)
    [example] = moments(with_questions(corpus, asked(material, at_s=1.0, until_s=9.0)), 3.0, desk())
    assert max(said.t_ns for said in example.said) <= 3 * SECOND + 1
    assert len(example.grids) <= 4


@pytest.mark.parametrize("change", [{"mode": "backward"}, {"until_s": None}])
def test_what_is_not_of_the_present_or_never_ends_is_no_moment(corpus, change):
    material = material_of(corpus)
    row = asked(material, **({"at_s": 1.0, "until_s": 4.0} | change))
    assert moments(with_questions(corpus, row), 24.0, desk()) == []


def test_the_same_words_are_asked_once_after_a_grid(corpus):
    material = material_of(corpus)
    rows = [asked(material, at_s=1.0, until_s=4.0, key="a"), asked(material, at_s=1.4, until_s=4.0, key="b")]
    examples = moments(with_questions(corpus, *rows), 24.0, desk())
    times = said_at(examples)
    assert len(times) == len(set(times)) > 1


def test_evidence_that_no_grid_of_the_window_shows_is_counted(corpus):
    material, at = material_of(corpus), desk()
    row = asked(material, at_s=6.0, until_s=7.5, since_s=1.0)
    assert moments(with_questions(corpus, row), 2.0, at) == []
    assert sum(at.left.counts.values()) == 1
