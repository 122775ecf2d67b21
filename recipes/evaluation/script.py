"""What should happen: what users say when, what is due in answer, and which decision is right after each grid."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from datasets_build.core.asked import put_question
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.decisions import pending_spans
from datasets_build.core.records import Dialogue, StreamingQA, Turn
from recipes.data.example import State
from recipes.data.questions import is_standing
from recipes.errors import RecipeError

Kind = Literal["standing", "dialogue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question that is asked aside.

    Attributes:
        key: of the record; a probe's has a number behind it.
        task, mode: of the record; a probe's mode is `probe`.
        t_ns: when.
        question: with its options, where there are some.
        expected: the right answer.
        options: what there is to choose from; `option` is the place of the right one.
        unanswerable: whether the right answer is that there is none.
    """

    key: str
    task: str
    mode: str
    t_ns: int
    question: str
    expected: str
    options: tuple[str, ...] = ()
    option: int | None = None
    unanswerable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A user's turn: it begins to be heard at `begins_ns`, and is put to the model at `t_ns`, when all is said."""

    text: str
    begins_ns: int
    t_ns: int

    def __post_init__(self) -> None:
        if self.begins_ns > self.t_ns:
            raise RecipeError(f"user's turn: begins at {self.begins_ns} ns, after its end at {self.t_ns} ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Something that should be said.

    Attributes:
        text: the right words.
        task: of which task it is.
        t_ns: when the record says it.
        evidence_ns: when it can be known.
        start_ns, end_ns: it is right anywhere in this half-open window.
        heard: number of the user's turn that is replied to at once with it; -1: it is decided after a grid.
        since_ns: from when on it is awaited.
        worded: whether its words matter; those of a promise do not.
        asked: number of the user's turn that asked for it; -1: nobody did.
    """

    text: str
    task: str
    t_ns: int
    evidence_ns: int
    start_ns: int
    end_ns: int
    heard: int
    since_ns: int
    worded: bool = True
    asked: int = -1

    def __post_init__(self) -> None:
        if self.end_ns <= self.start_ns:
            raise RecipeError(f"due {self.text!r}: window [{self.start_ns}, {self.end_ns}) ns is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A conversation as it should go.

    Attributes:
        key: of the record.
        kind: `standing` (one question with answers to come) or `dialogue`.
        task, mode: of the record; of a dialogue both are `dialogue`.
        system: what the model is told to be; empty: the session's own.
        heard: the user's turns by rising time.
        dues: by rising window.
        waits: half-open spans in which an answer is being waited for.
        acknowledges: whether a reply in words to the request is neither due nor wrong.
        barges: `(turn, text)`: number of each user's turn that broke into an answer, and that whole answer.
    """

    key: str
    kind: Kind
    task: str
    mode: str
    heard: tuple[Heard, ...]
    dues: tuple[Due, ...]
    system: str = ""
    waits: tuple[tuple[int, int], ...] = ()
    acknowledges: bool = False
    barges: tuple[tuple[int, str], ...] = ()

    def question(self, due: Due) -> str:
        """The words that asked for a thing due; empty where nobody did."""
        return self.heard[due.asked].text if due.asked >= 0 else ""


def asks_of(row: StreamingQA) -> list[Ask]:
    """The questions asked aside for a record: itself, unless it is standing, and its probes."""
    asks = []
    question = put_question(row)
    if not is_standing(row) and row.answers:
        asks.append(
            Ask(
                key=row.id,
                task=row.task,
                mode=row.mode,
                t_ns=row.ask_ns,
                question=question,
                expected=row.answers[0].text,
                options=row.options,
                option=row.correct_option,
                unanswerable=row.unanswerable,
            )
        )
    for number, probe in enumerate(row.test_points):
        key = f"{row.id}/{number}"
        asks.append(
            Ask(key=key, task=row.task, mode="probe", t_ns=probe.t_ns, question=question, expected=probe.expected)
        )
    return asks


def standing(row: StreamingQA) -> Script:
    """A question whose answers come later. One that is due at once is replied to at once."""
    dues = tuple(
        Due(
            text=answer.text,
            task=row.task,
            t_ns=answer.t_ns,
            evidence_ns=answer.t_ns,
            start_ns=answer.window_start_ns,
            end_ns=max(answer.window_end_ns, answer.window_start_ns + 1),
            heard=0 if answer.t_ns <= row.ask_ns else -1,
            since_ns=row.ask_ns,
            asked=0,
        )
        for answer in row.answers
    )
    # A request to be told needs no answer of its own; any other question waits for its first.
    waits = () if row.mode == "proactive" else ((row.ask_ns, max(row.ask_ns, row.answers[0].t_ns)),)
    return Script(
        key=row.id,
        kind="standing",
        task=row.task,
        mode=row.mode,
        heard=(Heard(text=put_question(row), begins_ns=row.ask_ns, t_ns=row.ask_ns),),
        dues=dues,
        waits=waits,
        acknowledges=row.mode == "proactive",
    )


def dialogue(row: Dialogue) -> Script:
    """A dialogue: each of the assistant's turns is due; one that is known when it is asked for is due at once."""
    turns = sorted(row.turns, key=lambda turn: (turn.end_ns, turn.start_ns))
    users = [turn for turn in turns if turn.role == "user"]
    number = {turn.id: place for place, turn in enumerate(users)}
    replies = sorted((turn for turn in turns if turn.role == "assistant"), key=lambda turn: turn.start_ns)
    cut = {turn.id: turn for turn in replies if turn.intended_text is not None}
    dues = [_due(turn, users, number) for turn in replies]
    return Script(
        key=row.id,
        kind="dialogue",
        task="dialogue",
        mode="dialogue",
        system=row.system,
        heard=tuple(Heard(text=turn.text, begins_ns=turn.start_ns, t_ns=turn.end_ns) for turn in users),
        dues=tuple(sorted(dues, key=lambda due: (due.start_ns, due.end_ns))),
        waits=tuple((span.start_ns, span.end_ns) for span in pending_spans(row.turns) if span.duration_ns),
        barges=tuple(
            (number[turn.id], cut[turn.interrupts].intended_text or "")
            for turn in users
            if turn.interrupts is not None and turn.interrupts in cut
        ),
    )


def _due(turn: Turn, users: Sequence[Turn], number: dict[str, int]) -> Due:
    start_ns = turn.start_ns if turn.window_start_ns is None else turn.window_start_ns
    end_ns = turn.end_ns if turn.window_end_ns is None else turn.window_end_ns
    asked = number.get(turn.trigger_ref or "", -1)
    # One turn may be followed by several replies; only the first that is known by then comes at once.
    at_once = asked >= 0 and start_ns <= users[asked].end_ns
    before = [user.end_ns for user in users if user.end_ns <= turn.start_ns]
    return Due(
        text=turn.intended_text or turn.text,
        task=users[asked].task or "dialogue" if asked >= 0 else "report",
        t_ns=turn.start_ns,
        evidence_ns=turn.start_ns if turn.answerable_from_ns is None else turn.answerable_from_ns,
        start_ns=start_ns,
        end_ns=max(end_ns, start_ns + 1),
        heard=asked if at_once else -1,
        since_ns=users[asked].end_ns if asked >= 0 else max(before, default=0),
        # What nothing in the video proves is a promise.
        worded=bool(turn.evidence) or turn.answerable_from_ns is None,
        asked=asked,
    )


def reference(script: Script, grids_ns: Sequence[int]) -> list[State]:
    """The right decision after each grid.

    `respond` at the first grid at or after a due thing that is not said at once; else `standby` while an answer is
    waited for; else `silence`. A wait ends at once where its answer does, and begins behind the decision about a grid
    of the same time, which is taken before the question is heard.

    Args:
        script: the conversation.
        grids_ns: when each grid is known, rising.
    """
    states: list[State] = ["silence"] * len(grids_ns)
    at_once = {script.heard[due.heard].t_ns for due in script.dues if due.heard >= 0}
    for begin, end in script.waits:
        if begin not in at_once:
            for place in range(bisect_right(grids_ns, begin), bisect_left(grids_ns, end)):
                states[place] = "standby"
    for due in script.dues:
        place = bisect_left(grids_ns, due.t_ns)
        if due.heard < 0 and place < len(states):
            states[place] = "respond"
    return states


def window(due: Due, grids_ns: Sequence[int], *, early_ns: int = 0, late_ns: int = 0) -> tuple[int, int]:
    """The half-open window in which a thing counts as said in time.

    A decision falls on a grid only, so a window that holds none of the grids is widened to the first one after its
    start; the same goes for the grid at which the record itself says it.
    """
    last = max(due.end_ns - 1, due.start_ns)
    if due.heard < 0:
        for t_ns in (due.start_ns, due.t_ns):
            place = bisect_left(grids_ns, t_ns)
            if place < len(grids_ns):
                last = max(last, grids_ns[place])
    return due.start_ns - early_ns, last + 1 + late_ns


def seconds_ns(seconds: float) -> int:
    """Seconds of a setting as nanoseconds."""
    return round(seconds * NS_PER_S)
