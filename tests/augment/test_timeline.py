"""What stands on a timeline: everything of a clip once, with why it is left out, in rows in which nothing overlaps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import AugmentError
from augment.maker import Maker
from augment.settings import Concat, Crop, Freeze, Loop, Pipeline, Reverse, Skip, Speed
from augment.source import by_size
from augment.timeline import LANES, Bar, bars_of, left_out, links_of, rows_of
from augment.view import View
from datasets_build.core.clock import NS_PER_S, Span
from tests.augment.clips import RULES, backwards_once, clip
from tests.augment.views import views
from tests.builders.made import steady
from tests.laws import examples

OPERATIONS = (Speed(), Skip(form="bursts"), Crop(), Concat(), Loop(), Freeze(), Reverse())
stretches = st.tuples(st.floats(0, 20), st.floats(0.1, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def made(*operations, name="a", seed=0):
    clips = [clip(each) for each in "ab"]
    pipeline = Pipeline(seed=seed, operations=operations)
    return Maker(pipeline=pipeline, rules=RULES, talk_rules=RULES, others=by_size(clips)).make(clip(name), 0)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(stretches, max_size=12), st.floats(0, 1))
def test_rows_keep_their_distance_and_are_no_more_than_needed(extents, gap):
    rows = rows_of(extents, gap)
    assert len(rows) == len(extents)
    for k, (begin, end) in enumerate(extents):
        for j in range(k):
            if rows[j] == rows[k]:
                assert extents[j][1] + gap <= begin or end + gap <= extents[j][0]
        # Every row above had no room.
        for above in range(rows[k]):
            assert any(
                rows[j] == above and not (extents[j][1] + gap <= begin or end + gap <= extents[j][0]) for j in range(k)
            )


def test_everything_of_a_clip_is_there_once():
    one = clip("a")
    bars = bars_of(one, {})
    counts = {lane: sum(bar.lane == lane for bar in bars) for lane in LANES}
    turns = [turn for row in one.dialogues for turn in row.turns]
    assert counts == {
        "events": sum(row.label != "video_start" for row in one.events),
        "questions": len(one.questions),
        "talk": len(turns),
    }
    assert {(bar.at_ns, bar.text) for bar in bars if bar.lane == "talk"} == {
        (turn.start_ns, turn.text) for turn in turns
    }
    for row in one.questions:
        (bar,) = [
            each
            for each in bars
            if each.kind == "question" and each.text.startswith(f"{row.question} → ") and each.at_ns == row.ask_ns
        ]
        assert bar.text.endswith(row.answers[-1].text)
        assert [(span.start_ns, span.end_ns) for span in bar.spans[1:]] == [
            (answer.window_start_ns, answer.window_end_ns) for answer in row.answers
        ]
        assert bar.ends_ns == max(row.ask_ns, *(answer.window_end_ns for answer in row.answers))
    keys = [(LANES.index(bar.lane), bar.at_ns) for bar in bars]
    assert keys == sorted(keys)
    assert not any(bar.left_out for bar in bars)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=2).filter(backwards_once), st.integers(0, 20))
def test_a_record_is_left_out_or_it_is_there(operations, seed):
    try:
        found = made(*operations, seed=seed)
    except AugmentError:
        return
    for name in dict.fromkeys(piece.source for piece in found.view.pieces):
        one = next(each for each in (clip("a"), clip("b")) if each.video.id == name)
        gone = left_out(found, one)
        own = found.clip
        kept = {each for row in (*own.events, *own.questions, *own.dialogues) for each in row.provenance.inputs}
        events = [row for row in one.events if row.label != "video_start"]
        for row in (*events, *one.questions, *one.dialogues):
            assert (row.id in gone) != (row.id in kept)
        assert all(gone.values())
        bars = bars_of(one, gone)
        assert sum(bool(bar.left_out) for bar in bars if bar.lane == "questions") == sum(
            row.id in gone for row in one.questions
        )


def test_an_answer_is_left_out_with_its_question():
    found = made(Crop(least=0.3, most=0.4))
    gone = left_out(found, clip("a"))
    (talk,) = clip("a").dialogues
    bars = {(bar.at_ns, bar.text): bar for bar in bars_of(clip("a"), gone) if bar.lane == "talk"}
    asked = {turn.id for turn in talk.turns if turn.id in gone and turn.role == "user"}
    assert asked
    for turn in talk.turns:
        if turn.id in asked or turn.trigger_ref in asked:
            assert bars[turn.start_ns, turn.text].left_out


def test_what_an_operation_keeps_is_not_said_to_be_gone():
    found = made(Speed(low=1.0, high=1.0))
    assert left_out(found, clip("a")) == {}


@settings(max_examples=examples(60), deadline=None)
@given(views(), st.integers(1, 40))
def test_links_join_what_the_view_joins(view, every):
    every_ns = every * NS_PER_S // 20
    for piece, links in zip(view.pieces, links_of(view, every_ns=every_ns), strict=True):
        assert links.source == piece.source
        assert [above for above, _ in links.ends] == [float(side) for side in piece.span]
        low, high = links.ends
        for above, below in (*links.ends, *links.bends, *links.even):
            assert low[0] - 1 <= above <= high[0] + 1
            assert abs(float(piece.exact(min(max(round(above), piece.span[0]), piece.span[1]))) - below) <= 8
        assert all(above % every_ns == 0 for above, _ in links.even)
        assert len(links.bends) == len(piece.time_map.knots) - 2


def test_a_whole_video_is_joined_straight():
    (links,) = links_of(View.whole("a", steady(3.0)))
    assert links.bends == ()
    assert [above for above, _ in links.even] == [0.0, 1e9, 2e9, 3e9]
    assert all(above == below for above, below in (*links.ends, *links.even))


def test_a_bar_has_words():
    with pytest.raises(AugmentError, match="expected words at an instant"):
        Bar(lane="events", kind="event", at_ns=0, spans=(Span(start_ns=0, end_ns=1),), text="")
    with pytest.raises(AugmentError, match="expected words at an instant"):
        Bar(lane="events", kind="event", at_ns=-1, spans=(), text="x")
