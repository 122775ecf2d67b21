"""A tokenizer of the project's own for models from nothing: byte-level pieces learned from the texts of a dataset."""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerBase, Qwen2Tokenizer

from models.tiny import OMNI_TOKENS, SPECIAL_TOKENS, chat_template
from recipes.errors import RecipeError

# Digits stand alone, so that a number never seen before is read like any other.
_WORDS = Regex(r"\d|[^\s\d\w]+| ?[^\W\d]+|\s")


def learn_tokenizer(texts: Iterable[str], *, family: str, vocabulary: int) -> PreTrainedTokenizerBase:
    """A tokenizer whose frequent words are single tokens, and which can write any text.

    Args:
        texts: what it will read and write; their order does not matter.
        family: whose chat template it has.
        vocabulary: tokens at most, the 256 bytes and the special tokens of the families among them.

    Raises:
        RecipeError: the vocabulary has no room for bytes and special tokens.
    """
    least = 256 + len(SPECIAL_TOKENS)
    if vocabulary < least:
        raise RecipeError(f"model.made.vocabulary: found {vocabulary}, expected at least {least}: bytes and marks")
    core = Tokenizer(BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # The chat's own words come in every document.
    core.train_from_iterator(sorted({*texts, "user\n", "assistant\n", "system\n", "seconds"}), trainer)
    tokenizer = Qwen2Tokenizer(
        tokenizer_object=core,
        eos_token="<|im_end|>",  # noqa: S106 - the end of a turn, no secret
        pad_token="<|endoftext|>",  # noqa: S106 - padding, no secret
        extra_special_tokens=dict(OMNI_TOKENS) if family == "qwen2_5_omni" else {},
    )
    tokenizer.chat_template = chat_template(family)
    return tokenizer
