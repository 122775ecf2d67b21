"""Films in memory with the records of builders, windows on them, and what people might do about them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from annotate.edited_events import Labels
from annotate.edits import Edits, Judged, Signature
from annotate.manifest import Manifest
from annotate.merge import edits_of
from annotate.proxy import ProxyConfig
from annotate.source import Film
from annotate.tasks import Item, Kind, QuestionVerdict, TurnVerdict, Window, Work, key_of
from datasets_build.builders.corrected import in_order, with_twins
from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.builders.facts import seed_of
from datasets_build.builders.streaming_qa import StreamingQAConfig, questions_of
from datasets_build.checks.integrity import missing_references
from datasets_build.checks.laws import Known
from datasets_build.checks.mishaps import MISHAP_LAWS
from datasets_build.core.clock import Span
from datasets_build.core.corrections import TABLE, Correction, Corrections
from datasets_build.core.records import Dialogue, Event, StreamingQA
from datasets_build.core.table import write_table
from tests.builders.made import Scene, lively
from tests.builders.worlds import breaches, desk_for, events_in
from tests.checks.planted import within

BY = Signature(round="r1", made_at="2026-01-02T03:04:05Z")


def film_of(scene: Scene, *, events: Sequence[Event] | None = None, most: int = 16) -> Film:
    """A video as the builders leave it."""
    found = events_in(scene) if events is None else list(events)
    asks = StreamingQAConfig(per_minute=120.0, most=most)
    talks = DialogueConfig(per_minute=40.0, interruptions=1.0)
    seed = seed_of(scene.video.id, "streaming_qa", 0)
    questions = questions_of(scene.video, desk_for(scene, random.Random(seed), events=found), asks, seed=seed)
    talk = dialogue_of(scene.video, desk_for(scene, random.Random(seed), events=found), talks, seed=seed)
    return Film(video=scene.video, path=Path(), clock=scene.clock, events=found, questions=questions, dialogues=[talk])


@lru_cache
def lively_film(name: str = "merged", seconds: int = 16) -> tuple[Scene, Film]:
    """A film in which a lot happens; read only."""
    scene = within(lively(name, seconds=seconds, seed=7))
    return scene, film_of(scene)


def item_of(film: Film, kind: Kind, span: tuple[int, int] | None = None, *, gold: bool = False) -> Item:
    """A window, of the whole film unless a span is given, and what is asked about it."""
    start, end = span or (0, film.clock.end_ns)
    window = Window(
        video_id=film.video.id, start_ns=start, end_ns=end, proxy_sha256="", width=2, height=2, fps_num=25, fps_den=1,
        frames=1, knots=(),
    )  # fmt: skip
    sheet = film.sheet(kind, Span(start_ns=start, end_ns=end))
    truth = untouched_work(Item(key="", window=window, sheet=sheet, split="train")) if gold else None
    name = key_of(window, sheet, "gold" if gold else "")
    return Item(key=name, window=window, sheet=sheet, split=film.video.split, is_gold=gold, truth=truth)


def untouched_work(item: Item) -> Work:
    """What somebody leaves who accepts everything."""
    sheet = item.sheet
    return Work(
        kind=sheet.kind,
        marks=sheet.marks,
        questions=tuple(QuestionVerdict(id=row.id, verdict="accept") for row in sheet.questions),
        turns=tuple(TurnVerdict(id=row.id, verdict="accept") for row in sheet.turns),
    )


def with_marks(item: Item, change: Callable[[dict], None]) -> Work:
    """Untouched work, its marks by their ids changed in place; None takes one away."""
    marks = {mark.id: mark for mark in item.sheet.marks}
    change(marks)
    return untouched_work(item).model_copy(update={"marks": tuple(m for m in marks.values() if m is not None)})


def with_verdicts(item: Item, *verdicts: QuestionVerdict | TurnVerdict) -> Work:
    """Untouched work with some verdicts of its own."""
    own = {verdict.id: verdict for verdict in verdicts}
    work = untouched_work(item)
    return work.model_copy(
        update={
            "questions": tuple(own.get(row.id, row) for row in work.questions),
            "turns": tuple(own.get(row.id, row) for row in work.turns),
        }
    )


def judged(
    item: Item, work: Work | None = None, who: tuple[str, ...] = ("a1",), open_ids: frozenset[str] = frozenset()
) -> Judged:
    """Work on an item that stands, untouched unless some is given."""
    return Judged(item=item, work=work or untouched_work(item), annotators=who, open_ids=open_ids)


def edit(film: Film, *pieces: Judged, labels: Labels | None = None) -> Edits:
    """What work on windows of a film makes of it."""
    return edits_of(film, pieces, by=BY, labels=labels or Labels.of(film.events))


def laid(folder: Path, film: Film, rows: Sequence[Correction]) -> Film:
    """A film with corrections laid over its records, as builders do it; fails where one does not fit."""
    write_table(folder / TABLE, Correction, rows)
    found = Corrections(folder)
    events = found.events(film.video.id, film.events)
    asked = found.questions(film.video.id, film.questions)
    talks = found.dialogues(film.video.id, film.dialogues)
    assert not [*events.stale, *asked.stale, *talks.stale]
    return Film(
        video=film.video, path=film.path, clock=film.clock, events=in_order(events.rows),
        questions=with_twins(asked).rows, dialogues=talks.rows,
    )  # fmt: skip


def broken(scene: Scene, film: Film) -> list[object]:
    """Every law that a film's records break."""
    events, questions, talks = list(film.events), list(film.questions), list(film.dialogues)
    boxes = [row for row in scene.annotations if row.kind == "box"]
    by_id = {row.id: row for row in questions}
    known = Known(scene.video, scene.clock, {row.id: row for row in events}, by_id, boxes=boxes)
    found: list[object] = list(breaches(scene, events, questions=questions, dialogues=talks))
    found += [breach for row in talks for law in MISHAP_LAWS for breach in law.breaches(row, known)]
    rows: list[StreamingQA | Dialogue] = [*questions, *talks]
    ids_of_boxes = frozenset(row.id for row in boxes)
    found += [breach for row in rows for breach in missing_references(row, frozenset(known.events), boxes=ids_of_boxes)]
    ids = [row.id for row in (*events, *questions, *talks)]
    assert len(set(ids)) == len(ids)
    return found


def manifest_of(items: Sequence[Item], kind: Kind, name: str = "r1") -> Manifest:
    """What a round of some items says of itself."""
    return Manifest(
        round=name, kind=kind, data="", seed=0, overlap=1, sample=None, least_ns=1, most_ns=2,
        proxy=ProxyConfig(), order=None, labels=(), config_sha256="", model_version="", items=len(items),
        items_sha256="", gold=0, made_at=BY.made_at,
    )  # fmt: skip
