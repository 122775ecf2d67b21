"""Events: what shots, signals and annotations say happened, on the frame grid, with the instant it could be known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from pydantic import Field

from datasets_build.builders.captions import CaptionsConfig
from datasets_build.builders.corrected import in_order
from datasets_build.builders.curves import (
    Above,
    Below,
    Change,
    Curves,
    Run,
    above,
    below,
    dark,
    drift,
    fade_span,
    join_signals,
)
from datasets_build.core.clock import FrameClock, Span
from datasets_build.core.config import Config
from datasets_build.core.perceived import Shot, Signals
from datasets_build.core.records import Annotation, Event, Provenance, Reject, Video, derive_id
from datasets_build.core.topics import ACTS, PICTURE_SET
from datasets_build.teachers.settings import ModelName
from datasets_build.teachers.template import load_template
from datasets_build.truth.places import shares_of

RULES_VERSION = "3"
SUBTITLE_ORIGINS = frozenset({"srt", "vtt", "ass", "ssa", "sub", "ttml", "subtitles"})
_MS = 1_000_000
_NO_BOX = "expected 'left top width height' inside the picture, as shares of its sides from 0 to 1, found"


class EventsConfig(Config):
    """Thresholds; times in ns, brightness and change 0..1, camera movement in pictures per second.

    `recognise_ns` is how long a viewer looks at something before it can be told what it is. Instants (cuts) are known
    at once, subtitles when they start. A fade out and the fade in behind it are one with at most `fade_reach_ns` of
    black between them; of a fade whose span nobody found it bounds both sides of the darkest point. Without `signals`
    nothing that was measured makes an event: cuts, fades and what is told remain. With a `teacher` a model looks at the
    keyframes of every shot and says what is seen in it.
    """

    signals: bool = True
    teacher: Literal["none"] | ModelName = "none"
    captions: CaptionsConfig = CaptionsConfig()
    recognise_ns: int = Field(default=400 * _MS, ge=0)
    pan: Above = Above(on=0.08, off=0.04, min_ns=500 * _MS)
    tilt: Above = Above(on=0.08, off=0.04, min_ns=500 * _MS)
    zoom: Above = Above(on=0.10, off=0.05, min_ns=500 * _MS)
    still: Below = Below(on=0.012, off=0.03, min_ns=2_000 * _MS)
    motion_burst: Above = Above(on=0.15, off=0.08, min_ns=300 * _MS)
    black: Below = Below(on=0.06, off=0.09, min_ns=300 * _MS)
    black_contrast: float = Field(default=0.06, ge=0)
    light: Change = Change(on=0.10, off=0.04, min_ns=250 * _MS, min_change=0.12)
    fade_level: float = Field(default=0.06, ge=0)
    fade_reach_ns: int = Field(default=3_000 * _MS, gt=0)


@dataclass(frozen=True, slots=True)
class Found:
    """A video's events in order of time, and the annotations that should have become some and did not, with reasons."""

    events: list[Event]
    rejects: list[Reject]


def events_of(
    video: Video,
    clock: FrameClock,
    shots: Sequence[Shot],
    signals: Sequence[Signals],
    annotations: Sequence[Annotation],
    config: EventsConfig,
) -> Found:
    """Collect everything that happens in a video. There is always a first event: the video begins.

    Every time in the result is a frame's time or the video's end, and `start_ns <= known_from_ns <= end_ns`.
    """
    # A new shot after a fade is seen when the picture comes back, so only hard transitions break the curves.
    breaks = [shot.start_ns for shot in shots if shot.transition in ("cut", "dissolve")]
    curves = join_signals(signals, clock, breaks)
    events = list(_from_shots(video, clock, shots, curves, config))
    veiled = tuple(event.span for event in events if event.label in ("fade", "dissolve"))
    made = [_from_annotation(video, clock, annotation, config) for annotation in annotations]
    told = [event for event in made if isinstance(event, Event)]
    rejects = [reject for reject in made if isinstance(reject, Reject)]
    acts = [_act_span(event, clock) for event in told if event.label in ACTS]
    for run in _measured(replace(curves, veiled=veiled), clock, config) if config.signals else ():
        parts = _unmoved(run, acts, clock, config) if run.label == "still" else [run]
        events += [_from_run(video, part, signals) for part in parts]
    events += told
    return Found(in_order(events), rejects)


