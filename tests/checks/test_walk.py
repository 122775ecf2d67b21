"""Walking files: groups in index order, rows out of place noted and passed over, one video's events at a time."""

import pytest

from datasets_build.builders.build import build_events
from datasets_build.builders.events import EventsConfig
from datasets_build.checks.laws import Ledger
from datasets_build.checks.walk import Atlas, Names, existing, walk
from datasets_build.core.files import DataError
from datasets_build.core.perceived import Shot
from datasets_build.core.records import Event
from datasets_build.core.table import read_table, write_table
from tests.builders.made import bare, lively, write_out


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    blind = bare("blind")
    blind.shots, blind.keyframes = [], []
    scenes = [lively("a", seconds=12), blind, lively("b", seconds=12, split="test"), bare("c", frames=4)]
    folder = write_out(tmp_path_factory.mktemp("walk") / "out", scenes)
    build_events(folder, EventsConfig())
    return folder


def table(out, rows):
    path = out / "shuffled.parquet"
    write_table(path, Shot, rows)
    return path


def walked(out, rows, split=None):
    ledger, atlas = Ledger(99), Atlas(out)
    groups = [(g.video.uri, len(list(g.rows))) for g, _ in walk(table(out, rows), Shot, split, atlas, ledger)]
    return groups, {name: count for name, count in ledger.broken.items() if count}


def shots(out):
    return list(read_table(out / "perceive/shots.parquet", Shot))


def test_groups_come_in_index_order(out):
    groups, broken = walked(out, shots(out))
    assert [uri for uri, _ in groups] == ["a.mp4", "b.mp4", "c.mp4"]
    assert sum(count for _, count in groups) == len(shots(out))
    assert broken == {}


def test_rows_of_another_split_are_noted_and_passed_over(out):
    groups, broken = walked(out, shots(out), "train")
    assert [uri for uri, _ in groups] == ["a.mp4", "c.mp4"]
    assert broken == {"split_of_record": sum(row.video_id == Atlas(out).videos[2].id for row in shots(out))}


def test_rows_of_strangers_are_noted(out):
    strange = shots(out)[0].model_copy(update={"video_id": "nobody"})
    groups, broken = walked(out, [*shots(out), strange])
    assert len(groups) == 3
    assert broken == {"references_resolve": 1}


def test_rows_out_of_order_are_noted_and_still_read(out):
    rows = sorted(shots(out), key=lambda row: row.video_id != shots(out)[-1].video_id)
    groups, broken = walked(out, rows)
    assert sorted(uri for uri, _ in groups) == ["a.mp4", "b.mp4", "c.mp4"]
    assert broken["record_order"] >= 1


def test_a_file_that_cannot_be_read_is_noted(out):
    ledger, atlas = Ledger(99), Atlas(out)
    assert list(walk(out / "perceive/shots.parquet", Event, None, atlas, ledger)) == []
    assert ledger.broken["file_readable"] == 1
    assert ledger.violations[0].file == "perceive/shots.parquet"


def test_events_come_in_any_order_of_asking(out):
    atlas = Atlas(out)
    wanted = {video.id: [e for e in read_table(out / "events/events.parquet", Event) if e.video_id == video.id]
              for video in atlas.videos}  # fmt: skip
    ids = [video.id for video in atlas.videos]
    for order in (ids, ids[::-1], [ids[2], ids[2], ids[0], ids[3], ids[1]]):
        assert [atlas.events_of(made) for made in order] == [wanted[made] for made in order]
    assert atlas.events_of(ids[1]) == [], "it was not perceived"


def test_places_and_clocks(out):
    atlas = Atlas(out)
    assert [atlas.place(video.id) for video in atlas.videos] == [0, 1, 2, 3]
    assert atlas.place("nobody") == -1
    assert atlas.clock(atlas.videos[3].id) is atlas.clock(atlas.videos[3].id)
    assert len(atlas.clock(atlas.videos[3].id)) == 4


def test_names_are_met_once():
    names, ledger = Names(), Ledger(9)
    for kind, made in (("event", "a"), ("event", "b"), ("question", "a"), ("event", "a")):
        names.meet(kind, made, "f", ledger)
    assert (ledger.checked["ids_unique"], ledger.broken["ids_unique"]) == (4, 1)
    assert ledger.violations[0].found == "event a a second time"


def test_what_exists_is_what_has_a_manifest(out):
    assert existing(out, "index", "events", "dialogue") == ["index", "events"]
    with pytest.raises(DataError, match="holds none of dialogue"):
        existing(out, "dialogue")
