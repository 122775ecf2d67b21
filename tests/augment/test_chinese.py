"""Datasets in Chinese: what the builders write breaks no law, and what augmentation makes of it stays Chinese."""

import re
from functools import lru_cache

import pytest

from augment.latency import Constant
from augment.maker import Maker
from augment.settings import Crop, Delay, DroppedAnswer, Interrupt, Pipeline, Reconnect, Speed, WrongThenCorrected
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.records import Dialogue, StreamingQA
from datasets_build.core.table import read_table
from datasets_build.teachers.template import CHINESE
from datasets_build.truth.asides import CHINESE_ASIDES, said
from tests.augment.clips import RULES, broken, clip_of
from tests.augment.folders import applied, finished
from tests.builders.made import lively

OPERATIONS = [
    Speed(form="pieces", low=0.5, high=2.0),
    Crop(),
    Reconnect(gaps=1),
    Delay(network=Constant(ms=700.0)),
    Interrupt(share=0.9, then="resume"),
    DroppedAnswer(share=0.7),
    WrongThenCorrected(share=0.8, by="self"),
    WrongThenCorrected(share=0.8, by="user"),
]


@lru_cache(maxsize=4)
def clip(name):
    return clip_of(lively(name, seconds=24.0), words=CHINESE)


def made_of(name, operation):
    maker = Maker(pipeline=Pipeline(seed=0, operations=(operation,)), rules=RULES, talk_rules=RULES)
    return maker.make(clip(name), 0)


def texts_of(questions, dialogues):
    for row in questions:
        yield row.question
        yield from (answer.text for answer in row.answers)
    for row in dialogues:
        yield row.system
        yield from (turn.intended_text or turn.text for turn in row.turns)


def is_chinese(text):
    """Without what is quoted there is no letter and no space."""
    return not re.search(r"[A-Za-z\s]", re.sub(r"“[^”]*”", "", text)) and re.search(r"[\u4e00-\u9fff“]", text)


@pytest.mark.parametrize("name", ["a", "b"])
def test_what_the_builders_write_is_chinese(name):
    made = clip(name)
    found = list(texts_of(made.questions, made.dialogues))
    assert len(found) > 60
    assert all(map(is_chinese, found)), next(text for text in found if not is_chinese(text))
    assert {row.language for row in made.dialogues} == {"zh"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.kind} {getattr(each, 'by', '')}")
def test_each_operation_breaks_no_law_and_stays_chinese(operation):
    for name in ("a", "b"):
        found = made_of(name, operation)
        assert broken(found) == []
        assert found.clip.questions
        assert all(map(is_chinese, texts_of(found.clip.questions, found.clip.dialogues)))


def test_asides_are_chinese():
    asides = set()
    for operation in OPERATIONS:
        for name in ("a", "b"):
            for row in made_of(name, operation).clip.dialogues:
                for turn in row.turns:
                    if aside := said(turn.text).aside:
                        assert turn.text.startswith(CHINESE_ASIDES[aside])
                        asides.add(aside)
    assert {"corrected", "refused"} <= asides


def test_a_folder_in_chinese_is_built_checked_and_augmented(tmp_path):
    out = finished(tmp_path / "out", splits=("train", "test"), frames=False, teacher="template_zh")
    result = run_checks(out, CheckConfig())
    assert [law.name for law in result.laws if law.broken] == []
    assert sum(law.checked for law in result.laws if law.name in ("words_fit", "turn_words_fit")) > 10
    applied(out, tmp_path / "more", Speed(), WrongThenCorrected(share=0.8))
    again = run_checks(tmp_path / "more", CheckConfig())
    assert [law.name for law in again.laws if law.broken] == []
    for folder in (out, tmp_path / "more"):
        rows = [
            row for path in sorted(folder.glob("streaming_qa/qa/*.parquet")) for row in read_table(path, StreamingQA)
        ]
        talks = [
            row for path in sorted(folder.glob("dialogue/dialogues/*.parquet")) for row in read_table(path, Dialogue)
        ]
        assert rows
        assert talks
        assert all(map(is_chinese, texts_of(rows, talks)))
