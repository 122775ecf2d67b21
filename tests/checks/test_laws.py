"""The ledger counts every check and keeps the first violations; every law has a name of its own and a sentence."""

import re

import pytest

from datasets_build.checks.answers import TRUTH_LAWS
from datasets_build.checks.causality import EVENT_LAWS, QUESTION_LAWS
from datasets_build.checks.check import COPY, VIEW, WHOLE
from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.integrity import MANIFEST, SPLIT_BY_SOURCE
from datasets_build.checks.laws import Breach, Known, Law, Ledger, Violation
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.checks.tables import FOLLOW, KEYFRAME_LAWS, SHOT_LAWS, SIGNAL_LAWS, TILE
from datasets_build.checks.timing import FRAME_LAWS, TIME_LAWS
from datasets_build.checks.walk import IN_ORDER, IN_SPLIT, READABLE, RESOLVES, UNIQUE
from datasets_build.core.records import Probe
from tests.builders.made import clock_from, video_of

CLOCK = clock_from([40] * 3)
KNOWN = Known(video_of("v", CLOCK), CLOCK, {})
ACROSS = (SPLIT_BY_SOURCE, MANIFEST, IN_ORDER, IN_SPLIT, READABLE, RESOLVES, UNIQUE, COPY, VIEW, WHOLE, TILE, FOLLOW)
BELOW = (*SHOT_LAWS, *KEYFRAME_LAWS, *SIGNAL_LAWS)
LAWS = (*TIME_LAWS, *FRAME_LAWS, *BELOW, *EVENT_LAWS, *QUESTION_LAWS, *TRUTH_LAWS, *DIALOGUE_LAWS, *REPLY_LAWS)
NAMES = [(law.name, law.about) for law in LAWS]


def test_every_law_has_a_name_and_a_sentence():
    every = [*NAMES, *ACROSS]
    assert len({name for name, _ in every}) == len(every) >= 69
    for name, about in every:
        assert re.fullmatch(r"[a-z_]+", name)
        assert len(about.split()) >= 4


def odd(row, known):
    if row.t_ns % 2:
        yield Breach(f"t_ns {row.t_ns}", "an even number")
        yield Breach("again", "nothing")


@pytest.mark.parametrize(("keep", "kept"), [(1, 1), (3, 3), (99, 6)])
def test_a_ledger_counts_all_and_keeps_the_first(keep, kept):
    ledger = Ledger(keep)
    law = Law("even", "every number is even", odd)
    for k in range(6):
        ledger.judge("a/b.parquet", f"r{k}", law, Probe(t_ns=k, kind="text", expected=""), KNOWN)
    assert ledger.checked == {"even": 6}
    assert ledger.broken == {"even": 6}
    assert len(ledger.violations) == kept
    assert ledger.violations[0] == Violation(
        law="even", file="a/b.parquet", record="r1", found="t_ns 1", expected="an even number"
    )
    assert ledger.about == {"even": "every number is even"}


def test_a_violation_reads_as_one_line():
    row = Violation(law="even", file="a/b.parquet", record="r1", found="3", expected="4")
    assert str(row) == "a/b.parquet: r1: breaks even: found 3, expected 4"
