"""Laws of the tasks in memory: each clause finds its fault, and a good question of every task breaks nothing."""

import pytest

from datasets_build.builders import counting, streaming_qa
from datasets_build.checks.causality import QUESTION_LAWS
from datasets_build.checks.laws import Known
from datasets_build.checks.tasks import LONGEST_LIST, MODES, NEW_SHOT, TASK_LAWS, is_not_yet, number_in
from datasets_build.core.records import Answer, Event, Evidence, Provenance, StreamingQA
from tests.builders.made import MS, clock_from, video_of

CLOCK = clock_from([40] * 249)
MADE = Provenance(kind="template", agent="test")
LAWS = {law.name: law for law in TASK_LAWS}


def event(name, start, end, label="enter", subject="red circle", **more):
    fields = {
        "id": name, "video_id": "v", "start_ns": start * MS, "end_ns": end * MS, "label": label, "label_set": "world",
        "caption": f"{subject} {label}", "subject": subject, "known_from_ns": min(end, start + 400) * MS,
        "is_point": start == end, "confidence": 1.0, "source": "annotation", "provenance": MADE,
    }  # fmt: skip
    return Event(**(fields | more))


EVENTS = {row.id: row for row in (
    event("v0", 0, 0, "video_start", None), event("s1", 800, 800, "shot_start", None),
    event("e1", 1_000, 2_000), event("m", 2_400, 3_600, "move"), event("e2", 5_000, 6_000), event("e3", 7_000, 8_000),
)}  # fmt: skip
KNOWN = Known(video_of("v", CLOCK), CLOCK, EVENTS)


def piece(name, start=None, end=None, role="necessary"):
    made = EVENTS.get(name)
    start, end = made.start_ns // MS if start is None else start, made.end_ns // MS if end is None else end
    return Evidence(start_ns=start * MS, end_ns=end * MS, event_id=name, role=role)


def watched(start, end, role="necessary"):
    return piece(None, start, end, role)


def answer(t, text="Yes.", until=None, length=600):
    end = t + length if until is None else min(t + length, until)
    return Answer(
        text=text, t_ns=t * MS, window_start_ns=t * MS, window_end_ns=end * MS,
        valid_until_ns=None if until is None else until * MS,
    )  # fmt: skip


def qa(task, ask, evidence, answers, **more):
    known = max((p.end_ns for p in evidence if p.role == "necessary"), default=0)
    return StreamingQA(
        id="q", video_id="v", mode=MODES[task], task=task, question="What is it?", ask_ns=ask * MS,
        evidence=tuple(evidence), answerable_from_ns=known, answers=tuple(answers), provenance=MADE,
    ).model_copy(update=more)  # fmt: skip


