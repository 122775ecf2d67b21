"""Decisions follow their definition; standing questions, dialogues, feedback and pairs of traces are what they say."""

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from datasets_build.core.decisions import decisions_on
from recipes.data.dialogues import (
    NOT_SO,
    claim_of,
    dialogue_lines,
    dialogues,
    lost_spans,
    replies_by_task,
    stretches_of,
    with_feedback,
    wrong_reply,
)
from recipes.data.footage import Stretch
from recipes.data.questions import instants, is_standing
from recipes.data.realtime import Due, Late, decision_lines, realtime, scheduled
from recipes.data.script import Left, Line
from recipes.data.traces import PRICES, REJECTS, Case, preferences
from recipes.losses.interaction import utility
from recipes.settings import InteractConfig, StreamConfig
from tests.recipes.data.lessons import SECOND, desk

ALL = tuple(REJECTS)


def due(place, *, text="now", evidence=0, window=10**12, **more):
    fields = {"since_ns": 0, "task": "next", "until_ns": 0} | more
    return Due(place=place, text=text, evidence_ns=evidence, window_end_ns=window, **fields)


def test_decisions_of_a_whole_dialogue_are_those_of_their_definition(corpus):
    """On grids at which nobody speaks, with replies moved to where a session gives them."""
    compared = Counter()
    for material in everything(corpus):
        footage = material.footage
        whole = Stretch(first=0, learn=0, stop=len(footage.grids))
        for row in material.dialogues:
            lines = dialogue_lines(row, material, whole, left=Left())
            ours = {line.t_ns: line.state for line in lines if not line.question}
            at_once = {line.name for line in lines if line.question and line.name}
            turns = [
                turn.model_copy(update={"start_ns": next(u.end_ns for u in row.turns if u.id == turn.trigger_ref)})
                if turn.id in at_once
                else turn
                for turn in row.turns
            ]
            track = decisions_on(turns, footage.clock, fps=None)
            native = [run.state for run in track.runs for _ in range(run.steps)]
            times = footage.clock.t_ns.tolist()
            for before, grid in pairwise([None, *footage.grids]):
                if grid.t1_ns not in ours:
                    continue
                begin = -1 if before is None else before.t1_ns
                since = [
                    turn
                    for turn in turns
                    if turn.role == "assistant" and turn.id not in at_once and begin < turn.start_ns <= grid.t1_ns
                ]
                state = native[times.index(grid.t1_ns)]
                expected = "respond" if since else "silence" if state == "respond" else state
                assert ours[grid.t1_ns] == expected, (row.id, grid)
                compared[expected] += 1
    assert compared["silence"] > 20
    assert compared["respond"] > 0


def test_a_wait_is_standby_and_ends_with_its_answer():
    times = [type("Grid", (), {"t1_ns": k * SECOND})() for k in range(6)]
    lines = decision_lines([due(4, evidence=3 * SECOND)], times, range(6), waits=[(SECOND - 1, 4 * SECOND)])
    assert [line.state for line in lines] == ["silence", "standby", "standby", "standby", "respond", "silence"]
    assert [line.aside for line in lines] == [True, True, True, True, False, True]
    assert [line.evidence_ns for line in lines] == [3 * SECOND] * 5 + [None]
    assert lines[5].task == "watch"


def test_the_decision_about_a_grid_does_not_know_of_a_question_of_the_same_time():
    times = [type("Grid", (), {"t1_ns": k * SECOND})() for k in range(4)]
    lines = decision_lines([], times, range(4), waits=[(SECOND, 3 * SECOND)])
    assert [line.state for line in lines] == ["silence", "silence", "standby", "silence"]


def test_nothing_is_to_come_before_it_was_asked_for():
    times = [type("Grid", (), {"t1_ns": k * SECOND})() for k in range(4)]
    lines = decision_lines([due(3, evidence=3 * SECOND, since_ns=2 * SECOND)], times, range(4), waits=[])
    assert [line.evidence_ns for line in lines] == [None, None, 3 * SECOND, 3 * SECOND]


