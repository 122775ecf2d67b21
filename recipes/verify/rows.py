"""Is what carries loss what is meant to be learned, and nothing else."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from recipes.data.example import STATES, Example
from recipes.verify.bench import Bench
from recipes.verify.finding import Finding


def check_labels(bench: Bench, tokenizer: PreTrainedTokenizerBase) -> Finding:
    """Supervised tokens, decoded, are the decisions and words of the examples, one by one."""
    looked = 0
    for example in bench.examples:
        wrong = _wrong(bench, tokenizer, example)
        if wrong:
            return Finding(check="labels", ok=False, words=f"{example.key}: {wrong}")
        looked += len(example.said)
    return Finding(check="labels", ok=True, words=f"{looked} things said carry loss, and nothing else does")


def _wrong(bench: Bench, tokenizer: PreTrainedTokenizerBase, example: Example) -> str:
    """What is supervised and should not be, or the other way round; empty: nothing."""
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    targets: dict[int, list[int]] = {}
    for batch in bench.batches([[example]]):
        for place, target in zip(batch.answer.tolist(), batch.targets.tolist(), strict=True):
            targets.setdefault(place, []).append(target)
    for place, said in enumerate(example.said):
        found = targets.get(place, [])
        expected = [] if said.state is None else [bench.how.decision_ids[STATES.index(said.state)]]
        expected += tokenizer(said.text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        # A reply that was cut short has no end to learn; a decision to be silent has none at all.
        if found not in ([*expected, end], expected):
            return (
                f"{said.task} at {said.t_ns} ns should teach {tokenizer.decode(expected)!r}, but supervised are "
                f"{tokenizer.decode(found)!r}; look at how its blocks are written"
            )
    extra = sorted(set(targets) - set(range(len(example.said))))
    return f"{len(extra)} runs of supervised tokens belong to nothing that is said" if extra else ""
