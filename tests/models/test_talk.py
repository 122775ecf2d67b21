"""Questions see the rounds before them, fail without a trace; frames that come during an answer enter at once."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.answer import IN_FULL
from models.blocks import Kind
from models.errors import PoolFullError, QuestionError, TimeError
from models.layouts import LAYOUTS
from models.positions import SECOND_NS
from models.settings import served_modes
from models.talk import DIALOGUE_SHARE
from tests.laws import examples
from tests.models.small import FAMILIES
from tests.models.talks import CLOSE, FILM, TALK, drawn, fed_ids, in_cache, listen, model_of, opened, used, watch


def standing(one) -> tuple[object, ...]:
    """All of a session that a question which fails must leave as it was."""
    state = one._state
    entries = [(entry.id, entry.positions.tolist()) for entry in state.row.live()]
    dialogue, metrics = state.dialogue, one.metrics()
    counts = (metrics.questions, metrics.frames, metrics.chunks, metrics.chunks_pending, metrics.slots_used)
    return (entries, dialogue.rounds, dialogue.seam, state.reply_next, state.row.held, state.track.cursor, counts)


# Rounds.


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["incremental", "delayed", "clip", "parallel"])
def test_a_second_question_sees_the_first_round(family, mode):
    """Its logits are those of one forward over the whole, and others than without the first round."""
    logits = []
    for rounds in (10, 0):
        with opened(6, family=family, mode=mode, history_rounds=rounds) as one:
            oracle = listen(one)
            one.ask("What is it?", options=drawn(4)).run()
            watch(one, 6, 8)
            answer = one.ask("And now?", options=drawn(4))
            assert set(one._state.dialogue.visible()) <= set(answer._branch.sees())
            logits.append(oracle.logits[-1][1])
            answer.run()
            assert oracle.difference() <= CLOSE
    assert (logits[0] - logits[1]).abs().max() > 100 * CLOSE


@pytest.mark.parametrize(
    ("layout", "mode"),
    [(name, mode) for name in LAYOUTS for mode in served_modes(name) if mode in ("incremental", "parallel")],
)
def test_rounds_of_every_layout_equal_one_forward(layout, mode):
    with opened(4, layout=layout, mode=mode, slots=1024) as one:
        for start, seed in ((4, 0), (6, 1), (8, 2)):
            answer = one.ask("hi", options=drawn(4, seed=seed, draft_tokens=2 * (seed == 1 and layout == "branch")))
            next(answer)
            watch(one, start, start + 2)
            if seed != 2:
                answer.run()
        one.ask("?").run()
        assert listen(one).difference() <= CLOSE
        assert [said.question for said in one.history] == ["hi", "hi", "hi", "?"]


def test_no_frame_sees_a_round():
    with opened(4) as one:
        oracle = listen(one)
        one.ask("hi", options=drawn(4)).run()
        watch(one, 4, 8)
        one.ask("hi", options=drawn(4)).run()
        said = [event.entry for event in oracle.fed if event.entry.block.kind in (Kind.QUERY, Kind.REPLY)]
        text = {token for entry in said for token in oracle.tokens_of[entry.id]}
        frames = [event.entry for event in oracle.fed if event.entry.block.kind is Kind.FRAMES]
        assert len(frames) == 4
        assert not any(oracle.sees[token] & text for entry in frames for token in oracle.tokens_of[entry.id])


def test_the_newest_frame_is_seen_though_it_waits_for_its_partner():
    with opened(5) as one:
        answer = one.ask("hi", options=drawn(3))
        assert answer.stats.frames == 3
        answer.run()
        assert [entry.block.kind for entry in one._state.row.live()].count(Kind.FRAMES) == 2
        watch(one, 5, 6)
        assert one.ask("hi", options=drawn(3)).run().stats.frames == 3
        assert listen(one).difference() <= CLOSE


def test_dialogue_takes_at_most_its_share_of_the_slots():
    with opened(4, slots=240) as one:
        for turn in range(6):
            one.ask("b" * 12, options=drawn(6, seed=turn)).run()
            assert one._state.dialogue.tokens() <= DIALOGUE_SHARE * 240
            assert used(one) <= 240
        assert 1 <= len(one.history) < 6
        one.ask("?", options=drawn(2)).run()
        assert listen(one).difference() <= CLOSE


def test_a_round_above_the_share_is_answered_and_not_kept():
    with opened(4, slots=170) as one:
        before = used(one)
        answer = one.ask("b" * 40, options=drawn(6)).run()
        assert len(answer.token_ids) == 6
        assert one.history == ()
        assert (used(one), one._state.dialogue.seam, one._state.reply_next) == (before, (), 0)
        one.ask("?", options=drawn(2)).run()
        assert listen(one).difference() <= CLOSE


# Questions that fail.


@given(
    rounds=st.integers(0, 2), frames=st.integers(4, 7), drafts=st.sampled_from([0, 3]), family=st.sampled_from(FAMILIES)
)
@settings(max_examples=examples(12))
def test_a_question_that_does_not_fit_changes_nothing(rounds, frames, drafts, family):
    with opened(4, family=family, slots=300) as one:
        for turn in range(rounds):
            one.ask("hi", options=drawn(3, seed=turn)).run()
        watch(one, 4, frames)
        one._state.drain()
        before = standing(one)
        with pytest.raises(PoolFullError):
            one.ask("b" * 300, options=drawn(3, draft_tokens=drafts))
        assert standing(one) == before
        answer = one.ask("hi", options=drawn(3)).run()
        assert listen(one).difference() <= CLOSE
        assert one.history[-1].reply == answer.text
        fed = fed_ids(listen(one), Kind.REPLY)
        assert fed.count(one._state.prompts.turn_end) >= rounds


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        ({"question": ""}, QuestionError),
        ({"question": " \n"}, QuestionError),
        ({"question": 3}, QuestionError),
        ({"question": "hi", "t_ns": 0}, TimeError),
        ({"question": "hi", "t_ns": 5.0e10}, TimeError),
    ],
)
def test_a_question_that_is_refused_changes_nothing(ask, error):
    with opened(4) as one:
        one.ask("hi", options=drawn(3)).run()
        before = standing(one)
        with pytest.raises(error):
            one.ask(**ask)
        assert standing(one) == before
    with model_of().session(TALK) as one, pytest.raises(QuestionError, match="no frame"):
        one.ask("hi")


# Speaking while frames keep coming.


def forwards(one, monkeypatch) -> list[list[Kind]]:
    """What each forward from now on feeds, by kind; the forwards are run."""
    row, seen, runs = one._state.row, [], one._state.row.run

    def run(drafts):
        seen.append([draft.entry.block.kind for draft in drafts])
        return runs(drafts)

    monkeypatch.setattr(row, "run", run)
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_frames_that_come_during_an_answer_enter_with_its_next_token(family, monkeypatch):
    with opened(4, family=family, mode="parallel") as one:
        oracle = listen(one)
        answer = one.ask("hi", options=drawn(8, seed=3))
        next(answer)
        seen = forwards(one, monkeypatch)
        watch(one, 4, 8)
        assert seen == [], "grids wait for the next token"
        assert one.metrics().chunks_pending == 2
        answer.run()
        assert [Kind.FRAMES, Kind.REPLY] in seen
        assert seen[:2] == [[Kind.FRAMES, Kind.REPLY]] * 2
        assert all(kinds == [Kind.REPLY] for kinds in seen[2:])
        assert one.metrics().chunks_pending == 0
        # The token that came in with a grid sees it.
        for frames, token in pairwise(oracle.fed[-8:]):
            if (frames.entry.block.kind, token.entry.block.kind) == (Kind.FRAMES, Kind.REPLY):
                assert set(frames.entry.slots.tolist()) <= set(token.sees.tolist())
        one.ask("?").run()
        assert oracle.difference() <= CLOSE


def test_incremental_frames_wait_for_the_end_of_the_answer(monkeypatch):
    with opened(4) as one:
        answer = one.ask("hi", options=drawn(8, seed=3))
        next(answer)
        seen = forwards(one, monkeypatch)
        watch(one, 4, 8)
        answer.run()
        assert [Kind.FRAMES] not in seen
        assert one.metrics().chunks_pending == 2
        one.ask("?").run()
        assert one.metrics().chunks_pending == 0
        assert listen(one).difference() <= CLOSE


def test_a_reply_that_knows_later_frames_is_dated_by_them():
    with opened(4, mode="parallel") as one:
        answer = one.ask("hi", options=drawn(8, seed=3))
        next(answer)
        watch(one, 4, 8)
        answer.run()
        [said] = one.history
        [reply] = [key for key in said.entries if one._state.row.entry(key).block.kind is Kind.REPLY]
        assert said.t_ns == 3 * SECOND_NS // 2 + 1
        assert one._state.row.entry(reply).block.t0_ns == 7 * SECOND_NS // 2 + 1
        # A decision about a moment before the reply knew its last frames does not see it.
        assert reply not in one._state.dialogue.visible(2 * SECOND_NS)


def test_without_room_for_a_grid_the_reply_goes_on():
    """Memory that lets nothing go refuses the grid; it waits, the reply does not."""
    with opened(4, mode="parallel", slots=125) as one:
        answer = one.ask("hi", options=drawn(4, seed=3))
        next(answer)
        free = one._state.row.available
        one._state.intake.add(FILM[4], 2 * SECOND_NS)
        one._state.intake.add(FILM[5], 5 * SECOND_NS // 2)
        with Taken(one, free - 5):
            answer.run()
            assert one.metrics().chunks_pending == 1
        assert answer.stats.stopped_by == "length"
        assert listen(one).difference() <= CLOSE


def test_a_grid_that_took_the_last_slots_is_fed_though_the_token_is_not():
    with opened(4, mode="parallel", slots=125) as one:
        answer = one.ask("hi", options=drawn(4, seed=3))
        next(answer)
        one._state.intake.add(FILM[4], 2 * SECOND_NS)
        one._state.intake.add(FILM[5], 5 * SECOND_NS // 2)
        room = one._state.row.available
        with Taken(one, room - 12), pytest.raises(PoolFullError):
            answer.run()
        assert answer.stats.stopped_by == "interrupted"
        assert one.metrics().chunks_pending == 0
        assert one.ask("?", options=drawn(2)).stats.frames == 3
        assert listen(one).difference() <= CLOSE


class Taken:
    """Slots of a session that something else takes for a while."""

    def __init__(self, one, count: int) -> None:
        self._row, self._count = one._state.row, count

    def __enter__(self) -> None:
        self._slots = self._row.pool.place(self._row.index, self._count)

    def __exit__(self, *_error: object) -> None:
        self._row.pool.free(self._row.index, self._slots)


def test_the_question_for_the_full_answer_is_prefill_and_sees_new_frames():
    with opened(4, mode="parallel") as one:
        answer = one.ask("hi", options=drawn(4, draft_tokens=2))
        next(answer)
        watch(one, 4, 6)
        answer.run()
        assert IN_FULL in one._state.prompts.tokenizer.decode(in_cache(one))
        assert listen(one).difference() <= CLOSE
        metrics = one.metrics()
        assert metrics.prefill_tokens + metrics.decode_tokens == len(fed_ids(listen(one)))
