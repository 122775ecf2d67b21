"""Where things are, in dialogues too: the check reads the boxes that the builder read."""

import shutil

import pytest

from datasets_build.builders.build import build_dialogue, build_events
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.records import Annotation, Dialogue
from datasets_build.core.table import read_table, write_table
from tests.builders.made import write_out
from tests.checks.test_options import scene

CONFIG = CheckConfig()


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """A folder whose dialogue asks where something is."""
    for seed in range(20):
        out = write_out(tmp_path_factory.mktemp("places") / "out", [scene()])
        build_events(out, EventsConfig())
        build_dialogue(out, DialogueConfig(seed=seed, per_minute=30.0))
        (row,) = read_table(out / "dialogue/dialogues/train.parquet", Dialogue)
        if any(turn.task == "where" for turn in row.turns):
            return out
    raise AssertionError("no dialogue asks where anything is")


def broken(out):
    return {law.name for law in run_checks(out, CONFIG).laws if law.broken}


def test_a_turn_that_says_where_something_is_breaks_nothing(talk):
    assert broken(talk) == set()


def test_what_a_dialogue_was_made_from_is_an_event_or_a_box_of_its_video(talk, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(talk, out)
    (row,) = read_table(out / "dialogue/dialogues/train.parquet", Dialogue)
    boxes = {each.id for each in read_table(out / "index/annotations.parquet", Annotation) if each.kind == "box"}
    assert boxes & {*row.provenance.inputs}
    strange = row.provenance.model_copy(update={"inputs": (*row.provenance.inputs, "no such box")})
    write_table(out / "dialogue/dialogues/train.parquet", Dialogue, [row.model_copy(update={"provenance": strange})])
    assert "references_resolve" in broken(out)


def test_a_turn_of_which_no_box_tells_is_found(talk, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(talk, out)
    file = out / "index/annotations.parquet"
    kept = [row for row in read_table(file, Annotation) if row.kind != "box"]
    write_table(file, Annotation, kept)
    assert "turn_evidence_due" in broken(out)
