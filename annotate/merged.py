"""What a merged folder says of itself: which items were taken, what changed, and what people do not agree on yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from annotate.edits import Trouble
from annotate.errors import AnnotateError
from annotate.tasks import Kind
from datasets_build.core.records import Many, Ns, Part

PAGE = "merge.json"
"""What a merged folder says of itself."""


class Left(Part):
    """An item that is not merged as a whole, and why."""

    key: str
    reasons: Many[str]


class Point(Part):
    """Something of an item that people do not agree on yet: what, where, and who they are.

    `records` are the events, questions or turns that therefore stay as they were; none for what only people drew, which
    is not added. `decide` is what must be decided, a sentence; `annotators` are pseudonyms.
    """

    key: str
    video_id: str
    about: str
    records: Many[str]
    start_ns: Ns
    end_ns: Ns
    decide: str
    annotators: Many[str]


class Asked(Part):
    """What becomes of everything that a round shows: `all` is the sum of the others.

    `settled`: what people agree on, or somebody decided. `disputed`: what stays as it was until somebody decides.
    `untouched`: of items that change nothing. A record that two windows show is there twice. `drawn`: what people drew
    anew and agree on, `drawn_disputed`: points about what only people drew, which is not added.
    """

    all: int
    settled: int
    disputed: int
    untouched: int
    drawn: int
    drawn_disputed: int


class Count(Part):
    """How many corrections of a kind there are."""

    of: str
    action: str
    number: int


class Merged(Part):
    """What a merge did: `merge.json`.

    `data` is the parent, relative to the folder; `data_digest` stands for its records. `merged` are the keys of items
    whose whole work was taken, `fewer` those of them that fewer people did than were asked for; `disputed`, `unusable`
    and `left_out` are the others. `partly` are those in dispute of which something was taken, `points` what of them
    stays as it was, `outvoted` what fewer than half drew. `earlier` counts the parent's own corrections, `edits` those
    of this round; `corrections_sha256` is of the table, None where there is none.
    """

    round: str
    kind: Kind
    made_at: str
    data: str
    data_digest: str
    items_sha256: str
    merged: Many[str]
    fewer: Many[str]
    partly: Many[str]
    disputed: Many[Left]
    points: Many[Point]
    outvoted: Many[Point]
    asked: Asked
    unusable: Many[str]
    left_out: Many[Left]
    troubles: Many[Trouble]
    earlier: int
    edits: Many[Count]
    corrections_sha256: str | None


def merged_page(to: Path) -> Merged:
    """What a merged folder says of itself. Raises AnnotateError where it does not."""
    try:
        return Merged.model_validate_json((to / PAGE).read_bytes())
    except FileNotFoundError:
        raise AnnotateError(f"{to}: holds no {PAGE}, so no merged round; name another folder") from None
    except ValidationError as error:
        raise AnnotateError(f"{to / PAGE}: {error.errors()[0]['msg']}; name another folder") from error


def told(page: Merged) -> Iterator[str]:
    """What a merge did, a line each: items, corrections, what is in dispute, what cannot be."""
    yield f"{len(page.merged)} items merged, {len(page.disputed)} disputed, {len(page.unusable)} unusable"
    if page.fewer:
        yield f"of the merged items {len(page.fewer)} had fewer people than were asked for; see fewer in {PAGE}"
    for count in page.edits:
        yield f"{count.action} {count.of}: {count.number}"
    for trouble in page.troubles:
        yield f"left as it was: {trouble.reason}"
    if page.outvoted:
        yield f"not added: {len(page.outvoted)} that fewer than half drew; see outvoted in {PAGE}"
    if page.disputed:
        asked, noun = page.asked, {"events": "events", "qa": "questions", "dialogue": "turns"}[page.kind]
        drawn = f", {asked.drawn_disputed} drawn ones were not added" if asked.drawn_disputed else ""
        yield f"in dispute: {asked.disputed} of {asked.all} {noun} stayed as they were{drawn}"
        yield f"of {len(page.disputed)} disputed items {len(page.partly)} are merged but for that; see points in {PAGE}"
