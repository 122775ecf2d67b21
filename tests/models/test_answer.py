"""An answer streams what it says, keeps in the dialogue what was given out and no more, and ends well or badly."""

from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.answer import BRIEFLY, IN_FULL, AnswerOptions, Piece
from models.decode import Sampling, StopRule
from models.errors import PoolFullError, SettingsError
from tests.laws import examples
from tests.models.talks import (
    CLOSE,
    decoded,
    drawn,
    in_cache,
    listen,
    model_of,
    opened,
    said_in_cache,
    used,
    watch,
)

WAYS = st.sampled_from(["token", "sentence"])


@pytest.fixture
def session():
    with opened(8) as one:
        yield one


# What is given out.


@given(seed=st.integers(0, 99), count=st.integers(1, 20), pieces=WAYS)
@settings(max_examples=examples(15))
def test_pieces_join_to_the_text_and_the_text_is_its_tokens(seed, count, pieces):
    with opened() as one:
        answer = one.ask("hi", options=drawn(count, seed=seed, pieces=pieces))
        given_out = list(answer)
        assert "".join(given_out) == answer.text == decoded(answer.token_ids)
        assert all(given_out), "no piece is empty"
        assert one.history[-1].reply == answer.text
        assert 1 <= len(answer.token_ids) <= count
        said = [token for token in answer.token_ids if token not in model_of().prompts.stop_ids()]
        assert said_in_cache(one) == said


@given(seed=st.integers(0, 99))
@settings(max_examples=examples(6))
def test_both_ways_to_give_text_out_say_the_same(seed):
    texts = []
    for pieces in ("token", "sentence"):
        with opened() as one:
            parts = list(one.ask("hi", options=drawn(24, seed=seed, pieces=pieces)))
            texts.append("".join(parts))
            assert pieces == "token" or all(part.strip() for part in parts) or not texts[-1].strip()
    assert texts[0] == texts[1]


def test_sentences_are_longer_than_tokens():
    counts = []
    for pieces in ("token", "sentence"):
        with opened() as one:
            counts.append(len(list(one.ask("hi", options=drawn(40, seed=1, pieces=pieces)))))
    assert 1 < counts[1] < counts[0]


def test_the_first_token_is_chosen_before_the_answer_is_handed_out(session):
    answer = session.ask("hi", options=drawn(8))
    assert session.metrics().decode_tokens == 0
    next(answer)
    first = session.metrics().decode_tokens
    answer.run()
    # The last token is never fed before the next question.
    assert session.metrics().decode_tokens == len(answer.token_ids) - 1 > first


def test_one_token_is_an_answer(session):
    answer = session.ask("hi", max_new_tokens=1).run()
    assert len(answer.token_ids) == 1
    assert answer.stats.stopped_by == "length"
    assert session.metrics().decode_tokens == 0
    assert said_in_cache(session) == list(answer.token_ids)


def test_after_the_end_there_is_nothing_more(session):
    answer = session.ask("hi", options=drawn(3)).run()
    before = (answer.text, answer.stats, session.history, used(session))
    assert list(answer) == []
    with pytest.raises(StopIteration):
        next(answer)
    answer.close()
    answer.close()
    assert (answer.text, answer.stats, session.history, used(session)) == before


# What stays.


@given(
    seed=st.integers(0, 99), taken=st.integers(0, 12), count=st.integers(1, 16), pieces=WAYS, drafts=st.integers(0, 5)
)
@settings(max_examples=examples(40))
def test_closed_anywhere_the_dialogue_keeps_what_was_given_out(seed, taken, count, pieces, drafts):
    with opened() as one:
        oracle = listen(one)
        before = used(one)
        answer = one.ask("hi", options=drawn(count, seed=seed, pieces=pieces, draft_tokens=drafts))
        got = list(islice(answer, taken))
        answer.close()
        kept, last = said_in_cache(one), [piece for piece in got if not piece.draft]
        given_out = "".join(last) if last or not drafts else "".join(got)
        assert one.history[-1].reply == given_out
        assert answer.text == "".join(last)
        heard = "".join(last) if IN_FULL in decoded(in_cache(one)) else given_out
        check_kept(kept, heard, pieces)
        assert used(one) == before + len(in_cache(one)) - len(one.history[-1].unfed)
        again = one.ask("And?", options=drawn(3)).run()
        assert again.stats.tokens >= 1
        assert oracle.difference() <= CLOSE


def check_kept(kept: list[int], heard: str, pieces: str) -> None:
    """The tokens in the cache say what was heard; a token that nobody needed for that is not there."""
    if pieces == "token" and not heard.endswith("\ufffd"):
        assert decoded(kept) == heard
    assert decoded(kept).startswith(heard.rstrip())
    if kept:
        assert not decoded(kept[:-1]).startswith(heard) or decoded(kept) == heard


