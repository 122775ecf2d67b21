"""Laws of causality on questions in memory: each clause of each law finds its fault, and nothing else is accused."""

import pytest

from datasets_build.checks.causality import EVENT_LAWS, QUESTION_LAWS, right_at
from datasets_build.checks.laws import Known
from datasets_build.core.records import Answer, Event, Evidence, Probe, Provenance, StreamingQA
from tests.builders.made import MS, clock_from, video_of

CLOCK = clock_from([40] * 249)
VIDEO = video_of("v", CLOCK)
MADE = Provenance(kind="template", agent="test")
LAWS = {law.name: law for law in (*QUESTION_LAWS, *EVENT_LAWS)}


def event(label="enter", start=1_000, end=3_000, known=1_400, name="e"):
    return Event(
        id=name, video_id="v", start_ns=start * MS, end_ns=end * MS, label=label, label_set="world",
        caption="It enters", is_point=start == end, known_from_ns=known * MS, confidence=1.0, source="annotation",
        provenance=MADE,
    )  # fmt: skip


def piece(start, end, role="necessary", name="e"):
    return Evidence(start_ns=start * MS, end_ns=end * MS, event_id=name, role=role)


def answer(t, end, text="It entered.", start=None, until=None):
    return Answer(
        text=text, t_ns=t * MS, window_start_ns=(t if start is None else start) * MS, window_end_ns=end * MS,
        valid_until_ns=None if until is None else until * MS,
    )  # fmt: skip


def probe(t, expected, kind="count"):
    return Probe(t_ns=t * MS, kind=kind, expected=expected)


def qa(**update):
    row = StreamingQA(
        id="q", video_id="v", mode="backward", task="happened_yet", question="Has it entered yet?", ask_ns=4_000 * MS,
        evidence=(piece(1_000, 3_000),), answerable_from_ns=3_000 * MS, answers=(answer(4_000, 6_000),),
        provenance=MADE,
    )  # fmt: skip
    return row.model_copy(update=update)


def counting(**update):
    rows = {
        "mode": "counting", "task": "count_so_far", "question": "How often?", "answerable_from_ns": 4_000 * MS,
        "evidence": (piece(0, 4_000, name=None), piece(1_000, 3_000), piece(5_000, 6_000, "sufficient", "f")),
        "answers": (answer(4_000, 4_800, "1 so far.", until=5_000), answer(6_000, 8_000, "2 so far.")),
        "test_points": (probe(4_400, "1"), probe(9_000, "2")),
    }  # fmt: skip
    return qa(**(rows | update))


def known(*questions, happened=None):
    made = happened or event()
    again = event(start=5_000, end=6_000, known=5_400, name="f")
    return Known(VIDEO, CLOCK, {made.id: made, "f": again}, {row.id: row for row in questions})


def found(law, row, where=None):
    return [breach.found for breach in LAWS[law].breaches(row, where or known())]


def broken(row, where=None):
    return {law.name for law in QUESTION_LAWS if list(law.breaches(row, where or known()))}


def test_good_questions_break_nothing():
    assert broken(qa()) == set()
    assert broken(counting()) == set()


@pytest.mark.parametrize(
    ("update", "laws"),
    [
        ({"answerable_from_ns": 2_000 * MS}, {"answerable_from_evidence"}),
        ({"ask_ns": 5_000 * MS}, {"answer_after_question", "answer_window"}),
        ({"ask_ns": CLOCK.end_ns}, {"answer_after_question", "answer_window"}),
        (
            {"answerable_from_ns": 5_000 * MS},
            {"answerable_from_evidence", "answer_after_evidence", "answer_window", "mode_fits"},
        ),
        ({"answerable_from_ns": 3_040 * MS}, {"answerable_from_evidence"}),
        ({"answers": (answer(4_000, 4_000),)}, {"answer_window"}),
        ({"answers": (answer(4_000, 20_000),)}, {"answer_window"}),
        ({"answers": (answer(4_000, 6_000, start=3_000),)}, {"answer_window"}),
        ({"answers": (answer(4_000, 6_000, until=5_000),)}, {"answer_window"}),
        ({"mode": "forward"}, {"mode_fits", "task_known"}),
        ({"mode": "proactive"}, {"mode_fits", "task_known"}),
        ({"test_points": (probe(4_000, "no", "yes_no"),)}, set()),
        ({"test_points": (probe(4_000, "yes", "yes_no"),)}, {"test_points_right"}),
        ({"test_points": (probe(4_000, "It entered.", "text"),)}, set()),
        ({"test_points": (probe(4_000, "It left.", "text"),)}, {"test_points_right"}),
        ({"question": "\n"}, {"question_says_something"}),
        ({"answers": ()}, {"question_says_something"}),
        ({"answers": (answer(4_000, 6_000, " "),)}, {"question_says_something"}),
        (
            {"evidence": ()},
            {"question_says_something", "answerable_from_evidence", "evidence_up_to_question"},
        ),
        ({"options": ("a", "b"), "correct_option": 2}, {"question_says_something"}),
        ({"question": "What was at 0:12?"}, {"question_without_clock"}),
        ({"options": ("after 3 s", "b")}, {"question_without_clock"}),
        ({"answers": (answer(4_000, 6_000, "At 12 seconds."),)}, {"question_without_clock"}),
        ({"evidence": (piece(1_200, 3_000),)}, {"evidence_reaches_event"}),
        ({"evidence": (piece(1_000, 2_960),)}, {"evidence_reaches_event", "answerable_from_evidence"}),
        ({"unanswerable": True}, {"unanswerable_twin", "evidence_up_to_question"}),
        ({"twin_id": "nobody"}, {"unanswerable_twin"}),
    ],
)
def test_one_wrong_field_breaks_its_law(update, laws):
    assert broken(qa(**update)) == laws


