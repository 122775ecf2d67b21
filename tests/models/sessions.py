"""One tiny model of each family, and sessions driven by schedules; what a session has become, as values to compare."""

from dataclasses import replace

import torch

from models.answer import Answer, AnswerOptions
from models.decode import Sampling, StopRule
from models.memory.settings import MemorySettings
from models.row import Fed
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from tests.models.oracle import SECOND_NS, drawn_frames

HALF_NS = SECOND_NS // 2
MODES = ("incremental", "delayed", "clip", "parallel")
MEMORIES = ("window", "star_stream", "clusters", "retrieval", "all")
FAMILIES = ("qwen2_5_vl", "qwen2_5_omni", "qwen3_vl")
BASE = StreamingSettings(slots=1024, max_new_tokens=5, background=False, memory="all", window_s=None, max_gap_s=60.0)
KNOBS = MemorySettings(
    last=2, star_capacity=2, stream_capacity=2, cluster_size=2, cluster_buffer=1, clusters=2, cluster_match=0.2
)
FRAMES = drawn_frames(8)
# Drawn at random, replies are long whatever the weights would say.
HOT = Sampling(temperature=3.0, seed=7)
_MODELS: dict[str, StreamingModel] = {}


def model_of(family="qwen2_5_vl"):
    """The same model for all tests; sessions do not change it."""
    if family not in _MODELS:
        _MODELS[family] = StreamingModel.from_random(tiny_config(family), settings=BASE)
    return _MODELS[family]


def hot(seed=7, count=5):
    """A reply of `count` tokens drawn at random from its logits."""
    return AnswerOptions(sampling=replace(HOT, seed=seed), stop=StopRule(max_new_tokens=count, repeats=0))


def fed(session, count, *, start=0, step_ns=HALF_NS):
    """Adds frames `start` to `start + count`; returns the session."""
    for index in range(start, start + count):
        session.add_frame(FRAMES[index * 3 % len(FRAMES)], index * step_ns)
    return session


class Said:
    """What was said, and the logits it was chosen from; equal to what differs in rounding only.

    The words of tiny models hardly depend on what they see; their logits do.
    """

    __hash__ = None

    def __init__(self, words, logits):
        self.words = words
        self.logits = torch.cat(logits) if logits else torch.zeros(0, 1)

    def __eq__(self, other):
        alike = self.logits.shape == other.logits.shape and self.words == other.words
        return alike and torch.allclose(self.logits, other.logits, rtol=0, atol=1e-4)

    def __repr__(self):
        return f"Said({self.words}, {self.logits.abs().sum():.6f})"


class Ear:
    """Hears the logits of a session, and passes on what it hears to who listened before."""

    def __init__(self, before=None):
        self.before = before
        self.logits = []

    def __call__(self, event):
        if isinstance(event, Fed) and len(event.logits):
            self.logits.append(event.logits)
        if self.before is not None:
            self.before(event)


def answered(session, question="What is it?", **given):
    """The tokens of a whole answer and all logits on the way."""
    before = session._state.row.observer
    session.observe(ear := Ear(before))
    try:
        words = session.ask(question, **{"options": hot(), **given}).run().token_ids
    finally:
        session.observe(before)
    return Said(words, ear.logits)


def state_of(session):
    """Everything about a session that a caller can see and that does not depend on clocks or on the shared encoder."""
    kept = ("vision", "_s")
    counts = {
        name: value
        for name, value in session.metrics().as_dict().items()
        if not name.startswith(kept[0]) and not name.endswith(kept[1]) and name != "bytes_moved"
    }
    return counts, [(said.question, said.reply, said.t_ns) for said in session.history]


def owners(session):
    """Entries that something still needs: the system turn, what memory shows, what waits beside it, the dialogue."""
    state = session._state
    state.drain()
    shown = set(state.watcher.ready().entries.values())
    system = set() if state.track.system is None else {state.track.system}
    return shown | system | set(state.dialogue.visible())


def check_no_leak(session):
    """Every slot that is taken belongs to an entry that is still needed, and nothing is held."""
    session._state.interrupt()
    row, needed = session._state.row, owners(session)
    assert {entry.id for entry in row.live()} == needed
    assert not row.held
    assert row.used == sum(len(row.entry(key).slots) for key in needed) == session.metrics().slots_used


class Driver:
    """Carries out a schedule of named actions on one session and writes down all that it gives out."""

    def __init__(self, session):
        self.session = session
        self.clock_ns = 0
        self.count = 0
        self.answer = None
        self.turns = None
        self.moments = []
        self.said = []
        self.ear = Ear()
        session.observe(self.ear)

    def do(self, action):
        carry_out = {
            "frame": self._frame, "late": self._late, "ask": self._ask, "piece": self._piece, "finish": self._finish,
            "close": self._close, "speak": self._speak, "glance": self._glance, "snapshot": self._snapshot,
            "restore": self._restore, "forget": self._forget,
        }  # fmt: skip
        carry_out[action]()

    def _frame(self, gap_ns=HALF_NS):
        self.clock_ns += gap_ns
        self.session.add_frame(FRAMES[self.count * 3 % len(FRAMES)], self.clock_ns)
        self.count += 1

    def _late(self):
        self._frame(61 * SECOND_NS)

    def _ask(self):
        if self.count:
            self.answer = self.session.ask("What is it?", options=hot(seed=self.count))
            self.said.append(self.answer)

    def _piece(self):
        if self.answer is not None:
            next(self.answer, None)

    def _finish(self):
        if self.answer is not None:
            self.answer.run()

    def _close(self):
        if self.answer is not None:
            self.answer.close()

    def _speak(self):
        for turn in self.session.speak(options=hot(seed=self.count)):
            self.said.append(turn)

    def _glance(self):
        self.turns = self.session.speak(options=hot(seed=self.count))
        turn = next(self.turns, None)
        if turn is not None:
            self.said.append(turn)

    def _snapshot(self):
        self.moments.append((self.session.snapshot(), self.clock_ns))

    def _restore(self):
        if self.moments:
            moment, self.clock_ns = self.moments[-1]
            self.session.restore(moment)

    def _forget(self):
        if self.moments:
            self.session.forget(self.moments.pop()[0])

    def spoken(self):
        """Tokens of all answers and states of all turns, in order, and the logits of all of them."""
        made = []
        for one in self.said:
            if isinstance(one, Answer):
                made.append(one.token_ids)
            else:
                made.append((one.t_ns, one.state, None if one.answer is None else one.answer.token_ids))
        return Said(made, self.ear.logits)


PLAIN = ("frame", "frame", "frame", "late", "ask", "piece", "finish", "close", "speak")
ACTIONS = (*PLAIN, "glance", "snapshot", "restore", "forget")
