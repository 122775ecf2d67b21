"""Which event lies within which is held against the events: each fault in that table is found under its law."""

import shutil

import pytest

from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.hierarchy import HIERARCHY, Level
from tests.checks.planted import edit, good_out

LAW = "hierarchy_equals_events"
TABLE = f"frame_events/{HIERARCHY}/train.parquet"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_out(tmp_path_factory.mktemp("good") / "out")


@pytest.fixture
def out(good, tmp_path):
    return shutil.copytree(good, tmp_path / "out")


def broken(out, law=LAW):
    return [row for row in run_checks(out, CheckConfig()).violations if row.law == law]


def test_a_good_folder_is_silent_and_was_looked_at(good):
    result = run_checks(good, CheckConfig())
    assert not result.violations
    assert next(law.checked for law in result.laws if law.name == LAW) > 0


@pytest.mark.parametrize(
    "update",
    [
        {"within": "nobody"},
        {"depth": 7},
        {"path": ("other",)},
        {"label_set": "other"},
        {"event_id": "stranger"},
    ],
)
def test_a_changed_row_is_found(out, update):
    edit(out, TABLE, Level, lambda rows: [rows[0].model_copy(update=update), *rows[1:]])
    (found,) = broken(out)
    assert found.found.startswith(next(iter(update)))


def test_a_row_that_is_lost_or_stands_twice_is_found(out):
    edit(out, TABLE, Level, lambda rows: rows[:-1])
    assert [(row.found, row.expected[:5]) for row in broken(out)] == [("no row", "a row")]
    edit(out, TABLE, Level, lambda rows: [*rows, rows[-1], rows[-1]])
    assert broken(out)


def test_a_video_without_its_rows_is_found(out):
    before = []
    edit(out, TABLE, Level, lambda rows: before.extend(rows) or [])
    videos = {row.video_id for row in before}
    assert {row.record for row in broken(out, "nothing_missing")} == videos
    (out / TABLE).unlink()
    assert {row.record for row in broken(out, "nothing_missing")} == videos
