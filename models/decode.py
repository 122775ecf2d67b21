"""From logits to text: choosing a token, knowing when to stop, and giving out text that will not change any more."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from models.errors import SettingsError

REPLACEMENT = "\ufffd"
# What may stand behind the mark that ends a sentence and still belongs to it.
_CLOSERS = r"[\"')\]”’」』）】》.!?…。！？]*+"
# A sentence ends at these marks before white space, at those of Chinese and Japanese without it, and at a line's end.
# Only the next letter shows that the end is over; nothing is taken back then, so no way to cut the text matters.
_END = re.compile(rf"(?:[.!?…]{_CLOSERS}\s++|[。！？]{_CLOSERS}\s*+|\s*\n\s*+)(?=\S)")
# A dot behind one letter (`e.g.`, `U.S.`, `J.`), behind these, or behind the number of a list's item ends nothing.
_SHORT = re.compile(
    r"(?:^|[^\w.])(?:(?:\w\.)+\w|(?!I$)[^\W\d_]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|cf|al|approx|Fig)$|^\s*\d{1,3}$"
)
# A lower temperature draws the same, until it makes infinities of logits in float32.
_COLDEST = 1e-20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the most likely token.
        top_k, top_p: keep only the k most likely, or the fewest that reach probability p; 0 and 1 keep all.
        repetition_penalty: above 1 makes tokens of the reply less likely to come again.
        seed: of the draw.
        given: tokens that the reply begins with, whatever the model would say; so what was said elsewhere is said again
            and every score of it is seen.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0
    given: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise SettingsError(f"temperature: found {self.temperature}, expected a finite number of 0 or more")
        if type(self.top_k) is not int or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise SettingsError(
                f"top_k, top_p: found {self.top_k}, {self.top_p}, expected an int of 0 or more and a number in (0, 1]"
            )
        if not 0 < self.repetition_penalty < math.inf:
            raise SettingsError(
                f"repetition_penalty: found {self.repetition_penalty}, expected a finite number above 0"
            )
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise SettingsError(f"seed: found {self.seed!r}, expected an int of 0 or more that fits in 63 bits")
        if type(self.given) is not tuple or not all(type(token) is int and token >= 0 for token in self.given):
            raise SettingsError(f"given: found {self.given!r}, expected a tuple of token ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """When a reply ends before the model says so.

    Attributes:
        max_new_tokens: at most this many tokens.
        texts: the reply ends before the first of these.
        repeats: ends when its last tokens are one phrase of up to 16 tokens, this many times over; 0 never.
    """

    max_new_tokens: int = 128
    texts: tuple[str, ...] = ()
    repeats: int = 8

    def __post_init__(self) -> None:
        if type(self.max_new_tokens) is not int or self.max_new_tokens < 1:
            raise SettingsError(f"max_new_tokens: found {self.max_new_tokens!r}, expected an int of at least 1")
        if type(self.texts) is not tuple or not all(type(text) is str and text for text in self.texts):
            raise SettingsError(f"texts: found {self.texts!r}, expected a tuple of texts of at least one character")
        if type(self.repeats) is not int or self.repeats < 0 or self.repeats == 1:
            raise SettingsError(f"repeats: found {self.repeats!r}, expected 0 or an int of at least 2")


class Chooser:
    """Chooses tokens of one reply.

    Args:
        sampling: how.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._given = sampling.given
        self._greedy = sampling.temperature == 0
        self._generator = torch.Generator().manual_seed(sampling.seed)
        steps = LogitsProcessorList()
        if sampling.repetition_penalty != 1.0:
            steps.append(RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty)))
        if not self._greedy:
            steps.append(TemperatureLogitsWarper(max(float(sampling.temperature), _COLDEST)))
            if sampling.top_k:
                steps.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                steps.append(TopPLogitsWarper(sampling.top_p))
        self._steps = steps

    def choose(self, logits: Tensor, reply: Sequence[int]) -> int:
        """The next token from float32 logits (vocabulary,), after the tokens of the reply so far."""
        if len(reply) < len(self._given):
            return self._given[len(reply)]
        if self._steps:
            said: Any = torch.tensor([list(reply)], dtype=torch.int64, device=logits.device)
            logits = self._steps(said, logits[None])[0]
        if self._greedy:
            return int(logits.argmax())
        chances = logits.softmax(-1).cpu()
        return int(torch.multinomial(chances, 1, generator=self._generator))


class TextStream:
    """Turns tokens into text as they come; text once given out never changes.

    A character whose bytes are not all there, and text that may begin a stop text, wait. `written` counts the
    characters that are whole, `stopped` says that a stop text was among them.

    Args:
        tokenizer: decodes.
        stop: texts at which the reply ends; none of them is ever given out.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._tokens: list[int] = []
        self._settled = 0
        self._given = 0
        self._before = 0
        self.written = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that became certain with this token; may be empty."""
        self._tokens.append(token)
        text = self._decode()
        if text.endswith(REPLACEMENT):
            return ""
        self.written = self._before + len(text)
        cut = self._cut(text)
        if self.stopped:
            return self._give(cut)
        piece = self._give(text[: len(text) - self._may_stop(text)])
        if self._given == len(text) and text.endswith("\n"):
            # A line's end decodes alike wherever it stands: start anew there, so that long replies stay cheap.
            self._settled, self._given, self._before = len(self._tokens), 0, self.written
        return piece

    def rest(self) -> str:
        """What still waits at the end of a reply, a broken character as its replacement."""
        # A stop text whose last token also begins a character has waited until here.
        if self.stopped:
            return ""
        text = self._decode()
        self.written = self._before + len(text)
        return self._give(self._cut(text))

    def _decode(self) -> str:
        text = self._tokenizer.decode(
            self._tokens[self._settled :], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def _give(self, text: str) -> str:
        piece, self._given = text[self._given :], max(self._given, len(text))
        return piece

    def _cut(self, text: str) -> str:
        """The text before the first stop text, and whether there is one."""
        places = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        self.stopped = bool(places)
        return text[: min(places)] if places else text

    def _may_stop(self, text: str) -> int:
        """Length of the longest end of the text that begins a stop text."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stop):
                return length
        return 0


class Sentences:
    """Joins pieces of text to whole sentences, for speech and subtitles; how the text comes in pieces changes nothing.

    A sentence is given out with the first letter of the next one. Dots in numbers and behind common abbreviations end
    none, and none is white space alone.
    """

    def __init__(self) -> None:
        self._waiting = ""

    def add(self, piece: str) -> list[str]:
        """The sentences that are over with this piece, with the white space behind them."""
        self._waiting += piece
        whole = []
        begun = 0
        for found in _END.finditer(self._waiting):
            if _ends(self._waiting[begun : found.start()], found.group()):
                whole.append(self._waiting[begun : found.end()])
                begun = found.end()
        self._waiting = self._waiting[begun:]
        return whole

    def rest(self) -> str:
        """The unfinished sentence at the end."""
        waiting, self._waiting = self._waiting, ""
        return waiting


def _ends(before: str, mark: str) -> bool:
    """Whether a mark ends the sentence before it."""
    if not before.strip():
        return False
    return "\n" in mark or mark.rstrip() != "." or not _SHORT.search(before)


def loops(tokens: Sequence[int], repeats: int) -> bool:
    """Whether the last tokens are one phrase of 1 to 16 tokens, `repeats` times over."""
    if not repeats:
        return False
    for period in range(1, min(16, len(tokens) // repeats) + 1):
        tail = tokens[-period * repeats :]
        if all(tail[place] == tail[place - period] for place in range(period, len(tail))):
            return True
    return False
