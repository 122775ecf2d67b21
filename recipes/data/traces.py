"""Stage 3, preference: a dialogue as it should be, and the same one with something that a user would mind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Dialogue
from recipes.data.corpus import Material
from recipes.data.cut import cut_at_tokens
from recipes.data.dialogues import dialogue_lines, script_of, stretches_of, wrong_reply
from recipes.data.example import Example
from recipes.data.footage import Footage, Stretch
from recipes.data.script import Desk, Left, Line, Script
from recipes.losses.interaction import Outcome, Prices, utility
from recipes.settings import InteractConfig

SOURCE = "preference"
PRICES = Prices()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is said, and what a user got from it.

    Attributes:
        lines: in order.
        outcome: for the rule of utility.
        shown: other pictures than the video's own, by place of their grid.
    """

    lines: tuple[Line, ...]
    outcome: Outcome
    shown: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """A dialogue of which a worse trace is made.

    Attributes:
        lines: as it should be.
        footage, stretch: what is seen.
        replies: what is said anywhere, by task.
        whole: what a reply that was cut short would have been, by the reply's id.
        choose: a number below another one, by chance.
    """

    lines: tuple[Line, ...]
    footage: Footage
    stretch: Stretch
    replies: Mapping[str, Sequence[str]]
    whole: Mapping[str, str]
    choose: Callable[[int], int]

    def spoken(self) -> list[int]:
        """Places of the lines in which something is said and learned."""
        return [place for place, line in enumerate(self.lines) if line.text and line.learn]

    def decided(self) -> list[int]:
        """Places of the lines that respond after a grid."""
        return [place for place in self.spoken() if not self.lines[place].question]

    def earned(self, changed: Mapping[int, tuple[float, float]]) -> Outcome:
        """What a user gets: each thing comes as it is written, but for those that changed.

        Args:
            changed: quality and delay in seconds, by place of the line.
        """
        each = [changed.get(place, (1.0, self._delay_s(place))) for place in self.spoken()]
        return Outcome(quality=tuple(worth for worth, _ in each), delay_s=tuple(delay for _, delay in each))

    def _delay_s(self, place: int) -> float:
        line = self.lines[place]
        # Nobody waits for an answer before having asked.
        since = line.t_ns if line.question or line.evidence_ns is None else line.evidence_ns
        return max(0, line.t_ns - since) / NS_PER_S

    def pick(self, places: Sequence[int]) -> int:
        """One of them, by chance."""
        return places[self.choose(len(places))]

    def with_lines(self, changed: Mapping[int, Line]) -> tuple[Line, ...]:
        """The lines with some of them replaced."""
        return tuple(changed.get(place, line) for place, line in enumerate(self.lines))


def silent(line: Line) -> Line:
    """The decision to be silent at the same grid."""
    return replace(line, text="", state="silence", aside=True, ended=True, name="")


def spoke(line: Line, text: str) -> Line:
    """The decision to say something at the same grid."""
    return replace(line, text=text, state="respond", aside=False, learn=True)


def _early(case: Case) -> Trace | None:
    """Says it before it can be known, to somebody who has asked for it."""
    moves = []
    for place in case.decided():
        line = case.lines[place]
        free = [k for k in range(place) if _awaits(case.lines[k], line)]
        moves += [(place, k) for k in free[-3:]]
    if not moves:
        return None
    place, k = moves[case.choose(len(moves))]
    # Once it is said nobody waits any more.
    over = {
        other: silent(case.lines[other])
        for other in range(k + 1, place + 1)
        if not case.lines[other].question and case.lines[other].evidence_ns == case.lines[place].evidence_ns
    }
    lines = case.with_lines(over | {k: spoke(case.lines[k], case.lines[place].text)})
    return Trace(lines=lines, outcome=replace(case.earned({place: (0.0, 0.0)}), false=1))


def _late(case: Case) -> Trace | None:
    """Says it when its window is over."""
    moves = []
    for place in case.decided():
        line = case.lines[place]
        free = [
            k
            for k in range(place + 1, len(case.lines))
            if _is_quiet(case.lines[k]) and line.window_end_ns is not None and case.lines[k].t_ns >= line.window_end_ns
        ]
        moves += [(place, k) for k in free[:2]]
    if not moves:
        return None
    place, k = moves[case.choose(len(moves))]
    known = case.lines[place].evidence_ns or 0
    lines = case.with_lines({place: silent(case.lines[place]), k: spoke(case.lines[k], case.lines[place].text)})
    return Trace(lines=lines, outcome=case.earned({place: (1.0, (case.lines[k].t_ns - known) / NS_PER_S)}))


def _chatter(case: Case) -> Trace | None:
    """Says the last answer once more, where nothing is to be said."""
    moves = []
    for place in case.spoken():
        following = min([k for k in case.spoken() if k > place], default=len(case.lines))
        free = [k for k in range(place + 1, following) if _is_quiet(case.lines[k])]
        moves += [(place, k) for k in free[:3]]
    if not moves:
        return None
    place, k = moves[case.choose(len(moves))]
    lines = case.with_lines({k: spoke(case.lines[k], case.lines[place].text)})
    return Trace(lines=lines, outcome=replace(case.earned({}), duplicate=1))


def _missed(case: Case) -> Trace | None:
    """Never says it."""
    if not case.decided():
        return None
    place = case.pick(case.decided())
    return Trace(lines=case.with_lines({place: silent(case.lines[place])}), outcome=case.earned({place: (0.0, 0.0)}))


