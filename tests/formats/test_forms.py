"""Every form: rows come back as they were, records obey the laws of time and causality, and real files lose nothing."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_build.checks.causality import EVENT_LAWS
from datasets_build.checks.imported import IMPORTED_DIALOGUE_LAWS, IMPORTED_QUESTION_LAWS
from datasets_build.checks.laws import Known
from datasets_build.checks.timing import TIME_LAWS
from datasets_build.core.records import Dialogue, Event, Record
from datasets_build.formats.foreign import applied, same
from datasets_build.formats.forms import FORMS
from datasets_build.formats.importing import read_row
from datasets_build.formats.place import Bundle, RowError, Unit
from datasets_build.formats.row_export import lost_fields
from tests.formats.rowed import DATA, ROWS, clocks, place_of

ONE_EACH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def unit_of(name):
    return Unit("s") if FORMS[name].needs_unit else None


def breaches(record: Record, bundle: Bundle, place) -> list[str]:
    known = Known(place.video, place.clock, {event.id: event for event in bundle.events})
    own = EVENT_LAWS if isinstance(record, Event) else IMPORTED_QUESTION_LAWS
    laws = IMPORTED_DIALOGUE_LAWS if isinstance(record, Dialogue) else own
    return [f"{law.name}: {breach}" for law in (*TIME_LAWS, *laws) for breach in law.breaches(record, known)]


def test_every_form_is_drawn():
    assert set(ROWS) == set(FORMS)


@pytest.mark.parametrize("name", sorted(ROWS))
@given(data=st.data())
@ONE_EACH
def test_a_row_comes_back_as_it_was(name, data):
    form, row = FORMS[name], data.draw(ROWS[name])
    place = place_of(data.draw(clocks), unit=unit_of(name))
    assert form.rows.video_of(row)
    try:
        bundle, foreign = read_row(row, place, form, item=3)
    except RowError as error:
        code = error.code
    else:
        code = ""
    # Spans move to frames that a slow clock shows late, so that a line may come before what it tells of.
    assert code in ("", "leak", "bad_span")
    if code:
        return
    assert same(applied(form.rows.write(bundle, place.video), foreign.kept), row)
    assert foreign.records == tuple(record.id for record in bundle.records)
    assert len(set(foreign.records)) == len(foreign.records)
    for record in bundle.records:
        assert record.provenance == place.provenance
        assert breaches(record, bundle, place) == []


@pytest.mark.parametrize("name", sorted(set(ROWS) - {"webvtt", "streaming_vlm"}))
@given(data=st.data())
@ONE_EACH
def test_records_that_a_form_holds_come_back_as_they_were(name, data):
    """What came out of a row is on frames; written without anything kept and read again, it is the same."""
    form, place = FORMS[name], place_of(data.draw(clocks), unit=unit_of(name))
    try:
        bundle = form.rows.read(data.draw(ROWS[name]), place)
    except RowError:
        return
    row = form.rows.write(bundle, place.video)
    again = form.rows.read(json.loads(json.dumps(row)), place)
    for before, after in zip(bundle.records, again.records, strict=True):
        assert list(lost_fields(before, after)) == []


@given(data=st.data())
@ONE_EACH
def test_subtitles_are_exact_to_the_millisecond(data):
    """Any cue goes to a frame at or after it; written again it stays on that frame, whatever the clock."""
    form, place = FORMS["webvtt"], place_of(data.draw(clocks))
    bundle = form.rows.read(data.draw(ROWS["webvtt"]), place)
    again = form.rows.read(form.rows.write(bundle, place.video), place)
    assert [e.span for e in again.events] == [e.span for e in bundle.events]
    assert [e.caption for e in again.events] == [e.caption for e in bundle.events]


@pytest.mark.parametrize("name", sorted(ROWS))
@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_files_of_rows_are_read_as_they_were_written(name, data):
    container = FORMS[name].container
    rows = data.draw(st.lists(ROWS[name], min_size=1, max_size=3))
    if name in ("activitynet", "webvtt", "mmduet"):
        rows = rows[:1]
    files = container.join(rows)
    (file, content), *_ = files.items()
    assert same(container.split(file, content.decode()), list(rows))


REAL = {
    "ovo_bench": ["ovo_bench/ovo_bench_new.json"],
    "streaming_bench": [f"streamingbench/questions_{part}.json" for part in ("real", "sqa", "proactive")],
    "qvhighlights": ["qvhighlights/highlight_val_release.jsonl"],
    "activitynet": ["activitynet_captions/val_1.json", "youcook2/yc2_val.json"],
}
ROWS_OF = {
    "ovo": 1640,
    "questions_real": 2252,
    "sqa": 248,
    "proactive": 248,
    "highlight": 1550,
    "val_1": 4917,
    "yc2": 457,
}
WRONG = {"questions_real": 1}
"""One time stamp of the published file is `00:12450`."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in REAL.items() for file in files])
def test_a_published_file_loses_nothing(name, file):
    path = DATA / "annotations" / file
    if not path.is_file():
        pytest.skip("needs the published annotations")
    form = FORMS[name]
    rows = form.container.split(path.name, path.read_text())
    (number,) = [count for part, count in ROWS_OF.items() if part in path.name]
    assert len(rows) == number
    place = place_of(_long())
    written, wrong = [], 0
    for k, row in enumerate(rows):
        try:
            bundle, foreign = read_row(row, place, form, item=k)
        except RowError:
            wrong += 1
            continue
        written.append(applied(form.rows.write(bundle, place.video), foreign.kept))
        assert same(written[-1], row)
        if k % 97 == 0:
            assert [found for record in bundle.records for found in breaches(record, bundle, place)] == []
    assert wrong == sum(count for part, count in WRONG.items() if part in path.name)
    if not wrong:
        (content,) = form.container.join(written).values()
        assert same(_loaded(path.suffix, content.decode()), _loaded(path.suffix, path.read_text()))


def _long():
    from tests.builders.made import steady

    return steady(12_000, Fraction(25))


def _loaded(suffix, text):
    return [json.loads(line) for line in text.splitlines()] if suffix == ".jsonl" else json.loads(text)


@pytest.mark.slow
def test_every_item_of_the_benchmark_keeps_its_points():
    path = DATA / "annotations" / REAL["ovo_bench"][0]
    if not path.is_file():
        pytest.skip("needs the published annotations")
    form, place = FORMS["ovo_bench"], place_of(_long())
    found = [form.rows.read(row, place) for row in form.container.split(path.name, path.read_text())]
    questions = [row for bundle in found for row in bundle.questions]
    assert (len(found), sum(len(row.test_points) for row in questions)) == (1640, 1567)
    assert sum(bool(row.options) for row in questions) == 1468
