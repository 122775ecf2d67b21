"""Stage 3: whole dialogues, with interruptions, acknowledgements, decisions after every grid, and feedback."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from datasets_build.core.clock import NS_PER_S, Span
from datasets_build.core.decisions import pending_spans
from datasets_build.core.records import Dialogue, Turn
from datasets_build.core.topics import UNPROVED
from recipes.data.corpus import Material
from recipes.data.cut import cut_at_tokens
from recipes.data.example import Example
from recipes.data.footage import Footage, Stretch
from recipes.data.realtime import Due, decision_lines, due_place, scheduled
from recipes.data.script import Desk, Left, Line, Script, borders_of, in_order, shows
from recipes.settings import InteractConfig

SOURCE = "dialogue"
NOT_SO = "No, look again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A user's turn with what is said to it at once; None: that comes later, or never."""

    user: Turn
    reply: Turn | None


def dialogues(
    material: Material, settings: InteractConfig, desk: Desk, *, replies: Mapping[str, Sequence[str]]
) -> list[Example]:
    """The examples of a video: each dialogue, cut where it is longer than `window_s`.

    Args:
        material: the video and its records.
        settings: of the stage.
        desk: writes and counts.
        replies: what is said anywhere, by task (`replies_by_task`); wrong replies are taken from it.
    """
    examples = []
    for dialogue in (cut_at_tokens(row, desk.writer.prompts) for row in material.dialogues):

        def make(stretch: Stretch, dialogue: Dialogue = dialogue) -> list[Script]:
            lines = dialogue_lines(dialogue, material, stretch, left=desk.left)
            rng = desk.rng("feedback", dialogue.id)
            if rng.random() < settings.feedback:
                lines = with_feedback(lines, replies, choose=rng.randrange)
            return [script_of(dialogue, material, stretch, lines, source=SOURCE)]

        for stretch in stretches_of(dialogue, material.footage, settings.window_s):
            examples += desk.written(make, stretch)
        if not stretches_of(dialogue, material.footage, settings.window_s):
            desk.left.out(SOURCE, "shorter than a grid", dialogue.id)
    return examples


def script_of(
    dialogue: Dialogue, material: Material, stretch: Stretch, lines: Sequence[Line], *, source: str
) -> Script:
    """The script of a stretch of a dialogue."""
    return Script(
        key=f"{source}/{dialogue.id}/{stretch.learn}",
        source=source,
        footage=material.footage,
        stretch=stretch,
        lines=tuple(lines),
        borders=borders_of(material.events),
        system=dialogue.system,
    )


def stretches_of(dialogue: Dialogue, footage: Footage, window_s: float) -> list[Stretch]:
    """The grids of a dialogue, in stretches of at most `window_s`."""
    first, stop = footage.begun_at(dialogue.start_ns), footage.known_at(dialogue.end_ns - 1)
    found: list[Stretch] = []
    while first < stop:
        end = max(first + 1, min(stop, footage.known_at(footage.grids[first].t0_ns + round(window_s * NS_PER_S) - 1)))
        found.append(Stretch(first=first, learn=first, stop=end))
        first = end
    return found


def dialogue_lines(dialogue: Dialogue, material: Material, stretch: Stretch, *, left: Left) -> tuple[Line, ...]:
    """All turns up to the end of a stretch, and a decision after each grid of it in which nobody speaks.

    A turn before the stretch stands as text behind its first grid. What is said is learned where the stretch learns and
    has shown what proves it. A reply that was interrupted before its first token is none.
    """
    footage = material.footage
    rounds, later = _rounds(dialogue)
    lines = [_ask(item, later, material, stretch, left=left) for item in rounds]
    whole = Stretch(first=stretch.first, learn=stretch.first, stop=len(footage.grids))
    dues = scheduled([_due(turn, dialogue, material, stretch, left=left) for turn in later], footage.grids, whole, left)
    speech = [(item.user.end_ns, item.reply.end_ns) for item in rounds if item.reply]
    speech += [(footage.grids[due.place].t1_ns + 1, due.until_ns) for due in dues]
    # Nobody should wait in silence for an answer that was lost, and asked for again.
    speech += [(span.start_ns, span.end_ns) for span in lost_spans(dialogue)]
    # Where a reply was interrupted before its first token, no decision leads to what happened.
    unsaid = {due.place for due in dues if not due.text}
    dues = [due for due in dues if due.text]
    spoken = {due.place for due in dues}
    # What came before the stretch is said again as text; what comes behind it is not known yet.
    places = [
        place
        for place in range(stretch.stop)
        if place in spoken
        or (
            place >= stretch.learn
            and place not in unsaid
            and not any(a <= footage.grids[place].t1_ns < b for a, b in speech)
        )
    ]
    at_once = {item.user.end_ns for item in rounds if item.reply}
    waits = [(span.start_ns, span.end_ns) for span in pending_spans(dialogue.turns) if span.start_ns not in at_once]
    decided = decision_lines(dues, footage.grids, places, waits=waits)
    begin, end = footage.span(stretch)
    return _placed(in_order([*lines, *decided]), footage, stretch, begin_ns=begin, end_ns=end)


