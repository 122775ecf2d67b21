"""What people disagree about, and the work that stands: by hand, by law, and against a known truth."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from annotate.agreement.figure import AgreementConfig
from annotate.agreement.measures import measure
from annotate.agreement.panels import Panel
from annotate.disputes import (
    Agreed,
    DisputeConfig,
    Disputed,
    Source,
    decided,
    disagreement,
    disputes,
    open_sheet,
    resolve,
)
from annotate.errors import AnnotateError
from annotate.tasks import QuestionVerdict, Sheet, Work
from tests.annotate.agreement.strategies import works
from tests.annotate.people import (
    MS,
    Person,
    S,
    adjudicate,
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

SHOWN = item("k", Sheet(kind="events", marks=(mark("e1", "pour", 0, 4 * S), mark("e2", "stir", 20 * S, 24 * S))))


def resolved(*people, one=SHOWN, config=None):
    handed = [done(one.key, f"a{at}", work, number=at) for at, work in enumerate(people)]
    return resolve(one, handed, config)


def pour(start_ms, end_ms, name="e1", label="pour"):
    return mark(name, label, start_ms * MS, end_ms * MS)


# Events


def test_two_who_agree_meet_in_the_middle():
    found = resolved(events(pour(0, 4000)), events(pour(100, 4400, "drawn")))
    assert isinstance(found, Agreed)
    assert found.work == events(pour(50, 4200))
    assert found.sources == (Source(annotator="a0", annotation_id=0), Source(annotator="a1", annotation_id=1))
    assert found.score == pytest.approx(1 - 3900 / 4400)


def test_of_three_the_median_stands_and_what_one_saw_does_not():
    crowd = [events(pour(0, 4000)), events(pour(100, 4400)), events(pour(200, 9000), pour(50_000, 52_000, "x"))]
    found = resolved(*crowd)
    assert isinstance(found, Agreed)
    assert found.work == events(pour(100, 4400))


def test_what_one_of_two_saw_is_open():
    found = resolved(events(pour(0, 4000)), events(pour(0, 4000), pour(8000, 9000, "new", "taste")))
    assert isinstance(found, Disputed)
    assert found.agreed == events(pour(0, 4000))
    (reason,) = found.reasons
    assert (reason.about, reason.start_ns, reason.end_ns, reason.score) == ("mark", 8 * S, 9 * S, 1.0)
    assert reason.decide == "Between 0:08.000 and 0:09.000: does “taste” happen, and from when to when?"
    assert [one.label for one in reason.marks] == ["taste"]
    assert found.score == pytest.approx(1 - 2 / 3)


def cut(at_ms, name="c1", label="cut"):
    return mark(name, label, at_ms * MS, at_ms * MS, is_point=True)


@pytest.mark.parametrize(
    ("crowd", "about", "words"),
    [
        ([[cut(8000)], []], "mark", "At 0:08.000: does “cut” happen, and when exactly?"),
        ([[cut(8000)], [cut(8000, label="stop")]], "label", "At 0:08.000: which of these happens, if any: cut, stop?"),
        (
            [[cut(8000)], [cut(8400, label="stop")]],
            "label",
            "Between 0:08.000 and 0:08.400: which of these happens, if any: cut, stop?",
        ),
        (
            [[cut(8000)], [cut(8400)], [cut(8800)]],
            "boundary",
            "Between 0:08.000 and 0:08.800: when exactly is “cut”?",
        ),
    ],
)
def test_what_is_asked_of_an_instant_names_an_instant(crowd, about, words):
    config = DisputeConfig(agree_iou=0.9)
    if len(crowd) == 3:
        # Nobody's instant is another's.
        config = DisputeConfig(tolerance_ns=300 * MS)
    found = resolved(
        *(events(*marks) for marks in crowd), one=item("k", Sheet(kind="events", marks=(cut(8000),))), config=config
    )
    assert (found.reasons[0].about, found.reasons[0].decide) == (about, words)


def test_one_event_under_two_names_is_one_question():
    found = resolved(events(pour(0, 4000)), events(pour(0, 4000, "e1", "stir")))
    (reason,) = found.reasons
    assert (reason.about, reason.options) == ("label", ("pour", "stir"))
    assert reason.decide == "Between 0:00.000 and 0:04.000: which of these happens, if any: pour, stir?"
    assert sorted(one.label for one in reason.marks) == ["pour", "stir"]
    assert len({one.id for one in reason.marks}) == 2


def test_three_names_for_what_all_saw_are_not_dropped():
    found = resolved(*(events(pour(0, 4000, "e1", label)) for label in ("pour", "stir", "taste")))
    assert [reason.options for reason in found.reasons] == [("pour", "stir", "taste")]


def test_boundaries_that_lie_apart_are_open():
    found = resolved(events(pour(0, 4000)), events(pour(0, 10_000)))
    (reason,) = found.reasons
    assert (reason.about, reason.id, reason.score) == ("boundary", "e1", pytest.approx(0.6))
    assert reason.decide == "Between 0:00.000 and 0:10.000: when does “pour” begin, and when does it end?"
    assert found.agreed == events()
    lenient = DisputeConfig(agree_iou=0.4)
    assert isinstance(resolved(events(pour(0, 4000)), events(pour(0, 10_000)), config=lenient), Agreed)


def test_of_three_at_three_times_nothing_stands():
    # All overlap by a third or more, none of the three with another by a half.
    found = resolved(events(pour(0, 6000)), events(pour(2500, 8500)), events(pour(0, 2500), pour(5000, 11_000, "x")))
    assert {reason.about for reason in found.reasons} == {"boundary"}


def test_four_people_in_halves_leave_it_open():
    both = (events(pour(0, 4000)), events())
    found = resolved(*both, *both)
    assert [reason.about for reason in found.reasons] == ["mark"]
    assert isinstance(resolved(*both, *both, both[0]), Agreed)


def test_reasons_come_worst_first():
    crowd = (events(pour(0, 4000)), events(pour(0, 10_000), pour(60_000, 61_000, "x")))
    assert [reason.about for reason in resolved(*crowd).reasons] == ["mark", "boundary"]


def test_one_alone_is_taken_as_it_is():
    work = events(pour(0, 4000, "any"))
    found = resolved(work)
    assert found == Agreed(key="k", work=work, sources=(Source(annotator="a0", annotation_id=0),), score=0.0)


def test_a_shown_id_is_given_once():
    # Two groups hold marks that both came from e1 (a copy of a region keeps no id of its own everywhere).
    twice = events(pour(0, 4000), pour(30_000, 32_000))
    found = resolved(twice, twice)
    names = [one.id for one in found.work.marks]
    assert "e1" in names
    assert len(set(names)) == 2


def test_ids_of_new_marks_follow_from_what_they_are():
    one = resolved(events(pour(0, 4000, "x")), events(pour(0, 4000, "y"))).work
    other = resolved(events(pour(0, 4000, "p")), events(pour(0, 4000, "q"))).work
    assert one == other
    assert len(one.marks[0].id) == 20


def test_whether_the_clip_is_fit_comes_first():
    unfit = events(usable=False)
    tie = resolved(events(pour(0, 4000)), unfit)
    assert [(reason.about, reason.options) for reason in tie.reasons] == [("usable", ("no", "yes"))]
    assert (tie.agreed, tie.score) == (events(), 1.0)
    assert open_sheet(SHOWN, tie) == SHOWN.sheet
    assert decided(SHOWN, tie, unfit) == unfit
    most = resolved(events(pour(0, 4000)), unfit, unfit)
    assert (most.work, most.score) == (unfit, pytest.approx(2 / 3))
    few = resolved(events(pour(0, 4000)), events(pour(0, 4000)), unfit)
    assert few.work == events(pour(0, 4000))


def test_nobody_did_it():
    with pytest.raises(AnnotateError, match="k: found no work"):
        resolved()


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValidationError, match=r"agree_iou: found 0\.2, expected pair_iou"):
        DisputeConfig(agree_iou=0.2)


crowds = st.lists(works(), min_size=2, max_size=4)


@given(crowds)
@settings(max_examples=25, deadline=None)
def test_who_is_who_changes_nothing(crowd):
    texts = set()
    for order in list(permutations(crowd))[:6]:
        found = resolved(*order)
        outcome = found.agreed if isinstance(found, Disputed) else found.work
        reasons = found.reasons if isinstance(found, Disputed) else ()
        blind = [(one.about, one.start_ns, one.end_ns, one.decide, one.options) for one in reasons]
        spans = sorted((one.label, one.start_ns, one.end_ns) for one in outcome.marks)
        texts.add(repr((spans, sorted(blind), round(found.score, 9))))
    assert len(texts) == 1


@given(works(), st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_equal_works_stand_as_they_are(work, many):
    found = resolved(*[work] * many)
    assert isinstance(found, Agreed)
    assert found.score == pytest.approx(0.0)
    spans = [(one.label, one.start_ns, one.end_ns) for one in found.work.marks]
    assert spans == sorted(spans, key=lambda span: (span[1], span[2], span[0]))
    assert sorted(spans) == sorted((one.label, one.start_ns, one.end_ns) for one in work.marks)


@given(crowds)
@settings(max_examples=25, deadline=None)
def test_nothing_that_half_saw_is_lost(crowd):
    """Every mark is in the agreed work, in a reason's span, or seen by less than half."""
    found = resolved(*crowd)
    agreed = found.agreed if isinstance(found, Disputed) else found.work
    reasons = found.reasons if isinstance(found, Disputed) else ()
    assert 0.0 <= found.score <= 1.0
    if len(crowd) == 2:
        # An instant may have become a short span within the tolerance.
        places = [(one.start_ns - S // 2, one.end_ns + S // 2) for one in (*agreed.marks, *reasons)]
        for one in (mark for work in crowd for mark in work.marks):
            assert any(start <= one.end_ns and one.start_ns <= end for start, end in places)


@given(crowds)
@settings(max_examples=25, deadline=None)
def test_the_open_sheet_is_blind(crowd):
    found = resolved(*crowd)
    if isinstance(found, Disputed):
        text = open_sheet(SHOWN, found).model_dump_json() + "".join(one.model_dump_json() for one in found.reasons)
        assert not any(f'"a{at}"' in text for at in range(len(crowd)))
        assert len({one.id for one in open_sheet(SHOWN, found).marks}) == len(open_sheet(SHOWN, found).marks)


def test_the_open_sheet_shows_what_stands_and_what_is_open():
    found = resolved(events(pour(0, 4000)), events(pour(0, 4000), pour(8000, 9000, "new", "taste")))
    sheet = open_sheet(SHOWN, found)
    assert [(one.label, one.start_ns) for one in sheet.marks] == [("pour", 0), ("taste", 8 * S)]
    answer = events(pour(0, 4000))
    assert decided(SHOWN, found, answer) == answer


def test_both_outcomes_survive_a_file():
    agreed = resolved(events(pour(0, 4000)), events(pour(0, 4000)))
    disputed = resolved(events(pour(0, 4000)), events(pour(0, 4000, "e1", "stir")))
    assert Agreed.model_validate_json(agreed.model_dump_json()) == agreed
    assert Disputed.model_validate_json(disputed.model_dump_json()) == disputed


def test_worst_first_over_items():
    items = [item(key, SHOWN.sheet) for key in ("k1", "k2", "k3", "k4")]
    near, far, none = events(pour(0, 4000)), events(pour(0, 10_000)), events()
    handed = [
        done("k1", "a1", near), done("k1", "a2", far), done("k2", "a1", near), done("k2", "a2", none),
        done("k3", "a1", near), done("k3", "a2", near), done("k4", "a1", far),
    ]  # fmt: skip
    found = disputes(items, handed)
    assert [(one.key, one.score) for one in found] == [("k2", 1.0), ("k1", pytest.approx(0.6))]


# Questions and turns


def verdict(one, at, said="accept", **more):
    return QuestionVerdict(id=f"{one.key}/{at}", verdict=said, **more)


def test_questions_stand_one_by_one():
    (one,), _ = qa_items(3, 1, questions=3)
    left = Work(kind="qa", questions=(verdict(one, 0), verdict(one, 1), verdict(one, 2, "reject")))
    right = Work(kind="qa", questions=(verdict(one, 0), verdict(one, 1, "reject"), verdict(one, 2, "reject")))
    found = resolved(left, right, one=one)
    assert [said.id for said in found.agreed.questions] == [f"{one.key}/0", f"{one.key}/2"]
    assert [(reason.about, reason.id, reason.options) for reason in found.reasons] == [
        ("verdict", f"{one.key}/1", ("accept", "reject"))
    ]
    assert found.score == pytest.approx(1 / 3)
    sheet = open_sheet(one, found)
    assert sheet.questions == (one.sheet.questions[1],)
    final = decided(one, found, Work(kind="qa", questions=(verdict(one, 1, "reject"),)))
    assert [said.verdict for said in final.questions] == ["accept", "reject", "reject"]


def test_the_adjudicator_does_not_overrule_what_stands():
    (one,), _ = qa_items(3, 1, questions=2)
    left = Work(kind="qa", questions=(verdict(one, 0), verdict(one, 1)))
    right = Work(kind="qa", questions=(verdict(one, 0), verdict(one, 1, "reject")))
    found = resolved(left, right, one=one)
    both = Work(kind="qa", questions=(verdict(one, 0, "reject"), verdict(one, 1, "reject")))
    assert [said.verdict for said in decided(one, found, both).questions] == ["accept", "reject"]
    unfit = Work(kind="qa", usable=False)
    assert decided(one, found, unfit) == unfit


def test_a_question_that_one_left_alone_counts_as_apart():
    (one,), _ = qa_items(3, 1, questions=2)
    left = Work(kind="qa", questions=(verdict(one, 0), verdict(one, 1)))
    right = Work(kind="qa", questions=(verdict(one, 0),))
    assert disagreement(one, [left, right]) == 0.5


def test_turns_are_in_dispute_with_the_whole_dialogue_shown():
    one = dialogue_item("d", "Hello?", "Yes.", "Bye.")
    left = dialogue(turn("d/0"), turn("d/1", timing="too_late"), turn("d/2", "reject"))
    right = dialogue(turn("d/0"), turn("d/1"), turn("d/2", "reject"))
    found = resolved(left, right, one=one)
    assert [(reason.about, reason.start_ns, reason.end_ns) for reason in found.reasons] == [("timing", S, 2 * S)]
    assert open_sheet(one, found).turns == one.sheet.turns
    answer = dialogue(turn("d/0", "reject"), turn("d/1", timing="too_early"), turn("d/2"))
    final = decided(one, found, answer)
    assert [(said.verdict, said.timing) for said in final.turns] == [
        ("accept", None), ("accept", "too_early"), ("reject", None),
    ]  # fmt: skip


# Against the truth


def against_truth(items, truths, works_by_key):
    panels = [Panel(item=one, works=(works_by_key[one.key], truths[one.key])) for one in items]
    return measure(panels, items[0].sheet.kind, AgreementConfig(resamples=20), signed=True)


def of_person(handed, name):
    return {one.key: one.work for one in handed if one.annotator == name}


@pytest.mark.parametrize("people", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_merged_events_beat_the_best_single_person(people, seed):
    items, truths = event_items(seed, 24)
    faults = {"noise": 350 * MS, "miss": 0.08, "false_alarm": 0.05, "relabel": 0.04}
    crowd = [Person(name=f"a{at}", bias=bias * MS, **faults) for at, bias in enumerate((120, -120, 60)[:people])]
    handed = [one for person in crowd for one in work_events(person, items, truths, seed)]
    # The adjudicator is no better than those whom they judge.
    merged = against_truth(items, truths, adjudicate(Person(name="z", **faults), items, truths, handed, seed)).events
    for person in crowd:
        single = against_truth(items, truths, of_person(handed, person.name)).events
        assert merged.f1[1].figure.value > single.f1[1].figure.value
        assert merged.f1[2].figure.value > single.f1[2].figure.value
        assert merged.frame_alpha.value > single.frame_alpha.value
        assert merged.start.median_ms.value < single.start.median_ms.value


@pytest.mark.parametrize("people", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_merged_verdicts_beat_the_best_single_person(people, seed):
    items, truths = qa_items(seed, 30)
    crowd = [Person(name=f"a{at}", wrong=0.15, noise=500 * MS) for at in range(people)]
    handed = [one for person in crowd for one in work_questions(person, items, truths, seed)]
    judge = Person(name="z", wrong=0.15, noise=500 * MS)
    merged = against_truth(items, truths, adjudicate(judge, items, truths, handed, seed)).judgements
    for person in crowd:
        single = against_truth(items, truths, of_person(handed, person.name)).judgements
        assert merged.same_verdict.value > single.same_verdict.value
        assert merged.verdict_alpha.value > single.verdict_alpha.value
        assert merged.answer.median_ms.value < single.answer.median_ms.value
