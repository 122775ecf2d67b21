"""Work that stands becomes a new folder of records beside its parent: corrections, and a page of what was done.

The folder is whole or absent. It holds the parent's videos and what was perceived of them as links, the corrections of
the parent and then those of the round; `annotate.published.rebuild` makes the records anew. The same round gives the
same bytes whenever it is merged. What people agree on in a window is merged; what they do not agree on stays as it was,
and the page has a row for each.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotate.edited_dialogues import edit_dialogues
from annotate.edited_events import Labels, edit_events
from annotate.edited_questions import edit_questions
from annotate.edits import Edits, Judged, Signature, parts
from annotate.errors import AnnotateError
from annotate.manifest import Manifest
from annotate.merged import PAGE, Asked, Count, Left, Merged, Point, merged_page
from annotate.published import link_inputs, write_settings
from annotate.source import Film, check_folder, digest_of, films
from annotate.tasks import Item, Kind, Work
from datasets_build.core.clock import Span
from datasets_build.core.corrections import TABLE, Correction
from datasets_build.core.files import publish_folder, sha256_file, write_json
from datasets_build.core.layout import table_path
from datasets_build.core.records import Event
from datasets_build.core.stage import output_folder
from datasets_build.core.table import read_table, write_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Work on an item that stands, and the pseudonyms of those whose work it is.

    `outvoted` is what fewer than half of them drew: it is told, and not added.
    """

    work: Work
    annotators: tuple[str, ...]
    outvoted: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Undecided:
    """Why the work on an item does not stand as a whole, in sentences and point by point.

    `part` is what stands all the same, and changes nothing that a point is about; None where nobody says.
    """

    reasons: tuple[str, ...]
    part: Standing | None = None
    points: tuple[Point, ...] = ()


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


def _plan(
    manifest: Manifest, items: Sequence[Item], results: Mapping[str, Standing | Undecided], data: Path, to: Path
) -> tuple[Merged, list[Correction]]:
    """The page, and all corrections that the folder is to have."""
    sorted_items = _Sorted()
    by_video: defaultdict[str, list[Judged]] = defaultdict(list)
    for item in items:
        standing = sorted_items.take(item, results.get(item.key))
        if standing is not None:
            people = tuple(sorted(set(standing.annotators)))
            open_ids = sorted_items.open_ids(item)
            one = Judged(item=item, work=standing.work, annotators=people, open_ids=open_ids)
            by_video[item.window.video_id].append(one)
    labels = Labels.of(read_table(table_path(data, Event), Event))
    by = Signature(round=manifest.round, made_at=manifest.made_at)
    edits: list[Edits] = []
    for film in films(data, manifest.kind):
        judged = [one for one in by_video.pop(film.video.id, ()) if sorted_items.still_shows(one, film)]
        edits.append(edits_of(film, judged, by=by, labels=labels))
    for one in (one for rest in by_video.values() for one in rest):
        sorted_items.leave(one.item, "its video is not there any more")
    sorted_items.forget_left_out()
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
        merged=tuple(sorted_items.merged),
        fewer=tuple(sorted_items.fewer(results, manifest.overlap)),
        partly=tuple(sorted_items.partly),
        disputed=tuple(sorted_items.disputed.values()),
        points=tuple(point for points in sorted_items.points.values() for point in points),
        outvoted=tuple(sorted_items.outvoted(items, results)),
        asked=_asked(items, results, sorted_items),
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
        self.partly: list[str] = []
        self.disputed: dict[str, Left] = {}
        self.points: dict[str, tuple[Point, ...]] = {}
        self.unusable: list[str] = []
        self.left_out: list[Left] = []

    def take(self, item: Item, result: Standing | Undecided | None) -> Standing | None:
        """The work on an item that is to be merged, None for none."""
        standing = result.part if isinstance(result, Undecided) else result
        if item.is_gold:
            self.leave(item, "it is gold, whose truth was known before")
            return None
        if result is None:
            self.leave(item, "nobody has finished it")
            return None
        if standing is not None and standing.work.kind != item.sheet.kind:
            raise AnnotateError(f"{item.key}: found work of kind {standing.work.kind}, expected {item.sheet.kind}")
        if isinstance(result, Undecided):
            self.disputed[item.key] = Left(key=item.key, reasons=result.reasons)
            self.points[item.key] = result.points
            self.partly += [item.key] if standing is not None and _stands(item, standing, self.open_ids(item)) else []
        elif not result.work.usable:
            self.unusable.append(item.key)
            return None
        else:
            self.merged.append(item.key)
        return standing

    def outvoted(self, items: Sequence[Item], results: Mapping[str, Standing | Undecided]) -> Iterator[Point]:
        """What fewer than half drew in items of which something was taken."""
        for key in (item.key for item in items if item.key in {*self.merged, *self.partly}):
            result = results[key]
            standing = result.part if isinstance(result, Undecided) else result
            yield from standing.outvoted if standing is not None else ()

    def fewer(self, results: Mapping[str, Standing | Undecided], overlap: int) -> Iterator[str]:
        """Items merged as a whole that fewer people did than were asked for."""
        for key in self.merged:
            result = results[key]
            if isinstance(result, Standing) and len(set(result.annotators)) < overlap:
                yield key

    def open_ids(self, item: Item) -> frozenset[str]:
        """What an item shows and stays as it is."""
        return frozenset(name for point in self.points.get(item.key, ()) for name in point.records)

    def still_shows(self, judged: Judged, film: Film) -> bool:
        """Whether what people were asked about is still what the folder holds; else the item is left out."""
        lost = _lost(judged.item, film)
        if lost:
            self.leave(judged.item, f"{len(lost)} of its records are not what people saw any more, such as {lost[0]}")
        return not lost

    def leave(self, item: Item, why: str) -> None:
        """Says that an item changes nothing."""
        self.left_out.append(Left(key=item.key, reasons=(why,)))

    def forget_left_out(self) -> None:
        """Takes items that change nothing from all other lists."""
        left = {one.key for one in self.left_out}
        self.merged = [key for key in self.merged if key not in left]
        self.partly = [key for key in self.partly if key not in left]
        self.disputed = {key: one for key, one in self.disputed.items() if key not in left}
        self.points = {key: points for key, points in self.points.items() if key not in left}


