"""Evaluates a package: replays a split in front of it, and another video in its place, scores, reports."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.files import DataError, write_bytes, write_jsonl
from datasets_build.core.progress import track
from datasets_build.core.records import Reject
from datasets_build.video import VideoError
from models.errors import StreamError
from models.manifest import read_manifest
from models.patches import FrameFormat
from models.streaming import StreamingModel
from recipes.data.corpus import Corpus, dataset_digests
from recipes.data.frame_events import QUESTION
from recipes.errors import RecipeError
from recipes.evaluation.baselines import fit_clock, fit_majority
from recipes.evaluation.blind import Elsewhere, others_for
from recipes.evaluation.clip import Clip, Pictures, clips_of
from recipes.evaluation.matching import Tolerance
from recipes.evaluation.plots import draw
from recipes.evaluation.replay import How, Replay, how_to_replay
from recipes.evaluation.report import (
    VERSION,
    About,
    Evaluation,
    Scored,
    count_figures,
    delays_s,
    markdown,
    write_evaluation,
)
from recipes.evaluation.scores import VideoScores, score_clock, score_video
from recipes.evaluation.script import seconds_ns
from recipes.evaluation.stability import sweep
from recipes.evaluation.trace import Trace, Variant, read_trace, write_trace
from recipes.losses.interaction import Prices
from recipes.settings import RunConfig

log = logging.getLogger(__name__)
VARIANTS: tuple[Variant, Variant] = ("seen", "blind")
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A clip with its traces: in front of the video, and of another one (`blind.Elsewhere`)."""

    clip: Clip
    seen: Trace
    blind: Trace


def evaluate(package: Path, config: RunConfig, out: Path) -> Evaluation:
    """Evaluates a package on the split that a run names.

    Writes `evaluation.json`, `evaluation.md`, `rejects.jsonl`, and below `plots/` and `traces/` what was drawn and
    said. A trace that is there already, of the same model, data and settings, is not made again.

    Args:
        package: folder of the model.
        config: of the run: data, `evaluate`, `serve`, `seed`.
        out: folder for the results.

    Raises:
        RecipeError: the data or the package do not fit, or no video could be replayed.
        PackageError: the package cannot be loaded.
    """
    with StreamingModel.from_pretrained(package) as model:
        how = how_to_replay(model.settings, config, events_question=QUESTION)
        shown = FrameFormat.from_processor(
            model.processor,
            model.backbone.family,
            min_pixels=how.settings.min_pixels,
            max_pixels=how.settings.max_pixels,
        )
        corpus = Corpus.open(config.data, shown, needs=())
        clips = clips_of(corpus, config.evaluate.split, most=config.evaluate.videos)
        folder = out / "traces" / trace_key(package, how, config)
        train = clips_of(corpus, "train") if corpus.materials["train"] else []
        replayed, rejects = replay_all(Replay(model, how), clips, folder, decoder=config.data.decoder, strange=train)
    write_jsonl(out / "rejects.jsonl", rejects)
    if not replayed:
        raise RecipeError(f"{out}/rejects.jsonl: all {len(clips)} videos failed, the first with: {rejects[0].reason}")
    evaluation = evaluation_of(
        replayed,
        train,
        about=_about(package, config, layout=how.settings.layout, videos=len(replayed), rejected=len(rejects)),
        config=config,
    )
    write_evaluation(out / "evaluation.json", evaluation)
    write_bytes(out / "evaluation.md", markdown(evaluation).encode())
    draw(evaluation, out / "plots")
    return evaluation


def replay_all(
    replay: Replay, clips: Sequence[Clip], folder: Path, *, decoder: str, strange: Sequence[Clip] = ()
) -> tuple[list[Replayed], list[Reject]]:
    """The traces of all clips, one file each; those that are there are read.

    Args:
        replay: of the model.
        clips: what to replay.
        folder: where the files are.
        decoder: who reads the videos.
        strange: clips whose frames stand in for a clip's own; without any that can be read, grey ones do.

    Returns:
        The clips with their traces, and what was left out because its video cannot be read or does not fit.
    """
    found: list[Replayed] = []
    rejects: list[Reject] = []
    for variant in VARIANTS:
        (folder / variant).mkdir(parents=True, exist_ok=True)
    for clip in track(clips, total=len(clips), label="evaluate"):
        try:
            seen = _trace(replay, folder, [Pictures(clip, decoder=decoder)], clip)
            others = [Elsewhere(clip, other, decoder=decoder) for other in others_for(clip, strange)]
            blind = _trace(replay, folder, [*others, Pictures(clip, decoder=decoder, variant="blind")], clip)
        except (DataError, StreamError) as error:
            log.warning("%s: left out: %s", clip.video.uri, error)
            rejects.append(
                Reject(
                    stage="evaluate",
                    item=clip.video_id,
                    code=type(error).__name__,
                    reason=str(error),
                    action="left out of every figure; mend the video or the settings, and evaluate again",
                )
            )
        else:
            found.append(Replayed(clip=clip, seen=seen, blind=blind))
    return found, rejects


