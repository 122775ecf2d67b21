"""Pictures of what a pipeline does to a clip: its timeline before and after, labels on both, and the map between."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from augment.boxes import KIND, Box, box_of
from augment.clip import Augmented, Clip
from augment.errors import AugmentError
from augment.maker import Maker
from augment.settings import Pipeline
from augment.sheet import LEFT, RIGHT, STRIP, WIDTH, Joined, Part, Sheet, drawn, step_of
from augment.showing import Reel, Showing
from augment.source import Source, by_size
from augment.timeline import Links, bars_of, left_out, links_of
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.files import write_bytes
from datasets_build.core.layout import video_path
from datasets_build.core.records import Annotation
from datasets_build.video import decoder_for, read

# Between the timelines of videos that are put together, s.
GAP_S = 0.6


def figures(
    source: Source,
    pipelines: Mapping[str, Pipeline],
    folder: Path,
    *,
    video: str | None = None,
    begin_s: float = 0.0,
    until_s: float | None = None,
) -> list[Path]:
    """Draws what pipelines do to a clip, a picture for each.

    Args:
        source: a finished output folder.
        pipelines: by the name of the picture.
        folder: where the pictures go.
        video: uri of the video; the first without.
        begin_s: where what is shown of both timelines begins.
        until_s: where it ends; with the longer one without.

    Raises:
        AugmentError: the folder has no such video, or a pipeline does nothing to it or cannot.
        VideoError: a file cannot be read.
    """
    clips = list(source.clips())
    clip = next((each for each in clips if video in (None, each.video.uri)), None)
    if clip is None:
        found = ", ".join(each.video.uri for each in clips[:5])
        raise AugmentError(f"{source.out}: has no video {video} with events, expected one of {found}")
    sheets = {
        name: _sheet(source, clips, clip, pipeline, stretch_s=(begin_s, until_s))
        for name, pipeline in pipelines.items()
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AugmentError(f"{folder}: cannot be made as a folder for the pictures ({error.strerror})") from error
    paths = [folder / f"{name}.png" for name in sheets]
    for path, sheet in zip(paths, sheets.values(), strict=True):
        write_bytes(path, drawn(sheet))
    return paths


def _sheet(
    source: Source, clips: Sequence[Clip], clip: Clip, pipeline: Pipeline, *, stretch_s: tuple[float, float | None]
) -> Sheet:
    maker = Maker(
        pipeline=pipeline,
        rules=source.rules("streaming_qa"),
        talk_rules=source.rules("dialogue"),
        others=by_size(clips),
    )
    made = maker.make(clip, 0)
    if made is None:
        raise AugmentError(f"{clip.video.uri}: chance did nothing to it; set p to 1 for a picture")
    there = {each.video.id: each for each in clips}
    names = list(dict.fromkeys(piece.source for piece in made.view.pieces))
    reels = {
        name: Reel(video=there[name].video, path=video_path(source.out, there[name].video), clock=there[name].clock)
        for name in names
    }
    lengths = [there[name].clock.end_ns / NS_PER_S for name in names]
    begins = dict(zip(names, accumulate((each + GAP_S for each in lengths), initial=0.0), strict=False))
    whole = max(begins[names[-1]] + lengths[-1], made.view.end_ns / NS_PER_S)
    begin, until = stretch_s
    stretch = (begin, whole if until is None else until)
    if not 0 <= stretch[0] < min(whole, stretch[1]) or math.isinf(stretch[1]):
        raise AugmentError(
            f"a picture from {begin:g} s until {stretch[1]:g} s: expected a stretch of [0, {whole:.2f}] s"
        )
    shown = Showing(view=made.view, reels=reels, looks=made.looks)
    return Sheet(
        title=" + ".join(
            _told(operation.model_dump(exclude_unset=True) | {"kind": operation.kind})
            for operation in pipeline.operations
        ),
        before=[_before(reels[name], there[name], begins[name], made, stretch) for name in names],
        after=_after(made, shown, stretch),
        links=[_joined(links, begins[links.source]) for links in links_of(made.view, every_ns=step_of(stretch))],
        stretch_s=stretch,
    )


def _told(settings: Mapping[str, object]) -> str:
    """An operation in one line, much as YAML has it."""
    more = ", ".join(f"{name}: {_value(value)}" for name, value in settings.items() if name not in ("kind", "p"))
    return f"{settings['kind']} ({more})" if more else str(settings["kind"])


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_value(each)}" for name, each in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _slots(begins_s: float, length_s: float, aspect: float, stretch_s: tuple[float, float]) -> list[float]:
    """Where the pictures of a strip begin on its own axis, s: side by side on what is shown of it."""
    width = STRIP * aspect * (stretch_s[1] - stretch_s[0]) / (WIDTH - LEFT - RIGHT)
    first, last = max(0.0, stretch_s[0] - begins_s), min(length_s, stretch_s[1] - begins_s)
    # The last one has less room, and is cut.
    return [first + k * width for k in range(math.ceil((last - first) / width - 0.02))]


def _before(reel: Reel, clip: Clip, begins_s: float, made: Augmented, stretch_s: tuple[float, float]) -> Part:
    width, height = clip.video.upright_size
    slots = _slots(begins_s, clip.clock.end_ns / NS_PER_S, width / height, stretch_s)
    times = [round(slot * NS_PER_S) for slot in slots]
    pixels = read(reel.path, reel.clock, times, decoder=decoder_for(reel.video)).data
    return Part(
        name=clip.video.uri,
        begins_s=begins_s,
        length_s=clip.clock.end_ns / NS_PER_S,
        bars=bars_of(clip, left_out(made, clip)),
        frames_s=(clip.clock.t_ns / NS_PER_S).tolist(),
        pictures=dict(zip(slots, pixels, strict=True)),
        boxes=_boxes(clip.annotations, slots, made),
    )


def _after(made: Augmented, shown: Showing, stretch_s: tuple[float, float]) -> Part:
    end = made.clip.clock.end_ns / NS_PER_S
    width, height = made.clip.video.upright_size
    slots = _slots(0.0, end, width / height, stretch_s)
    pixels = shown.frames([round(slot * NS_PER_S) for slot in slots])
    return Part(
        name="augmented",
        begins_s=0.0,
        length_s=end,
        bars=bars_of(made.clip, {}),
        frames_s=(made.clip.clock.t_ns / NS_PER_S).tolist(),
        pictures=dict(zip(slots, pixels, strict=True)),
        boxes=_boxes(made.clip.annotations, slots, made),
    )


def _boxes(rows: Sequence[Annotation], slots: Sequence[float], made: Augmented) -> dict[float, list[Box]]:
    """What is tracked in each picture, where a part of the picture is chosen by that; else nothing."""
    told = [row for row in rows if row.kind == KIND] if any(look.kind == "window" for look in made.looks) else []
    return {slot: [box_of(row) for row in told if row.span.contains(round(slot * NS_PER_S))] for slot in slots}


def _joined(links: Links, begins_s: float) -> Joined:
    def moved(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(begins_s + above / NS_PER_S, below / NS_PER_S) for above, below in pairs]

    return Joined(ends=moved(links.ends), bends=moved(links.bends), even=moved(links.even))
