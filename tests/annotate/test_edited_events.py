"""Marks to events: untouched ones change nothing, others become events that obey every law and name their parents."""

from fractions import Fraction

import pytest
from hypothesis import settings

from annotate.edited_events import Labels
from annotate.source import Film
from annotate.tasks import Mark
from datasets_build.core.corrections import digest_of
from datasets_build.core.records import Event, Provenance
from datasets_build.core.topics import PICTURE_SET
from tests.annotate.merging import BY, edit, item_of, judged, untouched_work, with_marks
from tests.builders.made import MS, steady, video_of
from tests.laws import examples

FEW = settings(max_examples=examples(40), deadline=None)
CLOCK = steady(20, Fraction(25))
VIDEO = video_of("marks", CLOCK)
F = 40 * MS
"""One frame."""


def event(name, start, end, label="move", *, known=10, clock=CLOCK, **more):
    """An event between frames, known so many frames after its start."""
    first, last = clock.time_of(start), clock.time_of(end)
    fields = {
        "id": name, "video_id": VIDEO.id, "start_ns": first, "end_ns": last, "label": label, "label_set": "world",
        "caption": f"The red circle does {label}.", "subject": "red circle", "is_point": start == end,
        "known_from_ns": clock.time_of(min(end, start + known)), "confidence": 0.8, "onset_uncertainty_ns": 7,
        "offset_uncertainty_ns": 9, "source": "annotation", "provenance": Provenance(kind="corpus", agent="world"),
    }  # fmt: skip
    return Event.model_validate(fields | more)


START = event(
    "start", 0, 0, "video_start", label_set=PICTURE_SET, caption="It starts.", subject=None, source="shot",
    onset_uncertainty_ns=0, offset_uncertainty_ns=0,
)  # fmt: skip
MOVE = event("move", 50, 150)
STOP = event("stop", 200, 200, "stop", known=0, onset_uncertainty_ns=0, offset_uncertainty_ns=0)
PAN = event("pan", 260, 300, "pan_left", label_set=PICTURE_SET, caption="The camera pans to the left.", subject=None)
FADE = event("fade", 320, 340, "fade", label_set=PICTURE_SET, caption="It fades.", subject=None, known=20)
EVENTS = (START, MOVE, STOP, PAN, FADE)


def film(*events, clock=CLOCK):
    return Film(video=VIDEO, path=None, clock=clock, events=list(events or EVENTS))


FILM = film()


def changed(name, *, where=FILM, span=None, **update):
    """The edits of somebody who changes one mark of one window."""
    item = item_of(where, "events", span)

    def change(marks):
        marks[name] = marks[name].model_copy(update=update)

    return edit(where, judged(item, with_marks(item, change), ("a1", "a2")))


def only(edits):
    assert edits.troubles == []
    (row,) = edits.corrections
    return row


def removing(*names):
    def change(marks):
        for name in names:
            del marks[name]

    return change


def drawing(*new):
    def change(marks):
        marks.update({mark.id: mark for mark in new})

    return change


def mark(name, start, end, label="move", **more):
    return Mark(id=name, label=label, start_ns=start * F, end_ns=end * F, is_point=start == end, **more)


def test_untouched_marks_change_nothing():
    edits = edit(FILM, judged(item_of(FILM, "events")))
    assert (edits.corrections, edits.troubles) == ([], [])


@pytest.mark.parametrize("update", [{"confidence": "unsure"}, {"note": " The red  circle does\nmove. "}])
def test_how_sure_somebody_is_or_where_lines_break_is_no_edit(update):
    edits = changed("move", **update)
    assert (edits.corrections, edits.troubles) == ([], [])


def test_a_moved_event_names_its_parent_and_who_moved_it():
    row = only(changed("move", start_ns=60 * F))
    made = row.event
    assert (row.action, row.parent_id, row.parent_digest) == ("replace", "move", digest_of(MOVE))
    assert (row.round, row.annotators) == ("r1", ("a1", "a2"))
    assert row.edited == ("start_ns", "known_from_ns", "onset_uncertainty_ns")
    assert (made.source, made.parent_event_id) == ("human", "move")
    assert made.provenance == Provenance(kind="person", agent="a1+a2", round="r1", inputs=("move",), made_at=BY.made_at)
    assert (made.start_ns, made.end_ns, made.known_from_ns) == (60 * F, 150 * F, 70 * F)
    assert (made.onset_uncertainty_ns, made.offset_uncertainty_ns) == (0, 9)
    assert (made.label_set, made.subject, made.caption, made.confidence) == ("world", "red circle", MOVE.caption, 0.8)
    assert made.id not in {one.id for one in EVENTS}


def test_ends_are_snapped_to_frames():
    made = only(changed("move", start_ns=60 * F - 1, end_ns=140 * F - 7)).event
    assert (made.start_ns, made.end_ns) == (60 * F, 140 * F)
    assert (made.onset_uncertainty_ns, made.offset_uncertainty_ns) == (0, 0)


def test_an_event_is_known_at_its_end_at_the_latest():
    made = only(changed("move", end_ns=53 * F)).event
    assert made.known_from_ns == made.end_ns == 53 * F


def test_what_was_an_instant_is_known_at_the_end_of_its_span():
    made = only(changed("stop", end_ns=220 * F, is_point=False)).event
    assert (made.is_point, made.known_from_ns) == (False, 220 * F)


