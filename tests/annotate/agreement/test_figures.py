"""Figures of whole rounds: they recover what simulated people were given, and say what they cannot know."""

from fractions import Fraction

import pytest

from annotate.agreement.events import measure_events
from annotate.agreement.figure import AgreementConfig, Figure
from annotate.agreement.figures import Figures, figures
from annotate.agreement.panels import Panel
from annotate.errors import AnnotateError
from datasets_build.core.clock import FrameClock
from tests.annotate.people import (
    MS,
    Person,
    dialogue,
    dialogue_item,
    done,
    event_items,
    qa_items,
    turn,
    work_events,
    work_questions,
)

FEW = AgreementConfig(resamples=100)


def round_of(*people, seed=1, many=20, gold=20, config=FEW):
    items, truths = event_items(seed, many, gold=gold)
    return figures(items, [one for person in people for one in work_events(person, items, truths, seed)], config)


def person(found, name):
    return next(one for one in found.people if one.annotator == name)


def all_figures(value):
    """Every figure inside a record."""
    if isinstance(value, Figure):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from all_figures(one)
    elif hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from all_figures(getattr(value, name))


@pytest.mark.parametrize("bias", [-400, 0, 250])
def test_a_planted_bias_is_found_within_its_interval(bias):
    config = AgreementConfig(resamples=200, level=0.999)
    found = round_of(
        Person(name="a1", bias=bias * MS, noise=200 * MS), Person(name="a2", noise=200 * MS), many=30, gold=30,
        config=config,
    )  # fmt: skip
    measures = person(found, "a1").against_gold.events
    for bounds in (measures.start, measures.end):
        assert bounds.bias_ms.low <= bias <= bounds.bias_ms.high
        assert bounds.bias_ms.high - bounds.bias_ms.low < 200
    others = person(found, "a1").against_others.events.start.bias_ms
    assert others.low <= bias <= others.high
    assert person(found, "a2").against_others.events.start.bias_ms.value == pytest.approx(-others.value)


def test_planted_noise_is_the_median_error():
    # The median of the size of a normal error is 0.6745 of its standard deviation.
    found = round_of(Person(name="a1", noise=300 * MS), many=50, gold=50)
    measures = person(found, "a1").against_gold.events
    assert measures.end.median_ms.value == pytest.approx(0.6745 * 300, rel=0.15)
    assert measures.end.p90_ms.value == pytest.approx(1.645 * 300, rel=0.15)


def test_planted_misses_are_the_f1():
    # All that is found is right: F1 of (1 - miss) recall and full precision.
    found = round_of(Person(name="a1", miss=0.3), many=50, gold=50)
    measured = person(found, "a1").against_gold.events.f1[2].figure
    assert measured.low <= 2 * 0.7 / 1.7 <= measured.high


def test_agreement_falls_with_noise():
    alphas, scores, errors = [], [], []
    for noise in (0, 150, 400, 900, 2000):
        people = [Person(name=f"a{at}", noise=noise * MS) for at in (1, 2)]
        between = round_of(*people, gold=0, config=AgreementConfig(resamples=20)).between.events
        alphas.append(between.frame_alpha.value)
        scores.append(between.f1[2].figure.value)
        errors.append(between.start.median_ms.value)
    assert alphas[0] == scores[0] == pytest.approx(1.0)
    assert alphas == sorted(alphas, reverse=True)
    assert scores == sorted(scores, reverse=True)
    assert errors == sorted(errors)
    assert len(set(alphas)) == 5


def test_agreement_about_verdicts_falls_with_faults():
    alphas, ratings = [], []
    for wrong in (0.0, 0.1, 0.25, 0.5):
        items, truths = qa_items(5, 30)
        people = [Person(name=f"a{at}", wrong=wrong) for at in (1, 2)]
        handed = [one for who in people for one in work_questions(who, items, truths, 5)]
        between = figures(items, handed, AgreementConfig(resamples=20)).between.judgements
        alphas.append(between.verdict_alpha.value)
        ratings.append(between.rating_alpha.value)
    assert alphas[0] == ratings[0] == pytest.approx(1.0)
    assert alphas == sorted(alphas, reverse=True)
    assert ratings == sorted(ratings, reverse=True)


def test_planted_faults_and_biases_of_verdicts_are_found():
    items, truths = qa_items(6, 80, gold=80)
    who = Person(name="a1", wrong=0.2, bias=300 * MS, noise=100 * MS)
    found = figures(items, work_questions(who, items, truths, 6), FEW)
    measures = person(found, "a1").against_gold.judgements
    assert measures.same_verdict.low <= 0.8 <= measures.same_verdict.high
    # Answers that both sides fixed carry the bias; those that only the truth fixes carry what was not corrected.
    right = Person(name="a1", bias=300 * MS, noise=100 * MS)
    measures = person(figures(items, work_questions(right, items, truths, 6), FEW), "a1").against_gold.judgements
    assert measures.answer.bias_ms.low <= 300 <= measures.answer.bias_ms.high
    assert measures.token_f1.value == pytest.approx(1.0)


def test_people_stand_in_order_with_what_they_did():
    found = round_of(*(Person(name=name) for name in ("a10", "a2", "a1")), many=6, gold=2)
    assert [one.annotator for one in found.people] == ["a1", "a2", "a10"]
    assert {(one.items, one.gold, one.unusable) for one in found.people} == {(6, 2, 0)}
    assert (found.items, found.done, found.works, found.twice) == (6, 6, 18, 6)


def test_people_against_what_they_were_shown_tell_the_model_s_faults():
    model = Person(name="model", bias=500 * MS, noise=50 * MS)
    items, truths = event_items(2, 20, model=model)
    found = figures(items, work_events(Person(name="a1"), items, truths, 2), FEW)
    # People minus model: the model is late.
    assert found.shown.start.bias_ms.low <= -500 <= found.shown.start.bias_ms.high