def _trace(replay: Replay, folder: Path, pictures: Sequence[Pictures], clip: Clip) -> Trace:
    """The trace in front of the first pictures that can be read; the last ones must be."""
    path = folder / pictures[0].variant / f"{clip.video_id}.json"
    if path.is_file():
        return read_trace(path)
    for place, shown in enumerate(pictures):
        try:
            trace = replay.trace(clip, shown)
            break
        except VideoError:
            if place == len(pictures) - 1:
                raise
            log.warning("%s: the video in its place cannot be read, the next one is taken", clip.video.uri)
    write_trace(path, trace)
    return trace


def evaluation_of(
    replayed: Sequence[Replayed], train: Sequence[Clip], *, about: About, config: RunConfig
) -> Evaluation:
    """Scores traces.

    Args:
        replayed: clips with their traces.
        train: clips of the training split, for the baselines that are fitted; they may be none.
        about: what was evaluated.
        config: tolerances, thresholds and the seed.
    """
    chosen = config.evaluate
    tolerance = Tolerance(early_ns=seconds_ns(chosen.early_s), late_ns=seconds_ns(chosen.late_s))
    prices = Prices()
    clock = fit_clock([(script, clip.grids_ns) for clip in train for script in clip.scripts], tolerance=tolerance)
    majority = fit_majority(train)
    scored = Scored(
        seen=[score_video(row.clip, row.seen, tolerance=tolerance, prices=prices) for row in replayed],
        blind=[score_video(row.clip, row.blind, tolerance=tolerance, prices=prices) for row in replayed],
        clock=[
            score_clock(
                row.clip, [clock.talk(script, row.clip.grids_ns) for script in row.clip.scripts], tolerance=tolerance
            )
            for row in replayed
        ],
        majority=[VideoScores(video_id=row.clip.video_id, marks=tuple(majority.marks(row.clip))) for row in replayed],
    )
    talks = [(matched, scores.borders_ns) for scores in scored.seen for matched in scores.matched]
    (served,) = sweep(talks, [chosen.threshold], tolerance=tolerance)
    return Evaluation(
        version=VERSION,
        about=about,
        figures=count_figures(scored, tious=chosen.tious, seed=config.seed),
        delays_s=delays_s(scored.seen),
        served=served,
        sweep=tuple(sweep(talks, THRESHOLDS, tolerance=tolerance)),
    )


def trace_key(package: Path, how: How, config: RunConfig) -> str:
    """Sixteen hex digits over all that decides a trace: model, data, settings, and the code that replays."""
    code = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    parts = [model_digest(package), repr(how), config.data.fps, repr(config.data.max_gap_s), config.data.decoder]
    parts += [f"{name}={value}" for name, value in dataset_digests(config.data).items()]
    for name in ("replay.py", "clip.py", "blind.py", "script.py", "trace.py"):
        parts.append(hashlib.sha256((code / name).read_bytes()).hexdigest())
    digest.update("\0".join(parts).encode())
    return digest.hexdigest()


def model_digest(package: Path) -> str:
    """SHA-256 over the names and hashes of a package's files and its settings."""
    manifest = read_manifest(package)
    files = [f"{entry.name}={entry.sha256}" for entry in manifest.files]
    return hashlib.sha256("\0".join([*files, repr(manifest.settings)]).encode()).hexdigest()


def _about(package: Path, config: RunConfig, *, layout: str, videos: int, rejected: int) -> About:
    return About(
        package=str(package),
        model_sha256=model_digest(package),
        layout=layout,
        split=config.evaluate.split,
        videos=videos,
        rejected=rejected,
        datasets=dataset_digests(config.data),
        config=config.model_dump_json(),
    )
