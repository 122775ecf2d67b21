"""Truth proof of what is said: answers in augmented drawn videos, held against the world and against what is shown.

An answer has to be right twice: of what has happened in the world up to the frame, and of what the frames have shown.
"""

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.answers import Rules
from augment.clip import Clip
from augment.errors import AugmentError
from augment.maker import Maker
from augment.settings import Concat, Crop, Freeze, Jitter, Loop, Pipeline, Reconnect, Reverse, Skip, Speed
from augment.source import by_size
from datasets_build.builders.facts import Desk, Timeline
from datasets_build.builders.streaming_qa import StreamingQAConfig, questions_of
from datasets_build.sources.lesson_script import LABELS
from datasets_build.sources.world_draw import scene_at
from datasets_build.sources.world_truth import facts
from datasets_build.teachers.template import TERSE, load_template
from tests.augment.worlds import STYLES, Film, Shown, seen_in, world
from tests.builders.lessons import LESSON_TASKS
from tests.laws import examples

WORLDS = 4
PICTURE = {"shots": ("shot_start", "fade"), "shot_start": ("shot_start",), "fade": ("fade",)}
"""What the picture itself does is what is shown of it: of several cuts between two frames there is one."""
CONFIGS = {
    "world": StreamingQAConfig(per_minute=200.0, least=60),
    "lesson": StreamingQAConfig(teacher="terse", tasks=LESSON_TASKS, per_minute=240.0, least=60),
}
OPERATIONS = (
    Speed(form="pieces", low=0.5, high=3.0),
    Skip(form="random", share=0.4),
    Skip(form="bursts", share=0.3, length_s=1.5),
    Reconnect(gaps=2),
    Reconnect(gaps=1, least_s=0.5, most_s=1.5),
    Jitter(),
    Crop(least=0.3, most=0.8),
    Concat(),
    Loop(),
    Freeze(stalls=2),
)


def clip_of(drawn, style, number):
    """A world with the questions that its builders ask of it."""
    config = CONFIGS[style]
    teacher = load_template(TERSE) if config.teacher == "terse" else load_template()
    line = Timeline(drawn.clock, drawn.events, teacher, config.facts)
    desk = Desk(line, teacher, random.Random(number), config.facts)
    rows = questions_of(drawn.made.video, desk, config, seed=number)
    return Clip(video=drawn.made.video, clock=drawn.clock, events=drawn.events, questions=rows)


def clips(style):
    return [clip_of(world(style, number), style, number) for number in range(WORLDS)]


CLIPS = {}


def clips_of(style):
    if style not in CLIPS:
        CLIPS[style] = clips(style)
    return CLIPS[style]


class Witness:
    """Someone who knows the worlds, and which frames of them are shown."""

    def __init__(self, made, style, worlds=None):
        self.style, self.view = style, made.view
        by_name = {w.name: w for w in worlds or (world(style, k) for k in range(WORLDS))}
        frames = [
            Shown(int(piece), by_name[made.view.pieces[piece].source], int(frame), Fraction(int(t)))
            for piece, frame, t in zip(made.view.piece_of, made.view.frame_of, made.view.clock.t_ns, strict=True)
        ]
        self.film = Film(tuple(frames), Fraction(made.view.end_ns))
        self.seen = seen_in(self.film, style)
        self.happened = [fact for piece in range(len(made.view.pieces)) for fact in self._facts(piece)]
        self.seams = [k for k in range(1, len(frames)) if frames[k].piece != frames[k - 1].piece]

    def index(self, t_ns):
        return next((k for k, f in enumerate(self.film.frames) if f.at >= t_ns), len(self.film.frames))

    def _facts(self, piece):
        """What happens in the world while a piece runs: what, who, and the first frame at which it is over."""
        strip = [(k, f) for k, f in enumerate(self.film.frames) if f.piece == piece]
        drawn, first = strip[0][1].world, strip[0][1].t_ns
        told = [(f.label, f.subject, f.start_ns, f.end_ns) for f in facts(drawn.script, drawn.clock)]
        told = [row for row in told if self.style == "world" or row[0] in LABELS]
        for label, subject, begins, at in told:
            later = [k for k, f in strip if f.t_ns >= at]
            # That something rests may be seen one frame later.
            ends = {(seen.label, seen.subject, seen.end) for seen in self.seen}
            late = [k for k in later[:2] if (label, subject, k) in ends]
            # Who moves when the piece ends has moved in it: a part of a movement is one.
            cut = [strip[-1][0] + 1] * (label == "move" and begins <= strip[-1][1].t_ns)
            over = next(iter([*late, *later, *cut]), None)
            if at > first and over is not None:
                yield label, subject, over

    def count(self, label, subject, index, *, shown):
        """How many of a class are over at a frame: of what happened, or of what was shown."""
        if shown or label in PICTURE:
            ends = [
                s.end for s in self.seen if s.label in PICTURE.get(label, (label,)) and subject in (None, s.subject)
            ]
            # A seam is a cut.
            ends += self.seams if label in ("shots", "shot_start") else []
            return sum(end <= index for end in ends)
        return sum(name == label and subject in (None, who) and over <= index for name, who, over in self.happened)

    def acts(self, after, until, *, shown):
        """What is over in the scene behind a frame and by another."""
        over = [(s.label, s.subject, s.end) for s in self.seen if s.subject] if shown else self.happened
        return [act for act in over if after < act[2] <= until]

    def alone(self, t_ns):
        """Colour and shape of the only one in the picture, as it is drawn."""
        frame = self.film.frames[self.view.clock.index_at(t_ns)]
        scene = scene_at(frame.world.script, frame.t_ns)
        (actor,) = [a for a in scene.actors if scene.visible(a, a.place(frame.t_ns))]
        return {"colour": actor.colour_at(frame.t_ns), "shape": actor.kind}


