"""Speaking unasked: one decision per grid, from what was known then, and what is said is part of the dialogue."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SettingsError
from models.layouts import LAYOUTS
from models.settings import served_modes
from models.speaking import STATES, Decider
from tests.laws import examples
from tests.models.oracle import SECOND_NS, Oracle
from tests.models.sessions import BASE, FAMILIES, FRAMES, HALF_NS, MODES, check_no_leak, fed, hot, model_of

ALWAYS, NEVER = replace(BASE, speak_threshold=0.0), replace(BASE, speak_threshold=1.0)
SHORT = hot(count=3)
CLOSE = 1e-4


def decided(turns):
    return [(turn.t_ns, turn.state, turn.text) for turn in turns]


def alike(ones, others):
    """Turns that differ in rounding only."""
    assert decided(ones) == decided(others)
    for one, other in zip(ones, others, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=CLOSE)


@settings(max_examples=examples(30))
@given(
    family=st.sampled_from(FAMILIES),
    mode=st.sampled_from(["incremental", "delayed", "parallel"]),
    layout=st.sampled_from(sorted(LAYOUTS)),
    threshold=st.sampled_from([None, 0.0, 0.28, 1.0]),
    count=st.integers(3, 10),
    calls=st.sets(st.integers(0, 9)),
    rounds=st.integers(0, 2),
)
def test_a_decision_does_not_know_what_comes_later(family, mode, layout, threshold, count, calls, rounds):
    """Decided as the frames come, now and then, or all at the end: the same turns, the same words."""
    model = model_of(family)
    if layout != "branch":
        # A turn that is taken late cannot move frames that are in the cache; one of silence moves none in any case.
        mode, threshold = mode if mode in served_modes(layout) else "incremental", 1.0
    chosen = replace(BASE, mode=mode, layout=layout, speak_threshold=threshold, history_rounds=rounds)
    eager, lazy, odd = (model.session(chosen) for _ in range(3))
    made = [[], [], []]
    for index in range(count):
        for session in (eager, lazy, odd):
            fed(session, 1, start=index)
        made[0] += eager.speak(options=SHORT)
        if index in calls:
            made[1] += odd.speak(options=SHORT)
    made[1] += odd.speak(options=SHORT)
    made[2] += lazy.speak(options=SHORT)
    alike(made[0], made[2])
    alike(made[1], made[2])
    assert [turn.t_ns for turn in made[0]] == [(2 * grid + 1) * HALF_NS for grid in range(count // 2)]
    check_no_leak(lazy)


@pytest.mark.parametrize("mode", MODES)
def test_every_grid_has_one_turn(mode):
    session = fed(model_of().session(replace(NEVER, mode=mode, clip_frames=4)), 4)
    ends = [HALF_NS, 3 * HALF_NS]
    assert [turn.t_ns for turn in session.speak()] == ends
    assert list(session.speak()) == []
    fed(session, 3, start=4)
    # A call that is given up half-way goes on with the next one.
    turns = session.speak()
    assert next(turns).t_ns == 5 * HALF_NS
    turns.close()
    assert list(session.speak()) == []
    fed(session, 1, start=7)
    assert [turn.t_ns for turn in session.speak()] == [7 * HALF_NS]
    assert session.metrics().turns == 4


def test_two_readers_share_the_turns():
    session = fed(model_of().session(NEVER), 8)
    first, second = session.speak(), session.speak()
    seen = [next(first).t_ns, next(second).t_ns, next(first).t_ns, *(turn.t_ns for turn in second)]
    assert seen == sorted(set(seen))
    assert list(first) == []
    assert len(seen) == 4


def test_silence_leaves_nothing_behind():
    session, quiet = (fed(model_of().session(NEVER), 8) for _ in range(2))
    turns = list(session.speak())
    assert all(turn.answer is None and turn.text == "" and turn.state != "respond" for turn in turns)
    assert session.history == ()
    assert session.metrics().slots_used == quiet.metrics().slots_used
    assert session.metrics().responses == 0
    check_no_leak(session)


def test_what_is_said_is_part_of_the_dialogue():
    session = fed(model_of().session(ALWAYS), 4)
    turns = list(session.speak(options=SHORT))
    assert [turn.state for turn in turns] == ["respond", "respond"]
    assert [(said.question, said.reply, said.t_ns) for said in session.history] == [
        ("", turn.text, turn.t_ns + 1) for turn in turns
    ]
    assert session.metrics().responses == 2
    asked = session.ask("What?", options=SHORT)
    quiet = fed(model_of().session(ALWAYS), 4).ask("What?", options=SHORT)
    assert asked.stats.visible_tokens > quiet.stats.visible_tokens
    check_no_leak(session)


def test_a_reply_streams_and_is_finished_before_the_next_decision():
    session = fed(model_of().session(ALWAYS), 6)
    turns = session.speak(options=hot(count=4))
    first = next(turns)
    piece = next(first.answer)
    second = next(turns)
    assert first.answer.stats.stopped_by == "length"
    assert first.text.startswith(piece)
    assert session.history[0].reply == first.text
    asked = session.ask("Wait, what?", options=SHORT).run()
    assert second.answer.stats.stopped_by == "interrupted"
    assert asked.token_ids
    assert next(turns).t_ns == 5 * HALF_NS


@pytest.mark.parametrize("family", FAMILIES)
def test_decisions_are_those_of_one_forward(family):
    """Each decision's probabilities are in the one forward pass over all that the session fed."""
    model = model_of(family)
    session = model.session(ALWAYS)
    session.observe(oracle := Oracle(model.backbone))
    fed(session, 7)
    turns = list(session.speak(options=SHORT))
    whole = oracle.one_forward()
    tokens = [session._state.prompts.single(name) for name in ALWAYS.decision_tokens]
    told = [whole[place][tokens].softmax(-1) for place, _ in oracle.logits]
    for turn in turns:
        assert min(float((torch.tensor(turn.probabilities) - one).abs().max()) for one in told) <= CLOSE
    assert oracle.difference() <= CLOSE


