"""Laws of time on records in memory: every instant is found, wherever it stands in a record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.checks.laws import Known
from datasets_build.checks.timing import FRAME_LAWS, TIME_LAWS, instants_of, parts_of
from datasets_build.core.records import Answer, Evidence, FrameLabel, Probe, Provenance, StreamingQA, Turn
from tests.builders.made import MS, clock_from, video_of

CLOCK = clock_from([40] * 9)
KNOWN = Known(video_of("v", CLOCK), CLOCK, {})
LAWS = {law.name: law for law in (*TIME_LAWS, *FRAME_LAWS)}


def qa(**update):
    row = StreamingQA(
        id="q", video_id="v", mode="backward", task="before", question="What?", ask_ns=80 * MS,
        evidence=(Evidence(start_ns=0, end_ns=40 * MS),), answerable_from_ns=40 * MS,
        answers=(Answer(text="It.", t_ns=80 * MS, window_start_ns=80 * MS, window_end_ns=120 * MS),),
        test_points=(Probe(t_ns=160 * MS, kind="text", expected="It."),),
        provenance=Provenance(kind="template", agent="test"),
    )  # fmt: skip
    return row.model_copy(update=update)


def step(**update):
    row = FrameLabel(
        id="f", video_id="v", t_ns=80 * MS, frame_index=2, grid="native", labels=(), event_ids=(), starting=(),
        is_keyframe=False, shot_id=None,
    )  # fmt: skip
    return row.model_copy(update=update)


def found(law, row):
    return [breach.found for breach in LAWS[law].breaches(row, KNOWN)]


def test_every_instant_of_a_record_is_met():
    names = [name for name, _ in instants_of(qa())]
    assert names == [
        "ask_ns", "answerable_from_ns", "evidence.0.start_ns", "evidence.0.end_ns", "answers.0.t_ns",
        "answers.0.window_start_ns", "answers.0.window_end_ns", "test_points.0.t_ns",
    ]  # fmt: skip
    assert len(list(parts_of(qa()))) == 4


def test_a_good_record_breaks_nothing():
    for law in TIME_LAWS:
        assert list(law.breaches(qa(), KNOWN)) == []
    assert found("frame_index", step()) == []


def test_an_instant_outside_is_found_with_its_path():
    assert found("time_inside", qa(ask_ns=401 * MS)) == [f"ask_ns {401 * MS}"]
    assert found("time_inside", qa(ask_ns=-1)) == ["ask_ns -1"]
    assert found("time_on_grid", qa(ask_ns=401 * MS)) == [], "it is outside, which is another law"
    assert found("time_inside", qa(ask_ns=400 * MS)) == [], "the end is a time"


def test_an_instant_between_two_frames_is_found():
    (breach,) = LAWS["time_on_grid"].breaches(qa(ask_ns=81 * MS), KNOWN)
    assert breach.found == f"ask_ns {81 * MS}"
    assert breach.expected == f"a frame's time, such as {80 * MS} ns"


@pytest.mark.parametrize("path", ["evidence", "answers", "test_points"])
def test_parts_are_searched(path):
    (part,) = getattr(qa(), path)
    field = "start_ns" if path == "evidence" else "t_ns"
    row = qa(**{path: (part.model_copy(update={field: 7}),)})
    assert found("time_on_grid", row) == [f"{path}.0.{field} 7"]


def test_an_interval_that_ends_before_it_starts_is_found():
    row = qa(evidence=(Evidence.model_construct(start_ns=80 * MS, end_ns=40 * MS, event_id=None, role="necessary"),))
    assert found("time_ordered", row) == [f"evidence.0.start_ns {80 * MS}, end_ns {40 * MS}"]
    answer = qa().answers[0].model_copy(update={"window_end_ns": 40 * MS})
    assert found("time_ordered", qa(answers=(answer,))) == [
        f"answers.0.window_start_ns {80 * MS}, window_end_ns {40 * MS}"
    ]


def test_half_a_window_is_found():
    turn = Turn(id="t", role="assistant", start_ns=0, end_ns=0, text="It.", window_start_ns=0)
    assert found("time_ordered", turn) == ["window_start_ns 0, window_end_ns None"]


@pytest.mark.parametrize(("index", "count"), [(3, 1), (-1, 1), (10, 1), (2, 0)])
def test_frame_and_time_must_agree(index, count):
    assert len(found("frame_index", step(frame_index=index))) == count


@given(st.integers(-5, 500 * MS))
def test_an_instant_is_right_exactly_on_the_grid(t_ns):
    row = qa(ask_ns=t_ns)
    wrong = [*found("time_inside", row), *found("time_on_grid", row)]
    assert (wrong == []) == (t_ns % (40 * MS) == 0 and 0 <= t_ns <= 400 * MS)
    assert len(wrong) <= 1
