"""What became of each item: agreed, decided in a second round, or open; and of gold nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from annotate.disputes import Agreed, Disputed, open_sheet, resolve
from annotate.errors import AnnotateError
from annotate.merge import Standing, Undecided
from annotate.outcome import Finished, apart, in_dispute, outcome
from annotate.rounds import Round, items_sha256
from annotate.second import parents_of
from annotate.tasks import Item, QuestionVerdict, Work, key_of
from tests.annotate import people
from tests.annotate.rounds_of_items import manifest


def round_of(folder, items, **changes):
    """A round in memory."""
    told = manifest(items, kind=items[0].sheet.kind, items_sha256=items_sha256(items), **changes)
    return Round.of(folder, told, items)


def second_of(folder, first):
    """The second round of a round, in memory, for which no clip is needed."""
    items = []
    for one in in_dispute(first):
        item = first.round_.by_key[one.key]
        sheet = open_sheet(item, one)
        key = key_of(item.window, sheet, first.round_.manifest.config_sha256)
        items.append(Item(key=key, window=item.window, sheet=sheet, split="train", priority=one.score))
    return round_of(folder, items, name="r2", parent_round="r1")


def verdicts(item, *said):
    names = [one.id for one in item.sheet.questions]
    return Work(
        kind="qa",
        questions=tuple(QuestionVerdict(id=n, verdict=v) for n, v in zip(names, said, strict=True)),
    )


@pytest.fixture
def asked(tmp_path):
    """Four items with two questions each: agreed, disputed, gold that is disputed, and untouched by anybody."""
    items, _ = people.qa_items(3, 4, questions=2)
    items[2] = items[2].model_copy(update={"is_gold": True, "truth": verdicts(items[2], "accept", "accept")})
    works = [
        (0, "a1", ("accept", "reject")), (0, "a2", ("accept", "reject")),
        (1, "a1", ("accept", "accept")), (1, "a2", ("accept", "reject")),
        (2, "a1", ("accept", "accept")), (2, "a2", ("reject", "reject")),
    ]  # fmt: skip
    done = [people.done(items[at].key, who, verdicts(items[at], *said)) for at, who, said in works]
    return Finished(round_=round_of(tmp_path / "r1", items), done=done)


def test_what_people_agree_on_stands_with_all_their_names(asked):
    key = asked.round_.items[0].key
    assert outcome(asked)[key] == Standing(
        work=verdicts(asked.round_.items[0], "accept", "reject"), annotators=("a1", "a2")
    )


def test_what_they_do_not_agree_on_is_open_and_says_why_and_gold_and_untouched_items_are_nowhere(asked):
    agreed, disputed, gold, alone = asked.round_.items
    found = outcome(asked)
    assert found.keys() == {agreed.key, disputed.key}
    assert isinstance(found[disputed.key], Undecided)
    assert len(found[disputed.key].reasons) == 1
    assert "a1" not in found[disputed.key].reasons[0]
    assert [one.key for one in in_dispute(asked)] == [disputed.key]
    assert not {gold.key, alone.key} & found.keys()


def test_a_ruling_stands_for_what_was_in_dispute_and_names_the_judge(asked, tmp_path):
    disputed = asked.round_.items[1]
    second = second_of(tmp_path / "r2", asked)
    ruling = Work(kind="qa", questions=(QuestionVerdict(id=disputed.sheet.questions[1].id, verdict="reject"),))
    done = [people.done(second.items[0].key, "a3", ruling)]
    found = outcome(asked, Finished(round_=second, done=done))[disputed.key]
    assert found == Standing(work=verdicts(disputed, "accept", "reject"), annotators=("a1", "a2", "a3"))


def test_judges_who_say_the_same_both_count_and_those_who_differ_decide_nothing(asked, tmp_path):
    disputed = asked.round_.items[1]
    second = second_of(tmp_path / "r2", asked)
    name = disputed.sheet.questions[1].id

    def said(who, verdict):
        work = Work(kind="qa", questions=(QuestionVerdict(id=name, verdict=verdict),))
        return people.done(second.items[0].key, who, work)

    both = Finished(round_=second, done=[said("a4", "reject"), said("a3", "reject")])
    assert outcome(asked, both)[disputed.key].annotators == ("a1", "a2", "a3", "a4")
    apart_ = Finished(round_=second, done=[said("a3", "reject"), said("a4", "accept")])
    assert outcome(asked, apart_)[disputed.key] == outcome(asked)[disputed.key]


def test_a_dispute_that_nobody_has_decided_yet_stays_open(asked, tmp_path):
    second = Finished(round_=second_of(tmp_path / "r2", asked), done=[])
    assert outcome(asked, second) == outcome(asked)


def test_a_second_round_of_something_else_is_refused(asked, tmp_path):
    second = second_of(tmp_path / "r2", asked)
    stranger = replace(second, manifest=second.manifest.model_copy(update={"parent_round": "r0"}))
    with pytest.raises(AnnotateError, match="round r2: parent_round: found r0, expected r1"):
        outcome(asked, Finished(round_=stranger, done=[]))


def test_work_on_an_item_of_no_dispute_rules_nothing(asked, tmp_path):
    second = second_of(tmp_path / "r2", asked)
    other = asked.round_.items[0]
    more = Round.of(second.folder, second.manifest, (*second.items, other))
    done = [people.done(other.key, "a3", verdicts(other, "reject", "reject"))]
    assert outcome(asked, Finished(round_=more, done=done)) == outcome(asked)


def test_how_far_people_were_apart_is_told_of_windows_that_two_of_them_did(asked):
    # All four items are of one window: each gets its own here.
    items = [
        item.model_copy(update={"window": people.window(video_id=f"v{at}")})
        for at, item in enumerate(asked.round_.items)
    ]
    alone = people.done(items[3].key, "a1", verdicts(items[3], "accept", "reject"))
    first = Finished(round_=round_of(asked.round_.folder, items), done=[*asked.done, alone])
    assert apart(first) == {
        ("v0", 0, 120 * people.S): 0.0,
        ("v1", 0, 120 * people.S): resolve(items[1], [one for one in first.done if one.key == items[1].key]).score,
    }
    assert apart(first)["v1", 0, 120 * people.S] > 0


@trying(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), gold=st.integers(0, 3))
def test_every_item_is_agreed_ruled_or_open_and_a_judge_leaves_none_open(tmp_path_factory, seed, gold):
    folder = tmp_path_factory.getbasetemp()
    items, truths = people.qa_items(seed, 5, gold=gold)
    several = [people.Person(name=f"a{at}", wrong=0.3, noise=2 * people.S) for at in (1, 2)]
    done = [one for person in several for one in people.work_questions(person, items, truths, seed)]
    first = Finished(round_=round_of(folder / "r1", items), done=done)
    found = outcome(first)
    assert found.keys() == {item.key for item in items if not item.is_gold}
    for key, result in found.items():
        own = resolve(first.round_.by_key[key], [one for one in done if one.key == key])
        assert isinstance(own, Agreed) is isinstance(result, Standing)
        if isinstance(own, Agreed):
            assert result.work == own.work
    if not in_dispute(first):
        return
    second = second_of(folder / "r2", first)
    rulings = [people.done(item.key, "a3", judged(item, truths)) for item in second.items]
    ruled = outcome(first, Finished(round_=second, done=rulings))
    assert all(isinstance(result, Standing) for result in ruled.values())
    parents = parents_of(second, first.round_, in_dispute(first))
    assert {one.key for one in parents.values()} == {key for key in found if isinstance(found[key], Undecided)}
    for key, result in found.items():
        if isinstance(result, Standing):
            assert ruled[key] == result
        else:
            assert "a3" in ruled[key].annotators


def judged(item, truths):
    """The truth about what an open sheet asks."""
    asked = {one.id for one in item.sheet.questions}
    said = [one for truth in truths.values() for one in truth.questions if one.id in asked]
    return Work(kind="qa", questions=tuple(said))


def test_disputes_come_worst_first():
    items, truths = people.qa_items(11, 6)
    several = [people.Person(name=name, wrong=0.5) for name in ("a1", "a2", "a3", "a4")]
    done = [one for person in several for one in people.work_questions(person, items, truths, 1)]
    found = in_dispute(Finished(round_=round_of(None, items), done=done))
    assert len(found) > 1
    assert all(isinstance(one, Disputed) for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
