"""A round of one name has one set of settings: all are in its manifest, and others are refused by their names."""

import json
import shutil

import pytest

from annotate import plan as planning
from annotate.errors import AnnotateError
from annotate.plan import Gold, Known, PlanConfig
from annotate.tasks import Work
from datasets_build.core.config import flatten
from tests.annotate.planned import S, place, planned
from tests.annotate.rounds_of_items import tree


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": 1}, "seed: 0 → 1"),
        ({"overlap": 2}, "overlap: 1 → 2"),
        ({"sample": 3}, "sample: 2 → 3"),
        ({"sample": None}, "sample: 2 → None; items: 2 → 7"),
    ],
)
def test_another_setting_is_refused_by_the_name_of_its_field_before_a_proxy_is_made(
    clips, tmp_path, unmade, change, field
):
    planned(tmp_path, clips, sample=2)
    before = tree(tmp_path)
    unmade.clear()
    with pytest.raises(AnnotateError, match="a round of this name was made of something else") as refused:
        planned(tmp_path, clips, **{"sample": 2, **change})
    assert field in str(refused.value)
    assert tree(tmp_path) == before
    assert not unmade


def test_another_kind_and_other_records_are_refused_too(clips, tmp_path, unmade):
    data = shutil.copytree(clips, tmp_path / "data")
    planned(tmp_path / "rounds", data)
    with pytest.raises(AnnotateError, match="kind: events → qa"):
        planned(tmp_path / "rounds", data, "qa")
    path = data / "events" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "other"}))
    with pytest.raises(AnnotateError, match=r"model_version: \w+ → other"):
        planned(tmp_path / "rounds", data)
    with pytest.raises(AnnotateError, match=r"data: \.\./\.\./data → "):
        planned(tmp_path / "rounds", clips)


def test_other_proxies_are_other_items(clips, tmp_path, monkeypatch):
    planned(tmp_path, clips, sample=1)
    before = (tmp_path / "r1" / "items.jsonl").read_bytes()
    with pytest.raises(
        AnnotateError, match=r"something else \(proxy\.crf: 23 → 40\), each what it has → what was asked"
    ):
        planned(tmp_path, clips, sample=1, proxy={"crf": 40})
    make = planning.make_proxy
    monkeypatch.setattr(
        planning, "make_proxy", lambda *args, **more: make(*args, **more).model_copy(update={"proxy_sha256": "0" * 64})
    )
    with pytest.raises(
        AnnotateError, match=r"items_sha256: .*; every setting is the same, so the records or the clips"
    ):
        planned(tmp_path, clips, sample=1)
    assert (tmp_path / "r1" / "items.jsonl").read_bytes() == before


BASE = {"order": {"disputed": 2}}
OTHERS = {
    "sample": 2,
    "overlap": 2,
    "seed": 7,
    "least_ns": S // 4,
    "most_ns": 2 * S,
    "proxy.most_high": 480,
    "proxy.most_long": 640,
    "proxy.crf": 30,
    "proxy.preset": "veryfast",
    "order.uncertain": 3.0,
    "order.diverse": 3.0,
    "order.disputed": 3.0,
    "order.random": 3.0,
    "order.width_ns": 5,
    "order.diverse_first": 5,
    "order.seed": 5,
}


def lies(settings, name):
    """The setting of a full name in nested ones."""
    for step in name.split("."):
        settings = settings[step]
    return settings


def with_setting(name, value):
    """The base settings with another one."""
    group, _, leaf = name.rpartition(".")
    return {**BASE, group: {**BASE.get(group, {}), leaf: value}} if group else {**BASE, leaf: value}


def test_every_setting_is_in_the_manifest_and_is_tried_below(clips, tmp_path, unmade):
    config = PlanConfig.model_validate({**BASE, "least_ns": S // 2, "most_ns": S})
    made = json.loads((planned(tmp_path, clips, **BASE).folder / "manifest.json").read_text())
    for name, value in flatten(config).items():
        assert repr(lies(made, name)) == value
    assert flatten(config).keys() == OTHERS.keys()


@pytest.mark.parametrize("name", OTHERS)
def test_each_setting_is_refused_by_its_full_name_with_what_the_round_has_and_what_was_asked_for(
    clips, tmp_path, unmade, name
):
    made = planned(tmp_path, clips, **BASE)
    had = lies(made.manifest.model_dump(mode="json"), name)
    before = tree(tmp_path)
    unmade.clear()
    with pytest.raises(AnnotateError) as refused:
        planned(tmp_path, clips, **with_setting(name, OTHERS[name]))
    changes = str(refused.value).partition("(")[2].partition("), each what it has → what was asked for")[0]
    # How many windows there are follows from it.
    changes = [change for change in changes.split("; ") if not change.startswith("items: ")]
    assert changes == [f"{name}: {had} → {OTHERS[name]}"]
    assert str(refused.value).endswith("; ask for what it has, or choose another name")
    assert tree(tmp_path) == before
    assert not unmade
    assert planned(tmp_path, clips, **BASE) == made


def test_another_setting_is_named_also_where_the_gold_is_of_no_window_with_it(clips, tmp_path, unmade):
    made = planned(tmp_path / "plain", clips)
    video, start, end = place(made.items[0])
    gold = [Gold(video_id=video, start_ns=start, end_ns=end, work=Work(kind="events"))]
    planned(tmp_path, clips, known=Known(gold=gold))
    with pytest.raises(AnnotateError, match=rf"something else \(most_ns: {S} → {4 * S}; items: "):
        planned(tmp_path, clips, most_ns=4 * S, known=Known(gold=gold))
    with pytest.raises(AnnotateError, match="is no window of the folder with these settings"):
        planned(tmp_path / "other", clips, most_ns=4 * S, known=Known(gold=gold))


def test_an_order_where_there_was_none_and_disputes_of_another_round_are_refused(clips, tmp_path, unmade):
    planned(tmp_path / "plain", clips)
    with pytest.raises(AnnotateError, match=r"something else \(order: None → \{'uncertain': 1\.0, "):
        planned(tmp_path / "plain", clips, **BASE)
    planned(tmp_path / "after", clips, known=Known(after="r0"), **BASE)
    with pytest.raises(AnnotateError, match=r"something else \(after: r0 → None\)"):
        planned(tmp_path / "after", clips, **BASE)
