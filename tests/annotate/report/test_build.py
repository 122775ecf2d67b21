"""The page of a round: every number is the figures', nothing of people's text is markup, and it is the same twice."""

import json
import re
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.agreement.figures import figures
from annotate.closing import Closed
from annotate.errors import AnnotateError
from annotate.journal import Cause
from annotate.report.build import lasting, many, write_report
from annotate.report.settings import PageConfig
from annotate.report.words import event_group, group_of, written
from annotate.standing import finished, status
from tests.annotate.people import done, events
from tests.annotate.report import folders
from tests.annotate.report.folders import close, events_round, filmed_round, flag, make, mark, qa_round, reading, row
from tests.annotate.report.pages import numbers, page_of, parse, table
from tests.annotate.rounds_of_items import tree
from tests.laws import examples

QUICK = PageConfig().model_copy(update={"agreement": PageConfig().agreement.model_copy(update={"resamples": 40})})
NASTY = "</title><script>alert('x')</script>\"' onload=alert(1) & &amp; {{ 7 * 7 }} \u202eright\u05d0 🎬 <!-- ]]>"


def page(round_, config=QUICK):
    return page_of(write_report(round_, round_.folder / "report.html", reading=reading(), config=config))


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A round of events with three people, one of them lazy, its page and its figures."""
    root = tmp_path_factory.mktemp("rounds")
    round_, _ = events_round(root, 12, gold=4, people=(*folders.PEOPLE, folders.LAZY))
    found = figures(round_.items, finished(round_, reading()), QUICK.agreement)
    return round_, page(round_), found


def assert_same(cells, line):
    """Cells of a table's row say what a figure says."""
    figure = line.figure
    text = " ".join(cell.text for cell in cells)
    expected = [one for one in (figure.value, figure.low, figure.high) if one is not None]
    assert [number for cell in cells for number in numbers(cell)] == expected
    assert all(written(value, line.scale) in text for value in expected)
    assert f"{figure.n:,}" in text
    if figure.value is None:
        assert f"not measured: {figure.reason}" in text
    else:
        assert figure.low is not None or f"no interval: {figure.reason}" in text


def assert_group(root, caption, group):
    rows = table(root, caption)
    assert list(rows) == [line.name for line in group.lines]
    for line in group.lines:
        assert_same(rows[line.name], line)
        assert f"{line.figure.n:,} {line.figure.unit} in {many(line.figure.items, 'item')}" in rows[line.name][-1].text


def assert_labels(root, caption, group):
    if not group.labels:
        assert "no label was marked by two sides" in root.text
        return
    rows = table(root, caption)
    assert list(rows) == [line.label for line in group.labels]
    for line in group.labels:
        for cell, expected in zip(rows[line.label], line.cells, strict=True):
            assert_same([cell], expected)


def test_agreement_is_the_figures(known):
    _, root, found = known
    between, shown = group_of(found.between), event_group(found.shown)
    assert_group(root, "Agreement between people", between)
    assert_labels(root, "Agreement between people by label", between)
    assert_group(root, "People against what they were shown", shown)
    assert_labels(root, "People against what they were shown, by label", shown)
    assert len(between.lines) == len(QUICK.agreement.ious) + 8
    assert found.between.events.f1[1].figure.value > 0.3


def test_people_are_the_figures(known):
    _, root, found = known
    overview = table(root, "People by pseudonym")
    assert list(overview) == ["a1", "a2", "a10"] == [one.annotator for one in found.people]
    for one in found.people:
        name = one.annotator
        assert [cell.text for cell in overview[name][:2]] == [str(one.items), str(one.gold)]
        for cell, sign in zip(overview[name][-2:], one.signs[:2], strict=True):
            assert numbers(cell)[0] == sign.own.value
        for comparison, measures in (("gold", one.against_gold), ("others", one.against_others)):
            group = group_of(measures)
            assert_group(root, f"{name} against {comparison}", group)
            assert_labels(root, f"{name} against {comparison}, by label", group)
            cell = overview[name][5 if comparison == "gold" else 6]
            assert_same([cell], group.lines[1])


