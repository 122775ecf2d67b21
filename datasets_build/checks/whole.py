"""Nothing vanishes: a record of a parent is in what was made of it, as often as it is shown, or told as left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from datasets_build.checks.laws import Breach
from datasets_build.checks.parents import Conversation, Question
from datasets_build.checks.remade import Remade
from datasets_build.checks.retold import box_under, may_speak_of_time, wanders
from datasets_build.checks.seen import begins_video, is_seam, surely_shown
from datasets_build.checks.told import Left
from datasets_build.core.augmentation import AUGMENTED, Augmentation
from datasets_build.core.records import Annotation, Dialogue, Event, StreamingQA, Turn, derive_id
from datasets_build.core.topics import CAMERA, MOTION, PICTURE_SET

Found = Iterator[tuple[str, list[Breach]]]
"""The ids of a parent's records, each with what is missing of it."""
VANISHED = (
    "nothing_vanishes",
    "a record of a parent is in the augmented video as often as it is shown, or told as left out",
)
SHOWN = ("event_is_told", "an event that a piece of an augmented video shows is one of its events")


def event_breaches(made: Remade, events: Sequence[Event], told: Mapping[str, Sequence[Event]]) -> Found:
    """Events of the parents that are neither there, nor told, nor seams.

    Args:
        made: the augmented video.
        events: of it.
        told: the events of each parent, by its id.
    """
    there = {name for event in events for name in event.provenance.inputs}
    left = made.told("Event")
    cuts = {event.start_ns for event in events if event.provenance.agent == AUGMENTED}
    for source in made.sources:
        pieces = [piece for _, _, piece in made.of_source(source) if piece.begin_ns in cuts]
        for event in told[source]:
            seam = any(is_seam(event, piece) for piece in pieces)
            excused = event.id in there or event.id in left or begins_video(event) or seam
            yield event.id, [] if excused else [_lost(made, f"event {event.label} [{event.start_ns}, {event.end_ns})")]


def shown_breaches(made: Remade, events: Sequence[Event], told: Mapping[str, Sequence[Event]]) -> Found:
    """Events of the parents that a piece shows for certain, and that are no events of the video.

    Args:
        made: the augmented video.
        events: of it.
        told: the events of each parent, by its id.
    """
    there = {(name, e.label, e.start_ns, e.end_ns) for e in events for name in e.provenance.inputs}
    left = made.told("Event")
    for source in made.sources:
        for event in told[source]:
            if any(each.code == "untellable" for each in left.get(event.id, ())) and _untellable(event, made):
                continue
            lost = [
                (piece, e)
                for piece, e in made.expected.get(event.id, ())
                if (e.id, e.label, e.start_ns, e.end_ns) not in there
                and surely_shown(event, e, told[source], made.pieces[piece])
            ]
            yield event.id, [_unseen(made, each) for _, each in lost[:1]]


def _untellable(event: Event, made: Remade) -> bool:
    """Whether a viewer cannot tell an event under the looks."""
    labels = CAMERA | MOTION if wanders(made.looks) else frozenset()
    if any(look.kind == "window" for look in made.looks):
        labels |= {"motion_burst", "light_up", "light_down"}
    # Backwards it has another name, of the same kind.
    return event.label_set == PICTURE_SET and event.label in labels


def _lost(made: Remade, what: str) -> Breach:
    return Breach(f"no record of video {made.video.id} made of it", f"{what}, or a row of the rejects")


def _unseen(made: Remade, event: Event) -> Breach:
    found = f"no such event of video {made.video.id}"
    return Breach(found, f"{event.label} at start_ns {event.start_ns}, end_ns {event.end_ns}, where the maps show it")


def is_own_twin(row: StreamingQA) -> bool:
    """Whether a question was made for another one that is asked in vain."""
    return row.twin_id is not None and row.id == derive_id("twin", row.twin_id)


def arrives_late(rows: Sequence[Augmentation]) -> bool:
    """Whether frames come over a network, so that the maps do not say what people see when they ask."""
    return '"network": {' in rows[0].operation


def question_breaches(made: Remade, rows: Sequence[StreamingQA], asked: Mapping[str, Sequence[Question]]) -> Found:
    """Questions of the parents that are not asked again where they are shown, nor told.

    Args:
        made: the augmented video.
        rows: what is asked of it.
        asked: what is asked of each parent, by its id.
    """
    times: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        if not is_own_twin(row) and row.provenance.inputs:
            times[row.provenance.inputs[0]].append(row.ask_ns)
    left, late = made.told("StreamingQA"), arrives_late(made.rows)
    for source in made.sources:
        for old in asked.get(source, ()):
            places, told = made.instants(source, old.ask_ns), left.get(old.id, ())
            yield old.id, list(_asked_again(made, times.get(old.id, []), places, told, late=late))


