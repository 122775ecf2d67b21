"""Clips under looks: what stays true stays, what nobody can tell goes, and views of one scene keep in step."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.answers import Asked, CannotAskError, Scene, Words, last_seen
from augment.clip import Clip
from augment.latency import LogNormal
from augment.looks import size_after, untellable_labels
from augment.maker import Maker
from augment.picture_settings import Aspect, Blur, Colour, Compress, Noise, Resolution, Shake
from augment.settings import (
    Crop,
    Delay,
    Freeze,
    Interrupt,
    Jitter,
    Pipeline,
    Reconnect,
    Skip,
    Speed,
    WrongThenCorrected,
)
from augment.source import by_size
from augment.untold import untold_of
from datasets_build.core.augmentation import Augmentation, Look
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import About
from datasets_build.core.table import read_table, write_table
from datasets_build.core.topics import ACTS, CAMERA, MOTION
from datasets_build.teachers.template import load_template
from datasets_build.truth.due import Due, due_of
from datasets_build.truth.grounds import Grounds
from tests.augment.clips import RULES, broken, clip
from tests.laws import examples

NAMES = ("a", "b", "c")
PICTURES = (
    Resolution(heights=(96,)),
    Aspect(),
    Aspect(form="squeeze", ratios=("3:2",)),
    Colour(),
    Blur(),
    Compress(),
    Shake(),
    Noise(),
)
TIMES = (Speed(form="pieces"), Skip(), Jitter(), Crop(), Freeze())
SAME = Speed(low=1.0, high=1.0)


BARE = Clip(video=clip("a").video, clock=clip("a").clock, events=clip("a").events)


def maker(operations, *, views=1, seed=0):
    pipeline = Pipeline(seed=seed, operations=tuple(operations), views=views)
    return Maker(pipeline=pipeline, rules=RULES, talk_rules=RULES, others=by_size([clip(name) for name in NAMES]))


def made(operations, name="a", *, camera=0, views=1, seed=0):
    return maker(operations, views=views, seed=seed).make(clip(name), 0, camera)


def told(rows):
    return [(row.task, row.question, row.ask_ns, row.answers) for row in rows]


@pytest.mark.parametrize(
    ("operation", "name"), list(zip(PICTURES, NAMES * 3, strict=False)), ids=lambda each: getattr(each, "kind", each)
)
def test_under_each_look_every_law_of_the_checks_holds(operation, name):
    found = made([operation], name)
    assert broken(found) == []
    assert [look.kind for look in found.looks] == [row.kind for row in found.maps[0].looks]
    width, height = size_after(found.looks, clip(name).video.upright_size)
    assert (found.clip.video.width, found.clip.video.height) == (width, height)


@settings(max_examples=examples(25), deadline=None)
@given(
    st.lists(st.sampled_from(TIMES), max_size=2),
    st.lists(st.sampled_from(PICTURES), min_size=1, max_size=3),
    st.sampled_from(NAMES),
    st.integers(0, 99),
)
def test_looks_change_no_times_and_no_answer_but_those_they_hide(times, pictures, name, seed):
    pictures = [each for each in pictures if getattr(each, "form", "") != "squeeze"]
    found = made([*times, *pictures, SAME, Noise()], name, seed=seed)
    plain = made([*times, SAME], name, seed=seed)
    assert broken(found) == []
    assert found.view.clock.t_ns.tolist() == plain.view.clock.t_ns.tolist()
    assert found.view.frame_of.tolist() == plain.view.frame_of.tolist()
    assert len(found.clip.annotations) == len(plain.clip.annotations)
    hidden = untellable_labels(found.looks)
    labels = Counter((event.label, event.start_ns, event.end_ns) for event in plain.clip.events)
    kept = Counter((event.label, event.start_ns, event.end_ns) for event in found.clip.events)
    assert kept <= labels
    assert {label for label, _, _ in labels - kept} <= hidden
    assert not {event.label for event in found.clip.events} & hidden
    if not hidden:
        assert [row[:3] for row in told(found.clip.questions)] == [row[:3] for row in told(plain.clip.questions)]


TALK = (
    Reconnect(gaps=2),
    Interrupt(share=0.9),
    WrongThenCorrected(share=0.5),
    Delay(network=LogNormal(median_ms=200.0, sigma=1.0)),
)


@settings(max_examples=examples(20), deadline=None)
@given(st.permutations(TALK[:3]), st.sampled_from(NAMES), st.integers(0, 99))
def test_whatever_else_happens_to_a_shaken_view_nothing_is_said_of_the_camera(talk, name, seed):
    found = made([*talk, TALK[3], Shake()], name, seed=seed)
    assert broken(found) == []
    captions = {load_template().caption_of(label).rstrip(".").casefold() for label in CAMERA | MOTION}
    for dialogue in found.clip.dialogues:
        assert not [turn for turn in dialogue.turns if turn.about and rests_on_the_camera(turn, CAMERA | MOTION)]
        said = [turn.text.casefold() for turn in dialogue.turns]
        assert not [text for text in said if any(caption in text for caption in captions)]


def test_a_conversation_in_which_nobody_is_left_to_ask_is_none():
    """Else a stream that is back would tell nobody what was seen before."""
    found = next(each for each in (made([*TALK, Noise()], seed=k) for k in range(20)) if not each.clip.dialogues)
    assert broken(found) == []
    assert "empty" in {reject.code for reject in found.left if "Dialogue" in reject.item}


def test_times_are_drawn_the_same_with_looks_in_between():
    plain = made([*TIMES])
    mixed = made([Noise(), TIMES[0], Colour(p=0.5), *TIMES[1:], Shake(p=0.5)])
    assert plain.view.clock.t_ns.tolist() == mixed.view.clock.t_ns.tolist()
    assert plain.clip.video.id != mixed.clip.video.id


def rests_on_the_camera(row, hidden):
    about = row.about
    captions = {load_template().caption_of(label) for label in hidden}
    return about.kind in ("camera", "changes") or about.label in hidden or about.text in captions


def test_under_shake_nothing_is_said_of_the_camera_or_of_stillness():
    hidden = CAMERA | MOTION
    gone = 0
    for name in NAMES:
        plain, shaken = made([SAME], name), made([Shake()], name)
        camera = [event for event in plain.clip.events if event.label in hidden]
        asked = [row for row in plain.clip.questions if rests_on_the_camera(row, hidden)]
        assert camera
        gone += len(asked)
        assert not [event for event in shaken.clip.events if event.label in hidden]
        assert not [row for row in shaken.clip.questions if rests_on_the_camera(row, hidden)]
        turns = [turn for talk in shaken.clip.dialogues for turn in talk.turns if turn.about]
        assert not [turn for turn in turns if rests_on_the_camera(turn, hidden)]
        reasons = [reject for reject in shaken.left if reject.code == "untellable"]
        assert {reject.item.split()[-1] for reject in reasons} == {
            event.id for event in clip(name).events if event.label in hidden
        }
        assert all("under shake nobody can tell" in reject.reason for reject in reasons)
        assert {event.id for event in clip(name).events if event.label in hidden} <= set(shaken.maps[0].invalidated)
        # What is still said is what was said before.
        assert {row[:3] for row in told(shaken.clip.questions)} <= {row[:3] for row in told(plain.clip.questions)}
        assert {str(row[3]) for row in told(shaken.clip.questions)} <= {
            str(row[3]) for row in told(plain.clip.questions)
        }
    assert gone


def test_a_question_that_rests_on_a_hidden_event_is_told_why():
    """Planted: without what is hidden, it would be said that something moved last, though the camera did."""
    parent = clip("a")
    act = next(event for event in parent.events if event.label in ACTS)
    pan = next(event for event in parent.events if event.label in CAMERA)

    def at(event, start, end, name):
        moved = {"start_ns": start, "end_ns": end, "known_from_ns": start, "is_point": False}
        sure = {"onset_uncertainty_ns": 0, "offset_uncertainty_ns": 0, "id": name}
        return event.model_copy(update=moved | sure)

    second = [parent.clock.snap_up(k * NS_PER_S) for k in range(8)]
    events = [at(act, second[1], second[2], "act"), at(pan, second[3], second[4], "pan")]
    untold = untold_of((Look(kind="shake"),), events, parent.clock)
    told = Grounds(events[:1], parent.clock)
    scene = About(kind="scene")
    assert isinstance(due_of("before", scene, second[6], told), Due)
    assert "which cannot be told" in untold.why_not("before", scene, second[6], told)
    # Before the camera moves nothing rests on it but how long the answer stands, which nobody could tell either.
    assert "which cannot be told" in untold.why_not("before", scene, second[2], told)
    assert untold.why_not("happened_yet", About(kind="caption", text=act.caption), second[6], told) is None
    nothing = "what cannot be told under the looks"
    assert untold.why_not("happened_yet", About(kind="label", label="pan_left"), 0, told) == nothing
    caption = About(kind="caption", text=load_template().caption_of("zoom_in"))
    assert untold.why_not("before", caption, 0, told) == nothing
    assert untold.why_not("count_so_far", About(kind="shots"), 0, told) is None
    assert [event.id for event in untold.parents()] == [pan.provenance.inputs[0]]
    # Nor is it told as what was seen before a stream was gone.
    row = parent.questions[0]
    words = Words(written=row.provenance, said=(), events=frozenset(), key=row.id)
    place = Scene(video_id="v", clock=parent.clock, grounds=told, rules=RULES, seed=0)
    asked = Asked(task="before", about=scene, ask_ns=second[6], words=words, scene=place)
    assert last_seen(asked)[0]
    with pytest.raises(CannotAskError, match="which cannot be told"):
        last_seen(replace(asked, scene=replace(place, untold=untold)))


def test_looks_that_hide_nothing_ask_everything():
    found = made([SAME])
    assert untold_of((Look(kind="noise"),), found.clip.events, found.view.clock) is None
    squeezed = untold_of((Look(kind="squeeze"),), found.clip.events, found.view.clock)
    grounds = Grounds(found.clip.events, found.view.clock)
    assert "which the looks change" in squeezed.why_not("shape", About(kind="scene"), 0, grounds)
    assert squeezed.why_not("happened_yet", About(kind="label", label="pan_left"), 0, grounds) is None


def test_keyframes_are_left_out_for_their_pictures_are_of_other_pixels():
    assert made([SAME]).clip.keyframes
    assert not made([Noise()]).clip.keyframes


def test_views_of_a_scene_are_on_one_clock_and_look_each_their_own_way():
    everyone = maker([*TIMES, Colour(), Noise(), Shake(p=0.5)], views=3)
    views = [everyone.make(clip("a"), 0, camera) for camera in range(3)]
    assert len({view.clip.video.id for view in views}) == 3
    assert len({view.looks for view in views}) == 3
    assert len({tuple(view.view.clock.t_ns.tolist()) for view in views}) == 1
    assert len({tuple(view.view.frame_of.tolist()) for view in views}) == 1
    (scene,) = {row.scene_id for view in views for row in view.maps}
    assert scene
    assert {row.scene_id for row in everyone.make(clip("a"), 1, 0).maps} != {scene}
    for view in views:
        assert broken(view) == []
        assert view.clip.video.split == clip("a").video.split
    starts = [{(event.label, event.start_ns) for event in view.clip.events} for view in views]
    unhidden = [{each for each in found if each[0] not in CAMERA | MOTION} for found in starts]
    assert unhidden[0] == unhidden[1] == unhidden[2]


def test_a_single_view_names_no_scene():
    assert {row.scene_id for row in made([Noise()]).maps} == {None}


def test_a_view_that_would_look_like_an_earlier_one_is_not_made():
    seldom = maker([SAME, Noise(p=0.3)], views=6)
    views = [seldom.make(BARE, 0, camera) for camera in range(6)]
    looks = [view.looks for view in views if view]
    assert len(set(looks)) == len(looks) > 1
    assert None in views
    assert () in looks
    pixels_only = maker([Noise(p=0.3)], views=6)
    assert all(view is None or view.looks for view in (pixels_only.make(BARE, 0, camera) for camera in range(6)))


def test_a_turned_video_is_upright_under_looks():
    video = BARE.video.model_copy(update={"rotation_deg": 90, "sar_num": 4, "sar_den": 3})
    found = maker([Noise()]).make(Clip(video=video, clock=BARE.clock, events=BARE.events), 0)
    assert (found.clip.video.width, found.clip.video.height, found.clip.video.rotation_deg) == (48, 64, 0)
    assert (found.clip.video.sar_num, found.clip.video.sar_den) == (3, 4)
    as_it_is = maker([SAME]).make(Clip(video=video, clock=BARE.clock, events=BARE.events), 0).clip.video
    assert (as_it_is.width, as_it_is.height, as_it_is.rotation_deg, as_it_is.sar_num) == (64, 48, 90, 4)


def test_looks_are_stored_with_the_maps_and_old_tables_are_read(tmp_path):
    rows = made([Shake(), Compress()]).maps
    write_table(tmp_path / "new.parquet", Augmentation, rows)
    assert tuple(read_table(tmp_path / "new.parquet", Augmentation)) == rows
    # A table without the columns, as it was written before there were looks.
    columns = [name for name in Augmentation.model_fields if name not in ("looks", "scene_id")]
    old = list(read_table(tmp_path / "new.parquet", Augmentation, columns=columns))
    assert [(row.looks, row.scene_id) for row in old] == [((), None)] * len(rows)
    assert old[0].knots == rows[0].knots
