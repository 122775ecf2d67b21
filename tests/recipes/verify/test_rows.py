"""Labels that stand where they should not, or do not where they should, are told."""

from dataclasses import replace

import pytest
import torch

from models.blocks import Kind
from recipes.verify.rows import check_labels
from tests.recipes.verify.benches import meddled, narrowed


def relearned(example, place, learn):
    """The example with another span of one block supervised."""
    blocks = list(example.blocks)
    blocks[place] = replace(blocks[place], learn=learn)
    return replace(example, blocks=tuple(blocks))


def spoken(example):
    """The place of a reply with words whose end is not fed later."""
    return next(
        place
        for place, block in enumerate(example.blocks)
        if block.kind is Kind.REPLY
        and block.learn is not None
        and block.learn[1] - block.learn[0] > 2
        and block.learn[1] < len(block.token_ids)
    )


def told(case, example):
    finding = check_labels(narrowed(case.bench, example), case.tokenizer)
    assert not finding.ok
    assert finding.check == "labels"
    assert example.key in finding.words
    assert finding.words.startswith(f"{example.source}: ")
    return finding.words


@pytest.mark.parametrize("stage", ["stream", "interact"])
def test_labels_that_are_right_hold(ready, stage):
    case = ready(stage)
    finding = check_labels(case.bench, case.tokenizer)
    assert finding.ok
    assert finding.words.startswith(f"{sum(len(example.said) for example in case.bench.examples)} things said")


def test_a_header_that_is_supervised_is_told(ready):
    case = ready()
    example = case.of("sliding_window")
    place = spoken(example)
    words = told(case, relearned(example, place, (1, example.blocks[place].learn[1])))
    assert "assistant" in words
    taught = case.tokenizer.decode(example.blocks[place].token_ids)
    said = next(said for said in example.said if said.text in taught)
    assert f"{said.task} said at {said.t_ns / 1e9:.3f} s should teach" in words


def test_a_users_words_that_are_supervised_are_told(ready):
    case = ready()
    example = case.of("sliding_window")
    place = spoken(example)
    query = next(k for k, block in enumerate(example.blocks) if block.kind is Kind.QUERY)
    count = len(example.blocks[query].token_ids)
    blocks = list(example.blocks)
    blocks[query] = replace(blocks[query], learn=(count - 4, count - 1))
    blocks[place] = replace(blocks[place], learn=None)
    words = told(case, replace(example, blocks=tuple(blocks)))
    asked = case.tokenizer.decode(example.blocks[query].token_ids[count - 4 : count - 1])
    assert repr(asked) in words


@pytest.mark.parametrize("cut", [1, 2])
def test_an_answer_without_its_first_labels_is_told(ready, cut):
    case = ready()
    example = case.of("sliding_window")
    place = spoken(example)
    begin, end = example.blocks[place].learn
    assert "but supervised are" in told(case, relearned(example, place, (begin + cut, end)))


def test_an_answer_without_its_last_words_is_told(ready):
    case = ready()
    example = case.of("sliding_window")
    place = spoken(example)
    begin, end = example.blocks[place].learn
    assert "should teach" in told(case, relearned(example, place, (begin, end - 2)))


def test_a_wrong_decision_is_told(ready):
    case = ready()
    example, place = next(
        (example, place)
        for example in case.bench.examples
        if example.source == "realtime"
        for place, said in enumerate(example.said)
        if said.state == "silence"
    )
    said = (*example.said[:place], replace(example.said[place], state="standby"), *example.said[place + 1 :])
    words = told(case, replace(example, said=said))
    assert "<|standby|>" in words
    assert "<|silence|>" in words


def test_answers_of_another_thing_said_are_told(ready):
    case = ready()
    example = case.of("sliding_window")
    bench = meddled(case.bench, lambda batch: replace(batch, answer=batch.answer + 1), examples=[example])
    finding = check_labels(bench, case.tokenizer)
    assert not finding.ok
    assert "should teach" in finding.words


def test_labels_of_nothing_that_is_said_are_told(ready):
    case = ready()
    example = case.of("sliding_window")

    def more(batch):
        extra = torch.tensor([len(example.said)])
        return replace(
            batch,
            answer=torch.cat([batch.answer, extra]),
            targets=torch.cat([batch.targets, batch.token_ids[0, 5:6]]),
            rows=torch.cat([batch.rows, torch.tensor([4])]),
        )

    finding = check_labels(meddled(case.bench, more, examples=[example]), case.tokenizer)
    assert not finding.ok
    assert "1 runs of supervised tokens" in finding.words
    assert "belong to nothing that is said" in finding.words


def test_rows_that_predict_another_place_are_told(ready):
    case = ready()
    example = case.of("realtime")
    bench = meddled(case.bench, lambda batch: replace(batch, rows=batch.rows + 1), examples=[example])
    finding = check_labels(bench, case.tokenizer)
    assert not finding.ok
    assert "should predict" in finding.words
    assert "its target is" in finding.words


def weighed(case, example, weigh):
    bench = meddled(case.bench, weigh, examples=[example])
    finding = check_labels(bench, case.tokenizer)
    assert not finding.ok
    assert "look at the weights of rows" in finding.words
    return finding.words


def test_a_word_that_carries_no_loss_is_told(ready):
    case = ready()

    def nothing(batch):
        weights = batch.weights.clone()
        weights[0] = 0
        return replace(batch, weights=weights)

    words = weighed(case, case.of("sliding_window"), nothing)
    assert "and in the cross entropy with weight 0, expected a word of weight 1 and nothing in the other" in words


def test_a_decision_that_counts_twice_is_told(ready):
    case = ready()
    words = weighed(case, case.of("realtime"), lambda batch: replace(batch, weights=torch.ones_like(batch.weights)))
    assert "with weight 1 and in the cross entropy with weight 1, expected a decision of weight 1" in words


def test_a_decision_of_another_weight_is_told(ready):
    case = ready()

    def halved(batch):
        return replace(batch, decisions=replace(batch.decisions, weight=batch.decisions.weight / 2))

    words = weighed(case, case.of("realtime"), halved)
    assert "the loss of decisions with weight 0.5 and in the cross entropy with weight 0, expected a decision" in words


def test_a_word_that_decides_is_told(ready):
    case = ready()

    def displaced(batch):
        at = batch.decisions.at.tolist()
        word = next(row for row in range(len(batch.targets)) if row not in at)
        return replace(batch, decisions=replace(batch.decisions, at=torch.tensor([*at[:-1], word])))

    words = weighed(case, case.of("realtime"), displaced)
    assert "with weight 1 and in the cross entropy with weight 1, expected a word of weight 1" in words


def test_a_decision_that_counts_in_no_loss_is_told(ready):
    case = ready()

    def lost(batch):
        weight = batch.decisions.weight.clone()
        weight[0] = 0
        return replace(batch, decisions=replace(batch.decisions, weight=weight))

    assert "expected a decision" in weighed(case, case.of("realtime"), lost)


def test_weights_of_the_example_are_met(ready):
    case = ready()
    example = case.of("sliding_window")
    blocks = tuple(replace(block, loss_weight=0.3) if block.learn else block for block in example.blocks)
    assert check_labels(narrowed(case.bench, replace(example, blocks=blocks)), case.tokenizer).ok
