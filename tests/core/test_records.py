import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.core.augmentation import Augmentation, Knot
from datasets_build.core.kinds import KINDS, json_schema
from datasets_build.core.records import Annotation, Event, Evidence, Provenance, Reject, StreamingQA, derive_id

RULE = Provenance(kind="rule", agent="test")


def event(**changes):
    fields = {
        "id": "e", "video_id": "v", "start_ns": 0, "end_ns": 5, "label": "move", "label_set": "s",
        "caption": "It moves.",
        "known_from_ns": 1, "confidence": 1.0, "source": "shot", "provenance": RULE,
    }  # fmt: skip
    return Event.model_validate(fields | changes)


def test_records_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        event().label = "stop"


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        event(colour="red")


@pytest.mark.parametrize(
    ("field", "value"), [("start_ns", "0"), ("start_ns", 0.5), ("start_ns", -1), ("end_ns", 2**63), ("source", "guess")]
)
def test_ill_typed_fields_are_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        event(**{field: value})


def test_spans_are_ordered():
    with pytest.raises(ValidationError, match="at or after"):
        event(start_ns=6)


def test_lists_from_tables_become_tuples():
    qa = StreamingQA.model_validate({
        "id": "q", "video_id": "v", "mode": "realtime", "task": "now", "question": "?", "ask_ns": 1,
        "answerable_from_ns": 1,
        "evidence": [{"start_ns": 0, "end_ns": 1, "event_id": None, "role": "necessary"}], "answers": [],
        "provenance": RULE,
    })  # fmt: skip
    assert qa.evidence == (Evidence(start_ns=0, end_ns=1),)


@given(st.text(), st.text(), st.lists(st.one_of(st.integers(), st.text(), st.booleans(), st.none())))
def test_ids_are_stable_and_separate(kind, parent, payload):
    first = derive_id(kind, parent, *payload)
    assert first == derive_id(kind, parent, *payload)
    assert len(first) == 20
    assert first != derive_id(kind, parent, *payload, "more")
    assert first != derive_id(kind + "x", parent, *payload)


def test_an_id_is_what_it_was():
    # Ids are in published datasets: a change of the rule breaks every reference.
    assert derive_id("video", "folder", "a.mp4", 3, None, True) == "e96b670c8483aaa2e2a2"


def test_ids_do_not_run_together():
    assert derive_id("a", "b", "c") != derive_id("a", "bc")
    assert derive_id("a", "b", 1) != derive_id("a", "b", "1")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_json_schema_and_describes_itself(name):
    schema = json_schema(KINDS[name])
    assert schema["additionalProperties"] is False
    assert {"id", "video_id"} <= set(schema["properties"])
    assert KINDS[name].__doc__


def test_a_reject_says_what_to_do():
    assert set(Reject.model_fields) >= {"stage", "item", "code", "reason", "action"}


def test_an_augmentation_carries_its_map_exactly():
    record = Augmentation(
        id="a", video_id="v", parent_id="p", operation="speed", seed=1,
        knots=(Knot(source="0", target="0"), Knot(source="10", target="10/3")),
    )  # fmt: skip
    assert record.time_map.inverse().exact(record.time_map.exact(7)) == 7


def test_annotations_keep_their_words():
    said = Annotation(
        id="a", video_id="v", start_ns=0, end_ns=1, kind="caption", text="Ça va?", origin="srt",
        provenance=Provenance(kind="corpus", agent="a.srt"),
    )  # fmt: skip
    assert Annotation.model_validate_json(said.model_dump_json()) == said
