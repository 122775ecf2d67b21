"""Streaming questions and answers: balanced draws of questions over the tasks, and their records.

Tasks: `now`, `before`, `happened_yet`, `tell_me_when`, `count_so_far`, `next`, and `twins`. Yes/no questions come in
pairs, one of each; a twin pair is an answerable question and, at the same instant, the same about something the video
never shows. The two name each other in `twin_id`, and the second is `unanswerable`.

`order`, `who`, `attribute`, `where`, `read`, `step` and `clue` are asked where what is told of a video allows it: the
order of the last three things, what does something and its colour, where something is (of which boxes tell), what is
written in the picture, whether a step is being carried out, and what something will do next.

Asked only where the settings say so: `colour` and `shape` of the one subject in the picture; `last`, which is `before`
without markers and names; `tally` and `shots`, which count whoever did it, and shots; `watch`, which is `tell_me_when`
for whoever does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from datasets_build.builders import counting, looks, pointing, questions, sequences, twins
from datasets_build.builders.choices import ChoicesConfig, with_options
from datasets_build.builders.facts import Desk, Draft, FactsConfig
from datasets_build.core.config import Config
from datasets_build.core.records import Answer, StreamingQA, Video, derive_id

Task = Literal[
    "now",
    "before",
    "happened_yet",
    "tell_me_when",
    "count_so_far",
    "next",
    "twins",
    "colour",
    "shape",
    "last",
    "tally",
    "shots",
    "watch",
    "order",
    "who",
    "attribute",
    "where",
    "read",
    "step",
    "clue",
]
MixTask = Literal[
    "now",
    "before",
    "happened_yet",
    "tell_me_when",
    "count_so_far",
    "next",
    "twins",
    "colour",
    "shape",
    "attribute",
    "order",
    "who",
    "where",
    "read",
    "step",
    "clue",
]
DRAWN_BY: Mapping[str, frozenset[Task]] = {
    "before": frozenset({"before", "last"}),
    "tell_me_when": frozenset({"tell_me_when", "watch"}),
    "count_so_far": frozenset({"count_so_far", "tally", "shots"}),
}
"""Which of the tasks of the settings give records of a task; the others only their own."""
TeacherName = Literal["template", "template_zh", "terse", "chat", "local"]
Unit = tuple[Draft, ...]
_NS_PER_MINUTE = 60_000_000_000
_TRIES = 20
_AT_ONE_INSTANT = 0.8


class StreamingQAConfig(Config):
    """How many questions a video gets: `per_minute` of video, at least `least`, at most `most`, even over the tasks.

    `mix` gives records of some tasks (`twins`: those that have one, `attribute`: colours of what does something) a
    share of each split, 0 to 1, and what is left to all others; questions too many are left out, by `seed`. Empty: all
    stay.
    """

    seed: int = 0
    teacher: TeacherName = "template"
    tasks: tuple[Task, ...] = Field(
        default=(
            *("now", "before", "happened_yet", "tell_me_when", "count_so_far", "next", "twins"),
            *("order", "who", "attribute", "where", "read", "step", "clue"),
        ),
        min_length=1,
    )
    per_minute: float = Field(default=24.0, gt=0)
    least: int = Field(default=14, ge=1)
    most: int = Field(default=240, ge=1)
    choices: ChoicesConfig = ChoicesConfig()
    mix: dict[MixTask, float] = Field(default_factory=dict)
    facts: FactsConfig = FactsConfig()

    @field_validator("tasks")
    @classmethod
    def _once(cls, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        twice = sorted({task for task in tasks if tasks.count(task) > 1})
        if twice:
            raise ValueError(f"found {', '.join(twice)} more than once, expected each task once")
        return tasks

    @field_validator("mix")
    @classmethod
    def _shares(cls, mix: dict[MixTask, float]) -> dict[MixTask, float]:
        wrong = [f"{task}: {share}" for task, share in mix.items() if not 0 <= share <= 1]
        if wrong:
            raise ValueError(f"found {', '.join(wrong)}, expected shares from 0 to 1")
        if (total := sum(mix.values())) > 1 + 1e-9:
            raise ValueError(f"found {total:g} in all, expected at most 1 in all; what is left is for all other tasks")
        return mix

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        idle = [task for task in self.mix if not DRAWN_BY.get(task, {task}) & {*self.tasks}]
        if idle:
            raise ValueError(f"mix: found {', '.join(idle)}, expected tasks of which `tasks` draws records")
        return self


def _pair(desk: Desk, yes: Draft | None, no: Draft | None) -> Unit | None:
    if yes is None or no is None:
        return None
    return (yes, no) if desk.rng.random() < 0.5 else (no, yes)


def pick_topic(desk: Desk, topics: Sequence[str]) -> str | None:
    """One of some topics, each kind of event as likely as another: in most videos what moves outnumbers the rest."""
    kinds: dict[str, list[str]] = {}
    for key in topics:
        kinds.setdefault(desk.timeline.topics[key].told[0].event.label, []).append(key)
    return desk.rng.choice(kinds[desk.rng.choice(list(kinds))]) if kinds else None


def _now(desk: Desk) -> Unit | None:
    line = desk.timeline
    if desk.rng.random() < 0.5:
        # Most instants show nothing that has a name, so one is drawn inside something that does.
        at = desk.during([*line.scene.told, *line.camera.told])
        draft = questions.now_at(desk, at) if at is not None else None
        return (draft,) if draft else None
    least = desk.limits.least_window_ns
    topic = pick_topic(
        desk,
        [key for key, track in line.closed.items() if any(item.off_ns - item.known_ns >= least for item in track.told)],
    )
    at = desk.during(line.topics[topic].told) if topic else None
    if topic is None or at is None:
        return None
    yes = questions.is_on_at(desk, at, topic, wanted=True)
    return _pair(desk, yes, questions.is_on_at(desk, desk.instant(), topic, wanted=False))


def _before(desk: Desk) -> Unit | None:
    ways: tuple[Callable[[Desk, int], Draft | None], ...] = (
        questions.last_at,
        questions.before_at,
        questions.subject_at,
    )
    draft = desk.rng.choice(ways)(desk, desk.instant())
    return (draft,) if draft else None


def _happened_yet(desk: Desk) -> Unit | None:
    """Yes and no from the same part of the video: of two things at one instant, or of one soon before and after it."""
    topics = list(desk.timeline.closed)
    if desk.rng.random() < _AT_ONE_INSTANT:
        t = desk.instant()
        over = pick_topic(desk, [key for key in topics if desk.timeline.topics[key].done(t)])
        ahead = pick_topic(desk, [key for key in topics if not desk.timeline.topics[key].begun(t)])
        if over is None or ahead is None:
            return None
        yes = questions.yet_at(desk, t, over, wanted=True)
        return _pair(desk, yes, questions.yet_at(desk, t, ahead, wanted=False))
    topic = pick_topic(desk, topics)
    if topic is None:
        return None
    after = questions.yet_near(desk, topic, wanted=True)
    return _pair(desk, after, questions.yet_near(desk, topic, wanted=False))


def _tell_me_when(desk: Desk) -> Unit | None:
    # What never comes has no timed answer, so requests in vain are for dialogues.
    draft = questions.tell_at(desk, desk.instant())
    return (draft,) if draft else None


def _count_so_far(desk: Desk) -> Unit | None:
    draft = counting.count_at(desk, desk.instant())
    return (draft,) if draft else None


def _next(desk: Desk) -> Unit | None:
    draft = questions.next_at(desk, desk.instant())
    return (draft,) if draft else None


def _alone(ask: Callable[[Desk, int], Draft | None]) -> Callable[[Desk], Unit | None]:
    """A task whose questions come alone, at any instant."""

    def unit(desk: Desk) -> Unit | None:
        draft = ask(desk, desk.instant())
        return (draft,) if draft else None

    return unit


def _during_act(ask: Callable[[Desk, int], Draft | None]) -> Callable[[Desk], Unit | None]:
    """A task whose questions come alone, while anyone does something."""

    def unit(desk: Desk) -> Unit | None:
        at = desk.during([item for track in desk.timeline.acts.values() for item in track.told])
        draft = ask(desk, at) if at is not None else None
        return (draft,) if draft else None

    return unit


def _read(desk: Desk) -> Unit | None:
    at = desk.during(desk.timeline.texts.told)
    draft = pointing.read_at(desk, at) if at is not None else None
    return (draft,) if draft else None


def _step(desk: Desk) -> Unit | None:
    """One that begins with yes and one that begins with no."""
    topic = sequences.pick_step(desk)
    if topic is None:
        return None
    yes = sequences.step_near(desk, topic, wanted=True)
    return _pair(desk, yes, sequences.step_near(desk, topic, wanted=False))


def _twins(desk: Desk) -> Unit | None:
    return twins.twins_at(desk, desk.instant())


TASKS: dict[Task, Callable[[Desk], Unit | None]] = {
    "now": _now,
    "before": _before,
    "happened_yet": _happened_yet,
    "tell_me_when": _tell_me_when,
    "count_so_far": _count_so_far,
    "next": _next,
    "twins": _twins,
    "colour": _alone(looks.colour_at),
    "shape": _alone(looks.shape_at),
    "last": _alone(questions.last_at),
    "tally": _alone(counting.tally_at),
    "shots": _alone(partial(counting.count_at, shots=True)),
    "watch": _alone(questions.watch_at),
    "order": _alone(sequences.order_at),
    "who": _during_act(pointing.who_at),
    "attribute": _during_act(pointing.attribute_at),
    "where": _alone(pointing.where_at),
    "read": _read,
    "step": _step,
    "clue": _alone(sequences.clue_at),
}


def quota(duration_ns: int, config: StreamingQAConfig) -> int:
    """How many questions a video of this length may get."""
    return min(config.most, max(config.least, int(duration_ns * config.per_minute / _NS_PER_MINUTE)))


def draw_units(desk: Desk, config: StreamingQAConfig, *, limit: int) -> list[Unit]:
    """Draw up to `limit` questions, the tasks taking turns; pairs stay whole. Never empty."""
    share = -(-limit // len(config.tasks))
    drawn = [_draw_task(desk, TASKS[task], share) for task in config.tasks]
    # A limit cuts off the last ones, which must not be the same task in every short video.
    desk.rng.shuffle(drawn)
    units: list[Unit] = []
    count = 0
    for unit in (unit for row in zip_longest(*drawn) for unit in row if unit is not None):
        if count + len(unit) <= limit or not units:
            units.append(unit)
            count += len(unit)
    return units or [(counting.opening(desk),)]


def _draw_task(desk: Desk, make: Callable[[Desk], Unit | None], share: int) -> list[Unit]:
    """Up to `share` questions of one task, no two draws at one instant."""
    units: list[Unit] = []
    count, asked = 0, set[int]()
    for _ in range(_TRIES * share + _TRIES):
        unit = make(desk)
        instants = {draft.ask_ns for draft in unit or ()}
        if unit is not None and not instants & asked and all(map(desk.settled, instants)):
            units.append(unit)
            count += len(unit)
            asked |= instants
        if count >= share:
            break
    return units


def questions_of(video: Video, desk: Desk, config: StreamingQAConfig, *, seed: int) -> list[StreamingQA]:
    """The questions of one video, sorted by when they are asked; there is always at least one.

    Args:
        video: whose they are.
        desk: its facts, a teacher, and a generator made from `seed`.
        config: how many of which.
        seed: goes into the records' provenance.
    """
    units = draw_units(desk, config, limit=quota(video.duration_ns, config))
    rows: dict[str, StreamingQA] = {}
    for unit in units:
        ids = [derive_id("streaming_qa", video.id, draft.task, draft.ask_ns, draft.question) for draft in unit]
        if any(made in rows for made in ids):
            continue
        twins = list(reversed(ids)) if unit[-1].unanswerable else [None] * len(ids)
        chosen = with_options(desk, unit, config.choices, ids=ids, seed=seed)
        for made, twin, draft in zip(ids, twins, chosen, strict=True):
            rows[made] = _record(made, video, desk, draft, seed=seed).model_copy(update={"twin_id": twin})
    return sorted(rows.values(), key=lambda row: (row.ask_ns, row.task, row.id))


def _record(made: str, video: Video, desk: Desk, draft: Draft, *, seed: int) -> StreamingQA:
    evidence = tuple(piece for reply in draft.replies for piece in reply.evidence)
    inputs = dict.fromkeys(piece.event_id for piece in evidence if piece.event_id)
    return StreamingQA(
        id=made,
        video_id=video.id,
        mode=draft.mode,
        task=draft.task,
        question=draft.question,
        about=draft.about,
        ask_ns=draft.ask_ns,
        evidence=evidence,
        answerable_from_ns=draft.answerable_from_ns,
        answers=tuple(
            Answer(
                text=reply.text,
                t_ns=reply.t_ns,
                window_start_ns=reply.t_ns,
                window_end_ns=reply.window_end_ns,
                valid_until_ns=reply.valid_until_ns,
            )
            for reply in draft.replies
        ),
        options=draft.options,
        correct_option=draft.correct_option,
        unanswerable=draft.unanswerable,
        test_points=draft.probes,
        provenance=desk.teacher.provenance(seed=seed, inputs=[*inputs, *draft.inputs]),
    )
