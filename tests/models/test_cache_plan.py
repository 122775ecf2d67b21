from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import Kind, derive, pack
from models.cache_plan import plan
from models.layouts import LAYOUTS
from tests.laws import examples
from tests.models.contexts import CLOCK, LIVE, PAST, SECOND, block_lists, contexts, derived, dialogue, frames, text


def fed(context):
    return [step.block for step in plan(context).steps]


@given(st.lists(contexts, min_size=1, max_size=3).map(pack))
@settings(max_examples=examples(50))
def test_a_plan_frees_each_block_once_and_never_before_its_last_reader(context):
    order = fed(context)
    assert sorted(order) == list(range(len(context.blocks)))
    live, peak, freed = set(), 0, []
    for step in plan(context).steps:
        live.add(step.block)
        assert {column for column, seen in enumerate(context.sees[step.block]) if seen} <= live
        assert step.live_tokens == sum(len(context.blocks[block].token_ids) for block in live)
        peak = max(peak, step.live_tokens)
        later = order[order.index(step.block) + 1 :]
        dying = {block for block in live if not any(context.sees[reader, block] for reader in later)}
        assert set(step.frees) == dying
        live -= dying
        freed += step.frees
    assert sorted(freed) == list(range(len(context.blocks)))
    assert plan(context).peak_slots == peak


def test_blocks_are_fed_as_they_arrive_wherever_nobody_sees_the_future():
    for name in PAST:
        context = derived(name)
        assert context.arrival[fed(context)].tolist() == list(range(len(context.blocks)))
    assert fed(derived("branch")) == list(range(13))
    for name in ("origin", "batch"):
        context = derived(name)
        assert fed(context) == list(range(len(context.blocks)))
        assert fed(context) != context.arrival.argsort().tolist()


def test_a_window_keeps_the_cache_small_and_a_pinned_block_keeps_its_slots():
    blocks = [replace(text(Kind.SYSTEM, 0, 3), pinned=True), *(frames(k * SECOND, (k + 1) * SECOND) for k in range(20))]
    context = derived("interleave", blocks)
    age = torch.arange(21)[:, None] - torch.arange(21)
    window = replace(context, sees=context.sees & (age < 4))
    assert plan(context).peak_slots == len(context.token_ids) == 83
    assert plan(window).peak_slots == 3 + 4 * 4
    assert 0 in plan(window).steps[-1].frees
    two = plan(pack([window, window]))
    assert two.peak_slots == 3 + 4 * 4
    assert [0 in step.frees for step in two.steps].index(True) == 20


@given(block_lists())
@settings(max_examples=examples(25))
def test_a_branch_is_fed_in_the_order_in_which_it_is_written_down(blocks):
    context = derived("branch", blocks)
    by_known = [block for _, block in sorted(enumerate(blocks), key=lambda item: (item[1].known_ns, item[0]))]
    assert [context.blocks[step].token_ids for step in fed(context)] == [block.token_ids for block in by_known]
    assert fed(context) == list(range(len(blocks)))


def test_a_plan_of_branch_keeps_what_the_last_question_still_sees():
    # Text behind the last question sees everything, so nothing is freed before it; frames alone would not need replies.
    last = max(at for at, block in enumerate(dialogue()) if block.kind is not Kind.FRAMES)
    steps = plan(derived("branch")).steps
    assert [len(step.frees) for step in steps[:last]] == [0] * last
    said = {at for at, block in enumerate(dialogue()) if block.kind is not Kind.FRAMES and at}
    assert said <= set(steps[last].frees)


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=1, max_size=3))
@settings(max_examples=examples(25))
def test_documents_that_see_the_past_are_fed_one_after_the_other(sizes):
    parts = [derived("branch", [text(Kind.REPLY, at, 1 + size) for at, size in enumerate(part)]) for part in sizes]
    packed = pack(parts)
    assert fed(packed) == list(range(sum(map(len, sizes))))
    assert plan(packed).peak_slots == max(plan(part).peak_slots for part in parts)


def test_one_document_that_shows_the_future_is_fed_in_its_sequence_and_the_others_with_it():
    both = pack([derived("origin"), derived("group")])
    assert fed(both) == list(range(len(both.blocks)))
    assert fed(pack([derived("branch"), derived("group")])) != list(range(13 + len(derived("group").blocks)))


def test_serving_a_group_needs_no_more_slots_than_its_training_sequence_fed_as_it_arrives():
    rule = replace(LAYOUTS["group"].visibility, predicting_row=False)
    trained = derive(dialogue(), replace(LAYOUTS["group"], visibility=rule), clock=CLOCK)
    served = derive(dialogue(), LIVE, clock=CLOCK)
    assert [step.live_tokens for step in plan(served).steps] == [step.live_tokens for step in plan(trained).steps]