def test_a_sentence_that_was_given_out_brings_no_word_of_the_next():
    """The space behind a sentence is the beginning of the next word's token; that word was not said."""
    words = {token: decoded([token]) for text in (" h", " s") for token in model_of().prompts.text(text)}
    for seed in range(60):
        with opened() as one:
            answer = one.ask("hi", options=drawn(30, seed=seed, pieces="sentence"))
            for _ in answer:
                if decoded(answer.token_ids) == answer.text[:-1] + words.get(answer.token_ids[-1], ""):
                    answer.close()
                    assert decoded(said_in_cache(one)) == answer.text[:-1] == one.history[-1].reply[:-1]
                    return
    pytest.fail("no reply with such a token; draw others")


def test_a_piece_that_was_not_taken_is_not_kept_though_the_model_had_ended(session):
    """The last sentences of a reply are ready together; closing between them keeps the first ones only."""
    for seed in range(60):
        answer = session.ask("hi", options=drawn(9, seed=seed, pieces="sentence"))
        pieces = [next(answer, "")]
        while len(answer.token_ids) < 9 and not answer.stats.stopped_by:
            pieces.append(next(answer, ""))
        if answer.stats.stopped_by == "":
            break
    answer.close()
    assert answer.stats.stopped_by == "interrupted"
    assert session.history[-1].reply == "".join(pieces) == answer.text
    assert len(said_in_cache(session)) < 9


def test_the_next_question_interrupts(session):
    oracle = listen(session)
    first = session.ask("hi", options=drawn(9))
    got = next(first) + next(first)
    second = session.ask("And?", options=drawn(3)).run()
    assert first.stats.stopped_by == "interrupted"
    assert first.text == got
    assert [one.reply for one in session.history] == [got, second.text]
    assert list(first) == []
    assert oracle.difference() <= CLOSE


def test_closing_the_session_ends_the_answer():
    one = opened()
    answer = one.ask("hi", options=drawn(9))
    got = next(answer)
    one.close()
    assert (answer.text, answer.stats.stopped_by) == (got, "interrupted")
    assert list(answer) == []


@given(seed=st.integers(0, 30), stop=st.lists(st.sampled_from(["b", ". ", "b ", "! ", " s"]), min_size=1, max_size=2))
@settings(max_examples=examples(15))
def test_a_stop_text_is_neither_given_out_nor_remembered(seed, stop):
    with opened() as one:
        answer = one.ask("hi", options=drawn(16, seed=seed, stop=tuple(stop))).run()
        assert not any(text in answer.text for text in stop)
        stopped = answer.stats.stopped_by == "stop"
        assert stopped == any(text in decoded(answer.token_ids) for text in stop)
        if stopped and not answer.text.endswith("\ufffd"):
            assert decoded(said_in_cache(one)) == answer.text


def test_a_stop_text_ends_the_answer():
    for seed in range(40):
        with opened() as one:
            answer = one.ask("hi", options=drawn(40, seed=seed, stop=(" ",))).run()
            # A token that shows a character to be broken is needed for it, whatever else it says.
            if answer.stats.stopped_by == "stop" and answer.text.isascii():
                assert decoded(answer.token_ids).startswith(answer.text + " ")
                assert decoded(said_in_cache(one)) == answer.text == one.history[-1].reply
                one.ask("And?")
                assert listen(one).difference() <= CLOSE
                return
    pytest.fail("no reply with a space; draw others")


def test_a_loop_ends_the_answer(session):
    """Greedy from the penultimate letter on: one of twelve letters, so it repeats a phrase soon."""
    rule = StopRule(max_new_tokens=60, repeats=2)
    answer = session.ask("hi", options=AnswerOptions(stop=rule)).run()
    assert answer.stats.stopped_by == "loop"
    assert len(answer.token_ids) < 60


# A short answer first.


def test_a_short_answer_comes_first_and_the_full_one_behind_it(session):
    oracle = listen(session)
    answer = session.ask("hi", options=drawn(6, seed=5, draft_tokens=3))
    pieces = list(answer)
    marks = [piece.draft for piece in pieces]
    assert marks == sorted(marks, reverse=True)
    assert True in marks
    assert False in marks
    full = "".join(piece for piece in pieces if not piece.draft)
    assert answer.text == full == session.history[-1].reply
    assert session.history[-1].question == "hi"
    assert len(answer.token_ids) == 9
    prompts = model_of().prompts
    short, long = answer.token_ids[:3], answer.token_ids[3:]
    turns = [
        *prompts.seam(), *prompts.text("hi" + BRIEFLY), *prompts.turn_close(), *prompts.reply_start(), *short,
        *prompts.turn_close(), *prompts.question(IN_FULL), *prompts.reply_start(), *long,
        *prompts.turn_close(),
    ]  # fmt: skip
    assert in_cache(session) == turns
    assert oracle.difference() <= CLOSE


