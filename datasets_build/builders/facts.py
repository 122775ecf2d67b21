"""What is true of a video at each instant, and what may be said of it: the ground that questions and dialogues share.

Four instants of the frame grid bound an event (`core/topics.py`), and nothing is asked while an answer would lie in
between. `core/evidence.py` defines when evidence has been seen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from pydantic import Field

from datasets_build.builders.tracks import Told, Track, is_form
from datasets_build.core.clock import FrameClock, Int64s
from datasets_build.core.config import Config
from datasets_build.core.evidence import TEXT_LABEL, answerable_from
from datasets_build.core.records import About, Annotation, Event, Evidence, Probe, derive_id
from datasets_build.core.reply import Reply
from datasets_build.core.topics import (
    ACTS,
    COMPLETE_SETS,
    NEW_SHOT,
    PICTURE_SET,
    SOMETHING,
    bounds_of,
    domain_of,
    names_in,
    quoted,
)
from datasets_build.core.wording import absolute_time_in
from datasets_build.teachers.teacher import Happening, Intent, Request, Teacher
from datasets_build.truth.grounds import Grounds

# That no stillness was measured does not mean that something moved.
ONE_SIDED = frozenset({"still"})
Mode = Literal["backward", "realtime", "forward", "proactive", "counting"]
_NS = 1_000_000_000


class FactsConfig(Config):
    """What may be asked, and how long answers stay right. Times in ns.

    `window_ns` is the longest response window and `least_window_ns` the shortest: nothing is asked whose answer would
    be right for less. `recent_ns` is what counts as just now, `max_wait_ns` how early before (or late after) its event
    a question may come. Sentences longer than `max_caption_chars` are not spoken of, nor are events below
    `min_confidence`. An answer tells of at most `max_told` events; a question gets at most `max_answers` answers and
    `max_probes` test points. Nobody asks within `settle_ns` after something happened, for viewers of few frames.
    """

    window_ns: int = Field(default=3 * _NS, gt=0)
    least_window_ns: int = Field(default=_NS // 2, gt=0)
    recent_ns: int = Field(default=8 * _NS, gt=0)
    max_wait_ns: int = Field(default=30 * _NS, gt=0)
    max_caption_chars: int = Field(default=200, gt=0)
    min_confidence: float = Field(default=0.0, ge=0, le=1)
    max_told: int = Field(default=3, gt=0)
    max_answers: int = Field(default=8, gt=0)
    max_probes: int = Field(default=4, gt=0)
    settle_ns: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A question with its replies, before it becomes a record or a turn.

    `about` says what is asked after; `standing` marks a request that is acknowledged at once and
    answered by events; `inputs` are the annotations that it rests on, besides the events of its evidence.
    """

    task: str
    mode: Mode
    question: str
    about: About
    ask_ns: int
    replies: tuple[Reply, ...]
    unanswerable: bool = False
    standing: bool = False
    probes: tuple[Probe, ...] = ()
    options: tuple[str, ...] = ()
    correct_option: int | None = None
    inputs: tuple[str, ...] = ()

    @property
    def answerable_from_ns(self) -> int:
        """When the first reply could be known."""
        return answerable_from(self.replies[0].evidence)


class Timeline:
    """All that is known of one video, sorted by what may be asked of it."""

    def __init__(
        self,
        clock: FrameClock,
        events: Sequence[Event],
        teacher: Teacher,
        limits: FactsConfig,
        *,
        boxes: Sequence[Annotation] = (),
    ) -> None:
        self.clock = clock
        self.grounds = Grounds(events, clock, boxes)
        self.places = self.grounds.places
        told = _speakable([_bound(event, clock, teacher) for event in events], limits)
        self.shots = Track(
            item for item in told if item.event.label_set == PICTURE_SET and item.event.label in NEW_SHOT
        )
        told = [item for item in told if item.event.label != "video_start"]
        self.scene = Track(item for item in told if item.domain == "scene")
        self.camera = Track(item for item in told if item.domain == "camera")
        self.changes = Track(item for item in told if item.domain in ("camera", "picture"))
        self.texts = Track(item for item in told if item.event.label == TEXT_LABEL)
        self.topics = _by_topic(told)
        self.speakable = frozenset(item.event.id for track in self.topics.values() for item in track.told)
        self.recolours = _recolours(told)
        self.closed = {key: track for key, track in self.topics.items() if all(map(self.is_closed, track.told))}
        self.subjects = _by_subject(told)
        self.acts = _by_act(self.scene)
        self.picture_labels = frozenset(item.event.label for item in told if item.event.label_set == PICTURE_SET)
        texts = [text for item in told for text in (item.happening.caption, item.happening.subject or "")]
        self.words = frozenset("".join(c if c.isalnum() else " " for c in " ".join(texts).casefold()).split())
        marks = [t for item in told if item.topic for t in (item.early_ns, item.known_ns, item.done_ns)]
        self.marks: Int64s = np.unique(np.array([t for t in marks if t < clock.end_ns], np.int64))

    def is_closed(self, item: Told) -> bool:
        """Whether events like this one can be denied and counted: each would have been found, under this very name."""
        return item.event.label not in ONE_SIDED and not self.is_renamed(item.event.subject)

    def is_renamed(self, subject: str | None, since_ns: int = 0, until_ns: int | None = None) -> bool:
        """Whether a subject, or its namesake in another colour, changes colour in `(since_ns, until_ns)`, or ever.

        A subject is named as it looks at the time: what turns blue is another "blue diamond" from then on.
        """
        changes = [item for name in names_in(subject) for item in self.recolours.get(noun_of(name), ())]
        return any(until_ns is None or (since_ns < item.done_ns and item.early_ns < until_ns) for item in changes)


