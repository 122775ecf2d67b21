"""What is true at an instant: the four instants that bound an event, and what may be spoken of."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.builders.facts import (
    Draft,
    FactsConfig,
    Reply,
    Timeline,
    about_of,
    draft_of,
    nothing_since,
    seed_of,
)
from datasets_build.builders.tracks import Track, is_form
from datasets_build.core.records import About, Evidence
from datasets_build.core.topics import is_about
from tests.builders.made import MS, Scene, clock_from, said, shots_at, signals_of, video_of
from tests.builders.worlds import TEACHER, desk_for, events_in, scenes

CLOCK = clock_from([40] * 249)
VIDEO = video_of("v", CLOCK)


def scene(*annotations, cuts=(), signals=()):
    return Scene(VIDEO, CLOCK, shots_at(VIDEO, CLOCK, list(cuts)), list(signals), list(annotations))


def act(start_ms, end_ms, label="enter", subject="red circle", text=None):
    return said(VIDEO, start_ms * MS, end_ms * MS, text or f"The {subject} acts.", label=label, subject=subject)


def timeline(*annotations, facts=None, **more):
    events = events_in(scene(*annotations, **more))
    return Timeline(CLOCK, events, TEACHER, facts or FactsConfig())


def ms(t_ns):
    return t_ns // MS


def test_four_instants_bound_an_event():
    (told,) = timeline(act(1_000, 3_000)).scene.told
    assert [ms(t) for t in (told.early_ns, told.known_ns, told.off_ns, told.done_ns)] == [1_000, 1_400, 3_000, 3_000]
    (fuzzy,) = timeline(act(1_010, 3_010)).scene.told
    # The grid moved both ends up by 30 ms, so neither is certain to the frame.
    assert [ms(t) for t in (fuzzy.early_ns, fuzzy.known_ns, fuzzy.off_ns, fuzzy.done_ns)] == [
        1_040,
        1_440,
        3_040,
        3_080,
    ]


def test_an_instant_is_over_as_soon_as_it_is_known():
    told = timeline(cuts=[50]).changes.told[0]
    assert told.early_ns == told.known_ns == told.off_ns == told.done_ns == CLOCK.time_of(50)
    assert told.evidence() == Evidence(start_ns=told.done_ns, end_ns=told.done_ns, event_id=told.event.id)


def test_measured_events_are_uncertain_by_their_sampling():
    frames = range(0, 250, 5)
    pan = [0.0] * 4 + [0.3] * 10 + [0.0] * 36
    (told,) = timeline(signals=[signals_of(VIDEO, CLOCK, frames, pan_x=pan)]).camera.told
    assert [ms(t) for t in (told.event.start_ns, told.event.end_ns)] == [800, 2_800]
    assert [ms(t) for t in (told.early_ns, told.known_ns, told.off_ns, told.done_ns)] == [600, 1_320, 2_600, 3_000]


def test_a_track_tells_what_is_on_done_and_to_come():
    track = timeline(act(1_000, 3_000), act(2_000, 5_000, "leave", "green square")).scene
    first, second = track.told
    assert track.on(1_400 * MS) == [first]
    assert track.on(2_400 * MS) == [first, second]
    assert track.on(1_200 * MS) == [] == track.on(3_000 * MS)[1:]
    assert track.unclear(1_200 * MS)
    assert not track.unclear(1_400 * MS)
    assert track.busy(1_000 * MS)
    assert not track.busy(960 * MS)
    assert not track.busy(5_000 * MS)
    assert [track.begun(t * MS) for t in (0, 999, 1_000, 2_000)] == [0, 0, 1, 2]
    assert track.done(3_000 * MS) == [first]
    assert track.last_done(3_000 * MS) == [first]
    assert track.last_done(2_960 * MS) == []
    assert track.last_done(9_000 * MS) == [second]
    assert ms(track.next_early(0)) == 1_000
    assert track.next_early(2_000 * MS) is None
    assert track.after(1_000 * MS) == [second]
    assert len(track) == 2
    assert Track([]).next_early(0) is None


def test_what_ends_at_once_is_last_together():
    track = timeline(act(1_000, 3_000, "move"), act(3_000, 3_000, "stop")).scene
    assert [told.event.label for told in track.last_done(3_000 * MS)] == ["move", "stop"]


def test_events_are_sorted_by_what_may_be_asked():
    pan = [0.3] * 20 + [0.0] * 30
    line = timeline(
        act(1_000, 2_000),
        said(VIDEO, 0, 2_000 * MS, "Hello.", origin="subtitles"),
        cuts=[100],
        signals=[signals_of(VIDEO, CLOCK, range(0, 250, 5), pan_x=pan, motion=[0.001] * 50)],
    )
    assert [told.event.label for told in line.scene.told] == ["enter"]
    assert [told.event.label for told in line.camera.told] == ["pan_right"]
    assert sorted(told.event.label for told in line.changes.told) == ["pan_right", "shot_start"]
    assert [told.event.label for told in line.shots.told] == ["video_start", "shot_start"]
    assert line.picture_labels >= {"pan_right", "shot_start", "still"}
    assert "video_start" not in line.picture_labels
    assert {"hello", "red", "circle"} <= line.words
    assert list(line.subjects) == ["red circle"]


def test_a_subject_takes_part_in_what_it_does_with_another():
    line = timeline(act(1_000, 2_000), act(3_000, 3_000, "collide", "red circle and blue star"))
    assert [told.event.label for told in line.subjects["red circle"].told] == ["enter", "collide"]
    assert "blue star" not in line.subjects, "nothing that it did alone can be asked after"


@pytest.mark.parametrize(
    "row",
    [
        said(VIDEO, 0, 2_000 * MS, "At 0:12 it falls."),
        said(VIDEO, 0, 2_000 * MS, "Rain lasts 3 s."),
        said(VIDEO, 0, 2_000 * MS, "word " * 80),
        said(VIDEO, 0, 2_000 * MS, "word", kind="word"),
    ],
)
def test_what_may_not_be_spoken_of_still_happens(row):
    line = timeline(row)
    assert line.topics == {}
    assert all(told.topic is None for told in line.scene.told)
    assert len(line.marks) == 0


def test_a_doubtful_event_silences_all_that_the_same_words_name():
    sure, unsure = act(1_000, 2_000), act(5_000, 6_000, text="The red circle acts again.")
    unsure = unsure.model_copy(update={"confidence": 0.1})
    facts = FactsConfig(min_confidence=0.5)
    assert timeline(sure, facts=facts).topics
    silent = timeline(sure, unsure, facts=facts)
    assert silent.topics == {}
    assert len(silent.scene) == 2


def test_a_sentence_that_also_tells_of_something_with_a_name_of_its_own_is_not_asked_after():
    words = "The red circle acts."
    line = timeline(act(1_000, 2_000), said(VIDEO, 4_000 * MS, 5_000 * MS, words), said(VIDEO, 0, 400 * MS, "A dog."))
    assert sorted(line.topics) == ["caption|a dog.", "enter|the red circle"]
    assert len(line.scene) == 3


def test_nothing_is_surely_last_where_something_else_may_have_ended_later():
    # What ends at 3.01 s on a grid of 40 ms may be over a frame later than what ends at the frame in between.
    line = timeline(act(1_000, 3_010), act(2_000, 3_060, "move"), act(5_000, 6_000, "stop"))
    first, second = line.scene.told[:2]
    assert line.scene.surely_last(second.done_ns) == ([second] if first.done_ns <= second.off_ns else [])
    unsure = Track([replace(first, off_ns=2_000 * MS), replace(second, done_ns=first.done_ns - 40 * MS)])
    assert unsure.last_done(4_000 * MS) != []
    assert unsure.surely_last(4_000 * MS) == []
    assert line.scene.surely_last(9_000 * MS) == [line.scene.told[2]]
    assert line.scene.surely_last(0) == []


def test_what_a_question_is_about_names_its_event_and_the_like():
    rows = (act(1_000, 2_000), said(VIDEO, 0, 400 * MS, "A dog."), said(VIDEO, 0, 400 * MS, "Hi.", origin="srt"))
    line = timeline(*rows, cuts=[50])
    abouts = {told.event.label: about_of(told) for track in line.topics.values() for told in track.told}
    assert abouts == {
        "enter": About(kind="label", label="enter", subject="red circle"),
        "caption": About(kind="caption", text="A dog."),
        "subtitle": About(kind="line", text="Hi."),
        "shot_start": About(kind="label", label="shot_start"),
    }
    for track in line.topics.values():
        alike = [told.event.id for told in track.told]
        assert [
            event.id for event in events_in(scene(*rows, cuts=[50])) if is_about(about_of(track.told[0]), event)
        ] == alike


@given(scenes())
def test_the_topics_are_the_classes_that_checks_find(drawn):
    events = events_in(drawn)
    for track in desk_for(drawn, random.Random(0), events=events).timeline.topics.values():
        about = about_of(track.told[0])
        assert {told.event.id for told in track.told} == {event.id for event in events if is_about(about, event)}


def test_topics_collect_what_words_cannot_tell_apart():
    line = timeline(
        act(1_000, 2_000, "move"), act(4_000, 5_000, "move", text="It moves on."), act(7_000, 8_000, "stop")
    )
    assert {key: len(track) for key, track in line.topics.items()} == {
        "move|the red circle": 2,
        "stop|the red circle": 1,
    }
    assert is_form(line.scene.told[0])
    (free,) = timeline(said(VIDEO, 0, 2_000 * MS, "A man runs.")).scene.told
    assert not is_form(free)


def desk(*annotations, seed=0, **facts):
    return desk_for(scene(*annotations), random.Random(seed), facts=FactsConfig(**{"least_window_ns": MS} | facts))


def test_an_answer_ends_with_what_it_says():
    made = desk(window_ns=1_000 * MS)
    plain = made.reply("Yes.", 2_000 * MS, evidence=nothing_since(0, 2_000 * MS))
    assert (ms(plain.window_end_ns), plain.valid_until_ns) == (3_000, None)
    short = made.reply("Yes.", 2_000 * MS, evidence=[], until=2_400 * MS)
    assert (ms(short.window_end_ns), ms(short.valid_until_ns)) == (2_400, 2_400)
    last = made.reply("Yes.", CLOCK.time_of(249), evidence=[])
    assert last.window_end_ns == CLOCK.end_ns


def test_no_answer_stands_outside_the_video_or_when_it_is_wrong_at_once():
    made = desk()
    assert made.reply("Yes.", CLOCK.end_ns, evidence=[]) is None
    assert made.reply("Yes.", 2_000 * MS, evidence=[], until=2_000 * MS) is None
    assert made.reply(None, 0, evidence=[]) is None


def test_words_with_a_clock_are_not_said():
    class Chatty:
        def write(self, request, rng):
            return "It happened at 0:12."

    made = desk()
    assert made.write("say_yes") is None
    assert type(made)(made.timeline, Chatty(), made.rng).write("ask_now") is None
    assert made.write("ask_now") is not None


CAMERA = About(kind="camera")


def test_a_draft_needs_its_question_and_all_its_answers():
    reply = Reply("Yes.", 40 * MS, 80 * MS, None, (Evidence(start_ns=0, end_ns=40 * MS),))
    assert draft_of("now", "realtime", None, 0, [reply], about=CAMERA) is None
    assert draft_of("now", "realtime", "Now?", 0, [], about=CAMERA) is None
    assert draft_of("now", "realtime", "Now?", 0, [reply, None], about=CAMERA) is None
    draft = draft_of("now", "realtime", "Now?", 0, [reply], about=CAMERA)
    assert isinstance(draft, Draft)
    assert draft.answerable_from_ns == 40 * MS


def test_seeds_differ_by_video_purpose_and_run():
    seeds = {seed_of(video, purpose, run) for video in "ab" for purpose in ("qa", "dialogue") for run in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**60 for seed in seeds)
    assert seed_of("a", "qa", 0) == seed_of("a", "qa", 0)


def test_instants_are_frames_and_often_near_what_happens():
    made = desk(act(5_000, 5_400), recent_ns=1_000 * MS)
    drawn = [made.instant() for _ in range(400)]
    assert all(CLOCK.on_grid(t) and t < CLOCK.end_ns for t in drawn)
    near = sum(5_000 * MS <= t < 6_400 * MS for t in drawn)
    assert near > 150
    assert len(set(drawn)) > 80
    assert made.between(5_001 * MS, 5_040 * MS) is None
    assert made.between(5_000 * MS, 5_001 * MS) == 5_000 * MS
    assert made.between(-9, 1) == 0
    assert made.between(CLOCK.end_ns, CLOCK.end_ns + 9) is None


@pytest.mark.parametrize("field", ["window_ns", "recent_ns", "max_wait_ns", "max_answers", "max_told"])
def test_limits_are_positive(field):
    with pytest.raises(ValidationError):
        FactsConfig(**{field: 0})


@given(scenes(), st.data())
def test_tracks_say_what_a_brute_search_says(drawn, data):
    events = events_in(drawn)
    line = Timeline(drawn.clock, events, TEACHER, FactsConfig())
    t = drawn.clock.time_of(data.draw(st.integers(0, len(drawn.clock) - 1)))
    for track in (line.scene, line.changes, line.shots, *line.topics.values()):
        told = track.told
        assert track.on(t) == [x for x in told if x.known_ns <= t < x.off_ns]
        assert track.busy(t) == any(x.early_ns <= t < x.done_ns for x in told)
        assert track.unclear(t) == any(x.early_ns <= t < x.done_ns and not x.known_ns <= t < x.off_ns for x in told)
        assert track.begun(t) == sum(x.early_ns <= t for x in told)
        assert track.done(t) == [x for x in told if x.done_ns <= t]
        assert track.after(t) == [x for x in told if x.early_ns > t]
        assert track.next_early(t) == min((x.early_ns for x in told if x.early_ns > t), default=None)
        latest = max((x.done_ns for x in told if x.done_ns <= t), default=None)
        assert track.last_done(t) == [x for x in told if x.done_ns == latest]


@given(scenes())
def test_the_instants_of_an_event_are_ordered_and_on_the_grid(drawn):
    line = Timeline(drawn.clock, events_in(drawn), TEACHER, FactsConfig())
    for told in (*line.scene.told, *line.changes.told, *line.shots.told):
        event = told.event
        assert told.early_ns <= told.known_ns <= told.done_ns
        assert told.off_ns <= told.done_ns
        assert told.early_ns <= event.start_ns
        assert event.end_ns <= told.done_ns or event.is_point
        assert told.done_ns <= drawn.clock.end_ns
        assert all(drawn.clock.on_grid(t) for t in (told.early_ns, told.known_ns, told.off_ns, told.done_ns))