def test_of_two_things_at_one_grid_one_waits_for_the_next(corpus):
    grids = corpus.materials["train"][0].footage.grids
    stretch = Stretch(first=0, learn=0, stop=5)
    left = Left()
    found = scheduled([due(2, text="b", evidence=2), due(2, text="a", evidence=1)], grids, stretch, left)
    assert [(item.place, item.text) for item in found] == [(2, "a"), (3, "b")]
    late = scheduled([due(2, text="a"), due(2, text="b", evidence=1, window=grids[2].t1_ns)], grids, stretch, left)
    assert [item.text for item in late] == ["a"]
    assert scheduled([due(5)], grids, stretch, left) == []
    assert left.counts["realtime", "no grid in its window"] == 2


def test_standing_questions_are_answered_in_their_window_and_at_no_other_grid(corpus):
    answered = 0
    for material in corpus.materials["train"]:
        rows = [row for row in material.questions if is_standing(row)]
        answers = {(answer.text, answer.t_ns): answer for row in rows for answer in row.answers}
        for example in realtime(material, StreamConfig(standing=1, idle=1.0), desk()):
            spoken = [said for said in example.said if said.state == "respond"]
            for said in spoken:
                answer = answers[said.text, said.evidence_ns]
                assert answer.t_ns <= said.t_ns
                grids = [grid for grid in material.footage.grids if grid.t1_ns >= answer.t_ns]
                # At the first grid that can know, however short the window.
                assert said.t_ns == grids[0].t1_ns + 1 or said.t_ns < answer.window_end_ns
            answered += len(spoken)
            decided = [said for said in example.said if not said.asked]
            assert [said.t_ns for said in decided] == [
                grid.t1_ns + 1 for grid in material.footage.grids[: len(decided)]
            ]
            # A request whose answer is not known yet is met with the sign that it is waited for.
            assert all(said.state == "standby" for said in example.said if said.asked and not said.text)
    assert answered > 5


def test_not_more_questions_wait_than_allowed(corpus):
    for material in corpus.materials["train"]:
        rows = {(row.ask_ns, row.task): row for row in material.questions if is_standing(row)}
        asked = []
        for example in realtime(material, StreamConfig(standing=2, twins=0.0), desk()):
            mine = [rows.get((said.t_ns, said.task)) for said in example.said if said.asked]
            open_ns = [(row.ask_ns, row.answers[-1].t_ns) for row in mine if row is not None]
            assert all(sum(begin <= at <= end for begin, end in open_ns) <= 2 for at, _ in open_ns)
            asked += open_ns
        one = realtime(material, StreamConfig(standing=1, twins=0.0), desk())
        (all_in_one,) = realtime(material, StreamConfig(standing=100, twins=0.0), desk())
        assert len(one) >= 1
        words = Counter(said.text for said in all_in_one.said if said.asked)
        assert words == Counter(said.text for example in one for said in example.said if said.asked)
        assert asked


def test_twins_say_the_same_one_grid_later(corpus):
    twins = 0
    for material in corpus.materials["train"]:
        until = {(item.question, item.text): item.until_ns for item in instants(material)}
        texts = {item.text: item.until_ns for item in instants(material)}
        for example in realtime(material, StreamConfig(twins=1.0), desk()):
            for said in example.said:
                if said.twin < 0:
                    continue
                later = example.said[said.twin]
                assert (later.text, later.task, later.state) == (said.text, said.task, said.state)
                whole = [grid for grid in example.grids if grid.t0_ns != grid.t1_ns]
                known = [sum(grid.t1_ns <= item.t_ns for grid in whole) for item in (said, later)]
                assert known[1] == known[0] + 1
                assert later.t_ns <= max(texts[said.text], max(until.values()))
                twins += 1
        none = realtime(material, StreamConfig(twins=0.0), desk())
        assert all(said.twin < 0 for example in none for said in example.said)
    assert twins > 5


