"""Truth proof of seams: what is told of them, held against the pictures on both sides as the drawer draws them."""

import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.answers import Rules
from augment.errors import AugmentError
from augment.events import move_events
from augment.maker import Maker
from augment.seams import STILL, is_told, judge_seams
from augment.settings import Concat, Crop, Loop, Pipeline, Skip, Speed
from augment.shots import move_shots
from augment.source import by_size
from augment.temporal import concat, crop, loop
from augment.view import View
from datasets_build.perception.signals import SignalMeter, SignalsConfig, stretch
from datasets_build.sources.world_draw import encode
from datasets_build.sources.world_truth import transitions
from datasets_build.video import probe, scan
from tests.augment.clips import clip as lively
from tests.augment.stages import HEIGHT, STAGES, WIDTH, clip_of, picture, stage
from tests.augment.test_truth import films
from tests.augment.test_truth_said import Witness, held
from tests.augment.test_truth_said import clip_of as asked
from tests.augment.worlds import STYLES, world
from tests.laws import examples

SEEN = 0.05
"""A cell in sixteenths of the picture that has changed by so much is seen to have."""


def grey(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float) / 255


def most_changed(a, b):
    """The change of the most changed of 16 x 16 cells, 0..1."""
    return float(cv2.resize(np.abs(grey(a) - grey(b)), (16, 16), interpolation=cv2.INTER_AREA).max())


def sides(film):
    """The frames on both sides of each seam."""
    both = zip(film.frames, film.frames[1:], strict=False)
    return [(a, b) for a, b in both if a.piece != b.piece]


def follows(a, b):
    """Whether two frames of one world follow each other there, or are the same, with no cut between them."""
    low, high = sorted((a.frame, b.frame))
    if a.world.name != b.world.name or high - low > 1:
        return False
    cuts = [join.end_frame for join in transitions(a.world.script, a.world.clock) if join.kind == "cut"]
    return high == low or high not in cuts


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_a_seam_is_what_its_pictures_show(style, data):
    film, view = data.draw(films(style, numbers=6))
    clips = {f.world.name: clip_of(f.world) for f in film.frames}
    found = judge_seams(view, clips)
    assert len(found) == len(sides(film))
    for verdict, (a, b) in zip(found, sides(film), strict=True):
        pictures = picture(a.world, a.frame), picture(b.world, b.frame)
        if verdict == "alike":
            assert follows(a, b) or np.array_equal(*pictures)
        if verdict == "seen":
            assert not follows(a, b)
            assert most_changed(*pictures) >= SEEN
        if follows(a, b):
            assert verdict == "alike"


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=examples(40), deadline=None)
@given(st.data())
def test_events_and_shots_tell_the_seams_that_are_seen(style, data):
    film, view = data.draw(films(style, numbers=6))
    clips = {f.world.name: clip_of(f.world) for f in film.frames}
    seams = judge_seams(view, clips)
    events = move_events(view, {name: c.events for name, c in clips.items()}, video_id="v", seams=seams)
    at = view.clock.t_ns[np.flatnonzero(np.diff(view.piece_of)) + 1].tolist()
    cuts = {e.start_ns for e in events.there if e.provenance.agent == "augment" and e.label == "shot_start"}
    assert cuts == {t for t, verdict in zip(at, seams, strict=True) if is_told(verdict)}
    unsure = {e.start_ns for e in events.hidden if e.provenance.agent == "augment"}
    assert unsure == {t for t, verdict in zip(at, seams, strict=True) if verdict == "unsure"}
    shots = move_shots(view, {name: c.shots for name, c in clips.items()}, video_id="v", seams=seams)
    starts = {shot.start_ns for shot in shots}
    assert cuts <= starts
    assert not (set(at) - cuts) & starts
    # Of new shots that come at once, both tell the same.
    points = {e.start_ns for e in events.there if e.is_point and e.label == "shot_start"}
    assert points <= starts


