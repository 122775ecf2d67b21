"""The reading of docs/layouts.md is that of its pictures and of `derive`; positions that part from it are told."""

import re
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Block, Kind, derive
from models.layouts import LAYOUTS
from models.positions import Clock, Grid
from models.transcript import Reply, Sight, Transcript
from recipes.verify.positions import RULES, check_positions, check_published, expected
from recipes.verify.preflight import _first_row
from tests.recipes.data.lessons import DECISIONS, SECOND, writer
from tests.recipes.verify.benches import meddled, narrowed, of_layout

DOCS = Path("docs/layouts.md").read_text(encoding="utf-8")
TWICE = Fraction(2)


def picture(layout):
    """The spans of temporal positions that the page shows, row by row."""
    (drawn,) = re.findall(rf"<!-- picture: {layout} -->\n```\n(.*?)```", DOCS, flags=re.DOTALL)
    spans = [line.rpartition(" t ")[2].strip() for line in drawn.splitlines()[1:]]
    return [tuple(int(part) for part in (span.split("-") * 2)[:2]) for span in spans]


def shown_blocks():
    """What the page's pictures show: two tokens of each text, three seconds of 2 x 2 tokens, three words each."""
    blocks = [
        Block(kind=kind, t0_ns=0, t1_ns=0, token_ids=(token, token))
        for kind, token in ((Kind.SYSTEM, 1), (Kind.QUERY, 2))
    ]
    for second in range(3):
        begin, end = second * SECOND, (second + 1) * SECOND
        grid = Grid(start=0, height=2, width=2, t_ns=begin)
        blocks.append(Block(kind=Kind.FRAMES, t0_ns=begin, t1_ns=end, token_ids=(3,) * 4, grids=(grid,)))
        blocks.append(Block(kind=Kind.REPLY, t0_ns=end, t1_ns=end, token_ids=(4, 5, 6)))
    return blocks


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_the_pages_pictures_are_read_as_they_stand(layout):
    tokens = expected(shown_blocks(), layout, rate=TWICE)
    parts = [list(part) for _, part in groupby(tokens, key=lambda token: id(token.block))]
    assert [(part[0].ids[0], part[-1].ids[0]) for part in parts] == picture(layout)


def test_every_layout_has_its_rule():
    assert set(RULES) == set(LAYOUTS)