NOW = qa("now", 3_000, [piece("m", end=3_000)], [answer(3_000, until=3_600)])
IDLE = qa("now", 4_000, [watched(2_000, 4_000)], [answer(4_000, "No.", until=5_000)])
BEFORE = qa("before", 2_200, [piece("e1"), watched(2_000, 2_200)], [answer(2_200)])
YES = qa("happened_yet", 2_200, [piece("e1")], [answer(2_200)])
NOT_YET = qa("happened_yet", 400, [watched(0, 400)], [answer(400, "Not yet.", until=1_000)])
TELL = qa("tell_me_when", 4_000, [piece("e2", end=5_400)], [answer(5_400)])
EACH = qa(
    "tell_me_when", 4_000, [piece("e2", end=5_400), piece("e3", end=7_400, role="sufficient")],
    [answer(5_400), answer(7_400)],
)  # fmt: skip
COUNT = qa(
    "count_so_far", 4_000, [watched(0, 4_000), piece("e1"), piece("e2", role="sufficient")],
    [answer(4_000, "1 so far.", until=5_000), answer(6_000, "So far, 2.", until=7_000)],
)  # fmt: skip
SHOTS = qa("count_so_far", 1_200, [watched(0, 1_200), piece("v0"), piece("s1")], [answer(1_200, "2 so far.")])
NEXT = qa("next", 4_000, [watched(4_000, 5_000), piece("e2")], [answer(6_000)])
COLOUR, SHAPE = (
    qa(task, 2_200, [piece("e1"), watched(800, 2_200)], [answer(2_200, word, until=5_000)])
    for task, word in (("colour", "red"), ("shape", "circle"))
)
LAST = [piece("e1"), piece("m"), piece("e2"), watched(2_000, 6_500)]
ORDER = qa("order", 6_500, LAST, [answer(6_500, until=7_000)])
WHO, READ = (qa(task, 3_000, [piece("m", end=3_000)], [answer(3_000, until=3_600)]) for task in ("who", "read"))
WHERE = qa("where", 3_000, [watched(3_000, 3_000)], [answer(3_000, "At the top left.", until=4_000)])
STEP = qa(
    "step", 2_200, [watched(0, 2_200), piece("m", end=2_800, role="sufficient")],
    [answer(2_200, "No.", until=2_400, length=200), answer(2_800, until=3_600)],
)  # fmt: skip
CLUE = qa("clue", 4_000, [watched(4_000, 5_000), piece("e2")], [answer(6_000)])
GOOD = (
    ORDER,
    WHO,
    READ,
    WHERE,
    STEP,
    CLUE,
    COLOUR,
    SHAPE,
    NOW,
    IDLE,
    BEFORE,
    YES,
    NOT_YET,
    TELL,
    EACH,
    COUNT,
    SHOTS,
    NEXT,
)


def broken(row, laws=TASK_LAWS, known=KNOWN):
    return {law.name for law in laws if list(law.breaches(row, known))}


@pytest.mark.parametrize("row", GOOD)
def test_a_good_question_of_every_task_breaks_nothing(row):
    assert broken(row, QUESTION_LAWS) == set()


def test_the_table_of_tasks_is_the_builders():
    # Some draw questions of other tasks: twins and the last thing are about what was before.
    drawn = {"twins", "last", "tally", "shots", "watch", "attribute"}
    assert set(MODES) == set(streaming_qa.TASKS) - drawn
    assert {row.task for row in GOOD} == set(MODES)
    assert "video_start" in NEW_SHOT


@pytest.mark.parametrize("row", GOOD)
@pytest.mark.parametrize("mode", sorted({*MODES.values()}))
def test_a_task_has_one_mode(row, mode):
    assert broken(row.model_copy(update={"mode": mode})) == (set() if MODES[row.task] == mode else {"task_known"})


def test_a_strange_task_is_found():
    assert broken(YES.model_copy(update={"task": "banana"})) == {"task_known"}


