"""A session whose decisions and words are given, and the transcript of it; what was fed is found in what was written.

Nothing here knows in which order a session feeds: a token that was fed is looked for among those that were written by
its id, its positions and the tokens that it saw.
"""

from dataclasses import replace

import torch

from models import answer as answering
from models.answer import AnswerOptions
from models.blocks import derive
from models.decode import StopRule
from models.layouts import LAYOUTS
from models.masks import visible
from models.speaking import STATES
from models.transcript import Reply, Sight, Transcript
from tests.models.oracle import SECOND_NS, Oracle
from tests.models.sessions import BASE, FRAMES, HALF_NS, model_of

WORDS = ("yes", "a", "no")


class Script:
    """Stands where a session chooses tokens, and chooses those of a script."""

    tokens = ()

    def __init__(self, sampling):
        pass

    def choose(self, logits, reply):
        return Script.tokens[len(reply)]


def force(monkeypatch):
    """Sessions say what `Script.tokens` holds."""
    monkeypatch.setattr(answering, "Chooser", Script)


class Scripted:
    """Carries out a schedule on a session and writes it down."""

    def __init__(self, layout, *, family="qwen2_5_vl", **given):
        chosen = replace(BASE, **{"slots": 8192, "history_rounds": 100, "layout": layout, **given})
        self.session = model_of(family).session(chosen)
        state = self.session._state
        self.prompts = state.prompts
        self.layout = LAYOUTS[layout]
        self.window_ns = None if chosen.window_s is None else round(chosen.window_s * SECOND_NS)
        self.clock = state.row.clock
        self.oracle = Oracle(state.row.engine.backbone)
        self.session.observe(self.oracle)
        self.decisions = tuple(self.prompts.single(name) for name in chosen.decision_tokens)
        self.transcript = Transcript(
            self.prompts, self.layout, system_prompt=chosen.system_prompt, decision_tokens=self.decisions
        )
        self.frames = 0
        # The frame that waits for a partner, and whether anything was asked behind the newest grid.
        self.lone_ns = None
        self.late = True
        self.asked_ns = 0
        self.newest_ns = 0
        self.later_ns = 0
        self.count = 0

    def size(self):
        grid = self.session._state.intake._format.grid(*FRAMES[0].shape[:2])
        merge = self.session._state.intake._family.merge
        return grid[0] // merge, grid[1] // merge

    def sight(self, t0_ns, last_ns):
        height, width = self.size()
        return Sight(t0_ns=t0_ns, last_ns=last_ns, height=height, width=width)

    def do(self, action):
        getattr(self, action)()

    def frame(self):
        t_ns = self.newest_ns = self.frames * HALF_NS + self.later_ns
        self.session.add_frame(FRAMES[self.frames * 3 % len(FRAMES)], t_ns)
        self.frames += 1
        if self.lone_ns is None:
            self.lone_ns = t_ns
        else:
            self.transcript.see(self.sight(self.lone_ns, t_ns))
            self.lone_ns, self.late = None, False

    def grid(self):
        self.frame()
        if self.lone_ns is not None:
            self.frame()

    def pause(self):
        """A question comes long after the newest frame."""
        self.later_ns += SECOND_NS
        self.ask()

    def reply(self, *, ended=True, state=None):
        self.count += 1
        reply = Reply(text=WORDS[self.count % 3], ended=ended, state=state)
        words = self.prompts.text(reply.text)
        if state is not None:
            words = (self.decisions[STATES.index(state)], *words)
        Script.tokens = (*words, self.prompts.turn_end)
        count = len(words) + ended
        return reply, AnswerOptions(stop=StopRule(max_new_tokens=count, repeats=0))

    def ask(self, *, ended=True, aside=False, state=None, last=False):
        if not self.frames or (self.layout.retold and self.lone_ns is not None and not last):
            # Fed anew, a reply does not see the frame that waited for its question.
            self.frame()
        reply, options = self.reply(ended=ended, state=state)
        t_ns = max(self.frames * HALF_NS - HALF_NS + self.later_ns, self.newest_ns) + (self.count % 2) * SECOND_NS // 10
        t_ns = max(t_ns, self.asked_ns)
        self.asked_ns = t_ns
        moment = self.session.snapshot() if aside else None
        assert self.session.ask("What is it?", t_ns=t_ns, options=options).run().stats.stopped_by
        if moment is not None:
            self.session.restore(moment)
            self.session.forget(moment)
        waiting = None if self.lone_ns is None else self.sight(self.lone_ns, self.lone_ns)
        self.transcript.ask("What is it?", reply, t_ns=t_ns, aside=aside, waiting=waiting)
        self.late = True

    def cut(self):
        self.ask(ended=False)

    def aside(self):
        # Fed anew, what was said stands behind the question that is asked aside.
        if not (self.layout.retold and self.session.history):
            self.ask(aside=True)

    def wait(self):
        self.ask(state="standby")

    def threshold(self, value):
        state = self.session._state
        state.settings = replace(state.settings, speak_threshold=value)
        while len(state.undecided) > 1:
            state.undecided.popleft()

    def silent(self):
        # Behind a question a decision about an older grid would know less than what was said.
        if not self.late and self.session._state.undecided:
            self.threshold(1.0)
            [turn] = list(self.session.speak())
            self.transcript.decide("silence" if self.count % 2 else "standby")
            assert turn.answer is None

    def speak(self):
        if not self.late and self.session._state.undecided:
            self.threshold(0.0)
            reply, options = self.reply()
            [turn] = list(self.session.speak(options=options))
            self.transcript.decide("respond", reply=reply)
            assert turn.answer is not None

    def run(self, actions, *, last=False):
        """The faults at the end; where replies are fed anew at each turn, those behind each action."""
        found = []
        for action in ("grid", *actions, "grid", *(["frame"] if last else [])):
            since = len(self.oracle.embeds)
            self.do(action)
            if self.layout.retold and len(self.oracle.embeds) > since:
                found += self.faults(since=since)
        since = len(self.oracle.embeds) if self.layout.retold else 0
        self.ask(last=True)
        self.session._state.interrupt()
        return found + self.faults(since=since)

    def faults(self, *, since=0):
        """What was fed from a token on and was not written so, or was seen and is not in the session."""
        context = derive(self.transcript.blocks(), self.layout, clock=self.clock, window_ns=self.window_ns)
        match = matched(self.oracle, context, since=since)
        if isinstance(match, str):
            return [match]
        mask = visible(context)
        fed = torch.zeros(len(mask), dtype=torch.bool)
        fed[list(match.values())] = True
        seen = mask[fed][:, ~fed].any()
        found = ["unfed"] if bool(seen) else []
        return found + (["logits"] if difference(self.oracle, context, match, mask) > 1e-4 else [])


