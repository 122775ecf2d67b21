"""The perceive stage: one decode pass per video, in worker processes, joined in the order of the index."""

from __future__ import annotations

import errno
import logging
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import Config
from datasets_build.core.files import DataError, sha256_file
from datasets_build.core.layout import clock_of, read_videos, video_path
from datasets_build.core.perceived import Keyframe, Scene, Shot, Signals
from datasets_build.core.progress import tool_versions, track
from datasets_build.core.records import Reject, Video
from datasets_build.core.stage import (
    Fingerprint,
    Stage,
    code_digest,
    collect_rejects,
    earlier_field,
    stage_digest,
)
from datasets_build.core.table import concat_tables, count_rows
from datasets_build.core.worker import Worker, WorkerError
from datasets_build.engines.outcome import Outcome
from datasets_build.perception.clip import (
    PRECISIONS,
    ClipConfig,
    Encoder,
    describe_encoder,
    load_encoder,
    weights_digest,
    weights_files,
    weights_note,
)
from datasets_build.perception.clip_precision import fastest
from datasets_build.perception.keyframes import KeyframesConfig
from datasets_build.perception.scan import ScanJob, ScanPlan, scan_videos
from datasets_build.perception.scenes import ScenesConfig
from datasets_build.perception.shots import ShotsConfig
from datasets_build.perception.signals import SignalsConfig
from datasets_build.run import Engine

log = logging.getLogger(__name__)
O = TypeVar("O")  # noqa: E741 - an answer
DecoderName = Literal["pyav", "decord", "torchcodec"]
CALLS = 16
"""Videos share calls where so many calls are left at least: fewer would leave workers idle."""
_CLIP_S = 1800.0
_HASH_S = 3600.0
_TABLES: tuple[tuple[str, type[Shot] | type[Scene] | type[Keyframe] | type[Signals]], ...] = (
    ("shots", Shot),
    ("scenes", Scene),
    ("keyframes", Keyframe),
    ("signals", Signals),
)


class PerceiveConfig(Config):
    """Settings of the pass.

    `decoder` walks the file; when it crashes, hangs or loses frames, `fallback` tries once more. A video may take
    `deadline_s` plus `deadline_per_s` seconds for each second that it lasts. Detectors look at pictures whose long side
    is `analysis_side`.
    """

    decoder: DecoderName = "pyav"
    fallback: DecoderName = "torchcodec"
    deadline_s: float = Field(default=120.0, gt=0)
    deadline_per_s: float = Field(default=4.0, ge=0)
    analysis_side: int = Field(default=128, ge=32)
    shots: ShotsConfig = ShotsConfig()
    scenes: ScenesConfig = ScenesConfig()
    signals: SignalsConfig = SignalsConfig()
    keyframes: KeyframesConfig = KeyframesConfig()
    clip: ClipConfig = ClipConfig()


@dataclass(frozen=True, slots=True)
class Task:
    """One video for one worker; results go into the folder `to`, which the parent renames when the call is over.

    `cores` is how many processors the worker may keep busy.
    """

    out: Path
    video: Video
    config: PerceiveConfig
    decoder: DecoderName
    to: Path
    cores: int = 1


@lru_cache(maxsize=1)
def _encoder(config: ClipConfig) -> Encoder:
    # One model per worker process, however many videos it sees.
    return load_encoder(config)


def perceive_one(task: Task) -> None:
    """Scan one video into `task.to`, which is there when it is whole; runs in a worker process. Raises VideoError."""
    perceive_together((task,))


def perceive_together(tasks: tuple[Task, ...]) -> None:
    """Scan videos of the same settings, which share the batches of the encoder: all of them, or none is kept."""
    # Each in a folder of its own: what still runs on a node that was given up may meet its successor.
    asides = [task.to.with_name(f"{task.to.name}.{uuid.uuid4().hex}") for task in tasks]
    try:
        for aside in asides:
            aside.mkdir(parents=True)
        _scan_into(asides, tasks)
        for aside, task in zip(asides, tasks, strict=True):
            _put(aside, task.to)
    finally:
        for aside in asides:
            shutil.rmtree(aside, ignore_errors=True)


def _put(aside: Path, to: Path) -> None:
    try:
        aside.rename(to)
    except OSError as error:
        # Another was whole first, of the same bytes.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _scan_into(folders: Sequence[Path], tasks: Sequence[Task]) -> None:
    config, decoder = tasks[0].config, tasks[0].decoder
    plan = ScanPlan(
        config.shots,
        config.scenes,
        config.signals,
        config.keyframes,
        config.analysis_side,
        decoder,
        cores=max(task.cores for task in tasks),
    )
    jobs = [
        ScanJob(video_path(task.out, task.video), task.video, clock_of(task.out, task.video), folder)
        for task, folder in zip(tasks, folders, strict=True)
    ]
    scan_videos(jobs, plan=plan, encoder=_encoder(config.clip))


