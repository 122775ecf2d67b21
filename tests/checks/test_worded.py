"""The check of a model's words: it passes what was built, and finds every planted lie in the files."""

import pytest

from datasets_build.builders.build import build_dialogue, build_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.checks.worded import DRAFTS, SAME, TOLD
from datasets_build.core.records import StreamingQA
from datasets_build.core.table import read_table, write_table
from datasets_build.teachers.reword import Wording
from datasets_build.teachers.settings import ChatConfig, TeachersConfig
from tests.builders.made import lively, write_out
from tests.teachers.server import KEY, serving

LAWS = {TOLD[0], SAME[0], DRAFTS[0]}
WORDS, QA = "streaming_qa/words/train.parquet", "streaming_qa/qa/train.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The files of a build in a model's words."""
    out = write_out(tmp_path_factory.mktemp("made") / "out", [lively("first", seconds=20), lively("second", seconds=9)])
    patch = pytest.MonkeyPatch()
    patch.setenv("OPENAI_API_KEY", KEY)
    with serving() as server:
        given = TeachersConfig(chat=ChatConfig(base_url=server.url, model="vlm", max_retries=0))
        build_events(out, EventsConfig())
        build_streaming_qa(out, StreamingQAConfig(teacher="chat"), teachers=given)
        build_dialogue(out, DialogueConfig(teacher="chat"), teachers=given)
    patch.undo()
    return out


@pytest.fixture
def out(made):
    """The same files, put back after a test has planted something."""
    before = {name: (made / name).read_bytes() for name in (WORDS, QA)}
    yield made
    for name, content in before.items():
        (made / name).write_bytes(content)


def broken(out):
    found = run_checks(out, CheckConfig())
    return {law.name: law.broken for law in found.laws if law.broken and law.name in LAWS}


def lines(out):
    return list(read_table(out / WORDS, Wording))


def plant(out, change):
    """Change the first sentence of the model's own that a test can change; what it was and is."""
    rows = lines(out)
    for k, row in enumerate(rows):
        new = change(row) if row.kept is None else None
        if new is not None:
            rows[k] = new
            write_table(out / WORDS, Wording, rows)
            return row, new
    raise AssertionError("nothing to change")


def also_in_record(out, new):
    rows = list(read_table(out / QA, StreamingQA))
    for k, row in enumerate(rows):
        if row.id == new.record_id:
            assert new.place == "question"
            rows[k] = row.model_copy(update={"question": new.text})
    write_table(out / QA, StreamingQA, rows)


def test_what_was_built_passes(out):
    found = run_checks(out, CheckConfig())
    assert {law.name for law in found.laws if law.name in LAWS and law.checked} == LAWS
    assert not broken(out)


def test_other_words_in_the_record_than_told_are_found(out):
    plant(out, lambda row: row.model_copy(update={"text": row.text + " Yes."}))
    assert TOLD[0] in broken(out)


def test_a_sentence_that_is_not_told_is_found(out):
    rows = lines(out)
    drop = next(row for row in rows if row.kept is None)
    write_table(out / WORDS, Wording, [row for row in rows if row.id != drop.id])
    assert TOLD[0] in broken(out)


def test_a_row_of_no_sentence_is_found(out):
    plant(out, lambda row: row.model_copy(update={"place": "answers.99"}))
    assert broken(out)[TOLD[0]] >= 1


@pytest.mark.parametrize("lie", ["{} And 4 more?", "{} At 0:12?", "{} Not so?", "{} On the left?"])
def test_a_lie_in_both_files_is_found(out, lie):
    def change(row):
        return row.model_copy(update={"text": lie.format(row.text)}) if row.place == "question" else None

    _, new = plant(out, change)
    also_in_record(out, new)
    assert broken(out) == {SAME[0]: 1}


def test_a_draft_that_asks_for_something_else_is_found(out):
    def change(row):
        return row.model_copy(update={"draft": "Where is it?"}) if row.place == "question" else None

    plant(out, change)
    assert broken(out)[DRAFTS[0]] == 1


def test_kept_words_are_the_templates(out):
    plant(out, lambda row: row.model_copy(update={"kept": "refused"}))
    assert broken(out)[TOLD[0]] == 1
