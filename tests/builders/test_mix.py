"""Shares of tasks and what a build covers: the arithmetic, and what a manifest says of it."""

import json
import logging
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.builders.build import build_events, build_streaming_qa
from datasets_build.builders.coverage import Coverage
from datasets_build.builders.events import EventsConfig, events_of
from datasets_build.builders.mix import Mix, kind_of, quotas
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.dataset import SPLITS
from datasets_build.core.layout import dataset_rows
from datasets_build.core.records import About, Answer, StreamingQA
from datasets_build.truth.ovo import OVO
from tests.builders.made import MS, bare, clock_from, lively, said, shots_at, video_of, write_out


def lone_row(name, task, text):
    """A question as far as shares look at it."""
    answer = Answer(text=text, t_ns=0, window_start_ns=0, window_end_ns=MS, valid_until_ns=None)
    return StreamingQA.model_construct(
        id=name, video_id=name, task=task, answers=(answer,), twin_id=None, about=About(kind="scene")
    )


CLOCK = clock_from([40] * 249)
MIX = {"now": 0.3, "twins": 0.2, "step": 0.1}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    scenes = [lively(f"mix {k}", seconds=60, seed=k, split=("train", "train", "test")[k]) for k in range(3)]
    folder = write_out(tmp_path_factory.mktemp("mix") / "out", [*scenes, bare("mix bare", frames=3)])
    build_events(folder, EventsConfig())
    return folder


def build(out, **more):
    build_streaming_qa(out, StreamingQAConfig(per_minute=120.0, **more), force=True)
    rows = list(dataset_rows(out, "streaming_qa/qa", StreamingQA))
    return rows, json.loads((out / "streaming_qa/manifest.json").read_text())


def test_what_is_left_has_the_shares_and_the_manifest_says_so(out):
    every, _ = build(out)
    rows, manifest = build(out, mix=MIX)
    assert {row.id for row in rows} < {row.id for row in every}
    reached = manifest["mix"]["train"]
    train = {row.id for row in dataset_rows(out, "streaming_qa/qa", StreamingQA)}
    assert train == {row.id for row in rows}
    for task, share in MIX.items():
        assert reached[task]["asked"] == share
        assert abs(reached[task]["reached"] - share) < 0.06, task
    assert sum(found["questions"] for split in manifest["mix"].values() for found in split.values()) == len(rows)


def test_what_is_left_out_is_told_by_task_in_manifest_card_and_console(out, caplog):
    every, _ = build(out)
    with caplog.at_level(logging.INFO):
        rows, manifest = build(out, mix=MIX)
    gone, stay = len(every) - len(rows), Counter(map(kind_of, rows))
    there = Counter(map(kind_of, every))
    left = Counter()
    for split in manifest["mix"].values():
        left.update({kind: found["left_out"] for kind, found in split.items()})
    assert {kind: left[kind] for kind in there} == {kind: there[kind] - stay[kind] for kind in there}
    assert gone > 0
    sentence = (
        f"For the shares of `mix` {gone} of {len(every)} questions were left out: {left['attribute']} of attribute"
    )
    assert sentence in (out / "streaming_qa/README.md").read_text()
    assert sentence in caplog.text


def test_without_shares_nothing_is_left_out_and_nothing_said_of_it(out):
    _, manifest = build(out)
    assert {found["left_out"] for split in manifest["mix"].values() for found in split.values()} == {0}
    assert "left out:" not in (out / "streaming_qa/README.md").read_text()


def question(k, task, text="A dog."):
    return lone_row(f"{task}{k}", task, text)


def test_a_task_that_has_a_share_keeps_one_however_rare_it_is():
    rows = [question(k, "now", ("Yes.", "No.")[k % 2]) for k in range(100)]
    rows += [question(k, "colour") for k in range(10)] + [question(k, "clue") for k in range(5)]
    mix = Mix({"clue": 0.5, "order": 0.1, "next": 0.0}, 0)
    mix.see("train", [*rows, *(question(k, "next") for k in range(9))])
    stays = Counter(name.rstrip("0123456789") for name in mix.kept("train"))
    assert stays["colour"] >= 1, "its share of what is left gives none, rounded down"
    assert stays["clue"] == 5
    assert stays["now"] >= 2, "one of yes and one of no"
    assert stays["next"] == 0, "a share of nothing"


def test_every_video_keeps_a_question_and_twins_each_other(out):
    every, _ = build(out)
    rows, _ = build(out, mix={"read": 1.0})
    assert {row.video_id for row in rows} == {row.video_id for row in every}
    names = {row.id for row in rows}
    assert all(row.twin_id in names for row in rows if row.twin_id)


def test_another_seed_leaves_others_and_the_same_the_same(out):
    one, _ = build(out, mix=MIX)
    again, _ = build(out, mix=MIX)
    assert one == again


def test_yes_and_no_stay_even(out):
    rows, _ = build(out, mix={"happened_yet": 0.3, "now": 0.1})
    said = [row.answers[0].text.casefold().startswith("yes") for row in rows if row.task == "happened_yet"]
    assert abs(sum(said) * 2 - len(said)) <= 4


@pytest.mark.parametrize("mix", [{"now": 1.2}, {"now": -0.1}, {"now": 0.7, "next": 0.7}, {"guess": 0.1}])
def test_shares_that_make_no_sense_are_refused(mix):
    with pytest.raises(ValidationError):
        StreamingQAConfig(mix=mix)


def refused(**settings):
    with pytest.raises(ValidationError) as error:
        StreamingQAConfig(**settings)
    return str(error.value)


