"""Absolute times are found anywhere in a text, and innocent numbers are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core import wording
from datasets_build.core.wording import absolute_time_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("at 0:12 the ball falls", "0:12"),
        ("meet me at 10:30", "10:30"),
        ("it takes 3 s to fall", "3 s"),
        ("12s", "12s"),
        ("after 12.5 seconds he stops", "12.5 seconds"),
        ("wait 2 Minutes", "2 Minutes"),
        ("in 250ms", "250ms"),
        ("see frame 300", "frame 300"),
        ("Frame #7 shows it", "Frame #7"),
        ("timestamp 99", "timestamp 99"),
        ("about 1 hour later", "1 hour"),
        ("It happens in the middle of the text, 45 secs in, and goes on.", "45 secs"),
        ("the 10-second mark", "10-second"),
        ("he stops after ten seconds", "after ten seconds"),
        ("at the twenty-five second mark", "at the twenty-five second"),
        ("in the first two minutes", "first two minutes"),
        ("look at minute three", "minute three"),
        ("at 5 pm", "5 pm"),
        ("it is 7 o'clock", "7 o'clock"),
        ("红球在第3秒停下", "第3秒"),
        ("两分钟后他离开", "两分钟"),
        ("三分 二十秒时", "三分 二十秒"),
        ("见第三百帧", "第三百帧"),
        ("下午五点钟", "五点钟"),
        ("what happened three seconds in?", "three seconds in"),
        ("what happened a quarter of a minute in?", "a quarter of a minute in"),
        ("he falls a minute into the video", "a minute into the video"),
        ("at quarter past two", "quarter past two"),
        ("since half past 3", "half past 3"),
        ("in the 45th second", "45th second"),
        ("at 1h02", "1h02"),
        ("at 0'12''", "0'12''"),
        ("at t=12", "t=12"),
        ("at PTS 90000", "PTS 90000"),
        ("what happened ０：１２?", "０：１２"),
        ("在视频的第十二个瞬间（00：12）发生了什么？", "00：12"),
        ("在00:12时", "00:12"),
        ("at 40% of the video", "40% of the video"),
        ("halfway through the video", "halfway through the video"),
        ("half way into this clip", "half way into this clip"),
        ("between seconds 3 and 5", "between seconds 3"),
        ("in frames 30 to 60", "in frames 30"),
        ("at minute 2", "at minute 2"),
        ("What happened at 12.5?", "at 12.5"),
        ("在一刻钟的时候发生了什么？", "一刻钟"),
        ("after twelve hundred milliseconds", "twelve hundred milliseconds"),
        ("half a minute ago", "half a minute ago"),
        ("It fell three seconds ago.", "three seconds ago"),
    ],
)
def test_times_are_found_anywhere(text, found):
    assert absolute_time_in(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "So far, 3.",
        "Two seconds later he falls.",
        "The second shot begins.",
        "Player 10 passes to player 7.",
        "The score is 3 to 2.",
        "A frame of wood.",
        "He wears shirt number 12 and sits down.",
        "It was 1999 and sunny.",
        "He came second, one of three.",
        "The second one enters.",
        "Every last minute counts.",
        "他等了一会儿，有一点累。",
        "He stays three seconds in the water.",
        "A second in command enters.",
        "The second half past the break is better.",
        "He cuts the cake in half.",
        "Half of the ball is red.",
        "A quarter of the pizza is gone.",
        "He is halfway through the door.",
        "He drinks 40% of the glass.",
        "She runs at 12.5 km an hour.",
        "He is 6'2\" tall.",
        "In frames of wood hang two pictures.",
        "The 45th runner comes in.",
        "In the last minutes 3 players fell.",
        "他拿了一半的蛋糕。",
        "他得了第三分。",
    ],
)
def test_other_numbers_are_not_times(text):
    assert absolute_time_in(text) is None


@given(st.text(alphabet="abc xyz.,!", max_size=30), st.integers(0, 9999), st.sampled_from(["s", "seconds", "min"]))
def test_a_planted_time_is_found_wherever_it_stands(text, number, unit):
    # A search that only looks at the front of a text misses most of them.
    assert absolute_time_in(f"{text} {number} {unit} {text}") is not None


PIECES = (
    *("at", "after", "until", "first", "twenty", "five", "seconds", "minute", "hour", "frame", "timestamp", "number"),
    *(
        "12",
        "3",
        "0:12",
        "5 pm",
        "o'clock",
        "s",
        "ms",
        "第",
        "三",
        "分",
        "秒",
        "帧",
        "点钟",
        "the",
        "a dog",
        "一点",
        "MINUTES",
        "٣",
    ),
)


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from([" ", "", "-"]))
def test_the_quick_look_hides_no_time(pieces, between):
    # Most sentences are let go by a glance; whatever the whole search would find must pass it.
    text = between.join(pieces)
    found = wording._CLOCK.search(text)
    assert absolute_time_in(text) == (found.group(0) if found else None)
