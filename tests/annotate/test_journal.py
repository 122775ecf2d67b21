"""Whole looks or none, whatever is left of a file."""

import os
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.errors import AnnotateError
from annotate.journal import Flag, Journal, Row, Version, plain, read
from tests.laws import examples

texts = st.text(st.characters(codec="utf-8"), max_size=5)
flags = st.lists(st.builds(Flag, code=st.sampled_from(["edited", "second"]), detail=texts), max_size=2).map(tuple)
versions = st.builds(
    Version,
    by=st.just("a1"),
    edited_by=st.none(),
    created_at=texts,
    updated_at=texts,
    lead_time_s=st.none() | st.floats(0, 1e6),
    skipped=st.booleans(),
    result=texts,
)
some_rows = st.builds(
    Row,
    what=st.sampled_from(["new", "changed", "deleted", "flagged"]),
    key=texts,
    task=st.integers(0, 10**9),
    annotation=st.integers(0, 10**9),
    more=st.just(0),
    flags=flags,
    version=st.none() | versions,
)


def look(*rows):
    return [row.model_copy(update={"more": len(rows) - at}) for at, row in enumerate(rows, start=1)]


looks = st.lists(st.lists(some_rows, min_size=1, max_size=3).map(lambda rows: look(*rows)), max_size=4)


def row(annotation, more=0):
    return Row(what="deleted", key="k", task=1, annotation=annotation, more=more)


def numbers(path, start=0):
    return [placed.row.annotation for placed in read(path, start)]


@settings(max_examples=examples(60))
@given(looks=looks)
def test_what_was_added_is_read(tmp_path_factory, looks):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with Journal.open(path) as journal:
        for one in looks:
            journal.append([one])
    placed = list(read(path))
    assert [one.row for one in placed] == [row for one in looks for row in one]
    assert (placed[-1].end if placed else 0) == path.stat().st_size == journal.size
    assert all(line for line in path.read_bytes().split(b"\n")[:-1])


@settings(max_examples=examples(60))
@given(looks=looks, data=st.data())
def test_a_journal_cut_at_any_byte_keeps_its_whole_looks_and_goes_on(tmp_path_factory, looks, data):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    ends = [0]
    with Journal.open(path) as journal:
        for one in looks:
            journal.append([one])
            ends.append(journal.size)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = max(end for end in ends if end <= cut)
    # Whoever only reads changes nothing.
    assert sum(1 for _ in read(path)) == sum(len(one) for one in looks[: ends.index(kept)])
    assert path.read_bytes() == whole[:cut]
    with Journal.open(path) as journal:
        assert (journal.size, journal.dropped) == (kept, cut - kept)
        journal.append(looks[ends.index(kept) :])
    assert path.read_bytes() == whole


def test_an_absent_journal_is_empty(tmp_path):
    assert numbers(tmp_path / "none.jsonl") == []


def test_reading_begins_where_it_is_told(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal.open(path) as journal:
        journal.append([[row(1)]])
        start = journal.size
        journal.append([[row(2)], [row(3)]])
    assert numbers(path, start) == [2, 3]
    with Journal.open(path, start) as journal:
        assert journal.dropped == 0
        journal.append([[row(4)]])
    assert numbers(path) == [1, 2, 3, 4]


def test_a_journal_that_somebody_cut_is_told(tmp_path):
    path = tmp_path / "journal.jsonl"
    with pytest.raises(AnnotateError, match="found 0 bytes, expected at least 7: somebody cut it"):
        Journal.open(path, 7)
    path.write_bytes(b"short")
    with pytest.raises(AnnotateError, match="found 5 bytes, expected at least 7"):
        list(read(path, 7))


@pytest.mark.parametrize("line", [b"{}\n", b"\n", b"not json\n", b'{"what": "new", "key": "k"}\n', b"\0\0\0\n"])
def test_a_whole_line_that_is_no_row_is_told_and_not_cut(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    with Journal.open(path) as journal:
        journal.append([[row(1)]])
        size = journal.size
    with path.open("ab") as out:
        out.write(line)
    with pytest.raises(AnnotateError, match=rf"journal\.jsonl: byte {size}: not a row of a journal"):
        Journal.open(path)
    assert path.read_bytes().endswith(line)


def test_a_disk_that_fills_up_in_the_middle_leaves_the_journal_as_it_was(tmp_path):
    path = tmp_path / "journal.jsonl"
    pwrite = os.pwrite
    written = []

    def fills_up(handle, content, at):
        if written:
            raise OSError(28, "No space left on device")
        written.append(pwrite(handle, content[:20], at))
        return written[0]

    with Journal.open(path) as journal:
        journal.append([[row(1)]])
        before = path.read_bytes()
        with (
            mock.patch.object(os, "pwrite", fills_up),
            pytest.raises(AnnotateError, match=r"cannot be written \(No space left on device\); make room and repeat"),
        ):
            journal.append([[row(2)]])
        assert path.read_bytes() == before
        journal.append([[row(3)]])
    assert numbers(path) == [1, 3]


def test_a_disk_that_takes_little_at_a_time_gets_all(tmp_path):
    path = tmp_path / "journal.jsonl"
    pwrite = os.pwrite
    with (
        mock.patch.object(os, "pwrite", lambda handle, content, at: pwrite(handle, content[:7], at)),
        Journal.open(path) as journal,
    ):
        journal.append([look(row(1), row(2)), [row(3)]])
    assert numbers(path) == [1, 2, 3]


@given(st.text(max_size=8))
def test_plain_text_can_be_written_and_stays_what_it_was(text):
    assert plain(text).encode().decode() == plain(text)
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert plain(text) == text


def test_half_a_character_becomes_its_escape():
    assert plain("a\ud800b") == "a\\ud800b"