def test_signs_are_the_figures_and_no_verdicts(known):
    _, root, found = known
    for one in found.people:
        rows = table(root, f"Signs of {one.annotator}")
        for cells, sign in zip(rows.values(), one.signs, strict=True):
            for cell, figure in zip(cells, (sign.own, sign.others, sign.against), strict=False):
                assert numbers(cell) == [n for n in (figure.value, figure.low, figure.high) if n is not None]
                assert f"n {figure.n:,}" in cell.text
            assert cells[3].text == f"{'raised' if sign.raised else 'no'} raised when: {sign.rule}"
    lazy = found.people[-1]
    assert lazy.is_worth_a_look
    assert [node.text for node in root.all("h3") if "worth a look" in node.text] == ["a10 worth a look"]
    assert "Signs are no verdicts" in root.text


def test_every_number_of_the_figures_is_on_the_page(known):
    _, root, found = known

    def values(node):
        if isinstance(node, dict):
            if {"value", "low", "high", "reason"} <= node.keys():
                yield from (node[name] for name in ("value", "low", "high") if node[name] is not None)
            else:
                yield from (one for child in node.values() for one in values(child))
        elif isinstance(node, list):
            yield from (one for child in node for one in values(child))

    expected = set(values(json.loads(found.model_dump_json())))
    assert len(expected) > 100
    assert expected == set(numbers(root))


def test_questions_are_the_figures(tmp_path):
    round_, _ = qa_round(tmp_path)
    found = figures(round_.items, finished(round_, reading()), QUICK.agreement)
    root = page(round_)
    assert_group(root, "Agreement between people", group_of(found.between))
    for one in found.people:
        assert_group(root, f"{one.annotator} against gold", group_of(one.against_gold))
        assert_group(root, f"{one.annotator} against others", group_of(one.against_others))
    overview = table(root, "People by pseudonym")
    assert numbers(overview["a1"][6])[0] == found.people[0].against_others.judgements.same_verdict.value
    assert "by label" not in root.text


def test_the_head_says_what_the_round_is(known):
    round_, root, _ = known
    made = round_.manifest
    about = root.one("section", id="round").text
    for text in (made.data, made.made_at, made.config_sha256, made.items_sha256, made.model_version, "all windows"):
        assert text in about
    assert "overlap 2 people an item" in about
    assert "gold 4 items" in about
    assert "seed 3" in about
    assert "It is open" in about
    assert root.one("h1").text == "Round r1"
    assert "open to pulls" in root.one("header").text
    assert "resamples 40" in about
    assert "pair_iou 0.3" in about


def test_a_closed_round_shows_its_checksums(tmp_path):
    round_, _ = events_round(tmp_path, 3, sample=3, parent_round="r0")
    closed = close(round_)
    assert isinstance(closed, Closed)
    about = page(round_).one("section", id="round").text
    for text in (closed.sha256, closed.md5, closed.journal_sha256, "7 tasks", "9 annotations", "3 windows", "r0"):
        assert text in about
    assert "none between the server's last word and what was pulled" in about


def test_a_closed_round_that_was_changed_makes_no_page(tmp_path):
    round_, _ = events_round(tmp_path, 3)
    close(round_)
    (round_.folder / "closed" / "snapshot.json").write_text("[1]")
    with pytest.raises(AnnotateError, match="somebody changed a closed round"):
        page(round_)
    assert not (round_.folder / "report.html").exists()


