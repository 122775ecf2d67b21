"""Events from shots, signals and annotations: right labels, exact spans, known when they can be, nothing lost."""

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.builders.events import ACTS, EventsConfig, events_of
from datasets_build.core.perceived import Shot
from datasets_build.core.records import Event, Provenance
from datasets_build.core.topics import PICTURE_SET
from datasets_build.truth.places import shares_of
from tests.builders.made import MS, bare, clock_from, lively, said, shots_at, signals_of, video_of
from tests.builders.worlds import scenes

CONFIG = EventsConfig()
CLOCK = clock_from([40] * 249)
VIDEO = video_of("v", CLOCK)
FRAMES = range(0, 250, 2)
KINDS = [kind for kind in get_args(Shot.model_fields["transition"].annotation) if kind != "first"]


def found(shots=None, signals=(), annotations=(), config=CONFIG, clock=CLOCK, video=VIDEO):
    return events_of(video, clock, shots or shots_at(video, clock, []), signals, annotations, config)


def labels(events):
    return [event.label for event in events]


def only(events, label):
    (event,) = [event for event in events if event.label == label]
    return event


def annotated(*rows, config=CONFIG, clock=CLOCK, video=VIDEO):
    result = found(annotations=rows, config=config, clock=clock, video=video)
    return [event for event in result.events if event.source == "annotation"], result.rejects


def measured(**curves):
    part = signals_of(VIDEO, CLOCK, FRAMES, **{k: [*v, *([v[-1]] * (len(FRAMES) - len(v)))] for k, v in curves.items()})
    return found(signals=[part]).events


def test_a_video_of_one_frame_has_its_beginning():
    scene = bare("one")
    (event,) = events_of(scene.video, scene.clock, scene.shots, [], [], CONFIG).events
    assert (event.label, event.start_ns, event.end_ns, event.known_from_ns, event.is_point) == (
        "video_start", 0, 0, 0, True,
    )  # fmt: skip


def test_a_cut_is_an_instant_known_at_once():
    shots = shots_at(VIDEO, CLOCK, [50, 90])
    events = found(shots).events
    assert labels(events) == ["video_start", "shot_start", "shot_start"]
    first = events[1]
    assert first.start_ns == first.end_ns == first.known_from_ns == CLOCK.time_of(50)
    assert (first.is_point, first.source, first.label_set) == (True, "shot", PICTURE_SET)
    assert first.caption == "The scene cuts to a new shot."
    assert first.provenance.inputs == (shots[1].id,)
    assert first.provenance.kind == "rule"


def test_a_fade_is_the_span_that_the_brightness_shows():
    luma = [0.5] * 20 + [0.5 - 0.05 * k for k in range(1, 10)] + [0.02] * 3 + [0.1 * k for k in range(1, 6)] + [0.5] * 5
    shots = shots_at(VIDEO, CLOCK, [60], ["fade_through"])
    part = signals_of(VIDEO, CLOCK, FRAMES, luma=[*luma, *([0.5] * (len(FRAMES) - len(luma)))])
    events = found(shots, [part]).events
    fade = only(events, "fade")
    # Sample 20 (frame 40) still shines, sample 21 is the first darker one; sample 36 (frame 72) is back.
    assert (fade.start_ns, fade.end_ns) == (CLOCK.time_of(40), CLOCK.time_of(72))
    assert fade.known_from_ns == fade.end_ns, "it has faded in again"
    assert fade.onset_uncertainty_ns == fade.offset_uncertainty_ns == 80 * MS
    assert "light_down" not in labels(events), "its darkness is its own"
    assert "shot_start" not in labels(events)


def test_a_fade_that_was_not_measured_is_believed_once_it_was_looked_at():
    fade = only(found(shots_at(VIDEO, CLOCK, [60], ["fade_through"])).events, "fade")
    assert fade.start_ns == CLOCK.time_of(60)
    assert fade.end_ns == fade.known_from_ns == CLOCK.time_of(70)


