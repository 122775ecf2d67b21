"""Options of drafts: how many, in whose words, with a refusal where twins are asked; counts are chosen once."""

import re

import pytest

from datasets_build.builders import counting, questions, twins
from datasets_build.builders.choices import ChoicesConfig, with_options
from datasets_build.teachers.template import load_template
from datasets_build.truth.rivals import folded
from datasets_build.truth.words import Telling, texts_of
from tests.builders.asking import act, at, desk

ALL = ChoicesConfig(share=1.0)


def does(start_ms, end_ms, label, subject, words):
    return act(start_ms, end_ms, label, subject, f"The {subject} {words}.")


ROWS = (
    does(500, 1_500, "enter", "red circle", "enters"),
    does(2_500, 3_500, "enter", "blue square", "enters"),
    does(4_500, 6_000, "move", "red circle", "moves left"),
    does(8_000, 9_500, "move", "blue square", "moves up"),
    does(11_000, 12_500, "leave", "red circle", "leaves"),
    does(14_000, 15_000, "leave", "blue square", "leaves"),
)


def chosen(make, config=ALL, seeds=30, rows=ROWS, **facts):
    """The questions that a maker draws, with options where they have some."""
    found = []
    for seed in range(seeds):
        made = desk(*rows, seed=seed, **facts)
        unit = make(made)
        if unit is None:
            continue
        unit = unit if isinstance(unit, tuple) else (unit,)
        ids = [f"q{seed}-{k}" for k in range(len(unit))]
        found += with_options(made, unit, config, ids=ids, seed=seed)
    assert found
    return found


def refusing(draft):
    refusals = (
        texts_of(load_template(), draft.task, draft.about, Telling(absent=True)) if draft.task == "before" else ()
    )
    return [text for text in draft.options if text in refusals]


def test_none_all_or_some_have_options():
    def ask(made):
        return questions.last_at(made, at(10_000))

    assert not any(draft.options for draft in chosen(ask, ChoicesConfig(share=0)))
    assert all(draft.options for draft in chosen(ask))
    some = [bool(draft.options) for draft in chosen(ask, ChoicesConfig(share=0.5), seeds=60)]
    assert 15 < sum(some) < 45


@pytest.mark.parametrize("options", [2, 3, 4, 5])
def test_there_are_as_many_as_asked_for_and_they_differ(options):
    for draft in chosen(lambda made: questions.next_at(made, at(1_600)), ChoicesConfig(share=1, options=options)):
        assert len(draft.options) == min(options, 5)
        assert len(set(map(folded, draft.options))) == len(draft.options)
        assert draft.options[draft.correct_option] == draft.replies[0].text


def test_no_two_options_say_one_thing_in_two_ways():
    for draft in chosen(lambda made: questions.next_at(made, at(1_600))):
        told = [re.search(r"[Tt]he (?:red|blue) \w+ \w+(?: \w+)?\.", text)[0].casefold() for text in draft.options]
        assert len(set(told)) == len(told)


def test_twins_and_what_is_asked_like_them_can_be_refused():
    pairs = chosen(lambda made: twins.twins_at(made, at(10_000)))
    alone = chosen(lambda made: questions.subject_at(made, at(10_000)))
    for draft in (*pairs, *alone):
        assert len(refusing(draft)) == 1, draft.options
        assert (refusing(draft)[0] == draft.replies[0].text) == draft.unanswerable
    assert {draft.unanswerable for draft in pairs} == {True, False}
    other = chosen(lambda made: questions.last_at(made, at(10_000)))
    assert not any(refusing(draft) for draft in other)


def test_a_refusal_is_not_always_the_longest():
    pairs = chosen(lambda made: twins.twins_at(made, at(10_000)), seeds=60)
    longest = [max(draft.options, key=len) in refusing(draft) for draft in pairs]
    assert 0.1 * len(longest) < sum(longest) < 0.9 * len(longest)


def test_a_refusal_alone_is_nothing_to_choose_from():
    rows = ROWS[:1]
    for draft in chosen(lambda made: questions.subject_at(made, at(3_000)), rows=rows):
        assert draft.options == ()
        assert draft.correct_option is None


def test_an_absent_subject_is_offered_what_others_did():
    for draft in chosen(lambda made: twins.twins_at(made, at(10_000))):
        if draft.unanswerable and draft.about.kind == "subject":
            wrong = [text for text in draft.options if text not in refusing(draft)]
            assert wrong
            assert all(draft.about.subject in text for text in wrong)


def test_a_count_is_chosen_once():
    rows = [does(2_000 * k, 2_000 * k + 500, "move", "red circle", "moves left") for k in range(1, 6)]
    drafts = chosen(lambda made: counting.times_at(made, at(7_000), "move|the red circle"), rows=rows, seeds=60)
    free, picked = [d for d in drafts if not d.options], [d for d in drafts if d.options]
    assert not free, "three numbers are below it"
    twice = chosen(lambda made: counting.times_at(made, at(5_000), "move|the red circle"), rows=rows, seeds=60)
    assert {bool(draft.options) for draft in twice} == {True, False}
    assert all(len(draft.replies) > 1 for draft in twice if not draft.options), "it is followed then"
    assert {draft.correct_option for draft in picked} == {0, 1, 2, 3}
    for draft in picked:
        assert len(draft.replies) == 1
        assert not draft.about.every
        assert all(draft.replies[0].t_ns <= probe.t_ns < draft.replies[0].valid_until_ns for probe in draft.probes)


def test_what_is_answered_more_than_once_is_in_free_form():
    for draft in chosen(lambda made: questions.watch_at(made, at(100))):
        assert draft.options == ()


def test_the_same_seed_gives_the_same_options():
    def ask(made):
        return questions.last_at(made, at(10_000))

    assert [draft.options for draft in chosen(ask)] == [draft.options for draft in chosen(ask)]


def test_of_more_than_answers_tell_of_no_option_tells():
    rows = (*ROWS, *(does(16_000, 17_000, "enter", f"{colour} star", "enters") for colour in ("red", "green", "pink")))
    for draft in chosen(lambda made: questions.next_at(made, at(1_600)), rows=rows, max_told=2):
        assert not any("star" in text for text in draft.options)
