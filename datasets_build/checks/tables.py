"""Laws of the tables below the datasets: shots, keyframes, signals and annotations hold times that the video has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from datasets_build.checks.laws import Breach, Known, Law, Ledger
from datasets_build.checks.timing import INSIDE, ORDERED, TIME_LAWS
from datasets_build.checks.walk import Atlas, Group, Names, walk
from datasets_build.core.clock import FrameClock
from datasets_build.core.layout import TABLES, table_path
from datasets_build.core.perceived import Keyframe, Scene, Shot, Signals
from datasets_build.core.records import Annotation, Part, Record

R = TypeVar("R", bound=Record)
TILE = ("shots_tile", "shots follow each other without a gap, from the first frame to the last")
SCENES = ("scenes_tile", "scenes follow each other without a gap, each made of whole shots, and every shot is in one")
FOLLOW = ("signals_follow", "stretches of signals are numbered in order, and each begins after the one before")
_COLUMNS = ("luma", "contrast", "motion", "complexity", "pan_x", "pan_y", "zoom")


def _shot_frames(shot: Shot, known: Known) -> Iterator[Breach]:
    count = len(known.clock)
    if not 0 <= shot.start_frame < shot.end_frame <= count:
        yield Breach(f"frames [{shot.start_frame}, {shot.end_frame})", f"at least one of [0, {count})")
        return
    for name, frame, t_ns in (("start", shot.start_frame, shot.start_ns), ("end", shot.end_frame, shot.end_ns)):
        if known.clock.time_of(frame) != t_ns:
            yield Breach(f"{name}_ns {t_ns} at {name}_frame {frame}", f"{known.clock.time_of(frame)} ns")


def _transition(shot: Shot, known: Known) -> Iterator[Breach]:
    start, end = shot.transition_start_ns, shot.transition_end_ns
    span = f"transition span [{start}, {end})"
    if not 0 <= start <= shot.start_ns <= end <= known.clock.end_ns:
        yield Breach(f"{span} of a shot at {shot.start_ns}", f"one around it, inside [0, {known.clock.end_ns})")
    if shot.transition in ("first", "cut") and start != end:
        yield Breach(f"{span} of a {shot.transition}", "none")
    # Of a fade whose span nobody found only the instant is known.
    if shot.transition not in ("first", "cut", "fade_through") and start == end:
        yield Breach(f"an empty {span} of a {shot.transition}", "one with a frame")
    for name, t_ns in (("transition_start_ns", start), ("transition_end_ns", end)):
        if t_ns != known.clock.end_ns and not known.clock.on_grid(t_ns):
            yield Breach(f"{name} {t_ns}", "a frame's time or the video's end")


def tile_breaches(shots: Sequence[Shot], clock: FrameClock) -> Iterator[tuple[str, list[Breach]]]:
    """Each shot's id with what keeps it from its place: its number, its kind, and where it begins and ends."""
    at = 0
    for k, shot in enumerate(shots):
        found = []
        if shot.ordinal != k:
            found.append(Breach(f"ordinal {shot.ordinal}", f"{k}"))
        if (shot.transition == "first") != (k == 0):
            found.append(Breach(f"transition {shot.transition} of shot {k}", "first for the first shot only"))
        if shot.start_frame != at:
            found.append(Breach(f"start_frame {shot.start_frame}", f"{at}, where the last one ends"))
        at = shot.end_frame
        if k == len(shots) - 1 and at != len(clock):
            found.append(Breach(f"end_frame {at} of the last shot", f"{len(clock)}, the video's end"))
        yield shot.id, found


def scene_breaches(scenes: Sequence[Scene], shots: Sequence[Shot]) -> Iterator[tuple[str, list[Breach]]]:
    """Each scene's id with what keeps it from being the shots that follow those of the scene before."""
    at = 0
    for k, scene in enumerate(scenes):
        found = [] if scene.ordinal == k else [Breach(f"ordinal {scene.ordinal}", f"{k}")]
        own = shots[at : at + max(1, len(scene.shot_ids))]
        if not own or scene.shot_ids != tuple(shot.id for shot in own):
            wanted = ", ".join(shot.id for shot in own) or "none: every shot is in a scene before"
            found.append(Breach(f"shot_ids {', '.join(scene.shot_ids) or 'none'}", wanted))
        else:
            of = (own[0].start_ns, own[-1].end_ns, own[0].start_frame, own[-1].end_frame)
            for name, wanted_at in zip(("start_ns", "end_ns", "start_frame", "end_frame"), of, strict=True):
                if getattr(scene, name) != wanted_at:
                    found.append(Breach(f"{name} {getattr(scene, name)}", f"{wanted_at}, as of its shots"))
        at += len(scene.shot_ids)
        if k == len(scenes) - 1 and at < len(shots):
            found.append(Breach(f"{at} shots in scenes", f"all {len(shots)}"))
        yield scene.id, found


def _keyframe(row: Keyframe, known: Known) -> Iterator[Breach]:
    if not 0 <= row.frame_index < len(known.clock):
        yield Breach(f"frame_index {row.frame_index}", f"a frame of [0, {len(known.clock)})")
    elif (at := known.clock.time_of(row.frame_index)) != row.t_ns:
        yield Breach(f"t_ns {row.t_ns} at frame {row.frame_index}", f"{at} ns")
    shot = known.shots.get(row.shot_id)
    if shot is None:
        yield Breach(f"shot {row.shot_id}", "a shot of the video")
    elif not shot.span.contains(row.t_ns):
        yield Breach(f"t_ns {row.t_ns}", f"an instant of its shot, [{shot.start_ns}, {shot.end_ns})")