def gradual(*transitions, clock=CLOCK, video=VIDEO, signals=()):
    """The events of shots that begin in the middle of transitions: `(kind, first, end)` in frames, or a cut's frame."""
    starts = [row if isinstance(row, int) else (row[1] + row[2]) // 2 for row in transitions]
    kinds = ["cut" if isinstance(row, int) else row[0] for row in transitions]
    spans = {at: row[1:] for at, row in zip(starts, transitions, strict=True) if not isinstance(row, int)}
    shots = shots_at(video, clock, starts, kinds, spans)
    return shots, found(shots, signals, clock=clock, video=video).events


def told(events):
    """Label and first and last frame of what is no beginning."""
    return [
        (event.label, CLOCK.index_at(event.start_ns), CLOCK.index_at(event.end_ns))
        for event in events
        if event.label != "video_start"
    ]


@pytest.mark.parametrize(("kind", "label"), [("dissolve", "dissolve"), ("fade_through", "fade")])
def test_a_gradual_transition_is_told_over_the_span_that_was_found(kind, label):
    shots, events = gradual((kind, 50, 60))
    assert told(events) == [(label, 50, 60)]
    event = only(events, label)
    assert event.known_from_ns == event.end_ns, "the new shot is there"
    assert event.onset_uncertainty_ns == event.offset_uncertainty_ns == 0
    assert event.provenance.inputs == (shots[1].id,)
    assert (event.source, event.is_point) == ("shot", False)


def test_a_found_span_is_kept_whatever_the_brightness_says():
    luma = [0.5] * 20 + [0.5 - 0.05 * k for k in range(1, 10)] + [0.02] * 3 + [0.1 * k for k in range(1, 6)]
    part = signals_of(VIDEO, CLOCK, FRAMES, luma=[*luma, *([0.5] * (len(FRAMES) - len(luma)))])
    _, events = gradual(("fade_through", 44, 70), signals=[part])
    assert told(events)[0] == ("fade", 44, 70)


def test_a_fade_out_and_the_fade_in_behind_it_are_one_fade():
    shots, events = gradual(("fade_to_black", 40, 60), ("fade_from_black", 80, 90))
    assert told(events) == [("fade", 40, 90)]
    fade = only(events, "fade")
    assert fade.known_from_ns == fade.end_ns
    assert fade.provenance.inputs == (shots[1].id, shots[2].id), "the black shot is part of it"


def test_one_fade_is_as_sure_as_the_less_sure_half():
    shots, _ = gradual(("fade_to_black", 40, 60), ("fade_from_black", 80, 90))
    scores = [shot.model_copy(update={"score": score}) for shot, score in zip(shots, (1.0, 0.9, 0.6), strict=True)]
    assert only(found(scores).events, "fade").confidence == 0.6


@pytest.mark.parametrize(("black", "labels_told"), [(75, [("fade", 40, 145)]), (76, [("dissolve", 136, 146)])])
def test_only_so_much_black_belongs_to_one_fade(black, labels_told):
    """3 s of black are 75 frames; behind more of it the picture comes in by itself."""
    _, events = gradual(("fade_to_black", 40, 60), ("fade_from_black", 60 + black, 70 + black))
    assert told(events) == labels_told


def test_a_fade_to_black_alone_is_no_new_shot():
    assert told(gradual(("fade_to_black", 200, 240))[1]) == []
    assert told(gradual(("fade_to_black", 40, 60), 100)[1]) == [("shot_start", 100, 100)]
    both = gradual(("fade_to_black", 40, 60), ("fade_to_black", 90, 100), ("fade_from_black", 110, 120))
    assert told(both[1]) == [("fade", 90, 120)]


def test_the_black_behind_a_fade_to_black_is_told_by_the_signals():
    frames = range(0, 250, 2)
    luma = [0.5 if k < 40 else max(0.01, 0.5 - 0.025 * (k - 40)) for k in frames]
    dark = [0.3 if k < 60 else 0.01 for k in frames]
    part = signals_of(VIDEO, CLOCK, frames, luma=luma, contrast=dark)
    _, events = gradual(("fade_to_black", 40, 60), signals=[part])
    assert {"black", "light_down"} <= set(labels(events))
    assert not {"shot_start", "fade", "dissolve"} & set(labels(events))


def test_a_picture_that_comes_out_of_black_alone_is_a_dissolve():
    assert told(gradual(("fade_from_black", 0, 20))[1]) == [("dissolve", 0, 20)]
    assert told(gradual(60, ("fade_from_black", 90, 100))[1]) == [("shot_start", 60, 60), ("dissolve", 90, 100)]
    assert told(gradual(("fade_to_black", 40, 60), 100, ("fade_from_black", 110, 120))[1]) == [
        ("shot_start", 100, 100), ("dissolve", 110, 120),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(3, 30), st.integers(1, 40)), min_size=1, max_size=4))