def test_progress_counts_what_the_status_counts(tmp_path):
    one = done("k0003", "a7", events(), number=90)
    gone = done("k0000", "a7", events(), number=91)
    rows = [
        row(one, flags=(flag(), flag("edited", "changed by a2"))),
        row(done("k0004", "a8", events(), number=92), skipped=True),
        row(gone),
        row(gone, what="deleted"),
    ]
    round_, works = events_round(tmp_path, 5, rows=rows, overlap=3)
    root = page(round_)
    found = status(round_)
    cells = {name: row[0].text for name, row in table(root, "Items and annotations by state").items()}
    assert cells == {
        "pushed": "0", "annotated by 2": "5", "open": "5", "skipped": str(found.skipped), "flagged": "1", "deleted": "1"
    }  # fmt: skip
    flags = table(root, "Flags of annotations, with reasons")["k0003"]
    assert [cell.text for cell in flags] == ["90", "a7", "somebody else changed it", "changed by a2"]
    assert "it breaks the rules of the screen" in root.one("section", id="progress").text
    bar = root.one("section", id="progress").with_class("rail")[0]
    assert bar.attrs["aria-label"] == "0 done by as many as asked, 5 done by some, 0 not done"
    overview = table(root, "People by pseudonym")
    assert [cell.text for cell in overview["a8"][:5]] == ["0", "0", "1", "0", "0 s"]
    assert overview["a7"][3].text == "1"
    spent = sum(one.lead_time_s for one in works if one.annotator == "a1")
    assert overview["a1"][4].text == lasting(spent)
    # Somebody without work that counts has no figures.
    assert [cell.text for cell in overview["a8"][-2:]] == ["–", "–"]


def test_every_cause_of_a_flag_has_its_words(tmp_path):
    causes = get_args(Cause)
    rows = [row(done("k0000", "a9", events(), number=100 + at), flags=(flag(of),)) for at, of in enumerate(causes)]
    round_, _ = events_round(tmp_path, 2, rows=rows)
    (flags,) = [
        one for one in page(round_).all("table") if one.one("caption").text == "Flags of annotations, with reasons"
    ]
    words = [list(one.all("td"))[2].text for one in flags.one("tbody").all("tr")]
    assert len(set(words)) == len(causes) == 8
    assert words[causes.index("other_data")] == "its task was given other data"


def test_flags_beyond_the_first_are_counted(tmp_path):
    rows = [row(done("k0000", "a9", events(), number=100 + at), flags=(flag(),)) for at in range(60)]
    round_, _ = events_round(tmp_path, 2, rows=rows)
    progress = page(round_).one("section", id="progress")
    shown = list(progress.all("tbody"))[1]
    assert len(list(shown.all("tr"))) == 50
    assert "and 10 more flags in journal.jsonl" in progress.text


def test_a_round_without_items(tmp_path):
    root = page(make(tmp_path, [], []))
    assert "not measured: the round has no items" in root.one("section", id="agreement").text
    assert "Nobody has handed in anything yet." in root.text
    assert "No item was done by two people yet." in root.text


def test_a_round_that_nobody_has_done_asks_for_no_records(tmp_path):
    round_, _ = events_round(tmp_path, 3, people=(), data="nowhere")
    write_report(round_, tmp_path / "page.html", config=QUICK)
    rows = table(page_of(tmp_path / "page.html"), "Agreement between people")
    assert {row[0].text for row in rows.values()} >= {"not measured: there are no marks"}


def test_work_of_a_round_whose_records_are_gone_is_told(tmp_path):
    round_, _ = events_round(tmp_path, 3, data="nowhere")
    with pytest.raises(AnnotateError, match="holds no finished index"):
        write_report(round_, tmp_path / "page.html")


def test_one_annotator_alone(tmp_path):
    round_, _ = events_round(tmp_path, 4, people=folders.PEOPLE[:1])
    root = page(round_)
    rows = table(root, "a1 against others")
    assert all("not measured" in cells[0].text for cells in rows.values())
    assert numbers(table(root, "a1 against gold")["F1 at IoU 0.5"][0])
    assert "No item was done by two people yet." in root.text


def test_the_same_bytes_twice_and_nothing_else_is_touched(tmp_path):
    round_, _ = events_round(tmp_path, 6)
    before = tree(round_.folder)
    first = write_report(round_, tmp_path / "a" / "one.html", reading=reading(), config=QUICK).read_bytes()
    second = write_report(round_, tmp_path / "two.html", reading=reading(), config=QUICK).read_bytes()
    assert first == second
    assert tree(round_.folder) == before


def texts_round(root, text):
    """A round in which people wrote this wherever they can, and disagree."""
    marks = [mark("x", 3, 30, label=text, note=text)], [mark("y", 30, 45, label=text, note=text)]
    said = [{"a1": marks[0], "a2": marks[1]}]
    rows = [row(done("f0", "a3", events(), number=9), flags=(flag(detail=text),))]
    labels = (text, "pour")
    return filmed_round(root, spans=((0, 50),), said=said, rows=rows, labels=labels, model_version=text, data=text)


