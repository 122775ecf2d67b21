"""Signs of work that is passed on unseen: raised by what they name, and by nothing else."""

import numpy as np
import pytest

from annotate.agreement.figure import AgreementConfig
from annotate.agreement.panels import table_of
from annotate.agreement.reliability import (
    decisions,
    entropy,
    finds_nothing,
    is_worth_a_look,
    needs_change,
    signs_of,
)
from annotate.tasks import QuestionVerdict, Sheet, Work
from tests.annotate.people import (
    MS,
    Person,
    S,
    dialogue,
    dialogue_item,
    done,
    event_items,
    events,
    item,
    mark,
    qa_items,
    turn,
    work_events,
    work_questions,
)

FEW = AgreementConfig(resamples=200)
GOOD = Person(name="good", noise=200 * MS)
OTHER = Person(name="other", noise=250 * MS, miss=0.03)
FAST = Person(name="fast", noise=150 * MS, pace=0.3)
STAMP = Person(name="stamp", noise=200 * MS, lazy=0.9, pace=0.2)
SLOW_STAMP = Person(name="slow", noise=200 * MS, lazy=0.9, pace=1.5)


def signs(name, items, handed, config=FEW):
    return {sign.name: sign for sign in signs_of(name, items, table_of(items, handed), config)}


def simulated(*people, seed=1, many=30, gold=12, config=FEW):
    items, truths = event_items(seed, many, gold=gold)
    handed = [one for person in people for one in work_events(person, items, truths, seed)]
    return {person.name: signs(person.name, items, handed, config) for person in people}


def raised(found):
    return {name for name, sign in found.items() if sign.raised}


@pytest.mark.parametrize("seed", range(3))
def test_a_stamper_is_worth_a_look_and_a_fast_good_person_is_not(seed):
    found = simulated(GOOD, FAST, STAMP, seed=seed)
    assert {"time", "untouched", "planted"} <= raised(found["stamp"])
    assert is_worth_a_look(list(found["stamp"].values()))
    assert raised(found["fast"]) == {"time"}
    assert not is_worth_a_look(list(found["fast"].values()))
    assert raised(found["good"]) == set()


@pytest.mark.parametrize("seed", range(2))
def test_two_stampers_do_not_excuse_each_other_on_planted_faults(seed):
    found = simulated(STAMP, Person(name="second", lazy=0.9, pace=0.2), seed=seed)
    for name in ("stamp", "second"):
        assert "untouched" not in raised(found[name])
        assert is_worth_a_look(list(found[name].values()))


def test_somebody_slow_who_leaves_all_as_it_is_shows_in_other_signs():
    found = simulated(GOOD, OTHER, SLOW_STAMP)["slow"]
    assert "time" not in raised(found)
    assert {"untouched", "planted"} <= raised(found)


def test_predictions_that_need_no_change_accuse_nobody():
    items, truths = event_items(4, 30, model=Person(name="perfect"))
    handed = [
        one for person in (STAMP, FAST) for one in work_events(Person(name=person.name, lazy=1.0), items, truths, 4)
    ]
    for name in ("stamp", "fast"):
        found = signs(name, items, handed)
        assert found["untouched"].own.value == 1.0
        assert raised(found) == set()


def test_few_items_raise_nothing():
    found = simulated(GOOD, STAMP, many=7, gold=7)["stamp"]
    assert raised(found) == set()
    assert found["untouched"].own.n == 7


def test_figures_are_the_plain_shares():
    items, truths = event_items(2, 20, gold=5)
    handed = [one for person in (GOOD, STAMP) for one in work_events(person, items, truths, 2)]
    found = signs("stamp", items, handed)
    mine = [one for one in handed if one.annotator == "stamp"]
    share = np.mean([one.untouched for one in mine])
    assert found["untouched"].own.value == pytest.approx(share)
    assert found["untouched"].others.value == 0.0
    assert found["untouched"].against.value == pytest.approx(share)
    assert found["planted"].own.n == sum(needs_change(one) for one in items) > 0
    spent = sorted(one.lead_time_s / 120 for one in mine)
    assert found["time"].own.value == pytest.approx(spent[9])
    assert found["time"].against.value < 0.3


def test_alone_there_is_nobody_to_be_held_against():
    found = simulated(STAMP)["stamp"]
    assert found["untouched"].against.value is None
    assert found["untouched"].others.reason == "there are no items that show something and that others did"
    assert found["entropy"].against.reason == "there are no choices on items that others did"
    assert found["time"].against.value is None
    assert found["untouched"].own.value > 0.5


def test_a_server_that_counted_no_time_says_nothing_of_time():
    shown = [item(f"k{at}", Sheet(kind="events", marks=(mark("e", "pour", 0, S),))) for at in range(10)]
    handed = [done(one.key, "a", events(), lead_time_s=0.0) for one in shown]
    found = signs("a", shown, handed)["time"]
    assert (found.own.value, found.own.reason, found.raised) == (None, "there are no timed items", False)


def test_items_that_show_nothing_cannot_be_left_as_they_are():
    empty = [item(f"k{at}", Sheet(kind="events")) for at in range(10)]
    handed = [done(one.key, name, events(), untouched=True) for one in empty for name in ("a", "b")]
    assert signs("a", empty, handed)["untouched"].own.reason == "there are no items that show something"


