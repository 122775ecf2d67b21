"""Replies that a user cut short, as a session cuts them: behind a whole token."""

from __future__ import annotations

from datasets_build.core.records import Dialogue, Turn
from models.prompts import Prompts


def cut_text(text: str, whole: str, prompts: Prompts) -> str:
    """As much of a cut reply as a session had said when it was interrupted.

    A session says tokens, so it never says a part of one: the characters behind the last whole token are dropped.

    Args:
        text: what a record says was said; where `whole` does not begin with it, nothing was.
        whole: what would have been said.
        prompts: of the model that learns it.

    Returns:
        The longest text whose tokens are the first ones of `whole` and that is a beginning of `text`; empty where that
        holds no whole token.
    """
    tokens = prompts.text(whole) if whole.startswith(text) else ()
    for count in range(len(tokens), 0, -1):
        said = prompts.tokenizer.decode(
            list(tokens[:count]), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        assert isinstance(said, str)
        # A text may be written with other tokens when nothing stands behind it; half a character is none.
        if text.startswith(said) and prompts.text(said) == tokens[:count]:
            return said
    return ""


def cut_at_tokens(dialogue: Dialogue, prompts: Prompts) -> Dialogue:
    """The dialogue with each reply that was cut short ended behind a whole token; it may have no text left."""
    return dialogue.model_copy(update={"turns": tuple(_cut(turn, prompts) for turn in dialogue.turns)})


def _cut(turn: Turn, prompts: Prompts) -> Turn:
    if turn.role != "assistant" or turn.truncated_at_char is None or turn.intended_text is None:
        return turn
    text = cut_text(turn.text, turn.intended_text, prompts)
    return turn.model_copy(update={"text": text, "truncated_at_char": len(text)})