def _placed(
    lines: Sequence[Line], footage: Footage, stretch: Stretch, *, begin_ns: int, end_ns: int
) -> tuple[Line, ...]:
    """Lines before the first frame move behind the first grid; none but those of the stretch is learned.

    Nor is a decision to wait about the first grid, which then comes before the turn that it should have heard.
    """
    first = footage.grids[stretch.first]
    moved = any(line.t_ns < first.t0_ns and line.question for line in lines)
    placed = []
    for line in lines:
        deaf = moved and line.state == "standby" and not line.question and line.t_ns <= first.t1_ns
        learn = line.learn and begin_ns <= line.t_ns < end_ns and not deaf
        t_ns = line.t_ns if line.t_ns >= first.t0_ns else first.t1_ns
        if line.t_ns < end_ns and (learn or not line.aside):
            placed.append(replace(line, t_ns=t_ns, learn=learn))
    return in_order(placed)


def _rounds(dialogue: Dialogue) -> tuple[list[Round], list[Turn]]:
    """Users' turns with what is said at once, and all that is said later.

    Said at once is what is in time when the user has ended; a session answers then.
    """
    users = sorted((turn for turn in dialogue.turns if turn.role == "user"), key=lambda turn: turn.end_ns)
    spoken = sorted((turn for turn in dialogue.turns if turn.role == "assistant"), key=lambda turn: turn.start_ns)
    rounds = []
    later = list(spoken)
    for user in users:
        mine = [turn for turn in later if turn.trigger_ref == user.id]
        reply = mine[0] if mine and _begins(mine[0]) <= user.end_ns else None
        if reply is not None:
            later.remove(reply)
        rounds.append(Round(user=user, reply=reply))
    return rounds, later


def lost_spans(dialogue: Dialogue) -> list[Span]:
    """When each question waits to which no answer comes, up to where it is asked again."""
    users = (turn for turn in dialogue.turns if turn.role == "user")
    return [span for turn, span in zip(users, pending_spans(dialogue.turns), strict=True) if not turn.learn]


def _begins(turn: Turn) -> int:
    return turn.start_ns if turn.window_start_ns is None else turn.window_start_ns


def _known(turn: Turn) -> int:
    return turn.start_ns if turn.answerable_from_ns is None else turn.answerable_from_ns


def _ask(item: Round, later: Sequence[Turn], material: Material, stretch: Stretch, *, left: Left) -> Line:
    """A user's turn with what is said at once, or the sign that it is waited for."""
    user, reply = item.user, item.reply
    task = user.task or SOURCE
    if reply is None:
        coming = [turn for turn in later if turn.trigger_ref == user.id]
        return Line(
            t_ns=user.end_ns,
            task=task,
            question=user.text,
            state="standby",
            learn=user.learn,
            evidence_ns=_known(coming[0]) if coming else None,
            window_end_ns=coming[0].window_end_ns if coming else None,
        )
    shown = shows(material.footage, stretch, reply.evidence, at_ns=user.end_ns)
    if not shown:
        left.out(SOURCE, "evidence is not shown", reply.id)
    return Line(
        t_ns=user.end_ns,
        task=task,
        question=user.text,
        text=reply.text,
        learn=reply.learn and shown and bool(reply.text),
        loss_weight=reply.loss_weight,
        # Of no word there is nothing but the end.
        ended=reply.truncated_at_char is None or not reply.text,
        evidence_ns=_known(reply),
        window_end_ns=reply.window_end_ns,
        name=reply.id,
    )


