"""The schema: the kinds of record that travel between stages; those of what is seen lie in `perceived`.

All times are `int64` nanoseconds on the clock of the video that the record names (zero = first shown frame); spans
are half-open. Records are frozen and refuse unknown fields. A later stage never edits an earlier record: it makes a
new one that names its parent. The Arrow schema and the JSON Schema are derived from these classes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from datasets_build.core.clock import Span

SCHEMA_VERSION = "1.2.0"

T = TypeVar("T")
Many = Annotated[tuple[T, ...], Strict(False)]  # also accepts the list that a table hands back
Float16 = Annotated[float, "float16"]  # tables store it in two bytes
Float32 = Annotated[float, "float32"]  # in four
Ns = Annotated[int, Field(ge=0, lt=2**63)]  # nanoseconds on a video's clock
Split = Literal["train", "validation", "test"]
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # made once: that takes longer than encoding


def derive_id(kind: str, parent: str, *payload: str | int | float | bool | None) -> str:
    """A deterministic id: 20 hex digits of blake2b over kind, parent and payload."""
    return hashlib.blake2b(_JSON.encode([kind, parent, *payload]).encode(), digest_size=10).hexdigest()


class Part(BaseModel):
    """A piece of a record: frozen, strict, no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Record(Part):
    """A row of a table. Every record has an id and belongs to one video."""

    id: str
    video_id: str


class Provenance(Part):
    """Who made a record, from what, and (where a clock was read) when.

    `agent` names the rule, model, corpus or annotator, `inputs` the ids of the records it was made from. `made_at` is
    an ISO 8601 instant, empty for rules, whose output must not depend on the hour.
    """

    kind: Literal["rule", "template", "model", "person", "corpus"]
    agent: str
    version: str = ""
    prompt_sha256: str | None = None
    seed: int | None = None
    round: str | None = None
    inputs: Many[str] = ()
    made_at: str | None = None


class Problem(Part):
    """Something wrong with an input, in words that a person can act on."""

    code: str
    detail: str
    at_ns: Ns | None = None


class Audio(Part):
    """The first audio stream; `start_offset_ns` is its first sample minus the first video frame."""

    codec: str
    channels: int
    sample_rate: int
    start_offset_ns: int


class DecoderTrust(Part):
    """Whether a random-access decoder may read a file: its count, times and sampled pictures agreed with the index."""

    name: str
    trusted: bool
    reason: str = ""


class Video(Record):
    """One source video. `id == video_id`; `uri` is relative to the root that the index manifest names.

    `width`, `height`: the coded size, which `rotation_deg` (clockwise, 0, 90, 180 or 270) turns upright. `n_frames`
    decode, `header_frames` are what the file claims. `start_offset_ns`: the first frame's time on the container's own
    timeline. `group` keys the split: videos of one group never part.
    """

    source: str
    uri: str
    sha256: str
    bytes: int
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    sar_num: int
    sar_den: int
    rotation_deg: int
    time_base_num: int
    time_base_den: int
    start_pts: int
    start_offset_ns: int
    duration_ns: Ns
    n_frames: int
    header_frames: int | None
    avg_fps_num: int
    avg_fps_den: int
    is_vfr: bool
    max_gap_ns: Ns
    max_jitter_ns: Ns
    reorder_depth: int
    audio: Audio | None
    pts_index: str
    licence: str
    group: str
    split: Split
    status: Literal["ok", "degraded", "quarantined"]
    problems: Many[Problem] = ()
    decoders: Many[DecoderTrust] = ()

    @property
    def upright_size(self) -> tuple[int, int]:
        """`(width, height)` as shown, rotation applied."""
        return (self.height, self.width) if self.rotation_deg in (90, 270) else (self.width, self.height)


class SpanRecord(Record):
    """A record with a half-open span on the video's clock."""

    start_ns: Ns
    end_ns: Ns

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end_ns < self.start_ns:
            raise ValueError(f"end_ns comes at or after start_ns, found [{self.start_ns}, {self.end_ns})")
        return self

    @property
    def span(self) -> Span:
        """The record's interval."""
        return Span(start_ns=self.start_ns, end_ns=self.end_ns)


class Parameter(Part):
    """A named number of a detector's setting."""

    name: str
    value: float


class Annotation(SpanRecord):
    """What a corpus or a person already says about a video: verbatim text with its span or instant.

    `label` is the corpus's own class name where it has one. `adjusted` tells how the span was fitted to the video.
    """

    kind: Literal["caption", "label", "word", "qa", "box"]
    text: str
    label: str | None = None
    language: str | None = None
    confidence: float | None = None
    is_point: bool = False
    subject: str | None = None
    adjusted: str | None = None
    origin: str
    provenance: Provenance


