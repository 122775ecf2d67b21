"""Random pipelines over clips: every law of the checks holds on what comes out, and the parents are as they were."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.answers import Rules
from augment.clip import Clip
from augment.errors import AugmentError
from augment.latency import Bursts, Constant, LogNormal
from augment.maker import Maker
from augment.settings import (
    Concat,
    Crop,
    Delay,
    DroppedAnswer,
    Freeze,
    Interrupt,
    Jitter,
    LateAnswer,
    Loop,
    Pipeline,
    Reconnect,
    Reverse,
    Skip,
    Speed,
    WrongThenCorrected,
)
from augment.source import by_size
from datasets_build.core.records import Video
from tests.augment.clips import RULES, backwards_once, broken, clip
from tests.laws import examples

OPERATIONS = (
    Speed(low=0.5, high=2.0),
    Speed(form="ramp"),
    Speed(form="pieces", low=0.25, high=4.0, changes=3),
    Skip(form="every", n=3),
    Skip(form="random", share=0.5),
    Skip(form="bursts", share=0.4, length_s=2.0),
    Skip(form="motion", change=0.2),
    Jitter(sd_ms=15.0),
    Crop(least=0.3, most=0.8),
    Concat(),
    Loop(),
    Freeze(stalls=2),
    Reverse(),
    Reconnect(gaps=2),
)
DELAYS = (
    Delay(network=Constant(ms=700.0)),
    Delay(network=LogNormal(median_ms=200.0, sigma=1.0)),
    Delay(network=Bursts(good_ms=20.0, bad_ms=2500.0, to_bad=0.05)),
    Delay(model=LogNormal(median_ms=1500.0, sigma=1.0)),
    Delay(network=Constant(ms=100.0), model=Bursts(good_ms=0.0, bad_ms=6000.0, to_bad=0.5, to_good=0.5)),
)
TALK = (
    *(LateAnswer(policy=policy) for policy in ("retime", "reword", "drop")),
    *(Interrupt(share=0.9, then=then) for then in ("resume", "abandon")),
    DroppedAnswer(share=0.6, patience_s=1.0),
    *(WrongThenCorrected(share=0.6, by=by) for by in ("self", "user")),
)
NAMES = ("a", "b", "c")


def maker(*operations, seed=0, rules=RULES):
    clips = [clip(name) for name in NAMES]
    pipeline = Pipeline(seed=seed, operations=operations)
    return Maker(pipeline=pipeline, rules=rules, talk_rules=rules, others=by_size(clips))


def made(operations, name="a", *, seed=0, number=0):
    return maker(*operations, seed=seed).make(clip(name), number)


@st.composite
def pipelines(draw):
    """Changes of what is shown, how it arrives, and what goes wrong in conversations, each of these once."""
    shown = draw(st.lists(st.sampled_from(OPERATIONS), max_size=4).filter(backwards_once))
    delay = draw(st.sampled_from([(), *((each,) for each in DELAYS)]))
    talk = draw(st.lists(st.sampled_from(TALK), max_size=4, unique_by=lambda each: each.kind))
    return [*shown, *delay, *talk] or [Speed()]


@settings(max_examples=examples(60), deadline=None)
@given(pipelines(), st.sampled_from(NAMES), st.integers(0, 99))
def test_whatever_is_done_every_law_of_the_checks_holds(operations, name, seed):
    try:
        found = made(operations, name, seed=seed)
    except AugmentError as error:
        found, words = None, str(error)
    else:
        words = ""
    assert found is not None or "squeeze frames together" in words
    assert found is None or broken(found) == []


@pytest.mark.parametrize(
    "operation", [*OPERATIONS, *DELAYS, *TALK], ids=lambda each: f"{each.kind} {getattr(each, 'form', '')}"
)
def test_each_operation_keeps_something_and_breaks_no_law(operation):
    for name in NAMES:
        found = made([operation], name)
        assert broken(found) == []
        assert found.clip.questions
        assert found.clip.events[0].label == "video_start"


@settings(max_examples=examples(20), deadline=None)
@given(pipelines(), st.integers(0, 9))
def test_the_same_seed_makes_the_same_and_leaves_the_parents_alone(operations, seed):
    parent = clip("a")
    before = copy.deepcopy((parent.events, parent.questions, parent.dialogues, parent.shots))
    try:
        one, two = made(operations, seed=seed), made(operations, seed=seed)
    except AugmentError:
        return
    assert (one.clip.video, one.clip.questions, one.clip.dialogues, one.maps) == (
        two.clip.video,
        two.clip.questions,
        two.clip.dialogues,
        two.maps,
    )
    assert before == (parent.events, parent.questions, parent.dialogues, parent.shots)


def test_copies_and_seeds_differ():
    operations = [Speed(), Crop()]
    videos = {made(operations, seed=seed, number=number).clip.video.id for seed in (0, 1) for number in (0, 1)}
    assert len(videos) == 4


def test_a_map_that_changes_nothing_changes_no_record():
    """The identity: what is worked out anew is what the builders wrote."""
    found = made([Speed(low=1.0, high=1.0)])
    parent, own = clip("a"), found.clip
    assert len(own.questions) == len(parent.questions)

    def told(row):
        return (row.task, row.question, row.ask_ns, row.about, row.answers, row.answerable_from_ns, row.unanswerable)

    assert [told(row) for row in own.questions] == [told(row) for row in parent.questions]
    assert [len(row.evidence) for row in own.questions] == [len(row.evidence) for row in parent.questions]
    assert [row.test_points for row in own.questions] == [row.test_points for row in parent.questions]

    def turn(each):
        window = (each.window_start_ns, each.window_end_ns)
        return (each.role, each.start_ns, each.end_ns, each.text, each.trigger, *window)

    (old,), (new,) = parent.dialogues, own.dialogues
    assert [turn(each) for each in new.turns] == [turn(each) for each in old.turns]
    assert new.decisions == old.decisions
    assert [(event.start_ns, event.end_ns, event.known_from_ns, event.label) for event in own.events] == [
        (event.start_ns, event.end_ns, event.known_from_ns, event.label) for event in parent.events
    ]
    assert found.left == ()


def test_everything_of_the_parents_is_there_or_told():
    """Nothing vanishes: each record of the parent comes out, or is left out with a reason."""
    for operation in (*OPERATIONS, *DELAYS, *TALK):
        if operation.kind in ("loop", "concat"):
            continue
        found, parent = made([operation]), clip("a")
        told = {reject.item.split()[-1] for reject in found.left}
        kept = {
            row.provenance.inputs[0] for row in (*found.clip.events, *found.clip.questions) if row.provenance.inputs
        }
        assert {row.id for row in parent.questions} <= kept | told
        assert {row.id for row in parent.events if row.label != "video_start"} - kept - told <= {
            # A cut at which the view begins is its beginning.
            row.id
            for row in parent.events
            if row.label == "shot_start"
        }
        assert all(reject.reason and reject.code and reject.action for reject in found.left)


def test_every_record_names_its_parent_its_operations_and_seed():
    found = made([Speed(), Freeze()])
    (row,) = found.maps
    assert row.video_id == found.clip.video.id
    assert row.parent_id == clip("a").video.id
    assert '"kind": "speed"' in row.operation
    assert '"kind": "freeze"' in row.operation
    assert row.time_map == found.view.pieces[0].time_map
    parents = {each.id for each in (*clip("a").questions, *clip("a").dialogues)}
    for record in (*found.clip.questions, *found.clip.dialogues):
        assert record.provenance.inputs[0] in parents
        assert record.provenance.seed == row.seed


def test_nothing_is_made_where_chance_does_nothing():
    assert made([Speed(p=0.0), Loop(p=1e-9)]) is None


def test_videos_of_another_split_or_size_are_never_put_together():
    other = clip("d", split="test")
    wide = clip("e")
    wide = Clip(video=wide.video.model_copy(update={"width": 96}), clock=wide.clock, events=wide.events)
    pipeline = Pipeline(operations=(Concat(),))
    for lone in (other, wide):
        everyone = by_size([clip("a"), clip("b"), lone])
        with pytest.raises(AugmentError, match="no other video of this split and size"):
            Maker(pipeline=pipeline, rules=Rules(), others=everyone).make(lone, 0)


def test_the_video_record_agrees_with_the_view():
    found = made([Skip(form="random"), Jitter()])
    video, view = found.clip.video, found.view
    assert isinstance(video, Video)
    assert (video.duration_ns, video.n_frames) == (view.end_ns, len(view.clock))
    assert (video.time_base_num, video.time_base_den) == (1, 1_000_000_000)
    assert video.is_vfr
    assert video.split == clip("a").video.split
    assert video.uri == f"augmented/{video.id}"
