"""A round at work: what is sent for each of its items, where its clips lie, and how what comes back is read."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from annotate.board import Posting, Project, Studio
from annotate.errors import AnnotateError
from annotate.lock import alone
from annotate.proxy import check_proxy, proxy_path
from annotate.pull import Reading
from annotate.rounds import Round
from annotate.screens import screen
from annotate.screens.regions import Flaw
from annotate.tasks import Item, Work
from annotate.validate import validate
from datasets_build.core.clock import FrameClock
from datasets_build.core.files import whole_file
from datasets_build.core.layout import clock_of, read_videos
from datasets_build.core.records import Json

INSTRUCTIONS = {
    "events": "Watch the clip. Move what is in the wrong place, remove what does not happen, draw what is missing.",
    "qa": "Watch the clip. For each question: accept it, fix its answer or its times, or reject it.",
    "dialogue": "Watch the clip. For each turn: accept it, fix its words, or reject it; say what is early or late.",
}


def data_folder(round_: Round) -> Path:
    """The folder whose records a round corrects. Raises AnnotateError where it is not there any more."""
    folder = (round_.folder / round_.manifest.data).resolve()
    if not (folder / "index" / "manifest.json").is_file():
        raise AnnotateError(f"{folder}: holds no finished index; round {round_.manifest.round} was made of it")
    return folder


def clocks_of(data: Path) -> Callable[[str], FrameClock]:
    """The clock of a video of a folder, by its id."""
    videos = {video.id: video for video in read_videos(data)}

    @lru_cache(maxsize=64)
    def clock(video_id: str) -> FrameClock:
        if video_id not in videos:
            raise AnnotateError(f"{data}: has no video {video_id} any more")
        return clock_of(data, videos[video_id])

    return clock


def screen_of(round_: Round) -> str:
    """The labelling configuration of a round.

    Raises:
        AnnotateError: this program makes another of its kind and labels than the one that the round was made with.
    """
    manifest = round_.manifest
    config = screen.config(manifest.kind, manifest.labels)
    found = hashlib.sha256(config.encode()).hexdigest()
    if found != manifest.config_sha256:
        raise AnnotateError(
            f"round {manifest.round}: config_sha256: found {found}, expected {manifest.config_sha256}: its screen is "
            "of another version of this program; go on with that one, or make a round of another name"
        )
    return config


def posting_of(round_: Round, studio: Studio, media: Path) -> Callable[[Item], Posting]:
    """What is sent for an item; nothing of it says whether it is gold.

    Args:
        round_: the round.
        studio: the server.
        media: the folder in which it finds the round's clips.
    """
    labels = round_.manifest.labels

    def posting(item: Item) -> Posting:
        url = studio.media_url(media / proxy_path(round_.proxies, item.window).name)
        task = screen.encode(item, video=url)
        if flaws := validate(list(task.result), item, labels, is_prediction=True):
            raise AnnotateError(f"item {item.key}: {flaws[0].detail}")
        version = round_.manifest.model_version if task.result else ""
        return Posting(key=item.key, data=task.data, result=task.result, model_version=version)

    return posting


def reading_of(round_: Round, posting: Callable[[Item], Posting] | None = None) -> Reading:
    """How the round's screen is read, on the clocks of its videos.

    With what was sent for an item, work on a task that shows something else by now is flagged.
    """
    labels, clock = round_.manifest.labels, clocks_of(data_folder(round_))

    def flaws(result: Sequence[Json], item: Item) -> list[Flaw]:
        return validate(result, item, labels)

    def decode(result: Sequence[Json], item: Item) -> Work:
        return screen.decode(result, item, clock(item.window.video_id))

    shown = None if posting is None else lambda item: posting(item).data
    return Reading(validate=flaws, decode=decode, untouched=screen.untouched, shown=shown)


def clips_folder(round_: Round, root: Path) -> Path:
    """Where a server that shows files from `root` finds the round's clips."""
    return root / round_.title.replace(" ", "-")


class Showing:
    """A server that is to show a folder of clips in a project before any task is sent there."""

    def __init__(self, studio: Studio, clips: Path) -> None:
        self._studio, self._clips = studio, clips

    def project(self, title: str, config: str, *, instructions: str = "", overlap: int = 1) -> Project:
        """As `Studio.project`. Raises AnnotateError where the server does not show the clips."""
        return self._shown(self._studio.project(title, config, instructions=instructions, overlap=overlap))

    def find(self, title: str, config: str, *, overlap: int = 1) -> Project:
        """As `Studio.find`. Raises AnnotateError where the server does not show the clips."""
        return self._shown(self._studio.find(title, config, overlap=overlap))

    def keys(self, project: Project, wanted: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """As `Studio.keys`."""
        return self._studio.keys(project, wanted)

    def send(self, project: Project, postings: Sequence[Posting]) -> None:
        """As `Studio.send`."""
        self._studio.send(project, postings)

    def _shown(self, project: Project) -> Project:
        self._studio.media(project, self._clips)
        return project


def show_clips(round_: Round, root: Path) -> Path:
    """Lets a server find the round's clips: a folder of them below what it shows, as links where that can be.

    Raises:
        AnnotateError: the folder cannot be made, the disk is full, or a clip is not the one that was made.
    """
    folder = clips_folder(round_, root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            for item in round_.items:
                path = proxy_path(round_.proxies, item.window)
                if (folder / path.name).exists():
                    check_proxy(folder, item.window)
                else:
                    check_proxy(round_.proxies, item.window)
                    _put(path, folder / path.name)
    except OSError as error:
        raise AnnotateError(f"{folder}: the clips cannot be put there ({error.strerror})") from error
    return folder


def _put(path: Path, there: Path) -> None:
    # Another disk takes no hard link.
    with suppress(OSError):
        os.link(path, there)
        return
    with whole_file(there) as aside:
        shutil.copyfile(path, aside)
