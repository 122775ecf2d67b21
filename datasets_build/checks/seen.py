"""Which events of a parent a piece of an augmented video shows for certain, so that they have to be told of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from datasets_build.checks.moved import Moved
from datasets_build.checks.remade import is_inside
from datasets_build.checks.retold import may_speak_of_time
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Event
from datasets_build.core.topics import ACTS, NEW_SHOT, PICTURE_SET, domain_of

# Of what is over at once nothing is seen in a frame that comes later than this.
_LATE_NS = NS_PER_S // 5
_STAYS = frozenset({"enter", "leave", "change_colour"})


def is_new_shot(event: Event) -> bool:
    """Whether a shot begins with it, other than the first."""
    return event.label_set == PICTURE_SET and event.label in NEW_SHOT and event.label != "video_start"


def begins_video(event: Event) -> bool:
    """Whether it is the first frame of its video, which is an event of every video."""
    return event.label_set == PICTURE_SET and event.label == "video_start"


def is_seam(event: Event, piece: Moved) -> bool:
    """Whether it is a new shot that begins with the piece, which then tells of both at once."""
    low, high = piece.stretch
    inside = is_inside(piece, event.start_ns) if event.is_point else event.start_ns < high and event.end_ns > low
    behind = event.start_ns if piece.is_reversed else event.end_ns
    return is_new_shot(event) and inside and piece.at(behind) == piece.begin_ns


def surely_shown(event: Event, expected: Event, told: Sequence[Event], piece: Moved) -> bool:
    """Whether a piece shows an event as what it is; False also where that depends on more than is looked at here.

    Args:
        event: of the parent.
        expected: where it lies, as the map takes it.
        told: all events of the parent.
        piece: of the augmented video.
    """
    if begins_video(event) or may_speak_of_time(event.caption):
        return False
    if is_new_shot(event) and (is_seam(event, piece) or _has_rival(event, expected, told, piece)):
        return False
    if not event.is_point:
        return True
    if not is_inside(piece, event.start_ns):
        return False
    if piece.is_reversed or is_new_shot(event) or domain_of(event) == "spoken":
        return True
    if event.label not in ACTS or event.label_set == PICTURE_SET:
        frame = bisect_left(piece.on_ns, event.start_ns)
        return frame < len(piece.on_ns) and piece.on_ns[frame] - event.start_ns <= _LATE_NS
    return _act_is_shown(event, told, piece)


def _has_rival(event: Event, expected: Event, told: Sequence[Event], piece: Moved) -> bool:
    """Whether another new shot is there at the same time, with which it looks like one."""
    for other in told:
        if other.id != event.id and is_new_shot(other):
            first, last = sorted((piece.at(other.start_ns), piece.at(other.end_ns)))
            if first <= expected.end_ns and expected.start_ns <= last:
                return True
    return False


def _act_is_shown(event: Event, told: Sequence[Event], piece: Moved) -> bool:
    """What begins is seen against the frame before; a rest in the second frame that shows it."""
    on_ns, at_ns = piece.on_ns, event.start_ns
    frame = bisect_left(on_ns, at_ns)
    if frame == 0 and at_ns:
        return False
    if event.label == "stop":
        return _rest_is_shown(event, told, piece)
    if frame >= len(on_ns):
        return False
    before, on = on_ns[max(0, frame - 1)], on_ns[frame]
    if any(is_new_shot(other) and other.start_ns <= on and other.end_ns > before for other in told):
        return False
    if event.label == "change_colour":
        ends = (other.end_ns if other.label == "leave" else other.start_ns for other in told if _rivals(other, event))
        return not any(before < end <= on for end in ends)
    return on - at_ns <= _LATE_NS


def _rivals(other: Event, event: Event) -> bool:
    return other.id != event.id and other.label in _STAYS


def _rest_is_shown(event: Event, told: Sequence[Event], piece: Moved) -> bool:
    on_ns, at_ns = piece.on_ns, event.start_ns
    before = piece.parent.time_of(max(0, piece.parent.index_at(min(at_ns, piece.parent.end_ns - 1)) - 1))
    frame = bisect_left(on_ns, before) + 1
    if frame >= len(on_ns) or at_ns >= piece.parent.end_ns:
        return False
    on = on_ns[frame]
    for other in told:
        if is_new_shot(other) and other.start_ns <= on and other.end_ns > at_ns:
            return False
        unseen = bisect_left(on_ns, other.start_ns) >= bisect_left(on_ns, other.end_ns)
        if other.label == "move" and other.end_ns == at_ns and unseen:
            return False
        if other.subject == event.subject and at_ns < other.start_ns <= on:
            return False
    return True