def test_an_empty_round_has_no_numbers_and_says_why():
    items, _ = event_items(1, 3)
    found = figures(items, [], FEW)
    assert (found.done, found.works, found.people) == (0, 0, ())
    shown = list(all_figures(found))
    assert len(shown) > 10
    assert all(figure.value is None and figure.n == 0 and figure.reason for figure in shown)


def test_one_person_alone_agrees_with_nobody():
    found = round_of(Person(name="a1"), many=4, gold=0)
    assert all(figure.value is None for figure in all_figures(found.between))
    (one,) = found.people
    assert all(figure.value is None for figure in all_figures((one.against_gold, one.against_others)))
    assert one.signs[0].own.value is not None


@pytest.mark.parametrize("kind", ["events", "qa", "dialogue"])
def test_every_kind_has_its_figures_and_they_survive_a_file(kind):
    if kind == "events":
        found = round_of(Person(name="a1", noise=99 * MS), Person(name="a2", noise=99 * MS), many=5, gold=2)
    elif kind == "qa":
        items, truths = qa_items(1, 5, gold=2)
        people = (Person(name="a1", wrong=0.2), Person(name="a2", wrong=0.2))
        found = figures(items, [one for who in people for one in work_questions(who, items, truths, 1)], FEW)
    else:
        items = [dialogue_item(f"d{at}", "Hello?", "Yes.") for at in range(3)]
        work = [dialogue(turn(f"d{at}/0"), turn(f"d{at}/1", "reject", timing="too_late")) for at in range(3)]
        found = figures(items, [done(f"d{at}", name, work[at]) for at in range(3) for name in ("a", "b")], FEW)
        assert found.between.judgements.timing_alpha.value == pytest.approx(1.0)
    assert found.kind == kind
    assert (found.between.events is None) == (kind != "events")
    assert (found.between.judgements is None) == (kind == "events")
    assert (found.shown is None) == (kind != "events")
    assert Figures.model_validate_json(found.model_dump_json()) == found


def test_the_seed_decides_and_the_order_of_people_does_not():
    items, truths = event_items(1, 8, gold=3)
    people = (Person(name="a1", noise=300 * MS), Person(name="a2", noise=300 * MS), Person(name="a3", miss=0.2))
    handed = [one for who in people for one in work_events(who, items, truths, 1)]
    found = figures(items, handed, FEW)
    assert figures(items[::-1], handed[::-1], FEW) == found
    other = figures(items, handed, AgreementConfig(resamples=100, seed=1))
    ours, theirs = (one.between.events.f1[2].figure for one in (found, other))
    assert (ours.value, ours.n) == (theirs.value, theirs.n)
    assert (ours.low, ours.high) != (theirs.low, theirs.high)


def test_new_names_of_people_change_nothing_but_names():
    items, truths = event_items(1, 8)
    handed = [one for name in ("a1", "a2") for one in work_events(Person(name=name, noise=300 * MS), items, truths, 1)]
    swapped = [one.model_copy(update={"annotator": {"a1": "a2", "a2": "a1"}[one.annotator]}) for one in handed]
    found, other = figures(items, handed, FEW), figures(items, swapped, FEW)
    assert found.between == other.between
    assert person(found, "a1").signs == person(other, "a2").signs


def test_the_grid_is_said():
    items, truths = event_items(1, 3)
    handed = work_events(Person(name="a1"), items, truths, 1)
    clock = FrameClock.from_pts(range(121), time_base=Fraction(1), last_duration=1)
    assert figures(items, handed, FEW).grid == "every 100 ms"
    found = figures(items, handed, FEW, clocks={"v": clock})
    assert found.grid == "the frames of videos with a clock, else every 100 ms"
    assert found.shown.frame_alpha.n == 3 * 120
    assert found.config == FEW
    assert figures(items, handed).config == AgreementConfig()


def test_work_that_fits_no_item_is_an_error():
    items, truths = event_items(1, 2)
    with pytest.raises(AnnotateError, match="does not hold"):
        figures(items[:1], work_events(Person(name="a1"), items, truths, 1), FEW)


def test_clips_found_unfit_are_counted():
    items, truths = event_items(1, 4)
    handed = work_events(Person(name="a1"), items, truths, 1)
    unfit = handed[0].model_copy(update={"work": handed[0].work.model_copy(update={"marks": (), "usable": False})})
    found = figures(items, [unfit, *handed[1:]], FEW)
    assert found.people[0].unusable == 1


@pytest.mark.slow
def test_intervals_of_whole_figures_cover_what_a_large_round_says():
    """F1, alpha, a median and a bias of 30 items, 120 times, against the same of 3,000 items."""
    who = Person(name="a1", bias=150 * MS, noise=500 * MS, miss=0.1, false_alarm=0.1, relabel=0.05)
    config = AgreementConfig(resamples=200)

    def numbers(seed, many):
        items, truths = event_items(seed, many)
        works = {one.key: one.work for one in work_events(who, items, truths, seed)}
        panels = [Panel(item=one, works=(works[one.key], truths[one.key])) for one in items]
        found = measure_events(panels, config, signed=True)
        return [found.f1[1].figure, found.f1[2].figure, found.frame_alpha, found.end.median_ms, found.start.bias_ms]

    truth = [figure.value for figure in numbers(10_000, 3000)]
    rounds = [numbers(seed, 30) for seed in range(120)]
    for at, value in enumerate(truth):
        share = sum(found[at].low <= value <= found[at].high for found in rounds) / len(rounds)
        # 95 % is promised; 120 rounds leave 2 %.
        assert share >= 0.88
