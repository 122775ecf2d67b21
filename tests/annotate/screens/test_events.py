"""The screen for events: what it looks like, what is sent, what comes back."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.frames import span_to_frames
from annotate.screens import events
from annotate.screens.regions import ScreenError
from annotate.tasks import Mark, Sheet, Work
from datasets_build.core.clock import Span
from tests.annotate.screens import captured
from tests.annotate.screens.answers import region, result_of
from tests.annotate.screens.captured import CLOCK, EVENTS, WINDOW, at
from tests.annotate.screens.windows import inside, item_of, watched
from tests.laws import examples

LABELS = st.sampled_from(["approach", "put down", "$5", 'a "b" & <c>', "日本"])
NOTES = st.sampled_from(["", "dark", "two\nlines", 'a "b" & <c> $x'])
SURE = st.sampled_from(["sure", "unsure", None])


def frames_of(window, mark):
    return span_to_frames(window, Span(start_ns=mark.start_ns, end_ns=mark.end_ns))


@st.composite
def sheets(draw, window):
    """Events that meet a window somewhere, on frames of the source or anywhere between, some cut by the window."""
    marks = []
    for place in range(draw(st.integers(0, 4))):
        is_point = draw(st.booleans())
        if is_point:
            start = end = draw(st.integers(window.start_ns, window.end_ns))
        else:
            start = draw(st.integers(max(0, window.start_ns - 10**9), window.end_ns - 1))
            end = draw(st.integers(max(start, window.start_ns) + 1, window.end_ns + 10**9))
        marks.append(
            Mark(
                id=f"e{place}",
                label=draw(LABELS),
                start_ns=start,
                end_ns=end,
                is_point=is_point,
                note=draw(NOTES),
                confidence=draw(SURE),
            )
        )
    return Sheet(kind="events", marks=tuple(marks))


@st.composite
def works(draw, clock, item):
    """What somebody may do: leave, change, move at either end or both, delete, draw."""
    window, marks = item.window, []
    times = inside(clock, window)
    for asked in item.sheet.marks:
        deed = draw(st.sampled_from(["leave", "say", "start", "end", "both", "delete"]))
        if deed == "delete":
            continue
        said = {} if deed == "leave" else {"label": draw(LABELS), "note": draw(NOTES), "confidence": draw(SURE)}
        moved = _moved(draw, window, times, asked, deed) if deed in ("start", "end", "both") else None
        marks.append(asked.model_copy(update={**said, **(moved or {})}))
    new = [_new(draw, place, times) for place in range(draw(st.integers(0, 2)))]
    new.sort(key=lambda mark: (mark.start_ns, mark.end_ns, mark.id))
    return Work(kind="events", marks=(*marks, *new))


def _ends(draw, times):
    first = draw(st.integers(0, len(times) - 3))
    return times[first], times[draw(st.integers(first + 2, len(times) - 1))]


def _moved(draw, window, times, asked, deed):
    """New ends; one that lies on the frame where the old one was shown is the old one. None where they cannot be."""
    start, end = _ends(draw, times)
    first, last = frames_of(window, asked)
    if asked.is_point:
        stays = span_to_frames(window, Span(start_ns=start, end_ns=end))[0] == first
        return {"start_ns": asked.start_ns if stays else start, "end_ns": end, "is_point": False}
    # Of less than a frame the page shows no second end that could stay where it was.
    start = start if deed in ("start", "both") else asked.start_ns
    end = end if deed in ("end", "both") or first == last else asked.end_ns
    if end <= start:
        return None
    now = span_to_frames(window, Span(start_ns=start, end_ns=end))
    if now[0] == now[1]:
        return None
    return {
        "start_ns": asked.start_ns if now[0] == first else start,
        "end_ns": asked.end_ns if now[1] == last and (first < last or now[0] == first) else end,
    }


def _new(draw, place, times):
    is_point = draw(st.booleans())
    start, end = _ends(draw, times)
    return Mark(
        id=f"x{place}",
        label=draw(LABELS),
        start_ns=start,
        end_ns=start if is_point else end,
        is_point=is_point,
        note=draw(NOTES),
        confidence=draw(SURE),
    )


@given(watched(), st.data())
@settings(max_examples=examples(150), deadline=None)
def test_untouched_events_come_back_to_the_nanosecond(pair, data):
    clock, window = pair
    item = item_of(window, data.draw(sheets(window)))
    work = events.decode(list(events.encode(item).result), item, clock)
    assert work == Work(kind="events", marks=item.sheet.marks)


@given(watched(), st.data())
@settings(max_examples=examples(250), deadline=None)
def test_work_comes_back_as_it_was_done(pair, data):
    clock, window = pair
    item = item_of(window, data.draw(sheets(window)))
    work = data.draw(works(clock, item))
    assert events.decode(result_of(work, item), item, clock) == work


@given(watched(), st.data(), st.randoms())
@settings(max_examples=examples(50), deadline=None)
def test_the_order_of_regions_means_nothing(pair, data, random):
    clock, window = pair
    item = item_of(window, data.draw(sheets(window)))
    work = data.draw(works(clock, item))
    result = result_of(work, item)
    random.shuffle(result)
    assert events.decode(result, item, clock) == work


def test_what_is_sent_is_what_the_page_sends_back_untouched():
    sent = [
        {key: each[key] for key in ("id", "from_name", "to_name", "type", "value")}
        for each in captured.EVENTS_UNTOUCHED
    ]
    assert list(events.encode(EVENTS).result) == sent
    assert events.decode(captured.EVENTS_UNTOUCHED, EVENTS, CLOCK) == Work(kind="events", marks=EVENTS.sheet.marks)


def test_edits_in_the_page_come_back_as_what_was_meant():
    asked = EVENTS.sheet.marks
    work = events.decode(captured.EVENTS_EDITED, EVENTS, CLOCK)
    assert work.usable
    assert [mark.id for mark in work.marks] == [mark.id for mark in asked if mark.label != "ünï → ok"]
    marks = {mark.id: mark for mark in work.marks}
    assert marks[asked[0].id] == asked[0].model_copy(
        update={"end_ns": at(130), "note": 'hand is hidden & "dark"', "confidence": "unsure"}
    )
    assert marks[asked[2].id] == asked[2].model_copy(update={"label": "100%"})
    assert marks[asked[5].id] == asked[5].model_copy(update={"label": "a,b", "note": "typed but not added"})
    untouched = [mark for mark in asked if mark.id not in (asked[0].id, asked[2].id, asked[3].id, asked[5].id)]
    assert [marks[mark.id] for mark in untouched] == untouched


def test_bars_of_one_frame_that_somebody_drew_are_instants():
    result = captured.EVENTS_DRAWN[:-1]  # without the choice that the clip cannot be judged
    work = events.decode(result, captured.DRAWN, CLOCK)
    assert [(mark.id, mark.start_ns, mark.end_ns, mark.is_point) for mark in work.marks[3:]] == [
        ("7HNKsnDeHy", at(5), at(5), True),
        ("G36gOxXRwC", at(20), at(20), True),
    ]
    assert work.marks[0] == captured.DRAWN.sheet.marks[0].model_copy(update={"start_ns": at(18)})
    assert work.marks[1:3] == captured.DRAWN.sheet.marks[1:]


def test_of_a_clip_that_cannot_be_judged_nothing_else_counts():
    assert events.decode(captured.EVENTS_DRAWN, captured.DRAWN, CLOCK) == Work(kind="events", usable=False)


def one(start, end, **more):
    return item_of(WINDOW, Sheet(kind="events", marks=(Mark(id="e", label="a", start_ns=start, end_ns=end, **more),)))


def bar(start, end, id_="e"):
    return region(
        id_, "events", "video", "timelinelabels", {"ranges": [{"start": start, "end": end}], "timelinelabels": ["a"]}
    )


def test_an_end_that_the_window_cuts_stays_where_it_is_until_somebody_moves_it():
    window = WINDOW.model_copy(update={"start_ns": at(100), "knots": WINDOW.knots})
    start, end = at(50), WINDOW.end_ns + 5 * 10**9
    item = item_of(window, Sheet(kind="events", marks=(Mark(id="e", label="a", start_ns=start, end_ns=end),)))
    ((left, right),) = [frames_of(window, mark) for mark in item.sheet.marks]
    assert (left, right) == (1, 1198)
    (mark,) = events.decode([bar(left, right)], item, CLOCK).marks
    assert (mark.start_ns, mark.end_ns) == (start, end)
    (mark,) = events.decode([bar(201, right)], item, CLOCK).marks
    assert (mark.start_ns, mark.end_ns) == (at(200), end)
    (mark,) = events.decode([bar(left, 300)], item, CLOCK).marks
    assert (mark.start_ns, mark.end_ns) == (start, at(300))


def test_a_short_stretch_that_is_moved_stays_one_and_an_instant_that_is_drawn_out_becomes_one():
    short, instant = one(at(10), at(11)), one(at(10), at(10), is_point=True)
    (mark,) = events.decode([bar(15, 15)], short, CLOCK).marks
    assert (mark.start_ns, mark.end_ns, mark.is_point) == (at(14), at(15), False)
    (mark,) = events.decode([bar(15, 15)], instant, CLOCK).marks
    assert (mark.start_ns, mark.end_ns, mark.is_point) == (at(14), at(14), True)
    (mark,) = events.decode([bar(11, 20)], instant, CLOCK).marks
    assert (mark.start_ns, mark.end_ns, mark.is_point) == (at(10), at(20), False)
    (mark,) = events.decode([bar(6, 11)], instant, CLOCK).marks
    assert (mark.start_ns, mark.end_ns, mark.is_point) == (at(5), at(11), False)


def test_a_stretch_that_shrinks_to_one_frame_becomes_an_instant():
    (mark,) = events.decode([bar(15, 15)], one(at(10), at(30)), CLOCK).marks
    assert (mark.start_ns, mark.end_ns, mark.is_point) == (at(14), at(14), True)


def test_an_instant_at_the_very_end_of_the_video_is_on_the_last_frame():
    item = one(WINDOW.end_ns, WINDOW.end_ns, is_point=True)
    (sent,) = events.encode(item).result
    assert sent["value"]["ranges"] == [{"start": 1198, "end": 1198}]
    assert events.decode([sent], item, CLOCK).marks == item.sheet.marks


@pytest.mark.parametrize(
    ("start", "end", "more"),
    [
        (WINDOW.end_ns, WINDOW.end_ns + 10, {}),
        (WINDOW.end_ns + 1, WINDOW.end_ns + 1, {"is_point": True}),
        (at(5), at(4), {}),
        (at(5), at(6), {"is_point": True}),
    ],
)
def test_an_event_that_the_window_cannot_show_is_refused(start, end, more):
    with pytest.raises(ScreenError, match=rf"item k+, event e: found \[{start}, {end}\) ns, expected a part of it in"):
        events.encode(one(start, end, **more))


def test_an_event_that_ends_where_the_window_starts_is_refused():
    window = WINDOW.model_copy(update={"start_ns": at(100)})
    item = item_of(window, one(at(50), at(100)).sheet)
    with pytest.raises(ScreenError, match="expected a part of it in"):
        events.encode(item)


def test_two_events_of_one_id_are_refused():
    mark = one(at(1), at(9)).sheet.marks[0]
    with pytest.raises(ScreenError, match="found event e twice"):
        events.encode(item_of(WINDOW, Sheet(kind="events", marks=(mark, mark))))


def test_a_result_with_flaws_is_refused_with_the_first_and_their_number():
    with pytest.raises(
        ScreenError, match=r"region e, events, end: found 1199, expected a whole number from 1 to 1198 \(and 1 more\)"
    ):
        events.decode([bar(3, 1199), bar(9, 3, "f")], one(at(1), at(9)), CLOCK)


def test_the_data_say_which_item_and_rate():
    task = events.encode(EVENTS)
    assert task.data == {
        "item_key": EVENTS.key,
        "video": f"/data/local-files/?d=proxies/{WINDOW.proxy_sha256}.mp4",
        "fps": 30000 / 1001,
    }
    assert events.encode(EVENTS, video="/elsewhere.mp4").data["video"] == "/elsewhere.mp4"


def shown_labels(config):
    return [(each.get("value"), each.get("background")) for each in ET.fromstring(config).iter("Label")]


def test_labels_of_any_text_stand_in_the_configuration_as_they_are():
    labels = ['a "b"', "x & y", "<b>c</b>", "it's", "日本 → ok", "{{ x }} {% raw %}", "a,b", "100%"]
    assert [text for text, _ in shown_labels(events.config(labels))] == labels


def test_no_field_of_a_task_can_get_into_a_label():
    # Label Studio takes the word behind a dollar for a field's name; behind the unseen sign it does not.
    assert [text for text, _ in shown_labels(events.config(["$fps", "costs $5"]))] == ["$\u2060fps", "costs $\u20605"]
    result = [
        region(
            "e",
            "events",
            "video",
            "timelinelabels",
            {"ranges": [{"start": 2, "end": 9}], "timelinelabels": ["$\u2060fps"]},
        )
    ]
    assert events.decode(result, one(at(1), at(9)), CLOCK).marks[0].label == "$fps"


def test_a_hundred_labels_have_a_hundred_colours_dark_enough_to_be_read():
    colours = [colour for _, colour in shown_labels(events.config(captured.MANY))]
    parts = [[int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)] for colour in colours]
    assert len(set(colours)) == 100
    assert (
        min(max(abs(a - b) for a, b in zip(p, q, strict=True)) for n, p in enumerate(parts) for q in parts[:n]) > 0.01
    )
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in part] for part in parts]
    # The contrast of WCAG 2 to white; 4.5 is asked for text.
    assert min(1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05) for r, g, b in linear) > 4.4


def test_neighbours_differ_plainly():
    parts = [[int(events.colour(n)[k : k + 2], 16) for k in (1, 3, 5)] for n in range(12)]
    assert min(sum(abs(a - b) for a, b in zip(p, q, strict=True)) for n, p in enumerate(parts) for q in parts[:n]) > 30


@pytest.mark.parametrize("label", ["", "  ", " a", "a ", "a\nb", "a\tb", "\x00", "a\ud800", "\u2060a", "\ufffe"])
def test_labels_that_cannot_be_shown_are_refused(label):
    with pytest.raises(ScreenError, match=r"label 1: found .*, expected text without"):
        events.config(["good", label])


def test_no_labels_and_a_label_twice_are_refused():
    with pytest.raises(ScreenError, match="labels: found none"):
        events.config([])
    with pytest.raises(ScreenError, match="label 2: found 'a' a second time"):
        events.config(["a", "b", "a"])


def test_each_control_of_the_code_is_one_of_the_configuration():
    tree = ET.fromstring(events.config(["a"]))
    types = {"TimelineLabels": "timelinelabels", "TextArea": "textarea", "Choices": "choices"}
    found = {each.get("name"): (types[each.tag], each.get("toName")) for each in tree.iter() if each.get("toName")}
    assert found == {name: (control.type, control.to_name) for name, control in events.CONTROLS.items()}
    video = next(tree.iter("Video"))
    assert (video.get("name"), video.get("value"), video.get("framerate")) == ("video", "$video", "$fps")
    choices = {each.get("name"): [choice.get("value") for choice in each] for each in tree.iter("Choices")}
    assert choices == {"confidence": list(events.SURENESS), "clip": ["usable", "not usable"]}