def remade(row, evidence=None, answers=None, **more):
    given = row.evidence if evidence is None else evidence
    return qa(row.task, row.ask_ns // MS, given, row.answers if answers is None else answers, **more)


UP_TO, AWAITED, NOWS = {"evidence_up_to_question"}, {"awaited_after_question"}, {"now_under_way"}
COUNTED, ROLES = {"count_equals_evidence"}, {"evidence_roles"}


@pytest.mark.parametrize(
    ("row", "laws"),
    [
        (remade(NOT_YET, [watched(0, 40)]), UP_TO),
        (remade(NOT_YET, [watched(40, 400)]), UP_TO),
        (remade(NOT_YET, [watched(0, 440)]), UP_TO),
        (remade(IDLE, [watched(2_000, 3_960)]), UP_TO),
        (remade(NOW, [piece("m", end=2_960)]), UP_TO),
        (remade(BEFORE, [piece("e1")]), UP_TO),
        (remade(BEFORE, [watched(0, 2_200)]), UP_TO),
        (remade(BEFORE, [piece("e1"), watched(2_040, 2_200)]), UP_TO),
        (remade(BEFORE, [piece("e1"), watched(0, 2_200)]), set()),
        (remade(BEFORE, [piece("e1", role="distractor"), watched(0, 2_200)]), UP_TO | ROLES),
        (remade(COUNT, [p for p in COUNT.evidence if p.event_id]), UP_TO),
        (remade(COUNT, [watched(40, 4_000), *COUNT.evidence[1:]]), UP_TO),
        (remade(COUNT, [watched(0, 4_000, "distractor"), watched(40, 4_000), *COUNT.evidence[1:]]), UP_TO),
        (remade(YES, [piece("e1", role="distractor")]), UP_TO | ROLES),
    ],
)
def test_evidence_reaches_the_question(row, laws):
    assert broken(row) == laws


@pytest.mark.parametrize(
    ("row", "laws"),
    [
        (remade(TELL, [watched(4_000, 4_400)]), AWAITED),
        (remade(TELL, [watched(4_000, 4_400), piece("e2", end=5_400, role="distractor")]), AWAITED | ROLES),
        (remade(TELL, [watched(4_000, 4_400), piece("e2", end=5_400, role="sufficient")]), AWAITED | ROLES),
        (remade(TELL, [piece("e1", end=5_400)]), AWAITED),
        (remade(TELL, [piece("e3", end=7_400)], [answer(7_400)]), AWAITED),
        (remade(EACH, ask_ns=5_040 * MS), AWAITED),
        (remade(EACH, [EACH.evidence[0], watched(4_000, 7_400, "sufficient")]), ROLES),
        (remade(EACH, [EACH.evidence[0], piece("e3", end=7_440, role="sufficient")]), ROLES),
        (remade(EACH, [EACH.evidence[0], piece("e3", end=5_400, role="sufficient")]), ROLES),
        (remade(NEXT, [piece("e2")]), AWAITED),
        (remade(NEXT, [watched(4_040, 5_000), piece("e2")]), AWAITED),
        (remade(NEXT, [watched(4_000, 5_000)]), AWAITED),
        (remade(NEXT, [watched(4_000, 4_400), piece("e2", role="distractor")]), AWAITED | ROLES),
        (remade(NEXT, [watched(4_000, 5_000), piece("e1")]), AWAITED),
        (remade(NEXT, answers=()), set()),
    ],
)
def test_what_is_awaited_begins_later_and_is_named(row, laws):
    assert broken(row) == laws


def test_a_report_that_is_left_out_in_the_middle_is_found():
    between = KNOWN.events | {"e4": event("e4", 6_200, 6_400)}
    known = Known(KNOWN.video, CLOCK, between)
    assert broken(EACH, known=known) == AWAITED
    unsure = {**between, "e3": event("e3", 7_000, 8_000, onset_uncertainty_ns=900 * MS)}
    assert broken(EACH, known=Known(KNOWN.video, CLOCK, unsure)) == set(), "the last one may have begun before it"
    assert broken(EACH, known=Known(KNOWN.video, CLOCK, {**between, "e4": event("e4", 6_200, 6_400, "leave")})) == set()


@pytest.mark.parametrize(
    ("row", "laws"),
    [
        (remade(NOW, answers=[answer(3_000)]), NOWS),
        (remade(NOW, answers=[answer(3_000, until=3_640)]), NOWS),
        (remade(NOW, answers=[answer(3_000, until=3_600).model_copy(update={"window_end_ns": 3_640 * MS})]), NOWS),
        (qa("now", 3_600, [piece("m", end=3_600)], [answer(3_600, until=3_600)]), NOWS),
        (qa("now", 2_760, [piece("m", end=2_760)], [answer(2_760, until=3_600)]), NOWS),
        (qa("now", 2_800, [piece("m", end=2_800)], [answer(2_800, until=3_600)]), set()),
        (qa("now", 800, [piece("s1")], [answer(800, until=800)]), NOWS),
        (remade(NOW, [piece("m", end=3_000), piece("e1", role="distractor")]), set()),
    ],
)
def test_now_is_under_way(row, laws):
    assert broken(row) == laws


@pytest.mark.parametrize(
    ("row", "laws"),
    [
        (remade(COUNT, answers=[answer(4_000, "2 so far."), answer(6_000, "3 so far.")]), COUNTED),
        (remade(COUNT, answers=[COUNT.answers[0], answer(6_000, "1 so far.")]), COUNTED),
        (remade(COUNT, answers=[COUNT.answers[0], answer(6_000, "Many.")]), COUNTED),
        (remade(COUNT, answers=[answer(4_000, "1 or 2."), COUNT.answers[1]]), COUNTED),
        (remade(COUNT, [*COUNT.evidence[:2], piece("e1"), COUNT.evidence[2]]), COUNTED),
        (remade(SHOTS, [watched(0, 1_200), piece("v0")], [answer(1_200, "1 so far.")]), COUNTED),
        (remade(COUNT, COUNT.evidence[:2], [answer(6_200, "1 so far.")]), COUNTED),
        # Numbers without a list: none so far, the opening shot, and more than could have been.
        (qa("count_so_far", 400, [watched(0, 400)], [answer(400, "0 so far.")]), set()),
        (qa("count_so_far", 0, [watched(0, 0)], [answer(0, "1 so far.")]), set()),
        (qa("count_so_far", 400, [watched(0, 400)], [answer(400, "2 so far.")]), COUNTED),
        (remade(COUNT, [watched(0, 4_000), COUNT.evidence[2]]), COUNTED),
        (qa("count_so_far", 400, [watched(0, 400)], [answer(400, "1 so far.")]), COUNTED),
        (qa("count_so_far", 400, [watched(0, 400)], [answer(400, "21 so far.")]), COUNTED),
        (remade(COUNT, [watched(0, 4_000), COUNT.evidence[2]], [answer(4_000, "0."), answer(6_000, "1.")]), COUNTED),
        (remade(COUNT, answers=()), ROLES),
    ],
)
def test_counts_are_the_events_listed(row, laws):
    assert broken(row) == laws


def test_what_is_too_many_to_list_needs_no_list_but_events():
    assert LONGEST_LIST == counting._MANY
    many = {f"p{k}": event(f"p{k}", 100 * k, 100 * k, "shot_start", None) for k in range(LONGEST_LIST + 1)}
    row = qa("count_so_far", 2_400, [watched(0, 2_400)], [answer(2_400, f"{len(many)} so far.")])
    known = Known(KNOWN.video, CLOCK, many)
    assert broken(row, known=known) == set()
    assert broken(remade(row, answers=[answer(2_400, f"{len(many) + 1} so far.")]), known=known) == COUNTED


@pytest.mark.parametrize(
    ("question", "text", "count"),
    [
        ("What did the red circle do last?", "No red circle has been shown.", 1),
        ("What did the Red  Circle do last?", "No red-circle has been shown.", 1),
        ("What did the blue circle do last?", "No blue circle has been shown.", 0),
        ("What did the red circles do last?", "No red circles have been shown.", 0),
        ("What did the red circle do last?", "I cannot tell.", 0),
    ],
)
def test_what_is_absent_is_named_by_no_event(question, text, count):
    row = qa("before", 2_200, [watched(0, 2_200)], [answer(2_200, text)], question=question, unanswerable=True)
    assert len(list(LAWS["absent_is_absent"].breaches(row, KNOWN))) == count
    assert broken(row.model_copy(update={"unanswerable": False})) == UP_TO, "an answer needs an event"


def test_one_of_two_subjects_is_named_as_well():
    pair = {"c": event("c", 400, 800, "collide", "green square and red circle")}
    row = qa(
        "before", 2_200, [watched(0, 2_200)], [answer(2_200, "No green square.")], question="The green square?",
        unanswerable=True,
    )  # fmt: skip
    assert broken(row, known=Known(KNOWN.video, CLOCK, pair)) == {"absent_is_absent"}


def test_what_says_no_and_what_number_is_said():
    assert [is_not_yet(row) for row in (YES, NOT_YET, IDLE)] == [False, True, False]
    assert [number_in(text) for text in ("So far, 12.", "None.", "1 or 2.")] == [12, None, None]
