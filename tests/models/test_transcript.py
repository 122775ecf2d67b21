"""A transcript is what a session feeds: ids, positions, mask and logits, whatever happened and under each layout."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import NOT_LEARNED, Kind, derive
from models.errors import QuestionError, SettingsError, TimeError
from models.layouts import LAYOUTS
from models.prompts import Prompts
from models.speaking import STATES
from models.transcript import Reply, Sight, Transcript
from tests.laws import examples
from tests.models.oracle import SECOND_NS
from tests.models.scripted import Scripted, force
from tests.models.sessions import model_of

ACTIONS = ("frame", "grid", "grid", "ask", "cut", "aside", "wait", "silent", "silent", "speak")
SCHEDULES = st.lists(st.sampled_from(ACTIONS), max_size=12)


@pytest.fixture(scope="module", autouse=True)
def _forced():
    with pytest.MonkeyPatch.context() as patch:
        force(patch)
        yield


def agree(layout, family, actions, waits):
    drive = Scripted(layout, family=family)
    assert drive.run(actions, last=waits) == []


FAMILY = st.sampled_from(["qwen2_5_vl", "qwen3_vl"])


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@settings(max_examples=examples(4))
@given(family=FAMILY, actions=SCHEDULES, waits=st.booleans())
def test_a_transcript_is_what_its_session_fed(layout, family, actions, waits):
    agree(layout, family, actions, waits)


@pytest.mark.slow
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@settings(max_examples=examples(60))
@given(family=FAMILY, actions=SCHEDULES, waits=st.booleans())
def test_many_transcripts_are_what_their_sessions_fed(layout, family, actions, waits):
    agree(layout, family, actions, waits)


# A layout that feeds replies anew feeds them without what was forgotten since.
@pytest.mark.parametrize("layout", [name for name, layout in LAYOUTS.items() if not layout.retold])
@settings(max_examples=examples(4))
@given(
    family=FAMILY,
    actions=st.lists(st.sampled_from([*ACTIONS, "pause"]), max_size=14),
    window_s=st.sampled_from([0.4, 0.5, 1.0, 1.6, 3.0]),
)
def test_a_window_forgets_what_its_session_forgets(layout, family, actions, window_s):
    drive = Scripted(layout, family=family, memory="window", window_s=window_s)
    assert drive.run(actions) == []


@pytest.mark.parametrize("layout", ["branch", "interleave"])
def test_an_end_that_is_fed_after_its_frames_are_gone_is_found(layout, monkeypatch):
    drive = Scripted(layout, memory="window", window_s=1.0)
    actions = ("grid", "ask", "grid", "grid")
    assert drive.run(actions) == []
    monkeypatch.setattr("models.state.State.close_rounds", lambda state: None)
    drive = Scripted(layout, memory="window", window_s=1.0)
    assert drive.run(actions) != []


def test_without_its_window_a_transcript_shows_what_was_forgotten():
    drive = Scripted("branch", memory="window", window_s=1.0)
    assert drive.run(("grid", "grid", "ask", "grid")) == []
    drive.window_ns = None
    assert "visibility" in str(drive.faults())


LONG = ("silent", "frame", "ask", "cut", "grid", "silent", "aside", "speak", "grid", "silent", "wait", "frame", "aside")


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_long_day_is_written_down(layout):
    drive = Scripted(layout)
    assert drive.run(LONG) == []
    kinds = [block.kind for block in drive.transcript.blocks() if block.passing]
    assert kinds.count(Kind.DECISION) == 3


@pytest.mark.parametrize("layout", ["group", "gap", "overlap_shared"])
def test_a_decision_to_be_silent_that_leaves_an_end_in_the_cache_is_found(layout, monkeypatch):
    monkeypatch.setattr("models.speaking.take_back", lambda state, branch, opened: branch.release())
    drive = Scripted(layout)
    assert "visibility" in str(drive.run(("ask", "grid", "silent", "grid", "speak")))


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize(
    "fault", [lambda block: replace(block, passing=False), lambda block: replace(block, turn=0, passing=False)]
)
def test_what_should_have_passed_is_found(layout, fault):
    drive = Scripted(layout)
    drive.run(("frame", "ask", "aside", "grid"))
    drive.transcript._blocks = [fault(block) if block.turn else block for block in drive.transcript.blocks()]
    assert drive.faults() != []


# What is learned


def paper(layout="branch", family="qwen2_5_vl"):
    """A transcript without a session, and its decision tokens."""
    prompts = model_of(family).prompts
    decisions = tuple(prompts.single(f"<|{name}|>") for name in STATES)
    return Transcript(prompts, LAYOUTS[layout], system_prompt="Be brief.", decision_tokens=decisions), prompts


def sight(at, last=None):
    first = at * SECOND_NS
    return Sight(t0_ns=first, last_ns=first + SECOND_NS // 2 if last is None else last, height=2, width=2, feature="f")


def learned(transcript, layout):
    """The tokens that are learned, with their weights, in sequence order."""
    context = derive(transcript.blocks(), LAYOUTS[layout], clock=model_of().backbone.family.clock)
    pairs = zip(context.labels.tolist(), context.loss_weights.tolist(), strict=True)
    return [pair for pair in pairs if pair[0] != NOT_LEARNED], context


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_what_is_learned_is_decision_words_and_the_mark_that_ends_them(layout):
    write, prompts = paper(layout)
    silence, standby, respond = (prompts.single(f"<|{name}|>") for name in STATES)
    end = prompts.turn_end
    write.see(sight(0))
    write.decide("silence", loss_weight=0.25)
    write.ask("Where?", Reply(text="here", loss_weight=2.0), t_ns=SECOND_NS)
    write.see(sight(1))
    write.decide("standby", learn=False)
    write.decide("respond", reply=Reply(text="now", loss_weight=3.0))
    write.ask("And?", Reply(text="cut", ended=False), t_ns=2 * SECOND_NS)
    write.see(sight(2))
    write.decide("respond", learn=False, reply=Reply(text="so"))
    write.ask("Why?", Reply(text="", state="standby"), t_ns=3 * SECOND_NS, aside=True)
    write.ask("Who?", Reply(text="me", state="respond"), t_ns=3 * SECOND_NS, waiting=sight(3, 3 * SECOND_NS))
    write.ask("No?", Reply(text="nothing", learn=False), t_ns=4 * SECOND_NS)
    found, context = learned(write, layout)
    words = {text: prompts.text(text) for text in ("here", "now", "cut", "so", "me")}
    expected = [
        (silence, 0.25), *((token, 2.0) for token in (*words["here"], end)),
        (respond, 1.0), *((token, 3.0) for token in (*words["now"], end)), *((token, 1.0) for token in words["cut"]),
        *((token, 1.0) for token in (*words["so"], end)), (standby, 1.0), (end, 1.0),
        *((token, 1.0) for token in (respond, *words["me"], end)),
    ]  # fmt: skip
    assert found == expected
    # The row before each learned token predicts it: it stands in the same block, or in the one before, which it sees.
    header = prompts.reply_start()
    for at in (context.labels != NOT_LEARNED).nonzero()[:, 0].tolist():
        row, here = int(context.block_of[at - 1]), int(context.block_of[at])
        assert context.sees[here, row]
        if int(context.token_ids[at]) in (silence, standby, respond):
            assert row == here
            assert tuple(context.token_ids[at - len(header) : at].tolist()) == header


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_features_and_frames_are_those_that_were_seen(layout):
    write, _ = paper(layout)
    write.see(sight(0))
    write.ask("Where?", Reply(text="here"), t_ns=SECOND_NS, waiting=sight(1, SECOND_NS))
    write.see(sight(1))
    shown = [(block.feature, block.passing) for block in write.blocks() if block.kind is Kind.FRAMES]
    assert shown == [("f", False), ("f", True), ("f", False)]


def test_a_tokenizer_of_another_family_writes_its_own_marks():
    for family in ("qwen2_5_vl", "qwen3_vl"):
        write, prompts = paper(family=family)
        assert isinstance(prompts, Prompts)
        write.see(sight(0))
        write.ask("Where?", Reply(text="here"), t_ns=SECOND_NS)
        asked = next(block for block in write.blocks() if block.kind is Kind.QUERY)
        marks = (*prompts.seam(), *prompts.text("Where?"), *prompts.turn_close())
        assert asked.token_ids == marks
        assert bool(prompts.seam()) == (family == "qwen2_5_vl")


# What is refused


def test_things_are_written_in_the_order_of_time():
    write, _ = paper()
    with pytest.raises(QuestionError, match="no frame has come"):
        write.ask("Where?", Reply(text="here"), t_ns=0)
    with pytest.raises(QuestionError, match="no frame has come"):
        write.decide("silence")
    write.see(sight(0))
    with pytest.raises(TimeError, match="rising times"):
        write.see(sight(0))
    with pytest.raises(TimeError, match="order of time"):
        write.ask("Where?", Reply(text="here"), t_ns=SECOND_NS // 4)
    write.ask("Where?", Reply(text="here"), t_ns=10 * SECOND_NS)
    with pytest.raises(TimeError, match="write decisions about a grid before"):
        write.decide("silence")
    with pytest.raises(TimeError, match="order of time"):
        write.ask("Where?", Reply(text="here"), t_ns=9 * SECOND_NS)
    with pytest.raises(TimeError, match="rising times"):
        write.see(sight(5))
    with pytest.raises(TimeError, match="a frame waits"):
        write.ask("Where?", Reply(text="here"), t_ns=11 * SECOND_NS, waiting=sight(0, 0))
    with pytest.raises(TimeError, match="the last frame not before the first"):
        sight(5, 0)


def test_a_turn_says_what_it_says():
    write, _ = paper()
    write.see(sight(0))
    with pytest.raises(QuestionError, match="expected text"):
        write.ask(" ", Reply(text="here"), t_ns=SECOND_NS)
    for state, reply in (("silence", Reply(text="a")), ("respond", None), ("respond", Reply(text="", state="standby"))):
        with pytest.raises(SettingsError, match="for 'respond' alone"):
            write.decide(state, reply=reply)
    with pytest.raises(SettingsError, match="expected one of silence"):
        Reply(text="", state="shout")
    assert len(write.blocks()) == 2
