"""What a viewer knows, and when: the one definition that builders follow and checks prove.

At an instant `t` of the frame grid a viewer has seen every frame with a presentation time of `t` or earlier, the frame
at `t` included; at the video's end it has seen them all. From this follow these rules.

* A piece of evidence `[start_ns, end_ns)` has been seen at `end_ns`: the first frame at or after its end is on screen
  (or the video is over) and tells that the span is complete. The evidence of an instant is the empty span at its frame,
  seen when that frame is shown.
* *Something is under way* needs its beginning up to the event's `known_from_ns`; *it is under way now* needs it up to
  the question.
* *Something has happened* needs it to its end, and so does whatever quotes a spoken or shown line: a line is known when
  its last word is out.
* *Not yet*, *so far*, *how many so far* and *nothing since* need everything up to the question, so they are
  answerable at the question itself and never before.

`answerable_from_ns` is the latest end among the necessary evidence. Evidence of the role `sufficient` belongs to a
later answer of the same question (the second time that something happens) and moves it on; `distractor` proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from datasets_build.core.records import Event, Evidence

SPOKEN_LABELS = frozenset({"subtitle", "word"})
"""Labels of events that are words, spoken or shown below the picture."""
TEXT_LABEL = "text"
"""The label of what is written in the picture itself, for as long as it can be read."""
WORDS_LABELS = SPOKEN_LABELS | {TEXT_LABEL}
"""Labels of events whose caption is words that somebody says or reads, and no sentence about them."""


def seen_from(evidence: Iterable[Evidence]) -> int:
    """The earliest instant in ns at which all of some evidence has been seen; 0 for none."""
    return max((piece.end_ns for piece in evidence), default=0)


def answerable_from(evidence: Iterable[Evidence]) -> int:
    """The earliest instant in ns at which the necessary evidence has been seen."""
    return seen_from(piece for piece in evidence if piece.role == "necessary")


def least_end(event: Event, *, finished: bool) -> int:
    """How far evidence of an event must reach: to its end for what has happened and for lines, else until known."""
    return event.end_ns if finished or event.label in SPOKEN_LABELS else event.known_from_ns
