"""How far a round is, and the work that counts: what its journal says, with no server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from annotate.closing import latest
from annotate.held import Held, after
from annotate.journal import JOURNAL, read
from annotate.pull import CLOSED, Reading
from annotate.push import read_sent
from annotate.rounds import Round
from annotate.tasks import Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a round is, in items unless said otherwise.

    `pushed` are known to be on the server; `annotated[n]` have finished work of n people that counts (n from 1);
    `open` have that of fewer people than the overlap asks for. `skipped`, `flagged`, `deleted`: annotations that
    somebody skipped, that have a flag and do not count, that were seen and are gone.
    """

    items: int
    pushed: int
    annotated: Mapping[int, int]
    open: int
    skipped: int
    flagged: int
    deleted: int
    is_closed: bool


def held(round_: Round) -> list[Held]:
    """Every annotation that was ever pulled, in order of key and number."""
    found: dict[tuple[str, int], Held] = {}
    for placed in read(round_.folder / JOURNAL):
        at = placed.row.key, placed.row.annotation
        found[at] = after(found.get(at), placed.row)
    return [one for _, one in sorted(found.items())]


def counts(one: Held) -> bool:
    """Whether an annotation is finished work: there, not skipped, nothing wrong with it."""
    return one.live and not one.skipped and not one.flags


def status(round_: Round) -> Status:
    """How far a round is by its folder alone; pull first to know of today's work."""
    every, sent = held(round_), read_sent(round_.folder)
    by = Counter(one.key for one in every if counts(one))
    return Status(
        items=len(round_.items),
        pushed=sent.there if sent else 0,
        annotated=dict(sorted(Counter(by.values()).items())),
        open=sum(by[item.key] < round_.manifest.overlap for item in round_.items),
        skipped=sum(one.live and one.skipped and not one.flags for one in every),
        flagged=sum(one.live and bool(one.flags) for one in every),
        deleted=sum(not one.live for one in every),
        is_closed=(round_.folder / CLOSED).exists(),
    )


def finished(round_: Round, reading: Reading) -> list[Done]:
    """The work that counts, in the order of the items, then of the annotations. Raises what `decode` raises."""
    versions = latest(round_)
    by_key: dict[str, list[Held]] = {}
    for one in held(round_):
        if counts(one):
            by_key.setdefault(one.key, []).append(one)
    done = []
    for item in round_.items:
        for one in by_key.get(item.key, ()):
            version = versions[one.key, one.annotation]
            work = reading.decode(json.loads(version.result), item)
            done.append(
                Done(
                    key=item.key,
                    annotator=one.by,
                    work=work,
                    lead_time_s=version.lead_time_s or 0.0,
                    updated_at=version.updated_at,
                    annotation_id=one.annotation,
                    untouched=reading.untouched(work, item),
                )
            )
    return done
