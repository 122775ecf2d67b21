"""Laws across files: splits, references, copies, views and manifests, as pure functions and on small folders."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.checks.integrity import (
    check_manifest,
    difference,
    longest_window,
    missing_references,
    split_breaches,
    view_breaches,
)
from datasets_build.checks.laws import Ledger
from datasets_build.core.records import Dialogue, Evidence, FrameLabel, Probe, Provenance, StreamingQA, Turn
from datasets_build.core.stage import Fingerprint, Stage
from tests.builders.made import clock_from, video_of

CLOCK = clock_from([40] * 3)
MADE = Provenance(kind="template", agent="test", inputs=("e1",))


def videos(*homes):
    return [video_of(f"v{k}", CLOCK, split=split, group=group) for k, (group, split) in enumerate(homes)]


def test_a_group_in_two_splits_is_given_away_by_the_second():
    rows = videos(("a", "train"), ("b", "test"), ("a", "train"), ("a", "test"))
    ((made, breach),) = split_breaches(rows)
    assert made == rows[3].id
    assert breach.found == "split test"
    assert breach.expected == f"train, as video {rows[0].id} of group a"


def test_a_copy_of_a_file_in_two_splits_is_found():
    one, two = videos(("a", "train"), ("b", "validation"))
    ((made, breach),) = split_breaches([one, two.model_copy(update={"sha256": one.sha256})])
    assert made == two.id
    assert "sha256" in breach.expected


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["train", "validation", "test"])), max_size=8))
def test_splits_are_clean_exactly_if_groups_do_not_part(homes):
    parted = any(len({split for group, split in homes if group == name}) > 1 for name in "abc")
    assert bool(list(split_breaches(videos(*homes)))) == parted


def qa(*names, inputs=("e1",)):
    pieces = tuple(Evidence(start_ns=0, end_ns=0, event_id=name) for name in names)
    return StreamingQA(
        id="q", video_id="v", mode="backward", task="before", question="What?", ask_ns=0, evidence=pieces,
        answerable_from_ns=0, answers=(), provenance=MADE.model_copy(update={"inputs": inputs}),
    )  # fmt: skip


def test_references_to_events_must_resolve():
    there = frozenset({"e1", "e2"})
    assert list(missing_references(qa("e1", "e2", None), there)) == []
    assert [b.found for b in missing_references(qa("e1", "e3"), there)] == ["event e3 in evidence"]
    assert [b.found for b in missing_references(qa(inputs=("e9",)), there)] == ["input e9 in provenance"]


def test_turns_are_searched_too():
    pieces = (Evidence(start_ns=0, end_ns=0, event_id="e3"),)
    turn = Turn(id="t", role="assistant", start_ns=0, end_ns=0, text="It.", evidence=pieces)
    row = Dialogue(
        id="d",
        video_id="v",
        start_ns=0,
        end_ns=1,
        system="",
        language="en",
        turns=(turn,),
        decisions=(),
        provenance=MADE,
    )
    assert [b.found for b in missing_references(row, frozenset({"e1"}))] == ["event e3 in evidence"]


def test_a_difference_names_the_first_field():
    one = Probe(t_ns=0, kind="text", expected="a")
    assert difference(one, one) is None
    assert difference(one, one.model_copy(update={"expected": "b"})) == ("expected a", "b")
    assert difference(None, one)[0] == "no row"
    assert difference(one, None)[0] == "a row"
    long = difference(one, one.model_copy(update={"expected": "x" * 999}))
    assert len(long.expected) < 200


def step(k):
    return FrameLabel(
        id=f"f{k}", video_id="v", t_ns=k, frame_index=k, grid="native", labels=(), event_ids=(), starting=(),
        is_keyframe=False, shot_id=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "expected", "wrong"),
    [
        ([0, 1, 2], [0, 1, 2], []),
        ([0, 1], [0, 1, 2], ["f2"]),
        ([0, 1, 2], [0, 1], ["f2"]),
        ([], [], []),
        ([0], [1], ["f0"]),
    ],
)
def test_views_are_compared_step_by_step(found, expected, wrong):
    pairs = list(view_breaches(map(step, found), map(step, expected)))
    assert len(pairs) == max(len(found), len(expected))
    assert [made for made, breach in pairs if breach] == wrong


@pytest.fixture
def folder(tmp_path):
    stage = Stage.open(tmp_path, "events", Fingerprint({"a": "1"}))
    (stage.final / "deep").mkdir()
    (stage.final / "deep/one.txt").write_text("one")
    (stage.final / "two.txt").write_text("two")
    stage.commit(rejects=[], counts={}, tools={})
    return stage.folder


def judged(folder):
    ledger = Ledger(99)
    check_manifest(folder, ledger)
    return ledger


def test_a_sealed_folder_agrees(folder):
    ledger = judged(folder)
    assert ledger.checked == {"manifest_agrees": 3}
    assert ledger.violations == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda f: (f / "two.txt").write_text("owt"), "SHA-256 "),
        (lambda f: (f / "two.txt").write_text("longer"), "6 bytes"),
        (lambda f: (f / "two.txt").unlink(), "no such file"),
        (lambda f: (f / "deep/three.txt").write_text("3"), "a file that is not listed"),
        (lambda f: (f / "manifest.json").write_text("[]"), "no list of files"),
        (lambda f: (f / "manifest.json").write_text(json.dumps({"files": 7})), "no list of files"),
    ],
)
def test_a_changed_folder_disagrees(folder, change, found):
    change(folder)
    (violation,) = judged(folder).violations
    assert violation.found.startswith(found)
    assert violation.file.startswith("events/")


def test_a_manifest_with_strange_rows_does_not_stop_the_check(folder):
    (folder / "manifest.json").write_text(json.dumps({"files": ["two.txt", {"path": "two.txt", "bytes": 3}]}))
    assert judged(folder).broken["manifest_agrees"] >= 2


@pytest.mark.parametrize(
    ("content", "window"),
    [
        ({"fields": {"config.facts.window_ns": "3000"}}, 3_000),
        ({"fields": {"config.facts.window_ns": "often"}}, None),
        ({"fields": {}}, None),
        ({}, None),
        ([], None),
    ],
)
def test_the_longest_window_is_what_the_settings_say(tmp_path, content, window):
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert longest_window(tmp_path) == window
