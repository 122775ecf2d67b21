"""Does a session that is told the same stream find what training finds: words, decisions and scores, one by one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.answer import AnswerOptions
from models.blocks import Kind
from models.decode import Sampling, StopRule
from models.row import Event, Fed
from models.session import Session
from models.streaming import StreamingModel
from recipes.data.example import STATES, Example, GridRef
from recipes.data.frames import Frames
from recipes.data.script import Line, Script, Writer
from recipes.verify.bench import Bench, difference
from recipes.verify.finding import Finding, seconds
from recipes.verify.kinds import Chosen, choose
from recipes.verify.packing import CLOSE_HALF

# Two rounded sums in another order differ by a few 1e-7; what one frame adds to a random model's states is some 1e-4.
CLOSE = 2e-5


@dataclass(slots=True)
class _Ear:
    """Scores of all that a session says, in the order in which it is said."""

    scores: list[Tensor]

    def __call__(self, event: Event) -> None:
        if isinstance(event, Fed) and event.entry.block.kind is Kind.REPLY and len(event.logits):
            self.scores += list(event.logits.float())


class Replay:
    """Puts the lines of a script to a session, as they happened.

    Args:
        session: fresh.
        bench: of the learner; its format names the decisions.
        frames: pixels, as they are resized for the tower.
    """

    def __init__(self, session: Session, bench: Bench, frames: Frames) -> None:
        self.session = session
        self._bench = bench
        self._frames = frames
        self._ear = _Ear([])
        self._added = 0
        session.observe(self._ear)

    def scores(self, script: Script, tokens: Sequence[Sequence[int]]) -> list[Tensor]:
        """Float32 (tokens of a line, vocabulary) for each line of a script.

        Args:
            script: what happened.
            tokens: what is said in each line, decision token and end included.
        """
        times = self._times(script)
        found = []
        for line, said in zip(script.lines, tokens, strict=True):
            self._watch(script, times[: bisect_right(times, line.t_ns)])
            self._ear.scores.clear()
            self._put(line, tuple(said))
            found.append(torch.stack(self._ear.scores[: len(said)]))
        return found

    def _times(self, script: Script) -> list[int]:
        """Frames of the stretch."""
        footage, stretch = script.footage, script.stretch
        first = footage.grids[stretch.first].t0_ns
        return [t_ns for t_ns in footage.times if t_ns >= first]

    def _watch(self, script: Script, times: Sequence[int]) -> None:
        decided = {line.t_ns for line in script.lines if not line.question}
        for t_ns in times[self._added :]:
            self.session.add_frame(self._picture(script, t_ns).numpy(), t_ns)
            if t_ns not in decided:
                # Nothing is decided about its grid, and silence leaves nothing behind.
                list(self.session.speak(take="silence"))
        self._added = max(self._added, len(times))

    def _picture(self, script: Script, t_ns: int) -> Tensor:
        lone = GridRef(video_id=script.footage.video.id, t0_ns=t_ns, t1_ns=t_ns)
        pixels: Tensor = self._frames.pixels(lone)[0]
        return pixels

    def _put(self, line: Line, said: tuple[int, ...]) -> None:
        stop = StopRule(max_new_tokens=max(1, len(said)), repeats=0)
        options = AnswerOptions(sampling=Sampling(given=said), stop=stop)
        moment = self.session.snapshot() if line.aside else None
        if line.question:
            newest = max(line.t_ns, 0)
            self.session.ask(line.question, t_ns=newest, options=options).run()
        else:
            # The decision is taken before the reply is written, and is none of its tokens.
            stop = StopRule(max_new_tokens=max(1, len(said) - 1), repeats=0)
            given = AnswerOptions(sampling=Sampling(given=said[1:]), stop=stop)
            *_, turn = self.session.speak(options=given, take=line.state or "silence")
            assert turn.state == (line.state or "silence")
        if moment is not None:
            self.session.restore(moment)
            self.session.forget(moment)


def check_streaming(bench: Bench, model: StreamingModel, frames: Frames) -> list[Finding]:
    """A finding for each example that is streamed, one of every kind of each source, all that is said being given.

    A video that shows other pictures in the place of its own cannot be told to a session, and is said to be left out.
    Of windows that carry their cache one forward is compared; that they equal it, `check_carried` proves.
    """
    findings = []
    for chosen in choose(bench.examples, bench.writer.scripts):
        example = chosen.example
        script = bench.writer.scripts.get(example.key)
        if script is None or script.shown:
            words = f"{example.source}: {example.key} is not streamed: it shows other pictures than its own"
            findings.append(Finding(check="streaming", ok=True, words=words))
            continue
        findings.append(_compare(bench, model, frames, chosen=chosen, script=script))
    return findings


def _compare(bench: Bench, model: StreamingModel, frames: Frames, *, chosen: Chosen, script: Script) -> Finding:
    example = chosen.example
    settings = replace(
        model.settings,
        memory="all",
        window_s=None,
        history_rounds=len(script.lines) + 1,
        # With too little room a session forgets its oldest rounds.
        slots=max(model.settings.slots, 4 * example.tokens + 4096),
        system_prompt=script.system or model.settings.system_prompt,
        mode="incremental",
    )
    tokens = [_tokens(bench, model, line) for line in script.lines]
    with model.session(settings) as session:
        found = Replay(session, bench, frames).scores(script, tokens)
    worst, where = 0.0, ""
    learned = _comparable(bench, script)
    for k, wanted in zip(learned, _expected(bench, script, learned), strict=True):
        gap = difference(found[k][: len(wanted)], wanted)
        if gap > worst:
            worst, where = gap, f"{script.lines[k].task} said at {seconds(script.lines[k].t_ns)}"
    close = CLOSE if bench.learner.backbone.dtype == torch.float32 else CLOSE_HALF
    kinds = ", ".join(chosen.kinds)
    words = f"{example.source}: {len(learned)} of {len(example.said)} things said of {example.key} ({kinds}): "
    if worst <= close:
        words += f"a session finds what training finds, to {worst:.1e}"
        if bench.layout.retold:
            words += f", each as of its time: under layout {_name(bench)} what comes later moves what was said before"
        return Finding(check="streaming", ok=True, words=words)
    words += (
        f"a session's scores differ by {worst:.1e} ({where}); training and serving do not see the same: compare the "
        f"system prompt, data.fps, the size and the normalisation of frames, and the layout ({_name(bench)}) of the two"
    )
    return Finding(check="streaming", ok=False, words=words)


def _name(bench: Bench) -> str:
    return bench.layout.name


def _comparable(bench: Bench, script: Script) -> list[int]:
    """Learned lines that a session and one document can both tell.

    Where replies are fed anew, one that was shown a frame without a partner is fed without it later on, which one
    document cannot say: behind such a line, when it stays, nothing is compared.
    """
    learned = [k for k, line in enumerate(script.lines) if line.learn]
    if not bench.layout.retold:
        return learned
    seen = _since(script).footage
    alone = (
        k for k, line in enumerate(script.lines) if line.question and not line.aside and seen.waiting_at(line.t_ns)
    )
    last = next(alone, len(script.lines))
    return [k for k in learned if k <= last]


def _expected(bench: Bench, script: Script, learned: Sequence[int]) -> list[Tensor]:
    """What training finds for each learned line: float32 (supervised tokens, vocabulary).

    Where what comes later moves what was said before, a session knows as much of it as has come: then the document ends
    with the line.
    """
    seen = _since(script)
    if not bench.layout.retold:
        return _scores(bench, Writer.write(bench.writer, seen))
    parts = [replace(seen, lines=seen.lines[: k + 1]) for k in learned]
    return [_scores(bench, Writer.write(bench.writer, part))[-1] for part in parts]


def _since(script: Script) -> Script:
    """The same stretch as a stream that begins with it, as a session must be shown it: its texts count time from there.

    In training they count it from the begin of the video, as in a session that has let go what came before. Windows are
    put together: a session has none.
    """
    footage, first = script.footage, script.footage.grids[script.stretch.first].t0_ns
    begin = bisect_left(footage.times, first)
    shorter = replace(footage, times=footage.times[begin:], waits=footage.waits[begin:])
    return replace(script, footage=shorter, carry_ns=None)


def _scores(bench: Bench, example: Example) -> list[Tensor]:
    """Float32 (supervised tokens, vocabulary) for each thing said in an example."""
    batches = bench.batches([[example]])
    hidden = bench.hidden(batches)
    with torch.no_grad():
        scores = bench.learner.project(hidden.to(bench.learner.backbone.dtype)).float()
    answer = torch.cat([batch.answer for batch in batches])
    return [scores[answer == place] for place in range(len(example.said))]


def _tokens(bench: Bench, model: StreamingModel, line: Line) -> tuple[int, ...]:
    """What is said in a line."""
    state = () if line.state is None else (bench.how.decision_ids[STATES.index(line.state)],)
    if not line.question and line.state != "respond":
        return state
    end = (model.prompts.turn_end,) if line.ended else ()
    return (*state, *model.prompts.text(line.text), *end)
