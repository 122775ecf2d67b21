"""Scripts become examples: order of time, segments, windows, the frame that waits, and what is too long."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.asked import put_question
from datasets_build.video import probe
from models.blocks import Kind, derive
from models.errors import TimeError
from recipes.data.footage import Footage, Stretch
from recipes.data.frames import Frames
from recipes.data.questions import instants
from recipes.data.script import Left, Line, Script, borders_of, in_order, longest_window
from recipes.errors import RecipeError
from recipes.losses.consistency import gates
from recipes.losses.rows import DecisionRows
from tests.builders.made import steady, video_of
from tests.drawn import VideoSpec, draw_video, frame_number
from tests.recipes.data.lessons import SECOND, desk, frame_format, how, writer


def footage_of(seconds=10.0):
    return Footage.of(
        video_of("one", steady(seconds)), Path("one.mp4"), steady(seconds), fps="2", max_gap_s=2.0,
        frames=frame_format(),
    )  # fmt: skip


def script_of(*lines, seconds=10.0, stretch=None, **more):
    footage = footage_of(seconds)
    whole = stretch or Stretch(first=0, learn=0, stop=len(footage.grids))
    return Script(key="k", source="s", footage=footage, stretch=whole, lines=lines, **more)


def ask(seconds, text="yes", **more):
    return Line(t_ns=round(seconds * SECOND), task="t", question="Q?", text=text, **more)


def decide(place, state="silence", **more):
    return Line(t_ns=footage_of().grids[place].t1_ns, task="t", state=state, **more)


def test_grids_are_seen_as_far_as_somebody_asks():
    example = writer().write(script_of(decide(2), ask(3.0)))
    grids = [grid for grid in example.grids if grid.t0_ns != grid.t1_ns]
    assert len(grids) == 3
    # At 3.0 s the frame of 3.0 s waits for its partner.
    assert example.grids[-1].t0_ns == example.grids[-1].t1_ns == 3 * SECOND
    assert [said.grid for said in example.said] == [2, 3]
    assert example.said[0].t_ns == footage_of().grids[2].t1_ns + 1


def test_the_frame_that_waits_is_seen_by_its_question_alone():
    example = writer().write(script_of(ask(3.0, aside=True), decide(4), ask(6.2, "no")))
    context = derive(example.blocks, how().layout, clock=how().clock)
    waiting = [k for k, block in enumerate(context.blocks) if block.grids and block.passing]
    assert len(waiting) == 2
    for k in waiting:
        seen_by = {context.blocks[row].turn for row in range(len(context.blocks)) if context.sees[row, k] and row != k}
        assert seen_by == {context.blocks[k].turn}


def test_a_question_at_the_time_of_a_grid_stands_behind_it():
    footage = footage_of()
    line = Line(t_ns=footage.grids[1].t1_ns, task="t", question="Q?", text="yes")
    example = writer().write(script_of(line))
    assert example.said[0].t_ns == line.t_ns + 1
    assert len(example.grids) == 2


def test_segments_count_what_began_or_ended_and_turns_that_stay():
    borders = (0, 2 * SECOND, 5 * SECOND)
    lines = in_order([decide(0), decide(3), ask(4.2), ask(4.4, aside=True), decide(6), ask(8.2)])
    example = writer().write(script_of(*lines, borders=borders))
    assert [said.segment for said in example.said] == [1, 2, 3, 3, 4, 5]


@pytest.mark.slow
@given(st.lists(st.integers(0, 9), max_size=4), st.lists(st.integers(0, 9), max_size=3), st.integers(0, 1))
@settings(max_examples=25)
def test_a_turn_at_the_time_of_a_grid_parts_it_from_the_next_one(turns, events, shift):
    """The decision about a grid is taken before what is asked at its time, and after what begins in it."""
    footage = footage_of()
    times = [grid.t1_ns for grid in footage.grids]
    asked = sorted({times[place] + shift for place in turns})
    borders = tuple(sorted({times[place] for place in events}))
    questions = [Line(t_ns=t_ns, task="t", question="Q?", text="yes") for t_ns in asked]
    decisions = [decide(place) for place in range(10)]
    lines = in_order([*questions, *decisions])
    decided = [said.segment for said in writer().write(script_of(*lines, borders=borders)).said if not said.asked]
    for place, (before, after) in enumerate(pairwise(decided)):
        heard = any(times[place] <= t_ns < times[place + 1] for t_ns in asked)
        begun = any(times[place] < t_ns <= times[place + 1] for t_ns in borders)
        assert (before != after) == (heard or begun)


def test_the_gate_is_shut_across_a_question_at_the_time_of_a_grid():
    footage = footage_of()
    asked = Line(t_ns=footage.grids[3].t1_ns, task="t", question="Q?", text="yes")
    example = writer().write(script_of(*in_order([*(decide(place) for place in range(6)), asked])))
    decided = [said for said in example.said if not said.asked]
    times = torch.tensor([said.t_ns / SECOND for said in decided], dtype=torch.float64)
    rows = DecisionRows(
        states=torch.zeros(6, dtype=torch.int64),
        document=torch.zeros(6, dtype=torch.int64),
        segment=torch.tensor([said.segment for said in decided]),
        time_s=times,
        evidence_s=torch.full_like(times, float("inf")),
        window_s=torch.full_like(times, float("inf")),
        learned=torch.ones(6, dtype=torch.bool),
        weight=torch.ones(6),
    )
    assert (gates(rows) > 0).tolist() == [True, True, True, False, True, False]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 6))
@settings(max_examples=10)
def test_windows_begin_where_their_time_begins(places, seconds):
    lines = tuple(decide(place) for place in sorted(set(places)))
    example = writer().write(script_of(*lines, carry_ns=seconds * SECOND))
    begins = [example.blocks[cut].grids[0].t_ns for cut in example.cuts]
    windows = [t_ns // (seconds * SECOND) for t_ns in begins]
    assert all(before < after for before, after in pairwise([0, *windows]))
    last = example.grids[-1].t0_ns // (seconds * SECOND)
    assert (windows[-1] if windows else 0) == last
    assert longest_window(example) <= example.tokens


def test_lines_out_of_order_are_refused():
    with pytest.raises(TimeError):
        writer().write(script_of(ask(6.0), ask(3.0)))
    assert [line.t_ns for line in in_order([ask(6.0), ask(3.0)])] == [3 * SECOND, 6 * SECOND]
    grid = decide(2)
    asked = replace(ask(0), t_ns=grid.t_ns)
    assert in_order([asked, grid]) == (grid, asked)


def test_a_script_without_a_lesson_is_refused():
    with pytest.raises(RecipeError, match="nothing in it is learned"):
        writer().write(script_of(ask(3.0, learn=False)))


def test_a_script_may_say_what_the_model_is_told_to_be():
    plain, other = (writer().write(script_of(ask(3.0), system=system)) for system in ("", "Be brief."))
    assert plain.blocks[0].token_ids != other.blocks[0].token_ids
    prompts = writer().prompts
    assert other.blocks[0].token_ids == prompts.system("Be brief.")


def test_times_in_text_count_from_the_beginning_of_the_video():
    ours = writer(family="qwen3_vl")
    late = Stretch(first=4, learn=4, stop=8)
    example = ours.write(script_of(decide(5), stretch=late))
    frames = [block for block in example.blocks if block.kind is Kind.FRAMES]
    words = ours.prompts.tokenizer.decode(list(frames[0].token_ids))
    middle = (footage_of().grids[4].t0_ns + footage_of().grids[4].t1_ns) / 2 / SECOND
    assert words.startswith(f"<{middle:.1f} seconds>")


def test_what_a_remembering_tokenizer_says_is_what_it_would_say_anew():
    ours = writer().prompts
    for text in ("assistant\n", "assistant\n", "Blue.", "<|im_end|>"):
        given = ours.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert ours.text(text) == tuple(given)


def test_too_long_stretches_are_cut_and_counted_once():
    footage = footage_of()

    def make(stretch):
        at.left.out("s", "something else", f"{stretch.learn}")
        lines = tuple(decide(place) for place in range(stretch.learn, stretch.stop))
        return [replace(script_of(*lines), stretch=stretch, key=f"k/{stretch.learn}")]

    whole = Stretch(first=0, learn=0, stop=len(footage.grids))
    at = desk()
    (example,) = at.written(make, whole)
    at = desk(limit=example.tokens // 2)
    parts = at.written(make, whole)
    assert len(parts) > 1
    assert all(part.tokens <= at.limit for part in parts)
    assert [said.t_ns for part in parts for said in part.said] == [said.t_ns for said in example.said]
    # What the whole left out is not counted beside what its parts leave out.
    assert at.left.counts["s", "something else"] == len(parts)
    at = desk(limit=1)
    assert at.written(make, whole) == []
    assert at.left.counts["s", "longer than pack.tokens"] == len(footage.grids)
    assert len(at.left.keys["s", "longer than pack.tokens"]) == 5


def test_counts_of_a_moment_can_be_gone_back_to():
    left = Left()
    left.out("s", "r", "one")
    before = left.copy()
    left.out("s", "r", "two")
    assert left.counts["s", "r"] == 2
    left.become(before)
    assert (left.counts["s", "r"], left.keys["s", "r"]) == (1, ["one"])
    left.out("s", "r", "three")
    assert before.counts["s", "r"] == 1


def test_chance_depends_on_seed_and_names_alone():
    one, two = desk(seed=1), desk(seed=1)
    assert one.rng("a", 2).random() == two.rng("a", 2).random()
    assert one.rng("a", 2).random() != one.rng("a", 3).random()
    assert one.rng("a", 2).random() != desk(seed=2).rng("a", 2).random()


def test_borders_are_begins_and_ends(corpus):
    events = corpus.materials["train"][0].events
    found = borders_of(events)
    assert set(found) == {event.start_ns for event in events} | {event.end_ns for event in events}
    assert list(found) == sorted(found)


def test_questions_bring_their_options_and_probes_their_answers(corpus):
    probes = 0
    for material in corpus.materials["train"]:
        rows = {row.id: row for row in material.questions}
        for item in instants(material):
            row = rows[item.key.split("/")[0]]
            assert item.question == put_question(row)
            assert item.known_ns <= item.t_ns < max(item.until_ns, item.t_ns + 1)
            if "/" in item.key:
                probe = row.test_points[int(item.key.split("/")[1])]
                assert probe.expected in item.text
                probes += 1
            else:
                assert item.text == row.answers[0].text
    row = corpus.materials["train"][0].questions[0].model_copy(update={"options": ("red", "blue")})
    assert put_question(row) == f"{row.question}\nA. red\nB. blue"
    assert probes


def test_a_turned_video_is_seen_upright(tmp_path):
    truth = draw_video(tmp_path / "one.mp4", VideoSpec(frames=50, size=(64, 96), rotation=90))
    clock = probe(truth.path).clock
    record = video_of("one", clock).model_copy(update={"width": 96, "height": 64, "rotation_deg": 90})
    footage = Footage.of(
        record, truth.path, clock, fps="2", max_gap_s=2.0, frames=frame_format(min_pixels=64 * 96, max_pixels=64 * 96)
    )
    frames = Frames(
        {record.id: footage},
        frame_format(min_pixels=64 * 96, max_pixels=64 * 96),
        decoder="pyav",
        cache=tmp_path / "cache",
    )
    pixels = frames.pixels(footage.grids[0])
    assert tuple(pixels.shape[1:3]) == (footage.height * 8, footage.width * 8)
    assert [frame_number(picture.numpy()) for picture in pixels] == [0, 12]


def test_a_long_video_is_decoded_run_by_run(tmp_path, monkeypatch):
    draw_video(tmp_path / "one.mp4", VideoSpec(frames=500, size=(32, 32)))
    clock = probe(tmp_path / "one.mp4").clock
    record = video_of("one", clock).model_copy(update={"width": 32, "height": 32})
    footage = Footage.of(record, tmp_path / "one.mp4", clock, fps="5", max_gap_s=2.0, frames=frame_format())
    assert len(footage.times) == 100
    # A frame has 3072 bytes: not more than four are held at their full size.
    monkeypatch.setattr("recipes.data.frames.READ_BYTES", 4 * 3072)
    frames = Frames({record.id: footage}, frame_format(), decoder="pyav", cache=tmp_path / "cache", max_bytes=100_000)
    first = frames.pixels(footage.grids[-1])
    assert frames.stats.decoded == 4
    every = [frames.pixels(grid) for grid in footage.grids]
    assert frames.stats.decoded == 100
    assert torch.equal(every[-1], first)
    monkeypatch.undo()
    again = Frames({record.id: footage}, frame_format(), decoder="pyav", cache=tmp_path / "other")
    assert all(torch.equal(again.pixels(grid), seen) for grid, seen in zip(footage.grids, every, strict=True))
