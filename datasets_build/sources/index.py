"""The index stage: find videos, hash and probe them, ask which decoders may be trusted, and lay sidecars beside them.

Every file with a video's suffix ends in `videos.parquet` or in `rejects.jsonl`. A file meets each decoder in a worker
process, so that one which crashes or hangs costs its own place and no other. What has been found out about a file is
kept at once, so a run that was cut off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from pydantic import Field

from datasets_build.core.config import Config
from datasets_build.core.files import DataError, read_json, whole_file, write_bytes, write_json
from datasets_build.core.progress import tool_versions, track
from datasets_build.core.records import Annotation, Json, Reject, Video
from datasets_build.core.stage import STAGES, Fingerprint, Stage, StageError, code_digest, collect_rejects
from datasets_build.core.table import write_table
from datasets_build.run import Engine
from datasets_build.sources.annotations import Annotations
from datasets_build.sources.corpus import (
    CorpusFile,
    CorpusSettings,
    Match,
    identify,
    licence_with,
    match_corpus,
    read_corpus_file,
    stated_splits,
)
from datasets_build.sources.entries import Reading
from datasets_build.sources.folder import FolderConfig, Listing, SidecarFile, VideoFile, list_folder
from datasets_build.sources.probing import (
    Check,
    Content,
    DecoderName,
    Finding,
    Refusal,
    Source,
    Verdict,
    digest,
    examine,
    lost,
    try_decoder,
    verdict,
    video_record,
)
from datasets_build.sources.splits import SplitConfig, assign_splits
from datasets_build.sources.world import WorldConfig, draw_world
from datasets_build.video import Probe

log = logging.getLogger(__name__)
INPUTS = "inputs.json"
CORPORA = "corpora.json"
_TOOLS = ("av", "decord", "torchcodec", "numpy", "pyarrow", "pysubs2")
_REFUSED = "repair or convert it (ffmpeg -i OLD NEW.mp4), or move it away"
_MB = 1_000_000


class IndexConfig(Config):
    """Settings of the index.

    `source` `world` draws videos into VIDEOS first. `corpora` are annotation files that speak of videos by name. A file
    may take `deadline_s` to decode, plus `deadline_per_mb_s` for each megabyte; `check_decoders` are tried on it, with
    `decoder_deadline_s` for each answer. The run fails, after writing everything, when more than the share
    `reject_limit` of the video files had to be left out.
    """

    source: Literal["folder", "world"] = "folder"
    folder: FolderConfig = FolderConfig()
    corpora: tuple[CorpusSettings, ...] = ()
    world: WorldConfig = WorldConfig()
    split: SplitConfig = SplitConfig()
    deadline_s: float = Field(default=600.0, gt=0)
    deadline_per_mb_s: float = Field(default=2.0, ge=0)
    check_decoders: tuple[DecoderName, ...] = ("decord", "torchcodec")
    decoder_deadline_s: float = Field(default=60.0, gt=0)
    reject_limit: float = Field(default=1.0, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class Corpus:
    """The input with its bytes known: usable files, the rest as rejects, the digest of each by name, and corpora."""

    listing: Listing
    sources: tuple[Source, ...]
    rejects: tuple[Reject, ...]
    digests: Mapping[str, str | None]
    n_files: int
    told: tuple[CorpusFile, ...] = ()


def build_index(videos: Path, out: Path, config: IndexConfig, *, engine: Engine, force: bool = False) -> Stage:
    """Make `OUT/index`: videos, their annotations, and every frame's presentation time.

    Args:
        videos: a folder tree of video files, or one video file.
        out: the output folder, held by `output_folder`.
        config: settings.
        engine: where the work is done; any gives the same bytes.
        force: rebuild over an index of other settings or inputs.

    Raises:
        StageError: the index there was made from other inputs or settings; the message names them.
        DataError: there is no video, not one of them can be used, or more than `reject_limit` had to be left out.
    """
    _refuse_our_own(videos, out)
    if config.source == "world":
        draw_world(videos, config.world)
    corpus = read_corpus(list_folder(videos, config.folder, skip=out), config, engine=engine)
    stage = _open_stage(out, corpus, config, force=force)
    if not stage.done:
        # A file that is not of its corpus is told before hours of decoding.
        readings = [read_corpus_file(told) for told in corpus.told]
        _probe_all(stage, corpus, config, engine=engine)
        _try_decoders(stage, corpus, config, engine=engine)
        _publish(stage, corpus, readings, config)
    collect_rejects(out)
    _enforce_limit(stage, config)
    return stage


def _refuse_our_own(videos: Path, out: Path) -> None:
    """Videos may lie in OUT, but not where a stage writes: rebuilding it would take them along."""
    here = videos.resolve()
    for name in (*STAGES, ".work"):
        if here.is_relative_to(out.resolve() / name):
            raise DataError(f"{videos}: lies in {out / name}, which the {name} stage writes; move the videos elsewhere")


def read_corpus(listing: Listing, config: IndexConfig, *, engine: Engine) -> Corpus:
    """Hash every video and sidecar of a listing in worker processes, and the files of the corpora."""
    told = identify(config.corpora)
    listing = _without(listing, told)
    files: list[VideoFile | SidecarFile] = [*listing.videos, *listing.sidecars]
    uris = {file.path: file.uri for file in files}
    contents: dict[str, Content | Refusal] = {}
    engine.require(list(uris))
    outcomes = engine.run_each(
        digest,
        list(uris),
        deadline_s=config.deadline_s,
        extra_s=lambda path: _extra_s(path, config),
    )
    for outcome in track(outcomes, total=len(uris), label="hash", unit="files"):
        refusal = Refusal("unreadable", "reading it took too long or took the process down")
        contents[uris[outcome.item]] = outcome.value or refusal
    sources, rejects = [], list(listing.rejects)
    for file in listing.videos:
        content = contents[file.uri]
        if isinstance(content, Content):
            sources.append(Source.of(config.source, file.uri, file.path, content))
        else:
            rejects.append(_rejected(file.uri, content, action="make it readable for this user"))
    digests = {uri: content.sha256 if isinstance(content, Content) else None for uri, content in contents.items()}
    digests |= {row.item: None for row in listing.rejects}
    digests |= {f"{file.uri} {name}": sha256 for file in told for name, sha256 in file.digests.items()}
    refused = sum(PurePosixPath(row.item).suffix.lower() in config.folder.suffixes for row in listing.rejects)
    n_files = len(listing.videos) + refused
    return Corpus(listing, tuple(sources), tuple(rejects), dict(sorted(digests.items())), n_files, told)


def _without(listing: Listing, corpora: Sequence[CorpusFile]) -> Listing:
    """The listing less the files of corpora, which are read as such and not as sidecars."""
    taken = {path.resolve() for corpus in corpora for path in corpus.settings.paths()}
    if not taken:
        return listing
    return replace(listing, sidecars=tuple(file for file in listing.sidecars if file.path.resolve() not in taken))


def _extra_s(path: Path, config: IndexConfig) -> float:
    try:
        return config.deadline_per_mb_s * path.stat().st_size / _MB
    except OSError:
        return 0.0


def _rejected(uri: str, refusal: Refusal, *, action: str = _REFUSED) -> Reject:
    reason = refusal.reason if refusal.reason.startswith(uri) else f"{uri}: {refusal.reason}"
    log.warning("left out: %s", reason)
    return Reject(stage="index", item=uri, code=refusal.code, reason=reason, action=action)


def _root(listing: Listing, out: Path) -> str:
    """The videos' folder as the index names it: relative when it moves along with OUT."""
    root, base = listing.root.resolve(), out.resolve()
    return root.relative_to(base).as_posix() if root.is_relative_to(base) else str(root)


