"""A merge and its rebuild, killed at random moments, on a full disk and in a chain: the same bytes, or nothing."""

import os
import random
import subprocess
import sys
import textwrap
import time

import pytest

from annotate.merge import Standing, merge
from annotate.merged import PAGE, told
from annotate.tasks import Work
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.corrections import TABLE, Correction
from datasets_build.core.table import read_table
from tests.annotate.merging import manifest_of
from tests.annotate.test_merge import (
    items_of,
    merged,
    rebuilt,
    rejecting_first,
    rewording_first,
    without_first,
)
from tests.augment.folders import stamps, tree
from tests.builders.test_corrected import made, rows_of
from tests.recipes.disks import fill, small_disk

KILLS = 10
MERGER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from annotate.published import rebuild
    from tests.annotate.test_merge import merged, without_first
    print("begun", flush=True)
    merged(Path(sys.argv[1]), Path(sys.argv[2]), "events", without_first)
    rebuild(Path(sys.argv[2]))
""")


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A finished folder of two videos, read only."""
    return made(tmp_path_factory.mktemp("merges") / "data")


def merger(data, to):
    path = os.pathsep.join(path for path in sys.path if path)
    child = subprocess.Popen(
        [sys.executable, "-c", MERGER, str(data), str(to)],
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdout.readline() == b"begun\n"
    return child


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments_and_repeated_it_gives_the_same_bytes(parent, tmp_path):
    before = (tree(parent), stamps(parent))
    (tmp_path / "plain").mkdir()
    began = time.monotonic()
    whole = merger(parent, tmp_path / "plain" / "to")
    assert (whole.communicate()[0] is not None, whole.returncode) == (True, 0)
    lasted = time.monotonic() - began
    (tmp_path / "often").mkdir()
    to, chance, killed = tmp_path / "often" / "to", random.Random(11), 0
    for _ in range(KILLS):
        child = merger(parent, to)
        try:
            child.wait(chance.uniform(0.0, lasted / 2))
        except subprocess.TimeoutExpired:
            # With the builders that it started.
            os.killpg(child.pid, 9)
            killed += 1
        child.communicate()
    assert killed > KILLS // 2
    last = merger(parent, to)
    last.communicate()
    assert last.returncode == 0
    assert tree(to) == tree(tmp_path / "plain" / "to")
    assert (tree(parent), stamps(parent)) == before


@pytest.mark.slow
def test_events_then_questions_then_dialogues_follow_each_other(parent, tmp_path):
    changes = {"events": without_first, "qa": rejecting_first, "dialogue": rewording_first}
    of = {"events": "event", "qa": "question", "dialogue": "dialogue"}
    data, earlier = parent, []
    for kind, change in changes.items():
        to = tmp_path / kind
        page = merged(data, to, kind, change, name=f"of-{kind}")
        assert page.earlier == len(earlier)
        rebuilt(to)
        rows = list(read_table(to / TABLE, Correction))
        assert rows[: len(earlier)] == earlier
        assert {(row.round, row.of) for row in rows[len(earlier) :]} == {(f"of-{kind}", of[kind])}
        assert not run_checks(to, CheckConfig()).violations
        data, earlier = to, rows
    found = rows_of(data)
    records = [row for name in ("events", "qa", "talk") for row in found[name] if row.provenance.kind == "person"]
    assert {row.provenance.round for row in records} >= {"of-qa", "of-dialogue"}
    for row in records:
        assert row.provenance.agent == "a1+a2"
        assert row.provenance.inputs
    # Pseudonyms alone, and never an address of mail.
    told_of = [(data / PAGE).read_text(), *(row.model_dump_json(exclude={"question", "dialogue"}) for row in earlier)]
    assert not any("@" in text for text in told_of)
    assert {row.annotators for row in earlier} == {("a1", "a2")}
    assert all(row.edited for row in earlier if row.action == "replace")


@pytest.mark.parametrize("kind", ["events", "qa", "dialogue"])
def test_a_round_without_finished_work_gives_the_parent_again(kind, parent, tmp_path):
    items = items_of(parent, kind)
    page = merge(manifest_of(items, kind), items, {}, data=parent, to=tmp_path / "to")
    assert (page.merged, page.edits, page.troubles, page.corrections_sha256) == ((), (), (), None)
    assert len(page.left_out) == len(items)
    assert page.asked.untouched == page.asked.all
    assert next(told(page)) == "0 items merged, 0 disputed, 0 unusable"
    if kind == "events":
        assert rows_of(rebuilt(tmp_path / "to")) == rows_of(parent)


def test_a_full_disk_leaves_no_folder_and_a_repetition_goes_on(parent, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, size="1m"):
        fill(disk)
        with pytest.raises(OSError, match="No space left"):
            merged(parent, disk / "to", "events", without_first)
        assert not (disk / "to").exists()
        (disk / "filler").unlink()
        page = merged(parent, disk / "to", "events", without_first)
        (tmp_path / "plain").mkdir()
        merged(parent, tmp_path / "plain" / "to", "events", without_first)
        assert page.corrections_sha256
        assert (disk / "to" / TABLE).read_bytes() == (tmp_path / "plain" / "to" / TABLE).read_bytes()


def test_two_people_with_one_annotation_each_on_different_items(parent, tmp_path):
    items = items_of(parent, "events")
    results = {
        items[0].key: Standing(work=without_first(items[0]), annotators=("a1",)),
        items[1].key: Standing(work=without_first(items[1]), annotators=("a2",)),
    }
    page = merge(manifest_of(items, "events"), items, results, data=parent, to=tmp_path / "to")
    rows = list(read_table(tmp_path / "to" / TABLE, Correction))
    assert page.merged == (items[0].key, items[1].key)
    assert rows
    assert {row.annotators for row in rows} <= {("a1",), ("a2",), ("a1", "a2")}


def test_names_and_notes_of_any_script_are_kept(parent, tmp_path):
    to = tmp_path / "ordner-日本-مجلد"
    item = items_of(parent, "events")[0]
    label, note = "écrémer 日本", "Он режет лук, ثم يبكي 😀."
    marks = (item.sheet.marks[0].model_copy(update={"label": label, "note": note}), *item.sheet.marks[1:])
    results = {item.key: Standing(work=Work(kind="events", marks=marks), annotators=("a1",))}
    page = merge(manifest_of([item], "events"), [item], results, data=parent, to=to)
    (row,) = read_table(to / TABLE, Correction)
    assert (row.event.label, row.event.caption) == (label, note)
    assert set(row.edited) >= {"label", "caption"}
    assert page.merged == (item.key,)
    assert label in {one.label for one in rows_of(rebuilt(to))["events"]}
    assert not run_checks(to, CheckConfig()).violations
