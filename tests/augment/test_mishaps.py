"""What goes wrong in conversations: each mishap comes about, looks as it should, and is made good."""

from itertools import pairwise

import pytest

from augment.latency import Constant
from augment.maker import Maker
from augment.mishaps import Mishaps
from augment.settings import Delay, DroppedAnswer, Interrupt, LateAnswer, Pipeline, Reconnect, WrongThenCorrected
from augment.talk import no_latency
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.decisions import pending_spans
from datasets_build.truth.asides import ASIDES, said
from datasets_build.truth.gaps import LEAST_GONE_NS, gone_before
from datasets_build.truth.words import speaks_of_now
from tests.augment.clips import RULES, brisk, broken, clip

NAMES = ("a", "b", "c", "f", "g")


def talks(*operations, seeds=2, of=clip):
    """Conversations that a pipeline makes of clips, with their clocks."""
    for name in NAMES:
        for seed in range(seeds):
            maker = Maker(pipeline=Pipeline(seed=seed, operations=operations), rules=RULES, talk_rules=RULES)
            made = maker.make(of(name), 0)
            assert broken(made) == []
            for row in made.clip.dialogues:
                yield row, made.view.clock


def by_id(row):
    return {turn.id: turn for turn in row.turns}


def test_a_lost_answer_is_asked_for_again_after_a_while():
    count = 0
    for row, _ in talks(DroppedAnswer(share=0.7, patience_s=1.5), seeds=8):
        turns = by_id(row)
        waits = dict(zip([turn.id for turn in row.turns if turn.role == "user"], pending_spans(row.turns), strict=True))
        for again in (turn for turn in row.turns if turn.role == "user" and turn.trigger == "timer"):
            lost = turns[again.trigger_ref]
            count += 1
            assert (lost.text, lost.task, lost.about) == (again.text, again.task, again.about)
            assert again.start_ns - lost.end_ns >= 1.5 * NS_PER_S
            assert not lost.learn
            assert lost.loss_weight == 0.0
            assert again.learn
            assert [t.trigger_ref for t in row.turns if t.role == "assistant"].count(lost.id) == 0
            assert [t.trigger_ref for t in row.turns if t.role == "assistant"].count(again.id) == 1
            # Somebody waits until it is asked again, and no longer.
            assert waits[lost.id].end_ns == again.start_ns
    assert count >= 3


@pytest.mark.parametrize("by", ["self", "user"])
def test_what_is_wrong_is_not_learned_and_put_right(by):
    count = 0
    for row, _ in talks(WrongThenCorrected(share=0.8, by=by), of=brisk):
        turns = by_id(row)
        for wrong in (turn for turn in row.turns if turn.role == "assistant" and not turn.learn):
            count += 1
            named = {wrong.id, *(turn.id for turn in row.turns if turn.trigger_ref == wrong.id)}
            (right,) = (turn for turn in row.turns if turn.role == "assistant" and turn.trigger_ref in named)
            assert wrong.loss_weight == 0.0
            assert right.learn
            assert right.start_ns >= wrong.end_ns
            assert said(right.text).text != said(wrong.text).text
            assert said(right.text).aside == ("corrected" if by == "self" else None)
            if by == "user":
                refusal = turns[right.trigger_ref]
                assert refusal.text == ASIDES["refused"] + turns[wrong.trigger_ref].text
                assert wrong.end_ns < refusal.start_ns < refusal.end_ns <= right.start_ns
    assert count >= 3


@pytest.mark.parametrize("then", ["resume", "abandon"])
def test_people_barge_in_and_answers_are_taken_up_again(then):
    cuts = resumed = amid = 0
    for row, clock in talks(Interrupt(share=1.0, then=then), seeds=3):
        turns = by_id(row)
        for user in (turn for turn in row.turns if turn.interrupts is not None):
            cut = turns[user.interrupts]
            cuts += 1
            assert cut.text == cut.intended_text[: cut.truncated_at_char]
            assert cut.end_ns == user.start_ns
            assert clock.on_grid(cut.end_ns)
            amid += cut.intended_text[cut.truncated_at_char - 1 : cut.truncated_at_char + 1].isalnum()
        for turn in row.turns:
            if said(turn.text).aside == "resumed":
                resumed += 1
                assert turn.trigger == "timer"
                assert said(turn.text).text == turns[turn.trigger_ref].intended_text
                assert turn.start_ns > turns[turn.trigger_ref].end_ns
    assert cuts >= 5
    assert amid >= cuts // 2
    assert (resumed > 0) == (then == "resume")


def test_after_a_gap_the_assistant_says_what_it_saw_last():
    count = 0
    for row, clock in talks(Reconnect(gaps=2, least_s=1.0, most_s=3.0), seeds=10):
        for turn in row.turns:
            if said(turn.text).aside == "back":
                count += 1
                before = gone_before(clock, turn.window_start_ns)
                assert turn.start_ns - before >= LEAST_GONE_NS
                # Nothing that it says was seen behind the gap.
                assert max(piece.end_ns for piece in turn.evidence) <= before
                assert not speaks_of_now(said(turn.text).text)
    assert count >= 2


def late(policy, ms=4000.0):
    operations = [Delay(model=Constant(ms=ms)), *([LateAnswer(policy=policy)] if policy else [])]
    return [turn for row, _ in talks(*operations) for turn in row.turns if turn.role == "assistant"]


def test_answers_that_come_too_late_follow_the_policy():
    dropped, without, retimed, reworded = late("drop"), late(None), late("retime"), late("reword")
    assert [turn.text for turn in dropped] == [turn.text for turn in without] == []
    assert retimed
    assert all(turn.window_start_ns <= turn.start_ns < turn.window_end_ns for turn in retimed)
    assert all(said(turn.text).aside is None for turn in retimed)
    told = [turn for turn in reworded if turn.evidence]
    assert told
    assert {said(turn.text).aside for turn in told} <= {"late_reply", "late_report"}
    assert all(turn.window_start_ns == turn.start_ns for turn in told)


def answer_to(asked, row):
    question = next(turn for turn in row.turns if turn.role == "user" and turn.text == asked)
    return next(turn for turn in row.turns if turn.role == "assistant" and turn.trigger_ref == question.id)


def test_a_small_delay_moves_answers_and_changes_no_word():
    (plain, clock), (slow, _) = (next(talks(Delay(model=Constant(ms=ms)))) for ms in (0.0, 300.0))
    # The delay may leave out an exchange whose answer would no longer be true.
    asked = next(turn for turn in slow.turns if turn.role == "user").text
    firsts = [answer_to(asked, row) for row in (plain, slow)]
    # One that somebody breaks into is cut at another letter.
    assert len({turn.intended_text or turn.text for turn in firsts}) == 1
    assert firsts[1].start_ns >= clock.snap_up(firsts[0].start_ns + 300_000_000 - clock.time_of(1))
    assert firsts[1].start_ns > firsts[0].start_ns


def test_without_operations_nothing_goes_wrong():
    calm = Mishaps()
    assert calm.late == "drop"
    assert calm.latency() is no_latency
    assert no_latency() == 0


@pytest.mark.slow
def test_the_same_seed_goes_wrong_in_the_same_way():
    operations = [Interrupt(share=0.5), DroppedAnswer(share=0.3), WrongThenCorrected(share=0.3)]
    one, two = ([row for row, _ in talks(*operations, seeds=1)] for _ in range(2))
    assert one == two
    other = [row for row, _ in talks(*operations, seeds=2)]
    assert any(a.turns != b.turns for a, b in pairwise(other))