def test_every_shot_is_told_once_but_the_black_of_a_fade(drawn):
    at, rows = 0, []
    for kind, length, after in drawn:
        at += after
        rows.append(at + length // 2 if kind == "cut" else (kind, at, at + length))
        at += length
    shots, events = gradual(*rows)
    mine = [event for event in events if event.source == "shot" and event.label != "video_start"]
    inputs = [name for event in mine for name in event.provenance.inputs]
    assert len(set(inputs)) == len(inputs)
    quiet = {shot.id for shot in shots if shot.transition in ("first", "fade_to_black")}
    assert {shot.id for shot in shots} - set(inputs) <= quiet
    for event in mine:
        assert event.known_from_ns == event.end_ns
        assert CLOCK.on_grid(event.start_ns)
        assert CLOCK.on_grid(event.end_ns)
    for first, second in pairwise(mine):
        assert first.end_ns <= second.start_ns


def test_a_gradual_transition_into_a_last_frame_keeps_it():
    clock = clock_from([40] * 4)
    video = video_of("short", clock)
    event = only(found(shots_at(video, clock, [4], ["fade_through"]), clock=clock, video=video).events, "fade")
    assert (event.start_ns, event.end_ns) == (clock.time_of(4), clock.end_ns)


@pytest.mark.parametrize(
    ("curve", "value", "label"),
    [
        ("pan_x", 0.2, "pan_right"),
        ("pan_x", -0.2, "pan_left"),
        ("pan_y", 0.2, "tilt_down"),
        ("pan_y", -0.2, "tilt_up"),
        ("zoom", 0.3, "zoom_in"),
        ("zoom", -0.3, "zoom_out"),
        ("motion", 0.4, "motion_burst"),
    ],
)
def test_camera_and_motion(curve, value, label):
    rest = 0.05 if curve == "motion" else 0.0
    events = measured(**{curve: [rest] * 10 + [value] * 12 + [rest]})
    assert labels(events) == ["video_start", label]
    event = events[1]
    assert (event.start_ns, event.end_ns) == (CLOCK.time_of(20), CLOCK.time_of(44))
    assert event.start_ns < event.known_from_ns < event.end_ns
    assert event.source == "signal"
    assert event.caption.endswith(".")


def act(start_ms, end_ms, label, **more):
    text = f"The red circle does {label}."
    return said(VIDEO, start_ms * MS, end_ms * MS, text, label=label, subject="red circle", **more)


def still_with(*rows):
    part = signals_of(VIDEO, CLOCK, FRAMES, motion=[0.001] * len(FRAMES))
    events = found(signals=[part], annotations=rows).events
    return [(e.start_ns // MS, e.end_ns // MS, e.known_from_ns // MS) for e in events if e.label == "still"]


def test_nothing_is_still_where_something_small_is_told_to_happen():
    assert still_with() == [(0, 10_000, 2_000)]
    assert still_with(act(3_000, 4_000, "move")) == [(0, 3_000, 2_000), (4_000, 10_000, 6_000)]
    assert still_with(act(5_000, 5_000, "collide")) == [(0, 5_000, 2_000), (5_040, 10_000, 7_040)]
    assert still_with(act(1_000, 4_000, "move"), act(2_000, 3_000, "leave")) == [(4_000, 10_000, 6_000)]
    assert still_with(act(0, 1_000, "enter"), act(2_500, 9_000, "move")) == [], "what is left is too short"


def test_a_sentence_that_says_nothing_of_movement_leaves_the_stillness():
    assert still_with(said(VIDEO, 3_000 * MS, 4_000 * MS, "A quiet room.")) == [(0, 10_000, 2_000)]


@given(scenes())
def test_stillness_and_annotated_acts_never_meet(scene):
    events = events_of(scene.video, scene.clock, scene.shots, scene.signals, scene.annotations, CONFIG).events
    acts = [event for event in events if event.label in ACTS]
    for still in (event for event in events if event.label == "still"):
        assert still.end_ns - still.start_ns >= CONFIG.still.min_ns
        for each in acts:
            assert each.end_ns + each.is_point <= still.start_ns or each.start_ns >= still.end_ns
    assert all(event.known_from_ns == event.end_ns for event in events if event.label in ("fade", "dissolve"))


def test_stillness_black_and_light():
    assert labels(measured(motion=[0.05] * 10 + [0.001] * 80 + [0.05])) == ["video_start", "still"]
    # It goes black at once, so the light does not drift.
    assert labels(measured(luma=[0.5] * 10 + [0.02] * 30 + [0.5], contrast=[0.01] * 125)) == ["video_start", "black"]
    rise = [0.2] * 10 + [0.2 + 0.02 * k for k in range(20)] + [0.6]
    assert labels(measured(luma=rise)) == ["video_start", "light_up"]
    assert labels(measured(luma=rise[::-1])) == ["video_start", "light_down"]


def test_thresholds_are_settings():
    part = signals_of(VIDEO, CLOCK, FRAMES, pan_x=[0.2] * len(FRAMES))
    assert "pan_right" in labels(found(signals=[part]).events)
    strict = CONFIG.model_copy(update={"pan": CONFIG.pan.model_copy(update={"on": 0.5, "off": 0.4})})
    assert "pan_right" not in labels(found(signals=[part], config=strict).events)


def test_a_caption_keeps_its_words_and_is_fitted_to_the_grid():
    row = said(VIDEO, 1_010 * MS, 3_005 * MS, "The red circle enters.", label="enter", subject="red circle")
    (event,), rejects = annotated(row)
    assert (event.start_ns, event.end_ns) == (1_040 * MS, 3_040 * MS)
    assert (event.onset_uncertainty_ns, event.offset_uncertainty_ns) == (30 * MS, 35 * MS)
    assert event.known_from_ns == 1_440 * MS
    assert (event.label, event.label_set, event.subject, event.caption) == (
        "enter", "world", "red circle", "The red circle enters.",
    )  # fmt: skip
    assert event.provenance.inputs == (row.id,)
    assert rejects == []


def test_a_short_caption_is_known_at_its_end_at_the_latest():
    (event,), _ = annotated(said(VIDEO, 1_000 * MS, 1_080 * MS, "A flash."))
    assert event.known_from_ns == event.end_ns == 1_080 * MS


@pytest.mark.parametrize(
    ("kind", "origin", "label", "expected"),
    [
        ("caption", "captions", None, "caption"),
        ("caption", "subtitles", None, "subtitle"),
        ("caption", "SRT", None, "subtitle"),
        ("caption", "world", "enter", "enter"),
        ("word", "subtitles", None, "word"),
        ("label", "corpus", "Long Jump", "Long Jump"),
    ],
)
def test_the_label_of_an_annotation(kind, origin, label, expected):
    (event,), _ = annotated(said(VIDEO, 0, 2_000 * MS, "Words.", kind=kind, origin=origin, label=label))
    assert event.label == expected


def test_a_subtitle_is_known_when_it_starts():
    (event,), _ = annotated(said(VIDEO, 1_000 * MS, 3_000 * MS, "Hello there.", origin="subtitles"))
    assert event.known_from_ns == event.start_ns


def test_a_label_without_text_says_its_name():
    (event,), _ = annotated(said(VIDEO, 0, 2_000 * MS, "", kind="label", label="Long Jump"))
    assert event.caption == "Long Jump"


def test_an_instant_stays_one():
    (event,), _ = annotated(said(VIDEO, 1_001 * MS, 1_001 * MS, "The ball bounces."))
    assert event.is_point
    assert event.start_ns == event.end_ns == event.known_from_ns == 1_040 * MS
    assert event.onset_uncertainty_ns == 39 * MS


def test_a_span_without_a_frame_is_the_instant_at_which_it_has_happened():
    (event,), rejects = annotated(said(VIDEO, 1_001 * MS, 1_020 * MS, "A flash."))
    assert event.is_point
    assert event.start_ns == event.known_from_ns == 1_040 * MS
    assert (event.onset_uncertainty_ns, event.offset_uncertainty_ns) == (39 * MS, 20 * MS)
    assert rejects == []


def test_a_box_is_no_event_and_nothing_is_wrong_with_it():
    events, rejects = annotated(said(VIDEO, 0, 1_000 * MS, "0.1 0.2 0.25 0.5", kind="box", subject="red circle"))
    assert events == rejects == []


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (said(VIDEO, 0, 1_000 * MS, "What is it?", kind="qa"), "not_an_event"),
        (said(VIDEO, 0, 1_000 * MS, "a box", kind="box"), "no_box"),
        (said(VIDEO, 0, 1_000 * MS, "60 10 20 20", kind="box"), "no_box"),
        (said(VIDEO, 0, 1_000 * MS, "-0.5 0.1 0.2 0.2", kind="box"), "no_box"),
        (said(VIDEO, 0, 1_000 * MS, "  "), "no_words"),
        (said(VIDEO, 9_990 * MS, 9_995 * MS, "Too late."), "no_frame"),
        (said(VIDEO, 20_000 * MS, 21_000 * MS, "Outside."), "no_frame"),
    ],
)
def test_what_becomes_no_event_is_rejected_with_a_reason(row, code):
    events, (reject,) = annotated(row)
    assert events == []
    assert (reject.stage, reject.code, reject.at_ns) == ("events", code, row.start_ns)
    assert row.id in reject.item
    assert VIDEO.uri in reject.item
    assert reject.reason
    assert reject.action


def test_a_caption_that_reaches_out_of_the_video_ends_with_it():
    (event,), _ = annotated(said(VIDEO, 9_000 * MS, 20_000 * MS, "On and on."))
    assert event.end_ns == CLOCK.end_ns
    assert event.offset_uncertainty_ns == 0


def test_confidence_and_origin_are_carried():
    made = Provenance(kind="person", agent="annotator-7", version="2")
    (event,), _ = annotated(said(VIDEO, 0, 2_000 * MS, "It falls.", confidence=0.3, provenance=made))
    assert event.confidence == 0.3
    assert (event.provenance.kind, event.provenance.agent, event.provenance.version) == ("person", "annotator-7", "2")


def test_a_shots_score_is_its_confidence():
    first, second = shots_at(VIDEO, CLOCK, [50])
    for score, expected in ((0.25, 0.25), (27.0, 1.0), (-1.0, 0.0)):
        events = found([first, second.model_copy(update={"score": score})]).events
        assert only(events, "shot_start").confidence == expected


def test_lively_scenes_hold_many_kinds():
    scene = lively("many", seconds=120)
    events = events_of(scene.video, scene.clock, scene.shots, scene.signals, scene.annotations, CONFIG).events
    assert len(set(labels(events))) >= 10


@given(scenes())
def test_every_event_is_exact_known_in_time_and_the_same_twice(scene):
    arguments = (scene.video, scene.clock, scene.shots, scene.signals, scene.annotations, CONFIG)
    result = events_of(*arguments)
    clock = scene.clock
    assert labels(result.events)[0] == "video_start"
    for event in result.events:
        assert clock.on_grid(event.start_ns)
        assert clock.on_grid(event.end_ns)
        assert clock.on_grid(event.known_from_ns)
        assert event.start_ns < clock.end_ns
        assert event.start_ns <= event.known_from_ns <= event.end_ns
        assert event.is_point == (event.start_ns == event.end_ns)
        assert event.is_point or len(clock.frames_in(event.span)) > 0
    assert len({event.id for event in result.events}) == len(result.events)
    assert [event.start_ns for event in result.events] == sorted(event.start_ns for event in result.events)
    assert events_of(*arguments) == result


@given(scenes())
def test_no_annotation_vanishes(scene):
    result = events_of(scene.video, scene.clock, scene.shots, scene.signals, scene.annotations, CONFIG)
    kept = {made for event in result.events if event.source == "annotation" for made in event.provenance.inputs}
    boxes = {row.id for row in scene.annotations if row.kind == "box" and shares_of(row.text)}
    assert not kept & boxes
    lost = {row.id for row in scene.annotations} - kept - boxes
    assert len(kept) + len(boxes) + len(result.rejects) == len(scene.annotations)
    assert all(any(made in reject.item for reject in result.rejects) for made in lost)


@given(scenes())
def test_every_new_shot_is_an_event(scene):
    result = events_of(scene.video, scene.clock, scene.shots, scene.signals, scene.annotations, CONFIG)
    new = [event for event in result.events if event.source == "shot"]
    seen = [shot for shot in scene.shots if shot.transition != "fade_to_black"]
    assert len(new) == len(seen)
    for shot in seen[1:]:
        (event,) = (event for event in new if event.provenance.inputs[-1] == shot.id)
        assert event.start_ns <= shot.start_ns <= event.end_ns
        assert isinstance(event, Event)


def test_without_signals_cuts_fades_and_what_is_told_remain():
    shots = shots_at(VIDEO, CLOCK, [50, 90], ["cut", "fade_through"])
    part = signals_of(VIDEO, CLOCK, FRAMES, motion=[0.001] * len(FRAMES))
    rows = [act(3_000, 4_000, "enter")]
    every = labels(found(shots, [part], rows).events)
    quiet = labels(found(shots, [part], rows, config=EventsConfig(signals=False)).events)
    assert quiet == ["video_start", "shot_start", "enter", "fade"]
    assert set(every) == {*quiet, "still"}