def everything(corpus):
    return [material for split in sorted(corpus.materials) for material in corpus.materials[split]]


def talk(corpus, **more):
    for material in everything(corpus):
        for row in material.dialogues:
            for stretch in stretches_of(row, material.footage, more.get("window_s", 1000.0)):
                yield row, material, dialogue_lines(row, material, stretch, left=Left())


def test_turns_come_when_they_were_said(corpus):
    for row, _, lines in talk(corpus):
        asked = [(line.t_ns, line.question) for line in lines if line.question]
        users = sorted((turn.end_ns, turn.text) for turn in row.turns if turn.role == "user")
        assert sorted(asked) == [turn for turn in users if turn in asked]
        assert len(asked) >= len(users) - 1
        words = {turn.text for turn in row.turns if turn.role == "assistant"}
        assert {line.text for line in lines if line.text} <= words


def test_a_reply_that_was_cut_short_has_no_end(corpus):
    row, material, lines = next(iter(talk(corpus)))
    reply = next(turn for turn in row.turns if turn.role == "assistant" and turn.trigger == "user_query")
    cut = reply.model_copy(
        update={
            "text": reply.text[:5],
            "truncated_at_char": 5,
            "intended_text": reply.text,
            "end_ns": reply.start_ns + 1,
        }
    )
    turns = tuple(cut if turn.id == reply.id else turn for turn in row.turns)
    stretch = stretches_of(row, material.footage, 1000.0)[0]
    lines = dialogue_lines(row.model_copy(update={"turns": turns}), material, stretch, left=Left())
    (line,) = [line for line in lines if line.text == cut.text and not line.ended]
    assert line.learn
    assert sum(not line.ended for line in lines) == 1


def test_no_decision_is_learned_while_somebody_speaks(corpus):
    for row, _, lines in talk(corpus):
        at_once = {line.name: line.t_ns for line in lines if line.question and line.name}
        speech = [(at_once[turn.id], turn.end_ns) for turn in row.turns if turn.id in at_once]
        silent = [line.t_ns for line in lines if not line.question and line.state != "respond"]
        assert not [t_ns for t_ns in silent for begin, end in speech if begin <= t_ns < end]
        assert silent


def test_what_is_not_to_be_learned_is_not(corpus):
    row, material, _ = next(iter(talk(corpus)))
    quiet = tuple(
        turn.model_copy(update={"learn": False, "loss_weight": 0.5}) if turn.role == "assistant" else turn
        for turn in row.turns
    )
    stretch = stretches_of(row, material.footage, 1000.0)[0]
    lines = dialogue_lines(row.model_copy(update={"turns": quiet}), material, stretch, left=Left())
    assert not [line for line in lines if line.text and line.learn]
    assert {line.loss_weight for line in lines if line.text} == {0.5}


def test_a_part_of_a_dialogue_knows_what_was_said_before(corpus):
    equal = 0
    for row, material, whole in talk(corpus):
        footage = material.footage
        parts = stretches_of(row, footage, 6.0)
        assert len(parts) > 1
        learned, left = [], Left()
        for stretch in parts:
            lines = dialogue_lines(row, material, stretch, left=left)
            begin, end = footage.span(stretch)
            assert all(begin <= line.t_ns < end for line in lines if line.learn)
            earlier = [line for line in whole if (line.question or line.text) and line.t_ns < begin]
            kept = [line for line in lines if not line.learn and (line.question or line.text)]
            assert len(kept) >= len(earlier)
            learned += [line for line in lines if line.learn]
        found = Counter(line.state for line in learned if not line.question)
        due = Counter(line.state for line in whole if line.learn and not line.question)
        # What a part leaves out for want of its evidence is told; without that nothing is missing.
        assert found <= due
        assert found == due or left.counts
        equal += found == due
    assert equal


