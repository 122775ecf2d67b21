"""Words before what is true: of answers that come late, are corrected or taken up again, and of streams that were gone.

They stand before the words of whoever wrote a record, so that those can still be held against what is true.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Aside = Literal["late_reply", "late_report", "resumed", "corrected", "refused", "back"]
ASIDES: dict[Aside, str] = {
    "late_reply": "When you asked: ",
    "late_report": "A moment ago: ",
    "resumed": "As I was saying: ",
    "corrected": "I was wrong: ",
    "refused": "No, that is not right. ",
    "back": "The stream was gone for a moment. Before that: ",
}
"""`refused` is said by people, the others by assistants."""


class Said(NamedTuple):
    """A text without the aside that it begins with, if it begins with one."""

    aside: Aside | None
    text: str


def said(text: str) -> Said:
    """Takes the aside off a text."""
    for aside, words in ASIDES.items():
        if text.startswith(words):
            return Said(aside, text.removeprefix(words))
    return Said(None, text)
