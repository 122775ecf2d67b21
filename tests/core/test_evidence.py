"""What has been seen when: the definition that builders follow and checks prove."""

from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.evidence import answerable_from, least_end, seen_from
from datasets_build.core.records import Event, Evidence, Provenance

ROLES = ("necessary", "sufficient", "distractor")


def piece(start, end, role="necessary"):
    return Evidence(start_ns=start, end_ns=end, role=role)


def event(label, start=10, end=50, known=20):
    made = Provenance(kind="rule", agent="test")
    return Event(
        id="e", video_id="v", start_ns=start, end_ns=end, label=label, label_set="world", caption="It happens.",
        known_from_ns=known, confidence=1.0, source="annotation", provenance=made,
    )  # fmt: skip


def test_a_span_is_seen_at_its_end_and_an_instant_at_its_frame():
    assert seen_from([piece(10, 40)]) == 40
    assert seen_from([piece(30, 30)]) == 30
    assert seen_from([]) == 0


def test_only_necessary_evidence_decides_when_a_question_is_answerable():
    rows = [piece(0, 10), piece(5, 30), piece(0, 99, "sufficient"), piece(0, 200, "distractor")]
    assert answerable_from(rows) == 30
    assert seen_from(rows) == 200
    assert answerable_from(rows[2:]) == 0


def test_under_way_needs_the_onset_and_finished_needs_the_end():
    assert least_end(event("enter"), finished=False) == 20
    assert least_end(event("enter"), finished=True) == 50


def test_a_line_is_known_when_its_last_word_is_out():
    assert least_end(event("subtitle", known=10), finished=False) == 50
    assert least_end(event("word", known=10), finished=False) == 50


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.sampled_from(ROLES))))
def test_more_evidence_never_makes_it_answerable_sooner(rows):
    pieces = [piece(start, start + length, role) for start, length, role in rows]
    for k in range(len(pieces)):
        assert answerable_from(pieces[:k]) <= answerable_from(pieces[: k + 1]) <= seen_from(pieces)
