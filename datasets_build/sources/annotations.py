"""All annotations of an index, video by video: what stands beside a video, and what corpora say of it."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from datasets_build.core.records import Annotation, Json, Reject, Video
from datasets_build.sources.corpus import Match, account, placed_of, rejects_of_corpus
from datasets_build.sources.folder import FolderConfig, Listing, SidecarFile
from datasets_build.sources.said import Fault
from datasets_build.sources.sidecars import place, read_sidecar, reject, rejects_of

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Annotations:
    """The annotations of the usable `videos` of a listing; iterate once, then `rejects` and `accounts` are whole."""

    listing: Listing
    videos: Sequence[Video]
    config: FolderConfig
    matches: Sequence[Match]
    rejects: list[Reject] = field(default_factory=list)
    _placed: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Iterator[Annotation]:
        """Video by video and by time; adds to `rejects` what could not be read or placed."""
        of_video = self._sidecars()
        for match in self.matches:
            self.rejects += rejects_of_corpus(match)
        told: set[str] = set()
        for video in self.videos:
            rows: list[Annotation] = []
            for sidecar in of_video[video.uri]:
                sheet = read_sidecar(sidecar, self.config)
                if sidecar.uri not in told:
                    self.rejects += rejects_of(sheet, sidecar)
                    told.add(sidecar.uri)
                placed = place(sheet, sidecar, video)
                rows += placed.annotations
                self.rejects += placed.rejects
            for match in self.matches:
                placed = placed_of(match, video)
                rows += placed.annotations
                self.rejects += placed.rejects
                self._placed[match.corpus.uri] += len(placed.annotations)
            yield from sorted(rows, key=lambda row: (row.start_ns, row.end_ns))

    def _sidecars(self) -> dict[str, list[SidecarFile]]:
        usable = {video.uri for video in self.videos}
        of_video: dict[str, list[SidecarFile]] = defaultdict(list)
        for sidecar in self.listing.sidecars:
            for uri in sidecar.videos:
                of_video[uri].append(sidecar)
                if uri not in usable:
                    self.rejects.append(reject(sidecar, Fault("video_rejected", f"its video {uri} was left out")))
        return of_video

    def accounts(self) -> list[dict[str, Json]]:
        """What became of the rows of each corpus; logged too."""
        found = []
        for match in self.matches:
            row = account(match, self._placed[match.corpus.uri])
            log.warning(
                "%s: %d rows: %d annotations of %d videos, %d rejected, %d of %d videos that are not there",
                *(
                    row[name]
                    for name in ("uri", "rows", "annotations", "videos", "rejected", "absent", "absent videos")
                ),
            )
            found.append(row)
        return found