def _open_stage(out: Path, corpus: Corpus, config: IndexConfig, *, force: bool) -> Stage:
    content = json.dumps([dict(corpus.digests), [row.model_dump() for row in corpus.rejects]]).encode()
    inputs = {
        "root": _root(corpus.listing, out),
        "files": f"{len(corpus.listing.videos)} videos, {len(corpus.listing.sidecars)} sidecars",
        "digest": hashlib.blake2b(content, digest_size=10).hexdigest(),
    }
    inputs |= {f"corpora.{number}": told.fingerprint for number, told in enumerate(corpus.told)}
    code = code_digest("sources", "video.py", "decoders", "run.py", "engines/local.py")
    fields = Fingerprint.of(config, code=code, inputs=inputs).fields
    # What changes no byte of the output asks for no rebuild; corpora are told by their content, not by where they lie.
    idle = ("config.reject_limit", "config.corpora", *([] if config.source == "world" else ["config.world."]))
    fingerprint = Fingerprint({name: value for name, value in fields.items() if not name.startswith(idle)})
    try:
        stage = Stage.open(out, "index", fingerprint, force=force)
    except StageError as error:
        changed = _changed_files(out, corpus)
        raise StageError(f"{error}{changed}") from error
    if not stage.done:
        write_json(stage.work / INPUTS, dict(corpus.digests))
    return stage


