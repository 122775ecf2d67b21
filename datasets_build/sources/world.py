"""Drawn videos with known truth: coloured shapes that enter, move, stop, collide, change colour and leave.

They make everything work without a hub, a camera or a network, and let every later stage be held against the truth.
Each video `NAME.mp4` has a sidecar `NAME.world.json` with every event and every cut and fade, exact to the frame. The
style `lesson` draws the simplest of them, see `lesson_script.py`; its sidecars are `NAME.lesson.json`, and they promise
more: whatever is in the picture has entered it since the last cut.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.config import Config
from datasets_build.core.files import DataError, read_json, sha256_file, whole_file
from datasets_build.core.records import Many, Ns, Part, derive_id
from datasets_build.sources import lesson_script
from datasets_build.sources.world_draw import encode
from datasets_build.sources.world_script import Script, write_script
from datasets_build.sources.world_truth import WorldAnnotation, WorldTransition, boxes, facts, transitions

Style = Literal["world", "lesson"]
VERSION = 1
"""Raised whenever the same settings would give another video or another truth."""
RATES = {"cfr25": Fraction(25), "cfr29_97": Fraction(30_000, 1001), "cfr23_976": Fraction(24_000, 1001)}
VFR_TIME_BASE = Fraction(1, 600)
# Ticks of 1/600 s: 60, 30, 25, 24 and 15 frames per second, and now and then a frame that stays for 120 ms.
VFR_PACES, VFR_HICCUP = (10, 20, 24, 25, 40), 72
_SPREAD = 5  # a lesson's length is off by one part in so many
FIXED_MTIME_S = 946_684_800  # files that are drawn alike look alike, modification time included


class WorldConfig(Config):
    """Which videos to draw.

    `seconds` is each video's length, `vfr_share` the share of them with a variable frame rate. A video depends on
    `seed` and its own number only, so more of them leaves the first ones as they are. A `lesson` is simple and legible
    at 56 x 56 pixels; it is best square, and up to a fifth shorter or longer than `seconds`. With `boxes` the sidecars
    also tell where every shape is, frame by frame.
    """

    style: Style = "world"
    videos: int = Field(default=4, ge=0, le=1000)
    seed: int = 0
    seconds: int = Field(default=20, ge=4, le=3600)
    width: int = Field(default=320, ge=128, le=4096)
    height: int = Field(default=240, ge=128, le=4096)
    vfr_share: float = Field(default=0.25, ge=0.0, le=1.0)
    boxes: bool = False

    @model_validator(mode="after")
    def _time_for_a_lesson(self) -> Self:
        least = -(-lesson_script.SHORTEST_S * _SPREAD // (_SPREAD - 1))
        if self.style == "lesson" and self.seconds < least:
            raise ValueError(f"seconds: found {self.seconds}, but a lesson takes {least} or more")
        return self

    @field_validator("width", "height")
    @classmethod
    def _even(cls, pixels: int) -> int:
        if pixels % 2:
            raise ValueError(f"found {pixels}, expected an even number of pixels each way")
        return pixels


class WorldTruth(Part):
    """The content of a `NAME.world.json` or `NAME.lesson.json`: times in nanoseconds, zero = the first shown frame.

    `rate` is frames per second as a fraction (`30000/1001`) or `vfr`; `spec` is the id of the settings behind it and
    `video_sha256` of the video that it describes.
    """

    model_config = ConfigDict(populate_by_name=True)
    format: Literal["streamvl-world/1"] = Field(default="streamvl-world/1", alias="schema")
    unit: Literal["ns"] = "ns"
    seed: int
    number: int
    rate: str
    duration_ns: Ns
    frames: int
    annotations: Many[WorldAnnotation]
    transitions: Many[WorldTransition]
    spec: str
    video_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One video before it is drawn: its name, what happens in it and when its frames are shown."""

    name: str
    spec: str
    script: Script
    clock: FrameClock
    time_base: Fraction
    rate: Fraction | None


def sidecar(video: Path, style: Style = "world") -> Path:
    """Where the truth about a drawn video stands."""
    return video.with_suffix(f".{style}.json")


def _cfr_clock(rate: Fraction, seconds: int) -> FrameClock:
    return FrameClock.from_pts(range(int(seconds * rate)), time_base=1 / rate, last_duration=1)


def _vfr_clock(rng: Random, seconds: int) -> FrameClock:
    """Frame times that wander between paces, with an occasional frame that stays long."""
    ticks, now, end = [], 0, int(seconds / VFR_TIME_BASE)
    while now < end:
        pace = rng.choice(VFR_PACES)
        for _ in range(rng.randrange(8, 40)):
            ticks.append(now)
            now += VFR_HICCUP if rng.random() < 0.03 else pace
    kept = [tick for tick in ticks if tick < end]
    return FrameClock.from_pts(kept, time_base=VFR_TIME_BASE, last_duration=end - kept[-1])


