"""Random scenes for properties: variable frame rates, shots, signals, annotations that overlap, touch and repeat."""

from __future__ import annotations

from hypothesis import strategies as st

from datasets_build.builders.build import TEACHERS
from datasets_build.builders.events import EventsConfig, events_of
from datasets_build.builders.facts import Desk, FactsConfig, Timeline
from datasets_build.checks.answers import TRUTH_LAWS
from datasets_build.checks.causality import EVENT_LAWS, QUESTION_LAWS
from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.laws import Known
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.checks.timing import TIME_LAWS
from tests.builders.made import MS, SUBJECTS, WORLD, Scene, clock_from, said, shots_at, signals_of, video_of

TEACHER = TEACHERS["template"]()
GRADUAL = ("dissolve", "fade_to_black", "fade_from_black", "fade_through")
SENTENCES = ("A man throws a ball.", "She laughs", 'He says "stop".', "At 0:12 it falls.", "Rain 3 s long.", "")


@st.composite
def clocks(draw):
    """Few frames of very uneven length, or many even ones."""
    if draw(st.booleans()):
        return clock_from(draw(st.lists(st.integers(1, 900), max_size=40)), draw(st.integers(1, 500)))
    return clock_from([draw(st.sampled_from([33, 40, 100, 1000]))] * draw(st.integers(0, 150)), 40)


@st.composite
def annotations_on(draw, video, clock):
    """World facts, sentences and lines; some outside the video, some without a frame inside, some twice."""
    end_ms = clock.end_ns // MS
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        start = draw(st.integers(0, end_ms + 200))
        length = draw(st.sampled_from([0, 1, 15, 200, 700, 2500, 9000]))
        which = draw(st.integers(0, 7))
        if which <= 2:
            label, words = draw(st.sampled_from(WORLD))
            one = draw(st.sampled_from(SUBJECTS))
            subject = f"{one} and {SUBJECTS[0]}" if which == 2 and one != SUBJECTS[0] else one
            rows.append(
                said(video, start * MS, (start + length) * MS, f"The {subject} {words}.", label=label, subject=subject)
            )
        elif which == 3:
            text = draw(st.sampled_from(SENTENCES))
            rows.append(said(video, start * MS, (start + length) * MS, text, origin="captions", confidence=0.5))
        elif which == 4:
            line = draw(st.sampled_from(["How are you?", "Fine.", "Come at 10:30."]))
            rows.append(said(video, start * MS, (start + length) * MS, line, origin="subtitles"))
        elif which == 5:
            place = draw(st.sampled_from(["0.1 0.1 0.2 0.2", "0.6 0.1 0.3 0.3", "0.6 0.5 0.2 0.5", "0.4 0.1 0.2 0.2"]))
            subject = draw(st.sampled_from(SUBJECTS))
            rows.append(said(video, start * MS, (start + length) * MS, place, kind="box", subject=subject))
        elif which == 6:
            text = draw(st.sampled_from(["EXIT", "No parking", "Open at 8:00"]))
            rows.append(said(video, start * MS, (start + length) * MS, text, label="text", origin="signs"))
        else:
            kind = draw(st.sampled_from(["qa", "box", "label", "word"]))
            rows.append(
                said(
                    video,
                    start * MS,
                    (start + length) * MS,
                    "thing",
                    kind=kind,
                    label=draw(st.sampled_from(["run", None])),
                )
            )
    return list({row.id: row for row in sorted(rows, key=lambda row: row.start_ns)}.values())


@st.composite
def transitions_at(draw, cuts, count):
    """Kinds for shots that begin at some frames, and the spans of the gradual ones, which do not meet."""
    kinds, spans, low = [], {}, 0
    for at, high in zip(cuts, [*cuts, count][1:], strict=True):
        kind = draw(st.sampled_from(["cut", "cut", *GRADUAL]))
        kinds.append(kind)
        # Of a fade through black the span may not be known.
        if kind in GRADUAL and (kind != "fade_through" or draw(st.booleans())):
            spans[at] = draw(st.integers(low, at)), draw(st.integers(at + 1, high))
            low = spans[at][1]
        else:
            low = at
    return kinds, spans


@st.composite
def scenes(draw):
    """One video with everything that the earlier stages could say about it."""
    clock = draw(clocks())
    video = video_of("drawn", clock)
    frames = st.integers(1, max(1, len(clock) - 1))
    cuts = sorted(draw(st.sets(frames, max_size=min(6, len(clock) - 1)))) if len(clock) > 1 else []
    kinds, spans = draw(transitions_at(cuts, len(clock)))
    sampled = list(range(0, len(clock), draw(st.integers(1, 4))))
    levels = st.lists(st.sampled_from([-0.3, 0.0, 0.0, 0.1, 0.3]), min_size=1, max_size=8)
    lights = draw(st.lists(st.sampled_from([0.0, 0.02, 0.3, 0.5, 0.9]), min_size=1, max_size=8))
    hold = draw(st.integers(1, 12))
    curves = {name: draw(levels) for name in ("pan_x", "pan_y", "zoom")}
    curves |= {"luma": lights, "motion": draw(st.lists(st.sampled_from([0.0, 0.05, 0.4]), min_size=1, max_size=8))}
    stretched = {
        name: [values[k // hold % len(values)] for k in range(len(sampled))] for name, values in curves.items()
    }
    signals = [signals_of(video, clock, sampled, **stretched)] if draw(st.booleans()) else []
    return Scene(video, clock, shots_at(video, clock, cuts, kinds, spans), signals, draw(annotations_on(video, clock)))


def events_in(scene, config=None):
    """The scene's events."""
    chosen = config or EventsConfig()
    return events_of(scene.video, scene.clock, scene.shots, scene.signals, scene.annotations, chosen).events


def boxes_in(scene):
    """Where things are."""
    return [row for row in scene.annotations if row.kind == "box"]


def desk_for(scene, rng, *, events=None, facts=None):
    """A desk with the template teacher."""
    limits = facts or FactsConfig()
    known = events_in(scene) if events is None else events
    timeline = Timeline(scene.clock, known, TEACHER, limits, boxes=boxes_in(scene))
    return Desk(timeline, TEACHER, rng, limits)


def breaches(scene, events, *, questions=(), dialogues=()):
    """Every law of the checks, held against records in memory: `(law, record id, breach)`."""
    by_id = {q.id: q for q in questions}
    known = Known(scene.video, scene.clock, {e.id: e for e in events}, by_id, boxes=boxes_in(scene))
    kinds = (
        (events, EVENT_LAWS),
        (questions, (*QUESTION_LAWS, *TRUTH_LAWS)),
        (dialogues, (*DIALOGUE_LAWS, *REPLY_LAWS)),
    )
    return [
        (law.name, row.id, breach)
        for rows, laws in kinds
        for row in rows
        for law in (*TIME_LAWS, *laws)
        for breach in law.breaches(row, known)
    ]
