"""Streaming questions asked again in an augmented video."""

from __future__ import annotations

from collections.abc import Sequence

from augment.answers import Asked, CannotAskError, Scene, Words, replies_to, true_texts
from augment.wording import timely
from datasets_build.core.evidence import answerable_from
from datasets_build.core.records import Answer, Probe, StreamingQA, derive_id
from datasets_build.core.reply import Reply
from datasets_build.truth.words import says_yes, writer_of


def ask_again(row: StreamingQA, ask_ns: int, scene: Scene, *, points: Sequence[tuple[int, Probe]] = ()) -> StreamingQA:
    """The same question at an instant of an augmented video, with what is true there; without its twin.

    Args:
        row: the question.
        ask_ns: when it is asked in the augmented video, at a frame.
        scene: that video.
        points: its test points as they were, each with the instant at which it comes in the augmented video.

    Raises:
        CannotAskError: what it asks after is gone or has come, or as `replies_to`.
    """
    if row.about is None:
        raise CannotAskError("it does not say what it is about")
    if not scene.plain and writer_of(row.provenance) is None and timely(row.question):
        raise CannotAskError("its question speaks of time, and who wrote it cannot be asked for another")
    words = Words(
        written=row.provenance,
        said=tuple(answer.text for answer in row.answers),
        events=frozenset(piece.event_id for piece in row.evidence if piece.event_id),
        key=row.id,
    )
    there = bool(scene.grounds.of(row.about))
    if there == row.unanswerable:
        raise CannotAskError("what it asks after is there now" if there else "what it asks after is gone")
    asked = Asked(task=row.task, about=row.about, ask_ns=ask_ns, words=words, scene=scene)
    about, replies = replies_to(asked)
    if row.options and (row.correct_option is None or row.options[row.correct_option] != replies[0].text):
        raise CannotAskError("none of its options is right any more")
    if len(set(row.options) & true_texts(asked)) > 1:
        raise CannotAskError("more than one of its options is right now")
    events = dict.fromkeys(piece.event_id for reply in replies for piece in reply.evidence if piece.event_id)
    answers = tuple(_answer(reply) for reply in replies)
    known_ns = answerable_from(replies[0].evidence)
    return row.model_copy(
        update={
            "id": derive_id("streaming_qa", scene.video_id, row.id, ask_ns),
            "video_id": scene.video_id,
            "about": about,
            "ask_ns": ask_ns,
            "evidence": tuple(piece for reply in replies for piece in reply.evidence),
            "answerable_from_ns": known_ns,
            "answers": answers,
            "twin_id": None,
            "test_points": _probed(answers, points, span=(ask_ns, scene.clock.end_ns), known_ns=known_ns),
            "provenance": row.provenance.model_copy(update={"inputs": (row.id, *events), "seed": scene.seed}),
        }
    )


def _answer(reply: Reply) -> Answer:
    return Answer(
        text=reply.text,
        t_ns=reply.t_ns,
        window_start_ns=reply.t_ns,
        window_end_ns=reply.window_end_ns,
        valid_until_ns=reply.valid_until_ns,
    )


def _probed(
    answers: Sequence[Answer], points: Sequence[tuple[int, Probe]], *, span: tuple[int, int], known_ns: int
) -> tuple[Probe, ...]:
    """Test points where they now are, each with what is right then; those at which nothing is are left out."""
    made = {}
    for t_ns, probe in points:
        if probe.kind == "known":
            if span[0] <= t_ns < span[1]:
                made[t_ns] = Probe(t_ns=t_ns, kind="known", expected="yes" if t_ns >= known_ns else "no")
            continue
        right = [answer for answer in answers if answer.t_ns <= t_ns][-1:]
        if span[0] <= t_ns < span[1] and right and _stands(right[0], t_ns):
            made[t_ns] = Probe(t_ns=t_ns, kind=probe.kind, expected=_expected(probe, right[0].text))
    return tuple(made[t] for t in sorted(made))


def _stands(answer: Answer, t_ns: int) -> bool:
    return answer.valid_until_ns is None or t_ns < answer.valid_until_ns


def _expected(probe: Probe, text: str) -> str:
    if probe.kind == "count":
        return "".join(c for c in text if c.isdigit())
    if probe.kind == "yes_no":
        return "yes" if says_yes(text) else "no"
    return text
