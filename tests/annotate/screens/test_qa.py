"""The screen for questions: what it looks like, what is sent, what comes back."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.frames import first_frame
from annotate.screens import qa
from annotate.screens.regions import ScreenError
from annotate.tasks import Question, QuestionVerdict, Sheet, Work
from tests.annotate.screens import captured
from tests.annotate.screens.answers import region, result_of
from tests.annotate.screens.captured import CLOCK, QA, WINDOW, at
from tests.annotate.screens.windows import inside, item_of, watched
from tests.laws import examples

TEXTS = st.sampled_from(["", "puts it down", "two\nlines", ' "a" & <b> $x {{idx}} ', "日本"])
NEW_TEXTS = st.sampled_from(["corrected", "three\nmore\nlines", '"c" & <d> $y'])


@st.composite
def sheets(draw, window):
    """Questions around a window, on frames or between them, some outside."""
    questions = []
    for place in range(draw(st.integers(1, 4))):
        ask = draw(st.integers(max(0, window.start_ns - 10**9), window.end_ns + 10**9))
        answer = draw(st.integers(ask, window.end_ns + 2 * 10**9))
        questions.append(
            Question(id=f"q{place}", question=draw(TEXTS), ask_ns=ask, answer=draw(TEXTS), answer_ns=answer)
        )
    return Sheet(kind="qa", questions=tuple(questions))


@st.composite
def works(draw, clock, item):
    """A verdict for each question; a fix changes something and keeps the answer behind the question."""
    if draw(st.integers(0, 9)) == 0:
        return Work(kind="qa", usable=False)
    times = inside(clock, item.window)[:-1]
    verdicts = []
    for question in item.sheet.questions:
        verdict = draw(st.sampled_from(["accept", "fix", "reject"]))
        quality = draw(st.sampled_from([None, 1, 2, 3, 4, 5]))
        fix = _fix(draw, item.window, times, question) if verdict == "fix" else {}
        verdicts.append(QuestionVerdict(id=question.id, verdict=verdict, quality=quality, **fix))
    return Work(kind="qa", questions=tuple(verdicts))


def _fix(draw, window, times, question):
    fix = {"answer": draw(st.none() | NEW_TEXTS)}
    for field in ("ask_ns", "answer_ns"):
        t_ns = draw(st.none() | st.sampled_from(times))
        shown = first_frame(window, getattr(question, field))
        fix[field] = None if t_ns is None or first_frame(window, t_ns) == shown else t_ns
    meant = [getattr(question, field) if fix[field] is None else fix[field] for field in ("ask_ns", "answer_ns")]
    if first_frame(window, meant[0]) > first_frame(window, meant[1]):
        fix.update(ask_ns=None, answer_ns=None)
    return fix if any(value is not None for value in fix.values()) else {"answer": "corrected"}


@given(watched(), st.data())
@settings(max_examples=examples(200), deadline=None)
def test_work_comes_back_as_it_was_done(pair, data):
    clock, window = pair
    item = item_of(window, data.draw(sheets(window)))
    work = data.draw(works(clock, item))
    assert qa.decode(result_of(work, item), item, clock) == work


def verdict(place, value):
    return region(f"v{place}", f"verdict_{place}", f"question_{place}", "choices", {"choices": [value]})


def number(place, name, value):
    return region(f"{name}{place}", f"{name}_{place}", f"question_{place}", "number", {"number": value})


def test_edits_in_the_page_come_back_as_what_was_meant():
    # Frame 1000 stands in the fourth block, hidden: the verdict there went back to accept.
    assert any(each["value"] == {"number": 1000} for each in captured.QA_EDITED)
    work = qa.decode(captured.QA_EDITED, QA, CLOCK)
    assert work == Work(
        kind="qa",
        questions=(
            QuestionVerdict(id="q0", verdict="accept", quality=4),
            QuestionVerdict(id="q1", verdict="fix", answer='lifts <it> & "waits"', ask_ns=at(249), answer_ns=at(299)),
            QuestionVerdict(id="q2", verdict="reject"),
            QuestionVerdict(id="q3", verdict="accept"),
            QuestionVerdict(id="q4", verdict="fix", answer_ns=at(899)),
        ),
    )


def test_of_a_clip_that_cannot_be_judged_no_verdict_is_asked():
    assert qa.decode(captured.QA_NOT_USABLE, QA, CLOCK) == Work(kind="qa", usable=False)


def test_what_is_sent_has_the_words_and_the_frames_that_a_person_reads():
    task = qa.encode(QA)
    first = task.data["questions"][0]
    assert first == {
        "id": "q0",
        "text": '1. What does the $5 {{idx}} person do <b>now</b> & "then"?\n'
        "asked at frame 41 (0:01.334)\n"
        "→ puts it down\n"
        "answered at frame 91 (0:03.003)",
    }
    sent = {each["from_name"]: each["value"] for each in task.result}
    assert sent["ask_frame_0"] == {"number": 41}
    assert sent["answer_frame_0"] == {"number": 91}
    assert sent["answer_0"] == {"text": ["puts it down"]}
    assert not [name for name in sent if name.startswith("verdict")]


def test_the_page_sent_back_what_it_was_sent():
    sent = {each["id"]: each["value"] for each in qa.encode(QA).result}
    back = {each["id"]: each["value"] for each in captured.QA_NOT_USABLE if each["origin"] == "prediction"}
    assert back == {id_: value for id_, value in sent.items() if "number" in value}


def question(ask, answer, text="yes"):
    return item_of(
        WINDOW,
        Sheet(kind="qa", questions=(Question(id="q", question="?", ask_ns=ask, answer=text, answer_ns=answer),)),
    )


def test_moments_outside_the_window_are_said_to_be_so():
    window = WINDOW.model_copy(update={"start_ns": at(100)})
    item = item_of(window, question(at(50), WINDOW.end_ns + 10**9).sheet)
    (block,) = qa.encode(item).data["questions"]
    assert "asked before this clip" in block["text"]
    assert "answered after this clip" in block["text"]


def test_an_answer_before_its_question_is_a_flaw_where_somebody_made_it():
    item = question(at(100), at(200))
    fixed = [verdict(0, "fix"), number(0, "ask_frame", 101), number(0, "answer_frame", 100)]
    with pytest.raises(ScreenError, match="question q: found frames 101 and 100, expected an answer at or after"):
        qa.decode(fixed, item, CLOCK)
    # One that the records have is not somebody's fault.
    item = question(at(200), at(100))
    fixed = [verdict(0, "fix"), region("t", "answer_0", "question_0", "textarea", {"text": ["no"]})]
    assert qa.decode(fixed, item, CLOCK).questions[0].answer == "no"


def test_a_fix_that_changes_nothing_is_a_flaw():
    item = question(at(100), at(200))
    same = [*qa.encode(item).result, verdict(0, "fix")]
    for result in (same, [verdict(0, "fix")]):
        with pytest.raises(
            ScreenError, match="question q: found fix without a change, expected something that differs"
        ):
            qa.decode(result, item, CLOCK)


def test_no_questions_and_two_of_one_id_are_refused():
    with pytest.raises(ScreenError, match="found 0 questions, expected one or more, each id once"):
        qa.encode(item_of(WINDOW, Sheet(kind="qa")))
    twice = QA.sheet.model_copy(update={"questions": QA.sheet.questions[:1] * 2})
    with pytest.raises(ScreenError, match="found 2 questions"):
        qa.encode(item_of(WINDOW, twice))


def test_each_control_of_the_code_is_one_of_the_configuration():
    tree = ET.fromstring(qa.config())
    types = {"TextArea": "textarea", "Choices": "choices", "Number": "number", "Rating": "rating"}
    found = {each.get("name"): (types[each.tag], each.get("toName")) for each in tree.iter() if each.get("toName")}
    controls = {name: (control.type, control.to_name) for name, control in qa.BLOCKS.controls(1).items()}
    assert {name.replace("{{idx}}", "0"): (kind, to.replace("{{idx}}", "0")) for name, (kind, to) in found.items()} == (
        controls
    )
    (repeated,) = tree.iter("Repeater")
    assert (repeated.get("on"), repeated.get("indexFlag")) == ("$questions", "{{idx}}")


def test_a_verdict_must_be_chosen_and_corrections_are_seen_under_fix_alone():
    tree = ET.fromstring(qa.config())
    (choices,) = [each for each in tree.iter("Choices") if each.get("name") == "verdict_{{idx}}"]
    assert choices.get("required") == "true"
    assert [(each.get("value"), each.get("selected")) for each in choices] == [
        ("accept", None),
        ("fix", None),
        ("reject", None),
    ]
    (gate,) = [each for each in tree.iter("View") if each.get("whenTagName") == "verdict_{{idx}}"]
    assert gate.get("whenChoiceValue") == "fix"
    hidden = {each.get("name") for each in gate.iter() if each.get("toName")}
    assert hidden == {"answer_{{idx}}", "ask_frame_{{idx}}", "answer_frame_{{idx}}"}
