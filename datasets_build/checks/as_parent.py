"""What of a record stays as its parent has it: every field that an augmentation does not change, or changes as told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from datasets_build.checks.augmented import Strip
from datasets_build.checks.integrity import difference
from datasets_build.checks.laws import Breach
from datasets_build.checks.moved import Moved
from datasets_build.checks.parents import Conversation, Question
from datasets_build.checks.remade import Remade
from datasets_build.checks.retold import box_breaches, box_under, words_breaches
from datasets_build.checks.whole import arrives_late, is_own_twin
from datasets_build.core.augmentation import AUGMENTED, Look
from datasets_build.core.clock import NS_PER_S, Span
from datasets_build.core.records import (
    Annotation,
    Dialogue,
    Event,
    Part,
    Provenance,
    StreamingQA,
    Video,
    derive_id,
)
from datasets_build.core.topics import ENTERING_SETS

Found = Iterator[tuple[str, list[Breach]]]
"""The ids of an augmented video's records, each with where it differs from what its parent gives."""
AS_PARENT = ("as_its_parent", "what an augmentation does not change of a record is as its parent has it")
_SIZED = frozenset({"resolution", "letterbox", "squeeze", "window"})


def _differing(found: Part, wanted: Mapping[str, object]) -> Iterator[Breach]:
    said = {name: vars(found)[name] for name in wanted}
    yield from (
        Breach(f"{name} {said[name]}"[:160], f"{wanted[name]}"[:160]) for name in wanted if said[name] != wanted[name]
    )


def _from(old: Provenance, new: Provenance) -> Provenance:
    """The provenance of a parent with the inputs and the seed of what was made of it."""
    return old.model_copy(update={"inputs": new.inputs, "seed": new.seed})


def event_breaches(made: Remade, events: Sequence[Event], told: Mapping[str, Sequence[Event]]) -> Found:
    """Events that say more, less or other than their parent does where it is shown.

    Args:
        made: the augmented video.
        events: of it.
        told: the events of each parent, by its id.
    """
    parents = {event.id: event for source in made.sources for event in told[source]}
    for event in events:
        old = parents.get(event.provenance.inputs[0] if event.provenance.inputs else "")
        if event.provenance.agent == AUGMENTED or old is None:
            continue
        found = [
            list(_event(made, event, old, place))
            for place, there in made.expected.get(old.id, ())
            if (there.label, there.start_ns, there.end_ns) == (event.label, event.start_ns, event.end_ns)
        ]
        # What lies where no piece takes it is found elsewhere.
        yield event.id, min(found, key=len, default=[])


def _event(made: Remade, event: Event, old: Event, place: int) -> Iterator[Breach]:
    piece, strip = made.pieces[place], made.strips[place]
    yield from _differing(
        event,
        {
            "id": derive_id("event", made.video.id, old.id, place, event.start_ns),
            "confidence": old.confidence,
            "source": old.source,
            "parent_event_id": old.parent_event_id,
            "provenance": old.provenance.model_copy(update={"inputs": (old.id,)}),
            "known_from_ns": event.start_ns if event.is_point else _known(made, place, event, old),
            "onset_uncertainty_ns": _reach(event, old, piece, onset=True),
        },
    )
    sets = {old.label_set, "world"} if old.label_set in ENTERING_SETS else {old.label_set}
    if event.label_set not in sets:
        yield Breach(f"label_set {event.label_set}", " or ".join(sorted(sets)))
    ends = {_reach(event, old, piece, onset=False), piece.clock.end_ns - event.end_ns}
    if event.offset_uncertainty_ns not in ends:
        yield Breach(f"offset_uncertainty_ns {event.offset_uncertainty_ns}", " or ".join(map(str, sorted(ends))))
    if event.label == old.label:
        yield from words_breaches("caption", event.caption, old.caption, scale_of(strip, old.span))


