"""Turns cut short: what of an answer is out when somebody breaks into it."""

from __future__ import annotations

from datasets_build.core.records import Turn


def characters_at(answer: Turn, at_ns: int) -> int:
    """How many characters of an answer are out at an instant inside it."""
    return len(answer.text) * (at_ns - answer.start_ns) // (answer.end_ns - answer.start_ns)


def cut_short(answer: Turn, at_ns: int, *, least_said: int, least_left: int) -> Turn | None:
    """What of an answer was said before an instant inside it, with all of it in `intended_text`.

    Args:
        answer: a whole turn.
        at_ns: when it is cut.
        least_said: characters that must be out by then.
        least_left: characters that must still be to come.

    Returns:
        The turn up to there; None where that is next to nothing or everything.
    """
    if not answer.start_ns < at_ns < answer.end_ns:
        return None
    said = characters_at(answer, at_ns)
    if not least_said <= said <= len(answer.text) - least_left:
        return None
    changed = {"end_ns": at_ns, "text": answer.text[:said], "intended_text": answer.text, "truncated_at_char": said}
    return answer.model_copy(update=changed)


def ends_amid_word(cut: Turn) -> bool:
    """Whether a turn that was cut short ends inside a word."""
    at, whole = cut.truncated_at_char, cut.intended_text
    return at is not None and whole is not None and whole[at - 1 : at + 1].isalnum()