@st.composite
def talks(draw, layout):
    """A stream with questions that stay or pass, frames that wait, and decisions, as a transcript has it."""
    family = draw(st.sampled_from(["qwen2_5_vl", "qwen3_vl"]))
    write = Transcript(
        writer(layout, family).prompts, LAYOUTS[layout], system_prompt=draw(st.sampled_from(["", "s"])),
        decision_tokens=DECISIONS,
    )  # fmt: skip
    height, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    t_ns, shown = 0, False
    for _ in range(draw(st.integers(1, 7))):
        t_ns += draw(st.integers(1, 30)) * SECOND // 10
        what = draw(st.sampled_from(["see", "see", "ask", "wait", "silence", "respond"])) if shown else "see"
        aside = draw(st.booleans())
        sight = Sight(t0_ns=t_ns, last_ns=t_ns, height=height, width=width)
        reply = Reply(text=draw(st.sampled_from(["", "a", "abc"])), ended=draw(st.booleans()))
        if what == "see":
            write.see(replace(sight, last_ns=t_ns + SECOND // 2))
            t_ns, shown = t_ns + SECOND // 2, True
        elif what in ("ask", "wait"):
            write.ask("q", reply, t_ns=t_ns, aside=aside, waiting=sight if what == "wait" else None)
        else:
            write.decide(what, t_ns=t_ns, reply=reply if what == "respond" else None, aside=aside)
        t_ns += 2
    rate = Fraction(0) if family == "qwen3_vl" else TWICE
    return write.blocks(), rate


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_the_reading_is_that_of_derive(layout):
    @settings(max_examples=12)
    @given(talks(layout))
    def law(talk):
        blocks, rate = talk
        context = derive(blocks, LAYOUTS[layout], clock=Clock(tokens_per_second=rate))
        tokens = expected(blocks, layout, rate=rate)
        assert [token.token_id for token in tokens] == context.token_ids.tolist()
        assert [token.ids for token in tokens] == [tuple(ids) for ids in context.positions.T.tolist()]
        arrival = context.arrival[context.block_of].tolist()
        by_arrival = [context.token_ids[k] for k in sorted(range(len(arrival)), key=lambda k: arrival[k])]
        assert [token.token_id for token in sorted(tokens, key=lambda token: token.when)] == by_arrival

    law()


@pytest.mark.parametrize(
    "layout", [name if name in ("branch", "group") else pytest.param(name, marks=pytest.mark.slow) for name in LAYOUTS]
)
def test_rows_of_each_layout_stand_as_they_should(ready, layout):
    case = ready("stream", layout)
    rows = [*([example] for example in case.bench.examples), _first_row(case.prepared, case.bench.examples)]
    docs, published = check_positions(case.bench, rows)
    assert docs.ok, docs.words
    assert published.ok, published.words
    assert f"layout {layout}" in docs.words


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_windows_stand_as_they_should(ready, family):
    case = ready("stream", "branch", family)
    carried = [[example] for example in case.bench.examples if example.cuts]
    assert carried
    assert all(finding.ok for finding in check_positions(case.bench, carried))


def told(bench, rows):
    (finding,) = check_positions(bench, rows)
    assert not finding.ok
    assert finding.check == "positions"
    assert "expected" in finding.words
    return finding.words


def test_positions_of_another_layout_are_told(ready):
    case = ready()
    example = case.of("realtime")
    other = replace(LAYOUTS["branch"].positions, beside=False)
    words = told(of_layout(case.bench, positions=other), [[example]])
    assert example.key in words
    assert "under layout branch" in words
    assert re.search(r"in its frames at \d+\.\d{3} s", words)


def test_documents_that_are_moved_by_packing_are_told(ready):
    """States would not tell: attention knows distances alone."""
    case = ready()
    row = _first_row(case.prepared, case.bench.examples)

    def moved(batch):
        positions = batch.positions.clone()
        positions[:, 0, row[0].tokens :] += 7
        return replace(batch, positions=positions)

    words = told(meddled(case.bench, moved), [row])
    assert row[1].key in words
    assert "token 0 of" in words


@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_wrong_number_is_told(ready, part):
    case = ready()
    example = case.of("frame_events")

    def wrong(batch):
        positions = batch.positions.clone()
        positions[part, 0, 40] += 1
        return replace(batch, positions=positions)

    assert f"token 40 of {example.key}" in told(meddled(case.bench, wrong), [[example]])


def test_tokens_that_are_missing_or_too_many_are_told(ready):
    case = ready()
    example = case.of("frame_events")
    fewer = meddled(
        case.bench, lambda batch: replace(batch, token_ids=batch.token_ids[:, :-1], positions=batch.positions[..., :-1])
    )
    assert "None" in told(fewer, [[example]])
    more = meddled(
        case.bench,
        lambda batch: replace(
            batch,
            token_ids=torch.cat([batch.token_ids] * 2, dim=1),
            positions=torch.cat([batch.positions] * 2, dim=2),
        ),
    )
    assert f"expected {example.tokens}" in told(more, [[example]])


def test_another_clock_than_the_models_is_told(ready):
    case = ready()
    clock = replace(case.bench.how.clock, tokens_per_second=Fraction(25))
    finding = check_published(replace(case.bench, how=replace(case.bench.how, clock=clock)))
    assert not finding.ok
    assert "as transformers places it" in finding.words
    assert "compare the clock" in finding.words


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_transformers_agrees(ready, family):
    case = ready("stream", "branch", family)
    assert check_published(narrowed(case.bench, case.of("realtime"))).ok
