"""What a question is about, as a class of a video's events, and the four instants that bound an event.

The one definition that builders follow and checks prove. An event's ends are only known within its uncertainty: before
`early_ns` it has certainly not begun; from `known_ns` a viewer can tell that it is under way; until `off_ns` it
certainly is; from `done_ns` it is certainly over. An answer is never given in between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from datasets_build.core.clock import FrameClock
from datasets_build.core.evidence import TEXT_LABEL, WORDS_LABELS
from datasets_build.core.records import About, Event

PICTURE_SET = "streamvl/picture-1"
"""The label set of what the picture itself shows: cuts, camera movement, light."""
CAMERA = frozenset({"pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out"})
NEW_SHOT = frozenset({"video_start", "shot_start", "fade", "dissolve"})
MOTION = frozenset({"still", "motion_burst"})
ACTS = frozenset({"enter", "leave", "move", "stop", "collide", "change_colour"})
"""Labels of annotations that tell of something that changes in the picture."""
COMPLETE_SETS = frozenset({"world", "lesson"})
"""Label sets that name everything that happens: only a drawn video's truth does."""
ENTERING_SETS = frozenset({"lesson"})
"""Label sets that also tell how all that is in the picture came in: it has entered since the last change of shot."""
SOMETHING = "something"
"""Who does it where a question names nobody."""
UNPROVED = frozenset({"small_talk", "delegate"})
"""Tasks to which something is said that no event proves: small talk, and what is handed on to somebody else."""
Domain = Literal["scene", "camera", "picture", "motion", "spoken"]
_DETERMINERS = frozenset(
    "something the a an my your his her its our their this that these those some each every no both several many all "  # noqa: SIM905 - reads as a sentence
    "any another one i you he she it we they someone somebody everyone everybody".split()
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The four instants of an event, in ns on the frame grid."""

    early_ns: int
    known_ns: int
    off_ns: int
    done_ns: int


def bounds_of(event: Event, clock: FrameClock) -> Bounds:
    """Where an event certainly is and is not, from its ends and their uncertainty."""
    early = clock.snap_up(event.start_ns - event.onset_uncertainty_ns)
    known = event.known_from_ns
    done = known if event.is_point else max(known, clock.snap_up(event.end_ns + event.offset_uncertainty_ns))
    off = max(known, clock.snap_up(event.end_ns - event.offset_uncertainty_ns))
    return Bounds(early, known, min(off, done), done)


def domain_of(event: Event) -> Domain:
    """Where an event belongs: what words say is the scene's, what the picture shows goes by its label."""
    if event.label_set != PICTURE_SET:
        return "spoken" if event.label in WORDS_LABELS else "scene"
    if event.label in CAMERA:
        return "camera"
    return "motion" if event.label in MOTION else "picture"


def names_in(subject: str | None) -> list[str]:
    """The single subjects of an event ("a and b")."""
    return subject.split(" and ") if subject else []


def plain(text: str) -> str:
    """A text on one line, with single spaces."""
    return " ".join(text.split())


def sentence(text: str) -> str:
    """A plain text that ends as a sentence does."""
    words = plain(text)
    return words if re.search(r"[.!?…。！？][\"')\]”’」』）]*$", words) else f"{words}."


@lru_cache(maxsize=4096)
def quoted(text: str) -> str:
    """A caption as it stands in quotes: a sentence without quotes of its own."""
    return sentence(text).replace('"', "'")


@lru_cache(maxsize=4096)
def named(subject: str) -> str:
    """A subject with its articles: `the red circle and the blue square`, `Anna`."""
    return " and ".join(_with_article(name) for name in plain(subject).split(" and "))


def _with_article(name: str) -> str:
    first = name.split()[0] if name.split() else ""
    # A capital letter is a name ("Anna"), which takes no article; nor do words of another script.
    takes_none = not first or is_determiner(first) or first[0].isupper() or not first[0].isascii()
    return name if takes_none else f"the {name}"


def is_determiner(word: str) -> bool:
    """Whether a word stands where an article does."""
    return word.casefold() in _DETERMINERS


def name_after(event: Event) -> str | None:
    """What an event's one subject is called when it is over; None where it is gone, or where the event does not say.

    A subject is named as it looks: "The red circle turns blue." makes a red circle a blue circle.
    """
    subject = event.subject or ""
    if event.label == "enter":
        return subject or None
    turned = re.fullmatch(rf"The {re.escape(subject)} turns (\w+)\.", event.caption)
    if event.label != "change_colour" or turned is None:
        return None
    return " ".join([turned[1], *subject.split()[1:]])


def is_about(about: About, event: Event) -> bool:
    """Whether an event is one of those that a question is about; only shots count the video's beginning."""
    is_picture = event.label_set == PICTURE_SET
    if about.kind == "shots":
        return is_picture and event.label in NEW_SHOT
    if is_picture and event.label == "video_start":
        return False
    if about.kind in ("label", "caption", "line"):
        return _is_named(about, event)
    domain = domain_of(event)
    if about.kind == "changes":
        return domain in ("camera", "picture")
    if about.kind == "subject":
        return domain == "scene" and about.subject in names_in(event.subject)
    return domain == about.kind


def _is_named(about: About, event: Event) -> bool:
    """Whether the words that name one event name this one too."""
    if about.kind == "label":
        is_picture = event.label_set == PICTURE_SET
        by_anyone = about.label in ACTS or about.label == TEXT_LABEL
        if about.label != event.label or is_picture != (about.subject is None and not by_anyone):
            return False
        return about.subject is None or named(about.subject).casefold() == named(event.subject or "").casefold()
    text, is_line = about.text or "", event.label in WORDS_LABELS
    if about.kind == "line":
        return is_line and plain(event.caption).casefold() == plain(text).casefold()
    return not is_line and quoted(event.caption).casefold() == quoted(text).casefold()