def assert_plain(root):
    """The elements are the page's own: nothing that runs, loads or leads away."""
    for node in root.all("script", "iframe", "object", "embed", "form", "base", "foreignobject", "b", "a", "img"):
        if node.tag == "a":
            assert re.fullmatch("#[a-z]+", node.attrs["href"])
        elif node.tag == "img":
            assert node.attrs["src"].startswith("data:image/jpeg;base64,")
        else:
            assert (node.tag, node.attrs) == ("b", {})
    names = {name for node in root.all(*{node.tag for node in walk(root)}) for name in node.attrs}
    assert not {name for name in names if name.startswith("on")}


def walk(node):
    for child in node.children:
        if not isinstance(child, str):
            yield child
            yield from walk(child)


def test_texts_of_people_are_text(tmp_path):
    root = page(texts_round(tmp_path, NASTY))
    assert_plain(root)
    plain = re.sub(r"\s+", " ", NASTY)
    for section in ("round", "progress", "agreement", "disagreements"):
        assert plain in root.one("section", id=section).text
    alts = [node.attrs["alt"] for node in root.all("img")]
    assert any("<script>" in alt for alt in alts)
    policy = root.one("meta", **{"http-equiv": "Content-Security-Policy"}).attrs["content"]
    assert "default-src 'none'" in policy
    assert "script" not in policy


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)


@settings(max_examples=examples(25), deadline=None)
@given(text=WORDS | st.sampled_from(["<b>", "</svg><script>", "\"'", "&lt;", "{% if %}", "\u202e\u2069", "-->"]))
def test_any_text_is_text(tmp_path_factory, text):
    items, _ = folders.event_items(1, 1)
    works = [
        done(items[0].key, name, events(folders.mark(name, at, at + 9, label=text, note=text)), number=at)
        for name, at in (("a1", 1), ("a2", 20))
    ]
    root = page(make(tmp_path_factory.mktemp("any"), items, works, labels=("pour",)))
    assert_plain(root)
    (row,) = [one for one in root.all("title") if "note:" in one.text][:1]
    assert re.sub(r"[\s\u2068\u2069]+", " ", text).strip() in row.text


def test_the_page_stands_alone_and_in_order(known):
    round_, root, _ = known
    html = (round_.folder / "report.html").read_text()
    assert html.startswith("<!doctype html>")
    assert "http:" not in html.replace("http-equiv", "")
    assert "https:" not in html
    levels = [int(node.tag[1]) for node in root.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for node in root.all("table"):
        assert next(node.all("caption")).text
        assert {th.attrs.get("scope") for th in node.all("th")} <= {"row", "col"}
    for node in root.all("img"):
        assert node.attrs["alt"]
    for node in root.all("svg"):
        assert node.attrs.get("aria-label") or node.attrs.get("aria-hidden") or node.attrs.get("class")
    ids = [node.attrs["id"] for node in walk(root) if "id" in node.attrs]
    assert len(ids) == len(set(ids))
    assert {node.attrs["href"][1:] for node in root.all("a")} <= set(ids)
    assert "For the person who runs this round" in root.text


def test_a_parser_that_sees_what_is_not_closed():
    with pytest.raises(AssertionError):
        parse("<div><p>one</div>")


@given(seconds=st.floats(0, 1e6))
def test_lasting(seconds):
    numbers = [int(number) for number in re.findall(r"\d+", lasting(seconds))]
    units = re.findall(r"[a-z]+", lasting(seconds))
    told = sum(number * {"h": 3600, "min": 60, "s": 1}[unit] for number, unit in zip(numbers, units, strict=True))
    assert abs(told - seconds) <= (60 if "h" in units else 0.5)
    assert all(number < 60 for number in numbers[1:])


def test_many():
    assert [many(0, "item"), many(1, "item"), many(1200, "item")] == ["0 items", "1 item", "1,200 items"]
    assert many(2, "person", "people") == "2 people"
