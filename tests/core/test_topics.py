"""What a question is about: each kind names its events and no others, and four instants bound an event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.records import About, Event, Provenance
from datasets_build.core.topics import (
    COMPLETE_SETS,
    ENTERING_SETS,
    PICTURE_SET,
    SOMETHING,
    bounds_of,
    domain_of,
    is_about,
    is_determiner,
    name_after,
    named,
    names_in,
    plain,
    quoted,
    sentence,
)
from tests.builders.made import MS, clock_from

CLOCK = clock_from([40] * 249)


def event(label, label_set="world", subject=None, caption="Something happens.", **more):
    fields = {
        "id": label, "video_id": "v", "start_ns": 1_000 * MS, "end_ns": 2_000 * MS, "label": label,
        "label_set": label_set, "caption": caption, "subject": subject, "known_from_ns": 1_400 * MS, "confidence": 1.0,
        "source": "annotation", "provenance": Provenance(kind="rule", agent="test"),
    }  # fmt: skip
    return Event(**(fields | more))


ENTER = event("enter", subject="red circle", caption="The red circle enters.")
BOTH = event("collide", subject="red circle and blue square", caption="They meet.")
FREE = event("caption", "captions", caption='A  man says "hello"')
LINE = event("subtitle", "srt", caption="Hello there")
START, CUT, PAN = (event(label, PICTURE_SET) for label in ("video_start", "shot_start", "pan_left"))
STILL, DARK = event("still", PICTURE_SET), event("black", PICTURE_SET)
ALL = (ENTER, BOTH, FREE, LINE, START, CUT, PAN, STILL, DARK)


@pytest.mark.parametrize(
    ("about", "events"),
    [
        (About(kind="label", label="enter", subject="red circle"), [ENTER]),
        (About(kind="label", label="enter", subject="the  Red circle"), [ENTER]),
        (About(kind="label", label="enter", subject="the red circle"), [ENTER]),
        (About(kind="label", label="enter", subject="blue circle"), []),
        (About(kind="label", label="enter"), [ENTER]),
        (About(kind="label", label="collide"), [BOTH]),
        (About(kind="label", label="caption"), []),
        (About(kind="label", label="pan_left"), [PAN]),
        (About(kind="label", label="pan_left", subject="camera"), []),
        (About(kind="label", label="video_start"), []),
        (About(kind="caption", text="a man says 'hello'."), [FREE]),
        (About(kind="caption", text="Hello there"), []),
        (About(kind="line", text="hello  there"), [LINE]),
        (About(kind="line", text="hello there."), []),
        (About(kind="subject", subject="red circle"), [ENTER, BOTH]),
        (About(kind="subject", subject="circle"), []),
        (About(kind="scene"), [ENTER, BOTH, FREE]),
        (About(kind="camera"), [PAN]),
        (About(kind="changes"), [CUT, PAN, DARK]),
        (About(kind="shots"), [START, CUT]),
    ],
)
def test_each_kind_names_its_events(about, events):
    assert [row for row in ALL if is_about(about, row)] == events


def test_every_event_has_a_domain():
    assert [domain_of(row) for row in ALL] == [
        "scene", "scene", "scene", "spoken", "picture", "picture", "camera", "motion", "picture",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("red circle", "the red circle"),
        ("a dog", "a dog"),
        ("Anna", "Anna"),
        ("red circle and  Anna", "the red circle and Anna"),
        ("  ", ""),
    ],
)
def test_a_subject_gets_its_articles(subject, words):
    assert named(subject) == words
    assert names_in(None) == []
    assert names_in("a and b") == ["a", "b"]
    assert is_determiner("The")
    assert not is_determiner("red")


@pytest.mark.parametrize(
    ("text", "words"), [("A dog runs", "A dog runs."), (' Is it? "Yes."\n', "Is it? 'Yes.'"), ("Why?", "Why?")]
)
def test_a_quoted_caption_is_a_sentence_without_quotes(text, words):
    assert quoted(text) == words
    assert sentence(text) == sentence(plain(text))


def test_bounds_of_a_span_and_of_an_instant():
    unsure = event("move", onset_uncertainty_ns=100 * MS, offset_uncertainty_ns=200 * MS)
    assert bounds_of(unsure, CLOCK) == type(bounds_of(unsure, CLOCK))(920 * MS, 1_400 * MS, 1_800 * MS, 2_200 * MS)
    instant = event("cut", end_ns=1_000 * MS, known_from_ns=1_000 * MS, is_point=True, offset_uncertainty_ns=80 * MS)
    assert bounds_of(instant, CLOCK).done_ns == 1_000 * MS


@given(st.integers(0, 200), st.integers(0, 48), st.integers(0, 48), st.integers(0, 5_000), st.integers(0, 5_000))
def test_bounds_are_ordered_on_the_grid(first, length, wait, onset, offset):
    start, end = CLOCK.time_of(first), CLOCK.time_of(first + length)
    row = event(
        "move", start_ns=start, end_ns=end, known_from_ns=min(end, CLOCK.time_of(first + wait)), is_point=not length,
        onset_uncertainty_ns=min(start, onset * MS), offset_uncertainty_ns=offset * MS,
    )  # fmt: skip
    at = bounds_of(row, CLOCK)
    assert at.early_ns <= start <= at.known_ns <= at.off_ns <= at.done_ns
    assert all(CLOCK.on_grid(t) for t in (at.early_ns, at.known_ns, at.off_ns, at.done_ns))


@pytest.mark.parametrize(
    ("label", "subject", "caption", "name"),
    [
        ("enter", "red circle", "The red circle enters from the left.", "red circle"),
        ("change_colour", "red circle", "The red circle turns blue.", "blue circle"),
        ("change_colour", "red (old) circle", "The red (old) circle turns blue.", "blue (old) circle"),
        ("change_colour", "red circle", "The green circle turns blue.", None),
        ("change_colour", "red circle", "The red circle turns blue and green.", None),
        ("change_colour", None, "The light turns blue.", None),
        ("leave", "red circle", "The red circle leaves on the left.", None),
        ("leave", "red circle", "The red circle turns blue.", None),
        ("enter", None, "Someone enters.", None),
    ],
)
def test_a_subject_is_called_as_it_looks_after_an_event(label, subject, caption, name):
    assert name_after(event(label, "lesson", subject=subject, caption=caption)) == name


def test_something_takes_no_article_and_sets_that_promise_more_promise_the_rest():
    assert named(SOMETHING) == "something"
    assert ENTERING_SETS < COMPLETE_SETS
    assert PICTURE_SET not in COMPLETE_SETS
