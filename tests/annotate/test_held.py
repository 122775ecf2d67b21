"""What the journal adds up to, in parts that follow from it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.errors import AnnotateError
from annotate.held import Known, after, digest
from annotate.journal import JOURNAL, Flag, Journal, Row, Version
from tests.annotate.rounds_of_items import tree
from tests.laws import examples

SECOND = (Flag(code="second", detail="again"),)
EDITED = (Flag(code="edited", detail="by another"),)


def version(result="[]", by="a1"):
    return Version(by=by, edited_by=None, created_at="", updated_at="", lead_time_s=None, skipped=False, result=result)


def row(key, annotation, what="new", flags=()):
    said = version() if what in ("new", "changed") else None
    return Row(what=what, key=key, task=1, annotation=annotation, more=0, flags=flags, version=said)


def write(folder, rows, mark=None, *, save=True):
    known = Known(folder)
    with Journal.open(folder / JOURNAL, known.size) as journal:
        journal.append([[one] for one in rows])
        known.apply(rows, journal.size)
    if save:
        known.save(mark)
    return known


# Strangers give tasks what keys they like.
keys = st.sampled_from(["", "key1", "key2", "a\nb\u2028c\r", 'é "x"', "\0"])
histories = st.lists(st.lists(st.tuples(keys, st.integers(1, 3), st.booleans()), max_size=6), min_size=1, max_size=4)


@settings(max_examples=examples(40))
@given(histories=histories, saves=st.lists(st.booleans(), min_size=4, max_size=4))
def test_parts_and_journal_say_the_same_whenever_they_were_saved(tmp_path_factory, histories, saves):
    folder = tmp_path_factory.mktemp("round")
    there = set()
    for history, save in zip(histories, saves, strict=False):
        rows = []
        for key, number, goes in history:
            if (key, number) in there and goes:
                rows.append(row(key, number, "deleted"))
            else:
                rows.append(row(key, number))
                there.add((key, number))
        write(folder, rows, "2026-01-01T00:00:00Z", save=save)
    parts = Known(folder)
    found = parts.every()
    assert {(one.key, one.annotation) for one in found} == there
    assert [one for key in sorted({one.key for one in found}) for _, one in sorted(parts.of(key).items())] == found
    for path in sorted((folder / "pulled").glob("*")):
        path.unlink()
    assert Known(folder).every() == found


@pytest.mark.parametrize("harm", ["changed", "deleted", "emptied"])
def test_a_part_that_is_not_what_it_was_is_made_anew(tmp_path, harm):
    write(tmp_path, [row(f"key{at}", 1) for at in range(9)], "m")
    whole = tree(tmp_path)
    part = min((tmp_path / "pulled").glob("*.jsonl"))
    if harm == "deleted":
        part.unlink()
    else:
        part.write_bytes(b"" if harm == "emptied" else part.read_bytes() + b"{}\n")
    known = Known(tmp_path)
    assert (known.mark, len(known.every())) == ("m", 9)
    known.save("m")
    assert tree(tmp_path) == whole


def test_rows_that_came_before_a_part_was_found_broken_are_kept(tmp_path):
    write(tmp_path, [row(f"key{at}", 1) for at in range(9)], "m")
    for part in (tmp_path / "pulled").glob("*.jsonl"):
        part.write_bytes(b"")
    known = write(tmp_path, [row("key1", 2), row("key2", 1, "deleted"), row("key1", 1, "flagged", SECOND)], "n")
    assert sorted(known.of("key1")) == [1, 2]
    assert known.of("key1")[1].flags == SECOND
    assert not known.of("key2")[1].live
    assert Known(tmp_path).every() == known.every()


def test_a_small_change_writes_few_files(tmp_path):
    write(tmp_path, [row(f"key{at}", 1) for at in range(500)], "m")
    before = {path: path.stat().st_ino for path in (tmp_path / "pulled").iterdir()}
    write(tmp_path, [row("key7", 2)], "n")
    changed = [path.name for path, inode in before.items() if path.stat().st_ino != inode]
    assert len(before) > 50
    assert len(changed) == 2
    assert "mark.json" in changed


def test_nothing_new_writes_nothing(tmp_path):
    write(tmp_path, [row("key1", 1)], "m")
    before = (tmp_path / "pulled" / "mark.json").stat().st_ino
    Known(tmp_path).save("m")
    assert (tmp_path / "pulled" / "mark.json").stat().st_ino == before


def test_a_row_takes_its_place():
    new = after(None, row("k", 1, flags=EDITED + SECOND))
    assert (new.own, new.live, new.digest) == (EDITED, True, digest(version()))
    gone = after(new, row("k", 1, "deleted"))
    assert (gone.live, gone.flags, gone.digest) == (False, (), new.digest)
    assert after(gone, row("k", 1)).live
    assert after(new, row("k", 1, "cleared")).flags == ()
    assert digest(version()) != digest(version(by="a2")) != digest(version("[1]"))


def test_a_journal_without_a_beginning_is_told():
    with pytest.raises(AnnotateError, match="annotation 4: deleted before it was new"):
        after(None, row("k", 4, "deleted"))


def test_a_mark_that_is_none_is_told(tmp_path):
    write(tmp_path, [row("k", 1)], "m")
    (tmp_path / "pulled" / "mark.json").write_text('{"mark": 3}')
    with pytest.raises(AnnotateError, match=r"mark\.json: not a mark .*; delete it and pull again"):
        Known(tmp_path)


def test_a_journal_that_was_cut_below_the_mark_is_told(tmp_path):
    write(tmp_path, [row("k", 1), row("k", 2)], "m")
    (tmp_path / JOURNAL).write_bytes(b"")
    with pytest.raises(AnnotateError, match="somebody cut it"):
        Known(tmp_path)
