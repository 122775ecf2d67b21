"""Figures in words: none is left out, and numbers are written as they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.agreement.figure import AgreementConfig, Figure
from annotate.agreement.figures import figures
from annotate.report.words import event_group, group_of, sign_lines, written
from datasets_build.core.records import Part
from tests.annotate.people import Person, event_items, qa_items, work_events, work_questions

CONFIG = AgreementConfig(resamples=20)
PEOPLE = (Person(name="a1", noise=10**8), Person(name="a2", noise=10**9, wrong=0.2))
UNITS = {"share": "", "alpha": "", "ms": " ms", "times": " ×", "bits": " bits"}


def made(kind):
    make, do = (event_items, work_events) if kind == "events" else (qa_items, work_questions)
    items, truths = make(2, 4, gold=2)
    return figures(items, [one for who in PEOPLE for one in do(who, items, truths, 1)], CONFIG)


def every(part):
    """All figures in a record, in order."""
    if isinstance(part, Figure):
        yield part
    elif isinstance(part, Part):
        for name in type(part).model_fields:
            value = getattr(part, name)
            for one in value if isinstance(value, tuple) else (value,):
                yield from every(one)


def of_group(group):
    return [line.figure for line in group.lines] + [cell.figure for line in group.labels for cell in line.cells]


def key(figure):
    return figure.model_dump_json()


@pytest.mark.parametrize("kind", ["events", "qa"])
def test_no_figure_is_left_out(kind):
    found = made(kind)
    for measures in (found.between, found.people[0].against_gold, found.people[1].against_others):
        group = group_of(measures)
        assert sorted(map(key, of_group(group))) == sorted(map(key, every(measures)))
        assert len({line.name for line in group.lines}) == len(group.lines)
        assert all(line.meaning.endswith(".") for line in group.lines)
        assert all(len(line.cells) == len(group.columns) for line in group.labels)
    if found.shown:
        assert sorted(map(key, of_group(event_group(found.shown)))) == sorted(map(key, every(found.shown)))


def test_signs_keep_their_figures():
    for sign in made("events").people[0].signs:
        found = sign_lines(sign)
        assert (found.own.figure, found.others.figure, found.against.figure) == (sign.own, sign.others, sign.against)
        assert (found.raised, found.rule) == (sign.raised, sign.rule)
        assert found.own.scale == found.others.scale


@given(value=st.floats(-1e6, 1e6), scale=st.sampled_from(sorted(UNITS)))
def test_a_number_is_written_to_its_last_place(value, scale):
    text = written(value, scale)
    assert text.endswith(UNITS[scale])
    number = text.removesuffix(UNITS[scale]).replace(",", "")
    places = len(number.partition(".")[2])
    assert places == {"share": 3, "alpha": 3, "ms": 1, "times": 2, "bits": 2}[scale]
    assert abs(float(number) - value) <= 0.5001 * 10**-places
    assert not (text.startswith("-") and float(number) == 0)


def test_examples():
    assert written(0.12345, "share") == "0.123"
    assert written(-0.0004, "alpha") == "0.000"
    assert written(-1234.56, "ms") == "-1,234.6 ms"
    assert written(0.5, "times") == "0.50 ×"
    assert written(1.0, "bits") == "1.00 bits"
