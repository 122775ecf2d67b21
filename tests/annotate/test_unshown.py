"""A video of which no clip can be made is told by window, and keeps no other from the people."""

import logging
import shutil

import pytest

from annotate import plan as planning
from annotate.errors import AnnotateError
from annotate.proxy import ProxyError
from annotate.rounds import REJECTS, load
from annotate.source import films
from datasets_build.core.files import read_rejects
from tests.annotate.planned import S, place, planned


@pytest.fixture
def data(clips, tmp_path):
    """A copy of the folder of two videos, to spoil."""
    return shutil.copytree(clips, tmp_path / "data")


def lost(path):
    path.unlink()


def longer(path):
    path.write_bytes(path.read_bytes() + b"\0")


def torn(path):
    """The same length, but all pictures behind the first are gone."""
    content = bytearray(path.read_bytes())
    at = content.index(b"mdat") + 400
    end = content.index(b"moov", at) - 4
    content[at:end] = bytes(end - at)
    path.write_bytes(content)


SPOILS = {lost: "no such file", longer: "it is not the indexed file", torn: "no longer decode"}


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_round_goes_on_without_a_video_that_cannot_be_shown(data, tmp_path, spoil, caplog):
    caplog.set_level(logging.INFO)
    first, second = films(data, "events")
    spoil(first.path)
    made = planned(tmp_path / "rounds", data, proxy={"preset": "ultrafast"})
    assert {item.window.video_id for item in made.items} == {second.video.id}
    rows = [row for row in read_rejects(made.folder / REJECTS) if row.code == "not_shown"]
    assert rows
    for row in rows:
        assert SPOILS[spoil] in row.reason
        assert row.item == f"{first.video.id}: window [{row.at_ns}, {row.item.split()[-2][:-1]}) ns"
        assert f"left out: {row.item}: {row.reason}" in caplog.text
    ends = [int(row.item.split()[-2][:-1]) for row in rows]
    assert [row.at_ns for row in rows] == [0, *ends[:-1]]
    assert ends[-1] == first.clock.end_ns
    (left_out,) = (one for one in made.manifest.left_out if one.code == "not_shown")
    counted = {event.id for event in first.events if event.label != "video_start"}
    assert left_out.records == len(counted)
    assert f"{left_out.records} not_shown" in caplog.text


def test_it_is_the_same_round_when_asked_for_again_and_another_when_the_video_is_mended(data, tmp_path):
    first, _ = films(data, "events")
    content = first.path.read_bytes()
    lost(first.path)
    made = planned(tmp_path / "rounds", data)
    assert planned(tmp_path / "rounds", data) == made
    first.path.write_bytes(content)
    with pytest.raises(AnnotateError, match=rf"items: {len(made.items)} → {len(made.items) + 4}; items_sha256"):
        planned(tmp_path / "rounds", data)
    assert load(tmp_path / "rounds", "r1") == made
    whole = planned(tmp_path / "rounds", data, name="r2")
    assert {place(item) for item in whole.items} > {place(item) for item in made.items}
    assert "not_shown" not in (whole.folder / REJECTS).read_text()


def test_without_any_clip_there_is_no_round(data, tmp_path):
    for film in films(data, "events"):
        lost(film.path)
    with pytest.raises(AnnotateError, match=r"data: of no window a clip can be made; the first: .*no such file"):
        planned(tmp_path / "rounds", data)
    assert not list((tmp_path / "rounds").rglob("*.json*"))


def test_what_is_wrong_with_the_place_of_the_clips_ends_the_push(clips, tmp_path, monkeypatch):
    """A full disk and a clip that somebody changed are no video's fault: nothing is left out for them."""

    def full(*_, **__):
        raise ProxyError(tmp_path, "No space left on device", "room for a proxy", "make room and run again")

    with monkeypatch.context() as patched:
        patched.setattr(planning, "make_proxy", full)
        with pytest.raises(ProxyError, match="make room and run again"):
            planned(tmp_path / "rounds", clips, sample=1)
    made = planned(tmp_path / "rounds", clips, sample=1)
    (clip,) = made.proxies.glob("*.mp4")
    clip.write_bytes(b"other")
    with pytest.raises(ProxyError, match="it was changed since it was made"):
        planned(tmp_path / "rounds", clips, sample=1)


def test_gold_of_a_window_that_cannot_be_shown_is_not_counted(data, tmp_path):
    shown = planned(tmp_path / "whole", data, least_ns=S, most_ns=4 * S)
    gold = tuple(
        planning.Gold(
            video_id=item.window.video_id,
            start_ns=item.window.start_ns,
            end_ns=item.window.end_ns,
            work=planning.Work(kind="events"),
        )
        for item in shown.items
    )
    first, _ = films(data, "events")
    lost(first.path)
    known = planning.Known(gold=gold)
    made = planned(tmp_path / "rounds", data, known=known, least_ns=S, most_ns=4 * S)
    assert (len(shown.items), made.manifest.gold, len(made.items)) == (2, 1, 1)
