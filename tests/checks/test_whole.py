"""Faults that are planted into augmented videos in memory: each is found, and said with the field's name."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.picture_settings import Aspect, Shake
from augment.settings import Concat, Crop, Delay, Freeze, Loop, Pipeline, Reconnect, Reverse, Skip, Speed
from datasets_build.checks.seen import begins_video
from datasets_build.checks.whole import is_own_twin
from datasets_build.core.augmentation import Augmentation, Knot, Look, seal_of, sealed
from datasets_build.core.decisions import decisions_on
from datasets_build.core.perceived import Detector
from datasets_build.core.records import Parameter
from datasets_build.core.views import parse_grid
from tests.augment.test_unanswerable import clip as coming_and_going
from tests.builders.made import shots_at
from tests.checks.remaking import Held, drawn, remade, spoken
from tests.laws import examples

MS = 1_000_000
ONCE = (
    Pipeline(operations=(Speed(form="pieces", low=0.6, high=1.6), Freeze())),
    Pipeline(operations=(Crop(least=0.6), Concat())),
    Pipeline(operations=(Skip(form="bursts", share=0.3), Reconnect())),
)
AGAIN = Pipeline(operations=(Speed(low=1.3, high=1.3), Loop()))
LOOKED = Pipeline(operations=(Speed(low=0.8, high=0.8), Aspect(form="letterbox", ratios=("1:1",))))


def held_of(pipeline, *clips):
    found, parents = remade(clips or [spoken("a"), spoken("b")], pipeline)
    return Held(found, parents, pipeline)


def found_by(held, *laws):
    """That one of some laws is broken; what was found and expected."""
    broken = held.broken()
    there = [breach for law, _, breach in broken if law in laws]
    assert there, broken
    return " ".join(f"{breach.found} / {breach.expected}" for breach in there)


def changed(held, table, wanted, **update):
    """Some fields of the first record that is wanted replaced; the record as it was."""
    rows = held.rows[table]
    k, row = next((k, row) for k, row in enumerate(rows) if wanted(row))
    fields = {name: value(row) if callable(value) else value for name, value in update.items()}
    rows[k] = row.model_copy(update=fields)
    assert rows[k] != row
    return row


def own(event):
    return event.provenance.agent != "augment"


def anyone(row):
    return True


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(ONCE), st.sampled_from(("world", "lesson")), st.integers(0, 11), st.data())
def test_an_event_that_is_lost_is_found(pipeline, style, number, data):
    """Every one: each stretch of the parent is shown once, and chance decides nothing of what a law may ask."""
    held = held_of(pipeline, drawn(style, number), drawn(style, (number + 1) % 12))
    event = data.draw(st.sampled_from([e for e in held.rows["events"] if own(e)] or [None]))
    if event is None:
        return
    alike = [e for e in held.rows["events"] if e.provenance.inputs == event.provenance.inputs]
    held.rows["events"].remove(event)
    told = found_by(held, *(["vanished event"] if len(alike) == 1 else ["vanished event", "shown event"]))
    assert "event" in told


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 11), st.data())
def test_an_event_that_one_round_of_a_loop_lacks_is_found(number, data):
    held = held_of(AGAIN, drawn("world", number))
    event = data.draw(st.sampled_from([e for e in held.rows["events"] if own(e) and e.label != "shot_start"] or [None]))
    if event is not None:
        held.rows["events"].remove(event)
        assert "where the maps show it" in found_by(held, "shown event")


def test_an_event_that_is_told_as_gone_though_it_is_shown_is_found():
    held = held_of(ONCE[0], drawn("world", 1))
    event = next(e for e in held.rows["events"] if own(e) and not e.is_point)
    held.rows["events"].remove(event)
    row = held_of(ONCE[1]).found.left[0]
    item = f"{held.video.id}: Event {event.provenance.inputs[0]}"
    for code in ("gone", "untellable"):
        held.left = [row.model_copy(update={"item": item, "code": code})]
        assert "where the maps show it" in found_by(held, "shown event")


def test_a_pan_that_shaking_hides_need_not_be_there():
    held = held_of(Pipeline(operations=(Shake(),)))
    assert [row.code for row in held.left if row.code == "untellable"]
    assert held.broken() == []
    held.left = [row for row in held.left if row.code != "untellable"]
    assert found_by(held, "vanished event", "shown event")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("caption", "Somebody comes in."),
        ("confidence", 0.25),
        ("source", "human"),
        ("label_set", "other"),
        ("parent_event_id", "nobody"),
        ("id", "f" * 20),
        ("onset_uncertainty_ns", lambda e: e.onset_uncertainty_ns + 1),
        ("offset_uncertainty_ns", lambda e: e.offset_uncertainty_ns + 1),
        ("known_from_ns", lambda e: e.end_ns),
        ("provenance", lambda e: e.provenance.model_copy(update={"agent": "nobody"})),
    ],
)
def test_a_field_of_an_event_that_is_not_its_parents_is_found(field, wrong):
    held = held_of(ONCE[0], drawn("world", 2))
    changed(held, "events", lambda e: own(e) and e.known_from_ns < e.end_ns, **{field: wrong})
    assert field in found_by(held, "event")


def captions(row):
    return row.kind == "caption" and row.origin == "world"


@pytest.mark.parametrize(
    ("pipeline", "wanted", "field", "wrong"),
    [
        (ONCE[0], captions, "text", "The red dog sleeps."),
        (ONCE[0], captions, "label", "leap"),
        (ONCE[0], captions, "subject", "red dog"),
        (ONCE[0], captions, "language", "xx"),
        (ONCE[0], captions, "id", "f" * 20),
        (ONCE[0], lambda a: a.end_ns - a.start_ns > MS, "start_ns", lambda a: a.start_ns + 1),
        (ONCE[0], lambda a: a.end_ns - a.start_ns > MS, "end_ns", lambda a: a.end_ns - 1),
        (ONCE[0], lambda a: a.kind == "box", "text", "0.1 0.2 0.3 0.4"),
        (LOOKED, lambda a: a.kind == "box", "text", "0 0.25 0.3 0.5"),
        (LOOKED, lambda a: a.kind == "box", "text", "nowhere"),
        (AGAIN, lambda a: "5" in a.text or "seconds" in a.text, "text", "It stays for 5 seconds."),
        (AGAIN, lambda a: "seconds" in a.text, "text", "It stays for 3.85 seconds or so."),
    ],
)
def test_an_annotation_that_is_not_its_parents_is_found(pipeline, wanted, field, wrong):
    held = held_of(pipeline)
    changed(held, "annotations", wanted, **{field: wrong})
    assert field in found_by(held, "annotation")


@pytest.mark.parametrize("pipeline", [AGAIN, *(pytest.param(each, marks=pytest.mark.slow) for each in (*ONCE, LOOKED))])
def test_an_annotation_that_is_lost_or_there_twice_is_found(pipeline):
    held = held_of(pipeline)
    for k in range(0, len(held.rows["annotations"]), 17):
        lost = held_of(pipeline)
        gone = lost.rows["annotations"].pop(k)
        assert "of the rejects" in found_by(lost, "vanished annotation")
        twice = held_of(pipeline)
        twice.rows["annotations"].append(gone.model_copy(update={"id": "f" * 20}))
        assert found_by(twice, "vanished annotation", "annotation")


def test_an_annotation_of_nobody_is_found():
    held = held_of(AGAIN)
    strange = held.rows["annotations"][0].provenance.model_copy(update={"inputs": ("nobody",)})
    changed(held, "annotations", anyone, provenance=strange)
    assert "provenance.inputs" in found_by(held, "annotation")


def test_a_shot_that_is_lost_moved_or_other_is_found():
    for pipeline in (ONCE[0], AGAIN):
        held = held_of(pipeline)
        inner = [s for s in held.rows["shots"] if s.start_ns and s.start_ns not in begins(held)]
        assert inner
        held.rows["shots"].remove(inner[0])
        assert "start_ns" in found_by(held, "shot")
        for field, wrong in (
            ("start_ns", inner[0].start_ns + 1),
            ("transition", "dissolve" if inner[0].transition != "dissolve" else "fade_through"),
            ("transition_start_ns", inner[0].transition_start_ns - 1),
            ("transition_end_ns", inner[0].transition_end_ns + 1),
            ("score", 0.4242),
            ("detector", Detector(name="nobody", version="1", decoder="")),
            ("id", "f" * 20),
        ):
            other = held_of(pipeline)
            changed(other, "shots", lambda s, name=inner[0].id: s.id == name, **{field: wrong})
            assert field in found_by(other, "shot")


def slow_shots(parent):
    """Shots whose transitions are of every kind, with spans."""
    count = len(parent.clock)
    starts = [count * k // 6 for k in range(1, 6)]
    kinds = ["dissolve", "fade_to_black", "fade_from_black", "fade_through", "dissolve"]
    spans = {at: (at - 9, at + 8) for at in starts}
    return replace(parent, shots=shots_at(parent.video, parent.clock, starts, kinds, spans), keyframes=())


@pytest.mark.parametrize(
    "pipeline", [AGAIN, *ONCE, Pipeline(operations=(Reverse(),)), Pipeline(operations=(Skip(form="every", n=7),))]
)
def test_a_transition_that_is_clipped_moved_or_of_another_kind_is_found(pipeline):
    held = held_of(pipeline, slow_shots(spoken("a")), slow_shots(spoken("b")))
    assert [row for row in held.broken() if row[0] == "shot"] == []
    slow = [shot for shot in held.rows["shots"] if shot.transition_start_ns < shot.transition_end_ns]
    assert len(slow) >= 3
    mirrored = {"fade_to_black": "fade_from_black", "fade_from_black": "fade_to_black", "dissolve": "fade_through"}
    for shot in slow:
        for field, wrong in (
            ("transition", mirrored.get(shot.transition, "dissolve")),
            ("transition_start_ns", shot.start_ns if shot.start_ns > shot.transition_start_ns else 0),
            ("transition_end_ns", held.found.clip.clock.end_ns + 1),
        ):
            other = held_of(pipeline, slow_shots(spoken("a")), slow_shots(spoken("b")))
            changed(other, "shots", lambda s, name=shot.id: s.id == name, **{field: wrong})
            assert field in found_by(other, "shot")


def begins(held):
    return {round(row.time_map.target[0]) for row in held.maps}


def test_shots_of_a_video_whose_shots_nobody_knows_are_found():
    held = held_of(ONCE[0])
    parent = held.parents[held.maps[0].parent_id]
    held.parents = {parent.video.id: replace(parent, shots=())}
    assert "those of a parent are not known" in found_by(held, "shot")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("jpeg", b"x"), ("embedding", (1.0, 2.0)), ("novelty", 0.77), ("reason", "human"), ("id", "f" * 20)],
)
def test_a_keyframe_that_is_not_its_parents_is_found(field, wrong):
    held = held_of(AGAIN)
    changed(held, "keyframes", anyone, **{field: wrong})
    assert field in found_by(held, "keyframe")


def test_a_keyframe_that_is_lost_or_elsewhere_is_found():
    held = held_of(AGAIN)
    gone = held.rows["keyframes"].pop()
    assert f"frame_index {gone.frame_index}" in found_by(held, "keyframe")
    held = held_of(AGAIN)
    changed(held, "keyframes", anyone, frame_index=lambda k: k.frame_index + 1)
    assert "frame_index" in found_by(held, "keyframe")
    looked = held_of(LOOKED)
    assert looked.rows["keyframes"] == []
    looked.rows["keyframes"] = held.rows["keyframes"][:1]
    assert "unchanged" in found_by(looked, "keyframe")


@pytest.mark.parametrize("pipeline", [AGAIN, *(pytest.param(each, marks=pytest.mark.slow) for each in ONCE)])
def test_a_question_that_is_lost_moved_or_there_twice_is_found(pipeline):
    count = len(held_of(pipeline).rows["questions"])
    assert count > 3
    for k in range(0, count, 1 + count // 3):
        held = held_of(pipeline)
        gone = held.rows["questions"].pop(k)
        assert "question at" in found_by(held, "vanished question")
        held.rows["questions"].append(gone.model_copy(update={"ask_ns": gone.ask_ns + 1}))
        assert "ask_ns" in found_by(held, "vanished question")
        held.rows["questions"].append(gone)
        assert "in all" in found_by(held, "vanished question")


def test_a_question_that_is_lost_behind_a_network_is_found():
    held = held_of(Pipeline(operations=(Delay(network={"form": "constant", "ms": 80}),)))
    held.rows["questions"].pop()
    assert "question at" in found_by(held, "vanished question")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("question", "What now?"),
        ("mode", lambda q: "forward" if q.mode != "forward" else "backward"),
        ("task", "dance"),
        ("id", "f" * 20),
        ("options", ("one", "two")),
        ("test_points", ()),
        ("test_points", lambda q: (q.test_points[0].model_copy(update={"t_ns": q.test_points[0].t_ns + 1}),)),
        ("provenance", lambda q: q.provenance.model_copy(update={"seed": 5})),
        ("provenance", lambda q: q.provenance.model_copy(update={"version": "0"})),
    ],
)
def test_a_question_that_is_not_its_parents_is_found(field, wrong):
    held = held_of(ONCE[0])
    changed(held, "questions", lambda q: q.test_points and not q.unanswerable, **{field: wrong})
    assert field in found_by(held, "question")


def test_a_twin_that_was_made_for_another_is_no_question_too_many():
    crops = [Pipeline(seed=k, gone="unanswerable", operations=(Crop(least=0.4, most=0.8),)) for k in range(40)]
    made = (held_of(crop, coming_and_going()) for crop in crops)
    held = next(each for each in made if any(map(is_own_twin, each.rows["questions"])))
    assert held.broken() == []
    twin = next(row for row in held.rows["questions"] if is_own_twin(row))
    held.rows["questions"].append(twin.model_copy(update={"id": "f" * 20}))
    assert found_by(held, "vanished question")


def test_a_conversation_that_is_lost_or_other_is_found():
    held = held_of(ONCE[0])
    (gone,) = held.rows["dialogues"]
    held.rows["dialogues"] = []
    assert "a conversation" in found_by(held, "vanished dialogue")
    for field, wrong in (
        ("system", "Be rude."),
        ("language", "xx"),
        ("id", "f" * 20),
        ("provenance", gone.provenance.model_copy(update={"seed": 5})),
    ):
        held.rows["dialogues"] = [gone.model_copy(update={field: wrong})]
        assert field in found_by(held, "dialogue")


def test_an_exchange_that_is_cut_out_is_found_though_the_rest_fits():
    held = held_of(ONCE[0])
    (row,) = held.rows["dialogues"]
    user = next(turn for turn in row.turns if turn.role == "user")
    turns = tuple(turn for turn in row.turns if user.id not in (turn.id, turn.trigger_ref))
    tracks = tuple(decisions_on(turns, held.found.clip.clock, fps=parse_grid(each.grid)) for each in row.decisions)
    held.rows["dialogues"] = [row.model_copy(update={"turns": turns, "decisions": tracks})]
    assert "made of" in found_by(held, "vanished dialogue")
    late = user.model_copy(update={"end_ns": user.end_ns + 1})
    held.rows["dialogues"] = [row.model_copy(update={"turns": (late, *row.turns[1:])})]
    assert "end_ns" in found_by(held, "vanished dialogue")
    other = user.model_copy(update={"text": "Hm?"})
    held.rows["dialogues"] = [row.model_copy(update={"turns": (other, *row.turns[1:])})]
    assert "'Hm?'" in found_by(held, "vanished dialogue")


@pytest.mark.parametrize("kind", ["Event", "StreamingQA", "Dialogue", "Annotation"])
def test_what_the_rejects_do_not_tell_any_more_is_found(kind):
    held = held_of(Pipeline(seed=3, operations=(Crop(least=0.3, most=0.4), Skip(form="bursts", share=0.5), Concat())))
    mine = [row for row in held.left if f": {kind} " in row.item]
    assert mine
    held.left.remove(mine[0])
    held.maps[0] = sealed(
        held.maps[0].model_copy(update={"invalidated": tuple(dict.fromkeys(r.item.split()[-1] for r in held.left))})
    )
    law = {"StreamingQA": "question"}.get(kind, kind.casefold())
    assert "rejects" in found_by(held, f"vanished {law}")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("seed", 4242),
        ("operation", lambda row: row.operation.replace('"p": 1.0', '"p": 0.5')),
        ("scene_id", "f" * 20),
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_a_map_that_tells_of_another_making_is_found(field, wrong, again):
    """Even when it is sealed anew."""
    held = held_of(ONCE[1])
    value = wrong(held.maps[0]) if callable(wrong) else wrong
    held.maps[0] = held.maps[0].model_copy(update={field: value})
    assert field in found_by(held, "drawn")
    if not again:
        assert held.maps[0].id in found_by(held, "sealed")
    else:
        held.maps[0] = sealed(held.maps[0])
        assert "sealed" not in {law for law, _, _ in held.broken()}


def test_a_video_that_the_pipeline_does_not_make_is_found():
    held = held_of(ONCE[0])
    held.pipeline = ONCE[0].model_copy(update={"seed": 1})
    assert "video_id" in found_by(held, "drawn")


def test_invalidated_records_that_are_not_the_rejects_are_found():
    held = held_of(ONCE[1])
    first = held.maps[0]
    assert len(first.invalidated) > 1
    for wrong in (first.invalidated[1:], (*first.invalidated, "f" * 20), first.invalidated[::-1]):
        held.maps[0] = first.model_copy(update={"invalidated": wrong})
        assert "invalidated" in found_by(held, "invalidated")
    held.maps = [first, held.maps[1].model_copy(update={"invalidated": first.invalidated})]
    assert "invalidated" in found_by(held, "invalidated")


def filled():
    """A row of which no field is as it is by default."""
    pair = (Knot(source="0", target="0"), Knot(source="5", target="1/3"))
    more = {"parameters": (Parameter(name="lead_ns", value=0.1),), "on_ns": (1, 2), "dropped_frames": (3,)}
    fields = {"video_id": "v", "parent_id": "a", "operation": "x", "seed": 2**60, "knots": pair, "scene_id": "s"}
    return sealed(Augmentation(id="", is_reversed=True, invalidated=("n",), **fields, **more))


def test_a_seal_holds_every_field_and_no_id():
    row = filled()
    assert row.id == seal_of(row) == seal_of(row.model_copy(update={"id": "other"}))
    others = {
        "video_id": "w", "parent_id": "b", "operation": "y", "seed": 2**60 + 1, "parameters": (), "is_reversed": False,
        "on_ns": (1, 3), "knots": row.knots[:1], "dropped_frames": (), "invalidated": (), "scene_id": None,
        "looks": (Look(kind="noise"),),
    }  # fmt: skip
    assert others.keys() | {"id"} == Augmentation.model_fields.keys()
    for name, other in others.items():
        assert seal_of(row.model_copy(update={name: other})) != row.id, name


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("width", 66), ("licence", "mine"), ("group", "another"), ("split", "test"), ("sha256", "0" * 64), ("bytes", 1),
        ("uri", "elsewhere"), ("max_gap_ns", 1), ("avg_fps_num", 1), ("rotation_deg", 90), ("is_vfr", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pipeline", [ONCE[0], LOOKED])
def test_a_record_of_a_video_that_is_not_what_it_is_made_of_is_found(pipeline, field, wrong):
    held = held_of(pipeline)
    value = not held.video.is_vfr if field == "is_vfr" else wrong
    held.video = held.video.model_copy(update={field: value})
    assert field in found_by(held, "video")


@pytest.mark.parametrize("number", range(4))
def test_only_first_frames_and_new_shots_at_seams_are_neither_there_nor_told(number):
    clips = (drawn("world", number), drawn("world", number + 1))
    held = held_of(Pipeline(operations=(Crop(least=0.3, most=0.6), Concat(), Reverse(p=0.5))), *clips)
    there = {name for event in held.rows["events"] for name in event.provenance.inputs}
    told = {row.item.split()[-1] for row in held.left}
    shown = [held.parents[name] for name in {row.parent_id for row in held.maps}]
    absent = [event for parent in shown for event in parent.events if event.id not in there | told]
    assert absent
    assert all(begins_video(event) or event.label in ("shot_start", "fade", "dissolve") for event in absent)
    assert held.broken() == []