def _name(config: WorldConfig, number: int) -> str:
    return f"{config.style}_{number:03d}_{_pace(config, number)}.mp4"


def _pace(config: WorldConfig, number: int) -> str:
    """The rate's name; videos of variable rate are spread evenly, the others take turns."""
    varying = [int((k + 1) * config.vfr_share + 1e-9) - int(k * config.vfr_share + 1e-9) for k in range(number + 1)]
    return "vfr" if varying[number] else list(RATES)[(number - sum(varying)) % len(RATES)]


def _write(config: WorldConfig, rng: Random) -> Script:
    if config.style == "world":
        return write_script(rng, width=config.width, height=config.height, seconds=config.seconds)
    spread = config.seconds // _SPREAD
    seconds = rng.randint(config.seconds - spread, config.seconds + spread)
    return lesson_script.write_lesson(rng, width=config.width, height=config.height, seconds=seconds)


def plan(config: WorldConfig, number: int) -> Plan:
    """Invent one video; the same settings and number give the same plan."""
    pace = _pace(config, number)
    style = () if config.style == "world" else (config.style,)
    about = (config.seed, number, config.seconds, config.width, config.height, *style)
    spec = derive_id("world", f"{VERSION}/{pace}", *about, *(["boxes"] if config.boxes else []))
    # What happens does not depend on the frame rate.
    rng = Random(derive_id("world-script", "", *about))
    script = _write(config, rng)
    rate, seconds = RATES.get(pace), script.end_ns // NS_PER_S
    clock = _vfr_clock(rng, seconds) if rate is None else _cfr_clock(rate, seconds)
    return Plan(
        name=_name(config, number),
        spec=spec,
        script=script,
        clock=clock,
        time_base=VFR_TIME_BASE if rate is None else 1 / rate,
        rate=rate,
    )


def _told(plan: Plan, config: WorldConfig) -> tuple[WorldAnnotation, ...]:
    """What the sidecar tells of a video."""
    told = facts(plan.script, plan.clock)
    if config.style == "lesson":
        told = tuple(fact for fact in told if fact.label in lesson_script.LABELS)
    # Boxes come last, so that the others have the same numbers with and without them.
    return (*told, *boxes(plan.script, plan.clock)) if config.boxes else told


def read_truth(path: Path) -> WorldTruth:
    """Read a sidecar of a drawn video. Raises DataError naming the field that is not as expected."""
    content = read_json(path)
    try:
        return WorldTruth.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise DataError(
            f"{path}: {where}: {first['msg']}, expected the truth about a drawn video; draw it again"
        ) from error


def _is_done(video: Path, truth_file: Path, spec: str) -> bool:
    if not video.is_file() or not truth_file.is_file():
        return False
    try:
        truth = read_truth(truth_file)
    except DataError:
        return False
    return truth.spec == spec and truth.video_sha256 == sha256_file(video)


def _draw(video: Path, plan: Plan, config: WorldConfig, number: int) -> None:
    """The video first, its sidecar last: a video without one is drawn again."""
    beside = sidecar(video, config.style)
    beside.unlink(missing_ok=True)
    with whole_file(video) as aside:
        encode(aside, plan.script, plan.clock, time_base=plan.time_base, rate=plan.rate)
        os.utime(aside, (FIXED_MTIME_S, FIXED_MTIME_S))
    truth = WorldTruth(
        seed=config.seed,
        number=number,
        rate="vfr" if plan.rate is None else f"{plan.rate.numerator}/{plan.rate.denominator}",
        duration_ns=plan.clock.end_ns,
        frames=len(plan.clock),
        annotations=_told(plan, config),
        transitions=transitions(plan.script, plan.clock),
        spec=plan.spec,
        video_sha256=sha256_file(video),
    )
    with whole_file(beside) as aside:
        aside.write_text(truth.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
        os.utime(aside, (FIXED_MTIME_S, FIXED_MTIME_S))


def draw_world(folder: Path, config: WorldConfig) -> list[Path]:
    """Draw the videos that are missing or different; returns all of them in order.

    Raises:
        DataError: the folder holds drawn videos that these settings do not make.
    """
    names = [_name(config, number) for number in range(config.videos)]
    drawn = re.compile(rf"{config.style}_\d+_[cv]fr[\d_]*\.mp4")
    folder.mkdir(parents=True, exist_ok=True)
    ours = (path.name for path in folder.glob(f"{config.style}_*.mp4") if drawn.fullmatch(path.name))
    others = sorted(set(ours) - set(names))
    if others:
        raise DataError(
            f"{folder}: holds {len(others)} drawn videos that these settings do not make (such as {others[0]}), "
            f"expected none; delete them or choose another folder"
        )
    for number, name in enumerate(names):
        video, planned = folder / name, plan(config, number)
        if not _is_done(video, sidecar(video, config.style), planned.spec):
            _draw(video, planned, config, number)
    return [folder / name for name in names]