@pytest.mark.parametrize(
    ("update", "laws"),
    [
        ({"evidence": counting().evidence[:2]}, {"later_answers_proved", "count_equals_evidence"}),
        (
            {"evidence": (*counting().evidence[:2], piece(1_000, 4_000, "sufficient", None))},
            {"later_answers_proved", "count_equals_evidence", "evidence_roles"},
        ),
        (
            {"evidence": (*counting().evidence[:2], piece(5_000, 6_040, "sufficient", "f"))},
            {"later_answers_proved", "count_equals_evidence", "evidence_roles"},
        ),
        (
            {"answers": (answer(4_000, 4_800, "1 so far.", until=6_040), answer(6_000, 8_000, "2"))},
            {"answers_supersede"},
        ),
        ({"answers": (answer(4_000, 7_000, "1 so far."), answer(6_000, 8_000, "2"))}, {"answers_supersede"}),
        ({"test_points": (probe(4_400, "2"),)}, {"test_points_right"}),
        ({"test_points": (probe(5_400, "1"),)}, {"test_points_right"}),
        ({"test_points": (Probe(t_ns=CLOCK.end_ns, kind="count", expected="2"),)}, {"test_points_right"}),
        (
            {"test_points": (probe(3_000, "1"),)},
            {"test_points_right", "answer_after_question"},
        ),
    ],
)
def test_answers_that_supersede_each_other(update, laws):
    assert broken(counting(**update)) == laws


def test_answers_out_of_order_are_found():
    row = counting(answers=counting().answers[::-1], test_points=())
    assert "answers_supersede" in broken(row)


def test_what_is_under_way_needs_less_than_what_is_over():
    row = qa(task="now", mode="realtime", evidence=(piece(1_000, 1_400),), answerable_from_ns=1_400 * MS)
    assert found("evidence_reaches_event", row) == []
    assert found("evidence_reaches_event", row.model_copy(update={"evidence": (piece(1_000, 1_360),)})) != []


def test_a_line_needs_its_last_word_whatever_is_asked():
    line = event("subtitle", known=1_000)
    row = qa(task="tell_me_when", evidence=(piece(1_000, 1_400),))
    assert found("evidence_reaches_event", row) == []
    assert found("evidence_reaches_event", row, known(happened=line)) != []


def test_a_distractor_proves_nothing_and_need_not_reach():
    row = qa(evidence=(piece(1_000, 3_000), piece(1_000, 1_040, "distractor")))
    assert broken(row) == set()


def twins():
    evidence = (piece(1_000, 3_000), piece(3_000, 4_000, name=None))
    base = qa(id="a", task="before", twin_id="b", answerable_from_ns=4_000 * MS, evidence=evidence)
    twin = qa(
        id="b", task="before", twin_id="a", unanswerable=True, evidence=(piece(0, 4_000, name=None),),
        answerable_from_ns=4_000 * MS,
    )  # fmt: skip
    return base, twin


def test_twins_name_each_other():
    base, twin = twins()
    where = known(base, twin)
    assert broken(base, where) == broken(twin, where) == set()


@pytest.mark.parametrize(
    "update",
    [{"twin_id": None}, {"unanswerable": True}, {"ask_ns": 4_040 * MS}, {"twin_id": "c"}],
)
def test_a_twin_that_does_not_fit_is_found(update):
    base, twin = twins()
    changed = base.model_copy(update=update)
    assert "unanswerable_twin" in broken(twin, known(changed, twin))


def test_an_unanswerable_question_rests_on_everything_so_far():
    base, twin = twins()
    twin = twin.model_copy(update={"evidence": (piece(40, 4_000, name=None),)})
    assert broken(twin, known(base, twin)) == {"evidence_up_to_question"}
    twin = twin.model_copy(update={"evidence": (piece(0, 4_000, "distractor", None), *twin.evidence)})
    assert broken(twin, known(base, twin)) == {"evidence_up_to_question"}, "a distractor proves nothing"


@pytest.mark.parametrize(
    ("t", "text"), [(3_000, []), (4_000, ["1 so far."]), (4_960, ["1 so far."]), (5_000, []), (6_000, ["2 so far."])]
)
def test_the_right_answer_at_an_instant(t, text):
    assert [row.text for row in right_at(counting().answers, t * MS)] == text


@pytest.mark.parametrize(
    ("update", "law"),
    [
        ({"known_from_ns": 960 * MS}, "event_known_from"),
        ({"known_from_ns": 3_040 * MS}, "event_known_from"),
        ({"is_point": True}, "event_has_frame"),
        ({"start_ns": CLOCK.end_ns, "end_ns": CLOCK.end_ns, "is_point": True}, "event_has_frame"),
    ],
)
def test_events(update, law):
    assert found("event_known_from", event()) == found("event_has_frame", event()) == []
    assert found(law, event().model_copy(update=update)) != []


@pytest.mark.parametrize(("label", "source", "count"), [
    ("fade", "shot", 1), ("dissolve", "shot", 1), ("fade", "annotation", 0), ("shot_start", "shot", 0),
])  # fmt: skip
def test_a_gradual_change_is_known_at_its_end(label, source, count):
    early = event(label).model_copy(update={"source": source})
    assert len(found("gradual_known_at_end", early)) == count
    assert found("gradual_known_at_end", early.model_copy(update={"known_from_ns": early.end_ns})) == []
