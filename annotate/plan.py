"""A round before it is sent: which windows, their proxies, and the items that people get."""

from __future__ import annotations

import hashlib
import logging
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from annotate.errors import AnnotateError
from annotate.manifest import LeftOut, Manifest
from annotate.order import Candidate, OrderConfig, candidate, order
from annotate.proxy import ProxyConfig, UnshownError, make_proxy
from annotate.rounds import MANIFEST, REJECTS, Round, create, folder_of, items_sha256, load, refuse_other
from annotate.screens import screen
from annotate.sheets import is_empty
from annotate.source import Film, check_folder, digest_of, films, labels_of
from annotate.tasks import Item, Kind, Sheet, Window, Work, key_of
from annotate.unasked import NOT_SHOWN, NOT_TAKEN, unasked, unshown
from annotate.windows import LEAST_NS, MOST_NS, windows
from datasets_build.core.clock import Span
from datasets_build.core.config import Config
from datasets_build.core.files import read_rejects
from datasets_build.core.progress import track
from datasets_build.core.records import Ns, Part, Reject
from datasets_build.video import VideoError

log = logging.getLogger(__name__)


class PlanConfig(Config):
    """How a round is made.

    `sample` windows are taken, None for all: the first by `order`, or without one drawn with `seed`. `overlap` people
    do each. Windows are `least_ns` to `most_ns` long where a video is as long as that.
    """

    sample: int | None = Field(default=None, ge=1)
    overlap: int = Field(default=1, ge=1, le=20)
    seed: int = 0
    least_ns: int = Field(default=LEAST_NS, gt=0)
    most_ns: int = Field(default=MOST_NS, gt=0)
    proxy: ProxyConfig = ProxyConfig()
    order: OrderConfig | None = None