def test_feedback_teaches_the_right_reply_alone(corpus):
    replies = replies_by_task(corpus.materials["train"])
    found = 0
    for material in corpus.materials["train"]:
        for example in dialogues(material, InteractConfig(feedback=1.0), desk(), replies=replies):
            plain = dialogues(material, InteractConfig(feedback=0.0), desk(), replies=replies)
            other = next(each for each in plain if each.key == example.key)
            assert [(said.text, said.state) for said in example.said] == [(s.text, s.state) for s in other.said]
            found += example.tokens > other.tokens
    assert found


def line_of(text, task="count_so_far", **more):
    return Line(t_ns=0, task=task, question="How many?", text=text, **more)


def test_feedback_stands_at_once_behind_the_wrong_reply():
    lines = (line_of("2 so far."), replace(line_of("Yes."), t_ns=9, task="happened_yet"))
    made = with_feedback(lines, {"count_so_far": ("So far, 2.", "So far, 3.")}, choose=lambda _: 0)
    wrong, right, rest = made
    assert (wrong.text, wrong.learn, wrong.question) == ("So far, 3.", False, "How many?")
    assert (right.text, right.learn, right.question, right.t_ns) == ("2 so far.", True, NOT_SO, 0)
    assert rest == lines[1]
    assert with_feedback(lines, {}, choose=lambda _: 0) == lines


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2 so far.", "Up to now, 2.", True),
        ("2 so far.", "Up to now, 3.", False),
        ("Yes, it has.", "Yes. It came.", True),
        ("No.", "Yes.", False),
        ("It was this: The circle left.", "Just before now: the circle left", True),
    ],
)
def test_what_a_reply_claims_is_told_without_its_phrase(one, other, same):
    assert (claim_of(one) == claim_of(other)) is same
    texts = wrong_reply(line_of(one), {"count_so_far": (other,)})
    assert texts == ([] if same else [other])


def cases(corpus):
    replies = replies_by_task(corpus.materials["train"])
    for row, material, lines in talk(corpus):
        stretch = stretches_of(row, material.footage, 1000.0)[0]
        whole = {turn.id: turn.intended_text for turn in row.turns if turn.intended_text}
        chance = desk().rng("test", row.id).randrange
        yield Case(lines=lines, footage=material.footage, stretch=stretch, replies=replies, whole=whole, choose=chance)


@pytest.mark.parametrize("kind", ALL)
def test_a_worse_trace_is_worth_less_and_differs_where_it_says(corpus, kind):
    made = 0
    for case in cases(corpus):
        trace = REJECTS[kind](case)
        if trace is None:
            continue
        made += 1
        assert utility(trace.outcome, PRICES) < utility(case.earned({}), PRICES)
        assert [line.t_ns for line in trace.lines] == [line.t_ns for line in case.lines]
        different = [(a, b) for a, b in zip(case.lines, trace.lines, strict=True) if a != b]
        assert bool(different) != bool(trace.shown)
        if kind == "early":
            said = next(b for a, b in different if b.text)
            assert said.t_ns < said.evidence_ns
        if kind == "late":
            said = next(b for _, b in different if b.text)
            truth = next(a for a, _ in different if a.text)
            assert said.t_ns >= truth.window_end_ns
            assert said.text == truth.text
        if kind == "missed":
            assert [b.state for _, b in different] == ["silence"]
        if kind == "wrong":
            ((a, b),) = different
            assert claim_of(a.text) != claim_of(b.text)
        if kind == "frames":
            assert sorted(shown for _, shown in trace.shown) == [place for place, _ in trace.shown]
    assert made or kind == "barge_in"