def _known(made: Remade, place: int, event: Event, old: Event) -> int:
    """When so much of an event is shown as was needed to tell it; its end where that is not."""
    piece, needed = made.pieces[place], old.known_from_ns - old.start_ns
    low, high = piece.stretch
    if piece.is_reversed:
        seen = min(Fraction(old.end_ns), high) - needed
        if seen < max(low, Fraction(old.start_ns)):
            return event.end_ns
    else:
        first = int(np.searchsorted(piece.clock.t_ns, piece.begin_ns, side="left"))
        begin = piece.on_ns[max(0, min(piece.clock.index_at(event.start_ns) - first, len(piece.on_ns) - 1))]
        seen = max(Fraction(max(old.start_ns, begin)), low) + needed
        if seen > min(high, Fraction(old.end_ns)):
            return event.end_ns
    return min(event.end_ns, max(piece.at(-int(-seen // 1)), piece.clock.snap_up(event.start_ns + needed)))


def _reach(event: Event, old: Event, piece: Moved, *, onset: bool) -> int:
    """How uncertain an end is in the video: as far as the uncertain stretch around it reaches there."""
    low, high = piece.stretch
    is_start = onset != piece.is_reversed
    unsure, t_ns = (old.onset_uncertainty_ns, old.start_ns) if is_start else (old.offset_uncertainty_ns, old.end_ns)
    cut = not old.is_point and (t_ns < low if is_start else t_ns > high)
    # What is told as an instant has come at once.
    if not unsure or cut or (event.is_point and not old.is_point):
        return 0
    ends = (piece.to_video(min(max(Fraction(t), low), high)) for t in (t_ns - unsure, t_ns + unsure))
    return max(abs(t - (event.start_ns if onset else event.end_ns)) for t in ends)


def scale_of(strip: Strip, span: Span) -> Fraction | None:
    """How much longer a span of a parent lasts in a piece; None where not all of it is there, forwards."""
    begin, end = span.start_ns, min(span.end_ns, strip.clock.end_ns)
    if strip.row.is_reversed or begin < strip.low or end > strip.high or end <= begin:
        return None
    return (strip.time_map.exact(end) - strip.time_map.exact(begin)) / (end - begin)


def annotation_breaches(made: Remade, rows: Sequence[Annotation], said: Mapping[str, Sequence[Annotation]]) -> Found:
    """Annotations that are not those of their parent, where the maps take them and the looks leave them.

    Args:
        made: the augmented video.
        rows: what is said of it.
        said: what is said of each parent, by its id.
    """
    parents = {row.id: row for source in made.sources for row in said.get(source, ())}
    for row in rows:
        old = parents.get(row.provenance.inputs[0] if row.provenance.inputs else "")
        if old is None:
            lost = Breach(f"provenance.inputs {row.provenance.inputs}", "an annotation of a parent that is shown")
            yield row.id, [lost]
        else:
            yield row.id, list(_annotation(made, row, old))


def _annotation(made: Remade, row: Annotation, old: Annotation) -> Iterator[Breach]:
    places = made.whole_spans(old.video_id, old.span)
    strip = next((strip for strip, span in places if span == row.span), None)
    if strip is None:
        wanted = ", ".join(f"[{span.start_ns}, {span.end_ns})" for _, span in places[:4])
        yield Breach(
            f"start_ns, end_ns: [{row.start_ns}, {row.end_ns})", wanted or f"none, {old.id} is not shown whole"
        )
        return
    stays = {"kind", "label", "language", "confidence", "is_point", "subject", "adjusted", "origin"}
    yield from _differing(
        row,
        {
            **{name: vars(old)[name] for name in sorted(stays)},
            "id": derive_id("annotation", made.video.id, old.id, row.start_ns),
            "provenance": old.provenance.model_copy(update={"inputs": (old.id,)}),
        },
    )
    if old.kind == "box" and made.looks:
        yield from box_breaches(row.text, box_under(old.text, made.looks) or ())
    elif old.kind in ("word", "box"):
        yield from _differing(row, {"text": old.text})
    else:
        yield from words_breaches("text", row.text, old.text, scale_of(strip, old.span))


def question_breaches(made: Remade, rows: Sequence[StreamingQA], asked: Mapping[str, Sequence[Question]]) -> Found:
    """Questions in other words, of another kind or with another seed than their parent and their video give.

    Args:
        made: the augmented video.
        rows: what is asked of it.
        asked: what is asked of each parent, by its id.
    """
    parents = {row.id: row for source in made.sources for row in asked.get(source, ())}
    late = arrives_late(made.rows)
    for row in rows:
        old = parents.get(row.provenance.inputs[0] if row.provenance.inputs else "")
        if old is not None:
            wanted = _from(old.provenance, row.provenance).model_copy(update={"seed": made.rows[0].seed})
            found = list(_differing(row, {"mode": old.mode, "task": old.task, "provenance": wanted}))
            if not is_own_twin(row):
                found += _question(made, row, old)
                found += [] if late else _probes(made, row, old)
            yield row.id, found


def _question(made: Remade, row: StreamingQA, old: Question) -> Iterator[Breach]:
    yield from _differing(
        row, {"id": derive_id("streaming_qa", made.video.id, old.id, row.ask_ns), "question": old.question}
    )
    if not row.unanswerable:
        yield from _differing(row, {"options": old.options, "correct_option": old.correct_option})


def _probes(made: Remade, row: StreamingQA, old: Question) -> Iterator[Breach]:
    """Test points stand where those of the parent come in the same piece, as long as an answer is right there."""
    found = [(probe.t_ns, probe.kind) for probe in row.test_points]
    # What is asked in vain now is probed nowhere.
    in_vain = row.twin_id == derive_id("twin", row.id)
    wanted = []
    for asked_in in [place for place, at in made.places(old.video_id, old.ask_ns) if at == row.ask_ns]:
        there = [
            (at, kind)
            for t_ns, kind in (() if in_vain else old.probes)
            for place, at in made.places(old.video_id, t_ns)
            if place == asked_in and row.ask_ns <= at < made.clock.end_ns and (kind == "known" or _is_right(row, at))
        ]
        wanted.append(dict(there))
    if wanted and dict(found) not in wanted:
        times = ", ".join(str(at) for at in wanted[0])
        yield Breach(f"test_points at {', '.join(str(t_ns) for t_ns, _ in found) or 'none'}", times or "none")


def _is_right(row: StreamingQA, t_ns: int) -> bool:
    """Whether an answer is right at an instant."""
    given = [answer for answer in row.answers if answer.t_ns <= t_ns][-1:]
    return any(answer.valid_until_ns is None or t_ns < answer.valid_until_ns for answer in given)


def dialogue_breaches(made: Remade, rows: Sequence[Dialogue], held: Mapping[str, Sequence[Conversation]]) -> Found:
    """Conversations with other rules, or of another seed than their video.

    Args:
        made: the augmented video.
        rows: what is talked about it.
        held: the conversations about each parent, by its id.
    """
    parents = {row.id: row for source in made.sources for row in held.get(source, ())}
    for row in rows:
        old = parents.get(row.provenance.inputs[0] if row.provenance.inputs else "")
        if old is not None:
            wanted = _from(old.provenance, row.provenance).model_copy(update={"seed": made.rows[0].seed})
            named = derive_id("dialogue", made.video.id, old.id)
            yield (
                row.id,
                list(
                    _differing(row, {"id": named, "system": old.system, "language": old.language, "provenance": wanted})
                ),
            )


def video_breaches(made: Remade, parent: Video, *, rendered: bool, shas: Mapping[str, str]) -> Iterator[Breach]:
    """Where the record of an augmented video is not what its parent, its clock and its looks give.

    Args:
        made: the augmented video.
        parent: the video that it is a copy of.
        rendered: whether it has a file of its own, of which the rest was measured.
        shas: the SHA-256 of each video of the folder of the parents, by its id.
    """
    video, clock = made.video, made.clock
    kept = {"licence": parent.licence, "group": parent.group, "split": parent.split, "source": AUGMENTED}
    yield from _differing(video, {**kept, "duration_ns": clock.end_ns, "n_frames": len(clock)})
    if rendered:
        return
    hashes = [shas[strip.row.parent_id] for strip in made.strips]
    rate = Fraction(len(clock) * NS_PER_S, clock.end_ns)
    gaps = np.diff(np.append(clock.t_ns, clock.end_ns))
    wanted = _under(parent, made.looks).model_copy(
        update=kept
        | {
            "id": video.id,
            "video_id": video.id,
            "uri": f"augmented/{video.id}",
            "sha256": derive_id("frames", video.id, *hashes),
            "bytes": 0,
            "time_base_num": 1,
            "time_base_den": NS_PER_S,
            "start_pts": 0,
            "start_offset_ns": 0,
            "duration_ns": clock.end_ns,
            "n_frames": len(clock),
            "header_frames": None,
            "avg_fps_num": rate.numerator,
            "avg_fps_den": rate.denominator,
            "is_vfr": bool(gaps.max() - gaps.min() > 1),
            "max_gap_ns": int(gaps.max()),
            "max_jitter_ns": int(np.abs(gaps - int(np.median(gaps))).max()),
            "reorder_depth": 0,
            "audio": None,
            "pts_index": f"pts/{video.id}.npy",
            "problems": (),
            "decoders": (),
        }
    )
    breach = difference(video, wanted)
    yield from [breach] if breach else []


def _under(video: Video, looks: Sequence[Look]) -> Video:
    """A record with the size of its pictures under looks, which lie over upright ones."""
    if not looks:
        return video
    width, height = video.upright_size
    for look in looks:
        if look.kind in _SIZED:
            width, height = round(look.value("width")), round(look.value("height"))
    pixel = (video.sar_num, video.sar_den)
    across, down = pixel[::-1] if video.rotation_deg in (90, 270) else pixel
    size = {"width": width, "height": height, "rotation_deg": 0, "sar_num": across, "sar_den": down}
    return video.model_copy(update=size)