def _bound(event: Event, clock: FrameClock, teacher: Teacher) -> Told:
    happening = Happening(event.label, event.label_set, event.subject, event.caption)
    at = bounds_of(event, clock)
    topic, domain = teacher.topic(happening), domain_of(event)
    return Told(event, happening, topic, domain, at.early_ns, at.known_ns, at.off_ns, at.done_ns)


def _speakable(told: Sequence[Told], limits: FactsConfig) -> list[Told]:
    """Take the topic from events that may not be spoken of, and from all that the same words would name."""

    def dumb(event: Event) -> bool:
        text = f"{event.caption} {event.subject or ''}"
        too_long = len(text) > limits.max_caption_chars
        unsure = event.confidence < limits.min_confidence
        return too_long or unsure or event.label == "word" or absolute_time_in(text) is not None

    banned = {item.topic.key for item in told if item.topic and dumb(item.event)}
    # A sentence that also tells of an event which is called by another name would ask after only some of its events.
    elsewhere = {quoted(item.event.caption).casefold() for item in told if is_form(item)}
    banned |= {
        item.topic.key
        for item in told
        if item.topic and item.topic.manner == "caption" and quoted(item.event.caption).casefold() in elsewhere
    }
    return [replace(item, topic=None) if item.topic and item.topic.key in banned else item for item in told]


def noun_of(name: str) -> str:
    """What a subject is, whatever its colour: the last word of its name."""
    return name.casefold().split()[-1] if name.split() else ""


def _recolours(told: Sequence[Told]) -> dict[str, list[Told]]:
    """The changes of colour, by what changes."""
    groups: dict[str, list[Told]] = {}
    for item in told:
        for name in names_in(item.event.subject) if item.event.label == "change_colour" else ():
            groups.setdefault(noun_of(name), []).append(item)
    return groups


def _by_topic(told: Sequence[Told]) -> dict[str, Track]:
    groups: dict[str, list[Told]] = {}
    for item in told:
        if item.topic:
            groups.setdefault(item.topic.key, []).append(item)
    return {key: Track(items) for key, items in groups.items()}


def _by_subject(told: Sequence[Told]) -> dict[str, Track]:
    """What each single subject takes part in, alone or with another ("a and b")."""
    groups: dict[str, list[Told]] = {}
    alone = set()
    for item in told:
        names = names_in(item.event.subject)
        for name in names if item.domain == "scene" else ():
            groups.setdefault(name, []).append(item)
        if len(names) == 1 and is_form(item):
            alone.add(names[0])
    return {name: Track(items) for name, items in groups.items() if name in alone}


def _by_act(scene: Track) -> dict[str, Track]:
    """What single subjects do, whoever does it; nothing where not everything that happens is told."""
    if not all(item.event.label_set in COMPLETE_SETS for item in scene.told):
        return {}
    groups: dict[str, list[Told]] = {}
    for item in scene.told:
        if item.event.label in ACTS:
            groups.setdefault(item.event.label, []).append(item)
    alone = {
        label: all(is_form(item) and len(names_in(item.event.subject)) == 1 for item in items)
        for label, items in groups.items()
    }
    return {label: Track(items) for label, items in groups.items() if alone[label]}


def about_of(item: Told) -> About:
    """What a question is about that names this event."""
    event = item.event
    if is_form(item):
        return About(kind="label", label=event.label, subject=None if event.label_set == PICTURE_SET else event.subject)
    return About(kind="line" if item.domain == "spoken" else "caption", text=event.caption)


