"""A session under a layout is that layout: ids and mask of all that it fed are what training derives for it."""

from dataclasses import replace
from itertools import groupby, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Block, Kind, derive
from models.errors import SettingsError
from models.layouts import LAYOUTS
from models.masks import visible
from models.row import Fed
from models.settings import MODES, StreamingSettings, served_layouts, served_modes
from tests.laws import examples
from tests.models.oracle import Oracle
from tests.models.sessions import BASE, FAMILIES, check_no_leak, fed, hot, model_of

CLOSE = 1e-4
# What a reply sees and where it stands is there as soon as it is said; the other layouts feed it anew.
LIVE = [name for name, layout in LAYOUTS.items() if not layout.retold]
ACTIONS = st.lists(st.sampled_from(["grid", "grid", "ask", "piece", "piece", "finish", "speak"]), max_size=16)


def kept(session, events: list[Fed]) -> list[Fed]:
    """What was fed and not taken back: decisions to be silent and words that nobody took leave no trace."""
    left = {slot for entry in session._state.row.live() for slot in entry.slots.tolist()}
    found = []
    for event in reversed(events):
        slots = set(event.entry.slots.tolist())
        if slots <= left:
            left -= slots
            found.append(event)
    assert not left
    return found[::-1]


def written(events: list[Fed], *, ends: set[int], predicting_row: bool) -> list[Block]:
    """What was fed, as training writes it down: each block known at the moment it was fed.

    Without a predicting row the end of a reply is fed with the next turn, as a part of its reply.
    With a predicting row the last token of a reply is fed behind the input that the next reply sees. So the first token
    that is fed behind input is the last one of the reply before.
    """
    ticks = [(1 + tick) * 10**15 for tick in range(len(events) + 1)]
    if not predicting_row:
        known = dict(enumerate(ticks))
        for tick, event in enumerate(events):
            if event.entry.id in ends:
                known[tick] = known[max(before for before in range(tick) if is_said(events[before]))] + 1
        blocks = [at_time(event.entry.block, known[tick]) for tick, event in enumerate(events)]
        return sorted(blocks, key=lambda block: block.known_ns)
    heard = [at_time(event.entry.block, ticks[tick]) for tick, event in enumerate(events) if not is_said(event)]
    said: list[tuple[int, list[int]]] = []
    for spoken, run in groupby(enumerate(events), key=lambda item: is_said(item[1])):
        if spoken:
            items = list(run)
            tokens = [token for _, event in items for token in event.entry.block.token_ids]
            if said:
                said[-1][1].append(tokens.pop(0))
            said.append((ticks[items[0][0]], tokens))
    # What the model would say next; without it the last token that was fed would predict nothing.
    said.append((ticks[-1], [0]))
    return sorted(
        [*heard, *(Block(kind=Kind.REPLY, t0_ns=t, t1_ns=t, token_ids=tuple(ids)) for t, ids in said if ids)],
        key=lambda block: block.known_ns,
    )


def is_said(event: Fed) -> bool:
    return event.entry.block.kind.said


def at_time(block: Block, known_ns: int) -> Block:
    return replace(block, t0_ns=block.t0_ns if block.grids else known_ns, t1_ns=known_ns)


def borders(blocks: list[Block], header: tuple[int, ...]) -> list[str]:
    """Behind a question a reply must begin with its header, and not within it, as anybody would write it down."""
    first = [after for before, after in pairwise(blocks) if before.kind is Kind.QUERY and after.kind is Kind.REPLY]
    return ["borders"] if any(block.token_ids[: len(header)] != header for block in first) else []


