"""The text around frames, questions and replies: token ids as the families' chat format has them."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from models.backbone import Family
from models.errors import QuestionError, SettingsError

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesText:
    """Token ids of one frames block and where its grid begins in them."""

    token_ids: tuple[int, ...]
    grid_start: int


class Prompts:
    """Writes the chat format of Qwen in pieces that concatenate to the whole, token for token.

    Every piece begins or ends at a special token, at which tokenizers split, so pieces tokenized alone equal the whole
    text tokenized at once. Special tokens that a user types are tokenized as plain text.

    Args:
        tokenizer: the package's tokenizer.
        family: the model's family.

    Raises:
        SettingsError: the tokenizer lacks the marks of a turn.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, family: Family) -> None:
        self.tokenizer = tokenizer
        self.family = family
        self.turn_start = self._special("<|im_start|>")
        self.turn_end = self._special("<|im_end|>")
        self._newline = self.text("\n")

    def text(self, text: str) -> tuple[int, ...]:
        """Ids of plain text; nothing in it becomes a special token.

        Raises:
            QuestionError: it holds half a character (a lone surrogate), which no bytes stand for.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise QuestionError(
                f"text: found a lone surrogate at character {error.start}, expected whole characters; "
                "decode what was typed as UTF-8"
            ) from None
        given = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return tuple(int(token) for token in given["input_ids"])

    def system(self, text: str) -> tuple[int, ...]:
        """The system turn, left out where its text is empty, and the user's turn up to the first frame."""
        opened = () if self.family.timed_text else (self.family.start_id,)
        turn = self._turn("system", text) if text else ()
        return (*turn, self.turn_start, *self.text("user\n"), *opened)

    def frames(self, tokens: int, *, t0_ns: int, last_ns: int) -> FramesText:
        """One grid of `tokens` tokens whose frames were shown from `t0_ns` to `last_ns`, both since the stream began.

        Qwen3-VL reads the middle of the two times before each grid, in seconds with one decimal, as its processor
        writes it; the others read time from positions.
        """
        pads = (self.family.video_id,) * tokens
        if not self.family.timed_text:
            return FramesText(token_ids=pads, grid_start=0)
        # In the order of its processor, so that halves round the same way.
        seconds = (t0_ns / SECOND_NS + last_ns / SECOND_NS) / 2
        before = (*self.text(f"<{seconds:.1f} seconds>"), self.family.start_id)
        return FramesText(token_ids=(*before, *pads, self.family.end_id), grid_start=len(before))

    def seam(self) -> tuple[int, ...]:
        """What closes the video before the first question; empty for Qwen3-VL, where each grid closes itself."""
        return () if self.family.timed_text else (self.family.end_id,)

    def question(self, text: str) -> tuple[int, ...]:
        """A user's turn of its own, as of every question but the first, which stands in the turn of the video."""
        return self._turn("user", text)

    def turn_close(self) -> tuple[int, ...]:
        """The end of a turn."""
        return (self.turn_end, *self._newline)

    def reply_start(self) -> tuple[int, ...]:
        """The beginning of the assistant's turn."""
        return (self.turn_start, *self.text("assistant\n"))

    def stop_ids(self) -> frozenset[int]:
        """Tokens at which a reply ends."""
        ends = {self.turn_end}
        for given in (self.tokenizer.eos_token_id, self.tokenizer.pad_token_id):
            if given is not None:
                ends.add(int(given))
        return frozenset(ends)

    def single(self, token: str) -> int:
        """The id of a text that must be exactly one token.

        Raises:
            SettingsError: it is several tokens, or none.
        """
        ids = self.tokenizer(token, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            raise SettingsError(
                f"decision token {token!r}: found {len(ids)} tokens, expected exactly one; add it to the tokenizer "
                f"or name other texts in `decision_tokens`"
            )
        return int(ids[0])

    def _turn(self, role: str, text: str) -> tuple[int, ...]:
        return (self.turn_start, *self.text(f"{role}\n{text}"), *self.turn_close())

    def _special(self, token: str) -> int:
        found = self.tokenizer.convert_tokens_to_ids(token)
        if not isinstance(found, int) or found == self.tokenizer.unk_token_id:
            raise SettingsError(f"tokenizer: {token} is missing; take the tokenizer of the base model")
        return found