def test_closed_after_the_short_answer_nothing_was_asked_in_full(session):
    answer = session.ask("hi", options=drawn(6, seed=5, draft_tokens=3))
    pieces = []
    while decoded(answer.token_ids[:3]) != "".join(pieces):
        pieces.append(next(answer))
    before = session.metrics().prefill_tokens
    answer.close()
    assert session.metrics().prefill_tokens == before
    assert all(piece.draft for piece in pieces)
    assert IN_FULL not in decoded(in_cache(session))
    assert session.history[-1].reply == "".join(pieces)
    assert answer.text == ""


def test_a_piece_is_text_with_a_mark():
    piece = Piece("ab", draft=True)
    assert (piece, piece.draft, Piece("ab").draft, piece + "c") == ("ab", True, False, "abc")


@pytest.mark.parametrize("wrong", [{"pieces": "word"}, {"draft_tokens": -1}, {"draft_tokens": 1.5}])
def test_options_name_what_is_wrong(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        AnswerOptions(**wrong)


# When something fails.


@pytest.mark.parametrize("drafts", [0, 4])
def test_a_full_pool_closes_the_answer_and_the_session_goes_on(drafts):
    options = drawn(60, draft_tokens=drafts)
    with opened(slots=150) as one:
        oracle = listen(one)
        one.ask("hi", max_new_tokens=1)
        before = used(one) - len(one.history)
        answer = one.ask("hi", options=options)
        next(answer)
        with pytest.raises(PoolFullError):
            answer.run()
        assert answer.stats.stopped_by == "interrupted"
        assert one._state.answer is None
        assert not one._state.row.held
        assert used(one) <= before + one._state.dialogue.tokens()
        assert list(answer) == []
        assert one.ask("ok?", max_new_tokens=2).run().stats.tokens >= 1
        watch(one, 4, 6)
        assert oracle.difference() <= CLOSE


def test_a_forward_that_fails_leaves_no_block_and_may_be_tried_again(session, monkeypatch):
    oracle = listen(session)
    options = drawn(8, seed=2)
    answer = session.ask("hi", options=options)
    got = next(answer)
    taken = used(session)
    with monkeypatch.context() as planted:
        planted.setattr(session._state.row.engine, "forward", broken)
        with pytest.raises(torch.OutOfMemoryError):
            list(answer)
    assert used(session) == taken
    text = got + "".join(answer)
    with opened(8) as other:
        assert other.ask("hi", options=options).run().text == text
    session.ask("And?")
    assert oracle.difference() <= CLOSE


def broken(_feeds):
    raise torch.OutOfMemoryError("planted")


# What it cost.


@given(seed=st.integers(0, 99), count=st.integers(1, 8), taken=st.integers(0, 9), drafts=st.integers(0, 2))
@settings(max_examples=examples(15))
def test_statistics_are_sane_at_any_time(seed, count, taken, drafts):
    with opened() as one:
        seen = used(one)
        answer = one.ask("hi", options=drawn(count, seed=seed, draft_tokens=drafts))
        early = answer.stats
        list(islice(answer, taken))
        late = answer.stats
        answer.close()
        for stats in (early, late, answer.stats):
            assert 0 < stats.prefill_s <= stats.time_to_first_token_s <= stats.total_s
            assert stats.encode_s >= 0
            assert stats.encode_s + stats.prefill_s <= stats.time_to_first_token_s
            assert stats.frames == 2
            assert stats.visible_tokens == seen + stats.prompt_tokens
        assert early.total_s <= late.total_s <= answer.stats.total_s
        assert answer.stats.tokens == len(answer.token_ids)
        assert answer.stats.total_s == answer.stats.total_s, "the clock stands when the reply has ended"
        assert early.stopped_by == ""
        assert early.prompt_tokens == len(
            [*one._state.prompts.text("hi" + BRIEFLY * bool(drafts)), *one._state.prompts.turn_close()]
        ) + len([*one._state.prompts.seam(), *one._state.prompts.reply_start()])


def test_greedy_answers_are_the_likeliest_tokens(session):
    oracle = listen(session)
    answer = session.ask("hi", options=AnswerOptions(sampling=Sampling(), stop=StopRule(max_new_tokens=5))).run()
    assert [int(row.argmax()) for _, row in oracle.logits[-len(answer.token_ids) :]] == list(answer.token_ids)