def _picture_event(
    video: Video, run: Run, *, source: Literal["shot", "signal"], inputs: Sequence[str], confidence: float = 1.0
) -> Event:
    return Event(
        id=derive_id("event", video.id, PICTURE_SET, run.label, run.start_ns, run.end_ns, *inputs[:1]),
        video_id=video.id,
        start_ns=run.start_ns,
        end_ns=run.end_ns,
        label=run.label,
        label_set=PICTURE_SET,
        caption=load_template().caption_of(run.label),
        is_point=run.start_ns == run.end_ns,
        known_from_ns=run.known_ns,
        confidence=confidence,
        onset_uncertainty_ns=run.onset_gap_ns,
        offset_uncertainty_ns=run.offset_gap_ns,
        source=source,
        provenance=Provenance(kind="rule", agent=PICTURE_SET, version=RULES_VERSION, inputs=tuple(inputs)),
    )


def _instant(label: str, at_ns: int) -> Run:
    return Run(label=label, start_ns=at_ns, end_ns=at_ns, known_ns=at_ns, onset_gap_ns=0, offset_gap_ns=0)


def _from_shots(
    video: Video, clock: FrameClock, shots: Sequence[Shot], curves: Curves, config: EventsConfig
) -> Iterator[Event]:
    first = [shot.id for shot in shots[:1]]
    yield _picture_event(video, _instant("video_start", 0), source="shot", inputs=first)
    for before, shot in pairwise(shots):
        # Of a fade to black no new shot is seen: what follows the black tells it, and the signals tell the black.
        if shot.transition == "fade_to_black":
            continue
        of = [before, shot] if _is_fade(before, shot, config) else [shot]
        if shot.transition == "fade_through" and shot.transition_start_ns == shot.transition_end_ns:
            run = _by_brightness(clock, before, shot, curves=curves, config=config)
        else:
            run = _as_found(clock, of)
        certainty = min(1.0, max(0.0, min(each.score for each in of)))
        yield _picture_event(video, run, source="shot", inputs=[each.id for each in of], confidence=certainty)


def _is_fade(dark: Shot, shot: Shot, config: EventsConfig) -> bool:
    """Whether a shot comes back out of the black that the one before it is, soon enough to be one fade."""
    both = (dark.transition, shot.transition) == ("fade_to_black", "fade_from_black")
    return both and shot.transition_start_ns - dark.transition_end_ns <= config.fade_reach_ns


def _as_found(clock: FrameClock, shots: Sequence[Shot]) -> Run:
    """How the last of some shots comes to be seen; of two the first is the black of a fade."""
    shot = shots[-1]
    if shot.transition == "cut":
        return _instant("shot_start", clock.snap_up(shot.start_ns))
    label = "fade" if shot.transition == "fade_through" or len(shots) > 1 else "dissolve"
    span = clock.snap_span(Span(start_ns=shots[0].transition_start_ns, end_ns=shot.transition_end_ns))
    # Neither has been seen before the new shot is there.
    return Run(label, span.start_ns, span.end_ns, span.end_ns, 0, 0)


def _by_brightness(clock: FrameClock, before: Shot, shot: Shot, *, curves: Curves, config: EventsConfig) -> Run:
    """A fade of which only the darkest point is known."""
    at = shot.start_ns
    low, high = max(before.start_ns, at - config.fade_reach_ns), min(shot.end_ns, at + config.fade_reach_ns)
    within = Span(start_ns=low, end_ns=high)
    measured = fade_span(curves, clock, at, within=within, dark_level=config.fade_level)
    # Where nothing was measured the new shot is believed once it has been looked at.
    span = clock.snap_span(measured or Span(start_ns=at, end_ns=min(shot.end_ns, at + max(1, config.recognise_ns))))
    if span.duration_ns == 0:
        span = clock.snap_span(Span(start_ns=at, end_ns=at + 1))
    # "Fades out and in again" has been seen only when the new shot is there.
    gaps = (_sample_gap(curves, span.start_ns), _sample_gap(curves, span.end_ns)) if measured else (0, 0)
    return Run("fade", span.start_ns, span.end_ns, span.end_ns, *gaps)


def _sample_gap(curves: Curves, t_ns: int) -> int:
    """How far the measured sample before an instant lies back; 0 where the signal does not reach."""
    before = curves.t_ns[curves.t_ns < t_ns]
    return t_ns - int(before[-1]) if len(before) else 0