def _sampled(row: Signals, known: Known) -> Iterator[Breach]:
    lengths = {name: len(getattr(row, name)) for name in _COLUMNS}
    wrong = [f"{name} {length}" for name, length in lengths.items() if length != len(row.t_ns)]
    if wrong or not row.t_ns:
        yield Breach(f"{len(row.t_ns)} times, {', '.join(wrong) or 'no values'}", "one value per time, at least one")
    times = np.array(row.t_ns, np.int64)
    for k in np.flatnonzero(np.diff(times) <= 0)[:1]:
        yield Breach(f"t_ns.{k + 1} {times[k + 1]}", f"a time after {times[k]}")
    for k in np.flatnonzero(~np.isin(times, known.clock.t_ns))[:1]:
        yield Breach(f"t_ns.{k} {times[k]}", "a frame's time")


def follow_breaches(rows: Iterable[Signals]) -> Iterator[tuple[str, list[Breach]]]:
    """Each stretch's id with what keeps it from following the one before."""
    last = -1
    for k, row in enumerate(rows):
        found = [] if row.ordinal == k else [Breach(f"ordinal {row.ordinal}", f"{k}")]
        if row.t_ns and row.t_ns[0] <= last:
            found.append(Breach(f"a first time of {row.t_ns[0]}", f"one after {last}, the last stretch's end"))
        last = row.t_ns[-1] if row.t_ns else last
        yield row.id, found


SHOT_LAWS: tuple[Law[Shot], ...] = (
    Law("shot_frames", "a shot has frames, and its frames and times name the same instants", _shot_frames),
    Law("shot_transition", "a gradual transition's frames lie around the shot's start, a cut has none", _transition),
)
KEYFRAME_LAWS: tuple[Law[Keyframe], ...] = (
    Law("keyframe_in_shot", "a keyframe's index and time name one frame, which its shot contains", _keyframe),
)
SIGNAL_LAWS: tuple[Law[Signals], ...] = (
    Law("signals_sampled", "signals have one value per time, at frames, in order", _sampled),
)


class TableRun:
    """One check of the tables that every dataset is built from; holds one video's shots at a time."""

    def __init__(self, out: Path, atlas: Atlas, ledger: Ledger) -> None:
        self.out, self.atlas, self.ledger = out, atlas, ledger

    def annotations(self) -> None:
        """What the index took from others: inside the video and ordered, not on its grid."""
        for group, file in walk(table_path(self.out, Annotation), Annotation, None, self.atlas, self.ledger):
            known = Known(group.video, group.clock, {})
            for row in self._rows(group, file, Annotation):
                self._judge(file, row, known, (), times=(INSIDE, ORDERED))

    def perceived(self) -> None:
        """Shots, scenes, keyframes and signals."""
        for group, file in walk(table_path(self.out, Shot), Shot, None, self.atlas, self.ledger):
            known, shots = Known(group.video, group.clock, {}), list(self._rows(group, file, Shot))
            for shot in shots:
                self._judge(file, shot, known, SHOT_LAWS, times=TIME_LAWS)
            for made, breaches in tile_breaches(shots, group.clock):
                self.ledger.note(*TILE, file, made, breaches)
        if table_path(self.out, Scene).is_file():
            self._scenes()
        for group, file in walk(table_path(self.out, Keyframe), Keyframe, None, self.atlas, self.ledger):
            by_id = {shot.id: shot for shot in self.atlas.shots_of(group.video.id)}
            known = Known(group.video, group.clock, {}, shots=by_id)
            for row in self._rows(group, file, Keyframe):
                self._judge(file, row, known, KEYFRAME_LAWS, times=TIME_LAWS)
        for group, file in walk(table_path(self.out, Signals), Signals, None, self.atlas, self.ledger):
            for made, breaches in follow_breaches(self._judged(group, file)):
                self.ledger.note(*FOLLOW, file, made, breaches)

    def _scenes(self) -> None:
        """An augmented folder has none."""
        there = set[str]()
        for group, file in walk(table_path(self.out, Scene), Scene, None, self.atlas, self.ledger):
            known, scenes = Known(group.video, group.clock, {}), list(self._rows(group, file, Scene))
            for scene in scenes:
                self._judge(file, scene, known, (), times=TIME_LAWS)
            for made, breaches in scene_breaches(scenes, self.atlas.shots_of(group.video.id)):
                self.ledger.note(*SCENES, file, made, breaches)
            there.add(group.video.id)
        for video in self.atlas.videos:
            missing = video.id not in there and self.atlas.shots_of(video.id)
            lost = [Breach(f"no scene of video {video.id}", "one at least, of its shots")] if missing else []
            self.ledger.note(*SCENES, TABLES[Scene], video.id, lost)

    def _judged(self, group: Group, file: str) -> Iterator[Signals]:
        known = Known(group.video, group.clock, {})
        for row in self._rows(group, file, Signals):
            self._judge(file, row, known, SIGNAL_LAWS, times=())
            yield row

    def _rows(self, group: Group, file: str, model: type[R]) -> Iterator[R]:
        names = Names()
        for row in group.rows:
            assert isinstance(row, model), "the walk reads rows of its model"
            names.meet(model.__name__.casefold(), row.id, file, self.ledger)
            yield row

    def _judge(self, file: str, row: R, known: Known, laws: Sequence[Law[R]], *, times: Sequence[Law[Part]]) -> None:
        for law in times:
            self.ledger.note(law.name, law.about, file, row.id, law.breaches(row, known))
        for own in laws:
            self.ledger.note(own.name, own.about, file, row.id, own.breaches(row, known))