def test_who_ignores_a_barge_in_speaks_on(corpus):
    case = next(cases(corpus))
    cut = Line(t_ns=1, task="next", question="What?", text="The red", ended=False, name="r")
    second = Line(t_ns=2, task="count_so_far", question="How many?", text="2.", evidence_ns=2)
    case = replace(case, lines=(cut, second), whole={"r": "The red circle leaves."})
    trace = REJECTS["barge_in"](case)
    assert [(line.text, line.ended, line.state) for line in trace.lines] == [
        ("The red circle leaves.", True, None), ("", True, "silence"),
    ]  # fmt: skip
    assert trace.outcome.late == 1
    assert trace.outcome.quality == (1.0, 0.0)


def test_pairs_see_the_same_grids(corpus):
    replies = replies_by_task(corpus.materials["train"])
    config = InteractConfig(rejects=("early", "late", "chatter", "missed", "wrong", "barge_in"))
    for material in corpus.materials["train"]:
        for example in preferences(material, config, desk(), replies=replies):
            assert example.rival is not None
            assert {grid.key for grid in example.grids} == {grid.key for grid in example.rival.grids}
            assert example.utility > example.rival.utility
            assert example.key != example.rival.key


def test_mixed_pictures_are_shown_at_the_times_of_others(corpus):
    material = corpus.materials["train"][0]
    (pair,) = preferences(material, InteractConfig(rejects=("frames",)), desk(), replies={})[:1]
    times = [block.grids[0].t_ns for block in pair.rival.blocks if block.grids]
    assert times == [block.grids[0].t_ns for block in pair.blocks if block.grids]
    assert [grid.t0_ns for grid in pair.grids] == times
    assert [grid.t0_ns for grid in pair.rival.grids] != times


def test_a_dialogue_shorter_than_a_grid_is_counted(corpus):
    material = corpus.materials["train"][0]
    row = material.dialogues[0].model_copy(update={"start_ns": 1, "end_ns": 2, "turns": ()})
    at = desk()
    assert dialogues(replace(material, dialogues=(row,)), InteractConfig(), at, replies={}) == []
    assert at.left.counts["dialogue", "shorter than a grid"] == 1


def decided_at(example):
    """Times of the grids after which something is decided."""
    return [each.t_ns - 1 for each in example.said if not each.asked]


def test_of_decisions_before_anything_is_asked_a_share_is_learned(corpus):
    dropped = kept = followed = 0
    for material in corpus.materials["train"]:
        asked = {row.ask_ns for row in material.questions if is_standing(row)}
        made = [
            {e.key: e for e in realtime(material, StreamConfig(standing=1, twins=0.0, idle=share), desk())}
            for share in (1.0, 0.5, 0.0)
        ]
        for key, example in made[0].items():
            whole, some, none = (decided_at(part[key]) if key in part else [] for part in made)
            # What goes is a beginning: who has been asked decides after every grid, also once all is answered.
            assert none == whole[len(whole) - len(none) :]
            assert set(none) <= set(some) <= set(whole)
            before = whole[: len(whole) - len(none)]
            if none and before:
                assert any(before[-1] <= t_ns < none[0] for t_ns in asked)
            dropped += len(set(whole) - set(some))
            kept += len(set(some) - set(none))
            answered = [each.t_ns for each in example.said if each.state == "respond" and not each.asked]
            followed += bool(answered) and whole[-1] >= answered[-1]
    assert dropped
    assert kept
    assert followed


def told_at(example):
    return [(each.t_ns, each.text) for each in example.said if each.state == "respond" and not each.asked]


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_share_of_what_is_said_comes_later_and_in_time(corpus, share):
    moved = stayed = 0
    for material in corpus.materials["train"]:
        plain = realtime(material, StreamConfig(twins=0.0, idle=1.0), desk())
        late = realtime(material, StreamConfig(twins=0.0, idle=1.0, late=share), desk())
        assert [example.key for example in late] == [example.key for example in plain]
        for before, after in zip(plain, late, strict=True):
            passed = set()
            for (first, text), (then, same) in zip(told_at(before), told_at(after), strict=True):
                assert text == same
                assert first <= then
                moved += then > first
                stayed += then == first
                passed |= {each.t_ns for each in before.said if not each.asked and first <= each.t_ns < then}
            spoken = [each for each in after.said if each.state == "respond" and not each.asked]
            # Decided a nanosecond after its grid.
            assert all(each.window_end_ns is None or each.t_ns <= each.window_end_ns for each in spoken)
            # Where it could have been said, neither silence nor speech is learned; elsewhere as before.
            times = [each.t_ns for each in before.said if not each.asked]
            assert [each.t_ns for each in after.said if not each.asked] == [t for t in times if t not in passed]
    assert moved
    assert stayed