def test_choices_about_events():
    shown = item("k", Sheet(kind="events", marks=tuple(mark(name, "pour", 0, S) for name in "abcd")))
    work = events(
        mark("a", "pour", 0, S, note="kept"),
        mark("b", "pour", 0, 2 * S),
        mark("c", "stir", 0, S),
        mark("x", "stir", 0, S),
    )
    assert decisions(shown, work) == ["accept", "fix", "fix", "reject", "add"]


def test_choices_about_questions_are_their_verdicts():
    items, truths = qa_items(1, 1)
    (one,) = work_questions(Person(name="a"), items, truths, 1)
    assert decisions(items[0], one.work) == [said.verdict for said in one.work.questions]


def test_gold_needs_a_change_where_its_truth_says_so():
    shown = (mark("a", "pour", 0, S),)
    sheet = Sheet(kind="events", marks=shown)
    same = events(mark("other", "pour", 0, S, note="a note changes nothing"))
    assert not needs_change(item("k", sheet, truth=same, is_gold=True))
    assert needs_change(item("k", sheet, truth=events(), is_gold=True))
    assert not needs_change(item("k", sheet, truth=events()))
    assert not needs_change(item("k", sheet, is_gold=True))
    asked, truths = qa_items(1, 20, gold=20)
    for one in asked:
        wrong = any(said.verdict != "accept" for said in truths[one.key].questions)
        assert needs_change(one) == wrong


def test_gold_that_is_unfit_or_ill_timed_needs_a_finding():
    sheet = Sheet(kind="events", marks=(mark("a", "pour", 0, S),))
    assert needs_change(item("k", sheet, truth=events(usable=False), is_gold=True))
    late, fine = (dialogue(turn("k/0"), turn("k/1", timing=timing)) for timing in ("too_late", None))
    assert needs_change(dialogue_item("k", "Hello?", "Yes.", is_gold=True, truth=late))
    assert not needs_change(dialogue_item("k", "Hello?", "Yes.", is_gold=True, truth=fine))


def test_what_nobody_was_asked_to_find_is_no_finding():
    shown = item("k", Sheet(kind="events", marks=(mark("a", "pour", 0, S),)))
    assert finds_nothing(shown, events(mark("a", "pour", 0, S, note="a note", confidence="sure")))
    for work in (events(), events(mark("a", "pour", 0, 2 * S)), events(usable=False)):
        assert not finds_nothing(shown, work)
    said = dialogue_item("k", "Hello?", "Yes.")
    assert finds_nothing(said, dialogue(turn("k/0"), turn("k/1")))
    for other in (turn("k/1", "reject"), turn("k/1", timing="too_early")):
        assert not finds_nothing(said, dialogue(turn("k/0"), other))


def test_five_stars_for_all_and_one_click_on_each_clip_let_faults_through_all_the_same():
    items, truths = qa_items(3, 40, gold=20)
    five = [[QuestionVerdict(id=q.id, verdict="accept", quality=5) for q in one.sheet.questions] for one in items]
    stars = [Work(kind="qa", questions=tuple(said)) for said in five]
    handed = work_questions(Person(name="good", wrong=0.05), items, truths, 3)
    handed += [done(one.key, "stars", work, lead_time_s=20.0) for one, work in zip(items, stars, strict=True)]
    found = signs("stars", items, handed)
    assert (found["planted"].own.value, found["planted"].others.value, found["planted"].raised) == (1.0, 0.0, True)
    assert is_worth_a_look(list(found.values()))
    assert signs("good", items, handed)["planted"].own.value == 0.0
    shown, truths = event_items(3, 20, gold=20)
    sure = [events(*(each.model_copy(update={"confidence": "sure"}) for each in one.sheet.marks)) for one in shown]
    handed = [done(one.key, "sure", work) for one, work in zip(shown, sure, strict=True)]
    assert signs("sure", shown, handed)["planted"].own.value == 1.0


def test_who_always_says_the_same_has_little_entropy():
    items, truths = qa_items(3, 40, gold=10)
    people = (Person(name="good", wrong=0.05), Person(name="other", wrong=0.05), Person(name="stamp", lazy=1.0))
    handed = [one for person in people for one in work_questions(person, items, truths, 3)]
    found = {person.name: signs(person.name, items, handed) for person in people}
    assert found["stamp"]["entropy"].own.value == 0.0
    assert found["stamp"]["entropy"].raised
    assert not found["good"]["entropy"].raised
    assert found["good"]["entropy"].own.value > 1.2


def test_entropy_by_hand():
    # One bit, and (2 - 1) / (2 n ln 2) for the bias.
    assert entropy(np.array([50.0, 50.0, 0.0])) == pytest.approx(1 + 1 / (200 * np.log(2)))
    assert entropy(np.array([7.0, 0.0, 0.0])) == 0.0
    assert np.isnan(entropy(np.zeros(3)))
    assert entropy(np.ones((5, 2, 4))).shape == (5, 2)


def test_every_sign_has_its_n_and_its_rule():
    for sign in simulated(GOOD, STAMP)["stamp"].values():
        assert sign.own.n > 0
        assert "or more" in sign.rule


@pytest.mark.parametrize(
    ("names", "is_look"),
    [
        ((), False),
        (("time",), False),
        (("untouched",), False),
        (("planted",), False),
        (("time", "entropy"), False),
        (("time", "untouched"), True),
        (("time", "planted"), True),
        (("untouched", "entropy"), True),
    ],
)
def test_one_sign_alone_calls_for_nothing(names, is_look):
    found = simulated(GOOD, OTHER, many=3, gold=1)["good"].values()
    assert is_worth_a_look([sign.model_copy(update={"raised": sign.name in names}) for sign in found]) == is_look