def _stands(item: Item, standing: Standing, open_ids: frozenset[str]) -> bool:
    """Whether anything of an item in dispute is settled."""
    shown = {part.id for part in parts(item.sheet)}
    return bool(shown - open_ids) or any(mark.id not in shown for mark in standing.work.marks)


def _asked(items: Sequence[Item], results: Mapping[str, Standing | Undecided], found: _Sorted) -> Asked:
    """Counts what was shown and what was drawn, each once."""
    count: Counter[str] = Counter()
    taken = {*found.merged, *found.partly}
    for item in items:
        shown = {part.id for part in parts(item.sheet)}
        count["all"] += len(shown)
        result = results.get(item.key)
        standing = result.part if isinstance(result, Undecided) else result
        if item.key in taken and standing is not None:
            stays = found.open_ids(item) & shown
            count["disputed"] += len(stays)
            count["settled"] += len(shown - stays)
            count["drawn"] += sum(mark.id not in shown for mark in standing.work.marks)
        else:
            count["disputed" if item.key in found.disputed else "untouched"] += len(shown)
        count["drawn_disputed"] += sum(not point.records for point in found.points.get(item.key, ()))
    return Asked(
        all=count["all"],
        settled=count["settled"],
        disputed=count["disputed"],
        untouched=count["untouched"],
        drawn=count["drawn"],
        drawn_disputed=count["drawn_disputed"],
    )


def refuse_changed(items: Iterable[Item], data: Path, kind: Kind) -> None:
    """Refuse a folder that is not what people saw any more: all of their work on it would be in doubt.

    Args:
        items: of the round.
        data: the folder that they were made of.
        kind: of the round.

    Raises:
        AnnotateError: a record that an item shows is gone or another one, or its video is.
    """
    waiting: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        if not item.is_gold:
            waiting[item.window.video_id].append(item)
    lost: list[str] = []
    for film in films(data, kind):
        lost += [name for item in waiting.pop(film.video.id, ()) for name in _lost(item, film)]
    lost += [f"video {name}" for name in sorted(waiting)]
    if lost:
        raise AnnotateError(
            f"{data}: was changed since the round was made: {len(lost)} of the records that people saw are gone or "
            f"others, such as {lost[0]}; put it back as it was, or push another round of what is there now"
        )


def _lost(item: Item, film: Film) -> list[str]:
    """What an item shows and the folder does not hold any more in this way."""
    there = {part.id: part for part in parts(film.sheet(item.sheet.kind, _span(item)))}
    return [part.id for part in parts(item.sheet) if there.get(part.id) != part]


def _span(item: Item) -> Span:
    return Span(start_ns=item.window.start_ns, end_ns=item.window.end_ns)


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