def _changed_files(out: Path, corpus: Corpus) -> str:
    """Which input files differ from those of the index that stands in the way, up to three by name."""
    path = next((p for p in (out / "index" / INPUTS, out / ".work" / "index" / INPUTS) if p.exists()), None)
    old = read_json(path) if path else None
    if not isinstance(old, dict):
        return ""
    words = [
        "new" if name not in old else "gone" if name not in corpus.digests else "changed" if was != now else ""
        for name, was, now in _both(old, corpus.digests)
    ]
    named = [f"{word} {name}" for word, (name, *_) in zip(words, _both(old, corpus.digests), strict=True) if word]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return f"; input files: {', '.join(named[:3])}{more}" if named else ""


def _both(old: Mapping[str, Json], new: Mapping[str, str | None]) -> list[tuple[str, Json, str | None]]:
    return [(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]


def _part(stage: Stage, source: Source, kind: str) -> Path:
    return stage.work / "parts" / f"{source.id}.{kind}"


def _probe_all(stage: Stage, corpus: Corpus, config: IndexConfig, *, engine: Engine) -> None:
    (stage.work / "parts").mkdir(exist_ok=True)
    missing = [source for source in corpus.sources if not _part(stage, source, "json").exists()]
    outcomes = engine.run_each(
        examine,
        missing,
        deadline_s=config.deadline_s,
        extra_s=lambda source: config.deadline_per_mb_s * source.content.size / _MB,
    )
    for outcome in track(outcomes, total=len(missing), label="probe"):
        source = outcome.item
        found = lost(source, outcome.error) if outcome.error is not None else outcome.value
        if isinstance(found, Probe):
            with whole_file(_part(stage, source, "npy")) as aside, aside.open("wb") as handle:
                np.save(handle, found.pts, allow_pickle=False)
            licence = config.folder.licence_of(source.uri)
            finding = Finding(video=video_record(source, found, corpus=config.source, licence=licence))
        else:
            assert found is not None
            finding = Finding(reject=_rejected(source.uri, found))
        # Written last: a finding without it does not count.
        write_bytes(_part(stage, source, "json"), finding.model_dump_json().encode())


def _finding(stage: Stage, source: Source) -> Finding:
    return Finding.model_validate_json(_part(stage, source, "json").read_bytes())


def _try_decoders(stage: Stage, corpus: Corpus, config: IndexConfig, *, engine: Engine) -> None:
    for name in config.check_decoders:
        checks = []
        for source in corpus.sources:
            video = _finding(stage, source).video
            if video is not None and not _part(stage, source, name).exists():
                pts = _part(stage, source, "npy")
                checks.append(Check(source, video, pts, name, config.decoder_deadline_s))
        outcomes = engine.run_each(
            try_decoder,
            checks,
            deadline_s=config.deadline_s,
            extra_s=lambda check: config.deadline_per_mb_s * check.source.content.size / _MB,
        )
        for outcome in track(outcomes, total=len(checks), label=f"check {name}"):
            found = verdict(outcome.item, outcome.value, outcome.error)
            write_bytes(_part(stage, outcome.item.source, name), found.model_dump_json().encode())


def _publish(stage: Stage, corpus: Corpus, readings: Sequence[Reading], config: IndexConfig) -> None:
    rejects = list(corpus.rejects)
    findings = [(source, _finding(stage, source)) for source in corpus.sources]
    usable = [source.uri for source, found in findings if found.video]
    matches = _matches(corpus, readings, config, usable=usable)
    videos = list(_finished(stage, findings, matches, config, rejects))
    (stage.final / "pts").mkdir()
    for video in videos:
        shutil.copyfile(stage.work / "parts" / f"{video.id}.npy", stage.final / video.pts_index)
    write_table(stage.final / "videos.parquet", Video, videos)
    said = Annotations(corpus.listing, videos, config.folder, matches)
    n_annotations = write_table(stage.final / "annotations.parquet", Annotation, said.rows())
    rejects += said.rejects
    write_json(stage.final / "source.json", {"root": _root(corpus.listing, stage.out)})
    write_json(stage.final / INPUTS, dict(corpus.digests))
    counts = {
        "files": corpus.n_files,
        "videos": len(videos),
        "left out": corpus.n_files - len(videos),
        "degraded": sum(video.status == "degraded" for video in videos),
        "sidecars": len(corpus.listing.sidecars),
        "annotations": n_annotations,
    }
    if matches:
        accounts = said.accounts()
        write_json(stage.final / CORPORA, list(accounts))
        counts["corpus rows"] = sum(match.reading.n_rows for match in matches)
        counts["corpus rows of absent videos"] = sum(match.rows(match.absent) for match in matches)
    rejects.sort(key=lambda row: row.item)
    stage.commit(rejects=rejects, counts=counts, tools=tool_versions(*_TOOLS))


def _matches(corpus: Corpus, readings: Sequence[Reading], config: IndexConfig, *, usable: Sequence[str]) -> list[Match]:
    """Every corpus, held against the videos."""
    known = {file.uri for file in corpus.listing.videos} | {row.item for row in corpus.rejects}
    unusable = sorted(uri for uri in known - set(usable) if PurePosixPath(uri).suffix.lower() in config.folder.suffixes)
    return [
        match_corpus(told, reading, usable=usable, unusable=unusable, suffixes=config.folder.suffixes)
        for told, reading in zip(corpus.told, readings, strict=True)
    ]


def _finished(
    stage: Stage,
    findings: Sequence[tuple[Source, Finding]],
    matches: Sequence[Match],
    config: IndexConfig,
    rejects: list[Reject],
) -> Iterator[Video]:
    """The records in the order of their paths, with split and decoders; adds to `rejects` what was left out."""
    groups = {found.video.uri: found.video.group for _, found in findings if found.video}
    splits = assign_splits(groups.values(), config.split, stated_splits(matches, groups))
    if findings and len(set(splits.values())) < len(config.split.shares):
        log.warning("%d different videos do not fill every split: only %s", len(splits), sorted(set(splits.values())))
    for source, found in findings:
        if found.reject is not None:
            rejects.append(found.reject)
        if found.video is not None:
            verdicts = [
                Verdict.model_validate_json(_part(stage, source, name).read_bytes()) for name in config.check_decoders
            ]
            rejects += [item.reject for item in verdicts if item.reject is not None]
            trusts = tuple(item.trust for item in verdicts)
            told = {
                "split": splits[found.video.group],
                "decoders": trusts,
                "licence": licence_with(found.video.licence, source.uri, matches),
            }
            yield found.video.model_copy(update=told)


def _enforce_limit(stage: Stage, config: IndexConfig) -> None:
    counts = stage.counts()
    files, lost_files = counts["files"], counts["left out"]
    where = f"{stage.out}/rejects.jsonl says why"
    if not counts["videos"]:
        raise DataError(f"{stage.out}: not one of {files} video files can be used; {where}")
    if lost_files > config.reject_limit * files:
        raise DataError(
            f"{stage.out}: {lost_files} of {files} video files were left out, expected at most a share of "
            f"{config.reject_limit:g} (setting index.reject_limit); {where}"
        )
