"""Words that say when they are said are not said later."""

import pytest

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Event, Provenance
from datasets_build.teachers.template import PHRASES, TERSE, load_template
from datasets_build.truth.grounds import Grounds
from datasets_build.truth.words import late_texts, speaks_of_now
from tests.builders.made import clock_from

EVENT = Event(
    id="e", video_id="v", start_ns=NS_PER_S, end_ns=2 * NS_PER_S, label="enter", label_set="world",
    caption="The red circle enters.", subject="red circle", known_from_ns=NS_PER_S, confidence=1.0, source="annotation",
    provenance=Provenance(kind="rule", agent="made"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "now"),
    [
        ("Now the red circle enters.", True), ("Just before now: it stops.", True), ("Look, it moves.", True),
        ("There it is: the star.", True), ("Most recently: it stops.", True), ("It happened a moment ago.", True),
        ("The red circle enters.", False), ("The known star stops.", False), ("Snow falls.", False),
    ],
)  # fmt: skip
def test_what_says_when_it_is_said(text, now):
    assert speaks_of_now(text) == now


@pytest.mark.parametrize("path", [PHRASES, TERSE])
def test_every_template_can_tell_an_event_later(path):
    fact = Grounds([EVENT], clock_from([100] * 50)).by_id["e"]
    texts = late_texts(load_template(path), fact)
    assert texts
    assert not any(speaks_of_now(text) for text in texts)