def every_time(about: About, each: bool) -> About:
    """The same matter, followed to the video's end or not."""
    return about.model_copy(update={"every": each})


def anyone(label: str) -> Happening:
    """Something that anyone may do, for words that name nobody."""
    return Happening(label, "", SOMETHING, "")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where questions are made: one video's facts, who writes, a generator of its own, and who is in other videos."""

    timeline: Timeline
    teacher: Teacher
    rng: random.Random
    limits: FactsConfig = field(default_factory=FactsConfig)
    strangers: Sequence[str] = ()

    @property
    def clock(self) -> FrameClock:
        """Of the video."""
        return self.timeline.clock

    def settled(self, t_ns: int) -> bool:
        """Whether nothing has been under way for a while, so that a question may come."""
        wait = self.limits.settle_ns
        tracks = (self.timeline.scene, self.timeline.changes) if wait else ()
        return not any(item.early_ns <= t_ns < item.done_ns + wait for track in tracks for item in track.told)

    def write(
        self, intent: Intent, *, about: Happening | None = None, told: Sequence[Told] = (), number: int | None = None
    ) -> str | None:
        """The teacher's words, None when it has none or they give away the clock."""
        said = tuple(item.happening for item in told)
        return self.say(Request(intent=intent, about=about, told=said, number=number))

    def say(self, request: Request) -> str | None:
        """`write`, of a request that is put together."""
        text = self.teacher.write(request, self.rng)
        return None if text is None or absolute_time_in(text) else text

    def instant(self) -> int:
        """A random frame's time: half of the time anywhere, half of the time soon after something happens."""
        marks = self.timeline.marks
        if len(marks) and self.rng.random() < 0.5:
            mark = int(marks[self.rng.randrange(len(marks))])
            near = self.between(mark, mark + self.limits.recent_ns)
            assert near is not None, "a mark is a frame's time"
            return near
        return self.clock.time_of(self.rng.randrange(len(self.clock)))

    def during(self, told: Sequence[Told], *, soon_ns: int | None = None) -> int | None:
        """A random frame's time at which one of some events is under way, for a while yet; None where none ever is.

        With `soon_ns` at most that long after it can be recognised.
        """
        least = self.limits.least_window_ns
        long = [item for item in told if item.off_ns - item.known_ns >= least]
        if not long:
            return None
        item = self.rng.choice(long)
        last = item.off_ns - least + 1
        return self.between(item.known_ns, last if soon_ns is None else min(last, item.known_ns + soon_ns))

    def between(self, low_ns: int, high_ns: int) -> int | None:
        """A random frame's time in `[low_ns, high_ns)`; None when no frame is there."""
        frames = self.clock.frames_between(max(0, low_ns), max(0, low_ns, high_ns))
        return self.clock.time_of(self.rng.choice(frames)) if frames else None

    def reply(
        self,
        text: str | None,
        t_ns: int,
        *,
        evidence: Sequence[Evidence],
        until: int | None = None,
        event_id: str | None = None,
    ) -> Reply | None:
        """An answer at an instant, right until `until` (None = for good); None where no answer can stand."""
        if text is None or t_ns >= self.clock.end_ns:
            return None
        end = self.clock.snap_up(t_ns + self.limits.window_ns)
        end = end if until is None else min(end, until)
        if end - t_ns < self.limits.least_window_ns:
            return None
        return Reply(text, t_ns, end, until, tuple(evidence), event_id)


def draft_of(
    task: str,
    mode: Mode,
    question: str | None,
    ask_ns: int,
    replies: Sequence[Reply | None],
    *,
    about: About,
    standing: bool = False,
) -> Draft | None:
    """Put a question together; None when words or an answer are missing, or it was asked outside the video."""
    whole = tuple(reply for reply in replies if reply is not None)
    if question is None or not whole or len(whole) < len(replies):
        return None
    return Draft(task=task, mode=mode, question=question, ask_ns=ask_ns, replies=whole, about=about, standing=standing)


def seed_of(video_id: str, purpose: str, seed: int) -> int:
    """A video's own seed for one purpose, from the run's: 60 bits, the same on every machine."""
    return int(derive_id("seed", video_id, purpose, seed)[:15], 16)


def told_names(reply: Reply) -> tuple[str, ...]:
    """The ids of the events that a reply rests on, in order, each once."""
    return tuple(dict.fromkeys(piece.event_id for piece in reply.evidence if piece.event_id))


def nothing_since(since_ns: int, ask_ns: int) -> list[Evidence]:
    """Evidence for what did not happen between an instant and the question."""
    return [Evidence(start_ns=min(since_ns, ask_ns), end_ns=ask_ns)]
