"""A document as a list of lines, before it is tokens: what is asked and said when, over which grids of a video."""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

from datasets_build.core.records import Event, Evidence
from models.backbone import Family
from models.layouts import Layout
from models.prompts import Prompts
from models.transcript import Reply, Sight, Transcript
from recipes.data.example import Example, GridRef, Said, State
from recipes.data.footage import Footage, Stretch
from recipes.errors import RecipeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One turn: a question with the reply to it, or a decision after a grid with what is said then.

    Attributes:
        t_ns: when it is asked; of a decision, the time of the last frame of its grid.
        task: of which task it is.
        question: empty: a decision.
        text: what is said.
        state: of a decision; of a reply to a question, the decision token that it begins with.
        learn: whether what is said is learned.
        loss_weight: of what is said.
        ended: False: the reply was cut short.
        aside: nobody later knows of it.
        evidence_ns: when what is to be said next can be known; None: nothing is to come.
        window_end_ns: until when it is in time; None: no limit.
        name: by which another line calls this one its twin.
        twin: name of the line that says the same one grid later.
    """

    t_ns: int
    task: str
    question: str = ""
    text: str = ""
    state: State | None = None
    learn: bool = True
    loss_weight: float = 1.0
    ended: bool = True
    aside: bool = False
    evidence_ns: int | None = None
    window_end_ns: int | None = None
    name: str = ""
    twin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Script:
    """A document.

    Attributes:
        key: names it for ever.
        source: which source of a mix made it.
        footage: the video.
        stretch: which of its grids are seen; those behind the last line are left out.
        lines: in the order in which they happen.
        borders: instants, rising, at which something begins or ends; users' turns that stay are borders as well.
        carry_ns: length of the windows over which the cache is carried; None: one forward sees it whole.
        system: what the model is told to be; empty: what the run says.
        shown: other pictures than its own at some grids, by their place in the video (a spoiled video).
    """

    key: str
    source: str
    footage: Footage
    stretch: Stretch
    lines: tuple[Line, ...]
    borders: tuple[int, ...] = ()
    carry_ns: int | None = None
    system: str = ""
    shown: tuple[tuple[int, int], ...] = ()


class Left:
    """What was left out, and why: counts by source and reason, with a few keys of each."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.keys: dict[tuple[str, str], list[str]] = {}

    def out(self, source: str, reason: str, key: str) -> None:
        """Counts one thing that was left out."""
        self.counts[source, reason] += 1
        kept = self.keys.setdefault((source, reason), [])
        if len(kept) < 5:
            kept.append(key)

    def copy(self) -> Left:
        """The counts of this moment."""
        other = Left()
        other.become(self)
        return other

    def become(self, other: Left) -> None:
        """Takes the counts of another, such as those of an earlier moment."""
        self.counts = Counter(other.counts)
        self.keys = {key: list(kept) for key, kept in other.keys.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Desk:
    """What every source of examples is given beside its settings.

    Attributes:
        writer: writes scripts down.
        limit: tokens of an example at most; of one in windows, of each window.
        left: counts what is left out.
        seed: of the run.
    """

    writer: Writer
    limit: int
    left: Left
    seed: int

    def rng(self, *names: str | int) -> random.Random:
        """Chance that depends on the seed and on these names alone."""
        text = "/".join(str(name) for name in (self.seed, *names))
        return random.Random(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))

    def written(self, make: Callable[[Stretch], Sequence[Script]], stretch: Stretch) -> list[Example]:
        """The examples of a stretch, cut in two where one of them is too long, as often as it takes."""
        before = self.left.copy()
        scripts = [script for script in make(stretch) if any(line.learn for line in script.lines)]
        examples = [self.writer.write(script) for script in scripts]
        long = [example for example in examples if longest_window(example) > self.limit]
        if not long:
            return examples
        halves = stretch.halves()
        if halves is None:
            for example in long:
                self.left.out(example.source, "longer than pack.tokens", example.key)
            return [example for example in examples if example not in long]
        # The halves count anew what they leave out.
        self.left.become(before)
        return [example for half in halves for example in self.written(make, half)]