def test_a_decision_sees_the_rounds_before_it_and_not_those_after():
    model = model_of()
    session, quiet, chatty = (fed(model.session(NEVER), 4) for _ in range(3))
    chatty.ask("What?", options=SHORT).run()
    for one in (session, quiet, chatty):
        fed(one, 2, start=4)
    session.ask("What?", options=SHORT).run()
    made = [list(one.speak()) for one in (session, quiet, chatty)]

    def difference(one, other, turn):
        pairs = zip(made[one][turn].probabilities, made[other][turn].probabilities, strict=True)
        return max(abs(a - b) for a, b in pairs)

    assert difference(1, 2, 2) > CLOSE, "a question that was asked before the grid is known"
    assert difference(0, 1, 0) <= CLOSE, "one that was asked later is not"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_late_decision_does_not_know_a_question_that_came_after_its_grid(family):
    """A turn about an old grid stands last in the dialogue; what closes it must not look at the question."""
    chances = []
    for question in ("What?", "Is there a red car anywhere?"):
        session = fed(model_of(family).session(ALWAYS), 5)
        session.ask(question, options=SHORT).run()
        turns = session.speak(options=SHORT)
        chances.append([(turn.text, torch.tensor(turn.probabilities)) for turn in turns])
    assert len(chances[0]) == 2
    for one, other in zip(*chances, strict=True):
        assert one[0] == other[0]
        torch.testing.assert_close(one[1], other[1], atol=1e-5, rtol=0)


def test_grids_older_than_the_bound_are_given_up():
    session = model_of().session(replace(NEVER, memory="window", window_s=2.0, mode="delayed"))
    fed(session, 2 * 258)
    ends = [turn.t_ns for turn in session.speak()]
    assert len(ends) == 256
    assert ends[0] == 5 * HALF_NS


@pytest.mark.parametrize(
    "names", [("no", "such", "tokens"), ("<|silence|>", "<|standby|>", "<|respond|> "), ("a", "b", "cd")]
)
def test_decisions_need_a_token_each(names):
    session = fed(model_of().session(replace(BASE, decision_tokens=names)), 4)
    with pytest.raises(SettingsError, match="decision_tokens"):
        session.speak()
    assert session._state.undecided, "the grids still wait"
    assert session.ask("What?", options=SHORT).run().token_ids


def test_any_three_tokens_may_decide():
    session = fed(model_of().session(replace(BASE, decision_tokens=("a", "b", "c"))), 2)
    [turn] = session.speak()
    assert turn.state in STATES
    assert sum(turn.probabilities) == pytest.approx(1.0)


@settings(max_examples=examples(50))
@given(st.lists(st.floats(-5, 5, width=32), min_size=8, max_size=8), st.permutations(range(8)), st.floats(0, 1))
def test_the_rule_of_decision(values, places, threshold):
    tokens = tuple(places[:3])
    logits = torch.tensor(values)
    state, chances = Decider(tokens=tokens, threshold=None).decide(logits)
    assert sum(chances) == pytest.approx(1.0)
    assert chances[STATES.index(state)] == max(chances)
    forced, same = Decider(tokens=tokens, threshold=threshold).decide(logits)
    assert same == chances
    assert (forced == "respond") == (chances[2] >= threshold)
    if forced != "respond":
        assert chances[STATES.index(forced)] == max(chances[:2])


def test_a_lower_threshold_speaks_more():
    counts = []
    for threshold in (0.0, 0.2, 0.4, 1.0):
        session = fed(model_of().session(replace(BASE, speak_threshold=threshold)), 8)
        counts.append(sum(turn.state == "respond" for turn in session.speak(options=SHORT)))
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (4, 0)


def test_a_long_silence_between_frames_is_no_obstacle():
    session = fed(model_of().session(replace(ALWAYS, memory="window", window_s=60.0)), 4)
    session.add_frame(FRAMES[0], 7200 * SECOND_NS)
    session.add_frame(FRAMES[1], 7200 * SECOND_NS + 1)
    assert [turn.t_ns // SECOND_NS for turn in session.speak(options=SHORT)] == [0, 1, 7200]
    check_no_leak(session)


@pytest.mark.parametrize("take", STATES)
@pytest.mark.parametrize("chosen", [ALWAYS, NEVER])
def test_a_decision_that_is_told_is_taken_and_the_model_s_own_chances_are_seen(take, chosen):
    free, told = (model_of("qwen2_5_vl").session(chosen) for _ in range(2))
    fed(free, 2)
    fed(told, 2)
    [own], [turn] = list(free.speak(options=SHORT)), list(told.speak(options=SHORT, take=take))
    assert turn.state == take
    assert turn.probabilities == pytest.approx(own.probabilities)
    assert (turn.answer is not None) == (take == "respond")
    with pytest.raises(SettingsError, match="take"):
        told.speak(take="maybe")
