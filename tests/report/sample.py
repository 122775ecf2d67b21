"""Made-up records of every kind for the report's tests, decided by a seed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from PIL import Image

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.perceived import Detector, Embedder, Keyframe, Scene, Shot, Signals
from datasets_build.core.records import (
    Answer,
    Audio,
    DecisionRun,
    DecisionTrack,
    DecoderTrust,
    Dialogue,
    Event,
    Evidence,
    Problem,
    Provenance,
    Reject,
    StreamingQA,
    Turn,
    Video,
    derive_id,
)
from tests.builders.made import scenes_at

RULE = Provenance(kind="rule", agent="sample", version="1", inputs=("a", "b"))
TEMPLATE = Provenance(kind="template", agent="template/plain", version="1", seed=7)
EMBEDDER = Embedder(name="signature", weights="none", is_semantic=False)
SLOW = ("fade_through", "dissolve")
LABELS = {
    "pan_left": "The camera pans to the left.",
    "zoom_in": "The camera zooms in.",
    "motion_burst": "Something moves quickly.",
    "still": "Nothing moves.",
    "caption": "A woman walks along the ridge.",
}
QUESTION_KINDS = (
    ("backward", "event_recall", "What happened just before?"),
    ("realtime", "what_now", "What is happening right now?"),
    ("forward", "wait_for", "Tell me what comes next once it is clear."),
    ("proactive", "alert", "Warn me whenever something moves quickly."),
    ("counting", "count", "How many camera moves have there been so far?"),
)


def make_video(name: str, *, duration_ns: int = 4 * NS_PER_S, **changes: object) -> Video:
    """A video record of a 25 fps file; `changes` replace fields."""
    video_id = derive_id("video", name)
    base = Video(
        id=video_id, video_id=video_id, source="folder", uri=name, sha256="ab" * 32, bytes=123_456,
        container="mov", codec="h264", pixel_format="yuv420p", width=160, height=120, sar_num=1, sar_den=1,
        rotation_deg=0, time_base_num=1, time_base_den=12_800, start_pts=0, start_offset_ns=0,
        duration_ns=duration_ns, n_frames=duration_ns * 25 // NS_PER_S, header_frames=None,
        avg_fps_num=25, avg_fps_den=1, is_vfr=False, max_gap_ns=40_000_000, max_jitter_ns=0, reorder_depth=0,
        audio=Audio(codec="aac", channels=2, sample_rate=48_000, start_offset_ns=0),
        pts_index=f"pts/{video_id}.npy", licence="CC0-1.0", group=video_id, split="train", status="ok",
        decoders=(DecoderTrust(name="decord", trusted=True), DecoderTrust(name="pyav", trusted=True)),
    )  # fmt: skip
    return base.model_copy(update=changes)


def make_jpeg(size: tuple[int, int] = (160, 120), colour: tuple[int, int, int] = (90, 120, 200)) -> bytes:
    """A plain picture."""
    aside = io.BytesIO()
    Image.new("RGB", size, colour).save(aside, "JPEG")
    return aside.getvalue()


def plain_picture(video: Video, t_ns: int) -> bytes:
    """A picture whose colour depends on the time."""
    share = t_ns / max(1, video.duration_ns)
    return make_jpeg((160, 120), (int(255 * share), 120, int(255 * (1 - share))))


@dataclass
class Made:
    """Records of some videos, as the stages would write them."""

    videos: list[Video]
    shots: list[Shot] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)
    keyframes: list[Keyframe] = field(default_factory=list)
    signals: list[Signals] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    questions: list[StreamingQA] = field(default_factory=list)
    dialogues: list[Dialogue] = field(default_factory=list)


Picture = Callable[[Video, int], bytes]


def make_records(videos: Sequence[Video], picture: Picture = plain_picture, *, seed: int = 0) -> Made:
    """Records of every kind for the videos."""
    made = Made(list(videos))
    for video in videos:
        rng = random.Random(f"{seed} {video.id}")
        frames = [k * 40_000_000 for k in range(video.n_frames)]
        made.shots += make_shots(video, frames, rng)
        own = [shot for shot in made.shots if shot.video_id == video.id]
        made.scenes += scenes_at(own)
        made.keyframes += [make_keyframe(video, shot, picture(video, shot.start_ns)) for shot in own]
        made.signals += make_signals(video, frames)
        made.events += make_events(video, frames, rng)
        events = [event for event in made.events if event.video_id == video.id]
        made.questions += make_questions(video, events)
        made.dialogues.append(make_dialogue(video, events))
    return made


def make_shots(video: Video, frames: Sequence[int], rng: random.Random) -> list[Shot]:
    count = max(2, video.duration_ns // (5 * NS_PER_S))
    cuts = [0, *sorted(rng.sample(range(1, len(frames)), min(count - 1, len(frames) - 1))), len(frames)]
    kinds = ["first", *rng.choices(["cut", "fade_through", "dissolve"], [6, 2, 2], k=len(cuts))]
    detector = Detector(name="adaptive", version="1", decoder="pyav")
    times = [*frames, video.duration_ns]
    return [
        Shot(
            id=derive_id("shot", video.id, k), video_id=video.id, start_ns=times[a], end_ns=times[b], ordinal=k,
            start_frame=a, end_frame=b, transition=kinds[k], score=3.5, detector=detector,
            transition_start_ns=times[max(0, a - 3)] if kinds[k] in SLOW else times[a],
            transition_end_ns=times[min(b, a + 3)] if kinds[k] in SLOW else times[a],
        )
        for k, (a, b) in enumerate(pairwise(cuts))
    ]  # fmt: skip


def make_keyframe(video: Video, shot: Shot, jpeg: bytes) -> Keyframe:
    return Keyframe(
        id=derive_id("keyframe", shot.id), video_id=video.id, shot_id=shot.id, t_ns=shot.start_ns,
        frame_index=shot.start_frame, reason="first", novelty=0.5, embedder=EMBEDDER, embedding=(0.5, 0.25), jpeg=jpeg,
    )  # fmt: skip


def make_signals(video: Video, frames: Sequence[int]) -> list[Signals]:
    x = np.linspace(0, 18, len(frames))
    wave = (0.5 + 0.3 * np.sin(x) + 0.1 * np.sin(7 * x)).tolist()
    spikes = (0.02 + 0.1 * np.exp(-((x % 5 - 2.5) ** 2) * 8)).tolist()
    half = len(frames) // 2
    return [
        Signals(
            id=derive_id("signals", video.id, k), video_id=video.id, ordinal=k, t_ns=frames[a:b], luma=wave[a:b],
            contrast=wave[a:b], motion=spikes[a:b], complexity=[value / 2 for value in wave[a:b]],
            pan_x=[0.0] * (b - a), pan_y=[0.0] * (b - a), zoom=[0.0] * (b - a),
        )
        for k, (a, b) in enumerate([(0, half), (half, len(frames))])
    ]  # fmt: skip


def make_event(video: Video, start_ns: int, end_ns: int, label: str = "pan_left", **changes: object) -> Event:
    base = Event(
        id=derive_id("event", video.id, start_ns, end_ns, label), video_id=video.id, start_ns=start_ns, end_ns=end_ns,
        label=label, label_set="streamvl/picture-1", caption=LABELS.get(label, "A new shot starts."),
        is_point=start_ns == end_ns, known_from_ns=start_ns + (end_ns - start_ns) // 4, confidence=0.9,
        onset_uncertainty_ns=20_000_000, source="signal", provenance=RULE,
    )  # fmt: skip
    return base.model_copy(update=changes)


def make_events(video: Video, frames: Sequence[int], rng: random.Random) -> list[Event]:
    count = max(4, video.duration_ns // (3 * NS_PER_S))
    out = []
    for _ in range(count):
        start = rng.randrange(len(frames) - 2)
        end = min(len(frames) - 1, start + rng.randrange(5, max(6, min(150, len(frames) // 3))))
        out.append(make_event(video, frames[start], frames[end], rng.choice(list(LABELS))))
    for _ in range(2):
        start = frames[rng.randrange(1, len(frames))]
        out.append(make_event(video, start, start, "shot_start", source="shot"))
    unique = {event.id: event for event in out}
    return sorted(unique.values(), key=lambda event: (event.start_ns, event.end_ns, event.id))


def make_question(video: Video, event: Event, kind: int, **changes: object) -> StreamingQA:
    mode, task, text = QUESTION_KINDS[kind % len(QUESTION_KINDS)]
    late = min(video.duration_ns, event.end_ns + NS_PER_S)
    ask = {"backward": late, "realtime": event.known_from_ns}.get(mode, max(0, event.start_ns - 2 * NS_PER_S))
    from_ns = max(ask, event.known_from_ns)
    answer = Answer(text=event.caption, t_ns=from_ns, window_start_ns=from_ns, window_end_ns=max(from_ns, late))
    base = StreamingQA(
        id=derive_id("qa", event.id, kind), video_id=video.id, mode=mode, task=task, question=text, ask_ns=ask,
        evidence=(Evidence(start_ns=event.start_ns, end_ns=event.end_ns, event_id=event.id),),
        answerable_from_ns=from_ns, answers=(answer,), provenance=TEMPLATE,
    )  # fmt: skip
    return base.model_copy(update=changes)


def make_questions(video: Video, events: Sequence[Event]) -> list[StreamingQA]:
    out = [make_question(video, event, k) for k, event in enumerate(events)]
    out[0] = out[0].model_copy(update={"options": ("left", "right", "up"), "correct_option": k_of(video)})
    if len(out) > 3:
        out[3] = out[3].model_copy(update={"unanswerable": True})
    return sorted(out, key=lambda row: row.ask_ns)


def k_of(video: Video) -> int:
    return int(video.id, 16) % 3


def make_dialogue(video: Video, events: Sequence[Event]) -> Dialogue:
    """A question, then a remark on every event; the user cuts the second remark short."""
    turns = [Turn(id="t0", role="user", start_ns=0, end_ns=NS_PER_S, text="Describe what you see as it happens.")]
    free = NS_PER_S
    for k, event in enumerate(events):
        start, end = event.known_from_ns, min(video.duration_ns, event.known_from_ns + 2 * NS_PER_S)
        if start < free or end - start < NS_PER_S // 2:
            continue
        cut = len(turns) == 2
        text = event.caption[:12] if cut else event.caption
        turns.append(
            Turn(
                id=f"t{k + 1}",
                role="assistant",
                start_ns=start,
                end_ns=end,
                text=text,
                state="respond",
                trigger="event",
                trigger_ref=event.id,
                answerable_from_ns=event.known_from_ns,
                evidence=(Evidence(start_ns=event.start_ns, end_ns=event.known_from_ns, event_id=event.id),),
                window_start_ns=start,
                window_end_ns=end,
                truncated_at_char=12 if cut else None,
                intended_text=event.caption if cut else None,
            )
        )
        free = end
        if cut:
            free = min(video.duration_ns, end + NS_PER_S)
            turns.append(Turn(id="cut", role="user", start_ns=end, end_ns=free, text="Stop.", interrupts=turns[-1].id))
    return Dialogue(
        id=derive_id("dialogue", video.id), video_id=video.id, start_ns=0, end_ns=video.duration_ns,
        system="You watch a video as it is shown.", language="en", turns=tuple(turns),
        decisions=(decide("2/1", video, turns),), provenance=TEMPLATE,
    )  # fmt: skip


def decide(grid: str, video: Video, turns: Sequence[Turn]) -> DecisionTrack:
    step = NS_PER_S // 2
    states = []
    for t in range(0, video.duration_ns, step):
        speaking = any(turn.role == "assistant" and turn.start_ns <= t < turn.end_ns for turn in turns)
        soon = any(turn.role == "assistant" and t < turn.start_ns <= t + NS_PER_S for turn in turns)
        states.append("respond" if speaking else "standby" if soon else "silence")
    runs: list[DecisionRun] = []
    for k, state in enumerate(states):
        if runs and runs[-1].state == state:
            runs[-1] = runs[-1].model_copy(update={"steps": runs[-1].steps + 1})
        else:
            runs.append(DecisionRun(state=state, start_ns=k * step, steps=1))
    return DecisionTrack(grid=grid, runs=tuple(runs))


REJECT = Reject(
    stage="index", item="broken.mp4", code="cannot_open", reason="moov atom not found", action="download it again"
)
TRUNCATED = Problem(code="truncated", detail="140 of 234 frames decode", at_ns=4_640_000_000)
