"""Is what carries loss what is meant to be learned, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from recipes.data.batch import Batch
from recipes.data.example import STATES, Example, Said
from recipes.verify.bench import Bench, sayers
from recipes.verify.finding import Finding, seconds

# Weights are kept in float32.
CLOSE = 1e-6
_TODO = "look at which tokens of its blocks are learned (models.transcript)"


def check_labels(bench: Bench, tokenizer: PreTrainedTokenizerBase) -> Finding:
    """Supervised tokens, decoded, are the decisions and words of the examples, one by one."""
    looked = 0
    for example in bench.examples:
        wrong = _wrong(bench, tokenizer, example)
        if wrong:
            return Finding(check="labels", ok=False, words=f"{example.source}: {example.key}: {wrong}")
        looked += len(example.said)
    words = f"{looked} things said in {len(bench.examples)} examples carry loss, and nothing else does"
    return Finding(check="labels", ok=True, words=words)


def _wrong(bench: Bench, tokenizer: PreTrainedTokenizerBase, example: Example) -> str:
    """What is supervised and should not be, or the other way round; empty: nothing."""
    batches = bench.batches([[example]])
    targets: dict[int, list[int]] = {}
    for batch in batches:
        for place, target in zip(batch.answer.tolist(), batch.targets.tolist(), strict=True):
            targets.setdefault(place, []).append(target)
    for place, said in enumerate(example.said):
        found, expected = targets.get(place, []), _taught(bench, tokenizer, said)
        # A reply that was cut short has no end to learn; a decision to be silent has none at all.
        if found not in ([*expected, tokenizer.convert_tokens_to_ids("<|im_end|>")], expected):
            return (
                f"{said.task} said at {seconds(said.t_ns)} should teach {tokenizer.decode(expected)!r}, but supervised "
                f"are {tokenizer.decode(found)!r}; {_TODO}"
            )
    extra = sorted(set(targets) - set(range(len(example.said))))
    if extra:
        words = tokenizer.decode(targets[extra[0]])
        return f"{len(extra)} runs of supervised tokens, such as {words!r}, belong to nothing that is said; {_TODO}"
    return _displaced(batches, example, tokenizer) or _unweighed(bench, batches, example)


def _taught(bench: Bench, tokenizer: PreTrainedTokenizerBase, said: Said) -> list[int]:
    """The tokens of a thing said, without its end."""
    state = [] if said.state is None else [bench.how.decision_ids[STATES.index(said.state)]]
    words = tokenizer(said.text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [*state, *map(int, words)]


def _displaced(batches: Sequence[Batch], example: Example, tokenizer: PreTrainedTokenizerBase) -> str:
    """Which row predicts another token than the one behind it; windows stand in another order."""
    if example.cuts:
        return ""
    (batch,) = batches
    # Behind the last token of all stands none; the first one there is as wrong.
    behind = batch.token_ids.flatten().roll(-1)[batch.rows]
    wrong = torch.nonzero(behind != batch.targets)[:, 0].tolist()
    if not wrong:
        return ""
    said, row = example.said[int(batch.answer[wrong[0]])], wrong[0]
    return (
        f"{said.task} said at {seconds(said.t_ns)}: row {int(batch.rows[row])} should predict "
        f"{tokenizer.decode([int(behind[row])])!r}, the token behind it, but its target is "
        f"{tokenizer.decode([int(batch.targets[row])])!r}; look at how rows are chosen (recipes.data.rows)"
    )


def _unweighed(bench: Bench, batches: Sequence[Batch], example: Example) -> str:
    """Which supervised row counts in no loss, in two, in the wrong one, or with another weight."""
    weights = [{block.loss_weight for block in blocks} for blocks in sayers(example)]
    for batch in batches:
        deciding = dict(zip(batch.decisions.at.tolist(), batch.decisions.weight.tolist(), strict=True))
        for row, place in enumerate(batch.answer.tolist()):
            said, target = example.said[place], int(batch.targets[row])
            decides = not said.asked and target in bench.how.decision_ids
            expected = weights[place]
            found = deciding.get(row, 0.0), float(batch.weights[row])
            counted, other = found if decides else found[::-1]
            known = (row in deciding) == decides
            if known and abs(other) < CLOSE and any(abs(counted - each) < CLOSE for each in expected):
                continue
            several = " or ".join(f"{each:g}" for each in sorted(expected))
            return (
                f"{said.task} said at {seconds(said.t_ns)}: token {target} counts in the loss of decisions with weight "
                f"{found[0]:g} and in the cross entropy with weight {found[1]:g}, expected "
                f"{'a decision' if decides else 'a word'} of weight {several} "
                "and nothing in the other; look at the weights of rows (recipes.data.rows)"
            )
    return ""