def faults(session, oracle: Oracle) -> list[str]:
    """Where the session differs from its layout: positions, mask, logits of one forward, or borders of replies."""
    layout = LAYOUTS[session.settings.layout]
    if layout.retold:
        # Frames wait while a reply is open, and each turn feeds all that was said.
        assert session._state.answer is not None
    predicting_row = layout.visibility.predicting_row
    events = kept(session, oracle.fed)
    ends = {said.entries[-1] for said in session.history if not said.unfed and not layout.retold}
    blocks = written(events, ends=ends, predicting_row=predicting_row)
    context = derive(blocks, layout, clock=session._state.row.clock)
    found = borders(blocks, tuple(session._state.prompts.reply_start()))
    starts = {}
    total = 0
    for event in oracle.fed:
        starts[event.entry.id] = total
        total += len(event.entry.block.token_ids)
    places = {True: [], False: []}
    for event in events:
        start = starts[event.entry.id]
        places[is_said(event)] += range(start, start + len(event.entry.block.token_ids))
    if predicting_row:
        places[True].append(-1)
    order = [places[block.kind.said].pop(0) for block in context.blocks for _ in block.token_ids]
    assert places == {True: [], False: []}
    real = [index for index, place in enumerate(order) if place >= 0]
    order = [order[index] for index in real]
    positions, mask = context.positions[:, real], visible(context)[real][:, real]
    if not torch.equal(torch.stack(oracle.positions, dim=1)[:, order], positions):
        found.append("positions")
    back = {place: index for index, place in enumerate(order)}
    sees = [{back.get(place, -1) for place in oracle.sees[row]} for row in order]
    if sees != [set(row.nonzero()[:, 0].tolist()) for row in mask]:
        found.append("visibility")
    whole = Oracle(
        oracle.backbone,
        embeds=[oracle.embeds[place] for place in order],
        positions=list(positions.T),
        deepstack=oracle.deepstack,
        visual=[oracle.visual[place] for place in order],
        sees=[set(row.nonzero()[:, 0].tolist()) for row in mask],
    ).one_forward()
    given_out = [(back[place], row) for place, row in oracle.logits if place in back]
    if max(float((whole[place] - row).abs().max()) for place, row in given_out) > CLOSE:
        found.append("logits")
    return found


class Driver:
    """A session, what it fed, and the frames so far; decisions are about the newest grid."""

    def __init__(self, session) -> None:
        self.session = session
        self.answer = None
        self.grids = 0
        self.turn = 0
        session.observe(oracle := Oracle(session._state.row.engine.backbone))
        self.oracle = oracle

    def do(self, action: str) -> None:
        if action == "grid":
            fed(self.session, 2, start=2 * self.grids)
            self.grids += 1
        elif action == "ask":
            self.turn += 1
            self.answer = self.session.ask("What is it?", options=hot(seed=self.turn))
        elif action == "speak":
            undecided = self.session._state.undecided
            while len(undecided) > 1:
                undecided.popleft()
            list(self.session.speak(options=hot(count=3)))
        elif self.answer is not None and action == "finish":
            self.answer.run()
        elif self.answer is not None:
            next(self.answer, None)

    def starts(self, kind: Kind = Kind.FRAMES) -> list[int]:
        """The first temporal position of each block of a kind."""
        return [int(e.entry.positions[0, 0]) for e in self.oracle.fed if e.entry.block.kind is kind]

    def run(self, actions=()) -> list[str]:
        for action in ("grid", *actions, "grid", "ask"):
            self.do(action)
        if not self.session._state.layout.retold:
            self.do("piece")
            self.do("piece")
            self.session._state.interrupt()
        return faults(self.session, self.oracle)


def driver(layout, *, family="qwen2_5_vl", mode="incremental", speaks=False) -> Driver:
    """A session that keeps all it saw and said; every decision is to speak, or none."""
    chosen = replace(BASE, slots=4096, history_rounds=100, layout=layout, mode=mode)
    chosen = replace(chosen, speak_threshold=0.0 if speaks else 1.0)
    return Driver(model_of(family).session(chosen))