EXPECTED = {
    "still": "alike",
    "returns": "unsure",
    "comes": "seen",
    "goes_on": "unsure",
    "turns": "unsure",
    "cuts": "seen",
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_is_looped(name):
    there = clip_of(stage(name))
    view = loop(View.whole(there.video.id, there.clock), 3)
    seams = judge_seams(view, {there.video.id: there})
    assert seams == (EXPECTED[name],) * 2
    found = move_events(view, {there.video.id: there.events}, video_id="v", seams=seams)
    cuts = [e.start_ns for e in found.there if e.label == "shot_start" and e.provenance.agent == "augment"]
    hidden = [e.start_ns for e in found.hidden if e.label == "shot_start"]
    at = [there.clock.end_ns, 2 * there.clock.end_ns]
    assert (cuts, hidden) == ({"seen": at}.get(EXPECTED[name], []), {"unsure": at}.get(EXPECTED[name], []))
    shots = move_shots(view, {there.video.id: there.shots}, video_id="v", seams=seams)
    assert len(shots) == (3 * len(there.shots) if EXPECTED[name] == "seen" else 1)


def test_the_stages_are_what_they_are_called():
    ends = {name: (picture(stage(name), 0), picture(stage(name), len(stage(name).clock) - 1)) for name in STAGES}
    assert {name for name, both in ends.items() if np.array_equal(*both)} == {"still", "returns"}
    # Nothing that is measured tells these colours apart; that the drawer tells of it does.
    assert most_changed(*ends["turns"]) <= STILL
    assert all(most_changed(*ends[name]) >= SEEN for name in ("comes", "goes_on", "cuts"))


def filmed(name, path):
    """A stage as a video file: its clip, measured as it is decoded, and what is decoded."""
    drawn = stage(name)
    encode(path, drawn.script, drawn.clock, time_base=Fraction(1, 25), rate=Fraction(25))
    meter, samples, images = SignalMeter(SignalsConfig()), [], []
    for frame in scan(path, probe(path).clock, size=(WIDTH, HEIGHT), decoder="pyav"):
        images.append(frame.image[:, :, ::-1])
        samples.append(meter.feed(frame.t_ns, frame.image))
    assert len(images) == len(drawn.clock)
    signals = [stretch(drawn.name, 0, [sample for sample in samples if sample])]
    return replace(clip_of(drawn, measured=False), signals=signals), images


@pytest.mark.parametrize("name", ["still", "returns", "comes", "cuts"])
def test_seams_of_a_video_file_are_what_its_decoded_frames_show(name, tmp_path):
    there, images = filmed(name, tmp_path / "a.mp4")
    rng, met = random.Random(name), Counter()
    whole = View.whole(there.video.id, there.clock)
    for first, stop in [(0, len(images)), *(sorted(rng.sample(range(1, len(images)), 2)) for _ in range(40))]:
        (verdict,) = judge_seams(loop(crop(whole, first, stop), 2), {there.video.id: there})
        apart = most_changed(images[stop - 1], images[first])
        if verdict == "alike":
            assert apart <= STILL or stop - first <= 2
        if verdict == "seen":
            assert apart >= SEEN
        met[verdict] += 1
    (whole_verdict,) = judge_seams(loop(whole, 2), {there.video.id: there})
    assert whole_verdict == EXPECTED[name]
    assert met[EXPECTED[name]] >= 2


def test_different_stages_are_seen_to_follow_each_other():
    first, second = clip_of(stage("still")), clip_of(stage("cuts"))
    view = concat([View.whole(c.video.id, c.clock) for c in (first, second)])
    assert judge_seams(view, {c.video.id: c for c in (first, second)}) == ("seen",)
    unknown = clip_of(stage("cuts"), measured=False)
    assert judge_seams(view, {c.video.id: c for c in (first, unknown)}) == ("unmeasured",)


OPERATIONS = (Loop(), Crop(least=0.3, most=0.8), Concat(), Speed(), Skip(share=0.3))


def cast(style):
    """Worlds of a style, and the stages, that are asked about in it."""
    stages = [stage(name) for name in STAGES] if style == "world" else []
    return [*(world(style, k) for k in range(2)), *stages]


CLIPS = {}


def clips_of(style):
    if style not in CLIPS:
        worlds = cast(style)
        questions = [asked(drawn, style, k).questions for k, drawn in enumerate(worlds)]
        CLIPS[style] = [clip_of(w, questions=rows) for w, rows in zip(worlds, questions, strict=True)]
    return CLIPS[style]


def tried(style, operations, number, seed):
    """How many answers hold whether or not unsure seams are cuts, and how many seams there are of each kind."""
    clips, worlds = clips_of(style), cast(style)
    maker = Maker(pipeline=Pipeline(seed=seed, operations=operations), rules=Rules(), others=by_size(clips))
    try:
        made = maker.make(clips[number % len(clips)], 0)
    except AugmentError:
        return Counter()
    verdicts = judge_seams(made.view, {w.name: clip_of(w) for w in worlds})
    found, witness = Counter(verdicts), Witness(made, style, worlds)
    seams = list(zip(witness.seams, verdicts, strict=True))
    for cuts in (("seen",), ("seen", "unsure")):
        # Nobody knows whether the unsure ones are.
        witness.seams = [k for k, verdict in seams if verdict in cuts]
        found["held"] += sum(held(witness, row) for row in made.clip.questions)
    return found


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=examples(25), deadline=None)
@given(st.lists(st.sampled_from(OPERATIONS), max_size=2), st.integers(0, 7), st.integers(0, 99))
def test_what_is_said_is_true_whether_or_not_an_unsure_seam_is_a_cut(style, operations, number, seed):
    tried(style, (*operations, Loop()), number, seed)


def test_the_proof_meets_all_kinds_of_seams_and_answers():
    found = sum((tried("world", (Loop(),), k, 0) for k in range(8)), Counter())
    assert min(found[verdict] for verdict in ("seen", "alike", "unsure")) >= 1
    assert found["held"] >= 40, found


def shots_told_behind(there, seam_ns):
    """When, behind an instant of its loop, questions and people are answered how many shots there have been."""
    made = Maker(pipeline=Pipeline(operations=(Loop(),))).make(there, 0)
    asked_in = [(row.about, row.ask_ns, row.answers[0].t_ns) for row in made.clip.questions if row.answers]
    for talk in made.clip.dialogues:
        answers = {turn.trigger_ref: turn.start_ns for turn in talk.turns if turn.role == "assistant"}
        users = [turn for turn in talk.turns if turn.role == "user" and turn.id in answers]
        asked_in += [(turn.about, turn.end_ns, answers[turn.id]) for turn in users]
    return [
        t_ns for about, ask_ns, t_ns in asked_in if about and about.kind == "shots" and max(ask_ns, t_ns) >= seam_ns
    ]


def test_nobody_is_told_how_many_shots_there_were_behind_an_unsure_seam():
    there = lively("a", 24.0)
    flat = [row.model_copy(update={"luma": (0.5,) * len(row.luma)}) for row in there.signals]
    there = replace(there, signals=flat)
    seam = there.clock.end_ns
    view = loop(View.whole(there.video.id, there.clock), 2)
    assert judge_seams(view, {there.video.id: there}) == ("unsure",)
    assert shots_told_behind(there, seam) == []
    assert shots_told_behind(replace(there, signals=()), seam)
