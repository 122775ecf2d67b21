"""Round folders as a pull leaves them, made of finished works: results are works as JSON, read back by `reading`."""

import json

from annotate.closing import SNAPSHOT, Closed
from annotate.journal import JOURNAL, Flag, Journal, Row, Version
from annotate.proxy import make_proxy
from annotate.pull import CLOSED, Reading
from annotate.rounds import create
from annotate.screens import screen
from annotate.tasks import Item, Mark, Sheet, Work
from datasets_build.core.clock import Span
from datasets_build.core.files import sha256_file
from tests.annotate.films import indexed
from tests.annotate.people import Person, done, event_items, events, qa_items, work_events, work_questions
from tests.annotate.rounds_of_items import manifest
from tests.drawn import VideoSpec, draw_video

FRAME = 40_000_000
PEOPLE = (Person(name="a1", noise=200_000_000), Person(name="a2", bias=400_000_000, noise=500_000_000, miss=0.2))
LAZY = Person(name="a10", lazy=1.0, pace=0.2)


def reading():
    def decode(result, item):
        return Work.model_validate_json(json.dumps(result[0]))

    return Reading(validate=lambda result, item: [], decode=decode, untouched=screen.untouched)


def row(one, *, skipped=False, flags=(), what="new"):
    """A row of a journal about a finished work."""
    version = Version(
        by=one.annotator, edited_by=None, created_at=one.updated_at, updated_at=one.updated_at,
        lead_time_s=one.lead_time_s, skipped=skipped, result=json.dumps([one.work.model_dump(mode="json")]),
    )  # fmt: skip
    return Row(
        what=what, key=one.key, task=1, annotation=one.annotation_id, more=0, flags=flags,
        version=None if what == "deleted" else version,
    )  # fmt: skip


def numbered(works):
    return [one.model_copy(update={"annotation_id": number}) for number, one in enumerate(works, start=1)]


def make(root, items, works, *, rows=(), **changes):
    """A round with these works in its journal, then `rows`."""
    changes = {"kind": items[0].sheet.kind if items else "events", "labels": ("pour", "stir", "taste"), **changes}
    round_ = create(root, manifest(items, **changes), items)
    with Journal.open(round_.folder / JOURNAL) as journal:
        journal.append([[row(one)] for one in works] + [[one] for one in rows])
    return round_


def events_round(root, many=10, *, gold=4, people=PEOPLE, **changes):
    """A round about events of simulated people, its works beside it."""
    items, truths = event_items(5, many, gold=gold)
    works = numbered([one for person in people for one in work_events(person, items, truths, 1)])
    return make(root, items, works, **changes), works


def qa_round(root, many=8, **changes):
    items, truths = qa_items(5, many, gold=3)
    people = (Person(name="a1", wrong=0.1), Person(name="a2", wrong=0.4, noise=10**9))
    works = numbered([one for person in people for one in work_questions(person, items, truths, 1)])
    return make(root, items, works, **changes), works


def close(round_):
    """Write what closing writes, without a server."""
    (round_.folder / CLOSED).parent.mkdir()
    (round_.folder / SNAPSHOT).write_text("[]")
    closed = Closed(
        md5="5" * 32, sha256=sha256_file(round_.folder / SNAPSHOT), tasks=7, annotations=9,
        journal_sha256=sha256_file(round_.folder / JOURNAL),
    )  # fmt: skip
    (round_.folder / CLOSED).write_text(closed.model_dump_json())
    return closed


def mark(name, start, end, label="pour", **more):
    """A mark from frame to frame of a film."""
    return Mark(id=name, label=label, start_ns=start * FRAME, end_ns=end * FRAME, **more)


def filmed_round(root, *, spans=((0, 50), (50, 100)), said, **changes):
    """A round with true proxies of a film of 100 numbered frames at 25 a second.

    `said`: for each window, what each person marked, by pseudonym; None for somebody who could not judge it.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = root / "film.mp4"
    draw_video(path, VideoSpec(frames=100))
    video, clock = indexed(path)
    items, works = [], []
    for number, ((start, end), of) in enumerate(zip(spans, said, strict=True)):
        span = Span(start_ns=start * FRAME, end_ns=end * FRAME)
        window = make_proxy(path, video, clock, span=span, folder=root / "r1" / "proxies")
        sheet = Sheet(kind="events", marks=(mark(f"s{number}", start + 5, start + 20),))
        items.append(Item(key=f"f{number}", window=window, sheet=sheet, split="train"))
        for name, marks in of.items():
            work = events(usable=False) if marks is None else events(*marks)
            works.append(done(f"f{number}", name, work))
    return make(root, items, numbered(works), **changes)


def flag(code="invalid", detail="found a region of no label"):
    return Flag(code=code, detail=detail)
