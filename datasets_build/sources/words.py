r"""Words with times out of subtitles: as WebVTT's inline stamps and ASS's karaoke state them, or spread over a cue.

WebVTT writes `one<00:00:01.500><c> two</c>`, as speech recognition on the web does; a line without a stamp is said
again from the cue before and gives none. ASS writes `{\k50}one {\k30}two` in hundredths of a second. SRT has no such
thing. What stands between two stamps is one row, mostly a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from datasets_build.sources.said import Fault, Said
from datasets_build.sources.subtitles import NS_PER_MS, Item, MarkedCue, Syntax, marked_cues, plain_text, stamp_ns

_STAMP = re.compile(r"<(?:(\d{1,5}):)?(\d{1,2}):(\d{1,2})\.(\d{1,3})>")
_KARAOKE = re.compile(r"\{[^{}]*?\\(?:k|K|kf|ko)(\d{1,6})(?!\d)[^{}]*\}")
_NS_PER_CS = 10 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class _Piece:
    """A text with the instants between which it is said."""

    text: str
    start_ns: int
    end_ns: int


def parse_words(text: str, syntax: Syntax) -> tuple[Item, ...]:
    """Every word whose time a subtitle file states, in its order, and a fault for each cue whose stamps cannot be."""
    return tuple(item for cue in marked_cues(text, syntax) for item in _words(cue, syntax))


def _words(cue: MarkedCue, syntax: Syntax) -> Iterator[Item]:
    pieces = list(_vtt_pieces(cue) if syntax == "vtt" else _ass_pieces(cue) if syntax == "ass" else ())
    said = cue.said
    if any(not said.start_ns <= piece.start_ns <= piece.end_ns <= said.end_ns for piece in pieces):
        yield Fault(
            "bad_span", f"{said.where}: found word times out of order or outside their cue, expected them in it"
        )
        return
    named = [piece for piece in pieces if piece.text and piece.start_ns < piece.end_ns]
    for number, piece in enumerate(named, start=1):
        where = f"{said.where}, word {number}"
        yield replace(said, where=where, start_ns=piece.start_ns, end_ns=piece.end_ns, text=piece.text, kind="word")


def _vtt_pieces(cue: MarkedCue) -> Iterator[_Piece]:
    at = cue.said.start_ns
    stamped = [line for line in cue.marked.split("\n") if _STAMP.search(line)]
    for number, line in enumerate(stamped):
        stamps = list(_STAMP.finditer(line))
        times = [stamp_ns(stamp.groups()) for stamp in stamps]
        edges = [0, *(edge for stamp in stamps for edge in stamp.span()), len(line)]
        texts = [plain_text(line[low:high]) for low, high in zip(edges[::2], edges[1::2], strict=True)]
        last = cue.said.end_ns if number == len(stamped) - 1 else _first(stamped[number + 1])
        # A stamp past 59 minutes or seconds is no time; -1 lies outside every cue.
        ends = [-1 if time is None else time for time in (*times, last)]
        for text, (start_ns, end_ns) in zip(texts, pairwise([at, *ends]), strict=True):
            yield _Piece(text, start_ns, end_ns)
        at = ends[-1]


def _first(line: str) -> int | None:
    match = _STAMP.search(line)
    assert match is not None, "the line was chosen for its stamp"
    return stamp_ns(match.groups())


def _ass_pieces(cue: MarkedCue) -> Iterator[_Piece]:
    tags = list(_KARAOKE.finditer(cue.marked))
    edges = [*(tag.end() for tag in tags), len(cue.marked)]
    times = accumulate((int(tag[1]) * _NS_PER_CS for tag in tags), initial=cue.said.start_ns)
    for (low, high), (start_ns, end_ns) in zip(pairwise(edges), pairwise(times), strict=True):
        yield _Piece(plain_text(cue.marked[low:high].replace("\\N", " ").replace("\\n", " ")), start_ns, end_ns)


def spread_words(said: Said) -> Iterator[Said]:
    """The words of a cue that states no time for them, each as long as its share of the letters; marked as such."""
    words = said.text.split()
    letters = [*accumulate((len(word) for word in words), initial=0)]
    length_ns = said.end_ns - said.start_ns
    edges = [said.start_ns + length_ns * count // letters[-1] for count in letters]
    for number, (word, (start_ns, end_ns)) in enumerate(zip(words, pairwise(edges), strict=True), start=1):
        if start_ns < end_ns:
            note = "; ".join(filter(None, [said.note, "time spread over the cue by letters"]))
            where = f"{said.where}, word {number}"
            yield replace(said, where=where, start_ns=start_ns, end_ns=end_ns, text=word, kind="word", note=note)