def perceive(out: Path, config: PerceiveConfig, *, engine: Engine, force: bool = False) -> Stage:
    """Make `OUT/perceive` from `OUT/index`: shots, scenes, signals and keyframes of every video.

    Raises:
        StageError: there is no index, or the folder belongs to other settings.
        ClipError: CLIP weights were named and cannot be loaded.
    """
    inputs = {"index": stage_digest(out, "index")}
    if config.clip.model:
        inputs["clip_weights"] = weights_digest(config.clip)
        config = _with_precision(out, config, force=force)
    code = code_digest("video.py", "decoders", "perception")
    stage = Stage.open(out, "perceive", Fingerprint.of(config, code=code, inputs=inputs), force=force)
    if not stage.done:
        _announce_encoder(config.clip)
        videos = read_videos(out)
        if not videos:
            raise DataError(f"{out}: the index holds no video that can be used; see {out}/rejects.jsonl")
        engine.require(weights_files(config.clip))
        _refuse_changed(out, videos, engine=engine)
        rejects = _scan_all(stage, videos, config, engine=engine)
        _publish(stage, videos, rejects)
    collect_rejects(out)
    return stage


def _announce_encoder(config: ClipConfig) -> None:
    if not config.model:
        log.warning(
            "no CLIP weights given (perceive.clip.model is empty): keyframes are chosen by the perceptual signature, "
            "which sees layout and colour but no meaning; every keyframe record says so"
        )
        return
    embedder = _asked(describe_encoder, config)
    weights = (embedder.weights_sha256 or "")[:16]
    log.info("keyframes are chosen by CLIP %s, weights %s, in %s", embedder.name, weights, embedder.precision)
    if note := weights_note(config):
        log.warning("CLIP %s says of itself: %s", embedder.name, note)


def _asked(question: Callable[[ClipConfig], O], config: ClipConfig) -> O:
    """What a worker answers who loads the model, which this process has no need of."""
    with Worker() as worker:
        try:
            return worker.call(_CLIP_S, question, config)
        except WorkerError as error:
            raise DataError(error.detail) from error


def _with_precision(out: Path, config: PerceiveConfig, *, force: bool) -> PerceiveConfig:
    """Settle `auto`: as the run that is there did, finished or not, else by a trial; it is part of the fingerprint."""
    if config.clip.precision != "auto":
        return config
    earlier = None if force else earlier_field(out, "perceive", "config.clip.precision")
    chosen = next((name for name in PRECISIONS if repr(name) == earlier), None) or _asked(fastest, config.clip)
    log.info("clip.precision=auto: %s", chosen)
    return config.model_copy(update={"clip": config.clip.model_copy(update={"precision": chosen})})


def _refuse_changed(out: Path, videos: Sequence[Video], *, engine: Engine) -> None:
    """Stop before anything is written when a file is not the one that was indexed: that is no fault of a decoder.

    Raises:
        DataError: a video or a pts index is gone, unreadable or changed.
    """
    paths = {video_path(out, video): video for video in videos}
    for path, video in paths.items():
        for needed in (path, out / "index" / video.pts_index):
            if not needed.is_file():
                raise DataError(f"{needed}: is gone; put it back, or repeat the index stage with --force")
    engine.require(list(paths))
    outcomes = engine.run_each(sha256_file, list(paths), deadline_s=_HASH_S)
    for outcome in track(outcomes, total=len(paths), label="compare with the index"):
        # A hash that a dead worker owes is taken here: nothing but reading can go wrong with it.
        found = sha256_file(outcome.item) if outcome.error else outcome.value
        if found != paths[outcome.item].sha256:
            raise DataError(f"{outcome.item}: has changed since it was indexed; repeat the index stage with --force")


def _scan_all(stage: Stage, videos: Sequence[Video], config: PerceiveConfig, *, engine: Engine) -> list[Reject]:
    parts = stage.work / "parts"
    parts.mkdir(exist_ok=True)
    for rest in parts.glob(".*"):
        # Of a run that was killed.
        shutil.rmtree(rest)
    failures = _scan(stage, videos, config, decoder=config.decoder, engine=engine)
    retry = [video for video in videos if video.id in failures]
    again = _scan(stage, retry, config, decoder=config.fallback, engine=engine) if retry else {}
    rejects = []
    for video in retry:
        kept = video.id not in again
        lost = f"left out with its {video.n_frames} frames; repair or convert the file"
        action = f"{config.fallback} decoded it instead" if kept else lost
        rejects.append(_reject(video, config.decoder, failures[video.id], action))
        if not kept:
            rejects.append(_reject(video, config.fallback, again[video.id], action))
    return rejects


def _scan(
    stage: Stage, videos: Sequence[Video], config: PerceiveConfig, *, decoder: DecoderName, engine: Engine
) -> dict[str, WorkerError]:
    """Scan what has no part of this decoder yet; returns the error of each video that failed."""
    parts = stage.work / "parts"
    left = [video for video in videos if not _is_there(parts / f"{video.id}.{decoder}")]
    whole_ns = max(1, sum(video.duration_ns for video in videos))
    tasks = [
        Task(
            stage.out,
            video,
            config,
            decoder,
            parts / f".{video.id}.{decoder}",
            cores=_cores(video, whole_ns, engine),
        )
        for video in left
    ]
    if config.clip.model and config.clip.precision != "int8":
        tasks = _scan_together(tasks, config, engine=engine)
    # The longest begin first, so that none is left alone at the end.
    tasks.sort(key=lambda task: -task.video.duration_ns)
    failures = {}
    outcomes = engine.run_each(perceive_one, tasks, deadline_s=config.deadline_s, extra_s=_extra_s)
    for outcome in track(outcomes, total=len(tasks), label=f"perceive ({decoder})"):
        error = _settle(outcome, parts / f"{outcome.item.video.id}.{decoder}")
        if error is not None:
            failures[outcome.item.video.id] = error
    return failures