class Event(SpanRecord):
    """Something that happens, on the frame grid; `is_point` for an instant (`start_ns == end_ns`).

    `label` is a class of `label_set`; `caption` a sentence. `known_from_ns` is the earliest instant at which a viewer
    who has seen everything up to it can tell that the event is under way. The uncertainties bound both ends.
    """

    label: str
    label_set: str
    caption: str
    subject: str | None = None
    is_point: bool = False
    known_from_ns: Ns
    confidence: float
    onset_uncertainty_ns: Ns = 0
    offset_uncertainty_ns: Ns = 0
    source: Literal["shot", "signal", "annotation", "human", "model", "merge"]
    parent_event_id: str | None = None
    provenance: Provenance


class FrameLabel(Record):
    """One step of a per-frame view of the events: which are on at this frame."""

    t_ns: Ns
    frame_index: int
    grid: str
    labels: Many[str]
    event_ids: Many[str]
    starting: Many[str]
    is_keyframe: bool
    shot_id: str | None


class Evidence(Part):
    """A span that proves (or only looks as if it proved) an answer."""

    start_ns: Ns
    end_ns: Ns
    event_id: str | None = None
    role: Literal["necessary", "sufficient", "distractor"] = "necessary"


class Answer(Part):
    """A timed answer: given at `t_ns`, right anywhere in its half-open window, until something supersedes it."""

    text: str
    t_ns: Ns
    window_start_ns: Ns
    window_end_ns: Ns
    valid_until_ns: Ns | None = None


class Probe(Part):
    """An instant at which the answer is probed: text, a number as text, yes / no; `known`: whether it can be told."""

    t_ns: Ns
    kind: Literal["count", "yes_no", "text", "known"]
    expected: str


class About(Part):
    """What a question is about: a class of the video's events, from which its truth can be worked out anew.

    `label`: this label and subject; with no subject an act of anyone, or what the picture shows. `caption`, `line`: in
    the words of `text`. `subject`: all it takes part in. Else all of a domain. `every`: followed to the video's end.
    """

    kind: Literal["label", "caption", "line", "subject", "scene", "camera", "changes", "shots"]
    label: str | None = None
    subject: str | None = None
    text: str | None = None
    every: bool = False


class StreamingQA(Record):
    """A question that becomes visible at `ask_ns`, with what proves its answers and when they could be known."""

    mode: Literal["backward", "realtime", "forward", "proactive", "counting"]
    task: str
    question: str
    about: About | None = None
    ask_ns: Ns
    evidence: Many[Evidence]
    answerable_from_ns: Ns
    answers: Many[Answer]
    options: Many[str] = ()
    correct_option: int | None = None
    unanswerable: bool = False
    twin_id: str | None = None
    test_points: Many[Probe] = ()
    provenance: Provenance


class Turn(Part):
    """One utterance. `end_ns` is when its last word is out; `evidence` and `answerable_from_ns` say why it may stand.

    A user's turn has `task` and `about`. One cut short keeps its length in `truncated_at_char`, all in `intended_text`.
    """

    id: str
    role: Literal["user", "assistant", "system"]
    start_ns: Ns
    end_ns: Ns
    text: str
    state: Literal["silence", "standby", "respond", "delegate"] | None = None
    trigger: Literal["user_query", "event", "timer", "correction", "interruption"] | None = None
    trigger_ref: str | None = None
    task: str | None = None
    about: About | None = None
    evidence: Many[Evidence] = ()
    answerable_from_ns: Ns | None = None
    window_start_ns: Ns | None = None
    window_end_ns: Ns | None = None
    interrupts: str | None = None
    truncated_at_char: int | None = None
    intended_text: str | None = None
    learn: bool = True
    loss_weight: float = 1.0


class DecisionRun(Part):
    """`steps` grid steps in a row with one state, the first of them at `start_ns`."""

    state: Literal["silence", "standby", "respond", "delegate"]
    start_ns: Ns
    steps: int


class DecisionTrack(Part):
    """What the assistant does at every step of a stated grid (`native` or a rate such as `2/1`)."""

    grid: str
    runs: Many[DecisionRun]


class Dialogue(SpanRecord):
    """A conversation over a span of video. Silence is not written as turns: it is derived on a grid."""

    system: str
    language: str
    turns: Many[Turn]
    decisions: Many[DecisionTrack]
    provenance: Provenance


class Reject(Part):
    """A row of `rejects.jsonl`: what was left out, where, why, and what to do about it."""

    stage: str
    item: str
    code: str
    reason: str
    action: str
    at_ns: int | None = None