def test_what_is_late_gives_way_to_what_is_due_then(corpus):
    grids = corpus.materials["train"][0].footage.grids
    stretch = Stretch(first=0, learn=0, stop=6)
    always = Late(share=0.999999, rng=random.Random(0))
    told, passed = always.moved([due(1), due(3), due(4, window=grids[5].t1_ns)], grids, stretch)
    assert [item.place for item in told] == [2, 3, 4]
    assert passed == {1}
    assert Late(share=0.0, rng=random.Random(0)).moved([due(1)], grids, stretch) == ([due(1)], set())


def answered(corpus):
    """A dialogue with an answer that is proved, and that answer."""
    for row, material, _ in talk(corpus):
        for turn in row.turns:
            if turn.trigger == "user_query" and turn.evidence:
                return row, material, turn
    raise AssertionError("no dialogue has an answer")


def troubled(row, answer):
    """The dialogue with an answer that never comes: its question is asked again some time later."""
    lost = next(turn for turn in row.turns if turn.id == answer.trigger_ref)
    later = answer.start_ns + 2 * SECOND
    again = {"id": "again", "start_ns": later, "end_ns": later + SECOND, "trigger": "timer", "trigger_ref": lost.id}
    turns = [turn for turn in row.turns if turn.start_ns <= answer.start_ns and turn not in (answer, lost)]
    turns += [lost.model_copy(update={"learn": False, "loss_weight": 0.0}), lost.model_copy(update=again)]
    return row.model_copy(update={"turns": tuple(turns)}), lost, later


def test_who_waits_for_a_lost_answer_teaches_nobody_to_wait(corpus):
    row, material, answer = answered(corpus)
    lame, lost, later = troubled(row, answer)
    (span,) = lost_spans(lame)
    assert (span.start_ns, span.end_ns) == (lost.end_ns, later)
    assert lost_spans(row) == []
    (stretch,) = stretches_of(lame, material.footage, 1000.0)
    lines = dialogue_lines(lame, material, stretch, left=Left())
    assert not [line for line in lines if not line.question and lost.end_ns <= line.t_ns < later]
    asked = [line for line in lines if line.question == lost.text]
    assert [line.learn for line in asked] == [False, True]


def test_a_wrong_answer_is_heard_and_not_learned_and_its_correction_is(corpus):
    row, material, wrong = answered(corpus)
    right = wrong.model_copy(
        update={
            "id": "right",
            "start_ns": wrong.end_ns,
            "end_ns": wrong.end_ns + SECOND,
            "text": "I was wrong: it is.",
            "trigger": "correction",
            "trigger_ref": wrong.id,
            "window_start_ns": wrong.end_ns,
        }
    )
    untrue = wrong.model_copy(update={"learn": False, "loss_weight": 0.0, "text": "It is not."})
    turns = [untrue if turn is wrong else turn for turn in row.turns if turn.start_ns <= wrong.start_ns] + [right]
    (stretch,) = stretches_of(row, material.footage, 1000.0)
    lines = dialogue_lines(row.model_copy(update={"turns": tuple(turns)}), material, stretch, left=Left())
    learned = {line.text: line.learn for line in lines if line.text in ("It is not.", "I was wrong: it is.")}
    assert learned == {"It is not.": False, "I was wrong: it is.": True}
