"""Rounds stay and leave whole, the mark that closed the video with the last of them, and each end is fed once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind
from models.errors import PoolFullError
from models.positions import SECOND_NS, Cursor
from tests.laws import examples
from tests.models.small import FAMILIES
from tests.models.talks import CLOSE, decoded, drawn, fed_ids, in_cache, listen, opened, used, watch


def ask(one, question: str = "hi", *, seed: int = 0, count: int = 3) -> str:
    return one.ask(question, options=drawn(count, seed=seed)).run().text


@given(limit=st.integers(0, 3), asked=st.integers(1, 5), family=st.sampled_from(FAMILIES))
@settings(max_examples=examples(15))
def test_the_last_rounds_stay_and_take_exactly_their_tokens(limit, asked, family):
    with opened(4, family=family, history_rounds=limit, slots=1024) as one:
        empty = used(one)
        replies = [ask(one, f"q{turn}.", seed=turn) for turn in range(asked)]
        kept = min(limit, asked)
        assert [said.question for said in one.history] == [f"q{turn}." for turn in range(asked - kept, asked)]
        assert [said.reply for said in one.history] == replies[asked - kept :]
        dialogue, state = one._state.dialogue, one._state
        assert used(one) == empty + dialogue.tokens()
        if not kept:
            assert (dialogue.visible(), dialogue.seam, used(one)) == ([], (), empty)
            return
        text = decoded(in_cache(one))
        assert [f"q{turn}." in text for turn in range(asked)] == [turn >= asked - kept for turn in range(asked)]
        entries = [entry for said in one.history for entry in said.entries]
        assert len(entries) == len(set(entries)), "no entry belongs to two rounds"
        assert {*entries, *dialogue.seam} == {
            entry.id for entry in state.row.live() if entry.block.kind in (Kind.QUERY, Kind.REPLY)
        }


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mark_that_closes_the_video_goes_with_the_last_round(family):
    with opened(4, family=family) as one:
        empty, dialogue = used(one), one._state.dialogue
        seam = list(one._state.prompts.seam())
        ask(one)
        ask(one)
        close = list(one._state.prompts.turn_close())
        marks = [one._state.row.entry(key).block.token_ids for key in dialogue.seam]
        assert [list(mark) for mark in marks] == ([seam, close] if seam else [close])
        assert in_cache(one)[: len(seam)] == seam
        assert fed_ids(listen(one)).count(one._state.prompts.family.end_id) == (1 if seam else 2)
        dialogue.drop_oldest()
        assert dialogue.sealed()
        # What is left is a chat still: the turn of the video is closed, and each turn after it opens and closes.
        left = in_cache(one)
        assert left[: len(seam) + len(close)] == [*seam, *close]
        assert left.count(one._state.prompts.turn_end) == left.count(one._state.prompts.turn_start) + 1
        dialogue.drop_oldest()
        assert (dialogue.rounds, dialogue.seam, used(one)) == ((), (), empty)
        assert not dialogue.sealed()
        # The user's turn stands open again, and the mark comes anew.
        ask(one, "q.")
        again = [*seam, *one._state.prompts.text("q."), *one._state.prompts.turn_close()]
        assert in_cache(one)[: len(again)] == again
        assert listen(one).difference() <= CLOSE


def test_rounds_that_left_are_seen_by_nobody():
    with opened(4, history_rounds=1) as one:
        oracle = listen(one)
        ask(one)
        gone = {token for key in one.history[0].entries for token in oracle.tokens_of[key]}
        ask(one)
        ask(one)
        last = oracle.tokens_of[oracle.fed[-1].entry.id]
        assert not any(oracle.sees[token] & gone for token in last)
        assert oracle.difference() <= CLOSE


# The end of a round.


@pytest.mark.parametrize("family", FAMILIES)
def test_the_end_of_a_round_is_fed_once_with_the_next_question(family):
    with opened(4, family=family, slots=1024) as one:
        oracle, close = listen(one), one._state.prompts.turn_close()
        answers = []
        for turn in range(4):
            answers.append(one.ask("hi", options=drawn(4, seed=turn)).run())
            assert one.history[-1].unfed[-len(close) :] == close
            assert [said.unfed for said in one.history[:-1]] == [()] * turn
        ids = fed_ids(oracle, Kind.REPLY)
        header = one._state.prompts.reply_start()
        wanted: list[int] = []
        for turn, answer in enumerate(answers):
            said = [token for token in answer.token_ids if token not in one._state.prompts.stop_ids()]
            wanted += [*header, *said, *close] if turn < 3 else [*header, *said]
        assert ids == wanted[: len(ids)]
        assert len(wanted) - len(ids) <= 1
        assert oracle.difference() <= CLOSE


def test_finish_places_the_end_behind_its_round_and_does_it_once():
    with opened(4) as one:
        ask(one)
        dialogue = one._state.dialogue
        said, end, before = dialogue.rounds[-1], dialogue.end, dialogue.visible()
        reply = one._state.row.entry(said.entries[-1])
        live = {entry.id for entry in one._state.row.live()}
        # A frame that waits for its partner; a grid would be fed behind the end.
        watch(one, 4, 5)
        [draft] = dialogue.finish()
        assert draft.entry.block.token_ids == said.unfed
        # It is a part of its reply: there, then, and with its eyes.
        assert (int(draft.entry.positions.min()), draft.entry.end) == (end, end + len(said.unfed))
        assert end == reply.end
        assert draft.entry.block.t0_ns == reply.block.t0_ns
        assert set(draft.sees) <= live
        assert {*said.entries, *dialogue.seam} <= set(draft.sees)
        assert dialogue.visible() == [*before, draft.entry.id]
        assert dialogue.rounds[-1].unfed == ()
        assert dialogue.finish() == []


def test_only_replies_that_were_there_at_a_time_are_finished_for_it():
    with opened(4) as one:
        ask(one)
        dialogue, asked_ns = one._state.dialogue, one.history[0].t_ns
        assert dialogue.finish(asked_ns - 1) == []
        assert len(dialogue.finish(asked_ns)) == 1


def test_an_end_is_fed_before_the_next_grid_which_may_push_out_what_it_sees():
    with opened(4) as one:
        ask(one)
        unfed, oracle = one.history[-1].unfed, listen(one)
        watch(one, 4, 6)
        assert one.history[-1].unfed == ()
        end, grid = oracle.fed[-2:]
        assert end.entry.block.token_ids == unfed
        assert grid.entry.block.kind is Kind.FRAMES
        assert not set(end.entry.slots.tolist()) & set(grid.sees.tolist())


def test_finish_without_rounds_has_nothing_to_place():
    with opened(4) as one:
        assert one._state.dialogue.finish() == []
        assert one._state.dialogue.finish_apart([], Cursor(next=7), t_ns=0, count=3) == ([], Cursor(next=7))
        assert (one._state.dialogue.end, one._state.dialogue.tokens()) == (0, 0)


def test_an_end_that_does_not_fit_stays_to_be_fed():
    with opened(4) as one:
        ask(one)
        row, rounds = one._state.row, one._state.dialogue.rounds
        taken = row.pool.place(row.index, row.available)
        with pytest.raises(PoolFullError):
            one._state.dialogue.finish()
        assert one._state.dialogue.rounds == rounds
        row.pool.free(row.index, taken)
        ask(one)
        assert listen(one).difference() <= CLOSE


# What is seen when.


def test_a_moment_sees_the_rounds_up_to_it():
    with opened(4) as one:
        dialogue = one._state.dialogue
        ask(one)
        first = dialogue.visible()
        watch(one, 4, 8)
        ask(one)
        # A question stands right behind the newest frame, and the end of its reply where the reply does.
        assert set(dialogue.visible(3 * SECOND_NS // 2 + 1)) > set(first)
        assert dialogue.visible(3 * SECOND_NS // 2) == []
        assert not dialogue.sealed(SECOND_NS)
        assert dialogue.sealed(2 * SECOND_NS)
        assert dialogue.visible(9 * SECOND_NS) == dialogue.visible()
        [end] = [key for key in one.history[0].entries if key not in first]
        assert one._state.row.entry(end).block.t0_ns == 3 * SECOND_NS // 2 + 1


@pytest.mark.parametrize("layout", ["branch", "group"])
def test_the_end_counts_replies_only_where_they_go_on_in_one_count(layout):
    with opened(4, layout=layout) as one:
        ask(one)
        dialogue, row = one._state.dialogue, one._state.row
        entries = [row.entry(key) for key in dialogue.visible()]
        questions = max(entry.end for entry in entries if entry.block.kind is Kind.QUERY)
        assert dialogue.end == (max(entry.end for entry in entries) if layout == "branch" else questions)
        assert dialogue.tokens() == sum(len(entry.slots) for entry in entries)
