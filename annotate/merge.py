"""Work that stands becomes a new folder of records beside its parent: corrections, and a page of what was done.

The folder is whole or absent. It holds the parent's videos and what was perceived of them as links, the corrections of
the parent and then those of the round; `annotate.published.rebuild` makes the records anew. The same round gives the
same bytes whenever it is merged.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from annotate.edited_dialogues import edit_dialogues
from annotate.edited_events import Labels, edit_events
from annotate.edited_questions import edit_questions
from annotate.edits import Edits, Judged, Signature, Trouble
from annotate.errors import AnnotateError
from annotate.manifest import Manifest
from annotate.published import link_inputs, write_settings
from annotate.source import Film, check_folder, digest_of, films
from annotate.tasks import Item, Kind, Mark, Question, Said, Sheet, Work
from datasets_build.core.corrections import TABLE, Correction
from datasets_build.core.files import publish_folder, sha256_file, write_json
from datasets_build.core.layout import table_path
from datasets_build.core.records import Event, Many, Part
from datasets_build.core.stage import output_folder
from datasets_build.core.table import read_table, write_table

PAGE = "merge.json"
"""What a merged folder says of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Work on an item that stands, and the pseudonyms of those whose work it is."""

    work: Work
    annotators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Undecided:
    """Why no work on an item stands yet, in sentences."""

    reasons: tuple[str, ...]


class Left(Part):
    """An item that changes nothing, and why."""

    key: str
    reasons: Many[str]


class Count(Part):
    """How many corrections of a kind there are."""

    of: str
    action: str
    number: int


class Merged(Part):
    """What a merge did: `merge.json`.

    `data` is the parent, relative to the folder; `data_digest` stands for its records. `merged` are the keys of items
    whose work was taken; `disputed`, `unusable` and `left_out` are the others. `earlier` counts the parent's own
    corrections, `edits` those of this round; `corrections_sha256` is of the table, None where there is none.
    """

    round: str
    kind: Kind
    made_at: str
    data: str
    data_digest: str
    items_sha256: str
    merged: Many[str]
    disputed: Many[Left]
    unusable: Many[str]
    left_out: Many[Left]
    troubles: Many[Trouble]
    earlier: int
    edits: Many[Count]
    corrections_sha256: str | None


def edits_of(film: Film, judged: Sequence[Judged], *, by: Signature, labels: Labels) -> Edits:
    """What people's work on windows of one video makes of its records.

    Args:
        film: the video with the records of the kind that the work is about.
        judged: work that stands, on windows of this video; unusable work changes nothing.
        by: where and when.
        labels: of the film's folder.
    """
    edits = Edits(by)
    fit = [one for one in sorted(judged, key=lambda one: (one.span.start_ns, one.item.key)) if one.work.usable]
    edit_events(film, [one for one in fit if one.work.kind == "events"], labels, edits)
    edit_questions(film, [one for one in fit if one.work.kind == "qa"], edits)
    edit_dialogues(film, [one for one in fit if one.work.kind == "dialogue"], edits)
    return edits


def merge(
    manifest: Manifest, items: Sequence[Item], results: Mapping[str, Standing | Undecided], *, data: Path, to: Path
) -> Merged:
    """Write a folder of records as a round left them, ready to be rebuilt; one that is there is found again.

    Args:
        manifest: of the round.
        items: of the round, in its order.
        results: what became of each item, by its key; gold is never merged.
        data: the folder that the items were made of; it is not touched.
        to: where to; another folder, on which nothing but this merge and its rebuild has written.

    Raises:
        AnnotateError: the folders are one, or one holds the other; another merge is there; `data` is not finished.
        StageError: another run writes there.
    """
    check_folder(data, manifest.kind)
    _refuse_nested(data, to)
    page, corrections = _plan(manifest, items, results, data, to)
    if to.exists():
        return _found(to, page, corrections)
    aside = to.with_name(f".{to.name}.part")
    to.parent.mkdir(parents=True, exist_ok=True)
    with output_folder(aside):
        _clear(aside)
        link_inputs(data, aside)
        write_settings(data, aside)
        page = page.model_copy(update={"corrections_sha256": _write(aside, corrections)})
        write_json(aside / PAGE, page.model_dump(mode="json"))
        publish_folder(aside, to)
    return page


def merged_page(to: Path) -> Merged:
    """What a merged folder says of itself. Raises AnnotateError where it does not."""
    try:
        return Merged.model_validate_json((to / PAGE).read_bytes())
    except FileNotFoundError:
        raise AnnotateError(f"{to}: holds no {PAGE}, so no merged round; name another folder") from None
    except ValidationError as error:
        raise AnnotateError(f"{to / PAGE}: {error.errors()[0]['msg']}; name another folder") from error


def _plan(
    manifest: Manifest, items: Sequence[Item], results: Mapping[str, Standing | Undecided], data: Path, to: Path
) -> tuple[Merged, list[Correction]]:
    """The page, and all corrections that the folder is to have."""
    sorted_items = _Sorted()
    by_video: defaultdict[str, list[Judged]] = defaultdict(list)
    for item in items:
        standing = sorted_items.take(item, results.get(item.key))
        if standing is not None:
            one = Judged(item=item, work=standing.work, annotators=tuple(sorted(set(standing.annotators))))
            by_video[item.window.video_id].append(one)
    labels = Labels.of(read_table(table_path(data, Event), Event))
    by = Signature(round=manifest.round, made_at=manifest.made_at)
    edits: list[Edits] = []
    for film in films(data, manifest.kind):
        judged = [one for one in by_video.pop(film.video.id, ()) if sorted_items.still_shows(one, film)]
        edits.append(edits_of(film, judged, by=by, labels=labels))
    for one in (one for rest in by_video.values() for one in rest):
        sorted_items.leave(one.item, "its video is not there any more")
    made = [row for each in edits for row in each.corrections]
    earlier = list(_earlier(data))
    counts = Counter((row.of, row.action) for row in made)
    page = Merged(
        round=manifest.round,
        kind=manifest.kind,
        made_at=manifest.made_at,
        data=os.path.relpath(os.path.realpath(data), os.path.realpath(to)),
        data_digest=digest_of(data, manifest.kind),
        items_sha256=manifest.items_sha256,
        merged=tuple(key for key in sorted_items.merged if key not in {left.key for left in sorted_items.left_out}),
        disputed=tuple(sorted_items.disputed),
        unusable=tuple(sorted_items.unusable),
        left_out=tuple(sorted_items.left_out),
        troubles=tuple(row for each in edits for row in each.troubles),
        earlier=len(earlier),
        edits=tuple(Count(of=of, action=action, number=number) for (of, action), number in sorted(counts.items())),
        corrections_sha256=None,
    )
    return page, [*earlier, *made]


class _Sorted:
    """What becomes of each item of a round."""

    def __init__(self) -> None:
        self.merged: list[str] = []
        self.disputed: list[Left] = []
        self.unusable: list[str] = []
        self.left_out: list[Left] = []

    def take(self, item: Item, result: Standing | Undecided | None) -> Standing | None:
        """The work on an item that is to be merged, None for none."""
        if item.is_gold:
            self.leave(item, "it is gold, whose truth was known before")
        elif result is None:
            self.leave(item, "nobody has finished it")
        elif isinstance(result, Undecided):
            self.disputed.append(Left(key=item.key, reasons=result.reasons))
        elif result.work.kind != item.sheet.kind:
            raise AnnotateError(f"{item.key}: found work of kind {result.work.kind}, expected {item.sheet.kind}")
        elif not result.work.usable:
            self.unusable.append(item.key)
        else:
            self.merged.append(item.key)
            return result
        return None

    def still_shows(self, judged: Judged, film: Film) -> bool:
        """Whether what people were asked about is still what the folder holds; else the item is left out."""
        now = film.sheet(judged.item.sheet.kind, judged.span)
        there = {part.id: part for part in _parts(now)}
        lost = [part.id for part in _parts(judged.item.sheet) if there.get(part.id) != part]
        if lost:
            self.leave(judged.item, f"{len(lost)} of its records are not what people saw any more, such as {lost[0]}")
        return not lost

    def leave(self, item: Item, why: str) -> None:
        """Says that an item changes nothing."""
        self.left_out.append(Left(key=item.key, reasons=(why,)))


def _parts(sheet: Sheet) -> Iterator[Mark | Question | Said]:
    yield from sheet.marks
    yield from sheet.questions
    yield from sheet.turns


def _earlier(data: Path) -> Iterator[Correction]:
    if (data / TABLE).is_file():
        yield from read_table(data / TABLE, Correction)


def _write(folder: Path, corrections: Sequence[Correction]) -> str | None:
    """Writes the table, which is absent where nothing is corrected, and gives its SHA-256."""
    if not corrections:
        return None
    write_table(folder / TABLE, Correction, corrections)
    return sha256_file(folder / TABLE)


def _found(to: Path, page: Merged, corrections: Sequence[Correction]) -> Merged:
    """The page of a folder that is there, if it is of the same merge. Raises AnnotateError for another one."""
    there = merged_page(to)
    if there.model_copy(update={"corrections_sha256": None}) != page:
        raise AnnotateError(f"{to}: holds another merge, of round {there.round}; name another folder")
    if list(_earlier(to)) != list(corrections):
        raise AnnotateError(f"{to / TABLE}: is not what this merge wrote; name another folder")
    return there


def _clear(aside: Path) -> None:
    """Removes what a killed merge left."""
    for path in aside.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _refuse_nested(data: Path, to: Path) -> None:
    here, there = Path(os.path.realpath(data)), Path(os.path.realpath(to))
    if there.is_relative_to(here) or here.is_relative_to(there):
        raise AnnotateError(f"{to}: is {data}, or one of them holds the other; name a folder beside it to write to")