class Gold(Part):
    """What is true of a window: whoever gets it is measured against it, and is not told.

    It counts where its window is among those that a round takes.
    """

    video_id: str
    start_ns: Ns
    end_ns: Ns
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Laid:
    """All windows that may be shown, and a row for each record that is in none of them."""

    places: list[_Place]
    rejects: list[Reject]

    def left_out(self, chosen: Sequence[_Place], shown: Sequence[_Place]) -> tuple[LeftOut, ...]:
        """How many records are on no screen of the chosen windows, or of those that can be shown, by the reason."""
        counts = Counter(reject.code for reject in self.rejects)
        counts[NOT_TAKEN] = len(_asked(self.places)) - len(_asked(chosen))
        counts[NOT_SHOWN] = len(_asked(chosen)) - len(_asked(shown))
        return tuple(LeftOut(code=code, records=count) for code, count in sorted(counts.items()) if count)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Place:
    """A window that may be shown: of which film, from where to where, and what is asked."""

    film: Film
    span: Span
    sheet: Sheet

    @property
    def name(self) -> tuple[str, int, int]:
        """Its video and both its ends."""
        return self.film.video.id, self.span.start_ns, self.span.end_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of windows before: what is true of some, and how far people were apart about others, 0..1.

    Both by video and the window's ends. `after` is the closed round in which they were apart.
    """

    gold: Sequence[Gold] = ()
    disputed: Mapping[tuple[str, int, int], float] = field(default_factory=dict)
    after: str | None = None

    def gold_of(self, kind: Kind) -> list[Gold]:
        """What is true in a round of a kind; the rest is for others."""
        return [one for one in self.gold if one.work.kind == kind]


NOTHING_KNOWN = Known()


def plan(root: Path, name: str, data: Path, kind: Kind, config: PlanConfig, *, known: Known = NOTHING_KNOWN) -> Round:
    """Make a round, or find the same one again; a run that was killed goes on with the proxies that it finds.

    Args:
        root: the folder of all rounds.
        name: of this round.
        data: a finished output of `python -m datasets_build`.
        kind: what people are asked about.
        config: how many windows, for how many people.
        known: what is known of its windows.

    Raises:
        AnnotateError: the folder is not finished, or has nothing of this kind that can be shown; gold is of no window
            of it, or nothing that can be said there; a round of this name was made of something else. No proxy is made
            then, unless only the items differ.
    """
    asked = _manifest(folder_of(root, name), data, kind, config, known)
    laid = _lay(data, kind, config)
    chosen = _chosen(laid.places, config, known)
    if not chosen:
        raise AnnotateError(f"{data}: has nothing of kind {kind} that people could be asked about")
    _refuse_other(root, asked, len(chosen))
    truth = _truth(laid.places, known.gold_of(kind), asked.labels)
    clips = _clips(chosen, folder_of(root, name) / "proxies", config.proxy)
    if not clips.windows:
        raise AnnotateError(f"{data}: of no window a clip can be made; the first: {clips.rejects[0].reason}")
    left_out = laid.left_out(chosen, list(clips.windows))
    _tell(folder_of(root, name), kind, left_out)
    items = [
        _item(place, window, truth.get(place.name), asked.config_sha256) for place, window in clips.windows.items()
    ]
    found = {
        "items": len(items),
        "items_sha256": items_sha256(items),
        "gold": sum(item.is_gold for item in items),
        "left_out": left_out,
    }
    return create(root, asked.model_copy(update=found), items, [*laid.rejects, *clips.rejects])


class _Clips(NamedTuple):
    """The windows that can be shown, in their order, and a row for each other one."""

    windows: dict[_Place, Window]
    rejects: list[Reject]


def _clips(chosen: Sequence[_Place], folder: Path, config: ProxyConfig) -> _Clips:
    """Makes the clips; a video of which none can be made keeps no other from being shown."""
    clips = _Clips({}, [])
    for place in track(chosen, total=len(chosen), label="proxies"):
        film = place.film
        try:
            clips.windows[place] = make_proxy(
                film.path, film.video, film.clock, span=place.span, folder=folder, config=config
            )
        except (UnshownError, VideoError) as error:
            clips.rejects.append(unshown(film, place.span, error))
            log.warning("left out: %s: %s", clips.rejects[-1].item, error)
    return clips


def _tell(folder: Path, kind: Kind, left_out: Sequence[LeftOut]) -> None:
    if left_out:
        counts = ", ".join(f"{one.records} {one.code}" for one in left_out)
        log.info("round %s: of kind %s go on no screen: %s; see %s", folder.name, kind, counts, folder / REJECTS)


def _manifest(folder: Path, data: Path, kind: Kind, config: PlanConfig, known: Known) -> Manifest:
    """What a round says of itself before its items are known."""
    check_folder(data, kind)
    labels = labels_of(data) if kind == "events" else ()
    return Manifest(
        round=folder.name,
        kind=kind,
        data=os.path.relpath(data.resolve(), folder.resolve()),
        seed=config.seed,
        overlap=config.overlap,
        sample=config.sample,
        least_ns=config.least_ns,
        most_ns=config.most_ns,
        proxy=config.proxy,
        order=config.order,
        after=known.after,
        gold_sha256=_gold_sha256(known.gold_of(kind)),
        labels=labels,
        config_sha256=hashlib.sha256(screen.config(kind, labels).encode()).hexdigest(),
        model_version=digest_of(data, kind),
        items=0,
        items_sha256="",
        gold=0,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _gold_sha256(gold: Sequence[Gold]) -> str | None:
    """Of what is said to be true, in whatever order; None for nothing."""
    lines = sorted(one.model_dump_json() for one in gold)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else None


def _refuse_other(root: Path, asked: Manifest, items: int) -> None:
    """Refuses what cannot be the round of this name before hours go into proxies; `create` has the last word."""
    folder = folder_of(root, asked.round)
    if (folder / MANIFEST).exists():
        old = load(root, asked.round).manifest
        unseen = sum(reject.code == NOT_SHOWN for reject in read_rejects(folder / REJECTS))
        same = {"items": items - unseen, "items_sha256": old.items_sha256, "gold": old.gold}
        refuse_other(old, asked.model_copy(update=same), folder)


def _truth(places: Sequence[_Place], gold: Sequence[Gold], labels: Sequence[str]) -> dict[tuple[str, int, int], Work]:
    """What is true, by window.

    Raises:
        AnnotateError: it is of no window of the folder, stands twice, or is what nobody can say on the screen.
    """
    by_name, truth = {place.name: place for place in places}, dict[tuple[str, int, int], Work]()
    for one in gold:
        window = one.video_id, one.start_ns, one.end_ns
        where = f"gold of {one.video_id}, {one.start_ns} to {one.end_ns} ns"
        if window not in by_name:
            raise AnnotateError(f"{where}: is no window of the folder with these settings, expected one as it is cut")
        if window in truth:
            raise AnnotateError(f"{where}: stands twice, expected once")
        _check_sayable(one.work, by_name[window], labels, where)
        truth[window] = one.work
    return truth


def _check_sayable(work: Work, place: _Place, labels: Sequence[str], where: str) -> None:
    """Who is measured against what cannot be said on the screen would be wrong whatever they do."""
    for mark in work.marks:
        if mark.label not in labels:
            raise AnnotateError(f"{where}: event {mark.id}: found label {mark.label!r}, expected one of the round")
        if not (
            mark.start_ns <= mark.end_ns and mark.start_ns < place.span.end_ns and mark.end_ns >= place.span.start_ns
        ):
            raise AnnotateError(
                f"{where}: event {mark.id}: found {mark.start_ns} to {mark.end_ns} ns, expected a part of the window"
            )
    judged = sorted([*(one.id for one in work.questions), *(one.id for one in work.turns)])
    if work.kind != "events" and work.usable and judged != sorted(place.sheet.ids):
        raise AnnotateError(
            f"{where}: found verdicts of {', '.join(judged) or 'nothing'}, expected one of each of the window: "
            f"{', '.join(sorted(place.sheet.ids))}"
        )


def _lay(data: Path, kind: Kind, config: PlanConfig) -> _Laid:
    laid = _Laid(places=[], rejects=[])
    for film in films(data, kind):
        places = list(_places(film, kind, config))
        laid.places.extend(places)
        laid.rejects.extend(unasked(film, kind, {name for _, name in _asked(places)}))
    return laid


def _places(film: Film, kind: Kind, config: PlanConfig) -> Iterator[_Place]:
    for span in windows(film.clock, film.busy, least_ns=config.least_ns, most_ns=config.most_ns):
        sheet = film.sheet(kind, span)
        if not is_empty(sheet):
            yield _Place(film=film, span=span, sheet=sheet)


def _asked(places: Sequence[_Place]) -> set[tuple[str, str]]:
    """The videos and ids of all records that the sheets of windows ask about."""
    return {(place.film.video.id, name) for place in places for name in place.sheet.ids}


def _chosen(places: Sequence[_Place], config: PlanConfig, known: Known) -> list[_Place]:
    """As many as were asked for: by the order, or drawn by the seed and then in the order of the index."""
    if config.order is not None:
        by_key = {str(place.name): place for place in places}
        ranked = order([_candidate(place, known) for place in places], config.order)
        return [by_key[rank.key] for rank in ranked[: config.sample]]
    if config.sample is None or config.sample >= len(places):
        return list(places)
    kept = random.Random(config.seed).sample(range(len(places)), config.sample)
    return [places[place] for place in sorted(kept)]


def _candidate(place: _Place, known: Known) -> Candidate:
    dispute = _dispute(known.disputed, place.film.video.id, place.span)
    return candidate(str(place.name), place.film, place.span, dispute=dispute)


def _dispute(disputed: Mapping[tuple[str, int, int], float], video_id: str, span: Span) -> float | None:
    """How far people were apart about the window that shares most time with a stretch; None where none does.

    Corrected records are cut elsewhere than those that people saw.
    """
    shared = [
        (min(end, span.end_ns) - max(start, span.start_ns), score)
        for (video, start, end), score in disputed.items()
        if video == video_id
    ]
    time, score = max(shared, default=(0, 0.0))
    return score if time > 0 else None


def _item(place: _Place, window: Window, truth: Work | None, screen_sha256: str) -> Item:
    return Item(
        key=key_of(window, place.sheet, screen_sha256),
        window=window,
        sheet=place.sheet,
        split=place.film.video.split,
        is_gold=truth is not None,
        truth=truth,
    )


def read_gold(path: Path) -> list[Gold]:
    """What is true of some windows, from a file of JSON lines. Raises AnnotateError with the line and field."""
    found = []
    try:
        # Not `splitlines`, which also breaks at characters that a note may hold.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotateError(f"{path}: cannot be read as JSON lines ({error})") from error
    for number, line in enumerate(lines if lines != [""] else [], start=1):
        try:
            found.append(Gold.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "line"
            raise AnnotateError(
                f"{path}:{number}: {where}: {first['msg']}, found {str(first['input'])[:80]!r}"
            ) from error
    return found
