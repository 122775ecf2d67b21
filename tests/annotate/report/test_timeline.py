"""Rows of marks: where each lies, none upon another, nothing outside."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.report.timeline import LANE_PX, Piece, Side, around, mark_words, sides_of, timeline_of
from annotate.tasks import Question, QuestionVerdict, Sheet, Work
from datasets_build.core.clock import Span
from tests.annotate.people import S, dialogue, dialogue_item, events, item, mark, turn
from tests.laws import examples

SPAN = Span(start_ns=10 * S, end_ns=20 * S)
HUES = {"pour": 30, "stir": 100}


def piece(start, end, kind="mark", words="pour"):
    return Piece(start_ns=start, end_ns=end, kind=kind, hue=3, words=words, title=f"{start} {end}")


def bars(*pieces, span=SPAN):
    return timeline_of([Side(name="a1", pieces=pieces)], span, []).rows[0].bars


PIECES = st.lists(
    st.builds(
        lambda start, length: piece(start, start + length),
        st.integers(0, 30 * S),
        st.sampled_from([0, 1, S // 10, S, 7 * S]),
    ),
    max_size=30,
)


@settings(max_examples=examples(50), deadline=None)
@given(sides=st.lists(PIECES, min_size=1, max_size=3))
def test_no_bar_lies_upon_another_or_outside(sides):
    line = timeline_of([Side(name=str(at), pieces=tuple(of)) for at, of in enumerate(sides)], SPAN, [])
    for row, pieces in zip(line.rows, sides, strict=True):
        inside = [one for one in pieces if one.start_ns < SPAN.end_ns and one.end_ns > SPAN.start_ns]
        inside += [one for one in pieces if one.start_ns == one.end_ns in (SPAN.start_ns, SPAN.end_ns)]
        assert sorted(bar.title for bar in row.bars) == sorted(one.title for one in inside)
        for at, bar in enumerate(row.bars):
            assert 0 <= bar.left <= bar.left + bar.width <= 100.001
            assert row.top <= bar.top
            assert bar.top + 15 <= row.top + row.height
            for other in row.bars[:at]:
                apart = bar.left >= other.left + other.width or other.left >= bar.left + bar.width
                assert apart or bar.top != other.top
    ends = [row.top + row.height for row in line.rows]
    assert [row.top for row in line.rows[1:]] == ends[:-1]
    assert line.height == ends[-1]


def test_where_a_bar_lies():
    (bar,) = bars(piece(12 * S, 15 * S))
    assert (bar.left, bar.width, bar.words, bar.kind) == (20.0, 30.0, "pour", "mark")
    (cut,) = bars(piece(5 * S, 11 * S))
    assert (cut.left, cut.width) == (0.0, 10.0)
    (dot,) = bars(piece(12 * S, 12 * S))
    assert (dot.left, dot.width, dot.words, dot.kind) == (20.0, 0.0, "", "mark instant")
    assert bars(piece(20 * S, 25 * S), piece(5 * S, 10 * S)) == ()


def test_two_at_once_take_two_lanes():
    first, second, third = bars(piece(12 * S, 15 * S), piece(13 * S, 16 * S), piece(15 * S, 17 * S))
    assert second.top == first.top + LANE_PX
    assert third.top == first.top


def test_a_narrow_bar_shows_no_words():
    (narrow,) = bars(piece(12 * S, 12 * S + S // 5))
    (wide,) = bars(piece(12 * S, 12 * S + S // 2))
    assert (narrow.words, wide.words) == ("", "pour")


def test_too_many_are_counted():
    row = timeline_of(
        [Side(name="a1", pieces=tuple(piece(t * S // 20, t * S // 20) for t in range(201, 399)))], SPAN, []
    )
    assert len(row.rows[0].bars) == 120
    assert row.rows[0].left_out == 198 - 120


def test_bands_are_wide_enough_to_be_seen():
    spans = [Span(start_ns=t, end_ns=t) for t in (10 * S, 15 * S, 20 * S)] + [Span(start_ns=11 * S, end_ns=14 * S)]
    bands = timeline_of([], SPAN, spans).bands
    assert [(band.left, band.width) for band in bands] == [(0.0, 0.8), (49.6, 0.8), (99.2, 0.8), (10.0, 30.0)]


def test_sides_of_events():
    one = item("k", Sheet(kind="events", marks=(mark("s", "pour", 0, S),)), truth=events(), is_gold=True)
    works = {"a1": events(mark("x", "stir", S, 2 * S, note="slow", confidence="unsure")), "a2": events(usable=False)}
    shown, a1, a2, truth = sides_of(one, works, HUES)
    assert [side.name for side in (shown, a1, a2, truth)] == ["shown", "a1", "a2", "truth"]
    assert [(p.words, p.hue) for p in (*shown.pieces, *a1.pieces)] == [("pour", 30), ("stir", 100)]
    assert a2.pieces[0].kind == "unfit"
    assert (a2.pieces[0].start_ns, a2.pieces[0].end_ns) == (0, 120 * S)
    assert truth.pieces == ()
    assert a1.pieces[0].title == "“\u2068stir\u2069” 0:01.000 to 0:02.000; note: \u2068slow\u2069; unsure"


def test_the_truth_of_no_gold_is_not_shown():
    one = item("k", Sheet(kind="events"), truth=events())
    assert [side.name for side in sides_of(one, {}, HUES)] == ["shown"]


def test_sides_of_questions_and_turns():
    question = Question(id="q", question="What?", ask_ns=2 * S, answer="tea", answer_ns=3 * S)
    one = item("k", Sheet(kind="qa", questions=(question,)))
    fixed = QuestionVerdict(id="q", verdict="fix", answer="milk", answer_ns=5 * S)
    shown, a1 = sides_of(one, {"a1": Work(kind="qa", questions=(fixed,))}, HUES)
    assert (shown.pieces[0].title, shown.pieces[0].end_ns) == ("What? tea", 3 * S)
    (piece,) = a1.pieces
    assert (piece.kind, piece.letter, piece.start_ns, piece.end_ns) == ("fix", "F", 2 * S, 5 * S)
    assert piece.title == "fix: milk"
    talk = dialogue_item("k", "hi", "hello")
    _, a1 = sides_of(talk, {"a1": dialogue(turn("k/0"), turn("k/1", "reject", timing="too_late"))}, HUES)
    assert [(p.words, p.letter) for p in a1.pieces] == [("accept", "A"), ("reject, too late", "R")]
    row = timeline_of([a1], Span(start_ns=0, end_ns=100 * S), []).rows[0]
    assert [bar.words for bar in row.bars] == ["A", "R"]


def test_words_of_marks():
    assert mark_words(mark("x", "pour", S, S, is_point=True)) == "“\u2068pour\u2069” 0:01.000"


@settings(max_examples=examples(50))
@given(data=st.data(), least=st.integers(1, 40 * S))
def test_around_holds_what_it_is_around_and_stays_inside(data, least):
    window = Span(start_ns=data.draw(st.integers(0, 50 * S)), end_ns=data.draw(st.integers(51 * S, 90 * S)))
    start = data.draw(st.integers(window.start_ns, window.end_ns))
    span = Span(start_ns=start, end_ns=data.draw(st.integers(start, window.end_ns)))
    found = around(span, window, least_ns=least)
    assert window.start_ns <= found.start_ns <= span.start_ns
    assert span.end_ns <= found.end_ns <= window.end_ns
    assert found.duration_ns >= min(least, window.duration_ns)
    assert found.duration_ns > 0


@pytest.mark.parametrize("ends", [(0, 0), (50 * S, 50 * S)])
def test_around_an_instant_at_an_end(ends):
    window = Span(start_ns=0, end_ns=50 * S)
    assert around(Span(start_ns=ends[0], end_ns=ends[1]), window, least_ns=4 * S).duration_ns == 4 * S