@pytest.mark.parametrize("update", [{"is_point": True, "end_ns": 50 * F}, {"is_point": True}, {"end_ns": 50 * F}])
def test_a_span_becomes_an_instant(update):
    made = only(changed("move", **update)).event
    assert (made.is_point, made.start_ns, made.end_ns, made.known_from_ns) == (True, 50 * F, 50 * F, 50 * F)


def test_an_instant_moves_whole():
    made = only(changed("stop", start_ns=190 * F, end_ns=190 * F)).event
    assert (made.is_point, made.start_ns, made.end_ns, made.known_from_ns) == (True, 190 * F, 190 * F, 190 * F)


def test_a_fade_is_known_when_it_is_over():
    assert only(changed("fade", start_ns=315 * F)).event.known_from_ns == 340 * F
    assert only(changed("move", label="fade")).event.known_from_ns == MOVE.end_ns


def test_a_foreign_label_brings_its_own_set():
    row = only(changed("move", label="pan_left"))
    assert (row.event.label, row.event.label_set) == ("pan_left", PICTURE_SET)
    assert row.event.caption == "The camera pans to the left."
    assert set(row.edited) == {"label", "label_set", "caption", "subject"}
    back = only(changed("pan", label="stop")).event
    assert (back.label_set, back.caption) == ("world", "Stop.")
    assert only(changed("move", label="jump")).event.label_set == "people"


def test_another_label_of_the_same_kind_leaves_the_words_that_people_left():
    made = only(changed("move", label="stop")).event
    assert (made.label_set, made.caption, made.subject) == ("world", MOVE.caption, "red circle")


@pytest.mark.parametrize(
    ("note", "caption", "subject"),
    [
        ("The Red Circle  goes away.", "The Red Circle goes away.", "red circle"),
        ("A dog runs.", "A dog runs.", None),
        ("", "Move.", None),
    ],
)
def test_a_note_is_the_caption_and_a_subject_is_dropped_that_it_does_not_name(note, caption, subject):
    made = only(changed("move", note=note)).event
    assert (made.caption, made.subject) == (caption, subject)


@pytest.mark.parametrize(("said", "confidence"), [("sure", 1.0), ("unsure", 0.5), (None, 0.8)])
def test_an_edited_event_is_as_certain_as_people_say(said, confidence):
    assert only(changed("move", start_ns=60 * F, confidence=said)).event.confidence == confidence


def test_a_mark_that_is_missing_is_removed():
    item = item_of(FILM, "events")
    row = only(edit(FILM, judged(item, with_marks(item, removing("stop")))))
    assert (row.action, row.parent_id, row.event) == ("remove", "stop", None)


def test_that_a_video_begins_is_not_asked_and_not_removed():
    item = item_of(FILM, "events")
    gone = untouched_work(item).model_copy(update={"marks": ()})
    assert {row.parent_id for row in edit(FILM, judged(item, gone)).corrections} == {"move", "stop", "pan", "fade"}


def test_a_drawn_mark_is_a_new_event_known_when_it_is_over():
    item = item_of(FILM, "events")
    edits = edit(
        FILM, judged(item, with_marks(item, drawing(mark("x", 10, 30), mark("y", 5, 5, "stop", note="Halt!"))))
    )
    point, span = (row.event for row in edits.corrections)
    assert (point.start_ns, point.known_from_ns, point.is_point, point.caption) == (5 * F, 5 * F, True, "Halt!")
    assert (span.start_ns, span.end_ns, span.known_from_ns) == (10 * F, 30 * F, 30 * F)
    assert (span.caption, span.label_set, span.source, span.confidence) == ("Move.", "world", "human", 1.0)
    assert (span.provenance.agent, span.provenance.inputs, span.parent_event_id) == ("a1", (), None)
    assert {row.action for row in edits.corrections} == {"add"}


def test_what_is_drawn_twice_is_there_once():
    item = item_of(FILM, "events")
    work = with_marks(item, drawing(mark("x", 10, 30), mark("y", 10, 30)))
    assert len(edit(FILM, judged(item, work)).corrections) == 1


@pytest.mark.parametrize("where", [(500, 500), (500, 510)])
def test_what_begins_behind_the_last_frame_cannot_be(where):
    item = item_of(FILM, "events")
    edits = edit(FILM, judged(item, with_marks(item, drawing(mark("x", *where)))))
    assert edits.corrections == []
    (trouble,) = edits.troubles
    assert (trouble.kind, trouble.record, trouble.keys) == ("flaw", "x", (item.key,))
    assert "before the video's end" in trouble.reason


def test_an_event_that_ends_before_it_begins_is_refused():
    edits = changed("move", start_ns=160 * F)
    assert edits.corrections == []
    assert [(one.kind, one.record) for one in edits.troubles] == [("flaw", "move")]


def test_labels_come_from_the_set_that_has_most_of_them():
    rows = [MOVE, event("a", 1, 2, label_set="z"), event("b", 2, 3, label_set="z"), event("c", 2, 3, "stop")]
    labels = Labels.of([*rows, event("d", 2, 3, "stop", label_set="a")])
    assert (labels.set_of("move"), labels.set_of("stop")) == ("z", "a")
    assert labels.set_of("move", MOVE) == "world"
    assert labels.caption_of("change_colour", " ") == "Change colour."