def _wrong(case: Case) -> Trace | None:
    """Says something else, at the right time."""
    places = [
        place for place in case.spoken() if case.lines[place].ended and wrong_reply(case.lines[place], case.replies)
    ]
    if not places:
        return None
    place = case.pick(places)
    texts = wrong_reply(case.lines[place], case.replies)
    wrong = replace(case.lines[place], text=texts[case.choose(len(texts))])
    return Trace(lines=case.with_lines({place: wrong}), outcome=case.earned({place: (0.0, 0.0)}))


def _barge_in(case: Case) -> Trace | None:
    """Speaks to the end when the user cuts in, and says nothing to that."""
    moves = []
    for place, line in enumerate(case.lines):
        following = [k for k in range(place + 1, len(case.lines)) if case.lines[k].question]
        if not line.ended and line.name in case.whole and line.learn and following and case.lines[following[0]].text:
            moves.append((place, following[0]))
    if not moves:
        return None
    place, k = moves[case.choose(len(moves))]
    on = replace(case.lines[place], text=case.whole[case.lines[place].name], ended=True)
    deaf = replace(case.lines[k], text="", state="silence", ended=True)
    lines = case.with_lines({place: on, k: deaf})
    return Trace(lines=lines, outcome=replace(case.earned({k: (0.0, 0.0)}), late=1))


def _frames(case: Case) -> Trace | None:
    """Says the same about a video whose pictures are out of order: what is right there is right by chance."""
    places = list(range(case.stretch.first, case.stretch.stop))
    if len(places) < 3:
        return None
    mixed = list(places)
    for k in range(len(mixed) - 1, 0, -1):
        other = case.choose(k + 1)
        mixed[k], mixed[other] = mixed[other], mixed[k]
    if mixed == places:
        mixed.reverse()
    nothing = dict.fromkeys(case.spoken(), (0.0, 0.0))
    return Trace(lines=case.lines, outcome=case.earned(nothing), shown=tuple(zip(places, mixed, strict=True)))


def _awaits(line: Line, due: Line) -> bool:
    """Whether a line is a learned decision to wait for what is due, before that can be known."""
    return (
        not line.question
        and not line.text
        and line.learn
        and line.evidence_ns is not None
        and line.evidence_ns == due.evidence_ns
        and line.t_ns < line.evidence_ns
    )


def _is_quiet(line: Line) -> bool:
    """Whether a line is a learned decision to be silent."""
    return not line.question and line.state == "silence" and line.learn


REJECTS: Mapping[str, Callable[[Case], Trace | None]] = {
    "early": _early,
    "late": _late,
    "chatter": _chatter,
    "missed": _missed,
    "wrong": _wrong,
    "barge_in": _barge_in,
    "frames": _frames,
}


def preferences(
    material: Material, settings: InteractConfig, desk: Desk, *, replies: Mapping[str, Sequence[str]]
) -> list[Example]:
    """One pair for each dialogue of a video: the example as it should be, with its rival.

    Arguments are those of `dialogues`. Both traces see the same grids and are learned as wholes; together they fit
    into a row.
    """
    examples = []
    for dialogue in (cut_at_tokens(row, desk.writer.prompts) for row in material.dialogues):
        for stretch in stretches_of(dialogue, material.footage, settings.window_s):
            examples += _pairs(dialogue, material, stretch, settings, desk, replies)
    return examples


def _pairs(
    dialogue: Dialogue,
    material: Material,
    stretch: Stretch,
    settings: InteractConfig,
    desk: Desk,
    replies: Mapping[str, Sequence[str]],
) -> list[Example]:
    """The pair of a stretch, or those of its halves where it is too long."""
    case = Case(
        # What is not shown was counted when the dialogue itself was written.
        lines=dialogue_lines(dialogue, material, stretch, left=Left()),
        footage=material.footage,
        stretch=stretch,
        replies=replies,
        whole={turn.id: turn.intended_text for turn in dialogue.turns if turn.intended_text is not None},
        choose=desk.rng("reject", dialogue.id, stretch.learn).randrange,
    )
    kinds = list(settings.rejects)
    worse: tuple[str, Trace] | None = None
    while kinds and worse is None:
        kind = kinds.pop(case.choose(len(kinds)))
        trace = REJECTS[kind](case)
        worse = None if trace is None else (kind, trace)
    key = f"{dialogue.id}/{stretch.learn}"
    if worse is None:
        desk.left.out(SOURCE, "no worse trace can be made", key)
        return []
    pair = _pair(script_of(dialogue, material, stretch, case.lines, source=SOURCE), case, worse, desk)
    if pair.rival is None or pair.tokens + pair.rival.tokens <= desk.limit:
        return [pair]
    halves = stretch.halves()
    if halves is None:
        desk.left.out(SOURCE, "longer than pack.tokens", key)
        return []
    return [made for half in halves for made in _pairs(dialogue, material, half, settings, desk, replies)]


def _pair(script: Script, case: Case, worse: tuple[str, Trace], desk: Desk) -> Example:
    kind, trace = worse
    rejected = replace(script, key=f"{script.key}/{kind}", lines=trace.lines, shown=trace.shown)
    rival = replace(desk.writer.write(rejected), utility=utility(trace.outcome, PRICES))
    return replace(desk.writer.write(script), rival=rival, utility=utility(case.earned({}), PRICES))