def matched(oracle, context, *, since=0):
    """For each token that was fed the place where it is written, or what the first one is that is nowhere written."""
    mask = visible(context).numpy()
    counts = mask.sum(1)
    written = {}
    for place in context.arrival[context.block_of].argsort(stable=True).tolist():
        key = (int(context.token_ids[place]), *context.positions[:, place].tolist())
        written.setdefault(key, []).append(place)
    ids = [token for event in oracle.fed for token in event.entry.block.token_ids]
    said = [event.entry.block.kind.said for event in oracle.fed for _ in event.entry.block.token_ids]
    match, taken = {}, set()
    for token in range(len(ids)):
        if token < since and said[token]:
            continue
        key = (ids[token], *oracle.positions[token].tolist())
        seen = [match.get(other, -1) for other in oracle.sees[token] if other != token]
        fits = -1 not in seen
        places = [at for at in written.get(key, ()) if fits and counts[at] == len(seen) + 1 and mask[at, seen].all()]
        if not places:
            if token < since:
                continue
            return f"token {token}, id and positions {key}, of {len(ids)}: {'visibility' if key in written else 'key'}"
        free = [place for place in places if place not in taken] or places
        # What was fed last was written last; all the rest in the order in which it was fed.
        match[token] = free[-1] if since and token >= since else free[0]
        taken.add(match[token])
    return match


def difference(oracle, context, match, mask):
    """The greatest difference between a logit of the session and the one forward of what was written."""
    backbone = oracle.backbone
    embeds = list(backbone.embed(context.token_ids))
    visual, deep = [False] * len(mask), {}
    before = 0
    for token, place in match.items():
        embeds[place], visual[place] = oracle.embeds[token], oracle.visual[token]
    for token, shown in enumerate(oracle.visual):
        if shown:
            if token in match:
                deep[match[token]] = before
            before += 1
    stack = [oracle.deepstack[deep[place]] for place in sorted(deep)] if oracle.deepstack else []
    whole = Oracle(
        backbone, embeds=embeds, positions=list(context.positions.T), deepstack=stack, visual=visual,
        sees=[set(row.nonzero()[:, 0].tolist()) for row in mask],
    ).one_forward()  # fmt: skip
    logits = [(match[token], row) for token, row in oracle.logits if token in match]
    return max((float((whole[place] - row).abs().max()) for place, row in logits), default=0.0)