class RememberingPrompts(Prompts):
    """The same texts come by the thousand: each is turned into tokens once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, family: Family) -> None:
        self._known: dict[str, tuple[int, ...]] = {}
        super().__init__(tokenizer, family)

    def text(self, text: str) -> tuple[int, ...]:
        """As `Prompts.text`."""
        if text not in self._known:
            self._known[text] = super().text(text)
        return self._known[text]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Writer:
    """Writes scripts down as blocks.

    Attributes:
        prompts: of the model.
        layout: of the run.
        decision_ids: of silence, standby and respond.
        system_prompt: where a script has none.
    """

    prompts: Prompts
    layout: Layout
    decision_ids: tuple[int, int, int]
    system_prompt: str

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        family: Family,
        layout: Layout,
        *,
        decision_ids: tuple[int, int, int],
        system_prompt: str,
    ) -> Writer:
        """The writer of a model."""
        prompts = RememberingPrompts(tokenizer, family)
        return cls(prompts=prompts, layout=layout, decision_ids=decision_ids, system_prompt=system_prompt)

    def write(self, script: Script) -> Example:
        """The example of a script.

        Raises:
            RecipeError: the script learns nothing, or a line stands where nothing can be seen.
            TimeError: its lines are not in the order of time.
        """
        return _Page(self, script).example()


class _Page:
    """One example while it is written."""

    def __init__(self, writer: Writer, script: Script) -> None:
        self._script = script
        self._transcript = Transcript(
            writer.prompts,
            writer.layout,
            system_prompt=script.system or writer.system_prompt,
            decision_tokens=writer.decision_ids,
            origin_ns=script.footage.times[0],
        )
        self._next = script.stretch.first
        self._grids: list[GridRef] = []
        self._said: list[Said] = []
        self._names: dict[str, int] = {}
        self._cuts: list[int] = []
        self._window = 0
        self._newest_ns = -1
        self._shown = dict(script.shown)
        self._asked = sorted({line.t_ns for line in script.lines if line.question and not line.aside})

    def example(self) -> Example:
        script = self._script
        for line in script.lines:
            self._see_until(line.t_ns)
            self._write(line)
        if not self._said:
            raise RecipeError(f"script {script.key}: nothing in it is learned; leave it out")
        twins = {
            self._names[line.name]: self._names[line.twin]
            for line in script.lines
            if line.twin and line.name in self._names and line.twin in self._names
        }
        return Example(
            key=script.key,
            source=script.source,
            video_id=script.footage.video.id,
            blocks=self._transcript.blocks(),
            grids=tuple(self._grids),
            said=tuple(replace(said, twin=twins.get(place, -1)) for place, said in enumerate(self._said)),
            cuts=tuple(self._cuts),
        )

    def _see_until(self, t_ns: int) -> None:
        """All grids of the stretch whose frames have come by then."""
        footage, stretch = self._script.footage, self._script.stretch
        while self._next < stretch.stop and footage.grids[self._next].t1_ns <= t_ns:
            grid = footage.grids[self._next]
            if self._script.carry_ns is not None:
                window = (grid.t0_ns - footage.grids[stretch.first].t0_ns) // self._script.carry_ns
                if window > self._window:
                    self._cuts.append(len(self._transcript.blocks()))
                    self._window = window
            self._transcript.see(self._sight(grid, self._picture(self._next)))
            self._next += 1

    def _picture(self, place: int) -> GridRef:
        """What is shown at a grid."""
        return self._script.footage.grids[self._shown.get(place, place)]

    def _sight(self, grid: GridRef, picture: GridRef) -> Sight:
        self._grids.append(picture)
        self._newest_ns = grid.t1_ns
        footage = self._script.footage
        return Sight(
            t0_ns=grid.t0_ns, last_ns=grid.t1_ns, height=footage.height, width=footage.width, feature=picture.key
        )

    def _write(self, line: Line) -> None:
        if not line.question:
            grid, t_ns = len(self._grids) - 1, line.t_ns + 1
            reply = None
            if line.state == "respond":
                reply = Reply(text=line.text, learn=line.learn, loss_weight=line.loss_weight, ended=line.ended)
            self._transcript.decide(
                line.state or "silence",
                t_ns=t_ns,
                reply=reply,
                learn=line.learn,
                loss_weight=line.loss_weight,
                aside=line.aside or reply is None,
            )
        else:
            waiting = self._waiting(line.t_ns)
            grid = len(self._grids) - 1
            t_ns = max(line.t_ns, self._newest_ns + 1)
            reply = Reply(
                text=line.text, learn=line.learn, loss_weight=line.loss_weight, ended=line.ended, state=line.state
            )
            self._transcript.ask(line.question, reply, t_ns=line.t_ns, aside=line.aside, waiting=waiting)
        if line.learn:
            self._note(line, t_ns=t_ns, grid=grid)

    def _waiting(self, t_ns: int) -> Sight | None:
        """The frame that waits for its partner, where it belongs to the stretch."""
        footage, stretch = self._script.footage, self._script.stretch
        lone = footage.waiting_at(t_ns)
        if lone is None or lone.t0_ns < footage.grids[stretch.first].t0_ns:
            return None
        # What a spoiled video shows in the place of its next grid is what the frame belongs to.
        if self._next < len(footage.grids):
            picture = self._picture(self._next)
            shown = replace(lone, t0_ns=picture.t0_ns, t1_ns=picture.t0_ns)
        else:
            shown = lone
        return self._sight(lone, shown)

    def _note(self, line: Line, *, t_ns: int, grid: int) -> None:
        if line.name:
            self._names[line.name] = len(self._said)
        self._said.append(
            Said(
                t_ns=t_ns,
                task=line.task,
                text=line.text,
                state=line.state,
                asked=bool(line.question),
                segment=self._segment(line),
                evidence_ns=line.evidence_ns,
                window_end_ns=line.window_end_ns,
                grid=grid,
            )
        )

    def _segment(self, line: Line) -> int:
        """How many borders lie before a line."""
        # A frame shows what begins at its time, but the decision about it comes before what is asked then.
        heard = bisect_right if line.question else bisect_left
        return bisect_right(self._script.borders, line.t_ns) + heard(self._asked, line.t_ns)


def in_order(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Lines by time; a decision about a grid comes before what is asked at its time."""
    return tuple(sorted(lines, key=lambda line: (line.t_ns, bool(line.question))))


def borders_of(events: Sequence[Event]) -> tuple[int, ...]:
    """When events begin and end, rising."""
    return tuple(sorted({t_ns for event in events for t_ns in (event.start_ns, event.end_ns)}))


def shows(footage: Footage, stretch: Stretch, evidence: Sequence[Evidence], *, at_ns: int) -> bool:
    """Whether all that proves something has been shown by then, in a stretch."""
    return all(footage.covers(stretch, part.start_ns, at_ns=at_ns) for part in evidence if part.role != "distractor")


def longest_window(example: Example) -> int:
    """Tokens of the longest part of an example that goes through at once."""
    edges = [0, *example.cuts, len(example.blocks)]
    return max(sum(len(block.token_ids) for block in example.blocks[begin:end]) for begin, end in pairwise(edges))