def _asked_again(
    made: Remade, times: Sequence[int], places: Sequence[int], told: Sequence[Left], *, late: bool
) -> Iterator[Breach]:
    due, there = max(1, len(places)), len(times) + len(told)
    if (there < due and not late) or not there:
        yield _lost(made, f"a question at {', '.join(map(str, places)) or 'no instant'}")
    elif there > due:
        yield Breach(f"asked {len(times)} times in video {made.video.id}, told {len(told)} times", f"{due} in all")
    elif not late and (wrong := sorted((Counter(times) - Counter(places)).elements())):
        yield Breach(f"ask_ns {wrong[0]} in video {made.video.id}", f"{', '.join(map(str, places))}, as the maps say")


def dialogue_breaches(made: Remade, rows: Sequence[Dialogue], held: Mapping[str, Sequence[Conversation]]) -> Found:
    """Conversations of the parents that are not held again, nor told, and what users say in them.

    Args:
        made: the augmented video.
        rows: what is talked about it.
        held: the conversations about each parent, by its id.
    """
    there = {row.provenance.inputs[0]: row for row in rows if row.provenance.inputs}
    left = made.told("Dialogue")
    for source in made.sources:
        for old in held.get(source, ()):
            told, row = left.get(old.id, ()), there.get(old.id)
            if row is None:
                gone = any(each.code in ("empty", "second") for each in told)
                yield old.id, [] if gone else [_lost(made, "a conversation")]
            else:
                yield old.id, list(_said_again(made, source, old, row, told))


def _said_again(made: Remade, source: str, old: Conversation, row: Dialogue, told: Sequence[Left]) -> Iterator[Breach]:
    turns = {turn.id: turn for turn in row.turns}
    excused = [each.reason for each in told if each.code == "turn"]
    for turn in old.turns:
        again = turns.get(derive_id("turn", made.video.id, old.id, turn.id, 0))
        if again is None and not any(reason.startswith(f"turn {turn.id}:") for reason in excused):
            yield Breach(f"no turn of {row.id} made of {turn.id}", "it, or a row of the rejects")
        elif again is not None:
            heard = made.instants(source, turn.end_ns)[:1]
            yield from _turn_again(again, turn, None if arrives_late(made.rows) else heard)


def _turn_again(again: Turn, turn: Turn, heard: Sequence[int] | None) -> Iterator[Breach]:
    """What a user says again is the same, and out where the maps say; over a network nobody knows from them."""
    if (again.text, again.task) != (turn.text, turn.task):
        yield Breach(f"text {again.text!r} in turn {again.id}", f"{turn.text!r}, as of {turn.id}")
    if heard is not None and again.end_ns not in heard:
        yield Breach(f"end_ns {again.end_ns} in turn {again.id}", f"{[*heard]}, where the maps take that of {turn.id}")


def annotation_breaches(made: Remade, rows: Sequence[Annotation], said: Mapping[str, Sequence[Annotation]]) -> Found:
    """Annotations of the parents that are not where they are shown, nor told.

    Args:
        made: the augmented video.
        rows: what is said of it.
        said: what is said of each parent, by its id.
    """
    there = Counter(name for row in rows for name in row.provenance.inputs[:1])
    left = made.told("Annotation")
    for source in made.sources:
        for old in said.get(source, ()):
            codes = [each.code for each in left.get(old.id, ())]
            yield old.id, list(_said_where_shown(made, old, there[old.id], codes))


def _said_where_shown(made: Remade, old: Annotation, count: int, codes: Sequence[str]) -> Iterator[Breach]:
    places = len(made.whole_spans(old.video_id, old.span))
    moves = old.kind == "box" and bool(made.looks)
    lost = moves and (wanders(made.looks) or box_under(old.text, made.looks) is None)
    due = 0 if lost else places
    words = codes.count("words") if may_speak_of_time(old.text) else 0
    if count + words < due:
        yield _lost(made, f"{due} annotations, one for each piece that shows all of [{old.start_ns}, {old.end_ns})")
    elif not count and not codes:
        yield _lost(made, "an annotation")
    elif count + words > due:
        yield Breach(f"{count} annotations of video {made.video.id} made of it", f"{due - words}")
