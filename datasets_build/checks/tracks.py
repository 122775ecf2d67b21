"""Shots and keyframes of augmented videos: those of their parents where they are shown, and cuts between pieces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from datasets_build.checks.laws import Breach
from datasets_build.checks.moved import Moved
from datasets_build.checks.parents import content_of
from datasets_build.checks.remade import Remade, is_inside
from datasets_build.core.augmentation import AUGMENTED
from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.records import Event, derive_id
from datasets_build.core.topics import PICTURE_SET

Found = Iterator[tuple[str, list[Breach]]]
"""Ids of records, each with what is wrong with it."""
_BACKWARDS = {"fade_to_black": "fade_from_black", "fade_from_black": "fade_to_black"}
SHOTS = ("shots_are_mapped", "shots of an augmented video begin where those of its parents do, or with a piece")
KEYFRAMES = (
    "keyframes_are_mapped",
    "keyframes of an augmented video are those of its parents, at every frame that shows one",
)


def shot_breaches(
    made: Remade, shots: Sequence[Shot], cuts: Mapping[str, Sequence[Shot]], events: Sequence[Event]
) -> Found:
    """Shots that begin elsewhere or otherwise than their parents', and those of parents that are not there.

    Whether a piece begins with a shot of its own is not asked: where both sides look alike nobody sees a cut. Of a fade
    of which no frame is shown a cut is seen.

    Args:
        made: the augmented video.
        shots: of it.
        cuts: the shots of each parent, by its id.
        events: of the augmented video.
    """
    if not all(cuts.get(source) for source in made.sources):
        for shot in shots:
            yield (
                shot.id,
                [Breach(f"a shot at start_ns {shot.start_ns}", "none, since those of a parent are not known")],
            )
        return
    begins = _begins(made, cuts)
    seams = {0, *(piece.begin_ns for piece in made.pieces)}
    there = {shot.start_ns for shot in shots}
    fades = [event for event in events if event.label_set == PICTURE_SET and event.label == "fade"]
    for shot in shots:
        olds, is_seam = begins.get(shot.start_ns, ()), shot.start_ns in seams
        ways = {_as_seen(old, piece, shot.start_ns, fades) for old, piece in olds if shot.start_ns}
        if is_seam:
            ways.add(_Way("cut" if shot.start_ns else "first", shot.start_ns, shot.start_ns))
        yield shot.id, list(_shot(made, shot, [old for old, _ in olds], ways, is_seam=is_seam))
    for at, found in begins.items():
        if at < made.clock.end_ns and at not in seams:
            lost = Breach(f"no shot of video {made.video.id} at start_ns {at}", "one, where that of its parent begins")
            yield found[0][0].id, [] if at in there else [lost]


def _begins(made: Remade, cuts: Mapping[str, Sequence[Shot]]) -> Mapping[int, list[tuple[Shot, Moved]]]:
    """The shots of parents by the time at which a piece shows that they begin."""
    found: defaultdict[int, list[tuple[Shot, Moved]]] = defaultdict(list)
    for source in made.sources:
        for old in cuts[source]:
            for place, _, piece in made.of_source(source):
                at = piece.at(old.start_ns)
                # With the first frame of a piece nothing of the shot before is shown; the first shot begins with it.
                is_first = place == 0 and is_inside(piece, old.start_ns)
                if at < piece.end_ns and (is_first or at > piece.begin_ns):
                    found[at].append((old, piece))
    return found


class _Way(NamedTuple):
    """How a shot begins: its transition, and the transition's span."""

    transition: str
    start_ns: int
    end_ns: int


def _as_seen(old: Shot, piece: Moved, at_ns: int, fades: Sequence[Event]) -> _Way:
    """How a shot of a parent begins where a piece shows it."""
    cut = _Way("cut", at_ns, at_ns)
    if old.transition in ("first", "cut"):
        return cut
    kind = _BACKWARDS.get(old.transition, old.transition) if piece.is_reversed else old.transition
    if old.transition_start_ns == old.transition_end_ns:
        seen = any(event.start_ns <= at_ns <= event.end_ns for event in fades)
        return _Way(kind, at_ns, at_ns) if seen else cut
    first, last = sorted((piece.at(old.transition_start_ns), piece.at(old.transition_end_ns)))
    return _Way(kind, first, last) if first < last else cut


def _shot(made: Remade, shot: Shot, olds: Sequence[Shot], ways: set[_Way], *, is_seam: bool) -> Iterator[Breach]:
    if not olds and not is_seam:
        yield Breach(f"a shot at start_ns {shot.start_ns}", "one where a shot of a parent or a piece begins")
        return
    if shot.id != (wanted := derive_id("shot", made.video.id, shot.start_ns)):
        yield Breach(f"id {shot.id}", wanted)
    if (way := _Way(shot.transition, shot.transition_start_ns, shot.transition_end_ns)) not in ways:
        yield Breach(_told(way), " or ".join(_told(each) for each in sorted(ways)))
    by_parent = any((shot.score, shot.detector) == (old.score, old.detector) for old in olds)
    by_seam = is_seam and (shot.score, shot.detector.name) == (1.0, AUGMENTED)
    if not by_parent and not by_seam:
        told = ", ".join(f"{old.score} of {old.detector.name}" for old in olds[:2])
        yield Breach(f"score, detector: {shot.score} of {shot.detector.name}", told or f"1.0 of {AUGMENTED}")


def _told(way: _Way) -> str:
    return f"transition {way.transition}, transition_start_ns {way.start_ns}, transition_end_ns {way.end_ns}"


def keyframe_breaches(
    made: Remade, rows: Sequence[Keyframe], chosen: Mapping[tuple[str, int], tuple[str, bytes]], *, has_shots: bool
) -> Found:
    """Keyframes that are none of the parents', and those of parents that are shown and not there.

    Args:
        made: the augmented video.
        rows: its keyframes.
        chosen: the id and the content of the keyframe at a frame of a parent.
        has_shots: whether the video has shots, which keyframes belong to.
    """
    due: dict[int, tuple[str, bytes]] = {}
    # A keyframe's picture is of the frame as it was.
    if has_shots and not made.looks:
        shown = [(strip.row.parent_id, frame) for strip in made.strips for frame in strip.frames]
        due = {index: chosen[origin] for index, origin in enumerate(shown) if origin in chosen}
    for row in rows:
        old, content = due.pop(row.frame_index, ("", b""))
        found = []
        if not old:
            found.append(
                Breach(f"a keyframe at frame_index {row.frame_index}", "one where a parent's is shown, unchanged")
            )
        elif row.id != (wanted := derive_id("keyframe", made.video.id, old, row.t_ns)):
            found.append(Breach(f"id {row.id}", f"{wanted}, as of {old}"))
        elif content_of(row) != content:
            found.append(Breach("reason, novelty, embedder, embedding or jpeg", f"those of {old}"))
        yield row.id, found
    for index, (old, _) in due.items():
        yield (
            old,
            [Breach(f"no keyframe of video {made.video.id} at frame_index {index}", f"that of {old}, shown there")],
        )