@pytest.mark.parametrize("layout", [*LIVE, "origin", "batch"])
@settings(max_examples=examples(20))
@given(
    family=st.sampled_from(FAMILIES),
    mode=st.sampled_from(["incremental", "parallel"]),
    speaks=st.booleans(),
    actions=ACTIONS,
)
def test_a_session_is_its_layout(layout, family, mode, speaks, actions):
    mode = mode if mode in served_modes(layout) else "incremental"
    drive = driver(layout, family=family, mode=mode, speaks=speaks)
    assert drive.run(actions) == []
    check_no_leak(drive.session)


APART = ["group", "gap", "overlap_shared"]
# While a reply is written frames come in; then a second round.
FIRST = ("ask", "piece", "grid", "piece", "piece", "grid", "grid", "piece", "finish")
LONG = (*FIRST, "grid", "speak", "grid", "ask", "piece")


@pytest.mark.parametrize("layout", APART)
def test_a_question_that_sees_a_reply_is_found(layout):
    drive = driver(layout)
    drive.session._state.visibility = replace(LAYOUTS["branch"].visibility)
    assert {"visibility", "logits"} <= set(drive.run(LONG))


@pytest.mark.parametrize("layout", APART)
def test_an_end_of_a_reply_that_is_fed_too_early_is_found(layout):
    """Its last token must see the next question, whose answer it begins."""
    drive = driver(layout)
    state = drive.session._state
    state.visibility = replace(state.visibility, predicting_row=False)
    assert "borders" in drive.run(LONG)


@pytest.mark.parametrize("layout", APART)
def test_frames_that_take_the_place_of_a_question_are_found(layout):
    drive = driver(layout)
    cursor = None
    for action in ("grid", "grid", "ask"):
        cursor = drive.session._state.track.cursor
        drive.do(action)
    drive.session._state.track.cursor = cursor
    assert "positions" in drive.run(("grid", "piece"))


def test_replies_that_stay_at_older_frames_are_found():
    drive = driver("overlap_shared", mode="parallel")
    state = drive.session._state
    state.positions = LAYOUTS["group"].positions
    assert "positions" in drive.run(LONG)


@pytest.mark.parametrize("speaks", [False, True])
@pytest.mark.parametrize(
    ("layout", "mode"),
    [
        (name, mode)
        for name in [*LIVE, "origin", "batch"]
        for mode in ("incremental", "parallel")
        if mode in served_modes(name)
    ],
)
def test_a_long_dialogue_is_its_layout(layout, speaks, mode):
    drive = driver(layout, mode=mode, speaks=speaks)
    assert drive.run((*LONG, *LONG)) == []
    assert len(drive.session.history) >= 4
    assert drive.session.metrics().responses == 2 * speaks


def test_frames_go_on_behind_a_question_unless_the_question_lies_beside():
    begins = {}
    for layout in ("branch", "group"):
        drive = driver(layout)
        for action in ("grid", "grid", "ask", "finish", "grid", "grid"):
            drive.do(action)
        begins[layout] = drive.starts()
    beside, behind = begins["branch"], begins["group"]
    asked = max(event.entry.end for event in drive.oracle.fed if event.entry.block.kind is Kind.QUERY)
    assert beside[:2] == behind[:2]
    assert beside[2] < asked == behind[2] < behind[3]


@pytest.mark.parametrize("layout", APART)
def test_frames_stay_behind_a_question_whose_round_is_dropped(layout):
    drive = driver(layout)
    drive.session._state.dialogue.limit = 0
    for action in ("grid", "ask", "finish", "grid", "ask", "finish", "grid"):
        drive.do(action)
    heard = [event.entry for event in drive.oracle.fed if not is_said(event)]
    begins = [int(entry.positions[0, 0]) for entry in heard]
    assert begins[1:] == [entry.end for entry in heard[:-1]]
    assert [entry.block.kind for entry in heard].count(Kind.QUERY) == 6
    assert drive.session.history == ()


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_decisions_to_be_silent_leave_no_trace_however_late(layout):
    begins = []
    for talks in (False, True):
        drive = driver(layout)
        for action in ("grid", "grid", "grid"):
            drive.do(action)
        if talks:
            assert [turn.state != "respond" for turn in drive.session.speak()] == [True] * 3
        drive.do("grid")
        begins.append((drive.starts(), drive.session._state.track.cursor))
    assert begins[0] == begins[1]


