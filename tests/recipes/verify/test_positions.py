"""The reading of docs/layouts.md is that of its pictures and of `derive`; positions that part from it are told."""

import re
from collections import Counter
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
from recipes.verify.positions import RULES, check_positions, expected
from recipes.verify.preflight import _first_row
from tests.recipes.data.lessons import DECISIONS, SECOND, writer
from tests.recipes.verify.benches import meddled, of_layout

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
    finding = check_positions(case.bench, rows)
    assert finding.ok, finding.words
    assert f"layout {layout}" in finding.words


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_windows_stand_as_they_should(ready, family):
    case = ready("stream", "branch", family)
    carried = [[example] for example in case.bench.examples if example.cuts]
    assert carried
    assert check_positions(case.bench, carried).ok


def told(bench, rows):
    finding = check_positions(bench, rows)
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


def twice_beside():
    """A question asked aside and one that stays, about the same frames."""
    write = Transcript(writer("group").prompts, LAYOUTS["group"], system_prompt="", decision_tokens=DECISIONS)
    write.see(Sight(t0_ns=0, last_ns=1, height=1, width=1))
    write.ask("q", Reply(text="ab"), t_ns=SECOND)
    write.see(Sight(t0_ns=2 * SECOND, last_ns=2 * SECOND, height=1, width=1))
    write.ask("p", Reply(text="c"), t_ns=3 * SECOND, aside=True)
    write.ask("r", Reply(text="d"), t_ns=4 * SECOND)
    return write.blocks()


def test_a_turn_that_passes_holds_a_copy_of_the_last_token():
    blocks = twice_beside()
    tokens = expected(blocks, "group", rate=TWICE)
    assert len(tokens) == sum(len(block.token_ids) for block in blocks) + 1
    # The same numbers in a layout without rows that predict.
    whole = expected(blocks, "batch", rate=TWICE)
    copied = Counter((token.token_id, token.ids) for token in tokens)
    copied.subtract((token.token_id, token.ids) for token in whole)
    (copy,) = copied.elements()
    spoken = [token for token in whole if token.block.kind is Kind.REPLY and not token.block.passing]
    assert copy in [(token.token_id, token.ids) for token in spoken]
    assert any((token.token_id, token.ids) == copy for token in tokens if token.block.passing)


def test_what_passes_moves_nothing_else():
    blocks = twice_beside()
    without = [block for block in blocks if not block.passing]
    for layout in LAYOUTS:
        stays = [
            (token.token_id, token.ids) for token in expected(blocks, layout, rate=TWICE) if not token.block.passing
        ]
        alone = [(token.token_id, token.ids) for token in expected(without, layout, rate=TWICE)]
        assert sorted(stays) == sorted(alone)


def test_the_table_of_the_page_is_the_rules():
    (table,) = re.findall(r"\| layout \| `reply`.*?\n\n", DOCS, flags=re.DOTALL)
    for line in table.splitlines()[2:]:
        if not line:
            continue
        name, reply, offset, clock, beside, order, *_, predicts = (
            cell.strip(" `") for cell in line.strip("|").split("|")
        )
        rule = RULES[name]
        assert (rule.reply, rule.offset, rule.stream) == (reply, int(offset), clock == "stream")
        assert (rule.beside, rule.frames_first) == (beside == "yes", order == "frames_first")
        assert rule.predicts == (predicts == "yes")
