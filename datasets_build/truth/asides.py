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
CHINESE_ASIDES: dict[Aside, str] = {
    "late_reply": "在你提问的时候：",
    "late_report": "就在刚才：",
    "resumed": "接着说刚才没说完的：",
    "corrected": "我说错了：",
    "refused": "不，这不对。",
    "back": "画面中断了一会儿。中断以前：",
}


class Said(NamedTuple):
    """A text without the aside that it begins with, if it begins with one."""

    aside: Aside | None
    text: str


def aside_in(language: str, aside: Aside) -> str:
    """An aside in the language of a record, a BCP 47 tag; English where it is not Chinese."""
    asides = CHINESE_ASIDES if language.casefold().split("-")[0] == "zh" else ASIDES
    return asides[aside]


def said(text: str) -> Said:
    """Takes the aside off a text."""
    for aside, words in (*ASIDES.items(), *CHINESE_ASIDES.items()):
        if text.startswith(words):
            return Said(aside, text.removeprefix(words))
    return Said(None, text)