@pytest.mark.parametrize("layout", APART)
def test_a_turn_that_comes_late_leaves_frames_where_they_are(layout):
    """Its marks stand where they would have stood then; frames in the cache do not move, and nothing stands before."""
    drive = driver(layout, speaks=True)
    for action in ("grid", "grid", "grid"):
        drive.do(action)
    cursor = drive.session._state.track.cursor
    first = next(drive.session.speak(options=hot(count=2)))
    assert first.answer is not None
    assert drive.session._state.track.cursor.next >= cursor.next
    marks = [event.entry for event in drive.oracle.fed if event.entry.block.kind is Kind.QUERY]
    frame = next(event.entry for event in drive.oracle.fed if event.entry.block.kind is Kind.FRAMES)
    assert int(marks[0].positions.min()) == frame.end
    drive.do("grid")
    ends = [int(event.entry.end) for event in drive.oracle.fed if event.entry.block.kind is Kind.FRAMES]
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    ("layout", "mode", "reason"),
    [
        ("origin", "parallel", "stand behind all input"),
        ("batch", "parallel", "stand behind all input"),
        ("overlap", "parallel", "stand behind all input"),
        ("interleave", "parallel", "in the middle of it"),
        ("origin", "delayed", "places frames anew"),
        ("interleave", "clip", "places frames anew"),
    ],
)
def test_a_mode_that_cannot_serve_a_layout_is_refused_with_its_reason(layout, mode, reason):
    with pytest.raises(SettingsError, match=reason) as caught:
        StreamingSettings(layout=layout, mode=mode)
    assert "use mode incremental, or train under another layout" in str(caught.value)
    assert f"expected one of {', '.join(served_layouts(mode))}: " in str(caught.value)


def test_every_layout_is_served_by_some_mode():
    assert served_modes("branch") == MODES
    assert {name: served_modes(name) for name in APART} == dict.fromkeys(APART, ("incremental", "parallel"))
    others = ["batch", "interleave", "origin", "overlap"]
    assert [name for name in sorted(LAYOUTS) if served_modes(name) == ("incremental",)] == others


@pytest.mark.parametrize("layout", APART)
@pytest.mark.parametrize("mode", ["delayed", "clip"])
def test_a_mode_that_places_frames_anew_has_no_count_to_share(layout, mode):
    with pytest.raises(SettingsError, match=f"setting layout is '{layout}' in mode {mode}, expected one of branch: "):
        StreamingSettings(layout=layout, mode=mode)
    assert StreamingSettings(layout="branch", mode=mode).mode == mode


@pytest.mark.parametrize("layout", [name for name in sorted(LAYOUTS) if name != "branch"])
def test_a_short_answer_first_is_refused_where_questions_do_not_see_it(layout):
    drive = driver(layout, speaks=True)
    drive.do("grid")
    options = replace(hot(), draft_tokens=2)
    with pytest.raises(SettingsError, match="draft_tokens: found 2, expected 0 under layout"):
        drive.session.ask("What?", options=options)
    with pytest.raises(SettingsError, match="draft_tokens"):
        next(drive.session.speak(options=options))
    assert drive.run() == []


@pytest.mark.parametrize("layout", [*LIVE, "origin", "batch"])
def test_a_moment_that_was_gone_back_to_goes_on_in_its_layout(layout):
    drive = driver(layout, mode="parallel" if "parallel" in served_modes(layout) else "incremental")
    for action in ("grid", *FIRST, "speak"):
        drive.do(action)
    moment, grids = drive.session.snapshot(), drive.grids
    for action in LONG:
        drive.do(action)
    drive.session.restore(moment)
    drive.session.forget(moment)
    drive.answer, drive.grids = None, grids
    assert drive.run(LONG) == []
