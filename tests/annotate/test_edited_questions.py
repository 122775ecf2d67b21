"""Verdicts on questions: accepted ones stay, rejected ones go, fixed ones obey every law or are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.edits import kept_inputs
from annotate.source import Film
from annotate.tasks import QuestionVerdict
from datasets_build.core.corrections import digest_of
from datasets_build.core.records import Answer, Event, Evidence, Probe, Provenance, StreamingQA
from tests.annotate.merging import BY, broken, edit, item_of, judged, laid, lively_film, with_verdicts
from tests.builders.made import MS, steady, video_of
from tests.laws import examples

FEW = settings(max_examples=examples(50), deadline=None)
CLOCK = steady(20)
VIDEO = video_of("asked", CLOCK)
F = 40 * MS
MOVE = Event(
    id="move", video_id=VIDEO.id, start_ns=100 * F, end_ns=200 * F, label="move", label_set="world",
    caption="It moves.", known_from_ns=110 * F, confidence=1.0, source="annotation",
    provenance=Provenance(kind="corpus", agent="world"),
)  # fmt: skip
TOLD = Provenance(kind="template", agent="template", prompt_sha256="0", seed=3, inputs=("move",))


def piece(start, end, name=None, role="necessary"):
    return Evidence(start_ns=start * F, end_ns=end * F, event_id=name, role=role)


def answer(at, end, text="It moved.", until=None):
    return Answer(
        text=text, t_ns=at * F, window_start_ns=at * F, window_end_ns=end * F,
        valid_until_ns=None if until is None else until * F,
    )  # fmt: skip


def qa(**update):
    """Asked at frame 250, after the movement: what happened last?"""
    fields = {
        "id": "q", "video_id": VIDEO.id, "mode": "backward", "task": "before", "question": "What was last?",
        "ask_ns": 250 * F, "evidence": (piece(100, 200, "move"), piece(200, 250)), "answerable_from_ns": 250 * F,
        "answers": (answer(250, 325, until=400),), "provenance": TOLD,
    }  # fmt: skip
    return StreamingQA.model_validate(fields | update)


NOW = {
    "mode": "realtime", "task": "now", "ask_ns": 150 * F, "evidence": (piece(100, 150, "move"),),
    "answerable_from_ns": 150 * F, "answers": (answer(150, 200, until=200),),
}  # fmt: skip
TELL = {
    "mode": "proactive", "task": "tell_me_when", "ask_ns": 50 * F, "evidence": (piece(100, 110, "move"),),
    "answerable_from_ns": 110 * F, "answers": (answer(110, 185),),
}  # fmt: skip
NEXT = TELL | {"mode": "forward", "task": "next", "evidence": (piece(50, 100), piece(100, 110, "move"))}
COUNT = {
    "mode": "counting", "task": "count_so_far", "ask_ns": 50 * F, "evidence": (piece(0, 50), piece(100, 200, "move",
    "sufficient")), "answerable_from_ns": 50 * F,
    "answers": (answer(50, 100, "0 so far.", until=100), answer(200, 275, "1 so far.")),
    "test_points": (Probe(t_ns=60 * F, kind="count", expected="0"), Probe(t_ns=210 * F, kind="count", expected="1")),
}  # fmt: skip
YET = {"task": "happened_yet", "evidence": (piece(100, 200, "move"),), "answerable_from_ns": 200 * F}
LATE = COUNT | {"evidence": (piece(0, 50), piece(100, 150, "move", "sufficient"))}
MANY = {"options": ("It moved.", "It stopped.", "It left."), "correct_option": 0}


def film(*rows, events=(MOVE,)):
    return Film(video=VIDEO, path=None, clock=CLOCK, events=list(events), questions=list(rows or [qa()]))


def say(row, verdict="fix", **more):
    """The edits of somebody who says something of a question, in frames."""
    more = {name: value * F if name.endswith("_ns") else value for name, value in more.items()}
    where = film(row)
    item = item_of(where, "qa")
    return edit(
        where, judged(item, with_verdicts(item, QuestionVerdict(id=row.id, verdict=verdict, **more)), ("a1", "a2"))
    )


def fixed(row, **more):
    """A question as it was fixed."""
    edits = say(row, **more)
    assert edits.troubles == []
    (found,) = edits.corrections
    return found.question


def refused(row, **more):
    """Why a question was not fixed."""
    edits = say(row, **more)
    assert edits.corrections == []
    (trouble,) = edits.troubles
    assert (trouble.kind, trouble.record) == ("flaw", row.id)
    return trouble.reason


def test_what_is_accepted_stays():
    edits = say(qa(), "accept", quality=2)
    assert (edits.corrections, edits.troubles) == ([], [])


def test_what_is_rejected_goes():
    (row,) = say(qa(), "reject").corrections
    assert (row.action, row.of, row.parent_id, row.parent_digest) == ("remove", "question", "q", digest_of(qa()))
    assert row.annotators == ("a1", "a2")


@pytest.mark.parametrize("more", [{}, {"answer": " It  moved."}, {"ask_ns": 250}, {"answer_ns": 250}])
def test_a_fix_of_nothing_changes_nothing(more):
    edits = say(qa(), **more)
    assert (edits.corrections, edits.troubles) == ([], [])


def test_another_answer_names_its_parent_and_leaves_the_times():
    (row,) = say(qa(), answer="It went  away.").corrections
    made = row.question
    assert (row.action, row.edited) == ("replace", ("answers",))
    assert made.provenance == Provenance(
        kind="person", agent="a1+a2", round="r1", inputs=("q", "move"), made_at=BY.made_at
    )
    (said,) = made.answers
    assert said == qa().answers[0].model_copy(update={"text": "It went away."})
    assert (made.evidence, made.ask_ns, made.twin_id) == (qa().evidence, qa().ask_ns, None)
    assert made.id != "q"


def test_a_second_round_names_the_first_and_the_events():
    made = fixed(qa(), answer="Once.")
    again = fixed(made, answer="Twice.")
    assert again.provenance.inputs == kept_inputs(made) == (made.id, "move")


def test_the_correct_option_follows_the_answer():
    made = fixed(qa(**MANY), answer="It jumped.")
    assert (made.options, made.correct_option) == (("It jumped.", "It stopped.", "It left."), 0)
    made = fixed(qa(**MANY), answer="It left.")
    assert (made.options, made.correct_option) == (MANY["options"], 2)
    assert fixed(qa(), answer="It left.").options == ()


@pytest.mark.parametrize("text", ["It moved at 0:12.", "After 3 seconds.", "  "])
def test_words_that_no_viewer_could_say_are_refused(text):
    assert "absolute time" in refused(qa(), answer=text) or not text.strip()


def test_a_question_asked_later_rests_on_all_up_to_then():
    made = fixed(qa(), ask_ns=300)
    assert made.evidence == (piece(100, 200, "move"), piece(200, 300))
    assert made.answerable_from_ns == made.ask_ns == 300 * F
    assert (made.answers[0].t_ns, made.answers[0].window_start_ns) == (300 * F, 300 * F)
    assert (made.answers[0].window_end_ns, made.answers[0].valid_until_ns) == (375 * F, 400 * F)


def test_a_window_ends_while_the_answer_is_right():
    assert fixed(qa(), answer_ns=390).answers[0].window_end_ns == 400 * F
    assert fixed(qa(answers=(answer(250, 325),)), answer_ns=490).answers[0].window_end_ns == CLOCK.end_ns


def test_an_answer_may_move_inside_its_window():
    (said,) = fixed(qa(), answer_ns=300).answers
    assert (said.t_ns, said.window_start_ns, said.window_end_ns) == (300 * F, 250 * F, 325 * F)


def test_who_says_that_it_is_right_later_takes_its_end_away():
    (said,) = fixed(qa(), answer_ns=420).answers
    assert (said.t_ns, said.window_end_ns, said.valid_until_ns) == (420 * F, 495 * F, None)


@pytest.mark.parametrize(
    ("row", "more", "why"),
    [
        (qa(), {"answer_ns": 249}, "comes before it is asked"),
        (qa(), {"ask_ns": 260, "answer_ns": 250}, "comes before it is asked"),
        (qa(), {"ask_ns": 150}, "it comes too early for its proof, which begins at"),
        (qa(**TELL), {"answer_ns": 100}, "or can be known"),
        (qa(**TELL), {"ask_ns": 101}, "before it is asked"),
        (qa(**TELL), {"ask_ns": 120, "answer_ns": 130}, "before it is asked"),
        (qa(**NEXT), {"ask_ns": 105}, "it comes too late for its proof, which is over at"),
        (qa(**NOW), {"ask_ns": 105}, "not under way"),
        (qa(**NOW), {"ask_ns": 200}, "not under way"),
        (qa(**NOW), {"answer_ns": 200}, "it is over"),
        (qa(**COUNT), {"answer_ns": 200}, "no time is left"),
        (qa(**LATE), {"answer_ns": 160}, "before the next one"),
        (qa(**COUNT), {"answer_ns": 499}, "no time is left"),
        (qa(**YET), {"ask_ns": 150, "answer_ns": 260}, "no question of the mode backward"),
        (qa(), {"ask_ns": 500}, "before the video's end"),
    ],
)
def test_what_could_not_be_is_refused(row, more, why):
    assert why in refused(row, **more)


def test_what_is_awaited_may_be_asked_for_sooner_or_later():
    assert fixed(qa(**TELL), ask_ns=90).answers == qa(**TELL).answers
    made = fixed(qa(**NEXT), ask_ns=90)
    assert made.evidence == (piece(90, 100), piece(100, 110, "move"))
    assert fixed(qa(**NOW), ask_ns=160).evidence == (piece(100, 160, "move"),)


def test_test_points_say_what_is_right_or_go():
    assert [p.expected for p in fixed(qa(**COUNT), answer="None.").test_points] == ["1"]
    assert [p.t_ns for p in fixed(qa(**COUNT), ask_ns=70).test_points] == [210 * F]
    points = (Probe(t_ns=260 * F, kind="text", expected="It moved."), Probe(t_ns=399 * F, kind="yes_no", expected="no"))
    made = fixed(qa(test_points=points), answer="Yes, it hops.")
    assert [p.expected for p in made.test_points] == ["Yes, it hops.", "yes"]


def test_whether_it_can_be_told_is_not_asked_before_the_question():
    points = tuple(Probe(t_ns=k * F, kind="known", expected="no") for k in (70, 89, 90, 95))
    made = fixed(qa(**TELL | {"test_points": points}), ask_ns=90)
    assert [probe.t_ns for probe in made.test_points] == [90 * F, 95 * F]


def test_windows_that_contradict_each_other_change_nothing():
    where = film()
    one, other = item_of(where, "qa"), item_of(where, "qa", (200 * F, 300 * F))
    no = with_verdicts(other, QuestionVerdict(id="q", verdict="reject"))
    edits = edit(where, judged(one), judged(other, no))
    assert edits.corrections == []
    assert [(row.kind, row.keys) for row in edits.troubles] == [("conflict", (one.key, other.key))]


def test_one_window_may_rate_what_another_one_accepts():
    where = film()
    one, other = item_of(where, "qa"), item_of(where, "qa", (200 * F, 300 * F))
    rated = with_verdicts(other, QuestionVerdict(id="q", verdict="accept", quality=5))
    assert edit(where, judged(one), judged(other, rated)).troubles == []


SCENE, FILM = lively_film()
ROWS = st.sampled_from([row.id for row in FILM.questions])
SHIFTS = st.none() | st.integers(-60, 60)


@st.composite
def verdicts(draw):
    """What somebody might say of some of the questions of a lively film."""
    found = []
    for row in FILM.questions:
        kind = draw(st.sampled_from(["accept", "accept", "reject", "fix", "fix"]))
        more = {}
        if kind == "fix":
            places = {"ask_ns": row.ask_ns, "answer_ns": row.answers[0].t_ns}
            for name, t_ns in places.items():
                shift = draw(SHIFTS)
                if shift is not None:
                    frame = int(FILM.clock.t_ns.searchsorted(t_ns)) + shift
                    more[name] = FILM.clock.time_of(min(len(FILM.clock), max(0, frame)))
            more["answer"] = draw(st.sampled_from([None, "Yes, it is.", "There were 3.", "Nobody.", " "]))
        found.append(QuestionVerdict(id=row.id, verdict=kind, **more))
    return found


@FEW
@given(verdicts())
def test_whatever_people_say_the_questions_obey_every_law(tmp_path_factory, said):
    item = item_of(FILM, "qa")
    edits = edit(FILM, judged(item, with_verdicts(item, *said)))
    after = laid(tmp_path_factory.mktemp("q"), FILM, edits.corrections)
    assert broken(SCENE, after) == []
    touched = {row.parent_id for row in edits.corrections}
    fixes = {verdict.id for verdict in said if verdict.verdict != "accept"}
    assert touched | {row.record for row in edits.troubles} <= fixes
    assert {row.parent_id for row in edits.corrections if row.action == "remove"} == {
        verdict.id for verdict in said if verdict.verdict == "reject"
    }
    kept = {row.id: row.model_copy(update={"twin_id": None}) for row in after.questions}
    for row in FILM.questions:
        # A twin that lost the other one may have gone.
        if row.id not in touched and row.id in kept:
            assert kept[row.id] == row.model_copy(update={"twin_id": None})
        assert row.id in kept or row.id in touched or row.unanswerable


@FEW
@given(verdicts())
def test_an_untouched_round_after_it_changes_nothing(tmp_path_factory, said):
    item = item_of(FILM, "qa")
    edits = edit(FILM, judged(item, with_verdicts(item, *said)))
    after = laid(tmp_path_factory.mktemp("q"), FILM, edits.corrections)
    again = edit(after, judged(item_of(after, "qa")))
    assert (again.corrections, again.troubles) == ([], [])