def _due(turn: Turn, dialogue: Dialogue, material: Material, stretch: Stretch, *, left: Left) -> Due:
    """What is said after a grid."""
    footage = material.footage
    place = due_place(footage.grids, turn.start_ns)
    at_ns = footage.grids[place].t1_ns if place < len(footage.grids) else footage.end_ns
    shown = shows(footage, stretch, turn.evidence, at_ns=at_ns)
    if not shown:
        left.out(SOURCE, "evidence is not shown", turn.id)
    users = [user for user in dialogue.turns if user.role == "user" and user.end_ns <= turn.start_ns]
    asked = [user for user in users if user.id == turn.trigger_ref]
    asked = asked or [user for user in users if user.task == "tell_me_when"] or users
    window = turn.end_ns if turn.window_end_ns is None else turn.window_end_ns
    return Due(
        place=place,
        text=turn.text,
        task=(asked[-1].task if asked else None) or SOURCE,
        since_ns=asked[-1].end_ns if asked else 0,
        evidence_ns=_known(turn),
        window_end_ns=window,
        until_ns=turn.end_ns,
        learn=turn.learn and shown,
        loss_weight=turn.loss_weight,
        ended=turn.truncated_at_char is None,
        name=turn.id,
    )


def replies_by_task(materials: Sequence[Material]) -> dict[str, tuple[str, ...]]:
    """What the dialogues and questions of a split answer, by task."""
    found: dict[str, set[str]] = {}
    for material in materials:
        for row in material.questions:
            found.setdefault(row.task, set()).update(answer.text for answer in row.answers)
        for dialogue in material.dialogues:
            tasks = {turn.id: turn.task for turn in dialogue.turns if turn.task}
            for turn in dialogue.turns:
                if turn.role == "assistant" and turn.trigger_ref in tasks and turn.truncated_at_char is None:
                    found.setdefault(tasks[turn.trigger_ref], set()).add(turn.text)
    return {task: tuple(sorted(texts)) for task, texts in sorted(found.items())}


def claim_of(text: str) -> str:
    """What a reply says, without its phrase: its number, its yes or no, or what stands behind the last colon."""
    number = re.findall(r"\d+", text)
    if number:
        return " ".join(number)
    first = re.match(r"\s*(yes|no)\b", text, re.IGNORECASE)
    said = first.group(1) if first else text.rsplit(": ", 1)[-1]
    return re.sub(r"[^\w\s]", "", said).casefold().strip()


def wrong_reply(line: Line, replies: Mapping[str, Sequence[str]]) -> list[str]:
    """What other records of the task say that says something else, and is of the same kind."""
    right = claim_of(line.text)
    kind = right.isdigit(), right in ("yes", "no")
    claims = [(text, claim_of(text)) for text in replies.get(line.task, ())]
    return [
        text
        for text, claim in claims
        if claim != right
        and right not in claim
        and claim not in right
        and (claim.isdigit(), claim in ("yes", "no")) == kind
    ]


def with_feedback(
    lines: Sequence[Line], replies: Mapping[str, Sequence[str]], *, choose: Callable[[int], int]
) -> tuple[Line, ...]:
    """Lets one reply be wrong: it is not learned, the user says so at once, and the right one follows.

    Args:
        lines: of a dialogue.
        replies: what is said, by task.
        choose: a number below another one, by chance.
    """
    asked = [line for line in lines if line.question and line.text and line.learn and line.ended]
    # Of what needs no proof nothing is wrong.
    asked = [line for line in asked if line.task not in UNPROVED and line.task != "tell_me_when"]
    usable = [(line, wrong_reply(line, replies)) for line in asked]
    usable = [(line, texts) for line, texts in usable if texts]
    if not usable:
        return tuple(lines)
    right, texts = usable[choose(len(usable))]
    place = list(lines).index(right)
    wrong = replace(right, text=texts[choose(len(texts))], learn=False, name="")
    again = replace(right, question=NOT_SO)
    return (*lines[:place], wrong, again, *lines[place + 1 :])