def _measured(curves: Curves, clock: FrameClock, config: EventsConfig) -> list[Run]:
    delay = config.recognise_ns
    found = []
    for label, values, rule in (
        ("pan_right", curves.pan_x, config.pan),
        ("pan_left", -curves.pan_x, config.pan),
        ("tilt_down", curves.pan_y, config.tilt),
        ("tilt_up", -curves.pan_y, config.tilt),
        ("zoom_in", curves.zoom, config.zoom),
        ("zoom_out", -curves.zoom, config.zoom),
        ("motion_burst", curves.motion, config.motion_burst),
    ):
        found += above(curves, clock, values, label=label, rule=rule, delay_ns=delay)
    found += below(curves, clock, curves.local_motion, label="still", rule=config.still, delay_ns=delay)
    found += dark(curves, clock, rule=config.black, max_contrast=config.black_contrast, delay_ns=delay)
    for label, sign in (("light_up", 1), ("light_down", -1)):
        found += drift(curves, clock, label=label, sign=sign, rule=config.light, delay_ns=delay)
    return found


def _from_run(video: Video, run: Run, signals: Sequence[Signals]) -> Event:
    inputs = [part.id for part in signals if part.t_ns[0] < run.end_ns and part.t_ns[-1] >= run.start_ns]
    return _picture_event(video, run, source="signal", inputs=inputs)


def _act_span(event: Event, clock: FrameClock) -> Span:
    """The frames at which an annotated act may show; an instant shows at its frame."""
    start = clock.snap_up(event.start_ns - event.onset_uncertainty_ns)
    return Span(start_ns=start, end_ns=clock.snap_up(event.end_ns + event.offset_uncertainty_ns + event.is_point))


def _unmoved(run: Run, acts: Sequence[Span], clock: FrameClock, config: EventsConfig) -> list[Run]:
    """What is left of a stillness where no annotated act shows: a small shape's way is lost in the mean change."""
    parts, low = [], run.start_ns
    edges = sorted((act.start_ns, act.end_ns) for act in acts if act.start_ns < run.end_ns)
    for first, last in [*edges, (run.end_ns, run.end_ns)]:
        if first - low >= max(1, config.still.min_ns):
            known = min(first, clock.snap_up(low + max(config.recognise_ns, config.still.min_ns)))
            gaps = (run.onset_gap_ns if low == run.start_ns else 0, run.offset_gap_ns if first == run.end_ns else 0)
            parts.append(Run(run.label, low, first, known, *gaps))
        low = max(low, last)
    return parts


def _label_of(annotation: Annotation) -> str:
    if annotation.label:
        return annotation.label
    if annotation.kind == "caption" and annotation.origin.lower() in SUBTITLE_ORIGINS:
        return "subtitle"
    return annotation.kind


def _from_annotation(
    video: Video, clock: FrameClock, annotation: Annotation, config: EventsConfig
) -> Event | Reject | None:
    """The event of an annotation, or why it is none; None for a box, which says where something is.

    A span too short to hold a frame becomes an instant: the first frame at which it has happened.
    """
    caption = annotation.text.strip() or (annotation.label or "").strip()
    if annotation.kind == "box":
        return None if shares_of(annotation.text) else _reject(video, annotation, "no_box", f"{_NO_BOX} {caption!r}")
    if annotation.kind == "qa":
        return _reject(video, annotation, "not_an_event", "a qa says of no span what happens in it")
    if not caption:
        return _reject(video, annotation, "no_words", "neither text nor label says what happens")
    span = clock.snap_span(annotation.span)
    if span.start_ns >= clock.end_ns:
        reason = f"no frame comes at or after its start, {annotation.start_ns} ns; the video ends at {clock.end_ns} ns"
        return _reject(video, annotation, "no_frame", reason)
    label = _label_of(annotation)
    is_point = annotation.is_point or span.duration_ns == 0
    end = span.start_ns if is_point else span.end_ns
    told = span.start_ns if label == "subtitle" else clock.snap_up(span.start_ns + config.recognise_ns)
    return Event(
        id=derive_id("event", video.id, annotation.id),
        video_id=video.id,
        start_ns=span.start_ns,
        end_ns=end,
        label=label,
        label_set=annotation.origin,
        caption=caption,
        subject=annotation.subject,
        is_point=is_point,
        known_from_ns=min(end, told),
        confidence=1.0 if annotation.confidence is None else annotation.confidence,
        onset_uncertainty_ns=span.start_ns - annotation.start_ns,
        offset_uncertainty_ns=abs(end - min(annotation.end_ns, clock.end_ns)),
        source="annotation",
        provenance=Provenance(
            kind=annotation.provenance.kind,
            agent=annotation.provenance.agent,
            version=annotation.provenance.version,
            inputs=(annotation.id,),
        ),
    )


def _reject(video: Video, annotation: Annotation, code: str, reason: str) -> Reject:
    return Reject(
        stage="events",
        item=f"{video.uri}: {annotation.kind} {annotation.id}",
        code=code,
        reason=reason,
        action="left out of the events; it stays in index/annotations.parquet",
        at_ns=annotation.start_ns,
    )
