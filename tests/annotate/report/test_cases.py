"""The worst disagreements: in their order, with what each said, and pictures of the frames in dispute."""

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from annotate.disputes import disputes
from annotate.report import stills
from annotate.report.build import write_report
from annotate.report.cases import cases_of, clipped
from annotate.report.settings import PageConfig
from annotate.standing import finished
from annotate.tasks import Question, QuestionVerdict, Sheet, Work
from datasets_build.core.clock import format_ns
from tests.annotate.people import S, dialogue, dialogue_item, done, item, turn
from tests.annotate.report.folders import (
    FRAME,
    events_round,
    filmed_round,
    make,
    mark,
    numbered,
    qa_round,
    reading,
)
from tests.annotate.report.pages import page_of
from tests.drawn import frame_number

CONFIG = PageConfig()


def cases(round_, **changes):
    return cases_of(round_, finished(round_, reading()), CONFIG.model_copy(update=changes))


def page(round_, **changes):
    path = write_report(
        round_, round_.folder / "report.html", reading=reading(), config=CONFIG.model_copy(update=changes)
    )
    return page_of(path)


def number_on(uri):
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
        return frame_number(np.asarray(picture.convert("RGB")))


def seen(point):
    """Time and number of each picture."""
    return [(shot.time, number_on(shot.src)) for shot in point.shots]


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Two windows: in the first people are half a second apart, in the second they see different things."""
    said = [
        {"a1": [mark("s0", 5, 20)], "a2": [mark("s0", 12, 30)]},
        {"a1": [mark("x", 60, 75, "stir", note="slowly")], "a2": [mark("y", 61, 75, "taste")], "a3": None},
    ]
    return filmed_round(tmp_path_factory.mktemp("filmed"), said=said)


def test_worst_first_as_the_disputes_have_it(tmp_path):
    round_, works = events_round(tmp_path, 14)
    expected = disputes(round_.items, works)
    found = cases(round_)
    assert found.total == len(expected) > 10
    assert [case.key for case in found.shown] == [one.key for one in expected[:10]]
    scores = [case.score for case in found.shown]
    assert scores == [one.score for one in expected[:10]] == sorted(scores, reverse=True)
    root = page(round_, most_disputes=3)
    heads = [node.text for node in root.one("section", id="disagreements").all("h3")]
    assert [head.split(".")[0] for head in heads] == ["1", "2", "3"]
    assert [f"{one.score:.3f} apart" in head for one, head in zip(expected, heads, strict=False)] == [True] * 3
    assert f"and {len(expected) - 3} more items" in root.text
    assert f"3 of {len(expected)} items" in root.text


def test_all_points_are_shown_or_counted(tmp_path):
    round_, works = events_round(tmp_path, 6)
    by_key = {one.key: one for one in disputes(round_.items, works)}
    for case in cases(round_, most_points=2, most_rows=1).shown:
        reasons = by_key[case.key].reasons
        assert [(point.decide, point.score) for point in case.points] == [(r.decide, r.score) for r in reasons[:2]]
        assert list(case.others) == [reason.decide for reason in reasons[2:3]]
        assert len(case.points) + len(case.others) + case.left_out == len(reasons)


def test_pictures_of_a_label_in_dispute(filmed):
    case = cases(filmed).shown[0]
    assert (case.key, case.people, case.no_pictures) == ("f1", ("a1", "a2", "a3"), "")
    (point,) = case.points
    assert "which of these happens" in point.decide
    assert seen(point) == [(format_ns(frame * FRAME), frame) for frame in (60, 61, 75)]
    assert [shot.captions for shot in point.shots] == [
        ("a1: “\u2068stir\u2069” begins",),
        ("a2: “\u2068taste\u2069” begins",),
        ("a1: “\u2068stir\u2069” is over", "a2: “\u2068taste\u2069” is over"),
    ]
    assert [(said.by, said.lines) for said in point.said] == [
        ("shown", ("no such mark; has “\u2068pour\u2069” 0:02.200 to 0:02.800",)),
        ("a1", ("“\u2068stir\u2069” 0:02.400 to 0:03.000; note: \u2068slowly\u2069",)),
        ("a2", ("“\u2068taste\u2069” 0:02.440 to 0:03.000",)),
        ("a3", ("the clip cannot be judged",)),
    ]
    assert point.shots[0].alt == "The clip at 0:02.400: a1: “\u2068stir\u2069” begins"


def test_pictures_of_a_boundary_in_dispute(filmed):
    case = cases(filmed).shown[1]
    (point,) = case.points
    assert "when does “pour” begin" in point.decide
    assert [frame for _, frame in seen(point)] == [5, 12, 20, 30]
    assert point.close_up is not None
    assert point.close_up.ticks[0] == "0:00.000"
    assert [row.name for row in case.timeline.rows] == ["shown", "a1", "a2"]
    (shown,), (first,), (second,) = (row.bars for row in case.timeline.rows)
    assert (first.left, first.width) == (shown.left, shown.width) == (10.0, 30.0)
    assert (second.left, second.width) == (24.0, 36.0)
    (band,) = case.timeline.bands
    assert (band.left, band.width) == (10.0, 50.0)


def test_few_pictures_have_a_moment_before_and_after(tmp_path):
    said = [{"a1": [mark("s0", 5, 20), mark("x", 30, 30, "stir", is_point=True)], "a2": [mark("s0", 5, 20)]}]
    (case,) = cases(filmed_round(tmp_path, spans=((0, 50),), said=said)).shown
    shots = case.points[0].shots
    assert [number_on(shot.src) for shot in shots] == [18, 30, 43]
    assert [shot.captions[0] for shot in shots] == ["a moment before", "a1: “\u2068stir\u2069”", "a moment after"]
    assert [shot.time for shot in shots] == ["0:00.700", "0:01.200", "0:01.700"]


def test_a_clip_that_half_cannot_judge(tmp_path):
    round_ = filmed_round(tmp_path, spans=((0, 50),), said=[{"a1": [mark("s0", 5, 20)], "a2": None}])
    (case,) = cases(round_).shown
    (point,) = case.points
    assert [frame for _, frame in seen(point)] == [9, 25, 42]
    assert [(said.by, said.lines[0]) for said in point.said] == [
        ("a1", "the clip can be judged"),
        ("a2", "the clip cannot be judged"),
    ]
    assert point.close_up is None
    assert case.timeline.rows[2].bars[0].words == "cannot be judged"


def test_marks_beyond_the_window_show_nothing_beyond_it(tmp_path):
    said = [{"a1": [mark("x", 10, 95, "stir")], "a2": [mark("s0", 55, 70)]}]
    (case,) = cases(filmed_round(tmp_path, spans=((50, 100),), said=said)).shown
    for point in case.points:
        for shot in point.shots:
            assert 50 <= number_on(shot.src) < 100
    bars = [bar for row in case.timeline.rows for bar in row.bars]
    assert all(0 <= bar.left <= bar.left + bar.width <= 100 for bar in bars)


@pytest.mark.parametrize("most", [0, 1, 4, 9])
def test_no_more_pictures_than_asked_for_the_worst_points_first(tmp_path, most):
    round_, _ = events_round(tmp_path, 4)
    for case in cases(round_, most_pictures=most).shown:
        counts = [len(point.shots) for point in case.points]
        assert sum(counts) <= most
        assert most < len(counts) or min(counts) >= 1
        assert most > 1 or counts[0] == most
        assert case.no_pictures == ("of the clip that people saw there is no file" if most else "")


def test_a_missing_proxy_is_told_and_the_page_is_made(tmp_path):
    round_, _ = events_round(tmp_path, 3)
    section = page(round_).one("section", id="disagreements")
    assert "no pictures: of the clip that people saw there is no file" in section.text
    assert {node.text for node in section.with_class("none")} == {"no picture"}
    assert list(section.all("img")) == []


def test_the_page_shows_what_the_case_says(filmed):
    root = page(filmed)
    articles = list(root.all("article"))
    for article, case in zip(articles, cases(filmed).shown, strict=True):
        shots = [shot for point in case.points for shot in point.shots]
        assert [node.attrs["src"] for node in article.all("img")] == [shot.src for shot in shots]
        assert [node.attrs["alt"] for node in article.all("img")] == [shot.alt for shot in shots]
        assert [node.text for node in article.with_class("when")] == [shot.time for shot in shots]
        heads = [next(row.all("th")).text for body in article.all("tbody") for row in body.all("tr")]
        assert heads == [said.by for point in case.points for said in point.said]
        drawn = [node for node in article.all("svg") if node.attrs.get("role") == "img"]
        lines = [case.timeline, *(point.close_up for point in case.points if point.close_up)]
        assert [node.attrs["aria-label"] for node in drawn] == [line.alt for line in lines]
        for node, line in zip(drawn, lines, strict=True):
            titles = [bare(title.text) for title in node.all("title")]
            assert titles == [bare(bar.title) for row in line.rows for bar in row.bars]


def bare(text):
    return re.sub(r"[\s\u2068\u2069]", "", text)


def test_the_truth_of_gold_is_shown_beside(tmp_path):
    round_, _ = events_round(tmp_path, 6, gold=6)
    case = cases(round_).shown[0]
    assert case.is_gold
    assert case.timeline.rows[-1].name == case.points[0].said[-1].by == "truth"
    plain, _ = events_round(tmp_path, 6, gold=0, name="r2")
    assert all(row.name != "truth" for case in cases(plain).shown for row in case.timeline.rows)


def test_questions(tmp_path):
    question = Question(id="q", question="What <i>now</i>?", ask_ns=2 * S, answer="tea", answer_ns=3 * S)
    one = item("k", Sheet(kind="qa", questions=(question,)))
    fixed = QuestionVerdict(id="q", verdict="fix", answer="milk", ask_ns=S, answer_ns=5 * S, quality=2)
    works = [
        done("k", "a1", Work(kind="qa", questions=(fixed,))),
        done("k", "a2", Work(kind="qa", questions=(QuestionVerdict(id="q", verdict="reject"),))),
        done("k", "a3", Work(kind="qa")),
    ]
    round_ = make(tmp_path, [one], numbered(works))
    (case,) = cases(round_).shown
    (point,) = case.points
    assert [(said.by, said.lines) for said in point.said] == [
        ("shown", ("answered “\u2068tea\u2069” at 0:03.000",)),
        ("a1", ("fix", "“\u2068milk\u2069”", "asked at 0:01.000", "answered at 0:05.000", "rated 2 of 5")),
        ("a2", ("reject",)),
        ("a3", ("nothing",)),
    ]
    assert [shot.captions[0] for shot in point.shots] == [
        "a1: asked",
        "shown: asked",
        "shown: answered",
        "a1: answered",
    ]
    assert "What <i>now</i>?" in page(round_).one("article").text


def test_turns(tmp_path):
    works = [
        done("k", "a1", dialogue(turn("k/0"), turn("k/1", "fix", text="good day"))),
        done("k", "a2", dialogue(turn("k/0"), turn("k/1", "reject", timing="too_late"))),
    ]
    (case,) = cases(make(tmp_path, [dialogue_item("k", "hi", "hello")], numbered(works))).shown
    (point,) = case.points
    assert [(said.by, said.lines) for said in point.said] == [
        ("shown", ("assistant: “\u2068hello\u2069”",)),
        ("a1", ("fix", "“\u2068good day\u2069”")),
        ("a2", ("reject", "too late")),
    ]
    assert [shot.captions[0] for shot in point.shots] == [
        "a moment before",
        "the turn begins",
        "the turn ends",
        "a moment after",
    ]


def test_a_round_of_questions_has_its_page(tmp_path):
    round_, works = qa_round(tmp_path)
    expected = disputes(round_.items, works)
    root = page(round_)
    assert len(list(root.all("article"))) == min(10, len(expected)) > 3


@given(text=st.text(max_size=50), letters=st.integers(10, 60))
def test_clipped(text, letters):
    found = clipped(text, letters)
    if len(text) <= letters:
        assert found == text
    else:
        assert found == f"\u2068{text[:letters]}\u2069… and {len(text) - letters} more characters"


def test_pictures_of_noise_still_make_a_page_that_mail_takes():
    assert CONFIG.most_disputes * CONFIG.most_pictures * stills._MOST_BYTES * 4 // 3 < 2_500_000


def test_colours_tell_labels_apart(filmed):
    legend = cases(filmed).shown[0].legend
    assert [one.label for one in legend] == ["pour", "stir", "taste"]
    hues = sorted(one.hue for one in legend)
    assert min(b - a for a, b in zip(hues, [*hues[1:], hues[0] + 360], strict=True)) > 60