def held(witness, row):
    """Whether somebody could check it: an assertion fails where the answer is false."""
    about, answer = row.about, row.answers[0]
    label = {"shots": "shots", "label": about.label}.get(about.kind)
    if row.task in ("colour", "shape") and about.kind == "scene":
        for t in (row.ask_ns, answer.window_end_ns - 1):
            assert answer.text == witness.alone(t)[row.task]
        return True
    if row.unanswerable or label in ("still", "motion_burst") or (label is None) != (row.task in ("before", "next")):
        return False
    return row.task in CHECKS and CHECKS[row.task](witness, row, label)


def counted(witness, row, label):
    for said in row.answers:
        number = int("".join(c for c in said.text if c.isdigit()))
        at = witness.index(said.t_ns)
        for shown in (False, True):
            over = witness.count(label, row.about.subject, at, shown=shown)
            assert number == over + (row.about.kind == "shots")
    return True


def confirmed(witness, row, label):
    (answer,) = row.answers
    there = not answer.text.casefold().startswith("no")
    ends = [witness.index(row.ask_ns)] + [witness.index(answer.window_end_ns) - 1] * (not there)
    for k in ends:
        for shown in (False, True):
            assert (witness.count(label, row.about.subject, k, shown=shown) > 0) == there
    return True


def reported(witness, row, label):
    """Nothing that was waited for was over before, but what had been reported."""
    who, index = row.about.subject, witness.index(row.ask_ns)
    for k, said in enumerate(row.answers):
        begins = min(p.start_ns for p in row.evidence if p.event_id and p.end_ns == said.t_ns)
        assert begins > row.ask_ns
        for shown in (False, True):
            over = witness.count(label, who, witness.index(begins) - 1, shown=shown)
            assert over <= witness.count(label, who, index, shown=shown) + k
    return True


def latest(witness, row, label):
    """Nothing was over between what is told to have been last and the question."""
    if row.about.kind != "scene":
        return False
    until, ends = witness.index(row.ask_ns), [p.end_ns for p in row.evidence if p.event_id]
    for shown in (False, True):
        assert not witness.acts(witness.index(max(ends)), until, shown=shown)
    return True


def soonest(witness, row, label):
    """Nothing is over between the question and what is told to be next."""
    begins = min(p.start_ns for p in row.evidence if p.event_id)
    for shown in (False, True):
        assert not witness.acts(witness.index(row.ask_ns), witness.index(begins) - 1, shown=shown)
    return True


CHECKS = {
    "count_so_far": counted,
    "happened_yet": confirmed,
    "tell_me_when": reported,
    "before": latest,
    "next": soonest,
}


def tried(style, operations, number, seed):
    everyone = clips_of(style)
    maker = Maker(pipeline=Pipeline(seed=seed, operations=operations), rules=Rules(), others=by_size(everyone))
    try:
        made = maker.make(everyone[number], 0)
    except AugmentError:
        return Counter()
    witness = Witness(made, style)
    return Counter(row.task for row in made.clip.questions if held(witness, row))


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=3), st.integers(0, WORLDS - 1), st.integers(0, 99))
def test_what_is_said_is_true_in_the_world_and_of_what_is_shown(style, operations, number, seed):
    tried(style, tuple(operations), number, seed)


@pytest.mark.parametrize("style", STYLES)
def test_of_a_video_as_it_is_much_can_be_held_against_its_world(style):
    found = sum((tried(style, (Speed(low=1.0, high=1.0),), k, 0) for k in range(WORLDS)), Counter())
    expected = {
        "world": ("count_so_far", "happened_yet", "tell_me_when", "next"),
        "lesson": ("colour", "shape", "count_so_far", "before"),
    }
    assert all(found[task] >= 10 for task in expected[style]), found


@pytest.mark.parametrize("style", STYLES)
def test_backwards_nothing_is_said_of_what_happens_in_the_scene(style):
    everyone = clips_of(style)
    maker = Maker(pipeline=Pipeline(operations=(Reverse(), Concat())), rules=Rules(), others=by_size(everyone))
    for clip in everyone[:2]:
        found = maker.make(clip, 0)
        backwards = found.view.pieces[1].begins
        acts = [event for event in found.clip.events if event.subject]
        assert acts
        assert min(event.start_ns for event in acts) >= backwards
        # Who has come in so far, and how often, nobody can say who saw them come in backwards.
        (parent,) = {piece.source for piece in found.view.pieces if piece.is_reversed}
        unseen = {(e.label, e.subject) for c in everyone if c.video.id == parent for e in c.events if e.subject}
        unseen |= {("leave", who) for what, who in unseen if what == "enter"}
        for row in found.clip.questions:
            if row.task == "count_so_far" and row.about.kind == "label" and row.about.label not in PICTURE:
                who = row.about.subject
                assert not [each for each in unseen if each[0] == row.about.label and who in (None, each[1])]