def _is_there(part: Path) -> bool:
    """Whether a run before this one left a video's tables; what a power cut has torn is taken away."""
    if not part.exists():
        return False
    try:
        for name, model in _TABLES:
            count_rows(part / f"{name}.parquet", model)
    except DataError as error:
        log.warning("%s: torn, so its video is looked at again (%s)", part.name, error)
        shutil.rmtree(part)
        return False
    return True


def _cores(video: Video, whole_ns: int, engine: Engine) -> int:
    """How many cores a video is worth: damaged frames come out of FFmpeg's threads differently from time to time."""
    return 1 if video.status == "degraded" else engine.cores(video.duration_ns / whole_ns)


def _scan_together(tasks: Sequence[Task], config: PerceiveConfig, *, engine: Engine) -> list[Task]:
    """Scan short videos several at a time; returns what is left for a call of its own."""
    # Each video has a candidate, so more of them than a batch has room for gain nothing.
    most = min(config.clip.batch, len(tasks) // CALLS)
    groups = short_ones(tasks, together_ns=int(config.clip.together_s * NS_PER_S), most=most)
    if not groups:
        return list(tasks)
    left = {task.video.id: task for task in tasks}
    outcomes = engine.run_each(
        perceive_together, groups, deadline_s=config.deadline_s, extra_s=lambda group: sum(map(_extra_s, group))
    )
    for outcome in track(outcomes, total=len(groups), label="perceive short videos"):
        for task in outcome.item:
            if outcome.error is None:
                task.to.replace(task.to.with_name(task.to.name.removeprefix(".")))
                del left[task.video.id]
            else:
                # Which of them was at fault, each will tell when it is alone.
                _clear(task)
    return list(left.values())


def short_ones(tasks: Sequence[Task], *, together_ns: int, most: int) -> list[tuple[Task, ...]]:
    """Runs of two or more tasks in a row, at most so many, whose videos last at most `together_ns` in all."""
    groups: list[list[Task]] = [[]]
    filled = 0
    for task in tasks:
        filled += task.video.duration_ns
        if filled > together_ns or len(groups[-1]) >= most:
            groups.append([])
            filled = task.video.duration_ns
        groups[-1].append(task)
    return [tuple(group) for group in groups if len(group) > 1]


def _extra_s(task: Task) -> float:
    return task.config.deadline_per_s * task.video.duration_ns / NS_PER_S


def _settle(outcome: Outcome[Task, None], part: Path) -> WorkerError | None:
    task = outcome.item
    if outcome.error is None:
        task.to.replace(part)
        return None
    _clear(task)
    log.warning("%s: %s %s: %s", task.video.uri, task.decoder, outcome.error.kind, outcome.error.detail)
    return outcome.error


def _clear(task: Task) -> None:
    for rest in task.to.parent.glob(f"{task.to.name}*"):
        shutil.rmtree(rest, ignore_errors=True)


def _reject(video: Video, decoder: str, error: WorkerError, action: str) -> Reject:
    words = {"crashed": "crashed", "deadline": "hung", "raised": "failed"}[error.kind]
    # A dying process's last line may hold addresses; how it ended is the same every time.
    detail = error.detail.split(":", 1)[0] if error.kind == "crashed" else error.detail
    return Reject(
        stage="perceive",
        item=video.uri,
        code=f"decoder_{words}",
        reason=f"{decoder} {words}: {detail}",
        action=action,
    )


def _publish(stage: Stage, videos: Sequence[Video], rejects: Sequence[Reject]) -> None:
    parts = stage.work / "parts"
    found = [next(iter(sorted(parts.glob(f"{video.id}.*"))), None) for video in videos]
    folders = [folder for folder in found if folder is not None]
    # A pass gives every frame of the index, or its video is left out.
    frames = sum(video.n_frames for video, folder in zip(videos, found, strict=True) if folder is not None)
    left_out = sum(video.n_frames for video in videos) - frames
    counts = {"videos": len(folders), "frames": frames, "frames left out": left_out}
    for name, model in _TABLES:
        path = stage.final / f"{name}.parquet"
        counts[name] = concat_tables(path, model, [folder / f"{name}.parquet" for folder in folders])
        assert counts[name] == count_rows(path, model)
    if videos and not folders:
        raise DataError(f"{stage.out}: not one of {len(videos)} videos could be decoded; see the log for each reason")
    tools = tool_versions("av", "opencv-python-headless", "scenedetect-headless", "open-clip-torch")
    stage.commit(rejects=rejects, counts=counts, tools=tools)