def test_what_is_refused_is_told_as_it_is():
    assert "found now more than once, expected each task once" in refused(tasks=("now", "next", "now"))
    assert "found 1.4 in all, expected at most 1 in all" in refused(mix={"now": 0.7, "next": 0.7})
    assert "found now: -0.1, expected shares from 0 to 1" in refused(mix={"now": -0.1})
    assert "mix: found step, expected tasks of which `tasks` draws" in refused(tasks=("now",), mix={"step": 0.2})
    assert "found colour" in refused(tasks=("attribute",), mix={"colour": 0.2})
    assert StreamingQAConfig(mix={"now": 0.5, "next": 0.5}).mix == {"now": 0.5, "next": 0.5}


@pytest.mark.parametrize(
    ("task", "kind"), [("last", "before"), ("watch", "tell_me_when"), ("tally", "count_so_far"), ("shape", "shape")]
)
def test_a_share_is_of_records_whatever_draws_them(task, kind):
    assert StreamingQAConfig(tasks=(task,), mix={kind: 0.5}).mix == {kind: 0.5}


def test_a_colour_of_what_does_something_is_an_attribute():
    row = lone_row("q", "colour", "It is red.")
    assert kind_of(row) == "colour"
    assert kind_of(row.model_copy(update={"about": About(kind="label", label="move")})) == "attribute"
    assert kind_of(row.model_copy(update={"twin_id": "other"})) == "twins"
    assert StreamingQAConfig(mix={"attribute": 0.5}).mix == {"attribute": 0.5}


KINDS = ("now", "next", "order", "twins")


@given(
    st.dictionaries(st.sampled_from(KINDS), st.integers(0, 500)),
    st.dictionaries(st.sampled_from(KINDS), st.integers(0, 25)),
)
def test_quotas_keep_shares_and_are_as_large_as_they_can_be(sizes, parts):
    shares = {kind: part / 100 for kind, part in parts.items()}
    found = quotas(sizes, shares)
    assert all(-1e-9 <= found[kind] <= sizes[kind] + 1e-6 for kind in sizes)
    total = sum(found.values())
    there = {kind: share for kind, share in shares.items() if sizes.get(kind)}
    named = [found[kind] / there[kind] for kind in there if there[kind] > 0]
    assert max(named, default=0) - min(named, default=0) < 1e-6
    if total:
        assert any(abs(found[kind] - sizes[kind]) < 1e-6 for kind in sizes)


def test_a_task_that_nobody_asked_leaves_the_others_their_ratio():
    found = quotas({"now": 100, "next": 100}, {"now": 0.4, "next": 0.2, "read": 0.4})
    assert found == {"now": 100.0, "next": 50.0}


def test_where_no_task_with_a_share_is_there_the_others_stay():
    assert quotas({"a": 10, "b": 5}, {"z": 1.0}) == {"a": 10.0, "b": 5.0}
    assert quotas({"a": 10, "b": 0}, {"z": 0.5, "a": 0.0}) == {"a": 0.0, "b": 0.0}
    assert quotas({"a": 10, "z": 4}, {"z": 1.0}) == {"a": 0.0, "z": 4.0}


def test_without_questions_nothing_is_kept():
    assert Mix({"now": 1.0}, 0).kept("train") == frozenset()


def test_the_twelve_tasks_are_told_with_their_reasons(out):
    rows, manifest = build(out)
    told = manifest["ovo_bench"]
    assert tuple(told) == OVO
    for task, found in told.items():
        assert (sum(found["questions"].values()) == 0) == (found["missing"] is not None), task
    assert told["OCR"]["missing"] == "OCR: no annotation of text in the picture (label `text`)."
    assert "kind `box`" in told["STU"]["missing"]
    card = (out / "streaming_qa/README.md").read_text()
    assert told["OCR"]["missing"] in card
    assert sum(sum(found["questions"].values()) for found in told.values()) == sum(
        row.task != "tell_me_when" or row.twin_id is not None for row in rows
    )


def test_what_is_not_asked_for_is_told_as_that():
    missing = Coverage(("now",)).missing()
    assert missing["CRR"] == "CRR: not asked for, since `streaming_qa.tasks` names none of `clue`."
    assert "nothing lasts" in missing["ACR"]
    assert set(Coverage(("order",)).as_json(SPLITS)) == set(OVO)
    assert "no annotation tells what happens" in Coverage(("order",)).missing()["ASI"]


def test_why_there_are_none_fits_what_is_there():
    """Sentences of a corpus: what was before is asked, and nobody is named who could be absent or do more."""
    video = video_of("corpus", CLOCK)
    rows = [
        said(video, k * 1_000 * MS, (k * 1_000 + 900) * MS, f"A man does {k}.", origin="captions") for k in range(4)
    ]
    told = events_of(video, CLOCK, shots_at(video, CLOCK, []), [], rows, EventsConfig()).events
    found = Coverage(("before", "twins", "now", "clue"))
    found.see(told, [])
    found.count("train", [lone_row("q", "before", "A man does 1.").model_copy(update={"unanswerable": False})])
    missing = found.missing()
    assert "EPM" not in missing
    assert "whole sentences" in missing["HLD"]
    assert "no annotation names who does something" in missing["CRR"]
    bare_one = Coverage(("twins", "clue"))
    bare_one.see(told[:1], [])
    assert "whole sentences" not in bare_one.missing()["HLD"]


def test_a_twin_counts_as_such(out):
    rows, _ = build(out)
    assert {kind_of(row) for row in rows if row.twin_id} == {"twins"}
    assert "twins" not in {kind_of(row) for row in rows if not row.twin_id}
