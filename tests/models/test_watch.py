"""A film watched as if live: questions see what came before them and nothing else, and time is kept."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import QuestionError, SettingsError
from models.watch import SECOND_NS, Answered, Asked, Decided, Ended, Pace, Question, Said, Watch, pair
from tests.models.films import SETTINGS, film_file, film_of, model


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return film_of(film_file(tmp_path_factory.mktemp("film") / "a.mkv"))


@pytest.fixture(scope="module")
def tiny():
    made = model()
    yield made
    made.close()


class FakeClock:
    """A clock that runs only when someone sleeps."""

    def __init__(self):
        self.time, self.slept = 100.0, []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds

    def pace(self, speed):
        return Pace(speed=speed, now=self.now, sleep=self.sleep)


def watched(tiny, film, questions=(), *, pace=None, speak=False, **changes):
    with tiny.session(replace(tiny.settings, **changes)) as session:
        watching = Watch(session, iter(film), questions, pace=pace or Pace(), speak=speak)
        return list(watching.events())


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def by_hand(tiny, film, question, t_ns, **changes):
    """The answer, and the grids it saw, when the frames up to a time are given and then the question."""
    with tiny.session(replace(tiny.settings, **changes)) as session:
        for frame, shown_ns in film:
            if shown_ns <= t_ns:
                session.add_frame(frame, shown_ns)
        answer = session.ask(question, t_ns=t_ns).run()
        return answer.token_ids, answer.stats.frames


# Named here, the checks of the profile no longer hold: how long drawing takes is said again.
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(st.lists(st.none() | st.integers(0, 5 * SECOND_NS), max_size=4))
def test_a_question_sees_the_frames_up_to_its_time(tiny, film, times):
    questions = [Question(text=f"{place}?", t_ns=t_ns) for place, t_ns in enumerate(times)]
    events = watched(tiny, film, questions, history_rounds=0)
    asked, answered = of(events, Asked), of(events, Answered)
    end = film[-1][1]
    want = sorted((q for q in questions if q.t_ns is not None), key=lambda q: q.t_ns)
    want += [q for q in questions if q.t_ns is None]
    assert [event.question for event in asked] == [event.question for event in answered] == [q.text for q in want]
    for question, event in zip(want, asked, strict=True):
        late = question.t_ns is not None and question.t_ns > end
        assert (event.t_ns, event.late) == (end if late or question.t_ns is None else question.t_ns, late)
    assert isinstance(events[-1], Ended)
    assert (events[-1].frames, events[-1].film_s) == (len(film), end / SECOND_NS)
    assert events[-1].metrics.questions == len(times)


@pytest.mark.parametrize("mode", ["incremental", "delayed", "clip"])
def test_answers_are_those_of_a_session_that_saw_as_much(tiny, film, mode):
    t_ns = SECOND_NS + 1
    (answer,) = of(watched(tiny, film, [Question(text="What?", t_ns=t_ns)], mode=mode), Answered)
    found = answer.token_ids, answer.stats.frames
    assert found == by_hand(tiny, film, "What?", t_ns, mode=mode)
    assert found != by_hand(tiny, film, "What?", film[-1][1], mode=mode)


def test_pieces_come_before_their_answer_and_make_it(tiny, film):
    events = watched(tiny, film, [Question(text="What?", t_ns=None)])
    kinds = [type(event) for event in events]
    assert kinds == [Asked, *[Said] * (len(kinds) - 3), Answered, Ended]
    assert "".join(event.text for event in of(events, Said)) == of(events, Answered)[0].text


def test_a_film_at_a_speed_keeps_its_times(tiny, film):
    clock = FakeClock()
    events = watched(tiny, film, [Question(text="What?", t_ns=SECOND_NS + 1)], pace=clock.pace(2.0))
    assert clock.time - 100 == pytest.approx(film[-1][1] / SECOND_NS / 2)
    assert events[-1].wall_s == pytest.approx(film[-1][1] / SECOND_NS / 2)
    assert events[-1].behind_s == 0


def test_what_comes_late_is_told():
    clock = FakeClock()
    pace = clock.pace(1.0)
    assert pace.elapsed() == 0
    clock.time += 3
    pace.wait(2 * SECOND_NS)
    pace.wait(5 * SECOND_NS)
    assert clock.slept == [2]
    assert pace.behind_s == 1
    assert pace.due(5 * SECOND_NS)
    assert not pace.due(5 * SECOND_NS + 1)


def test_as_fast_as_possible_never_sleeps(tiny, film):
    clock = FakeClock()
    watched(tiny, film, [Question(text="What?", t_ns=5)], pace=clock.pace(0.0))
    assert clock.slept == []


def test_in_parallel_frames_keep_coming_while_an_answer_is_written(tiny, film):
    question = [Question(text="What?", t_ns=SECOND_NS)]
    seen = []
    for mode in ("incremental", "parallel"):
        with tiny.session(replace(SETTINGS, mode=mode)) as session:
            watching = Watch(session, iter(film), question, pace=Pace())
            seen += [watching.summary().frames for event in watching.events() if isinstance(event, Answered)]
            assert session.metrics().frames == len(film)
    assert seen[0] == 6
    assert seen[1] > 6


def test_in_parallel_no_frame_overtakes_a_question(tiny, film):
    times = [SECOND_NS, SECOND_NS + 1, 2 * SECOND_NS]
    questions = [Question(text=f"{t_ns}?", t_ns=t_ns) for t_ns in times]
    events = watched(tiny, film, questions, mode="parallel")
    assert [event.t_ns for event in of(events, Asked)] == times
    assert [event.stats.stopped_by == "interrupted" for event in of(events, Answered)] == [False] * 3


def test_the_model_decides_after_each_grid(tiny, film):
    events = watched(tiny, film, speak=True, speak_threshold=0.0)
    decided = of(events, Decided)
    assert len(decided) == len(film) // 2
    assert {event.state for event in decided} == {"respond"}
    assert [event.t_ns for event in decided] == [t_ns for _, t_ns in film][1::2]
    assert all(sum(event.probabilities) == pytest.approx(1) for event in decided)
    assert [event.question for event in of(events, Answered)] == [""] * len(decided)
    silent = watched(tiny, film, speak=True, speak_threshold=1.0)
    assert "respond" not in {event.state for event in of(silent, Decided)}
    assert not of(silent, Answered)
    assert silent[-1].metrics.turns == len(decided)


def test_a_film_that_is_stopped_can_be_summed_up(tiny, film):
    with tiny.session() as session:
        watching = Watch(session, iter(film), [Question(text="What?", t_ns=SECOND_NS)], pace=Pace())
        next(event for event in watching.events() if isinstance(event, Said))
        assert (watching.summary().frames, watching.summary().film_s) == (6, 1.0)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_question_is_refused_before_the_film_is_watched(text):
    with pytest.raises(QuestionError, match="expected text; nothing was watched"):
        pair(["a", text], [])


def test_questions_and_times_are_paired():
    assert pair(["a", "b"], [2, 0.5]) == [
        Question(text="a", t_ns=2 * SECOND_NS),
        Question(text="b", t_ns=SECOND_NS // 2),
    ]
    assert pair(["a"], []) == [Question(text="a", t_ns=None)]
    assert pair([], []) == []
    for texts, times in ((["a"], [1, 2]), (["a", "b"], [1]), ([], [1])):
        with pytest.raises(SettingsError, match=f"found {len(texts)} questions and {len(times)} times"):
            pair(texts, times)
    for time in (-1, float("nan"), float("inf"), 1e10, 1e300):
        with pytest.raises(SettingsError, match=r"expected seconds in \[0, 9e\+09\]"):
            pair(["a"], [time])


@pytest.mark.parametrize("t_ns", [-1, 0.5])
def test_a_question_before_the_film_is_refused(t_ns):
    with pytest.raises(SettingsError, match="expected an int of 0 ns or more"):
        Question(text="a", t_ns=t_ns)


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf")])
def test_a_speed_is_zero_or_more(speed):
    with pytest.raises(SettingsError, match="speed is"):
        Pace(speed=speed)
