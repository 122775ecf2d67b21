"""Colour and shape: what is asked is what the script drew, only while it surely shows, and right as long as it does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.builders import looks
from datasets_build.builders.dialogue import DialogueConfig, dialogue_of
from datasets_build.builders.facts import FactsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig, questions_of
from datasets_build.sources.world_draw import scene_at
from tests.builders.asking import CLOCK, VIDEO, act, at
from tests.builders.lessons import ASKED, LESSON_TASKS, WORDS, lesson, lesson_desk, lesson_events, script_of
from tests.builders.made import MS, Scene, shots_at
from tests.builders.worlds import TEACHER, breaches

ENTERS = ("enter", "red circle", "The red circle enters from the left.")
TURNS = ("change_colour", "red circle", "The red circle turns blue.")
LEAVES = ("leave", "blue circle", "The blue circle leaves at the top.")


def row(start, end, what, origin="lesson"):
    label, subject, text = what
    return act(start, end, label, subject, text).model_copy(update={"origin": origin})


def desk(*rows, cuts=(), kinds=(), **limits):
    scene = Scene(VIDEO, CLOCK, shots_at(VIDEO, CLOCK, list(cuts), list(kinds)), [], list(rows))
    return lesson_desk(scene, **limits)


WHOLE = (row(2_000, 3_000, ENTERS), row(6_000, 6_000, TURNS), row(9_000, 10_000, LEAVES))


def said(draft):
    return None if draft is None else (draft.replies[0].text, draft.replies[0].valid_until_ns)


@pytest.mark.parametrize(
    ("t_ms", "colour", "shape"),
    [
        (1_000, None, None),
        (2_500, None, None),
        (3_000, ("red", 6_000), ("circle", 9_000)),
        (5_400, ("red", 6_000), ("circle", 9_000)),
        (6_000, ("blue", 9_000), ("circle", 9_000)),
        (8_000, ("blue", 9_000), ("circle", 9_000)),
        (9_400, None, None),
        (10_000, None, None),
        (15_000, None, None),
    ],
)
def test_a_look_is_asked_from_entering_to_leaving_and_ends_with_the_next_change(t_ms, colour, shape):
    made = desk(*WHOLE)
    for ask, expected in ((looks.colour_at, colour), (looks.shape_at, shape)):
        wanted = expected and (expected[0], at(expected[1]))
        assert said(ask(made, at(t_ms))) == wanted


def test_a_colour_is_not_asked_so_shortly_before_it_changes():
    made = desk(*WHOLE, least_window_ns=1_000 * MS)
    assert looks.colour_at(made, at(5_400)) is None
    assert looks.shape_at(made, at(5_400)) is not None


def test_the_answer_rests_on_the_event_that_gave_the_name_and_on_the_shot_so_far():
    draft = looks.colour_at(desk(*WHOLE, cuts=[30]), at(7_000))
    names, watched = draft.replies[0].evidence
    assert (names.start_ns, names.end_ns) == (at(6_000), at(6_000))
    assert (watched.start_ns, watched.end_ns, watched.event_id) == (CLOCK.time_of(30), at(7_000), None)
    assert draft.answerable_from_ns == draft.ask_ns == at(7_000)
    assert (draft.task, draft.mode, draft.about.kind) == ("colour", "realtime", "scene")


def test_a_cut_takes_everything_out_of_the_picture():
    made = desk(*WHOLE[:2], cuts=[190])
    assert said(looks.colour_at(made, at(7_000))) == ("blue", CLOCK.time_of(190))
    assert looks.colour_at(made, CLOCK.time_of(190)) is None
    assert looks.shape_at(made, CLOCK.time_of(300)) is None


@pytest.mark.parametrize(
    "rows",
    [
        (WHOLE[0], row(4_000, 4_400, ("enter", "green cross", "The green cross enters from the top."))),
        (WHOLE[0], row(4_000, 4_400, ENTERS)),
        (WHOLE[1],),
        (WHOLE[0], WHOLE[2]),
        (WHOLE[0], row(6_000, 6_000, ("change_colour", "red circle", "The red circle looks different now."))),
        (row(2_000, 3_000, ("enter", "circle", "The circle enters.")),),
        (row(2_000, 3_000, ENTERS, origin="world"),),
        (WHOLE[0], row(15_000, 16_000, ENTERS, origin="world")),
        (),
    ],
    ids=[
        "two",
        "twins",
        "unseen turns",
        "unseen leaves",
        "into what",
        "one word",
        "a world",
        "half a world",
        "nothing",
    ],
)
def test_nothing_is_asked_where_it_is_not_certain_what_is_there(rows):
    made = desk(*rows)
    assert looks.colour_at(made, at(12_000)) is None
    assert looks.shape_at(made, at(12_000)) is None


def test_what_enters_across_a_cut_or_is_there_during_a_fade_is_not_certain():
    assert looks.alone_at(desk(WHOLE[0], cuts=[60]).timeline, at(5_000)) is None
    made = desk(WHOLE[0], cuts=[110], kinds=["fade_through"])
    assert looks.alone_at(made.timeline, at(4_000)) is not None
    assert looks.alone_at(made.timeline, at(4_420)) is None


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.data())
def test_what_is_answered_is_what_the_script_draws(seed, data):
    scene, script = lesson("drawn", seconds=20, seed=seed), script_of("drawn", 20, seed)
    made = lesson_desk(scene, seed)
    for t in data.draw(st.lists(st.sampled_from(scene.clock.t_ns.tolist()), min_size=1, max_size=8)):
        shown = scene_at(script, t)
        there = [actor for actor in shown.actors if shown.visible(actor, actor.place(t))]
        colour, shape = looks.colour_at(made, t), looks.shape_at(made, t)
        if colour is not None:
            assert [actor.colour_at(t) for actor in there] == [colour.replies[0].text]
            last = max(t for t in scene.clock.t_ns.tolist() if t < colour.replies[0].window_end_ns)
            assert there[0].colour_at(last) == colour.replies[0].text
        if shape is not None:
            assert [actor.kind for actor in there] == [shape.replies[0].text]


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.sampled_from([WORDS, TEACHER]), st.integers(1, 8), st.sampled_from([0, 700 * MS]))
def test_every_law_holds_on_every_lesson(seed, teacher, answers, settle):
    scene = lesson("lawful", seconds=20, seed=seed)
    events = lesson_events(scene)
    limits = FactsConfig(max_answers=answers, settle_ns=settle)
    config = StreamingQAConfig(tasks=(*LESSON_TASKS, "tell_me_when"), per_minute=90.0, facts=limits)
    made = lesson_desk(scene, seed, teacher=teacher, events=events, max_answers=answers, settle_ns=settle)
    rows = questions_of(scene.video, made, config, seed=seed)
    talk = DialogueConfig(per_minute=40.0, interruptions=1.0, ways=("watch", "colour", "shape", "tally", "shots"))
    row = dialogue_of(scene.video, lesson_desk(scene, seed, teacher=teacher, events=events), talk, seed=seed)
    assert len(rows) > 5
    assert breaches(scene, events, questions=rows, dialogues=[row]) == []


def test_all_colours_and_shapes_come_up_about_as_often():
    answers = {"colour": [], "shape": []}
    for seed in range(20):
        scene = lesson("even", seconds=20, seed=seed)
        for made in questions_of(scene.video, lesson_desk(scene, seed), ASKED, seed=seed):
            if made.task in answers:
                answers[made.task].append(made.answers[0].text)
    for said_so in answers.values():
        assert len(said_so) > 60
        assert len(set(said_so)) == 4
        assert max(map(said_so.count, set(said_so))) < 0.5 * len(said_so)


def test_nobody_asks_before_things_have_settled():
    for seed in range(3):
        scene = lesson("settled", seconds=20, seed=seed)
        made = lesson_desk(scene, seed, settle_ns=700 * MS)
        config = StreamingQAConfig(tasks=LESSON_TASKS, per_minute=90.0, facts=made.limits)
        rows = questions_of(scene.video, made, config, seed=seed)
        acts = [event for event in lesson_events(scene) if event.label != "video_start"]
        assert not [1 for r in rows for e in acts if e.start_ns <= r.ask_ns < e.end_ns + 700 * MS]
        close = [1 for r in ask_without(scene, seed) for e in acts if e.start_ns <= r.ask_ns < e.end_ns + 700 * MS]
        assert close, "without the setting some do"


def ask_without(scene, seed):
    config = StreamingQAConfig(tasks=LESSON_TASKS, per_minute=90.0)
    return questions_of(scene.video, lesson_desk(scene, seed), config, seed=seed)


def test_drafts_depend_on_the_generator_alone():
    scene = lesson("same")
    one, two = (questions_of(scene.video, lesson_desk(scene, 5), ASKED, seed=5) for _ in range(2))
    assert one == two
