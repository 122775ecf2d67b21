"""Laws of conversations in which something goes wrong: wrong answers are corrected, lost ones asked for again."""

from __future__ import annotations

import math
from collections.abc import Iterator

from datasets_build.checks.exchanges import asked_again, said_by, turns_of
from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.core.records import About, Dialogue, Turn
from datasets_build.truth.asides import Aside, said
from datasets_build.truth.due import due_of, unfit
from datasets_build.truth.gaps import gone_before
from datasets_build.truth.words import Telling, answer_texts, texts_of, writer_of

_FITTING: dict[Aside, tuple[str, ...]] = {
    "late_reply": ("user_query", "interruption", "correction"),
    "late_report": ("event",),
    "resumed": ("timer",),
    "corrected": ("correction",),
    "back": ("timer",),
}


def _again(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    turns = turns_of(row)
    for lost, turn in asked_again(row).items():
        first = turns.get(lost)
        if first is None or first.role != "user" or first.end_ns > turn.start_ns:
            yield Breach(f"turn {turn.id} asks again for {lost}", "a user turn that is out before it")
        elif (first.text, first.task, first.about) != (turn.text, turn.task, turn.about):
            yield Breach(f"turn {turn.id} asks {turn.text!r}", f"the same again: {first.text!r}")
    for user in said_by(row, "user"):
        if user.learn == (user.id in asked_again(row)):
            yield Breach(f"turn {user.id} with learn {user.learn}", "not learned exactly where no answer comes to it")


def _weighs(row: Dialogue, known: Known) -> Iterator[Breach]:
    del known
    for turn in said_by(row, "assistant"):
        # Not a number is neither above 0 nor below it.
        if turn.learn and not 0 < turn.loss_weight < math.inf:
            yield Breach(f"turn {turn.id} of loss_weight {turn.loss_weight}", "more than 0, because it is learned")


def _corrected(row: Dialogue, known: Known) -> Iterator[Breach]:
    """What is not learned is not true, and somebody says so: in the conversation, or of it."""
    judged = row.provenance.kind == "person"
    corrected = {turn.trigger_ref for turn in row.turns if turn.trigger == "correction"}
    turns = turns_of(row)
    for turn in said_by(row, "assistant"):
        if turn.learn:
            continue
        if turn.loss_weight:
            yield Breach(f"turn {turn.id} of loss_weight {turn.loss_weight}", "0, because it is not learned")
        if turn.id not in corrected and not judged:
            yield Breach(f"turn {turn.id} not learned", "a turn that corrects it")
        user = turns.get(turn.trigger_ref or "")
        refused = [
            t for other in row.turns if other.role == "user" and other.trigger_ref == turn.id for t in _ends(other)
        ]
        for t_ns in (*([user.end_ns] if user else []), *refused):
            if said(turn.text).text in _true_texts(row, user, t_ns, known):
                yield Breach(
                    f"turn {turn.id}: {turn.text!r}", f"something that is not true at {t_ns}, when it is corrected"
                )


def _ends(turn: Turn) -> tuple[int, int]:
    return turn.start_ns, turn.end_ns


def _true_texts(row: Dialogue, user: Turn | None, t_ns: int, known: Known) -> frozenset[str]:
    writer = writer_of(row.provenance)
    if writer is None or user is None or user.task is None or user.about is None:
        return frozenset()
    if unfit(user.task, user.about, known.grounds):
        return frozenset()
    due = due_of(user.task, user.about, t_ns, known.grounds)
    if isinstance(due, str):
        return frozenset()
    absent = user.task == "before" and not due.told
    telling = Telling(due.told, number=due.number, place=due.place, absent=absent)
    return texts_of(writer, user.task, user.about, telling)


def _asides(row: Dialogue, known: Known) -> Iterator[Breach]:
    """Words before an answer stand where they belong."""
    del known
    turns = turns_of(row)
    for turn in row.turns:
        aside, ref = said(turn.text).aside, turns.get(turn.trigger_ref or "")
        refusal = turn.role == "user" and turn.trigger == "correction"
        if refusal != (aside == "refused") or (refusal and (ref is None or ref.learn)):
            yield Breach(f"turn {turn.id}: {turn.text!r}", "people refuse what an assistant says that is not learned")
        if turn.role != "assistant" or aside is None or aside == "refused":
            continue
        if turn.trigger not in _FITTING[aside]:
            yield Breach(f"turn {turn.id} of trigger {turn.trigger}: {turn.text!r}", " or ".join(_FITTING[aside]))
        if aside == "resumed" and (ref is None or said(turn.text).text != ref.intended_text):
            yield Breach(f"turn {turn.id}: {turn.text!r}", "all of the turn that it takes up again")


def _summaries(row: Dialogue, known: Known) -> Iterator[Breach]:
    """What is said when a stream is back is what had happened last before it was gone."""
    writer = writer_of(row.provenance)
    for turn in said_by(row, "assistant"):
        aside, text = said(turn.intended_text or turn.text)
        if aside != "back":
            continue
        before = gone_before(known.clock, turn.window_start_ns or 0)
        if before is None:
            yield Breach(f"turn {turn.id} from {turn.window_start_ns}", "the first frame after a stream was gone")
            continue
        due = due_of("before", About(kind="scene"), before, known.grounds)
        told = () if isinstance(due, str) else due.told
        if writer is None or text not in answer_texts(writer, "before", About(kind="scene"), told, number=None):
            yield Breach(f"turn {turn.id}: {text!r}", f"what had happened last at {before}")


MISHAP_LAWS: tuple[Law[Dialogue], ...] = (
    Law("asked_again_alike", "a question to which no answer comes is asked again, and not learned", _again),
    Law("wrong_is_corrected", "what the assistant says and is not learned is wrong, and corrected", _corrected),
    Law("learned_weighs", "what the assistant says and is learned has a weight above 0", _weighs),
    Law("asides_fit", "words before an answer stand where they belong", _asides),
    Law("summaries_true", "what is said after a gap is what had happened last before it", _summaries),
)
